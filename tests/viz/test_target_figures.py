"""Figures of the kinds of target and of batch normalisation draw the numbers of their tables, where they say."""

import pandas as pd
import pytest

from lewm_core.diagnostics import design
from lewm_core.stats.arms import Arms
from lewm_core.stats.outcomes import OUTCOME, PAPERS
from lewm_core.viz import curve_figures, style, target_figures
from tests.stats.test_targets import ACTS, results
from tests.viz.drawn import artists, texts


@pytest.fixture(scope="module")
def by_metric():
    return [Arms.of(results(ACTS), "targets", metric) for metric in (OUTCOME, PAPERS)]


def test_every_kind_of_target_is_drawn_under_both_metrics_and_the_positive_control_last(by_metric):
    fig = target_figures.target_effects(by_metric)
    drawn = artists(fig)
    names = [t.get_text().split(":")[0] for t in fig.axes[0].get_yticklabels()]
    assert names[0] == "B" and names[-2:] == ["P", "P-detached"] and set(names) == set(ACTS) - {"base", "lr-0"}
    for arms in by_metric:
        for row in arms.summary.itertuples():
            mark = drawn[f"{row.condition}/{arms.metric}/mean"]
            assert mark.get_xdata() == [row.mean] and mark.get_ydata() == [names.index(row.condition)]
            assert len(drawn[f"{row.condition}/{arms.metric}/seeds"].get_offsets()) == 4
    assert "B-net: a random network as target" in texts(fig) and "gripper, 5 steps ahead (cm)" in texts(fig)
    assert drawn[f"P/{OUTCOME}/beyond"].get_text() == "◀ −25 %" and f"B/{OUTCOME}/beyond" not in drawn
    table = target_figures.target_table(by_metric)
    assert set(style.COLUMNS) <= set(table) and set(table.metric) == {f"{OUTCOME} change %", "mse change %"}
    mean = table[(table.condition == "B") & (table.statistic == "mean") & (table.metric == "mse change %")].value
    assert mean.to_list() == [by_metric[1].summary.set_index("condition")["mean"]["B"]]
    assert (table.statistic == "seed").sum() == 2 * 4 * len(names)


def test_the_dose_curve_goes_from_no_to_all_own_targets(by_metric):
    table = target_figures.dose_curves(by_metric, design.variants())
    fig = curve_figures.curves_by_panel(table, "frames with their own target (%)")
    line = artists(fig)["gripper, 5 steps ahead (cm)/B: depth, full frame/mean"]
    assert line.get_xdata().tolist() == [0, 50, 75, 100]
    means = by_metric[0].summary.set_index("condition")["mean"]
    assert line.get_ydata() == pytest.approx(means[["B-shuf", "B-50", "B-25", "B"]].to_numpy())
    ends = [Arms.of(results({"B": -9, "B-shuf": 0}), "targets", OUTCOME)]
    assert target_figures.dose_curves(ends, design.variants()).empty  # two points are no curve
    assert "nothing was measured" in texts(curve_figures.curves_by_panel(
        target_figures.dose_curves(ends, design.variants()), "x"))


def test_each_way_of_batch_normalisation_has_its_levels():
    table = results({"base": 20, "lr-0": 15})
    parts = [table.assign(study="batch_norm", arm=way, scale=way, value=table.value * factor)
             for way, factor in (("paper", 1.0), ("frozen", 0.9))]
    arms = Arms.of(pd.concat(parts, ignore_index=True), "batch_norm", OUTCOME)
    metrics = (OUTCOME, "mse_over_static")
    drawn = artists(target_figures.batch_norm_levels(arms, metrics))
    shown = target_figures.batch_norm_table(arms, metrics)
    means = shown.groupby(["condition", "scale", "metric"]).value.mean()
    for (name, way, metric), mean in means.items():
        mark = drawn[f"{name}/{way}/{metric}/mean"]
        assert mark.get_ydata() == pytest.approx([mean])
        assert round(mark.get_xdata()[0]) == ["paper", "frozen"].index(way)
    assert "persistence" in drawn and set(shown.condition) == {"A", "base", "lr-0"}


def test_without_a_signal_or_with_one_seed_the_figures_say_so():
    alone = Arms.of(results({"base": 9}), "targets", OUTCOME)
    assert "not run" in texts(target_figures.target_effects([alone]))
    one = Arms.of(results(ACTS, seeds=1), "targets", OUTCOME)
    assert not any(name.endswith("/interval") for name in artists(target_figures.target_effects([one])))
