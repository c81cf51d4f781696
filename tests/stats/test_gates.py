"""Each gate shuts for its own reason, and only for that; what was not run shuts it, too."""

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from lewm_core.stats import gates, outcomes
from lewm_core.stats.doses import dose_table
from lewm_core.stats.gates import GATES, gate_table
from lewm_core.stats.values import Values
from lewm_core.utils.errors import InputError
from tests.stats.planted import Truth, table


def shut(results, condition="B", scale="pilot", metric="gripper_5"):
    found = gates.gates(Values(results), condition, scale, metric)
    assert [gate.name for gate in found] == list(GATES)
    return {gate.name: gate.told for gate in found if not gate.open}


@pytest.fixture
def results():
    return table(Truth(), 5, np.random.default_rng(0), ("gripper_5", "mse"))


def test_all_gates_are_open_for_an_instrument_that_sees(results):
    for metric in ("gripper_5", "mse"):
        assert shut(results, metric=metric) == {} and shut(results, "E", "full", metric) == {}
    found = gate_table(results)
    assert found.open.all() and set(found.columns) == set(gates.COLUMNS)
    judged = found.drop_duplicates(["scale", "condition"])
    assert set(found.condition) <= set(gates.JUDGED) and len(found) == 4 * len(judged)
    assert "depth head's loss 0.3" in found.told.iloc[0] and "5 of 5 seeds" in found.told.iloc[0]


@pytest.mark.parametrize(("fault", "name", "words"), [
    ({"head": 1.2}, "head", "lower in 0 of 5 seeds"), ({"persistence": 1.02}, "model", "of persistence's"),
    ({"learnt": -5}, "training", "A against base +"), ({"positive": -30}, "control", "P against A +"),
    ({"positive": 2, "noise": 0.1}, "control", "less than the smallest effect of interest, 4 %")])
def test_each_fault_shuts_its_own_gate_alone(fault, name, words):
    told = shut(table(replace(Truth(), **fault), 5, np.random.default_rng(1)))
    assert list(told) == [name] and words in told[name]


def test_those_that_lack_the_same_gates_are_told_together(results):
    assert gates.shut_told(results, ["A", "B", "D", "E"]) == []
    head = results.metric.str.startswith("head_tracks") & ~results.metric.str.endswith("_constant")
    blind = results.assign(value=results.value.where(~(head & (results.scale == "pilot")), 9.0))
    (line,) = gates.shut_told(blind, ["A", "B", "D", "E"])
    assert line == ("No verdict on D, E at pilot scale (notebook 09). Not met: "
                    f"“{GATES['head'][0]}”.")
    assert gates.shut_told(blind, ["B", "D"], ["full"]) == []
    without = blind[blind.condition != "P"]
    told = gates.shut_told(without, ["B", "D", "E"], ["pilot"])
    assert [line.split(" at ")[0] for line in told] == ["No verdict on B", "No verdict on D, E"]
    assert GATES["head"][0] in told[1] and GATES["control"][0] in told[1]


@pytest.mark.parametrize(("missing", "name"), [("P", "control"), ("lr-0", "training"), ("base", "training"),
                                               ("B", "head")])
def test_a_row_that_was_not_run_shuts_its_gate(results, missing, name):
    told = shut(results[results.condition != missing])
    assert list(told) == [name] and missing in told[name] and re.search("not run", told[name])


def test_one_seed_an_old_table_and_one_bad_seed(results):
    assert set(shut(results[results.seed == 0])) == {"model", "training", "control"}, "no interval"
    old = results[results.metric.isin(["mse", "mse_over_static", "head_depth"])]
    old = old[~old.condition.isin(["base", "lr-0", "P"])]
    assert set(shut(old, metric="mse")) == {"head", "training", "control"}
    assert set(shut(old)) == set(GATES)
    bad = results.copy()
    worst = (bad.condition == "B") & (bad.scale == "pilot") & (bad.metric == "head_depth") & (bad.seed == 3)
    bad.loc[worst, "value"] = 0.61
    assert "lower in 4 of 5 seeds" in shut(bad)["head"] and shut(bad, "D") == {}
    bad.loc[worst, "value"] = np.nan
    assert list(shut(bad)) == ["head"], "a head that diverged has learnt nothing"


def test_of_several_heads_all_must_know_something(results):
    rows = (results.condition == "E") & (results.metric == "head_tracks")
    assert list(shut(results.assign(value=results.value.where(~rows, 0.7)), "E")) == ["head"]


def test_the_ratio_to_persistence_belongs_to_the_metric():
    told = {m: outcomes.over_persistence(m) for m in ("gripper_5", "object_10", "mse", "rollout_5", "mse_over_static")}
    assert told == {"gripper_5": "gripper_5_over_persistence", "object_10": "object_10_over_persistence",
                    "mse": "mse_over_static", "rollout_5": "rollout_5", "mse_over_static": "mse_over_static"}


def test_doses_by_hand():
    rows = [("B", "head_depth", s, 0.3) for s in (0, 1)] + [("B", "head_depth_constant", s, 0.6) for s in (0, 1)]
    rows += [("B", "moved", 0, 0.5), ("B", "moved", 1, 0.7), ("lr-0", "moved", 0, 0.1), ("lr-0", "moved", 1, 0.1)]
    rows += [("B", "probe_depth", 0, 0.8), ("A", "probe_depth", 0, 0.5), ("A", "clipped", 0, 0.25)]
    results = pd.DataFrame(rows, columns=["condition", "metric", "seed", "value"]).assign(scale="full", split="episode")
    found = dose_table(results).set_index(["condition", "what"])["mean"]
    told = {(c, what.split(":")[-1].split(",")[0].strip()): mean for (c, what), mean in found.items()}
    assert told == pytest.approx({("A", "share of steps clipped"): 0.25, ("B", "gain in the probe's R² against A"): 0.3,
                                  ("B", "share of the best constant's loss removed"): 0.5,
                                  ("B", "latents moved beyond the lr-0 arm's"): 0.5})
    assert dose_table(results[:0]).empty and gate_table(results[:0]).empty


def test_changes_are_paired_by_seed_and_checked():
    rows = pd.DataFrame([("A", 1, 2.0), ("A", 0, 1.0), ("B", 2, 9.0), ("B", 1, 3.0), ("B", 0, 0.9)],
                        columns=["condition", "seed", "value"]).assign(scale="full", split="episode", metric="mse")
    by = ("full", "mse", "episode")
    found = Values(rows).change("B", "A", *by)
    assert found.to_dict() == pytest.approx({0: -10, 1: 50})
    assert Values(rows).change("B", "C", *by) is None and Values(rows[rows.seed != 1]).change("B", "A", *by).size == 1
    for fault, words in ((rows.assign(value=np.inf), "not finite"), (pd.concat([rows, rows[-1:]]), "more than once"),
                         (rows.assign(value=-1.0), "0 or below")):
        with pytest.raises(InputError, match=words):
            Values(fault).change("B", "A", *by)
