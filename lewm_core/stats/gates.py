"""Could these runs have shown an effect at all? Gates that must be open before any verdict on a condition.

A study that sees nothing is no evidence that there is nothing. So a verdict on an effect of condition X at a scale, by
a metric, needs four things, each read from the results table alone:

    head       in every seed, each of X's heads predicts its target better than the best constant does (held-out loss)
    model      A is better than persistence: the 95 % interval of its error over persistence's lies below 1
    training   A is better than the base and than the lr-0 arm, paired by seed: both intervals lie below 0
    control    the positive control P (the true state as a target) is better than A: the interval lies below 0, and
               the mean beyond the smallest effect of interest

The intervals are `paired.interval`, over seeds. Where a needed row was not run, the gate is shut and says so.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from lewm_core.stats import paper
from lewm_core.stats.outcomes import OUTCOME, POSITIVE, SMALLEST, SPLIT, UNTAUGHT, over_persistence
from lewm_core.stats.paired import bounds, interval, number
from lewm_core.stats.values import Values
from lewm_core.utils.workspace import SCALES

JUDGED = (*dict.fromkeys(paper.REPORTED.condition), "D-fg")  # conditions whose effects the paper speaks of
COLUMNS = ["scale", "condition", "gate", "open", "told"]


@dataclass(frozen=True)
class Gate:
    """name: a key of GATES. open: whether a verdict may pass. told: why, a sentence with the numbers."""

    name: str
    open: bool
    told: str


def head_names(values: Values, condition: str, scale: str, split: str) -> list[str]:
    """The heads of a condition whose losses were measured: those with a metric head_NAME."""
    return [m.removeprefix("head_") for m in values.metrics(condition, scale, split)
            if m.startswith("head_") and not m.endswith(("_constant", "_start"))]


def _head(values: Values, condition: str, scale: str, metric: str, split: str) -> tuple[bool, str]:
    names = head_names(values, condition, scale, split)
    if not names:
        told = "no head's loss was measured" if values.ran(condition, scale) else f"not run at scale {scale}"
        return False, f"{condition}: {told}"
    opened, told = True, []
    for name in names:
        own, constant = (values.of(condition, scale, f"head_{name}{end}", split) for end in ("", "_constant"))
        if constant is None:
            return False, f"{condition}'s {name} head: the loss of the best constant was not measured"
        below = (own < constant.reindex(own.index)).to_numpy()
        opened &= bool(below.all())
        told.append(f"{name} head's loss {own.mean():.3g}, best constant's {constant.mean():.3g}, lower in "
                    f"{below.sum()} of {len(below)} seeds")
    return opened, f"{condition}: " + "; ".join(told)


def _model(values: Values, condition: str, scale: str, metric: str, split: str) -> tuple[bool, str]:
    ratio = values.of(paper.BASELINE, scale, over_persistence(metric), split)
    if ratio is None:
        return False, f"{paper.BASELINE} has no {over_persistence(metric)} on the {split} split at scale {scale}"
    mean, (low, high) = ratio.mean(), interval(ratio)
    within = f" [{low:.3f}, {high:.3f}]" if np.isfinite(low) else ", one seed, so without an interval"
    return bool(high < 1), f"{paper.BASELINE}'s error is {mean:.3f} of persistence's{within}"


def _change(values: Values, condition: str, against: str, *by: str) -> tuple[float, float, str]:
    """Mean and upper end of the interval of a change, and the change in words; NaN where it was not run."""
    scale, metric, split = by
    found = values.change(condition, against, *by)
    if found is None:
        missing = [c for c in (condition, against) if values.of(c, *by) is None]
        each = [f"{c} has no {metric}" if values.ran(c, scale) else f"{c} was not run" for c in missing]
        told = " and ".join(each) or "no seed in common"
        return np.nan, np.nan, f"{condition} against {against}: {told} ({scale}, {split} split)"
    low, high = interval(found)
    within = bounds(low, high) or ", one seed, so without an interval"
    return found.mean(), high, f"{condition} against {against} {number(found.mean())} %{within}"


def _training(values: Values, condition: str, *by: str) -> tuple[bool, str]:
    found = [_change(values, paper.BASELINE, reference, *by) for reference in UNTAUGHT]
    return all(high < 0 for _, high, _ in found), "; ".join(told for *_, told in found)


def _control(values: Values, condition: str, *by: str) -> tuple[bool, str]:
    mean, high, told = _change(values, POSITIVE, paper.BASELINE, *by)
    opened = bool(high < 0 and mean < -SMALLEST)
    if high < 0 and not opened:
        told += f", less than the smallest effect of interest, {SMALLEST:g} %"
    return opened, told


GATES: dict[str, tuple[str, Callable[..., tuple[bool, str]]]] = {  # name -> what it asks, in words, and how
    "head": ("its heads beat the best constant", _head),
    "model": ("A beats persistence", _model),
    "training": ("A beats the base and the lr-0 arm", _training),
    "control": ("the true state (P) helps", _control),
}


def gates(values: Values, condition: str, scale: str, metric: str = OUTCOME, split: str = SPLIT) -> list[Gate]:
    """The gates of a verdict on `condition`, in the order of GATES."""
    return [Gate(name, *ask(values, condition, scale, metric, split)) for name, (_, ask) in GATES.items()]


def shut(values: Values, condition: str, scale: str, metric: str, split: str) -> list[str]:
    """The names of the gates that are shut."""
    return [gate.name for gate in gates(values, condition, scale, metric, split) if not gate.open]


def gate_table(results: pd.DataFrame, metric: str = OUTCOME, split: str = SPLIT,
               conditions: Iterable[str] = JUDGED) -> pd.DataFrame:
    """Every gate of every judged condition that was run, at pilot and full scale: columns COLUMNS, a row a gate.

    results: tidy, with the columns condition, scale, seed, split, metric, value, and with the rows of A, base, lr-0
    and P; without them their gates are shut.
    """
    values = Values(results)
    rows = [(scale, condition, gate.name, gate.open, gate.told) for scale in SCALES
            for condition in conditions if values.ran(condition, scale)
            for gate in gates(values, condition, scale, metric, split)]
    return pd.DataFrame(rows, columns=COLUMNS).astype({"open": bool})


def shut_told(results: pd.DataFrame, conditions: Iterable[str], scales: Iterable[str] = SCALES) -> list[str]:
    """On which conditions no verdict is passed by the primary outcome, and why: a line for those of a scale that lack
    the same gates. results: as for `gate_table`."""
    table = gate_table(results, conditions=[name for name in conditions if name in JUDGED])
    alike: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    closed = table[~table.open & table.scale.isin(list(scales))]
    for (scale, condition), rows in closed.groupby(["scale", "condition"], sort=False):
        alike.setdefault((scale, tuple(rows.gate)), []).append(condition)
    lines = []
    for (scale, lacking), names in alike.items():
        asked = ", ".join(f"“{GATES[gate][0]}”" for gate in lacking)
        lines.append(f"No verdict on {', '.join(names)} at {scale} scale (notebook 09). Not met: {asked}.")
    return lines
