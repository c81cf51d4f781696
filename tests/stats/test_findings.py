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
    _, over_both = paired.compare(rows)
    pilot, summary = paired.compare(rows[rows.scale == "pilot"])
    able = power.power_table(pilot)
    auxiliary = [c for c in conditions if c != "A"]
    assert len(summary) == len(auxiliary) * len(splits) == len(able)
    told = findings.effects(summary, 1)
    assert len(findings.effect_table(summary, able, 1)) == len(auxiliary)
    if auxiliary:
        assert f"held-out {splits[0]}s" in told[-1] and ("One seed" in told[-1]) == (seeds == 1)
        assert all(any(name in line for line in told[:3]) for name in auxiliary)
        table = findings.effect_table(over_both, power.power_table(paired.compare(rows)[0]), 3)
        assert len(table) == 2 * len(auxiliary)
    else:
        assert told == findings.NO_EFFECT
    reach = findings.reach(paired.judged(able), 1)
    assert ("Nothing can be said of power" in reach[0]) == (seeds == 1 or not auxiliary)
    assert len(findings.splits_differ(pilot)) == 1 and len(findings.persistence(rows)) == 2
    _, by_metric = paired.compare(rows, ["mse", "mse_over_static"])
    assert len(findings.over_metrics(paired.judged(by_metric), ["mse", "mse_over_static"])) == max(1, len(auxiliary))
    asked = ["B", "D", "E"]
    flips = findings.flips(over_both, asked)
    if auxiliary:
        absent = len(set(asked) - set(conditions))
        assert sum(findings.ONE_SCALE in line for line in flips) == absent * len(splits)
    else:
        assert flips == findings.NO_EFFECT
    assert len(findings.inside_band(over_both)) == bool(auxiliary)
    assert len(findings.order_by_area(summary, [c for c in ("C1", "C3", "B") if c in conditions])) == 2
    assert len(claims_table(Evidence(rows), {})) > 50


def test_sentences_are_those_of_the_numbers():
    rows = results(["A", "B", "D"])
    changes, summary = paired.compare(rows)
    pilot_line, full_line = findings.persistence(rows)
    assert pilot_line == ("pilot: A beats persistence on held-out episodes in 0 of 3 seeds. Its error divided by that "
                          "of persistence is 1.926 in the mean over seeds.")
    assert "in 3 of 3 seeds. Its error divided by that of persistence is 0.450" in full_line
    better, worse, neither, inside, held_out = findings.effects(summary, 3)
    assert better.endswith("below 0): none.") and neither.endswith("or there is none): none.")
    assert worse.endswith(": B (pilot), D (pilot), B (full), D (full).") and "held-out episodes" in held_out
    assert inside == "Of these the paper reports 4. Its number lies inside our interval for B (full)."
    uneven = pd.concat([summary[summary.scale == "full"], summary[summary.scale == "pilot"].assign(n=4)])
    assert ["With 3 seeds" in line and "With 4 seeds" in line for line in findings.effects(uneven, 3)[-1:]] == [True]
    table = findings.effect_table(summary, power.power_table(changes), 3)
    assert table.index.get_level_values("scale").tolist() == ["pilot", "pilot", "full", "full"]
    assert table.loc[("full", "B"), "paper"] == 1 and table.loc[("full", "B"), "n"] == 3
    assert table.loc[("pilot", "D"), "mean"] == pytest.approx(2, abs=0.3) and table["detected at 80 %"].gt(0).all()
    flips = findings.flips(summary, ["B", "D", "E"])
    assert "B, held-out episodes: +1." in flips[0] and "does not flip" in flips[0]
    assert flips[0].endswith("The paper: −11.5 % and +1.0 %.") and findings.ONE_SCALE in flips[2]
    turned = summary.assign(mean=summary["mean"].where(summary.scale == "full", -5.0))
    assert "so the mean flips" in findings.flips(turned, ["B"])[0]
    assert "The paper" not in findings.flips(summary.assign(metric="gripper_5"), ["B"])[0], "its numbers are of the MSE"
    assert findings.inside_band(summary.assign(mean=1.3))[0].endswith("lie within the paper's ±1.3 % (B, D).")
    pilot = changes[changes.scale == "pilot"]
    assert "differs between the splits for 0 of 2 conditions." in findings.splits_differ(pilot)[0]
    turned = pilot.assign(change=pilot.change.where((pilot.split == "window") | (pilot.condition == "B"), -1))
    assert "for 1 of 2 conditions (D)." in findings.splits_differ(turned)[0]
    skipped = pd.DataFrame([("E", "pilot", "no depth.")], columns=["condition", "scale", "reason"])
    assert findings.not_run(skipped) == ["Not run at the pilot scale: E. no depth."]
    assert findings.not_run(skipped[:0]) == [] == findings.not_chosen(["B", "E"], rows, skipped)
    assert findings.not_chosen(["B", "C1", "E"], rows, skipped)[0].startswith("Not among the conditions chosen: C1.")


def test_what_differs_between_the_scales():
    scales = pd.DataFrame({"pilot": [100, 10, 0.9, 20], "full": [800, 85, 0.7, 25]},
                          index=["frames", "optimizer steps", "mean curation score", "frames an episode"])
    (line,) = findings.growth(scales)
    assert "grow 8.0-fold and the optimizer steps grow 8.5-fold" in line and "from 0.900 to 0.700" in line
    assert "optimizer steps stay the same;" in findings.growth(scales.assign(full=[800, 10, 0.7, 25]))[0]
    facts = findings.facts(scales).set_index(["scale", "fact"]).value
    assert facts["full", "optimizer steps"] == 85 and len(facts) == 6


def test_steadiness_of_regions():
    table = pd.DataFrame({"scale": [0.5, 0.2, 0.1], "shift": [1.0, 1.0, 2.0]}, index=["C1", "C3", "B"])
    scale, shift = findings.steadiness(table)
    assert "scale's change from frame to frame falls as the region grows (C1 0.500, C3 0.200, B 0.100)" in scale
    assert "shift's change from frame to frame does not fall steadily" in shift
    assert findings.steadiness(table[:1]) == ["Fewer than two regions: nothing to compare."]


def test_the_headline_follows_the_intervals():
    rows = pd.DataFrame([("B", -3.0, -5.0, -1.0), ("D", 0.2, -1.0, 1.4), ("E", 2.0, 1.0, 3.0), ("F", 0.25, 0.1, 0.4)],
                        columns=["condition", "mean", "low", "high"])
    assert findings.headline(rows) == ("better than A: B −3.0 %; worse than A: E +2.0 %, F +0.25 %; "
                                       "no change seen: D +0.20 %")
    assert findings.headline(rows[:1]) == "B −3.0 % [−5.0, −1.0]: better than A"
    assert findings.headline(rows[1:2]) == "D +0.2 % [−1.0, +1.4]: no change seen"
    alone = rows.assign(low=np.nan, high=np.nan)
    assert findings.headline(alone[:1]) == "B −3.0 %: one seed, no interval"
    assert "better" not in findings.headline(alone)
    assert findings.headline(rows[:0]) == "no condition beside the baseline"
