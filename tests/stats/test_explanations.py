"""What the controls conclude: no verdict on an effect in arms that could not have shown it."""

import numpy as np
import pandas as pd
import pytest

from lewm_core.stats import explanations
from lewm_core.stats.arms import Arms
from lewm_core.stats.verdicts import CONTRADICTED, SUPPORTED, UNTESTED
from tests.stats.planted import Truth, table

EFFECTS = {("B", "pilot"): -9.0, ("B", "full"): 2.0, ("D", "pilot"): -9.0, ("D", "full"): -9.0}


@pytest.fixture
def arms():
    """Few and many episodes, the best and random; B's benefit is lost with more of either, D's is not."""
    results = table(Truth(EFFECTS, noise=0.3), 4, np.random.default_rng(0), ("mse",))
    arm = results.scale.map({"pilot": 5, "full": 9})
    joined = pd.concat([results.assign(selection=kind, episodes=arm) for kind in ("best", "random")], ignore_index=True)
    name = joined.selection + " " + joined.episodes.astype(str)
    return joined.assign(study="scale", arm=name, scale=name, steps=10, head_weight=0.1)


def test_effects_are_judged_where_all_gates_are_open(arms):
    question = Arms.of(arms, "scale")
    found = explanations.scale_or_curation(question, 5, 9)
    assert {f.verdict for (_, of), f in found["scale"].items() if of == "B"} == {SUPPORTED}
    assert SUPPORTED not in {f.verdict for (_, of), f in found["scale"].items() if of == "D"} - {CONTRADICTED}
    assert question.shut(["B", "D"]) == []


def test_without_the_reference_rows_nothing_is_tested_and_the_numbers_stand(arms):
    question = Arms.of(arms[~arms.condition.isin(["base", "lr-0", "P"])], "scale")
    assert question.shut(["B"]) == ["gates of B shut in 4 of 4 arms: training, control"]
    assert question.shut(["B"], ["best 5"]) == ["gates of B shut in 1 of 1 arms: training, control"]
    assert question.shut(["B", "D"]) == ["gates of B, D shut in 4 of 4 arms: training, control"], "once for both"
    found = explanations.scale_or_curation(question, 5, 9) | {"both": explanations.both_at_once(question, 5, 9)}
    for each in found.values():
        assert each and {f.verdict for f in each.values()} == {UNTESTED}
        assert all(f.ours != "–" for f in each.values())
