"""What the layouts of BridgeData on disk share: the way over all episodes, an index, and how pictures become frames.

A layout says which episodes there are (`ids`) and reads one as it is stored (`_read`); all else is here, once.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from numbers import Integral
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import simplejpeg

from lewm_core.sources.episode import ACTION_DIM, Episode, EpisodeInfo, check_moves
from lewm_core.utils.errors import InputError

STATE_DIM = 7
_PIECE = 100  # episodes whose metadata are written to the index at a time

OnError = Callable[[str, InputError], None]
Picture = bytes | Path | np.ndarray  # a JPEG or PNG, the file of one, or (H, W, 3) uint8 RGB


class Stored(NamedTuple):
    """An episode as it is stored: T pictures of the camera, (T, 7) actions and (T, d) observations, the instruction."""

    pictures: Sequence[Picture]
    actions: np.ndarray
    observations: np.ndarray
    task: str


class Recordings(ABC):
    """Episodes of one camera in one layout, a Source. Nothing but an index of them is held in memory.

    Args:
        image_size: height and width of the frames; pictures of another size are resized (area average down, bicubic
            up). Pictures of 4:3 are squashed where the layout has such (the 256-px release was made so, too).
        camera: 0 is the fixed camera over the shoulder.

    Raises:
        InputError: a setting out of range.
    """

    name: str
    cameras: int = 4
    squash: bool = False  # whether pictures need not be square

    def __init__(self, image_size: int, camera: int):
        if not isinstance(image_size, Integral) or image_size < 1:
            raise InputError("image_size", repr(image_size), "a whole number of pixels, at least 1")
        if not isinstance(camera, Integral) or camera not in range(self.cameras):
            raise InputError("camera", repr(camera), f"0 to {self.cameras - 1}" if self.cameras > 1 else
                             f"0: {self.name} has one camera")
        self.image_size, self.camera = int(image_size), int(camera)

    @property
    @abstractmethod
    def fingerprint(self) -> str: ...

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
        index = _Index(Path(cache) / f"index_{self.fingerprint}.jsonl") if cache else None
        try:
            for id in self.ids(on_error):
                info = index.known.get(id) if index else None
                if info is None:
                    try:
                        stored = self._checked(id)
                    except InputError as error:
                        if on_error is None:
                            raise
                        on_error(id, error)
                        continue
                    info = EpisodeInfo(id, stored.task, len(stored.pictures))
                    if index:
                        index.add(info)
                yield info
        finally:
            if index:
                index.write()

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
        if len(sizes) > 1 or not self.squash and any(h != w for h, w in sizes):
            raise InputError(where, "pictures of " + ", ".join(f"{w}x{h}" for h, w in sorted(sizes)) + " pixels",
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
        seen = [str(c) for c in range(self.cameras) if any(map(_shows_something, self._pictures(id, c)))]
        return InputError(f"{self._where(id)}, camera {self.camera}", found, "a camera that was there",
                          f"Cameras with pictures in this episode: {', '.join(seen) or 'none'}.")


class _Index:
    """Metadata that were read before, a JSON line each. Whole lines are appended; a torn or foreign one is not used."""

    def __init__(self, path: Path):
        self.path, self.known, self._new = path, {}, []
        for line in path.read_bytes().splitlines() if path.exists() else ():
            try:
                id, task, length = json.loads(line)
            except (ValueError, TypeError):
                continue
            if isinstance(id, str) and isinstance(task, str) and type(length) is int:
                self.known[id] = EpisodeInfo(id, task, length)

    def add(self, info: EpisodeInfo) -> None:
        self._new.append(json.dumps(list(info.__dict__.values())))
        if len(self._new) == _PIECE:
            self.write()

    def write(self) -> None:
        if self._new:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with open(self.path, "ab", buffering=0) as f:  # starts a line of its own, whatever was torn before
                f.write("\n".join(["", *self._new, ""]).encode())
            self._new = []


def decode(picture: Picture, where: str) -> np.ndarray:
    """(H, W, 3) uint8 RGB; InputError for bytes that are no JPEG or PNG, or not all of one."""
    if isinstance(picture, np.ndarray):
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[-1] != 3 or 0 in picture.shape:
            raise InputError(where, f"{picture.dtype} {picture.shape}", "a picture, uint8 (H, W, 3)")
        return np.asarray(picture)
    if isinstance(picture, Path):
        try:
            picture, where = picture.read_bytes(), f"{where}, {picture.name}"
        except OSError as e:
            raise InputError(where, f"that {picture} cannot be read ({e.strerror or e})", "a readable file") from e
    decoded, reason = None, ""
    try:
        if picture.startswith(b"\xff\xd8"):  # not by OpenCV, which fills what is damaged with grey and says nothing
            return simplejpeg.decode_jpeg(picture, "RGB", strict=True)
        if picture.startswith(b"\x89PNG\r\n\x1a\n") and picture.rstrip(b"\0").endswith(b"IEND\xaeB`\x82"):
            decoded = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR)
    except (ValueError, cv2.error) as e:
        reason = f" ({e})"
    if decoded is None:
        raise InputError(where, f"{len(picture)} bytes that do not decode{reason}", "a whole JPEG or PNG picture")
    return cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB)


def resize(picture: np.ndarray, size: int) -> np.ndarray:
    """(size, size, 3) from (H, W, 3): area average where that has more pixels, else bicubic; the same size as it is."""
    height, width = picture.shape[:2]
    if (height, width) == (size, size):
        return picture
    down = height * width > size * size
    return cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA if down else cv2.INTER_CUBIC)


def constant(picture: np.ndarray) -> bool:
    """Whether all pixels are the same colour."""
    return bool((picture == picture[0, 0]).all())


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


def _shows_something(picture: Picture) -> bool:
    try:
        return not constant(decode(picture, ""))
    except InputError:
        return False
