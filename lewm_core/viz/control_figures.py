"""Figures of the controls: is the sign flip real, and what is it made of?

Each function takes tables and returns a Matplotlib figure. What the paper reports is a star. `split=None` takes the
episode split where episodes were held out, else the window split.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import NullFormatter, PercentFormatter

from lewm_core.conditions import condition, in_order
from lewm_core.stats import paper
from lewm_core.stats.scaling import Crossing
from lewm_core.viz import draw, style
from lewm_core.viz.style import OTHER_COLOURS, SPLIT, colour, rows_where

FAMILY = {"C": "#00785D", "C-rnd": "#D55E00", "C-ff": "#CC79A7"}  # regions: colours of families, not of conditions
ROUTES = {"cls": "CLS\nhead", "patch": "patch\nhead", "pp": "patch\npredictor"}  # how a signal reaches the model
NO_RUNS = "no condition but the baseline"


@style.styled
def effect_against_size(crossings: Mapping[str, Crossing], changes: pd.DataFrame, sizes: Mapping[str, float],
                        metric: str = "mse", split: str | None = None) -> Figure:
    """The effect at each size with its interval, and where its interpolated mean crosses zero; a panel per condition.

    Args:
        crossings: condition -> as from scaling.crossing, of `metric` and `split`.
        changes: as from paired.paired_change; its seeds are drawn. sizes: scale -> episodes.
    """
    if not crossings:
        return style.empty_figure(NO_RUNS)
    split = split or _first_split(changes)
    seeds = changes[(changes.metric == metric) & (changes.split == split) & changes.scale.isin(list(sizes))]
    names = in_order(crossings)
    fig, axes = style.new_figure(3.7 * len(names) + 0.8, 4.6, 1, len(names), sharey=True)
    for ax, name in zip(axes[0], names, strict=True):
        crossing, shade = crossings[name], colour(name)
        draw.zero_line(ax)
        ax.fill_between(crossing.band["size"], crossing.band.low, crossing.band.high, color=shade, alpha=0.14,
                        linewidth=0, gid=f"{name}/band")
        ax.plot(crossing.sizes, crossing.means, color=shade, linewidth=1.5, gid=f"{name}/line")
        effects = pd.DataFrame({"mean": crossing.means, "low": crossing.lows, "high": crossing.highs})
        for x, row in zip(crossing.sizes, effects.itertuples(), strict=True):
            draw.effect(ax, x, row, shade, f"{name}/{x:g}")
        for scale, rows in seeds[seeds.condition == name].groupby("scale"):
            draw.seed_dots(ax, 1.06 * sizes[scale], rows, shade, f"{name}/{scale}", spread=0)
        for scale, episodes in paper.EPISODES.items():
            draw.paper_star(ax, episodes, paper.reported(3, scale), name, f"{name}/{scale}")
        _draw_crossing(ax, crossing, name)
        draw.sizes_axis(ax, crossing.sizes)
        ax.set_title(f"{style.name_and_title(name)}\n{_crosses(crossing)}", fontsize=10)
        ax.set_xlabel("episodes (log scale)")
    axes[0, 0].set_ylabel(f"change in {style.metric_label(metric)} against A (%)")
    n = draw.n_label(k for crossing in crossings.values() for k in crossing.n)
    entries = [draw.mean_key(f"mean and 95 % interval ({n}), {SPLIT[split]}"), draw.seed_key(),
               (Patch(color="0.3", alpha=0.14), "95 % band between sizes"),
               draw.line_key("95 % interval of the crossing", color="0.25", linewidth=4, alpha=0.35),
               draw.paper_key(3)]
    draw.legend(fig, entries, 2 if len(names) < 3 else 5)
    return fig


def _draw_crossing(ax: Axes, crossing: Crossing, name: str) -> None:
    """Where the effect crosses zero, with its interval, low in the panel so that it does not hide the means."""
    smallest, largest = crossing.sizes[0], crossing.sizes[-1]
    low, high = np.clip([crossing.low, crossing.high], smallest, largest)
    if not np.isfinite([low, high]).all():
        return
    at = ax.get_xaxis_transform()
    ax.plot([low, high], [0.05, 0.05], color="0.25", linewidth=4, alpha=0.35, solid_capstyle="butt", transform=at,
            gid=f"{name}/crossing/interval")
    for end, edge, arrow in ((crossing.low, low, "<"), (crossing.high, high, ">")):
        if not 0 < end < np.inf and low < high:  # it goes on beyond the sizes
            ax.plot([edge], [0.05], marker=arrow, markersize=9, color="0.6", transform=at)
    if 0 < crossing.size < np.inf:
        ax.plot([crossing.size], [0.05], marker="|", markersize=14, markeredgewidth=2, color="0.1", transform=at,
                gid=f"{name}/crossing")


def _crosses(crossing: Crossing) -> str:
    if not 0 < crossing.size < np.inf:
        return "no crossing"
    return f"crosses 0 at {crossing.size:.0f}" + ("" if crossing.shown else ", within noise")


@style.styled
def effects_by_arm(changes: pd.DataFrame, summary: pd.DataFrame, arms: Sequence[str], metric: str = "mse",
                   split: str | None = None) -> Figure:
    """The change against A in every arm, a panel per condition: mean, 95 % interval, and a small point per seed.

    changes, summary: as from paired.paired_change and paired.summarise. arms: their scales to be drawn, from above.
    """
    style.need(changes, "effects by arm", ["condition", "scale", "seed", "split", "metric", "change"])
    split = split or _first_split(changes)
    seeds, means = (rows_where(t, metric=metric, split=split) for t in (changes, summary))
    seeds, means = (t[t.scale.isin(list(arms))] for t in (seeds, means))
    if means.empty:
        return style.empty_figure(NO_RUNS)
    names = in_order(means.condition)
    fig, axes = style.new_figure(2.0 + 3.0 * len(names), 1.5 + 0.42 * len(arms), 1, len(names), sharey=True,
                                 sharex=True)
    for ax, name in zip(axes[0], names, strict=True):
        draw.zero_line(ax, sideways=True)
        for row in rows_where(means, condition=name).itertuples():
            y, gid = list(arms).index(row.scale), f"{name}/{row.scale}"
            draw.effect(ax, y, row, colour(name), gid, sideways=True)
            own = rows_where(seeds, condition=name, scale=row.scale)
            draw.seed_dots(ax, y + 0.22, own, colour(name), gid, sideways=True)
        draw.names_axis(ax, arms, sideways=True)
        ax.set_title(style.name_and_title(name), fontsize=10)
        ax.set_xlabel("change against A (%)")
    axes[0, 0].set_ylim(len(arms) - 0.5, -0.5)
    told = f"{style.metric_label(metric)}: mean and 95 % interval ({draw.n_label(means.n)}), {SPLIT[split]}"
    draw.legend(fig, [draw.mean_key(told), draw.seed_key()], 2)
    return fig


def _first_split(table: pd.DataFrame) -> str:
    return next(iter(style.splits_of(table)), "episode")


@style.styled
def area_families(table: pd.DataFrame, metric: str = "mse") -> Figure:
    """Effect against supervised area for families of regions: in the mask, as large at random, and so on.

    table: columns family ("C", "C-rnd", "C-ff", …), condition, area (share of the frame, above 0), mean, low, high
    (per cent, as from paired.summarise). A condition of the family "" (B) belongs to none and stands alone.
    """
    style.need(table, "areas", ["family", "condition", "area", "mean", "low", "high"])
    if table.empty:
        return style.empty_figure("no condition that supervises depth")
    families = [f for f in dict.fromkeys(table.family) if f]
    fig, axes = style.new_figure(7.2, 4.8)
    ax, reported = axes[0, 0], paper.reported(2)
    draw.zero_line(ax)
    for i, family in enumerate([*families, ""]):
        rows = table[table.family == family].sort_values("area")
        if rows.empty:
            continue
        shade = FAMILY.get(family, OTHER_COLOURS[i % 4]) if family else colour(rows.condition.iloc[0])
        shift = 1.08 ** (i - (len(families) - 1) / 2) if family else 1
        ax.plot(rows.area * shift, rows["mean"], color=shade, linewidth=1.3 if family else 0, marker="o", markersize=8,
                label=family or ", ".join(rows.condition), gid=f"{family or 'alone'}/mean")
        for row in rows.itertuples():
            draw.effect(ax, row.area * shift, row, shade, row.condition)
            draw.paper_star(ax, row.area * shift, reported, row.condition, row.condition)
            if i == 0 or not family:  # the others stand beside their partners
                ax.annotate(row.condition, (row.area * shift, np.nanmax([row.mean, row.high])), xytext=(0, 4),
                            ha="center", textcoords="offset points", fontsize=8, color=shade, fontweight="bold")
    ax.set_xscale("log")
    ax.margins(x=0.1, y=0.14)
    ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=None))
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.set(xlabel="share of the frame that is supervised (log scale)",
           ylabel=f"change in {style.metric_label(metric)} against A (%)")
    draw.legend(fig, [*draw.labelled(ax), draw.paper_key(2)], 5)
    return fig


@style.styled
def weight_curve(table: pd.DataFrame, metric: str = "mse", used: float | None = None) -> Figure:
    """Effect against the weight of the auxiliary loss, a panel per scale, a line per condition.

    table: columns condition, scale, weight (above 0), mean, low, high (per cent, as from paired.summarise). used: the
    weight of all other runs (the paper's), drawn as a vertical line.
    """
    style.need(table, "weights", ["condition", "scale", "weight", "mean", "low", "high"])
    if table.empty:
        return style.empty_figure(NO_RUNS)
    scales, names = style.scales_of(table), in_order(table.condition)
    fig, axes = style.new_figure(4.4 * len(scales) + 0.8, 4.4, 1, len(scales), sharey=True)
    for ax, scale in zip(axes[0], scales, strict=True):
        draw.zero_line(ax)
        if used is not None:
            ax.axvline(used, color="0.6", linewidth=1, linestyle="--", label=f"weight of the other runs ({used:g})")
        for i, name in enumerate(names):
            rows = rows_where(table, condition=name, scale=scale).sort_values("weight")
            shift = 1.05 ** (i - (len(names) - 1) / 2)
            ax.plot(rows.weight * shift, rows["mean"], color=colour(name), marker="o", markersize=8, linewidth=1.5,
                    label=name, gid=f"{name}/{scale}/mean")
            for row in rows.itertuples():
                draw.effect(ax, row.weight * shift, row, colour(name), f"{name}/{scale}/{row.weight:g}")
        draw.sizes_axis(ax, sorted(set(table.weight)))
        ax.set_xlabel("weight of the auxiliary loss (log scale)")
        ax.set_title(scale)
    axes[0, 0].set_ylabel(f"change in {style.metric_label(metric)} against A (%)")
    draw.legend(fig, draw.labelled(*axes[0]), 6)
    return fig


@style.styled
def patch_effects(changes: pd.DataFrame, summary: pd.DataFrame, split: str | None = None) -> Figure:
    """Does a signal help more by another route? CLS head, patch head, patch-aware predictor; pilot beside full scale.

    changes, summary: as from paired.paired_change and paired.summarise, each condition against its own baseline.
    """
    style.need(changes, "changes", ["condition", "scale", "split", "change"])
    style.need(summary, "summary", ["condition", "scale", "split", "mean", "low", "high", "n"])
    split = split or _first_split(summary)
    means, seeds = (rows_where(t, split=split) for t in (summary, changes))
    columns = _by_signal(means.condition)
    if not columns:
        return style.empty_figure("no condition that supervises depth or tracks by another route")
    scales = style.scales_of(means)
    fig, axes = style.new_figure(4.6 * len(scales) + 0.8, 4.6, 1, len(scales), sharey=True)
    for ax, scale in zip(axes[0], scales, strict=True):
        draw.zero_line(ax)
        for name, x in columns.items():
            gid = f"{name}/{scale}"
            for row in rows_where(means, condition=name, scale=scale).itertuples():
                draw.effect(ax, x, row, colour(name), gid)
                draw.seed_dots(ax, x - 0.14, rows_where(seeds, condition=name, scale=scale), colour(name), gid)
        ax.set_xticks(list(columns.values()), [f"{name}\n{_route(name)}" for name in columns])
        ax.set_xlim(-0.6, max(columns.values()) + 0.6)
        ax.grid(axis="x", visible=False)
        ax.set_title(f"{scale}: depth (B) and tracks (D) by route")
    baselines = dict.fromkeys(condition(name).baseline for name in columns)
    against = ", ".join(f"{b} for {'pp' if b == 'A-pp' else 'the others'}" for b in baselines)
    axes[0, 0].set_ylabel(f"change in next-latent MSE against the baseline (%)\n{against}", fontsize=9)
    told = f"mean and 95 % interval ({draw.n_label(means.n)}), {SPLIT[split]}"
    draw.legend(fig, [draw.seed_key(), draw.mean_key(told)], 2)
    return fig


def _by_signal(names: pd.Series) -> dict[str, float]:
    """The place of each condition on the axis: first those with depth, then, after a gap, those with tracks."""
    ordered = in_order(names)
    groups = [[n for n in ordered if n.split("-")[0] == signal] for signal in ("B", "D")]
    places, x = {}, 0.0
    for group in filter(None, groups):
        for name in group:
            places[name] = x
            x += 1
        x += 0.5
    return places


def _route(name: str) -> str:
    return ROUTES[name.partition("-")[2] or "cls"]
