"""The charts of what a study can tell: its power, its metrics, its split's leak, and supervision through patch tokens.

As in `plots`: functions from tables to Matplotlib figures. What the paper reports is drawn as a star.
"""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from lewm_core.conditions import condition, in_order
from lewm_core.stats import paper
from lewm_core.utils.errors import InputError
from lewm_core.utils.workspace import SCALES
from lewm_core.viz.control_figures import METRIC
from lewm_core.viz.data_figures import need
from lewm_core.viz.style import GREY, PAPER, SPLIT, colour, new_figure, styled

ROUTES = {"cls": "CLS\nhead", "patch": "patch\nhead", "pp": "patch\npredictor"}  # how a signal reaches the model


@styled
def power_chart(power: pd.DataFrame, summary: pd.DataFrame, caption: str = "", figure: int = 1) -> Figure:
    """What each condition's seeds can detect, beside what they found and what the paper reports; sizes without sign.

    power: as from `power.power_table`, of one scale, metric and split. summary: as from statistics.summarise. figure:
    of the paper, whose values are drawn.
    """
    need(power, "power", ["condition", "scale", "n", "mde", "mde_low", "mde_high", "effect"])
    power = power[np.isfinite(power.mde)]
    fig, axes = new_figure(1.6 + 0.85 * max(5, len(power)), 4.4, caption=caption)
    ax, found = axes[0, 0], summary.set_index("condition")["mean"].abs()
    scale = power.scale.iloc[0] if len(power) else "pilot"
    reported = paper.reported(figure, scale).abs()
    for x, row in enumerate(power.itertuples()):
        c = row.condition
        ax.vlines([x], row.mde_low, row.mde_high, color=colour(c), linewidth=7, alpha=0.3)
        ax.plot([x], [row.mde], marker="_", markersize=15, markeredgewidth=2.5, color=colour(c), gid=f"{c}/mde")
        if c in found.index and found[c] > 0:
            ax.plot([x - 0.2], [found[c]], marker="o", markersize=6, color="0.15", linestyle="none", gid=f"{c}/mean")
        if c in reported.index:
            ax.plot([x + 0.2], [reported[c]], **PAPER, gid=f"{c}/paper")
    if len(power):
        ax.axhline(power.effect.iloc[0], color="0.4", linewidth=1, linestyle="--")
    ax.set_yscale("log")
    for which in (ax.yaxis.set_major_formatter, ax.yaxis.set_minor_formatter):
        which(FuncFormatter(lambda v, _: f"{v:g}" if f"{v:e}"[0] in "125" else ""))
    ax.set_xticks(range(len(power)), power.condition)
    ax.grid(axis="x", visible=False)
    ax.set_ylabel("size of the change against A (%, log scale)")
    n = sorted(set(power.n))
    told = ("" if not n else f"n = {n[0]}" if len(n) == 1 else f"n = {n[0]} to {n[-1]}")
    handles = [(Line2D([], [], color="0.3", marker="_", markersize=13, markeredgewidth=2.5, linestyle="none"),
                f"smallest change detected at 80 % ({told})"),
               (Line2D([], [], color="0.3", linewidth=7, alpha=0.3), "its 95 % interval"),
               (Line2D([], [], color="0.15", marker="o", linestyle="none"), "mean change found here"),
               (Line2D([], [], **PAPER), f"reported, paper Figure {figure}"),
               (Line2D([], [], color="0.4", linewidth=1, linestyle="--"), f"the paper's ±{paper.FULL_SCALE_BAND} %")]
    fig.legend(*zip(*handles, strict=True), loc="outside upper left", ncols=3)
    return fig


@styled
def metric_panels(summary: pd.DataFrame, caption: str = "", scale: str = "pilot") -> Figure:
    """The change of every condition against A under each metric: a panel per metric, a row per condition.

    summary: as from statistics.summarise; the episode split is filled, the window split hollow below it.
    """
    need(summary, "summary", ["condition", "scale", "split", "metric", "mean", "low", "high"])
    rows = summary[summary.scale == scale]
    names, metrics = in_order(rows.condition)[::-1], list(dict.fromkeys(rows.metric))
    metrics = [*(m for m in METRIC if m in metrics), *(m for m in metrics if m not in METRIC)]
    columns = max(1, min(5, len(metrics)))
    lines = -(-len(metrics) // columns)
    fig, axes = new_figure(1.2 + 2.5 * columns, 1.3 + (0.9 + 0.25 * len(names)) * lines, lines, columns,
                           caption=caption, sharey=True)
    for ax, metric in zip(axes.flat, metrics, strict=False):
        ax.axvline(0, color="0.4", linewidth=1)
        for dy, split in zip((0.15, -0.2), SPLIT, strict=True):
            part = rows[(rows.metric == metric) & (rows.split == split)].set_index("condition")
            for y, c in enumerate(names):
                if c in part.index:
                    row = part.loc[c]
                    ax.hlines(y + dy, row.low, row.high, color=colour(c), linewidth=2.2 if dy > 0 else 1.2)
                    ax.plot([row["mean"]], [y + dy], marker="o", markersize=6 if dy > 0 else 5, color=colour(c),
                            markerfacecolor=colour(c) if dy > 0 else "white", gid=f"{c}/{metric}/{split}/mean")
        ax.set_title(METRIC.get(metric, metric.replace("_", " ")), fontsize=9.5)
        ax.grid(axis="y", visible=False)
    for ax in axes.flat[len(metrics):]:
        ax.set_visible(False)
    for ax in axes[:, 0]:
        ax.set_yticks(range(len(names)), names)
    for i, ax in enumerate(axes.flat[: len(metrics)]):
        if i + columns >= len(metrics):
            ax.set_xlabel("change against A (%)")
            ax.xaxis.set_tick_params(labelbottom=True)
    handles = [(Line2D([], [], color="0.3", marker="o"), f"mean and 95 % interval, {SPLIT['episode']}"),
               (Line2D([], [], color="0.3", marker="o", markerfacecolor="white", linewidth=1.2), SPLIT["window"])]
    fig.legend(*zip(*handles, strict=True), loc="outside upper left", ncols=2)
    return fig


@styled
def leak_chart(by_shared: pd.DataFrame, summary: pd.DataFrame, caption: str = "") -> Figure:
    """Does a held-out window's error depend on how many of its frames were trained on? And what is the split worth?

    by_shared: as from `leak.error_by_shared`, summary: as from `leak.leak_summary`, of one scale or several; "base" is
    the model before fine-tuning, which saw none of them.
    """
    need(by_shared, "leak", ["condition", "scale", "seed", "split", "shared", "mse_over_static"])
    need(summary, "leak summary", ["condition", "scale", "measure", "mean", "low", "high"])
    scales, names = list(dict.fromkeys(by_shared.scale)), list(dict.fromkeys(by_shared.condition))
    fig, axes = new_figure(4.2 * (len(scales) + 1) + 0.6, 4.2, 1, len(scales) + 1, caption=caption)
    for ax, scale in zip(axes[0], scales, strict=False):
        for i, c in enumerate(names):
            shade = GREY if c == "base" else colour(c)
            for split, style in (("window", {"markerfacecolor": "white"}), ("episode", {"linestyle": "none"})):
                rows = by_shared[(by_shared.condition == c) & (by_shared.scale == scale) & (by_shared.split == split)]
                x = rows.shared + 0.08 * (i - (len(names) - 1) / 2)
                ax.scatter(x, rows.mse_over_static, s=12, color=shade, alpha=0.5, linewidth=0)
                mean = rows.groupby("shared").mse_over_static.mean()
                ax.plot(mean.index + 0.08 * (i - (len(names) - 1) / 2), mean, marker="o", markersize=7, color=shade,
                        gid=f"{c}/{scale}/{split}/mean", **style)
        ax.axhline(1, color="0.4", linewidth=1)
        ax.set(xlabel="frames of the window that were trained on", ylabel="MSE over static MSE")
        ax.set_xticks(range(5))
        ax.set_title(f"{scale}: error by what was seen")
    ax, labels = axes[0, -1], []
    for scale in scales:
        for c in names:
            for measure, text in (("gap", f"{c}: gap"), ("leak", f"{c} beyond base: leak")):
                row = summary[(summary.scale == scale) & (summary.condition == c) & (summary.measure == measure)]
                if len(row):
                    y, (row,) = -len(labels), row.itertuples()
                    shade = GREY if c == "base" else colour(c)
                    ax.hlines(y, row.low, row.high, color=shade, linewidth=2.4)
                    ax.plot([row.mean], [y], marker="o", markersize=8, color=shade, gid=f"{c}/{scale}/{measure}")
                    labels.append(f"{text}\n({scale})" if len(scales) > 1 else text)
    ax.axvline(0, color="0.4", linewidth=1)
    ax.set_yticks(-np.arange(len(labels)), labels)
    ax.set_ylim(-len(labels) + 0.4, 0.6)
    ax.grid(axis="y", visible=False)
    ax.set_xlabel("MSE of unseen episodes\nagainst held-out windows (%)")
    ax.set_title("What the split is worth")
    handles = [(Line2D([], [], color=GREY if c == "base" else colour(c), linewidth=4),
                "the base, before fine-tuning" if c == "base" else f"{c}, fine-tuned") for c in names]
    handles += [(Line2D([], [], color="0.3", marker="o", linestyle="none"), SPLIT["episode"]),
                (Line2D([], [], color="0.3", marker="o", markerfacecolor="white"), SPLIT["window"]),
                (Line2D([], [], color="0.4", linewidth=1), "the static prediction")]
    fig.legend(*zip(*handles, strict=True), loc="outside upper left", ncols=3)
    return fig


@styled
def patch_effects(changes: pd.DataFrame, summary: pd.DataFrame, caption: str = "", split: str = "episode") -> Figure:
    """Does a signal help more by another route? CLS head, patch head, patch-aware predictor; pilot beside full scale.

    changes, summary: as from statistics.paired_change and statistics.summarise, each condition against its own
    baseline.
    """
    need(changes, "changes", ["condition", "scale", "split", "change"])
    need(summary, "summary", ["condition", "scale", "split", "mean", "low", "high", "n"])
    rows, seeds = (t[t.split == split] for t in (summary, changes))
    scales, names = [s for s in SCALES if s in set(rows.scale)], in_order(rows.condition)
    signals = [s for s in ("B", "D") if any(n.split("-")[0] == s for n in names)]
    if not signals:
        raise InputError("changes", ", ".join(names) or "no condition", "conditions that supervise depth or tracks")
    fig, axes = new_figure(4.6 * len(scales) + 0.8, 4.6, 1, len(scales), caption=caption, sharey=True)
    for ax, scale in zip(axes[0], scales, strict=True):
        ax.axhline(0, color="0.4", linewidth=1)
        ticks, labels, x = [], [], 0.0
        for signal in signals:
            for c in (n for n in names if n.split("-")[0] == signal):
                for row in rows[(rows.condition == c) & (rows.scale == scale)].itertuples():
                    ax.vlines(x, row.low, row.high, color=colour(c), linewidth=2.4)
                    ax.plot([x], [row.mean], marker="o", markersize=8, color=colour(c), gid=f"{c}/{scale}/mean")
                    own = seeds[(seeds.condition == c) & (seeds.scale == scale)]
                    ax.scatter(np.full(len(own), x - 0.14), own.change, s=14, color=colour(c), alpha=0.7, linewidth=0,
                               gid=f"{c}/{scale}/seeds")
                ticks.append(x)
                labels.append(f"{c}\n{ROUTES[c.partition('-')[2] or 'cls']}")
                x += 1
            x += 0.5
        ax.set_xticks(ticks, labels)
        ax.set_xlim(-0.6, x - 0.9)
        ax.grid(axis="x", visible=False)
        ax.set_title(f"{scale}: depth (B) and tracks (D) by route")
    against = {c: condition(c).baseline for c in names}
    axes[0, 0].set_ylabel("change in next-latent MSE against the baseline (%)\n"
                          + ", ".join(f"{b} for {'pp' if b == 'A-pp' else 'the others'}"
                                      for b in dict.fromkeys(against.values())), fontsize=9)
    n = sorted(set(rows.n))
    told = f"n = {n[0]}" if len(n) == 1 else f"n = {n[0]} to {n[-1]}"
    handles = [(Line2D([], [], color="0.3", marker="o", markersize=4, linestyle="none"), "one seed"),
               (Line2D([], [], color="0.3", marker="o", markersize=8),
                f"mean and 95 % interval ({told}), {SPLIT[split]}")]
    fig.legend(*zip(*handles, strict=True), loc="outside upper left", ncols=2)
    return fig
