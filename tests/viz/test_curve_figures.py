"""Curves are the means of their repeats."""

import numpy as np
import pandas as pd
import pytest

from lewm_core.viz import curve_figures
from tests.viz.drawn import artists, misplaced, texts


def test_gradient_cosines_draw_means_over_seeds():
    rows = [(scale, "E", head, seed, step, 0.1 * step + seed, 2.0) for scale in ("pilot", "full")
            for head in ("depth", "tracks") for seed in (0, 1) for step in (0, 5)]
    table = pd.DataFrame(rows, columns=["scale", "condition", "head", "seed", "step", "cosine", "ratio"])
    found = artists(curve_figures.gradient_cosines(table))
    assert found["E/depth/full/cosine"].get_ydata() == pytest.approx([0.5, 1.0])
    assert found["E/tracks/pilot/ratio"].get_ydata() == pytest.approx([2, 2])
    assert found["E/depth/full/cosine"].get_linestyle() != found["E/tracks/full/cosine"].get_linestyle()


def test_curves_are_means_over_repeats_geometric_on_logarithmic_axes():
    rows = [("noise", "variance", "one", r, x, v * r) for r in (1, 4) for x, v in ((0.01, 2.0), (0.1, 1.0))]
    curves = pd.DataFrame(rows, columns=["panel", "unit", "series", "repeat", "x", "value"])
    mean = artists(curve_figures.curves_by_panel(curves, "area"))["noise/one/mean"]
    assert mean.get_ydata() == pytest.approx([5, 2.5])
    with_zero = pd.concat([curves, curves.iloc[:1].assign(repeat=9, value=0.0)])
    fig = curve_figures.curves_by_panel(with_zero, "area", log=True, marks={"C1": 0.02})
    assert artists(fig)["noise/one/mean"].get_ydata() == pytest.approx([4, 2])
    assert "C1" in texts(fig)


def test_the_weight_curve_draws_means_seeds_and_intervals_where_there_are_any():
    weights = pd.DataFrame([(c, "pilot", w, -w) for c in "BE" for w in (1.0, 0.1, 0.01)],
                           columns=["condition", "scale", "weight", "mean"])
    seeds = pd.concat([weights.assign(seed=s, change=weights["mean"] + s) for s in (0, 1)])
    fig = curve_figures.weight_curve(weights.assign(low=-2, high=2), seeds, used=0.1)
    found = artists(fig)
    assert found["B/pilot/mean"].get_ydata().tolist() == [-0.01, -0.1, -1.0]
    assert found["B/pilot/0.1/seeds"].get_offsets()[:, 1].tolist() == pytest.approx([-0.1, 0.9])
    assert found["B/pilot/mean"].axes is not found["E/pilot/mean"].axes
    assert "weight of the other runs (0.1)" in texts(fig) and misplaced(fig) == []
    one_seed = artists(curve_figures.weight_curve(weights.assign(low=np.nan, high=np.nan), seeds[:6], used=0.1))
    assert "B/pilot/mean" in one_seed and not any(name.endswith("/interval") for name in one_seed)


@pytest.mark.parametrize(("chart", "columns"), [
    (curve_figures.gradient_cosines, "scale head step cosine"),
    (lambda t: curve_figures.weight_curve(t, t, 0.1), "condition scale weight mean low high"),
    (lambda t: curve_figures.curves_by_panel(t, "step"), "panel unit series repeat x value"),
])
def test_a_table_without_rows_is_said_not_to_be_run(chart, columns):
    assert "not run: no" in texts(chart(pd.DataFrame(columns=columns.split())))
