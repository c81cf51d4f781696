"""Figures of probes: what they recover from a frozen encoder's tokens, and how many points fit through one.

Each function takes a table and returns a Matplotlib figure.
"""

import textwrap

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lewm_core.diagnostics.capacity import STATE, STATE_FIRST
from lewm_core.stats.evidence import FLOORS
from lewm_core.stats.paired import number
from lewm_core.viz import draw, style
from lewm_core.viz.style import PAIR, rows_where

TOKENS = {"CLS": "CLS token", "patch": "patch tokens", "both": "CLS and patches"}
PROBES = {"mlp": "MLP"}
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
        ax.set_title(f"{probe} probe".replace("mlp", PROBES["mlp"]))
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
    """Track error against the number of points regressed at once: a row per probe, a panel per set of tokens, each set
    at a scale of its own, beside the predictions that look at nothing.

    table: as from capacity.capacity_curve (series, probe, points, error), with a column seed if there are several runs.
    A thin line is a run, the thick one their mean; of one run there is no mean.
    """
    if table.empty:
        return style.empty_figure("no tracks to regress")
    probes = [p for p in dict.fromkeys(table.probe) if p]
    names = [s for s in SERIES if s in set(table.series) and s not in FLOORS]
    fig, axes = style.new_figure(1.0 + 2.6 * max(2, len(names)), 0.9 + 2.5 * len(probes), len(probes), len(names),
                                 sharey="col")
    for line, probe in zip(axes, probes, strict=True):
        for ax, name in zip(line, names, strict=True):
            rows = table[(table.series == name) & (table.probe == probe)]
            ax.set_visible(len(rows) > 0)
            if len(rows):
                _capacity_panel(ax, rows, table, f"{name}/{probe}")
                title = textwrap.wrap(f"{TOKENS.get(name, name)}, {PROBES.get(probe, probe)} probe", 27)
                ax.set_title("\n".join([*title, *_against_floor(rows, table)]), fontsize=9)
        shown = [ax for ax in line if ax.get_visible()]
        shown[0].set_ylabel("error on held-out\nepisodes (px at 224)")
    keys = [draw.line_key(f"floor: {name}", color=SERIES[name][0], linestyle=SERIES[name][1], linewidth=1.6)
            for name in FLOORS if name in set(table.series)]
    runs = [draw.line_key("mean", color="0.3", linewidth=2), draw.line_key("one run", color="0.3", linewidth=0.7,
                                                                           alpha=0.6)]
    if "seed" not in table or table.seed.nunique() < 2:
        runs = [draw.line_key("one run", color="0.3", linewidth=2)]
    draw.legend(fig, [*runs, *keys], 4)
    return fig


def _against_floor(rows: pd.DataFrame, table: pd.DataFrame) -> list[str]:
    """How far the best error is from that of the training mean, in lines; none where that was not measured."""
    floor = table[table.series == FLOORS[0]].error.mean()
    if not np.isfinite(floor):
        return []
    best = rows.groupby("points").error.mean().min()
    return [f"best: {number(100 * (best / floor - 1))} % against", "the training mean"]


def _capacity_panel(ax: Axes, rows: pd.DataFrame, table: pd.DataFrame, gid: str) -> None:
    """One set of tokens, read by one probe, beside the floors of the same numbers of points."""
    for floor in (name for name in FLOORS if name in set(table.series)):
        mean = table[table.series == floor].groupby("points").error.mean()
        shade, line = SERIES[floor]
        ax.plot(mean.index, mean, color=shade, linestyle=line, linewidth=1.6, zorder=3, gid=f"{floor}/{gid}/mean")
    shade, line = SERIES[rows.series.iloc[0]]
    by_run = rows.assign(seed=rows.get("seed", 0)).pivot(index="points", columns="seed", values="error")
    draw.seeds_and_mean(ax, by_run, shade, gid, f"{gid}/mean", linestyle=line, marker="o", markersize=5)
    draw.sizes_axis(ax, sorted(set(table.points)))
    ax.set_xlabel("points at once (log scale)")
