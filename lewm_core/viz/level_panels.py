"""Where conditions stand in a metric's own unit, references included (`stats.levels`), and in which order."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure

from lewm_core.conditions import ALL, in_order
from lewm_core.stats import paper
from lewm_core.stats.levels import REFERENCES, around, levels
from lewm_core.stats.outcomes import OUTCOME, POSITIVE
from lewm_core.viz import draw, style
from lewm_core.viz.style import SPLIT, colour, rows_where, splits_of

SHOWN = ("mse_over_static", OUTCOME)  # the metrics of the table, of those that were measured


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


def measured(results: pd.DataFrame) -> list[str]:
    """Those of SHOWN that the results have."""
    return [metric for metric in SHOWN if metric in set(results.metric)]


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
                draw.absent(ax, x, f"{paper.BASELINE}/{scale}")
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
    """Where every condition stands, with persistence and the floor: the columns of a figure's table, and statistic."""
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
