"""Figures of finished models draw the numbers of their tables, where they say."""

import numpy as np
import pandas as pd
import pytest

from lewm_core.diagnostics.goals import summarise
from lewm_core.stats import findings_rollouts
from lewm_core.viz import diagnostic_figures
from tests.helpers import attempts_by_hand
from tests.viz.drawn import artists, misplaced, texts


def test_rollouts_are_drawn_by_latent_space_and_their_ratio_is_one_of_means():
    """A has two rollouts of each of two episodes in its own space; persistence differs between the spaces."""
    rows = [(space, episode, start, step, model, 0.1 * step * (1 + episode) * factor * scale)
            for space, scale in (("A", 1.0), ("B", 2.0)) for episode in (0, 1) for start in (0, 5) for step in (1, 2)
            for model, factor in ((space, 0.8 if space == "A" else 0.5), ("static", 1.0))]
    table = pd.DataFrame(rows, columns=["space", "episode", "start", "step", "model", "relative"])
    table = table.assign(distance=3 * table.relative)
    ratios = findings_rollouts.by_step(table)
    fig = diagnostic_figures.rollout_distance(table, ratios)
    found = artists(fig)
    assert found["B/mean"].get_ydata() == pytest.approx([0.15, 0.3])
    assert found["B/static"].get_ydata() == pytest.approx([0.3, 0.6]) and found["B/static"].get_linestyle() == "--"
    assert found["A/static"].get_ydata() == pytest.approx([0.15, 0.3]), "not that of another space"
    assert found["A/ratio 2/mean"].get_ydata() == pytest.approx([0.8])
    assert found["B/ratio 1/mean"].get_ydata() == pytest.approx([0.5])
    assert "mean of 4 rollouts" in texts(fig) and misplaced(fig) == []


def test_planning_draws_what_the_summary_says():
    summary = summarise(attempts_by_hand())
    figure = diagnostic_figures.planning(summary)
    drawn = artists(figure)
    assert drawn["half/all/mean"].get_ydata() == [0.25] and drawn["good/move/mean"].get_ydata() == [1]
    np.testing.assert_allclose(drawn["good/object"].get_ydata(), [1, 0.25, 0.5])
    low, high = drawn["good/all/interval"].get_ydata()
    assert 0 < low < high == 1
    pairs = pd.DataFrame({"method": ["half", "A"], "against": ["A", "base"], "p_holm": [0.04, 0.2]})
    told = texts(diagnostic_figures.planning(summary.replace({"good": "A"}), pairs))
    assert "half p = 0.04" in told and "p = 0.2" not in told
    assert "exact McNemar" in told and "exact McNemar" not in texts(figure)
    reach = attempts_by_hand().query("kind == 'reach'")  # no object has to move
    assert "no task" in diagnostic_figures.planning(summarise(reach)).axes[3].get_title("left")


@pytest.mark.parametrize(("chart", "columns"), [
    (lambda t: diagnostic_figures.rollout_distance(t, t), "space step model relative"),
    (diagnostic_figures.planning, "method metric kind factor step n value low high"),
])
def test_a_table_without_rows_is_said_not_to_be_run(chart, columns):
    assert "not run: no" in texts(chart(pd.DataFrame(columns=columns.split())))
