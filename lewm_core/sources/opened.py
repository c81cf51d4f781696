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
LOOK = 50_000_000  # bytes that a process adds before it looks again how much is there: that takes long of many files
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
    if _has_room(Path(folder), episode.frames.nbytes):
        arrays = {name: getattr(episode, name) for name in _ARRAYS}
        write_arrays(_file(folder, episode.id, fingerprint), arrays, {"task": episode.task})
    return replace(episode, truth=None, held=None)


def _file(folder: Path, id: str, fingerprint: str) -> Path:
    return Path(folder) / f"{id}-{digest(id, fingerprint)}.npz"


_left: dict[Path, int] = {}  # bytes that this process may add to a folder before it looks again
_full: dict[Path, int] = {}  # when a folder was changed last that was found to be full


def _has_room(folder: Path, size: int) -> bool:
    """Whether so many bytes more are within MOST_BYTES; each process may go beyond them by LOOK at most."""
    if _left.get(folder, 0) < size:
        changed = _changed(folder)
        if _full.get(folder) == changed:
            return False
        room = MOST_BYTES - _size(folder)
        if room < size:
            _full[folder] = changed
            return False
        _left[folder] = min(room, max(LOOK, size))
    _left[folder] -= size
    return True


def _changed(folder: Path) -> int:
    """When a file was last added to a folder or taken away, ns; 0 where there is no such folder."""
    try:
        return folder.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def _size(folder: Path) -> int:
    """Bytes of the files in a folder; another process may take one away meanwhile."""
    try:
        with os.scandir(folder) as entries:
            return sum(entry.stat().st_size for entry in entries)
    except FileNotFoundError:
        return 0
