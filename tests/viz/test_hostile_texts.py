"""Figures, tables, widgets and the dashboard with texts that try to be more than text."""

from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from IPython.core.formatters import DisplayFormatter
from nbformat import v4

from lewm_core import dataset
from lewm_core.curation.score import Criteria
from lewm_core.curation.selection import Choice
from lewm_core.dataset.frames import ActionScale
from lewm_core.diagnostics.decoder import DecoderRecipe
from lewm_core.diagnostics.playback import Playback
from lewm_core.runner.pages import to_html
from lewm_core.utils import escape
from lewm_core.viz import images, shown, style, widgets
from lewm_core.viz.curation_browser import CurationBrowser
from lewm_core.viz.dashboard import Dashboard
from lewm_core.viz.images import RolloutColumn, contact_sheet, packet_view, rollout_strip
from tests import canary
from tests.helpers import acting_model, four_points, write_squares
from tests.hostile import HTML, NAMES, NOT_UTF8, SET, STORED, TEXTS
from tests.viz.test_curation_browser import measurements

ALL = {**TEXTS, **NOT_UTF8}
EPISODES = [*HTML, "half a formula", "link", "colours", "overwritten", "bidi", "long word", "format"]  # of a dashboard
FEW = ["half a formula", "long word", "nul", "script", "formula", "not a character", "bidi"]


def packet(name: str):
    """An episode whose name, task, backends and reasons are one hostile text."""
    text = ALL[name]
    episode, signals = four_points(missing=("depth", "tracks"))
    signals = replace(signals, episode=text, made_by={"mask": text}, missing=dict.fromkeys(("depth", "tracks"), text))
    for field in ("id", "task"):
        object.__setattr__(episode, field, text)  # past its checks: a figure does not rely on them
    return episode, signals


def figures():
    """Figures that show texts from data."""
    picture = np.full((2, 8, 8, 3), 99, np.uint8)
    titles = [f"{escape.plain(text, 120)}\nof an episode" for text in ALL.values()]
    yield contact_sheet(np.repeat(picture, len(ALL), 0)[: len(ALL)], titles, 10)
    for name in FEW:
        yield style.empty_figure(ALL[name])
    for name in FEW[:3]:
        yield packet_view(*packet(name))
    columns = [RolloutColumn("ground truth", picture, "", [escape.plain(ALL[name], 60)] * 2) for name in FEW]
    yield style.add_caption(rollout_strip(columns, [1, 2], [1], titles[0]), "".join(TEXTS.values()))


def test_figures_are_drawn_and_their_files_are_whole(tmp_path):
    table, written = pd.DataFrame(columns=style.COLUMNS), ""
    for i, figure in enumerate(figures()):
        _, svg, *_ = style.save_figure(figure, tmp_path / f"f{i}", table, {})
        assert figure.get_figheight() < 25
        written += "".join(ElementTree.parse(svg).getroot().itertext())
    for name in ("script", "half a formula", "image"):
        assert ALL[name][:20] in written
    assert r"a\x00b" in written and r"\u202e" in written


@style.styled
def test_axes_still_have_formulas(tmp_path):
    """Matplotlib writes the powers of a logarithmic axis as one; only what comes from data is none."""
    figure, axes = style.new_figure(4, 3)
    axes[0, 0].set_xscale("log")
    _, svg, *_ = style.save_figure(figure, tmp_path / "f", pd.DataFrame(columns=style.COLUMNS), {})
    assert "mathdefault" not in "".join(ElementTree.parse(svg).getroot().itertext())


def bundle(value: object) -> dict:
    return DisplayFormatter().format(value)[0]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A notebook's page with every kind of thing that notebooks display, of hostile texts."""
    seen: list[object] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shown, "display", lambda value: seen.append(bundle(value)))
        texts = list(TEXTS.values())
        table = pd.DataFrame({"task": texts, ALL["image"]: np.arange(len(texts)) / 7, ALL["svg"]: [[t] for t in texts]},
                             index=pd.Index(texts, name=ALL["script"]))
        shown.show_table(table)
        shown.show_table(table, {ALL["image"]: "{:.1%}"}, na_rep="–")
        shown.show_table(table.reset_index(), index=False, precision=2)
        shown.tell(*map(escape.markdown, ALL.values()), *map(escape.code, ALL.values()))
        shown.say("| a | b |", "|---|---|", *(f"| {escape.markdown(t)} | {escape.code(t)} |" for t in ALL.values()))
    packets = {ALL[name]: packet(name) for name in ("script", *FEW)}
    seen += [bundle(inspector(packets)) for inspector in (widgets.inspect_tracks, widgets.inspect_masks)]
    seen.append(bundle(browser(tmp_path_factory.mktemp("selection"))))
    outputs = [v4.new_output("display_data", data=data) for data in seen]
    folder = tmp_path_factory.mktemp("page")
    node = v4.new_notebook(cells=[v4.new_code_cell("1", outputs=outputs)])
    (folder / "page.html").write_text(to_html(node, "page"))
    return folder / "page.html"


def browser(folder) -> CurationBrowser:
    """An episode for each text, all of which were clicked."""
    table = measurements(len(TEXTS)).sort_values("episode")
    table["task"] = [text or "put it on" for text in TEXTS.values()]
    table["episode"] = [f"{i:03} {text}" for i, text in enumerate(TEXTS.values())]
    by_id = dict(zip(table.episode, TEXTS, strict=True))
    made = CurationBrowser(table, lambda id: packet(by_id[id]), folder / "selection.csv", Criteria(min_length=1),
                           Choice(20, 8, 3))
    for number in range(1, made.pager.number.max + 1):
        made.pager.number.value = number
        for row in made.rows:
            if row.episode:
                made.show(row.episode)
                assert row.button.description == escape.plain(row.episode) and "<script" not in made.caption.value
    return made


def test_what_notebooks_display_obeys_nothing(page):
    assert canary.obeyed([page]) == {}


def test_the_canary_sings_where_nothing_is_escaped(tmp_path):
    """Else the other tests would show nothing."""
    texts = {"raw.html": "".join(TEXTS.values()), "link.html": f'<a href="javascript:{SET}">x</a>',
             "remote.html": TEXTS["remote image"]}
    for name, text in texts.items():
        (tmp_path / name).write_text(f"<!doctype html><p>{text}")
    assert set(canary.obeyed(tmp_path / name for name in texts)) == set(texts)


@pytest.fixture(scope="module")
def board(tmp_path_factory) -> Dashboard:
    """A dashboard of an episode for each of some texts, which is its name and its task."""
    path = write_squares(tmp_path_factory.mktemp("squares") / "squares.h5", [5] * len(EPISODES), depth=ALL["image"])
    data = dataset.load(path)
    names, tasks = (np.array([texts[name] for name in EPISODES], object) for texts in (NAMES, STORED))
    data = replace(data, columns={**data.columns, "episode_id": names, "task": tasks})
    scale = ActionScale.fit(data["action"])
    played = Playback(data, 3, np.arange(9), 0, ("A", "B"), lambda name: (acting_model(), scale),
                      DecoderRecipe(steps=2), {}, {})
    return Dashboard(played, "".join(TEXTS.values()), ["A"])


def test_the_dashboard_obeys_nothing(board, tmp_path):
    path = tmp_path / "dashboard.html"
    board.saved(path, len(EPISODES))

    def play(page) -> None:
        labels = page.locator("#episode option").all_inner_texts()
        assert len(labels) == len(EPISODES)
        for i in range(len(EPISODES)):
            page.locator("#episode").select_option(index=i)
            page.keyboard.press("End")
            assert page.evaluate("document.documentElement.scrollWidth") <= canary.WIDTH, labels[i]
        page.locator("#episode").select_option(index=EPISODES.index("bidi"))
        page.wait_for_function("text => document.querySelector('#task').innerText === text",
                               arg=escape.plain(STORED["bidi"]))

    with canary.browser() as look:
        assert look(path, play) == []


def test_why_a_signal_is_missing_is_plain_text():
    assert images.why_missing(packet("nul")[1], "depth") == r"a\x00b"
