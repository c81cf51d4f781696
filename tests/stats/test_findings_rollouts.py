"""Sentences about rollouts, decoders and planning say what the numbers say, or that nothing was rolled out."""

import numpy as np
import pandas as pd
import pytest

from lewm_core.stats import findings_rollouts as told
from lewm_core.stats.paired import interval
from lewm_core.stats.proportions import compared


def rolled(own: dict[str, list[tuple[float, ...]]], persistence: list[tuple[float, ...]]) -> pd.DataFrame:
    """Rollouts: by model, an episode's distance at each step; persistence the same in every space."""
    rows = []
    for name, episodes in own.items():
        for episode, (near, still) in enumerate(zip(episodes, persistence, strict=True)):
            for step in range(len(near)):
                rows += [(name, episode, 0, step + 1, name, near[step]),
                         (name, episode, 0, step + 1, "static", still[step])]
    return pd.DataFrame(rows, columns=["space", "episode", "start", "step", "model", "distance"])


@pytest.fixture
def table():
    return rolled({"A": [(0.8,), (1.64,), (3.36,)], "B": [(0.7,), (1.44,), (2.96,)]}, [(1.0,), (2.0,), (4.0,)])


def test_distances_are_one_ratio_of_means_over_episodes(table):
    a, b = told.distances(table)
    assert a.startswith("**A**: 0.829 [") and a.endswith("n = 3; it is nearer than persistence in 3 of 3 episodes.")
    assert b.startswith("**B**: 0.729 [")
    both, difference = told.compared(table)
    assert "divided by that of persistence, is 0.83 (A), 0.73 (B): every model beats" in both
    assert difference.startswith("The ratio of B minus that of A is −0.100") and "excludes 0" in difference
    (alone,) = told.compared(table[table.space == "A"])
    assert "every model" in alone
    one = told.compared(table[table.episode == 0])[1]
    assert "interval" not in one and "[" not in one
    still = told.distances(table.assign(distance=0.0))
    assert still[0] == "**A**: nothing moves in these episodes."
    assert told.distances(table[:0]) == told.compared(table[:0]) == told.NOT_ROLLED


def test_two_rollouts_of_an_episode_count_as_one_episode(table):
    twice = pd.concat([table, table[table.episode == 2].assign(start=5)])
    assert told.distances(twice) == told.distances(table)


def test_who_is_nearer_at_every_step_is_nearer_on_average():
    """A mean of ratios over episodes would say the opposite: it is 1.1 here."""
    table = rolled({"A": [(1.5, 1.5), (7.0, 7.0)]}, [(1.0, 1.0), (10.0, 10.0)])
    assert told.along_steps(table)[0].endswith("it is nearer at every step.")
    assert "divided by that of persistence, is 0.77 (A): every model beats" in told.compared(table)[0]
    assert "nearer than persistence in 1 of " in told.distances(table)[0]


def test_the_interval_covers_the_true_ratio_as_often_as_it_says():
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(400):
        still = rng.uniform(1, 3, 12)
        own = 0.8 * still + rng.normal(0, 0.2, 12)
        values = told.ratios(rolled({"A": [(v,) for v in own]}, [(v,) for v in still])).loc["A"].to_numpy()
        low, high = interval(values)
        covered += low <= 0.8 <= high
    assert 0.92 < covered / 400 < 0.98


def test_steps_at_which_a_model_is_nearer():
    rows = [(space, 0, step, model, d) for space, own in (("A", (1, 3)), ("B", (3, 5)), ("C", (1, 1)))
            for step, (near, static) in enumerate(zip(own, (2, 2), strict=True), 1)
            for model, d in ((space, near), ("static", static))]
    a, b, c = told.along_steps(pd.DataFrame(rows, columns=["space", "episode", "step", "model",
                                                             "distance"]))
    assert "0.50 times as far from the truth as persistence at step 1 and 1.50 times at step 2" in a
    assert a.endswith("it is nearer at every step but 2.")
    assert b.endswith("at no step.") and c.endswith("at every step.")


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
    (line,) = told.planning(success, {"gripper": 0.04, "object": 0.03})
    assert "of 5 tasks: A 80 % [38, 96], random 20 % [4, 62]. Near means within 4 cm for the gripper" in line
    assert told.planning(success[:0], {}) == ["Not run: no task to plan for."]
    assert "80 % (A)" in told.prefers_recorded({"A": 0.8})[0] and told.prefers_recorded({}) == []


def test_goals_of_the_same_tasks_are_compared():
    reached = pd.DataFrame({"A": [True] * 10 + [False] * 6, "P": [True] * 16, "lr-0": [False] * 15 + [True],
                            "base": [True] * 8 + [False] * 7 + [True]})
    table = compared(reached, [("A", "base"), ("P", "A"), ("lr-0", "A")])
    base, a = told.goals_compared(table)
    assert base.startswith("Against base, on the same 16 tasks,") and "A 2 : 1 (p = 1)" in base
    # of 16 tasks P alone reached 6 (p 2 / 64, Holm × 2), lr-0 1 and A 10 (p 24 / 2048, Holm × 3)
    assert "P 6 : 0 (p = 0.062), lr-0 1 : 10 (p = 0.035, fewer goals)." in a
    clear = compared(reached, [("P", "A")])
    assert "P 6 : 0 (p = 0.031, more goals)" in told.goals_compared(clear)[0]
    assert told.goals_compared(table[:0]) == [] == told.goals_compared(pd.DataFrame())
