"""Where conditions stand: paired intervals about their means, the lines they are read against, the twins."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats as scipy_stats

from lewm_core.stats import levels

COLUMNS = ["condition", "scale", "seed", "split", "metric", "value"]
A, B, TWIN = np.array([8.0, 7.0, 9.0]), np.array([7.2, 6.4, 8.0]), np.array([8.1, 6.9, 9.0])


@pytest.fixture
def results():
    values = {"base": [12.0] * 3, "lr-0": [11.0] * 3, "A": A, "B": B, "B-shuf": TWIN, "P": 0.7 * A}
    rows = [(name, "pilot", seed, "episode", "gripper_5", value)
            for name, own in values.items() for seed, value in enumerate(own)]
    rows += [("A", "pilot", seed, "episode", f"gripper_5_{what}", value) for seed in range(3)
             for what, value in (("floor", 1.0 + seed), ("persistence", 9.0))]
    rows += [("A", "pilot", seed, "window", "gripper_5", 99.0) for seed in range(3)]
    return pd.DataFrame(rows, columns=COLUMNS)


def test_the_interval_is_that_of_the_difference_about_the_mean(results):
    table = levels.levels(results, ["gripper_5"]).set_index("condition")
    assert table["mean"].to_dict() == pytest.approx(
        {"base": 12, "lr-0": 11, "A": 8, "B": B.mean(), "B-shuf": TWIN.mean(), "P": 5.6})
    low, high = scipy_stats.t.interval(0.95, 2, (B - A).mean(), scipy_stats.sem(B - A))
    assert (table.low["B"], table.high["B"]) == pytest.approx((8 + low, 8 + high))
    assert high < 0 and table.high["B"] < 8 and np.isnan(table.low["A"])
    assert table.low["B-shuf"] < 8 < table.high["B-shuf"]
    one = levels.levels(results[results.seed == 0], ["gripper_5"])
    assert one.low.isna().all() and one["mean"].notna().all()
    assert levels.levels(results, ["object_5"]).empty


def test_the_lines_are_those_that_were_measured(results):
    assert levels.around(results, "gripper_5", "pilot") == {"persistence": 9.0, "floor": 2.0}
    assert levels.around(results, "mse_over_static", "pilot") == {"persistence": 1.0}
    assert levels.around(results, "mse", "pilot") == levels.around(results, "gripper_5", "full") == {}


def test_references_stand_in_their_order(results):
    table = levels.reference_table(results.iloc[::-1], ["mse", "gripper_5"])
    assert table.index.get_level_values("condition").tolist() == ["base", "lr-0", "A"]
    assert table.gripper_5.tolist() == [12, 11, 8] and list(table) == ["gripper_5"]


def test_a_signal_is_set_against_the_baseline_and_its_twin(results):
    table = levels.against_twins(results, ["mse", "gripper_5"]).set_index(["condition", "against"])
    assert table["mean"].to_dict() == pytest.approx(
        {("B", "A"): (100 * (B / A - 1)).mean(), ("B", "B-shuf"): (100 * (B / TWIN - 1)).mean(), ("P", "A"): -30})
    assert list(dict.fromkeys(table.metric)) == ["gripper_5"] and set(table.scale) == {"pilot"}
    told = levels.told(table.reset_index(), "gripper_5")
    assert told[0].startswith("pilot, B, by gripper_5: −9.9 % [") and "against B-shuf" in told[0]
    fewer = results[(results.condition != "B-shuf") | (results.seed < 1)]
    table = levels.against_twins(fewer, ["gripper_5"]).set_index(["condition", "against"])
    assert table.n.to_dict() == {("B", "A"): 3, ("B", "B-shuf"): 1, ("P", "A"): 3}
    alone = levels.against_twins(results[results.condition == "A"], ["gripper_5"])
    assert alone.empty and "No condition with a twin" in levels.told(alone, "gripper_5")[0]
