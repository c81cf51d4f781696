"""The dataset file in use: what it holds is `contract`, how it is written `packing`, how a run splits it `splits`."""

import json
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import h5py
import numpy as np

from lewm_core.dataset import memory, seal, trial
from lewm_core.dataset.contract import COLUMNS, Column, frame_columns, gripper, made, missing
from lewm_core.dataset.pieces import Damaged, pieces, texts
from lewm_core.dataset.stored import Stored
from lewm_core.sources.episode import Episode
from lewm_core.utils.errors import InputError
from lewm_core.utils.files import digest

FRAMES = ("pixels", "action", "observation", "episode_id", "task")  # what an episode is without its signals


@dataclass(frozen=True)
class Data:
    """A dataset in memory: columns by name, and what the file says of itself. Pixels may stay in the file (`Stored`).

    nan_actions: how many action values were NaN and became 0, as in the public recipe.
    digests: of each episode, of all that was read of it.
    """

    columns: Mapping[str, np.ndarray]
    made: Mapping[str, object] = field(default_factory=dict)
    nan_actions: int = 0
    digests: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> np.ndarray:
        return self.columns[name]

    def episode(self, i: int) -> slice:
        """The frames of episode i along the first axis."""
        start = int(self["ep_offset"][i])
        return slice(start, start + int(self["ep_len"][i]))

    def numbers(self, ids: Sequence[str]) -> np.ndarray:
        """(n,) the numbers of the episodes called `ids`; InputError for one that is unknown or named twice."""
        known = {id: i for i, id in enumerate(self.columns.get("episode_id", ()))}
        unknown = [id for id in ids if id not in known]
        first: dict[str, int] = {}
        repeated = [id for i, id in enumerate(ids) if first.setdefault(id, i) != i]
        wrong = unknown or repeated
        if wrong:
            raise InputError("episodes", f"{len(wrong)} that are unknown or named twice (first: {wrong[0]!r})",
                             f"names among the dataset's {len(known)}, each once")
        return np.array([known[id] for id in ids], np.int64)

    @property
    def fingerprint(self) -> str:
        """Digest of the episodes, in their order, and of what the file says of itself; the same for a selection of a
        file as for a file of these episodes alone."""
        return digest(json.dumps(self.made, sort_keys=True), *self.digests)

    def fingerprint_of(self, ids: Sequence[str]) -> str:
        """The fingerprint that `select(ids)` has."""
        return replace(self, digests=tuple(self.digests[i] for i in self.numbers(ids))).fingerprint

    def select(self, ids: Sequence[str]) -> "Data":
        """The episodes called `ids` alone, in that order, as if they were a file of their own.

        `nan_actions` stays the whole file's. InputError for no episodes, or one that is unknown or named twice.
        """
        if not len(ids):
            raise InputError("episodes", "none", "at least one")
        chosen = self.numbers(ids)
        if np.array_equal(chosen, np.arange(len(self["ep_len"]))):
            return self
        frames = np.concatenate([np.arange(*self.episode(i).indices(len(self["action"]))) for i in chosen])
        per_frame = {column.name for column in frame_columns()}
        columns = {name: _taken(value, frames if name in per_frame else chosen)
                   for name, value in self.columns.items()}
        columns["ep_offset"] = np.cumsum(columns["ep_len"]) - columns["ep_len"]
        digests = tuple(self.digests[i] for i in chosen) if self.digests else ()
        return replace(self, columns=columns, digests=digests)

    def episode_numbers(self) -> np.ndarray:
        """(N,) the number of each frame's episode."""
        return np.repeat(np.arange(len(self["ep_len"])), self["ep_len"])

    def first_frames(self) -> np.ndarray:
        """(N,) the index of the first frame of each frame's episode."""
        return np.repeat(self["ep_offset"], self["ep_len"])

    def missing(self, columns: Iterable[str]) -> dict[str, str]:
        """Those of `columns` that the file lacks, with the reason; see contract.missing."""
        return missing(columns, self.columns, self.made)


def load(path: str | Path, episodes: int | None = None, in_memory: bool | None = None) -> Data:
    """Read a validated dataset, or only its first `episodes`, into memory. NaN actions become 0 and are counted.

    Grey pixels become RGB with three equal channels. A file without the column gripper has it from its observation,
    which is not in the digests. in_memory: whether the pixels are, too; None: if the free memory holds them (twice,
    since training lays them out anew), else they stay in the file and are read as they are asked for.
    InputError: all violations of the contract together, an episode that is not what was written (`seal`), or more than
    the free memory holds.
    """
    if episodes is not None and episodes < 1:
        raise InputError("episodes", str(episodes), "a number of at least 1, or None for all")
    in_memory = _need(path, slice(episodes), in_memory)
    with h5py.File(path, "r") as f:
        length, offset = (f[name][:episodes].astype(np.int64) for name in ("ep_len", "ep_offset"))
        written, about = seal.read(path, f), made(f)
        columns = _columns(path, f, length, offset, COLUMNS if in_memory else COLUMNS.keys() - {"pixels"})
        if not in_memory:
            stored = Stored(path, np.arange(length.sum()), f["pixels"].shape[1:3])
            columns = {name: columns.get(name, stored) for name in COLUMNS if name in columns or name == "pixels"}
    nan = np.isnan(columns["action"])
    columns["action"] = np.where(nan, 0, columns["action"]).astype(np.float32)
    digests = _digests(columns)
    seal.check(path, written, digests)
    if "gripper" not in columns and (found := gripper(columns["observation"])) is not None:
        columns["gripper"] = found
    return Data(columns, about, int(nan.sum()), digests)


def read_episodes(path: str | Path) -> Iterator[Episode]:
    """The episodes of a dataset without their signals, one at a time; no more than one is held in memory."""
    _need(path)
    with h5py.File(path, "r") as f:
        written = seal.read(path, f)
        for i, own in enumerate(_one_by_one(path, f, COLUMNS if written else FRAMES)):
            if written:  # of an episode as a whole, so that its signals are read as well
                seal.check(path, written, _digests(own), i)
            text = {name: str(own[name][0]) if name in own else "" for name in ("episode_id", "task")}
            yield Episode(text["episode_id"] or f"episode-{i:06d}", own["pixels"], own["action"], own["observation"],
                          text["task"])


def damage(path: str | Path) -> list[str]:
    """What is wrong with a dataset, as sentences: violations of the contract, and what is not as it was written."""
    if problems := trial.validate(path):
        return problems
    try:
        with h5py.File(path, "r") as f:
            written = seal.read(path, f)
            for i, found in enumerate(digests_in(path, f) if written else ()):
                seal.check(path, written, [found], i)
    except InputError as error:
        return [f"{error.where.removeprefix(str(path)).lstrip(', ')} {error.found}".strip()]
    return []


def digests_in(path: str | Path, f: h5py.File) -> Iterator[str]:
    """The digest of each episode as it lies in a file; no more than one episode is held in memory."""
    for own in _one_by_one(path, f, COLUMNS):
        yield from _digests(own)


def _one_by_one(path: str | Path, f: h5py.File, names: Container[str]) -> Iterator[dict[str, np.ndarray]]:
    """Each episode's own columns, as far as they are among `names`."""
    opened = {name: f[name] for name in COLUMNS if name in f}  # looking one up takes as long as reading from it
    for length, offset in zip(f["ep_len"][:], f["ep_offset"][:], strict=True):
        yield _columns(path, opened, np.array([length], np.int64), np.array([offset], np.int64), names)


def _columns(path: str | Path, f: Mapping[str, h5py.Dataset], length: np.ndarray, offset: np.ndarray,
             names: Container[str] = COLUMNS) -> dict[str, np.ndarray]:
    """The contract's columns in a file, as far as they are among `names`, for consecutive episodes."""
    found = {"ep_len": length, "ep_offset": offset}
    return {c.name: found[c.name] if c.name in found else _column(path, f[c.name], c, length, offset)
            for c in COLUMNS.values() if c.name in f and (c.name in names or c.name in found)}


def _taken(value: np.ndarray | Stored, rows: np.ndarray) -> np.ndarray | Stored:
    return value.take(rows) if isinstance(value, Stored) else value[rows]


def _need(path: str | Path, together: slice | None = None, pixels: bool | None = True) -> bool:
    """InputError unless the file is there, keeps the contract, and fits into the free memory.

    together: which episodes are to be in memory at once; None: one at a time. pixels: whether theirs are; None: if they
    fit. Returns whether they are.
    """
    if not Path(path).exists():
        raise InputError(path, "no such file", "a dataset", "Run notebook 02_extraction first, or give another path.")
    found = trial.structure(path)
    if not found.problems:
        lengths = found.lengths[together] if together else found.lengths.max(keepdims=True)
        pixels = memory.fits(found, lengths) if pixels is None else pixels
        memory.check(path, found, lengths, pixels)
    if problems := found.problems + trial.values(path, found):
        raise InputError(path, "; ".join(problems), "a dataset that keeps the contract",
                         "lewm_core.dataset.contract.COLUMNS is the contract.")
    return bool(pixels)


def _column(path: str | Path, data: h5py.Dataset, column: Column, length: np.ndarray,
            offset: np.ndarray) -> np.ndarray:
    """The part of a column that belongs to consecutive episodes; text, which stands at every frame, once for each."""
    start, stop = int(offset[0]), int(offset[-1] + length[-1])
    try:
        if column.dtype == "str":
            return texts(data, offset)
        values = np.empty((stop - start, *data.shape[1:]), column.dtype)
        for first, part in pieces(data, start, stop):
            values[first - start : first - start + len(part)] = part
    except Damaged as damage:
        episode = int(np.searchsorted(offset, damage.frame, side="right")) - 1
        raise InputError(f"{path}, column {column.name}", f"data that cannot be read at frame {damage.frame}, "
                         f"in episode {episode} ({damage.reason})", "an undamaged file",
                         "Copy or make the file again.") from None
    return np.repeat(values, 3, axis=-1) if column.name == "pixels" and values.shape[-1] == 1 else values


def _digests(columns: Mapping[str, np.ndarray]) -> tuple[str, ...]:
    """Of each episode the digest of what was read: the same for the same content, however the file is compressed."""
    lengths = columns["ep_len"]
    stops = np.cumsum(lengths)
    found = []
    for i, (length, stop) in enumerate(zip(lengths, stops, strict=True)):
        parts: list[str | memoryview] = []
        for name, values in columns.items():
            if COLUMNS[name].axis == "E":
                continue  # the length is in the shapes
            if values.dtype == object:
                parts += [name, str(values[i])]
            else:
                own = np.ascontiguousarray(values[stop - length : stop])
                if name == "action" and np.isnan(own).any():  # as `load` reads them
                    own = np.where(np.isnan(own), 0, own).astype(own.dtype)
                parts += [name, repr((own.shape, str(own.dtype))), own.data.cast("B")]
        found.append(digest(*parts))
    return tuple(found)
