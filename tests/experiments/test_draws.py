"""Fresh episodes for every seed: who trains, who judges, and that nothing else decides it."""

import numpy as np
import pandas as pd
import pytest

from lewm_core import dataset
from lewm_core.experiments import draws
from lewm_core.experiments.draws import DrawSizes, draw, of_seed
from lewm_core.experiments.run import data_of, execute, result, split_of_run
from lewm_core.experiments.sets import Sets
from lewm_core.experiments.sweep import check_fresh, plan, rows
from lewm_core.utils.errors import InputError
from lewm_core.utils.workspace import Workspace
from tests.helpers import TINY, random_base, write_squares

POOL = [f"e{i:03}" for i in range(60)]
SIZES = DrawSizes(test=8, full=20, pilot=5, seeds=4)
SQUARES = (9, 7, 8, 6, 10, 8)


@pytest.fixture(scope="module")
def table():
    return draw(POOL, SIZES)


def test_a_seeds_sets_are_nested_and_its_test_episodes_are_in_none(table):
    for seed in range(SIZES.seeds):
        pilot, full = (of_seed(table, scale, seed) for scale in ("pilot", "full"))
        assert len(pilot.train) == 5 and len(full.train) == 20 and full.train[:5] == pilot.train
        assert pilot.test == full.test and len(pilot.test) == 8
        assert len({*full.train, *full.test}) == 28, "each episode once"
        assert {*full.train, *full.test} <= set(POOL)


def test_every_seed_draws_others_and_the_same_again(table):
    pd.testing.assert_frame_equal(draw(POOL[::-1], SIZES), table)  # the pool is a set
    own = [of_seed(table, "full", seed) for seed in range(SIZES.seeds)]
    assert len({o.train for o in own}) == len({o.test for o in own}) == SIZES.seeds
    more = draw(POOL, DrawSizes(8, 20, 5, 9))
    pd.testing.assert_frame_equal(more[more.seed < 4], table)  # a seed's draw is its own
    fewer = draw(POOL, DrawSizes(8, 12, 3, 4))
    assert all(of_seed(fewer, "full", s) == draws.Episodes(own[s].train[:12], own[s].test) for s in range(4))


def test_draws_are_not_biased():
    many = draw(POOL, DrawSizes(8, 20, 5, 400))
    for role, n in (("test", 8), ("pilot", 5), ("full", 15)):
        count = many[many.role == role].episode.value_counts().reindex(POOL, fill_value=0)
        expected, p = 400 * n / 60, n / 60
        assert (abs(count - expected) < 5 * np.sqrt(400 * p * (1 - p))).all()


def test_a_pool_that_is_too_small_says_by_how_much_and_what_to_do():
    with pytest.raises(InputError, match=r"27 episodes.*at least 28.*n_test 8 and n_full 20.*n_candidates=N"):
        draw(POOL[:27], SIZES)
    assert len(draw(POOL[:28], SIZES)) == 4 * 28
    for wrong in ((-1, 20, 5, 4), (8, 4, 5, 4), (8, 20, 0, 4), (8, 20, 5, 0)):
        with pytest.raises(InputError, match="n_test"):
            DrawSizes(*wrong)


def test_a_seed_without_a_draw_names_the_notebook(table):
    with pytest.raises(InputError, match="seed 4.*0 to 3.*02_extraction.*pilot_seeds"):
        of_seed(table, "pilot", 4)
    with pytest.raises(InputError, match="pilot, full"):
        of_seed(table, "pool", 0)


def test_the_sets_hold_every_episode_of_any_draw_and_come_back_from_files(table, tmp_path):
    selection = pd.DataFrame({"episode": POOL, "pilot": False, "full": [i < 3 for i in range(60)]})
    sets, place = Sets.of(selection, table), Workspace(tmp_path, tmp_path)
    assert set(sets.table.episode) == set(table.episode)
    assert set(sets.episodes("pilot")) == {e for s in range(4) for e in sets.of_run("pilot", s).train}
    assert set(sets.episodes("full")) > set(sets.episodes("pilot"))
    assert "8 test episodes and 20 to train on" in sets.told("full")
    assert sets.drawn == {"n_test": 8, "n_full": 20, "n_pilot": 5}
    sets.write(place)
    assert all(Sets.read(place).of_run("full", s) == sets.of_run("full", s) for s in range(4))
    shared = Sets.of(selection, draw(POOL, DrawSizes(0, 20, 5, 4)))
    assert shared.told("full").startswith("Every seed has the same 3 episodes")
    shared.write(place)
    assert Sets.read(place).of_run("full", 0) == Sets.read(place).of_run("full", 3) == draws.Episodes(tuple(POOL[:3]))


def test_the_overview_counts_frames_and_what_is_new(table):
    frames = pd.Series(np.arange(60), POOL)
    shown = draws.overview(table, frames)
    assert shown["full episodes"].tolist() == [20] * 4 and shown["test episodes"].tolist() == [8] * 4
    assert shown["pilot frames"][2] == frames[list(of_seed(table, "pilot", 2).train)].sum()
    first, second = (set(of_seed(table, "full", s).train) for s in (0, 1))
    assert shown["new in full"].iloc[:2].tolist() == [1, len(second - first) / 20]


@pytest.mark.usefixtures("one_thread")
def test_all_conditions_of_a_seed_share_its_draw_to_the_end(tmp_path):
    """Planned, trained, kept, read back: the same episodes all the way, and none of the test ones taught."""
    path = write_squares(tmp_path / "squares.h5", SQUARES)
    data, runs = dataset.load(path), tmp_path / "runs"
    names = [str(name) for name in data["episode_id"]]
    table = draw(names, DrawSizes(test=2, full=3, pilot=2, seeds=2))

    def own(seed):
        return of_seed(table, "full", seed)

    planned, _ = plan(["A", "B"], "full", [0, 1], path, random_base(), TINY, own)
    results = pd.DataFrame([row for run in planned for row in rows(execute(run, runs), runs)])
    for run in planned:
        record = result(runs, run.key)
        assert (tuple(record["episodes"]), tuple(record["test"])) == (own(run.seed).train, own(run.seed).test)
        had = data_of(record, data)
        assert had["episode_id"].tolist() == own(run.seed).all
        starts = split_of_run(record, had).val["episode"]
        owner = np.repeat(had["episode_id"], had["ep_len"])
        assert set(owner[starts]) == set(own(run.seed).test)
        assert record["windows"]["episode"] == len(starts)
    check_fresh(results, runs, data, "05_full_scale", own)
    other = draw(names, DrawSizes(test=2, full=4, pilot=2, seeds=2))
    with pytest.raises(InputError, match="4 of 4 runs.*Run 05_full_scale again"):
        check_fresh(results, runs, data, "05_full_scale", lambda seed: of_seed(other, "full", seed))
