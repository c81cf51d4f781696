"""The look of the curation browser's table: a line with ticks and a button per episode, and the table on paper."""

import base64
import threading
from collections.abc import Callable, Iterable

import ipywidgets as widgets
import numpy as np
import pandas as pd
from ipywidgets import Layout

from lewm_core.curation.score import PARTS
from lewm_core.utils import escape
from lewm_core.viz.pixels import jpeg

NARROW = {"verb": 42, "length": 46, "motion": 50, "coverage": 64, "stability": 56}  # px; other parts as any
COLUMNS = {"rank": 34, "set": 30, "score": 60, **{part: NARROW.get(part, 50) for part in PARTS}, "frames": 48}
WIDTH = {"keep": 30, "pilot": 30, "episode": 138}  # px of what can be clicked
TASK = 90  # px, the least; it takes what the others leave
BLUE = "#0072B2"
GREEN = "#35A98B"
GREY = "rgba(128,128,128,.18)"


def cells(data: pd.Series, rank: int, sets: str) -> dict[str, str]:
    """The cells of one episode's line as HTML, by column. data: a row of `curation.score`'s table."""
    parts = {part: _bar(data[f"part_{part}"], GREEN, 2) for part in PARTS}
    task = escape.html(data["task"] or "(no text)")
    return {"rank": str(rank), "set": f'<b style="color:{BLUE}">{sets}</b>', "score": _bar(data["score"], BLUE, 4),
            **parts, "frames": str(data["length"]), "episode": escape.html(data["episode"]),
            "task": f'<span title="{task}">{task}</span>'}


def _bar(value: float, colour: str, digits: int) -> str:
    """A number from 0 to 1 on a bar as long; a whole one without digits, so that it is told from one that is nearly;
    a dash for one that is not there."""
    if np.isnan(value):
        return "–"
    text = f"{value:g}" if value in (0, 1) else f"{value:.{digits}f}"
    ground = f"background:linear-gradient(90deg,{colour}66 {100 * value:.0f}%,{GREY} {100 * value:.0f}%)"
    return f'<span style="display:block;padding:0 4px;{ground}">{text}</span>'


def _line(texts: dict[str, str], faint: bool = False) -> str:
    """One line of cells of the columns' widths."""
    cell = "overflow:hidden;white-space:nowrap;text-overflow:ellipsis;padding-right:4px;box-sizing:border-box;"
    spans = [f'<span style="{cell}flex:0 0 {width}px">{texts[name]}</span>' for name, width in COLUMNS.items()]
    spans.append(f'<span style="{cell}flex:1 1 0">{texts["task"]}</span>')
    return f'<div style="display:flex;line-height:26px;opacity:{0.4 if faint else 1}">{"".join(spans)}</div>'


def _fixed(name: str) -> Layout:
    return Layout(flex=f"0 0 {WIDTH[name]}px")


def _room() -> Layout:
    return Layout(flex="1 1 auto", min_width=f"{sum(COLUMNS.values()) + TASK}px")


def heads() -> widgets.Widget:
    """The line of column names."""
    def head(name: str) -> str:
        return f'<b style="font-size:11px" title="{name}">{name}</b>'

    names = [widgets.HTML(head(name), layout=_fixed(name)) for name in WIDTH]
    return widgets.HBox([*names, widgets.HTML(_line({name: head(name) for name in (*COLUMNS, "task")}),
                                              layout=_room())])


class Row:
    """One line of the table: two ticks, the episode as a button, cells. It shows one episode after another.

    Args:
        lock: held while a person's tick is passed on, so that none comes between two changes of the table.
        keep, tick: called with the episode and a person's new value. show: called with the episode.
    """

    def __init__(self, lock: threading.RLock, keep: Callable[[str, bool], None], tick: Callable[[str, bool], None],
                 show: Callable[[str], None]):
        self._lock = lock
        self._filling = False
        self.episode = ""
        self.keep, self.pilot = (widgets.Checkbox(indent=False, layout=_fixed(name), tooltip=name)
                                 for name in ("keep", "pilot"))
        self.button = widgets.Button(layout=_fixed("episode"), tooltip="show the episode with its signals")
        self.button.layout.padding = "0"
        self.cells = widgets.HTML(layout=_room())
        self.box = widgets.HBox([self.keep, self.pilot, self.button, self.cells])
        self.keep.observe(lambda change: self._changed(keep, change.new), "value")
        self.pilot.observe(lambda change: self._changed(tick, change.new), "value")
        self.button.on_click(lambda _: show(self.episode))

    def _changed(self, act: Callable[[str, bool], None], value: bool) -> None:
        with self._lock:
            if not self._filling:
                act(self.episode, value)

    def fill(self, data: pd.Series, rank: int, kept: bool, full: bool, pilot: bool) -> None:
        """Show an episode: a row of `curation.score`'s table, its rank, and what it is chosen for."""
        self._filling = True
        self.episode = data["episode"]
        self.keep.value = kept
        self.pilot.value = pilot
        self.pilot.disabled = not kept
        self._filling = False
        self.button.description = escape.plain(self.episode)
        self.cells.value = _line(cells(data, rank, "full" if full else ""), faint=not kept)
        self.box.layout.visibility = "visible"

    def clear(self) -> None:
        """Show nothing, but keep its place."""
        self.episode = ""
        self.box.layout.visibility = "hidden"


class Pager:
    """Which page of a table is shown: a number between two arrows, and which lines it holds.

    turned: called when another page is chosen.
    """

    def __init__(self, lines: int, turned: Callable[[], None]):
        self.lines = lines
        self.number = widgets.BoundedIntText(1, 1, 1, description="page", layout={"width": "150px"},
                                             style={"description_width": "40px"})
        self.number.observe(lambda _: turned(), "value")
        self.position = widgets.HTML()
        back = self._arrow("left", "page before", -1)
        on = self._arrow("right", "next page", 1)
        self.box = widgets.HBox([back, self.number, on, self.position])

    def _arrow(self, side: str, words: str, step: int) -> widgets.Button:
        button = widgets.Button(icon=f"chevron-{side}", layout={"width": "40px"}, tooltip=words)
        button.on_click(lambda _: setattr(self.number, "value", self.number.value + step))
        return button

    def fit(self, total: int) -> range:
        """The lines on the page, of `total` in all; the last page if there are no longer so many."""
        self.number.max = max(1, -(-total // self.lines))
        start = (self.number.value - 1) * self.lines
        shown = range(start, min(start + self.lines, total))
        self.position.value = f"{start + bool(shown)}–{start + len(shown)} of {total}"
        return shown


def static_table(lines: Iterable[tuple[np.ndarray | str, dict[str, str]]], words: str) -> str:
    """The table as HTML that needs nothing else: per line a picture (uint8 RGB, or why there is none) and `cells`."""
    columns = ["episode", *COLUMNS, "task"]
    rows = [_html_row("th", ["", *columns])]
    for picture, texts in lines:
        if isinstance(picture, str):
            shown = escape.html(picture)
        else:
            data = base64.b64encode(jpeg(picture)).decode()
            shown = f'<img alt="{texts["episode"]}" width="112" src="data:image/jpeg;base64,{data}">'
        rows.append(_html_row("td", [shown, *(texts[column] for column in columns)]))
    return f'<div class="curation-table"><table>{"".join(rows)}</table><p>{escape.html(words)}</p></div>'


def _html_row(tag: str, cells_of_row: Iterable[str]) -> str:
    return "<tr>" + "".join(f'<{tag} style="text-align:left">{cell}</{tag}>' for cell in cells_of_row) + "</tr>"
