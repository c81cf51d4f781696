"""The charts of the controls' arms: an effect arm by arm, and quantities along training or along an area.

As in `plots`: functions from tables to Matplotlib figures.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullFormatter

from lewm_core.conditions import in_order
from lewm_core.viz.data_figures import need
from lewm_core.viz.paper_figures import METRICS
from lewm_core.viz.style import SPLIT, colour, new_figure, styled, title


@styled
def effects_by_arm(changes: pd.DataFrame, summary: pd.DataFrame, arms: Sequence[str], caption: str = "",
                   metric: str = "mse", split: str = "episode") -> Figure:
    """The change against A in every arm, a panel per condition: mean, 95 % interval, and a small point per seed.

    changes, summary: as from statistics.paired_change and statistics.summarise. arms: their scales to be drawn, from
    above.
    """
    rows, means = (t[(t.metric == metric) & (t.split == split) & t.scale.isin(arms)] for t in (changes, summary))
    need(rows, "effects by arm", ["condition", "scale", "seed", "change"])
    names = in_order(rows.condition)
    fig, axes = new_figure(2.0 + 3.0 * len(names), 1.5 + 0.42 * len(arms), 1, len(names), caption=caption, sharey=True,
                           sharex=True)
    for ax, name in zip(axes[0], names, strict=True):
        ax.axvline(0, color="0.4", linewidth=1)
        for row in means[means.condition == name].itertuples():
            y = list(arms).index(row.scale)
            ax.plot([row.low, row.high], [y, y], color=colour(name), linewidth=2.4, solid_capstyle="butt")
            ax.plot([row.mean], [y], marker="o", markersize=8, color=colour(name), gid=f"{name}/{row.scale}/mean")
            seeds = rows[(rows.condition == name) & (rows.scale == row.scale)]
            ax.scatter(seeds.change, np.full(len(seeds), y + 0.22), s=13, color=colour(name), alpha=0.7, linewidth=0)
        ax.set_title(f"{name}: {title(name)}" if title(name) else name, fontsize=10)
        ax.set_xlabel("change against A (%)")
        ax.grid(axis="y", visible=False)
    axes[0, 0].set_yticks(range(len(arms)), arms)
    axes[0, 0].set_ylim(len(arms) - 0.5, -0.5)
    n = sorted(set(means.n))
    told = f"n = {n[0]}" if len(n) == 1 else f"n = {n[0]} to {n[-1]}"
    handles = [(Line2D([], [], color="0.3", marker="o", markersize=8),
                f"{METRICS.get(metric, metric)}: mean and 95 % interval ({told}), {SPLIT.get(split, split)}"),
               (Line2D([], [], color="0.3", marker="o", markersize=4, linestyle="none"), "one seed")]
    fig.legend(*zip(*handles, strict=True), loc="outside upper left", ncols=2)
    return fig


@styled
def curves_by_panel(table: pd.DataFrame, xlabel: str, caption: str = "", log: bool = False,
                    marks: Mapping[str, float] | None = None, order: Sequence[str] = ()) -> Figure:
    """A quantity over x for several series: their mean thick, each repeat (seed, episode) thin; a panel per quantity.

    table: columns panel, unit (its y label), series, repeat, x, value. log: both axes, and the thick line is then the
    geometric mean; values that are not above 0 are left out. marks: name -> x of a vertical line. order: of the series.
    """
    need(table, "curves", ["panel", "unit", "series", "repeat", "x", "value"])
    table = table[np.isfinite(table.value) & ((table.value > 0) | (not log))]
    panels, names = list(dict.fromkeys(table.panel)), list(dict.fromkeys([*order, *table.series]))
    paired = dict(zip(names, sns.color_palette("colorblind"), strict=False))
    fig, axes = new_figure(3.6 * max(1, len(panels)) + 0.8, 4.4, 1, max(1, len(panels)), caption=caption)
    for ax, panel in zip(axes[0], panels, strict=False):
        rows = table[table.panel == panel]
        if not log and rows.value.min() < 0:
            ax.axhline(0, color="0.4", linewidth=1)
        for i, name in enumerate(names):
            wide = rows[rows.series == name].pivot(index="x", columns="repeat", values="value")
            if wide.empty:
                continue
            mean = np.exp(np.log(wide).mean(axis=1)) if log else wide.mean(axis=1)
            ax.plot(wide.index, wide, color=paired[name], linewidth=0.7, alpha=0.3)
            ax.plot(mean.index, mean, color=paired[name], linewidth=2, marker="o", markersize=4, label=name,
                    linestyle=("-", (0, (4, 1.5)))[i % 2], gid=f"{panel}/{name}/mean")
        for k, (name, x) in enumerate((marks or {}).items()):
            ax.axvline(x, color="0.6", linewidth=1, linestyle=":")
            ax.annotate(name, (x, 1), xycoords=("data", "axes fraction"), xytext=(2, -10 - 10 * (k % 2)), fontsize=8,
                        textcoords="offset points", color="0.4")
        if log:
            ax.set_xscale("log")
            ax.set_yscale("log")
            ax.set_xticks(sorted(set(table.x)), [f"{100 * x:.3g} %" for x in sorted(set(table.x))])
            ax.xaxis.set_minor_formatter(NullFormatter())
        ax.set_title(panel, fontsize=10)
        ax.set(xlabel=xlabel, ylabel=rows.unit.iloc[0])
    handles = {label: h for ax in axes[0] for h, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    fig.legend(handles.values(), handles.keys(), loc="outside upper left", ncols=2, handlelength=3)
    return fig
