"""Shares and pairs of methods on the same tasks, against published and hand-computed values."""

from math import comb

import numpy as np
import pandas as pd
import pytest

from lewm_core.stats.proportions import COLUMNS, compared, mcnemar_p, wilson


@pytest.mark.parametrize(("count", "n", "low", "high"), [  # Newcombe, Statistics in Medicine 17 (1998), table I
    (81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)])
def test_wilsons_interval_is_the_published_one(count, n, low, high):
    assert wilson(count / n, n) == pytest.approx((low, high), abs=1e-4)


def test_wilsons_interval_of_shares_of_tries_and_of_no_task():
    z2 = 1.959964**2  # by hand: a mean of 0.25 over two tasks
    centre, half = (0.25 + z2 / 4) / (1 + z2 / 2), (z2 * (0.25 * 0.75 / 2 + z2 / 16)) ** 0.5 / (1 + z2 / 2)
    assert wilson(0.25, 2) == pytest.approx((centre - half, centre + half), abs=1e-6)
    assert np.isnan(wilson(0.5, 0)).all()


def test_the_interval_holds_the_true_share_of_tasks_that_were_tried_three_times():
    """Tasks differ in how hard they are, so tries of one task are alike."""
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(400):
        hard = rng.beta(0.5, 1.5, 32)  # mean 0.25
        low, high = wilson(rng.binomial(3, hard).mean() / 3, 32)
        covered += low <= 0.25 <= high
    assert covered / 400 > 0.94


@pytest.mark.parametrize(("one", "other", "p"), [
    (9, 2, 2 * (1 + 11 + 55) / 2**11), (8, 1, 2 * 10 / 2**9), (0, 5, 2 / 2**5), (1, 1, 1.0), (0, 0, 1.0)])
def test_mcnemars_p_is_the_binomial_tail_of_the_tasks_that_differ(one, other, p):
    assert mcnemar_p(one, other) == pytest.approx(p) == mcnemar_p(other, one)


def test_pairs_are_of_the_same_tasks_and_corrected():
    reached = pd.DataFrame({"A": [True] * 8 + [False] * 4, "B": [True] * 8 + [False, False, True, True],
                            "P": [False] * 8 + [True] + [False] * 3})
    table = compared(reached, [("B", "A"), ("P", "A"), ("P", "B")])
    assert list(table) == COLUMNS and table.n.eq(12).all()
    assert table[["only_method", "only_against"]].to_numpy().tolist() == [[0 + 2, 0], [1, 8], [1, 10]]
    assert table.difference.tolist() == pytest.approx([2 / 12, -7 / 12, -9 / 12])
    p = [0.5, 2 * 10 / 2**9, 2 * (1 + comb(11, 1)) / 2**11]
    assert table.p.tolist() == pytest.approx(p)
    assert table.p_holm.tolist() == pytest.approx([0.5, 2 * p[1], 3 * p[2]])  # the smallest times three, and so on
    assert compared(reached, []).empty and list(compared(reached, [])) == COLUMNS
