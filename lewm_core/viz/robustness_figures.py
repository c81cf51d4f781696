"""Figures of what a study can tell: does a result depend on the number of seeds, the split, or the metric?

Each function takes tables and returns a Matplotlib figure. What the paper reports is a star.
"""

import textwrap

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from lewm_core.conditions import in_order
from lewm_core.diagnostics.leakage import PARTS
from lewm_core.stats import paper
from lewm_core.stats.paired import n_label
from lewm_core.stats.verdicts import CONTRADICTED, SUPPORTED, UNDECIDED, UNTESTED
from lewm_core.viz import draw, style
from lewm_core.viz.style import GREY, METRICS, SPLIT, colour, rows_where

VERDICT = {  # its colour and sign
    SUPPORTED: ("#35A98B", "+"), CONTRADICTED: ("#D55E00", "−"), UNDECIDED: ("#DDDDDD", "?"),
    UNTESTED: ("#F7F7F7", ""),
}
BASE = "base"  # in leak tables, the model before fine-tuning


@style.styled
def power_chart(power: pd.DataFrame, summary: pd.DataFrame) -> Figure:
    """What each condition's seeds can detect, beside what they found and what the paper reports; sizes without sign.

    power: as from power.power_table, of one scale, metric and split. summary: as from paired.summarise. The paper's
    values are those of its Figure 1.
    """
    power = power[np.isfinite(power.mde.astype(float))]
    if power.empty:
        return style.empty_figure("no condition has two seeds or more, which power needs")
    fig, axes = style.new_figure(1.6 + 0.85 * max(5, len(power)), 4.4)
    ax = axes[0, 0]
    found = summary.set_index("condition")["mean"].abs()
    reported = paper.reported(1, power.scale.iloc[0]).abs()
    for x, row in enumerate(power.itertuples()):
        name = row.condition
        shade = colour(row.condition)
        ax.vlines([x], row.mde_low, row.mde_high, color=shade, linewidth=7, alpha=0.3)
        ax.plot([x], [row.mde], marker="_", markersize=15, markeredgewidth=2.5, color=shade, gid=f"{name}/mde")
        if name in found.index and found[name] > 0:
            ax.plot([x - 0.2], [found[name]], marker="o", markersize=6, color="0.15", gid=f"{name}/mean")
        draw.paper_star(ax, x + 0.2, reported, name, name)
    draw.zero_line(ax, at=power.effect.iloc[0])
    ax.lines[-1].set_linestyle("--")
    draw.log_axis(ax)
    draw.names_axis(ax, list(power.condition))
    ax.set_ylabel("size of the change against A (%, log scale)")
    entries = [
        draw.key(f"smallest change detected at 80 % ({n_label(power.n)})", marker="_", markersize=13,
                  markeredgewidth=2.5),
        draw.line_key("its 95 % interval", color="0.3", linewidth=7, alpha=0.3),
        draw.key("mean change found here", color="0.15", markersize=6),
        draw.paper_key(1),
        draw.line_key(f"the paper's ±{paper.FULL_SCALE_BAND} %", linestyle="--"),
    ]
    draw.legend(fig, entries, 2)
    return fig


@style.styled
def metric_panels(summary: pd.DataFrame) -> Figure:
    """The change of every condition against A on the pilot under each metric: a panel per metric, a row per condition.

    summary: as from paired.summarise; the episode split is filled, the window split hollow below it.
    """
    summary = summary[summary.scale == "pilot"]
    if summary.empty:
        return style.empty_figure("no condition but the baseline at pilot scale")
    names = in_order(summary.condition)[::-1]
    splits = style.splits_of(summary)
    measured = list(dict.fromkeys(summary.metric))
    metrics = [*(m for m in METRICS if m in measured), *(m for m in measured if m not in METRICS)]
    columns = min(5, len(metrics))
    lines = -(-len(metrics) // columns)
    fig, axes = style.new_figure(1.2 + 2.5 * columns, 1.3 + (0.9 + 0.25 * len(names)) * lines, lines, columns,
                                 sharey=True)
    for i, (ax, metric) in enumerate(zip(style.hide_unused(axes, len(metrics)), metrics, strict=True)):
        draw.zero_line(ax, sideways=True)
        for row in rows_where(summary, metric=metric).itertuples():
            hollow = row.split != splits[0]
            y = names.index(row.condition) + (-0.2 if hollow else 0.15)
            gid = f"{row.condition}/{metric}/{row.split}"
            draw.effect(ax, y, row, colour(row.condition), gid, hollow=hollow, sideways=True)
        draw.names_axis(ax, names, sideways=True)
        ax.set_title(style.metric_label(metric), fontsize=9.5)
        if i + columns >= len(metrics):
            ax.set_xlabel("change against A (%)")
            ax.xaxis.set_tick_params(labelbottom=True)
    draw.legend(fig, draw.split_keys(summary.n, splits), 2)
    return fig


@style.styled
def leak_chart(by_shared: pd.DataFrame, summary: pd.DataFrame) -> Figure:
    """Does a held-out window's error depend on how many of its frames were trained on? And what is the split worth?

    by_shared: as from leakage.error_by_shared, summary: as from leakage.leak_summary, of one scale or several; "base"
    is the model before fine-tuning, which saw none of them. Where blocks were held out, they tell what is shared frames
    and what is the same episode.
    """
    if by_shared.empty:
        return style.empty_figure("no window was held out")
    scales = list(dict.fromkeys([*summary.scale, *by_shared.scale]))
    names = list(dict.fromkeys(by_shared.condition))
    shades = {name: GREY if name == BASE else colour(name) for name in names}
    fig, axes = style.new_figure(4.2 * (len(scales) + 1) + 0.6, 4.2, 1, len(scales) + 1)
    for ax, scale in zip(axes[0], scales, strict=False):
        _error_by_shared(ax, rows_where(by_shared, scale=scale), shades)
        ax.set_title(f"{scale}: error by what was seen")
    _leak_sizes(axes[0, -1], summary, shades, scales)
    told = {name: "the base, before fine-tuning" if name == BASE else f"{name}, fine-tuned" for name in names}
    entries = [draw.line_key(told[name], color=shades[name], linewidth=4) for name in names]
    entries += [draw.key(SPLIT["episode"], markersize=6),
                draw.key(SPLIT["window"], linestyle="-", markerfacecolor="white", markersize=6),
                draw.line_key("the persistence baseline"), draw.key("one seed", markersize=3.5, alpha=0.5)]
    if "block" in set(by_shared.split):
        entries.append(draw.key(f"{SPLIT['block']}: same episodes, no frame shared", marker="D", markersize=6))
    draw.legend(fig, entries, 3)
    return fig


def _error_by_shared(ax: Axes, rows: pd.DataFrame, shades: dict[str, str]) -> None:
    """A dot per seed and a larger one for the mean, by how many frames of a window were trained on."""
    looks = {"window": {"markerfacecolor": "white"}, "block": {"linestyle": "none", "marker": "D"},
             "episode": {"linestyle": "none"}}
    for i, (name, shade) in enumerate(shades.items()):
        shift = 0.08 * (i - (len(shades) - 1) / 2)
        for split, look in looks.items():
            part = rows_where(rows, condition=name, split=split)
            if part.empty:
                continue
            aside = shift + (0.25 if split == "block" else 0)
            ax.scatter(part.shared + aside, part.mse_over_static, s=12, color=shade, alpha=0.5, linewidth=0)
            mean = part.groupby("shared").mse_over_static.mean()
            gid = "/".join([name, *rows.scale.unique(), split, "mean"])
            ax.plot(mean.index + aside, mean, **{"marker": "o", "markersize": 7, "color": shade, "gid": gid, **look})
    draw.zero_line(ax, at=1)
    draw.log_axis(ax)
    ax.set(xlabel="frames of the window that were trained on", ylabel="MSE over persistence MSE (log scale)")
    ax.set_xticks(range(5))


def _leak_sizes(ax: Axes, summary: pd.DataFrame, shades: dict[str, str], scales: list[str]) -> None:
    """What unseen episodes cost beyond held-out windows, and how much of it the base does not have; or its parts."""
    in_parts = summary.measure.isin(PARTS).any()
    measures = PARTS if in_parts else {"gap": "gap", "leak": "beyond base: leak"}
    labels, between = [], " " if in_parts else "\n"
    for scale in scales:
        for name, shade in shades.items():
            for measure, words in measures.items():
                for row in rows_where(summary, scale=scale, condition=name, measure=measure).itertuples():
                    gid = f"{name}/{scale}/{measure}"
                    draw.effect(ax, len(labels), row, shade, gid, sideways=True)
                    text = f"{name} {words}" if measure == "leak" else f"{name}: {words}"
                    labels.append(f"{text}{between}({scale})" if len(scales) > 1 else text)
    draw.zero_line(ax, sideways=True)
    draw.names_axis(ax, labels, sideways=True)
    ax.set_ylim(len(labels) - 0.4, -0.6)
    gaps = "change of the MSE from held-out\nwindows to unseen episodes (%)"
    ax.set_xlabel("rise of the MSE\n(% of persistence's)" if in_parts else gaps)
    ax.set_title("What the split is worth" if labels else "not run: no episode was held out")


@style.styled
def survival_map(table: pd.DataFrame) -> Figure:
    """Under which metrics and splits each claim survives: a panel per split, in it a cell per claim and metric.

    table: as from claims.survival (id, claim, metric, split, verdict); claims that no metric can test are left out.
    """
    testable = set(table.id[table.verdict != UNTESTED])
    claims = [i for i in dict.fromkeys(table.id) if i in testable]
    if not claims:
        return style.empty_figure("no claim can be tested with these runs")
    metrics = list(dict.fromkeys(table.metric))
    splits = style.splits_of(table)
    width = max(2.3, 0.86 * len(metrics))  # inches of a panel, so that its title fits
    says = table.drop_duplicates("id").set_index("id").claim
    words = [textwrap.fill(says[i], 60) for i in claims]
    row = 0.12 + 0.15 * max(text.count("\n") + 1 for text in words)  # inches
    fig, axes = style.new_figure(4.9 + width, 1.5 + (0.4 + row * max(3, len(claims))) * len(splits), len(splits),
                                 sharex=True)
    for ax, split in zip(axes[:, 0], splits, strict=True):
        cells = rows_where(table, split=split).pivot(index="id", columns="metric", values="verdict")
        _verdicts(ax, cells.reindex(index=claims, columns=metrics).fillna(UNTESTED), f"{split}/verdicts")
        ax.set_xticks(range(len(metrics)), [textwrap.fill(style.metric_label(m), 12) for m in metrics], fontsize=8)
        ax.set_yticks(range(len(claims)), words)
        ax.set_title(textwrap.fill(SPLIT[split], int(12 * width)), fontsize=9.5)
    handles = [(Patch(facecolor=shade, edgecolor="0.6"), f"{verdict} {sign}".strip())
               for verdict, (shade, sign) in VERDICT.items()]
    draw.legend(fig, handles, 4)
    return fig


def _verdicts(ax: Axes, cells: pd.DataFrame, gid: str) -> None:
    """A grid of verdicts, coloured and signed."""
    codes = cells.map(list(VERDICT).index).to_numpy()
    shades, signs = zip(*VERDICT.values(), strict=True)
    ax.imshow(codes, cmap=ListedColormap(shades), vmin=-0.5, vmax=len(shades) - 0.5, aspect="auto", gid=gid)
    for (i, j), code in np.ndenumerate(codes):
        ax.text(j, i, signs[code], ha="center", va="center", fontsize=9, color="white" if code < 2 else "0.35",
                fontweight="bold")
    ax.set_xticks(np.arange(-0.5, codes.shape[1]), minor=True)
    ax.set_yticks(np.arange(-0.5, codes.shape[0]), minor=True)
    ax.grid(visible=False)
    ax.grid(which="minor", color="white", linewidth=1.5)
    ax.tick_params(which="both", length=0)
