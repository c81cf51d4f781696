"""Curation (paper 3.1): a filter on metadata, and a weighted score of what was measured from the signals.

The paper names the criteria but neither their weights nor how they combine; every such choice of ours is a field of
`Criteria`.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from functools import lru_cache

import numpy as np
import pandas as pd

from lewm_core.curation.measurements import DEPTH_PERCENTILES, MOTION_PERCENTILES
from lewm_core.sources.episode import EpisodeInfo
from lewm_core.utils.errors import InputError
from lewm_core.utils.parameters import check_names, fit

PARTS = ("verb", "length", "motion", "coverage", "stability", "depth")


@dataclass(frozen=True)
class Criteria:
    """Thresholds and weights; numbers that the paper gives are marked so, the rest is our reading."""

    min_length: int = 15  # frames (paper)
    max_length: int = 40  # frames (paper)
    require_task: bool = True  # an episode without an instruction cannot be judged by its verb
    good_task: str = r"\b(put|place)\b.*\b(on|onto|in|into|inside)\b|\bpick(s|ed|ing)?\b.*\bup\b"  # put X on Y (paper)
    rejected_task: str = r"\b(un)?fold(s|ed|ing)?\b"  # folding is never an episode of one rigid object
    penalised_task: str = r"\b(cloth|towel|napkin|rag)s?\b"  # limp objects: their verb part is halved
    other_verb: float = 0.5  # verb part of a task that is neither good nor rejected
    min_motion: float = 60.0  # px at 224 of track displacement that give the full motion part (paper)
    motion_percentile: float = 95.0  # over points, of the length of their paths; one of MOTION_PERCENTILES
    min_coverage: float = 0.02  # share of the image that the object mask covers (paper)
    max_coverage: float = 0.25  # (paper)
    max_variation: float = 1.0  # std / mean of the coverage over frames at which the stability part reaches 0
    min_depth_range: float = 2.0  # far over near depth that gives the full depth part (paper, which has no unit)
    depth_percentiles: tuple[float, float] = (5.0, 95.0)  # near and far, of all depths: an arm at the lens is left out
    weight_verb: float = 2.0
    weight_length: float = 1.0
    weight_motion: float = 2.0
    weight_coverage: float = 2.0
    weight_stability: float = 1.0
    weight_depth: float = 1.0

    def __post_init__(self):
        object.__setattr__(self, "depth_percentiles", tuple(self.depth_percentiles))
        problems = []
        if not 0 < self.min_length <= self.max_length:
            problems.append(f"lengths {self.min_length} to {self.max_length}")
        if not 0 <= self.min_coverage < self.max_coverage <= 1:
            problems.append(f"coverage {self.min_coverage} to {self.max_coverage}")
        if not (self.min_motion > 0 and self.max_variation > 0 and self.min_depth_range > 1):
            problems.append("a motion, variation or depth range that no episode can be measured by")
        if self.motion_percentile not in MOTION_PERCENTILES:
            problems.append(f"motion_percentile {self.motion_percentile}, not one of {_listed(MOTION_PERCENTILES)}")
        near_far = self.depth_percentiles
        if len(near_far) != 2 or not set(near_far) <= set(DEPTH_PERCENTILES) or near_far[0] >= near_far[1]:
            problems.append(f"depth_percentiles {near_far}, not two, ascending, of {_listed(DEPTH_PERCENTILES)}")
        weights = list(self.weights.values())
        if not all(0 <= w < np.inf for w in weights) or sum(weights) == 0:
            problems.append(f"weights {weights}")
        for name in ("good_task", "rejected_task", "penalised_task"):
            try:
                re.compile(getattr(self, name))
            except re.error as error:
                problems.append(f"{name}, which is no regular expression ({error})")
        if problems:
            raise InputError("curation criteria", "; ".join(problems), "ordered limits and weights of at least 0")

    @property
    def weights(self) -> dict[str, float]:
        """Part -> its weight in the score."""
        return {part: getattr(self, f"weight_{part}") for part in PARTS}

    @classmethod
    def of(cls, changes: Mapping[str, object], **given: object) -> "Criteria":
        """The defaults with `changes`, a notebook's or a file's mapping: unknown names and other types are InputErrors.

        given: fields that have a parameter of their own, which `changes` must not name.
        """
        default = {f.name: f.default for f in fields(cls) if f.name not in given}
        if twice := [name for name in changes if name in given]:
            raise InputError("criteria", ", ".join(twice), f"other names: {', '.join(default)}",
                             f"Set it as a parameter of its own: --set {twice[0]}={changes[twice[0]]}")
        check_names(changes, set(default), "criteria")
        return cls(**given, **{name: fit(name, value, default[name], "criteria") for name, value in changes.items()})


def _listed(numbers: Iterable[float]) -> str:
    return ", ".join(f"{n:g}" for n in numbers)


def metadata_filter(infos: Iterable[EpisodeInfo], criteria: Criteria) -> pd.DataFrame:
    """What can be said before any frame is decoded: columns episode, task, length, accepted (bool), reason.

    `reason` is empty for accepted episodes, else the first of: no task text, folding, too short, too long.
    """
    rows = [(info.id, info.task, info.length) for info in infos]
    table = pd.DataFrame(rows, columns=["episode", "task", "length"])
    reason = rejections(table, criteria)
    return table.assign(accepted=reason == "", reason=reason)


def rejections(table: pd.DataFrame, criteria: Criteria) -> np.ndarray:
    """Why the metadata reject each row (columns task, length): (N,) str objects, empty where they do not."""
    tasks, length = _tasks(table), table["length"].to_numpy()
    reasons = {
        "no task text": criteria.require_task & ~_says(r"\S", tasks),
        "folding": _says(criteria.rejected_task, tasks),
        f"shorter than {criteria.min_length} frames": length < criteria.min_length,
        f"longer than {criteria.max_length} frames": length > criteria.max_length,
    }
    return np.select(list(reasons.values()), np.array(list(reasons), object), np.array("", object))


def _tasks(table: pd.DataFrame) -> tuple[str, ...]:
    return tuple(table["task"].to_numpy(object))


@lru_cache(maxsize=16)  # weights and limits change under a slider, texts and patterns do not
def _says(pattern: str, tasks: tuple[str, ...]) -> np.ndarray:
    """(N,) bool, whether the pattern is found in each text."""
    found = {task: re.search(pattern, task, re.IGNORECASE) is not None for task in set(tasks)}
    return np.fromiter(map(found.get, tasks), bool, len(tasks))


def score(measurements: pd.DataFrame, criteria: Criteria) -> pd.DataFrame:
    """Every episode's parts and score: columns episode, task, length, score, part_verb … part_depth, all 0 to 1.

    verb: 1 for put-X-on-Y and pick-up tasks, `other_verb` for others, half of that for limp objects, 0 for folding.
    length: 1 within the limits, falling linearly to 0 at half the lower and twice the upper one. Always 1 after
        `metadata_filter` with the same criteria.
    motion: the path length at `motion_percentile` over `min_motion`, at most 1.
    coverage: share of the frames in which the mask covers between `min_coverage` and `max_coverage` of the image.
    stability: 1 minus the coverage's variation over `max_variation`; 0 for an empty mask.
    depth: how far far-over-near depth is on the way from 1 (a flat scene) to `min_depth_range`, at most 1. The paper's
        'depth dynamic range above 2.0' has no definition; a ratio is free of the unit of depth. 0 where the near depth
        is not positive, since then there is no ratio.

    A part is NaN where its signal is missing. The score is the mean of the other parts, weighted: missing signals
    neither help nor harm. Everything is computed column by column, in one pass for any number of episodes.
    """
    parts = _parts(measurements, criteria)
    n = len(measurements)
    gained, weight = np.zeros(n), np.zeros(n)
    for part, values in parts.items():
        known = ~np.isnan(values)
        gained += criteria.weights[part] * np.where(known, values, 0)
        weight += criteria.weights[part] * known
    with np.errstate(divide="ignore", invalid="ignore"):
        total = np.where(weight > 0, gained / weight, 0.0)
    identity = {name: measurements[name] for name in ("episode", "task", "length")}
    return pd.DataFrame({**identity, "score": total, **{f"part_{part}": values for part, values in parts.items()}})


def _parts(measurements: pd.DataFrame, criteria: Criteria) -> dict[str, np.ndarray]:
    """Part -> (N,) float64, 0 to 1, NaN where it cannot be told; `score` says what each of them is."""
    c = criteria
    length = _column(measurements, "length")
    near, far = (_column(measurements, f"depth_{p:g}") for p in c.depth_percentiles)
    coverage = measurements[[name for name in measurements if name.startswith("coverage_")]].to_numpy(float)
    covered = ((coverage >= c.min_coverage) & (coverage <= c.max_coverage)).sum(1)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(near > 0, far / near, np.where(np.isnan(near), np.nan, 0.0))
        from_shortest = (length - c.min_length / 2) / (c.min_length / 2)
        to_longest = (2 * c.max_length - length) / c.max_length
        parts = {
            "verb": _verb(_tasks(measurements), c),
            "length": np.minimum(from_shortest, to_longest),
            "motion": _column(measurements, f"motion_{c.motion_percentile:g}") / c.min_motion,
            "coverage": covered / np.isfinite(coverage).sum(1),
            "stability": 1 - _column(measurements, "variation") / c.max_variation,
            "depth": (ratio - 1) / (c.min_depth_range - 1),
        }
        return {part: np.clip(values, 0, 1) for part, values in parts.items()}


def _column(measurements: pd.DataFrame, name: str) -> np.ndarray:
    """(N,) float64; NaN throughout where nothing was measured under that name."""
    if name not in measurements:
        return np.full(len(measurements), np.nan)
    return measurements[name].to_numpy(float)


def _verb(tasks: tuple[str, ...], criteria: Criteria) -> np.ndarray:
    value = np.where(_says(criteria.good_task, tasks), 1.0, criteria.other_verb)
    value = np.where(_says(criteria.penalised_task, tasks), value / 2, value)
    return np.where(_says(criteria.rejected_task, tasks) | ~_says(r"\S", tasks), 0.0, value)
