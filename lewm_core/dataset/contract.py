"""The contract of a dataset file: the public LeWM HDF5 columns plus our signal columns; every violation of it.

The first five columns are the public contract (any LeWM tool trains on the file as it is); the others are optional.
Along N lie the frames of all episodes, one after another: episode i is [ep_offset[i], ep_offset[i] + ep_len[i]).

Files of other tools keep the contract as their own validator has it: any integer kind of pixels with values 0 to 255,
grey (N, H, W, 1) as well as RGB, any float kind of actions and observations, any integer kind of lengths and offsets,
columns that are not in the table, and rows beyond those that the episodes cover. The last two are never read. Stricter
than theirs: a column with a name in the table is what the table says, and actions and observations are not infinite.
"""

import json
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import h5py
import hdf5plugin  # noqa: F401  # registers the compressions that public files use (Blosc, LZ4, Zstd)
import numpy as np

from lewm_core.signals.extraction import Signals
from lewm_core.signals.geometry import POINTS, SHAPE_COMPONENTS, SUPERVISION_SIZE
from lewm_core.sources.episode import Episode
from lewm_core.utils.errors import pick


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


def validate(path: str | Path) -> list[str]:
    """Every violation of the contract in the file, as sentences; an empty list if it keeps it."""
    try:
        with h5py.File(path, "r") as f:
            return _violations(f)
    except (OSError, RuntimeError, KeyError) as error:  # what h5py raises for other formats and damaged blocks
        return [f"cannot be read as HDF5 ({error})"]


def _violations(f: h5py.File) -> list[str]:
    problems = [f"column {c.name} is missing" for c in COLUMNS.values() if c.required and c.name not in f]
    length, offset = _index(f, "ep_len"), _index(f, "ep_offset")
    rows: dict[str, int] = {}  # that a column has at least, by its axis; empty where ep_len is unusable
    if length is not None:
        rows = {"E": len(length), "N": int(length.sum())}
    sizes: dict[str, int] = {}
    for column in COLUMNS.values():
        if column.name in f:
            problems += _check(f, column, rows.get(column.axis), sizes)
    if length is not None:
        problems += _check_index(length, offset)
    for column in COLUMNS.values():
        if column.name in f and column.finite in COLUMNS and column.finite not in f:
            problems.append(f"column {column.name} needs column {column.finite}")
    return problems


def _index(f: h5py.File, name: str) -> np.ndarray | None:
    """A column of whole numbers, one an episode; None where it is none."""
    data = f.get(name)
    if isinstance(data, h5py.Dataset) and data.ndim == 1 and data.dtype.kind in "iu":
        return data[:].astype(np.int64)
    return None


def _check_index(length: np.ndarray, offset: np.ndarray | None) -> list[str]:
    problems = []
    if not len(length):
        problems.append("no episodes")
    if (length < 1).any():
        problems.append(f"ep_len has values below 1 (first at episode {int(np.argmax(length < 1))})")
    if offset is not None and len(length) == len(offset) and not np.array_equal(offset, np.cumsum(length) - length):
        problems.append("ep_offset is not the running sum of ep_len")
    return problems


def _check(f: h5py.File, column: Column, rows: int | None, sizes: dict[str, int]) -> list[str]:
    """Violations of one column. rows: None where unknown. sizes: of the axes that are equal by name, found so far."""
    data, name, problems = f[column.name], column.name, []
    if not isinstance(data, h5py.Dataset) or not data.shape:
        return [f"{name} is not an array"]
    no_text = column.dtype == "str" and h5py.check_string_dtype(data.dtype) is None
    no_flag = column.kind == "u" and data.dtype != column.dtype
    if no_text or no_flag or data.dtype.kind not in column.kind:
        problems.append(f"{name} is {data.dtype}, not {column.dtype}")
    if rows is not None and column.axis == "N" and len(data) < rows:
        problems.append(f"{name} has {len(data)} rows, fewer than the {rows} of the episodes")
    if rows is not None and column.axis == "E" and len(data) != rows:
        problems.append(f"{name} has {len(data)} rows, not {rows}")
    if data.ndim - 1 != len(column.shape):
        axes = [size[0] if isinstance(size, tuple) else size for size in (column.axis, *column.shape)]
        return [*problems, f"{name} has shape {data.shape}, not ({', '.join(map(str, axes))})"]
    for size, want in zip(data.shape[1:], column.shape, strict=True):
        if isinstance(want, str):
            want = sizes.setdefault(want, size)
        allowed = want if isinstance(want, tuple) else (want,)
        if size not in allowed:
            problems.append(f"{name} has an axis of {size} where {' or '.join(map(str, allowed))} was expected")
    return problems + _values(f, column, len(data) if rows is None else min(rows, len(data)))


def _values(f: h5py.File, column: Column, rows: int) -> list[str]:
    """Violations of a column's values in its first `rows` rows, read a few at a time: files may be of any size."""
    data = f[column.name]
    if column.dtype == "uint8" and data.dtype.kind in "iu" and data.dtype != np.uint8:
        for start in range(0, rows, 64):
            part = data[start : min(start + 64, rows)]
            if part.min() < 0 or part.max() > 255:
                return [f"{column.name} is {data.dtype} with values outside 0 to 255 (first in frames {start} on)"]
    if column.finite is None or data.dtype.kind != "f":
        return []
    return _finite(data, column, f.get(column.finite), rows)


def _finite(data: h5py.Dataset, column: Column, marks: h5py.Dataset | None, rows: int) -> list[str]:
    """Violations of `column.finite`; marks: the column that it names."""
    marked = column.finite in COLUMNS
    usable = (isinstance(marks, h5py.Dataset) and marks.dtype.kind in "biu" and len(marks) >= rows
              and marks.shape[1:] == data.shape[1 : marks.ndim])
    if marked and not usable:  # which rows count is unknown; that column's own violation is reported
        return []
    says = {"not inf": "is infinite", "all": "is not finite"}.get(column.finite, "is not finite where marked valid")
    for start in range(0, rows, 256):
        stop = min(start + 256, rows)
        values = data[start:stop]
        bad = np.isinf(values) if column.finite == "not inf" else ~np.isfinite(values)
        if marked:
            valid = marks[start:stop].astype(bool)
            bad &= valid.reshape(valid.shape + (1,) * (bad.ndim - valid.ndim))
        if bad.any():
            return [f"{column.name} {says} (first at frame {start + int(np.argwhere(bad)[0][0])})"]
    return []


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
    """The outline of a file that keeps the contract (ask `validate` first)."""
    with h5py.File(path, "r") as f:
        shapes = {name: item.shape if isinstance(item, h5py.Dataset) else None for name, item in f.items()}
        columns = {name: shapes[name] for name in COLUMNS if name in shapes}
        if shapes["observation"][1] >= 3:
            columns.setdefault("gripper", (shapes["observation"][0], 3))  # as `load` does
        other = {name: shape for name, shape in shapes.items() if name not in COLUMNS}
        return Outline(columns, other, f["ep_len"][:], made(f))


def made(f: h5py.File) -> dict[str, object]:
    """What our own files say of how they were made; {} for any other file."""
    try:
        value = json.loads(f.attrs.get("made", "{}"))
    except (ValueError, TypeError):
        return {}
    return value if isinstance(value, dict) else {}


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
