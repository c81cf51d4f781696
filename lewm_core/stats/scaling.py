"""How an effect changes with the amount of data: between two scales, and where on the way it crosses zero."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from lewm_core.stats.paired import CONFIDENCE, interval, judged

DRAWS = 4000


@dataclass(frozen=True)
class Crossing:
    """Where a condition's mean effect turns from benefit (below 0) to harm (above 0) as the data grow.

    sizes (S,), means, lows, highs (S,): the effect (per cent) at each size with `paired.interval`. n: seeds at
    each. size: where the effect, interpolated over log(size), first goes from below 0 to above it; inf if it is
    still below 0 at the largest size, 0 if it is above from the smallest on. low, high: its 95 % interval, of the same
    meaning; NaN where a size has one seed. inside: the share of draws that cross between the smallest and the largest
    size. band: columns size, low, high, the 95 % band of the interpolated effect.
    """

    sizes: np.ndarray
    means: np.ndarray
    lows: np.ndarray
    highs: np.ndarray
    n: tuple[int, ...]
    size: float
    low: float
    high: float
    inside: float
    band: pd.DataFrame

    @property
    def shown(self) -> bool:
        """Whether the interval is below 0 at one size and above 0 at a larger one; a mean may cross by chance."""
        return bool(np.any((self.highs[:-1] < 0) & (np.maximum.accumulate(self.lows[::-1])[::-1][1:] > 0)))


def means_drawn(values: Sequence[pd.Series], rng: np.random.Generator) -> np.ndarray:
    """(DRAWS, S) the means of S sizes, bootstrapped over seeds; `values`: of each size, changes indexed by seed.

    Seeds are weighted rather than drawn: each draw gives every seed a normal weight, the same at all sizes at which it
    was run, and stretches the weighted deviations as the t distribution asks for. So the middle 95 % of the draws are
    `paired.interval` at each size; drawing seeds with replacement would make them too narrow.
    """
    seeds = sorted(set().union(*(v.index for v in values)))
    weight = pd.DataFrame(rng.normal(size=(len(seeds), DRAWS)), index=seeds)
    out = np.empty((DRAWS, len(values)))
    for s, v in enumerate(values):
        n, deviation = len(v), (v - v.mean()).to_numpy()
        spread = weight.loc[v.index].T.to_numpy() @ deviation / np.sqrt(n * (n - 1))
        out[:, s] = v.mean() + spread / np.sqrt(rng.chisquare(n - 1, DRAWS) / (n - 1))
    return out


def zero(log_sizes: np.ndarray, effects: np.ndarray) -> np.ndarray:
    """(n,) the size at which each row of effects (n, S) first goes from below 0 to 0 or above; see `Crossing.size`."""
    up = (effects[:, :-1] < 0) & (effects[:, 1:] >= 0)
    first, row = up.argmax(1), np.arange(len(effects))
    before, after = effects[row, first], effects[row, first + 1]
    with np.errstate(all="ignore"):  # rows that do not cross
        at = np.exp(log_sizes[first] + (log_sizes[first + 1] - log_sizes[first]) * before / (before - after))
    return np.where(up.any(1), at, np.where(effects[:, -1] < 0, np.inf, 0.0))


def crossing(changes: pd.DataFrame, sizes: Mapping[str, float], rng: np.random.Generator,
             condition: str) -> Crossing:
    """Where a condition's effect crosses zero, by bootstrap over seeds (`means_drawn`).

    changes: as from `paired.paired_change`. sizes: scale -> episodes, at two or more of which the condition was run;
    scales of `changes` that it does not name are left out.
    """
    rows = judged(changes[changes.condition == condition])
    scales = sorted((s for s in sizes if s in set(rows.scale)), key=sizes.get)
    values = [rows[rows.scale == s].set_index("seed").change.astype(float).sort_index() for s in scales]
    x = np.array([sizes[s] for s in scales], float)
    means = np.array([v.mean() for v in values])
    bounds = np.array([interval(v) for v in values])
    grid = np.geomspace(x[0], x[-1], 101)
    band = pd.DataFrame({"size": grid, "low": np.nan, "high": np.nan})
    low = high = inside = np.nan
    if min(map(len, values)) > 1:
        tails = [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]
        drawn = means_drawn(values, rng)
        at = zero(np.log(x), drawn)
        low, high = np.quantile(at, tails, method="inverted_cdf")
        inside = float(((at > 0) & np.isfinite(at)).mean())
        between = drawn @ np.array([np.interp(np.log(grid), np.log(x), one) for one in np.eye(len(x))])
        band["low"], band["high"] = np.quantile(between, tails, axis=0)
    return Crossing(x, means, bounds[:, 0], bounds[:, 1], tuple(map(len, values)),
                    float(zero(np.log(x), means[None])[0]), float(low), float(high), inside, band)


def crossings(changes: pd.DataFrame, sizes: Mapping[str, float]) -> dict[str, Crossing]:
    """`crossing` of every condition that was run at two sizes or more, each drawn by itself from seed 0."""
    found = {}
    for condition in changes.condition.unique():
        ran = set(changes.scale[changes.condition == condition])
        if len(ran & set(sizes)) > 1:
            found[condition] = crossing(changes, sizes, np.random.default_rng(0), condition)
    return found


def describe_crossing(c: Crossing, condition: str) -> str:
    """One sentence about where, if at all, a mean effect crosses zero.

    'B: the mean effect crosses zero at 41 episodes (95 % interval: 18 to beyond 100; 71 % of the bootstrap draws
    cross within 13 to 100). This may be chance: no interval below 0 is followed by one above 0 at a larger size'.
    """
    if np.isinf(c.size):
        text = f"the mean effect is below zero up to the largest size, {c.sizes[-1]:g} episodes: it does not cross"
    elif c.size == 0:
        text = f"the mean effect is above zero from the smallest size on, {c.sizes[0]:g} episodes: no benefit to lose"
    else:
        text = f"the mean effect crosses zero at {_place(c, c.size)} episodes"
    if np.isnan(c.inside):
        return f"{condition}: {text} (no interval, since a size has one seed)"
    text = (f"{condition}: {text} (95 % interval: {_place(c, c.low)} to {_place(c, c.high)}; {c.inside:.0%} of the "
            f"bootstrap draws cross within {c.sizes[0]:g} to {c.sizes[-1]:g})")
    if c.shown:
        return text + "; the interval is below 0 at one size and above 0 at a larger one"
    if 0 < c.size < np.inf:
        text += ". This may be chance: no interval below 0 is followed by one above 0 at a larger size"
    return text


def _place(c: Crossing, size: float) -> str:
    if np.isinf(size):
        return f"beyond {c.sizes[-1]:g}"
    return f"below {c.sizes[0]:g}" if size == 0 else f"{size:.0f}"


def crossing_table(crossings: Mapping[str, Crossing]) -> pd.DataFrame:
    """What `control_figures.effect_against_size` draws of crossings, tidy for a figure's table.

    Columns condition, scale, seed, split, metric, value, statistic (crossing, crossing low, crossing high: in episodes,
    inf beyond the largest size; band low, band high: in per cent) and episodes (where the band is).
    """
    rows = []
    for name, c in crossings.items():
        for statistic, value in (("crossing", c.size), ("crossing low", c.low), ("crossing high", c.high)):
            rows.append((name, statistic, np.nan, value))
        for row in c.band.itertuples():
            rows.append((name, "band low", row.size, row.low))
            rows.append((name, "band high", row.size, row.high))
    table = pd.DataFrame(rows, columns=["condition", "statistic", "episodes", "value"])
    return table.assign(metric="mse change %", scale="between sizes", seed=pd.NA, split="episode")


def difference(small: pd.Series, large: pd.Series) -> tuple[float, float, float, float]:
    """large − small of two samples indexed by seed: mean, low, high (95 %), and the degrees of freedom of the t test.

    Paired where both have the same seeds, otherwise Welch's; NaN where a sample has one value.
    """
    small, large = small.astype(float).sort_index(), large.astype(float).sort_index()
    mean = float(large.mean() - small.mean())
    if small.index.equals(large.index):
        values = (large - small).to_numpy()
        return mean, *interval(values), len(values) - 1
    if min(len(small), len(large)) < 2:
        return mean, np.nan, np.nan, np.nan
    test = stats.ttest_ind(large, small, equal_var=False)
    found = test.confidence_interval(CONFIDENCE)
    return mean, float(found.low), float(found.high), float(test.df)
