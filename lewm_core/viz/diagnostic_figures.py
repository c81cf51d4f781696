"""Figures of finished models: what probes recover, how far rollouts drift, how planning fares, how training went.

Each function takes a table and returns a Matplotlib figure.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lewm_core.conditions import in_order
from lewm_core.diagnostics.capacity import STATE, STATE_FIRST
from lewm_core.stats.evidence import FLOORS
from lewm_core.stats.paper import BASELINE
from lewm_core.viz import draw, style
from lewm_core.viz.style import GREY, PAIR, colour, rows_where

PERSISTENCE = "static"  # in tables, the rollout that repeats the last context frame
NO_MODEL = {  # what acts without a model, by its name in tables: label, colour, line
    "static": ("no action", GREY, "--"), "random": ("random", "0.72", "--"), "recorded": ("recorded", "black", ":"),
}
KINDS = {  # of planning tasks: label, marker, its place beside the method's
    "all": ("all tasks", "o", -0.2), "reach": ("the object stays", "^", 0), "move": ("the object must move", "s", 0.2),
}
TOKENS = {"CLS": "CLS token"}  # the others are "… tokens"
LOWEST_R2 = -1.0  # bars below it are cut there and labelled with their value
SERIES = {  # of tokens and floors in the capacity curve: colour, line
    "CLS": ("#0072B2", "-"), "patch": ("#D55E00", "-"), "both": ("#CC79A7", "-"),
    STATE: ("0.45", (0, (1, 1.5))), STATE_FIRST: ("0.1", (0, (1, 1.5))),
    FLOORS[0]: ("0.6", (0, (5, 2))), FLOORS[1]: ("0.6", (0, (2, 3))),
}


@style.styled
def probe_bars(table: pd.DataFrame) -> Figure:
    """What a probe recovers from the CLS token and from the patch tokens: R² on held-out episodes.

    table: columns target (depth, tracks, …), tokens ("CLS" or "patch"), probe (a panel each), r2, and a row per seed.
    """
    if table.empty:
        return style.empty_figure("nothing could be probed")
    probes = list(dict.fromkeys(table.probe))
    targets = list(dict.fromkeys(table.target))
    fig, axes = style.new_figure(1.2 + max(3.5, 1.25 * len(targets)) * len(probes), 4, 1, len(probes), sharey=True)
    lowest = max(LOWEST_R2, min(0.0, float(table.r2.min())))
    for ax, probe in zip(axes[0], probes, strict=True):
        rows = table[table.probe == probe]
        draw.zero_line(ax)
        for k, tokens in enumerate(dict.fromkeys(table.tokens)):
            shift = (k - (table.tokens.nunique() - 1) / 2) * 0.38
            for i, target in enumerate(targets):
                values = rows_where(rows, tokens=tokens, target=target).r2.to_numpy(float)
                if len(values):
                    bar = _probe_bar(ax, i + shift, values, lowest, PAIR[k % 2], f"{target}/{tokens}/{probe}")
                    bar.set_label(TOKENS.get(tokens, f"{tokens} tokens"))
        draw.names_axis(ax, targets)
        ax.set_title(f"{probe} probe")
        ax.set_ylim(lowest * 1.08, 1.1)
    axes[0, 0].set_ylabel("R² on held-out episodes (1 is perfect)")
    draw.legend(fig, draw.labelled(axes[0, 0]), 2)
    return fig


def _probe_bar(ax: Axes, x: float, values: np.ndarray, lowest: float, shade: str, gid: str):
    """A bar for the mean of `values` with its number, and a dot per seed where there are several."""
    mean = values.mean()
    bar = ax.bar([x], [max(mean, lowest)], 0.34, color=shade, alpha=0.75, gid=gid)
    if len(values) > 1:
        ax.scatter(np.full(len(values), x), values, s=12, color="0.2", zorder=3)
    ax.annotate(f"{mean:.2f}".replace("-", "−"), (x, max(0, np.max(values))), xytext=(0, 4),
                textcoords="offset points", ha="center", fontsize=8.5)
    return bar


@style.styled
def capacity_curves(table: pd.DataFrame) -> Figure:
    """Track error against the number of points regressed at once, a panel per probe, a line per set of tokens.

    table: as from capacity.capacity_curve (series, probe, points, error), with a column seed if there are several runs.
    The state is dotted (the ceiling of what can be recovered), predictions that look at nothing are dashed.
    """
    if table.empty:
        return style.empty_figure("no tracks to regress")
    probes = [p for p in dict.fromkeys(table.probe) if p]
    fig, axes = style.new_figure(max(6.5, 3.8 * len(probes) + 0.8), 4.2, 1, max(1, len(probes)), sharey=True)
    names = [s for s in SERIES if s in set(table.series)]
    for ax, probe in zip(axes[0], probes, strict=True):
        for name in names:
            rows = table[(table.series == name) & table.probe.isin([probe, ""])]
            if rows.empty:
                continue
            shade, line = SERIES[name]
            mean = rows.groupby("points").error.mean()
            floor = name in FLOORS
            ax.plot(mean.index, mean, color=shade, linestyle=line, linewidth=1.6 if floor else 2,
                    marker=None if floor else "o", markersize=5, label=name, gid=f"{name}/{probe}/mean")
            if rows.groupby("points").size().max() > 1 and not floor:
                ax.scatter(rows.points, rows.error, color=shade, s=10, alpha=0.5, linewidth=0)
        draw.sizes_axis(ax, sorted(set(table.points)))
        ax.set_title("MLP probe" if probe == "mlp" else f"{probe} probe")
        ax.set_xlabel("points regressed at once (log scale)")
    axes[0, 0].set_ylim(0, 1.08 * table.error.max())
    axes[0, 0].set_ylabel("error on held-out episodes (px at 224)")
    draw.legend(fig, draw.labelled(axes[0, 0]), len(names))
    return fig


@style.styled
def rollout_distance(table: pd.DataFrame) -> Figure:
    """Distance over rollout steps, a line per model, the persistence baseline dashed.

    table: a row per rollout with columns step (1 …), model (a condition, or "static" for persistence) and relative, the
        distance over the corpus's spread; the line is their mean and the band holds the middle half.
    """
    if table.empty:
        return style.empty_figure("no rollout on held-out episodes")
    fig, axes = style.new_figure(8, 4.4)
    ax = axes[0, 0]
    for name in in_order([*table.model[table.model != PERSISTENCE], *table.model]):
        look = {"color": colour(name), "label": style.name_and_title(name)}
        if name == PERSISTENCE:
            look = {"color": GREY, "linestyle": "--", "label": "persistence: last context frame"}
        rows = table[table.model == name].groupby("step").relative
        mean = rows.mean()
        marker = "o" if len(mean) < 16 else None
        ax.plot(mean.index, mean, linewidth=2, marker=marker, markersize=4, gid=f"{name}/mean", **look)
        if rows.size().max() > 3:
            ax.fill_between(mean.index, rows.quantile(0.25), rows.quantile(0.75), color=look["color"], alpha=0.12,
                            linewidth=0)
    ax.set_ylim(bottom=0)
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.set(xlabel="rollout step", ylabel="distance to the true latent ÷ corpus spread")
    n = int(table.groupby(["model", "step"]).size().max())
    band = ", band: middle half" if n > 3 else ""
    ax.set_title(f"Mean of {n} rollouts{band}" if n > 1 else "One rollout")
    draw.legend(fig, draw.labelled(ax), 3)
    return fig


@style.styled
def planning(summary: pd.DataFrame, comparisons: pd.DataFrame | None = None) -> Figure:
    """How often and how nearly each method comes to its goals on the tabletop.

    summary: as from goals.summarise; methods are those of NO_MODEL, conditions and "base". comparisons: as from
    proportions.compared; those with A stand under the methods.
    """
    if summary.empty:
        return style.empty_figure("no planning task")
    fig, axes = style.new_figure(12, 7.4, 2, 2)
    methods = list(dict.fromkeys(summary.method))
    looks = {m: NO_MODEL.get(m) or (m, colour(m), "-") for m in methods}
    success = summary[summary.metric == "success"]
    _goals_reached(axes[0, 0], success[success.factor == 1], looks, _p_against_a(comparisons))
    ax = axes[0, 1]
    for method, (label, shade, line) in looks.items():
        rows = rows_where(success, kind="all", method=method)
        ax.plot(rows.factor, rows.value, marker="o", markersize=4, color=shade, linestyle=line, linewidth=2,
                label=label)
    ax.axvline(1, **draw.THIN)
    ax.set_ylim(-0.04, 1.04)
    ax.set(xlabel="how near counts as reached (× the threshold)", ylabel="share of goals reached")
    ax.set_title("What the threshold decides")
    for ax, name in zip(axes[1], ("gripper", "object"), strict=True):
        rows = summary[summary.metric == f"{name} left"]
        for method, (_, shade, line) in looks.items():
            own = rows[rows.method == method]
            ax.plot(own.step, own.value, color=shade, linestyle=line, linewidth=2, gid=f"{method}/{name}")
        draw.zero_line(ax, at=1)
        ax.set_ylim(bottom=0)
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.set(xlabel="step", ylabel="median distance to go ÷ at the start")
        words = "Gripper, all tasks" if name == "gripper" else "Object, where it must move"
        ax.set_title(words if rows.n.max() > 0 else f"{words}: no task")
    draw.legend(fig, draw.labelled(axes[0, 1]), len(methods), handlelength=3)
    return fig


def _p_against_a(comparisons: pd.DataFrame | None) -> dict[str, float]:
    """The corrected p of each method that was compared with A."""
    if comparisons is None or comparisons.empty:
        return {}
    pairs = [comparisons, comparisons.rename(columns={"method": "against", "against": "method"})]
    with_a = pd.concat(pairs).query("against == @BASELINE")
    return with_a.set_index("method").p_holm.to_dict()


def _goals_reached(ax: Axes, success: pd.DataFrame, looks: dict[str, tuple], p: dict[str, float]) -> None:
    """The share of goals that each method reached, by kind of task, with its interval; p by method: against A."""
    for kind, (words, marker, shift) in KINDS.items():
        rows = success[success.kind == kind]
        hollow = kind != "all"
        for row in rows.rename(columns={"value": "mean"}).itertuples():
            x = list(looks).index(row.method) + shift
            shade = looks[row.method][1]
            draw.effect(ax, x, row, shade, f"{row.method}/{kind}", hollow=hollow, marker=marker)
        if len(rows):
            ax.plot([], [], marker, color="0.3", markerfacecolor="white" if hollow else "0.3", markersize=7,
                    label=f"{words} (n = {rows.n.iloc[0]})")
    told = {method: f"\np = {value:.2g}" for method, value in p.items()}
    draw.names_axis(ax, [label + told.get(method, "") for method, (label, *_) in looks.items()])
    ax.set_ylim(-0.04, 1.04)
    if p:
        ax.set_xlabel(f"p: against {BASELINE} on the same tasks (exact McNemar, Holm)")
    ax.set_ylabel("share of goals reached")
    ax.set_title("Goals reached, share and Wilson's 95 % interval")
    ax.legend(loc="upper left")


@style.styled
def learning_curves(table: pd.DataFrame, ylabel: str, conditions: Sequence[str]) -> Figure:
    """A quantity over optimizer steps: a thin line per seed, a thick one for their mean, a panel per scale.

    table: columns condition, scale, seed, step, value. conditions: those shown, if they are there.
    """
    table = table[table.condition.isin(list(conditions))]
    if table.empty:
        return style.empty_figure("no run of these conditions")
    scales = style.scales_of(table)
    fig, axes = style.new_figure(4.4 * len(scales) + 1, 4.2, 1, len(scales))
    for ax, scale in zip(axes[0], scales, strict=True):
        rows = table[table.scale == scale]
        for name in in_order(rows.condition):
            curves = rows[rows.condition == name].pivot(index="step", columns="seed", values="value")
            draw.seeds_and_mean(ax, curves, colour(name), name, f"{name}/mean")
        ax.set_xlabel("optimizer step")
        ax.set_title(scale)
    axes[0, 0].set_ylabel(ylabel)
    draw.legend(fig, draw.labelled(*axes[0]), 11)
    return fig
