"""The charts of notebooks 01, 02, 06 and 07: curation scores, tracks, probes, rollouts, learning curves.

As in `plots`: functions from tables to Matplotlib figures. What the paper reports is drawn as a star.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from lewm_core.conditions import in_order
from lewm_core.stats import paper
from lewm_core.utils.errors import InputError
from lewm_core.viz.style import GREY, PAPER, colour, new_figure, styled, title

PAIR = ("#0072B2", "#D55E00")  # two kinds of one thing (CLS and patches, uniform and foreground): blue and vermilion
STATIC = "static"  # the rollout that repeats the last context frame; in planning, the gripper that does nothing
BASELINES = {STATIC: (GREY, "--"), "random": ("0.72", "--"), "recorded": ("black", ":")}  # what acts without a model
LOWEST_R2 = -1.0  # bars below it are cut there and labelled with their value


@styled
def score_distributions(scores: pd.DataFrame, caption: str = "", accepted: str = "accepted") -> Figure:
    """How each part of the curation score is distributed over accepted and rejected episodes (notebook 01).

    scores: one row per episode with columns part_* (0..1), optionally `score`, and the boolean column `accepted`.
    """
    parts = [c for c in scores.columns if c.startswith("part_")]
    need(scores, "scores", [accepted, *(parts or ["part_*"])])
    shown = [*parts, *(["score"] if "score" in scores else [])]
    columns = min(4, len(shown))
    rows = -(-len(shown) // columns)
    fig, axes = new_figure(2.9 * columns, 2.3 * rows + 0.6, rows, columns, caption=caption)
    flag = scores[accepted].to_numpy(bool)
    groups = [(f"accepted ({flag.sum()})", scores[flag], PAIR[0]),
              (f"rejected ({(~flag).sum()})", scores[~flag], "0.6")]
    for ax, name in zip(axes.flat, shown, strict=False):
        top = max(1.0, scores[name].max())
        ax.hist([g[name].dropna() for _, g, _ in groups], bins=np.linspace(0, top, 17), stacked=True,
                color=[c for *_, c in groups], label=[label for label, *_ in groups], linewidth=0)
        ax.set_title(name.removeprefix("part_").replace("_", " "))
        ax.grid(axis="x", visible=False)
    for ax in axes.flat[len(shown):]:
        ax.set_visible(False)
    for ax in axes[:, 0]:
        ax.set_ylabel("episodes")
    fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper left", ncols=2)
    return fig


@styled
def track_quality(points: pd.DataFrame, caption: str = "") -> Figure:
    """Tracks of one or more backends against the simulator's truth (notebook 02).

    points: one row per point and frame with columns backend, error (px at image size), visible_true (the truth) and
        visible (what the backend says). Errors count where both say visible.
    """
    need(points, "points", ["backend", "error", "visible_true", "visible"])
    fig, axes = new_figure(9.5, 3.9, 1, 2, caption=caption, width_ratios=(3, 2))
    cdf, bars = axes[0]
    backends = list(dict.fromkeys(points.backend))
    shades = sns.color_palette("colorblind", len(backends))
    names = ["accuracy", "precision", "recall"]
    for i, backend in enumerate(backends):
        rows = points[points.backend == backend]
        said, true = rows.visible.to_numpy(bool), rows.visible_true.to_numpy(bool)
        error = np.sort(rows.error.to_numpy(float)[said & true])
        if len(error):
            cdf.plot(error, np.arange(1, len(error) + 1) / len(error), color=shades[i], linewidth=2,
                     label=f"{backend}: median {np.median(error):.2g} px, {np.mean(error < 4):.0%} below 4 px",
                     gid=f"{backend}/cdf")
        both = (said & true).sum()
        values = [np.mean(said == true), both / said.sum() if said.any() else np.nan,
                  both / true.sum() if true.any() else np.nan]
        x = np.arange(3) + (i - (len(backends) - 1) / 2) * 0.8 / len(backends)
        bars.bar(x, values, 0.75 / len(backends), color=shades[i], alpha=0.8, gid=f"{backend}/visibility")
        for at, value in zip(x, values, strict=True):
            bars.annotate("–" if np.isnan(value) else f"{value:.0%}", (at, 0 if np.isnan(value) else value),
                          xytext=(0, 2), textcoords="offset points", ha="center", fontsize=8.5)
    cdf.set_xscale("symlog", linthresh=0.1)
    cdf.set_xlim(left=0)
    cdf.set_ylim(0, 1.02)
    cdf.set(xlabel="distance to the true position (px)", ylabel="share of points")
    cdf.set_title("Position, where truly and reportedly visible")
    bars.set_xticks(range(3), names)
    bars.set_ylim(0, 1.12)
    bars.grid(axis="x", visible=False)
    bars.set_title("Visibility")
    fig.legend(*cdf.get_legend_handles_labels(), loc="outside upper left", ncols=2)
    return fig


@styled
def on_object_counts(counts: pd.DataFrame, caption: str = "") -> Figure:
    """Visible tracks on the object per frame, for uniform and foreground-biased queries (notebook 02).

    counts: one row per frame with columns layout ("uniform" or "foreground"), episode and count (of 400).
    """
    need(counts, "counts", ["layout", "count"])
    fig, axes = new_figure(7, 4, caption=caption)
    ax = axes[0, 0]
    for i, layout in enumerate(paper.ON_OBJECT_TRACKS):
        rows = counts[counts.layout == layout]["count"].to_numpy(float)
        x = i - 0.1
        if len(rows):
            jitter = (np.arange(len(rows)) * 0.618034 % 1 - 0.5) * 0.36
            ax.scatter(x + jitter, rows, s=7, color=PAIR[i], alpha=0.25, linewidth=0, gid=f"{layout}/frames")
            ax.hlines([rows.mean()], x - 0.24, x + 0.24, color=PAIR[i], linewidth=2.5, gid=f"{layout}/mean",
                      label=f"{layout}: mean {rows.mean():.1f}, median {np.median(rows):g} over {len(rows)} frames")
        star = ax.plot([i + 0.3], [paper.ON_OBJECT_TRACKS[layout]], **PAPER, gid=f"{layout}/paper")[0]
    star.set_label("reported by the paper: about " + " and ".join(map(str, paper.ON_OBJECT_TRACKS.values())))
    ax.set_xticks([0, 1], ["uniform 20×20 grid", "foreground-biased"])
    ax.set_xlim(-0.5, 1.5)
    ax.set_ylim(bottom=0)
    ax.grid(axis="x", visible=False)
    ax.set_ylabel("visible tracks on the object, per frame")
    fig.legend(*ax.get_legend_handles_labels(), loc="outside upper left", ncols=1)
    return fig


@styled
def probe_bars(table: pd.DataFrame, caption: str = "") -> Figure:
    """What a probe recovers from the CLS token and from the patch tokens: R² on held-out episodes (notebook 06).

    table: columns target (depth, tracks, …), tokens ("CLS" or "patch"), r2, and seed, if there are several; with a
        column probe ("linear", "mlp") a panel each.
    """
    need(table, "probes", ["target", "tokens", "r2"])
    probes = list(dict.fromkeys(table.probe)) if "probe" in table else [""]
    targets, kinds = list(dict.fromkeys(table.target)), list(dict.fromkeys(table.tokens))
    fig, axes = new_figure(1.2 + max(3.5, 1.25 * len(targets)) * len(probes), 4, 1, len(probes), caption=caption,
                           sharey=True)
    lowest = max(LOWEST_R2, min(0.0, float(table.r2.min())))
    for ax, probe in zip(axes[0], probes, strict=True):
        rows = table[table.probe == probe] if probe else table
        for k, tokens in enumerate(kinds):
            for i, target in enumerate(targets):
                values = rows[(rows.tokens == tokens) & (rows.target == target)].r2.to_numpy(float)
                if not len(values):
                    continue
                x, mean = i + (k - (len(kinds) - 1) / 2) * 0.38, values.mean()
                ax.bar([x], [max(mean, lowest)], 0.34, color=PAIR[k % 2], alpha=0.75, gid=f"{target}/{tokens}/{probe}",
                       label=f"{tokens} tokens" if tokens != "CLS" else "CLS token")
                if len(values) > 1:
                    ax.scatter(np.full(len(values), x), values, s=12, color="0.2", zorder=3)
                ax.annotate(f"{mean:.2f}".replace("-", "−"), (x, max(0, np.max(values))), xytext=(0, 4),
                            textcoords="offset points", ha="center", fontsize=8.5)
        ax.axhline(0, color="0.4", linewidth=1)
        ax.set_xticks(range(len(targets)), targets)
        ax.grid(axis="x", visible=False)
        ax.set_title(f"{probe} probe" if probe else "Probe")
        ax.set_ylim(lowest * 1.08, 1.1)
    axes[0, 0].set_ylabel("R² on held-out episodes (1 is perfect)")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    fig.legend(unique.values(), unique.keys(), loc="outside upper left", ncols=2)
    return fig


@styled
def rollout_distance(table: pd.DataFrame, caption: str = "",
                     ylabel: str = "L2 distance to the true embedding") -> Figure:
    """Distance over rollout steps, a line per model, the static baseline dashed (notebook 07).

    table: columns step (1 …), model (a condition or "static"), distance, and episode or seed where there are several;
        the line is their mean and the band holds the middle half.
    """
    need(table, "rollout distances", ["step", "model", "distance"])
    fig, axes = new_figure(8, 4.4, caption=caption)
    ax = axes[0, 0]
    models = list(dict.fromkeys(table.model))
    for name in [*in_order(m for m in models if m != STATIC), *([STATIC] if STATIC in models else [])]:
        rows = table[table.model == name].groupby("step").distance
        shade = GREY if name == STATIC else colour(name)
        mean = rows.mean()
        label = f"{name}: {title(name)}" if title(name) else f"{name}: last context frame" if name == STATIC else name
        ax.plot(mean.index, mean, color=shade, linewidth=2, linestyle="--" if name == STATIC else "-",
                marker="o" if len(mean) < 16 else None, markersize=4, label=label, gid=f"{name}/mean")
        if rows.size().max() > 3:
            ax.fill_between(mean.index, rows.quantile(0.25), rows.quantile(0.75), color=shade, alpha=0.12, linewidth=0)
    ax.set_ylim(bottom=0)
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.set(xlabel="rollout step", ylabel=ylabel)
    n = int(table.groupby(["model", "step"]).size().max())
    ax.set_title(f"Mean of {n} rollouts" + (", band: middle half" if n > 3 else "") if n > 1 else "One rollout")
    fig.legend(*ax.get_legend_handles_labels(), loc="outside upper left", ncols=3)
    return fig


@styled
def planning(summary: pd.DataFrame, caption: str = "") -> Figure:
    """How often and how nearly each method comes to its goals on the tabletop (notebook 07).

    summary: as from `downstream.summarise`; methods are those of BASELINES, conditions and "base".
    """
    need(summary, "planning", ["method", "metric", "kind", "factor", "step", "n", "value", "low", "high"])
    fig, axes = new_figure(11, 7, 2, 2, caption=caption)
    methods = list(dict.fromkeys(summary.method))
    look = {m: BASELINES.get(m) or (colour(m), "-") for m in methods}
    shade = {m: color for m, (color, _) in look.items()}
    line = {m: {"color": color, "linestyle": style, "linewidth": 2} for m, (color, style) in look.items()}
    success = summary[summary.metric == "success"]
    ax = axes[0, 0]
    for dx, (kind, marker, filled) in zip((-0.2, 0, 0.2), (("all", "o", True), ("reach", "^", False),
                                                          ("move", "s", False)), strict=True):
        rows = success[(success.kind == kind) & (success.factor == 1)]
        for row in rows.itertuples():
            x = methods.index(row.method) + dx
            ax.plot([x, x], [row.low, row.high], color=shade[row.method], linewidth=2.4 if filled else 1.4)
            ax.plot([x], [row.value], marker, color=shade[row.method], markersize=7,
                    markerfacecolor=shade[row.method] if filled else "white", gid=f"{row.method}/{kind}")
        if len(rows):
            words = {"all": "all tasks", "reach": "the object stays", "move": "the object must move"}[kind]
            ax.plot([], [], marker, color="0.3", markerfacecolor="0.3" if filled else "white", markersize=7,
                    label=f"{words} (n = {rows.n.iloc[0]})")
    ax.set_xticks(range(len(methods)), methods)
    ax.grid(axis="x", visible=False)
    ax.set_ylim(-0.04, 1.04)
    ax.set_ylabel("share of goals reached")
    ax.set_title("Goals reached, mean and 95 % interval")
    ax.legend(loc="upper left")
    ax = axes[0, 1]
    for method in methods:
        rows = success[(success.kind == "all") & (success.method == method)]
        ax.plot(rows.factor, rows.value, marker="o", markersize=4, **line[method], label=method)
    ax.axvline(1, color="0.4", linewidth=1)
    ax.set_ylim(-0.04, 1.04)
    ax.set(xlabel="how near counts as reached (× the threshold)", ylabel="share of goals reached")
    ax.set_title("What the threshold decides")
    for ax, name in zip(axes[1], ("gripper", "object"), strict=True):
        for method in methods:
            rows = summary[(summary.metric == f"{name} left") & (summary.method == method)]
            ax.plot(rows.step, rows.value, **line[method], gid=f"{method}/{name}")
        ax.axhline(1, color="0.4", linewidth=1)
        ax.set_ylim(bottom=0)
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.set(xlabel="step", ylabel="median distance to go ÷ at the start")
        tasks = summary[summary.metric == f"{name} left"].n.max()
        ax.set_title("Gripper, all tasks" if name == "gripper" else "Object, where it must move"
                     + ("" if tasks > 0 else ": no task"))
    fig.legend(*axes[0, 1].get_legend_handles_labels(), loc="outside upper left", ncols=len(methods), handlelength=3)
    return fig


@styled
def learning_curves(table: pd.DataFrame, caption: str = "", ylabel: str = "training loss",
                    conditions: Sequence[str] | None = None) -> Figure:
    """A quantity over optimizer steps: a thin line per seed, a thick one for their mean, a panel per scale.

    table: columns condition, seed, step, value, and scale where there are two.
    """
    need(table, "learning curves", ["condition", "seed", "step", "value"])
    names = in_order(conditions if conditions is not None else table.condition)
    scales = [s for s in ("pilot", "full") if s in set(table.scale)] if "scale" in table else []
    fig, axes = new_figure(4.4 * max(1, len(scales)) + 1, 4.2, 1, max(1, len(scales)), caption=caption)
    for ax, scale in zip(axes[0], scales or [None], strict=True):
        rows = table if scale is None else table[table.scale == scale]
        for name in names:
            curves = rows[rows.condition == name].pivot(index="step", columns="seed", values="value")
            if curves.empty:
                continue
            ax.plot(curves.index, curves, color=colour(name), linewidth=0.7, alpha=0.35)
            ax.plot(curves.index, curves.mean(axis=1), color=colour(name), linewidth=1.8, label=name,
                    gid=f"{name}/mean")
        ax.set_xlabel("optimizer step")
        if scale:
            ax.set_title(scale)
    axes[0, 0].set_ylabel(ylabel)
    fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper left", ncols=11)
    return fig


def need(table: pd.DataFrame, name: str, columns: Sequence[str]) -> None:
    """InputError if a chart's table lacks a column or has no row."""
    missing = [c for c in columns if c not in table.columns]
    if missing or table.empty:
        raise InputError(name, f"no column {', '.join(missing)}" if missing else "no row",
                         "at least one row with columns " + ", ".join(columns))
