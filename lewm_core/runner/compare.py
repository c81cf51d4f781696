"""`python -m lewm_core compare`: finished runs, studies or checkpoints, as a table and a figure."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from lewm_core import dataset
from lewm_core.conditions import ALL
from lewm_core.experiments import comparable
from lewm_core.experiments.comparable import Found
from lewm_core.stats import comparison
from lewm_core.stats.outcomes import OUTCOME, PAPERS, POSITIVE, SECONDARY, UNTAUGHT
from lewm_core.utils import provenance
from lewm_core.utils.errors import InputError, known
from lewm_core.utils.files import write_csv
from lewm_core.viz import style
from lewm_core.viz.comparison_figure import comparison_figure
from lewm_core.viz.level_panels import arranged

SHOWN = (OUTCOME, *SECONDARY[:1], PAPERS)  # the metrics by default, of those that all runs have
NAME = "comparison"
ALONE = "it is of its own comparison, not corrected for how many there are; p_holm is"


def compare(names: Sequence[str], against: str, metrics: Sequence[str], path: Path | None,
            output: Path | None) -> dict[str, object]:
    """Compare what `names` name (`comparable.gather`) with the condition `against`; returns a report.

    metrics: none for SHOWN. path: of a dataset to evaluate them on. output: folder for the figure and the table.
    """
    runs = comparable.gather(names, None if path is None else dataset.load(path))
    results = comparable.results(runs)
    results = pd.concat([results[results.condition == name] for name in arranged(results.condition)])
    comparison.check_seeds(results, against)
    split = style.first_split(results)
    measured = comparison.comparable_metrics(results, split)
    chosen = [known(measured, name, "--metric") for name in dict.fromkeys(metrics)]
    chosen = chosen or [name for name in SHOWN if name in measured]
    if not chosen:
        raise InputError("runs to compare", f"no metric that all of them have on the {split} split", "the same metrics")
    signals = [name for name in dict.fromkeys(results.condition) if name != against and _is_signal(name)]
    changes, table = comparison.compare(results, against, chosen, split, signals)
    report = {"runs": len(runs), "conditions": list(dict.fromkeys(results.condition)), "split": style.SPLIT[split],
              "change": f"in per cent of {against} at the same seed, with its 95 % interval; below 0 is better",
              "comparison": _rows(table), "verdicts": comparison.told(table), "of each verdict": ALONE,
              "reasons": comparison.reasons(results, table)}
    return report | ({} if output is None else {"written": _write(output, changes, table, _about(runs, path))})


def _is_signal(name: str) -> bool:
    """Whether a condition stands for a signal, neither for a reference nor as a control of another."""
    return name not in (*UNTAUGHT, POSITIVE) and (name not in ALL or bool(ALL[name].terms and not ALL[name].control_of))


def _rows(table: pd.DataFrame) -> list[dict[str, object]]:
    """The table as a person reads it; what has no value is left out."""
    shown = table.drop(columns=["split", "against", "scatter", "reason"])
    return [{name: value for name, value in row.items() if value != "" and value == value}
            for row in shown.to_dict("records")]


def _about(runs: Sequence[Found], path: Path | None) -> dict[str, object]:
    """The origin of the figure."""
    first, sources = runs[0].record, dict.fromkeys(run.record.get("data") for run in runs)
    keys = [{"condition": run.condition, "scale": run.scale, "seed": run.seed, "run": run.key,
             "dataset": run.record["dataset"]} for run in runs]
    data = ", ".join(filter(None, sources)) or "not told"
    evaluated = {} if path is None else {"evaluated_on": path.name}
    return provenance.collect(data=data, seeds=sorted({run.seed for run in runs}), base=first["base"],
                              base_hash=first["base_hash"], recipe=first["recipe"], runs=keys, **evaluated)


def _write(output: Path, changes: pd.DataFrame, table: pd.DataFrame, about: dict[str, object]) -> list[str]:
    """The figure with its numbers and origin, and the table."""
    figure = comparison_figure(changes, table)
    style.add_caption(figure, provenance.caption(about))
    paths = style.save_figure(figure, output / NAME, comparison.numbers(changes, table), about)
    listed = output / f"{NAME}_table.csv"
    write_csv(listed, table)
    return [str(path) for path in (*paths, listed)]
