"""The study's figures: Figures 1–3 of the paper and what belongs to them.

Each function takes tables and returns a Matplotlib figure that no global state holds; none reads a file or trains.
The paper's reported values are drawn beside ours as stars. `charts` has the other notebooks' charts and `pictures`
the image panels; what all share, and `save_figure`, is in `figures`.
"""

import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter

from lewm_core.conditions import CONDITIONS, in_order
from lewm_core.stats import paper
from lewm_core.stats.paired import number
from lewm_core.utils.errors import InputError
from lewm_core.viz.style import (
    COLUMNS,
    GREY,
    PAPER,
    SPLIT,
    caption,
    colour,
    new_figure,
    save_figure,
    styled,
    tidy,
    title,
)

METRICS = {"mse": "next-latent MSE", "mse_over_variance": "MSE over target variance",
           "mse_over_static": "MSE over static MSE", "sigreg": "SIGReg"}
__all__ = ["benefit_against_area", "caption", "figure1", "figure2", "figure3", "save_figure", "scale_bars",
           "study_table", "tidy"]

@styled
def figure1(changes: pd.DataFrame, summary: pd.DataFrame, caption: str = "", skipped: pd.DataFrame | None = None,
            scale: str = "pilot") -> Figure:
    """Figure 1: change in next-latent MSE against A for every condition at one scale.

    Args:
        changes, summary: as from statistics.paired_change and statistics.summarise; rows of other scales are left
            out. With both splits, the episode split is filled and the window split hollow beside it.
        caption: from `caption`.
        skipped: columns condition, scale, reason; these conditions are on the axis, grey, with their reason.
    """
    fig, axes = new_figure(11, 5.6, caption=caption)
    names = [c for c in CONDITIONS if c != paper.BASELINE]
    names = in_order([*names, *changes[changes.scale == scale].condition])
    _changes_axis(axes[0, 0], changes, summary, names, scale, paper.reported(1, scale), skipped)
    axes[0, 0].set_title(f"Change in {_metric(summary)} against A, {scale}")
    _legend(fig, summary[summary.scale == scale], "Figure 1")
    return fig


@styled
def figure2(changes: pd.DataFrame, summary: pd.DataFrame, caption: str = "", skipped: pd.DataFrame | None = None,
            scale: str = "pilot") -> Figure:
    """Figure 2: the same for the mask family: full frame (B, C4) and inside the mask (C1, C2, C3). Args as figure1."""
    fig, axes = new_figure(8, 5.2, caption=caption)
    names = ["B", "C1", "C2", "C3", "C4"]
    _changes_axis(axes[0, 0], changes, summary, names, scale, paper.reported(2, scale), skipped)
    axes[0, 0].set_title(f"Where depth is supervised: change in {_metric(summary)} against A, {scale}")
    _legend(fig, summary[summary.scale == scale], "Figure 2")
    return fig


@styled
def benefit_against_area(summary: pd.DataFrame, areas: Mapping[str, float], caption: str = "",
                         scale: str = "pilot", split: str = "episode") -> Figure:
    """Figure 2 ordered by what varies: mean change against the share of the frame that is supervised.

    Args:
        summary: as from statistics.summarise.
        areas: condition -> mean share of the 56×56 grid that its loss reads, in 0..1 (C4 reads all of it).
    """
    fig, axes = new_figure(7, 4.8, caption=caption)
    ax, reported = axes[0, 0], paper.reported(2)
    rows = _rows(summary, scale=scale, split=split).set_index("condition")
    ax.axhline(0, color="0.4", linewidth=1)
    for i, c in enumerate(sorted(in_order(areas), key=areas.get)):
        twins = [d for d in in_order(areas) if np.isclose(areas[d], areas[c], rtol=0.02)]
        x = areas[c] * 1.05 ** (2 * twins.index(c) - len(twins) + 1)  # equal areas stand side by side
        if c in rows.index:
            _mean(ax, x, rows.loc[c], colour(c), gid=f"{c}/{scale}/{split}/mean")
        if c in reported.index:
            ax.plot([x], [reported[c]], **PAPER, gid=f"{c}/paper")
        ax.annotate(c, (x, 0), xycoords=("data", "axes fraction"), xytext=(0, 4 + 11 * (i % 2)),
                    textcoords="offset points", ha="center", color=colour(c), fontweight="bold")
    ax.set_xscale("log")
    ax.margins(x=0.12, y=0.16)
    ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=None))
    ax.set(xlabel="share of the frame that is supervised (log scale)", ylabel=f"change in {_metric(summary)} (%)")
    ax.set_title(f"Benefit against supervised area, {scale}, {SPLIT.get(split, split)}")
    _legend(fig, rows.reset_index(), "Figure 2", seeds=False)
    return fig


@styled
def figure3(changes: pd.DataFrame, summary: pd.DataFrame, caption: str = "", skipped: pd.DataFrame | None = None,
            conditions: Sequence[str] = ("B", "D", "E")) -> Figure:
    """Figure 3: pilot beside full scale, a panel per split, the pilot's mean joined to the full scale's. A is 0.

    Args: as figure1; `conditions` are those shown.
    """
    splits = [s for s in SPLIT if s in set(summary.split)] or ["episode"]
    fig, axes = new_figure(4.6 * len(splits) + 1.2, 5.2, 1, len(splits), caption=caption, sharey=True)
    offset = {"pilot": -0.2, "full": 0.2}
    for ax, split in zip(axes[0], splits, strict=True):
        ax.axhline(0, color="0.4", linewidth=1)
        for i, c in enumerate(conditions):
            means = []
            for scale, dx in offset.items():
                rows = _rows(summary, condition=c, scale=scale, split=split)
                for row in rows.itertuples():
                    seeds = _rows(changes, condition=c, scale=scale, split=split)
                    _seeds(ax, i + dx - 0.08, seeds, colour(c), gid=f"{c}/{scale}/{split}/seeds")
                    _mean(ax, i + dx, row, colour(c), gid=f"{c}/{scale}/{split}/mean", square=scale == "full")
                    means.append((i + dx, row.mean))
                if rows.empty:
                    _absent(ax, i + dx, c, scale, skipped)
                reported = paper.reported(3, scale)
                if c in reported.index:
                    ax.plot([i + dx + 0.1], [reported[c]], **PAPER, gid=f"{c}/{scale}/paper")
            if len(means) == 2:
                ax.plot(*zip(*means, strict=True), color=colour(c), linewidth=1, alpha=0.5, zorder=1)
        ax.set_xticks([i + dx for i in range(len(conditions)) for dx in offset.values()],
                      list(offset) * len(conditions))
        for i, c in enumerate(conditions):
            ax.annotate(f"{c}: {title(c)}" if title(c) else c, (i, 0), xycoords=("data", "axes fraction"),
                        xytext=(0, -26), textcoords="offset points", ha="center", va="top", fontsize=8.5,
                        color=colour(c), fontweight="bold", annotation_clip=False)
        ax.grid(axis="x", visible=False)
        ax.set_xlim(-0.5, len(conditions) - 0.5)
        ax.set_xlabel(" \n ")  # room for the names above
        ax.set_title(f"Pilot and full scale, {SPLIT[split]}")
    axes[0, 0].set_ylabel(f"change in {_metric(summary)} against A (%)")
    _legend(fig, summary[summary.condition.isin(conditions)], "Figure 3", scales=True)
    return fig


@styled
def scale_bars(results: pd.DataFrame, caption: str = "", metric: str = "mse",
               condition: str = paper.BASELINE) -> Figure:
    """The baseline's absolute MSE at both scales, a panel per split, with the ratio that the paper puts at about 4.

    results: the tidy results table with both scales' rows.
    """
    rows = _rows(results, condition=condition, metric=metric)
    splits = [s for s in SPLIT if s in set(rows.split)] or ["episode"]
    fig, axes = new_figure(3.6 * len(splits) + 0.6, 4.2, 1, len(splits), caption=caption, sharey=True)
    for ax, split in zip(axes[0], splits, strict=True):
        means = {}
        for x, scale in enumerate(("pilot", "full")):
            values = _rows(rows, scale=scale, split=split)
            if values.empty:
                _absent(ax, x, condition, scale, None)
                continue
            means[scale] = values.value.mean()
            ax.bar([x], [means[scale]], width=0.6, color=colour(condition), alpha=0.35, gid=f"{scale}/{split}/mean")
            _seeds(ax, x, values, colour(condition), "value", gid=f"{scale}/{split}/seeds")
        ratio = f"pilot / full = {means['pilot'] / means['full']:.2g}" if len(means) == 2 else "one scale only"
        ax.set_title(f"{SPLIT[split]}\n{ratio} (paper: about {paper.BASELINE_MSE_RATIO:g})", fontsize=9.5)
        ax.set_xticks([0, 1], ["pilot", "full"])
        ax.set_xlim(-0.6, 1.6)
        ax.grid(axis="x", visible=False)
    axes[0, 0].set_ylabel(f"{METRICS.get(metric, metric)} of {condition} (a point per seed)")
    return fig


def _changes_axis(ax, changes, summary, names, scale, reported, skipped) -> None:
    """One column per condition at one scale: episode split filled at its centre, window split hollow beside it."""
    splits = [s for s in SPLIT if s in set(_rows(summary, scale=scale).split)]
    dx = {"episode": -0.13, "window": 0.13} if len(splits) > 1 else dict.fromkeys(splits, -0.05)
    lines = max(len(_wrapped(c)) for c in names)
    labels = []
    ax.axhline(0, color="0.4", linewidth=1)
    for i, c in enumerate(names):
        here = "–"
        for split in splits:
            for row in _rows(summary, condition=c, scale=scale, split=split).itertuples():
                seeds = _rows(changes, condition=c, scale=scale, split=split)
                hollow = split != splits[0]
                _seeds(ax, i + dx[split] - 0.09, seeds, colour(c), hollow=hollow, gid=f"{c}/{scale}/{split}/seeds")
                _mean(ax, i + dx[split], row, colour(c), hollow=hollow, gid=f"{c}/{scale}/{split}/mean")
                here = here if hollow else number(row.mean)
        if _rows(summary, condition=c, scale=scale).empty:
            _absent(ax, i, c, scale, skipped)
        if c in reported.index:
            ax.plot([i + 0.33], [reported[c]], **PAPER, gid=f"{c}/{scale}/paper")
        theirs = number(reported[c]) if c in reported.index else "–"
        words = _wrapped(c)
        labels.append("\n".join([c, *words, *[""] * (lines - len(words)), f"here {here}", f"paper {theirs}"]))
    ax.set_xticks(range(len(names)), labels)
    for tick, c in zip(ax.get_xticklabels(), names, strict=True):
        tick.set_color(GREY if _rows(summary, condition=c, scale=scale).empty else "black")
    ax.set_xlim(-0.5, len(names) - 0.5)
    ax.grid(axis="x", visible=False)
    ax.set_ylabel("change against A (%), lower is better")


def _metric(summary: pd.DataFrame) -> str:
    """The metric of a figure in words; a table with several would draw them over one another."""
    names = list(dict.fromkeys(summary.metric))
    if len(names) > 1:
        raise InputError("summary", f"the metrics {', '.join(names)}", "one metric per figure",
                         "Choose it in paired_change.")
    return METRICS.get(*names, *names) if names else METRICS["mse"]


def _wrapped(condition: str) -> list[str]:
    return textwrap.wrap(title(condition), 14)


def _seeds(ax, x, rows, colour, column="change", hollow=False, gid=None) -> None:
    """A small point per seed, spread a little so that equal ones can be told apart."""
    spread = np.linspace(-0.03, 0.03, len(rows)) if len(rows) > 1 else [0.0]
    ax.scatter(x + np.asarray(spread), rows.sort_values("seed")[column].astype(float), s=14, linewidth=0.9, alpha=0.8,
               facecolor="none" if hollow else colour, edgecolor=colour, zorder=2, gid=gid)


def _mean(ax, x, row, colour, hollow=False, square=False, gid=None) -> None:
    """The mean with its 95 % interval; the mean alone where there is no interval (n = 1)."""
    if np.isfinite(row.low):
        ax.plot([x, x], [row.low, row.high], color=colour, linewidth=1.4 if hollow else 2.4, solid_capstyle="butt",
                zorder=2, gid=gid and gid.replace("mean", "interval"))
    ax.plot([x], [row["mean"] if isinstance(row, pd.Series) else row.mean], marker="s" if square else "o",
            markersize=6 if hollow else 8, color=colour, markerfacecolor="white" if hollow else colour, zorder=3,
            gid=gid)


def _absent(ax, x, condition, scale, skipped) -> None:
    """A grey band that says why there is nothing: skipped for a reason, or not run."""
    reason = "not run"
    if skipped is not None and len(found := _rows(skipped, condition=condition, scale=scale)):
        reason = "skipped: " + str(found.reason.iloc[0]).rstrip(".")
    ax.axvspan(x - 0.18, x + 0.18, color="0.93", zorder=0)
    ax.text(x, 0.5, textwrap.fill(reason, 44), transform=ax.get_xaxis_transform(), rotation=90, ha="center",
            va="center", color="0.35", fontsize=7.5, bbox={"facecolor": "0.93", "edgecolor": "none", "pad": 1},
            gid=f"{condition}/{scale}/absent")


def _legend(fig, summary, figure: str, seeds: bool = True, scales: bool = False) -> None:
    """The key above the axes, in neutral grey, since colour stands for the condition."""
    def key(**kwargs):
        return Line2D([], [], **{"color": "0.3", "linestyle": "none", "marker": "o", "markersize": 8, **kwargs})

    n = sorted(set(summary.n))
    seeds_text = f"n = {n[0]}" if len(n) == 1 else f"n = {n[0]} to {n[-1]}" if n else "no run"
    splits = [s for s in SPLIT if s in set(summary.split)]
    mean = f"mean and 95 % interval ({seeds_text})"
    handles = [(key(markersize=4), "one seed")] if seeds else []
    if scales:
        handles += [(key(linestyle="-"), f"pilot: {mean}"),
                    (key(linestyle="-", marker="s", markersize=6), "full scale")]
    elif len(splits) > 1:
        handles += [(key(linestyle="-"), f"{mean}, {SPLIT[splits[0]]}"),
                    (key(linestyle="-", markerfacecolor="white", markersize=6), SPLIT[splits[1]])]
    else:
        handles += [(key(linestyle="-"), f"{mean}, {SPLIT[splits[0]]}" if splits else mean)]
    handles.append((Line2D([], [], **PAPER), f"reported, paper {figure}"))
    handles.append((Line2D([], [], color="0.4", linewidth=1), f"{paper.BASELINE}, the baseline"))
    columns = len(handles) if fig.get_figwidth() > 9 else 3
    fig.legend(*zip(*handles, strict=True), loc="outside upper left", ncols=columns, columnspacing=1.4,
               handletextpad=0.4)


def _rows(table: pd.DataFrame, **equal: object) -> pd.DataFrame:
    """The rows in which each named column equals the given value."""
    keep = np.ones(len(table), bool)
    for column, value in equal.items():
        keep &= (table[column] == value).to_numpy()
    return table[keep]


def study_table(changes: pd.DataFrame, summary: pd.DataFrame, figure: int, skipped: pd.DataFrame | None = None,
                areas: Mapping[str, float] | None = None) -> pd.DataFrame:
    """Every number drawn in Figure 1, 2 or 3, one row each, for `save_figure`.

    Columns condition, scale, seed, split, metric, value and `statistic`, which says what the value is: seed (change
    at that seed), n, mean, low, high, p, p_holm, paper (reported by it), area (share of the frame that is
    supervised), or skipped (no value; the reason is in the column `note`). Changes are in per cent.
    """
    metric = "mse change %"
    parts = [changes.assign(statistic="seed", value=changes.change)]
    for name in ("n", "mean", "low", "high", "p", "p_holm"):
        parts.append(summary.assign(statistic=name, value=summary[name]))
    table = pd.concat([p[[*COLUMNS, "statistic"]] if "seed" in p else p.assign(seed=pd.NA)[[*COLUMNS, "statistic"]]
                       for p in parts]) if len(changes) else pd.DataFrame(columns=[*COLUMNS, "statistic"])
    table = table.assign(metric=table.metric + " change %")
    told = paper.REPORTED[paper.REPORTED.figure == figure]
    extra = [told.assign(statistic="paper", metric=metric, value=told.change, note="section " + told.section)]
    if areas is not None:
        extra.append(pd.DataFrame({"condition": list(areas), "value": list(areas.values())}).assign(
            statistic="area", metric="supervised share of the frame"))
    if skipped is not None and len(skipped):
        extra.append(skipped.assign(statistic="skipped", metric=metric, note=skipped.reason))
    columns = [*COLUMNS, "statistic", "note"]
    parts = [p.reindex(columns=columns).astype(object) for p in (table, *extra)]
    return pd.concat(parts, ignore_index=True).astype({"value": float, "seed": "Int64"})
