"""Curves are the means of their repeats."""

import pandas as pd
import pytest

from lewm_core.utils.errors import InputError
from lewm_core.viz import curve_figures
from tests.viz.drawn import artists, texts


def test_gradient_cosines_draw_means_over_seeds():
    rows = [(scale, "E", head, seed, step, 0.1 * step + seed, 2.0) for scale in ("pilot", "full")
            for head in ("depth", "tracks") for seed in (0, 1) for step in (0, 5)]
    table = pd.DataFrame(rows, columns=["scale", "condition", "head", "seed", "step", "cosine", "ratio"])
    found = artists(curve_figures.gradient_cosines(table))
    assert found["E/depth/full/cosine"].get_ydata() == pytest.approx([0.5, 1.0])
    assert found["E/tracks/pilot/ratio"].get_ydata() == pytest.approx([2, 2])
    assert found["E/depth/full/cosine"].get_linestyle() != found["E/tracks/full/cosine"].get_linestyle()
    bare = table[["scale", "head", "step", "cosine"]].drop_duplicates(["scale", "head", "step"])
    assert "/depth/full/cosine" in artists(curve_figures.gradient_cosines(bare))


def test_curves_are_means_over_repeats_geometric_on_logarithmic_axes():
    rows = [("noise", "variance", "one", r, x, v * r) for r in (1, 4) for x, v in ((0.01, 2.0), (0.1, 1.0))]
    curves = pd.DataFrame(rows, columns=["panel", "unit", "series", "repeat", "x", "value"])
    mean = artists(curve_figures.curves_by_panel(curves, "area"))["noise/one/mean"]
    assert mean.get_ydata() == pytest.approx([5, 2.5])
    with_zero = pd.concat([curves, curves.iloc[:1].assign(repeat=9, value=0.0)])
    fig = curve_figures.curves_by_panel(with_zero, "area", log=True, marks={"C1": 0.02})
    assert artists(fig)["noise/one/mean"].get_ydata() == pytest.approx([4, 2])
    assert "C1" in texts(fig)
    with pytest.raises(InputError, match="no column"):
        curve_figures.curves_by_panel(pd.DataFrame({"x": [1]}), "area")


def test_charts_say_which_columns_they_need():
    with pytest.raises(InputError, match="no column"):
        curve_figures.gradient_cosines(pd.DataFrame({"other": [1]}))
