"""Index, curation, packing and windows of BridgeData V2, whole or in part: each in a process of its own, which says
what it took and how much memory it held above what it began with.

Frames are small (16 px) where files are written: a data set of 60,096 episodes would fill the disk, and what memory
holds of an episode besides its frames does not depend on their size.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch

from benchmarks import public_bridge, public_counts
from lewm_core import dataset
from lewm_core.curation import curate as curation
from lewm_core.curation.score import Criteria
from lewm_core.curation.selection import Choice
from lewm_core.dataset import windows
from lewm_core.dataset.frames import ActionScale, Frames
from lewm_core.signals.backends import Backends
from lewm_core.signals.extraction import Packet, extract
from lewm_core.signals.pipeline import SourceSpec
from lewm_core.sources.bridge import open_bridge
from lewm_core.sources.episode import Episode
from lewm_core.utils.workspace import Workspace

PX, CURATED_PX = 16, 64  # of the frames that are packed, and of those that signals are made of
BATCHES, BATCH = 2000, 16
SAMPLED = 25  # distinct episodes
Row = dict[str, float | str]


def took(measure: str, n: int, work: Callable[[], object]) -> Row:
    """What `work` took, over `n` episodes."""
    public_counts.forget_peak()
    held, before = public_counts.memory("VmRSS"), public_counts.counted()
    kept = work()  # noqa: F841  what it returns counts as held
    return {"measure": measure, "n": n, **public_counts.since(before), "peak": public_counts.memory() - held}


def spec_of(folder: Path) -> SourceSpec:
    return SourceSpec("bridge", 0, 0, CURATED_PX, data_path=str(folder))


def index(folder: Path, n: int, output: Path) -> list[Row]:
    """The fingerprint of the shards, the metadata of all their episodes, and these once more from the index."""
    cache = Workspace(output, output).cache / "index"
    source = open_bridge(folder, CURATED_PX)
    return [took("fingerprint", n, lambda: source.fingerprint),
            took("index", n, lambda: sum(1 for _ in source.infos(cache=cache))),
            took("index, read again", n, lambda: sum(1 for _ in open_bridge(folder, CURATED_PX).infos(cache=cache)))]


def curated(folder: Path, n: int, output: Path) -> list[Row]:
    """Curation with the index that is there: filter, measurements, scores, selection, their files.

    Signals are made of each distinct episode once, and given for its repetitions, since extraction is what curation
    waits for: that of 60,096 episodes would take a day here.
    """
    spec = spec_of(folder)
    made = [extract(episode, spec.backends, spec.settings) for episode in distinct(folder, CURATED_PX)]

    def packets(_: SourceSpec, ids: Iterator[str], *__) -> Iterator[Packet]:
        return ((_Named(id), made[record_of(id)]) for id in ids)

    curation.packets = packets
    workspace = Workspace(output, output)
    whole = took("curation", n, lambda: curation.curate(spec, workspace, Criteria(), Choice(), 1.0, True, 1))
    again = took("curation, once more", n, lambda: curation.curate(spec, workspace, Criteria(), Choice(), 1.0, True, 1))
    return [whole, again]


class _Named:
    """An episode of which nothing but its id is asked."""

    def __init__(self, id: str):
        self.id = id


def record_of(id: str) -> int:
    """Which of the distinct episodes that id has."""
    shard, number = map(int, re.fullmatch(r"\w+-(\d+)-(\d+)", id).groups())
    return (shard % public_bridge.ROTATIONS * SAMPLED // public_bridge.ROTATIONS + number) % SAMPLED


def distinct(folder: Path, px: int) -> list[Episode]:
    """The distinct episodes, in frames of so many pixels."""
    source = open_bridge(folder, px)
    return [source.load(f"train-00000-{i:04d}") for i in range(SAMPLED)]


def packed(folder: Path, n: int, output: Path) -> list[Row]:
    """A dataset file of all episodes, without signals; then windows of it, their frames in memory or left in it."""
    path, episodes = output / "dataset.h5", distinct(folder, PX)
    none = [extract(episode, Backends(None, None, None)) for episode in episodes]

    def read(ids: list[str]) -> Iterator[Packet]:
        for id in ids:
            e = episodes[record_of(id)]
            yield Episode(id, e.frames, e.actions, e.observations, e.task), none[record_of(id)]

    ids = list(open_bridge(folder, PX).ids())
    return [took("packing", n, lambda: dataset.pack(path, ids, read))]


def windowed(_: Path, n: int, output: Path, in_memory: bool) -> list[Row]:
    """The dataset file opened, its windows split, and BATCHES batches of them."""

    def work() -> tuple:
        data = dataset.load(output / "dataset.h5", in_memory=in_memory)
        split = dataset.split(data["ep_len"], data["ep_offset"], np.random.default_rng(0))
        frames = Frames.of(data, (), np.unique(windows(split.train)), ActionScale.fit(data["action"]), "cpu")
        for rows in np.random.default_rng(0).integers(len(split.train), size=(BATCHES, BATCH)):
            frames.pixels[torch.from_numpy(windows(split.train[rows]))]
        return frames, split

    return [took(f"windows, frames {'in memory' if in_memory else 'on disk'}", n, work)]


STEPS: dict[str, Callable[[Path, int, Path], list[Row]]] = {
    "index": index, "curated": curated, "packed": packed, "in memory": partial(windowed, in_memory=True),
    "on disk": partial(windowed, in_memory=False)}


def apart(step: str, folder: Path, n: int, output: Path) -> list[Row]:
    """The rows of a step, done in a process of its own."""
    done = subprocess.run([sys.executable, "-m", "benchmarks.public_full", step, str(folder), str(n), str(output)],
                          stdout=subprocess.PIPE, text=True, check=True, cwd=public_bridge.ROOT,
                          env={**os.environ, "PYTHONPATH": str(public_bridge.ROOT)})
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    wanted, data, count, study = sys.argv[1:]
    print(json.dumps(STEPS[wanted](Path(data), int(count), Path(study))), flush=True)
