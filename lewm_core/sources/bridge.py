"""Which of the layouts of BridgeData a folder holds."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from lewm_core.sources.bridge_base import Recordings
from lewm_core.sources.bridge_numpy import BridgeNumpy, numpy_files
from lewm_core.sources.bridge_raw import BridgeRaw, trajectories
from lewm_core.sources.bridge_rlds import Bridge, BridgeOpenX, shard_files
from lewm_core.sources.listing import found_at
from lewm_core.utils.errors import InputError


class Layout(NamedTuple):
    """A form in which BridgeData lies on disk, and how to tell that a folder holds it."""

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
    there = [(layout, layout.there(path)) for layout in LAYOUTS]
    found = [(layout.source, file) for layout, file in there if file is not None]
    if len(found) == 1:
        return found[0][0](path, image_size, camera)
    expected = "one of " + ", ".join(f"{layout.files} ({layout.source.name})" for layout in LAYOUTS)
    if found:
        several = ", ".join(f"{source.name} ({file})" for source, file in found)
        raise InputError(path, f"several layouts: {several}", expected, "Give the folder of one of them.")
    raise InputError(path, found_at(path), expected, "Give the folder of the data or one above it.")
