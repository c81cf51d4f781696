"""Colours, captions, tables, and saving, which is atomic and repeatable."""

import hashlib
import io
import json
from types import SimpleNamespace

import matplotlib.pyplot
import pandas as pd
import pytest
from PIL import Image

from lewm_core.conditions import ALL, CONDITIONS, Condition
from lewm_core.utils.errors import InputError
from lewm_core.viz import style
from tests.viz.drawn import texts

TABLE = pd.DataFrame([("B", "pilot", 0, "episode", "mse", 0.1), ("D-fg", "pilot", pd.NA, "window", "mse", 1 / 3)],
                     columns=style.COLUMNS).astype({"seed": "Int64"})


@style.styled
def drawing():
    """A figure of 8 × 4 inches with something in it."""
    fig, axes = style.new_figure(8, 4)
    axes[0, 0].plot([0, 1], [0.2, 0.4], gid="line")
    return style.add_caption(fig, "a caption")


def test_colours_are_distinct_and_a_control_has_that_of_what_it_varies():
    shades = [style.colour(name) for name in CONDITIONS]
    assert len(set(shades)) == len(shades) and not set(shades) & set(style.OTHER_COLOURS)
    assert style.colour("C2-rnd") == style.colour("C2") and style.colour("A-pp") == style.colour("A")
    assert style.colour("mine") in style.OTHER_COLOURS


@pytest.mark.parametrize("family", ["tracks", "sound"])
def test_a_row_that_a_user_adds_has_a_colour_and_changes_no_other(family, monkeypatch):
    before = {name: style.colour(name) for name in ALL}
    monkeypatch.setitem(CONDITIONS, "H", Condition("H", "mine", family))
    assert style.colour("H") in style.OTHER_COLOURS
    assert {name: style.colour(name) for name in before} == before


@pytest.fixture
def saved(tmp_path):
    def save(folder, table=TABLE, provenance=None):
        return style.save_figure(drawing(), tmp_path / folder / "figure", table, provenance or {"profile": "smoke"})

    return SimpleNamespace(save=save, folder=tmp_path)


def test_saved_files(saved):
    paths = saved.save("a")
    assert [p.name for p in paths] == ["figure.png", "figure.svg", "figure.csv", "figure.json"]
    assert {p.name for p in (saved.folder / "a").iterdir()} == {p.name for p in paths} | {"SHA256SUMS"}
    assert Image.open(paths[0]).size[0] == pytest.approx(8 * 150, abs=2)
    assert ">a caption<" in paths[1].read_text()  # text as text
    back = pd.read_csv(paths[2], keep_default_na=False, na_values=[""])
    assert list(back.columns) == list(TABLE.columns)
    assert back.value.to_numpy(float) == pytest.approx(TABLE.value.to_numpy(float), abs=0, nan_ok=True)
    assert back.condition.tolist() == TABLE.condition.tolist()
    assert back.seed.astype("Int64").equals(TABLE.seed)
    assert json.loads(paths[3].read_text()) == {"profile": "smoke"}


def test_same_figure_same_bytes(saved):
    for one, two in zip(saved.save("a"), saved.save("b"), strict=True):
        assert hashlib.sha256(one.read_bytes()).digest() == hashlib.sha256(two.read_bytes()).digest(), one.name


@pytest.mark.parametrize("column", style.COLUMNS)
def test_a_table_without_its_columns_is_refused_before_anything_is_written(saved, column):
    with pytest.raises(InputError, match=column):
        saved.save("a", table=TABLE.drop(columns=column))
    assert not (saved.folder / "a").exists()


def test_a_table_without_rows_is_kept_as_its_header(saved):
    _, _, csv, _ = saved.save("a", table=TABLE.iloc[:0])
    assert csv.read_text() == "condition,scale,seed,split,metric,value\n"


def test_a_failure_leaves_all_four_predecessors(saved, monkeypatch):
    before = {p: p.read_bytes() for p in saved.save("a")}
    with pytest.raises(InputError, match="provenance"):
        saved.save("a", provenance={"loss": float("nan")})

    def fail(*args, **kwargs):
        raise OSError("disk full")

    monkeypatch.setattr(pd.DataFrame, "to_csv", fail)  # after PNG and SVG have been written beside the old ones
    with pytest.raises(OSError, match="disk full"):
        saved.save("a", provenance={"profile": "quick"})
    assert {p: p.read_bytes() for p in (saved.folder / "a").iterdir() if p.name != "SHA256SUMS"} == before


def test_tidy_fills_what_does_not_apply():
    drawn = pd.DataFrame({"step": [1], "model": ["B"], "distance": [2.5]})
    table = style.tidy(drawn, "distance", "l2", "model", scale="pilot", split="episode")
    assert table[style.COLUMNS].drop(columns="seed").values.tolist() == [["B", "pilot", "episode", "l2", 2.5]]
    assert table.seed.isna().all() and table.step.tolist() == [1]


def test_no_figure_stays_open_and_each_shows_itself():
    fig = drawing()
    assert matplotlib.pyplot.get_fignums() == []
    assert Image.open(io.BytesIO(fig._repr_png_())).size == (800, 400)


def test_a_caption_replaces_an_earlier_one_and_is_wrapped_to_the_figure():
    fig = style.add_caption(drawing(), "words " * 40)
    assert "a caption" not in texts(fig) and fig._supxlabel.get_text().count("\n") == 1


def test_an_empty_figure_says_why():
    assert texts(style.empty_figure("no condition was chosen")).count("not run: no condition was chosen") == 1
