"""Figures of finished models: how far rollouts drift, how planning fares.

Each function takes a table and returns a Matplotlib figure.
"""

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from lewm_core.conditions import in_order
from lewm_core.stats.paper import BASELINE
from lewm_core.viz import draw, style
from lewm_core.viz.style import GREY, colour, rows_where

PERSISTENCE = "static"  # in tables, the rollout that repeats the last context frame
NO_MODEL = {  # what acts without a model, by its name in tables: label, colour, line
    "static": ("static", GREY, "--"), "random": ("random", "0.72", "--"), "recorded": ("recorded", "black", ":"),
}
KINDS = {  # of planning tasks: label, marker, its place beside the method's
    "all": ("all tasks", "o", -0.2), "reach": ("the object stays", "^", 0), "move": ("the object must move", "s", 0.2),
}


@style.styled
def rollout_distance(table: pd.DataFrame, ratios: pd.DataFrame) -> Figure:
    """Distance over rollout steps: a panel per model, beside persistence in the same latent space; and, last, the one
    over the other.

    table: a row per rollout with columns space (a condition, whose latent space it is), step (1 …), model (the same, or
        "static" for persistence) and relative, the distance over the corpus's spread. A line is the mean over rollouts,
        the band holds their middle half.
    ratios: as from findings_rollouts.by_step: columns model, step, mean, low, high.
    """
    if table.empty:
        return style.empty_figure("no rollout on held-out episodes")
    names = in_order(table.space)
    fig, axes = style.new_figure(1.0 + 3.1 * (len(names) + 1), 3.9, 1, len(names) + 1)
    for ax, name in zip(axes[0], names, strict=False):
        _distance_panel(ax, table[table.space == name], name)
        ax.sharey(axes[0, 0])
        ax.set_title(style.name_and_title(name), fontsize=10)
    axes[0, 0].set_ylabel("distance to the true latent ÷ corpus spread")
    _ratio_panel(axes[0, -1], ratios, names)
    n = int(table.groupby(["space", "model", "step"]).size().max())
    band = (Patch(facecolor="0.5", alpha=0.25), "middle half of the rollouts")
    entries = [draw.line_key(f"model: mean of {n} rollout{'s' if n > 1 else ''}", color="0.3", linewidth=2),
               draw.line_key("persistence: last context frame", color=GREY, linewidth=2, linestyle="--")]
    draw.legend(fig, [*entries, band] if n > 3 else entries, 3)
    return fig


def _distance_panel(ax: Axes, table: pd.DataFrame, name: str) -> None:
    """A model and persistence in its latent space."""
    for model, shade, line in ((PERSISTENCE, GREY, "--"), (name, colour(name), "-")):
        rows = table[table.model == model].groupby("step").relative
        mean = rows.mean()
        ax.plot(mean.index, mean, linewidth=2, color=shade, linestyle=line, marker="o" if len(mean) < 16 else None,
                markersize=4, gid=f"{name}/{'mean' if model == name else PERSISTENCE}")
        if rows.size().max() > 3:
            ax.fill_between(mean.index, rows.quantile(0.25), rows.quantile(0.75), color=shade, alpha=0.2, linewidth=0)
    ax.set_ylim(bottom=0)
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.set_xlabel("rollout step")


def _ratio_panel(ax: Axes, ratios: pd.DataFrame, names: Sequence[str]) -> None:
    """Each model's mean distance over that of persistence, with its interval over episodes, side by side."""
    draw.zero_line(ax, at=1)
    for i, name in enumerate(names):
        rows = ratios[ratios.model == name]
        shift = 0.24 * (i - (len(names) - 1) / 2)
        for row in rows.itertuples():
            draw.effect(ax, row.step + shift, row, colour(name), f"{name}/ratio {row.step}", hollow=True)
        ax.plot(rows.step + shift, rows["mean"], color=colour(name), linewidth=1, label=name, zorder=1)
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.set(xlabel="rollout step", ylabel="ratio of mean distances\n[95 %], below 1 is nearer")
    ax.set_title("Model ÷ persistence", fontsize=10)
    if ax.get_legend_handles_labels()[1]:
        ax.legend(loc="best", fontsize=8.5)


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
