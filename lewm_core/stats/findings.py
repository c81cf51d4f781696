"""What notebooks 03 to 05 found, in sentences that are true whatever the numbers are.

Every function takes tidy tables and returns lines of Markdown. Where a choice of conditions, seeds or splits left
something out, the lines say so.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from lewm_core.stats import paper
from lewm_core.stats.paired import describe, describe_order, judged, number, power_note
from lewm_core.stats.power import can_show
from lewm_core.utils.workspace import SCALES

WORDS = {"episode": "held-out episodes", "window": "held-out windows"}  # of a split
NO_EFFECT = ["Not run: no condition but A, so there is nothing to compare."]


def on(table: pd.DataFrame) -> str:
    """What the rows of `paired.judged` were measured on, in words."""
    return WORDS[table.split.iloc[0]] if len(table) else WORDS["episode"]


def not_run(skipped: pd.DataFrame) -> list[str]:
    """The conditions that were left out, with the reason. skipped: condition, scale, reason."""
    if skipped.empty:
        return ["No condition was left out."]
    return [f"- {row.condition} was not run ({row.scale}): {row.reason}" for row in skipped.itertuples()]


def persistence(results: pd.DataFrame, condition: str = paper.BASELINE) -> list[str]:
    """In how many seeds a condition beats the persistence baseline, by scale. results: with metric mse_over_static."""
    rows = judged(results[(results.condition == condition) & (results.metric == "mse_over_static")])
    if rows.empty:
        return [f"Not run: {condition} was not compared with persistence."]
    told = [f"in **{(of.value < 1).sum()} of {len(of)}** seeds ({scale}, mean ratio {of.value.mean():.3f})"
            for scale, of in rows.groupby("scale", sort=False)]
    return [f"On {on(rows)} {condition} beats persistence {', '.join(told)}."]


def effects(summary: pd.DataFrame, power: pd.DataFrame | None = None, figure: int = 1) -> list[str]:
    """Each condition's change against A with its interval, beside the paper's, and what the seeds can show.

    summary: as from `paired.summarise`, of one metric. power: as from `power.power_table`; None leaves that out.
    figure: of the paper, whose numbers are set beside ours.
    """
    rows = judged(summary)
    if rows.empty:
        return NO_EFFECT
    lines = [f"On **{on(rows)}**. {power_note(int(rows.n.max()))}", ""]
    several = rows.scale.nunique() > 1
    for row in rows.itertuples():
        reported = paper.reported(figure, row.scale).get(row.condition)
        line = f"- {row.scale + ' ' if several else ''}{describe(row, reported)}."
        if power is not None:
            own = power[(power.condition == row.condition) & (power.scale == row.scale) & (power.split == row.split)]
            line += f" {_sentence(can_show(own.iloc[0]))}"
        lines.append(line)
    return lines


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + "."


def reach(power: pd.DataFrame, figure: int = 1) -> list[str]:
    """How many of the paper's effects so many seeds would find, and how many seeds its band of no effect takes."""
    rows = judged(power)
    if rows.empty:
        return NO_EFFECT
    if rows.n.max() < 2:
        return ["One seed says nothing of the scatter, so nothing of power."]
    rows = rows[rows.n > 1]
    reported = paper.reported(figure)
    ours = rows[rows.condition.isin(reported.index)]
    found = [row.condition for row in ours.itertuples() if row.mde < abs(reported[row.condition])]
    named = f" ({', '.join(found)})" if found else ""
    return [f"These {rows.n.max()} seeds would find the paper's own effect for {len(found)} of the {len(ours)} "
            f"conditions of its Figure {figure} that were run{named}. Telling ±{paper.FULL_SCALE_BAND} % from 0 would "
            f"take between {rows.seeds.min()} and {rows.seeds.max()} seeds."]


def leak(summary: pd.DataFrame, condition: str = paper.BASELINE) -> list[str]:
    """How far the split by windows leaks, one line per scale. summary: as from `leakage.leak_summary`."""
    lines = []
    for scale, rows in summary[summary.condition == condition].groupby("scale", sort=False):
        of = {row.measure: row for row in rows.itertuples()}
        if "seen_window" not in of:
            lines.append(f"- {scale}: not run, since no windows were held out.")
            continue
        line = (f"- {scale}, n = {of['seen_window'].n}: of the frames in windows held out at random "
                f"{of['seen_window'].mean:.0f} % were trained on")
        if "gap" not in of:
            lines.append(line + ". No episodes were held out to compare with.")
            continue
        line += (f", of those in held-out episodes {of['seen_episode'].mean:.0f} %. The MSE on unseen episodes differs "
                 f"by {_percent(of['gap'])} from that on held-out windows of training episodes")
        if "leak" in of:
            line += f"; beyond what the base shows on the same windows, by {_percent(of['leak'])}"
        lines.append(line + ".")
    return lines or ["- The leak was not measured."]


def _percent(row: tuple) -> str:
    """Mean and interval of a row with mean, low and high, in per cent."""
    return f"{number(row.mean)} %" + (f" [{number(row.low)}, {number(row.high)}]" if np.isfinite(row.low) else "")


def splits_differ(changes: pd.DataFrame) -> list[str]:
    """For how many conditions the sign of the mean effect depends on the split. changes: of one metric and scale."""
    if changes.split.nunique() < 2:
        return ["- The effects were measured on one split only, so nothing can be said of how they depend on it."]
    names = changes.condition.unique()
    means = changes.groupby(["condition", "split"]).change.mean().unstack("split")
    differ = [name for name in names if np.sign(means.loc[name]).nunique() > 1]
    named = f" ({', '.join(differ)})" if differ else ""
    return [f"- The sign of the mean effect differs between the splits for {len(differ)} of {len(names)} conditions"
            f"{named}; Figure 1 shows both."]


def over_metrics(summary: pd.DataFrame, errors: Sequence[str]) -> list[str]:
    """By how many metrics each condition's mean is better than A's, and where the interval excludes 0.

    summary: as from `paired.summarise`, of several metrics. errors: those for which lower is better.
    """
    rows = judged(summary)
    rows = rows[rows.metric.isin(errors)]
    lines = []
    for name in rows.condition.unique():
        own = rows[rows.condition == name]
        sure = [f"{row.metric} ({'better' if row.mean < 0 else 'worse'})" for row in own.itertuples()
                if row.low > 0 or row.high < 0]
        excluded = f"the interval excludes 0 for {', '.join(sure)}" if sure else "no interval excludes 0"
        lines.append(f"- {name}: the mean is better than A's by {(own['mean'] < 0).sum()} of {len(own)} metrics; "
                     f"{excluded}.")
    return lines or NO_EFFECT


def head_losses(curve: pd.DataFrame) -> pd.DataFrame:
    """Mean loss of each auxiliary head on training batches in the first and the last epoch, and the change (per cent).

    curve: as from `sweep.curves`: condition, seed, epoch and a column a loss. Indexed by condition and head.
    """
    columns = [c for c in curve if c.startswith("head_")]
    long = curve.melt(["condition", "seed", "epoch"], columns, "head").dropna(subset="value")
    if long.empty:
        return pd.DataFrame(columns=["first epoch", "last epoch", "change"], dtype=float)
    wide = long.groupby(["condition", "head", "epoch"]).value.mean().unstack("epoch")
    ends = pd.DataFrame({"first epoch": wide[wide.columns.min()], "last epoch": wide[wide.columns.max()]})
    ends["change"] = 100 * (ends["last epoch"] / ends["first epoch"] - 1)
    return ends.reindex([name for name in curve.condition.unique() if name in set(long.condition)], level=0)


def heads_learnt(losses: pd.DataFrame, steps: int) -> list[str]:
    """By how much the head losses fell. losses: as from `head_losses`; steps: optimizer steps of a run."""
    if losses.empty:
        return ["Not run: no condition with a head."]
    return [f"Over {steps} optimizer steps (the paper's pilot has about {paper.PILOT_STEPS}) the head losses change by "
            f"between {losses.change.min():+.0f} % and {losses.change.max():+.0f} %."]


def mask_order(summary: pd.DataFrame, areas: Mapping[str, float], weighted: Sequence[str] = ("C4",)) -> list[str]:
    """Does the benefit go one way with the supervised area? Ours beside the paper's.

    areas: condition -> share of the frame that is supervised, in 0..1. weighted: those that read the whole frame with
    other weights, which have no place in the order.
    """
    rows = judged(summary)
    order = sorted((name for name in areas if name not in weighted), key=areas.get)
    if rows.empty or not order:
        return ["Not run: no condition that supervises depth."]
    return [f"Ordered by supervised area, on {on(rows)}:", "",
            f"- ours: {describe_order(rows.set_index('condition')['mean'], order)}",
            f"- the paper: {describe_order(paper.reported(2), order)}"]


def stability(table: pd.DataFrame, order: Sequence[str]) -> list[str]:
    """Does the normalisation change less from frame to frame over a larger region?

    table: condition, episode, scale, shift (`mask_normalisation.frame_to_frame`). order: by supervised area.
    """
    means = table.groupby("condition")[["scale", "shift"]].mean()
    means = means.loc[[name for name in order if name in means.index]]
    if len(means) < 2:
        return ["Not run: fewer than two regions of depth to compare."]
    lines = []
    for what in ("scale", "shift"):
        falls = "falls" if (np.diff(means[what]) <= 0).all() else "does not simply fall"
        told = ", ".join(f"{name} {value:.3f}" for name, value in means[what].items())
        lines.append(f"- The {what}'s frame-to-frame change {falls} as the region grows ({told}).")
    return lines


def scales_differ(scales: pd.DataFrame, scores: Mapping[str, float]) -> list[str]:
    """What varies between pilot and full scale beside the number of episodes.

    scales: a column per scale with rows frames and optimizer steps. scores: scale -> mean curation score.
    """
    if not set(SCALES) <= set(scales):
        return ["Not run: only one of the two scales."]
    pilot, full = (scales[scale] for scale in SCALES)
    told = ", ".join(f"{scale} {score:.3f}" for scale, score in scores.items())
    return [f"Between pilot and full the data grow {full['frames'] / pilot['frames']:.1f}-fold and the optimizer steps "
            f"{full['optimizer steps'] / pilot['optimizer steps']:.1f}-fold. The mean curation score is {told}. So "
            "scale, curation and training length vary together, here as in the paper."]


def flips(summary: pd.DataFrame, conditions: Sequence[str]) -> list[str]:
    """Is each condition better than A at the pilot's scale and not better at full scale? summary: of both scales."""
    rows = judged(summary)
    lines = [f"On **{on(rows)}**:", ""]
    for name in (c for c in conditions if c != paper.BASELINE):
        of = {row.scale: row for row in rows[rows.condition == name].itertuples()}
        if not set(SCALES) <= set(of):
            lines.append(f"- {name}: not run at both scales, so nothing can be said of a flip.")
            continue
        small, large = (of[scale] for scale in SCALES)
        flip = "flips" if small.mean < 0 <= large.mean else "does not flip from better to worse"
        sure = all(row.low > 0 or row.high < 0 for row in (small, large))
        both = "both intervals exclude 0" if sure else "at least one of the two intervals does not exclude 0"
        lines.append(f"- {name}: {_percent(small)} at pilot, {_percent(large)} at full scale. The mean {flip}; {both}."
                     + _papers_flip(name))
    if len(lines) == 2:
        return NO_EFFECT
    full = rows[rows.scale == SCALES[1]]
    inside = (full["mean"].abs() <= paper.FULL_SCALE_BAND).sum()
    return [*lines, "", f"At full scale {inside} of {len(full)} conditions lie within the paper's "
            f"±{paper.FULL_SCALE_BAND} %."]


def _papers_flip(name: str) -> str:
    told = [paper.reported(3, scale).get(name) for scale in SCALES]
    return "" if None in told else f" The paper: {number(told[0])} % and {number(told[1])} %."
