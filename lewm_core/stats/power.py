"""What a number of seeds can show: the smallest effect it detects, and the seeds that an effect needs.

Power is that of the paired t test whose interval `paired.interval` is (statsmodels' TTestPower), at 5 % two-sided
and 80 %. The std of the changes over seeds is itself estimated from these seeds: from three, the true one lies
between half of it and six times of it (95 %), and so does the smallest effect. Both ends are reported.
"""

import bisect
import functools

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats.power import TTestIndPower, TTestPower

from lewm_core.stats import paper
from lewm_core.stats.paired import CONFIDENCE, FAMILY, number

POWER = 0.8
EFFECT = paper.FULL_SCALE_BAND  # per cent; the change that is to be told from 0
MOST_SEEDS = 10**6  # beyond this the number of seeds is not worth naming


def detectable(n: int, sd: float) -> float:
    """The smallest mean change (in sd's units) that n seeds detect at 80 % if changes scatter with `sd`; NaN for n < 2.

    The t test's power at that effect is 80 %: 3.3 std for n = 3, 1.7 for n = 5, 1.0 for n = 10.
    """
    if n < 2 or not np.isfinite(sd):
        return np.nan
    return float(sd * _size(n))


@functools.cache
def _size(n: int) -> float:
    return _solved(TTestPower().solve_power(nobs=n, alpha=1 - CONFIDENCE, power=POWER))


def _solved(size: object) -> float:
    """An effect size from statsmodels, whose solver returns an array for some n, and the root below 0 for a few."""
    return abs(float(np.ravel(size)[0]))


def detectable_difference(small: pd.Series, large: pd.Series) -> float:
    """The smallest difference of two means, samples indexed by seed, detected at 80 %; NaN if one has a single value.

    Paired where both have the same seeds, as in `scaling.difference`; otherwise of two samples with the mean variance.
    """
    small, large = small.astype(float).sort_index(), large.astype(float).sort_index()
    n, m = len(small), len(large)
    if min(n, m) < 2:
        return np.nan
    if small.index.equals(large.index):
        return detectable(n, float((large - small).std()))
    size = TTestIndPower().solve_power(nobs1=n, ratio=m / n, alpha=1 - CONFIDENCE, power=POWER)
    return float(_solved(size) * np.sqrt((small.var() + large.var()) / 2))


def seeds_needed(effect: float, sd: float) -> int:
    """The fewest seeds that tell a true mean change of `effect` (not 0) from 0 at 80 %; at least 2."""
    if not detectable(MOST_SEEDS, sd) <= abs(effect):
        return MOST_SEEDS
    # not TTestPower.power: it is NaN where n is small and the effect many std large
    return bisect.bisect_left(range(MOST_SEEDS), True, lo=2, key=lambda n: detectable(n, sd) <= abs(effect))


def sd_interval(n: int, sd: float, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """The interval of the std of a normal distribution, estimated as `sd` from n values; NaN for n < 2."""
    if n < 2:
        return np.nan, np.nan
    low, high = stats.chi2.ppf([(1 + confidence) / 2, (1 - confidence) / 2], n - 1)
    return sd * np.sqrt((n - 1) / low), sd * np.sqrt((n - 1) / high)


def power_table(changes: pd.DataFrame) -> pd.DataFrame:
    """What the seeds of each condition can show. changes: as from `paired.paired_change`, in per cent.

    Columns condition, scale, split, metric, n, sd (of the change over seeds), sd_low, sd_high (its 95 % interval), mde,
    mde_low, mde_high (smallest change detected at 80 %, with each of the three), effect (EFFECT), seeds (needed for it;
    0 where one seed leaves sd unknown), seeds_low, seeds_high.
    """
    rows = []
    for family, group in changes.groupby(FAMILY, sort=True):
        for condition in group.condition.unique():
            values = group[group.condition == condition].change.to_numpy(float)
            rows.append([condition, *family, *_can_detect(values)])
    measures = ["sd", "sd_low", "sd_high", "mde", "mde_low", "mde_high", "effect"]
    counts = ["seeds", "seeds_low", "seeds_high"]
    table = pd.DataFrame(rows, columns=["condition", *FAMILY, "n", *measures, *counts])
    return table.astype({"n": int} | dict.fromkeys(measures, float) | dict.fromkeys(counts, int))


def _can_detect(values: np.ndarray) -> list[float]:
    """The numbers of one row of `power_table`, from n on; `values`: the changes (n,)."""
    n = len(values)
    if n < 2:
        return [n, *[np.nan] * 6, EFFECT, 0, 0, 0]
    sd = values.std(ddof=1)
    sds = [sd, *sd_interval(n, sd)]
    return [n, *sds, *(detectable(n, each) for each in sds), EFFECT, *(seeds_needed(EFFECT, each) for each in sds)]


def can_show(row: pd.Series | tuple) -> str:
    """What one row of `power_table` says, to stand beside a result.

    '3 seeds detect a change of 5.2 % (2.7 to 33 %) with 80 % power; ±1.3 % would take 26 seeds (9 to 961)'.
    """
    if row.n < 2:
        return "one seed says nothing of the scatter, so nothing of power"
    return (f"{row.n} seeds detect a change of {row.mde:.2g} % ({row.mde_low:.2g} to {row.mde_high:.2g} %) with 80 % "
            f"power; ±{number(abs(row.effect)).lstrip('+')} % would take {row.seeds} seeds ({row.seeds_low} to "
            f"{row.seeds_high})")
