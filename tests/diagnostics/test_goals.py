"""What came of attempts is what counting by hand gives."""

import numpy as np
import pytest

from lewm_core.diagnostics.goals import reached, reached_first, summarise
from tests.helpers import attempts_by_hand


def test_goals_are_reached_within_the_threshold_at_some_step():
    table = attempts_by_hand()
    assert reached(table)["good"].tolist() == [1, 1] and reached(table)["half"].tolist() == [0.5, 0]
    assert reached(table, 0.5)["good"].tolist() == [0, 1] and reached(table, 1.5)["half"].tolist() == [1, 0]


def test_of_several_tries_the_first_is_compared():
    """`half` reaches task 0 in its second try alone."""
    first = reached_first(attempts_by_hand())
    assert first.good.tolist() == [True, True] and first.half.tolist() == [False, False]
    swapped = attempts_by_hand()
    swapped.loc[swapped.method == "half", "repeat"] = 1 - swapped.repeat
    swapped = swapped.sort_values(["method", "repeat", "task", "step"])
    assert reached_first(swapped).half.tolist() == [True, False]


def test_the_summary_is_what_counting_gives():
    summary = summarise(attempts_by_hand()).set_index(["method", "metric", "kind"])
    success = summary[summary.factor == 1].value
    assert success["half", "success", "all"] == 0.25 and success["half", "success", "move"] == 0.5
    # Wilson's interval by hand, z² = 3.8415: of two tasks both reached, n / (n + z²) to 1
    both = summary[summary.factor == 1].loc[("good", "success", "all")]
    assert both[["low", "high"]].tolist() == pytest.approx([2 / 5.8415, 1], abs=1e-4)
    left = summary[summary.step == 2].value
    assert left["half", "gripper left", "all"] == pytest.approx(np.median([0.3, 0.1, 1.0, 0.5]))
    assert left["good", "object left", "move"] == pytest.approx(0.5)
