"""The rules that turn numbers into verdicts on claims, as `rules.RULES` states them in words.

Every rule compares a 95 % interval over seeds (`paired.interval`) with what the claim says. No verdict is passed where
the instrument was not shown to see (`gates`): it is then "not tested here". A claimed benefit is contradicted only if
the interval rules out the smallest effect of interest (`outcomes.SMALLEST`), and a claimed absence needs a test of
equivalence within it, not a large p: no rule takes an interval that includes 0 for evidence. The primary hypotheses are
corrected for their number (`primary`), the other claims are not: of twenty without any effect one is decided by chance.
A claim of several parts is supported if all are, and contradicted if one is: `among` parts, each is contradicted by an
interval that is wider, so that the chance of a false 'contradicted' is not multiplied (Bonferroni).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
from scipy import stats

from lewm_core.stats.outcomes import SMALLEST
from lewm_core.stats.paired import CONFIDENCE, bounds, interval, number
from lewm_core.stats.power import detectable, detectable_difference, sd_interval
from lewm_core.stats.scaling import difference

FACTOR = 1.25  # "approximately 4×" is between 4 / 1.25 and 4 · 1.25
TOLERANCE = 0.1  # of a count that the paper gives as "about"
ONE_SIDED = 2 * CONFIDENCE - 1  # the two ends of an interval of this confidence are two one-sided tests at 5 %
SUPPORTED, CONTRADICTED = "supported", "contradicted"
UNDECIDED, UNTESTED = "not decided at this power", "not tested here"
VERDICTS = (SUPPORTED, CONTRADICTED, UNDECIDED, UNTESTED)


@dataclass(frozen=True)
class Finding:
    """What a rule found: the verdict, our number with its interval, over how many seeds, and what they can detect.

    ours: the number in words. mde: smallest change detected at 80 %, in the number's unit; NaN where that has
    no meaning. reason: why it cannot be tested or decided; empty otherwise. unit: of the number; empty where it has
    none. parts: what each part of a claim found, by its name, where there are several.
    """

    verdict: str
    ours: str = "–"
    mean: float = np.nan
    low: float = np.nan
    high: float = np.nan
    n: int = 0
    mde: float = np.nan
    reason: str = ""
    unit: str = ""
    parts: Mapping[str, "Finding"] = field(default_factory=dict)


def _found(supported: bool, contradicted: bool, mean: float, low: float, high: float, n: int, mde: float = np.nan,
           unit: str = " %", digits: int = 1) -> Finding:
    """The verdict with `mean` and its interval in words: one more digit where all of them are below 1."""
    finite = [abs(v) for v in (mean, low, high) if np.isfinite(v)]
    digits = digits if max(finite) >= 1 else digits + 1
    ours = f"{number(mean, digits)}{unit}{bounds(low, high, digits)}"
    reason = ""
    if supported:
        verdict = SUPPORTED
    elif contradicted:
        verdict = CONTRADICTED
    else:
        verdict = UNDECIDED
        reason = "a single value gives no interval" if n < 2 else ""
    return Finding(verdict, ours, float(mean), float(low), float(high), n, float(mde), reason, unit.strip())


def _over_seeds(values: Sequence[float]) -> tuple[float, float, float, int, float]:
    """Of values (n,): mean, low, high, n and the smallest change detected, as `_found` takes them."""
    values = np.asarray(values, float)
    mde = detectable(len(values), values.std(ddof=1)) if len(values) > 1 else np.nan
    return values.mean(), *interval(values), len(values), mde


def _between(small: pd.Series, large: pd.Series) -> tuple[float, float, float, int, float]:
    """The same of the difference large − small of two samples by seed."""
    mean, low, high, _ = difference(small, large)
    return mean, low, high, min(len(small), len(large)), detectable_difference(small, large)


def _outer(values: Sequence[float], among: int) -> tuple[float, float]:
    """The interval that contradicts one of so many parts."""
    return interval(values, 1 - (1 - CONFIDENCE) / among)


def improves(values: Sequence[float], least: float = SMALLEST, unit: str = " %", digits: int = 1,
             among: int = 1) -> Finding:
    """`values` (n,): changes per seed, claimed to be below 0 on average.

    least: the smallest benefit of interest. One that is surely there and surely smaller decides nothing.
    """
    numbers = _over_seeds(values)
    _, low, high, _, _ = numbers
    below, small = high < 0, low > -least
    found = _found(below and not small, _outer(values, among)[0] > -least and not below, *numbers, unit, digits)
    return replace(found, reason=f"a benefit, and surely smaller than {least:g}{unit}") if below and small else found


def helps(plain: Finding, shuffled: Finding, twin: str) -> Finding:
    """A signal helps if its condition improves on A (`plain`) and on its `twin` with other frames' targets."""
    both = all_of({"A": plain, twin: shuffled})
    return replace(plain, verdict=both.verdict, mde=both.mde, reason=both.reason, n=both.n,
                   ours=f"{plain.ours}; against {twin} {shuffled.ours}",
                   parts={"against its baseline": plain, f"against {twin}": shuffled})


def no_gain(values: Sequence[float], among: int = 1) -> Finding:
    """`values` (n,): changes per seed, claimed to be no benefit: the opposite of `improves`."""
    numbers = _over_seeds(values)
    _, low, high, _, _ = numbers
    below, small = high < 0, low > -SMALLEST
    found = _found(small and not below, _outer(values, among)[1] < 0 and not small, *numbers)
    return replace(found, reason=f"a benefit, and surely smaller than {SMALLEST:g} %") if below and small else found


def shrinks(values: Sequence[float], unit: str = " points", digits: int = 1, among: int = 1) -> Finding:
    """`values` (n,): paired differences, claimed to be below 0 on average."""
    return improves(values, 0, unit, digits, among)


def grows(values: Sequence[float], unit: str, digits: int = 1) -> Finding:
    """`values` (n,): paired differences, claimed to be above 0 on average."""
    numbers = _over_seeds(values)
    _, low, high, _, _ = numbers
    return _found(low > 0, high < 0, *numbers, unit, digits)


def within(values: Sequence[float], margin: float = SMALLEST, unit: str = " %", among: int = 1) -> Finding:
    """`values` (n,): changes per seed, whose mean is claimed to be within ±margin (equivalence)."""
    inner, outer = interval(values, ONE_SIDED), _outer(values, among)
    equal = -margin < inner[0] and inner[1] < margin
    return _found(equal, outer[0] > margin or outer[1] < -margin, *_over_seeds(values), unit)


def faded(small: pd.Series, large: pd.Series) -> Finding:
    """Changes by seed at two scales: a benefit at the small one is claimed to be lost, wholly or in part, at the large.
    """
    numbers = _between(small, large)
    _, low, high, _, _ = numbers
    grew, little = low > 0, high < SMALLEST
    benefit = interval(small)[1] < 0
    found = _found(grew and benefit and not little, little and not grew, *numbers, " points")
    flips = "flips" if small.mean() < 0 < large.mean() else "does not flip"
    if found.verdict == UNDECIDED and grew and not found.reason:
        less = f"less than {SMALLEST:g} points are lost" if little else "no benefit is shown that could be lost"
        found = replace(found, reason=less)
    return replace(found, ours=f"{number(small.mean())} % → {number(large.mean())} % (the sign of the mean {flips}); "
                               f"difference {found.ours}")


def lost(small: pd.Series, large: pd.Series, unit: str = " points", digits: int = 1) -> Finding:
    """Values by seed at two scales: the difference large − small is claimed to be above 0 (an interaction)."""
    numbers = _between(small, large)
    _, low, high, _, _ = numbers
    return _found(low > 0, high < 0, *numbers, unit, digits)


def fell(small: pd.Series, large: pd.Series, unit: str, digits: int) -> Finding:
    """Values by seed at two scales: the difference large − small is claimed to be below 0."""
    numbers = _between(small, large)
    _, low, high, _, _ = numbers
    return _found(high < 0, low > 0, *numbers, unit, digits)


def ratio(small: pd.Series, large: pd.Series, expected: float) -> Finding:
    """Positive values by seed at two scales, whose ratio small / large is claimed to be about `expected`."""
    log_small, log_large = (np.log(values.astype(float)) for values in (small, large))
    mean, low, high, freedom = difference(log_large, log_small)
    inner_low, inner_high = low, high
    if np.isfinite(low) and high > low:  # the same t interval at 90 %, whose two ends are the two one-sided tests
        narrower = stats.t.ppf(CONFIDENCE, freedom) / stats.t.ppf((1 + CONFIDENCE) / 2, freedom)
        half = (high - low) / 2 * narrower
        inner_low, inner_high = mean - half, mean + half
    inner_low, inner_high, mean, low, high = np.exp([inner_low, inner_high, mean, low, high])
    least, most = expected / FACTOR, expected * FACTOR
    found = _found(least < inner_low and inner_high < most, low > most or high < least, mean, low, high,
                   min(len(small), len(large)))
    text = f" [{low:.2f}, {high:.2f}]" if np.isfinite(low) else ""
    return replace(found, ours=f"{mean:.2f}×{text}", unit="×")


def power(values: Sequence[float], effect: float, among: int = 1) -> Finding:
    """`values` (n,): changes at the large scale, whose n seeds are claimed to be enough for `effect` (per cent)."""
    values = np.asarray(values, float)
    n = len(values)
    if n < 2:
        return Finding(UNDECIDED, n=n, reason="one seed says nothing of power")
    sd = values.std(ddof=1)
    best, low, high = (detectable(n, each) for each in (sd, *sd_interval(n, sd)))
    least = detectable(n, sd_interval(n, sd, 1 - (1 - CONFIDENCE) / among)[0])
    found = _found(high < abs(effect), least > abs(effect), best, low, high, n, best, unit=" %")
    return replace(found, ours=f"detects {best:.2g} % [{low:.2g}, {high:.2g}]")


def scatter(small: pd.Series, large: pd.Series, among: int = 1) -> Finding:
    """Values by seed at two scales: the scatter is claimed to be smaller at the large one (F interval)."""
    n, m = len(small), len(large)
    if min(n, m) < 2 or small.var() == 0:
        return Finding(UNDECIDED, n=min(n, m), reason="no scatter to compare")
    f = large.var() / small.var()
    tail = (1 - CONFIDENCE) / 2
    low, high, least = f / stats.f.ppf([1 - tail, tail, 1 - tail / among], m - 1, n - 1)
    found = _found(high < 1, least > 1, f, low, high, min(n, m), unit="")
    bounds = ", ".join(_two_digits(value) for value in (low, high))
    return replace(found, ours=f"variance ratio {_two_digits(f)} [{bounds}]")


def _two_digits(value: float) -> str:
    """A positive number with two significant digits, without a power of ten where it is large."""
    return f"{value:.2g}" if value < 100 else f"{value:,.0f}"


def count(value: float, expected: float) -> Finding:
    """A number that is counted, not estimated."""
    near = abs(value / expected - 1) <= TOLERANCE
    return Finding(SUPPORTED if near else CONTRADICTED, f"{value:,.0f}", float(value), n=1)


def untested(found: Finding, reasons: Iterable[str]) -> Finding:
    """`found` without its verdict where there are reasons why nothing was tested; as it is where there are none."""
    told = "; ".join(dict.fromkeys(reasons))
    return replace(found, verdict=UNTESTED, reason=told) if told else found


def all_of(parts: Mapping[str, Finding]) -> Finding:
    """One claim of several parts, by name."""
    found = [part.verdict for part in parts.values()]
    verdict = next((v for v in (CONTRADICTED, UNTESTED, UNDECIDED) if v in found), SUPPORTED)
    tested = {name: part for name, part in parts.items() if part.verdict != UNTESTED}
    mde = [part.mde for part in tested.values() if np.isfinite(part.mde)]
    reasons = dict.fromkeys(reason for part in parts.values() for reason in part.reason.split("; ") if reason)
    return Finding(verdict, "; ".join(f"{name} {part.ours}" for name, part in tested.items()) or "–",
                   n=min((part.n for part in tested.values()), default=0), mde=max(mde, default=np.nan),
                   reason="; ".join(reasons), parts=parts)
