"""The dashboard: any episode of a study as any of its conditions predict it, in a notebook and as a page.

Both are the one document in `page/`. A page holds its episodes; it needs neither a kernel nor a network. In a notebook
Python holds them and feeds the one that is picked to the same document, in a frame.
"""

import base64
import hashlib
import re
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from urllib.parse import quote

import ipywidgets as widgets

from lewm_core.diagnostics.decoder import Decoder, DecoderRecipe
from lewm_core.diagnostics.playback import Load, Playback
from lewm_core.diagnostics.rollout_study import Rollouts
from lewm_core.utils import escape, sealed
from lewm_core.utils.errors import InputError
from lewm_core.utils.files import replacing
from lewm_core.utils.progress import bar
from lewm_core.utils.workspace import relative
from lewm_core.viz import dashboard_values as values
from lewm_core.viz.widgets import WithStandIn

PARTS = Path(__file__).with_name("page")
SCRIPTS = ("charts.js", "pictures.js", "dashboard.js")
EPISODES, STAND_IN = 12, 3  # of a page at most, and of a notebook's stand-in
MEGABYTES = 8.0  # of a page, about: it has fewer episodes where these would be more
HEIGHT = 1250  # px, of the frame until its document says how high it is


def document(shared: Mapping[str, object]) -> str:
    """The dashboard as HTML that loads nothing from outside. shared: `values.about` with `episodes`, or with `live`.

    Its policy lets no script run but its own, which is named by its digest.
    """
    script = "".join((PARTS / name).read_text() for name in SCRIPTS)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    parts = {
        "policy": f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'",
        "style": (PARTS / "dashboard.css").read_text(), "data": escape.script_json(shared), "script": script,
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], (PARTS / "dashboard.html").read_text())


def framed(page: str) -> str:
    """A document in a frame of its own, as HTML that can stand anywhere."""
    style = f"width:100%;height:{HEIGHT}px;border:0"
    return f'<iframe title="Dashboard of predicted episodes" style="{style}" srcdoc="{escape.document(page)}"></iframe>'


class Dashboard(WithStandIn):
    """The dashboard with a kernel: a menu of all episodes, a box a condition, and the view.

    caption: what made the models. chosen: the conditions shown at first. first: numbers of episodes that come first in
    the menu and on pages; the others follow, unseen ones before those that the models were trained on.
    """

    def __init__(self, playback: Playback, caption: str, chosen: Sequence[str], first: Sequence[int] = ()):
        self.playback = playback
        self._feeding = threading.Lock()  # JupyterLab may deliver the values of two controls in two threads
        self._recorded, self._played = cache(self._recorded_of), cache(self._played_of)
        self.about = values.about(playback, caption, chosen)
        rest = [int(i) for i in playback.episodes if i not in first]
        self.episodes = [*map(int, first), *rest]
        labels = [(values.label(playback, number), number) for number in self.episodes]
        self.episode = widgets.Dropdown(options=labels, description="episode",
                                        layout=widgets.Layout(width="auto", max_width="640px"))
        self.boxes = {name: widgets.Checkbox(name in chosen, description=name, indent=False, tooltip=of["title"],
                                             layout=widgets.Layout(width="auto"))
                      for name, of in self.about["conditions"].items()}
        self.status, self.feed = widgets.HTML(), widgets.HTML(layout=widgets.Layout(display="none"))
        self.feed.add_class("lewm-feed")
        boxes = widgets.HBox([*self.boxes.values(), self.status], layout=widgets.Layout(flex_flow="row wrap"))
        view = widgets.HTML(framed(document({**self.about, "live": True})))
        super().__init__([self.episode, boxes, view, self.feed])
        self.add_class("lewm-dashboard")
        for control in (self.episode, *self.boxes.values()):
            control.observe(self._feed, "value")
        self._feed()

    @classmethod
    def of(cls, rollouts: Rollouts, decoders: Mapping[str, Decoder], recipe: DecoderRecipe, caption: str,
           offered: Sequence[str], load: Load, first: Sequence[int] = ()) -> "Dashboard":
        """The dashboard of a notebook that has rollouts, whose conditions are shown at first.

        decoders: theirs; recipe: how they were trained, and how others are to be. offered, load: as for `Playback`.
        first: as for this class.
        """
        playback = Playback(rollouts.data, rollouts.history, rollouts.held, rollouts.seed, offered, load, recipe,
                            rollouts.worlds, decoders)
        return cls(playback, caption, list(rollouts.worlds), first)

    @property
    def chosen(self) -> list[str]:
        """The conditions whose box is ticked."""
        return [name for name, box in self.boxes.items() if box.value]

    def value(self, number: int, names: Collection[str]) -> dict[str, object]:
        """All that is shown of one episode under some conditions; what was made once is kept."""
        return self._recorded(number) | {"conditions": {name: self._played(name, number) for name in names}}

    def page(self, episodes: int = EPISODES, names: Collection[str] | None = None) -> str:
        """The dashboard without a kernel, of the first `episodes` in the menu or as many as MEGABYTES hold.

        names: the conditions on it; None for those that are loaded. InputError for no episode.
        """
        if episodes < 1:
            raise InputError("episodes", str(episodes), "at least 1")
        names = self.playback.ready if names is None else names
        conditions = {name: of for name, of in self.about["conditions"].items() if name in names}
        return document(self.about | {"conditions": conditions, "episodes": list(self._fitting(episodes, names))})

    def _fitting(self, episodes: int, names: Collection[str]) -> Iterator[dict[str, object]]:
        room = 1e6 * MEGABYTES
        for i, number in enumerate(self.episodes[:episodes]):
            found = self.value(number, names)
            room -= len(escape.script_json(found))
            if i and room < 0:
                return
            yield found

    def saved(self, path: Path, episodes: int = EPISODES) -> str:
        """Write the page with every condition that is offered, atomically; those not loaded yet take seconds each.

        Returns what to tell of it, in Markdown, with a link from the executed notebooks.
        """
        shown = bar(self.playback.offered, "dashboard", "condition")
        for name in shown:
            shown.set_postfix_str(name, refresh=False)
            self.playback.player(name)
        with replacing(path, seal=sealed.sums(path.parent) != {}) as temporary:  # of a study's folder
            temporary.write_text(self.page(episodes))
        return (f"[The dashboard as a page]({quote(f'../{path.name}')}), {path.stat().st_size / 1e6:.1f} MB: "
                f"{escape.code(relative(path))}.")

    def static_html(self) -> str:
        """The working page with a few episodes and the conditions that are loaded."""
        return framed(self.page(STAND_IN))

    def _feed(self, change: object = None) -> None:
        """Send the chosen episode to the view; a condition that is not loaded yet is loaded, which is said."""
        with self._feeding:  # so that the last to feed has read the controls last
            number, chosen = self.episode.value, self.chosen
            for name in chosen:
                if name not in self.playback.ready:
                    self.status.value = escape.html(f"{name}: loading, and training its decoder …")
                    self.playback.player(name)
            self.status.value = ""
            shown = {"episode": self.value(number, chosen), "chosen": chosen}
            self.feed.value = f'<script type="application/json">{escape.script_json(shown)}</script>'

    def _recorded_of(self, number: int) -> dict[str, object]:
        return values.recorded(self.playback, number)

    def _played_of(self, name: str, number: int) -> dict[str, object]:
        return values.played(self.playback, name, number)
