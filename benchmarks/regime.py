"""The search for the settings of the profile `laptop`, by the rule in docs/preregistration.md.

    ./run_all.sh bench regime [--output runs/regime] [--jobs N]

Runs only A, its references (base, lr-0), the positive control P and its twin P-shuf, never a signal of the paper, on
simulated episodes that the study itself never draws (another seed of the simulator). The outcomes of every run stand in
docs/regime.csv, and what stands there is not run again; what they say is written to docs/regime.md. About 40 minutes
on two cores.
"""

import argparse
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import pandas as pd

from lewm_core.config import BATCH_NORM, Recipe
from lewm_core.stats.gates import GATES
from lewm_core.stats.levels import REFERENCES
from lewm_core.stats.outcomes import OUTCOME, POSITIVE, SHUFFLED, SPLIT, over_persistence
from lewm_core.stats.paired import interval
from lewm_core.stats.values import Values
from lewm_core.study import Study
from lewm_core.utils.files import replacing, write_csv
from lewm_core.utils.workspace import SCALES

ROOT = Path(__file__).parents[1]
TABLE, PAGE = ROOT / "docs" / "regime.csv", ROOT / "docs" / "regime.md"
SIMULATOR, CANDIDATES, SEEDS = 1, 300, 3  # the study's simulator has seed 0
CONTROL = (POSITIVE, POSITIVE + SHUFFLED)
METRICS = (OUTCOME, over_persistence(OUTCOME), "mse_over_static", "mse")
COLUMNS = ["looks", "batch_norm", "lr", "steps", "condition", "scale", "seed", "split", "metric", "value"]
RATES, LOOKS = (2e-4, 5e-4, 1e-3), (1, 2, None)


@dataclass(frozen=True)
class Cell:
    """One setting that is tried. looks: kitchens of the target world, None for all."""

    looks: int | None = 1
    batch_norm: str = "paper"
    lr: float = 5e-4
    steps: int = 800

    @property
    def recipe(self) -> Recipe:
        return Recipe(steps=self.steps, lr=self.lr, batch_norm=self.batch_norm, directions=256)


def study_of(looks: int | None, output: Path) -> Study:
    """The study of that world, its episodes drawn and its signals made."""
    folder = output / f"looks_{looks or 'all'}"
    settings = {"looks": "null" if looks is None else looks, "seed": SIMULATOR, "n_candidates": CANDIDATES,
                "n_top": CANDIDATES, "pilot_seeds": SEEDS, "full_seeds": SEEDS}
    options = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
    subprocess.run([ROOT / "run_all.sh", "--profile", "laptop", "--only", "01,02", "--output", folder, *options],
                   check=True, stdout=sys.stderr)
    return Study(folder, folder / "figures", "laptop", "tabletop")


def measure(cell: Cell, conditions: Sequence[str], output: Path, jobs: int) -> Values:
    """The results of a cell; what TABLE does not hold of it is run, and added to it."""
    table = pd.read_csv(TABLE, dtype={"looks": str}) if TABLE.exists() else pd.DataFrame(columns=COLUMNS)
    label = asdict(cell) | {"looks": str(cell.looks or "all")}
    own = table[(table[list(label)] == pd.Series(label)).all(axis=1)]
    left = [name for name in conditions if name not in set(own.condition)]
    if left:
        study = study_of(cell.looks, output)
        start = study.base("tabletop", "small")
        found = [study.run(left, scale, range(SEEDS), start, cell.recipe, jobs) for scale in SCALES]
        found = pd.concat(found)
        found = found[found.metric.isin(METRICS) & (found.split == SPLIT)].assign(**label)[COLUMNS]
        write_csv(TABLE, pd.concat([table, found]) if len(table) else found)
        own = pd.concat([own, found]) if len(own) else found
    return Values(own)


def rows_told(values: Values, looks: str, conditions: Iterable[str]) -> Iterator[tuple[str, ...]]:
    """Of each condition and scale the outcome (cm), and its change against A with its interval and its scatter."""
    for scale in SCALES:
        for name in conditions:
            row = looks, scale, name, f"{values.of(name, scale, OUTCOME, SPLIT).mean():.2f}"
            change = values.change(name, "A", scale, OUTCOME, SPLIT) if name != "A" else None
            if change is None:
                yield *row, "", ""
                continue
            low, high = interval(change)
            yield *row, f"{change.mean():+.1f} % [{low:.1f}, {high:.1f}]", f"{change.std(ddof=1):.1f}"


def of_a(values: Values) -> float:
    """A's outcome, its mean over seeds and over both scales: what batch normalisation and rate are chosen by."""
    return sum(values.of("A", scale, OUTCOME, SPLIT).mean() for scale in SCALES) / len(SCALES)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A table in Markdown, by lines."""
    return ["| " + " | ".join(row) + " |" for row in (header, ["---"] * len(header), *rows)] + [""]


def page(norms: Mapping[str, float], rates: Mapping[str, float], opened: Mapping[str, Mapping[str, bool]],
         rows: Iterable[Sequence[str]]) -> str:
    """What was found, as Markdown: A's outcome by batch normalisation and by rate, the gates by looks, and `rows`."""
    found = []
    for what, values in (("batch normalisation", norms), ("learning rate", rates)):
        best = min(values, key=values.get)
        found += [(f"{what} {name}", f"{value:.2f}", "chosen" * (name == best)) for name, value in values.items()]
    gates = [(looks, *("open" if is_open else "shut" for is_open in of.values())) for looks, of in opened.items()]
    every = [looks for looks, of in opened.items() if all(of.values())]
    return "\n".join([
        "# What the search for the settings of `laptop` found", "",
        f"Written by `benchmarks/regime.py` from `regime.csv`: {SEEDS} seeds, simulated episodes of another seed than",
        f"the study's. The outcome is `{OUTCOME}` in cm, on unseen episodes. A's, its mean over both sizes:", "",
        *table(("", "A (cm)", ""), found),
        "The gates, each open only if it is at both sizes:", "",
        *table(("looks", *next(iter(opened.values()))), gates),
        f"All are open at: {', '.join(every) or 'no number of looks'}.", "",
        *table(("looks", "size", "condition", "cm", "against A", "sd"), rows)])


def open_gates(values: Values) -> dict[str, bool]:
    """The gates of A and P at both scales together; that of the heads belongs to the signals, which are not run."""
    asked = {name: ask for name, (_, ask) in GATES.items() if name != "head"}
    return {name: all(ask(values, "A", scale, OUTCOME, SPLIT)[0] for scale in SCALES) for name, ask in asked.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=ROOT / "runs" / "regime")
    parser.add_argument("--jobs", type=int, default=0)
    options = parser.parse_args()
    by = options.output, options.jobs

    norms = {name: of_a(measure(Cell(batch_norm=name), ("A",), *by)) for name in BATCH_NORM}
    cell = Cell(batch_norm=min(norms, key=norms.get))
    rates = {rate: of_a(measure(replace(cell, lr=rate), ("A",), *by)) for rate in RATES}
    cell = replace(cell, lr=min(rates, key=rates.get))
    opened, rows = {}, []
    for looks in LOOKS:
        values = measure(replace(cell, looks=looks), (*REFERENCES, *CONTROL), *by)
        name = str(looks or "all")
        opened[name] = open_gates(values)
        rows += rows_told(values, name, (*REFERENCES, *CONTROL))
    with replacing(PAGE) as path:
        path.write_text(page(norms, {f"{rate:g}": of for rate, of in rates.items()}, opened, rows))
    print(PAGE.read_text())


if __name__ == "__main__":
    main()
