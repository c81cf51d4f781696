"""Panels of effects: a row per condition, its change against the baseline, and its numbers in words beside it.

Every panel has its own scale, so that changes of one per cent are seen beside reported ones of fourteen. What lies
beyond a panel's edge is an arrow there, and the number beside the edge says what it is. Behind each mean a grey bar
shows the noise of reruns: where it would lie in 95 % of such studies if the condition changed nothing, by its own
scatter over seeds. A mean outside the bar is one whose interval excludes 0.
"""

import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from lewm_core.conditions import ALL
from lewm_core.stats import paper
from lewm_core.stats.findings import headline
from lewm_core.stats.outcomes import PAPERS, UNTAUGHT
from lewm_core.stats.paired import bounds, digits, number
from lewm_core.viz import draw, style
from lewm_core.viz.level_panels import group
from lewm_core.viz.style import SPLIT, colour, rows_where

NOISE, ABSENT = "0.9", "0.96"  # greys: of the rerun noise, of a row that was not run
ROW, LINE = 0.5, 0.125  # inches of a row of two marks; of a line of small text
WORDS = 7.5  # points of the numbers
NAME = 25  # characters of a line of a condition's title


@dataclass(frozen=True)
class Lane:
    """A mark in every row: the runs of a scale, judged by a split. words: what it is, in titles and the legend."""

    scale: str
    split: str
    words: str
    hollow: bool = False
    marker: str = "o"


def row_height(names: Sequence[str], lanes: int) -> float:
    """Inches of a row, in which the longest title and the marks have room."""
    lines = max((len(_wrapped(name)) for name in names), default=1)
    return max(ROW if lanes > 1 else 0.8 * ROW, LINE * lines + 0.09)


def _wrapped(name: str) -> list[str]:
    return textwrap.wrap(style.name_and_title(name), NAME) or [name]


def effect_panel(ax: Axes, changes: pd.DataFrame, table: pd.DataFrame, names: Sequence[str], lanes: Sequence[Lane],
                 metric: str, against: str = paper.BASELINE) -> None:
    """One metric: a row per name, from above, and in it a mark per lane.

    changes, table: as from `levels.beside_baseline`; a lane without rows of this metric is left out. against: the
    condition that the changes are against.
    """
    changes, table = rows_where(changes, metric=metric), rows_where(table, metric=metric)
    here = [lane for lane in lanes if len(rows_where(table, scale=lane.scale, split=lane.split))]
    changes, table = (t[t.condition.isin(names) & _of(t, here)] for t in (changes, table))
    ax.set_xlim(*limits(changes, table, here))
    draw.zero_line(ax, sideways=True)
    for i, name in enumerate(names):
        if name not in set(table.condition):
            ax.axhspan(i - 0.45, i + 0.45, color=ABSENT, zorder=0, gid=f"{name}/{metric}/absent")
            _beside(ax, i, "", "not run", "0.45")
        for k, lane in enumerate(here):
            own = {"condition": name, "scale": lane.scale, "split": lane.split}
            middle = i + (k - (len(here) - 1) / 2) * 0.9 / len(here)
            for row in rows_where(table, **own).itertuples():
                _mark(ax, middle, row, rows_where(changes, **own), lane, 0.9 / len(here), against)
    _finish(ax, names, "mean", "change in % [95 %]", against)
    signals = [name for name in names if name != against]
    told = [headline(_signals(table, signals, lane), against) for lane in here]
    _title(ax, [(lane.words if len(here) > 1 else "", found) for lane, found in zip(here, told, strict=True)], metric,
           here[0].split if here and here[0].split == here[-1].split else "")


def _of(table: pd.DataFrame, lanes: Sequence[Lane]) -> np.ndarray:
    """Which rows belong to one of the lanes."""
    places = {(lane.scale, lane.split) for lane in lanes}
    return np.array([place in places for place in zip(table.scale, table.split, strict=True)], bool)


def _signals(table: pd.DataFrame, names: Sequence[str], lane: Lane) -> pd.DataFrame:
    """A lane's rows of what the paper calls a signal, in the order of names: neither references nor controls nor the
    positive control."""
    rows = rows_where(table, scale=lane.scale, split=lane.split).set_index("condition")
    signals = [name for name in names if group(name) == 1 and not (name in ALL and ALL[name].control_of)]
    return rows.loc[[name for name in signals if name in rows.index]].reset_index()


def limits(changes: pd.DataFrame, table: pd.DataFrame, lanes: Sequence[Lane]) -> tuple[float, float]:
    """Of a panel's axis: all intervals of the signals and their controls, and 0; of their seeds those that lie no
    further out than half the width of these. Where only references were run, theirs."""
    near = table[[group(name) == 1 for name in table.condition]]
    near = table[~table.condition.isin(UNTAUGHT)] if near.empty else near
    ends = np.array([0.0, *near["mean"], *near.low.dropna(), *near.high.dropna()], float)
    low, high = ends.min(), ends.max()
    reach = 0.5 * (high - low)
    seeds = changes[changes.condition.isin(near.condition)].change.astype(float)
    seeds = seeds[seeds.between(low - reach, high + reach)]
    low, high = min(low, seeds.min() if len(seeds) else low), max(high, seeds.max() if len(seeds) else high)
    pad = 0.06 * (high - low) or 1.0
    return low - pad, high + pad


def _mark(ax: Axes, y: float, row: tuple, seeds: pd.DataFrame, lane: Lane, height: float,
          against: str) -> None:
    """The mean with its interval, over the noise of reruns; its seeds below; its numbers beside the axis."""
    gid = f"{row.condition}/{row.scale}/{row.split}/{row.metric}"
    shade, (left, right) = colour(row.condition), ax.get_xlim()
    inside = left <= row.mean <= right
    if np.isfinite(row.low) and inside:
        half, look = (row.high - row.low) / 2, {"color": NOISE, "linewidth": 0, "zorder": 0.5}
        ax.add_patch(Rectangle((-half, y - 0.46 * height), 2 * half, 0.92 * height, gid=f"{gid}/noise", **look))
    up, down = y - 0.19 * height, y + 0.27 * height
    if inside:
        draw.effect(ax, up, row, shade, gid, hollow=lane.hollow, marker=lane.marker, sideways=True)
        _seeds(ax, down, seeds, shade, gid, lane)
    else:
        _arrow(ax, up, row.mean, shade, f"{gid}/beyond", 6)
    if row.condition == against:
        told = f"0; seeds scatter by {row.scatter:.2g} %" if np.isfinite(row.scatter) else "0 by definition"
    else:
        shown = 0 if abs(row.mean) >= 100 else digits(row.mean, row.low, row.high)
        told = number(row.mean, shown) + bounds(row.low, row.high, shown)
    unit = " cm" if style.metric_label(row.metric).endswith("(cm)") else ""
    _beside(ax, y, style.level_format(row.metric).format(row.level) + unit, told, "0.15")


def _seeds(ax: Axes, y: float, seeds: pd.DataFrame, shade: str, gid: str, lane: Lane) -> None:
    """A dot per seed, an arrow at the edge for one that lies beyond it."""
    if seeds.empty:
        return
    left, right = ax.get_xlim()
    inside = seeds.change.astype(float).between(left, right)
    draw.seed_dots(ax, y, seeds[inside], shade, gid, hollow=lane.hollow, sideways=True, spread=0.02)
    for row in seeds[~inside].itertuples():
        _arrow(ax, y, row.change, shade, f"{gid}/seed {row.seed} beyond", 4)


def _arrow(ax: Axes, y: float, value: float, shade: str, gid: str, size: float) -> None:
    """An arrow at the edge beyond which a value lies."""
    left, right = ax.get_xlim()
    up = value > right
    ax.plot([right if up else left], [y], marker=">" if up else "<", markersize=size, color=shade, clip_on=False,
            zorder=3, gid=gid)


def _beside(ax: Axes, y: float, level: str, change: str, shade: str) -> None:
    """Two columns of words to the right of a panel: where a condition stands, and by how much it differs from A."""
    look = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points", "fontsize": WORDS, "va": "center",
            "color": shade, "annotation_clip": False}
    ax.annotate(level, (1, y), xytext=(46, 0), ha="right", **look)
    ax.annotate(change, (1, y), xytext=(54, 0), ha="left", **look)


def _finish(ax: Axes, names: Sequence[str], level: str, change: str, against: str = paper.BASELINE) -> None:
    """The rows' names, thin lines between them, and what the axis and the columns beside it are."""
    first = ax.get_subplotspec().is_first_col()
    labels = ["\n".join(_wrapped(name)) if first else name for name in names]
    ax.set_yticks(range(len(names)), labels, fontsize=8)
    for tick in ax.get_yticklabels():
        tick.set_parse_math(False)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.grid(axis="y", visible=False)
    for i in range(1, len(names)):
        apart = group(names[i]) != group(names[i - 1])
        ax.axhline(i - 0.5, color="0.6" if apart else "0.93", linewidth=0.8, zorder=0)
    ax.set_xlabel(f"change against {against} (%), left is better", fontsize=8.5)
    for text, place, side in ((level, 46, "right"), (change, 54, "left")):
        ax.annotate(text, (1, 1), xytext=(place, 3), xycoords="axes fraction", textcoords="offset points", ha=side,
                    va="bottom", fontsize=WORDS, color="0.4", annotation_clip=False)


def _title(ax: Axes, told: Sequence[tuple[str, str]], metric: str, split: str) -> None:
    """The finding as the title. told: of each lane its name (empty for the only one) and what it found. split: of all
    lanes, where they share one."""
    name = style.metric_label(metric) + (", the paper's metric" if metric == PAPERS else "")
    lines = textwrap.wrap(f"{name}, {SPLIT[split]}" if split else name, 52)
    for words, found in told:
        together = re.sub(r" (?=%|[+−]\d|0\b)", "\xa0", found)  # a condition and its number stay on one line
        lines += textwrap.wrap(f"{words}: {together}" if words else together, 52)
    ax.set_title("\n".join(lines), fontsize=9.5, pad=16)


def paper_panel(ax: Axes, names: Sequence[str], figure: int, lanes: Sequence[Lane]) -> None:
    """What the paper reports, at its own scale, in the same rows; it gives no intervals and no seeds."""
    scales = [scale for scale in dict.fromkeys(lane.scale for lane in lanes) if len(paper.reported(figure, scale))]
    values = pd.concat([paper.reported(figure, scale) for scale in scales]) if scales else pd.Series(dtype=float)
    shown = [0.0, *values[values.index.isin(names)]]
    pad = 0.1 * (max(shown) - min(shown)) or 1.0
    ax.set_xlim(min(shown) - pad, max(shown) + pad)
    draw.zero_line(ax, sideways=True)
    for i, name in enumerate(names):
        for k, scale in enumerate(scales):
            y, reported = i + (k - (len(scales) - 1) / 2) * 0.9 / len(scales), paper.reported(figure, scale)
            if name in reported:
                ax.plot([reported[name]], [y], **draw.PAPER, gid=f"{name}/{scale}/paper")
                _beside(ax, y, "", number(reported[name]) + (f", {scale}" if len(scales) > 1 else ""), "0.15")
    _finish(ax, names, "", "reported, %")
    ax.set_title("\n".join(textwrap.wrap(f"What the paper reports in its Figure {figure}, by its next-latent MSE, at "
                                         "its own scale: real robots, no intervals", 52)), fontsize=9.5, pad=16)


def panel_grid(rows: int, names: Sequence[str], lanes: int, notes: Sequence[str]) -> tuple[Figure, np.ndarray]:
    """A figure of rows × 2 panels and below them the notes, wrapped; its panels."""
    width = 10.6
    lines = [line for note in notes for line in textwrap.wrap(note, int(width * 14.5))]
    panel, below = row_height(names, lanes) * len(names) + 0.2, 0.05 + 0.15 * len(lines)
    fig = style.Chart(figsize=(width, rows * (panel + 1.25) + below + 0.75), layout="constrained")
    grid = fig.add_gridspec(rows + bool(lines), 2, height_ratios=[*[panel] * rows, *[below] * bool(lines)])
    axes = np.array([[fig.add_subplot(grid[i, j]) for j in range(2)] for i in range(rows)])
    if lines:
        ax = fig.add_subplot(grid[rows, :])
        ax.set_axis_off()
        ax.text(0, 1, "\n".join(lines), va="top", fontsize=8, color="0.25", parse_math=False, gid="notes")
    return fig, axes


def keys(table: pd.DataFrame, lanes: Sequence[Lane]) -> list[draw.Entry]:
    """The legend of effect panels: a seed, a mean by lane, the noise, the edge."""
    entries = [draw.seed_key()]
    for lane in lanes:
        n = rows_where(table, scale=lane.scale, split=lane.split).n
        look = {"markerfacecolor": "white", "markersize": 6} if lane.hollow else {"markersize": 8}
        entries.append(draw.key(f"{lane.words}: mean and 95 % interval ({draw.n_label(n)})", linestyle="-",
                                marker=lane.marker, **look))
    entries.append((Patch(facecolor=NOISE), "noise of reruns: 95 % of means if the condition changed nothing"))
    entries.append(draw.key("beyond the edge: see the number", marker=">", markersize=6))
    return entries


def splits(table: pd.DataFrame, scale: str) -> list[Lane]:
    """A lane per split of one scale: the one that claims rest on filled, the other hollow below it."""
    return [Lane(scale, split, SPLIT[split], hollow=k > 0) for k, split in enumerate(style.splits_of(table))]
