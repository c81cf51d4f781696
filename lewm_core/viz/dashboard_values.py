"""What the dashboard shows of an episode, as JSON can hold it: pictures as sheets, curves, tables, positions.

Positions and errors are in cm, actions as recorded. T frames, S predicted frames.
"""

import base64
from collections.abc import Sequence

import cv2
import numpy as np
import pandas as pd

from lewm_core.dataset.packets import packets
from lewm_core.diagnostics import retrieval
from lewm_core.diagnostics.playback import Playback
from lewm_core.outcomes.world_units import CM
from lewm_core.signals.extraction import Packet
from lewm_core.sources.episode import ACTION_DIM, ACTIONS, FPS
from lewm_core.utils import escape
from lewm_core.viz import images, pixels, style

SIDE = 128  # px, the greatest side of a picture in a sheet
QUALITY = 82  # of its JPEG; with a colour for each pixel, which small things of strong colours need
SCOPES = {"global": "all frames", "episode": "this episode"}  # of retrieval.SCOPES, in words
STABILITY = ("same_episode", "switches", "mean_jump", "monotonicity", "unique_frames", "repeated")
DIGITS = 4  # significant, of every number

Value = dict[str, object]


def about(playback: Playback, caption: str, chosen: Sequence[str]) -> Value:
    """What all episodes share. caption: what made the models. chosen: the conditions that are shown at first."""
    names = ACTIONS if playback.data["action"].shape[1] == ACTION_DIM else ()
    return {
        "history": playback.history, "fps": FPS, "caption": escape.plain(caption), "chosen": list(chosen),
        "scopes": SCOPES, "actions": list(names), "trail": images.TRAIL,
        "conditions": {name: _condition(name) for name in playback.offered},
        "tags": {"beats": retrieval.BEATS_STATIC, "tie": retrieval.TIGHT_TIE, "gap": retrieval.LARGE_GAP},
    }


def _condition(name: str) -> Value:
    shade = style.colour(name)
    return {"title": style.title(name), "light": shade, "dark": style.on_dark(shade), "solid": style.stands(name)}


def label(playback: Playback, episode: int) -> str:
    """An episode in a list: its task, its name, and whether the models know it."""
    data = playback.data
    task, named = map(escape.plain, (data["task"][episode] or "no task text", data["episode_id"][episode]))
    return f"{task} · {named}{_known(playback, episode)}"


def _known(playback: Playback, episode: int) -> str:
    if not len(playback.held):
        return ""
    return " · unseen" if episode in playback.held else " · trained on"


def recorded(playback: Playback, episode: int) -> Value:
    """What was recorded of an episode, and what persistence makes of it."""
    data, frames = playback.data, playback.data.episode(episode)
    id = str(data["episode_id"][episode])
    packet = packets(data, [id])[id]
    return {
        "id": escape.plain(id), "task": escape.plain(packet[0].task), "label": label(playback, episode),
        "frames": len(packet[0].frames), "known": _known(playback, episode).removeprefix(" · "),
        "rgb": sheet(packet[0].frames), **_signals(packet),
        "actions": short(data["action"][frames]), **_places(playback, episode),
    }


def _signals(packet: Packet) -> Value:
    """Depth and mask as sheets, and the tracks; where one is missing, why."""
    episode, signals = packet
    found: Value = {name: {"missing": images.why_missing(signals, name)} for name in images.SHOWN}
    if signals.depth is not None:
        near, far = np.percentile(signals.depth[np.isfinite(signals.depth)], [1, 99])
        found["depth"] = sheet([pixels.draw_depth(depth, near, far) for depth in signals.depth])
    if signals.mask is not None:
        pairs = zip(episode.frames, signals.mask, strict=True)
        found["mask"] = sheet([pixels.draw_mask(frame // 2, mask, 0.6) for frame, mask in pairs])
    if signals.tracks is not None:
        of = ("tracks_fg", "visible_fg") if signals.biased else ("tracks", "visible")
        found["tracks"] = _tracks(*(getattr(signals, name) for name in of), episode.frames.shape[2])
    return found


def _tracks(tracks: np.ndarray, visible: np.ndarray, width: int) -> Value:
    """Points as shares of the picture's side (uint16), which are seen (bits, whole bytes a frame), and colours."""
    share = np.clip((tracks + 0.5) / width, 0, 1)
    return {"points": _binary((share * 65535).round().astype("<u2")), "visible": _binary(np.packbits(visible, axis=1)),
            "colours": _binary(pixels.point_colours(tracks[0]))}


def _places(playback: Playback, episode: int) -> Value:
    """Where gripper and object truly are, and how far that is from where they were in the last context frame."""
    true, persistence = {}, {}
    for place, at in playback.places(episode).items():
        true[place] = short(CM * at)
        persistence[place] = short(CM * np.linalg.norm(at[playback.history:] - at[playback.history - 1], axis=1))
    return {"places": true, "place_persistence": persistence}


def played(playback: Playback, name: str, episode: int) -> Value:
    """What a condition predicts of an episode: distances, what is retrieved, decoded pictures, and positions."""
    tables = {scope: playback.table(name, episode, scope) for scope in retrieval.SCOPES}
    frames = np.unique(np.concatenate([rows.frame for rows in tables.values()]))
    read = playback.read(name, episode)
    return {
        "spread": playback.player(name).world.corpus.spread,
        "distance": short(tables[retrieval.SCOPES[0]].distance),
        "persistence": short(playback.persistence(name, episode)),
        "found": sheet(playback.data["pixels"][frames]), "decoded": sheet(playback.decoded(name, episode)),
        "scopes": {scope: _found(playback, name, rows, frames) for scope, rows in tables.items()},
        "places": {place: {"predicted": short(CM * of.predicted), "floor": short(CM * of.floor),
                           "error": short(of.error), "floor_error": short(of.floor_error)}
                   for place, of in read.items()},
    }


def _found(playback: Playback, name: str, rows: pd.DataFrame, frames: np.ndarray) -> Value:
    """The retrieved frames: places in the sheet of `frames`, names, distances, and how steadily they move."""
    corpus, ids = playback.player(name).world.corpus, playback.data["episode_id"]
    steady = retrieval.stability(rows, corpus).iloc[0]
    return {"tile": np.searchsorted(frames, rows.frame).tolist(), "distance": short(rows.retrieval_distance),
            "name": [f"{escape.plain(ids[corpus.episode[frame]])}:{corpus.frame[frame]}" for frame in rows.frame],
            "stability": {measure: short(steady[measure]) for measure in STABILITY}}


def sheet(frames: Sequence[np.ndarray]) -> Value:
    """Pictures (h, w, 3) uint8 as one JPEG, row by row, none larger than SIDE, and how many are in a row."""
    height, width = frames[0].shape[:2]
    if max(height, width) > SIDE:
        scale = SIDE / max(height, width)
        size = (round(scale * width), round(scale * height))
        frames = [cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in frames]
    frames = np.stack(frames)
    n, height, width = frames.shape[:3]
    columns = int(np.ceil(np.sqrt(n)))
    rows = -(-n // columns)
    whole = np.zeros((rows * columns, height, width, 3), np.uint8)
    whole[:n] = frames
    whole = whole.reshape(rows, columns, height, width, 3).swapaxes(1, 2).reshape(rows * height, columns * width, 3)
    picture = base64.b64encode(pixels.jpeg(whole, QUALITY, sharp_colours=True)).decode()
    return {"src": f"data:image/jpeg;base64,{picture}", "columns": columns, "width": width, "height": height}


def short(values: object) -> object:
    """Numbers as nested lists of Python floats with DIGITS significant digits; None where there is none."""
    if np.ndim(values):
        return [short(value) for value in np.asarray(values)]
    value = float(f"{float(values):.{DIGITS}g}")
    return value if np.isfinite(value) else None


def _binary(values: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode()

