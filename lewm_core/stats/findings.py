"""What the notebooks found, in sentences that are true whatever the numbers are.

Every function takes tidy tables and returns a list of sentences; `viz.shown.tell` shows them. None reads a file. Where
a choice of conditions, seeds or splits leaves nothing to say, the sentence says that.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from lewm_core.stats import paper
from lewm_core.stats.outcomes import PAPERS
from lewm_core.stats.paired import bounds, describe_order, digits, judged, number, pilot_first, power_note
from lewm_core.utils import escape

HELD_OUT = {"episode": "held-out episodes", "window": "held-out windows"}
NO_EFFECT = ["No condition was run beside the baseline, so there is no effect to see."]
FACTS = ("optimizer steps", "mean curation score", "frames an episode")
EXCLUDED = ("neither interval excludes", "one of the two intervals excludes", "both intervals exclude")
BECAME = ("better than {}", "worse than {}", "no change seen", "one seed, no interval")
ONE_SCALE = "not at both scales, so nothing can be said of a flip"


def not_run(skipped: pd.DataFrame) -> list[str]:
    """Which conditions were left out and why. skipped: condition, scale, reason."""
    return [f"Not run at the {row.scale} scale: {row.condition}. {escape.markdown(row.reason)}"
            for row in skipped.itertuples()]


def not_chosen(asked: Sequence[str], results: pd.DataFrame, skipped: pd.DataFrame) -> list[str]:
    """Which of the conditions asked about were not among those of the study, so that nothing is found of them."""
    absent = [name for name in asked if name not in {*results.condition, *skipped.condition}]
    return [f"Not among the conditions chosen: {', '.join(absent)}. Their effects cannot be told."] if absent else []


def persistence(results: pd.DataFrame) -> list[str]:
    """Whether A beats copying the last latent, one sentence a scale. results: tidy, with metric `mse_over_static`."""
    ratios = judged(results[(results.condition == paper.BASELINE) & (results.metric == "mse_over_static")])
    lines = []
    for (scale, split), rows in ratios.groupby(["scale", "split"], sort=False):
        lines.append(f"{scale}: A beats persistence on {HELD_OUT[split]} in {(rows.value < 1).sum()} of {len(rows)} "
                     f"seeds. Its error divided by that of persistence is {rows.value.mean():.3f} in the mean over "
                     "seeds.")
    return lines


def effect_table(summary: pd.DataFrame, able: pd.DataFrame, figure: int) -> pd.DataFrame:
    """Every effect with its interval, the paper's number, and the smallest change that so many seeds detect, per cent.

    summary: as from `paired.summarise`, able: as from `power.power_table`; figure: of the paper.
    """
    rows = pilot_first(judged(summary))[["scale", "condition", "n", "mean", "low", "high", "p_holm"]]
    told = [paper.reported(figure, row.scale).get(row.condition, np.nan) for row in rows.itertuples()]
    detected = judged(able).set_index(["scale", "condition"]).mde.rename("detected")
    table = rows.assign(paper=np.array(told, float)).set_index(["scale", "condition"]).join(detected)
    return table.rename(columns={"p_holm": "p (Holm)", "detected": "detected at 80 %"})


def effects(summary: pd.DataFrame, figure: int) -> list[str]:
    """For which conditions the interval excludes 0 and holds the paper's number. figure: of the paper."""
    rows = pilot_first(judged(summary))
    if rows.empty:
        return NO_EFFECT
    better, worse, neither = [], [], []
    inside, compared = [], []
    for row in rows.itertuples():
        name = f"{row.condition} ({row.scale})" if figure == 3 else row.condition  # the only one of two scales
        if row.high < 0:
            better.append(name)
        elif row.low > 0:
            worse.append(name)
        else:
            neither.append(name)
        reported = paper.reported(figure, row.scale).get(row.condition)
        if reported is not None and row.n > 1:
            compared.append(name)
            if row.low <= reported <= row.high:
                inside.append(name)
    lines = [f"Better than A (the interval lies below 0): {', '.join(better) or 'none'}.",
             f"Worse than A (the interval lies above 0): {', '.join(worse) or 'none'}.",
             f"Neither (the interval includes 0, or there is none): {', '.join(neither) or 'none'}."]
    if compared:
        lines.append(f"Of these the paper reports {len(compared)}. Its number lies inside our interval for "
                     f"{', '.join(inside) or 'none'}.")
    notes = [power_note(n) for n in sorted(set(rows.n))]
    return [*lines, " ".join([f"All of this is on {HELD_OUT[rows.split.iloc[0]]}.", *notes])]


def headline(summary: pd.DataFrame, against: str = paper.BASELINE) -> str:
    """What became of the conditions, for the title of a figure: 'better than A: B −3.3 %; no change seen: D +0.4 %'.

    summary: rows of one scale, split and metric with condition, mean, low, high (per cent). Of one condition its
    interval is told. 'No change seen' is an interval that includes 0, and no proof that there is none.
    """
    if summary.empty:
        return f"no signal beside {against}" if against != paper.BASELINE else "no condition beside the baseline"
    if len(summary) == 1:
        (row,) = summary.itertuples()
        shown = digits(row.mean, row.low, row.high)
        return f"{row.condition} {number(row.mean, shown)} %{bounds(row.low, row.high, shown)}: {_became(row, against)}"
    told: dict[str, list[str]] = {}
    for row in summary.itertuples():
        told.setdefault(_became(row, against), []).append(f"{row.condition} {number(row.mean, digits(row.mean))} %")
    order = [kind.format(against) for kind in BECAME]
    return "; ".join(f"{kind}: {', '.join(told[kind])}" for kind in order if kind in told)


def _became(row: tuple, against: str) -> str:
    """Of a change with its interval, one of BECAME."""
    better, worse, same, alone = (kind.format(against) for kind in BECAME)
    if not np.isfinite(row.low):
        return alone
    if row.high < 0:
        return better
    return worse if row.low > 0 else same


def reach(able: pd.DataFrame, figure: int) -> list[str]:
    """Whether these seeds would find the paper's own effects. able: rows of `power.power_table` of one split."""
    able = able[able.n > 1]
    if able.empty:
        return ["Nothing can be said of power: that takes two seeds and a condition beside the baseline."]
    told = paper.reported(figure, able.scale.iloc[0])
    compared = able[able.condition.isin(told.index)]
    enough = [row.condition for row in compared.itertuples() if row.mde < abs(told[row.condition])]
    return [f"These {int(able.n.min())} seeds would find the paper's own effect for {len(enough)} of the "
            f"{len(compared)} conditions of its Figure {figure} that were run{_named(enough)}.",
            f"Telling ±{paper.FULL_SCALE_BAND} % from 0 would take {able.seeds.min()} seeds for the condition that "
            f"scatters least and {able.seeds.max()} for the one that scatters most."]


def splits_differ(changes: pd.DataFrame) -> list[str]:
    """For which conditions the sign of the mean effect depends on what is held out."""
    if changes.empty:
        return NO_EFFECT
    means = changes.groupby(["condition", "split"]).change.mean().unstack("split")
    if means.shape[1] < 2:
        return ["Only one kind of data was held out, so the splits cannot be compared."]
    differ = [c for c in changes.condition.unique() if np.sign(means.loc[c]).nunique() > 1]
    return [f"The sign of the mean effect differs between the splits for {len(differ)} of {len(means)} conditions"
            f"{_named(differ)}."]


def over_metrics(summary: pd.DataFrame, errors: Sequence[str]) -> list[str]:
    """Of each condition, by how many metrics it is better than A. summary: of one split; errors: lower is better."""
    rows = summary[summary.metric.isin(errors)]
    lines = []
    for name in rows.condition.unique():
        own = rows[rows.condition == name]
        sure = [f"{row.metric} ({'better' if row.mean < 0 else 'worse'})"
                for row in own.itertuples() if row.low > 0 or row.high < 0]
        shown = "the interval excludes 0 for " + ", ".join(sure) if sure else "no interval excludes 0"
        lines.append(f"{name} is better than A in the mean of {(own['mean'] < 0).sum()} of {len(own)} metrics; "
                     f"{shown}.")
    return lines or NO_EFFECT


def order_by_area(summary: pd.DataFrame, order: Sequence[str]) -> list[str]:
    """Whether the effect goes one way as the supervised area grows: here and in the paper's Figure 2.

    order: conditions, the smallest area first.
    """
    ours, theirs = judged(summary).set_index("condition")["mean"], paper.reported(2)
    lines = []
    for who, values in (("Here", ours), ("The paper", theirs)):
        lines.append(f"{who}: {describe_order(values, order)}.")
    return lines


def steadiness(table: pd.DataFrame) -> list[str]:
    """Whether the normalisation gets steadier as the region grows.

    table: index condition, the smallest region first; columns scale, shift: mean change from frame to frame.
    """
    if len(table) < 2:
        return ["Fewer than two regions: nothing to compare."]
    lines = []
    for name, values in table.items():
        falls = "falls" if (np.diff(values) <= 0).all() else "does not fall steadily"
        each = ", ".join(f"{condition} {value:.3f}" for condition, value in values.items())
        lines.append(f"The {name}'s change from frame to frame {falls} as the region grows ({each}).")
    return lines


def facts(scales: pd.DataFrame) -> pd.DataFrame:
    """What else differs between the scales, for the claims: scale, fact, value. scales: as `Study.sizes` gives them."""
    rows = [(scale, fact, float(scales.loc[fact, scale])) for scale in scales for fact in FACTS]
    return pd.DataFrame(rows, columns=["scale", "fact", "value"])


def growth(scales: pd.DataFrame) -> list[str]:
    """What grows between the scales beside the number of episodes. scales: index a fact, columns pilot and full."""
    factor = scales["full"] / scales["pilot"]
    score = scales.loc["mean curation score"]
    steps = "stay the same" if factor["optimizer steps"] == 1 else f"grow {factor['optimizer steps']:.1f}-fold"
    return [f"From pilot to full scale the frames grow {factor['frames']:.1f}-fold and the optimizer steps {steps}; "
            f"the mean curation score goes from {score['pilot']:.3f} to {score['full']:.3f}."]


def flips(summary: pd.DataFrame, conditions: Sequence[str]) -> list[str]:
    """Of each condition and split, whether the mean goes from better than A (pilot) to not better (full scale)."""
    means = summary.set_index(["split", "condition", "scale"])
    lines = []
    for split in (s for s in HELD_OUT if s in set(summary.split)):
        for name in conditions:
            rows = {s: means.loc[(split, name, s)] for s in ("pilot", "full") if (split, name, s) in means.index}
            lines.append(f"{name}, {HELD_OUT[split]}: {_flip(name, rows)}.")
    return lines or NO_EFFECT


def _flip(name: str, rows: Mapping[str, pd.Series]) -> str:
    if len(rows) < 2:
        return ONE_SCALE
    pilot, full = rows["pilot"], rows["full"]
    shown = digits(pilot["mean"], full["mean"])
    flip = "flips" if pilot["mean"] < 0 <= full["mean"] else "does not flip from better to worse"
    text = (f"{number(pilot['mean'], shown)} % at pilot, {number(full['mean'], shown)} % at full scale, so the mean "
            f"{flip}")
    excluded = sum(row.low > 0 or row.high < 0 for row in rows.values())
    text += f"; {EXCLUDED[excluded]} 0"
    told = [paper.reported(3, scale).get(name) for scale in ("pilot", "full")]
    if pilot["metric"] == PAPERS and None not in told:
        text += f". The paper: {number(told[0])} % and {number(told[1])} %"
    return text


def inside_band(summary: pd.DataFrame) -> list[str]:
    """How many effects at full scale lie within the paper's ±1.3 %."""
    rows = judged(summary[summary.scale == "full"])
    if rows.empty:
        return []
    inside = rows.condition[rows["mean"].abs() <= paper.FULL_SCALE_BAND].tolist()
    return [f"At full scale, on {HELD_OUT[rows.split.iloc[0]]}, {len(inside)} of {len(rows)} mean effects lie within "
            f"the paper's ±{paper.FULL_SCALE_BAND} %{_named(inside)}."]


def _named(names: Sequence[str]) -> str:
    return f" ({', '.join(names)})" if names else ""
