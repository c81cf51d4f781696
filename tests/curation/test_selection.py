"""Selections: named readings of full set and pilot, drops and ticks, a file that survives editing and says how."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest

from lewm_core.curation import score as curation
from lewm_core.curation.score import Criteria
from lewm_core.curation.selection import (
    COLUMNS,
    FULL_BY,
    Choice,
    chosen_by,
    hand_picked,
    read_record,
    read_selection,
    select,
    write_selection,
)
from lewm_core.sources.episode import EpisodeInfo
from lewm_core.utils.errors import InputError

TASK = "put the carrot on the plate"


def scores(n: int = 10) -> pd.DataFrame:
    """Scores 0.1, 0.2 … in a shuffled order, the two best equal."""
    score = np.minimum(np.arange(n) + 1, n - 1) / 10
    parts = {f"part_{part}": score if part != "depth" else np.nan for part in curation.PARTS}
    table = pd.DataFrame({"episode": [f"e{i:02}" for i in range(n)], "task": TASK, "length": 20, "score": score,
                          **parts})
    return table.iloc[np.random.default_rng(0).permutation(n)]


CHOICE = Choice(n_top=6, n_full=4, n_pilot=2)


def test_select_ranks_and_flags():
    chosen = select(scores(), CHOICE)
    assert list(chosen.columns[:7]) == [*COLUMNS, "rank", "score"]
    assert chosen["episode"].tolist() == ["e08", "e09", "e07", "e06", "e05", "e04"]  # the tie goes by id
    assert chosen["rank"].tolist() == [1, 2, 3, 4, 5, 6]
    assert chosen["full"].tolist() == [True] * 4 + [False] * 2
    assert chosen["pilot"].tolist() == [True] * 2 + [False] * 4
    with pytest.warns(UserWarning, match="only 10 scored episodes for a full set of 20"):
        assert len(select(scores(), Choice(n_top=30, n_full=20, n_pilot=2))) == 10


def test_a_full_set_at_random_is_drawn_from_those_kept_by_its_seed():
    table = scores(40)
    choices = [Choice(20, 8, 3, full_by="random", full_seed=seed) for seed in range(100)]
    draws = [select(table, choice) for choice in choices]
    assert all(d.full.sum() == 8 and len(d) == 20 for d in draws)
    assert draws[1].equals(select(table.sample(frac=1, random_state=0), choices[1]))
    assert all(d.pilot.tolist() == [True] * 3 + [False] * 17 for d in draws)  # the best still, whether drawn or not
    often = np.sum([d.full for d in draws], 0)
    assert often.min() > 20 and often.max() < 60  # 40 expected of each, whatever its rank
    assert not draws[0].full.equals(draws[1].full)


def test_a_pilot_by_hand_is_what_was_ticked():
    by_hand = dataclasses.replace(CHOICE, pilot_by="hand")
    chosen = select(scores(), by_hand, ticks=["e04", "e07", "e06"])
    assert chosen["episode"][chosen["pilot"]].tolist() == ["e07", "e06", "e04"]
    with pytest.raises(InputError, match="no episode that is ticked.*tick episodes in its curation browser"):
        select(scores(), by_hand)
    with pytest.raises(InputError, match="ticks of e01; expected ticks among the best 6"):
        select(scores(), by_hand, ticks=["e01", "e07"])
    with pytest.raises(InputError, match="ticks of e07"):
        select(scores(), by_hand, ticks=["e07"], dropped=["e07"])


@pytest.mark.parametrize("full_by", FULL_BY)
def test_a_dropped_episode_keeps_its_row_and_gets_no_flag(full_by):
    chosen = select(scores(), dataclasses.replace(CHOICE, full_by=full_by), dropped=["e08", "e06"])
    assert chosen["episode"].tolist() == ["e08", "e09", "e07", "e06", "e05", "e04"]
    assert chosen["pilot"].tolist() == [False, True, True, False, False, False]
    assert chosen["full"].tolist() == [False, True, True, False, True, True]  # the next ones move up


def test_select_refuses():
    with pytest.raises(InputError, match="n_pilot <= n_full <= n_top"):
        Choice(n_top=5, n_full=6, n_pilot=2)
    with pytest.raises(InputError, match="pilot_by.*one of score, hand"):
        Choice(pilot_by="beauty")
    with pytest.raises(InputError, match="full_by.*one of score, random"):
        Choice(full_by="hand")
    infos = [EpisodeInfo(f"e{i}", TASK, 9) for i in range(3)] + [EpisodeInfo("long", TASK, 99)]
    table = curation.metadata_filter(infos, Criteria())
    with pytest.raises(InputError, match=r"none of 4 episodes accepted: shorter than 15 frames \(3\), longer than 40"):
        select(scores().head(0), CHOICE, candidates=table)
    with pytest.raises(InputError, match="no episodes"):
        select(pd.DataFrame(), CHOICE)


def test_selection_round_trip(tmp_path):
    chosen = select(scores(), CHOICE)
    chosen.loc[0, "task"], chosen.loc[1, "task"], chosen.loc[2, "score"] = "NA", 'put "it", gently', 1 / 3
    path = tmp_path / "selection.csv"
    write_selection(path, chosen, CHOICE, Criteria())
    assert path.read_text().startswith("episode,task,length,full,pilot,rank,score,part_verb")
    back = read_selection(path)
    pd.testing.assert_frame_equal(back, chosen, check_dtype=False)
    assert back["full"].dtype == bool and back["length"].dtype == "int64" and back["score"].dtype == float


def test_the_record_says_by_which_reading_each_set_was_chosen(tmp_path):
    path, choice = tmp_path / "selection.csv", dataclasses.replace(CHOICE, full_by="random", full_seed=5)
    criteria = Criteria(weight_motion=3.5)
    chosen = select(scores(), choice, dropped=["e04"])
    write_selection(path, chosen, choice, criteria, ["e04"])
    assert read_record(path).criteria == criteria and read_record(path).choice == choice
    how = chosen_by(path)
    assert (how["pilot_by"], how["full_by"], how["full_seed"], how["dropped"]) == ("score", "random", 5, 1)
    assert how["criteria"]["weight_motion"] == 3.5 and json.loads(json.dumps(how)) == how | {
        "criteria": json.loads(json.dumps(how["criteria"]))}
    with pytest.raises(InputError, match="no pilot that a person ticked in selection.csv"):
        hand_picked(path)

    table = pd.read_csv(path)  # as a person edits it
    table["pilot"] = ["yes" if e in ("e05", "e07") else "no" for e in table.episode]
    table.to_csv(path, index=False)
    assert (chosen_by(path)["pilot_by"], chosen_by(path)["full_by"]) == ("hand", "random")
    assert hand_picked(path) == ["e07", "e05"]
    table["full"] = "yes"
    table.to_csv(path, index=False)
    assert chosen_by(path)["full_by"] == "hand"
    (tmp_path / "selection.json").unlink()  # somebody's own file
    assert chosen_by(path) == {"pilot_by": "hand", "full_by": "hand"}


def test_without_a_selection_a_pilot_by_hand_is_refused(tmp_path):
    with pytest.raises(InputError, match="Run notebook 01 with pilot_by=score first"):
        hand_picked(tmp_path / "selection.csv")


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"choice": {"n_topp": 3}}'])
def test_a_damaged_record_is_an_error(tmp_path, text):
    path = tmp_path / "selection.csv"
    write_selection(path, select(scores(), CHOICE), CHOICE, Criteria())
    (tmp_path / "selection.json").write_text(text)
    with pytest.raises(InputError, match="selection.json"):
        read_record(path)


def test_a_person_may_edit_the_file(tmp_path):
    path = tmp_path / "selection.csv"
    path.write_text("episode,task,length,full,pilot\n007, put x on y,20, YES,no\nb,,31,No ,true\n")
    table = read_selection(path)
    assert table["episode"].tolist() == ["007", "b"] and table["task"].tolist() == ["put x on y", ""]
    assert table["full"].tolist() == [True, False] and table["pilot"].tolist() == [False, True]


HEADER = "episode,task,length,full,pilot\n"


@pytest.mark.parametrize(
    ("text", "complaints"),
    [
        ("episode,task,full\na,t,yes\n", ["no column length, pilot"]),
        (HEADER + "a,t,20,yes,maybe\na,t,x,yes,no\n", ["episode 'a' twice", "pilot is 'maybe'", "length is 'x'"]),
        (HEADER + "a,t,20,no,no\n", ["no episode with full yes", "no episode with pilot yes"]),
        (HEADER + ",t,20,yes,yes\n", ["a row without episode"]),
        (HEADER, ["no episode with full yes"]),
        ("", ["a file that is not CSV"]),
        (HEADER[:-1] + ",score\na,t,20,yes,yes,good\n", ["score is 'good'"]),
    ],
)
def test_bad_selection_files_list_all_that_is_wrong(tmp_path, text, complaints):
    path = tmp_path / "selection.csv"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        read_selection(path)
    assert str(path) in str(error.value) and all(c in str(error.value) for c in complaints)


def test_absent_selection_says_what_to_run(tmp_path):
    with pytest.raises(InputError, match="Run the curation notebook first"):
        read_selection(tmp_path / "selection.csv")
