"""Figures of what is judged before the claims: the answer, the gates, and the primary hypotheses.

Each function takes tables and returns a Matplotlib figure.
"""

import textwrap
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.transforms import blended_transform_factory

from lewm_core.conditions import in_order
from lewm_core.stats.depth_effect import headline
from lewm_core.stats.gates import GATES
from lewm_core.stats.outcomes import SMALLEST
from lewm_core.stats.paired import bounds, number
from lewm_core.stats.primary import BOTH
from lewm_core.stats.verdicts import UNTESTED
from lewm_core.viz import draw, style
from lewm_core.viz.robustness_figures import VERDICT
from lewm_core.viz.style import colour, rows_where

BAND = "0.92"  # grey of what is smaller than the smallest effect of interest
STATES = {True: ("#35A98B", "open"), False: ("#D55E00", "shut")}


@style.styled
def gate_map(table: pd.DataFrame) -> Figure:
    """Which gates are open: a panel per scale, a row per condition, a column per gate.

    table: as from gates.gate_table.
    """
    if table.empty:
        return style.empty_figure("no condition that the paper speaks of")
    scales = style.scales_of(table)
    names = in_order(table.condition)
    fig, axes = style.new_figure(2.2 + 3.4 * len(scales), 1.9 + 0.36 * max(3, len(names)), 1, len(scales), sharey=True)
    for ax, scale in zip(axes[0], scales, strict=True):
        cells = rows_where(table, scale=scale).pivot(index="condition", columns="gate", values="open")
        _states(ax, cells.reindex(index=names, columns=list(GATES)), f"{scale}/gates")
        ax.set_title(scale)
    draw.legend(fig, [(Patch(facecolor=shade), word) for shade, word in STATES.values()], 2)
    return fig


def _states(ax: Axes, cells: pd.DataFrame, gid: str) -> None:
    """A grid of gates, coloured and signed; blank where a condition was not run."""
    codes = cells.map({True: 1.0, False: 0.0}.get).astype(float).to_numpy()
    shades = [STATES[False][0], STATES[True][0]]
    ax.imshow(np.ma.masked_invalid(codes), cmap=ListedColormap(shades), vmin=-0.5, vmax=1.5, aspect="auto", gid=gid)
    for (i, j), code in np.ndenumerate(codes):
        if np.isfinite(code):
            ax.text(j, i, "+" if code else "−", ha="center", va="center", color="white", fontweight="bold")
    words = [textwrap.fill(GATES[gate][0], 13) for gate in cells.columns]
    ax.set_xticks(range(len(words)), words, fontsize=8)
    ax.set_yticks(range(len(cells)), list(cells.index))
    ax.set_xticks(np.arange(-0.5, len(words)), minor=True)
    ax.set_yticks(np.arange(-0.5, len(cells)), minor=True)
    ax.grid(visible=False)
    ax.grid(which="minor", color="white", linewidth=1.5)
    ax.tick_params(which="both", length=0)


@style.styled
def primary_forest(effects: pd.DataFrame, table: pd.DataFrame) -> Figure:
    """Every contrast of the primary hypotheses with its interval, and the verdict on the hypothesis.

    effects: as from primary.primary_effects; table: as from primary.primary_table. The band is what is smaller than the
    smallest effect of interest. Changes of one condition against another are in per cent, interactions in points.
    """
    if effects.empty:
        return style.empty_figure("no contrast of a primary hypothesis")
    judged = table.set_index("id")
    fig, axes = style.new_figure(10.5, 1.8 + 0.55 * max(2, len(effects)))
    ax = axes[0, 0]
    least = table.least.max()
    ax.axvspan(-least, least, color="0.94", zorder=0, gid="band")
    draw.zero_line(ax, sideways=True)
    labels = []
    for y, row in enumerate(effects.itertuples()):
        draw.effect(ax, y, row, colour(row.condition), f"{row.id}/{row.against}", sideways=True)
        of = " − ".join(reversed(BOTH.split(" to "))) if row.scale == BOTH else row.scale
        labels.append(f"{row.id}: {row.condition} against {row.against}, {of}")
        shade, sign = VERDICT[judged.verdict[row.id]]
        ax.text(1.01, y, f"{sign} {judged.verdict[row.id]}".strip(), transform=ax.get_yaxis_transform(), va="center",
                fontsize=8.5, bbox={"facecolor": shade, "alpha": 0.35, "edgecolor": "none", "pad": 2})
    draw.names_axis(ax, labels, sideways=True)
    ax.set_ylim(len(effects) - 0.4, -0.6)
    ax.set_xlabel(f"{style.metric_label(effects.metric.iloc[0])}: change in %, between scales in points")
    band = Patch(facecolor="0.94"), f"smaller than the smallest effect of interest (±{least:g} %)"
    draw.legend(fig, [draw.mean_key(effects.n), band], 2)
    return fig


@style.styled
def answer(table: pd.DataFrame, seeds: pd.DataFrame, lines: Sequence[str]) -> Figure:
    """What depth does to the primary outcome, against A and against its twin, at both scales, in a figure that is
    legible at 700 pixels; where nothing could be tested it says so large.

    table, seeds: as from depth_effect.effect_table. lines: what stands below, as of depth_effect.lost, gates_line.
    """
    said = headline(table)
    words = [line for told in lines if told for line in textwrap.wrap(told[0].upper() + told[1:], 98)]
    verdict = textwrap.wrap(said[0].upper() + said[1:], 84)
    heights = [1.4 if said == UNTESTED else 0.85 + 0.2 * len(verdict), 0.66 * len(table), 0.05 + 0.17 * len(words)]
    fig = style.Chart(figsize=(7, sum(heights) + 0.8), layout="constrained")
    head, ax, foot = fig.subplots(3, 1, height_ratios=heights)
    _answer_axis(ax, table, seeds, grey=said == UNTESTED)
    for part in (head, foot):
        part.set_axis_off()
    _from_left(head, 1, "Our hypothesis: depth supervision (B) makes the prediction better", fontsize=12,
               fontweight="bold")
    _from_left(head, 1 - 0.27 / heights[0], "\n".join(verdict), fontsize=22 if said == UNTESTED else 11,
               fontweight="bold", color="0.3" if said == UNTESTED else colour(table.condition.iloc[0]), gid="answer")
    entries = [draw.seed_key(), (Patch(facecolor=BAND), f"smaller than what is of interest (±{SMALLEST:g} %)"),
               draw.mean_key(table.n[table.n > 0])]
    artists, labels = zip(*entries, strict=True)
    head.legend(artists, labels, loc="lower left", bbox_to_anchor=(0.01, 0), ncols=2, fontsize=9, borderpad=0,
                bbox_transform=blended_transform_factory(fig.transFigure, head.transAxes), columnspacing=1.2)
    _from_left(foot, 1, "\n".join(words), fontsize=9, color="0.25")
    return fig


def answer_numbers(table: pd.DataFrame, seeds: pd.DataFrame) -> pd.DataFrame:
    """Every number of `answer`, a row each: statistic is seed, n, mean, low, high, paper or least."""
    parts = [table.assign(statistic=name, value=table[name]) for name in ("n", "mean", "low", "high", "paper")]
    same = table.iloc[0][["condition", "split", "metric"]].to_dict()
    parts += [seeds.assign(statistic="seed", value=seeds.change, **same),
              pd.DataFrame([{"statistic": "least", "value": SMALLEST, **same}])]
    columns = [*style.COLUMNS, "against", "id", "statistic", "verdict", "reason"]
    found = pd.concat([part.reindex(columns=columns).astype(object) for part in parts])
    return found.assign(metric=found.metric + " change %")


def _from_left(ax: Axes, y: float, text: str, **look: object) -> None:
    """Words from the figure's left edge on, at a height of the axes."""
    at = blended_transform_factory(ax.figure.transFigure, ax.transAxes)
    ax.text(0.012, y, text, transform=at, va="top", parse_math=False, **look).set_in_layout(False)


def _answer_axis(ax: Axes, table: pd.DataFrame, seeds: pd.DataFrame, grey: bool) -> None:
    """A row per contrast with its seeds; beside the axis its number, verdict, and what the paper reports."""
    ends = [*table[["mean", "low", "high"]].to_numpy(float).ravel(), *seeds.change, -SMALLEST, SMALLEST]
    low, high = np.nanmin(ends), np.nanmax(ends)
    ax.set_xlim(low - 0.05 * (high - low), high + 0.08 * (high - low))
    ax.axvspan(-SMALLEST, SMALLEST, color=BAND, zorder=0, gid="band")
    draw.zero_line(ax, sideways=True)
    for y, row in enumerate(table.itertuples()):
        own = rows_where(seeds, scale=row.scale, against=row.against)
        _answer_row(ax, y, row, own, "0.6" if grey else colour(row.condition))
        if y and row.scale != table.scale.iloc[y - 1]:
            ax.axhline(y - 0.5, color="0.6", linewidth=0.8, zorder=0)
    labels = [f"{row.scale}: {row.condition}\nagainst {row.against}" for row in table.itertuples()]
    ax.set_yticks(range(len(table)), labels, fontsize=9.5)
    ax.set_ylim(len(table) - 0.5, -0.5)
    ax.grid(axis="y", visible=False)
    ax.set_xlabel("change of the gripper's error 5 steps ahead, on unseen\nepisodes (%): left is better", fontsize=9.5)


def _answer_row(ax: Axes, y: float, row: tuple, seeds: pd.DataFrame, shade: str) -> None:
    gid = f"{row.scale}/{row.against}"
    said = "not run"
    if np.isfinite(row.mean):
        draw.effect(ax, y - 0.24, row, shade, gid, sideways=True)
        draw.seed_dots(ax, y + 0.02, seeds, shade, gid, sideways=True)
        said = f"{number(row.mean)} %{bounds(row.low, row.high)}"
    look = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points", "va": "center",
            "annotation_clip": False, "fontsize": 9.5}
    fill, sign = VERDICT[row.verdict]
    ax.annotate(said, (1, y - 0.28), xytext=(8, 0), **look)
    ax.annotate(f"{sign} {row.verdict}".strip(), (1, y + 0.03), xytext=(8, 0), gid=f"{gid}/verdict",
                bbox={"facecolor": fill, "alpha": 0.35, "edgecolor": "none", "pad": 2}, **look)
    if np.isfinite(row.paper):  # of another metric, so not on this axis
        ax.annotate(f"paper, latent MSE: {number(row.paper)} %", (1, y + 0.33), xytext=(8, 0), gid=f"{gid}/paper",
                    color="0.35", **look | {"fontsize": 8.5})
