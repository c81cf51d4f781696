"""References, signals with their twins, the positive control: each in its place, with its number."""

import numpy as np
import pandas as pd
import pytest

from lewm_core.conditions import CONDITIONS
from lewm_core.diagnostics import design
from lewm_core.stats import paired
from lewm_core.stats.levels import around, beside_baseline, levels
from lewm_core.viz import level_panels, paper_figures, style
from tests.viz.drawn import artists, texts

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


def test_a_twin_is_lighter_than_its_signal():
    def light(name):
        return sum(int(style.colour(name)[i : i + 2], 16) for i in (1, 3, 5))

    assert light("B-shuf") > light("B") and light("D-shuf") > light("D")
    assert style.colour("B-patch") == style.colour("B") and style.colour("P") not in map(style.colour, CONDITIONS)


@pytest.mark.parametrize("scales", [["pilot"], ["pilot", "full"]])
def test_every_number_is_in_the_table(results, scales):
    table = level_panels.level_table(results, scales)
    assert set(table.metric) == {"mse_over_static", "gripper_5"}
    for metric in ("mse_over_static", "gripper_5"):
        for row in levels(results[results.scale.isin(scales)], [metric]).itertuples():
            same = table[(table.condition == row.condition) & (table.scale == row.scale) & (table.metric == metric)]
            assert row.mean in set(same.value)
        for name, value in around(results, metric, "pilot").items():
            own = table[(table.statistic == name) & (table.metric == metric) & (table.scale == "pilot")]
            assert own.value.item() == value
    assert level_panels.level_table(results[results.metric == "mse"], scales).empty


@pytest.mark.parametrize("scales", [["pilot"], ["pilot", "full"]])
def test_means_in_their_unit_stand_in_words_beside_the_changes(results, scales):
    if len(scales) == 1:
        fig = paper_figures.figure1(results, NONE)
    else:
        fig = paper_figures.figure3(results, NONE, NAMES)
    found = [t.get_text() for t in fig.axes[0].texts]
    for row in levels(results[results.scale.isin(scales)], ["gripper_5"]).itertuples():
        assert f"{row.mean:.2f} cm" in found
    assert "gripper, 5 steps ahead (cm)" in texts(fig)


def test_the_change_drawn_is_paired_with_a_by_seed(results):
    fig = paper_figures.figure1(results, NONE)
    changes, table = beside_baseline(results, ["gripper_5"])
    own = results[(results.metric == "gripper_5") & (results.scale == "pilot") & (results.split == "episode")]
    values = own.pivot(index="seed", columns="condition", values="value")
    expected = 100 * (values.B / values.A - 1)
    found = artists(fig)["B/pilot/episode/gripper_5/mean"]
    assert found.get_xdata() == pytest.approx([expected.mean()])
    (row,) = table.query("condition == 'B' and scale == 'pilot' and split == 'episode'").itertuples()
    assert (row.mean, row.level, row.n) == pytest.approx((expected.mean(), values.B.mean(), 4))
    assert row.scatter == pytest.approx(100 * values.B.std() / values.B.mean())
    assert changes.query("condition == 'B' and scale == 'pilot' and split == 'episode'").change.tolist() == \
        pytest.approx(expected.tolist())


def test_holm_corrects_over_the_signals_alone(results):
    _, summary = design.effects(results)
    signals = results[results.condition.isin(["A", "B", "D", "E"])]
    alone = paired.compare(signals)[1].set_index(["condition", "scale", "split"]).p_holm
    together = summary.set_index(["condition", "scale", "split"]).p_holm
    assert together[alone.index].to_dict() == alone.to_dict()
    assert set(summary.condition) == set(NAMES[3:])
    nothing = design.effects(results[results.condition.isin(["base", "A"])])
    assert all(table.empty for table in nothing)
