"""The figures of gates and primary hypotheses draw the numbers of their tables, where they say."""

import numpy as np
import pytest

from lewm_core.stats import depth_effect, paper
from lewm_core.stats.evidence import Evidence
from lewm_core.stats.gates import GATES, gate_table
from lewm_core.stats.paired import number
from lewm_core.stats.primary import primary_effects, primary_table
from lewm_core.stats.verdicts import CONTRADICTED, SUPPORTED, UNDECIDED, UNTESTED
from lewm_core.viz import claim_figures, style
from tests.stats.planted import THE_PAPERS, Truth, table
from tests.viz.drawn import artists, misplaced, texts


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


def answered(results):
    """The answer of a results table: its two tables, and the figure with a caption."""
    judged = primary_table(Evidence(results))
    contrasts, seeds = depth_effect.effect_table(Evidence(results), judged)
    lines = [depth_effect.lost(judged), depth_effect.gates_line(results)]
    fig = claim_figures.answer(contrasts, seeds, lines)
    return contrasts, seeds, style.add_caption(fig, "profile x · data: y, simulated · base: z · seeds: 12 pilot")


def test_the_answer_draws_every_effect_of_depth_with_its_verdict_and_the_papers(results):
    contrasts, seeds, fig = answered(results)
    drawn, judged = artists(fig), primary_table(Evidence(results)).set_index("id").verdict
    assert len(contrasts) == 4 and fig.get_figwidth() == 7
    of = {("full", "A"): "H1", ("full", "B-shuf"): "H2", ("pilot", "A"): "H3", ("pilot", "B-shuf"): "H3"}
    values = results[results.metric == "gripper_5"].pivot(index=["scale", "seed"], columns="condition", values="value")
    for row in contrasts.itertuples():
        key, own = f"{row.scale}/{row.against}", values.loc[row.scale]
        change = 100 * (own.B / own[row.against] - 1)
        assert drawn[f"{key}/mean"].get_xdata() == pytest.approx([change.mean()])
        assert list(drawn[f"{key}/interval"].get_xdata()) == [row.low, row.high] and row.low < change.mean() < row.high
        assert drawn[f"{key}/seeds"].get_offsets()[:, 0].tolist() == pytest.approx(change.tolist())
        assert judged[of[row.scale, row.against]] in drawn[f"{key}/verdict"].get_text()
        assert (f"{key}/paper" in drawn) == (row.against == "A")
    for scale in ("pilot", "full"):
        assert f"MSE: {number(paper.reported(3, scale)['B'])} %" in drawn[f"{scale}/A/paper"].get_text()
    band = drawn["band"]
    assert [band.get_x(), band.get_width()] == [-4, 8]
    assert misplaced(fig) == [] and "all 4 open" in texts(fig)
    numbers = claim_figures.answer_numbers(contrasts, seeds)
    assert len(numbers[numbers.statistic == "seed"]) == 16 and {"mean", "low", "high", "paper", "least", "n"} < set(
        numbers.statistic)


@pytest.mark.parametrize(("effect", "said"), [(-20.0, SUPPORTED), (20.0, CONTRADICTED)])
def test_the_answer_in_words_follows_the_data(effect, said):
    truth = Truth(dict.fromkeys(THE_PAPERS, effect))
    contrasts, _, fig = answered(table(truth, 8, np.random.default_rng(1)))
    assert artists(fig)["answer"].get_text() == f"Pilot: {said}; full: {said}"
    assert misplaced(fig) == []


def test_where_nothing_was_tested_the_answer_says_so_large(results):
    for some in (results[results.condition != "P"], results[results.condition == "A"]):
        contrasts, _, fig = answered(some)
        said = artists(fig)["answer"]
        assert said.get_text().lower() == UNTESTED and said.get_fontsize() > 20 and misplaced(fig) == []
        assert set(contrasts.verdict) == {UNTESTED}
    assert "Gates of B, pilot: B was not run; full: B was not run" in texts(fig)


def test_an_answer_in_parts_is_told_by_part(results):
    full = results[(results.scale == "full") & (results.condition != "B-shuf")]
    contrasts, _, fig = answered(full)
    said = " ".join(artists(fig)["answer"].get_text().split())
    assert said.startswith(f"Pilot: {UNTESTED}; full: ") and f"{UNTESTED} against B-shuf" in said
    assert texts(fig).count("not run") == 4 and misplaced(fig) == [], "three contrasts, and the gates of the pilot"
    one = answered(results[results.seed == 0])[2]
    assert "full/A/interval" not in artists(one) and "full/A/mean" in artists(one)
    assert UNDECIDED in texts(one) or UNTESTED in texts(one)
