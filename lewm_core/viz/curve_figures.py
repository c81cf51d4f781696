"""Figures of curves: gradients along training, the effect over the loss's weight, any quantity over steps or areas.

Functions from a table to a Matplotlib figure. A thin line is a repeat (a seed, an episode), a thick one their mean.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from lewm_core.conditions import in_order
from lewm_core.viz import draw, style
from lewm_core.viz.style import colour, rows_where

GRADIENTS = {  # columns of a gradient table: y label
    "cosine": "cosine with the\nprediction's gradient", "ratio": "norm over the\nprediction's (log scale)",
}
DASHES = ("-", (0, (4, 1.5)))  # so that two lines that lie on each other are both seen


@style.styled
def gradient_cosines(table: pd.DataFrame) -> Figure:
    """Do a head's gradient and the prediction's conflict along training? Cosine above, ratio of norms below.

    table: columns condition, scale, seed, head, step, cosine, and ratio (the head's norm over the prediction's). A
    column per scale.
    """
    if table.empty:
        return style.empty_figure("no condition with a head")
    scales = style.scales_of(table)
    fig, axes = style.new_figure(4.3 * len(scales) + 0.8, 6.0, 2, len(scales), sharex="col", sharey="row")
    lines = list(table[["condition", "head"]].drop_duplicates().itertuples(index=False))
    for j, scale in enumerate(scales):
        for name, head in lines:
            rows = rows_where(table, scale=scale, condition=name, head=head)
            first = next(other for condition, other in lines if condition == name)
            for ax, quantity in zip(axes[:, j], GRADIENTS, strict=True):
                wide = rows.pivot_table(index="step", columns="seed", values=quantity)
                draw.seeds_and_mean(ax, wide, colour(name), f"{name}, {head} head",
                                    f"{name}/{head}/{scale}/{quantity}", linestyle="-" if head == first else "--")
        draw.zero_line(axes[0, j])
        axes[0, j].set_title(scale)
        axes[-1, j].set_xlabel("optimizer step")
    for ax, label in zip(axes[:, 0], GRADIENTS.values(), strict=True):
        ax.set_ylabel(label)
    draw.log_axis(axes[1, 0])
    draw.legend(fig, draw.labelled(*axes[0]), 4)
    return fig


@style.styled
def weight_curve(table: pd.DataFrame, changes: pd.DataFrame, used: float) -> Figure:
    """Effect against the weight of the auxiliary loss: a row per scale, a panel per condition, with its seeds.

    table: columns condition, scale, weight (above 0), mean, low, high (per cent, as from paired.summarise). changes: of
    the seeds: condition, scale, weight, seed, change. used: the weight of all other runs (the paper's), drawn as a
    vertical line.
    """
    if table.empty:
        return style.empty_figure("no condition but the baseline")
    scales = style.scales_of(table)
    names = in_order(table.condition)
    fig, axes = style.new_figure(1.0 + 2.6 * max(2, len(names)), 0.8 + 2.5 * len(scales), len(scales), len(names),
                                 sharey="row", sharex=True)
    for line, scale in zip(axes, scales, strict=True):
        for ax, name in zip(line, names, strict=True):
            own = {"condition": name, "scale": scale}
            _weights(ax, rows_where(table, **own), rows_where(changes, **own), f"{name}/{scale}", used)
            ax.set_title(f"{style.name_and_title(name)}, {scale}", fontsize=9.5)
            draw.sizes_axis(ax, sorted(set(table.weight)))
        line[0].set_ylabel("change in next-latent\nMSE against A (%)")
    for ax in axes[-1]:
        ax.set_xlabel("weight of the auxiliary loss")
    entries = [draw.seed_key(), draw.key("mean and 95 % interval", linestyle="-"),
               draw.line_key(f"weight of the other runs ({used:g})", color="0.6", linestyle="--")]
    draw.legend(fig, entries, 3)
    return fig


def _weights(ax: Axes, rows: pd.DataFrame, seeds: pd.DataFrame, gid: str, used: float) -> None:
    """One condition at one scale: means joined over the weights, each with its interval and its seeds beside it."""
    rows = rows.sort_values("weight")
    draw.zero_line(ax)
    ax.axvline(used, color="0.6", linewidth=1, linestyle="--", zorder=0)
    if rows.empty:
        return
    shade = colour(rows.condition.iloc[0])
    ax.plot(rows.weight, rows["mean"], color=shade, linewidth=1.5, gid=f"{gid}/mean")
    for row in rows.itertuples():
        draw.effect(ax, row.weight, row, shade, f"{gid}/{row.weight:g}")
        draw.seed_dots(ax, 1.22 * row.weight, rows_where(seeds, weight=row.weight), shade, f"{gid}/{row.weight:g}",
                       spread=0)


@style.styled
def curves_by_panel(table: pd.DataFrame, xlabel: str, log: bool = False, marks: Mapping[str, float] | None = None,
                    order: Sequence[str] = ()) -> Figure:
    """A quantity over x for several series: their mean thick, each repeat (seed, episode) thin; a panel per quantity.

    table: columns panel, unit (its y label), series, repeat, x, value. log: both axes, and the thick line is then the
    geometric mean; values that are not above 0 are left out. marks: name -> x of a vertical line. order: of the
    series.
    """
    table = table[np.isfinite(table.value.astype(float)) & ((table.value > 0) | (not log))]
    if table.empty:
        return style.empty_figure("nothing was measured")
    panels = list(dict.fromkeys(table.panel))
    names = list(dict.fromkeys([*order, *table.series]))
    shades = sns.color_palette("colorblind")
    fig, axes = style.new_figure(3.6 * len(panels) + 0.8, 4.4, 1, len(panels))
    for ax, panel in zip(axes[0], panels, strict=True):
        rows = table[table.panel == panel]
        if not log and rows.value.min() < 0:
            draw.zero_line(ax)
        for i, name in enumerate(names):
            wide = rows[rows.series == name].pivot(index="x", columns="repeat", values="value")
            mean = np.exp(np.log(wide).mean(axis=1)) if log else None
            draw.seeds_and_mean(ax, wide, shades[i % 10], name, f"{panel}/{name}/mean", mean, marker="o",
                                 markersize=4, linestyle=DASHES[i % 2])
        _vertical_lines(ax, marks or {})
        if log:
            _percent_axis(ax, sorted(set(table.x)))
        ax.set_title(panel, fontsize=10)
        ax.set(xlabel=xlabel, ylabel=rows.unit.iloc[0])
    draw.legend(fig, draw.labelled(*axes[0]), 2, handlelength=3)
    return fig


def _vertical_lines(ax: Axes, marks: Mapping[str, float]) -> None:
    """A dotted line at each place with its name at the top."""
    for k, (name, x) in enumerate(marks.items()):
        ax.axvline(x, color="0.6", linewidth=1, linestyle=":")
        ax.annotate(name, (x, 1), xycoords=("data", "axes fraction"), xytext=(2, -10 - 10 * (k % 2)), fontsize=8,
                    textcoords="offset points", color="0.4")


def _percent_axis(ax: Axes, shares: Sequence[float]) -> None:
    """Both axes logarithmic, the lower one labelled at `shares` in per cent."""
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xticks(shares, [f"{100 * share:.3g} %" for share in shares])
    ax.xaxis.set_minor_formatter(NullFormatter())
