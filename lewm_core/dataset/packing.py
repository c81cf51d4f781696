"""Writing dataset files: episode after episode, under a temporary name, renamed when complete and valid.

Layout, by benchmarks/bench_dataset.py (224 px tabletop frames, random windows of 4, a CPU-second of a shared core):

    column  codec      frames a chunk  bytes/frame  windows/CPU-s
    pixels  none                    1       150619           8418
    pixels  none                   16       163313           3418
    pixels  blosc-lz4               1        64374           3513
    pixels  blosc-zstd              1        34085           1776
    pixels  gzip-4                  1        34119            723
    mask    none                    1        50255          32352
    mask    gzip-1                  1          611          15665
    action  none                    1           95         109190
    action  none                  128           63         203250

So one frame is one chunk: a random window reads what it needs. Pixels stay uncompressed: of 250 real BridgeData frames
blosc-lz4 leaves 99 % of the bytes, blosc-zstd 85 % and gzip-4 82 %, at a quarter or less of the speed, and Blosc is
not in every HDF5. Masks are almost nothing once compressed, with gzip, which is. Small entries share chunks of
CHUNK_BYTES. 3,000 frames at 224 px with all signals make 0.52 GB; packing them leaves the process's peak memory
(0.24 GB) where rendering had put it. From 10 to 1,000 episodes of 64 px the time is linear (about 250 frames/s, cores
shared) and the peak goes from 0.12 to 0.15 GB.
"""

import io
import json
import shutil
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import h5py
import numpy as np

from lewm_core.dataset import seal
from lewm_core.dataset.contract import COLUMNS, NO_FOREGROUND, Column, frame_columns
from lewm_core.dataset.data import digests_in
from lewm_core.dataset.violations import validate
from lewm_core.signals import cache
from lewm_core.signals.extraction import ARRAYS, Packet, Signals
from lewm_core.sources.episode import Episode
from lewm_core.utils.errors import InputError
from lewm_core.utils.files import digest, full_disk_named, replacing
from lewm_core.utils.provenance import code_digest

CHUNK_BYTES = 8192
COMPRESSION = {"mask": {"compression": "gzip", "compression_opts": 1}}
TEXT = {"episode_id", "task"}
_OF_EPISODE = ("frames", "actions", "observations", "task")  # what a part holds besides the signals


class Unfit(InputError):
    """An episode that cannot be written beside the others."""

    @property
    def episode(self) -> str:
        return self.where.rpartition(", episode ")[2]


def write(path: str | Path, items: Iterable[Packet], **attributes: object) -> None:
    """Write episodes and their signals, one at a time, to `path`; validated before it takes that name.

    Signals that are missing leave their column out; why is kept in the attribute `missing`. `attributes` (JSON
    values) say how the file was made. InputError, and no file, for no episodes, or one that differs from the others in
    its signals or their shapes.
    """
    with replacing(path) as temporary:
        with Opened(temporary) as opened, h5py.File(opened, "w") as f:
            made_by, missing, biased = _write_episodes(f, opened.while_whole(items), path)
            if not len(f):
                raise InputError(path, "no episodes to write", "at least one", "Check the selection.")
            if "tracks_fg" in f and not biased:  # all of them fell back to the uniform grid: that is condition D
                del f["tracks_fg"], f["visible_fg"]
                made_by.pop("tracks_fg", None)
                missing["tracks_fg"] = NO_FOREGROUND
            f.attrs["made"] = json.dumps({**attributes, "made_by": made_by, "missing": missing}, sort_keys=True)
            f.flush()
            opened.check()
            seal.write(f, [*digests_in(path, f)])
        if problems := validate(temporary):
            raise InputError(path, "; ".join(problems), "a dataset that keeps the contract", "Nothing was written.")


class Opened(io.FileIO):
    """A file to which HDF5 may write on a full disk: its library crashes on a failed write, so that it sees none. What
    failed is raised at the latest when the file is closed."""

    def __init__(self, path: Path):
        super().__init__(path, "w+b")
        self.failed: OSError | None = None

    def write(self, data) -> int:
        left = memoryview(data)
        while len(left) and self.failed is None:
            try:
                left = left[super().write(left) :]
            except OSError as error:
                self.failed = error
        return len(data)

    def truncate(self, size: int | None = None) -> int:
        try:
            return super().truncate(size)
        except OSError as error:
            self.failed = self.failed or error
            return size or 0

    def check(self) -> None:
        """Raise what failed."""
        if self.failed is not None:
            raise self.failed

    def while_whole(self, items: Iterable[Packet]) -> Iterator[Packet]:
        for item in items:
            yield item
            self.check()

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        self.check()


def _write_episodes(f: h5py.File, items: Iterable[Packet], path: str | Path,
                    ) -> tuple[dict[str, str], dict[str, str], bool]:
    """Write all columns; returns what made each signal, why others are missing, and whether any queries are biased."""
    lengths: list[int] = []
    made_by, missing, biased, first = {}, {}, False, ""
    for episode, signals in items:
        first = first or episode.id
        _write_episode(f, episode, signals, first, f"{path}, episode {episode.id}")
        lengths.append(len(episode.frames))
        made_by |= signals.made_by
        missing |= signals.missing
        biased |= signals.biased
    if lengths:
        f["ep_len"] = np.array(lengths, np.int64)
        f["ep_offset"] = np.cumsum([0, *lengths[:-1]], dtype=np.int64)
    return made_by, missing, biased


def _write_episode(f: h5py.File, episode: Episode, signals: Signals, first: str, where: str) -> None:
    """Append an episode's rows. InputError where its columns or their shapes are not those of the `first` one."""
    found = {column.name: _rows(column, episode, signals) for column in frame_columns()}
    rows = {name: value for name, value in found.items() if value is not None}
    if len(f) and set(rows) != set(f) - TEXT:
        raise Unfit(where, f"columns {sorted(rows)}", f"those of {first}, {sorted(set(f) - TEXT)}")
    for name, value in rows.items():
        if name in f and f[name].shape[1:] != value.shape[1:]:
            raise Unfit(where, f"{name} of {value.shape[1:]} a frame", f"{f[name].shape[1:]} as in {first}")
        append(f, name, np.ascontiguousarray(value, dtype=COLUMNS[name].dtype))
    for name, text in (("episode_id", episode.id), ("task", episode.task)):
        try:
            append(f, name, np.full(len(episode.frames), text, object))
        except ValueError as error:  # what no HDF5 text holds
            raise Unfit(where, f"{name} {text!r:.200} ({error})", "a text") from None


def _rows(column: Column, episode: Episode, signals: Signals) -> np.ndarray | None:
    """A column's rows for an episode; what its own file says goes before what follows from other columns."""
    said = getattr(signals, column.name, None) if column.source is not None else None
    return column.of(episode, signals) if said is None else said


def append(f: h5py.File, name: str, value: np.ndarray) -> None:
    """Add rows to a column, which is made with the first."""
    if name in f:
        column = f[name]
    else:
        text = COLUMNS[name].dtype == "str"
        a_row = 16 if text else max(1, value[0].nbytes)
        column = f.create_dataset(name, shape=(0, *value.shape[1:]), maxshape=(None, *value.shape[1:]),
                                  dtype=h5py.string_dtype() if text else value.dtype,
                                  chunks=(max(1, CHUNK_BYTES // a_row), *value.shape[1:]), **COMPRESSION.get(name, {}))
    column.resize(len(column) + len(value), axis=0)
    column[-len(value) :] = value


def pack(path: str | Path, ids: Iterable[str], read: Callable[[list[str]], Iterable[Packet]],
         **attributes: object) -> None:
    """`write` that outlives an interruption, even a power cut: the same call goes on where it stopped.

    Each episode is first kept as a part, a file of its own in a hidden folder beside `path`, which appears whole or not
    at all; when all are there they are written to `path`, and the folder goes. So while it works there are two copies
    on disk. Parts that were made with other attributes or other code are discarded, with a warning. An error leaves
    the parts, but for that of an episode that cannot be written beside the others (`Unfit`).

    Args:
        ids: of the episodes, in their order in the file.
        read: gives the packets of the ids it is called with, which are those that have no part yet.
    """
    path, ids = Path(path), list(ids)
    made_by = digest(json.dumps(attributes, sort_keys=True), code_digest())
    folder = path.with_name(f".{path.name}.{made_by}.parts")
    for other in set(path.parent.glob(f".{path.name}.*.parts")) - {folder}:
        warnings.warn(f"Discarded {len(list(other.iterdir()))} episodes of an interrupted packing of {path.name}: "
                      "it had other settings or other code.", stacklevel=2)
        shutil.rmtree(other)
    with full_disk_named(folder):
        folder.mkdir(parents=True, exist_ok=True)
    left = [id for id in ids if not (folder / f"{id}.npz").exists()]
    for episode, signals in read(left):
        arrays = {name: getattr(episode, name) for name in _OF_EPISODE} | {n: getattr(signals, n) for n in ARRAYS}
        cache.write(folder / f"{episode.id}.npz", arrays, signals.made_by, signals.missing)
    try:
        write(path, _parts(folder, ids, read), **attributes)
    except Unfit as error:  # the others are good, whatever becomes of this one
        (folder / f"{error.episode}.npz").unlink(missing_ok=True)
        raise
    shutil.rmtree(folder)


def _parts(folder: Path, ids: list[str], read: Callable[[list[str]], Iterable[Packet]]) -> Iterator[Packet]:
    for id in ids:
        stored = cache.read(folder / f"{id}.npz", (*_OF_EPISODE, *ARRAYS))
        if stored is None:  # damaged: a part whose data did not reach the disk before a power cut
            yield from read([id])
            continue
        frames, actions, observations, task = (stored.pop(name) for name in _OF_EPISODE)
        yield Episode(id, frames, actions, observations, str(task)), Signals(episode=id, **stored)
