"""Curation (paper 3.1): a filter on metadata, a small table measured from the signals, a weighted score of it.

The paper names the criteria but neither their weights nor how they combine; every such choice of ours is a field of
`Criteria`. An episode's signals are measured once; from the measurements follows the score for any criteria, so that
other weights and thresholds cost no second look at the signals. Pixels are those of a 224-pixel image.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd

from lewm_core.signals.backends import is_relative
from lewm_core.signals.extraction import Signals
from lewm_core.signals.geometry import REFERENCE_SIZE, at_pixels
from lewm_core.sources.episode import EpisodeInfo
from lewm_core.utils.errors import InputError
from lewm_core.utils.files import write_csv
from lewm_core.utils.parameters import check_names, fit

PARTS = ("verb", "length", "motion", "coverage", "stability", "depth")
MOTION_PERCENTILES = (50.0, 75.0, 90.0, 95.0, 99.0, 100.0)  # that are measured, so that criteria can ask for them
DEPTH_PERCENTILES = (0.0, 1.0, 5.0, 10.0, 90.0, 95.0, 99.0, 100.0)


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


# ---------------------------------------------------------------------------------------------------------- metadata


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


# ------------------------------------------------------------------------------------------------------ measurements


def measure(info: EpisodeInfo, signals: Signals, image_size: int) -> dict[str, object]:
    """All that any `Criteria` need to know of an episode: a row of the table of measurements.

    episode, task, length (frames).
    motion_50 … motion_100: percentiles of `path_lengths`, px at 224.
    variation: std over mean of the mask's coverage over frames; infinite for a mask that is empty throughout.
    depth_0 … depth_100: percentiles of all depths, in the depth's unit; not of a relative depth, which has no range.
    coverage_0 … coverage_{T−1}: share of the image that the mask covers, per frame.

    Columns whose signal is missing are left out (NaN in a table).

    Args:
        image_size: width of the frames that the tracks were made on, px.
    """
    row = {"episode": info.id, "task": info.task, "length": info.length}
    if signals.tracks is not None:
        motion = np.percentile(path_lengths(signals), MOTION_PERCENTILES) * REFERENCE_SIZE / image_size
        row |= {f"motion_{p:g}": float(px) for p, px in zip(MOTION_PERCENTILES, motion, strict=True)}
    if signals.depth is not None and not is_relative(signals.made_by.get("depth")):
        depth = np.percentile(signals.depth, DEPTH_PERCENTILES)
        row |= {f"depth_{p:g}": float(d) for p, d in zip(DEPTH_PERCENTILES, depth, strict=True)}
    if signals.mask is not None:
        coverage = signals.mask.mean((1, 2))
        row["variation"] = float(coverage.std() / coverage.mean()) if coverage.any() else float("inf")
        row |= {f"coverage_{t}": float(share) for t, share in enumerate(coverage)}
    return row


def path_lengths(signals: Signals) -> np.ndarray:
    """(N,) how far the object's points travel over the episode, px at image size.

    A point's path length is the sum of its steps between consecutive frames in both of which it is visible. The points
    are the foreground-biased ones that lie on the object in frame 0; where there are none (no mask, or an empty one),
    all of the uniform grid.
    """
    tracks, visible = signals.tracks, signals.visible
    if signals.tracks_fg is not None:
        inside = at_pixels(signals.mask[:1], signals.tracks_fg[:1])[0][0]
        if inside.any():
            tracks, visible = signals.tracks_fg[:, inside], signals.visible_fg[:, inside]
    return (np.linalg.norm(np.diff(tracks, axis=0), axis=-1) * (visible[1:] & visible[:-1])).sum(0)


def read_measurements(path: str | Path) -> pd.DataFrame:
    """The table that `write_csv` kept at `path`, number for number; an empty one where there is none."""
    if not Path(path).exists():
        return pd.DataFrame({"episode": pd.Series(dtype=object), "task": pd.Series(dtype=object), "length": []})
    numbers = [name for name in pd.read_csv(path, nrows=0) if name not in ("episode", "task")]
    return pd.read_csv(path, dtype={"episode": str, "task": str}, keep_default_na=False,
                       na_values={name: [""] for name in numbers})  # the task "NA" is a text


def add_measurements(path: str | Path, rows: Iterable[Mapping[str, object]], batch: int = 2000) -> pd.DataFrame:
    """Append rows of `measure`, taken one by one, to the table kept at `path`, and return all of it.

    The file is written after every `batch` rows: that many are in memory as they come, or lost by an interruption.
    """
    table, rows = read_measurements(path), iter(rows)
    while new := list(islice(rows, batch)):
        table = pd.concat([table, pd.DataFrame(new)], ignore_index=True) if len(table) else pd.DataFrame(new)
        write_csv(path, table)
    return table


# ------------------------------------------------------------------------------------------------------------- score


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
    c, n = criteria, len(measurements)

    def column(name: str) -> np.ndarray:
        return measurements[name].to_numpy(float) if name in measurements else np.full(n, np.nan)

    length, (near, far) = column("length"), (column(f"depth_{p:g}") for p in c.depth_percentiles)
    coverage = measurements[[name for name in measurements if name.startswith("coverage_")]].to_numpy(float)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(near > 0, far / near, np.where(np.isnan(near), np.nan, 0.0))
        parts = {
            "verb": _verb(_tasks(measurements), c),
            "length": np.minimum((length - c.min_length / 2) / (c.min_length / 2),
                                 (2 * c.max_length - length) / c.max_length),
            "motion": column(f"motion_{c.motion_percentile:g}") / c.min_motion,
            "coverage": (((coverage >= c.min_coverage) & (coverage <= c.max_coverage)).sum(1)
                         / np.isfinite(coverage).sum(1)),
            "stability": 1 - column("variation") / c.max_variation,
            "depth": (ratio - 1) / (c.min_depth_range - 1),
        }
        parts = {part: np.clip(values, 0, 1) for part, values in parts.items()}
        gained, weight = np.zeros(n), np.zeros(n)
        for part, values in parts.items():
            known = ~np.isnan(values)
            gained += c.weights[part] * np.where(known, values, 0)
            weight += c.weights[part] * known
        total = np.where(weight > 0, gained / weight, 0.0)
    identity = {name: measurements[name] for name in ("episode", "task", "length")}
    return pd.DataFrame({**identity, "score": total, **{f"part_{part}": values for part, values in parts.items()}})


def _verb(tasks: tuple[str, ...], criteria: Criteria) -> np.ndarray:
    value = np.where(_says(criteria.good_task, tasks), 1.0, criteria.other_verb)
    value = np.where(_says(criteria.penalised_task, tasks), value / 2, value)
    return np.where(_says(criteria.rejected_task, tasks) | ~_says(r"\S", tasks), 0.0, value)
