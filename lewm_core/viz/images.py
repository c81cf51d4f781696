"""Image panels: contact sheet, packet view, rollout strip and animation, and the drawing that the widgets share.

Drawing functions take and return uint8 RGB images. An image is enlarged by a whole factor `zoom`; the pixel centre
(x, y) then lies at ((x + 1/2)·zoom − 1/2, (y + 1/2)·zoom − 1/2).
"""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont

from lewm_core.signals.extraction import Signals
from lewm_core.signals.geometry import at_pixels, to_supervision
from lewm_core.sources.episode import Episode
from lewm_core.utils.errors import InputError
from lewm_core.utils.files import replacing
from lewm_core.viz.style import colour, new_figure, styled

MASK_COLOUR, OUTLINE = (255, 0, 200), (255, 255, 255)  # magenta is the colour of few things on a table
SUBPIXEL = 4  # bits of subpixel position that OpenCV draws with
FRAME_SECONDS = 0.2  # 5 Hz
DARK = (24, 24, 24)


def enlarge(image: np.ndarray, zoom: int) -> np.ndarray:
    """(H, W, …) -> (H·zoom, W·zoom, …), each pixel a square, so that nothing is drawn that is not in the data."""
    return image.repeat(zoom, 0).repeat(zoom, 1)


def point_colours(queries: np.ndarray) -> np.ndarray:
    """A colour (N, 3) uint8 RGB per query point (N, 2): its hue is its angle about their middle."""
    x, y = (queries - queries.mean(0)).T
    hsv = np.full((1, len(queries), 3), 255, np.uint8)
    hsv[0, :, 0] = (np.arctan2(y, x) / (2 * np.pi) % 1 * 179).astype(np.uint8)
    hsv[0, :, 1] = 200
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0]


def draw_tracks(frame: np.ndarray, tracks: np.ndarray, visible: np.ndarray, t: int, trail: int = 8,
                mask: np.ndarray | None = None, zoom: int = 1) -> np.ndarray:
    """The points visible in frame `t` with their trails.

    Args:
        frame: (H, W, 3) uint8, frame t. tracks: (T, N, 2) px, visible: (T, N) bool.
        trail: how many frames back a trail reaches; it is broken where the point was not visible.
        mask: (H, W) bool; if given, only points inside it are drawn.
    """
    canvas = enlarge(frame, zoom)
    keep = shown_points(tracks, visible, t, mask)
    colours = point_colours(tracks[0]).tolist()
    at = np.round(((tracks + 0.5) * zoom - 0.5) * 2**SUBPIXEL).astype(np.int32)
    start = max(0, t - trail)
    steps = np.stack([at[start:t], at[start + 1:t + 1]], 2)  # (trail, N, 2 ends, 2)
    whole = visible[start:t] & visible[start + 1:t + 1]
    for i in keep:
        cv2.polylines(canvas, list(steps[whole[:, i], i]), False, colours[i], 1, cv2.LINE_AA, SUBPIXEL)
    radius = max(1.2, canvas.shape[0] / 160)
    for i in keep:
        cv2.circle(canvas, at[t, i].tolist(), int(radius * 2**SUBPIXEL), colours[i], -1, cv2.LINE_AA, SUBPIXEL)
    return canvas


def shown_points(tracks: np.ndarray, visible: np.ndarray, t: int, mask: np.ndarray | None = None) -> np.ndarray:
    """Indices of the points that are visible in frame `t` and, given a mask (H, W), inside it."""
    keep = visible[t].copy()
    if mask is not None:
        inside, in_view = at_pixels(mask[None], tracks[t:t + 1])
        keep &= inside[0] & in_view[0]
    return np.flatnonzero(keep)


def draw_mask(frame: np.ndarray, mask: np.ndarray, opacity: float = 0.5, zoom: int = 1) -> np.ndarray:
    """The frame with `mask` (any grid of the same aspect, e.g. 56×56) laid over it in one colour and outlined."""
    canvas = enlarge(frame, zoom)
    inside = cv2.resize(mask.astype(np.uint8), canvas.shape[1::-1], interpolation=cv2.INTER_NEAREST).astype(bool)
    tint = np.array(MASK_COLOUR, np.float32)
    canvas[inside] = ((1 - opacity) * canvas[inside] + opacity * tint).round().astype(np.uint8)
    outline, _ = cv2.findContours(inside.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    return cv2.drawContours(canvas, outline, -1, OUTLINE, 1)


def draw_depth(depth: np.ndarray, near: float, far: float, inside: np.ndarray | None = None) -> np.ndarray:
    """A depth map (h, w) in colours, near yellow to far violet; black outside `inside` (h, w) bool."""
    share = np.clip((far - depth) / max(far - near, 1e-9), 0, 1)
    colours = (mpl.colormaps["plasma"](share)[..., :3] * 255).round().astype(np.uint8)
    return colours if inside is None else np.where(inside[..., None], colours, np.uint8(0))


@styled
def contact_sheet(images: Sequence[np.ndarray], titles: Sequence[str], ncols: int = 6,
                  good: Sequence[bool] | None = None) -> Figure:
    """Images (H, W, 3) in a grid with a title over each.

    good: accepted or not, shown by the frame (blue, solid; grey, dashed) around each image.
    """
    if not len(images) or len(titles) != len(images) or (good is not None and len(good) != len(images)):
        raise InputError("contact_sheet", f"{len(images)} images, {len(titles)} titles", "a title for each image")
    ncols = min(ncols, len(images))
    rows = -(-len(images) // ncols)
    words = ["\n".join(textwrap.fill(line, 26) for line in str(t).splitlines()) for t in titles]
    lines = max(w.count("\n") for w in words) + 1
    fig, axes = new_figure(1.75 * ncols, (1.75 + 0.15 * lines) * rows + 0.4, rows, ncols)
    for i, ax in enumerate(axes.flat):
        _picture(ax, images[i] if i < len(images) else None)
        if i < len(images):
            ax.set_title(words[i], fontsize=7.5, fontweight="normal", loc="center", pad=3)
            if good is not None:
                _frame(ax, "#0072B2" if good[i] else "0.6", "-" if good[i] else "--")
    return fig


@styled
def packet_view(episode: Episode, signals: Signals, n: int = 8, trail: int = 8) -> Figure:
    """One episode's signals over `n` time steps: RGB, depth, tracks with trails, mask, masked depth.

    A missing signal is an empty row that says why. Depth has one colour scale over the episode.
    """
    length = len(episode.frames)
    times = np.unique(np.linspace(0, length - 1, min(n, length)).round().astype(int))
    zoom = max(1, round(224 / episode.frames.shape[1]))
    tracks, visible, name = signals.tracks, signals.visible, "tracks"
    if signals.biased:
        tracks, visible, name = signals.tracks_fg, signals.visible_fg, "tracks\n(foreground-\nbiased)"
    rows = [("RGB", None, lambda t: episode.frames[t])]
    if signals.depth is None:
        rows.append(("depth", _why(signals, "depth"), None))
    else:
        near, far = np.percentile(signals.depth[np.isfinite(signals.depth)], [1, 99])
        rows.append(("depth", None, lambda t: draw_depth(signals.depth[t], near, far)))
    rows.append((name, _why(signals, "tracks") if tracks is None else None,
                 lambda t: draw_tracks(episode.frames[t], tracks, visible, t, trail, zoom=zoom)))
    rows.append(("mask", _why(signals, "mask") if signals.mask is None else None,
                 lambda t: draw_mask(episode.frames[t] // 2, signals.mask[t], 0.6)))
    absent = [_why(signals, s) for s in ("depth", "mask") if getattr(signals, s) is None]
    rows.append(("masked\ndepth", " ".join(absent) or None,
                 lambda t: draw_depth(signals.depth[t], near, far, to_supervision(signals.mask[t:t + 1])[0])))

    fig, axes = new_figure(1.35 * len(times) + 0.7, 1.4 * len(rows) + 0.6, len(rows), len(times))
    for row, (label, reason, draw) in zip(axes, rows, strict=True):
        row[0].set_ylabel(label, rotation=0, ha="right", va="center", fontsize=9)
        for ax, t in zip(row, times, strict=True):
            _picture(ax, draw(t) if reason is None else None, keep=ax is row[0])
        if reason is not None:
            text = row[0].annotate("missing: " + textwrap.fill(reason, 90), (0, 0.5), (6, 0), va="center", fontsize=9,
                                   xycoords="axes fraction", textcoords="offset points", color="0.35")
            text.set_in_layout(False)  # it is wider than the axes it is fixed to
    for ax, t in zip(axes[0], times, strict=True):
        ax.set_title(f"t = {t}", fontsize=9, fontweight="normal", loc="center", pad=3)
    made = ", ".join(f"{s} by {signals.made_by[s]}" for s in ("depth", "tracks", "mask") if s in signals.made_by)
    if signals.mask is not None and not signals.mask.any():
        made += " (empty in every frame)"
    fig.suptitle(f"{episode.id}: {episode.task or 'no task text'} ({length} frames)\n{made}", x=0.01, ha="left",
                 fontsize=9.5)
    fig.get_layout_engine().set(w_pad=0.02, h_pad=0.02, wspace=0.01, hspace=0.01)
    return fig


# ------------------------------------------------------------------------------------------------- rollouts (Figure 4)


@dataclass(frozen=True)
class RolloutColumn:
    """One column of Figure 4.

    name: what the column head says ("ground truth", "static", "A retrieval", "B decoder").
    condition: whose colour it takes; empty for the ground truth and static.
    frames: (S, H, W, 3) uint8, one per rollout step.
    notes: S short texts under the images (retrieved frame's id and distance), or empty.
    """

    name: str
    frames: np.ndarray
    condition: str = ""
    notes: Sequence[str] = ()

    @property
    def colour(self) -> str:
        return colour(self.condition) if self.condition else {"ground truth": "#2E8B57"}.get(self.name, "#999999")


@styled
def rollout_strip(columns: Sequence[RolloutColumn], steps: Sequence[int], show: Sequence[int] | None = None,
                  title: str = "") -> Figure:
    """Figure 4: a column per source of images, a row per rollout step.

    Args:
        columns: ground truth first; all with as many frames as there are `steps`.
        steps: the rollout steps (1 …) that the frames belong to.
        show: which of them get a row; all by default.
    """
    _check_columns(columns, steps)
    indices = [list(steps).index(s) for s in (steps if show is None else show)]
    noted = any(len(c.notes) for c in columns)
    fig, axes = new_figure(1.75 * len(columns) + 0.7, (1.95 if noted else 1.75) * len(indices) + 0.9, len(indices),
                           len(columns))
    for row, i in zip(axes, indices, strict=True):
        row[0].set_ylabel(f"+{steps[i]}", rotation=0, ha="right", va="center", fontsize=10)
        for ax, column in zip(row, columns, strict=True):
            _picture(ax, column.frames[i], keep=True)
            _frame(ax, column.colour)
            if len(column.notes):
                ax.set_xlabel(column.notes[i], fontsize=7.5, labelpad=2)
    for ax, column in zip(axes[0], columns, strict=True):
        ax.set_title(textwrap.fill(column.name, 20), fontsize=9, loc="center", color=column.colour, pad=4)
    if title:
        fig.suptitle(title, x=0.01, ha="left", fontsize=10)
    return fig


def rollout_row(columns: Sequence[RolloutColumn], steps: Sequence[int], i: int, size: int = 160) -> np.ndarray:
    """One step of the rollout as one image: the columns side by side with name, image and note, on a dark ground."""
    _check_columns(columns, steps)
    gap, head, foot = 6, 22, 34
    sheet = Image.new("RGB", (len(columns) * (size + gap) + gap, head + size + foot), DARK)
    draw = ImageDraw.Draw(sheet)
    font, small = ImageFont.load_default(12), ImageFont.load_default(11)
    for k, column in enumerate(columns):
        x = gap + k * (size + gap)
        draw.text((x, 4), column.name, fill="white", font=font)
        sheet.paste(Image.fromarray(column.frames[i]).resize((size, size), Image.Resampling.NEAREST), (x, head))
        draw.rectangle((x - 1, head - 1, x + size, head + size), outline=column.colour, width=2)
        note = column.notes[i] if len(column.notes) else f"step +{steps[i]}" if k == 0 else ""
        draw.multiline_text((x, head + size + 4), note, fill="#CCCCCC", font=small, spacing=2)
    return np.asarray(sheet)


def rollout_animation(columns: Sequence[RolloutColumn], steps: Sequence[int], path: str | Path, size: int = 160,
                      seconds: float = 3 * FRAME_SECONDS) -> Path:
    """Figure 4 as a GIF, one image per rollout step for `seconds` each (default: a third of real time), atomically."""
    _check_columns(columns, steps)
    images = [Image.fromarray(rollout_row(columns, steps, i, size)) for i in range(len(steps))]
    palette = Image.fromarray(np.concatenate([np.asarray(image) for image in images])).quantize(256)
    images = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images]
    with replacing(path) as temporary:
        images[0].save(temporary, format="GIF", save_all=True, append_images=images[1:], duration=round(1000 * seconds),
                       loop=0, optimize=False, disposal=1)
    return Path(path)


def _check_columns(columns: Sequence[RolloutColumn], steps: Sequence[int]) -> None:
    wrong = [f"{c.name}: {len(c.frames)} frames, {len(c.notes)} notes" for c in columns
             if len(c.frames) != len(steps) or (len(c.notes) and len(c.notes) != len(steps))]
    if wrong or not columns:
        raise InputError("rollout columns", "; ".join(wrong) or "none",
                         f"{len(steps)} frames per column, one per step, and as many notes or none")


def _why(signals: Signals, name: str) -> str:
    return signals.missing.get(name, f"The {name} signal is not there, and its maker did not say why.")


def _picture(ax, image: np.ndarray | None, keep: bool = False) -> None:
    """Show an image without axes; `keep` leaves room for labels. Without an image, leave an empty place."""
    ax.set_xticks([])
    ax.set_yticks([])
    ax.grid(False)
    ax.spines[:].set_visible(False)
    if image is not None:
        ax.imshow(image, interpolation="nearest")
    elif not keep:
        ax.set_axis_off()


def _frame(ax, colour: str, linestyle: str = "-") -> None:
    ax.spines[:].set(visible=True, color=colour, linewidth=2.2, linestyle=linestyle)
