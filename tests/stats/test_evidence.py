"""What a study's folder says of the claims: all that is there, and of the control runs only if they are asked for."""

import numpy as np
import pandas as pd
import pytest

from lewm_core.stats.claims import claims_table, survival
from lewm_core.stats.evidence import gather, same_steps
from lewm_core.stats.verdicts import CONTRADICTED, SUPPORTED, UNDECIDED, UNTESTED
from lewm_core.utils.workspace import SCALES, Workspace


def rows(scale, conditions, value=1.0):
    return [(c, scale, seed, split, "mse", value + 0.01 * seed, f"{c}{seed}") for c in conditions for seed in (0, 1)
            for split in ("episode", "window")]


@pytest.fixture
def workspace(tmp_path):
    place = Workspace(tmp_path, tmp_path / "figures")
    columns = ["condition", "scale", "seed", "split", "metric", "value", "run"]
    for scale in SCALES:
        pd.DataFrame(rows(scale, "AB"), columns=columns).to_csv(place.results(scale), index=False)
        pd.DataFrame([("E", scale, "no depth")], columns=["condition", "scale", "reason"]).to_csv(
            place.skipped(scale), index=False)
    controls = []
    for study, arm, episodes, steps, conditions in (
            ("patches", "pilot", 3, 10, ["A", "D", "D-patch"]), ("patches", "full", 9, 30, ["A", "D", "D-patch"]),
            ("steps", "small, own", 3, 10, "AB"), ("steps", "small, longer", 3, 30, "AB"),
            ("steps", "large, own", 9, 30, "AB"), ("steps", "large, shorter", 9, 10, "AB")):
        controls += [(study, arm, "best", episodes, steps, 0.1, *row) for row in rows(arm, conditions, 2.0)]
    more = ["study", "arm", "selection", "episodes", "steps", "head_weight"]
    pd.DataFrame(controls, columns=[*more, *columns]).to_csv(place.results("controls"), index=False)
    pd.DataFrame([("B-patch", "controls", "no depth here")], columns=["condition", "scale", "reason"]).to_csv(
        place.skipped("controls"), index=False)
    for name in ("facts", "gradients"):
        measured = {"scale": ["full"], "condition": ["B"], "head": ["depth"], "fact": ["optimizer steps"],
                    "seed": [0], "cosine": [0.1], "value": [1.0]}
        pd.DataFrame(measured).to_csv(place.measured(name), index=False)
    place.measured("instability").write_text("\n")  # what an empty table leaves
    return place


def test_a_main_study_leaves_the_control_runs_out(workspace):
    found = gather(workspace, False, {})
    assert found.patches is None and found.sizes is None and found.gradients is None and found.instability is None
    assert set(found.results.scale) == set(SCALES) and len(found.facts) == 1
    assert found.skipped.reason.tolist() == ["no depth", "no depth"] and found.leak is None


def test_the_controls_bring_arms_of_equal_steps_and_patches_as_evidence_of_their_own(workspace):
    probes = pd.DataFrame({"seed": [0]})
    extra = pd.DataFrame(rows("pilot", "A"), columns=["condition", "scale", "seed", "split", "metric", "value", "run"])
    extra.assign(metric="yardstick").to_csv(workspace.measured("metrics"), index=False)
    found = gather(workspace, True, {}, probes=probes)
    assert found.sizes == {"small, longer": 3, "large, own": 9} and found.probes is probes
    assert np.allclose(found.change("B", "large, own", "mse", "episode"), 0)
    assert "yardstick" in set(found.results.metric) and "small, own" not in set(found.results.scale)
    assert len(found.need("patches")) and len(found.gradients) == 1
    assert found.patches.values("D-patch", "pilot", "mse", "episode").tolist() == pytest.approx([2.0, 2.01])
    with pytest.raises(Exception, match="B-patch was skipped: no depth here"):
        found.patches.values("B-patch", "full", "mse", "episode")
    _, arms = same_steps(pd.read_csv(workspace.results("controls")))
    assert set(arms.steps) == {30}


@pytest.mark.parametrize("conditions", ["A", "AD"])
@pytest.mark.parametrize("split", ["episode", "window"])
def test_a_study_of_few_conditions_seeds_and_splits_is_gathered_and_judged(workspace, conditions, split):
    """One seed, one split, and no run of the controls that has a signal."""
    for scale in SCALES:
        table = pd.read_csv(workspace.results(scale))
        chosen = pd.DataFrame(rows(scale, conditions), columns=table.columns)
        chosen[(chosen.seed == 0) & (chosen.split == split)].to_csv(workspace.results(scale), index=False)
        pd.DataFrame(columns=["condition", "scale", "reason"]).to_csv(workspace.skipped(scale), index=False)
    controls = pd.read_csv(workspace.results("controls"))
    controls[controls.condition == "A"].to_csv(workspace.results("controls"), index=False)
    for study in ("main", "controls"):
        found = gather(workspace, study, {})
        table = claims_table(found, {}).set_index("id")
        assert set(table.verdict[table.kind == "gate"]) <= {"shut"}, "no reference row was run"
        table = table[table.kind != "gate"]
        assert set(table.verdict) <= {UNTESTED, UNDECIDED, CONTRADICTED, SUPPORTED}
        assert table.verdict["pilot-B"] == UNTESTED and "B was not run at scale pilot" in table.reason["pilot-B"]
        one_seed = conditions == "AD" and split == "episode"
        assert table.verdict["pilot-D"] == UNTESTED and bool(table.mse_ours["pilot-D"] != "–") == one_seed
    assert survival(found, ["mse"]).verdict.isin([UNTESTED, UNDECIDED]).all()
