"""Curation on hand-made cases: each planted fault changes exactly its own part; selections survive editing."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from lewm_core import curation
from lewm_core.curation import Criteria
from lewm_core.episodes import EpisodeInfo
from lewm_core.errors import InputError
from lewm_core.signals import Signals

T, SIZE = 20, 112  # half the reference size: one pixel here is two of the paper's


def good_signals() -> Signals:
    """An object of 10 % coverage whose points travel 38 px here, 76 px at 224; depth from 0.5 to 1.25."""
    depth = np.broadcast_to(np.linspace(0.5, 1.25, 56 * 56, dtype=np.float32).reshape(56, 56), (T, 56, 56))
    mask = np.zeros((T, SIZE, SIZE), bool)
    mask[:, 20:55, 30:66] = True
    start = np.random.default_rng(0).uniform((30, 20), (65, 54), (400, 2))
    tracks = (start + np.arange(T)[:, None, None] * [2.0, 0]).astype(np.float32)
    uniform = np.repeat(np.random.default_rng(1).uniform(0, SIZE, (1, 400, 2)), T, 0).astype(np.float32)
    seen = np.ones((T, 400), bool)
    return Signals("e", depth, mask, uniform, seen, tracks, seen, None, None, None, None, {}, {})


TASK = "put the carrot on the plate"


def parts(task=TASK, length=T, criteria=None, **changes):
    signals = dataclasses.replace(good_signals(), **changes)
    return curation.score_parts(task, length, signals, SIZE, criteria or Criteria())


def test_a_good_episode_has_the_full_score():
    found = parts()
    assert found == dict.fromkeys(curation.PARTS, 1.0) and curation.total(found, Criteria()) == 1.0


def growing_mask():
    mask = np.zeros((T, SIZE, SIZE), bool)
    for t in range(T):
        mask[t, 20 : (50 if t % 2 else 40), 30:80] = True  # 12 % and 8 %: in range, but unsteady
    return mask


def large_mask():
    mask = np.zeros((T, SIZE, SIZE), bool)
    mask[:, :60, :60] = True  # 29 %
    return mask


FAULTS = {
    "verb": ({"task": "push the carrot to the left"}, 0.5),
    "length": ({"length": 60}, 0.5),
    "motion": ({"tracks_fg": np.repeat(good_signals().tracks_fg[:1], T, 0)}, 0.0),
    "coverage": ({"mask": large_mask()}, 0.0),
    "stability": ({"mask": growing_mask()}, 0.8),
    "depth": ({"depth": np.full((T, 56, 56), 0.7, np.float32)}, 0.0),
}


@pytest.mark.parametrize("part", FAULTS)
def test_a_planted_fault_lowers_exactly_its_part(part):
    changes, expected = FAULTS[part]
    found = parts(**changes)
    assert found[part] == pytest.approx(expected, abs=1e-6)
    others = {name: 1.0 for name in curation.PARTS if name != part}
    assert {name: found[name] for name in others} == pytest.approx(others)


@pytest.mark.parametrize(
    ("task", "value"),
    [
        ("put the carrot on the plate", 1.0), ("Place cup into the sink", 1.0), ("pick up the spoon", 1.0),
        ("picked the spoon up", 1.0), ("push the cup", 0.5), ("input the onion", 0.5), ("move the cloth", 0.25),
        ("put the towel on the table", 0.5), ("fold the cloth", 0.0), ("unfold the napkin", 0.0), ("", 0.0),
    ],
)  # fmt: skip
def test_verbs(task, value):
    assert parts(task=task)["verb"] == value


@pytest.mark.parametrize(("length", "value"), [(15, 1), (40, 1), (7, 0), (80, 0), (11.25, 0.5), (60, 0.5)])
def test_length_part(length, value):
    assert parts(length=length)["length"] == pytest.approx(value)


def test_motion_is_a_path_length_over_visible_steps_at_the_reference_size():
    signals = good_signals()
    assert curation.motion_px(signals, SIZE) == pytest.approx(19 * 2 * 2, rel=1e-5)
    seen = signals.visible_fg.copy()
    seen[10:] = False
    half = dataclasses.replace(signals, visible_fg=seen)
    assert curation.motion_px(half, SIZE) == pytest.approx(9 * 2 * 2, rel=1e-5)
    away = dataclasses.replace(signals, mask=np.zeros_like(signals.mask))
    assert curation.motion_px(away, SIZE) == 0  # no object: the uniform points, which rest
    assert parts(criteria=Criteria(min_motion=152.0))["motion"] == pytest.approx(0.5)


def test_depth_range_is_free_of_the_unit():
    signals = good_signals()
    ratio = curation.depth_range(signals)
    assert ratio == pytest.approx(1.2125 / 0.5375, rel=1e-3)
    assert curation.depth_range(dataclasses.replace(signals, depth=signals.depth * 1000)) == pytest.approx(ratio)
    assert curation.depth_range(dataclasses.replace(signals, depth=signals.depth - 1)) == 0


def test_missing_signals_leave_the_rest_to_decide():
    none = {"depth": None, "mask": None, "tracks": None, "tracks_fg": None}
    found = parts(task="push it", **none)
    assert [name for name in curation.PARTS if np.isnan(found[name])] == ["motion", "coverage", "stability", "depth"]
    c = Criteria()
    assert curation.total(found, c) == pytest.approx(
        (0.5 * c.weight_verb + c.weight_length) / (c.weight_verb + c.weight_length)
    )
    assert parts(depth=None)["motion"] == 1.0


def test_criteria_refuse_nonsense():
    with pytest.raises(TypeError):
        Criteria(minimal_length=3)
    with pytest.raises(InputError, match="lengths 50 to 40.*weights"):
        Criteria(min_length=50, weight_verb=-1)


def test_metadata_filter():
    infos = [
        EpisodeInfo("a", TASK, 15), EpisodeInfo("b", TASK, 14), EpisodeInfo("c", TASK, 41), EpisodeInfo("d", " ", 20),
        EpisodeInfo("e", "Fold the cloth", 20), EpisodeInfo("f", "push the cup", 40),
    ]  # fmt: skip
    table = curation.metadata_filter(infos, Criteria())
    assert list(table.columns) == ["episode", "task", "length", "accepted", "reason"]
    assert table["reason"].tolist() == [
        "", "shorter than 15 frames", "longer than 40 frames", "no task text", "folding", "",
    ]  # fmt: skip
    assert table["accepted"].tolist() == [True, False, False, False, False, True]
    assert curation.metadata_filter(infos, Criteria(min_length=8, require_task=False))["accepted"].sum() == 4


def scores(n: int = 10) -> pd.DataFrame:
    """Scores 0.1, 0.2 … in a shuffled order, the two best equal."""
    rng = np.random.default_rng(0)
    rows = []
    for i in range(n):
        row = curation.score_row(EpisodeInfo(f"e{i:02}", TASK, 20), good_signals(), SIZE, Criteria())
        rows.append(row | {"score": min(i + 1, n - 1) / 10, "part_depth": np.nan})
    return pd.DataFrame(rows).iloc[rng.permutation(n)]


def test_select_ranks_and_flags():
    chosen = curation.select(scores(), n_top=6, n_full=4, n_pilot=2)
    assert list(chosen.columns[:7]) == [*curation.COLUMNS, "rank", "score"]
    assert chosen["episode"].tolist() == ["e08", "e09", "e07", "e06", "e05", "e04"]  # the tie goes by id
    assert chosen["rank"].tolist() == [1, 2, 3, 4, 5, 6]
    assert chosen["full"].tolist() == [True] * 4 + [False] * 2
    assert chosen["pilot"].tolist() == [True] * 2 + [False] * 4
    with pytest.warns(UserWarning, match="only 10 scored episodes for a full set of 20"):
        assert len(curation.select(scores(), n_top=30, n_full=20, n_pilot=2)) == 10


def test_select_refuses():
    with pytest.raises(InputError, match="n_pilot <= n_full <= n_top"):
        curation.select(scores(), n_top=5, n_full=6, n_pilot=2)
    with pytest.raises(InputError, match="one of score"):
        curation.select(scores(), 6, 4, 2, pilot_by="beauty")
    infos = [EpisodeInfo(f"e{i}", TASK, 9) for i in range(3)] + [EpisodeInfo("long", TASK, 99)]
    table = curation.metadata_filter(infos, Criteria())
    with pytest.raises(InputError, match=r"none of 4 episodes accepted: shorter than 15 frames \(3\), longer than 40"):
        curation.select(scores().head(0), 6, 4, 2, candidates=table)
    with pytest.raises(InputError, match="no episodes"):
        curation.select(pd.DataFrame(), 6, 4, 2)


def test_selection_round_trip(tmp_path):
    chosen = curation.select(scores(), n_top=6, n_full=4, n_pilot=2)
    chosen.loc[0, "task"], chosen.loc[1, "task"], chosen.loc[2, "score"] = "NA", 'put "it", gently', 1 / 3
    curation.write_selection(tmp_path / "selection.csv", chosen)
    assert (tmp_path / "selection.csv").read_text().startswith("episode,task,length,full,pilot,rank,score,part_verb")
    back = curation.read_selection(tmp_path / "selection.csv")
    pd.testing.assert_frame_equal(back, chosen, check_dtype=False)
    assert back["full"].dtype == bool and back["length"].dtype == "int64" and back["score"].dtype == float


def test_a_person_may_edit_the_file(tmp_path):
    path = tmp_path / "selection.csv"
    path.write_text("episode,task,length,full,pilot\n007, put x on y,20, YES,no\nb,,31,No ,true\n")
    table = curation.read_selection(path)
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
        curation.read_selection(path)
    assert str(path) in str(error.value) and all(c in str(error.value) for c in complaints)


def test_absent_selection_says_what_to_run(tmp_path):
    with pytest.raises(InputError, match="Run the curation notebook first"):
        curation.read_selection(tmp_path / "selection.csv")
