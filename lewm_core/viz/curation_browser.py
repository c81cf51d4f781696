"""The curation browser of notebook 01: weights and limits rank a table live, a person looks, ticks, drops and saves.

It ranks and flags as the notebook does, from the table of measurements; signals are read only for an episode that is
clicked. One page of the table exists at a time, whatever its length.
"""

import threading
import warnings
from collections.abc import Callable
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path

import ipywidgets as widgets
import pandas as pd

from lewm_core.curation import score, selection
from lewm_core.curation.score import Criteria
from lewm_core.curation.selection import FLAGS, Choice
from lewm_core.signals.extraction import Packet
from lewm_core.utils import escape
from lewm_core.utils.errors import InputError
from lewm_core.viz import criteria_sliders, tiles
from lewm_core.viz.curation_table import Pager, Row, cells, heads, static_table
from lewm_core.viz.pixels import png
from lewm_core.viz.widgets import WithStandIn

PAGE = 12  # rows of the table at a time
STATIC_ROWS = 8  # of the stand-in


class CurationBrowser(WithStandIn):
    """Rank, look, tick, drop, save.

    Where `path` is a selection already, the browser opens as it was saved: its weights and limits, its dropped
    episodes and the pilot that a person ticked. Otherwise it opens with `criteria` and `choice`.

    Args:
        measurements: one row per candidate, as `measurements.measure` makes them.
        load: episode id -> (Episode, Signals), called for episodes that are looked at only.
        path: the selection file that *save* writes.

    What it shows is always a function of `controls`, `choice`, `ticks` (the pilot by hand) and `dropped`. `scores` are
    of all episodes, by the controls' criteria; `order` holds the rows of those that the metadata do not reject, the
    best first; `chosen` is what *save* writes, None where full set and pilot cannot be chosen, as the line below says.

    Raises:
        InputError: no measurements, or a file at `path` that is no selection.
    """

    def __init__(self, measurements: pd.DataFrame, load: Callable[[str], Packet], path: str | Path,
                 criteria: Criteria, choice: Choice):
        if measurements.empty:
            raise InputError("curation browser", "no measured episode", "at least one")
        self.measurements = measurements.sort_values("episode").reset_index(drop=True)
        self.load = load
        self.path = Path(path)
        self.start = criteria
        self.choice = choice
        self.dropped: set[str] = set()
        self.ticks: set[str] = set()
        notice = self._open() if self.path.exists() else ""
        self._mine = threading.RLock()  # JupyterLab delivers the values of two controls in two threads of the kernel
        self._setting = False
        self._build()
        self.rerank()
        self._say(notice)

    def _open(self) -> str:
        """Take over what the selection file says, and return what a person should know of it."""
        chosen_by = selection.chosen_by(self.path)
        record = selection.read_record(self.path)
        if record:
            self.start = record.criteria
            self.choice = record.choice
            self.dropped = set(record.dropped)
        if chosen_by["pilot_by"] == "hand":
            self.ticks = set(selection.hand_picked(self.path))
            self.choice = replace(self.choice, pilot_by="hand")
        if chosen_by["full_by"] == "hand":
            return "Saving here replaces the full set, which was edited by hand."
        return ""

    def _build(self) -> None:
        """All widgets: the controls above, below them the table and beside it the episode that is shown."""
        panel = self._panel()
        self.rows = [Row(self._mine, self.keep, self.tick, self.show) for _ in range(PAGE)]
        self.pager = Pager(PAGE, self._show_page)
        self.counts = widgets.HTML()
        self.status = widgets.HTML()
        lines = [heads(), *(row.box for row in self.rows), self.pager.box, self.counts, self.status]
        table = widgets.VBox(lines, layout={"flex": "1 1 720px", "overflow": "auto"})
        self.image = widgets.Image(format="png", layout={"max_width": "100%", "display": "none"})
        self.caption = widgets.HTML("Click an episode to see it with its signals.")
        episode = widgets.VBox([self.caption, self.image], layout={"flex": "0 1 300px", "padding": "0 0 0 10px"})
        super().__init__([panel, widgets.HBox([table, episode], layout={"flex_flow": "row wrap"})])

    def _panel(self) -> widgets.Widget:
        """The controls: weights, limits, how the sets are chosen, reset and save."""
        without = criteria_sliders.parts_without_signal(self.measurements)
        sliders = criteria_sliders.sliders(self.start, without)
        choices = criteria_sliders.choices(self.choice)
        self.controls = {**sliders, **choices}
        for control in self.controls.values():
            control.observe(self._on_control, "value")
        self.reset_button = widgets.Button(description="reset", tooltip="the weights and limits that it opened with")
        told = f"write {escape.plain(self.path.name)}"
        self.save_button = widgets.Button(description="save", button_style="primary", tooltip=told)
        self.reset_button.on_click(lambda _: self.reset())
        self.save_button.on_click(lambda _: self.save())
        return criteria_sliders.panel(self.controls, widgets.HBox([self.reset_button, self.save_button]))

    @property
    def criteria(self) -> Criteria:
        """What the sliders say, all else as at the start. InputError where that is no criteria."""
        return criteria_sliders.read(self.controls, self.start)

    def keep(self, episode: str, kept: bool) -> None:
        """Drop an episode from both sets, or take it back."""
        with self._mine:
            if kept:
                self.dropped.discard(episode)
            else:
                self.dropped.add(episode)
                self.ticks.discard(episode)
            self._flag()

    def tick(self, episode: str, wanted: bool) -> None:
        """Take an episode into the pilot or out of it; from then on the pilot is picked by hand."""
        with self._mine:
            self._choose(pilot_by="hand")
            if wanted:
                self.ticks.add(episode)
            else:
                self.ticks.discard(episode)
            self._flag()

    def show(self, episode: str) -> None:
        """The packet view of an episode: its frames, depth, tracks, mask."""
        with self._mine:
            try:
                data, signals = self.load(episode)
            except InputError as error:
                return self._say(str(error), wrong=True)
            self.image.value = png(tiles.packet_tile(data, signals))
            self.caption.value = escape.html(f"{episode}: {data.task or '(no text)'} ({len(data.frames)} frames)")
            self.image.layout.display = None

    def reset(self) -> None:
        """Back to the weights and limits that it opened with."""
        with self._mine:
            self._setting = True
            criteria_sliders.put(self.controls, self.start)
            self._setting = False
            self.rerank()

    def save(self) -> None:
        """Write the selection file, which then counts as edited by a person."""
        with self._mine:
            try:
                selection.write_selection(self.path, self.chosen, self.choice, self.criteria, self.dropped)
            except (InputError, OSError) as error:
                return self._say(f"Not saved: {error}", wrong=True)
            self._say(f"Saved as {self.path.name}. Notebook 01 leaves it as it is now; those after it use it.")

    def _on_control(self, change) -> None:
        with self._mine:
            if self._setting:
                return
            name = next(name for name, control in self.controls.items() if control is change.owner)
            if name in criteria_sliders.SLIDERS:
                return self.rerank()
            self._choose(**{name: change.new})
            self._flag()

    def _choose(self, **by: str) -> None:
        """Change how the sets are chosen. A pilot by hand begins with the one that stood there."""
        if by.get("pilot_by", self.choice.pilot_by) != self.choice.pilot_by:
            self.ticks = self.flagged("pilot") if by["pilot_by"] == "hand" else set()
        self.choice = replace(self.choice, **by)
        self._setting = True
        for name, value in by.items():
            self.controls[name].value = value
        self._setting = False

    def rerank(self) -> None:
        """Score all episodes by the sliders' criteria, rank those that these accept, flag them and show the page."""
        with self._mine:
            try:
                criteria = self.criteria
            except InputError as error:
                self.save_button.disabled = True
                return self._say(str(error), wrong=True)
            self.scores = score.score(self.measurements, criteria)
            order = selection.ranking(self.scores)
            self.order = order[score.rejections(self.measurements, criteria)[order] == ""]
            self._flag()

    def _flag(self) -> None:
        self.chosen = None
        best = self.scores.iloc[self.order[: self.choice.n_top]]
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of a full set smaller than asked for: the counts say it
                self.chosen = selection.select(best, self.choice, ticks=self.ticks, dropped=self.dropped)
            self._say("Not saved yet.")
        except InputError as error:
            self._say(str(error), wrong=True)
        self.save_button.disabled = self.chosen is None
        full, pilot = (len(self.flagged(flag)) for flag in FLAGS)
        self.counts.value = (f"full set <b>{full}</b> of {self.choice.n_full}, by {self.choice.full_by} · pilot "
                             f"<b>{pilot}</b> of {self.choice.n_pilot}, by {self.choice.pilot_by} · dropped "
                             f"<b>{len(self.dropped)}</b> · {len(self.order)} of {len(self.measurements)} ranked")
        self._show_page()

    def flagged(self, flag: str) -> set[str]:
        """The episodes of the full set or of the pilot; where they cannot be chosen, what is ticked."""
        if self.chosen is None:
            return set(self.ticks) if flag == "pilot" else set()
        return set(self.chosen["episode"][self.chosen[flag]])

    def _say(self, text: str, wrong: bool = False) -> None:
        self.status.value = f'<span style="color:{"#D55E00" if wrong else "inherit"}">{escape.html(text)}</span>'

    def _show_page(self) -> None:
        with self._mine:
            places = self.pager.fit(len(self.order))
            full = self.flagged("full")
            pilot = self.flagged("pilot")
            for place, row in zip_longest(places, self.rows):
                if place is None:
                    row.clear()
                    continue
                data = self.scores.iloc[self.order[place]]
                episode = data["episode"]
                row.fill(data, place + 1, episode not in self.dropped, episode in full, episode in pilot)

    def static_html(self) -> str:
        """The best episodes as a table with a picture of each, for pages without a kernel."""
        lines = []
        sets = {flag: self.flagged(flag) for flag in FLAGS}
        for rank, (_, data) in enumerate(self.scores.iloc[self.order[:STATIC_ROWS]].iterrows(), 1):
            try:
                picture = tiles.signals_tile(*self.load(data["episode"]))
            except InputError as error:
                picture = error.found
            chosen_for = ", ".join(flag for flag in FLAGS if data["episode"] in sets[flag])
            lines.append((picture, cells(data, rank, chosen_for)))
        return static_table(lines, f"The best {len(lines)} of {len(self.order)} episodes. Where a kernel runs, this is "
                            "a browser: it ranks anew, shows any episode with its signals, and saves your ticks.")
