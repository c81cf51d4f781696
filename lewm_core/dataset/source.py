"""A dataset file as a Source: any file that keeps the contract goes through the study as other recordings do.

The file's structure is checked when it is opened, the values of an episode when it is loaded, so that damage costs the
episodes that it hits. Signals in the file come with the episode (`Episode.held`); whether they are used or made anew,
the backends say.

Unlike other sources this one lies above the signals, beside the contract that it reads; `sources.registry` knows it by
name only.
"""

from collections.abc import Iterator
from functools import cached_property, partial
from pathlib import Path
from urllib.parse import quote

import cv2
import h5py
import numpy as np

from lewm_core.dataset import seal, trial
from lewm_core.dataset.contract import COLUMNS, frame_columns, made
from lewm_core.dataset.data import digests_in
from lewm_core.dataset.pieces import Damaged, pieces, texts
from lewm_core.dataset.violations import not_finite
from lewm_core.signals.held import KINDS, MARKS
from lewm_core.sources.episode import IMAGE_SIZE, Episode, EpisodeInfo, Held, check_length, infos_of
from lewm_core.sources.pictures import resize
from lewm_core.utils.errors import InputError, OnError, located
from lewm_core.utils.files import digest, ends_of, regular
from lewm_core.utils.pool import limited
from lewm_core.utils.sealed import file_sum

OWN_SIZE = 0  # an image_size: the frames as they are
FLAGS = ("mask", *MARKS.values())
_SIGNALS = [c for c in frame_columns() if c.name not in ("pixels", "action", "observation")]
_POINTS = ("tracks", "tracks_fg")  # in px
_READER = "1"  # part of the fingerprint: raise it when the same file comes out as other episodes
_ENDS = 65536  # bytes at either end that enter the fingerprint of a file too large to be read for it
_MEMORY = 2_000_000_000  # bytes that loading an episode may take
_REMEDY = "Copy or make the file again."


class HDF5:
    """The episodes of a dataset file. Ids are its episode_id (%XX for what no file name may have) where each episode
    has its own, else `episode-<number>`.

    Frames are squeezed to image_size × image_size (area average down, bicubic up), and masks and points with them;
    `OWN_SIZE` leaves them as they are. Grey becomes RGB. Intrinsics are unknown. held: which of depth, tracks and mask
    the file has.

    Raises:
        InputError: a file that cannot be read, or every violation of the contract in its structure; another camera than
            0, since a file has one.
    """

    name, cameras = "hdf5", 1

    def __init__(self, path: str | Path, image_size: int = IMAGE_SIZE, camera: int | str = 0):
        if camera != 0:
            raise InputError(f"camera of {path}", repr(camera), "0: a dataset file has one camera")
        self.path, self.image_size = regular(path), image_size
        found = trial.structure(path)
        if found.problems:
            raise InputError(path, "; ".join(found.problems), "a dataset that keeps the contract",
                             f"What is in it: python -m lewm_core inspect {path}")
        self._length, self._offset = found.lengths, np.cumsum(found.lengths) - found.lengths
        self._columns = tuple(found.rows)
        self.held = tuple(kind for kind in KINDS if kind in found.rows)
        with h5py.File(self.path, "r") as f:
            self._sealed, self._made_by = seal.read(path, f), made(f).get("made_by", {})

    @cached_property
    def fingerprint(self) -> str:
        """Digest of settings and content; of a file that is too large for that, of size, date and both ends."""
        found = self.path.stat()
        content = file_sum(self.path)
        parts = [content] if content else [str(found.st_size), str(found.st_mtime_ns), *ends_of(self.path, _ENDS)]
        return digest(self.name, str(self.image_size), _READER, *parts)

    @cached_property
    def _ids(self) -> dict[str, int]:
        """id -> number of the episode."""
        if "episode_id" in self._columns:
            with h5py.File(self.path, "r") as f:
                ids = [quote(id, safe=" +,=@()[]", errors="replace") for id in self._texts(f, "episode_id")]
            if len(set(ids)) == len(ids) and not {"", ".", ".."} & set(ids):
                return {id: i for i, id in enumerate(ids)}
        return {f"episode-{i:06d}": i for i in range(len(self._length))}

    def _texts(self, f: h5py.File, name: str, chosen: slice = slice(None)) -> np.ndarray:
        try:
            return texts(f[name], self._offset[chosen])
        except Damaged as damage:
            raise InputError(f"{self.path}, column {name}", f"a text that cannot be read at frame {damage.frame} "
                             f"({damage.reason})", "an undamaged file", _REMEDY) from None

    def infos(self, on_error: OnError | None = None, cache: object = None) -> Iterator[EpisodeInfo]:
        """Every episode's metadata in the file's order; nothing is worth keeping in `cache`."""
        with h5py.File(self.path, "r") as f:
            yield from infos_of(self._ids, partial(self._info, f), on_error)

    def _info(self, f: h5py.File, id: str) -> EpisodeInfo:
        i = self._ids[id]
        return EpisodeInfo(id, self._task(f, i), int(self._length[i]))

    def _task(self, f: h5py.File, i: int) -> str:
        return str(self._texts(f, "task", slice(i, i + 1))[0]) if "task" in self._columns else ""

    def load(self, id: str) -> Episode:
        """The episode of that id with the signals that the file has of it.

        InputError: unknown id, rows that cannot be read or break the contract, an episode that is not what was written
        where the file is sealed.
        """
        if id not in self._ids:
            raise InputError("episode id", repr(id), f"an episode of {self.path}, such as {next(iter(self._ids))}")
        i, where = self._ids[id], f"{self.path}, episode {id}"
        with limited(memory=_MEMORY), h5py.File(self.path, "r") as f:
            check_length(where, int(self._length[i]), max(f["pixels"].shape[1:3]))
            self._check_seal(f, i)
            own = {name: self._rows(f, name, i, where) for name in ("pixels", "action", "observation")}
            signals = {c.name: self._rows(f, c.name, i, where) for c in _SIGNALS if c.name in self._columns}
            task = self._task(f, i)
        for name, rows in (own | signals).items():
            _check_finite(name, rows, signals, where)
        frames, signals = own["pixels"], {n: rows.astype(bool) if n in FLAGS else rows for n, rows in signals.items()}
        if frames.shape[-1] == 1:
            frames = np.repeat(frames, 3, axis=-1)
        if self.image_size != OWN_SIZE and frames.shape[1:3] != (self.image_size, self.image_size):
            frames, signals = _squeezed(frames, signals, self.image_size)
        with located(where):
            return Episode(id, frames, own["action"], own["observation"], task,
                           held=Held(signals, dict(self._made_by)))

    def _check_seal(self, f: h5py.File, i: int) -> None:
        """Damaged where an episode of a sealed file is not what was written."""
        if self._sealed:
            alone = {name: f[name] for name in self._columns}
            alone |= {"ep_len": self._length[i : i + 1], "ep_offset": self._offset[i : i + 1]}
            seal.check(self.path, self._sealed, [*digests_in(self.path, alone)], i)

    def _rows(self, f: h5py.File, name: str, i: int, where: str) -> np.ndarray:
        """An episode's rows of a column, in the column's own type."""
        start, stop = int(self._offset[i]), int(self._offset[i] + self._length[i])
        found = np.empty((stop - start, *f[name].shape[1:]), COLUMNS[name].dtype)
        try:
            for first, part in pieces(f[name], start, stop):
                if name == "pixels" and part.dtype != np.uint8 and (part.min() < 0 or part.max() > 255):
                    raise InputError(f"{where}, pixels", f"values outside 0 to 255 in frames {first} on", "bytes")
                with np.errstate(over="ignore"):
                    found[first - start : first - start + len(part)] = part
        except Damaged as damage:
            raise InputError(f"{where}, column {name}", f"data that cannot be read at frame {damage.frame} "
                             f"({damage.reason})", "an undamaged file", _REMEDY) from None
        return found


def _check_finite(name: str, rows: np.ndarray, signals: dict[str, np.ndarray], where: str) -> None:
    column = COLUMNS[name]
    if column.finite is not None:
        bad = not_finite(rows, column, signals.get(column.finite))
        if bad.any():
            raise InputError(f"{where}, column {name}", f"{rows[tuple(np.argwhere(bad)[0])]} in its frame "
                             f"{int(np.argwhere(bad)[0][0])}", "finite numbers wherever the contract asks for them")


def _squeezed(frames: np.ndarray, signals: dict[str, np.ndarray], size: int) -> tuple[np.ndarray, dict]:
    """Frames (T, H, W, 3) and what is measured on them at size × size. Depth is on its own grid already."""
    height, width = frames.shape[1:3]
    scale = np.array([size / width, size / height], np.float32)
    small = dict(signals)
    for name in set(_POINTS) & signals.keys():
        small[name] = (signals[name] + 0.5) * scale - 0.5  # pixel centres are at whole numbers
    if "mask" in signals:
        how = cv2.INTER_AREA if height * width > size * size else cv2.INTER_LINEAR
        small["mask"] = np.stack([cv2.resize(m.astype(np.float32), (size, size), interpolation=how) > 0.5
                                  for m in signals["mask"]])
    return np.stack([resize(frame, size) for frame in frames]), small
