"""The charts of the controls: is the sign flip real, and what is it made of?

As in `plots`: functions from tables to Matplotlib figures. What the paper reports is drawn as a star.
"""

import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, NullFormatter, PercentFormatter

from lewm_core.conditions import in_order
from lewm_core.diagnostics.capacity import STATE, STATE_FIRST
from lewm_core.stats import paper
from lewm_core.stats.evidence import FLOORS
from lewm_core.stats.scaling import Crossing
from lewm_core.stats.verdicts import CONTRADICTED, SUPPORTED, UNDECIDED, UNTESTABLE
from lewm_core.viz.data_figures import need
from lewm_core.viz.paper_figures import METRICS
from lewm_core.viz.style import OTHER_COLOURS, PAPER, SPLIT, colour, new_figure, styled, title

VERDICT = {SUPPORTED: ("#35A98B", "+"), CONTRADICTED: ("#D55E00", "−"), UNDECIDED: ("#DDDDDD", "?"),
           UNTESTABLE: ("#FFFFFF", "")}  # its colour and sign
METRIC = METRICS | {"yardstick": "yardstick (base's space)", "rollout_1": "rollout error, 1 step",
                    **{f"rollout_{h}": f"rollout error, {h} steps" for h in (5, 10)}}
SERIES = {"CLS": "#0072B2", "patch": "#D55E00", "both": "#CC79A7", STATE: "0.45", STATE_FIRST: "0.1",
          "training mean": "0.6", "no motion": "0.6"}
FAMILY = {"C": "#00785D", "C-rnd": "#D55E00", "C-ff": "#CC79A7"}  # regions: colours of families, not of conditions


@styled
def effect_against_size(crossings: Mapping[str, Crossing], changes: pd.DataFrame, sizes: Mapping[str, float],
                        caption: str = "", metric: str = "mse", split: str = "episode") -> Figure:
    """The effect at each size with its interval, and where its interpolated mean crosses zero; a panel per condition.

    Args:
        crossings: condition -> as from `scaling.crossing`, of `metric` and `split`.
        changes: as from statistics.paired_change; its seeds are drawn. sizes: scale -> episodes.
    """
    names = in_order(crossings)
    fig, axes = new_figure(3.7 * len(names) + 0.8, 4.6, 1, len(names), caption=caption, sharey=True)
    for ax, name in zip(axes[0], names, strict=True):
        c, shade = crossings[name], colour(name)
        ax.axhline(0, color="0.4", linewidth=1)
        ax.fill_between(c.band["size"], c.band.low, c.band.high, color=shade, alpha=0.14, linewidth=0,
                        gid=f"{name}/band")
        ax.plot(c.sizes, c.means, color=shade, linewidth=1.5, gid=f"{name}/line")
        for x, mean, low, high in zip(c.sizes, c.means, c.lows, c.highs, strict=True):
            ax.plot([x, x], [low, high], color=shade, linewidth=2.4, solid_capstyle="butt")
            ax.plot([x], [mean], marker="o", markersize=8, color=shade, gid=f"{name}/{x:g}/mean")
        rows = changes[(changes.condition == name) & (changes.metric == metric) & (changes.split == split)
                       & changes.scale.isin(list(sizes))]
        ax.scatter(rows.scale.map(sizes).astype(float) * 1.06, rows.change, s=13, color=shade, alpha=0.7, linewidth=0)
        for scale, episodes in paper.EPISODES.items():
            reported = paper.reported(3, scale)
            if name in reported.index:
                ax.plot([episodes], [reported[name]], **PAPER, gid=f"{name}/{scale}/paper")
        ends = np.clip([c.low, c.high], c.sizes[0], c.sizes[-1])
        if np.isfinite(ends).all():  # drawn low in the panel, so that it does not hide the means
            at = ax.get_xaxis_transform()
            ax.plot(ends, [0.05, 0.05], color="0.25", linewidth=4, alpha=0.35, solid_capstyle="butt", transform=at,
                    gid=f"{name}/crossing/interval")
            for end, edge, arrow in ((c.low, ends[0], "<"), (c.high, ends[1], ">")):
                if not 0 < end < np.inf and ends[0] < ends[1]:  # it goes on beyond the sizes
                    ax.plot([edge], [0.05], marker=arrow, markersize=9, color="0.6", transform=at)
            if 0 < c.size < np.inf:
                ax.plot([c.size], [0.05], marker="|", markersize=14, markeredgewidth=2, color="0.1", transform=at,
                        gid=f"{name}/crossing")
        crosses = (f"crosses 0 at {c.size:.0f}" + ("" if c.shown else ", within noise") if 0 < c.size < np.inf
                   else "no crossing")
        ax.set_title(f"{name}: {title(name)}\n{crosses}" if title(name) else f"{name}\n{crosses}", fontsize=10)
        _sizes_axis(ax, c.sizes)
        ax.set_xlabel("episodes (log scale)")
    axes[0, 0].set_ylabel(f"change in {METRIC.get(metric, metric)} against A (%)")
    n = sorted({k for c in crossings.values() for k in c.n})
    told = f"n = {n[0]}" if len(n) == 1 else f"n = {n[0]} to {n[-1]}"
    handles = [(Line2D([], [], color="0.3", marker="o", markersize=8), f"mean and 95 % interval ({told}), "
                f"{SPLIT.get(split, split)}"), (Patch(color="0.3", alpha=0.14), "95 % band between sizes"),
               (Line2D([], [], color="0.25", linewidth=4, alpha=0.35), "95 % interval of the crossing"),
               (Line2D([], [], **PAPER), "reported, paper Figure 3")]
    fig.legend(*zip(*handles, strict=True), loc="outside upper left", ncols=2 if len(names) < 3 else 4)
    return fig


@styled
def survival_map(table: pd.DataFrame, caption: str = "") -> Figure:
    """Under which metrics and splits each claim survives: a cell per claim, metric and split, by verdict.

    table: as from `claims.survival`; claims that no metric can test are left out.
    """
    need(table, "survival", ["id", "claim", "metric", "split", "verdict"])
    testable = table.groupby("id", sort=False).verdict.agg(lambda v: (v != UNTESTABLE).any())
    claims = [i for i in dict.fromkeys(table.id) if testable[i]]
    metrics, splits = list(dict.fromkeys(table.metric)), [s for s in SPLIT if s in set(table.split)]
    fig, axes = new_figure(6.0 + 0.62 * len(metrics) * len(splits), 1.9 + 0.27 * max(3, len(claims)), 1, len(splits),
                           caption=caption, sharey=True)
    order, says = list(VERDICT), table.drop_duplicates("id").set_index("id").claim
    for ax, split in zip(axes[0], splits, strict=True):
        cells = table[table.split == split].pivot(index="id", columns="metric", values="verdict")
        cells = cells.reindex(index=claims, columns=metrics).fillna(UNTESTABLE)
        codes = cells.map(order.index).to_numpy()
        ax.imshow(codes, cmap=ListedColormap([shade for shade, _ in VERDICT.values()]), vmin=-0.5, vmax=3.5,
                  aspect="auto", gid=f"{split}/verdicts")
        for (i, j), code in np.ndenumerate(codes):
            ax.text(j, i, VERDICT[order[code]][1], ha="center", va="center", fontsize=9,
                    color="white" if code < 2 else "0.35", fontweight="bold")
        ax.set_xticks(range(len(metrics)), [METRIC.get(m, m) for m in metrics], rotation=40, ha="right")
        ax.set_yticks(range(len(claims)), [textwrap.shorten(says[i], 84, placeholder=" …") for i in claims])
        ax.set_xticks(np.arange(-0.5, len(metrics)), minor=True)
        ax.set_yticks(np.arange(-0.5, len(claims)), minor=True)
        ax.grid(visible=False)
        ax.grid(which="minor", color="white", linewidth=1.5)
        ax.tick_params(which="both", length=0)
        ax.set_title(SPLIT[split])
    handles = [Patch(facecolor=shade, edgecolor="0.6", label=f"{verdict} {sign}".strip())
               for verdict, (shade, sign) in VERDICT.items()]
    fig.legend(handles=handles, loc="outside upper left", ncols=4)
    return fig


@styled
def capacity_curves(table: pd.DataFrame, caption: str = "") -> Figure:
    """Track error against the number of points regressed at once, a panel per probe, a line per set of tokens.

    table: as from `capacity.capacity_curve`, with a column seed if there are several runs. The state is dotted (the
    ceiling of what can be recovered), predictions that look at nothing are dashed.
    """
    need(table, "capacity", ["series", "probe", "points", "error"])
    probes = [p for p in dict.fromkeys(table.probe) if p]
    fig, axes = new_figure(max(6.5, 3.8 * len(probes) + 0.8), 4.2, 1, max(1, len(probes)), caption=caption, sharey=True)
    given = list(dict.fromkeys(table.series))
    names = [*(s for s in SERIES if s in given), *(s for s in given if s not in SERIES)]
    for ax, probe in zip(axes[0], probes, strict=True):
        for i, name in enumerate(names):
            rows = table[(table.series == name) & table.probe.isin([probe, ""])]
            if rows.empty:
                continue
            shade = SERIES.get(name) or sns.color_palette("colorblind")[i % 10]
            mean = rows.groupby("points").error.mean()
            style = (0, (5, 2)) if name == FLOORS[0] else (0, (1, 1.5)) if name in (STATE, STATE_FIRST) else \
                (0, (2, 3)) if name == FLOORS[1] else "-"
            ax.plot(mean.index, mean, color=shade, linestyle=style, linewidth=1.6 if name in FLOORS else 2,
                    marker=None if name in FLOORS else "o", markersize=5, label=name, gid=f"{name}/{probe}/mean")
            if rows.groupby("points").size().max() > 1 and name not in FLOORS:
                ax.scatter(rows.points, rows.error, color=shade, s=10, alpha=0.5, linewidth=0)
        _sizes_axis(ax, sorted(set(table.points)))
        ax.set_title(f"{probe} probe" if probe != "mlp" else "MLP probe")
        ax.set_xlabel("points regressed at once (log scale)")
    axes[0, 0].set_ylim(0, 1.08 * table.error.max())
    axes[0, 0].set_ylabel("error on held-out episodes (px at 224)")
    fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper left", ncols=len(names))
    return fig


@styled
def gradient_cosines(table: pd.DataFrame, caption: str = "") -> Figure:
    """Do a head's gradient and the prediction's conflict along training? Cosine above, ratio of norms below.

    table: columns scale, head, step, cosine, and ratio (head's norm over the prediction's), condition, seed where there
    are several; the line is the mean over seeds, the thin ones are the seeds. A column per scale.
    """
    need(table, "gradients", ["scale", "head", "step", "cosine"])
    scales, rows = list(dict.fromkeys(table.scale)), [r for r in ("cosine", "ratio") if r in table]
    fig, axes = new_figure(4.3 * len(scales) + 0.8, 1.4 + 2.3 * len(rows), len(rows), len(scales), caption=caption,
                           sharex="col", sharey="row")
    lines = table.assign(condition=table.get("condition", ""), seed=table.get("seed", 0))
    shades = dict(zip(dict.fromkeys(lines["head"]), sns.color_palette("colorblind"), strict=False))
    for j, scale in enumerate(scales):
        of_scale = lines[lines.scale == scale]
        for i, name in enumerate(rows):
            for (condition, head), group in of_scale.groupby(["condition", "head"], sort=False):
                wide = group.pivot_table(index="step", columns="seed", values=name)
                shade = colour(condition) if title(condition) else shades[head]
                style = "--" if condition and group["head"].iloc[0] != _first_head(lines, condition) else "-"
                axes[i, j].plot(wide.index, wide, color=shade, linewidth=0.7, alpha=0.35)
                axes[i, j].plot(wide.index, wide.mean(axis=1), color=shade, linewidth=1.9, linestyle=style,
                                label=f"{condition}, {head} head" if condition else f"{head} head",
                                gid=f"{condition}/{head}/{scale}/{name}")
        axes[0, j].axhline(0, color="0.4", linewidth=1)
        axes[0, j].set_title(scale)
        axes[-1, j].set_xlabel("optimizer step")
    axes[0, 0].set_ylabel("cosine with the\nprediction's gradient")
    if len(rows) > 1:
        axes[1, 0].set_yscale("log")
        for which in (axes[1, 0].yaxis.set_major_formatter, axes[1, 0].yaxis.set_minor_formatter):
            which(FuncFormatter(lambda v, _: f"{v:g}" if f"{v:e}"[0] in "125" else ""))
        axes[1, 0].set_ylabel("norm over the\nprediction's (log scale)")
    handles = {label: h for ax in axes[0] for h, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    fig.legend(handles.values(), handles.keys(), loc="outside upper left", ncols=4)
    return fig


def _first_head(table: pd.DataFrame, condition: str) -> str:
    return table[table.condition == condition]["head"].iloc[0]


@styled
def area_families(table: pd.DataFrame, caption: str = "", metric: str = "mse") -> Figure:
    """Effect against supervised area for families of regions: in the mask, as large at random, and so on.

    table: columns family ("C", "C-rnd", "C-ff", …), condition, area (share of the frame, above 0), mean, low, high
    (per cent, as from statistics.summarise). A condition of the family "" (B) belongs to none and stands alone.
    """
    need(table, "areas", ["family", "condition", "area", "mean", "low", "high"])
    fig, axes = new_figure(7.2, 4.8, caption=caption)
    ax, families = axes[0, 0], [f for f in dict.fromkeys(table.family) if f]
    reported = paper.reported(2)
    ax.axhline(0, color="0.4", linewidth=1)
    for i, family in enumerate([*families, ""]):
        rows = table[table.family == family].sort_values("area")
        if rows.empty:
            continue
        shade = FAMILY.get(family) or (OTHER_COLOURS[i % 4] if family else colour(rows.condition.iloc[0]))
        x = rows.area.to_numpy(float) * 1.08 ** (i - (len(families) - 1) / 2 if family else 0)
        ax.plot(x, rows["mean"], color=shade, linewidth=1.3 if family else 0, marker="o", markersize=8,
                label=family or ", ".join(rows.condition), gid=f"{family or 'alone'}/mean")
        ax.vlines(x, rows.low, rows.high, color=shade, linewidth=2.2)
        for at, row in zip(x, rows.itertuples(), strict=True):
            if i == 0 or not family:  # the others stand beside their partners
                ax.annotate(row.condition, (at, np.nanmax([row.mean, row.high])), xytext=(0, 4), ha="center",
                            textcoords="offset points", fontsize=8, color=shade, fontweight="bold")
            if row.condition in reported.index:
                ax.plot([at], [reported[row.condition]], **PAPER, gid=f"{row.condition}/paper")
    ax.set_xscale("log")
    ax.margins(x=0.1, y=0.14)
    ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=None))
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.set(xlabel="share of the frame that is supervised (log scale)",
           ylabel=f"change in {METRIC.get(metric, metric)} against A (%)")
    handles, labels = ax.get_legend_handles_labels()
    fig.legend([*handles, Line2D([], [], **PAPER)], [*labels, "reported, paper Figure 2"], loc="outside upper left",
               ncols=5)
    return fig


@styled
def weight_curve(table: pd.DataFrame, caption: str = "", metric: str = "mse", used: float | None = None) -> Figure:
    """Effect against the weight of the auxiliary loss, a panel per scale, a line per condition.

    table: columns condition, scale, weight (above 0), mean, low, high (per cent, as from statistics.summarise). used:
    the weight of all other runs (the paper's), drawn as a vertical line.
    """
    need(table, "weights", ["condition", "scale", "weight", "mean", "low", "high"])
    scales = list(dict.fromkeys(table.scale))
    fig, axes = new_figure(4.4 * len(scales) + 0.8, 4.4, 1, len(scales), caption=caption, sharey=True)
    names = in_order(table.condition)
    for ax, scale in zip(axes[0], scales, strict=True):
        ax.axhline(0, color="0.4", linewidth=1)
        if used is not None:
            ax.axvline(used, color="0.6", linewidth=1, linestyle="--", label=f"weight of the other runs ({used:g})")
        for i, name in enumerate(names):
            rows = table[(table.condition == name) & (table.scale == scale)].sort_values("weight")
            x = rows.weight.to_numpy(float) * 1.05 ** (i - (len(names) - 1) / 2)
            ax.plot(x, rows["mean"], color=colour(name), marker="o", markersize=7, linewidth=1.5, label=name,
                    gid=f"{name}/{scale}/mean")
            ax.vlines(x, rows.low, rows.high, color=colour(name), linewidth=2.2)
        _sizes_axis(ax, sorted(set(table.weight)))
        ax.set_xlabel("weight of the auxiliary loss (log scale)")
        ax.set_title(scale)
    axes[0, 0].set_ylabel(f"change in {METRIC.get(metric, metric)} against A (%)")
    fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper left", ncols=6)
    return fig


def _sizes_axis(ax, ticks: Sequence[float]) -> None:
    """A logarithmic axis that is labelled at its own values only."""
    ax.set_xscale("log")
    ax.set_xticks(ticks, [f"{t:g}" for t in ticks])
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.minorticks_off()
    ax.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
    ax.margins(x=0.1)
