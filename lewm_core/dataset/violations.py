"""Every violation of the contract in a dataset file: what `contract` is the table of, checked here.

A file of strangers may claim anything. So its structure comes first (links, layouts, kinds, shapes, sizes), all of it
known without reading a frame; then the values, a few megabytes at a time, as they will be once they are read: a number
that is finite in the file may be infinite in the column's own type.

Refused, since they load as fill values where they should fail: rows that were never written, and arrays that lie in
other files (virtual datasets, external storage, links).
"""

import math
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import hdf5plugin  # noqa: F401  # registers the compressions that public files use (Blosc, LZ4, Zstd)
import numpy as np

from lewm_core.dataset.contract import COLUMNS, Column, made_problems
from lewm_core.dataset.pieces import MOST_TEXT, Damaged, pieces, reason, row_bytes, texts
from lewm_core.utils.errors import InputError
from lewm_core.utils.files import regular

MOST_EPISODES = 10_000_000
MOST_FRAMES = 2**31  # of one episode
MOST_BYTES = 2**28  # of one row, and of one chunk


@dataclass
class Structure:
    """What is known of a file without reading a frame.

    problems: its violations. rows and shapes: of each column without any, how many of its rows are to be read, and the
    shape of one. lengths: of the episodes; empty where the file does not say.
    """

    problems: list[str]
    rows: dict[str, int] = field(default_factory=dict)
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    lengths: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))

    def place(self, damage: Damaged) -> str:
        """Where rows are damaged, in words."""
        episode = int(np.searchsorted(np.cumsum(self.lengths), damage.frame, side="right"))
        inside = f", in episode {episode}" if episode < len(self.lengths) else ""
        return f"frame {damage.frame}{inside}"


def validate(path: str | Path) -> list[str]:
    """Every violation of the contract in a file of ours that was just written; of any other, ask `trial.validate`."""
    try:
        with h5py.File(regular(path), "r") as f:
            found = structure(f)
            return found.problems + values(f, found)
    except InputError as error:
        return [error.found]
    except Exception as error:  # HDF5 is a foreign parser: what it raises for a damaged file depends on the damage
        return [f"cannot be read as HDF5 ({reason(error)})"]


def structure(f: h5py.File) -> Structure:
    """The structure of an open file. It may raise anything for a damaged one."""
    names = set(f)  # of links; `in f` would look where they lead
    found = Structure([f"column {c.name} is missing" for c in COLUMNS.values() if c.required and c.name not in names])
    found.problems += made_problems(f)
    sound, sizes = [], {}
    for column in COLUMNS.values():
        if column.name in names:
            problems = _form(f, column) or _shape(f[column.name], column, sizes)
            found.problems += problems
            sound += [column] if not problems else []
    _read_lengths(f, {column.name for column in sound}, found)
    for column in sound:
        problems = _rows(f[column.name], column, found)
        found.problems += problems
        if not problems:
            found.rows[column.name] = _needed(f[column.name], column, found)
            found.shapes[column.name] = f[column.name].shape[1:]
    found.problems += [f"column {c.name} needs column {c.finite}" for c in COLUMNS.values()
                       if c.name in names and c.finite in COLUMNS and c.finite not in names]
    return found


def _form(f: h5py.File, column: Column) -> list[str]:
    """Violations of what a column is, whatever its shape."""
    name = column.name
    if not isinstance(f.get(name, getlink=True), h5py.HardLink):
        return [f"{name} is a link, which is not followed"]
    data = f[name]
    if not isinstance(data, h5py.Dataset) or not data.shape:
        return [f"{name} is not an array"]
    if data.is_virtual or data.external:
        return [f"{name} lies in other files"]
    try:
        dtype, text = data.dtype, h5py.check_string_dtype(data.dtype)
    except Exception as error:  # numbers that NumPy has no type for
        return [f"{name} has a type that cannot be read ({reason(error)})"]
    no_text = column.dtype == "str" and text is None
    no_flag = column.kind == "u" and dtype != column.dtype
    if no_text or no_flag or dtype.kind not in column.kind:
        return [f"{name} is {str(dtype)[:80]}, not {column.dtype}"]
    if text is not None and dtype.itemsize > MOST_TEXT:
        return [f"{name} has texts of {dtype.itemsize} bytes, more than {MOST_TEXT}"]
    return []


def _shape(data: h5py.Dataset, column: Column, sizes: dict[str, int]) -> list[str]:
    """Violations of a column's shape. sizes: of the axes that are equal by name, found so far."""
    name, problems = column.name, []
    if data.ndim - 1 != len(column.shape):
        axes = [size[0] if isinstance(size, tuple) else size for size in (column.axis, *column.shape)]
        return [f"{name} has shape {data.shape}, not ({', '.join(map(str, axes))})"]
    for size, want in zip(data.shape[1:], column.shape, strict=True):
        if isinstance(want, str):
            if size < 1:
                problems.append(f"{name} has an axis of 0 where at least 1 was expected")
            want = sizes.setdefault(want, size)
        allowed = want if isinstance(want, tuple) else (want,)
        if size not in allowed:
            problems.append(f"{name} has an axis of {size} where {' or '.join(map(str, allowed))} was expected")
    if row_bytes(data) > MOST_BYTES:
        problems.append(f"{name} has rows of {row_bytes(data):,} bytes, more than {MOST_BYTES:,}")
    if data.chunks and math.prod(data.chunks) * data.dtype.itemsize > MOST_BYTES:
        problems.append(f"{name} has chunks of {math.prod(data.chunks) * data.dtype.itemsize:,} bytes, more than "
                        f"{MOST_BYTES:,}")
    return problems


def _read_lengths(f: h5py.File, sound: set[str], found: Structure) -> None:
    """Read ep_len and ep_offset, as far as their form is sound, and note what is wrong with them."""
    index = {}
    for name in [name for name in ("ep_len", "ep_offset") if name in sound]:
        size = f[name].shape[0]
        if size > MOST_EPISODES:
            found.problems.append(f"{name} has {size:,} episodes, more than {MOST_EPISODES:,}")
        elif _written(f[name], size):
            index[name] = f[name][:].astype(np.int64)
    if (length := index.get("ep_len")) is None:
        return
    if not len(length):
        found.problems.append("no episodes")
    if (length < 1).any():
        found.problems.append(f"ep_len has values below 1 (first at episode {int(np.argmax(length < 1))})")
    elif (length > MOST_FRAMES).any():
        found.problems.append(f"ep_len has values above {MOST_FRAMES:,} (first at episode "
                              f"{int(np.argmax(length > MOST_FRAMES))})")
    else:
        found.lengths = length
    offset = index.get("ep_offset")
    if offset is not None and len(length) == len(offset) and not np.array_equal(offset, np.cumsum(length) - length):
        found.problems.append("ep_offset is not the running sum of ep_len")


def _rows(data: h5py.Dataset, column: Column, found: Structure) -> list[str]:
    """Violations of how many rows a column has, and of whether they are there."""
    have, name, episodes = data.shape[0], column.name, len(found.lengths)
    frames = int(found.lengths.sum())
    if episodes and column.axis == "N" and have < frames:
        return [f"{name} has {have} rows, fewer than the {frames} of the episodes"]
    if episodes and column.axis == "E" and have != episodes:
        return [f"{name} has {have} rows, not {episodes}"]
    if not _written(data, _needed(data, column, found)):
        return [f"{name} has rows that were never written"]
    return []


def _needed(data: h5py.Dataset, column: Column, found: Structure) -> int:
    """How many rows of a column are to be read: those of the episodes, or all where these are unknown."""
    if not len(found.lengths):
        return data.shape[0]
    return len(found.lengths) if column.axis == "E" else int(found.lengths.sum())


def _written(data: h5py.Dataset, rows: int) -> bool:
    """Whether the first `rows` rows lie in the file; those that do not would be read as fill values."""
    if not rows:
        return True
    if data.chunks:
        chunks = zip((rows, *data.shape[1:]), data.chunks, strict=True)
        return data.id.get_num_chunks() >= math.prod(-(-size // chunk) for size, chunk in chunks)
    return data.id.get_storage_size() >= rows * row_bytes(data)


def values(f: h5py.File, found: Structure) -> list[str]:
    """Violations of the values in the rows that are to be read, texts and compressed chunks that cannot be read among
    them."""
    problems = []
    for name, rows in found.rows.items():
        column = COLUMNS[name]
        try:
            problems += _kind_of_pixels(f[name], column, rows) + _finite(f, column, found)
            _read(f[name], column, found)
        except Damaged as damage:
            problems.append(f"{name} cannot be read at {found.place(damage)} ({damage.reason})")
    return problems


def _read(data: h5py.Dataset, column: Column, found: Structure) -> None:
    """Raise Damaged where texts or compressed chunks cannot be read."""
    if column.dtype == "str":
        texts(data, np.cumsum(found.lengths) - found.lengths)
    elif column.finite is None and data.id.get_create_plist().get_nfilters():
        for _ in pieces(data, 0, found.rows[column.name]):
            pass


def _kind_of_pixels(data: h5py.Dataset, column: Column, rows: int) -> list[str]:
    if column.dtype != "uint8" or data.dtype == np.uint8:
        return []
    for start, part in pieces(data, 0, rows):
        if part.min() < 0 or part.max() > 255:
            return [f"{column.name} is {data.dtype} with values outside 0 to 255 (first in frames {start} on)"]
    return []


def not_finite(rows: np.ndarray, column: Column, valid: np.ndarray | None) -> np.ndarray:
    """Where rows of a column, in its own type, are not as finite as it has to be. valid: those of the column that marks
    them, if there is one."""
    bad = np.isinf(rows) if column.finite == "not inf" else ~np.isfinite(rows)
    if valid is not None:
        valid = valid.astype(bool)
        bad &= valid.reshape(valid.shape + (1,) * (bad.ndim - valid.ndim))
    return bad


def _finite(f: h5py.File, column: Column, found: Structure) -> list[str]:
    """Violations of `column.finite`, by the values that the column has in its own type."""
    data, rows, marks = f[column.name], found.rows[column.name], None
    if column.finite is None or data.dtype.kind != "f":
        return []
    if column.finite in COLUMNS:
        if found.rows.get(column.finite, -1) < rows:  # that column's own violation is reported
            return []
        marks = f[column.finite]
    says = {"not inf": "is infinite", "all": "is not finite"}.get(column.finite, "is not finite where marked valid")
    for start, part in pieces(data, 0, rows):
        with np.errstate(over="ignore"):
            own = part.astype(column.dtype, copy=False)
        valid = None
        if marks is not None:
            _, valid = next(pieces(marks, start, start + len(part)))  # in one piece: its rows are smaller
        bad = not_finite(own, column, valid)
        if bad.any():
            first = tuple(np.argwhere(bad)[0])
            kind = f" as {column.dtype}" if np.isfinite(part[first]) else ""
            return [f"{column.name} {says}{kind} (first at frame {start + int(first[0])})"]
    return []
