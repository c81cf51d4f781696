"""How training went: each loss over optimizer steps, a panel for each condition that has it, beside its floor.

A thin line is a seed, the thick one their mean, on training batches. At the end stands the same loss on held-out
episodes, and across the panel the floor that a head must pass: the best constant, which looks at no frame, on the same
held-out episodes.
"""

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lewm_core.conditions import in_order
from lewm_core.stats.paired import judged
from lewm_core.stats.paper import BASELINE
from lewm_core.viz import draw, style
from lewm_core.viz.style import GREY, colour, rows_where

HELD_OUT = {"pred": "mse"}  # loss: the metric that is the same on held-out data, where it has another name
HEAD = "head_"
COLUMNS = 4  # panels beside one another


def _losses(table: pd.DataFrame) -> list[str]:
    """The losses that have a panel: the prediction, then each head's."""
    return ["pred", *(name for name in table if name.startswith(HEAD) and table[name].notna().any())]


def _values(results: pd.DataFrame, condition: str, metric: str) -> pd.Series:
    """A metric of a condition by seed, on held-out data; empty where it was not measured."""
    rows = judged(results[(results.condition == condition) & (results.metric == metric)])
    return rows.set_index("seed").value.astype(float)


@style.styled
def learning_curves(losses: pd.DataFrame, results: pd.DataFrame, conditions: Sequence[str]) -> Figure:
    """Every loss of the conditions: a panel for each that a condition has, the prediction's first.

    losses: as from Study.curves, of one scale: condition, seed, step, pred, head_NAME. results: tidy, of the same runs.
    conditions: those shown, if they are there.
    """
    losses = losses[losses.condition.isin(list(conditions))]
    if losses.empty:
        return style.empty_figure("no run of these conditions")
    panels = [(loss, name) for loss in _losses(losses) for name in in_order(losses.condition)
              if losses[losses.condition == name][loss].notna().any()]
    columns = min(COLUMNS, len(panels))
    lines = -(-len(panels) // columns)
    fig, axes = style.new_figure(1.2 + 2.4 * columns, 1.0 + 2.3 * lines, lines, columns)
    first: dict[str, Axes] = {}
    for ax, (loss, name) in zip(style.hide_unused(axes, len(panels)), panels, strict=True):
        _panel(ax, losses, results, name, loss)
        words = "next-latent MSE" if loss == "pred" else f"{loss.removeprefix(HEAD)} head's loss"
        ax.set_ylabel(words if loss not in first or ax.get_subplotspec().is_first_col() else "")
        ax.sharey(first.setdefault(loss, ax))
        ax.set_xlabel("optimizer step")
    draw.legend(fig, _keys(losses.seed.nunique(), any(loss != "pred" for loss, _ in panels)), 3)
    return fig


def _panel(ax: Axes, losses: pd.DataFrame, results: pd.DataFrame, name: str, loss: str) -> None:
    """One loss of one condition, with what it came to on held-out data."""
    curves = _by_seed(losses, name, loss)
    draw.seeds_and_mean(ax, curves, colour(name), name, f"{name}/{loss}/mean", _mean(curves), linewidth=1.5)
    if loss == "pred" and name != BASELINE and BASELINE in set(losses.condition):
        mean = _mean(_by_seed(losses, BASELINE, loss))
        ax.plot(mean.index, mean, color=GREY, linewidth=1.2, linestyle=(0, (1, 1)), gid=f"{name}/{loss}/baseline")
    told, metric = [], HELD_OUT.get(loss, loss)
    held, floor = _values(results, name, metric), _values(results, name, f"{metric}_constant")
    if len(held):
        ax.plot([curves.index.max()], [held.mean()], marker="D", markersize=6, color=colour(name), zorder=4,
                markerfacecolor="white", clip_on=False, gid=f"{name}/{loss}/held-out")
        told.append(f"held-out {held.mean():.3g}")
    if len(floor):
        ax.axhline(floor.mean(), color="0.25", linewidth=1.3, linestyle="--", gid=f"{name}/{loss}/floor")
        told.append(f"floor {floor.mean():.3g}")
    ax.set_title("\n".join([style.name_and_title(name), ", ".join(told)]).strip(), fontsize=8.5)
    ax.xaxis.set_major_locator(MaxNLocator(4, integer=True))


def _by_seed(losses: pd.DataFrame, name: str, loss: str) -> pd.DataFrame:
    """One loss of a condition: index step, a column per seed. Seeds that draw their own episodes end their epochs at
    other steps; between two of its own a seed's loss is interpolated."""
    wide = rows_where(losses, condition=name).pivot(index="step", columns="seed", values=loss).dropna(how="all")
    return wide.interpolate("index", limit_area="inside")


def _mean(curves: pd.DataFrame) -> pd.Series:
    """Over seeds, at the steps that all of them reached; over those that did where there is no such step."""
    common = curves.dropna()
    return (curves if common.empty else common).mean(axis=1)


def _keys(seeds: int, heads: bool) -> list[draw.Entry]:
    entries = [draw.line_key(f"training batches, mean (n = {seeds})", color="0.3", linewidth=1.9),
               draw.line_key("one seed", color="0.3", linewidth=0.7, alpha=0.5),
               draw.key("held-out episodes, at the end", marker="D", markersize=6, markerfacecolor="white"),
               draw.line_key(f"{BASELINE}'s mean", color=GREY, linewidth=1.2, linestyle=(0, (1, 1)))]
    floor = draw.line_key("floor: the best constant, held-out episodes", color="0.25", linewidth=1.3, linestyle="--")
    return [*entries, floor] if heads else entries


def learning_table(losses: pd.DataFrame, results: pd.DataFrame, conditions: Sequence[str]) -> pd.DataFrame:
    """Every number of `learning_curves`: the losses on training batches by step, and on held-out data without one."""
    losses = losses[losses.condition.isin(list(conditions))]
    if losses.empty:
        return pd.DataFrame()
    rows = _losses(losses)
    drawn = losses.melt(["condition", "scale", "seed", "step"], rows, "metric").dropna(subset="value")
    metrics = [HELD_OUT.get(loss, loss) + end for loss in rows for end in ("", "_constant")]
    held = judged(results[results.condition.isin(list(conditions)) & results.metric.isin(metrics)])
    return style.tidy(pd.concat([drawn.assign(split="training"), held[style.COLUMNS]]), "value", "")
