"""The answer in words, of planted studies: what is said follows the verdicts, and the README holds what is said."""

import re

import numpy as np
import pytest

from lewm_core.stats import answer, claims_report, gates
from lewm_core.stats.answer import answers, markers, update_readme
from lewm_core.stats.claims import claims_table
from lewm_core.stats.evidence import Evidence
from lewm_core.utils.errors import InputError
from tests.stats.planted import Truth, table

ABOUT = {"data": "tabletop", "profile": "quick"}
METRICS, SPLITS = ("gripper_5", "mse"), ("episode", "window")
HELPS = {("B", "pilot"): -10.0, ("B", "full"): -10.0, ("D", "full"): -10.0, ("E", "full"): -10.0}
LOST = {("B", "pilot"): -20.0, ("B", "full"): 8.0, ("D", "full"): 0.0, ("E", "full"): -5.0}


def judged(effects, **truth):
    """The claims of a planted study in which each X-shuf is as A."""
    rows = table(Truth(effects, noise=0.1, **truth), 6, np.random.default_rng(0), METRICS, SPLITS, 4.0)
    return claims_table(Evidence(rows), ABOUT)


def told(claims):
    return dict(answers(claims))


def verdicts(text):
    return re.findall(r"\*(.+?)\*", text)


def test_depth_that_helps_is_said_to_help_and_not_to_harm():
    helps, harm, tracks, by_mse = told(judged(HELPS)).values()
    assert verdicts(helps) == ["yes", "yes"] and "against B-shuf −10.0 %" in helps
    assert verdicts(harm)[0] == "no" and "is B worse than A with the full set?" in harm
    assert verdicts(by_mse) == ["no"] and "−10.0 %" in by_mse, "no effect? no"
    assert verdicts(tracks) == ["yes", "no"], "E is no better than B: tracks add nothing"


def test_help_that_turns_to_harm_is_said_to():
    helps, harm, tracks, by_mse = told(judged(LOST)).values()
    assert verdicts(helps) == ["no", "yes"], "at full size, at the pilot's"
    assert verdicts(harm) == ["yes", "yes"] and "+8.0 %" in harm and "+27.9 points" in harm
    assert verdicts(tracks) == ["no", "yes"], "E is better than B, which harms"


def test_one_part_that_fails_decides():
    mimicked = judged(HELPS, shuffled=-10.0)
    assert verdicts(told(mimicked)[answer.QUESTIONS[0][0]])[0] == "no", "B is no better than its twin"


def test_a_study_that_could_not_see_says_so_with_the_numbers_of_its_gates():
    blind = judged(HELPS, positive=0.0)
    for text in told(blind).values():
        assert set(verdicts(text)) == {"not tested here"}
        assert "positive control" in text and "P against A" in text and "gates of" not in text
    alone = judged(HELPS)
    alone = alone[alone.kind != "gate"].assign(verdict="not tested here", reason="B was not run at scale full")
    assert "(B was not run at scale full)" in told(alone)[answer.QUESTIONS[0][0]]


def test_the_facts_have_no_verdict_and_the_claims_no_headline():
    claims = judged(HELPS)
    blocks = [told_(claims) for told_ in answer.BLOCKS.values()]
    facts = blocks[1].split("Counted, without training:")[1]
    assert "supported" not in facts and "| 3.2 | the model has about 15 M parameters | 15 M |" in facts
    assert not re.search(r"\d+ (supported|contradicted)", blocks[0])
    assert blocks[0].startswith("The paper reports") and "by −11.5 % on 13 episodes and by +1.0 % on 100" in blocks[0]
    assert "simulated data (tabletop), profile quick" in blocks[0] and "figures/answer.png" in blocks[0]
    assert "- full: effects of B, " in blocks[1] and "| H4 |" in blocks[1]


def test_the_readme_holds_the_blocks_between_their_markers(tmp_path):
    claims = judged(HELPS)
    claims_report.save(claims, tmp_path)
    readme = tmp_path / "README.md"
    old = "\nold\n".join(line for name in answer.BLOCKS for line in markers(name))
    readme.write_text(f"before\n{old}\nafter\n")
    text = update_readme(readme, tmp_path)
    assert text == readme.read_text() and text.startswith("before\n") and text.endswith("\nafter\n")
    assert text.count("\nold\n") == 1, "what stands between two blocks is left alone"
    for name, block in answer.BLOCKS.items():
        assert f"{markers(name)[0]}\n{block(claims)}\n{markers(name)[1]}" in text
    again = update_readme(readme, tmp_path)
    assert again == text
    readme.write_text(text + markers("tested")[0])
    with pytest.raises(InputError, match="no single block tested"):
        update_readme(readme, tmp_path)
    assert readme.read_text() == text + markers("tested")[0]


def test_the_readme_shows_the_committed_claims():
    claims = claims_report.read(answer.FIGURES / "claims.csv")
    text = answer.README.read_text()
    assert all(block(claims) in text for block in answer.BLOCKS.values()), "only ./run_all.sh publish changes both"


def test_every_gate_has_its_words():
    assert claims_report.SHUT_MEANS.keys() == gates.GATES.keys()
