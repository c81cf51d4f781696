"""Sentences about any valid choice of conditions, seeds and splits: what the numbers say, or what was not run."""

import numpy as np
import pandas as pd
import pytest

from lewm_core.stats import findings, paired, power
from lewm_core.stats.claims import claims_table
from lewm_core.stats.evidence import Evidence

CHOICES = [["A"], ["A", "D"], ["A", "B", "C3", "C5"], ["A", "B", "C1", "C2", "C3", "C4", "D", "E", "F", "G"]]


def results(conditions, seeds=3, splits=("episode", "window"), scales=("pilot", "full")):
    """Runs in which A's MSE is 1 and falls to 0.25, condition i is i per cent worse, and nothing beats persistence."""
    rng, rows = np.random.default_rng(0), []
    for scale in scales:
        for seed in range(seeds):
            base = (1 if scale == "pilot" else 0.25) * (1 + 0.1 * rng.normal())
            for i, condition in enumerate(conditions):
                value = base * (1 + (i + 0.1 * rng.normal() * (i > 0)) / 100)
                for split in splits:
                    rows += [(condition, scale, seed, split, "mse", value),
                             (condition, scale, seed, split, "mse_over_static", 2 * value)]
    return pd.DataFrame(rows, columns=["condition", "scale", "seed", "split", "metric", "value"])


@pytest.mark.parametrize("conditions", CHOICES)
@pytest.mark.parametrize("seeds", [1, 3])
@pytest.mark.parametrize("splits", [("episode", "window"), ("window",)])
def test_any_valid_choice_is_told(conditions, seeds, splits):
    rows = results(conditions, seeds, splits)
    both, over_both = paired.compare(rows)
    pilot, summary = paired.compare(rows[rows.scale == "pilot"])
    able = power.power_table(pilot)
    auxiliary = [c for c in conditions if c != "A"]
    assert len(summary) == len(auxiliary) * len(splits) == len(able)
    told = findings.effects(summary, able)
    assert sum(line.startswith("- ") for line in told) == len(auxiliary)
    assert ("held-out episodes" in told[0]) == (len(splits) == 2 and len(auxiliary) > 0)
    assert len(findings.reach(able)) == 1 and ("Not run" in findings.reach(able)[0]) == (not auxiliary)
    assert len(findings.effects(over_both, figure=3)) in (1, 2 + 2 * len(auxiliary))
    assert len(findings.splits_differ(pilot)) == 1
    assert findings.persistence(rows)[0].count("of " + str(seeds)) == 2
    _, by_metric = paired.compare(rows, ["mse", "mse_over_static"])
    assert len(findings.over_metrics(by_metric, ["mse", "mse_over_static"])) == max(1, len(auxiliary))
    flips = findings.flips(over_both, ["A", "B", "D", "E"])
    assert sum("not run at both scales" in line for line in flips) == len({"B", "D", "E"} - set(conditions))
    areas = {c: area for c, area in (("C1", 0.02), ("C3", 0.1), ("B", 1.0), ("C4", 1.0)) if c in conditions}
    assert len(findings.mask_order(summary, areas)) == (4 if areas else 1)
    assert len(claims_table(Evidence(rows))) > 50
    assert set(both.scale) <= {"pilot", "full"}


def test_sentences_are_those_of_the_numbers():
    rows = results(["A", "B", "D"])
    changes, summary = paired.compare(rows)
    (line,) = findings.persistence(rows)
    assert line.startswith("On held-out episodes A beats persistence in **0 of 3** seeds (pilot, mean ratio 1.926)")
    assert "**3 of 3** seeds (full, mean ratio 0.5" in line
    b = findings.effects(summary, power.power_table(changes), figure=3)[2]
    assert b.startswith("- full B: +1.") and "the paper reports +1.0 %" in b and ". 3 seeds detect" in b
    flips = findings.flips(summary, ["B", "D", "E"])
    assert "does not flip" in flips[2] and flips[2].endswith("The paper: −11.5 % and +1.0 %.")
    assert flips[4] == "- E: not run at both scales, so nothing can be said of a flip."
    assert flips[-1].startswith("At full scale ") and "of 2 conditions" in flips[-1]
    pilot = changes[changes.scale == "pilot"]
    assert "differs between the splits for 0 of 2 conditions;" in findings.splits_differ(pilot)[0]
    turned = pilot.assign(change=pilot.change.where((pilot.split == "window") | (pilot.condition == "B"), -1))
    assert "for 1 of 2 conditions (D);" in findings.splits_differ(turned)[0]
    skipped = pd.DataFrame([("E", "pilot", "no depth.")], columns=["condition", "scale", "reason"])
    assert findings.not_run(skipped) == ["- E was not run (pilot): no depth."]
    assert findings.not_run(skipped[:0]) == ["No condition was left out."]


def test_heads_are_told_in_the_order_of_the_runs():
    runs = [(seed, epoch) for seed in (0, 1) for epoch in (0, 1, 2)]
    losses = [(("A", np.nan, np.nan), ("D", np.nan, 4 - epoch), ("B", 2 + epoch, np.nan)) for _, epoch in runs]
    curve = pd.DataFrame([(name, *run, 1, depth, tracks) for run, each in zip(runs, losses, strict=True)
                          for name, depth, tracks in each],
                         columns=["condition", "seed", "epoch", "pred", "head_depth", "head_tracks"])
    table = findings.head_losses(curve)
    assert list(table.index) == [("D", "head_tracks"), ("B", "head_depth")]
    assert table.loc[("D", "head_tracks"), "change"] == -50 and table.loc[("B", "head_depth"), "change"] == 100
    assert "between -50 % and +100 %" in findings.heads_learnt(table, 78)[0]
    none = findings.head_losses(curve[["condition", "seed", "epoch", "pred"]])
    assert none.empty and findings.heads_learnt(none, 78) == ["Not run: no condition with a head."]


def test_what_differs_between_the_scales():
    scales = pd.DataFrame({"pilot": [100, 10], "full": [800, 85]}, index=["frames", "optimizer steps"])
    (line,) = findings.scales_differ(scales, {"pilot": 0.9, "full": 0.7})
    assert "grow 8.0-fold and the optimizer steps 8.5-fold" in line and "pilot 0.900, full 0.700" in line
    assert findings.scales_differ(scales[["pilot"]], {}) == ["Not run: only one of the two scales."]


def test_stability_of_regions():
    table = pd.DataFrame([(c, e, v, 1.0) for c, v in (("C1", 0.5), ("C3", 0.2), ("B", 0.1)) for e in (0, 1)],
                         columns=["condition", "episode", "scale", "shift"])
    lines = findings.stability(table, ["C1", "C2", "C3", "B"])
    assert "scale's frame-to-frame change falls as the region grows (C1 0.500, C3 0.200, B 0.100)" in lines[0]
    assert "scale's frame-to-frame change does not simply fall" in findings.stability(table, ["B", "C3", "C1"])[0]
    assert findings.stability(table, ["B"]) == ["Not run: fewer than two regions of depth to compare."]


def test_the_leak_is_told_as_far_as_it_was_measured():
    summary = pd.DataFrame([("A", "pilot", 3, measure, mean, mean - 1, mean + 1) for measure, mean in (
        ("seen_window", 97.0), ("seen_episode", 0.0), ("gap", 20.0), ("leak", 5.0))],
        columns=["condition", "scale", "n", "measure", "mean", "low", "high"])
    (line,) = findings.leak(summary)
    assert "97 % were trained on, of those in held-out episodes 0 %" in line and "by +5.0 % [+4.0, +6.0]" in line
    assert "No episodes were held out" in findings.leak(summary[:1])[0]
    assert findings.leak(summary[:0]) == ["- The leak was not measured."]
