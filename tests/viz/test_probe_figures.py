"""Figures of probes draw the numbers of their tables, where they say."""

import pandas as pd
import pytest

from lewm_core.viz import probe_figures
from tests.viz.drawn import artists, misplaced, texts


def test_probe_bars_draw_the_mean_and_label_what_they_cut():
    table = pd.DataFrame({"target": ["depth", "depth", "tracks"], "tokens": ["CLS", "CLS", "patch"], "seed": [0, 1, 0],
                          "probe": "linear", "r2": [0.4, 0.6, -7.0]})
    fig = probe_figures.probe_bars(table)
    assert artists(fig)["depth/CLS/linear"].get_height() == pytest.approx(0.5)
    assert artists(fig)["tracks/patch/linear"].get_height() == probe_figures.LOWEST_R2 and "−7.00" in texts(fig)


def test_capacity_curves_have_a_panel_for_each_set_of_tokens_and_probe_with_floors_in_each():
    rows = [(tokens, p, k, level + k / 100 + i, s) for tokens, level in (("CLS", 0), ("state", 5), ("patch", 3))
            for i, p in enumerate(("linear", "attention")) for k in (1, 400) for s in (0, 1)
            if (tokens, p) != ("CLS", "attention")]
    rows += [("training mean", "", k, 9.0, s) for k in (1, 400) for s in (0, 1)]
    table = pd.DataFrame(rows, columns=["series", "probe", "points", "error", "seed"])
    fig = probe_figures.capacity_curves(table)
    found = artists(fig)
    assert found["patch/attention/mean"].get_ydata() == pytest.approx([4.01, 8])
    assert found["training mean/patch/attention/mean"].get_ydata() == pytest.approx([9, 9])
    axes = {name: found[f"{name}/linear/mean"].axes for name in ("CLS", "patch", "state")}
    assert len(set(axes.values())) == 3 and "CLS/attention/mean" not in found
    assert axes["CLS"].get_ylim() != axes["state"].get_ylim(), "each at its own scale"
    assert "best: −66.6 % against the training mean" in texts(fig) and misplaced(fig) == []
    one = probe_figures.capacity_curves(table[table.seed == 0].drop(columns="seed"))
    assert artists(one)["CLS/linear/mean"].get_ydata() == pytest.approx([0.01, 4])
    keys = ([text.get_text() for text in of.legends[0].texts] for of in (fig, one))
    assert [of[:2] for of in keys] == [["mean", "one run"], ["one run", "floor: training mean"]]


@pytest.mark.parametrize(("chart", "columns"), [
    (probe_figures.probe_bars, "target tokens probe r2"),
    (probe_figures.capacity_curves, "series probe points error"),
])
def test_a_table_without_rows_is_said_not_to_be_run(chart, columns):
    assert "not run: no" in texts(chart(pd.DataFrame(columns=columns.split())))
