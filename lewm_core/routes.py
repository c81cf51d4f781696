"""Does a signal that is useless through the CLS token help through patch tokens (paper 4.4 and 7)?

Depth (B) and tracks (D) reach the model by three routes: a head on the CLS embedding, a head on the patch tokens
(B-patch, D-patch), and such a head with a predictor that reads patch tokens as well (B-pp, D-pp, against A-pp).
"""

import numpy as np
import pandas as pd

from lewm_core import verdicts
from lewm_core.conditions import condition
from lewm_core.power import power_table
from lewm_core.statistics import number, paired_change, summarise
from lewm_core.workspace import SCALES

SIGNALS = {"B": "depth", "D": "tracks"}
ROUTES = {"": "CLS", "-patch": "patch head", "-pp": "patch-aware predictor"}  # the end of the condition's name


def route_changes(results: pd.DataFrame) -> pd.DataFrame:
    """`paired_change` of MSE on held-out episodes, of each condition against its own baseline (A or A-pp)."""
    baselines = results.condition.map(lambda c: condition(c).baseline)
    return pd.concat([paired_change(part, baseline=name) for name, part in results.groupby(baselines)],
                     ignore_index=True)


def route_table(changes: pd.DataFrame) -> pd.DataFrame:
    """One row per scale, signal and route: the columns of `summarise` and `power_table`, and `helps`, the verdict
    (`verdicts.improves`) on the claim that the signal improves next-latent MSE by this route.

    changes: as from `route_changes`.
    """
    table = summarise(changes, np.random.default_rng(0)).merge(power_table(changes))
    order = {name + end: i for i, (name, end) in enumerate((s, r) for s in SIGNALS for r in ROUTES)}
    table = table[table.condition.isin(order)]
    values = changes.groupby(["condition", "scale"]).change
    helps = [verdicts.improves(values.get_group((r.condition, r.scale))).verdict for r in table.itertuples()]
    return table.assign(helps=helps, signal=table.condition.str[0].map(SIGNALS),
                        route=table.condition.str[1:].map(ROUTES)).sort_values(
        ["scale", "condition"], key=lambda c: c.map(order if c.name == "condition" else SCALES.index))


def describe_routes(table: pd.DataFrame) -> list[str]:
    """Sentences about `route_table`: one per scale and signal, then whether patch tokens rescue what CLS does not."""
    lines, useless, saved = [], 0, []
    for (scale, signal), rows in table.groupby(["scale", "signal"], sort=False):
        of = rows.set_index("route")
        lines.append(f"{scale}, {signal} help: " + "; ".join(
            f"by {route} {row.helps} ({number(row['mean'])} % [{number(row.low)}, {number(row.high)}], n = {row.n})"
            for route, row in of.iterrows()))
        if "CLS" in of.index and of.helps["CLS"] != verdicts.SUPPORTED:
            useless += 1
            if verdicts.SUPPORTED in set(of.helps):
                saved.append(f"{signal}, {scale}")
    lines.append(f"of {useless} cases in which a signal is not shown to help through CLS, it is shown to help through "
                 f"patch tokens in {len(saved)}" + (f" ({'; '.join(saved)})" if saved else ""))
    return lines
