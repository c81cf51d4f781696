"""Episodes as a file for the Rerun viewer (.rrd): one timeline, `frame`, on which they lie one after another.

    camera                      Pinhole, where the intrinsics are known
    camera/image, camera/mask   frames (PNG), the object
    camera/tracks, …/trails     the visible points, and the way of those that moved
    depth/image                 on its 56 × 56 grid, with a camera of that size
    action, observation         curves
    state, prediction/…         gripper and object (m), true and as read from predicted latents; distance to the truth
    retrieved/image             the real frame nearest to the predicted latent
    episode                     id and task

The SDK is the extra `rerun`; it is imported when a file is written.
"""

from collections.abc import Iterable, Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from lewm_core.dataset.contract import gripper
from lewm_core.signals.backends import is_relative
from lewm_core.signals.extraction import Packet, Signals
from lewm_core.signals.geometry import SUPERVISION_SIZE
from lewm_core.sources.episode import ACTIONS, FPS, Episode
from lewm_core.utils import escape
from lewm_core.utils.errors import InputError
from lewm_core.utils.files import replacing
from lewm_core.viz.pixels import MASK_COLOUR, png, point_colours

if TYPE_CHECKING:  # it needs torch, and a file without predictions none
    from lewm_core.diagnostics.forecasts import Forecast

TIMELINE = "frame"
PLACES = ("gripper", "object")
TRAIL = 8  # frames back that a trail reaches
MOVED = 1.0  # px that a point must move within them to have one


def need() -> ModuleType:
    """The SDK; InputError that says how to install it."""
    try:
        return import_module("rerun")
    except ImportError as error:
        raise InputError("export to .rrd", f"no rerun ({error})", "the package rerun-sdk",
                         "pip install -c constraints.txt rerun-sdk (the extra `rerun`).") from None


def write(path: str | Path, packets: Iterable[Packet], forecasts: Mapping[str, "Forecast"] = {}) -> int:  # noqa: B006
    """Write episodes with their signals, and the forecasts of those that have one, to `path`; how many they were.

    Signals that are missing are left out. The file appears whole or not at all; one that is there is replaced.
    """
    rr, count = need(), 0
    with replacing(path) as temporary:
        recording = rr.RecordingStream("lewm_core", recording_id=Path(path).stem)
        recording.save(temporary, _layout(rr, bool(forecasts)))
        recording.send_recording_name(escape.plain(Path(path).stem))
        _log_names(rr, recording)
        start = 0
        for episode, signals in packets:
            _Log(rr, recording, start).episode(episode, signals, forecasts.get(episode.id))
            start += len(episode.frames)
            count += 1
        recording.flush()
        recording.disconnect()
        if not count:
            raise InputError(path, "no episodes to write", "at least one")
    return count


class _Log:
    """Logs one episode whose first frame is number `start` of the timeline."""

    def __init__(self, rr: ModuleType, recording: object, start: int):
        self.rr, self.recording, self.start = rr, recording, start

    def at(self, t: int, entity: str, value: object) -> None:
        self.recording.set_time(TIMELINE, sequence=self.start + t)
        self.recording.log(entity, value)

    def episode(self, episode: Episode, signals: Signals, forecast: "Forecast | None") -> None:
        """Everything of one episode. Nothing of the one before it stays in view."""
        rr = self.rr
        for entity in ("camera", "depth", "retrieved", "state", "prediction"):
            self.at(0, entity, rr.Clear(recursive=True))
        text = f"{escape.plain(episode.id)}\n{escape.plain(episode.task)}"
        self.at(0, "episode", rr.TextDocument(text, media_type="text/plain"))
        if episode.intrinsics is not None:
            self._cameras(episode)
        for t, frame in enumerate(episode.frames):
            self.at(t, "camera/image", rr.EncodedImage(contents=png(frame), media_type="image/png"))
            self.at(t, "action", rr.Scalars(episode.actions[t]))
            self.at(t, "observation", rr.Scalars(episode.observations[t]))
        self._signals(signals)
        place = gripper(episode.observations) if signals.gripper is None else signals.gripper
        for name, values in (("gripper", place), ("object", signals.object)):
            for t, value in enumerate(() if values is None else values):
                self.at(t, f"state/{name}", rr.Scalars(value))
        if forecast is not None:
            self._forecast(forecast)

    def _cameras(self, episode: Episode) -> None:
        height, width = episode.frames.shape[1:3]
        half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])  # Rerun's pixel centres lie at halves
        camera = half @ episode.intrinsics
        self.at(0, "camera", self.rr.Pinhole(image_from_camera=camera, width=width, height=height))
        small = np.diag([SUPERVISION_SIZE / width, SUPERVISION_SIZE / height, 1]) @ camera
        self.at(0, "depth", self.rr.Pinhole(image_from_camera=small, width=SUPERVISION_SIZE, height=SUPERVISION_SIZE))

    def _signals(self, signals: Signals) -> None:
        rr = self.rr
        if signals.depth is not None:
            unit = None if is_relative(signals.made_by.get("depth")) else 1.0
            for t, depth in enumerate(signals.depth):  # half precision: 0.05 %, in half the bytes
                self.at(t, "depth/image", rr.DepthImage(depth.astype(np.float16), meter=unit))
        if signals.mask is not None:
            for t, mask in enumerate(signals.mask):
                self.at(t, "camera/mask", rr.SegmentationImage(mask.astype(np.uint8)))
        if signals.biased:
            self._tracks(signals.tracks_fg + 0.5, signals.visible_fg)
        elif signals.tracks is not None:
            self._tracks(signals.tracks + 0.5, signals.visible)

    def _tracks(self, tracks: np.ndarray, visible: np.ndarray) -> None:
        """tracks: (T, N, 2) px with centres at halves, visible: (T, N)."""
        colours = point_colours(tracks[0])
        for t in range(len(tracks)):
            seen = np.flatnonzero(visible[t])
            self.at(t, "camera/tracks", self.rr.Points2D(tracks[t, seen], colors=colours[seen]))
            way = np.ptp(tracks[max(0, t - TRAIL) : t + 1, seen], axis=0).max(1)
            moved = seen[way >= MOVED]
            strips = [_trail(tracks[:, i], visible[:, i], t) for i in moved]
            self.at(t, "camera/tracks/trails", self.rr.LineStrips2D(strips, colors=colours[moved]))

    def _forecast(self, forecast: "Forecast") -> None:
        rr = self.rr
        for s, t in enumerate(forecast.frame):
            pair = [forecast.distance[s], forecast.persistence[s]]
            self.at(t, "prediction/distance", rr.Scalars(pair))
            self.at(t, "prediction/steps_ahead", rr.Scalars(forecast.ahead[s]))
            self.at(t, "retrieved/image", rr.EncodedImage(contents=png(forecast.retrieved[s]),
                                                          media_type="image/png"))
            for name, values in forecast.places.items():
                self.at(t, f"prediction/{name}", rr.Scalars(values[s]))


def _trail(track: np.ndarray, visible: np.ndarray, t: int) -> np.ndarray:
    """The way (n, 2) of a point up to frame t since it was last hidden, at most TRAIL steps."""
    first = max(0, t - TRAIL)
    hidden = np.flatnonzero(~visible[first : t + 1])
    return track[first + (hidden[-1] + 1 if len(hidden) else 0) : t + 1]


def _log_names(rr: ModuleType, recording: object) -> None:
    """What holds for all episodes: the mask's colour, the curves' names."""
    object_ = rr.AnnotationInfo(1, "object", (*MASK_COLOUR, 128))
    recording.log("camera", rr.AnnotationContext([(0, "", (0, 0, 0, 0)), object_]), static=True)
    named = {"action": list(ACTIONS), "prediction/distance": ["prediction", "persistence"],
             "prediction/steps_ahead": ["steps ahead"]}
    for place in PLACES:
        named[f"state/{place}"] = [f"{place} {axis}" for axis in "xyz"]
        named[f"prediction/{place}"] = [f"{place} {axis}, predicted" for axis in "xyz"]
    for entity, names in named.items():
        recording.log(entity, rr.SeriesLines(names=names), static=True)


def _layout(rr: ModuleType, predicted: bool) -> object:
    """Pictures at the left, curves at the right. predicted: with places for predictions."""
    rrb = import_module("rerun.blueprint")
    near = [rrb.Spatial2DView(origin="retrieved", name="nearest frame to the prediction")]
    distance = [rrb.TimeSeriesView(origin="prediction/distance", name="distance to the true latent")]
    pictures = rrb.Grid(rrb.Spatial2DView(origin="camera", name="frame, mask, tracks"),
                        rrb.Spatial2DView(origin="depth", name="depth"), *(near if predicted else ()),
                        rrb.TextDocumentView(origin="episode", name="episode"), grid_columns=2)
    curves = rrb.Vertical(*(distance if predicted else ()),
                          rrb.TimeSeriesView(origin="/", contents=["state/**", "prediction/gripper",
                                                                   "prediction/object"], name="positions, m"),
                          rrb.TimeSeriesView(origin="action", name="actions"),
                          rrb.TimeSeriesView(origin="observation", name="observations"))
    time = rrb.TimePanel(state="collapsed", timeline=TIMELINE, fps=FPS)
    return rrb.Blueprint(rrb.Horizontal(pictures, curves), time, collapse_panels=True)
