"""Figures of finished models draw the numbers of their tables, where they say."""

import numpy as np
import pandas as pd
import pytest

from lewm_core.diagnostics.goals import summarise
from lewm_core.viz import diagnostic_figures
from tests.helpers import attempts_by_hand
from tests.viz.drawn import artists, texts


def test_probe_bars_draw_the_mean_and_label_what_they_cut():
    table = pd.DataFrame({"target": ["depth", "depth", "tracks"], "tokens": ["CLS", "CLS", "patch"], "seed": [0, 1, 0],
                          "probe": "linear", "r2": [0.4, 0.6, -7.0]})
    fig = diagnostic_figures.probe_bars(table)
    assert artists(fig)["depth/CLS/linear"].get_height() == pytest.approx(0.5)
    assert artists(fig)["tracks/patch/linear"].get_height() == diagnostic_figures.LOWEST_R2 and "−7.00" in texts(fig)


def test_capacity_curves_have_a_panel_per_probe_with_floors_in_each():
    rows = [("CLS", p, k, k / 100 + i, s) for i, p in enumerate(("linear", "attention")) for k in (1, 400)
            for s in (0, 1)]
    rows += [("training mean", "", k, 9.0, s) for k in (1, 400) for s in (0, 1)]
    found = artists(diagnostic_figures.capacity_curves(pd.DataFrame(rows, columns=["series", "probe", "points", "error",
                                                                               "seed"])))
    assert found["CLS/attention/mean"].get_ydata() == pytest.approx([1.01, 5])
    assert found["training mean/linear/mean"].get_ydata() == pytest.approx([9, 9])


def test_rollout_distance_and_learning_curves_draw_means():
    table = pd.DataFrame({"step": [1, 2, 1, 2] * 2, "model": ["B"] * 4 + ["static"] * 4,
                          "relative": [1, 2, 3, 4, 5, 6, 7, 8]})
    found = artists(diagnostic_figures.rollout_distance(table))
    assert found["B/mean"].get_ydata() == pytest.approx([2, 3]) and found["static/mean"].get_linestyle() == "--"
    curves = pd.DataFrame({"condition": "B", "scale": "pilot", "seed": [0, 0, 1, 1], "step": [0, 5, 0, 5],
                           "value": [4.0, 2.0, 2.0, 0.0]})
    found = artists(diagnostic_figures.learning_curves(curves, "loss", ["B"]))
    assert found["B/mean"].get_ydata() == pytest.approx([3, 1])


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
    (diagnostic_figures.probe_bars, "target tokens probe r2"),
    (diagnostic_figures.capacity_curves, "series probe points error"),
    (diagnostic_figures.rollout_distance, "step model relative"),
    (lambda t: diagnostic_figures.learning_curves(t, "loss", ["B"]), "condition scale seed step value"),
    (diagnostic_figures.planning, "method metric kind factor step n value low high"),
])
def test_a_table_without_rows_is_said_not_to_be_run(chart, columns):
    assert "not run: no" in texts(chart(pd.DataFrame(columns=columns.split())))


def test_learning_curves_leave_out_conditions_that_were_not_run():
    curves = pd.DataFrame({"condition": "A", "scale": "pilot", "seed": 0, "step": [0, 5], "value": [2.0, 1.0]})
    assert set(artists(diagnostic_figures.learning_curves(curves, "loss", ["A", "B"]))) == {"A/mean"}
    assert "not run" in texts(diagnostic_figures.learning_curves(curves, "loss", ["B"]))
