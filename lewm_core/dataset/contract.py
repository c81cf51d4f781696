"""The contract of a dataset file: the public LeWM HDF5 columns plus our signal columns.

The first five columns are the public contract (any LeWM tool trains on the file as it is); the others are optional.
Along N lie the frames of all episodes, one after another: episode i is [ep_offset[i], ep_offset[i] + ep_len[i]).

Files of other tools keep the contract as their own validator has it: any integer kind of pixels with values 0 to 255,
grey (N, H, W, 1) as well as RGB, any float kind of actions and observations, any integer kind of lengths and offsets,
columns that are not in the table, and rows beyond those that the episodes cover. The last two are never read. Stricter
than theirs: a column with a name in the table is what the table says, lies in this file whole, and actions and
observations are not infinite. `violations` checks all of it.
"""

from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from lewm_core.signals.extraction import Signals
from lewm_core.signals.geometry import POINTS, SHAPE_COMPONENTS, SUPERVISION_SIZE
from lewm_core.sources.episode import Episode
from lewm_core.utils.errors import InputError, pick
from lewm_core.utils.plain import parse_json, shown

MADE, MOST_MADE = "made", 16_000_000  # the attribute by which our files say how they were made, and its bytes


@dataclass(frozen=True)
class Column:
    """One row of the contract.

    shape: of one entry. Numbers are exact, several in a tuple are alternatives; names are any size, equal by name.
    dtype: what it is written and read as; str: text. kind: the NumPy dtype kinds that a file may have.
    axis: N (an entry for each frame) or E (for each episode). finite: which rows must be finite: "all", "not inf" (but
    may be NaN), the name of the column that marks them, or None.
    target: how it becomes what a head is compared with, a row of targets.TARGETS; None: no head predicts it.
    source: function of an episode and its signals that gives the column's rows (T, …) or None where they are missing;
    by default the signal of the column's name. lacking: why a file lacks it, where the file itself does not say.
    """

    name: str
    shape: tuple[int | str | tuple[int, ...], ...]
    dtype: str
    kind: str
    required: bool = False
    axis: str = "N"
    finite: str | None = None
    target: str | None = None
    source: Callable[[Episode, Signals], np.ndarray | None] | None = None
    lacking: str = ""

    def of(self, episode: Episode, signals: Signals) -> np.ndarray | None:
        """This column's rows for one episode; None where the signal is missing."""
        if self.source is not None:
            return self.source(episode, signals)
        return getattr(signals, self.name)


def gripper(observations: np.ndarray) -> np.ndarray | None:
    """(N, 3) m, where the gripper is: the first three numbers of observations (N, O); None where there are fewer."""
    return observations[:, :3] if observations.shape[1] >= 3 else None


# A new signal is one more row: with `target` a condition's term can name it, with `source` it is written to the file.
COLUMNS = {c.name: c for c in (
    Column("pixels", ("H", "W", (3, 1)), "uint8", "iu", True, source=lambda episode, _: episode.frames),
    Column("action", ("A",), "float32", "f", True, finite="not inf", source=lambda episode, _: episode.actions),
    Column("observation", ("O",), "float32", "f", True, finite="not inf",
           source=lambda episode, _: episode.observations),
    Column("ep_len", (), "int64", "iu", True, "E"),
    Column("ep_offset", (), "int64", "iu", True, "E"),
    Column("episode_id", (), "str", "OST"),  # text stands at every frame, where other tools look for it
    Column("task", (), "str", "OST"),
    Column("depth", (SUPERVISION_SIZE, SUPERVISION_SIZE), "float32", "f", finite="all", target="map"),
    Column("mask", ("H", "W"), "uint8", "u"),
    Column("tracks", (POINTS, 2), "float32", "f", finite="visible", target="displacement"),
    Column("visible", (POINTS,), "uint8", "u"),
    Column("tracks_fg", (POINTS, 2), "float32", "f", finite="visible_fg", target="displacement"),
    Column("visible_fg", (POINTS,), "uint8", "u"),
    Column("centroid", (3,), "float32", "f", finite="centroid_valid", target="vector"),
    Column("centroid_valid", (), "uint8", "u"),
    Column("shape", (len(SHAPE_COMPONENTS),), "float32", "f", finite="shape_valid", target="vector"),
    Column("shape_valid", (), "uint8", "u"),
    Column("gripper", (3,), "float32", "f", finite="not inf", target="vector", lacking="The observation is too short.",
           source=lambda episode, _: gripper(episode.observations)),
    Column("object", (3,), "float32", "f", finite="all", target="vector"),
)}
NO_FOREGROUND = "The object mask is empty in every first frame, so no query point can be biased towards the object."


def frame_columns() -> list[Column]:
    """The columns that hold numbers for every frame: all but text and what stands once for each episode."""
    return [c for c in COLUMNS.values() if c.axis == "N" and c.dtype != "str"]


@dataclass(frozen=True)
class Outline:
    """What a file says of itself, known without reading its frames.

    columns: shape of each column of the contract. other: shape of each array that nothing here reads (None: no array).
    lengths: (E,) frames of each episode. made: how it was made, empty where another tool made it.
    """

    columns: Mapping[str, tuple[int, ...]]
    other: Mapping[str, tuple[int, ...] | None]
    lengths: np.ndarray
    made: Mapping[str, object]

    def missing(self, columns: Iterable[str]) -> dict[str, str]:
        """Those of `columns` that the file lacks, with the reason; see `missing`."""
        return missing(columns, self.columns, self.made)


def outline(path: str | Path) -> Outline:
    """The outline of a file that keeps the contract (ask `trial.validate` first)."""
    with h5py.File(path, "r") as f:
        shapes = {name: shape_of(f, name) for name in f}
        columns = {name: shapes[name] for name in COLUMNS if name in shapes}
        if shapes["observation"][1] >= 3:
            columns.setdefault("gripper", (shapes["observation"][0], 3))  # as `load` does
        other = {name: shape for name, shape in shapes.items() if name not in COLUMNS}
        return Outline(columns, other, f["ep_len"][:], made(f))


def shape_of(f: h5py.File, name: str) -> tuple[int, ...] | None:
    """Of the array of that name; None where it is none, or none of this file."""
    if not isinstance(f.get(name, getlink=True), h5py.HardLink):
        return None
    try:
        return f[name].shape if isinstance(f[name], h5py.Dataset) else None
    except Exception:  # a damaged one that nothing here reads: HDF5 has many errors
        return None


def made(f: h5py.File) -> dict[str, object]:
    """What our own files say of how they were made; {} for any other file."""
    if MADE not in f.attrs:
        return {}
    attribute = f.attrs.get_id(MADE)
    no_text = attribute.shape != () or h5py.check_string_dtype(attribute.dtype) is None
    if no_text or attribute.dtype.itemsize > MOST_MADE:
        return {}
    text = f.attrs[MADE]
    try:
        value = parse_json(text, MADE) if len(text) <= MOST_MADE else None
    except InputError:
        return {}
    return value if isinstance(value, dict) else {}


def made_problems(f: h5py.File) -> list[str]:
    """Violations of what a file says of how it was made, where it says that as ours do."""
    about, problems = made(f), []
    for name in {"made_by", "missing"} & about.keys():
        value = about[name]
        if not isinstance(value, dict) or any(not isinstance(text, str) for text in value.values()):
            problems.append(f"attribute {MADE} has as {name} {shown(value)}, not a text for each signal")
    return sorted(problems)


def missing(columns: Iterable[str], present: Container[str], made: Mapping[str, object]) -> dict[str, str]:
    """Those of `columns` that are not `present`, with the reason that `made` gives; a marker's is its signal's.

    InputError for a name that is no row of the contract.
    """
    reasons = made.get("missing", {})
    marks = {c.finite: c.name for c in COLUMNS.values()}
    found = {}
    for name in columns:
        pick(COLUMNS, name, "dataset column")
        if name not in present:
            reason = reasons.get(name) or reasons.get(marks.get(name)) or COLUMNS[name].lacking
            found[name] = reason or f"The dataset has no column {name}."
    return found
