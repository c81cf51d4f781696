"""Is it the target, or having one? Planted both ways, and with a gate shut."""

import numpy as np
import pandas as pd
import pytest

from lewm_core.diagnostics import design
from lewm_core.stats import explanations, norms, targets
from lewm_core.stats.arms import Arms, not_asked
from lewm_core.stats.outcomes import OUTCOME, PAPERS
from lewm_core.stats.verdicts import CONTRADICTED, SUPPORTED, UNTESTED

ACTS = {"B": -12, "B-25": -9, "B-50": -6, "B-shuf": 0, "B-noise": 0, "B-net": 0, "B-detached": 0, "P": -25,
        "P-detached": 0, "base": 20, "lr-0": 15}
KNOWS_NOTHING = ACTS | {"B-25": -12, "B-50": -12, "B-shuf": -12, "B-noise": -12, "B-net": -12, "B-detached": -12}


def results(means, head=0.5, seeds=4):
    """Runs of question `targets` with planted changes against A, per cent; head: B's loss over the best constant's."""
    rng = np.random.default_rng(0)
    level = rng.uniform(7, 9, seeds)
    rows = []
    for name, mean in ({"A": 0} | means).items():
        value = level * (1 + (mean + 0.3 * rng.normal(size=seeds)) / 100)
        found = {OUTCOME: value, PAPERS: value / 100, f"{OUTCOME}_over_persistence": 0.8 * value / level,
                 "mse_over_static": 0.8 * value / level}
        for term in {"B": ("depth",), "P": ("gripper", "object")}.get(name.split("-")[0], ()):
            found |= {f"head_{term}": np.full(seeds, head), f"head_{term}_constant": np.ones(seeds)}
        rows += [(name, s, m, v[s]) for m, v in found.items() for s in range(seeds)]
    table = pd.DataFrame(rows, columns=["condition", "seed", "metric", "value"])
    return table.assign(study="targets", arm="full", scale="full", split="episode", steps=800, head_weight=0.1,
                        episodes=60, selection="main")


def explain(means, **how):
    return targets.explain(Arms.of(results(means, **how), "targets", OUTCOME), design.variants())


def verdicts(found, of):
    return {name: {f.verdict for (_, each), f in findings.items() if each == of} for name, findings in found.items()}


def test_a_signal_that_acts_acts_by_its_own_target_and_through_the_encoder():
    found = explain(ACTS)
    assert verdicts(found, "B") == {"its own target": {SUPPORTED}, "any target": {CONTRADICTED},
                                    "through the encoder": {SUPPORTED}}
    slope = found["its own target"]["the more own targets, the better", "B"]
    assert slope.mean == pytest.approx(-12, abs=1) and slope.low < -12 + 1 and slope.high < -10
    assert verdicts(found, "P") == {"its own target": set(), "any target": set(), "through the encoder": {SUPPORTED}}
    told = "\n".join(explanations.told(found))
    assert "better than B-net (a random network as target)" in told and "- any target: B **contradicted**." in told


def test_a_recipe_under_which_nothing_is_learnt_is_not_judged():
    """Two recipes: one in which B acts, and one in which neither it nor the positive control does anything."""
    idle = results(dict.fromkeys(ACTS, 0) | {"base": 20, "lr-0": 15}, head=1.1)
    rows = pd.concat([results(ACTS), idle.assign(arm="the paper's", scale="the paper's")]).assign(study="protocol")
    found = targets.by_recipe(Arms.of(rows, "protocol", OUTCOME), "B", "B-shuf")
    assert {arm: {f.verdict for f in each.values()} for arm, each in found.items()} == {
        "full": {SUPPORTED}, "the paper's": {UNTESTED}}
    assert found["full"]["full: better than B-shuf", "B"].mean == pytest.approx(-12, abs=0.5)


def test_a_head_that_knows_nothing_is_not_taken_for_its_signal():
    """B is better than A by as much as in the test above, and so is every twin."""
    found = explain(KNOWS_NOTHING)
    own = found["its own target"]
    assert own["better than A", "B"].verdict == SUPPORTED
    assert own["better than B-shuf (targets of other frames)", "B"].verdict == CONTRADICTED
    assert {f.verdict for f in found["any target"].values()} == {SUPPORTED}
    assert {f.verdict for f in found["through the encoder"].values() if f.mean > -5} == {CONTRADICTED}


@pytest.mark.parametrize("shut", ["head", "training", "control"])
def test_nothing_is_tested_where_a_gate_is_shut_and_the_numbers_stand(shut):
    means = ACTS | {"training": {"lr-0": -5}, "control": {"P": -1}}.get(shut, {})
    found = explain(means, head=1.1 if shut == "head" else 0.5)
    every = [f for findings in found.values() for f in findings.values()]
    assert {f.verdict for f in every} == {UNTESTED} and all(shut in f.reason and "[" in f.ours for f in every)


def test_the_doses_stand_in_order_and_only_those_that_ran():
    arms = Arms.of(results(ACTS), "targets", OUTCOME)
    by_share = targets.dose(arms, design.variants()["B"].own)
    assert by_share.columns.tolist() == [0, 0.5, 0.75, 1] and len(by_share) == 4
    assert (np.diff(by_share.mean()) < 0).all()
    few = Arms.of(results({name: ACTS[name] for name in ("B", "B-shuf", "P", "base", "lr-0")}), "targets", OUTCOME)
    assert targets.dose(few, design.variants()["B"].own).columns.tolist() == [0, 1]
    assert set(targets.explain(few, design.variants())["its own target"]) == {
        ("better than A", "B"), ("better than B-shuf (targets of other frames)", "B")}
    left = targets.left_out(few, design.variants())[0]
    assert "B-net" in left and "P-detached" in left and "D-" not in left and "E-shuf" not in left
    assert not targets.explain(Arms.of(results({"base": 9, "lr-0": 9, "P": -9}), "targets"), design.variants())


def test_the_references_are_no_effects_and_their_absence_is_said():
    table = results(ACTS)
    arms = Arms.of(table, "targets", OUTCOME)
    assert not {"base", "lr-0"} & set(arms.changes.condition) and "P" not in arms.conditions
    assert not_asked(table) == []
    other = table[~table.condition.isin(["lr-0", "P"])].assign(study="scale")
    assert not_asked(pd.concat([table, other])) == [
        "Without lr-0, P in every arm a gate is shut: no effect is judged in scale."]


def test_what_batch_normalisation_does_is_told_with_its_interval():
    """Frozen: A is 10 % better, and what learns nothing stays the base."""
    table = results({"base": 20, "lr-0": 15})
    base = table[(table.condition == "base")].set_index(["seed", "metric"]).value
    parts = []
    for way, factor in (("paper", 1.0), ("frozen", 0.9)):
        part = table.assign(study="batch_norm", arm=way, scale=way)
        part.loc[part.condition == "A", "value"] *= factor
        still = (part.condition == "lr-0") & (way == "frozen")
        part.loc[still, "value"] = [base[key] for key in zip(part.seed[still], part.metric[still], strict=True)]
        parts.append(part)
    arms = Arms.of(pd.concat(parts, ignore_index=True), "batch_norm", OUTCOME)
    paper, frozen, best = norms.describe(arms, (OUTCOME, "absent"), "paper")
    assert frozen.startswith(f"frozen: A's {OUTCOME} is ") and "−10.0 % [−10.0, −10.0] against 'paper'" in frozen
    assert "lr-0's 0.0 % [0.0, 0.0] against the base's; A has no absent." in frozen
    assert "against 'paper'" not in paper and "lr-0's −4." in paper and " [−" in paper
    assert best == f"By {OUTCOME} A is best under 'frozen'. The main study has 'paper'."
