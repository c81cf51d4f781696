"""The charts of the controls draw the numbers of their tables, where they say."""

import matplotlib
import numpy as np
import pandas as pd
import pytest

from lewm_core.stats import paper, scaling
from lewm_core.stats.verdicts import CONTRADICTED, SUPPORTED, UNDECIDED, UNTESTABLE
from lewm_core.utils.errors import InputError
from lewm_core.viz import control_figures

SIZES = {"pilot": 13, "n25": 25, "n50": 50, "full": 100}


def artists(fig):
    return {a.get_gid(): a for a in fig.findobj(lambda a: a.get_gid() is not None)}


def texts(fig):
    return " ".join(t.get_text().replace("\n", " ") for t in fig.findobj(matplotlib.text.Text))


@pytest.fixture(scope="module")
def changes():
    rng = np.random.default_rng(0)
    rows = [(c, scale, "episode", "mse", seed, mean + 0.2 * rng.normal())
            for c, means in (("B", (-9, -4, 2, 6)), ("E", (-5, -5, -4, -4)))
            for scale, mean in zip(SIZES, means, strict=True) for seed in range(3)]
    return pd.DataFrame(rows, columns=["condition", "scale", "split", "metric", "seed", "change"])


def test_effect_against_size_draws_means_bands_crossings_and_the_papers_values(changes):
    found = {c: scaling.crossing(changes, SIZES, np.random.default_rng(0), c) for c in ("B", "E")}
    fig = control_figures.effect_against_size(found, changes, SIZES, "a caption")
    drawn = artists(fig)
    for c, crossing in found.items():
        assert drawn[f"{c}/line"].get_ydata() == pytest.approx(crossing.means)
        for size, mean in zip(crossing.sizes, crossing.means, strict=True):
            assert drawn[f"{c}/{size:g}/mean"].get_ydata() == pytest.approx([mean])
        assert f"{c}/band" in drawn
        assert drawn[f"{c}/full/paper"].get_ydata() == [paper.reported(3, "full")[c]]
    assert drawn["B/crossing"].get_xdata() == pytest.approx([found["B"].size]) and "E/crossing" not in drawn
    assert drawn["B/crossing/interval"].get_xdata() == pytest.approx([found["B"].low, found["B"].high])
    words = texts(fig)
    assert f"crosses 0 at {found['B'].size:.0f}" in words and "no crossing" in words and "within noise" not in words
    single = changes[changes.seed == 0]
    one = {"B": scaling.crossing(single, SIZES, np.random.default_rng(0), "B")}
    assert "B/crossing/interval" not in artists(control_figures.effect_against_size(one, single, SIZES))


def test_survival_map_has_a_cell_per_claim_metric_and_split():
    rows = [(i, f"claim {i}", m, s, v) for s in ("episode", "window") for m in ("mse", "yardstick")
            for i, v in (("a", SUPPORTED), ("b", CONTRADICTED if m == "mse" else UNDECIDED), ("c", UNTESTABLE))]
    table = pd.DataFrame(rows, columns=["id", "claim", "metric", "split", "verdict"])
    fig = control_figures.survival_map(table)
    assert artists(fig)["window/verdicts"].get_array().tolist() == [[0, 0], [1, 2]]
    assert "claim a" in texts(fig) and "claim c" not in texts(fig) and "base's space" in texts(fig)


def test_capacity_curves_have_a_panel_per_probe_with_floors_in_each():
    rows = [("CLS", p, k, k / 100 + i, s) for i, p in enumerate(("linear", "attention")) for k in (1, 400)
            for s in (0, 1)]
    rows += [("training mean", "", k, 9.0, s) for k in (1, 400) for s in (0, 1)]
    found = artists(control_figures.capacity_curves(pd.DataFrame(rows, columns=["series", "probe", "points", "error",
                                                                               "seed"])))
    assert found["CLS/attention/mean"].get_ydata() == pytest.approx([1.01, 5])
    assert found["training mean/linear/mean"].get_ydata() == pytest.approx([9, 9])


def test_gradient_cosines_draw_means_over_seeds():
    rows = [(scale, "E", head, seed, step, 0.1 * step + seed, 2.0) for scale in ("pilot", "full")
            for head in ("depth", "tracks") for seed in (0, 1) for step in (0, 5)]
    table = pd.DataFrame(rows, columns=["scale", "condition", "head", "seed", "step", "cosine", "ratio"])
    found = artists(control_figures.gradient_cosines(table))
    assert found["E/depth/full/cosine"].get_ydata() == pytest.approx([0.5, 1.0])
    assert found["E/tracks/pilot/ratio"].get_ydata() == pytest.approx([2, 2])
    assert found["E/depth/full/cosine"].get_linestyle() != found["E/tracks/full/cosine"].get_linestyle()
    bare = table[["scale", "head", "step", "cosine"]].drop_duplicates(["scale", "head", "step"])
    assert "/depth/full/cosine" in artists(control_figures.gradient_cosines(bare))


def test_area_families_and_weight_curve_draw_their_means():
    areas = pd.DataFrame([("C", "C1", 0.03, -7), ("C", "C2", 0.1, -5), ("C-rnd", "C1-rnd", 0.03, -3),
                          ("", "B", 1.0, -9)], columns=["family", "condition", "area", "mean"])
    fig = control_figures.area_families(areas.assign(low=areas["mean"] - 1, high=areas["mean"] + 1))
    found = artists(fig)
    assert found["C/mean"].get_ydata().tolist() == [-7, -5] and found["alone/mean"].get_ydata().tolist() == [-9]
    assert found["C2/paper"].get_ydata() == [paper.reported(2)["C2"]] and "C-rnd" in texts(fig)
    weights = pd.DataFrame([("B", "pilot", w, -w) for w in (1.0, 0.1, 0.01)],
                           columns=["condition", "scale", "weight", "mean"])
    fig = control_figures.weight_curve(weights.assign(low=-2, high=2), used=0.1)
    assert artists(fig)["B/pilot/mean"].get_ydata().tolist() == [-0.01, -0.1, -1.0]
    assert "weight of the other runs (0.1)" in texts(fig)


@pytest.mark.parametrize("chart", [control_figures.survival_map, control_figures.capacity_curves,
                                   control_figures.gradient_cosines, control_figures.area_families,
                                   control_figures.weight_curve])
def test_charts_say_which_columns_they_need(chart):
    with pytest.raises(InputError, match="no column"):
        chart(pd.DataFrame({"other": [1]}))
