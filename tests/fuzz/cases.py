"""What a case is: a kind of input, a mutation of it, a door through which it goes in, and what may come of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

T = TypeVar("T")
SECONDS, MEMORY = 20, 2 * 2**30  # of a case: more is a hang, or too much memory
FINE = ("ok", "error", "redone", "unsigned")
OUTCOMES = {
    "ok": "as with the undamaged input, or a harmless value accepted",
    "error": "one error that names the file",
    "redone": "what we had written was named as damaged, or made again",
    "unsigned": "another result; the format has no checksum, and we did not write the file",
    "silent": "another result without an error, where a checksum could tell",
    "unclear": "an error that does not name the file, is no single one, or could drive a terminal",
    "traceback": "another exception than the one for bad input",
    "crash": "the process died by a signal",
    "hang": f"over {SECONDS} s of work, or of waiting for what never comes",
    "memory": f"over {MEMORY / 2**30:.0f} GB more, or an allocation that failed",
    "executed": "code of the file was run",
    "outside": "a file outside the folder was opened",
    "left": "half a result left behind",
    "broken": "the case could not be made: a fault of the campaign's own",
}


class Found(NamedTuple):
    """What came of an input. values: part -> digest of what was read. errors: part or file -> its error."""

    values: dict[str, str]
    errors: dict[str, str]


class Damage(NamedTuple):
    """What was done to an input. files: relative to its folder. forged: what checksums there are were made to fit."""

    what: str
    files: tuple[str, ...] = ()
    forged: bool = False


@dataclass
class Place:
    """Where a case happens. folder: the input. outside, canary: what nothing in it may open or make. work: for results.

    rng: all chance of the case.
    """

    root: Path
    rng: np.random.Generator
    part: str = ""  # folder in the input to which a mutation keeps

    @property
    def folder(self) -> Path:
        return self.root / "in" / self.part

    @property
    def outside(self) -> Path:
        return self.root / "outside"

    def one(self, options: Sequence[T]) -> T:
        """One of several, at random."""
        return options[self.rng.integers(len(options))]

    @property
    def canary(self) -> Path:
        return self.root / "canary"

    @property
    def work(self) -> Path:
        return self.root / "work"


Mutation = Callable[[Place], Damage]
Door = Callable[[Path, Path], Found]  # (folder of the input, folder for results)


class Case(NamedTuple):
    """kind: of input. door: what reads it. number: of the case within its kind."""

    kind: str
    number: int
    mutation: str
    door: str
    seed: int


class Verdict(NamedTuple):
    case: Case
    outcome: str
    damage: str
    detail: str
    seconds: float
    values: Mapping[str, str]


class Task(NamedTuple):
    """All that a case needs. pristine: folder with the undamaged input. reference: what came of that at this door.

    signed: (relative path, forged) -> whether a change of that file can be told.
    asks: whether errors need not name a file.
    """

    case: Case
    pristine: Path
    mutate: Mutation
    door: Door
    reference: Mapping[str, str] | None
    signed: Callable[[str, bool], bool] = lambda *_: False
    asks: bool = False


def generator(case: Case) -> np.random.Generator:
    return np.random.default_rng([case.seed, case.number, *case.kind.encode()])
