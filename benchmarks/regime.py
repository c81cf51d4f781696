"""The search for the settings of the profile `laptop`, by the rule in docs/preregistration.md.

    ./run_all.sh bench regime [--output runs/regime] [--jobs N]

Runs only A, its references (base, lr-0), the positive control P and its twin P-shuf, never a signal of the paper, on
simulated episodes that the study itself never draws (another seed of the simulator). The outcomes of every run stand in
docs/regime.csv, and what stands there is not run again; what the rule chooses is printed. About 50 minutes on two
cores.
"""

import argparse
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import pandas as pd

from lewm_core.config import Recipe
from lewm_core.stats.gates import GATES
from lewm_core.stats.outcomes import OUTCOME, SPLIT, over_persistence
from lewm_core.stats.paired import interval
from lewm_core.stats.values import Values
from lewm_core.study import Study
from lewm_core.utils.files import write_csv
from lewm_core.utils.workspace import SCALES

ROOT = Path(__file__).parents[1]
TABLE = ROOT / "docs" / "regime.csv"
SIMULATOR, CANDIDATES, SEEDS = 1, 300, 3  # the study's simulator has seed 0
REFERENCES, CONTROL = ("base", "lr-0", "A"), ("P", "P-shuf")
METRICS = (OUTCOME, over_persistence(OUTCOME), "mse_over_static", "mse")
COLUMNS = ["looks", "batch_norm", "lr", "steps", "condition", "scale", "seed", "split", "metric", "value"]
BATCH_NORMS, RATES, LOOKS = ("paper", "frozen", "recalibrated"), (2e-4, 5e-4, 1e-3), (1, 2, None)


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


def told(values: Values, conditions: Iterable[str]) -> str:
    """Of each condition and scale the outcome (cm), and its change against A with its interval and its scatter."""
    lines = []
    for scale in SCALES:
        for name in conditions:
            line = f"  {scale} {name}: {values.of(name, scale, OUTCOME, SPLIT).mean():.2f} cm"
            change = values.change(name, "A", scale, OUTCOME, SPLIT) if name != "A" else None
            if change is not None:
                low, high = interval(change)
                line += f", {change.mean():+.1f} % [{low:.1f}, {high:.1f}] against A, sd {change.std(ddof=1):.1f}"
            lines.append(line)
    return "\n".join(lines)


def of_a(values: Values) -> float:
    """A's outcome, its mean over seeds and over both scales: what batch normalisation and rate are chosen by."""
    return sum(values.of("A", scale, OUTCOME, SPLIT).mean() for scale in SCALES) / len(SCALES)


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

    found = {name: of_a(measure(Cell(batch_norm=name), ("A",), *by)) for name in BATCH_NORMS}
    cell = Cell(batch_norm=min(found, key=found.get))
    print(f"batch normalisation: {cell.batch_norm}; A at {found} cm", flush=True)

    found = {rate: of_a(measure(replace(cell, lr=rate), ("A",), *by)) for rate in RATES}
    cell = replace(cell, lr=min(found, key=found.get))
    print(f"learning rate: {cell.lr}; A at {found} cm", flush=True)

    opened = {}
    for looks in LOOKS:
        values = measure(replace(cell, looks=looks), (*REFERENCES, *CONTROL), *by)
        opened[looks] = open_gates(values)
        print(f"{looks or 'all'} looks: {opened[looks]}\n{told(values, (*REFERENCES, *CONTROL))}", flush=True)
    chosen = [str(looks or "all") for looks in LOOKS if all(opened[looks].values())]
    print(f"looks: {chosen[-1]}" if chosen else "no number of looks opens every gate", flush=True)


if __name__ == "__main__":
    main()
