"""The figures of gates and primary hypotheses draw the numbers of their tables, where they say."""

import numpy as np
import pytest

from lewm_core.stats.evidence import Evidence
from lewm_core.stats.gates import GATES, gate_table
from lewm_core.stats.primary import primary_effects, primary_table
from lewm_core.viz import claim_figures
from tests.stats.planted import THE_PAPERS, Truth, table
from tests.viz.drawn import artists, texts


@pytest.fixture(scope="module")
def results():
    return table(Truth(THE_PAPERS), 4, np.random.default_rng(0))


def test_a_cell_per_condition_and_gate(results):
    shut = results[(results.condition != "P") | (results.scale == "pilot")]
    shut = shut[(shut.condition != "B") | (shut.metric != "head_depth")]
    fig = claim_figures.gate_map(gate_table(shut))
    pilot, full = (artists(fig)[f"{scale}/gates"].get_array() for scale in ("pilot", "full"))
    names = [t.get_text() for t in fig.axes[0].get_yticklabels()]
    assert pilot[names.index("B")].tolist() == [0, 1, 1, 1] and pilot[names.index("D")].tolist() == [1] * len(GATES)
    assert full[names.index("E")].tolist() == [1, 1, 1, 0] and full.mask[names.index("G")].all(), "G is not run there"


def test_every_contrast_with_its_verdict(results):
    evidence = Evidence(results)
    effects, judged = primary_effects(evidence), primary_table(evidence)
    fig = claim_figures.primary_forest(effects, judged)
    drawn = artists(fig)
    for row in effects.itertuples():
        assert drawn[f"{row.id}/{row.against}/mean"].get_xdata() == [row.mean]
        assert list(drawn[f"{row.id}/{row.against}/interval"].get_xdata()) == [row.low, row.high]
    said = texts(fig)
    assert all(verdict in said for verdict in judged.verdict) and "H4: B against B-shuf, full − pilot" in said
    assert "±4 %" in said


def test_what_was_not_run_is_said(results):
    alone = results[results.condition == "A"]
    assert "not run" in texts(claim_figures.gate_map(gate_table(alone)))
    evidence = Evidence(alone)
    assert "not run" in texts(claim_figures.primary_forest(primary_effects(evidence), primary_table(evidence)))
