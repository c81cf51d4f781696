"""Figures 1–3 of the paper, and two figures that belong to them.

Functions from tables to Matplotlib figures. Of a study that ran only some conditions, one seed, or one split, they
show what is there and say what is not. What the paper reports is a star.
"""

import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lewm_core.conditions import CONDITIONS, in_order
from lewm_core.stats import paper
from lewm_core.stats.levels import REFERENCES
from lewm_core.stats.paired import number
from lewm_core.viz import draw, style
from lewm_core.viz.level_panels import arranged, figure_with_levels, level_axis, measured, set_apart
from lewm_core.viz.style import SPLIT, colour, rows_where, splits_of

STATISTICS = ("n", "mean", "low", "high", "p", "p_holm")  # of paired.summarise


@style.styled
def figure1(changes: pd.DataFrame, summary: pd.DataFrame, skipped: pd.DataFrame,
            results: pd.DataFrame | None = None) -> Figure:
    """Figure 1: change in next-latent MSE against A for every condition on the pilot, each signal before its controls,
    the positive control last; below, where all of them stand in other metrics (`level_panels`).

    Args:
        changes, summary: as from paired.paired_change and paired.summarise, of one metric; rows of other scales are
            left out. With both splits, the episode split is filled and the window split hollow beside it.
        skipped: columns condition, scale, reason; these conditions are on the axis, grey, with their reason. Those that
            were not asked for are named, with what the paper reports.
        results: the tidy results, references included; None for no panels below.
    """
    asked = {*changes[changes.scale == "pilot"].condition, *skipped.condition}
    names = [name for name in arranged([*CONDITIONS, *asked]) if name not in REFERENCES]
    names = [name for name in names if name in asked] or names
    metrics = [] if results is None else measured(results)
    fig, top, below = figure_with_levels(max(11, 0.8 * len(names) + 1), 1, metrics)
    _changes_axis(top[0], changes, summary, names, 1, skipped)
    top[0].set_title(f"Change in {style.one_metric(summary)} against A, pilot")
    _name_others(top[0], [name for name in CONDITIONS if name not in (*REFERENCES, *names)])
    for ax, metric in zip(below, metrics, strict=True):
        level_axis(ax, results, metric, ["pilot"])
    _legend(fig, summary[summary.scale == "pilot"], 1)
    return fig


def _name_others(ax: Axes, names: Sequence[str]) -> None:
    """Name the paper's conditions that were not asked for, with what it reports of them."""
    reported = paper.reported(1)
    told = [f"{name} (paper {number(reported[name])} %)" if name in reported else name for name in names]
    if told:
        ax.text(0.01, 0.02, "not among the conditions chosen: " + ", ".join(told), transform=ax.transAxes, fontsize=8,
                color="0.35")


@style.styled
def figure2(changes: pd.DataFrame, summary: pd.DataFrame, skipped: pd.DataFrame) -> Figure:
    """Figure 2: the same for depth by region: full frame (B, C4) and inside the mask (C1, C2, C3). Args: as figure1."""
    fig, axes = style.new_figure(8, 5.2)
    names = [name for name, condition in CONDITIONS.items() if condition.family in ("depth", "mask")]
    _changes_axis(axes[0, 0], changes, summary, names, 2, skipped)
    axes[0, 0].set_title(f"Where depth is supervised: change in {style.one_metric(summary)} against A, pilot")
    _legend(fig, summary[summary.scale == "pilot"], 2)
    return fig


@style.styled
def benefit_against_area(summary: pd.DataFrame, areas: Mapping[str, float]) -> Figure:
    """Figure 2 ordered by what varies: mean change against the share of the frame that is supervised.

    On the episode split where there is one. summary: as from paired.summarise, of one metric. areas: condition -> mean
    share of the 56×56 grid that its loss reads, in 0..1 (C4 reads all of it).
    """
    if not areas:
        return style.empty_figure("no condition that supervises depth")
    split = style.first_split(summary)
    rows = rows_where(summary, scale="pilot", split=split)
    names = in_order(areas)
    reported = paper.reported(2)
    fig, axes = style.new_figure(7, 4.8)
    ax = axes[0, 0]
    draw.zero_line(ax)
    for i, name in enumerate(sorted(names, key=areas.get)):
        equal = [other for other in names if np.isclose(areas[other], areas[name], rtol=0.02)]
        x = areas[name] * 1.05 ** (2 * equal.index(name) - len(equal) + 1)  # equal areas stand side by side
        for row in rows_where(rows, condition=name).itertuples():
            draw.effect(ax, x, row, colour(name), f"{name}/pilot/{split}")
        draw.paper_star(ax, x, reported, name, name)
        ax.annotate(name, (x, 0), xycoords=("data", "axes fraction"), xytext=(0, 4 + 11 * (i % 2)),
                    textcoords="offset points", ha="center", color=colour(name), fontweight="bold")
    draw.share_axis(ax)
    ax.set_ylabel(f"change in {style.one_metric(summary)} (%)")
    ax.set_title(f"Benefit against supervised area, pilot, {SPLIT[split]}")
    _legend(fig, rows, 2, seeds=False)
    return fig


@style.styled
def figure3(changes: pd.DataFrame, summary: pd.DataFrame, skipped: pd.DataFrame, conditions: Sequence[str],
            results: pd.DataFrame | None = None) -> Figure:
    """Figure 3: pilot beside full scale, a panel per split, the pilot's mean joined to the full scale's. A is 0.

    Args: as figure1; `conditions` are those shown above."""
    conditions = [name for name in arranged(conditions) if name not in REFERENCES]
    if not conditions:
        return style.empty_figure("no condition but the baseline")
    splits = splits_of(summary) or ["episode"]
    metrics = [] if results is None else measured(results)
    fig, top, below = figure_with_levels(max(4.6, 1.15 * len(conditions)) * len(splits) + 1.2, len(splits), metrics)
    for ax, split in zip(top, splits, strict=True):
        rows, means = (rows_where(table[table.condition.isin(conditions)], split=split) for table in (changes, summary))
        _both_scales(ax, rows, means, split, skipped, conditions)
        set_apart(ax, conditions, rows, means, paper.REPORTED[paper.REPORTED.figure == 3].change)
        ax.set_title(f"Pilot and full scale, {SPLIT[split]}")
    top[0].set_ylabel(f"change in {style.one_metric(summary)} against A (%)")
    for ax, metric in zip(below, metrics, strict=True):
        level_axis(ax, results, metric, ["pilot", "full"])
    _legend(fig, summary[summary.condition.isin(conditions)], 3, scales=True)
    return fig


def _both_scales(ax: Axes, changes, summary, split: str, skipped, conditions: Sequence[str]) -> None:
    """Two columns a condition, pilot (dot) and full scale (square), of one split."""
    draw.zero_line(ax)
    offsets = {"pilot": -0.2, "full": 0.2}
    for i, name in enumerate(conditions):
        means = {}
        for scale, offset in offsets.items():
            x = i + offset
            gid = f"{name}/{scale}/{split}"
            rows = rows_where(summary, condition=name, scale=scale)
            for row in rows.itertuples():
                draw.seed_dots(ax, x - 0.08, rows_where(changes, condition=name, scale=scale), colour(name), gid)
                draw.effect(ax, x, row, colour(name), gid, marker="s" if scale == "full" else "o")
                means[x] = row.mean
            if rows.empty:
                draw.absent(ax, x, name, scale, skipped)
            draw.paper_star(ax, x + 0.1, paper.reported(3, scale), name, f"{name}/{scale}")
        if len(means) == 2:
            ax.plot(list(means), list(means.values()), color=colour(name), linewidth=1, alpha=0.5, zorder=1)
        ax.annotate(textwrap.fill(style.name_and_title(name), 15), (i, 0), xycoords=("data", "axes fraction"),
                    xytext=(0, -26), va="top", textcoords="offset points", ha="center", fontsize=8.5,
                    color=colour(name), fontweight="bold", annotation_clip=False)
    places = [i + offset for i in range(len(conditions)) for offset in offsets.values()]
    ax.set_xticks(places, list(offsets) * len(conditions))
    ax.set_xlim(-0.5, len(conditions) - 0.5)
    ax.grid(axis="x", visible=False)
    ax.set_xlabel(" \n" * 4)  # room for the names


def _changes_axis(ax: Axes, changes, summary, names: Sequence[str], figure: int, skipped) -> None:
    """One column per condition on the pilot: episode split filled at its centre, window split hollow beside it."""
    changes = rows_where(changes, scale="pilot")
    summary = rows_where(summary, scale="pilot")
    reported = paper.reported(figure)
    splits = splits_of(summary)
    offsets = {"episode": -0.13, "window": 0.13} if len(splits) > 1 else dict.fromkeys(splits, -0.05)
    draw.zero_line(ax)
    here = {}
    for i, name in enumerate(names):
        for row in rows_where(summary, condition=name).itertuples():
            hollow = row.split != splits[0]
            x = i + offsets[row.split]
            gid = f"{name}/pilot/{row.split}"
            seeds = rows_where(changes, condition=name, split=row.split)
            draw.seed_dots(ax, x - 0.09, seeds, colour(name), gid, hollow=hollow)
            draw.effect(ax, x, row, colour(name), gid, hollow=hollow)
            if not hollow:
                here[name] = row.mean
        if name not in set(summary.condition):
            draw.absent(ax, i, name, "pilot", skipped)
        draw.paper_star(ax, i + 0.33, reported, name, f"{name}/pilot")
    draw.names_axis(ax, _tick_labels(names, here, reported))
    for tick, name in zip(ax.get_xticklabels(), names, strict=True):
        tick.set_color("black" if name in set(summary.condition) else style.GREY)
    ax.set_xlim(-0.5, len(names) - 0.5)
    set_apart(ax, names, changes, summary, reported)
    ax.set_ylabel("change against A (%), lower is better")


def _tick_labels(names: Sequence[str], here: Mapping[str, float], reported: pd.Series) -> list[str]:
    """Under each condition its title, our mean and the paper's value, in lines of equal height."""
    words = {name: textwrap.wrap(style.title(name), 14) for name in names}
    height = max(map(len, words.values()))
    labels = []
    for name in names:
        ours, theirs = (number(told[name]) if name in told else "–" for told in (here, reported))
        padding = [""] * (height - len(words[name]))
        labels.append("\n".join([name, *words[name], *padding, f"here {ours}", f"paper {theirs}"]))
    return labels


def _legend(fig: Figure, summary: pd.DataFrame, figure: int, seeds: bool = True, scales: bool = False) -> None:
    """The key above the axes. scales: dots are the pilot and squares the full scale."""
    entries = [draw.seed_key()] if seeds else []
    if scales:
        entries += [draw.mean_key(summary.n, of="pilot"),
                    draw.key("full scale", linestyle="-", marker="s", markersize=6)]
    else:
        entries += draw.split_keys(summary.n, splits_of(summary))
    entries += [draw.paper_key(figure), draw.line_key(f"{paper.BASELINE}, the baseline")]
    columns = len(entries) if fig.get_figwidth() > 9 else 3
    draw.legend(fig, entries, columns, columnspacing=1.4, handletextpad=0.4)


def study_table(changes: pd.DataFrame, summary: pd.DataFrame, figure: int, skipped: pd.DataFrame | None = None,
                areas: Mapping[str, float] | None = None) -> pd.DataFrame:
    """Every number drawn in Figure 1, 2 or 3, one row each, for `save_figure`.

    Columns condition, scale, seed, split, metric, value and `statistic`, which says what the value is: seed (change
    at that seed), n, mean, low, high, p, p_holm, paper (reported by it), area (share of the frame that is
    supervised), or skipped (no value; the reason is in the column `note`). Changes are in per cent.
    """
    metric = "mse change %"
    parts = [changes.assign(statistic="seed", value=changes.change)]
    parts += [summary.assign(statistic=name, value=summary[name], seed=pd.NA) for name in STATISTICS if name in summary]
    parts = [part.assign(metric=part.metric.astype(object) + " change %") for part in parts]
    reported = paper.REPORTED[paper.REPORTED.figure == figure]
    parts.append(reported.assign(statistic="paper", metric=metric, value=reported.change,
                                 note="section " + reported.section))
    if areas is not None:
        shares = pd.DataFrame({"condition": list(areas), "value": list(areas.values())})
        parts.append(shares.assign(statistic="area", metric="supervised share of the frame"))
    if skipped is not None and len(skipped):
        parts.append(skipped.assign(statistic="skipped", metric=metric, note=skipped.reason))
    columns = [*style.COLUMNS, "statistic", "note"]
    parts = [part.reindex(columns=columns).astype(object) for part in parts]
    return pd.concat(parts, ignore_index=True).astype({"value": float, "seed": "Int64"})
