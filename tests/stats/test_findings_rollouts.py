"""Sentences about rollouts, decoders and planning say what the numbers say, or that nothing was rolled out."""

import numpy as np
import pandas as pd
import pytest

from lewm_core.stats import findings_rollouts as told


@pytest.fixture
def ratios():
    planted = (("A", 0.8), ("B", 0.7))
    return pd.DataFrame([(e, s, m, v + 0.02 * e) for e in range(3) for s in (0, 5) for m, v in planted],
                        columns=["episode", "start", "model", "ratio"])


def test_distances_are_over_episodes_and_not_over_rollouts(ratios):
    a, b = told.distances(ratios)
    assert a.startswith("**A**: 0.820 [") and a.endswith("over 3 episode(s); below 1 in 3.")
    assert b.startswith("**B**: 0.720")
    both, difference = told.compared(ratios)
    assert "A is at 0.82, B is at 0.72 times persistence's distance: every model beats" in both
    assert difference.startswith("B against A, in that ratio: −0.100 [") and "excludes 0" in difference
    (alone,) = told.compared(ratios[ratios.model == "A"])
    assert "every model" in alone
    one = told.compared(ratios[ratios.episode == 0])[1]
    assert "interval" not in one and "[" not in one
    still = told.distances(ratios.assign(ratio=np.nan))
    assert still[0] == "**A**: nothing moves in these episodes."
    assert told.distances(ratios[:0]) == told.compared(ratios[:0]) == told.NOT_ROLLED


def test_steps_at_which_a_model_is_nearer():
    rows = [(space, step, model, d) for space, own in (("A", (1, 3)), ("B", (3, 5)), ("C", (1, 1)))
            for step, (near, static) in enumerate(zip(own, (2, 2), strict=True), 1)
            for model, d in ((space, near), ("static", static))]
    a, b, c = told.along_steps(pd.DataFrame(rows, columns=["space", "step", "model", "distance"]))
    assert "0.50 times as far from the truth as persistence at step 1 and 1.50 times at step 2" in a
    assert a.endswith("it is not nearer at step(s) 2.") and b.endswith("at no step.") and c.endswith("at every step.")


def test_retrieval_and_tags():
    table = pd.DataFrame({"model": ["A", "A"], "same_episode": [100.0, 50.0], "repeated": [0.0, 20.0]})
    assert told.steadiness(table) == ["A: 75 % of the retrieved frames are from the episode itself and 10 % of the "
                                      "transitions stay on one frame."]
    assert told.steadiness(table[:0]) == told.NOT_ROLLED
    assert told.tags([["best:A"], ["best:A", "tight-tie"]]) == ["`best:A`: 2 of 2 rollouts",
                                                                "`tight-tie`: 1 of 2 rollouts"]
    assert told.tags([]) == told.NOT_ROLLED


def test_decoders_and_planning():
    assert "+1.5 dB (A)" in told.decoders({"A": 1.5})[0] and "not judged" in told.decoders({"A": np.nan})[0]
    success = pd.DataFrame({"A": [1.0, 1, 1, 1, 0], "random": [0.0, 0, 0, 1, 0]})
    assert "A 80 %, random 20 % of 5 tasks (near: gripper 4 cm, object 3 cm)" in told.planning(
        success, {"gripper": 0.04, "object": 0.03})[0]
    assert told.planning(success[:0], {}) == ["Not run: no task to plan for."]
    assert told.against(success, "A", "random").startswith("Planning with A against random: +60.0 points [")
    assert told.against(success[:1], "A", "random").endswith("one task.")
    clear = pd.DataFrame({"A": [1.0] * 9 + [0.0], "random": [0.0] * 10, "B": [1.0, 0.0] * 5, "C": [0.0, 1.0] * 5})
    assert "more goals" in told.against(clear, "A", "random") and ": fewer goals than A." in told.against(
        clear, "random", "A")
    assert "neither clearly" in told.against(clear, "B", "C")
    assert "80 % (A)" in told.prefers_recorded({"A": 0.8})[0] and told.prefers_recorded({}) == []
