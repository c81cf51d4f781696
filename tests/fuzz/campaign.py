"""Which cases there are, what they are compared with, and the tables of what came of them; see `__main__`."""

import argparse
import csv
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np
import torch

from tests.fuzz.cases import FINE, OUTCOMES, SECONDS, Case, Task, Verdict
from tests.fuzz.judge import judge
from tests.fuzz.kinds import Kind, kinds, untouched


def cases(known: dict[str, Kind], names: list[str], total: int, seed: int) -> list[Case]:
    """So many cases, evenly over the kinds; within one, every mutation once before any comes twice."""
    numbers = range(-(-total // len(names)))
    return [one(known[name], name, number, seed) for number in numbers for name in names][:total]


def one(kind: Kind, name: str, number: int, seed: int) -> Case:
    """The case of that number: its mutation, in an order of the seed's, and the door, another in each round."""
    mutations, doors = sorted(kind.mutations), list(kind.doors)
    round_, place = divmod(number, len(mutations))
    order = np.random.default_rng([seed, *name.encode()]).permutation(len(mutations))
    return Case(name, number, mutations[order[place]], doors[(round_ + place) % len(doors)], seed)


class Campaign:
    """Undamaged inputs, what comes of them at each door, and the verdicts on damaged ones.

    scratch: an empty folder for all of it.
    """

    def __init__(self, scratch: Path, jobs: int = 2, seconds: float = SECONDS):
        self.pristine, self.scratch, self.jobs, self.seconds = scratch / "pristine", scratch / "cases", jobs, seconds
        self.kinds = kinds(self.pristine)
        self.references: dict[tuple[str, str], dict[str, str]] = {}

    def run(self, chosen: list[Case]) -> Iterator[Verdict]:
        self._make({case.kind for case in chosen} | {"hdf5", "safetensors"})
        wanted = dict.fromkeys((case.kind, case.door) for case in chosen)
        for verdict in judge([self._undamaged(*pair) for pair in wanted if pair not in self.references], self.scratch,
                             self.jobs, self.seconds):
            if verdict.outcome != "ok":
                raise AssertionError(f"undamaged {verdict.case}: {verdict.outcome}, {verdict.detail}")
            self.references[verdict.case.kind, verdict.case.door] = verdict.values
        yield from judge(map(self._task, chosen), self.scratch, self.jobs, self.seconds)

    def _make(self, names: Iterable[str]) -> None:
        """The undamaged inputs, in a process of its own: making them may start threads."""
        for name in names:
            folder = self.pristine / name
            if not folder.exists():
                pid = os.fork()
                if pid == 0:
                    folder.mkdir(parents=True)
                    self.kinds[name].make(folder)
                    os._exit(0)
                assert os.waitpid(pid, 0)[1] == 0, f"no undamaged {name} could be made"

    def _undamaged(self, name: str, door: str) -> Task:
        kind = self.kinds[name]
        return Task(Case(name, 0, "none", door, 0), self.pristine / name, untouched, kind.doors[door], None)

    def _task(self, case: Case) -> Task:
        kind = self.kinds[case.kind]
        return Task(case, self.pristine / case.kind, kind.mutations[case.mutation], kind.doors[case.door],
                    self.references[case.kind, case.door], kind.signed, kind.asks)


def again(case: Case) -> str:
    """The command that repeats a case."""
    return f"python -m tests.fuzz --only {case.kind} --case {case.number} --seed {case.seed}"


def write(folder: Path, verdicts: list[Verdict]) -> None:
    """The table and the list of failures."""
    folder.mkdir(parents=True, exist_ok=True)
    counts = Counter((v.case.kind, v.case.mutation, v.outcome) for v in verdicts)
    with open(folder / "table.csv", "w", newline="") as f:
        csv.writer(f).writerows([("kind", "mutation", "outcome", "count"),
                                 *((*key, counts[key]) for key in sorted(counts))])
    with open(folder / "failures.csv", "w", newline="") as f:
        rows = [(v.outcome, v.case.kind, v.case.mutation, v.case.door, v.damage, again(v.case), v.detail)
                for v in verdicts if v.outcome not in FINE]
        header = ("outcome", "kind", "mutation", "door", "damage", "command", "detail")
        csv.writer(f).writerows([header, *sorted(rows)])


def summary(verdicts: list[Verdict]) -> str:
    """A line a kind, a column an outcome that occurred."""
    counts = Counter((v.case.kind, v.outcome) for v in verdicts)
    columns = [outcome for outcome in OUTCOMES if any(outcome == found for _, found in counts)]
    names = list(dict.fromkeys(v.case.kind for v in verdicts))
    lines = [["kind", *columns], *([name, *(str(counts[name, c] or "") for c in columns)] for name in names),
             ["all", *(str(sum(counts[n, c] for n in names)) for c in columns)]]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)


def options(known: Iterable[str], description: str | None) -> argparse.ArgumentParser:
    p = argparse.ArgumentParser("python -m tests.fuzz", description=description,
                                formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--cases", type=int, default=1000, metavar="N", help="how many, over all kinds (default: 1000)")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--only", metavar="KIND,…", help=f"some of {', '.join(known)}")
    p.add_argument("--mutation", metavar="NAME,…", help="only such cases of those chosen")
    p.add_argument("--case", type=int, metavar="N", help="this case of one kind, shown whole")
    p.add_argument("--quick", action="store_true", help="each kind's cheapest way in only")
    p.add_argument("--jobs", type=int, default=2, metavar="N", help="processes at a time (default: 2)")
    p.add_argument("--seconds", type=float, default=SECONDS, metavar="S", help=f"a hang is more (default: {SECONDS})")
    p.add_argument("--output", type=Path, default=Path("runs/fuzz"), metavar="DIR", help="default: runs/fuzz")
    return p


def choose(given: argparse.Namespace, known: dict[str, Kind]) -> list[Case]:
    names = given.only.split(",") if given.only else [name for name in known if name != "planted"]
    if given.case is not None:
        return [one(known[name], name, given.case, given.seed) for name in names]
    chosen = cases(known, names, given.cases, given.seed)
    if given.quick:
        chosen = [case._replace(door=next(iter(known[case.kind].doors))) for case in chosen]
    return [case for case in chosen if not given.mutation or case.mutation in given.mutation.split(",")]


def main(argv: list[str] | None = None, description: str | None = None) -> int:
    """Try the cases that `argv` asks for; 1 where one failed."""
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="fuzz.") as scratch:
        given = options(kinds(Path(scratch)), description).parse_args(argv)
        campaign = Campaign(Path(scratch), given.jobs, given.seconds)
        began, verdicts = time.monotonic(), []
        for verdict in campaign.run(choose(given, campaign.kinds)):
            verdicts.append(verdict)
            if given.case is not None:
                print(*verdict[:5], sep="\n")
            elif len(verdicts) % 100 == 0:
                write(given.output, verdicts)  # so that an interrupted campaign leaves what it found
                print(f"{len(verdicts)} cases in {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    if given.case is None:
        write(given.output, verdicts)
        print(summary(verdicts),
              f"\n{len(verdicts)} cases in {time.monotonic() - began:.0f} s; {given.output}/failures.csv")
    return int(any(v.outcome not in FINE for v in verdicts))
