"""What an explanation predicts of the controls, and whether it holds: differences between arms, judged by a rule.

A prediction is judged by a rule of `verdicts` that the notebook states before the numbers. An explanation that makes
several is supported if all hold, and contradicted if one fails (`verdicts.all_of`).
"""

from collections.abc import Callable, Iterable, Mapping

import numpy as np
import pandas as pd

from lewm_core.stats import outcomes, verdicts
from lewm_core.stats.paired import bounds, judged, number
from lewm_core.stats.power import can_show, power_table
from lewm_core.stats.verdicts import Finding
from lewm_core.utils.errors import InputError

Findings = Mapping[tuple[str, str], Finding]  # (prediction, of what: a condition, a head) -> what was found


def change(changes: pd.DataFrame, condition: str, arm: str) -> pd.Series:
    """A condition's changes in an arm, on held-out episodes, by seed. changes: as from `paired.paired_change`."""
    rows = changes[(changes.condition == condition) & (changes.scale == arm) & (changes.split == "episode")]
    if rows.empty:
        raise InputError(f"changes of {condition}", f"no row of the arm {arm!r}",
                         "one of " + ", ".join(dict.fromkeys(changes.scale)))
    return rows.set_index("seed").change.astype(float).sort_index()


def lost(changes: pd.DataFrame, pairs: Mapping[str, tuple[str, str]], conditions: Iterable[str]) -> Findings:
    """For each condition and each named pair of arms: is more of the benefit gone in the second? `verdicts.lost`."""
    return {(says, c): verdicts.lost(change(changes, c, before), change(changes, c, after))
            for c in conditions for says, (before, after) in pairs.items()}


def together(found: Findings) -> dict[str, Finding]:
    """The verdict on an explanation that predicts all of `found`, for each thing that it predicts something of."""
    return {of: verdicts.all_of({says: f for (says, other), f in found.items() if other == of})
            for of in dict.fromkeys(of for _, of in found)}


def interferes(gradients: pd.DataFrame) -> tuple[Findings, Findings]:
    """The paper's two ways in which an auxiliary loss loses its use with more data (4.3), for every head.

    gradients: as from `controls.gradients`, averaged here along each run. First *interferes*: the cosine with the
    prediction's gradient is below 0 at the large scale, and lower than at the small one. Then *redundant*: the norm,
    over the prediction's, falls from the small scale to the large one (in doublings).
    """
    rows = gradients.assign(of=gradients.condition + ", " + gradients["head"] + " head",
                            log_ratio=np.log2(gradients.ratio.where(gradients.ratio > 0)))
    means = rows.groupby(["of", "scale", "seed"])[["cosine", "log_ratio"]].mean().reset_index()
    conflict, less = {}, {}
    for of in dict.fromkeys(rows.of):
        a, b = (means[(means.of == of) & (means.scale == scale)].set_index("seed") for scale in ("pilot", "full"))
        cosines, ratios = ([side[column].dropna() for side in (a, b)] for column in ("cosine", "log_ratio"))
        conflict["cosine at full scale below 0", of] = _at(cosines[1:], lambda now: verdicts.shrinks(now, "", 3))
        conflict["cosine lower at full scale than at the pilot's", of] = _at(
            cosines, lambda before, now: verdicts.fell(before, now, "", 3))
        less["norm ratio to the prediction's falls from pilot to full scale", of] = _at(
            ratios, lambda before, now: verdicts.fell(before, now, " doublings", 2))
    return conflict, less


def _at(samples: list[pd.Series], judge: Callable[..., Finding]) -> Finding:
    """What `judge` finds of samples by seed; not testable where one is empty."""
    if not all(map(len, samples)):
        return Finding(verdicts.UNTESTED, reason="not measured at both scales")
    return judge(*samples)


def stronger(changes: pd.DataFrame) -> Findings:
    """Auxiliary supervision as a prior: a larger weight helps more at the pilot's size and harms more at full scale.

    changes: with columns condition, size (pilot or full), seed, weight, change.
    """
    found, rules = {}, {"pilot": ("helps more", verdicts.shrinks), "full": ("harms more", verdicts.grows)}
    for c in changes.condition.unique():
        for size, (says, rule) in rules.items():
            part = changes[(changes.condition == c) & (changes["size"] == size)]
            wide = part.pivot(index="seed", columns="weight", values="change")
            slope = slopes(wide, np.log10(wide.columns.to_numpy(float)))
            found[f"{size}: a larger weight {says}", c] = rule(slope, " points per tenfold weight")
    return found


def unstable(normal: pd.DataFrame, gradient: pd.DataFrame, small: float) -> Findings:
    """The paper's explanation of its mask sweep (4.2) without training: noise of the normalisation, over episodes.

    normal, gradient: as from `mask_normalisation.noise_by_episode`; of these the compact regions, as masks are. The
    shift and the scale vary less over a larger region. And the gradient is noisier if a region of area `small` is
    normalised over itself than if it is normalised over the frame. Episodes in which a gradient has no mean above its
    noise are left out.
    """
    compact, at = (rows[rows.kind == "compact"] for rows in (normal, gradient))
    found = {}
    for what in ("shift", "scale"):
        wide = compact.pivot(index="episode", columns="area", values=what)
        slope = slopes(np.log2(wide), np.log2(wide.columns.to_numpy(float)))
        found[f"the {what} varies less over a larger region", "noise"] = verdicts.shrinks(
            slope, " doublings per doubling of the area")
    noise = at[at.area == small].pivot(index="episode", columns="normalised", values="over_draws")
    ratio = noise["region"] / noise["frame"]
    excess = np.log2(ratio[(ratio > 0) & np.isfinite(ratio)])
    noisier = Finding(verdicts.UNTESTED, reason="no episode has a mean gradient above its noise")
    if len(excess):
        noisier = verdicts.grows(excess, " doublings")
    found[f"the gradient is noisier if normalised over the region ({small:.0%} of the frame)", "noise"] = noisier
    return found


def unhelpful(changes: pd.DataFrame, areas: Mapping[str, float], repaired: Mapping[str, str],
              moved: Mapping[str, str]) -> tuple[Findings, Findings]:
    """The same with training, seed by seed: what the masks' size and the normalisation do to the effect.

    changes: of study `masks`. areas: supervised share of the frame of each mask, the smallest first. repaired, moved:
    mask -> its control normalised over the full frame, and with the mask at a random place.
    The second of the two is no part of the explanation: if only the size mattered, the same masks at random places
    would do as well.
    """
    wide = judged(changes).pivot(index="seed", columns="condition", values="change")
    first, last = list(areas)[0], list(areas)[-1]
    span = f"mean of {{0}} − {first} to {{1}} − {last}"
    effect = {
        (f"the benefit grows with the area, {first} to {last}", "effect"): _of(
            wide, areas, lambda: verdicts.shrinks(slopes(wide[[*areas]], np.log2([*areas.values()])),
                                                  " points per doubling")),
        (f"the full frame is better than the smallest mask, B − {first}", "effect"): _of(
            wide, ["B", first], lambda: verdicts.shrinks(wide["B"] - wide[first])),
        (f"normalising over the frame repairs them, {span.format(repaired[first], repaired[last])}", "effect"): _of(
            wide, [*areas, *repaired.values()], lambda: verdicts.shrinks(_mean_difference(wide, areas, repaired))),
    }
    place = {
        (f"the same masks at random places do as well, {span.format(moved[first], moved[last])} within "
         f"±{outcomes.SMALLEST:g} points", "place"): _of(
            wide, [*areas, *moved.values()],
            lambda: verdicts.within(_mean_difference(wide, areas, moved), unit=" points")),
    }
    return effect, place


def _of(wide: pd.DataFrame, names: Iterable[str], judge: Callable[[], Finding]) -> Finding:
    """What `judge` finds; not testable where one of the named conditions was not run."""
    missing = [name for name in names if name not in wide]
    return Finding(verdicts.UNTESTED, reason=f"{', '.join(missing)} not run") if missing else judge()


def _mean_difference(wide: pd.DataFrame, areas: Iterable[str], controls: Mapping[str, str]) -> pd.Series:
    """Control minus mask, mean over the masks, seed by seed."""
    return sum(wide[controls[mask]] - wide[mask] for mask in areas) / len(list(areas))


def slopes(values: pd.DataFrame, x: np.ndarray) -> np.ndarray:
    """The slope of each row of `values` (n, K), such as a seed or an episode, over `x` (K,); least squares."""
    if len(x) < 2:
        return np.full(len(values), np.nan)
    return np.polyfit(np.asarray(x, float), values.to_numpy(float).T, 1)[0]


def markdown(found: Findings) -> str:
    """A table of predictions: our number, over how many seeds or episodes, what they detect at 80 %, the verdict."""
    lines = ["| prediction | of | ours [95 %] | n | detectable | verdict |", "|---|---|---|---|---|---|"]
    for (says, of), f in found.items():
        cells = (says, of, f.ours, f.n or "–", f"{f.mde:.2g}" if np.isfinite(f.mde) else "–",
                 f.verdict + (f": {f.reason}" if f.reason else ""))
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def effects(summary: pd.DataFrame, arms: Iterable[str]) -> pd.DataFrame:
    """Text for a reader: the change against A with its interval, a row per condition, a column per arm.

    On held-out episodes. summary: as from `paired.summarise`.
    """
    rows = summary[summary.split == "episode"]
    cells = [f"{number(r.mean, 2)} %{bounds(r.low, r.high, 2)}" for r in rows.itertuples()]
    wide = rows.assign(cell=cells).pivot(index="condition", columns="scale", values="cell")
    return wide.reindex(index=rows.condition.unique(), columns=list(arms))


def conclude(explanations: Mapping[str, Findings]) -> str:
    """One line an explanation: the verdict on it for each thing that it predicts something of."""
    lines = []
    for name, found in explanations.items():
        verdict = "; ".join(f"{of} **{f.verdict}**" for of, f in together(found).items())
        lines.append(f"- {name}: {verdict or 'not run: nothing to judge it by'}.")
    return "\n".join(lines)


def undecided(found: Findings) -> str:
    """How many of the predictions stay open, in a sentence."""
    untested, left = (sum(f.verdict == v for f in found.values()) for v in (verdicts.UNTESTED, verdicts.UNDECIDED))
    return f"Of the {len(found)} predictions {untested} are not tested here, and {left} not decided at this power."


def reach(changes: pd.DataFrame) -> str:
    """What the arms can show against A: of the one in which the seeds scatter least, and of that in which most."""
    rows = power_table(judged(changes))
    rows = rows[np.isfinite(rows.mde)].sort_values("mde")
    if rows.empty:
        return "With one seed an arm says nothing of its scatter, so nothing of its power."
    least, most = rows.iloc[0], rows.iloc[-1]
    return (f"The changes scatter least for {least.condition} in the arm {least.scale!r}: {can_show(least)}. They "
            f"scatter most for {most.condition} in the arm {most.scale!r}: {can_show(most)}.")
