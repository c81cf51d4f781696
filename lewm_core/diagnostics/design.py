"""What the judges in `stats` must be told of the model and of the table of conditions, which they do not import."""

import math
from collections.abc import Sequence

import pandas as pd

from lewm_core.conditions import ALL, CONTROLS, FULL_FRAME, PATCH_HEAD, PATCH_PREDICTOR, RANDOM, in_order
from lewm_core.config import MODELS, Recipe
from lewm_core.heads import build_heads
from lewm_core.model import LeWM
from lewm_core.stats import paired, paper
from lewm_core.stats.levels import REFERENCES
from lewm_core.stats.outcomes import POSITIVE
from lewm_core.stats.patch_routes import CLS, Route
from lewm_core.stats.targets import Variants


def baselines() -> dict[str, str]:
    """Condition -> the condition that it is compared with, for those whose baseline is not A."""
    return {name: row.baseline for name, row in ALL.items() if row.baseline != paper.BASELINE}


def effects(results: pd.DataFrame, metric: str | Sequence[str] = "mse") -> tuple[pd.DataFrame, pd.DataFrame]:
    """`paired.compare` of everything with A but the references. Holm corrects over the signals alone: their controls
    and the positive control are no claims of the paper."""
    names = [name for name in dict.fromkeys(results.condition) if name not in REFERENCES]
    controls = [name for name in names if name == POSITIVE or (name in ALL and ALL[name].control_of)]
    signals = [name for name in names if name not in controls]
    parts = [paired.compare(results[results.condition.isin([paper.BASELINE, *part])], metric)
             for part in (signals, controls) if part or not names]
    changes, summaries = zip(*parts, strict=True)
    return pd.concat(changes, ignore_index=True), pd.concat(summaries, ignore_index=True)


def parameters() -> dict[str, int]:
    """Number of parameters at the paper's size: of the `model`, its `encoder`, and the heads of which the paper tells.
    """
    size = MODELS["paper"]
    model = LeWM(size)
    counts = {"model": sum(p.numel() for p in model.parameters()),
              "encoder": sum(p.numel() for p in model.encoder.parameters())}
    heads = build_heads(tuple(paper.HEAD_PARAMETERS), size.dim, seed=0)
    return counts | {name: sum(p.numel() for p in head.parameters()) for name, head in heads.items()}


def paper_steps() -> pd.DataFrame:
    """The optimizer steps of the paper's pilot and full runs by its recipe (section 3.4), as `Evidence.facts`: columns
    scale, fact, value. Its epochs are the same at both scales, so the steps grow with the windows. An epoch's last
    batch is a smaller one: so counted, the pilot's are the `paper.PILOT_STEPS` of which it tells."""
    recipe, span = Recipe(), MODELS["paper"].history + 1  # frames of a window
    rows = []
    for scale, frames in paper.FRAMES.items():
        windows = frames - paper.EPISODES[scale] * (span - 1)
        batches = math.ceil(windows * (1 - recipe.val_windows) / recipe.batch_size)
        rows.append((scale, "optimizer steps", recipe.epochs * batches))
    return pd.DataFrame(rows, columns=["scale", "fact", "value"])


def counted() -> dict[str, object]:
    """The fields of `Evidence` that need no run."""
    return {"parameters": parameters(), "paper_steps": paper_steps()}


def routes() -> dict[str, Route]:
    """The conditions that tell whether a signal helps through patch tokens: those that read patch tokens, each signal's
    after the condition that reads the CLS embedding."""
    through_patches = [row for row in CONTROLS.values() if row.variant in (PATCH_HEAD, PATCH_PREDICTOR) and row.terms]
    found = {}
    for name in in_order(row.control_of for row in through_patches):
        plain = ALL[name]
        found[name] = Route(plain.family, CLS, plain.baseline)
        for row in through_patches:
            if row.control_of == name:
                found[row.name] = Route(plain.family, row.variant, row.baseline)
    return found


def mask_controls() -> tuple[dict[str, str], dict[str, str]]:
    """Masked condition -> its control: normalised over the full frame, and with the mask at a random place."""
    full_frame, at_random = ({row.control_of: name for name, row in CONTROLS.items() if row.variant == variant}
                             for variant in (FULL_FRAME, RANDOM))
    return full_frame, at_random


def variants() -> dict[str, Variants]:
    """Condition -> the rows that vary its target, for every condition that has such rows."""
    found = {}
    for name in in_order(row.control_of for row in CONTROLS.values()):
        rows = [row for row in CONTROLS.values() if row.control_of == name and row.terms]
        own = {row.name: 1 - row.terms[0].share for row in rows
               if all(term.target_from == "frame" for term in row.terms)}
        kinds = [{row.name: row.variant for row in rows if all(map(test, row.terms))} for test in (
            lambda term: term.target_from != "own" and term.share == 1, lambda term: term.detached,
            lambda term: not term.standardised)]
        if own or any(kinds):
            found[name] = Variants(*kinds, own | {name: 1.0})
    return found
