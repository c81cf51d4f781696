"""Panels that show where every condition stands in a metric's own unit, references included (`stats.levels`)."""

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lewm_core.conditions import ALL, in_order
from lewm_core.stats import paper
from lewm_core.stats.levels import REFERENCES, around, levels
from lewm_core.stats.outcomes import OUTCOME, POSITIVE, UNTAUGHT
from lewm_core.stats.paired import number
from lewm_core.viz import draw, style
from lewm_core.viz.style import SPLIT, colour, rows_where, splits_of

SHOWN = ("mse_over_static", OUTCOME)  # the metrics of the panels, of those that were measured
MARKERS = {"pilot": "o", "full": "s"}
LINES = {"persistence": ":", "floor": "-."}
GAP = 0.7  # between references, signals and the positive control


def arranged(names: Sequence[str]) -> list[str]:
    """References and the baseline, then every signal followed by its controls, then the positive control."""
    names = in_order(names)
    first = [name for name in REFERENCES if name in names]
    last = [name for name in names if POSITIVE in (name, ALL[name].control_of if name in ALL else None)]
    middle: list[str] = []
    rest = [name for name in names if name not in (*first, *last)]
    for name in rest:
        if name in ALL and ALL[name].control_of in rest:
            continue  # follows what it varies
        middle += [name, *(other for other in rest if other in ALL and ALL[other].control_of == name)]
    return [*first, *middle, *last]


def group(name: str) -> int:
    """0 for a reference or the baseline, 2 for the positive control and its twins, else 1."""
    if name in REFERENCES:
        return 0
    return 2 if name in ALL and POSITIVE in (name, ALL[name].control_of) else 1


def places(names: Sequence[str]) -> dict[str, float]:
    """Where the columns of `arranged` names stand on the x axis."""
    at, found = 0.0, {}
    for before, name in zip([None, *names], names, strict=False):
        at += 0 if before is None else 1 + GAP * (group(before) != group(name))
        found[name] = at
    return found


def set_apart(ax: Axes, names: Sequence[str], changes: pd.DataFrame, summary: pd.DataFrame,
              reported: pd.Series) -> None:
    """Divide the positive control, in the last of the columns 0, 1, …, from the signals, which alone decide the y axis:
    where its change lies beyond, a number at the edge says what it is."""
    last = [i for i, name in enumerate(names) if group(name) == 2]
    own = summary.condition.isin([names[i] for i in last])
    inside = pd.concat([changes[~changes.condition.isin(summary.condition[own])].change, reported, pd.Series([0.0])])
    low, high = inside.min(), inside.max()
    pad = 0.12 * (high - low)
    if not own.any():
        return
    ax.axvline(last[0] - 0.5, **draw.THIN)
    beyond = summary[own & ~summary["mean"].between(low - pad, high + pad)]
    if pad == 0 or beyond.empty:
        return
    ax.set_ylim(low - pad, high + pad)
    for name, rows in beyond.groupby("condition", sort=False):
        told = ", ".join(f"{row.split} {number(row.mean, 0)} %" for row in rows.itertuples())
        up = rows["mean"].iloc[0] > 0
        ax.annotate(f"{'▲' if up else '▼'} {told}", (names.index(name), 0.98 if up else 0.02), rotation=90,
                    xycoords=("data", "axes fraction"), ha="center", va="top" if up else "bottom", fontsize=8,
                    color=colour(name), gid=f"{name}/beyond")


def measured(results: pd.DataFrame) -> list[str]:
    """Those of SHOWN that the results have."""
    return [metric for metric in SHOWN if metric in set(results.metric)]


def figure_with_levels(width: float, columns: int, metrics: Sequence[str]) -> tuple[Figure, list[Axes], list[Axes]]:
    """A figure of `columns` panels above, one y axis for all, and a panel for each metric below."""
    height, wide = 5.6, max(1, len(metrics))
    fig = style.Chart(figsize=(width, height + 4.2 * bool(metrics)), layout="constrained")
    grid = fig.add_gridspec(1 + bool(metrics), columns * wide, height_ratios=[height, 4.2][: 1 + bool(metrics)])
    top = [fig.add_subplot(grid[0, i * wide : (i + 1) * wide]) for i in range(columns)]
    for ax in top[1:]:
        ax.sharey(top[0])
        ax.tick_params(labelleft=False)
    return fig, top, [fig.add_subplot(grid[1, i * columns : (i + 1) * columns]) for i in range(len(metrics))]


def level_axis(ax: Axes, results: pd.DataFrame, metric: str, scales: Sequence[str]) -> None:
    """One metric: a column per condition, the scales side by side in it, and lines for persistence and the floor.

    A dot is the mean over seeds, its bar the 95 % interval of the difference from A at the same seeds. What lies far
    from A, the signals and persistence (a reference, the floor) is a number at the edge.
    """
    table = levels(results[results.scale.isin(list(scales))], [metric])
    at = places(arranged(list(dict.fromkeys(table.condition))))
    lines = {scale: around(results, metric, scale) for scale in scales}
    ax.set_ylim(*_limits(table, lines))
    for i, scale in enumerate(scales):
        shift = 0.3 * (i - (len(scales) - 1) / 2)
        for row in rows_where(table, scale=scale).itertuples():
            gid = f"{row.condition}/{scale}/{metric}"
            draw.effect(ax, at[row.condition] + shift, row, colour(row.condition), gid, hollow=i < len(scales) - 1,
                        marker=MARKERS.get(scale, "o"))
            _at_edge(ax, at[row.condition] + shift, row.mean, colour(row.condition))
        for name, value in lines[scale].items():
            ax.axhline(value, color="0.5", linewidth=1, linestyle=LINES[name], gid=f"{name}/{scale}/{metric}")
            label = name if len(scales) == 1 else f"{name}, {scale}"
            _name_line(ax, value, label, left=i < len(scales) - 1)
        for row in rows_where(table, scale=scale, condition=paper.BASELINE).itertuples():
            ax.axhline(row.mean, **draw.THIN, zorder=0)
    ax.set_xticks(list(at.values()), list(at), rotation=45 if len(at) > 8 else 0)
    ax.set_xlim(-0.6, max(at.values(), default=0) + 0.6)
    ax.grid(axis="x", visible=False)
    ax.set_ylabel(style.metric_label(metric))


def _limits(table: pd.DataFrame, lines: Mapping[str, Mapping[str, float]]) -> tuple[float, float]:
    """Of the y axis: round the baseline, the signals, the positive control and persistence."""
    near = table[~table.condition.isin(UNTAUGHT)]
    near = table if near.empty else near
    values = [*near["mean"], *near.low.dropna(), *near.high.dropna()]
    values += [found["persistence"] for found in lines.values() if "persistence" in found]
    pad = 0.12 * (max(values) - min(values)) or 0.1 * abs(values[0]) or 1
    return min(values) - pad, max(values) + pad


def _at_edge(ax: Axes, x: float, value: float, shade: str) -> None:
    """A number at the edge for a value that lies beyond it."""
    low, high = ax.get_ylim()
    if not low <= value <= high:
        up = value > high
        ax.annotate(f"{'▲' if up else '▼'} {value:.3g}", (x, 0.98 if up else 0.02), rotation=90, ha="center",
                    va="top" if up else "bottom", xycoords=("data", "axes fraction"), fontsize=8, color=shade)


def _name_line(ax: Axes, value: float, name: str, left: bool) -> None:
    """The name of a horizontal line at its end; at the edge, with its value, where the line lies beyond it."""
    low, high = ax.get_ylim()
    inside = low <= value <= high
    place = ((value, "data"), "bottom") if inside else ((0.0, "axes fraction"), "bottom")
    if value > high:
        place = ((1.0, "axes fraction"), "top")
    (y, unit), side = place
    ax.annotate(name if inside else f"{name} {value:.3g}", (0.01 if left else 0.99, y), va=side,
                ha="left" if left else "right", xycoords=("axes fraction", unit), fontsize=7.5, color="0.35")


@style.styled
def scale_bars(results: pd.DataFrame) -> Figure:
    """The baseline's absolute MSE at both scales, a panel per split, with the ratio that the paper puts at about 4.

    results: the tidy results table (condition, scale, seed, split, metric, value) with both scales' rows.
    """
    rows = rows_where(results, condition=paper.BASELINE, metric="mse")
    shade = colour(paper.BASELINE)
    splits = splits_of(rows) or ["episode"]
    fig, axes = style.new_figure(3.6 * len(splits) + 0.6, 4.2, 1, len(splits), sharey=True)
    for ax, split in zip(axes[0], splits, strict=True):
        means = {}
        for x, scale in enumerate(("pilot", "full")):
            values = rows_where(rows, scale=scale, split=split)
            if values.empty:
                draw.absent(ax, x, paper.BASELINE, scale, None)
                continue
            means[scale] = values.value.mean()
            ax.bar([x], [means[scale]], width=0.6, color=shade, alpha=0.35, gid=f"{scale}/{split}/mean")
            draw.seed_dots(ax, x, values, shade, f"{scale}/{split}", value="value")
        ratio = f"pilot / full = {means['pilot'] / means['full']:.2g}" if len(means) == 2 else "one scale only"
        ax.set_title(f"{SPLIT[split]}\n{ratio} (paper: about {paper.BASELINE_MSE_RATIO:g})", fontsize=9.5)
        draw.names_axis(ax, ["pilot", "full"])
        ax.set_xlim(-0.6, 1.6)
    axes[0, 0].set_ylabel(f"next-latent MSE of {paper.BASELINE} (a point per seed)")
    return fig


def level_table(results: pd.DataFrame, scales: Sequence[str]) -> pd.DataFrame:
    """Every number of the panels, a row each: the columns of a figure's table, and statistic."""
    parts = []
    for metric in measured(results):
        found = levels(results[results.scale.isin(list(scales))], [metric])
        parts += [found.assign(statistic=f"level {name}", value=found[name]) for name in ("mean", "low", "high")]
        for scale in scales:
            lines = around(results, metric, scale)
            parts.append(pd.DataFrame({"scale": scale, "metric": metric, "statistic": list(lines),
                                       "value": list(lines.values())}))
    columns = [*style.COLUMNS, "statistic"]
    return pd.concat([part.reindex(columns=columns).astype(object) for part in parts]) if parts else pd.DataFrame()
