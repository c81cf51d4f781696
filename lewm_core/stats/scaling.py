"""How an effect changes with the amount of data: between two scales, and where on the way it crosses zero."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from lewm_core.stats.paired import CONFIDENCE, interval, t_p
from lewm_core.utils.errors import InputError

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


def means_drawn(values: Sequence[pd.Series], rng: np.random.Generator, draws: int) -> np.ndarray:
    """(draws, S) the means of S sizes, bootstrapped over seeds; `values`: of each size, changes indexed by seed.

    Seeds are weighted rather than drawn: each draw gives every seed a normal weight, the same at all sizes at which it
    was run, and stretches the weighted deviations as the t distribution asks for. So the middle 95 % of the draws are
    `paired.interval` at each size; drawing seeds with replacement would make them too narrow.
    """
    seeds = sorted(set().union(*(v.index for v in values)))
    weight = pd.DataFrame(rng.normal(size=(len(seeds), draws)), index=seeds)
    out = np.empty((draws, len(values)))
    for s, v in enumerate(values):
        n, deviation = len(v), (v - v.mean()).to_numpy()
        spread = weight.loc[v.index].T.to_numpy() @ deviation / np.sqrt(n * (n - 1))
        out[:, s] = v.mean() + spread / np.sqrt(rng.chisquare(n - 1, draws) / (n - 1))
    return out


def zero(log_sizes: np.ndarray, effects: np.ndarray) -> np.ndarray:
    """(n,) the size at which each row of effects (n, S) first goes from below 0 to 0 or above; see `Crossing.size`."""
    up = (effects[:, :-1] < 0) & (effects[:, 1:] >= 0)
    first, row = up.argmax(1), np.arange(len(effects))
    before, after = effects[row, first], effects[row, first + 1]
    with np.errstate(all="ignore"):  # rows that do not cross
        at = np.exp(log_sizes[first] + (log_sizes[first + 1] - log_sizes[first]) * before / (before - after))
    return np.where(up.any(1), at, np.where(effects[:, -1] < 0, np.inf, 0.0))


def crossing(changes: pd.DataFrame, sizes: Mapping[str, float], rng: np.random.Generator, condition: str,
             metric: str = "mse", split: str = "episode", draws: int = DRAWS) -> Crossing:
    """Where a condition's effect crosses zero, by bootstrap over seeds (`means_drawn`).

    Args:
        changes: as from `paired.paired_change`, at two or more scales.
        sizes: scale -> size (episodes, or whatever grows); scales of `changes` that it does not name are left out.

    Raises:
        InputError: fewer than two sizes have a row.
    """
    rows = changes[(changes.condition == condition) & (changes.metric == metric) & (changes.split == split)]
    scales = sorted((s for s in sizes if s in set(rows.scale)), key=sizes.get)
    if len(scales) < 2:
        raise InputError(f"crossing of {condition}, {metric}, {split}", f"{len(scales)} of the sizes {dict(sizes)}",
                         "changes at two or more")
    values = [rows[rows.scale == s].set_index("seed").change.astype(float).sort_index() for s in scales]
    x = np.array([sizes[s] for s in scales], float)
    means = np.array([v.mean() for v in values])
    bounds = np.array([interval(v) for v in values])
    grid = np.geomspace(x[0], x[-1], 101)
    band = pd.DataFrame({"size": grid, "low": np.nan, "high": np.nan})
    low = high = inside = np.nan
    if min(map(len, values)) > 1:
        tails = [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]
        drawn = means_drawn(values, rng, draws)
        at = zero(np.log(x), drawn)
        low, high = np.quantile(at, tails, method="inverted_cdf")
        inside = float(((at > 0) & np.isfinite(at)).mean())
        between = drawn @ np.array([np.interp(np.log(grid), np.log(x), one) for one in np.eye(len(x))])
        band["low"], band["high"] = np.quantile(between, tails, axis=0)
    return Crossing(x, means, bounds[:, 0], bounds[:, 1], tuple(map(len, values)),
                    float(zero(np.log(x), means[None])[0]), float(low), float(high), inside, band)


def crossings(changes: pd.DataFrame, sizes: Mapping[str, float], seed: int = 0) -> dict[str, Crossing]:
    """`crossing` of every condition that was run at two sizes or more, each drawn from `seed` by itself."""
    found = {}
    for condition in changes.condition.unique():
        ran = set(changes.scale[changes.condition == condition])
        if len(ran & set(sizes)) > 1:
            found[condition] = crossing(changes, sizes, np.random.default_rng(seed), condition)
    return found


def describe_crossing(c: Crossing, condition: str, unit: str = "episodes") -> str:
    """One sentence about where, if at all, a mean effect crosses zero.

    'B: the mean effect crosses zero at 41 episodes (95 % interval: 18 to beyond 100; 71 % of the bootstrap draws
    cross within 13 to 100). This may be chance: no interval below 0 is followed by one above 0 at a larger size'.
    """
    if np.isinf(c.size):
        text = f"the mean effect is below zero up to the largest size, {c.sizes[-1]:g} {unit}: it does not cross"
    elif c.size == 0:
        text = f"the mean effect is above zero from the smallest size on, {c.sizes[0]:g} {unit}: no benefit to lose"
    else:
        text = f"the mean effect crosses zero at {_place(c, c.size)} {unit}"
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


def crossing_table(crossings: Mapping[str, Crossing], metric: str = "mse", split: str = "episode") -> pd.DataFrame:
    """What `control_figures.effect_against_size` draws of crossings, tidy for a figure's table.

    Columns condition, scale, seed, split, metric, value, statistic (crossing, crossing low, crossing high: in episodes,
    inf beyond the largest size; band low, band high: in per cent) and episodes (where the band is).
    """
    rows = []
    for name, c in crossings.items():
        for statistic, value in (("crossing", c.size), ("crossing low", c.low), ("crossing high", c.high)):
            rows.append((name, f"{metric} change %", statistic, np.nan, value))
        for row in c.band.itertuples():
            rows.append((name, f"{metric} change %", "band low", row.size, row.low))
            rows.append((name, f"{metric} change %", "band high", row.size, row.high))
    table = pd.DataFrame(rows, columns=["condition", "metric", "statistic", "episodes", "value"])
    return table.assign(scale="between sizes", seed=pd.NA, split=split)


def difference(small: pd.Series, large: pd.Series) -> tuple[float, float, float, float, str]:
    """large − small of two samples indexed by seed: mean, low, high (95 %), two-sided p, and which t test.

    Paired where both have the same seeds, otherwise Welch's; NaN and p = 1 where a sample has one value.
    """
    small, large = small.astype(float).sort_index(), large.astype(float).sort_index()
    mean = float(large.mean() - small.mean())
    if small.index.equals(large.index):
        values = (large - small).to_numpy()
        return mean, *interval(values), t_p(values), "paired"
    if min(len(small), len(large)) < 2:
        return mean, np.nan, np.nan, 1.0, "Welch"
    test = stats.ttest_ind(large, small, equal_var=False)
    found = test.confidence_interval(CONFIDENCE)
    return mean, float(found.low), float(found.high), float(test.pvalue), "Welch"
