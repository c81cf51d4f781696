"""The dataset file: the public LeWM HDF5 contract plus our signal columns. Write, validate, read, windows, splits.

The first five columns are the public contract (any LeWM tool trains on the file as it is); the others are optional.
Along N lie the frames of all episodes, one after another: episode i is [ep_offset[i], ep_offset[i] + ep_len[i]).
Nothing here needs torch.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import h5py
import numpy as np

from lewm_core.episodes import Episode
from lewm_core.errors import InputError
from lewm_core.files import digest, file_digest, replacing
from lewm_core.signals import Signals

WINDOW = 4  # three context frames and the one to predict


@dataclass(frozen=True)
class Column:
    """One row of the contract. `shape` after the first axis: numbers are exact, names are any size but equal by name.

    kind: NumPy dtype kinds allowed. finite: which rows must be finite: "all", "not inf" (NaN allowed, becomes 0 when
    read), the name of the column that marks them, or None.
    """

    name: str
    shape: tuple[int | str, ...]
    dtype: str
    kind: str
    required: bool = False
    axis: str = "N"
    finite: str | None = None


COLUMNS = {c.name: c for c in (
    Column("pixels", ("H", "W", 3), "uint8", "u", True),
    Column("action", ("A",), "float32", "f", True, finite="not inf"),
    Column("observation", ("O",), "float32", "f", True, finite="not inf"),
    Column("ep_len", (), "int64", "iu", True, "E"),
    Column("ep_offset", (), "int64", "iu", True, "E"),
    Column("episode_id", (), "str", "OST", False, "E"),
    Column("task", (), "str", "OST", False, "E"),
    Column("depth", (56, 56), "float32", "f", finite="all"),
    Column("mask", ("H", "W"), "uint8", "u"),
    Column("tracks", (400, 2), "float32", "f", finite="visible"),
    Column("visible", (400,), "uint8", "u"),
    Column("tracks_fg", (400, 2), "float32", "f", finite="visible_fg"),
    Column("visible_fg", (400,), "uint8", "u"),
    Column("centroid", (3,), "float32", "f", finite="centroid_valid"),
    Column("centroid_valid", (), "uint8", "u"),
    Column("shape", (10,), "float32", "f", finite="shape_valid"),
    Column("shape_valid", (), "uint8", "u"),
)}
NO_FOREGROUND = "The object mask is empty in every first frame, so no query point can be biased towards the object."
SIGNALS = tuple(c.name for c in COLUMNS.values() if not c.required and c.axis == "N")


def write(path: str | Path, items: Iterable[tuple[Episode, Signals]], **attributes: object) -> None:
    """Write episodes and their signals, one at a time, to `path`; validated before it takes that name.

    Signals that are missing leave their column out; why is kept in the attribute `missing`. `attributes` (JSON
    values) say how the file was made.
    """
    with replacing(path) as temporary:
        ids, tasks, lengths = [], [], []
        made_by, missing, biased = {}, {}, False
        with h5py.File(temporary, "w") as f:
            for episode, signals in items:
                rows = {"pixels": episode.frames, "action": episode.actions, "observation": episode.observations}
                rows |= {name: value for name in SIGNALS if (value := getattr(signals, name)) is not None}
                if ids and set(rows) != set(f):
                    raise InputError(f"episode {episode.id}", f"signals {sorted(rows)}", f"{sorted(f)} as in {ids[0]}")
                for name, value in rows.items():
                    if name in f and f[name].shape[1:] != value.shape[1:]:
                        raise InputError(f"episode {episode.id}", f"{name} of {value.shape[1:]} a frame",
                                         f"{f[name].shape[1:]} as in {ids[0]}")
                    _append(f, name, value)
                ids.append(episode.id), tasks.append(episode.task), lengths.append(len(episode.frames))
                made_by |= signals.made_by
                missing |= signals.missing
                biased |= signals.biased
            if not ids:
                raise InputError(path, "no episodes to write", "at least one", "Check the selection.")
            if "tracks_fg" in f and not biased:  # all of them fell back to the uniform grid: that is condition D
                del f["tracks_fg"], f["visible_fg"]
                made_by.pop("tracks_fg", None)
                missing["tracks_fg"] = NO_FOREGROUND
            f["ep_len"] = np.array(lengths, np.int64)
            f["ep_offset"] = np.cumsum([0, *lengths[:-1]], dtype=np.int64)
            f.create_dataset("episode_id", data=ids, dtype=h5py.string_dtype())
            f.create_dataset("task", data=tasks, dtype=h5py.string_dtype())
            f.attrs["made"] = json.dumps({**attributes, "made_by": made_by, "missing": missing}, sort_keys=True)
        if problems := validate(temporary):
            raise InputError(path, "; ".join(problems), "a dataset that keeps the contract", "Nothing was written.")


def _append(f: h5py.File, name: str, value: np.ndarray) -> None:
    value = np.ascontiguousarray(value, dtype=COLUMNS[name].dtype)
    if name not in f:  # one frame a chunk: what a random window reads is what it needs
        f.create_dataset(name, data=value, maxshape=(None, *value.shape[1:]), chunks=(1, *value.shape[1:]))
    else:
        f[name].resize(len(f[name]) + len(value), axis=0)
        f[name][-len(value):] = value


def validate(path: str | Path) -> list[str]:
    """Every violation of the contract in the file, as sentences; an empty list if it keeps it."""
    try:
        with h5py.File(path, "r") as f:
            return _violations(f)
    except (OSError, RuntimeError, KeyError) as error:  # what h5py raises for other formats and damaged blocks
        return [f"cannot be read as HDF5 ({error})"]


def _violations(f: h5py.File) -> list[str]:
    problems = [f"column {c.name} is missing" for c in COLUMNS.values() if c.required and c.name not in f]
    index = {name: f[name][:] for name in ("ep_len", "ep_offset")
             if isinstance(f.get(name), h5py.Dataset) and f[name].ndim == 1 and f[name].dtype.kind in "iu"}
    rows = {"E": len(index["ep_len"]), "N": int(index["ep_len"].sum())} if "ep_len" in index else {}
    sizes: dict[str, int] = {}
    for column in (c for c in COLUMNS.values() if c.name in f):
        problems += _check(f, column, rows.get(column.axis), sizes)
    if "ep_len" in index:
        length = index["ep_len"].astype(np.int64)
        if not len(length):
            problems.append("no episodes")
        if (length < 1).any():
            problems.append(f"ep_len has values below 1 (first at episode {int(np.argmax(length < 1))})")
        offset = index.get("ep_offset", ())
        if len(length) == len(offset) and not np.array_equal(offset, np.cumsum(length) - length):
            problems.append("ep_offset is not the running sum of ep_len")
    for name in ("tracks", "tracks_fg", "centroid", "shape"):
        if name in f and COLUMNS[name].finite not in f:
            problems.append(f"column {name} needs column {COLUMNS[name].finite}")
    return problems


def _check(f: h5py.File, column: Column, rows: int | None, sizes: dict[str, int]) -> list[str]:
    """Violations of one column; `rows` None: unknown, since ep_len is unusable."""
    data, name, problems = f[column.name], column.name, []
    if not isinstance(data, h5py.Dataset) or not data.shape:
        return [f"{name} is not an array"]
    if data.dtype.kind not in column.kind or (column.kind == "u" and data.dtype != column.dtype):
        problems.append(f"{name} is {data.dtype}, not {column.dtype}")
    if rows is not None and len(data) != rows:
        problems.append(f"{name} has {len(data)} rows, not {rows}")
    if data.ndim - 1 != len(column.shape):
        wanted = ", ".join(map(str, (column.axis, *column.shape)))
        return [*problems, f"{name} has shape {data.shape}, not ({wanted})"]
    for size, want in zip(data.shape[1:], column.shape, strict=True):
        want = sizes.setdefault(want, size) if isinstance(want, str) else want
        if size != want:
            problems.append(f"{name} has an axis of {size} where {want} was expected")
    if column.finite is None or data.dtype.kind != "f":
        return problems
    marks = f.get(column.finite)
    if column.finite not in ("all", "not inf") and not (
            isinstance(marks, h5py.Dataset) and marks.dtype.kind in "biu" and marks.shape == data.shape[: marks.ndim]):
        return problems  # which rows count is unknown; that column's own violation is reported
    for start in range(0, len(data), 256):  # bounded memory on files of any size
        values = data[start : start + 256]
        bad = np.isinf(values) if column.finite == "not inf" else ~np.isfinite(values)
        if marks is not None:
            valid = marks[start : start + 256].astype(bool)
            bad &= valid.reshape(valid.shape + (1,) * (bad.ndim - valid.ndim))
        if bad.any():
            frame = start + int(np.argwhere(bad)[0][0])
            what = {"not inf": "is infinite", "all": "is not finite"}.get(
                column.finite, "is not finite where marked valid")
            return [*problems, f"{name} {what} (first at frame {frame})"]
    return problems


@dataclass(frozen=True)
class Data:
    """A dataset in memory: columns by name, and what the file says of itself.

    nan_actions: how many action values were NaN and became 0, as in the public recipe.
    fingerprint: digest of the file's bytes.
    """

    columns: Mapping[str, np.ndarray]
    made: Mapping[str, object] = field(default_factory=dict)
    fingerprint: str = ""
    nan_actions: int = 0

    def __getitem__(self, name: str) -> np.ndarray:
        return self.columns[name]

    def episode(self, i: int) -> slice:
        """The frames of episode i along the first axis."""
        start = int(self["ep_offset"][i])
        return slice(start, start + int(self["ep_len"][i]))

    def numbers(self, ids: Sequence[str]) -> np.ndarray:
        """(n,) the numbers of the episodes called `ids`; InputError for one that is unknown or named twice."""
        known = {id: i for i, id in enumerate(self.columns.get("episode_id", ()))}
        if wrong := [id for id in ids if id not in known] or [id for i, id in enumerate(ids) if id in ids[:i]]:
            raise InputError("episodes", f"{len(wrong)} that are unknown or named twice (first: {wrong[0]!r})",
                             f"names among the dataset's {len(known)}, each once")
        return np.array([known[id] for id in ids], np.int64)

    def select(self, ids: Sequence[str]) -> "Data":
        """The episodes called `ids` alone, in that order. The fingerprint is derived from the file's and from `ids`;
        `nan_actions` stays the whole file's."""
        if not len(ids):
            raise InputError("episodes", "none", "at least one")
        chosen = self.numbers(ids)
        frames = np.concatenate([np.arange(len(self["action"]))[self.episode(i)] for i in chosen])
        columns = {name: value[chosen if COLUMNS[name].axis == "E" else frames] for name, value in self.columns.items()}
        columns["ep_offset"] = np.cumsum(columns["ep_len"]) - columns["ep_len"]
        return replace(self, columns=columns, fingerprint=digest(self.fingerprint, *map(str, ids)))

    def first_frames(self) -> np.ndarray:
        """(N,) the index of the first frame of each frame's episode."""
        return np.repeat(self["ep_offset"], self["ep_len"])

    def missing(self, columns: Iterable[str]) -> dict[str, str]:
        """Those of `columns` that the file lacks, with the reason it gives; a marker's reason is its signal's."""
        reasons = self.made.get("missing", {})
        marks = {c.finite: c.name for c in COLUMNS.values()}
        return {c: reasons.get(c) or reasons.get(marks.get(c)) or f"The dataset has no column {c}."
                for c in columns if c not in self.columns}


def load(path: str | Path) -> Data:
    """Read a validated dataset whole. InputError lists all violations; NaN actions become 0 and are counted."""
    if not Path(path).is_file():
        raise InputError(path, "no such file", "a dataset", "Run notebook 02_extraction first, or give another path.")
    if problems := validate(path):
        raise InputError(path, "; ".join(problems), "a dataset that keeps the contract",
                         "lewm_core.dataset.COLUMNS is the contract.")
    with h5py.File(path, "r") as f:
        columns = {c.name: f[c.name].asstr()[:] if c.dtype == "str" else f[c.name][:].astype(c.dtype, copy=False)
                   for c in COLUMNS.values() if c.name in f}
        made = json.loads(f.attrs.get("made", "{}"))
    nan = np.isnan(columns["action"])
    columns["action"] = np.where(nan, 0, columns["action"]).astype(np.float32)
    return Data(columns, made, file_digest(path), int(nan.sum()))


def window_starts(ep_len: np.ndarray, ep_offset: np.ndarray, length: int = WINDOW) -> np.ndarray:
    """The first frame of every run of `length` frames inside one episode, in order; (n,) int64."""
    runs = [offset + np.arange(n - length + 1) for n, offset in zip(ep_len, ep_offset, strict=True) if n >= length]
    return np.concatenate(runs).astype(np.int64) if runs else np.zeros(0, np.int64)


@dataclass(frozen=True)
class Split:
    """Window starts to train on and, by name, to validate on.

    `window` holds windows drawn at random from the training episodes: the paper's split, which leaks, since windows
    overlap by up to three frames. `episode` holds all windows of episodes that training never sees.
    """

    train: np.ndarray
    val: Mapping[str, np.ndarray]


def split(ep_len: np.ndarray, ep_offset: np.ndarray, rng: np.random.Generator, val_windows: float = 0.1,
          val_episodes: float = 0.15, held: np.ndarray | None = None) -> Split:
    """Hold out a share of the episodes, and a share of the remaining episodes' windows; one model serves both splits.

    Episodes shorter than a window take no part. held: the numbers of the episodes to hold out, instead of a share.
    A share of 0 leaves that split out (val_episodes=0 is the paper's split exactly). Otherwise each has at least one
    member. InputError if nothing is left to train on.
    """
    order = rng.permutation(np.flatnonzero(ep_len >= WINDOW))
    if held is None:
        held = order[: max(1, round(val_episodes * len(order)))] if val_episodes > 0 else order[:0]
    held = np.sort(held)
    kept = np.setdiff1d(order, held)
    starts = window_starts(ep_len[kept], ep_offset[kept])
    shuffled = rng.permutation(starts)
    n_val = max(1, round(val_windows * len(starts))) if val_windows > 0 else 0
    val = {"window": np.sort(shuffled[:n_val])} if n_val else {}
    if len(held):
        val["episode"] = window_starts(ep_len[held], ep_offset[held])
    train = np.sort(shuffled[n_val:])
    if not len(train) or any(not len(starts) for starts in val.values()) or not val:
        raise InputError("split", f"{len(train)} training windows and " + ", ".join(f"{len(v)} {k}" for k, v in
                         val.items()) + f" validation windows from {len(ep_len)} episodes", "at least one of each",
                         f"Episodes need {WINDOW} frames or more, and there must be two of them.")
    return Split(train, val)
