"""How each kind of claim is judged: from what it reads to a `Finding`, by one of the rules of `verdicts`.

A judge takes what its claim reads (the evidence itself, for an effect of a condition; otherwise one of its tables), a
metric and a split, and returns a Finding. It raises Absent where what it needs is not there.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from lewm_core.stats import paper, verdicts
from lewm_core.stats.evidence import CLEAR, FLOORS, Absent, Evidence
from lewm_core.stats.patch_routes import why_idle
from lewm_core.stats.verdicts import UNTESTABLE, Finding, all_of
from lewm_core.utils.workspace import SCALES

PILOT, FULL = SCALES
Judge = Callable[[Any, str, str], Finding]


def all_parts(judges: Mapping[str, Judge]) -> Judge:
    """A claim of several parts; those that cannot be tested say so."""
    def judge(source: Any, *by: str) -> Finding:
        found = {}
        for name, part in judges.items():
            try:
                found[name] = part(source, *by)
            except Absent as reason:
                found[name] = Finding(UNTESTABLE, reason=str(reason))
        return all_of(found)
    return judge


# Effects of conditions: source is the evidence, or that of the runs which read patch tokens


def improves(condition: str, scale: str = PILOT) -> Judge:
    return lambda e, *by: verdicts.improves(e.change(condition, scale, *by))


def no_gain(condition: str) -> Judge:
    return lambda e, *by: verdicts.no_gain(e.change(condition, FULL, *by))


def within(condition: str, scale: str = FULL) -> Judge:
    return lambda e, *by: verdicts.within(e.change(condition, scale, *by))


def near(one: str, other: str, margin: float) -> Judge:
    """The two conditions differ on the pilot by less than `margin` (per cent points)."""
    return lambda e, *by: verdicts.within(e.against(one, other, PILOT, *by), margin, " points")


def below(one: str, other: str, scale: str = PILOT) -> Judge:
    return lambda e, *by: verdicts.shrinks(e.against(one, other, scale, *by))


def flips(condition: str) -> Judge:
    return lambda e, *by: verdicts.flips(e.change(condition, PILOT, *by), e.change(condition, FULL, *by))


def lost(condition: str) -> Judge:
    return lambda e, *by: verdicts.lost(e.change(condition, PILOT, *by), e.change(condition, FULL, *by))


def power(condition: str, effect: float) -> Judge:
    """The seeds of the full scale would have detected `effect` (per cent)."""
    return lambda e, *by: verdicts.power(e.change(condition, FULL, *by), effect)


def ratio(e: Evidence, *by: str) -> Finding:
    """The baseline's value at the pilot's scale over that at full scale."""
    small, large = (e.values(paper.BASELINE, scale, *by) for scale in (PILOT, FULL))
    return verdicts.ratio(small, large, paper.BASELINE_MSE_RATIO)


def scatter(condition: str) -> Judge:
    """The absolute difference from A scatters less over seeds at full scale."""
    def judge(e: Evidence, *by: str) -> Finding:
        off = [(e.values(condition, s, *by) - e.values(paper.BASELINE, s, *by)).dropna() for s in (PILOT, FULL)]
        return verdicts.scatter(*off)
    return judge


def trend(condition: str) -> Judge:
    """The slope of the change over the logarithm of the number of episodes, per doubling, seed by seed."""
    def judge(e: Evidence, *by: str) -> Finding:
        sizes = e.need("sizes")
        at = pd.DataFrame({size: e.change(condition, scale, *by) for scale, size in sizes.items()}).dropna()
        if at.shape[1] < 2 or at.empty:
            raise Absent(f"no seed of {condition} at two sizes or more")
        slope = np.polyfit(np.log2(at.columns.to_numpy(float)), at.T.to_numpy(), 1)[0]
        return verdicts.grows(slope, " points per doubling")
    return judge


def patch_predictor(condition: str, scale: str) -> Judge:
    """An effect with the patch-aware predictor; not tested where the predictor does not come to read patches."""
    def judge(e: Evidence, *by: str) -> Finding:
        own = e.baseline(condition)
        ours, plain = (e.values(c, scale, *by) for c in (own, paper.BASELINE))
        idle = why_idle((100 * (ours / plain - 1)).dropna(), own, scale)
        if idle:
            raise Absent(idle)
        return improves(condition, scale)(e, *by)
    return judge


# Tables: source is the table of evidence that the claim reads


def alone(facts: pd.DataFrame, *_: str) -> Finding:
    """Nothing but the number of episodes differs between the scales by more than 5 %."""
    wide = facts.pivot(index="fact", columns="scale", values="value")
    if not set(SCALES) <= set(wide):
        raise Absent("the facts of one scale only were counted")
    differ = wide[(wide[FULL] / wide[PILOT] - 1).abs() > 0.05]
    told = "; ".join(f"{name} {row[PILOT]:.4g} → {row[FULL]:.4g}" for name, row in differ.iterrows())
    verdict = verdicts.CONTRADICTED if len(differ) else verdicts.SUPPORTED
    return Finding(verdict, told or "nothing else differs", n=1)


def conflict(gradients: pd.DataFrame, *_: str) -> Finding:
    """The cosine of a head's gradient with the prediction's is below 0 at full scale."""
    rows = gradients[gradients.scale == FULL]
    if rows.empty:
        raise Absent("gradients were not measured at full scale")
    return verdicts.shrinks(rows.groupby("seed").cosine.mean(), "", 3)


def _r2(probes: pd.DataFrame, target: str, tokens: str) -> pd.Series:
    """R² of the linear probe by seed."""
    rows = probes[(probes.target == target) & (probes.tokens == tokens) & (probes.probe == "linear")]
    rows = rows.dropna(subset="r2")
    if rows.empty:
        raise Absent(f"no linear probe of {target} from {tokens}")
    return rows.groupby("seed").r2.mean()


def recovered(target: str) -> Judge:
    """CLS keeps at least half of the R² that the patch tokens have."""
    def judge(probes: pd.DataFrame, *_: str) -> Finding:
        half = _r2(probes, target, "patch").clip(lower=0) / 2
        return verdicts.grows(_r2(probes, target, "CLS") - half, "", 2)
    return judge


def _gap(probes: pd.DataFrame, target: str) -> pd.Series:
    """By how much R² from patch tokens exceeds that from the CLS token, by seed."""
    return _r2(probes, target, "patch") - _r2(probes, target, "CLS")


def lacks(target: str) -> Judge:
    """The CLS token lacks of the target what the patch tokens have."""
    return lambda probes, *_: verdicts.grows(_gap(probes, target), "", 2)


def lacks_more(one: str, other: str) -> Judge:
    """The CLS token lacks more of one target than of the other."""
    return lambda probes, *_: verdicts.grows(_gap(probes, one) - _gap(probes, other), "", 2)


def capacity(table: pd.DataFrame, *_: str) -> Finding:
    """How much more the error grows from the fewest to the most points from CLS than from patch tokens, per cent."""
    floor = table[table.series == FLOORS[0]].groupby("seed").error.mean()
    own = table[(table.probe == "mlp") & table.series.isin(["CLS", "patch"])]
    of_floor = (own.error / own.seed.map(floor)).groupby([own.series, own.points]).mean()
    if of_floor.min() > CLEAR:
        raise Absent("no probe of CLS or patch tokens is clearly better than the training mean: no accuracy to lose")
    if set(own.series) != {"CLS", "patch"}:
        raise Absent("no MLP probe of CLS and of patch tokens")
    growth = {}
    for series, rows in own.groupby("series"):
        wide = rows.pivot(index="seed", columns="points", values="error")
        growth[series] = np.log(wide[wide.columns.max()] / wide[wide.columns.min()])
    return verdicts.grows(100 * (growth["CLS"] - growth["patch"]).dropna(), " %")


def on_object(counts: pd.DataFrame, *_: str) -> Finding:
    """More visible tracks lie on the object with foreground-biased queries, episode by episode."""
    wide = counts.groupby(["layout", "episode"])["count"].mean().unstack("layout")
    if not {"uniform", "foreground"} <= set(wide):
        raise Absent("only one layout of query points was tracked")
    return verdicts.grows((wide.foreground - wide.uniform).dropna(), " tracks")


def instability(table: pd.DataFrame, *_: str) -> Finding:
    """The normalisation changes less from frame to frame over a larger region, episode by episode."""
    wide = table.pivot(index="episode", columns="condition", values="value")
    names = [c for c in ("B", "C3", "C2", "C1") if c in wide]
    if len(names) < 2:
        raise Absent("instability of fewer than two regions")
    pairs = zip(names, names[1:], strict=False)
    return all_of({f"{a} − {b}": verdicts.shrinks((wide[a] - wide[b]).dropna(), "", 3) for a, b in pairs})


def leak(table: pd.DataFrame, *_: str) -> Finding:
    """No frame of a held-out window was trained on; of several scales the worst counts."""
    rows = table[(table.condition == paper.BASELINE) & (table.measure == "seen_window")]
    if rows.empty:
        raise Absent(f"the leak of {paper.BASELINE} was not measured")
    worst = rows.sort_values("mean").iloc[-1]
    low = worst["mean"] if worst.n < 2 else worst.low
    if worst["mean"] == 0:
        verdict = verdicts.SUPPORTED
    else:
        verdict = verdicts.CONTRADICTED if low > 0 else verdicts.UNDECIDED
    ours = f"{worst['mean']:.0f} % of the frames ({worst.scale})"
    return Finding(verdict, ours, worst["mean"], worst.low, worst.high, int(worst.n))


def parameters(name: str, expected: float) -> Judge:
    """A part of the model has about so many parameters."""
    def judge(counts: Mapping[str, int], *_: str) -> Finding:
        if name not in counts:
            raise Absent(f"the parameters of the {name} were not counted")
        return verdicts.count(counts[name], expected)
    return judge


def opinion(reason: str) -> Judge:
    def judge(*_: object) -> Finding:
        raise Absent(reason)
    return judge
