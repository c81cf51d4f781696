"""ipywidgets inspectors for notebook 02, each with a static stand-in for readers without a kernel.

An inspector displays as two representations of one output: the live widget, and plain HTML with a slider over
pictures that were drawn when the cell ran. A notebook front end takes the first; an HTML export takes the second,
provided the widget state is not embedded in it (`without_widget_state`).
"""

import base64
import threading
from collections.abc import Callable, Mapping, Sequence

import ipywidgets as widgets
import numpy as np

from lewm_core.conditions import DILATIONS
from lewm_core.signals import geometry
from lewm_core.signals.extraction import Packet
from lewm_core.sources.episode import Episode
from lewm_core.utils import escape
from lewm_core.viz import pixels

DISPLAY_SIZE = 448  # px, the least width at which frames are shown
STATIC_FRAMES = 8  # pictures in the static stand-in
QUERIES = {"uniform": ("tracks", "visible"), "foreground-biased": ("tracks_fg", "visible_fg")}
REGIONS = {"object mask, full resolution": None,
           **{f"{name}: mask + {px} px, 56×56": px for name, px in DILATIONS.items()}}


def static_slider_html(pages: Sequence[tuple[np.ndarray, str]]) -> str:
    """A slider over pictures (H, W, 3) uint8, each with a line of text under it, that works in any browser, offline and
    without a kernel; the first shows without scripts."""
    figures = [_figure_html(picture, text, hidden=i > 0) for i, (picture, text) in enumerate(pages)]
    script = ("for (const [i, page] of this.parentNode.querySelectorAll('figure').entries()) "
              "page.style.display = i == this.value ? '' : 'none'")
    slider = ""
    if len(figures) > 1:
        slider = (f'<input type="range" min="0" max="{len(figures) - 1}" value="0" step="1" aria-label="picture" '
                  f'autocomplete="off" style="width:{DISPLAY_SIZE}px;max-width:100%" oninput="{script}">')
    return f'<div class="static-slider">{slider}{"".join(figures)}</div>'


def _figure_html(picture: np.ndarray, label: str, hidden: bool) -> str:
    """A picture with its label as HTML that needs nothing from outside."""
    data = base64.b64encode(pixels.jpeg(picture)).decode()
    text = escape.html(label)
    display = ";display:none" if hidden else ""
    return (f'<figure style="margin:0{display}"><img alt="picture: {text}" style="max-width:100%" '
            f'src="data:image/jpeg;base64,{data}"><figcaption>{text}</figcaption></figure>')


def without_widget_state(notebook):
    """`notebook` (an nbformat node) without saved widget state, so that its HTML export shows the static images.

    With the state in it, an export asks the network for a widget manager and shows nothing offline.
    """
    notebook.metadata.pop("widgets", None)
    return notebook


class WithStandIn(widgets.VBox):
    """A widget that also displays as `static_html()`, for readers without a kernel."""

    def static_html(self) -> str:
        """What is shown where no kernel runs, as HTML that needs nothing from outside."""
        raise NotImplementedError

    def _repr_mimebundle_(self, **kwargs):
        bundle = super()._repr_mimebundle_(**kwargs)
        data = bundle[0] if isinstance(bundle, tuple) else bundle
        return {**data, "text/html": self.static_html()}


class Inspector(WithStandIn):
    """Controls, a picture drawn from their values, and a line of text.

    draw: called with the controls' values by name; returns the picture (H, W, 3) uint8 and the text.
    controls: name -> ipywidgets control.
    static: settings of the static pictures, each a dict of control values that differ from the ones at the start.
    """

    def __init__(self, draw: Callable[..., tuple[np.ndarray, str]], controls: Mapping[str, widgets.Widget],
                 static: Callable[[], Sequence[dict]]):
        self.draw = draw
        self.controls = dict(controls)
        self._static = static
        self._drawing = threading.Lock()  # JupyterLab delivers the values of two controls in two threads of the kernel
        self.image = widgets.Image(format="png", layout=widgets.Layout(max_width="100%", align_self="flex-start"))
        self.text = widgets.HTML()
        super().__init__([*self.controls.values(), self.image, self.text])
        for control in self.controls.values():
            control.observe(self._refresh, "value")
        self._refresh()

    def values(self) -> dict[str, object]:
        """What the controls say, by name."""
        return {name: control.value for name, control in self.controls.items()}

    def _refresh(self, change=None) -> None:
        with self._drawing:  # so that the last to draw has read the values last
            picture, text = self.draw(**self.values())
            self.image.value = pixels.png(picture)
            self.text.value = escape.html(text)

    def static_html(self) -> str:
        """The stand-in: a slider over pictures of the settings that `static` lists."""
        return static_slider_html([self.draw(**{**self.values(), **setting}) for setting in self._static()])


def inspect_tracks(episodes: Mapping[str, Packet]) -> Inspector:
    """Pick an episode and a frame and see its tracks: which queries, how long a trail, on the object only."""
    def draw(episode: str, frame: int, queries: str, trail: int, on_object: bool) -> tuple[np.ndarray, str]:
        data, signals = episodes[episode]
        frame, text = _at(data, frame)
        zoom = _zoom(data)
        name, seen = QUERIES[queries]
        tracks = getattr(signals, name)
        visible = getattr(signals, seen)
        if tracks is None or (on_object and signals.mask is None):
            reason = signals.missing[name if tracks is None else "mask"]
            return pixels.enlarge(data.frames[frame], zoom), f"{text} · {reason}"
        mask = signals.mask[frame] if on_object else None
        n = len(pixels.shown_points(tracks, visible, frame, mask))
        where = " on the object" if on_object else ""
        return (pixels.draw_tracks(data.frames[frame], tracks, visible, frame, trail, mask, zoom),
                f"{text} · {n} of {tracks.shape[1]} points visible{where} ({queries} queries)")

    controls = _episode_and_frame(episodes) | {
        "queries": widgets.Dropdown(options=list(QUERIES), description="queries"),
        "trail": widgets.IntSlider(8, 0, 30, description="trail"),
        "on_object": widgets.Checkbox(False, description="on the object only"),
    }
    if next(iter(episodes.values()))[1].biased:
        controls["queries"].value = "foreground-biased"
    return Inspector(draw, controls, lambda: _frames(episodes, controls))


def inspect_masks(episodes: Mapping[str, Packet]) -> Inspector:
    """Pick an episode, a frame and a region and see where depth is supervised."""
    def draw(episode: str, frame: int, region: str, opacity: float) -> tuple[np.ndarray, str]:
        data, signals = episodes[episode]
        frame, text = _at(data, frame)
        zoom = _zoom(data)
        if signals.mask is None:
            return pixels.enlarge(data.frames[frame], zoom), f"{text} · {signals.missing['mask']}"
        mask = signals.mask[frame]
        if REGIONS[region] is not None:
            mask = geometry.dilate(geometry.to_supervision(mask[None]), REGIONS[region])[0]
        return (pixels.draw_mask(data.frames[frame], mask, opacity, zoom),
                f"{text} · {region}: {mask.mean():.1%} of the frame")

    controls = _episode_and_frame(episodes) | {
        "region": widgets.Dropdown(options=list(REGIONS), description="region"),
        "opacity": widgets.FloatSlider(0.5, min=0, max=1, step=0.05, description="opacity"),
    }

    def static() -> list[dict]:
        """Half as many frames, each with the mask as found and as widely dilated as in C3."""
        ends = (list(REGIONS)[0], list(REGIONS)[-1])
        return [{**setting, "region": region} for setting in _frames(episodes, controls, STATIC_FRAMES // 2)
                for region in ends]

    return Inspector(draw, controls, static)


def _at(episode: Episode, frame: int) -> tuple[int, str]:
    """The frame, or the last one of an episode that is shorter, and which it is in words."""
    frame = min(frame, len(episode.frames) - 1)
    named, task = map(escape.plain, (episode.id, episode.task))
    return frame, f"{named}, frame {frame} of {len(episode.frames)}: {task}"


def _zoom(episode: Episode) -> int:
    return max(1, -(-DISPLAY_SIZE // episode.frames.shape[2]))


def _episode_and_frame(episodes: Mapping[str, Packet]) -> dict[str, widgets.Widget]:
    last = {id: len(episode.frames) - 1 for id, (episode, _) in episodes.items()}
    episode = widgets.Dropdown(options=[(escape.plain(id), id) for id in last], description="episode")
    frame = widgets.IntSlider(0, 0, last[episode.value], description="frame")
    episode.observe(lambda change: setattr(frame, "max", last[change.new]), "value")
    return {"episode": episode, "frame": frame}


def _frames(episodes, controls, n: int = STATIC_FRAMES) -> list[dict]:
    """Settings for `n` frames spread over the episode that is chosen."""
    length = len(episodes[controls["episode"].value][0].frames)
    return [{"frame": int(t)} for t in np.unique(np.linspace(0, length - 1, min(n, length)).round())]
