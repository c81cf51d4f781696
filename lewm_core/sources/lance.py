"""Lance tables as `stable-worldmodel` writes and reads them, through the format's own library (`pylance`).

A row is a frame, the rows of an episode lie one after another: `episode_idx`, `step_idx`, a picture in `pixels` (or
`pixels_<view>`), numbers in `action` and `observation`, a text in `task`; other columns are not read.
"""

from collections.abc import Iterator
from functools import cached_property
from importlib import import_module
from numbers import Integral
from pathlib import Path
from types import ModuleType

import numpy as np

from lewm_core.sources.episode import (
    IMAGE_SIZE,
    MOST_STATE,
    Episode,
    EpisodeInfo,
    check_length,
    check_moves,
    infos_of,
)
from lewm_core.sources.pictures import checked_size, decode, resize
from lewm_core.utils.errors import InputError, OnError, foreign, located
from lewm_core.utils.files import digest, ends_of, regular
from lewm_core.utils.pool import limited

EPISODE, STEP, PIXELS, TASK, ACTION = "episode_idx", "step_idx", "pixels", "task", "action"
OBSERVATION = ("observation", "proprio", "state")  # the first that is there
MOST_ROWS = 200_000_000
_MOST_FILES = 100_000
_READER = "1"  # part of the fingerprint: raise it when the same table comes out as other episodes
_ENDS = 65536  # bytes at either end of a file that enter the fingerprint
_MEMORY = 2_000_000_000  # bytes that loading an episode may take
_ROWS = 64  # frames that are read at a time
_ORIGIN = "Is it a table as stable-worldmodel writes it, whole?"


def tables(path: Path) -> list[Path]:
    """The Lance tables at a path: that folder, or those in it."""
    return [path] if path.suffix == ".lance" else sorted(p for p in path.glob("*.lance") if p.is_dir())


class Lance:
    """Episodes of a Lance table. Ids are `episode-<episode_idx>`; opening reads the schema and the rows' numbers.

    Frames are squeezed to image_size × image_size (area average down, bicubic up). Intrinsics are unknown.

    Args:
        path: a folder `<table>.lance`, or one that holds a single such folder.
        image_size: height and width of the frames.
        camera: a column of pictures, or its place among them, from 0.

    Raises:
        InputError: no such table, or all that its columns lack. Also where pylance is missing.
    """

    name = "lance"

    def __init__(self, path: str | Path, image_size: int = IMAGE_SIZE, camera: int | str = 0):
        self.image_size = checked_size(image_size)
        found = tables(Path(path))
        if len(found) != 1 or not found[0].is_dir():
            raise InputError(path, f"{len(found)} Lance tables" if len(found) != 1 else "no folder", "one: a folder "
                             "that ends in .lance, or the folder that it is alone in")
        self.path = found[0]
        self._files = _files(self.path)
        with limited(memory=_MEMORY), foreign(self.path, _ORIGIN):
            self._table = _library().dataset(str(self.path))
            self._columns(camera)
            self._offset, self._length = self._episodes()

    def _columns(self, camera: int | str) -> None:
        """Which columns are read; an InputError for all that the table lacks."""
        pa = import_module("pyarrow")
        types = {field.name: field.type for field in self._table.schema}
        cameras = [name for name, kind in types.items() if name.split("_")[0] == PIXELS
                   and (pa.types.is_binary(kind) or pa.types.is_large_binary(kind))]
        self.cameras = len(cameras)
        self.camera = cameras[camera] if isinstance(camera, Integral) and 0 <= camera < len(cameras) else camera
        problems = [] if self.camera in cameras else [f"no camera {camera!r} among {', '.join(cameras) or 'none'}"]
        observed = next((name for name in OBSERVATION if name in types), OBSERVATION[0])
        self._numbers = {"actions": ACTION, "observations": observed}
        for name in self._numbers.values():
            size = getattr(types.get(name), "list_size", 0)
            if not 1 <= size <= MOST_STATE or not pa.types.is_floating(types[name].value_type):
                problems.append(f"{name} {types.get(name, 'is missing')}, not 1 to {MOST_STATE:,} numbers a row")
        problems += [f"{name} {types.get(name, 'is missing')}, not whole numbers" for name in (EPISODE, STEP)
                     if name not in types or not pa.types.is_integer(types[name])]
        self._has_task = TASK in types and (pa.types.is_string(types[TASK]) or pa.types.is_large_string(types[TASK]))
        if problems:
            raise InputError(self.path, "; ".join(problems), "the columns that stable-worldmodel writes", _ORIGIN)

    def _episodes(self) -> tuple[dict[str, int], dict[str, int]]:
        """id -> the episode's first row, and how many it has."""
        rows = self._table.count_rows()
        if not 1 <= rows <= MOST_ROWS:
            raise InputError(self.path, f"{rows:,} rows", f"1 to {MOST_ROWS:,}")
        batches = self._table.scanner(columns=[EPISODE]).to_batches()
        numbers = np.concatenate([batch.column(0).to_numpy(zero_copy_only=False) for batch in batches])
        starts = np.flatnonzero(np.r_[True, numbers[1:] != numbers[:-1]])
        ids = [f"episode-{int(numbers[start]):06d}" for start in starts]
        if len(set(ids)) < len(ids) or numbers.min() < 0:
            raise InputError(f"{self.path}, {EPISODE}", "episodes whose rows do not lie together",
                             "the rows of an episode one after another", _ORIGIN)
        lengths = np.diff(np.r_[starts, len(numbers)])
        return (dict(zip(ids, starts.tolist(), strict=True)), dict(zip(ids, lengths.tolist(), strict=True)))

    @cached_property
    def fingerprint(self) -> str:
        """Digest of settings, and of each of the table's files its name, size and both ends."""
        parts = [self.name, str(self.image_size), self.camera, _READER]
        for file in self._files:
            parts += [file.relative_to(self.path).as_posix(), str(file.stat().st_size), *ends_of(file, _ENDS)]
        return digest(*parts)

    def infos(self, on_error: OnError | None = None, cache: object = None) -> Iterator[EpisodeInfo]:
        """Every episode's metadata in the table's order; of an episode only its first text is read."""
        return infos_of(self._length, self._info, on_error)

    def _info(self, id: str) -> EpisodeInfo:
        with foreign(f"{self.path}, {id}", _ORIGIN):
            return EpisodeInfo(id, self._task(id), self._length[id])

    def _task(self, id: str) -> str:
        if not self._has_task:
            return ""
        found = self._table.take([self._offset[id]], columns=[TASK]).column(TASK)[0].as_py()
        return found or ""

    def load(self, id: str) -> Episode:
        """The episode of that id; InputError: unknown id, rows or pictures that are missing or damaged."""
        if id not in self._offset:
            raise InputError("episode id", repr(id), f"an episode of {self.path}, such as {next(iter(self._offset))}")
        where, length = f"{self.path}, {id}", self._length[id]
        check_length(where, length, self.image_size)
        numbers: dict[str, list] = {name: [] for name in (*self._numbers, STEP)}
        frames = np.empty((length, self.image_size, self.image_size, 3), np.uint8)
        with limited(memory=_MEMORY), foreign(where, _ORIGIN):
            scanner = self._table.scanner(columns=[self.camera, STEP, *self._numbers.values()], limit=length,
                                          offset=self._offset[id], batch_size=_ROWS, batch_readahead=1)
            t = 0
            for batch in scanner.to_batches():
                for name, column in {**self._numbers, STEP: STEP}.items():
                    numbers[name] += batch.column(column).to_pylist()
                for cell in batch.column(self.camera):
                    frames[t] = resize(decode(cell.as_py() or b"", f"{where}, frame {t}"), self.image_size)
                    t += 1
            arrays = {name: np.array(numbers[name], np.float32) for name in self._numbers}
        if numbers[STEP] != list(range(length)):
            raise InputError(f"{where}, {STEP}", f"{t} rows that are not numbered 0 to {length - 1}",
                             "the frames in their order", _ORIGIN)
        check_moves(arrays["actions"], where)
        with located(where):
            return Episode(id, frames, arrays["actions"], arrays["observations"], self._task(id))


def _files(table: Path) -> list[Path]:
    """The files of a table, each of which may be opened; a link in it is not followed."""
    found = []
    for file in sorted(table.rglob("*")):
        if file.is_symlink():
            raise InputError(file, "a link", "a file of the table", "Copy the file to where the link is.")
        if not file.is_dir():
            found.append(regular(file))
        if len(found) > _MOST_FILES:
            raise InputError(table, f"more than {_MOST_FILES:,} files", f"at most {_MOST_FILES:,}")
    return found


def _library() -> ModuleType:
    try:
        return import_module("lance")
    except ImportError as error:
        raise InputError("Lance data", f"no lance ({error})", "the package pylance",
                         "pip install -e .[lance]") from None
