"""What each explanation of the paper's results predicts of the controls (sections 4.2 and 4.3).

Every function returns explanations: name -> findings, which `contrasts` judges and `told` tells. The rules are stated
in notebook 08 before the numbers.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from lewm_core.stats import contrasts, paper
from lewm_core.stats.arms import Arms
from lewm_core.stats.contrasts import Findings
from lewm_core.stats.paired import judged, number
from lewm_core.stats.verdicts import UNTESTED, untested

Explanations = Mapping[str, Findings]


def gated(arms: Arms, found: Findings) -> Findings:
    """`found`, whose verdicts on effects are withheld where a gate of its condition is shut in an arm of the question
    (of what is no condition: of any)."""
    effects = set(arms.changes.condition)
    reasons = {of: arms.shut([of] if of in effects else arms.conditions)
               for of in dict.fromkeys(of for _, of in found)}
    return {key: f if f.verdict == UNTESTED else untested(f, reasons[key[1]]) for key, f in found.items()}


def scale_or_curation(arms: Arms, few: int, many: int) -> Explanations:
    """Is the benefit lost with more data under both selections, or with random episodes at both sizes?

    arms: of question `scale`. few, many: the sizes, in episodes.
    """
    more_data = {f"{kind} episodes, {few} → {many}: lost": (f"{kind} {few}", f"{kind} {many}")
                 for kind in ("best", "random")}
    less_curation = {f"{n} episodes, best → random: lost": (f"best {n}", f"random {n}") for n in (few, many)}
    return {"scale": gated(arms, contrasts.lost(arms.changes, more_data, arms.conditions)),
            "curation": gated(arms, contrasts.lost(arms.changes, less_curation, arms.conditions))}


def both_at_once(arms: Arms, few: int, many: int) -> Findings:
    """Few curated episodes against many random ones, which is what the paper compares."""
    pair = {f"best {few} → random {many}: lost": (f"best {few}", f"random {many}")}
    return gated(arms, contrasts.lost(arms.changes, pair, arms.conditions))


def steps_or_data(arms: Arms, order: Sequence[str]) -> Explanations:
    """Is the benefit lost with more data at equal steps, or with more steps on equal data?

    arms: of question `steps`. order: the small set with its own steps, the large set with the small one's, the small
    set with the large one's, the large set with its own.
    """
    small, large_briefly, small_long, large = order
    took = arms.steps
    more_data = {f"more data, {took[a]} steps: lost": (a, b) for a, b in ((small, large_briefly), (small_long, large))}
    more_steps = {f"{label}, {took[a]} → {took[b]} steps: lost": (a, b)
                  for label, a, b in (("pilot set", small, small_long), ("full set", large_briefly, large))}
    return {"data": gated(arms, contrasts.lost(arms.changes, more_data, arms.conditions)),
            "steps": gated(arms, contrasts.lost(arms.changes, more_steps, arms.conditions))}


def baseline_along_training(along: pd.DataFrame, order: Sequence[str], took: Mapping[str, int]) -> list[str]:
    """How A's error falls along training, and how much of the paper's fourfold fall is data and how much is steps.

    along: as from `controls.along_training`. order: as in `steps_or_data`. took: steps of each arm.
    """
    by_step = along[along.condition == paper.BASELINE].pivot(index=["scale", "seed"], columns="step", values="value")
    end = by_step.ffill(axis=1).iloc[:, -1]
    mse = end.groupby("scale").mean()
    turned = (by_step.min(axis=1) < end).groupby("scale").agg(["sum", "size"])
    lines = [f"- {arm}: A's MSE is {mse[arm]:.4f} after {took[arm]} steps; at an earlier step it was lower in "
             f"{turned['sum'][arm]} of {turned['size'][arm]} seeds." for arm in order]
    small, large_briefly, small_long, large = order
    fall = {arm: mse[small] / mse[arm] for arm in order}
    return [*lines, "", f"Before training it is {by_step[0].mean():.4f}. A's MSE on the pilot set with its own steps, "
            f"divided by that on the full set with its own steps, is {fall[large]:.2f} (the paper: about "
            f"{paper.BASELINE_MSE_RATIO:g}, judged by other data at each scale). Divided by that with more data alone, "
            f"it is {fall[large_briefly]:.2f}; with more steps alone, {fall[small_long]:.2f}."]


def instability(arms: Arms, areas: Mapping[str, float], controls: tuple[Mapping[str, str], Mapping[str, str]],
                noise: tuple[pd.DataFrame, pd.DataFrame], small: float) -> Explanations:
    """The paper's explanation of the mask sweep: normalisation over few pixels is unstable (4.2).

    arms: of question `masks`. areas: supervised share of the frame by condition, the smallest first. controls: mask ->
    its control normalised over the frame, and mask -> its control at a random place (`design.mask_controls`). noise:
    as from `mask_normalisation.noise_by_episode`; small: the area at which its gradients are compared.
    """
    repaired, moved = controls
    masks = {name: area for name, area in areas.items() if name in repaired}
    if not masks:
        return {}
    effect, place = contrasts.unhelpful(arms.changes, masks, repaired, moved)
    return {"unstable normalisation": contrasts.unstable(*noise, small) | gated(arms, effect),
            "only the area matters": gated(arms, place)}


def gradients(table: pd.DataFrame) -> Explanations:
    """Does the auxiliary loss interfere at full scale, or is it redundant there? table: `controls.gradients`."""
    interferes, redundant = contrasts.interferes(table)
    return {"interferes": interferes, "redundant": redundant}


def pull(table: pd.DataFrame) -> list[str]:
    """How much of the heads' gradients matters to the prediction. table: `controls.gradients`."""
    along = table.assign(pull=100 * table.cosine * table.ratio)
    means = along.groupby(["scale", "condition", "head"], sort=False).pull.mean()
    return ["How far a head's weighted gradient moves the encoder in the direction of the prediction's gradient, as a "
            "share of the prediction's own step (cosine × ratio of the norms), on average:", "",
            *(f"- {condition}, {head} head, {scale}: {number(value, 2)} %"
              for (scale, condition, head), value in means.items())]


def by_weight(arms: Arms, table: pd.DataFrame) -> pd.DataFrame:
    """Rows of `table` (the changes or the summary of question `weight`) on held-out episodes, with columns size (pilot
    or full) and weight."""
    episodes = arms.rows.groupby("arm").episodes.first()
    size = (episodes == episodes.min()).map({True: "pilot", False: "full"})
    rows = judged(table[table.condition.isin(arms.conditions)])
    rows = rows.assign(weight=rows.scale.map(arms.weights), size=rows.scale.map(size))
    return rows.sort_values("size", ascending=False, kind="stable")  # the pilot first


def a_prior(arms: Arms) -> Explanations:
    """Does a larger weight of the auxiliary loss help more on few data and harm more on many?"""
    return {"a prior": gated(arms, contrasts.stronger(by_weight(arms, arms.changes)))}


def told(explanations: Explanations, changes: pd.DataFrame | None = None) -> list[str]:
    """Lines of Markdown: every prediction with its number and verdict, the verdict on each, and what stays open.

    changes: the arms whose power is said; None leaves that out.
    """
    found = {key: finding for findings in explanations.values() for key, finding in findings.items()}
    if not found:
        return ["Not run: no condition with a head could be trained."]
    lines = [contrasts.markdown(found), "", contrasts.conclude(explanations), "",
             "**What this cannot decide.** " + contrasts.undecided(found)]
    if changes is not None and np.isfinite(changes.change).any():
        lines.append(contrasts.reach(changes))
    return lines
