"""The rules that turn numbers into verdicts on claims, written down once, and the functions that apply them.

Every rule compares a 95 % interval over seeds (`paired.interval`) with what the claim says. The paper itself calls
changes within ±1.3 % none (BAND), so a benefit that is surely smaller contradicts a claimed one, and a claimed absence
needs a test of equivalence, not a large p: no rule takes an interval that includes 0 for evidence. None corrects for
the number of claims: of twenty without any effect one is decided by chance. A claim of several parts is supported if
all are, and contradicted if one is.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats.weightstats import DescrStatsW

from lewm_core.stats import paper
from lewm_core.stats.paired import CONFIDENCE, SAME, interval, number
from lewm_core.stats.power import detectable, detectable_difference, sd_interval
from lewm_core.stats.scaling import difference

BAND = paper.FULL_SCALE_BAND
FACTOR = 1.25  # "approximately 4×" is between 4 / 1.25 and 4 · 1.25
TOLERANCE = 0.1  # of a count that the paper gives as "about"
SUPPORTED, CONTRADICTED = "supported", "contradicted"
UNDECIDED, UNTESTABLE = "not decided at this power", "not testable here"
VERDICTS = (SUPPORTED, CONTRADICTED, UNDECIDED, UNTESTABLE)

RULES = {
    "improves": f"supported: interval below 0; contradicted: interval above −{BAND:g} %, even if it is below 0",
    "no gain": f"supported: interval above −{BAND:g} %; contradicted: interval below 0",
    "within": "supported: two one-sided t tests (TOST) place the mean within the margin, p < 0.05; contradicted: "
              "interval outside the margin",
    "ordered": "supported: every paired difference of neighbours below 0 (interval); contradicted: one above 0",
    "flips": f"supported: interval below 0 at the small scale and above 0 at the large one; contradicted: interval "
             f"above −{BAND:g} % at the small scale, below 0 at the large one, or of the difference below 0",
    "grows": "supported: interval of the difference or slope above 0; contradicted: below 0",
    "shrinks": "supported: interval of the difference or slope below 0; contradicted: above 0",
    "ratio": f"supported: 90 % interval of the ratio within a factor {FACTOR:g} of the paper's (TOST); contradicted: "
             "95 % interval outside it",
    "power": "supported: even with the deviation at the upper end of its interval the seeds detect the paper's pilot "
             "effect at 80 %; contradicted: not even at its lower end",
    "scatter": "supported: F interval of the ratio of variances (large / small scale) below 1; contradicted: above 1",
    "count": f"supported: within {TOLERANCE:.0%} of the paper's number; contradicted: otherwise (a count, no interval)",
    "none": "supported: the share is 0; contradicted: its interval, or its only value, is above 0",
    "alone": "supported: nothing else differs by more than 5 %; contradicted: something else does (a count)",
    "judgement": "a judgement, or about other systems: no number of this study decides it",
}


@dataclass(frozen=True)
class Finding:
    """What a rule found: the verdict, our number with its interval, over how many seeds, and what they can detect.

    ours: the number in words. mde: smallest change detected at 80 %, in the number's unit; NaN where that has
    no meaning. reason: why it cannot be tested or decided; empty otherwise.
    """

    verdict: str
    ours: str = "–"
    mean: float = np.nan
    low: float = np.nan
    high: float = np.nan
    n: int = 0
    mde: float = np.nan
    reason: str = ""


def _found(supported: bool, contradicted: bool, mean: float, low: float, high: float, n: int, mde: float = np.nan,
           unit: str = " %", digits: int = 1) -> Finding:
    digits = digits if max(abs(v) for v in (mean, low, high) if np.isfinite(v)) >= 1 else digits + 1
    ours = f"{number(mean, digits)}{unit}"
    ours += f" [{number(low, digits)}, {number(high, digits)}]" if np.isfinite(low) else ""
    verdict = SUPPORTED if supported else CONTRADICTED if contradicted else UNDECIDED
    reason = "one seed gives no interval" if verdict == UNDECIDED and n < 2 else ""
    return Finding(verdict, ours, float(mean), float(low), float(high), n, float(mde), reason)


def _mde(values: np.ndarray) -> float:
    return detectable(len(values), values.std(ddof=1)) if len(values) > 1 else np.nan


def improves(values: Sequence[float], negligible: float = BAND, unit: str = " %", digits: int = 1) -> Finding:
    """`values` (n,): changes per seed, claimed to be below 0 on average. negligible: a benefit not worth the name."""
    values = np.asarray(values, float)
    low, high = interval(values)
    small = low > -negligible
    return _found(high < 0 and not small, small, values.mean(), low, high, len(values), _mde(values), unit, digits)


def no_gain(values: Sequence[float]) -> Finding:
    """`values` (n,): changes per seed, claimed to be no benefit."""
    values = np.asarray(values, float)
    low, high = interval(values)
    return _found(low > -BAND, high < 0, values.mean(), low, high, len(values), _mde(values))


def shrinks(values: Sequence[float], unit: str = " points", digits: int = 1) -> Finding:
    """`values` (n,): paired differences, claimed to be below 0 on average."""
    return improves(values, 0, unit, digits)


def grows(values: Sequence[float], unit: str = " points", digits: int = 1) -> Finding:
    """`values` (n,): paired differences, claimed to be above 0 on average."""
    values = np.asarray(values, float)
    low, high = interval(values)
    return _found(low > 0, high < 0, values.mean(), low, high, len(values), _mde(values), unit, digits)


def within(values: Sequence[float], margin: float = BAND, unit: str = " %") -> Finding:
    """`values` (n,): changes per seed, whose mean is claimed to be within ±margin (equivalence)."""
    values = np.asarray(values, float)
    low, high = interval(values)
    if len(values) < 2:
        equal = False
    elif np.ptp(values) < SAME:
        equal = abs(values.mean()) < margin
    else:
        equal = DescrStatsW(values).ttost_mean(-margin, margin)[0] < 1 - CONFIDENCE
    return _found(equal, low > margin or high < -margin, values.mean(), low, high, len(values), _mde(values), unit)


def flips(small: pd.Series, large: pd.Series) -> Finding:
    """Changes by seed at two scales: claimed to be a benefit at the small one and a harm at the large one."""
    (s_low, s_high), (l_low, l_high) = interval(small), interval(large)
    mean, low, high, _, _ = difference(small, large)
    against = s_low > -BAND or l_high < 0 or high < 0
    found = _found(s_high < 0 < l_low and not against, against, mean, low, high,
                   min(len(small), len(large)), detectable_difference(small, large), " points")
    return replace(found, ours=f"{number(small.mean())} % → {number(large.mean())} %; difference {found.ours}")


def lost(small: pd.Series, large: pd.Series) -> Finding:
    """Changes by seed at two scales: the difference large − small is claimed to be above 0 (an interaction)."""
    mean, low, high, _, _ = difference(small, large)
    return _found(low > 0, high < 0, mean, low, high, min(len(small), len(large)), detectable_difference(small, large),
                  " points")


def fell(small: pd.Series, large: pd.Series, unit: str = " points", digits: int = 1) -> Finding:
    """Values by seed at two scales: the difference large − small is claimed to be below 0."""
    mean, low, high, _, _ = difference(small, large)
    return _found(high < 0, low > 0, mean, low, high, min(len(small), len(large)), detectable_difference(small, large),
                  unit, digits)


def ratio(small: pd.Series, large: pd.Series, expected: float) -> Finding:
    """Positive values by seed at two scales, whose ratio small / large is claimed to be about `expected`."""
    small, large = np.log(small.astype(float)), np.log(large.astype(float))
    mean, low, high, _, test = difference(large, small)
    if np.isfinite(low) and high > low:  # the same t interval at 90 %, whose two ends are the two one-sided tests
        half = (high - low) / 2
        freedom = len(small) - 1 if test == "paired" else _welch(small, large)
        half *= stats.t.ppf(CONFIDENCE, freedom) / stats.t.ppf((1 + CONFIDENCE) / 2, freedom)
        inner = np.exp([mean - half, mean + half])
    else:
        inner = np.exp([low, high])
    mean, low, high = np.exp([mean, low, high])
    least, most = expected / FACTOR, expected * FACTOR
    found = _found(least < inner[0] and inner[1] < most, low > most or high < least, mean, low, high,
                   min(len(small), len(large)))
    text = f"{mean:.2f}×" + (f" [{low:.2f}, {high:.2f}]" if np.isfinite(low) else "")
    return replace(found, ours=text)


def _welch(a: pd.Series, b: pd.Series) -> float:
    return float(stats.ttest_ind(a, b, equal_var=False).df)


def power(values: Sequence[float], effect: float) -> Finding:
    """`values` (n,): changes at the large scale, whose n seeds are claimed to be enough for `effect` (per cent)."""
    values = np.asarray(values, float)
    n = len(values)
    if n < 2:
        return Finding(UNDECIDED, n=n, reason="one seed says nothing of power")
    best, *ends = (detectable(n, sd) for sd in (values.std(ddof=1), *sd_interval(n, values.std(ddof=1))))
    found = _found(ends[1] < abs(effect), ends[0] > abs(effect), best, *ends, n, best)
    return replace(found, ours=f"detects {best:.2g} % [{ends[0]:.2g}, {ends[1]:.2g}]")


def scatter(small: pd.Series, large: pd.Series) -> Finding:
    """Values by seed at two scales: the scatter is claimed to be smaller at the large one (F interval)."""
    n, m = len(small), len(large)
    if min(n, m) < 2 or small.var() == 0:
        return Finding(UNDECIDED, n=min(n, m), reason="no scatter to compare")
    f = large.var() / small.var()
    low, high = f / stats.f.ppf([(1 + CONFIDENCE) / 2, (1 - CONFIDENCE) / 2], m - 1, n - 1)
    found = _found(high < 1, low > 1, f, low, high, min(n, m))
    return replace(found, ours=f"variance ratio {f:.2g} [{low:.2g}, {high:.2g}]")


def count(value: float, expected: float) -> Finding:
    """A number that is counted, not estimated."""
    near = abs(value / expected - 1) <= TOLERANCE
    return Finding(SUPPORTED if near else CONTRADICTED, f"{value:,.0f}", float(value), n=1)


def all_of(parts: dict[str, Finding]) -> Finding:
    """One claim of several parts, by name."""
    verdicts = [p.verdict for p in parts.values()]
    verdict = next((v for v in (CONTRADICTED, UNTESTABLE, UNDECIDED) if v in verdicts), SUPPORTED)
    told = [p for p in parts.values() if p.verdict != UNTESTABLE]
    mde = [p.mde for p in told if np.isfinite(p.mde)]
    ours = "; ".join(f"{name} {p.ours}" for name, p in parts.items() if p.verdict != UNTESTABLE)
    return Finding(verdict, ours or "–", n=min((p.n for p in told), default=0), mde=max(mde, default=np.nan),
                   reason="; ".join(dict.fromkeys(p.reason for p in parts.values() if p.reason)))
