"""Figures of power, metrics, leak and claims draw the numbers of their tables, where they say."""

import numpy as np
import pandas as pd
import pytest

from lewm_core.diagnostics import leakage
from lewm_core.stats import paired, paper, power
from lewm_core.stats.verdicts import CONTRADICTED, SUPPORTED, UNDECIDED, UNTESTED
from lewm_core.viz import robustness_figures
from tests.viz.drawn import artists, misplaced, texts


@pytest.fixture(scope="module")
def changes():
    rng = np.random.default_rng(0)
    rows = [(c, "pilot", split, metric, seed, mean + rng.normal())
            for c, mean in (("B", -9), ("F", 0.5)) for split in ("episode", "window") for metric in ("mse", "yardstick")
            for seed in range(4)]
    return pd.DataFrame(rows, columns=["condition", "scale", "split", "metric", "seed", "change"])


def test_power_is_drawn_beside_what_was_found_and_what_the_paper_reports(changes):
    part = changes[(changes.metric == "mse") & (changes.split == "episode")]
    able, summary = power.power_table(part), paired.summarise(part)
    drawn = artists(robustness_figures.power_chart(able, summary))
    for row in able.itertuples():
        assert drawn[f"{row.condition}/mde"].get_ydata() == [row.mde]
    assert drawn["B/mean"].get_ydata() == [abs(summary.set_index("condition")["mean"]["B"])]
    assert drawn["B/paper"].get_ydata() == [abs(paper.reported(1)["B"])]
    alone = power.power_table(part[part.seed == 0])
    assert "B/mde" not in artists(robustness_figures.power_chart(alone, summary)), "one seed has no power to draw"


def test_a_panel_per_metric_with_both_splits(changes):
    summary = paired.summarise(changes)
    fig = robustness_figures.metric_panels(summary)
    drawn = artists(fig)
    for row in summary.itertuples():
        assert drawn[f"{row.condition}/{row.metric}/{row.split}/mean"].get_xdata() == [row.mean]
    assert [ax.get_title(loc="left") for ax in fig.axes] == ["next-latent MSE", "yardstick (base's space)"]


def test_the_leak_is_drawn_by_what_was_seen_and_in_sum():
    rows = [(c, "pilot", seed, split, 10 * seed + w, shared, mse + 0.1 * seed, 1.0)
            for c, factor in (("A", 1), ("base", 2)) for seed in range(3) for split in ("window", "episode")
            for w, (shared, mse) in enumerate(((4, 0.2 * factor), (3, 0.3 * factor)) if split == "window" else
                                              ((0, 0.8 * factor),))]
    table = pd.DataFrame(rows, columns=["condition", "scale", "seed", "split", "start", "shared", "mse", "static"])
    by_shared, summary = leakage.error_by_shared(table), leakage.leak_summary(table)
    drawn = artists(robustness_figures.leak_chart(by_shared, summary))
    assert drawn["A/pilot/window/mean"].get_ydata() == pytest.approx([0.4, 0.3])
    assert drawn["base/pilot/episode/mean"].get_ydata() == pytest.approx([1.7])
    for row in summary[summary.measure.isin(["gap", "leak"])].itertuples():
        assert drawn[f"{row.condition}/{row.scale}/{row.measure}/mean"].get_xdata() == [row.mean]


def test_blocks_divide_the_leak_into_its_parts():
    rows = [("A", "pilot", seed, split, 10 * seed, shared, mse + 0.1 * seed, 1.0) for seed in range(3)
            for split, shared, mse in (("window", 4, 0.2), ("block", 0, 0.5), ("episode", 0, 0.8))]
    table = pd.DataFrame(rows, columns=["condition", "scale", "seed", "split", "start", "shared", "mse", "static"])
    fig = robustness_figures.leak_chart(leakage.error_by_shared(table), leakage.leak_summary(table))
    drawn = artists(fig)
    assert drawn["A/pilot/block/mean"].get_ydata() == pytest.approx([0.6])
    assert drawn["A/pilot/shared_frames/mean"].get_xdata() == pytest.approx([30])
    assert drawn["A/pilot/both/mean"].get_xdata() == pytest.approx([60])
    assert "no frame shared" in texts(fig) and "A/pilot/gap/mean" not in drawn


def test_survival_map_has_a_cell_per_claim_metric_and_split():
    rows = [(i, f"claim {i}", m, s, v) for s in ("episode", "window") for m in ("mse", "yardstick")
            for i, v in (("a", SUPPORTED), ("b", CONTRADICTED if m == "mse" else UNDECIDED), ("c", UNTESTED))]
    table = pd.DataFrame(rows, columns=["id", "claim", "metric", "split", "verdict"])
    fig = robustness_figures.survival_map(table)
    assert artists(fig)["window/verdicts"].get_array().tolist() == [[0, 0], [1, 2]]
    assert "claim a" in texts(fig) and "claim c" not in texts(fig) and "base's space" in texts(fig)


@pytest.mark.parametrize("metrics", [["mse"], ["gripper_5", "mse_over_static", "object_5", "mse", "mse_over_variance"]])
def test_the_survival_map_cuts_no_word(metrics):
    long = "the auxiliary conditions are reliably at or slightly above the baseline at full scale, not below it at all"
    rows = [(i, f"{long} {i}", m, s, SUPPORTED) for s in ("episode", "window") for m in metrics for i in "ab"]
    fig = robustness_figures.survival_map(pd.DataFrame(rows, columns=["id", "claim", "metric", "split", "verdict"]))
    assert f"{long} a" in texts(fig) and misplaced(fig, slack=2) == []


def test_what_was_not_run_is_said(changes):
    """Only A, one seed, no held-out episodes, and no claim that can be tested."""
    none = changes.iloc[:0]
    single = changes[(changes.seed == 0) & (changes.metric == "mse") & (changes.split == "window")]
    for part in (none, single):
        fig = robustness_figures.power_chart(power.power_table(part), paired.summarise(part))
        assert "not run: no condition has two seeds" in texts(fig)
    assert "not run: no condition but the baseline" in texts(robustness_figures.metric_panels(paired.summarise(none)))
    windows = artists(robustness_figures.metric_panels(paired.summarise(single)))
    assert "B/mse/window/mean" in windows and "B/mse/window/interval" not in windows
    table = pd.DataFrame([("A", "pilot", 0, "window", 4, 0.5)],
                         columns=["condition", "scale", "seed", "split", "shared", "mse_over_static"])
    sizes = pd.DataFrame(columns=["condition", "scale", "measure", "mean", "low", "high"])
    assert "not run: no episode was held out" in texts(robustness_figures.leak_chart(table, sizes))
    assert "not run: no window" in texts(robustness_figures.leak_chart(table.iloc[:0], sizes))
    untested = pd.DataFrame([("a", "claim a", "mse", "episode", UNTESTED)],
                            columns=["id", "claim", "metric", "split", "verdict"])
    assert "not run: no claim" in texts(robustness_figures.survival_map(untested))
