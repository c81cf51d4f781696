"""Curation (paper 3.1): a filter on metadata, a weighted score over signals, a selection that a person can edit.

The paper names the criteria but neither their weights nor how they combine; every such choice of ours is a field of
`Criteria`. Pixels are those of a 224-pixel image.
"""

import re
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from lewm_core.episodes import EpisodeInfo
from lewm_core.errors import InputError, pick
from lewm_core.files import write_csv
from lewm_core.signals import Signals
from lewm_core.signals.geometry import REFERENCE_SIZE, at_pixels

PARTS = ("verb", "length", "motion", "coverage", "stability", "depth")
FLAGS = ("full", "pilot")
COLUMNS = ("episode", "task", "length", *FLAGS)  # what a selection file must have
PILOT_BY = {"score": "score"}  # which column orders the pilot, best first


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
    motion_percentile: float = 95.0  # over points, of the length of their paths
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
        problems = []
        if not 0 < self.min_length <= self.max_length:
            problems.append(f"lengths {self.min_length} to {self.max_length}")
        if not 0 <= self.min_coverage < self.max_coverage <= 1:
            problems.append(f"coverage {self.min_coverage} to {self.max_coverage}")
        if self.min_motion <= 0 or self.max_variation <= 0 or self.min_depth_range <= 1:
            problems.append("a motion, variation or depth range that no episode can be measured by")
        weights = [getattr(self, f"weight_{part}") for part in PARTS]
        if min(weights) < 0 or sum(weights) == 0:
            problems.append(f"weights {weights}")
        if problems:
            raise InputError("curation criteria", "; ".join(problems), "ordered limits and weights of at least 0")


def metadata_filter(infos: Iterable[EpisodeInfo], criteria: Criteria) -> pd.DataFrame:
    """What can be said before any frame is decoded: columns episode, task, length, accepted (bool), reason.

    `reason` is empty for accepted episodes, else the first of: no task text, folding, too short, too long.
    """
    rows = [(info.id, info.task, info.length, _rejection(info, criteria)) for info in infos]
    table = pd.DataFrame(rows, columns=["episode", "task", "length", "reason"])
    table.insert(3, "accepted", table["reason"] == "")
    return table


def _rejection(info: EpisodeInfo, criteria: Criteria) -> str:
    if criteria.require_task and not info.task.strip():
        return "no task text"
    if _says(criteria.rejected_task, info.task):
        return "folding"
    if info.length < criteria.min_length:
        return f"shorter than {criteria.min_length} frames"
    if info.length > criteria.max_length:
        return f"longer than {criteria.max_length} frames"
    return ""


def _says(pattern: str, task: str) -> bool:
    return re.search(pattern, task, re.IGNORECASE) is not None


def score_parts(
    task: str, length: int, signals: Signals, image_size: int, criteria: Criteria
) -> dict[str, float]:
    """The parts of an episode's score, each 0 to 1; NaN where the signal that it needs is missing.

    verb: 1 for put-X-on-Y and pick-up tasks, `other_verb` for others, half of that for limp objects, 0 for folding.
    length: 1 within the limits, falling linearly to 0 at half the lower and twice the upper one. Always 1 after
        `metadata_filter` with the same criteria.
    motion: `motion_px` over `min_motion`, at most 1.
    coverage: share of the frames in which the mask covers between `min_coverage` and `max_coverage` of the image.
    stability: 1 minus the coverage's variation (std / mean over frames) over `max_variation`; 0 for an empty mask.
    depth: how far `depth_range` is on the way from 1 (a flat scene) to `min_depth_range`, at most 1.

    Args:
        image_size: width of the frames that the tracks were made on, px.
    """
    parts = dict.fromkeys(PARTS, float("nan"))
    parts["verb"] = _verb(task, criteria)
    below = (length - criteria.min_length / 2) / (criteria.min_length / 2)
    above = (2 * criteria.max_length - length) / criteria.max_length
    parts["length"] = _unit(min(below, above))
    if signals.tracks is not None:
        parts["motion"] = _unit(motion_px(signals, image_size, criteria.motion_percentile) / criteria.min_motion)
    if signals.mask is not None:
        coverage = signals.mask.mean((1, 2))
        parts["coverage"] = float(np.mean((coverage >= criteria.min_coverage) & (coverage <= criteria.max_coverage)))
        mean = coverage.mean()
        parts["stability"] = _unit(1 - coverage.std() / mean / criteria.max_variation) if mean > 0 else 0.0
    if signals.depth is not None:
        parts["depth"] = _unit(
            (depth_range(signals, criteria.depth_percentiles) - 1) / (criteria.min_depth_range - 1)
        )
    return parts


def _verb(task: str, criteria: Criteria) -> float:
    if _says(criteria.rejected_task, task) or not task.strip():
        return 0.0
    value = 1.0 if _says(criteria.good_task, task) else criteria.other_verb
    return value / 2 if _says(criteria.penalised_task, task) else value


def _unit(value: float) -> float:
    return float(np.clip(value, 0, 1))


def motion_px(signals: Signals, image_size: int, percentile: float = 95.0) -> float:
    """How far the object's points travel over the episode, px at 224.

    A point's path length is the sum of its steps between consecutive frames in both of which it is visible. The value
    is the given percentile over the foreground-biased points that lie on the object in frame 0; where there are none
    (no mask, or an empty one), over all points of the uniform grid.
    """
    tracks, visible = signals.tracks, signals.visible
    if signals.tracks_fg is not None:
        inside = at_pixels(signals.mask[:1], signals.tracks_fg[:1])[0][0]
        if inside.any():
            tracks, visible = signals.tracks_fg[:, inside], signals.visible_fg[:, inside]
    steps = np.linalg.norm(np.diff(tracks, axis=0), axis=-1) * (visible[1:] & visible[:-1])
    return float(np.percentile(steps.sum(0), percentile) * REFERENCE_SIZE / image_size)


def depth_range(signals: Signals, percentiles: tuple[float, float] = (5.0, 95.0)) -> float:
    """Far over near depth of the episode, at the given percentiles over all frames: free of the unit of depth.

    The paper's 'depth dynamic range above 2.0' has no definition; this ratio is our reading. 0 where the near
    depth is not positive, since then there is no ratio.
    """
    near, far = np.percentile(signals.depth, percentiles)
    return float(far / near) if near > 0 else 0.0


def total(parts: dict[str, float], criteria: Criteria) -> float:
    """The weighted mean of the parts that are not NaN, 0 to 1: missing signals neither help nor harm."""
    known = {part: getattr(criteria, f"weight_{part}") for part in PARTS if not np.isnan(parts[part])}
    weight = sum(known.values())
    return sum(parts[part] * w for part, w in known.items()) / weight if weight else 0.0


def score_row(info: EpisodeInfo, signals: Signals, image_size: int, criteria: Criteria) -> dict[str, object]:
    """One episode's row of the table that `select` takes: episode, task, length, score, part_verb … part_depth."""
    parts = score_parts(info.task, info.length, signals, image_size, criteria)
    row = {"episode": info.id, "task": info.task, "length": info.length, "score": total(parts, criteria)}
    return row | {f"part_{part}": value for part, value in parts.items()}


def select(
    scores: pd.DataFrame,
    n_top: int = 300,
    n_full: int = 100,
    n_pilot: int = 13,
    *,
    candidates: pd.DataFrame | None = None,
    pilot_by: str = "score",
) -> pd.DataFrame:
    """Rank by score (ties by episode id) and keep the best `n_top`; flag the best `n_full` and `n_pilot` of them.

    The paper keeps 300, uses 100 of them (full) and hand-selects 13 (pilot). Here the flags follow the score; a person
    may change them in the file.

    Args:
        scores: one row per scored episode, as `score_row` makes them.
        candidates: the answer of `metadata_filter`, to say in the error why nothing was left.
        pilot_by: what orders the pilot, a name in PILOT_BY.

    Returns:
        Columns episode, task, length, full, pilot (bool), rank (from 1), score, part_*. With fewer episodes than asked
        for, all there are, and a warning.

    Raises:
        InputError: no episodes, or numbers that are not n_pilot <= n_full <= n_top.
    """
    if not 1 <= n_pilot <= n_full <= n_top:
        raise InputError("selection", f"n_top={n_top}, n_full={n_full}, n_pilot={n_pilot}",
                         "1 <= n_pilot <= n_full <= n_top")  # fmt: skip
    order = pick(PILOT_BY, pilot_by, "pilot_by")
    if scores.empty:
        raise InputError("selection", _why_empty(candidates), "at least one accepted episode",
                         "Widen the criteria, e.g. --set min_length=10, or take more with --set n_candidates=N.")
    if len(scores) < n_full:
        warnings.warn(f"only {len(scores)} scored episodes for a full set of {n_full}", stacklevel=2)
    ranked = scores.sort_values(["score", "episode"], ascending=[False, True], kind="stable").head(n_top)
    ranked = ranked.reset_index(drop=True)
    rank = ranked.index + 1
    best = ranked.sort_values([order, "episode"], ascending=[False, True], kind="stable").head(n_pilot)
    flagged = ranked.assign(rank=rank, full=rank <= n_full, pilot=ranked["episode"].isin(best["episode"]))
    rest = ["rank", "score", *(f"part_{part}" for part in PARTS)]
    return flagged[[*COLUMNS, *rest]]


def _why_empty(candidates: pd.DataFrame | None) -> str:
    if candidates is None or candidates.empty:
        return "no episodes"
    reasons = candidates.loc[~candidates["accepted"], "reason"].value_counts()
    listed = ", ".join(f"{reason} ({count})" for reason, count in reasons.items())
    return f"none of {len(candidates)} episodes accepted: {listed}"


def write_selection(path: str | Path, selection: pd.DataFrame) -> None:
    """Write a selection as CSV, `full` and `pilot` as yes or no: the columns that a person edits come first."""
    flags = {flag: np.where(selection[flag], "yes", "no") for flag in FLAGS}
    write_csv(path, selection.assign(**flags))


def read_selection(path: str | Path) -> pd.DataFrame:
    """Read a selection that a person may have edited; `full` and `pilot` come back as bool, numbers as numbers.

    Raises:
        InputError: the file is absent or is not CSV, columns are missing, an episode is listed twice, a flag is neither
            yes nor no, a length is not a whole number, or no episode is chosen; all that is wrong is listed together.
    """
    remedy = "Correct the file, or delete it and run the curation notebook again."
    expected = f"a table with columns {', '.join(COLUMNS)}, one row per episode, full and pilot yes or no"
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, skipinitialspace=True)
    except FileNotFoundError:
        raise InputError(path, "no such file", expected, "Run the curation notebook first.") from None
    except (ValueError, OSError) as error:  # pandas' parser and encoding errors are ValueErrors
        raise InputError(path, f"a file that is not CSV ({error})", expected, remedy) from None
    absent = [column for column in COLUMNS if column not in table]
    problems = [f"no column {', '.join(absent)}"] if absent else []
    if "episode" in table:
        repeated = table["episode"][table["episode"].duplicated()].unique()
        problems += [f"episode {episode!r} twice" for episode in repeated]
        problems += ["a row without episode"] * bool((table["episode"] == "").any())
    for flag in [flag for flag in FLAGS if flag in table]:
        text = table[flag].str.strip().str.lower()
        table[flag] = text.isin(["yes", "true"])
        wrong = sorted(set(text[~text.isin(["yes", "no", "true", "false"])]))
        problems += [f"{flag} is {', '.join(map(repr, wrong))}"] * bool(wrong)
        problems += [f"no episode with {flag} yes"] * (not wrong and not table[flag].any())
    numbers = [c for c in table if c in ("length", "rank", "score") or c.startswith("part_")]
    for column in numbers:
        values = pd.to_numeric(table[column].replace("", "nan"), errors="coerce")
        bad = table[column][values.isna() & ~table[column].str.lower().isin(["", "nan"])]
        if column in ("length", "rank"):
            bad = table[column][~table[column].str.fullmatch(r"\s*[1-9]\d*\s*")]
        problems += [f"{column} is {', '.join(map(repr, sorted(set(bad))[:5]))}"] * (not bad.empty)
        table[column] = values if column not in ("length", "rank") or not bad.empty else values.astype("int64")
    if problems:
        raise InputError(path, "; ".join(problems), expected, remedy)
    return table
