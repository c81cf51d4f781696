"""Does a signal that is useless through the CLS token help through patch tokens (paper 4.4 and 7)?

Depth (B) and tracks (D) reach the model by three routes: a head on the CLS embedding, a head on the patch tokens
(B-patch, D-patch), and such a head with a predictor that reads patch tokens as well (B-pp, D-pp, against A-pp).
"""

import numpy as np
import pandas as pd

from lewm_core.conditions import condition
from lewm_core.stats import verdicts
from lewm_core.stats.paired import number, paired_change, summarise
from lewm_core.stats.power import power_table
from lewm_core.utils.workspace import SCALES

SIGNALS = {"B": "depth", "D": "tracks"}
IDLE = verdicts.BAND / 10  # per cent; an A-pp that differs from A by less does not read patches to speak of
ROUTES = {"": "CLS", "-patch": "patch head", "-pp": "patch-aware predictor"}  # the end of the condition's name


def route_changes(results: pd.DataFrame) -> pd.DataFrame:
    """`paired_change` of MSE on held-out episodes: each condition against its own baseline, and A-pp against A."""
    baselines = results.condition.map(lambda c: condition(c).baseline)
    parts = [paired_change(part, baseline=name) for name, part in results.groupby(baselines)]
    if "A-pp" in set(results.condition):
        parts.append(paired_change(results[results.condition.isin(["A", "A-pp"])]))
    return pd.concat(parts, ignore_index=True)


def why_idle(changes: pd.Series, scale: str) -> str | None:
    """Why the patch-aware predictor is not tested, or None if it is: whether it has come to read patches at all.

    changes: of A-pp against A, per cent, by seed. Its reader's gate starts at 0, where A-pp is A.
    """
    most = changes.abs().max()
    return None if most >= IDLE else (f"A-pp is A to within {most:.1g} % ({scale}): its predictor, whose gate starts "
                                      "at 0, has not come to read patches")


def route_table(changes: pd.DataFrame) -> pd.DataFrame:
    """One row per scale, signal and route: the columns of `summarise` and `power_table`, and `helps`, the verdict
    (`verdicts.improves`) on the claim that the signal improves next-latent MSE by this route, not testable where the
    predictor is idle (`why_idle`).

    changes: as from `route_changes`.
    """
    table = summarise(changes, np.random.default_rng(0)).merge(power_table(changes))
    order = {name + end: i for i, (name, end) in enumerate((s, r) for s in SIGNALS for r in ROUTES)}
    table = table[table.condition.isin(order)]
    values = changes.groupby(["condition", "scale"]).change
    idle = {scale for (c, scale), of in values if c == "A-pp" and why_idle(of, scale)}
    helps = [verdicts.UNTESTABLE if r.condition.endswith("-pp") and r.scale in idle else
             verdicts.improves(values.get_group((r.condition, r.scale))).verdict for r in table.itertuples()]
    return table.assign(helps=helps, signal=table.condition.str[0].map(SIGNALS),
                        route=table.condition.str[1:].map(ROUTES)).sort_values(
        ["scale", "condition"], key=lambda c: c.map(order if c.name == "condition" else SCALES.index))


def describe_routes(table: pd.DataFrame, changes: pd.DataFrame) -> list[str]:
    """Sentences about `route_table` and its `changes`: one per scale and signal, then whether patch tokens rescue what
    CLS does not, and where the patch-aware predictor was not tested."""
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
    of_baseline = changes[changes.condition == "A-pp"].groupby("scale", sort=False).change
    return lines + [why for scale, values in of_baseline if (why := why_idle(values, scale))]
