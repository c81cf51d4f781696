"""Where every condition stands, in a metric's own unit: the references and the baseline beside the signals.

Changes in per cent hide what A itself is worth. Here each condition has its mean over seeds. Its interval is that of
the difference from A at the same seeds, drawn about this mean: it lies wholly beside A's mean where the paired interval
of the difference excludes 0.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from lewm_core.stats import paper
from lewm_core.stats.outcomes import POSITIVE, SHUFFLED, UNTAUGHT
from lewm_core.stats.paired import (
    CHANGES,
    SPLITS,
    bounds,
    interval,
    judged,
    number,
    paired_change,
    pilot_first,
    summarise,
)

REFERENCES = (*UNTAUGHT, paper.BASELINE)  # the model before, with nothing learnt, and with no signal
COLUMNS = ["condition", "scale", "split", "metric", "n", "mean", "low", "high"]
EFFECTS = [*COLUMNS, "level", "scatter"]


def levels(results: pd.DataFrame, metrics: Sequence[str]) -> pd.DataFrame:
    """Mean over seeds of every condition and metric, on the split that claims rest on: columns COLUMNS.

    results: tidy rows. low, high: see above; NaN for A, and where it shares fewer than two seeds with A. Metrics that
    the results lack have no rows.
    """
    rows = judged(results[results.metric.isin(metrics)])
    found = []
    for (scale, split, metric), group in rows.groupby(["scale", "split", "metric"], sort=False):
        values = group.pivot(index="seed", columns="condition", values="value")
        for name in group.condition.unique():
            own, mean = values[name].dropna(), values[name].mean()
            low, high = np.nan, np.nan
            if name != paper.BASELINE and paper.BASELINE in values:
                away = (own - values[paper.BASELINE]).dropna().to_numpy()
                low, high = (mean + end - away.mean() for end in interval(away)) if len(away) else (np.nan, np.nan)
            found.append([name, scale, split, metric, len(own), mean, low, high])
    return pd.DataFrame(found, columns=COLUMNS)


def beside_baseline(results: pd.DataFrame, metrics: Sequence[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Every condition's change against A on both splits, references included, and its mean in the metric's own unit.

    Returns `paired_change`, and a row per condition, scale, split and metric with the columns of EFFECTS: n, mean, low
    and high of the change (per cent), level, the mean of the metric, and scatter, its standard deviation over seeds in
    per cent of it. A's own change is 0, without interval. Metrics that the results lack have no rows.
    """
    rows = results[results.metric.isin(metrics) & results.split.isin(SPLITS)]
    present = [metric for metric in metrics if metric in set(rows.metric)]
    if not present:
        return pd.DataFrame(columns=CHANGES), pd.DataFrame(columns=EFFECTS)
    changes = paired_change(rows, present, SPLITS)
    key = ["condition", "scale", "split", "metric"]
    values = rows.groupby(key, sort=False).value
    table = pd.DataFrame({"level": values.mean(), "scatter": 100 * values.std() / values.mean(), "n": values.size()})
    found = summarise(changes).set_index(key)[["mean", "low", "high"]]
    table = table.join(found).reset_index()
    table.loc[table.condition == paper.BASELINE, "mean"] = 0.0
    return changes, table[EFFECTS]


def around(results: pd.DataFrame, metric: str, scale: str) -> dict[str, float]:
    """What a metric is read against at a scale: name -> value. Persistence, and for positions the floor: what the map
    from true latents alone loses. Of A's runs; none where they did not measure it."""
    own = judged(results[(results.condition == paper.BASELINE) & (results.scale == scale)])
    lines = {"persistence": 1.0} if metric == "mse_over_static" or metric.endswith("_over_persistence") else {}
    for name in ("persistence", "floor"):
        values = own[own.metric == f"{metric}_{name}"].value
        if len(values):
            lines[name] = values.mean()
    return lines


def reference_table(results: pd.DataFrame, metrics: Sequence[str]) -> pd.DataFrame:
    """Means over seeds of the references at each scale; a column a metric that was measured."""
    rows = judged(results[results.condition.isin(REFERENCES) & results.metric.isin(metrics)])
    table = rows.groupby(["scale", "condition", "metric"], sort=False).value.mean().unstack("metric")
    order = [name for name in REFERENCES if name in set(rows.condition)]
    return table.reindex(order, level="condition").reindex(columns=[m for m in metrics if m in table])


def against_twins(results: pd.DataFrame, metrics: Sequence[str]) -> pd.DataFrame:
    """Each condition that has a twin with other frames' targets, against A and against this twin; the positive control
    against A. Columns scale, metric, condition, against, n, mean, low, high: paired by seed, per cent of the reference.
    By metric in the order given, then by scale.
    """
    rows = judged(results[results.metric.isin(metrics)])
    names = dict.fromkeys(rows.condition)
    pairs = [(name, against) for name in names if name + SHUFFLED in names
             for against in (paper.BASELINE, name + SHUFFLED)]
    if POSITIVE in names and POSITIVE + SHUFFLED not in names:
        pairs.append((POSITIVE, paper.BASELINE))
    found = []
    for name, against in pairs:
        pair = rows[rows.condition.isin([name, against])]
        present = [metric for metric in metrics if metric in set(pair.metric)]
        both = pair[pair.groupby(["scale", "seed", "metric"]).condition.transform("nunique") == 2]
        if len(both):
            summary = summarise(paired_change(both, present, SPLITS, against))
            found.append(summary.assign(against=against))
    columns = ["scale", "metric", "condition", "against", "n", "mean", "low", "high"]
    if not found:
        return pd.DataFrame(columns=columns)
    table = pilot_first(pd.concat(found, ignore_index=True)[columns])
    return table.sort_values("metric", key=lambda metric: metric.map(list(metrics).index), kind="stable")


def told(table: pd.DataFrame, metric: str) -> list[str]:
    """What `against_twins` found by one metric, a sentence a scale and condition."""
    lines = []
    for (scale, name), rows in table[table.metric == metric].groupby(["scale", "condition"], sort=False):
        each = [f"{number(row.mean)} %{bounds(row.low, row.high)} against {row.against}" for row in rows.itertuples()]
        lines.append(f"{scale}, {name}, by {metric}: {' and '.join(each)}.")
    return lines or [f"No condition with a twin was judged by {metric}."]
