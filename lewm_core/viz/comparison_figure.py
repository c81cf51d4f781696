"""The figure of `stats.comparison`: a row per condition, a panel per metric, in the look of Figures 1 and 3."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure

from lewm_core.stats.comparison import told
from lewm_core.viz import draw, effect_panels, style
from lewm_core.viz.effect_panels import Lane
from lewm_core.viz.level_panels import arranged
from lewm_core.viz.style import SPLIT

MARKERS = ("o", "s", "D", "^", "v")


@style.styled
def comparison_figure(changes: pd.DataFrame, table: pd.DataFrame) -> Figure:
    """changes, table: as from `comparison.compare`. The verdicts stand below, in sentences."""
    names, metrics = arranged(table.condition), list(dict.fromkeys(table.metric))
    lanes = _lanes(style.scales_of(table), table.split.iloc[0])
    fig, axes = effect_panels.panel_grid((len(metrics) + 1) // 2, names, len(lanes), told(table))
    for ax, metric in zip(axes.flat, metrics, strict=False):
        effect_panels.effect_panel(ax, changes, table, names, lanes, metric, table.against.iloc[0])
    style.hide_unused(axes, len(metrics))
    draw.legend(fig, effect_panels.keys(table, lanes), 2, columnspacing=1.4, handletextpad=0.5)
    return fig


def _lanes(scales: Sequence[str], split: str) -> list[Lane]:
    """A lane per scale, the first hollow where there are several."""
    if len(scales) == 1:
        return [Lane(scales[0], split, f"{scales[0]}, {SPLIT[split]}")]
    return [Lane(scale, split, scale, hollow=i == 0, marker=MARKERS[i % len(MARKERS)])
            for i, scale in enumerate(scales)]
