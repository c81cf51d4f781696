"""Figures of two questions of the controls: is it the target, and which batch normalisation?

Functions from tables to Matplotlib figures, on the split that claims rest on.
"""

from collections.abc import Mapping, Sequence
from types import SimpleNamespace

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lewm_core.conditions import ALL
from lewm_core.stats import levels
from lewm_core.stats.arms import Arms
from lewm_core.stats.paired import interval, judged, number
from lewm_core.stats.targets import Variants, dose
from lewm_core.viz import draw, style
from lewm_core.viz.level_panels import arranged, group
from lewm_core.viz.style import colour, rows_where


@style.styled
def target_effects(by_metric: Sequence[Arms]) -> Figure:
    """The change against A with every kind of target: a panel per metric, a row per condition, each signal before its
    controls and the positive control last. by_metric: question `targets` by each metric."""
    names = arranged(list(dict.fromkeys(by_metric[0].changes.condition)))
    if not names:
        return style.empty_figure("no condition but the baseline")
    fig, axes = style.new_figure(3.4 + 3.6 * len(by_metric), 1.4 + 0.36 * len(names), 1, len(by_metric), sharey=True)
    for ax, arms in zip(axes[0], by_metric, strict=True):
        _effects_axis(ax, arms, names)
        draw.names_axis(ax, [_kind(name) for name in names], sideways=True)
    axes[0, 0].set_ylim(len(names) - 0.5, -0.5)
    summary = judged(by_metric[0].summary)
    draw.legend(fig, [draw.mean_key(summary.n, style.first_split(summary)), draw.seed_key()], 2)
    return fig


def _kind(name: str) -> str:
    """'B-net: a random network as target'; of what is no control its title."""
    told = ALL[name].variant if name in ALL and ALL[name].control_of else style.title(name)
    return f"{name}: {told}" if told else name


def _effects_axis(ax: Axes, arms: Arms, names: Sequence[str]) -> None:
    """The effects by one metric. The signals decide the x axis; where the positive control's lie beyond, a number at
    the edge says what they are."""
    changes, summary = judged(arms.changes), judged(arms.summary)
    near = changes[[group(name) < 2 for name in changes.condition]].change
    near = changes.change if near.empty else near
    low, high = min(0.0, near.min()), max(0.0, near.max())
    pad = 0.15 * (high - low) or 1
    ax.set_xlim(low - pad, high + pad)
    draw.zero_line(ax, sideways=True)
    for row in summary.itertuples():
        y, shade, gid = names.index(row.condition), colour(row.condition), f"{row.condition}/{arms.metric}"
        draw.effect(ax, y, row, shade, gid, sideways=True)
        draw.seed_dots(ax, y + 0.22, rows_where(changes, condition=row.condition), shade, gid, sideways=True)
        if not low - pad <= row.mean <= high + pad:
            left = row.mean < 0
            ax.annotate(f"{'◀' if left else ''} {number(row.mean, 0)} % {'' if left else '▶'}".strip(),
                        (0.01 if left else 0.99, y), xycoords=("axes fraction", "data"), fontsize=8, va="center",
                        ha="left" if left else "right", color=shade, gid=f"{gid}/beyond")
    ax.set_title(style.metric_label(arms.metric), fontsize=10)
    ax.set_xlabel("change against A (%)")


def target_table(by_metric: Sequence[Arms]) -> pd.DataFrame:
    """What `target_effects` draws: every seed's change, and of each condition n, mean, low, high."""
    changes = pd.concat([judged(arms.changes) for arms in by_metric]).assign(statistic="seed")
    summary = pd.concat([judged(arms.summary) for arms in by_metric]).melt(
        ["condition", "scale", "split", "metric"], ["n", "mean", "low", "high"], "statistic", "change")
    table = pd.concat([changes, summary], ignore_index=True)
    return style.tidy(table.assign(metric=table.metric + " change %"), "change", "")


def dose_curves(by_metric: Sequence[Arms], variants: Mapping[str, Variants]) -> pd.DataFrame:
    """The change against A over the share of frames with their own target (per cent), in the columns of
    `curve_figures.curves_by_panel` and of a figure's table: of every condition with more than its two ends."""
    parts = []
    for arms in by_metric:
        for name, rows in variants.items():
            wide = dose(arms, rows.own)
            if wide.shape[1] > 2:
                long = wide.rename(columns=lambda share: 100 * share).stack().rename("value").reset_index()
                parts.append(long.assign(condition=name, metric=arms.metric))
    if not parts:
        return pd.DataFrame(columns=["panel", "unit", "series", "repeat", "x", "value"])
    table = pd.concat(parts, ignore_index=True).rename(columns={"share": "x"})
    table = table.assign(panel=table.metric.map(style.metric_label), unit="change against A (%)",
                         series=table.condition.map(style.name_and_title), repeat=table.seed, scale="full",
                         split=style.first_split(by_metric[0].changes), metric=table.metric + " change %")
    return style.tidy(table, "value", "")


@style.styled
def batch_norm_levels(arms: Arms, metrics: Sequence[str]) -> Figure:
    """Where the base, the arm at learning rate 0 and A stand under each way of batch normalisation: a panel per metric.

    arms: of question `batch_norm`. A bar is the 95 % interval over seeds."""
    fig, axes = style.new_figure(1.0 + 3.8 * len(metrics), 3.8, 1, len(metrics))
    numbers = set()
    for ax, metric in zip(axes[0], metrics, strict=True):
        for x, arm in enumerate(arms.names):
            for i, name in enumerate(levels.REFERENCES):
                rows = judged(rows_where(arms.rows, arm=arm, condition=name, metric=metric))
                if rows.empty:
                    continue
                numbers.add(len(rows))
                low, high = interval(rows.value)
                mean = SimpleNamespace(mean=rows.value.mean(), low=low, high=high)
                gid = f"{name}/{arm}/{metric}"
                draw.effect(ax, x + 0.25 * (i - 1), mean, colour(name), gid)
                draw.seed_dots(ax, x + 0.25 * (i - 1) + 0.08, rows, colour(name), gid, value="value")
        for name, value in levels.around(arms.rows, metric, arms.names[0]).items():
            ax.axhline(value, color="0.5", linewidth=1, linestyle=":" if name == "persistence" else "-.", gid=name)
            ax.annotate(name, (0.99, value), xycoords=("axes fraction", "data"), ha="right", va="bottom", fontsize=7.5)
        draw.names_axis(ax, arms.names)
        ax.set_ylabel(style.metric_label(metric))
    entries = [draw.key(name, color=colour(name)) for name in levels.REFERENCES]
    draw.legend(fig, [*entries, draw.mean_key(numbers), draw.seed_key()], 5)
    return fig


def batch_norm_table(arms: Arms, metrics: Sequence[str]) -> pd.DataFrame:
    """What `batch_norm_levels` draws: every run's value."""
    rows = judged(arms.rows[arms.rows.metric.isin(metrics) & arms.rows.condition.isin(levels.REFERENCES)])
    return style.tidy(rows.drop(columns=["study", "arm"]), "value", "")
