"""A new head, condition or signal column is one row each: a module of a stranger's adds one of each and trains."""

import importlib.util
import textwrap
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from lewm_core import conditions, dataset, heads
from lewm_core.conditions import Condition, condition, unavailable
from lewm_core.dataset import contract, targets
from lewm_core.experiments.run import execute
from lewm_core.experiments.sweep import plan, rows
from lewm_core.heads import build_heads
from lewm_core.losses import Term
from lewm_core.utils.errors import InputError
from lewm_core.viz import paper_figures
from tests.helpers import LENGTHS, TINY, moving_square, random_base, write_squares

MODULE = """
    from torch import nn

    from lewm_core.conditions import CONDITIONS, Condition
    from lewm_core.dataset.contract import COLUMNS, Column
    from lewm_core.heads import HEADS, HeadRow
    from lewm_core.losses import Term

    COLUMNS["colour"] = Column("colour", (3,), "float32", "f", finite="all", target="vector",
                               source=lambda episode, signals: episode.frames.mean((1, 2)))
    HEADS["colour"] = HeadRow(lambda dim, width, grid: nn.Linear(dim, 3))
    CONDITIONS["H"] = Condition("H", "mean colour", "colour", (Term("colour", "colour", "vector"),))
"""

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def three_rows(tmp_path):
    """The three tables with what the module adds, until the test is over."""
    before = [(table, dict(table)) for table in (contract.COLUMNS, heads.HEADS, conditions.CONDITIONS)]
    path = tmp_path / "theirs.py"
    path.write_text(textwrap.dedent(MODULE))
    spec = importlib.util.spec_from_file_location("theirs", path)
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
    yield
    for table, rows_before in before:
        table.clear()
        table.update(rows_before)


def test_three_rows_are_a_condition_that_trains(three_rows, tmp_path):
    path = write_squares(tmp_path / "squares.h5")
    data = dataset.load(path)
    np.testing.assert_allclose(data["colour"][: LENGTHS[0]], moving_square(0, LENGTHS[0])[0].frames.mean((1, 2)),
                               rtol=1e-6)
    runs, skipped = plan(["A", "H"], "pilot", [0], path, random_base(), TINY)
    assert skipped.empty
    results = pd.DataFrame([row for run in runs for row in rows(execute(run, tmp_path / "runs"), tmp_path / "runs")])
    of_h = results[(results.condition == "H") & (results.split == "episode")].set_index("metric").value
    assert of_h["head_colour"] > 0 and np.isfinite(of_h).all()
    mse = results[results.metric == "mse"].set_index(["condition", "split"]).value
    assert mse["H", "episode"] != mse["A", "episode"]  # the head teaches the encoder
    figure = paper_figures.figure1(results, skipped)
    drawn = {artist.get_gid() for artist in figure.findobj() if artist.get_gid()}
    assert any(gid.startswith("H/") and gid.endswith("/mean") for gid in drawn), "its bar in Figure 1"


def test_files_without_the_new_column_cannot_serve_the_condition(tmp_path, request):
    path = write_squares(tmp_path / "squares.h5")
    request.getfixturevalue("three_rows")
    runs, skipped = plan(["A", "H"], "pilot", [0], path, random_base(), TINY)
    assert [run.condition for run in runs] == ["A"]
    assert skipped.set_index("condition").reason.to_dict() == {"H": "The dataset has no column colour."}


def test_the_tables_are_as_they_were():
    assert "H" not in conditions.CONDITIONS and "colour" not in heads.HEADS and "colour" not in contract.COLUMNS


def test_unknown_names_are_errors_that_list_the_known_ones(tmp_path, monkeypatch):
    path = write_squares(tmp_path / "squares.h5")
    with pytest.raises(InputError, match="loss: found 'dept'; expected one of depth, tracks, .*vector"):
        Term("depth", "depth", "dept")
    with pytest.raises(InputError, match="head: found 'dept'; expected one of depth, tracks, centroid"):
        build_heads(["dept"], 32, 0)
    for term, words in ((Term("dept", "depth", "depth"), "head: found 'dept'; expected one of depth"),
                        (Term("depth", "dept", "depth"), "dataset column: found 'dept'; expected one of pixels")):
        monkeypatch.setitem(conditions.CONDITIONS, "H", Condition("H", "misspelt", "depth", (term,)))
        with pytest.raises(InputError, match=words):
            plan(["H"], "pilot", [0], path, random_base(), TINY)
    monkeypatch.setitem(contract.COLUMNS, "depth", replace(contract.COLUMNS["depth"], target="mapp"))
    data = dataset.load(path)
    with pytest.raises(InputError, match="target for column depth: found 'mapp'; expected one of map, displacement"):
        targets.build(condition("B").terms[0], data, np.arange(5))
    assert unavailable(data, ["B"]) == {}
    with pytest.raises(InputError, match="terms with heads depth, depth"):
        Condition("H", "twice", "depth", (condition("B").terms[0], condition("C1").terms[0]))
