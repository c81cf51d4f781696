"""What the layouts of BridgeData on disk share: the way over all episodes and folders, and how pictures become frames.

A layout says which episodes there are (`ids`) and reads one as it is stored (`_read`); all else is here, once.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property, partial
from numbers import Integral
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lewm_core.sources.episode import (
    ACTION_DIM,
    IMAGE_SIZE,
    Episode,
    EpisodeInfo,
    check_length,
    check_moves,
    infos_of,
)
from lewm_core.sources.index import Index
from lewm_core.sources.listing import listed
from lewm_core.sources.pictures import Picture, checked_size, constant, decode, resize, shows_something
from lewm_core.utils.errors import InputError, OnError, foreign, located
from lewm_core.utils.files import digest

STATE_DIM = 7


class Stored(NamedTuple):
    """An episode as it is stored: T pictures of the camera, (T, 7) actions and (T, d) observations, the instruction."""

    pictures: Sequence[Picture]
    actions: np.ndarray
    observations: np.ndarray
    task: str


class Recordings(ABC):
    """Episodes of one camera in one layout, a Source. Nothing but an index of them is held in memory.

    Args:
        path: the folder that holds the files of the layout, or one above it; `bridge.open_bridge` tells the layout.
        image_size: height and width of the frames; pictures of another size are resized (area average down, bicubic
            up). Pictures of 4:3 are squashed where the layout has such (the 256-px release was made so, too).
        camera: 0 is the fixed camera over the shoulder; up to 3 where the layout has four.

    Raises:
        InputError: a setting out of range.
    """

    name: str
    cameras: int = 4
    squash: bool = False  # whether pictures need not be square
    reader: str = "1"  # part of the fingerprint: raise it when the same files come out as other episodes

    def __init__(self, path: str | Path, image_size: int = IMAGE_SIZE, camera: int = 0):
        if not isinstance(camera, Integral) or camera not in range(self.cameras):
            known = f"0 to {self.cameras - 1}" if self.cameras > 1 else f"0: {self.name} has one camera"
            raise InputError("camera", repr(camera), known)
        self.root, self.image_size, self.camera = Path(path).resolve(), checked_size(image_size), int(camera)

    @cached_property
    def fingerprint(self) -> str:
        """Digest of the settings and of `_content`; folders and dates do not enter, so that data may be moved."""
        return digest(self.reader, str(self.image_size), str(self.camera), *self._content())

    @abstractmethod
    def _content(self) -> Iterable[str | bytes]:
        """What tells the stored episodes from any others without reading them all."""

    @abstractmethod
    def ids(self, on_error: OnError | None = None) -> Iterator[str]:
        """Every episode's id in a stable order, from names and headers alone.

        What is wrong with a whole file goes to `on_error` with the file's id; without `on_error` it is raised.
        """

    @abstractmethod
    def _read(self, id: str) -> Stored:
        """The stored episode, its shapes checked and its pictures not decoded; InputError says what is wrong."""

    @abstractmethod
    def _where(self, id: str) -> str:
        """File and place of the episode, for errors; InputError for an unknown id."""

    @abstractmethod
    def _pictures(self, id: str, camera: int) -> Sequence[Picture]:
        """The episode's pictures of any camera, empty where it has none."""

    def infos(self, on_error: OnError | None = None, cache: Path | None = None) -> Iterator[EpisodeInfo]:
        """Every episode's metadata, one after another, without decoding pictures; what is stored is verified.

        The first fault raises. With `on_error`, it is called instead with the episode's id, or the file's where a file
        or the rest of it is lost, and the error; the iteration goes on with the next episode or file.

        Args:
            cache: folder of an index, to which what was read is added every hundred episodes; a later call reads only
                what is not in it. Bad episodes are never in it: they are read again.
        """
        index = Index(Path(cache) / f"index_{self.fingerprint}.jsonl") if cache else None
        try:
            yield from infos_of(self.ids(on_error), partial(self._info, index=index), on_error)
        finally:
            if index:
                index.write()

    def _info(self, id: str, index: Index | None) -> EpisodeInfo:
        if index and id in index.known:
            return index.known[id]
        stored = self._checked(id)
        with located(self._where(id)):
            info = EpisodeInfo(id, stored.task, len(stored.pictures))
        if index:
            index.add(info)
        return info

    def load(self, id: str) -> Episode:
        """The episode of that id: frames (T, image_size, image_size, 3) uint8 RGB, actions (T, 7), observations (T, d).

        NaN actions are kept (whoever uses them replaces and counts them); intrinsics are unknown.

        Raises:
            InputError: unknown id, damaged or incomplete data, actions that are zero throughout, pictures that cannot
                be decoded, are of several sizes or constant in every frame (a camera that was not there).
        """
        stored, where = self._checked(id), f"{self._where(id)}, camera {self.camera}"
        frames = np.empty((len(stored.pictures), self.image_size, self.image_size, 3), np.uint8)
        sizes, blank = set(), True
        with foreign(where):
            for t, stored_picture in enumerate(stored.pictures):
                picture = decode(stored_picture, f"{where}, frame {t}")
                sizes.add(picture.shape[:2])
                blank = blank and constant(picture)
                frames[t] = resize(picture, self.image_size)
        square = all(height == width for height, width in sizes)
        if len(sizes) > 1 or not (self.squash or square):
            found = ", ".join(f"{w}x{h}" for h, w in sorted(sizes))
            raise InputError(where, f"pictures of {found} pixels",
                             "pictures of one size" if self.squash else "square pictures of one size")
        if blank:
            raise self._no_pictures(id, "blank pictures in every frame")
        with located(where):
            return Episode(id, frames, stored.actions, stored.observations, stored.task)

    def _checked(self, id: str) -> Stored:
        where = self._where(id)
        with foreign(where):
            stored = self._read(id)
            check_length(where, len(stored.pictures), self.image_size)
            check_moves(stored.actions, where)
        return stored

    def _no_pictures(self, id: str, found: str) -> InputError:
        """The error about a camera that is blank or missing; it names those that are not."""
        seen = [str(c) for c in range(self.cameras) if any(map(shows_something, self._pictures(id, c)))]
        return InputError(f"{self._where(id)}, camera {self.camera}", found, "a camera that was there",
                          f"Cameras with pictures in this episode: {', '.join(seen) or 'none'}.")


def numbers(value: object, columns: int, where: str) -> np.ndarray:
    """`value`, rows of numbers, as (T, columns) float32; InputError for anything else."""
    if isinstance(value, np.ndarray) and value.dtype.kind == "O":
        value = list(value) if value.ndim == 1 else value.tolist()
    if isinstance(value, list | tuple):  # NumPy would take any nesting of lists, and expand it
        wrong = next((row for row in value if not _is_row(row, columns)), None)
        if wrong is not None or not len(value):
            found = f"no table of numbers (a row is {kind(wrong)})" if len(value) else "no rows"
            raise InputError(where, found, f"{columns} numbers a step")
    elif not isinstance(value, np.ndarray) or value.dtype.kind not in "biuf":
        raise InputError(where, f"a {type(value).__name__} that is no table of numbers", f"{columns} numbers a step")
    with np.errstate(over="ignore"):  # what is too large becomes infinite, which no episode may be
        array = np.asarray(value, np.float32)
    if array.ndim != 2 or array.shape[1] != columns:
        raise InputError(where, f"numbers of shape {array.shape}", f"(steps, {columns})")
    return array


def _is_row(row: object, columns: int) -> bool:
    if isinstance(row, np.ndarray):
        return row.shape == (columns,) and row.dtype.kind in "biuf"
    return isinstance(row, list | tuple) and len(row) == columns and all(
        isinstance(n, float | np.floating | np.integer | np.bool_) or isinstance(n, int) and n.bit_length() <= 64
        for n in row)


def with_last(actions: np.ndarray) -> np.ndarray:
    """(T, 7) from the T - 1 actions between T frames: a row of zeros behind them, as the RLDS release has it."""
    return np.concatenate([actions, np.zeros((1, ACTION_DIM), np.float32)])


def check_counts(where: object, pictures: int, states: int, actions: int) -> None:
    """InputError unless there is one picture and one state more than actions."""
    if not pictures == states == actions + 1:
        raise InputError(where, f"{pictures} pictures, {states} states and {actions} actions",
                         "as many pictures as states, and one more than actions")


def kind(value: object) -> str:
    """What a pickle holds, in a few words."""
    if isinstance(value, dict):
        return f"a dict with {listed([str(k)[:40] for k in value])}" if value else "an empty dict"
    if isinstance(value, np.ndarray):
        return f"an array {value.dtype} {value.shape}"
    return f"a {type(value).__name__}" + (f" of {len(value)}" if isinstance(value, list | tuple) else "")
