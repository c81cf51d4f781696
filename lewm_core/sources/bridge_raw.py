"""The raw release of BridgeData, a Source: folders of JPEGs and pickles.

Layout: `<env>/<task>/<NN>/<date>/raw/traj_group<N>/traj<N>/` with `obs_dict.pkl` (`full_state`, 7 numbers an
observation), `policy_out.pkl` (a list of actions, or of dicts with the key `actions`), `images<camera>/im_<t>.jpg`
(480x640) and often `lang.txt`. There is one observation more than actions. In recordings made before 2021-07-23 (the
date is the folder's name) the pictures lag one step behind: the first observation and the last action are dropped.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path

import numpy as np

from lewm_core.sources.bridge_base import STATE_DIM, Recordings, Stored, check_counts, kind, numbers, with_last
from lewm_core.sources.episode import ACTION_DIM
from lewm_core.sources.listing import as_id, as_path, folders, numbered, size
from lewm_core.sources.safe_pickle import load_pickle
from lewm_core.utils.errors import InputError, OnError
from lewm_core.utils.files import ends_of, regular

NO_LATENCY = datetime(2021, 7, 23)  # from then on pictures and states are of the same time
_MOST_TEXT = 100_000  # bytes of a lang.txt
_TRAJECTORY = re.compile("raw/traj_group[0-9]+/traj[0-9]+")


class BridgeRaw(Recordings):
    """Episodes of the raw release, in the order of their folders' names.

    Ids are the folder from `path` on, with `~` for the slashes. Camera N is the folder `images<N>`. `lang.txt` gives
    the instruction: its first line that is neither empty nor a confidence; without it the instruction is empty.
    """

    name, squash = "bridge-raw", True

    def _content(self) -> Iterable[str | bytes]:
        """Each trajectory's folder, the sizes of its two pickles, the number of the camera's pictures, its `lang.txt`.

        No picture is read, so that pictures or numbers which change without changing a size go unnoticed: treat a
        copy of the release as read-only.
        """
        for folder in trajectories(self.root):
            yield self._id(folder)
            yield from (str(size(folder / name)) for name in ("obs_dict.pkl", "policy_out.pkl"))
            yield str(len(_images(folder, self.camera)))
            text = folder / "lang.txt"
            yield ends_of(text, _MOST_TEXT)[0] if text.is_file() else "no text"

    def ids(self, on_error: OnError | None = None) -> Iterator[str]:
        return map(self._id, trajectories(self.root))

    def _id(self, folder: Path) -> str:
        return as_id(folder.relative_to(self.root))

    def _where(self, id: str) -> str:
        return str(self._folder(id))

    def _folder(self, id: str) -> Path:
        path = as_path(id)
        folder = self.root / path
        inside = as_id(path) == id and not path.is_absolute() and ".." not in path.parts
        if not inside or not _TRAJECTORY.fullmatch("/".join(folder.parts[-3:])) or not folder.is_dir():
            raise InputError("episode id", repr(id), f"an episode of {self.root}, such as {next(self.ids(), 'none')}")
        return folder

    def _pictures(self, id: str, camera: int) -> Sequence[Path]:
        return list(_images(self._folder(id), camera).values())

    def _read(self, id: str) -> Stored:
        folder = self._folder(id)
        images = _images(folder, self.camera)
        if not images:
            raise self._no_pictures(id, f"no pictures in images{self.camera}")
        gap = next((t for t in range(len(images)) if t not in images), None)
        if gap is not None:
            raise InputError(folder / f"images{self.camera}", f"no im_{gap}.jpg", f"im_0.jpg to im_{max(images)}.jpg")
        states, actions = _states(folder / "obs_dict.pkl"), _actions(folder / "policy_out.pkl")
        check_counts(folder, len(images), len(states), len(actions))
        pictures = [images[t] for t in range(len(images))]
        if _date(folder) < NO_LATENCY:
            if len(actions) < 2:
                raise InputError(folder, "one action", "at least two, since latency costs one")
            pictures, states, actions = pictures[1:], states[1:], actions[:-1]
        return Stored(pictures, with_last(actions), states, _instruction(folder / "lang.txt"))


def trajectories(root: Path) -> Iterator[Path]:
    """The `raw/traj_group<N>/traj<N>` folders at or below `root`, sorted by name and number, found as asked for.

    What lies in a `raw` folder beside groups, or in a group beside trajectories, is not looked into.
    """
    for folder in folders(root):
        if folder.name == "raw":
            for group in numbered(folder, "traj_group"):
                yield from numbered(group, "traj")


def _states(path: Path) -> np.ndarray:
    """(T, 7) float32 from an episode's `obs_dict.pkl`."""
    content = load_pickle(path)
    if not isinstance(content, dict) or "full_state" not in content:
        raise InputError(path, kind(content), "a dict with full_state")
    return numbers(content["full_state"], STATE_DIM, f"{path}, full_state")


def _actions(path: Path) -> np.ndarray:
    """(T - 1, 7) float32 from an episode's `policy_out.pkl`."""
    content = load_pickle(path)
    if not isinstance(content, list | np.ndarray) or not len(content):
        raise InputError(path, kind(content), "a list of actions")
    if all(isinstance(a, dict) and "actions" in a for a in content):
        content = [a["actions"] for a in content]
    return numbers(content, ACTION_DIM, f"{path}, actions")


def _images(folder: Path, camera: int) -> dict[int, Path]:
    """Step → the camera's JPEG."""
    return {int(p.stem.removeprefix("im_")): p for p in numbered(folder / f"images{camera}", "im_", ".jpg")}


def _date(folder: Path) -> datetime:
    """When the trajectory was recorded, which the folder of `raw` says."""
    name = folder.parents[2].name
    try:
        return datetime.strptime(name, "%Y-%m-%d_%H-%M-%S")
    except ValueError:
        raise InputError(folder, f"a folder {name!r} above raw", "one named by the date, such as 2021-07-23_14-05-59, "
                         "which tells whether pictures lag behind") from None


def _instruction(path: Path) -> str:
    if not path.is_file():
        return ""
    try:
        lines = [line.strip() for line in regular(path, _MOST_TEXT).read_text("utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as e:
        raise InputError(path, str(e), "UTF-8 text") from None
    return next((line for line in lines if line and not line.lower().startswith("confidence")), "")
