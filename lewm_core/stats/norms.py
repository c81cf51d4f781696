"""What each way of batch normalisation makes of the baseline, and of a model that learns nothing."""

from collections.abc import Iterator, Sequence

import pandas as pd

from lewm_core.stats import paper
from lewm_core.stats.arms import Arms
from lewm_core.stats.outcomes import BASE, LR_0, SPLIT
from lewm_core.stats.paired import bounds, interval, number


def describe(arms: Arms, metrics: Sequence[str], used: str) -> list[str]:
    """A sentence for each way of batch normalisation, and one on which is best for A by the first of the metrics.

    arms: of question `batch_norm`, whose arms are the ways, the paper's first. used: that of the main study.
    """
    lines = [f"{arm}: {'; '.join(_way(arms, arm, metrics))}." for arm in arms.names]
    rows = arms.rows[(arms.rows.condition == paper.BASELINE) & (arms.rows.metric == metrics[0])]
    means = rows[rows.split == SPLIT].groupby("arm").value.mean()
    if len(means):
        lines.append(f"By {metrics[0]} A is best under {means.idxmin()!r}. The main study has {used!r}.")
    return lines


def _of_a(arms: Arms, arm: str, metric: str) -> pd.Series | None:
    return arms.values.of(paper.BASELINE, arm, metric, SPLIT)


def _way(arms: Arms, arm: str, metrics: Sequence[str]) -> Iterator[str]:
    """What is said of one way, by each metric."""
    first = arms.names[0]
    for metric in metrics:
        own, reference = (_of_a(arms, each, metric) for each in (arm, first))
        if own is None or reference is None:
            yield f"A has no {metric}"
            continue
        text = f"A's {metric} is {own.mean():.3g}"
        if arm != first:
            text += f", {_effect(100 * (own / reference - 1).dropna())} against {first!r}"
        still = arms.values.change(LR_0, BASE, arm, metric, SPLIT)
        yield text if still is None else f"{text}, and {LR_0}'s {_effect(still)} against the base's"


def _effect(changes: pd.Series) -> str:
    """'+3.1 % [1.0, 5.2]'; one seed says so."""
    low, high = interval(changes)
    return f"{number(changes.mean())} %{bounds(low, high) or ' (one seed)'}"
