"""Figures 1–3 of the paper, and a figure that belongs to them.

Functions from tables to Matplotlib figures. Of a study that ran only some conditions, one seed, or one split, they
show what is there and say what is not. What the paper reports is a star, in a panel of its own.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from lewm_core.conditions import ALL, CONDITIONS, in_order
from lewm_core.stats import gates, paper
from lewm_core.stats.levels import REFERENCES, beside_baseline
from lewm_core.stats.outcomes import OUTCOME, PAPERS, POSITIVE, SHUFFLED
from lewm_core.stats.paired import number
from lewm_core.utils import escape
from lewm_core.utils.workspace import SCALES
from lewm_core.viz import draw, effect_panels, style
from lewm_core.viz.effect_panels import Lane
from lewm_core.viz.level_panels import arranged, group
from lewm_core.viz.style import SPLIT, colour, rows_where, splits_of

STATISTICS = ("n", "mean", "low", "high", "p", "p_holm")  # of paired.summarise
SHOWN = (OUTCOME, "mse_over_static", PAPERS)  # the metrics of the panels, of those that were measured


@style.styled
def figure1(results: pd.DataFrame, skipped: pd.DataFrame) -> Figure:
    """Figure 1: change against A of every condition on the pilot, by the primary outcome, by the MSE over that of
    persistence and by the paper's MSE; beside them what the paper reports, at its own scale.

    Args:
        results: the tidy results, references and controls included; rows of other scales are left out. With both
            splits, the episode split is filled and the window split hollow below it.
        skipped: columns condition, scale, reason; these conditions have a row, and their reason stands below. Those
            that were not asked for are named there, with what the paper reports.
    """
    asked = {*rows_where(results, scale="pilot").condition, *rows_where(skipped, scale="pilot").condition}
    names = arranged(asked if asked - {*REFERENCES} else {*asked, *CONDITIONS})
    return _pilot(results, skipped, names, 1, [name for name in CONDITIONS if name not in names])


@style.styled
def figure2(results: pd.DataFrame, skipped: pd.DataFrame) -> Figure:
    """Figure 2: the same for depth by region: full frame (B, C4) and inside the mask (C1, C2, C3), with the references
    and those controls of them that were run. Args: as figure1."""
    return _pilot(results, skipped, by_region(results), 2, [])


def by_region(results: pd.DataFrame) -> list[str]:
    """The rows of figure 2."""
    family = [name for name, condition in CONDITIONS.items() if condition.family in ("depth", "mask")]
    ran = set(rows_where(results, scale="pilot").condition)
    beside = [name for name in ran if name in REFERENCES or (name in ALL and ALL[name].control_of in family)]
    return arranged([*family, paper.BASELINE, *beside])


def _pilot(results, skipped, names: Sequence[str], figure: int, others: Sequence[str]) -> Figure:
    """The panels of one scale: a row per name, in it both splits. others: conditions without a row, to be named."""
    own = rows_where(results, scale="pilot")
    changes, table = beside_baseline(own[own.condition.isin([*names, paper.BASELINE])], SHOWN)
    lanes = effect_panels.splits(table, "pilot") or [Lane("pilot", "episode", SPLIT["episode"])]
    notes = [_order(names), *gates.shut_told(results, names, ["pilot"]),
             *_not_run(rows_where(skipped, scale="pilot"), names, table), *_others(others, figure)]
    metrics = [metric for metric in SHOWN if metric in set(table.metric)] or [PAPERS]
    return _panels(changes, table, names, [(lanes, metric) for metric in metrics], figure, notes, lanes)


def _panels(changes, table, names: Sequence[str], shown: Sequence[tuple[Sequence[Lane], str]], figure: int,
            notes: Sequence[str], lanes: Sequence[Lane]) -> Figure:
    """A panel for each of `shown`, lanes and metric, then the paper's. lanes: of the legend."""
    rows = (len(shown) + 2) // 2
    fig, axes = effect_panels.panel_grid(rows, names, max(len(own) for own, _ in shown), notes)
    for ax, (own, metric) in zip(axes.flat, shown, strict=False):
        effect_panels.effect_panel(ax, changes, table, names, own, metric)
    effect_panels.paper_panel(axes.flat[len(shown)], names, figure, lanes)
    style.hide_unused(axes, len(shown) + 1)
    draw.legend(fig, effect_panels.keys(table, lanes), 2, columnspacing=1.4, handletextpad=0.5)
    return fig


def _order(names: Sequence[str]) -> str:
    """In which order the rows stand, in words, of the kinds that are there."""
    kinds = {group(name) for name in names}
    told = ["the references"] if 0 in kinds else []
    if 1 in kinds:
        controls = any(name.endswith(SHUFFLED) for name in names if group(name) == 1)
        told.append("the signals in the paper's order A to G" + (
            f", each before its controls ({SHUFFLED}: the same head with the targets of other frames)" * controls))
    if 2 in kinds:
        told.append(f"the positive control {POSITIVE}")
    return f"Rows: {', then '.join(told)}."


def _not_run(skipped: pd.DataFrame, names: Sequence[str], table: pd.DataFrame) -> list[str]:
    """Why rows are empty, conditions of one reason together."""
    lines = [f"Not run: {', '.join(dict.fromkeys(rows.condition))}. {escape.plain(reason)}"
             for reason, rows in skipped[skipped.condition.isin(names)].groupby("reason", sort=False)]
    known = {*skipped.condition, *table.condition}
    rest = [name for name in names if name not in known]
    return [*lines, f"Not among the conditions chosen: {', '.join(rest)}."] if rest else lines


def _others(names: Sequence[str], figure: int) -> list[str]:
    """The paper's conditions that have no row, with what it reports of them."""
    reported = paper.reported(figure)
    told = [f"{name} (paper {number(reported[name])} %)" if name in reported else name for name in names]
    return ["Not among the conditions chosen: " + ", ".join(told) + "."] if told else []


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
    entries = [*draw.split_keys(rows.n, splits_of(rows)), draw.paper_key(2), draw.line_key("A, the baseline")]
    draw.legend(fig, entries, 3, columnspacing=1.4, handletextpad=0.4)
    return fig


@style.styled
def figure3(results: pd.DataFrame, skipped: pd.DataFrame, conditions: Sequence[str]) -> Figure:
    """Figure 3: pilot beside full scale, a panel per metric and split, and what the paper reports.

    Args: as figure1; `conditions` are those shown."""
    names = arranged([*conditions, paper.BASELINE])
    if not [name for name in names if name not in REFERENCES]:
        return style.empty_figure("no condition but the baseline")
    own = results[results.condition.isin(names) & results.scale.isin(SCALES)]
    changes, table = beside_baseline(own, SHOWN)
    shown = [(_scales(split), metric) for metric in SHOWN for split in splits_of(table)
             if len(rows_where(table, metric=metric, split=split))] or [(_scales("episode"), PAPERS)]
    told = [line for scale in SCALES for line in _at(scale, _not_run(rows_where(skipped, scale=scale), names,
                                                                       rows_where(table, scale=scale)))]
    notes = [_order(names), *gates.shut_told(results, names), *told]
    return _panels(changes, table, names, shown, 3, notes, shown[0][0])


def _scales(split: str) -> list[Lane]:
    """A lane per scale: the pilot's dot hollow, the full scale's square filled."""
    return [Lane("pilot", split, "pilot", hollow=True), Lane("full", split, "full scale", marker="s")]


def _at(scale: str, lines: Sequence[str]) -> list[str]:
    return [f"{scale}: {line}" for line in lines]


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


def effect_table(results: pd.DataFrame, scales: Sequence[str]) -> pd.DataFrame:
    """What figures 1 to 3 draw beyond `study_table`: the other metrics, the references, and where each stands.

    Columns as there; `statistic` is seed, n, mean, low, high (of the change), level (mean in the metric's own unit) or
    scatter (standard deviation over seeds, per cent of the level).
    """
    changes, table = beside_baseline(results[results.scale.isin(list(scales))], SHOWN)
    changes, others = (rows[(rows.metric != PAPERS) | rows.condition.isin(REFERENCES)] for rows in (changes, table))
    parts = [changes.assign(statistic="seed", value=changes.change)]
    parts += [others.assign(statistic=name, value=others[name]) for name in ("n", "mean", "low", "high")]
    parts = [part.assign(metric=part.metric.astype(object) + " change %") for part in parts]
    parts += [table.assign(statistic=name, value=table[name]) for name in ("level", "scatter")]
    return pd.concat([part.reindex(columns=[*style.COLUMNS, "statistic"]).astype(object) for part in parts])
