"""The numpy form of BridgeData's raw release, a Source: one file of pickled episodes a task.

Layout: `<task>/<NN>/{train,val}/out.npy`, as the public `bridgedata_raw_to_numpy.py` makes it: a row of dicts with
`observations`, `next_observations` (dicts with `state` and a picture for each camera, 128x128) and `actions`. The
latency rule of the raw release has been applied in it. It has no instructions: the task's folder says what is done.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from lewm_core.sources.bridge_base import STATE_DIM, Recordings, Stored, check_counts, kind, numbers, with_last
from lewm_core.sources.episode import ACTION_DIM, IMAGE_SIZE
from lewm_core.sources.listing import as_id, folders, listed, number_in, size
from lewm_core.sources.safe_pickle import npy_count, npy_objects
from lewm_core.utils.errors import InputError, OnError


class BridgeNumpy(Recordings):
    """Episodes of `out.npy` files, in the order of their folders' names. Ids are `<folder from path on>~<number>`.

    A file is a single pickle, so that one whole file is in memory at a time, and is read again for each change to
    another file: episodes are best loaded in the order of their ids.
    """

    name = "bridge-numpy"

    def __init__(self, path: str | Path, image_size: int = IMAGE_SIZE, camera: int = 0):
        super().__init__(path, image_size, camera)
        self._files = {as_id(f.parent.relative_to(self.root)): f for f in numpy_files(self.root)}
        self._held: tuple[str, list | InputError] = ("", [])  # the file read last: its name and content, or its fault

    def _content(self) -> Iterable[str]:
        """Every file's folder and size. Content that changes without changing a size goes unnoticed: treat the files
        as read-only.
        """
        return (f"{id} {size(file)}" for id, file in self._files.items())

    def ids(self, on_error: OnError | None = None) -> Iterator[str]:
        for name, file in self._files.items():
            try:
                count = npy_count(file)
            except InputError as error:
                if on_error is None:
                    raise
                on_error(name, error)
            else:
                yield from (f"{name}~{number:04d}" for number in range(count))

    def _find(self, id: str) -> tuple[Path, int]:
        name, _, number = id.rpartition("~")
        if name not in self._files or number_in(number) < 0:
            raise InputError("episode id", repr(id), f"an episode of {listed(list(self._files))}, such as "
                             f"{next(iter(self._files))}~0000")
        return self._files[name], int(number)

    def _where(self, id: str) -> str:
        return "{}, episode {}".format(*self._find(id))

    def _trajectory(self, id: str) -> object:
        file, number = self._find(id)
        if self._held[0] != str(file):
            self._held = "", []  # before the next is read
            try:
                self._held = str(file), npy_objects(file)
            except InputError as error:
                self._held = str(file), error
        content = self._held[1]
        if isinstance(content, InputError):
            raise content
        if number >= len(content):
            raise InputError("episode id", repr(id), f"a number below {len(content)}")
        return content[number]

    def _steps(self, id: str) -> tuple[list[dict], object]:
        """The observations, one more than the actions, and the actions."""
        trajectory, where = self._trajectory(id), self._where(id)
        keys = ("observations", "next_observations", "actions")
        if not isinstance(trajectory, dict) or any(not isinstance(trajectory.get(k), list | np.ndarray) for k in keys):
            raise InputError(where, kind(trajectory), "a dict with lists of " + ", ".join(keys))
        now, after, actions = (trajectory[k] for k in keys)
        if not len(actions) or not len(after) == len(now) == len(actions):
            raise InputError(where, f"{len(now)} observations, {len(after)} next ones and {len(actions)} actions",
                             "as many of each, at least one")
        steps = [*now, after[-1]]
        for step in steps:
            if not isinstance(step, dict) or "state" not in step:
                raise InputError(where, f"an observation that is {kind(step)}", "dicts with state and images<camera>")
        return steps, actions

    def _pictures(self, id: str, camera: int) -> Sequence[np.ndarray]:
        return [step[f"images{camera}"] for step in self._steps(id)[0] if f"images{camera}" in step]

    def _read(self, id: str) -> Stored:
        (steps, actions), where = self._steps(id), self._where(id)
        pictures = self._pictures(id, self.camera)
        if not pictures:
            raise self._no_pictures(id, f"no images{self.camera}")
        states = numbers([step["state"] for step in steps], STATE_DIM, f"{where}, state")
        actions = numbers(actions, ACTION_DIM, f"{where}, actions")
        check_counts(where, len(pictures), len(states), len(actions))
        return Stored(pictures, with_last(actions), states, self._task(id))

    def _task(self, id: str) -> str:
        """`put_carrot_on_plate` of `…/put_carrot_on_plate/00/train`, as words; empty where no folder says it."""
        names = [n for n in self._find(id)[0].parent.relative_to(self.root).parts[:-1] if not n.isdigit()]
        return names[-1].replace("_", " ") if names else ""


def numpy_files(root: Path) -> Iterator[Path]:
    """The `train/out.npy` and `val/out.npy` files below `root`, sorted by folder."""
    for folder in folders(root):
        if folder.name in ("train", "val") and (folder / "out.npy").is_file():
            yield folder / "out.npy"
