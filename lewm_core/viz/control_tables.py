"""What the figures of the controls draw, as tables: every number, one row each (see `style.tidy`)."""

from collections.abc import Mapping, Sequence

import pandas as pd

from lewm_core.conditions import condition
from lewm_core.stats import paper
from lewm_core.stats.arms import Arms
from lewm_core.stats.paired import judged
from lewm_core.stats.scaling import Crossing, crossing_table
from lewm_core.viz.paper_figures import study_table
from lewm_core.viz.style import tidy

NOISE = {  # quantity of the noise of the normalisation: its unit
    "shift": "variance / squared mean scale", "scale": "variance / squared mean scale",
    "over_draws": "variance / squared mean",
}


def arm_table(arms: Arms, only: Sequence[str] | None = None, figure: int = 3) -> pd.DataFrame:
    """Of effects by arm. only: the arms that are drawn; figure: of the paper, whose values stand beside them."""
    changes, summary = arms.changes, arms.summary
    if only is not None:
        changes, summary = (table[table.scale.isin(list(only))] for table in (changes, summary))
    table = study_table(changes, summary, figure)
    return table.assign(head_weight=table.scale.map(arms.weights))


def size_table(arms: Arms, crossings: Mapping[str, Crossing]) -> pd.DataFrame:
    """Of effects against the number of episodes, with where they cross zero."""
    return pd.concat([arm_table(arms), crossing_table(crossings)])


def families_by_area(arms: Arms, areas: Mapping[str, float]) -> pd.DataFrame:
    """Effects of masked depth with the area that each supervises, for `control_figures.area_families`.

    areas: supervised share of the frame by condition of the paper; a control has that of the condition it varies. The
    condition with full-frame weights is left out: it reads the whole frame.
    """
    rows = judged(arms.summary)
    varied = rows.condition.map(lambda name: condition(name).control_of or name)
    table = rows.assign(area=varied.map(areas))
    weighted = rows.condition.map(lambda name: any(term.inside_weight != 1 for term in condition(name).terms))
    return table[~weighted & table.area.notna()]


def noise(normalisation: pd.DataFrame, gradient: pd.DataFrame) -> pd.DataFrame:
    """Noise of the normalisation and of the gradient, tidy, for `noise_curves`: kind, normalised, area, episode, …"""
    both = pd.concat([normalisation.assign(normalised="region"), gradient])
    return both.melt(["kind", "normalised", "area", "episode"], list(NOISE), "metric").dropna()


def noise_curves(table: pd.DataFrame) -> pd.DataFrame:
    """`noise` in the columns of `curve_figures.curves_by_panel`."""
    return table.assign(panel=table.metric.replace("over_draws", "gradient of the loss"), unit=table.metric.map(NOISE),
                        series=table.kind + ", normalised over the " + table.normalised, repeat=table.episode,
                        x=table.area)


def training_curves(along: pd.DataFrame) -> pd.DataFrame:
    """`controls.along_training` in the columns of `curve_figures.curves_by_panel`."""
    baseline = along.condition == paper.BASELINE
    unit = along.metric.map({"mse": "next-latent MSE", "mse change %": "change in next-latent MSE (%)"})
    return along.assign(panel=along.condition.where(baseline, along.condition + " against A"), unit=unit,
                        series=along.scale, repeat=along.seed, x=along.step)


def leak_table(by_shared: pd.DataFrame, summary: pd.DataFrame) -> pd.DataFrame:
    """Of the leak: `leakage.error_by_shared`, and `leakage.leak_summary` with its intervals."""
    errors = by_shared.assign(metric="mse_over_static", value=by_shared.mse_over_static)
    sizes = summary.assign(metric=summary.measure, value=summary["mean"])
    return tidy(pd.concat([errors, sizes]), "value", "")


def gradients(table: pd.DataFrame) -> pd.DataFrame:
    """Of the gradients' cosines and norms. table: as from `controls.gradients`."""
    quantities = ["cosine", "ratio", "norm", "norm_to"]
    return tidy(table.melt(["condition", "scale", "seed", "step", "head"], quantities, "metric"), "value", "")
