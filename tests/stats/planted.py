"""Synthetic results tables with a planted truth: all rows that a verdict needs, of any number of seeds."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from lewm_core.stats import paper
from lewm_core.stats.outcomes import SHUFFLED

SCALES = ("pilot", "full")
TWINS = ("B", "D", "E", "F", "G", "C1", "C2", "C3", "C4", "D-patch", "D-pp")
_OF = {"depth": ("B", "C1", "C2", "C3", "C4"), "tracks": ("D", "D-fg", "D-patch", "D-pp"), "centroid": ("F",),
       "shape": ("G",)}
HEADS = {c: (head,) for head, conditions in _OF.items() for c in conditions} | {
    "E": ("depth", "tracks"), "P": ("gripper", "object")}
THE_PAPERS = {(r.condition, r.scale): r.change for r in paper.REPORTED[paper.REPORTED.figure != 2].itertuples()} | {
    (c, "pilot"): v for c, v in paper.reported(2)[["C1", "C2", "C3"]].items()}
NOTHING = dict.fromkeys(THE_PAPERS, 0.0)


@dataclass(frozen=True)
class Truth:
    """effects: (condition, scale) -> per cent of A, in the mean; shuffled: the same of a condition's twin with other
    frames' targets. noise: std over seeds of each change, per cent, of which both sides have a
    half, so that all changes against A share A's own. sensitivity: factor on all that the instrument
    shows: effects, what A learns, what the positive control gains, what the heads learn. persistence: A's error over
    it. positive, learnt: per cent by which P is better than A, and A than the base and the lr-0 arm. head: a head's
    loss over that of the best constant."""

    effects: Mapping[tuple[str, str], float] = field(default_factory=lambda: THE_PAPERS)
    shuffled: float = 0.0
    noise: float = 1.0
    sensitivity: float = 1.0
    persistence: float = 0.88
    positive: float = 20.0
    learnt: float = 15.0
    head: float = 0.5


def table(truth: Truth, n: int, rng: np.random.Generator, metrics: tuple[str, ...] = ("gripper_5",),
          splits: tuple[str, ...] = ("episode",), level: float = 1.0) -> pd.DataFrame:
    """A tidy results table of n seeds. level: A's error at the pilot's scale over that at full scale."""
    rows: dict[str, list] = {name: [] for name in ("condition", "scale", "metric", "value")}

    def add(condition: str, scale: str, metric: str, values: np.ndarray) -> None:
        for name, value in zip(rows, (condition, scale, metric, values), strict=True):
            rows[name].append(value)

    for scale in SCALES:
        base = 8 * np.exp(rng.normal(0, 0.03, n)) * (level if scale == "pilot" else 1)
        means = {"A": 0.0, "base": truth.learnt, "lr-0": truth.learnt, "P": -truth.positive}
        means |= {c: effect for (c, at), effect in truth.effects.items() if at == scale}
        means |= {c + SHUFFLED: truth.shuffled for c in TWINS if c in means}
        for condition, mean in means.items():
            scatter = truth.noise * 0.5**0.5 * rng.normal(size=n)
            values = base * (1 + (truth.sensitivity * mean + scatter) / 100)
            for metric in metrics:
                add(condition, scale, metric, values)
                if metric.startswith("gripper"):
                    add(condition, scale, f"{metric}_over_persistence", values / base * truth.persistence)
            if "mse" in metrics:
                add(condition, scale, "mse_over_static", values / base * truth.persistence)
            for head in HEADS.get(condition.removesuffix(SHUFFLED), ()):
                knows = 0 if condition.endswith(SHUFFLED) else truth.sensitivity * (1 - truth.head)
                add(condition, scale, f"head_{head}", 0.6 * (1 - knows + 0.02 * rng.normal(size=n)))
                add(condition, scale, f"head_{head}_constant", np.full(n, 0.6))
    count = len(rows["value"])
    one = pd.DataFrame({name: np.repeat(np.array(rows[name], object), n) for name in ("condition", "scale", "metric")}
                       | {"seed": np.tile(np.arange(n), count), "value": np.concatenate(rows["value"])})
    return pd.concat([one.assign(split=split) for split in splits], ignore_index=True)
