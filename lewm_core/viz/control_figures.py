"""Figures of the controls: is the sign flip real, and what is it made of?

Functions from tables to Matplotlib figures. What the paper reports is a star. Unless said, they show next-latent MSE,
on the episode split where episodes were held out, else on the window split.
"""

import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from lewm_core.conditions import FULL_FRAME, PATCH_HEAD, PATCH_PREDICTOR, RANDOM, condition, in_order
from lewm_core.stats import paper
from lewm_core.stats.outcomes import PAPERS, POSITIVE
from lewm_core.stats.scaling import Crossing
from lewm_core.viz import draw, style
from lewm_core.viz.style import colour, rows_where

REGION_COLOURS = {"in the mask": "#00785D", RANDOM: "#D55E00", FULL_FRAME: "#CC79A7"}  # of families of regions
ROUTES = {  # how a signal reaches the model, by what a control varies
    "": "CLS\nhead", PATCH_HEAD: "patch\nhead", PATCH_PREDICTOR: "patch\npredictor",
}
NO_RUNS = "no condition but the baseline"


@style.styled
def effect_against_size(crossings: Mapping[str, Crossing], changes: pd.DataFrame,
                        sizes: Mapping[str, float]) -> Figure:
    """The effect at each size with its interval, and where its interpolated mean crosses zero; a panel per condition.

    crossings: condition -> as from scaling.crossing. changes: as from paired.paired_change; its seeds are drawn. sizes:
    scale -> episodes.
    """
    if not crossings:
        return style.empty_figure(NO_RUNS)
    split = style.first_split(changes)
    seeds = rows_where(changes[changes.scale.isin(list(sizes))], split=split)
    names = in_order(crossings)
    fig, axes = style.new_figure(3.7 * len(names) + 0.8, 4.6, 1, len(names), sharey=True)
    for ax, name in zip(axes[0], names, strict=True):
        crossing = crossings[name]
        shade = colour(name)
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
    axes[0, 0].set_ylabel("change in next-latent MSE against A (%)")
    numbers = [n for crossing in crossings.values() for n in crossing.n]
    entries = [draw.mean_key(numbers, split), draw.seed_key(),
               (Patch(color="0.3", alpha=0.14), "95 % band between sizes"),
               draw.line_key("95 % interval of the crossing", color="0.25", linewidth=4, alpha=0.35),
               draw.paper_key(3)]
    draw.legend(fig, entries, 2 if len(names) < 3 else 5)
    return fig


def _draw_crossing(ax: Axes, crossing: Crossing, name: str) -> None:
    """Where the effect crosses zero, with its interval, low in the panel so that it does not hide the means."""
    smallest = crossing.sizes[0]
    largest = crossing.sizes[-1]
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
    """Where an effect crosses zero, in words."""
    if not 0 < crossing.size < np.inf:
        return "no crossing"
    return f"crosses 0 at {crossing.size:.0f}" + ("" if crossing.shown else ", within noise")


@style.styled
def effects_by_arm(changes: pd.DataFrame, summary: pd.DataFrame, arms: Sequence[str], metric: str = PAPERS) -> Figure:
    """The change against A in every arm, a panel per condition: mean, 95 % interval, and a small point per seed.

    All panels have one scale but that of the positive control, whose effects are many times larger.
    changes, summary: of `metric`, as from paired.paired_change and paired.summarise. arms: their scales to be drawn,
    from above.
    """
    split = style.first_split(changes)
    seeds = rows_where(changes[changes.scale.isin(list(arms))], split=split)
    means = rows_where(summary[summary.scale.isin(list(arms))], split=split)
    if means.empty:
        return style.empty_figure(NO_RUNS)
    names = in_order(means.condition)
    fig, axes = style.new_figure(2.0 + 3.0 * len(names), 1.6 + 0.42 * len(arms), 1, len(names), sharey=True)
    for ax, name in zip(axes[0], names, strict=True):
        draw.zero_line(ax, sideways=True)
        for row in rows_where(means, condition=name).itertuples():
            y = list(arms).index(row.scale)
            gid = f"{name}/{row.scale}"
            draw.effect(ax, y, row, colour(name), gid, sideways=True)
            own = rows_where(seeds, condition=name, scale=row.scale)
            draw.seed_dots(ax, y + 0.22, own, colour(name), gid, sideways=True)
        draw.names_axis(ax, arms, sideways=True)
        ax.set_title("\n".join(textwrap.wrap(style.name_and_title(name), 30)), fontsize=10)
        ax.set_xlabel("change against A (%)")
    axes[0, 0].set_ylim(len(arms) - 0.5, -0.5)
    _one_scale([ax for ax, name in zip(axes[0], names, strict=True) if name != POSITIVE])
    draw.legend(fig, [draw.mean_key(means.n, split, of=style.metric_label(metric)), draw.seed_key()], 2)
    return fig


def _one_scale(axes: Sequence[Axes]) -> None:
    """The same range along x for all of `axes`: the widest that any of them needs."""
    ends = [ax.get_xlim() for ax in axes]
    for ax in axes:
        ax.set_xlim(min(low for low, _ in ends), max(high for _, high in ends))


@style.styled
def area_families(table: pd.DataFrame) -> Figure:
    """Effect against supervised area for families of regions: in the mask, as large at random, and so on.

    table: columns condition, area (share of the frame, above 0), mean, low, high (per cent, as from paired.summarise).
    A condition that does not supervise a region (B) stands alone.
    """
    if table.empty:
        return style.empty_figure("no condition that supervises depth")
    series = table.condition.map(_region)
    names = [name for name in dict.fromkeys(series) if name in REGION_COLOURS]
    fig, axes = style.new_figure(7.2, 4.8)
    ax = axes[0, 0]
    reported = paper.reported(2)
    draw.zero_line(ax)
    for name in [*names, *(n for n in dict.fromkeys(series) if n not in names)]:
        rows = table[series == name].sort_values("area")
        alone = name not in names
        shade = colour(name) if alone else REGION_COLOURS[name]
        shift = 1.0 if alone else 1.08 ** (names.index(name) - (len(names) - 1) / 2)
        ax.plot(rows.area * shift, rows["mean"], color=shade, linewidth=0 if alone else 1.3, marker="o", markersize=8,
                label=name, gid=f"{name}/mean")
        for row in rows.itertuples():
            x = row.area * shift
            draw.effect(ax, x, row, shade, row.condition)
            draw.paper_star(ax, x, reported, row.condition, row.condition)
            if alone or name == names[0]:  # the others stand beside their partners
                ax.annotate(row.condition, (x, np.nanmax([row.mean, row.high])), xytext=(0, 4), ha="center",
                            textcoords="offset points", fontsize=8, color=shade, fontweight="bold")
    draw.share_axis(ax)
    ax.set_ylabel("change in next-latent MSE against A (%)")
    draw.legend(fig, [*draw.labelled(ax), draw.paper_key(2)], 3)
    return fig


def _region(name: str) -> str:
    """The family of regions that a condition supervises; its own name if it supervises none of them."""
    row = condition(name)
    return row.variant or "in the mask" if row.family == "mask" else name


@style.styled
def patch_effects(changes: pd.DataFrame, summary: pd.DataFrame) -> Figure:
    """Does a signal help more by another route? CLS head, patch head, patch-aware predictor; pilot beside full scale.

    changes, summary: as from paired.paired_change and paired.summarise, each condition against its own baseline.
    """
    split = style.first_split(summary)
    means = rows_where(summary, split=split)
    seeds = rows_where(changes, split=split)
    columns = _by_family(means.condition)
    if not columns:
        return style.empty_figure("no condition that supervises depth or tracks by another route")
    scales = style.scales_of(means)
    families = dict.fromkeys(condition(name).family for name in columns)
    fig, axes = style.new_figure(4.6 * len(scales) + 0.8, 4.6, 1, len(scales), sharey=True)
    for ax, scale in zip(axes[0], scales, strict=True):
        draw.zero_line(ax)
        for name, x in columns.items():
            gid = f"{name}/{scale}"
            for row in rows_where(means, condition=name, scale=scale).itertuples():
                draw.effect(ax, x, row, colour(name), gid)
                draw.seed_dots(ax, x - 0.14, rows_where(seeds, condition=name, scale=scale), colour(name), gid)
        labels = [f"{name}\n{ROUTES.get(condition(name).variant, '')}" for name in columns]
        ax.set_xticks(list(columns.values()), labels)
        ax.set_xlim(-0.6, max(columns.values()) + 0.6)
        ax.grid(axis="x", visible=False)
        ax.set_title(f"{scale}: {' and '.join(families)} by route")
    against = []
    for baseline in dict.fromkeys(condition(name).baseline for name in columns):
        against.append(f"{baseline} for {condition(baseline).variant or 'the others'}")
    axes[0, 0].set_ylabel(f"change in next-latent MSE against the baseline (%)\n{', '.join(against)}", fontsize=9)
    draw.legend(fig, [draw.seed_key(), draw.mean_key(means.n, split)], 2)
    return fig


def _by_family(names: pd.Series) -> dict[str, float]:
    """The place of each condition on the axis, with a gap between one family (depth, tracks) and the next."""
    groups: dict[str, list[str]] = {}
    for name in in_order(names):
        if condition(name).terms:  # a baseline supervises nothing
            groups.setdefault(condition(name).family, []).append(name)
    places = {}
    x = 0.0
    for group in groups.values():
        for name in group:
            places[name] = x
            x += 1
        x += 0.5
    return places
