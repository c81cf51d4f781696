"""Supervision by three routes: paired with its own baseline, judged, and told."""

import numpy as np
import pandas as pd
import pytest

from lewm_core.diagnostics import design
from lewm_core.stats import patch_routes, verdicts

OPEN = lambda conditions, arms: []  # noqa: E731  (no gate is shut)
BASELINES, ROUTES = design.baselines(), design.routes()


def study(effects, n=4):
    """Results in which A-pp is twice as bad as A and each condition changes its own baseline by so many per cent."""
    rng, rows = np.random.default_rng(0), []
    for scale in ("full", "pilot"):
        for seed in range(n):
            base = 1 + 0.1 * rng.normal()
            rows += [("A", scale, seed, base), ("A-pp", scale, seed, 2 * base)]
            rows += [(c, scale, seed, (2 if c.endswith("pp") else 1) * base * (1 + (change + 0.1 * rng.normal()) / 100))
                     for (c, at), change in effects.items() if at == scale]
    table = pd.DataFrame(rows, columns=["condition", "scale", "seed", "value"])
    return table.assign(split="episode", metric="mse")


@pytest.fixture(scope="module")
def changes():
    effects = {(c, s): 0.0 for c in ("B", "B-patch", "B-pp", "D", "D-patch", "D-pp") for s in ("pilot", "full")}
    return patch_routes.route_changes(study(effects | {("D-pp", "full"): -5.0, ("B", "full"): -4.0}), BASELINES)


@pytest.fixture(scope="module")
def table(changes):
    return patch_routes.route_table(changes, ROUTES, OPEN)


def test_each_route_is_compared_with_its_own_baseline(table):
    of = table.set_index(["scale", "condition"])
    assert of["mean"]["full", "D-pp"] == pytest.approx(-5, abs=0.3), "against A it would be 90 % worse"
    assert (of.helps == verdicts.SUPPORTED).sum() == 2 and of.helps["full", "D-pp"] == verdicts.SUPPORTED
    assert of.helps["pilot", "D-pp"] == verdicts.CONTRADICTED, "surely less than the paper's ±1.3 %"
    assert table.scale.tolist() == ["pilot"] * 6 + ["full"] * 6
    assert table.condition.tolist()[:6] == ["B", "B-patch", "B-pp", "D", "D-patch", "D-pp"]


def test_a_predictor_that_does_not_read_patches_is_not_tested(changes):
    idle = changes.assign(change=changes.change.where(changes.condition != "A-pp", 0.01))
    table = patch_routes.route_table(idle, ROUTES, OPEN)
    assert set(table.helps[table.condition.isin(["B-pp", "D-pp"])]) == {verdicts.UNTESTED}
    lines = patch_routes.describe_routes(table, idle, ROUTES)
    assert lines[-1].startswith("A-pp differs from A by at most 0.01 % (") and len(lines) == 7


def test_a_shut_gate_is_no_verdict(changes):
    table = patch_routes.route_table(changes, ROUTES, lambda conditions, arms: ["shut"] if "B" in conditions else [])
    assert set(table.helps[table.condition == "B"]) == {verdicts.UNTESTED}
    assert verdicts.UNTESTED not in set(table.helps[table.condition != "B"])
    assert "so nothing was tested, for B, pilot; B, full." in patch_routes.describe_routes(table, changes, ROUTES)[-1]


def test_the_sentences_name_what_patch_tokens_rescue(table, changes):
    lines = patch_routes.describe_routes(table, changes, ROUTES)
    assert len(lines) == 5 and "Of 3 cases" in lines[-1]
    assert lines[-1].endswith("through patch tokens in 1 (tracks, full).")
    assert "full, benefit of tracks: through CLS contradicted (0" in lines[3].replace("+", "").replace("−", "")
    only = table[table.condition.isin(["B", "D"])]
    assert patch_routes.describe_routes(only, changes, ROUTES)[-1].endswith("in 0.")


@pytest.mark.parametrize("ran", [[], ["B"], ["D", "D-patch", "D-pp"]])
@pytest.mark.parametrize("n", [1, 3])
def test_any_choice_of_routes_and_seeds(ran, n):
    results = study({(c, "full"): 0.0 for c in ran}, n)
    changes = patch_routes.route_changes(results, BASELINES)
    table = patch_routes.route_table(changes, ROUTES, OPEN)
    assert table.condition.tolist() == ran
    lines = patch_routes.describe_routes(table, changes, ROUTES)
    assert lines[0].startswith("Not run" if not ran else "full, ")
    window = patch_routes.route_changes(results.assign(split="window"), BASELINES)
    assert window.empty and patch_routes.route_table(window, ROUTES, OPEN).empty
