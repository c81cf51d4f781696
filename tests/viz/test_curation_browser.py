"""The curation browser without a browser: what its controls do to the order, the sets and the file."""

import dataclasses
import re

import cv2
import numpy as np
import pandas as pd
import pytest

from lewm_core.curation import score, selection
from lewm_core.curation.score import Criteria
from lewm_core.curation.selection import Choice, select
from lewm_core.utils.errors import InputError
from lewm_core.utils.files import edited, note_written
from lewm_core.viz import pixels, tiles
from lewm_core.viz.curation_browser import PAGE, CurationBrowser
from tests.helpers import four_points as packet

N, CHOICE = 30, Choice(n_top=20, n_full=8, n_pilot=3)


def measurements(n: int = N) -> pd.DataFrame:
    """Made-up episodes of 20 frames whose every measurement matters, in no order."""
    rng = np.random.default_rng(1)
    table = pd.DataFrame({"episode": [f"e{i:03}" for i in range(n)], "length": rng.integers(12, 60, n)})
    table["task"] = [("put it on <b>the</b> plate", "push it", "move the cloth")[i % 3] for i in range(n)]
    for p in score.MOTION_PERCENTILES:
        table[f"motion_{p:g}"] = rng.uniform(10, 100, n)
    for p in score.DEPTH_PERCENTILES:
        table[f"depth_{p:g}"] = 0.5 + p / 100 * rng.uniform(0.2, 2, n)
    table["variation"] = rng.uniform(0, 1.5, n)
    frames = {f"coverage_{t}": rng.uniform(0, 0.4, n) for t in range(20)}
    return pd.concat([table, pd.DataFrame(frames)], axis=1).sample(frac=1, random_state=0)


TABLE = measurements()


def load(id: str):
    return packet(id)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "selection.csv"


def opened(path, **options):
    return CurationBrowser(TABLE, load, path, **{"criteria": Criteria(), "choice": CHOICE} | options)


def by_select(criteria: Criteria, choice: Choice = CHOICE, **more) -> pd.DataFrame:
    """What notebook 01 would select: filter the metadata, score, select."""
    accepted = TABLE[score.rejections(TABLE, criteria) == ""]
    return select(score.score(accepted, criteria), choice, **more)


def shown(browser) -> list[str]:
    return [row.episode for row in browser.rows if row.episode]


def row_of(browser, episode: str):
    return next(row for row in browser.rows if row.episode == episode)


MOVES = {
    "weight_verb": ({"weight_verb": 0.0}, 0.0), "weight_length": ({"weight_length": 3.0}, 3.0),
    "weight_motion": ({"weight_motion": 5.0}, 5.0), "weight_coverage": ({"weight_coverage": 0.0}, 0.0),
    "weight_stability": ({"weight_stability": 4.0}, 4.0), "weight_depth": ({"weight_depth": 4.0}, 4.0),
    "length": ({"min_length": 30, "max_length": 50}, (30, 50)), "motion, px": ({"min_motion": 95.0}, 95.0),
    "coverage": ({"min_coverage": 0.1, "max_coverage": 0.5}, (0.1, 0.5)),
    "variation": ({"max_variation": 0.5}, 0.5), "depth range": ({"min_depth_range": 8.0}, 8.0),
}


@pytest.mark.parametrize("control", MOVES)
def test_a_slider_ranks_as_the_notebook_would_with_these_criteria(path, control):
    browser, (changes, value) = opened(path), MOVES[control]
    before = browser.chosen
    pd.testing.assert_frame_equal(before, by_select(Criteria()))
    browser.controls[control].value = value
    assert browser.criteria == Criteria(**changes)
    after = by_select(Criteria(**changes))
    pd.testing.assert_frame_equal(browser.chosen, after)
    assert shown(browser) == after["episode"].tolist()[:PAGE]
    # All lengths within the limits have the full part, so its weight moves the scores and not the order.
    assert (after["episode"].tolist() != before["episode"].tolist()) == (control != "weight_length")
    browser.reset_button.click()
    assert browser.criteria == Criteria() and shown(browser) == before["episode"].tolist()[:PAGE]


def test_pages_show_every_ranked_episode_once(path):
    browser = opened(path, criteria=Criteria(min_length=1, max_length=100))
    found = []
    for page in range(1, browser.pager.number.max + 1):
        browser.pager.number.value = page
        found += shown(browser)
    assert browser.pager.number.max == 3 and sorted(found) == sorted(TABLE.episode)
    assert "25–30 of 30" in browser.pager.position.value
    browser.controls["length"].value = (15, 30)  # fewer pages: the last one is shown
    assert browser.pager.number.value == browser.pager.number.max < 3 and shown(browser)
    assert [row.box.layout.visibility for row in browser.rows if not row.episode] == ["hidden"] * (
        PAGE - len(shown(browser)))


def test_a_line_shows_the_score_its_parts_and_what_the_episode_is_chosen_for(path):
    browser = opened(path)
    best = browser.chosen.iloc[0]
    row = row_of(browser, best.episode)
    assert (row.keep.value, row.pilot.value, row.button.description) == (True, True, best.episode)
    parts = [">1<" if part == 1 else f">{part:.2f}<" for part in (best.part_motion, best.part_depth)]
    for text in (f">{best.score:.4f}<", *parts, "full"):
        assert text in row.cells.value
    assert "<b>the</b>" not in row.cells.value  # a task is a text
    ninth = row_of(browser, browser.chosen.episode[8])
    assert not ninth.pilot.value and "full" not in ninth.cells.value


def test_a_dropped_episode_leaves_both_sets_and_comes_back(path):
    browser = opened(path)
    best = browser.chosen.episode[0]
    row_of(browser, best).keep.value = False
    pd.testing.assert_frame_equal(browser.chosen, by_select(Criteria(), dropped=[best]))
    row = row_of(browser, best)
    assert not row.keep.value and not row.pilot.value and row.pilot.disabled and "dropped <b>1" in browser.counts.value
    browser.controls["weight_motion"].value = 4.0
    assert best not in browser.flagged("full") | browser.flagged("pilot")
    row_of(browser, best).keep.value = True
    pd.testing.assert_frame_equal(browser.chosen, by_select(Criteria(weight_motion=4.0)))


def test_a_tick_makes_the_pilot_a_persons(path):
    browser = opened(path)
    first, second, third, *_, ninth = browser.chosen.episode[:9]
    row_of(browser, second).pilot.value = False
    row_of(browser, ninth).pilot.value = True
    assert browser.controls["pilot_by"].value == browser.choice.pilot_by == "hand"
    assert browser.flagged("pilot") == {first, third, ninth}
    browser.controls["weight_motion"].value = 2.5  # ranks anew, the ticks stay
    assert browser.flagged("pilot") == {first, third, ninth}
    row_of(browser, first).keep.value = False
    assert browser.flagged("pilot") == {third, ninth}
    browser.controls["pilot_by"].value = "score"
    assert browser.chosen.equals(by_select(Criteria(weight_motion=2.5), dropped=[first]))


def test_the_full_set_at_random(path):
    browser = opened(path)
    browser.controls["full_by"].value = "random"
    at_random = dataclasses.replace(CHOICE, full_by="random")
    pd.testing.assert_frame_equal(browser.chosen, by_select(Criteria(), at_random))
    assert browser.flagged("full") != set(by_select(Criteria()).query("full").episode)


def test_what_is_saved_is_read_back_counts_as_edited_and_opens_as_it_was(path):
    selection.write_selection(path, by_select(Criteria()), CHOICE, Criteria())
    note_written(path)
    browser = opened(path)
    assert not edited(path) and browser.chosen.equals(by_select(Criteria()))
    browser.controls["weight_motion"].value = 4.0
    browser.controls["full_by"].value = "random"
    dropped, ticked = browser.chosen.episode[1], browser.chosen.episode[10]
    row_of(browser, dropped).keep.value = False
    row_of(browser, ticked).pilot.value = True
    assert not edited(path) and "Not saved yet" in browser.status.value
    browser.save_button.click()
    assert edited(path) and "Saved" in browser.status.value

    table = selection.read_selection(path)
    pd.testing.assert_frame_equal(table, browser.chosen, check_dtype=False)
    assert not table.set_index("episode").loc[dropped, ["full", "pilot"]].any()
    how = selection.chosen_by(path)
    assert (how["pilot_by"], how["full_by"], how["dropped"], how["criteria"]["weight_motion"]) == (
        "hand", "random", 1, 4.0)
    assert set(selection.hand_picked(path)) == browser.flagged("pilot")
    again = opened(path)
    assert again.chosen.equals(browser.chosen) and again.dropped == {dropped} and again.criteria == browser.criteria
    assert shown(again) == shown(browser)


def test_a_pilot_ticked_in_the_file_itself_is_kept(path):
    chosen = by_select(Criteria())
    selection.write_selection(path, chosen, CHOICE, Criteria())
    table = pd.read_csv(path).assign(pilot=lambda t: np.where(t["rank"].isin([2, 5]), "yes", "no"))
    table.to_csv(path, index=False)
    assert opened(path).flagged("pilot") == set(chosen.episode[[1, 4]])
    table.assign(full="yes").to_csv(path, index=False)
    assert "edited by hand" in opened(path).status.value
    path.with_suffix(".json").unlink()
    assert opened(path).flagged("pilot") == set(chosen.episode[[1, 4]])


def test_what_cannot_be_chosen_is_said_and_cannot_be_saved(path):
    browser = opened(path)
    for part in score.PARTS:
        before = shown(browser)
        browser.controls[f"weight_{part}"].value = 0
    assert "weights" in browser.status.value and browser.save_button.disabled and shown(browser) == before
    browser.save()
    assert "Not saved: curation criteria" in browser.status.value and not path.exists()
    browser.controls["weight_depth"].value = 1
    assert not browser.save_button.disabled
    browser.controls["length"].value = (100, 110)
    assert "no episodes" in browser.status.value and browser.save_button.disabled and not shown(browser)
    browser.reset_button.click()
    for episode in sorted(browser.flagged("pilot")):
        row_of(browser, episode).pilot.value = False
    assert "no episode that is ticked" in browser.status.value and browser.save_button.disabled
    row_of(browser, browser.rows[4].episode).pilot.value = True
    assert browser.flagged("pilot") == {browser.rows[4].episode} and not browser.save_button.disabled
    with pytest.raises(InputError, match="no measured episode"):
        CurationBrowser(TABLE.head(0), load, path, Criteria(), CHOICE)
    assert not path.exists()


def test_a_click_shows_the_packet_view_and_reads_only_that_episode(path):
    asked = []
    browser = CurationBrowser(TABLE, lambda id: asked.append(id) or load(id), path, Criteria(), CHOICE)
    assert asked == [] and browser.image.layout.display == "none"
    row = browser.rows[3]
    row.button.click()
    assert asked == [row.episode] and browser.image.layout.display is None
    drawn = cv2.imdecode(np.frombuffer(browser.image.value, np.uint8), cv2.IMREAD_COLOR)
    expected = pixels.png(tiles.packet_tile(*load(row.episode)))
    assert np.array_equal(drawn, cv2.imdecode(np.frombuffer(expected, np.uint8), cv2.IMREAD_COLOR)) and drawn.std() > 20

    def broken(id):
        raise InputError(id, "damage", "an episode")

    browser.load = broken
    browser.rows[0].button.click()
    assert "damage" in browser.status.value


def test_a_part_that_no_episode_has_cannot_be_weighted(path):
    table = TABLE[[c for c in TABLE if not c.startswith("depth")]]
    browser = CurationBrowser(table, load, path, Criteria(), CHOICE)
    assert browser.controls["weight_depth"].disabled and not browser.controls["weight_motion"].disabled
    assert "–" in browser.rows[0].cells.value


def test_the_stand_in_shows_the_best_with_pictures_and_needs_nothing_from_outside(path):
    browser = opened(path)
    data = browser._repr_mimebundle_()
    assert data["application/vnd.jupyter.widget-view+json"]["model_id"] == browser.model_id
    page = data["text/html"]
    found = re.findall(r'<img alt="([^"]+)" width="112" src="data:image/jpeg;base64,', page)
    assert found == browser.chosen.episode[: len(found)].tolist() and len(found) == 8
    assert page.count("full, pilot") == 3 and "http" not in page and "<b>the</b>" not in page
