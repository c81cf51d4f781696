"""What several figures draw: an effect with its seeds and interval, the paper's value, a zero line, a legend, an axis.

Colour stands for the condition, so legends are drawn in neutral grey. What the paper reports is a star.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullFormatter, PercentFormatter

from lewm_core.stats.paired import n_label
from lewm_core.viz.style import SPLIT

PAPER = {"marker": "*", "color": "black", "markersize": 11, "markerfacecolor": "white", "linestyle": "none"}
THIN = {"color": "0.4", "linewidth": 1}  # the line that effects are read against
Entry = tuple[Artist, str]  # of a legend


def zero_line(ax: Axes, at: float = 0, sideways: bool = False) -> None:
    """The line of no effect: horizontal, or vertical where the values run sideways."""
    line = ax.axvline if sideways else ax.axhline
    line(at, **THIN)


def effect(ax: Axes, at: float, row: tuple, shade: str, gid: str, *, hollow: bool = False,
           marker: str = "o", sideways: bool = False) -> None:
    """The mean of an effect with its 95 % interval; the mean alone where there is no interval (one seed).

    at: place on the other axis. row: has mean, low and high. hollow: lighter, for the second of two kinds.
    gid: names the marks in the figure, `gid`/mean and `gid`/interval.
    """
    if np.isfinite(row.low):
        values = [row.low, row.high]
        places = [at, at]
        ax.plot(*_turned(places, values, sideways), color=shade, linewidth=1.4 if hollow else 2.4,
                solid_capstyle="butt", zorder=2, gid=f"{gid}/interval")
    ax.plot(*_turned([at], [row.mean], sideways), marker=marker, markersize=6 if hollow else 8, color=shade,
            markerfacecolor="white" if hollow else shade, zorder=3, gid=f"{gid}/mean")


def seed_dots(ax: Axes, at: float, rows: pd.DataFrame, shade: str, gid: str, *, value: str = "change",
              hollow: bool = False, sideways: bool = False, spread: float = 0.03) -> None:
    """A small point per seed, named `gid`/seeds; spread a little, so that equal ones can be told apart.

    rows: a row per seed with the column `value`. spread: to either side of `at`; 0 on a logarithmic axis.
    """
    values = rows.sort_values("seed")[value].to_numpy(float)
    shifts = np.linspace(-spread, spread, len(values)) if len(values) > 1 else np.zeros(len(values))
    ax.scatter(*_turned(at + shifts, values, sideways), s=14, linewidth=0.9, alpha=0.8,
               facecolor="none" if hollow else shade, edgecolor=shade, zorder=2, gid=f"{gid}/seeds")


def _turned(places: Sequence[float], values: Sequence[float], sideways: bool) -> tuple:
    return (values, places) if sideways else (places, values)


def paper_star(ax: Axes, at: float, reported: pd.Series, condition: str, gid: str) -> None:
    """The value that the paper reports for `condition`, if it does; named `gid`/paper."""
    if condition in reported.index:
        ax.plot([at], [reported[condition]], **PAPER, gid=f"{gid}/paper")


def absent(ax: Axes, at: float, gid: str) -> None:
    """A grey band that says that something was not run; named `gid`/absent."""
    ax.axvspan(at - 0.3, at + 0.3, color="0.95", zorder=0)
    ax.text(at, 0.5, "not run", transform=ax.get_xaxis_transform(), ha="center", va="center", color="0.35", fontsize=9,
            gid=f"{gid}/absent")


def key(label: str, **look: object) -> Entry:
    """A legend's entry: a grey dot by default; `look` as of Line2D."""
    return Line2D([], [], **{"color": "0.3", "linestyle": "none", "marker": "o", "markersize": 8, **look}), label


def line_key(label: str, **look: object) -> Entry:
    """A legend's entry: the thin grey line of no effect by default; `look` as of Line2D."""
    return Line2D([], [], **{**THIN, **look}), label


def seed_key() -> Entry:
    """A legend's entry for the points of `seed_dots`."""
    return key("one seed", markersize=4)


def mean_key(numbers: Iterable[int], split: str = "", of: str = "") -> Entry:
    """A legend's entry for the marks of `effect`: what they are, of how many seeds, judged by which split."""
    label = f"mean and 95 % interval ({n_label(numbers)})"
    if of:
        label = f"{of}: {label}"
    return key(f"{label}, {SPLIT[split]}" if split else label, linestyle="-")


def split_keys(numbers: Iterable[int], splits: Sequence[str]) -> list[Entry]:
    """A legend's entries for `effect` by split: the first is filled, the second hollow."""
    entries = [mean_key(numbers, splits[0] if splits else "")]
    for split in splits[1:]:
        entries.append(key(SPLIT[split], linestyle="-", markerfacecolor="white", markersize=6))
    return entries


def paper_key(figure: int) -> Entry:
    """A legend's entry for `paper_star`."""
    return Line2D([], [], **PAPER), f"reported, paper Figure {figure}"


def labelled(*axes: Axes) -> list[Entry]:
    """What carries a label in any of the axes, once per label."""
    found = {}
    for ax in axes:
        for artist, label in zip(*ax.get_legend_handles_labels(), strict=True):
            found[label] = artist
    return [(artist, label) for label, artist in found.items()]


def legend(fig: Figure, entries: Sequence[Entry], columns: int, **look: object) -> None:
    """The legend above the axes."""
    if entries:
        artists, labels = zip(*entries, strict=True)
        fig.legend(artists, labels, loc="outside upper left", ncols=columns, **look)


def names_axis(ax: Axes, names: Sequence[str], sideways: bool = False) -> None:
    """An axis of names at 0, 1, …: along the bottom, or down the side where the values run sideways."""
    ticks = ax.set_yticks if sideways else ax.set_xticks
    ticks(range(len(names)), names)
    ax.grid(axis="y" if sideways else "x", visible=False)


def sizes_axis(ax: Axes, ticks: Sequence[float]) -> None:
    """A logarithmic x axis that is labelled at its own values only."""
    ax.set_xscale("log")
    ax.set_xticks(ticks, [f"{t:g}" for t in ticks])
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.minorticks_off()
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.margins(x=0.1)


def share_axis(ax: Axes) -> None:
    """A logarithmic x axis of shares of the frame, in per cent."""
    ax.set_xscale("log")
    ax.margins(x=0.12, y=0.16)
    ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=None))
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.set_xlabel("share of the frame that is supervised (log scale)")


def log_axis(ax: Axes) -> None:
    """A logarithmic y axis that is labelled at 1, 2 and 5 times a power of ten."""
    def label(value: float, _: int) -> str:
        return f"{value:g}" if f"{value:e}"[0] in "125" else ""

    ax.set_yscale("log")
    ax.yaxis.set_major_formatter(FuncFormatter(label))
    ax.yaxis.set_minor_formatter(FuncFormatter(label))


def seeds_and_mean(ax: Axes, curves: pd.DataFrame, shade: str, label: str, gid: str, mean: pd.Series | None = None,
                   **look: object) -> None:
    """Curves over the index, a thin one per column and a thick one for their mean; nothing if there are none.

    mean: a mean of another kind. look: of the thick line.
    """
    if curves.empty:
        return
    mean = curves.mean(axis=1) if mean is None else mean
    ax.plot(curves.index, curves, color=shade, linewidth=0.7, alpha=0.35)
    ax.plot(mean.index, mean, **{"color": shade, "linewidth": 1.9, "label": label, "gid": gid, **look})
