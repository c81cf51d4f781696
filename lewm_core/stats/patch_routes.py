"""Does a signal that is useless through the CLS token help through patch tokens (paper 4.4 and 7)?

A signal reaches the model by several routes: a head on the CLS embedding, a head on the patch tokens, and such a head
with a predictor that reads patch tokens as well. Which condition is which route, and what it is compared with, is given
(`diagnostics.design`).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from lewm_core.stats import paper, verdicts
from lewm_core.stats.outcomes import POSITIVE, UNTAUGHT
from lewm_core.stats.paired import CHANGES, bounds, digits, number, paired_change, summarise
from lewm_core.stats.power import power_table
from lewm_core.utils.workspace import SCALES

CLS = "CLS"  # the route of the paper's heads
IDLE = paper.FULL_SCALE_BAND / 10  # per cent; a patch-aware A that differs from A by less reads no patches to speak of


@dataclass(frozen=True)
class Route:
    """How a condition's signal reaches the model. signal: such as depth; route: CLS, or another in words; baseline: the
    condition with the same predictor and no head, which is A unless the predictor reads patch tokens."""

    signal: str
    route: str
    baseline: str


Shut = Callable[[Iterable[str], Iterable[str]], Sequence[str]]  # conditions, arms -> why no verdict may be passed
Routes = Mapping[str, Route]  # condition -> its route; signal by signal, in the order in which they are shown


def route_changes(results: pd.DataFrame, baselines: Mapping[str, str]) -> pd.DataFrame:
    """`paired_change` of MSE on held-out episodes: each condition against its baseline, and other baselines against A.

    baselines: condition -> the condition that it is compared with; A for those it does not name. The references and
    the positive control are left out.
    """
    results = results[~results.condition.isin([*UNTAUGHT, POSITIVE])]
    against = results.condition.map(lambda name: baselines.get(name, paper.BASELINE))
    parts = [paired_change(part, baseline=name) for name, part in results.groupby(against)]
    if not parts:
        return pd.DataFrame(columns=CHANGES).astype({"change": float})
    for name in sorted(set(against) - {paper.BASELINE}):
        parts.append(paired_change(results[results.condition.isin([paper.BASELINE, name])]))
    return pd.concat(parts, ignore_index=True)


def why_idle(changes: pd.Series, baseline: str, scale: str) -> str | None:
    """Why the patch-aware predictor is not tested, or None if it is: whether it has come to read patches at all.

    changes: of the patch-aware `baseline` against A, per cent, by seed. Its reader's gate starts at 0, where it is A.
    """
    most = changes.abs().max()
    if most >= IDLE:
        return None
    return (f"{baseline} differs from A by at most {most:.1g} % ({scale}): the gate of its predictor, which starts at "
            "0, has hardly opened, so it does not read patches")


def _idle(changes: pd.DataFrame, routes: Routes) -> dict[tuple[str, str], str]:
    """By baseline and scale, why a patch-aware predictor is not tested."""
    baselines = {route.baseline for route in routes.values()} - {paper.BASELINE}
    groups = changes[changes.condition.isin(baselines)].groupby(["condition", "scale"], sort=False).change
    reasons = {key: why_idle(values, *key) for key, values in groups}
    return {key: reason for key, reason in reasons.items() if reason}


def route_table(changes: pd.DataFrame, routes: Routes, shut: Shut) -> pd.DataFrame:
    """One row per scale, signal and route: the columns of `summarise` and `power_table`, and `helps`, the verdict
    (`verdicts.improves`) on the claim that the signal improves next-latent MSE by this route, not testable where the
    predictor is idle (`why_idle`) or a gate is shut.

    changes: as from `route_changes`. shut: why no verdict may be passed on a condition at a scale (`Arms.shut`).
    """
    table = summarise(changes).merge(power_table(changes))
    table = table[table.condition.isin(list(routes))]
    values = changes.groupby(["condition", "scale"]).change
    idle = _idle(changes, routes)
    helps = []
    for row in table.itertuples():
        route = routes[row.condition]
        if (route.baseline, row.scale) in idle or shut([row.condition], [row.scale]):
            helps.append(verdicts.UNTESTED)
        else:
            helps.append(verdicts.improves(values.get_group((row.condition, row.scale))).verdict)
    places = {"condition": {name: i for i, name in enumerate(routes)}, "scale": {s: i for i, s in enumerate(SCALES)}}
    table = table.assign(helps=helps, signal=[routes[c].signal for c in table.condition],
                         route=[routes[c].route for c in table.condition])
    return table.sort_values(["scale", "condition"], key=lambda column: column.map(places[column.name]))


def describe_routes(table: pd.DataFrame, changes: pd.DataFrame, routes: Routes) -> list[str]:
    """Sentences about `route_table` and its `changes`: one per scale and signal, then whether patch tokens rescue what
    CLS does not, and where the patch-aware predictor was not tested."""
    if table.empty:
        return ["Not run: no condition whose signal has a route through patch tokens."]
    lines, useless, saved = [], 0, []
    for (scale, signal), rows in table.groupby(["scale", "signal"], sort=False):
        told = [f"through {row.route} {row.helps} ({_effect(row)}, n = {row.n})" for row in rows.itertuples()]
        lines.append(f"{scale}, benefit of {signal}: " + "; ".join(told) + ".")
        through_cls = rows[rows.route == CLS].helps
        if len(through_cls) and through_cls.iloc[0] != verdicts.SUPPORTED:
            useless += 1
            if verdicts.SUPPORTED in set(rows.helps):
                saved.append(f"{signal}, {scale}")
    named = f" ({'; '.join(saved)})" if saved else ""
    lines.append(f"Of {useless} cases in which a signal is not shown to help through CLS, it is shown to help through "
                 f"patch tokens in {len(saved)}{named}.")
    idle = _idle(changes, routes)
    closed = [f"{row.condition}, {row.scale}" for row in table.itertuples()
              if row.helps == verdicts.UNTESTED and (routes[row.condition].baseline, row.scale) not in idle]
    if closed:
        lines.append(f"A gate is shut, so nothing was tested, for {'; '.join(closed)}.")
    return lines + [f"{reason}." for reason in idle.values()]


def _effect(row: tuple) -> str:
    """'−1.2 % [−2.0, −0.4]'; without an interval where there is one seed."""
    shown = digits(row.mean, row.low, row.high)
    return f"{number(row.mean, shown)} %{bounds(row.low, row.high, shown)}"
