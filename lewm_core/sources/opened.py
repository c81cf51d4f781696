"""Episodes that were opened, kept on disk: none is rendered or decoded twice in a study.

A simulator's truth and signals from a file are not kept: they are large, and the signals have what is needed of them.
"""

import os
from dataclasses import replace
from pathlib import Path

from lewm_core.sources.episode import Episode
from lewm_core.utils.arrays import read_arrays, write_arrays
from lewm_core.utils.files import digest

MOST_BYTES = 5_000_000_000  # in one folder: the paper's 1,000 candidates at 224 px; what comes later is opened anew
_ARRAYS = ("frames", "actions", "observations", "intrinsics")


def read(folder: Path, id: str, fingerprint: str) -> Episode | None:
    """The episode as `write` kept it, bit for bit, without truth; None where it was not kept or is damaged.

    fingerprint: of its source.
    """
    stored = read_arrays(_file(folder, id, fingerprint))
    if stored is None:
        return None
    arrays, notes = stored
    return Episode(id, **{name: arrays.get(name) for name in _ARRAYS}, task=notes["task"])


def write(folder: Path, episode: Episode, fingerprint: str) -> Episode:
    """Keep an episode unless the folder holds MOST_BYTES already; returns it without truth and signals."""
    if _size(folder) + episode.frames.nbytes <= MOST_BYTES:
        arrays = {name: getattr(episode, name) for name in _ARRAYS}
        write_arrays(_file(folder, episode.id, fingerprint), arrays, {"task": episode.task})
    return replace(episode, truth=None, held=None)


def _file(folder: Path, id: str, fingerprint: str) -> Path:
    return Path(folder) / f"{id}-{digest(id, fingerprint)}.npz"


def _size(folder: Path) -> int:
    """Bytes of the files in a folder; another process may take one away meanwhile."""
    try:
        with os.scandir(folder) as entries:
            return sum(entry.stat().st_size for entry in entries)
    except FileNotFoundError:
        return 0
