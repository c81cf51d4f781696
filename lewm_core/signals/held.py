"""The backend `file`: signals that the episodes' own file holds already, taken as they are.

It is no function of the frames as the others are: the file has depth on the supervision grid, and tracks of queries
that were made with them. So `extraction.extract` asks `taken` instead.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from lewm_core.sources.episode import Episode
from lewm_core.utils.errors import InputError

FILE = "file"
KINDS = ("depth", "tracks", "mask")  # what backends make
MARKS = {"tracks": "visible", "tracks_fg": "visible_fg", "centroid": "centroid_valid", "shape": "shape_valid"}
IN_SPACE = ("centroid", "shape")  # follow from depth and mask
FREE = ("object", "gripper")  # follow from no other signal


def backend(episode: Episode, *queries: np.ndarray) -> np.ndarray:
    """The row of the registries; it is never called."""
    raise InputError(f"episode {episode.id}", "signals that are to be made from frames by the backend file",
                     "another backend")


backend.relative = True  # a file that does not say what made its depth says nothing of its unit either


class Taken(NamedTuple):
    """arrays: column -> rows. made_by: signal -> what made it. missing: signal -> why the file does not have it."""

    arrays: dict[str, np.ndarray]
    made_by: dict[str, str]
    missing: dict[str, str]


def taken(episode: Episode, backends: Mapping[str, str]) -> Taken:
    """What is used of the signals in an episode's file, where `backends` (signal -> name) say so.

    Depth, tracks and mask where their backend is `file`; with tracks the biased ones, which belong to them. Centroid
    and shape, unless another backend makes anew what they follow from. Where the object and the gripper are, always.
    InputError where a signal that is to be taken is not there.
    """
    held = episode.held.arrays if episode.held else {}
    wanted = [kind for kind in KINDS if backends.get(kind) == FILE]
    if lacking := [kind for kind in wanted if kind not in held]:
        raise InputError(f"episode {episode.id}", f"no {', '.join(lacking)} beside its frames",
                         "a file that holds these signals", "Choose another backend, such as classical.")
    missing = {}
    if "tracks" in wanted:
        wanted.append("tracks_fg")
        if "tracks_fg" not in held:
            missing["tracks_fg"] = "The file has tracks, but no column tracks_fg."
    made_anew = any(backends.get(kind, FILE) != FILE and kind in held for kind in ("depth", "mask"))
    wanted += FREE if made_anew else (*IN_SPACE, *FREE)
    found = [name for name in wanted if name in held]
    columns = [column for name in found for column in (name, MARKS.get(name)) if column]
    says = episode.held.made_by if episode.held else {}
    return Taken({name: held[name] for name in columns}, {name: says.get(name, FILE) for name in found}, missing)
