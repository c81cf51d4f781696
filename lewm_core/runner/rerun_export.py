"""`python -m lewm_core export SOURCE FILE.rrd`: any episodes that we can open, for the Rerun viewer."""

import argparse
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from lewm_core import dataset
from lewm_core.dataset import Data
from lewm_core.dataset.packets import packets
from lewm_core.signals.backends import SIMULATOR, Backends
from lewm_core.signals.extraction import Packet, extract
from lewm_core.sources.episode import Source
from lewm_core.sources.registry import open_source
from lewm_core.utils.errors import InputError, known
from lewm_core.utils.progress import bar
from lewm_core.utils.provenance import SIMULATED
from lewm_core.viz import rerun_file


def export(options: argparse.Namespace, kind: str, target: Path) -> str:
    """Write what the options name to `target`, and say what it is. kind: of the source, as `inspection.kind` has it."""
    rerun_file.need()
    if kind == "dataset":
        data = _named(dataset.load(options.source, options.episodes))
        ids = _chosen(options.episode, data["episode_id"])
        found: dict = {}
        if options.checkpoint:
            from lewm_core.diagnostics.forecasts import forecasts, of_checkpoint

            found = forecasts(of_checkpoint(options.checkpoint, data), data, ids)
        episodes = (packets(data, [id])[id] for id in bar(ids, "episodes", "episode"))
        n = rerun_file.write(target, episodes, found)
    else:
        if options.checkpoint:
            raise InputError("--checkpoint", f"the source {options.source}", "a dataset (.h5)", "Make one of it first.")
        n = rerun_file.write(target, _opened(options, kind))
    return f"Rerun recording of {n} episodes, {target.stat().st_size / n / 1e6:.2f} MB each"


def _named(data: Data) -> Data:
    """`data` with names and tasks, which other tools' files may lack."""
    n = len(data["ep_len"])
    ids = np.array([f"episode-{i:06d}" for i in range(n)], object)
    return replace(data, columns={"episode_id": ids, "task": np.full(n, "", object), **data.columns})


def _chosen(wanted: list[str], ids: Iterable[str]) -> list[str]:
    """Those of `ids` that are asked for, all where none is; an InputError for one that is not there."""
    ids = [str(id) for id in ids]
    return [known(ids, id, "--episode") for id in dict.fromkeys(wanted)] or ids


def _opened(options: argparse.Namespace, kind: str) -> Iterator[Packet]:
    """The episodes of a source with the signals that it knows itself: all of a simulator, none of a recording."""
    simulated = options.source in SIMULATED and not Path(options.source).exists()
    name = options.source if simulated else kind if kind in ("lerobot", "lance", "folder") else "bridge"
    if simulated and not options.episodes:
        raise InputError(f"export {name}", "no number of episodes", "one: a simulator has no last episode",
                         "Add --episodes N.")
    if not simulated and not Path(options.source).is_dir():
        raise InputError(options.source, "no such file or folder",
                         "a dataset (.h5), a LeRobot or BridgeData folder, or tabletop")
    source = open_source(name, options.episodes or 0, 0, options.image_size, Path(options.source), options.camera)
    backends = SIMULATOR if simulated else Backends(None, None, None)
    ids = _chosen(options.episode, [info.id for info in source.infos()])
    return _packets(source, ids, lambda episode: extract(episode, backends))


def _packets(source: Source, ids: list[str], signals: Callable) -> Iterator[Packet]:
    for id in bar(ids, "episodes", "episode"):
        episode = source.load(id)
        yield episode, signals(episode)
