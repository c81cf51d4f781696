"""Which episodes of the one dataset file are which."""

import pandas as pd
import pytest

from lewm_core import dataset
from lewm_core.experiments import draws, sets
from lewm_core.experiments.draws import DrawSizes
from lewm_core.experiments.sets import Sets
from tests.helpers import write_squares


@pytest.fixture
def selection():
    return pd.DataFrame({"episode": ["d", "b", "c", "a"], "pilot": [False, True, False, True],
                         "full": [True, True, False, False]})


@pytest.fixture
def pool():
    return pd.DataFrame({"episode": ["a", "b", "e", "f"], "score": 1.0, "best": [1, 2, 0, 0], "random": [0, 1, 2, 0],
                         "test": [False, False, False, True]})


def together(selection, pool=None):
    return Sets.of(selection, draws.draw([], DrawSizes(0, 1, 1, 1)), pool).table


def test_the_selected_come_first_in_their_order_and_then_the_rest_of_the_pool(selection, pool):
    table = together(selection, pool)
    assert table.episode.tolist() == ["d", "b", "a", "e", "f"]
    assert table.episode[sets.members(table, "pilot")].tolist() == ["b", "a"]
    assert table.episode[sets.members(table, "full")].tolist() == ["d", "b"]
    assert table.episode[sets.members(table, "pool")].tolist() == ["b", "a", "e", "f"]


def test_the_pool_comes_back_as_it_was_drawn_also_from_a_file(selection, pool, tmp_path):
    table = together(selection, pool)
    table.to_csv(tmp_path / "sets.csv", index=False)
    again = sets.pool(pd.read_csv(tmp_path / "sets.csv", dtype={"episode": str}))
    pd.testing.assert_frame_equal(again, pool.drop(columns="score"), check_dtype=False)


def test_without_controls_there_is_no_pool(selection):
    table = together(selection)
    assert table.episode.tolist() == ["d", "b", "a"] and not sets.members(table, "pool").any()


def test_sizes_of_the_sets_that_have_episodes(tmp_path):
    data = dataset.load(write_squares(tmp_path / "squares.h5", (9, 7)))
    selection = pd.DataFrame({"episode": ["square0", "square1"], "pilot": [False, True], "full": True})
    table = sets.sizes(together(selection), data, pd.Series({"square0": 1.0, "square1": 0.5}))
    assert table.index.tolist() == ["pilot", "full"]
    assert table.frames.tolist() == [7, 16] and table["mean score"].tolist() == [0.5, 0.75]
