"""The Episode, the one value that every source yields, and the Source protocol.

Nothing downstream asks where an episode came from. Pixel coordinates are (x, y) = (column, row) with pixel
centres at whole numbers, as in OpenCV; the camera frame is OpenCV's (x right, y down, z forward).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from lewm_core.utils.errors import InputError, OnError

IMAGE_SIZE = 224  # px: height and width of the paper's frames
FPS = 5  # frames a second of BridgeData and of the simulator
ACTIONS = ("x", "y", "z", "roll", "pitch", "yaw", "gripper")  # deltas in m and rad; gripper: 0 closed .. 1 open
ACTION_DIM = len(ACTIONS)

# What an episode of strangers may be at most: more is damage, or fills the memory.
MOST_FRAMES = 20_000
MOST_BYTES = 2**30  # of all its frames together
MOST_STATE = 1000  # numbers of an observation, and of an action
MOST_TEXT = 10_000  # characters of an instruction
MOST_NAME = 200  # bytes of an id, which becomes part of file names


@dataclass(frozen=True)
class EpisodeInfo:
    """What is known of an episode before its frames are decoded or rendered."""

    id: str
    task: str
    length: int  # frames

    def __post_init__(self):
        problems = [*_name_problems(self.id), *_task_problems(self.task)]
        if type(self.length) is not int or not 1 <= self.length <= MOST_FRAMES:
            problems.append(f"a length of {self.length!r}, not 1 to {MOST_FRAMES:,} frames")
        if problems:
            raise InputError(f"episode {self.id}", "; ".join(problems), "what can be kept in files")


@dataclass(frozen=True)
class Truth:
    """What only a simulator knows.

    depth: (T, H, W) float32, metres along the optical axis (z, not ray length).
    mask: (T, H, W) bool, the manipulated object.
    geom: (T, H, W) int16, index into `pose` of the surface seen at each pixel.
    pose: (T, G, 3, 4) float64, camera-from-surface rigid transforms [R | t].
    object: (T, 3) float32, m, where the manipulated object's centre of mass is in the world.
    object_yaw: (T,) float32, rad in -pi..pi, by how much that object is turned about the vertical.
    """

    depth: np.ndarray
    mask: np.ndarray
    geom: np.ndarray
    pose: np.ndarray
    object: np.ndarray
    object_yaw: np.ndarray


@dataclass(frozen=True)
class Held:
    """Signals that an episode's own file holds already.

    arrays: dataset column -> its rows, at these frames' size, flags and masks as bool. made_by: signal -> what made it,
    where the file says so.
    """

    arrays: Mapping[str, np.ndarray]
    made_by: Mapping[str, str]


@dataclass(frozen=True)
class Episode:
    """One manipulation episode.

    id: unique in its source, stable between calls, safe as a file name.
    frames: (T, H, W, 3) uint8 RGB.
    actions: (T, A) float32; actions[t] leads from frame t to frame t + 1, the last one leads nowhere. A is 7 for the
        arms of BridgeData and the simulator, whatever the robot has for data of one's own.
    observations: (T, d) float32, the robot's state at each frame.
    task: the instruction, possibly empty.
    intrinsics: (3, 3) float64 for these frames' size, or None where the camera is unknown.
    truth: from a simulator only.
    held: from a file with signals only.
    """

    id: str
    frames: np.ndarray
    actions: np.ndarray
    observations: np.ndarray
    task: str
    intrinsics: np.ndarray | None = None
    truth: Truth | None = None
    held: Held | None = None

    def __post_init__(self):
        t = len(self.frames)
        problems = []
        if self.frames.dtype != np.uint8 or self.frames.ndim != 4 or self.frames.shape[-1] != 3:
            problems.append(f"frames {self.frames.dtype} {self.frames.shape}, not uint8 (T, H, W, 3)")
        for name, values in (("actions", self.actions), ("observations", self.observations)):
            if values.ndim != 2 or len(values) != t:
                problems.append(f"{name} {values.shape}, not ({t}, d)")
            elif not 1 <= values.shape[1] <= MOST_STATE:
                problems.append(f"{name} of {values.shape[1]} numbers, not 1 to {MOST_STATE:,}")
            if values.dtype.kind != "f":
                problems.append(f"{name} {values.dtype}, not float32")
            elif _infinite(values):
                problems.append(f"infinite {name}")
        problems += [*_name_problems(self.id), *_task_problems(self.task)]
        if problems:
            raise InputError(f"episode {self.id}", "; ".join(problems), "arrays as Episode documents them")


def _infinite(values: np.ndarray) -> bool:
    """Whether any is infinite as a float32, as which it is written."""
    with np.errstate(over="ignore"):
        return bool(np.isinf(values.astype(np.float32, copy=False)).any())


def _name_problems(id: object) -> list[str]:
    if not isinstance(id, str) or id in ("", ".", "..") or set(id) & set("/\\\0") or not _encodes(id):
        return [f"the id {id!r:.200}, which is no safe name of a file"]
    return [f"an id of {len(id.encode())} bytes, not at most {MOST_NAME}"] if len(id.encode()) > MOST_NAME else []


def _task_problems(task: object) -> list[str]:
    if not isinstance(task, str):
        return [f"an instruction that is a {type(task).__name__}"]
    if len(task) > MOST_TEXT:
        return [f"an instruction of {len(task):,} characters, not at most {MOST_TEXT:,}"]
    return [] if "\0" not in task and _encodes(task) else ["an instruction with characters that are no text (NUL or "
                                                           "half of a pair)"]


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def check_length(where: object, frames: int, image_size: int) -> None:
    """InputError for more frames than an episode may have; asked before the first is decoded."""
    if frames > MOST_FRAMES or frames * image_size**2 * 3 > MOST_BYTES:
        raise InputError(where, f"{frames:,} frames", f"at most {MOST_FRAMES:,}, and {MOST_BYTES:,} bytes at "
                         f"{image_size} px")


def check_moves(actions: np.ndarray, where: object) -> None:
    """InputError for actions (T, A) that are zero throughout; of the seven of an arm the gripper's, the last, only has
    to stay what it is.

    For sources of real data, where that is a broken recording. The last action leads nowhere and does not count.
    """
    steps, arm = actions[:-1], actions.shape[1] == ACTION_DIM
    moves = steps[:, :-1].any() or (steps[1:, -1] != steps[:-1, -1]).any() if arm else steps.any()
    if len(steps) and not moves:
        raise InputError(where, f"zero actions in all {len(steps)} steps", "a robot that moves")


def infos_of(ids: Iterable[str], info: Callable[[str], EpisodeInfo], on_error: OnError | None) -> Iterator[EpisodeInfo]:
    """`info` of each episode. Where it raises an InputError, `on_error` is called and the others go on; without
    `on_error` it is raised."""
    for id in ids:
        try:
            found = info(id)
        except InputError as error:
            if on_error is None:
                raise
            on_error(id, error)
        else:
            yield found


class Source(Protocol):
    """A place that episodes come from, read lazily."""

    name: str  # "tabletop", "bridge", …
    fingerprint: str  # changes whenever the episodes it yields would change
    cameras: int  # views that it has of an episode, of which one is yielded
    # held: tuple[str, ...], of the sources in registry.HOLDING: which of depth, tracks and mask its episodes hold

    def infos(self, on_error: OnError | None = None, cache: Path | None = None) -> Iterable[EpisodeInfo]:
        """Every episode's metadata in a stable order, without decoding or rendering frames.

        on_error: called with the id and the error of what cannot be read, which is then left out; else it is raised.
        cache: folder where a source whose metadata take long to read may keep them.
        """

    def load(self, id: str) -> Episode:
        """The episode of that id; InputError if there is none."""
