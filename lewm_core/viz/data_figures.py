"""Figures of the data: curation scores, track quality, tracks on the object.

Each function takes a table and returns a Matplotlib figure. What the paper reports is a star.
"""

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lewm_core.stats import paper
from lewm_core.viz import draw, style
from lewm_core.viz.style import PAIR

NEAR = 4  # px; the share of points that are nearer to their true position is told
LAYOUTS = {"uniform": "uniform 20×20 grid", "foreground": "foreground-biased"}  # of the queries


@style.styled
def score_distributions(scores: pd.DataFrame, accepted: str) -> Figure:
    """How each part of the curation score is distributed over accepted and rejected episodes.

    scores: one row per episode with columns part_* (0..1), score, and the boolean column that `accepted` names.
    """
    shown = [*(c for c in scores.columns if c.startswith("part_")), "score"]
    columns = min(4, len(shown))
    rows = -(-len(shown) // columns)
    fig, axes = style.new_figure(2.9 * columns, 2.3 * rows + 0.6, rows, columns)
    taken = scores[accepted].to_numpy(bool)
    labels = [f"accepted ({taken.sum()})", f"rejected ({(~taken).sum()})"]
    for ax, name in zip(style.hide_unused(axes, len(shown)), shown, strict=True):
        top = np.nanmax([1.0, scores[name].max()])
        values = [scores[name][taken].dropna(), scores[name][~taken].dropna()]
        ax.hist(values, bins=np.linspace(0, top, 17), stacked=True, color=[PAIR[0], "0.6"], label=labels, linewidth=0)
        ax.set_title(name.removeprefix("part_").replace("_", " "))
        ax.grid(axis="x", visible=False)
    for ax in axes[:, 0]:
        ax.set_ylabel("episodes")
    draw.legend(fig, draw.labelled(axes[0, 0]), 2)
    return fig


@style.styled
def track_quality(points: pd.DataFrame) -> Figure:
    """Tracks of one or more backends against the simulator's truth: distances, and visibility.

    points: one row per point and frame with columns backend, error (px at image size), visible_true (the truth) and
        visible (what the backend says). Errors count where both say visible.
    """
    fig, axes = style.new_figure(9.5, 3.9, 1, 2, width_ratios=(3, 2))
    distances, visibility = axes[0]
    backends = list(dict.fromkeys(points.backend))
    shades = sns.color_palette("colorblind", len(backends))
    width = 0.8 / max(1, len(backends))
    for i, backend in enumerate(backends):
        rows = points[points.backend == backend]
        _distances(distances, rows, backend, shades[i])
        _visibility(visibility, rows, np.arange(3) + (i - (len(backends) - 1) / 2) * width, width, shades[i])
    distances.set_xscale("symlog", linthresh=0.1)
    distances.set_xlim(left=0)
    distances.set_ylim(0, 1.02)
    distances.set(xlabel="distance to the true position (px)", ylabel="share of points")
    distances.set_title("Position, where truly and reportedly visible")
    draw.names_axis(visibility, ["accuracy", "precision", "recall"])
    visibility.set_ylim(0, 1.12)
    visibility.set_title("Visibility")
    draw.legend(fig, draw.labelled(distances), 2)
    return fig


def _distances(ax: Axes, rows: pd.DataFrame, backend: str, shade) -> None:
    """The cumulative distribution of a backend's errors."""
    seen = rows.visible.to_numpy(bool) & rows.visible_true.to_numpy(bool)
    error = np.sort(rows.error.to_numpy(float)[seen])
    if len(error):
        label = f"{backend}: median {np.median(error):.2g} px, {np.mean(error < NEAR):.0%} below {NEAR} px"
        ax.plot(error, np.arange(1, len(error) + 1) / len(error), color=shade, linewidth=2, label=label,
                gid=f"{backend}/cdf")


def _visibility(ax: Axes, rows: pd.DataFrame, places: np.ndarray, width: float, shade) -> None:
    """Accuracy, precision and recall of what a backend says of the visibility; a dash where there is none."""
    said = rows.visible.to_numpy(bool)
    true = rows.visible_true.to_numpy(bool)
    both = (said & true).sum()
    values = [np.mean(said == true), both / said.sum() if said.any() else np.nan,
              both / true.sum() if true.any() else np.nan]
    ax.bar(places, values, 0.94 * width, color=shade, alpha=0.8)
    for at, value in zip(places, values, strict=True):
        text, height = ("–", 0) if np.isnan(value) else (f"{value:.0%}", value)
        ax.annotate(text, (at, height), xytext=(0, 2), textcoords="offset points", ha="center", fontsize=8.5)


@style.styled
def on_object_counts(counts: pd.DataFrame) -> Figure:
    """Visible tracks on the object per frame, for uniform and foreground-biased queries.

    counts: one row per frame with columns layout ("uniform" or "foreground"), episode and count (of 400); without any
        count, column `note` says why.
    """
    if counts["count"].isna().all():
        return style.empty_figure(counts.note.iloc[0])
    fig, axes = style.new_figure(7, 4)
    ax = axes[0, 0]
    reported = pd.Series(paper.ON_OBJECT_TRACKS)
    for i, layout in enumerate(LAYOUTS):
        rows = counts[counts.layout == layout]["count"].to_numpy(float)
        x = i - 0.1
        if len(rows):
            jitter = (np.arange(len(rows)) * 0.618034 % 1 - 0.5) * 0.36
            label = f"{layout}: mean {rows.mean():.1f}, median {np.median(rows):g} over {len(rows)} frames"
            ax.scatter(x + jitter, rows, s=7, color=PAIR[i], alpha=0.25, linewidth=0, gid=f"{layout}/frames",
                       rasterized=True)  # as shapes, thousands of frames make a file of megabytes
            ax.hlines([rows.mean()], x - 0.24, x + 0.24, color=PAIR[i], linewidth=2.5, gid=f"{layout}/mean",
                      label=label)
        draw.paper_star(ax, i + 0.3, reported, layout, layout)
    draw.names_axis(ax, list(LAYOUTS.values()))
    ax.set_xlim(-0.5, 1.5)
    ax.set_ylim(bottom=0)
    ax.set_ylabel("visible tracks on the object, per frame")
    star = draw.key("reported by the paper: about " + " and ".join(map(str, reported)), **draw.PAPER)
    draw.legend(fig, [*draw.labelled(ax), star], 1)
    return fig
