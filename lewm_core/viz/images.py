"""Image panels: contact sheet, packet view, rollout strip and animation."""

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont

from lewm_core.signals.extraction import Signals
from lewm_core.signals.geometry import REFERENCE_SIZE, to_supervision
from lewm_core.sources.episode import Episode
from lewm_core.utils import escape
from lewm_core.utils.files import replacing
from lewm_core.viz import pixels
from lewm_core.viz.style import colour, empty_figure, new_figure, styled

SHOWN = ("depth", "tracks", "mask")  # signals of the packet view
TIMES = 8  # time steps of the packet view, and
TRAIL = 8  # frames back that its trails reach
STEP_SECONDS = 0.6  # of the animation: a third of real time
STEP_SIZE = 160  # px of its images
DARK = (24, 24, 24)
ACCEPTED = "#0072B2"  # colours of frames around images
REJECTED = "0.6"
TRUTH = "#2E8B57"
NEUTRAL = "#999999"  # around what is of no condition


@styled
def contact_sheet(images: Sequence[np.ndarray], titles: Sequence[str], ncols: int,
                  good: Sequence[bool] | None = None) -> Figure:
    """Images (H, W, 3) in a grid with a title over each.

    good: accepted or not, shown by the frame (blue, solid; grey, dashed) around each image.
    """
    if not len(images):
        return empty_figure("there is no picture to show")
    ncols = min(ncols, len(images))
    rows = -(-len(images) // ncols)
    words = [_wrapped(str(title)) for title in titles]
    lines = max(text.count("\n") for text in words) + 1
    fig, axes = new_figure(1.75 * ncols, (1.75 + 0.15 * lines) * rows + 0.4, rows, ncols)
    for ax in axes.flat:
        _picture(ax, None)
    for i, (ax, image) in enumerate(zip(axes.flat, images, strict=False)):
        ax.set_axis_on()
        _picture(ax, image)
        ax.set_title(words[i], fontsize=7.5, fontweight="normal", loc="center", pad=3, parse_math=False)
        if good is not None:
            _frame(ax, ACCEPTED if good[i] else REJECTED, "-" if good[i] else "--")
    return fig


def _wrapped(text: str) -> str:
    """Text in lines that fit over a picture; its own lines are kept."""
    return "\n".join(textwrap.fill(line, 26) for line in text.splitlines())


@dataclass(frozen=True)
class Row:
    """One signal in pictures. draw: time step -> image. missing: why there is none."""

    label: str
    draw: Callable[[int], np.ndarray]
    missing: str = ""


@styled
def packet_view(episode: Episode, signals: Signals) -> Figure:
    """One episode's signals over TIMES time steps: RGB, depth, tracks with trails, mask, masked depth.

    A missing signal is an empty row that says why. Depth has one colour scale over the episode.
    """
    length = len(episode.frames)
    times = np.unique(np.linspace(0, length - 1, min(TIMES, length)).round().astype(int))
    rows = packet_rows(episode, signals)
    fig, axes = new_figure(1.35 * len(times) + 0.7, 1.4 * len(rows) + 0.6, len(rows), len(times))
    for axes_row, row in zip(axes, rows, strict=True):
        first = axes_row[0]
        first.set_ylabel(row.label, rotation=0, ha="right", va="center", fontsize=9)
        for ax, t in zip(axes_row, times, strict=True):
            _picture(ax, None if row.missing else row.draw(t), keep=ax is first)
        if row.missing:
            text = first.annotate("missing: " + textwrap.fill(row.missing, 90), (0, 0.5), (6, 0), va="center",
                                  fontsize=9, xycoords="axes fraction", textcoords="offset points", color="0.35",
                                  parse_math=False)
            text.set_in_layout(False)  # it is wider than the axes it is fixed to
    for ax, t in zip(axes[0], times, strict=True):
        ax.set_title(f"t = {t}", fontsize=9, fontweight="normal", loc="center", pad=3)
    makers = {name: escape.plain(signals.made_by[name], 60) for name in SHOWN if name in signals.made_by}
    made = ", ".join(f"{name} by {maker}" for name, maker in makers.items())
    if signals.mask is not None and not signals.mask.any():
        made += " (empty in every frame)"
    named, task = escape.plain(episode.id), escape.plain(episode.task or "no task text")
    title = textwrap.fill(f"{named}: {task} ({length} frames)", 160)
    fig.suptitle(f"{title}\n{textwrap.fill(made, 160)}", x=0.01, ha="left", fontsize=9.5, parse_math=False)
    fig.get_layout_engine().set(w_pad=0.02, h_pad=0.02, wspace=0.01, hspace=0.01)
    return fig


def packet_rows(episode: Episode, signals: Signals) -> list[Row]:
    """What is shown of an episode and its signals, in order."""
    zoom = max(1, round(REFERENCE_SIZE / episode.frames.shape[1]))
    why = {name: why_missing(signals, name) for name in SHOWN}
    tracks = signals.tracks
    visible = signals.visible
    label = "tracks"
    if signals.biased:
        tracks = signals.tracks_fg
        visible = signals.visible_fg
        label = "tracks\n(foreground-\nbiased)"
    near = 0.0
    far = 1.0
    if signals.depth is not None:
        near, far = np.percentile(signals.depth[np.isfinite(signals.depth)], [1, 99])

    def masked_depth(t: int) -> np.ndarray:
        inside = to_supervision(signals.mask[t:t + 1])[0]
        return pixels.draw_depth(signals.depth[t], near, far, inside)

    return [
        Row("RGB", lambda t: episode.frames[t]),
        Row("depth", lambda t: pixels.draw_depth(signals.depth[t], near, far), why["depth"]),
        Row(label, lambda t: pixels.draw_tracks(episode.frames[t], tracks, visible, t, TRAIL, zoom=zoom),
             why["tracks"]),
        Row("mask", lambda t: pixels.draw_mask(episode.frames[t] // 2, signals.mask[t], 0.6), why["mask"]),
        Row("masked\ndepth", masked_depth, " ".join(filter(None, (why["depth"], why["mask"])))),
    ]


def why_missing(signals: Signals, name: str) -> str:
    """Why a signal is missing, as plain text; empty where it is there."""
    if getattr(signals, name) is not None:
        return ""
    why = escape.plain(signals.missing.get(name, "")).strip()
    return why or f"The {name} signal is not there, and its maker did not say why."


@dataclass(frozen=True)
class RolloutColumn:
    """One column of Figure 4.

    name: what the column head says ("ground truth", "persistence", "A retrieval", "B decoder").
    condition: whose colour it takes; empty for the ground truth and persistence.
    frames: (S, H, W, 3) uint8, one per rollout step.
    notes: S short texts under the images (retrieved frame's id and distance), or empty.
    """

    name: str
    frames: np.ndarray
    condition: str = ""
    notes: Sequence[str] = ()

    @property
    def colour(self) -> str:
        """Of the frame around its images."""
        if self.condition:
            return colour(self.condition)
        return TRUTH if self.name == "ground truth" else NEUTRAL


@styled
def rollout_strip(columns: Sequence[RolloutColumn], steps: Sequence[int], show: Sequence[int],
                  title: str) -> Figure:
    """Figure 4: a column per source of images, a row per rollout step.

    Args:
        columns: ground truth first; all with as many frames as there are `steps`.
        steps: the rollout steps (1 …) that the frames belong to.
        show: which of them get a row.
    """
    indices = [list(steps).index(s) for s in show]
    noted = any(len(c.notes) for c in columns)
    fig, axes = new_figure(1.75 * len(columns) + 0.7, (1.95 if noted else 1.75) * len(indices) + 0.9, len(indices),
                           len(columns))
    for row, i in zip(axes, indices, strict=True):
        row[0].set_ylabel(f"+{steps[i]}", rotation=0, ha="right", va="center", fontsize=10)
        for ax, column in zip(row, columns, strict=True):
            _picture(ax, column.frames[i], keep=True)
            _frame(ax, column.colour)
            if len(column.notes):
                ax.set_xlabel(_wrapped(column.notes[i]), fontsize=7.5, labelpad=2, parse_math=False)
    for ax, column in zip(axes[0], columns, strict=True):
        ax.set_title(textwrap.fill(column.name, 20), fontsize=9, loc="center", color=column.colour, pad=4)
    fig.suptitle(textwrap.fill(title, int(fig.get_figwidth() * 14)), x=0.01, ha="left", fontsize=10, parse_math=False)
    return fig


def rollout_row(columns: Sequence[RolloutColumn], steps: Sequence[int], i: int, size: int) -> np.ndarray:
    """One step of the rollout as one image: the columns side by side with name, image and note, on a dark ground."""
    gap = 6
    head = 22
    foot = 34
    sheet = Image.new("RGB", (len(columns) * (size + gap) + gap, head + size + foot), DARK)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(12)
    small = ImageFont.load_default(11)
    for k, column in enumerate(columns):
        x = gap + k * (size + gap)
        draw.text((x, 4), column.name, fill="white", font=font)
        sheet.paste(Image.fromarray(column.frames[i]).resize((size, size), Image.Resampling.NEAREST), (x, head))
        draw.rectangle((x - 1, head - 1, x + size, head + size), outline=column.colour, width=2)
        note = f"step +{steps[i]}" if k == 0 else ""
        if len(column.notes):
            note = column.notes[i]
        draw.multiline_text((x, head + size + 4), note, fill="#CCCCCC", font=small, spacing=2)
    return np.asarray(sheet)


def rollout_animation(columns: Sequence[RolloutColumn], steps: Sequence[int], path: Path) -> Path:
    """Figure 4 as a GIF, one image per rollout step, written atomically."""
    images = [Image.fromarray(rollout_row(columns, steps, i, STEP_SIZE)) for i in range(len(steps))]
    palette = Image.fromarray(np.concatenate([np.asarray(image) for image in images])).quantize(256)
    images = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images]
    with replacing(path) as temporary:
        images[0].save(temporary, format="GIF", save_all=True, append_images=images[1:],
                       duration=round(1000 * STEP_SECONDS), loop=0, optimize=False, disposal=1)
    return path


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
