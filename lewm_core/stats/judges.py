"""How claims about effects are judged: from the evidence to a `Finding`, by one of the rules of `verdicts`.

A judge takes what its claim reads (here the evidence, or that of the runs which read patch tokens; in `table_judges`
one of its tables), a metric and a split, and returns a Finding. It raises Absent where what it needs is not there. A
verdict on an effect is withheld where a gate is shut (`gates`); the number stands all the same.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from lewm_core.stats import paper, verdicts
from lewm_core.stats.evidence import LEAST_R2, Absent, Evidence
from lewm_core.stats.outcomes import SHUFFLED, SMALLEST
from lewm_core.stats.patch_routes import why_idle
from lewm_core.stats.verdicts import UNTESTED, Finding, all_of
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
                found[name] = Finding(UNTESTED, reason=str(reason))
        return all_of(found)
    return judge


def _gated(judge: Judge, *places: tuple[str, str]) -> Judge:
    """`judge`, whose verdict is withheld where a gate of the effects at `places` (condition, scale) is shut."""
    def on(e: Evidence, *by: str) -> Finding:
        return verdicts.untested(judge(e, *by), e.shut(places, *by))
    return on


def improves(condition: str, scale: str = PILOT, reported: float = SMALLEST, among: int = 1) -> Judge:
    """Better than its baseline and than its twin with other frames' targets. reported: the paper's number, per cent.
    among: of how many parts of a claim this is one, here and below (`verdicts`)."""
    least, twin = min(SMALLEST, abs(reported)), condition + SHUFFLED

    def judge(e: Evidence, *by: str) -> Finding:
        found, reasons = verdicts.improves(e.change(condition, scale, *by), least, among=2 * among), []
        try:
            against = e.contrast(condition, twin, scale, *by)
            found = verdicts.helps(found, verdicts.improves(against, least, among=2 * among), twin)
        except Absent as reason:
            reasons.append(str(reason))
        return verdicts.untested(found, [*reasons, *e.shut([(condition, scale)], *by)])
    return judge


def no_gain(condition: str, among: int = 1) -> Judge:
    return _gated(lambda e, *by: verdicts.no_gain(e.change(condition, FULL, *by), among), (condition, FULL))


def within(condition: str, scale: str = FULL, among: int = 1) -> Judge:
    return _gated(lambda e, *by: verdicts.within(e.change(condition, scale, *by), among=among), (condition, scale))


def near(one: str, other: str) -> Judge:
    """The two conditions differ on the pilot by less than the smallest effect of interest (per cent points)."""
    return _gated(lambda e, *by: verdicts.within(e.against(one, other, PILOT, *by), unit=" points"),
                  (one, PILOT), (other, PILOT))


def below(one: str, other: str, scale: str = PILOT, among: int = 1) -> Judge:
    return _gated(lambda e, *by: verdicts.shrinks(e.against(one, other, scale, *by), among=among),
                  (one, scale), (other, scale))


def lost(condition: str) -> Judge:
    return _gated(lambda e, *by: verdicts.faded(*(e.change(condition, scale, *by) for scale in SCALES)),
                  *((condition, scale) for scale in SCALES))


def power(condition: str, effect: float, among: int = 1) -> Judge:
    """The seeds of the full scale would have detected `effect` (per cent)."""
    return _gated(lambda e, *by: verdicts.power(e.change(condition, FULL, *by), effect, among), (condition, FULL))


def ratio(e: Evidence, *by: str) -> Finding:
    """The baseline's value at the pilot's scale over that at full scale."""
    small, large = (e.values(paper.BASELINE, scale, *by) for scale in (PILOT, FULL))
    return verdicts.ratio(small, large, paper.BASELINE_MSE_RATIO)


def scatter(condition: str, among: int = 1) -> Judge:
    """The absolute difference from A scatters less over seeds at full scale."""
    def judge(e: Evidence, *by: str) -> Finding:
        off = [(e.values(condition, s, *by) - e.values(paper.BASELINE, s, *by)).dropna() for s in SCALES]
        return verdicts.scatter(*off, among)
    return _gated(judge, *((condition, scale) for scale in SCALES))


def trend(condition: str) -> Judge:
    """The slope of the change over the logarithm of the number of episodes, per doubling, seed by seed."""
    def judge(e: Evidence, *by: str) -> Finding:
        sizes = e.need("sizes")
        at = pd.DataFrame({size: e.change(condition, scale, *by) for scale, size in sizes.items()}).dropna()
        if at.shape[1] < 2 or at.empty:
            raise Absent(f"no seed of {condition} at two sizes or more")
        slope = np.polyfit(np.log2(at.columns.to_numpy(float)), at.T.to_numpy(), 1)[0]
        found = verdicts.grows(slope, " points per doubling")
        return verdicts.untested(found, e.shut([(condition, scale) for scale in sizes], *by))
    return judge


def learnt(metric: str, of: str) -> Judge:
    """A's probe recovers more of a signal (R²) at full scale than on the pilot."""
    def judge(e: Evidence, _: str, split: str) -> Finding:
        small, large = (e.values(paper.BASELINE, scale, metric, split) for scale in SCALES)
        if max(small.mean(), large.mean()) <= LEAST_R2:
            raise Absent(f"no probe of A recovers {of} to speak of (R² up to {LEAST_R2:g}), so none can recover more")
        return verdicts.lost(small, large, "", 3)
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


def opinion(reason: str) -> Judge:
    def judge(*_: object) -> Finding:
        raise Absent(reason)
    return judge
