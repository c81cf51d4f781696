"""One episode as one small picture, for contact sheets and lists: what every camera saw, what the signals found."""

import textwrap
from collections.abc import Sequence
from math import ceil, sqrt

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from lewm_core.signals.extraction import Signals
from lewm_core.signals.geometry import REFERENCE_SIZE
from lewm_core.signals.quality import MOVING
from lewm_core.sources.episode import Episode, Source
from lewm_core.sources.pictures import resize
from lewm_core.utils import escape
from lewm_core.utils.errors import InputError
from lewm_core.viz.images import DARK, packet_rows
from lewm_core.viz.pixels import draw_mask, draw_tracks, enlarge

GAP = 3  # px between pictures
HEAD = 19  # px of the line above each row of `packet_tile`


def camera_tile(sources: Sequence[Source], id: str, size: int) -> tuple[np.ndarray, list[str]]:
    """The middle frame of an episode from every camera, side by side, and what was found instead of a picture.

    Args:
        sources: the same episodes seen by each camera, in frames of `size` px.

    Returns:
        The picture (uint8 RGB, cameras in reading order, each with its number; a camera without a picture is grey and
        says why, so a blank one says "blank"), and a line per camera that has none.
    """
    shown = []
    absent = []
    for camera, source in enumerate(sources):
        try:
            frames = source.load(id).frames
            shown.append(frames[len(frames) // 2])
        except InputError as error:
            shown.append(error.found)
            absent.append(f"camera {camera}: {error.found}")
    return mosaic(shown, size), absent


def mosaic(pictures: Sequence[np.ndarray | str], size: int) -> np.ndarray:
    """Pictures (size, size, 3) in a grid as square as can be, numbered; a text in place of one is written out."""
    columns = ceil(sqrt(len(pictures)))
    rows = ceil(len(pictures) / columns)
    sheet = Image.new("RGB", (columns * (size + GAP) - GAP, rows * (size + GAP) - GAP), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(max(10, size // 8))
    for i, picture in enumerate(pictures):
        x = i % columns * (size + GAP)
        y = i // columns * (size + GAP)
        if isinstance(picture, str):
            draw.rectangle((x, y, x + size - 1, y + size - 1), "#C8C8C8")
            words = textwrap.fill(escape.plain(picture), 14)
            draw.multiline_text((x + size / 2, y + size / 2), words, "#333333", font, anchor="mm", align="center")
        else:
            sheet.paste(Image.fromarray(picture), (x, y))
        if len(pictures) > 1:
            box = draw.textbbox((x + 4, y + 2), str(i), font)
            draw.rectangle((x, y, box[2] + 4, box[3] + 3), DARK)
            draw.text((x + 4, y + 2), str(i), "white", font)
    return np.asarray(sheet)


def signals_tile(episode: Episode, signals: Signals) -> np.ndarray:
    """The episode's last frame, enlarged by a whole factor to about 224 px, with the mask laid over it and the whole
    way of every visible point that moved by more than MOVING px (at 224); what is missing is not drawn."""
    t = len(episode.frames) - 1
    width = episode.frames.shape[2]
    zoom = max(1, round(REFERENCE_SIZE / width))
    picture = episode.frames[-1]
    if signals.mask is not None:
        picture = draw_mask(picture, signals.mask[t], 0.4)
    if signals.tracks is None:
        return enlarge(picture, zoom)
    tracks, visible = (signals.tracks_fg, signals.visible_fg) if signals.biased else (signals.tracks, signals.visible)
    moved = np.linalg.norm(tracks - tracks[0], axis=-1).max(0) * REFERENCE_SIZE / width > MOVING
    if not moved.any():
        return enlarge(picture, zoom)
    return draw_tracks(picture, tracks[:, moved], visible[:, moved], t, t, zoom=zoom)


def packet_tile(episode: Episode, signals: Signals, times: int = 4, size: int = 96) -> np.ndarray:
    """The packet view as one small picture (uint8 RGB), drawn in milliseconds: `times` frames of `size` px a signal, a
    row each under its name; a row without a signal says why."""
    shown = np.unique(np.linspace(0, len(episode.frames) - 1, times).round().astype(int))
    rows = packet_rows(episode, signals)
    width, height = times * (size + GAP) - GAP, size + HEAD + GAP
    sheet = Image.new("RGB", (width, len(rows) * height), "white")
    draw, font, y = ImageDraw.Draw(sheet), ImageFont.load_default(15), 0
    for i, row in enumerate(rows):
        name = row.label.replace("-\n", "-").replace("\n", " ")
        if row.missing:
            lines = textwrap.wrap(f"{name}: {row.missing}", width // 8, max_lines=height // HEAD)
            draw.multiline_text((0, y), "\n".join(lines), "#555555", font)
            y += HEAD * len(lines) + GAP
            continue
        times_shown = f", t = {', '.join(map(str, shown))}" if i == 0 else ""
        draw.text((0, y), name + times_shown, "#222222", font)
        for k, t in enumerate(shown):
            sheet.paste(Image.fromarray(resize(row.draw(t), size)), (k * (size + GAP), y + HEAD))
        y += height
    return np.asarray(sheet)[:y]
