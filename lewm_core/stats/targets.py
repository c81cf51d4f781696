"""Does a signal act by what its target says of the frame, or does any target do as much?

A head whose target says nothing of the frame can change a model too: it adds noise to the gradient, and a weight that
keeps the latents apart. So a condition is compared with its *twins*, the same head with wrong targets, with shares of
wrong targets, and with a head whose gradient does not reach the encoder.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from lewm_core.stats import contrasts, paper, verdicts
from lewm_core.stats.arms import Arms
from lewm_core.stats.explanations import Explanations, gated
from lewm_core.stats.outcomes import SPLIT
from lewm_core.stats.paired import judged
from lewm_core.stats.verdicts import UNTESTED, Finding


@dataclass(frozen=True)
class Variants:
    """The rows of the table of conditions that vary one condition's target: row -> in what.

    twins: all targets are wrong ones. detached: the head does not teach the encoder. scaled: the target has another
    scale. own: row -> share of the frames that keep their own target, of rows whose other frames have another frame's.
    """

    twins: Mapping[str, str]
    detached: Mapping[str, str]
    scaled: Mapping[str, str]
    own: Mapping[str, float]


def explain(arms: Arms, variants: Mapping[str, Variants]) -> Explanations:
    """What each explanation of an effect predicts of the runs of question `targets`, for each condition that has rows
    in `variants` (`design.variants`); only rows that were run.

    *Its own target*: better than A, than every twin, and more so with a larger share of own targets. *Any target*:
    every twin is better than A. *Through the encoder*: better than with a detached head. *The scale*: better than with
    the target at another scale.
    """
    found: dict[str, dict[tuple[str, str], Finding]] = {
        "its own target": {}, "any target": {}, "through the encoder": {}, "the scale of the target": {}}
    for name, rows in variants.items():
        if name not in set(arms.changes.condition):
            continue
        twins, detached, scaled = (_run(arms, kind) for kind in (rows.twins, rows.detached, rows.scaled))
        if twins:
            found["its own target"] |= _own(arms, name, twins, dose(arms, rows.own))
            found["any target"] |= {(f"{twin} ({kind}) is better than A", name): _better(
                arms, twin, paper.BASELINE, len(twins)) for twin, kind in twins.items()}
        for explanation, kinds in (("through the encoder", detached), ("the scale of the target", scaled)):
            found[explanation] |= {(f"better than {other} ({kind})", name): _better(arms, name, other, len(kinds))
                                   for other, kind in kinds.items()}
    return {explanation: gated(arms, each) for explanation, each in found.items() if each}


def _run(arms: Arms, rows: Mapping[str, str]) -> dict[str, str]:
    """Those of the rows that were run."""
    return {name: kind for name, kind in rows.items() if name in arms.conditions}


def _own(arms: Arms, name: str, twins: Mapping[str, str], by_share: pd.DataFrame) -> dict[tuple[str, str], Finding]:
    """The predictions of *its own target* for one condition."""
    against = {"better than A": paper.BASELINE} | {f"better than {t} ({kind})": t for t, kind in twins.items()}
    graded = len(by_share) > 0 and by_share.shape[1] > 2  # of two it is the contrast with the twin
    parts = len(against) + graded
    found = {(says, name): _better(arms, name, other, parts) for says, other in against.items()}
    if graded:
        slope = contrasts.slopes(by_share, by_share.columns.to_numpy(float))
        found["the more own targets, the better", name] = verdicts.shrinks(
            slope, " points from none to all", among=parts)
    return found


def _better(arms: Arms, condition: str, against: str, among: int = 1) -> Finding:
    """Is a condition better than another at the same seeds? `verdicts.improves`."""
    arm, = arms.names
    change = arms.values.change(condition, against, arm, arms.metric, SPLIT)
    if change is None:
        return Finding(UNTESTED, reason=f"{condition} and {against} have no seed in common")
    return verdicts.improves(change, among=among)


def dose(arms: Arms, own: Mapping[str, float]) -> pd.DataFrame:
    """The change against A by seed and share of own targets (columns, growing); seeds that have every share.

    own: row -> share, as in `Variants`; rows that were not run are left out.
    """
    rows = judged(arms.changes)
    rows = rows[rows.condition.isin(list(own))]
    wide = rows.assign(share=rows.condition.map(own)).pivot(index="seed", columns="share", values="change")
    return wide.dropna()


def by_recipe(arms: Arms, condition: str, twin: str) -> Explanations:
    """Under each recipe, an arm of question `protocol`: is the condition better than A, and than its twin?"""
    found = {}
    for arm in map(arms.only, arms.names):
        against = {"better than A": paper.BASELINE, f"better than {twin}": twin}
        findings = {(f"{arm.names[0]}: {says}", condition): _better(arm, condition, other, len(against))
                    for says, other in against.items()}
        found[arm.names[0]] = gated(arm, findings)
    return found


def left_out(arms: Arms, variants: Mapping[str, Variants]) -> list[str]:
    """Which rows of `variants` this study did not run, in a sentence; none where all ran."""
    ran = set(arms.changes.condition)
    rows = [row for name, v in variants.items() if name in ran for row in (*v.twins, *v.own, *v.detached, *v.scaled)]
    missing = [row for row in dict.fromkeys(rows) if row not in ran]
    return [f"Not run at this size: {', '.join(missing)}."] if missing else []
