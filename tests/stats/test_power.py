"""Power and crossings: hand-worked values, and rates over synthetic studies with a known truth."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from lewm_core.stats import paired, power, scaling

STUDIES = 500
SIZES = {"s13": 13, "s25": 25, "s50": 50, "s100": 100}


def within_noise(rate, nominal):
    return abs(rate - nominal) < 3.3 * np.sqrt(nominal * (1 - nominal) / STUDIES)


def changes(means, sd=1.0, n=5, seed=0, condition="B", sizes=SIZES):
    """One study: a change per scale and seed, scattered about the mean of its scale."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame([(condition, scale, "episode", "mse", s, mean + sd * rng.normal())
                         for scale, mean in zip(sizes, means, strict=True) for s in range(n)],
                        columns=["condition", "scale", "split", "metric", "seed", "change"])


# ---------------------------------------------------------------------------------------------------------------- power


@pytest.mark.parametrize("n", [3, 5, 10])
def test_n_seeds_detect_the_smallest_detectable_effect_in_four_of_five_studies(n):
    effect = power.detectable(n, 2.0)
    values = np.random.default_rng(n).normal(effect, 2.0, (STUDIES, n))
    p = stats.ttest_1samp(values, 0, axis=1).pvalue
    assert within_noise(np.mean(p < 0.05), 0.8)


def test_seeds_needed_and_detectable_are_inverse():
    for n in (2, 3, 7, 30, 400):
        effect = power.detectable(n, 1.5)
        assert power.seeds_needed(effect * 1.0001, 1.5) == n and power.seeds_needed(-effect * 0.999, 1.5) > n
    assert power.seeds_needed(100, 1) == 2 and power.seeds_needed(1, 0) == 2
    assert power.seeds_needed(1e-9, 1) == power.MOST_SEEDS
    assert np.isnan(power.detectable(1, 1))
    sizes = [power.detectable(n, 1) for n in range(2, 150)]
    assert np.all(np.diff(sizes) < 0), "each further seed detects less"
    needed = [power.seeds_needed(1.3, sd) for sd in np.geomspace(0.01, 30, 200)]
    assert np.all(np.diff(needed) >= 0), "more scatter never needs fewer seeds"


@pytest.mark.parametrize("n", [3, 10])
def test_the_interval_of_the_deviation_holds_it(n):
    sds = np.random.default_rng(n).normal(0, 3, (STUDIES, n)).std(1, ddof=1)
    low, high = power.sd_interval(n, sds)
    assert within_noise(np.mean((low <= 3) & (3 <= high)), 0.95)


def test_power_table_and_its_sentence():
    rows = pd.DataFrame({"condition": ["B"] * 3 + ["D"], "scale": "full", "split": "episode", "metric": "mse",
                         "seed": [0, 1, 2, 0], "change": [1.0, 2.0, 3.0, 5.0]})
    table = power.power_table(rows).set_index("condition")
    b = table.loc["B"]
    assert (b.n, b.sd) == (3, 1) and b.mde == pytest.approx(3.264, abs=1e-3) and b.effect == 1.3
    assert b.sd_low == pytest.approx(0.5207, abs=1e-4) and b.sd_high == pytest.approx(6.2847, abs=1e-4)
    assert b.mde_high == pytest.approx(6.2847 * 3.264, rel=1e-3)
    assert b.seeds == 7 and b.seeds_low < 7 < b.seeds_high  # d = 1.3: 6.8 seeds
    sentence = power.can_show(table.reset_index().iloc[0])
    assert "3 seeds detect a change of 3.3 % (" in sentence and "±1.3 % would take 7 seeds (" in sentence
    assert "one seed says nothing" in power.can_show(table.reset_index().iloc[1])


# -------------------------------------------------------------------------------------------------------------- scaling


def test_zero_by_hand():
    x = np.log([10.0, 100.0, 1000.0])
    effects = np.array([[-1, 1, 5], [-1, -1, 3], [-2, -1, -1], [1, 2, 3], [1, -1, 1], [1, 0.5, -1], [-1, 1, -1]])
    at = scaling.zero(x, effects)
    assert at == pytest.approx([10**1.5, 10**2.25, np.inf, 0, 10**2.5, np.inf, 10**1.5])


def test_a_planted_crossing_is_found_and_none_where_none_was_planted():
    rng = np.random.default_rng(0)
    found = scaling.crossing(changes([-9, -4, 1, 6], sd=0.3), SIZES, rng, "B")
    assert 25 < found.low < found.size < found.high < 50 and found.inside == 1
    assert "crosses zero at 4" in scaling.describe_crossing(found, "B")
    never = scaling.crossing(changes([-9, -8, -7, -6], sd=0.3), SIZES, rng, "B")
    assert np.isinf(never.size) and np.isinf(never.low) and never.inside == 0
    assert "does not cross" in scaling.describe_crossing(never, "B")
    harm = scaling.crossing(changes([5, 5, 5, 5], sd=0.3), SIZES, rng, "B")
    assert harm.size == harm.high == 0 and "no benefit to lose" in scaling.describe_crossing(harm, "B")
    unsure = scaling.crossing(changes([-1, -0.5, 0.5, 1], sd=5, n=3), SIZES, rng, "B")
    assert unsure.low < 25 and np.isinf(unsure.high) and "to beyond 100" in scaling.describe_crossing(unsure, "B")
    assert found.shown and not (never.shown or harm.shown or unsure.shown)
    assert "This may be chance" in scaling.describe_crossing(unsure, "B")


def test_the_crossings_interval_holds_the_truth_as_often_as_it_says(monkeypatch):
    """The effect grows by 4 for every doubling and is 0 at 36.06 = sqrt(13 · 100)."""
    monkeypatch.setattr(scaling, "DRAWS", 400)
    table, rng = changes([0] * 4, n=4), np.random.default_rng(0)
    truth = np.sqrt(1300)
    means = np.repeat(4 * np.log2(np.array(list(SIZES.values())) / truth), 4)
    held = shown = 0
    for _ in range(STUDIES):
        noise = rng.normal(0, 3, 16)
        c = scaling.crossing(table.assign(change=means + noise), SIZES, rng, "B")
        held += c.low <= truth <= c.high
        values = noise.reshape(4, 4)  # the same study without its effect
        bounds = np.array([paired.interval(v) for v in values])
        shown += replace(c, lows=bounds[:, 0], highs=bounds[:, 1]).shown
    assert held / STUDIES > 0.95 - 3.3 * np.sqrt(0.95 * 0.05 / STUDIES)
    assert shown / STUDIES < 0.02, "without an effect a crossing needs two false positives of opposite sign"


def test_drawn_means_are_the_t_interval_and_keep_pairs_together(monkeypatch):
    monkeypatch.setattr(scaling, "DRAWS", 40_000)
    rng = np.random.default_rng(1)
    one = pd.Series(rng.normal(2, 1, 5), index=[0, 1, 2, 3, 4])
    drawn = scaling.means_drawn([one, one + 1, pd.Series([1.0, 4.0, 2.0], index=[0, 1, 2])], rng)
    for s, values in ((0, one), (2, [1.0, 4.0, 2.0])):
        low, high = paired.interval(values)
        assert np.quantile(drawn[:, s], [0.025, 0.975]) == pytest.approx([low, high], rel=0.05, abs=0.1)
    assert stats.spearmanr(drawn[:, 0], drawn[:, 1]).statistic > 0.6
    assert abs(stats.spearmanr(drawn[:, 0], scaling.means_drawn([one, one], rng)[:, 0]).statistic) < 0.05


def test_a_crossing_with_one_seed_has_no_interval():
    table = changes([-5, -1, 1, 5], n=1)
    found = scaling.crossing(table, SIZES, np.random.default_rng(0), "B")
    assert np.isnan(found.low) and "one seed" in scaling.describe_crossing(found, "B")


def test_crossings_of_those_that_were_run_at_two_sizes():
    both = pd.concat([changes([-9, -4, 1, 6], sd=0.3), changes([1], sd=0.3, condition="D", sizes={"s13": 13})])
    found = scaling.crossings(both, SIZES)
    assert list(found) == ["B"] and 25 < found["B"].size < 50
    alone = scaling.crossing(both, SIZES, np.random.default_rng(0), "B")
    assert (found["B"].low, found["B"].high) == (alone.low, alone.high)
    none = scaling.crossings(both[both.condition == "D"], SIZES)
    assert none == {} and scaling.crossing_table(none).empty and scaling.crossings(both[:0], SIZES) == {}


def test_a_difference_is_paired_where_seeds_pair():
    small, large = (pd.Series(v) for v in ([-9.0, -12, -10], [1.0, 2, 1.5]))
    mean, low, high, freedom = scaling.difference(small, large)
    test = stats.ttest_rel(large, small)
    assert freedom == 2
    assert (low, high) == pytest.approx(tuple(test.confidence_interval(0.95)))
    more = pd.Series([*small, -11, -8])
    mean, low, high, freedom = scaling.difference(more, large)
    test = stats.ttest_ind(large, more, equal_var=False)
    assert (low, high) == pytest.approx(tuple(test.confidence_interval(0.95))) and freedom == pytest.approx(test.df)
    assert mean == pytest.approx(large.mean() - more.mean())
    mean, low, _, _ = scaling.difference(small[:1], large[:1])
    assert mean == 10 and np.isnan(low)


@pytest.mark.parametrize(("n_small", "n_large"), [(3, 3), (5, 3), (10, 10)])
def test_the_interaction_test_is_wrong_as_often_as_it_says(n_small, n_large):
    rng = np.random.default_rng(n_small)
    told = flip = 0
    for _ in range(STUDIES):
        small, large = (pd.Series(rng.normal(-4, 2, n), index=range(n)) for n in (n_small, n_large))
        _, low, high, _ = scaling.difference(small, large)
        told += low > 0 or high < 0
        a, b = paired.interval(rng.normal(0, 2, n_small)), paired.interval(rng.normal(0, 2, n_large))
        flip += a[1] < 0 < b[0] or b[1] < 0 < a[0]
    rate = told / STUDIES
    assert within_noise(rate, 0.05) if n_small == n_large else rate < 0.05 + 3.3 * np.sqrt(0.05 * 0.95 / STUDIES)
    assert flip / STUDIES < 0.01, "without any effect a flip needs two false positives"
