"""What the layouts of BridgeData on disk share: the way over all episodes and folders, and how pictures become frames.

A layout says which episodes there are (`ids`) and reads one as it is stored (`_read`); all else is here, once.
"""

import os
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from numbers import Integral
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, unquote

import numpy as np

from lewm_core.sources.episode import ACTION_DIM, IMAGE_SIZE, Episode, EpisodeInfo, check_moves
from lewm_core.sources.index import Index
from lewm_core.sources.pictures import Picture, checked_size, constant, decode, resize, shows_something
from lewm_core.utils.errors import InputError, OnError
from lewm_core.utils.files import digest

STATE_DIM = 7
_DEPTH = 8  # folders that are looked into, one in the other
_GROUP = re.compile("traj_group[0-9]+")


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
            for id in self.ids(on_error):
                info = index.known.get(id) if index else None
                try:
                    info = info or self._info(id, index)
                except InputError as error:
                    if on_error is None:
                        raise
                    on_error(id, error)
                else:
                    yield info
        finally:
            if index:
                index.write()

    def _info(self, id: str, index: Index | None) -> EpisodeInfo:
        stored = self._checked(id)
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
        frames, sizes, blank = [], set(), True
        for t, stored_picture in enumerate(stored.pictures):
            picture = decode(stored_picture, f"{where}, frame {t}")
            sizes.add(picture.shape[:2])
            blank = blank and constant(picture)
            frames.append(resize(picture, self.image_size))
        square = all(height == width for height, width in sizes)
        if len(sizes) > 1 or not (self.squash or square):
            found = ", ".join(f"{w}x{h}" for h, w in sorted(sizes))
            raise InputError(where, f"pictures of {found} pixels",
                             "pictures of one size" if self.squash else "square pictures of one size")
        if blank:
            raise self._no_pictures(id, "blank pictures in every frame")
        return Episode(id, np.stack(frames), stored.actions, stored.observations, stored.task)

    def _checked(self, id: str) -> Stored:
        stored = self._read(id)
        check_moves(stored.actions, self._where(id))
        return stored

    def _no_pictures(self, id: str, found: str) -> InputError:
        """The error about a camera that is blank or missing; it names those that are not."""
        seen = [str(c) for c in range(self.cameras) if any(map(shows_something, self._pictures(id, c)))]
        return InputError(f"{self._where(id)}, camera {self.camera}", found, "a camera that was there",
                          f"Cameras with pictures in this episode: {', '.join(seen) or 'none'}.")


def numbers(value: object, columns: int, where: str) -> np.ndarray:
    """`value` as (T, columns) float32; InputError for anything else."""
    try:
        array = np.asarray(value, np.float32)
    except (ValueError, TypeError) as e:
        raise InputError(where, f"a {type(value).__name__} that is no table of numbers ({e})",
                         f"{columns} numbers a step") from None
    if array.ndim != 2 or array.shape[1] != columns:
        raise InputError(where, f"numbers of shape {array.shape}", f"(steps, {columns})")
    return array


def with_last(actions: np.ndarray) -> np.ndarray:
    """(T, 7) from the T - 1 actions between T frames: a row of zeros behind them, as the RLDS release has it."""
    return np.concatenate([actions, np.zeros((1, ACTION_DIM), np.float32)])


def listed(names: Sequence[str], n: int = 5) -> str:
    """The first `n` names, and how many more there are."""
    shown = ", ".join(names[:n]) or "nothing in it"
    return shown + (f" and {len(names) - n} more" if len(names) > n else "")


def found_at(path: Path) -> str:
    """What is at a path, in a few words, for an error."""
    if path.is_dir():
        return f"a folder with {listed(sorted(p.name for p in path.iterdir()))}"
    return "a file of another name" if path.exists() else "no such file or folder"


def number_in(text: str) -> int:
    """The number that an id's last part `0000` … says; -1 where it is written otherwise."""
    number = int(text) if re.fullmatch("[0-9]{4,}", text) else -1
    return number if f"{number:04d}" == text else -1


def folders(root: Path, depth: int = _DEPTH) -> Iterator[Path]:
    """`root` and all folders below it but those among or below `traj_group<N>`, each before what is in it, sorted."""
    yield root
    if depth and root.is_dir():
        names = sorted(e.name for e in _entries(root) if e.is_dir())
        if not any(_GROUP.fullmatch(name) for name in names):
            for name in names:
                yield from folders(root / name, depth - 1)


def numbered(folder: Path, word: str, suffix: str = "") -> list[Path]:
    """The entries `<word><number><suffix>` of a folder, by number; empty where there is no such folder."""
    if not folder.is_dir():
        return []
    pattern = re.compile(re.escape(word) + "([0-9]+)" + re.escape(suffix))
    found = [(int(m[1]), e.name) for e in _entries(folder) if (m := pattern.fullmatch(e.name))]
    return [folder / name for _, name in sorted(found)]


def _entries(folder: Path) -> list[os.DirEntry]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as e:
        raise InputError(folder, f"that it cannot be listed ({e.strerror or e})", "a readable folder") from e


def check_counts(where: object, pictures: int, states: int, actions: int) -> None:
    """InputError unless there is one picture and one state more than actions."""
    if not pictures == states == actions + 1:
        raise InputError(where, f"{pictures} pictures, {states} states and {actions} actions",
                         "as many pictures as states, and one more than actions")


def kind(value: object) -> str:
    """What a pickle holds, in a few words."""
    if isinstance(value, dict):
        return f"a dict with {listed([str(k)[:40] for k in value])}" if value else "an empty dict"
    return f"a {type(value).__name__}" + (f" of {len(value)}" if isinstance(value, list | tuple) else "")


def size(path: Path) -> int:
    """Bytes of a file, -1 where there is none."""
    return path.stat().st_size if path.is_file() else -1


def as_id(path: Path) -> str:
    """A relative path as an id that is safe as a file name: `~` for slashes, %XX for what is not plain."""
    return quote(path.as_posix(), safe="/").replace("~", "%7E").replace("/", "~")


def as_path(id: str) -> Path:
    """The path of which `as_id` made the id."""
    return Path(unquote(id.replace("~", "/")))
