"""Curation from the source to the selection, on a few simulated episodes."""

import pandas as pd
import pytest

from lewm_core.curation.curate import curate, instructions
from lewm_core.curation.gap import gap
from lewm_core.curation.score import Criteria
from lewm_core.curation.selection import Choice, read_selection
from lewm_core.signals.pipeline import SourceSpec
from lewm_core.utils.errors import InputError
from lewm_core.utils.workspace import Workspace

SPEC = SourceSpec("tabletop", 8, 0, 32)
RULES, CHOICE = Criteria(min_length=8), Choice(n_top=4, n_full=3, n_pilot=2)


def run(workspace, reselect=False):
    return curate(SPEC, workspace, RULES, CHOICE, 0.05, reselect, jobs=1)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    return Workspace(folder, folder / "figures")


@pytest.fixture(scope="module")
def first(workspace):
    return run(workspace)


def test_what_is_written_is_what_was_found(first, workspace):
    assert len(first.candidates) == 8 and first.newly_measured == len(first.measurements) == len(first.scored)
    assert read_selection(workspace.selection).episode.tolist() == first.selection.episode.tolist()
    assert pd.read_csv(workspace.scores).selected.sum() == 4
    assert SourceSpec.load(workspace.source) == SPEC and not first.edited and first.bad.empty
    assert first.sets().episodes.to_dict() == {"full": 3, "pilot": 2}
    assert first.absent == [] and len(first.parts) == 6


def test_a_second_call_measures_nothing(first, workspace):
    again = run(workspace)
    assert again.newly_measured == 0
    pd.testing.assert_frame_equal(again.scores, first.scores)


def test_an_edited_selection_is_kept_until_it_is_to_be_made_anew(first, workspace):
    table = pd.read_csv(workspace.selection)
    table.loc[table.episode == first.selection.episode.iloc[3], "pilot"] = "yes"
    table.to_csv(workspace.selection, index=False)
    kept = run(workspace)
    assert kept.edited and kept.selection.pilot.sum() == 3
    table.assign(episode="elsewhere").head(1).to_csv(workspace.selection, index=False)
    with pytest.raises(InputError, match="does not have"):
        run(workspace)
    assert run(workspace, reselect=True).selection.pilot.sum() == 2


def test_each_task_comes_once_before_any_comes_twice(first):
    shown = first.first_of_each_task(8)
    distinct = first.candidates.task.nunique()
    assert shown.task.head(distinct).is_unique and len(shown) == 8
    assert instructions(first.candidates).episodes.sum() == 8


def test_shares_of_the_gap_add_up_to_one():
    scored = pd.DataFrame({"part_verb": [1.0, 1.0, 0.5], "part_depth": [1.0, 0.0, 0.0],
                           "selected": [True, False, False]})
    table = gap(scored, ["part_verb", "part_depth"], {"verb": 2.0, "depth": 1.0})
    assert table.index.tolist() == ["depth", "verb"]
    assert table["share of the gap"].tolist() == pytest.approx([2 / 3, 1 / 3])
    assert table.loc["verb", "full marks"] == pytest.approx(2 / 3)
