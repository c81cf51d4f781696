"""Figures of what is judged before the claims: the gates, and the primary hypotheses.

Each function takes tables and returns a Matplotlib figure.
"""

import textwrap

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from lewm_core.conditions import in_order
from lewm_core.stats.gates import GATES
from lewm_core.stats.primary import BOTH
from lewm_core.viz import draw, style
from lewm_core.viz.robustness_figures import VERDICT
from lewm_core.viz.style import colour, rows_where

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
    fig, axes = style.new_figure(2.2 + 3.4 * len(scales), 2.6 + 0.33 * max(3, len(names)), 1, len(scales), sharey=True)
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
    words = [textwrap.fill(GATES[gate][0], 16) for gate in cells.columns]
    ax.set_xticks(range(len(words)), words, rotation=40, ha="right")
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
