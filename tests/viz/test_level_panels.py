"""References, signals with their twins, the positive control: each in its place, with its number."""

import numpy as np
import pandas as pd
import pytest

from lewm_core.conditions import CONDITIONS
from lewm_core.diagnostics import design
from lewm_core.stats import paired
from lewm_core.stats.levels import around, levels
from lewm_core.viz import level_panels, paper_figures, style
from tests.viz.drawn import artists, texts, ticks

NAMES = ["base", "lr-0", "A", "B", "B-shuf", "D", "D-shuf", "E", "P"]
NONE = pd.DataFrame(columns=["condition", "scale", "reason"])


@pytest.fixture(scope="module")
def results():
    """P's raw MSE is half again A's, while in centimetres it is the best."""
    rng = np.random.default_rng(0)
    factor = {"base": 2.0, "lr-0": 1.8, "P": 1.5}
    rows = []
    for scale in ("pilot", "full"):
        for seed in range(4):
            for name in NAMES:
                for metric in ("mse", "mse_over_static", "gripper_5"):
                    level = 0.6 if (name, metric) == ("P", "gripper_5") else factor.get(name, 1)
                    rows += [(name, scale, seed, split, metric, level * (1 + 0.02 * rng.normal()))
                             for split in ("episode", "window")]
                rows += [(name, scale, seed, "episode", f"gripper_5_{what}", value)
                         for what, value in (("floor", 0.3), ("persistence", 1.4))]
    return pd.DataFrame(rows, columns=style.COLUMNS)


def test_twins_follow_their_signal_and_p_comes_last():
    assert level_panels.arranged(["P", "D-shuf", "A", "E", "B", "lr-0", "D", "B-shuf", "base"]) == NAMES
    assert level_panels.arranged(["A", "mine", "B-shuf"]) == ["A", "B-shuf", "mine"]
    at = level_panels.places(NAMES)
    steps = np.diff(list(at.values()))
    assert (steps[[2, 7]] > steps[0]).all() and len({*steps[[0, 1, 3, 4, 5, 6]].round(6)}) == 1


def test_a_twin_is_lighter_than_its_signal():
    def light(name):
        return sum(int(style.colour(name)[i : i + 2], 16) for i in (1, 3, 5))

    assert light("B-shuf") > light("B") and light("D-shuf") > light("D")
    assert style.colour("B-patch") == style.colour("B") and style.colour("P") not in map(style.colour, CONDITIONS)


def test_figure_1_has_no_column_for_a_reference_and_sets_p_apart(results):
    changes, summary = design.effects(results)
    fig = paper_figures.figure1(changes, summary, NONE, results)
    found = artists(fig)
    columns = ticks(fig.axes[0])
    assert not {"base", "lr-0", "A"} & set(columns) and columns[-1] == "P"
    assert columns.index("B-shuf") == columns.index("B") + 1
    low, high = fig.axes[0].get_ylim()
    assert high < 40 and "episode +5" in found["P/beyond"].get_text(), "P's change does not squeeze the others"
    assert low < paper_figures.paper.reported(1).min()


@pytest.mark.parametrize("scales", [["pilot"], ["pilot", "full"]])
def test_every_number_of_a_panel_is_drawn_and_in_the_table(results, scales):
    changes, summary = design.effects(results)
    if len(scales) == 1:
        fig = paper_figures.figure1(changes, summary, NONE, results)
    else:
        fig = paper_figures.figure3(changes, summary, NONE, NAMES[3:], results)
    found, table = artists(fig), level_panels.level_table(results, scales)
    assert set(table.metric) == {"mse_over_static", "gripper_5"}
    for metric in ("mse_over_static", "gripper_5"):
        for row in levels(results[results.scale.isin(scales)], [metric]).itertuples():
            key = f"{row.condition}/{row.scale}/{metric}"
            assert found[f"{key}/mean"].get_ydata() == [row.mean]
            if row.condition != "A":
                assert found[f"{key}/interval"].get_ydata() == pytest.approx([row.low, row.high])
            same = table[(table.condition == row.condition) & (table.scale == row.scale) & (table.metric == metric)]
            assert row.mean in set(same.value)
        for name, value in around(results, metric, "pilot").items():
            assert found[f"{name}/pilot/{metric}"].get_ydata()[0] == value
    assert "floor" in texts(fig) and "gripper, 5 steps ahead (cm)" in texts(fig)


def test_results_without_these_metrics_have_no_panels(results):
    old = results[results.metric == "mse"]
    changes, summary = design.effects(old)
    assert len(paper_figures.figure1(changes, summary, NONE, old).axes) == 1
    assert len(paper_figures.figure3(changes, summary, NONE, ["B", "P"], old).axes) == 2
    assert level_panels.level_table(old, ["pilot"]).empty


def test_holm_corrects_over_the_signals_alone(results):
    _, summary = design.effects(results)
    signals = results[results.condition.isin(["A", "B", "D", "E"])]
    alone = paired.compare(signals)[1].set_index(["condition", "scale", "split"]).p_holm
    together = summary.set_index(["condition", "scale", "split"]).p_holm
    assert together[alone.index].to_dict() == alone.to_dict()
    assert set(summary.condition) == set(NAMES[3:])
    nothing = design.effects(results[results.condition.isin(["base", "A"])])
    assert all(table.empty for table in nothing)
