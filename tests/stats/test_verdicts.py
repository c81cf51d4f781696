"""Verdicts: every branch of every rule, and its rate of error over synthetic studies."""

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.weightstats import DescrStatsW

from lewm_core.stats import outcomes, verdicts
from lewm_core.stats.verdicts import CONTRADICTED, SUPPORTED, UNDECIDED, UNTESTED, all_of

STUDIES = 500
NEAR = np.array([-0.1, 0.0, 0.1])  # ± 0.25 about the mean at n = 3


def seeds(values, first=0):
    return pd.Series(np.asarray(values, float), index=range(first, first + len(values)))


def grows(values):
    return verdicts.grows(values, "")


@pytest.mark.parametrize(("rule", "centre", "verdict"), [
    (verdicts.improves, -9, SUPPORTED), (verdicts.improves, -4, SUPPORTED), (verdicts.improves, 5, CONTRADICTED),
    (verdicts.improves, -2, UNDECIDED), (verdicts.improves, -0.1, CONTRADICTED), (verdicts.no_gain, 0, SUPPORTED),
    (verdicts.no_gain, 5, SUPPORTED), (verdicts.no_gain, -9, CONTRADICTED), (verdicts.no_gain, -2, UNDECIDED),
    (verdicts.within, 0.5, SUPPORTED), (verdicts.within, 1.3, SUPPORTED), (verdicts.within, 3, SUPPORTED),
    (verdicts.within, -5, CONTRADICTED), (verdicts.within, 5, CONTRADICTED), (verdicts.within, 4, UNDECIDED),
    (verdicts.shrinks, -1, SUPPORTED), (verdicts.shrinks, 1, CONTRADICTED), (verdicts.shrinks, 0.1, UNDECIDED),
    (grows, 1, SUPPORTED), (grows, -1, CONTRADICTED), (grows, 0.1, UNDECIDED)])
def test_rules_about_one_effect(rule, centre, verdict):
    found = rule(centre + NEAR)
    assert found.verdict == verdict and found.n == 3 and found.mean == pytest.approx(centre)
    assert found.mde == pytest.approx(0.3264, abs=1e-3)
    assert rule(centre + 300 * NEAR).verdict == UNDECIDED, "with three hundred times the scatter nothing is decided"
    one = rule([float(centre)])
    assert (one.verdict, one.reason) == (UNDECIDED, "a single value gives no interval") and np.isnan(one.low)


def test_a_benefit_that_is_there_but_too_small_decides_nothing():
    for rule in (verdicts.improves, verdicts.no_gain):
        assert rule(-2 + NEAR).reason == "a benefit, and surely smaller than 4 %"
    assert verdicts.improves(-2 + NEAR, least=1).verdict == SUPPORTED


def test_equivalence_is_two_one_sided_tests():
    rng = np.random.default_rng(0)
    for values in rng.normal(3, 1.5, (50, 6)):
        p = DescrStatsW(values).ttost_mean(-outcomes.SMALLEST, outcomes.SMALLEST)[0]
        assert (verdicts.within(values).verdict == SUPPORTED) == (p < 0.05)


def test_a_signal_helps_if_its_condition_beats_a_and_its_twin():
    good, none, open_ = (verdicts.improves(centre + NEAR) for centre in (-9, 0, -2))
    for pair, verdict in (((good, good), SUPPORTED), ((good, none), CONTRADICTED), ((none, good), CONTRADICTED),
                          ((good, open_), UNDECIDED)):
        found = verdicts.helps(*pair, "B-shuf")
        assert found.verdict == verdict and found.mean == pair[0].mean
        assert found.ours == f"{pair[0].ours}; against B-shuf {pair[1].ours}"


@pytest.mark.parametrize(("small", "large", "verdict", "words"), [
    (-9, 2, SUPPORTED, "the sign of the mean flips"), (-9, -2, SUPPORTED, "does not flip"),
    (-9, -9, CONTRADICTED, "does not flip"), (-5, -9, CONTRADICTED, "does not flip"),
    (0, 0.1, CONTRADICTED, ""), (3, 9, UNDECIDED, ""), (-5, -3, UNDECIDED, "")])
def test_a_benefit_is_lost_between_scales(small, large, verdict, words):
    found = verdicts.faded(seeds(small + NEAR), seeds(large + NEAR[[1, 2, 0]]))
    assert found.verdict == verdict and found.mean == pytest.approx(large - small) and words in found.ours
    if verdict == UNDECIDED:
        assert found.reason == ("no benefit is shown that could be lost" if small > 0 else
                                "less than 4 points are lost")


def test_an_interaction_is_a_difference_between_scales():
    for large, verdict in ((1, SUPPORTED), (-5, UNDECIDED), (-9, CONTRADICTED)):
        assert verdicts.lost(seeds(-5 + NEAR), seeds(large + NEAR[[1, 2, 0]])).verdict == verdict
    welch = verdicts.lost(seeds([-5.1, -5, -4.9, -5, -5]), seeds(1 + NEAR))
    assert welch.verdict == SUPPORTED and welch.n == 3 and 0.1 < welch.mde < 0.4


@pytest.mark.parametrize(("true", "verdict"), [(4, SUPPORTED), (4.6, SUPPORTED), (1.1, CONTRADICTED),
                                               (9, CONTRADICTED), (5, UNDECIDED)])
@pytest.mark.parametrize("first", [0, 1])  # the same seeds: paired; others: Welch
def test_a_ratio_of_about_four(true, verdict, first):
    scatter = np.array([0.98, 1, 1.02])
    found = verdicts.ratio(seeds(true * scatter), seeds(scatter[[1, 2, 0]], first), 4)
    assert found.verdict == verdict and found.mean == pytest.approx(true, rel=1e-3)
    assert verdicts.ratio(seeds([4.0, 1, 16]), seeds([1.0, 3, 1]), 4).verdict == UNDECIDED


def test_power_scatter_and_counts():
    values = NEAR * 10  # deviation 1, between 0.52 and 6.3; detects 3.26, between 1.7 and 20.5
    for effect, verdict in ((-30, SUPPORTED), (-1, CONTRADICTED), (-5, UNDECIDED)):
        assert verdicts.power(values, effect).verdict == verdict
    assert verdicts.power([1.0], -5).verdict == UNDECIDED
    wide, narrow = seeds(np.linspace(-50, 50, 12)), seeds(np.linspace(-1, 1, 12))
    assert verdicts.scatter(wide, narrow).verdict == SUPPORTED
    assert verdicts.scatter(narrow, wide).verdict == CONTRADICTED
    assert verdicts.scatter(wide, wide * 1.1).verdict == UNDECIDED
    assert verdicts.scatter(wide[:1], narrow).verdict == UNDECIDED
    assert verdicts.count(400_434, 400_000).verdict == SUPPORTED
    assert verdicts.count(18_034_448, 15e6).verdict == CONTRADICTED


def test_a_claim_of_several_parts():
    yes, no, open_, absent = (verdicts.Finding(v, ours=v, n=3, reason=r) for v, r in (
        (SUPPORTED, ""), (CONTRADICTED, ""), (UNDECIDED, ""), (UNTESTED, "why")))
    assert all_of({"a": yes, "b": yes}).verdict == SUPPORTED
    assert all_of({"a": yes, "b": no, "c": absent}).verdict == CONTRADICTED
    assert all_of({"a": yes, "b": open_}).verdict == UNDECIDED
    part = all_of({"a": yes, "b": absent})
    assert (part.verdict, part.reason, part.ours) == (UNTESTED, "why", "a supported")


def test_verdicts_are_wrong_no_more_often_than_they_say():
    """At the edge of what each rule allows: 2.5 % for one side of a 95 % interval, 5 % for a test of equivalence."""
    rng = np.random.default_rng(0)
    null = [(row,) for row in rng.normal(0, 2, (STUDIES, 3))]
    edge, worth = ([(row,) for row in rng.normal(centre, 0.3, (STUDIES, 5))]
                   for centre in (outcomes.SMALLEST, -outcomes.SMALLEST))
    # the two-sided error of `ratio` at its edge, 5 = 4 · FACTOR
    logs = np.exp(rng.normal(0, 0.05, (STUDIES, 2, 5)))
    ratios = [(seeds(5 * a), seeds(b, first=10), 4) for a, b in logs]
    kept = [(seeds(a - 9), seeds(b - 9)) for a, b in rng.normal(0, 2, (STUDIES, 2, 3))]
    half = [(seeds(a - 9), seeds(b - 9 + outcomes.SMALLEST)) for a, b in rng.normal(0, 0.3, (STUDIES, 2, 5))]
    for rule, draws, nominal in (
            (verdicts.improves, null, {SUPPORTED: 0.025}), (verdicts.improves, worth, {CONTRADICTED: 0.025}),
            (verdicts.no_gain, worth, {SUPPORTED: 0.025}), (verdicts.no_gain, null, {CONTRADICTED: 0.025}),
            (verdicts.faded, kept, {SUPPORTED: 0.025}), (verdicts.faded, half, {CONTRADICTED: 0.025}),
            (verdicts.shrinks, null, {SUPPORTED: 0.025, CONTRADICTED: 0.025}),
            (verdicts.within, edge, {SUPPORTED: 0.05, CONTRADICTED: 0.025}),
            (verdicts.ratio, ratios, {SUPPORTED: 0.05, CONTRADICTED: 0.025})):
        found = [rule(*draw).verdict for draw in draws]
        for verdict, most in nominal.items():
            rate = np.mean([v == verdict for v in found])
            assert rate < most + 3.3 * np.sqrt(most * (1 - most) / STUDIES), (rule.__name__, verdict)
