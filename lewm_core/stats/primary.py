"""The primary hypotheses: few, named before the runs they are judged by, and corrected for their number.

Each compares conditions at the same seed by the primary outcome. Both sides are tested: that the effect is there (mean
beyond 0), and that an effect as large as the smallest of interest is not. Holm's correction goes over all hypotheses,
for each side, so that over all of them a false 'supported' has a chance of at most 5 %, and a false 'contradicted' too.
One that could not be tested (a gate is shut, a row was not run) keeps its place in that number.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from lewm_core.stats import paper
from lewm_core.stats.evidence import Absent, Evidence
from lewm_core.stats.outcomes import OUTCOME, SHUFFLED, SMALLEST, SPLIT
from lewm_core.stats.paired import CONFIDENCE, SAME, bounds, holm, interval, number
from lewm_core.stats.power import detectable
from lewm_core.stats.verdicts import CONTRADICTED, SUPPORTED, UNDECIDED, UNTESTED
from lewm_core.utils.errors import known
from lewm_core.utils.workspace import SCALES

PILOT, FULL = SCALES
BOTH = f"{PILOT} to {FULL}"  # the scale of an interaction
DIRECTIONS = {  # what is claimed of the change of a condition against another
    "better": "below 0", "no better": "not below −least", "lost": "larger (less of a benefit) at full scale",
}
COLUMNS = ["id", "says", "condition", "against", "scale", "metric", "direction", "least", "n", "ours", "p", "p_holm",
           "p_against", "p_against_holm", "mde", "verdict", "reason"]
EFFECTS = ["id", "condition", "against", "scale", "metric", "n", "mean", "low", "high"]


@dataclass(frozen=True)
class Hypothesis:
    """says: the claim in words. condition, against, scale: the contrast, the condition's change against each of
    `against` (all must hold) at pilot or full, or its change from one to the other (BOTH). direction: of DIRECTIONS.
    least: the smallest effect of interest, per cent (points of an interaction)."""

    id: str
    says: str
    condition: str
    against: tuple[str, ...]
    scale: str
    direction: str = "better"
    metric: str = OUTCOME
    least: float = SMALLEST

    def __post_init__(self):
        known(DIRECTIONS, self.direction, "direction of a hypothesis")
        known((*SCALES, BOTH), self.scale, "scale of a hypothesis")

    @property
    def scales(self) -> tuple[str, ...]:
        """The scales whose runs it needs."""
        return SCALES if self.scale == BOTH else (self.scale,)

    @property
    def places(self) -> list[tuple[str, str]]:
        """Whose gates must be open: the condition, and those it is compared with that have a signal of their own."""
        plain = [name for name in self.against if name != paper.BASELINE and not name.endswith(SHUFFLED)]
        return [(name, scale) for name in (self.condition, *plain) for scale in self.scales]


PRIMARY_HYPOTHESES = (
    Hypothesis("H1", "depth (B) makes the prediction better at full size", "B", ("A",), FULL),
    Hypothesis("H2", "and it is the depth of the frame that does: B is better than with that of other frames", "B",
               ("B-shuf",), FULL),
    Hypothesis("H3", "depth helps at the pilot's size, against both", "B", ("A", "B-shuf"), PILOT),
    Hypothesis("H4", "depth's benefit is lost, wholly or in part, from the pilot's size to full", "B", ("B-shuf",),
               BOTH, "lost"),
    Hypothesis("H5", "tracks (D) help at full size, against those of other frames", "D", ("D-shuf",), FULL),
    Hypothesis("H6", "tracks add nothing to depth: E is no better than B at full size", "E", ("B",), FULL, "no better"),
)


def one_sided(values: Sequence[float], edge: float) -> tuple[float, float]:
    """p of the t tests that the mean of `values` (n,) is below `edge`, and that it is above; 1 for n < 2."""
    values = np.asarray(values, float)
    n, off = len(values), np.mean(values) - edge
    if n < 2:
        return 1.0, 1.0
    if np.ptp(values) < SAME:
        return float(off >= 0), float(off <= 0)
    t = off / (values.std(ddof=1) / n**0.5)
    return float(stats.t.cdf(t, n - 1)), float(stats.t.sf(t, n - 1))


def effect(evidence: Evidence, h: Hypothesis, against: str) -> pd.Series:
    """One contrast by seed: per cent of `against`, or the points by which that grows from pilot to full size."""
    at = [evidence.contrast(h.condition, against, scale, h.metric, SPLIT) for scale in h.scales]
    if h.scale != BOTH:
        return at[0]
    difference = (at[1] - at[0]).dropna()
    if difference.empty:
        raise Absent(f"no seed of {h.condition} at both sizes")
    return difference


def _tests(values: pd.Series, h: Hypothesis) -> tuple[float, float]:
    """p for and against a hypothesis of one contrast, both at two-sided levels: below 0.05 where the 95 % interval of
    `values` excludes 0, or the smallest effect of interest."""
    if h.direction == "lost":
        values = -values
    there, absent = one_sided(values, 0)[0], one_sided(values, -h.least)[1]
    found = (absent, there) if h.direction == "no better" else (there, absent)
    return min(1.0, 2 * found[0]), min(1.0, 2 * found[1])


def _row(evidence: Evidence, h: Hypothesis) -> dict[str, object]:
    """A hypothesis with its numbers, before the correction; why it is not tested in `reason`."""
    row = {"id": h.id, "says": h.says, "condition": h.condition, "against": ", ".join(h.against), "scale": h.scale,
           "metric": h.metric, "direction": h.direction, "least": h.least, "n": 0, "ours": "–", "p": 1.0,
           "p_against": 1.0, "mde": np.nan, "reason": ""}
    try:
        found = {name: effect(evidence, h, name) for name in h.against}
    except Absent as reason:
        return row | {"reason": str(reason)}
    unit = " points" if h.scale == BOTH else " %"
    told = [f"against {name} {number(v.mean())}{unit}{bounds(*interval(v))}" for name, v in found.items()]
    tests = [_tests(values, h) for values in found.values()]
    mde = [detectable(len(v), v.std()) for v in found.values()]
    return row | {"n": min(map(len, found.values())), "ours": "; ".join(told), "mde": float(np.max(mde)),
                  "p": max(p for p, _ in tests), "p_against": min(1.0, len(tests) * min(p for _, p in tests)),
                  "reason": "; ".join(evidence.shut(h.places, h.metric, SPLIT))}


def _verdict(row: pd.Series) -> tuple[str, str]:
    """Verdict and reason by the corrected tests."""
    alpha = 1 - CONFIDENCE
    holds, fails = row.p_holm < alpha, row.p_against_holm < alpha
    if row.reason:
        return UNTESTED, row.reason
    if holds and fails:
        return UNDECIDED, f"an effect, and surely smaller than {row.least:g}"
    if holds or fails:
        return (SUPPORTED if holds else CONTRADICTED), ""
    return UNDECIDED, "a single value gives no interval" if row.n < 2 else ""


def primary_table(evidence: Evidence, hypotheses: Sequence[Hypothesis] = PRIMARY_HYPOTHESES) -> pd.DataFrame:
    """Every primary hypothesis with its verdict: columns COLUMNS.

    p, p_against: of the tests for and against it, of several contrasts together; p_holm, p_against_holm: corrected over
    all hypotheses, by which the verdict goes. mde: the smallest effect that so many seeds detect at 80 % before the
    correction.
    """
    table = pd.DataFrame([_row(evidence, h) for h in hypotheses])
    for side in ("p", "p_against"):
        tested = table[side].where(table.reason == "", 1.0)
        table[f"{side}_holm"] = holm(tested.to_numpy())
    judged = [_verdict(row) for _, row in table.iterrows()]
    table["verdict"], table["reason"] = zip(*judged, strict=True)
    return table[COLUMNS]


def primary_effects(evidence: Evidence, hypotheses: Sequence[Hypothesis] = PRIMARY_HYPOTHESES) -> pd.DataFrame:
    """Every contrast of the primary hypotheses that was run, with `paired.interval`: columns EFFECTS."""
    rows = []
    for h in hypotheses:
        for against in h.against:
            try:
                values = effect(evidence, h, against)
            except Absent:
                continue
            rows.append((h.id, h.condition, against, h.scale, h.metric, len(values), values.mean(), *interval(values)))
    return pd.DataFrame(rows, columns=EFFECTS)
