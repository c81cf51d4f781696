"""Which of the layouts of BridgeData a folder holds."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from lewm_core.sources.bridge_base import Recordings, listed
from lewm_core.sources.bridge_numpy import BridgeNumpy, numpy_files
from lewm_core.sources.bridge_raw import BridgeRaw, trajectories
from lewm_core.sources.bridge_rlds import Bridge, BridgeOpenX, shard_files
from lewm_core.utils.errors import InputError


class Layout(NamedTuple):
    source: type[Recordings]
    files: str  # what a folder in this layout holds
    there: Callable[[Path], object]  # a file of this layout at or below a path, or None


LAYOUTS = [
    Layout(Bridge, "bridge_dataset-*.tfrecord-*", lambda path: next(shard_files(path, Bridge.prefix), None)),
    Layout(BridgeOpenX, "bridge-*.tfrecord-*", lambda path: next(shard_files(path, BridgeOpenX.prefix), None)),
    Layout(BridgeRaw, "…/<date>/raw/traj_group<N>/traj<N>", lambda path: next(trajectories(path), None)),
    Layout(BridgeNumpy, "…/{train,val}/out.npy", lambda path: next(numpy_files(path), None)),
]


def open_bridge(path: str | Path, image_size: int, camera: int = 0) -> Recordings:
    """The episodes at `path` in whichever layout they are; its `name` says which.

    Raises:
        InputError: none or several of LAYOUTS there, or what the layout's class raises.
    """
    path = Path(path).resolve()
    found = {layout: first for layout in LAYOUTS if (first := layout.there(path)) is not None}
    if len(found) == 1:
        return next(iter(found)).source(path, image_size, camera)
    expected = "one of " + ", ".join(f"{layout.files} ({layout.source.name})" for layout in LAYOUTS)
    if found:
        raise InputError(path, "several layouts: " + ", ".join(f"{k.source.name} ({v})" for k, v in found.items()),
                         expected, "Give the folder of one of them.")
    inside = listed(sorted(p.name for p in path.iterdir())) if path.is_dir() else ""
    what = f"a folder with {inside}" if inside else "a file of another name" if path.exists() else "no such folder"
    raise InputError(path, what, expected, "Give the folder of the data or one above it.")
