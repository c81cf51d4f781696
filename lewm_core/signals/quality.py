"""How good a backend is, measured against the simulator's truth of the same episodes."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from lewm_core.signals.backends import is_relative
from lewm_core.signals.extraction import Signals
from lewm_core.signals.geometry import REFERENCE_SIZE, at_pixels

THRESHOLDS = (1, 2, 4, 8, 16)  # px at 224 (TAP-Vid counts them at 256)
MOVING = 2.0  # px at 224: points whose true position ever gets this far from frame 0 are called moving
DELTA = 1.25  # δ1 is the share of pixels whose depth is off by less than this factor
STATIC = 0.01  # of the depth: pixels whose true depth never differs more from frame 0 are static background
SUMMARY = {  # the one table: signal, points, metric -> its column
    ("depth", "", "abs_rel"): "depth: abs. rel. error", ("depth", "", "delta1"): "depth: δ1",
    ("depth", "", "static_drift"): "depth: drift of the static", ("tracks", "all", "average_jaccard"): "tracks: AJ",
    ("tracks", "all", "position_accuracy"): "tracks: within 1–16 px",
    ("tracks", "all", "occlusion_accuracy"): "tracks: occlusion", ("tracks", "moving", "average_jaccard"): "moving: AJ",
    ("tracks", "moving", "position_accuracy"): "moving: within 1–16 px",
    ("tracks", "moving", "occlusion_accuracy"): "moving: occlusion",
    ("tracks", "object", "average_jaccard"): "object: AJ", ("tracks", "object", "found"): "object: found",
    ("tracks", "object", "error_median"): "object: median error (px)",
    ("tracks", "staying", "error_median"): "staying: median error (px)",
    ("tracks", "moving, staying", "error_median"): "moving, staying: median error (px)",
    ("mask", "", "iou"): "mask: IoU", ("mask", "", "stability"): "mask: stability",
}  # fmt: skip


def compare(measured: Signals, truth: Signals) -> pd.DataFrame:
    """One row per number: columns episode, signal, made_by, points ("" but for tracks), metric, value.

    Depth, on the 56 x 56 grid over the whole clip, after one scale and one shift for the clip, fitted by least squares
    (to inverse depth where the backend's is relative): `abs_rel`, mean of |depth - true| / true; `delta1`, share of
    pixels off by a factor below DELTA; `static_drift`, mean of |depth - depth in frame 0| / true over static pixels.

    Tracks of the uniform grid, frame 0 (where they are given) left out, in px at 224; points "all", "moving" (MOVING),
    "object" (on the object in frame 0), "staying" (visible in truth in every frame), "moving, staying". The TAP-Vid
    metrics: `average_jaccard`, mean over THRESHOLDS of true positives over all that is truly visible or falsely called
    so; `position_accuracy`, mean over THRESHOLDS of `within_<d>`, the share of truly visible points within d px;
    `occlusion_accuracy`, the share of points and frames with the right flag. Also `error_median` and `error_mean` of
    what is visible in truth, whatever the backend says; `error_median_found` where the backend says so too; `found`,
    the share of truly visible ones that it calls so.

    Mask: `iou`, mean over frames in which the true mask is not empty; `stability`, mean IoU of each mask with the next
    one after their centres are laid on each other, 0 where only one of the two is empty (`stability_true`: the truth's
    own). A number over nothing is NaN.

    Args:
        truth: the simulator's signals of the same episode at the same image size.
    """
    rows = []
    if measured.depth is not None:
        relative = is_relative(measured.made_by.get("depth"))
        rows += _rows("depth", "", depth_metrics(measured.depth, truth.depth, relative))
    if measured.tracks is not None:
        rows += _track_rows(measured, truth)
    if measured.mask is not None:
        there = truth.mask.any((1, 2))
        iou = [_iou(*pair) for pair in zip(measured.mask[there], truth.mask[there], strict=True)]
        rows += _rows("mask", "", {
            "iou": _over(np.mean, np.array(iou)),
            "stability": stability(measured.mask),
            "stability_true": stability(truth.mask),
        })
    table = pd.DataFrame(rows, columns=["signal", "points", "metric", "value"])
    table.insert(0, "made_by", table.signal.map(measured.made_by))
    table.insert(0, "episode", measured.episode)
    return table


def track_errors(measured: Signals, truth: Signals) -> tuple[np.ndarray, np.ndarray]:
    """Distance (T, N) of each tracked point from its true position, px at 224, and which points (N,) move (MOVING)."""
    to_224 = REFERENCE_SIZE / truth.mask.shape[1]
    error = np.linalg.norm(measured.tracks - truth.tracks, axis=-1) * to_224
    moving = np.linalg.norm(truth.tracks - truth.tracks[0], axis=-1).max(0) * to_224 > MOVING
    return error, moving


def _track_rows(measured: Signals, truth: Signals) -> list[tuple[str, str, str, float]]:
    error, moving = track_errors(measured, truth)
    error, found, seen = error[1:], measured.visible[1:], truth.visible[1:]
    staying = seen.all(0)
    chosen = {
        "all": np.ones_like(moving),
        "moving": moving,
        "object": at_pixels(truth.mask[:1], truth.tracks[:1])[0][0],
        "staying": staying,
        "moving, staying": moving & staying,
    }
    rows = []
    for points, of in chosen.items():
        rows += _rows("tracks", points, track_metrics(error[:, of], found[:, of], seen[:, of]))
    return rows


def summary(compared: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """The one table: a row per backend, columns of SUMMARY; means over the episodes of `compare`'s rows.

    Episodes in which a number is NaN (no point moves, say) are left out of that number's mean.
    """
    rows = pd.concat(compared)
    rows = rows.assign(column=[SUMMARY.get(key) for key in zip(rows.signal, rows.points, rows.metric, strict=True)])
    table = rows.dropna(subset="column").pivot_table("value", "made_by", "column", sort=False)
    return table.reindex(columns=list(SUMMARY.values())).rename_axis(index="backend", columns=None)


def depth_metrics(depth: np.ndarray, truth: np.ndarray, relative: bool) -> dict[str, float]:
    """`compare`'s numbers of depth (T, h, w) against true depth (T, h, w), positive. relative: without unit."""
    measured, goal = depth.ravel().astype(np.float64), truth.ravel().astype(np.float64)
    goal = 1 / goal if relative else goal
    spread = measured - measured.mean()
    scale = spread @ (goal - goal.mean()) / max(spread @ spread, 1e-12)
    aligned = (scale * spread + goal.mean()).reshape(depth.shape)
    if relative:  # nothing is further away than twice the furthest
        aligned = 1 / np.maximum(aligned, 0.5 / truth.max())
    ratio = np.maximum(aligned, 1e-9) / truth
    static = (np.abs(truth - truth[0]) <= STATIC * truth[0]).all(0)
    return {
        "abs_rel": float(np.abs(aligned / truth - 1).mean()),
        "delta1": float((np.maximum(ratio, 1 / ratio) < DELTA).mean()),
        "static_drift": _over(np.mean, (np.abs(aligned - aligned[0]) / truth)[1:, static]),
    }


def track_metrics(error: np.ndarray, found: np.ndarray, seen: np.ndarray) -> dict[str, float]:
    """`compare`'s numbers of tracks. error px, found (what the backend calls visible), seen (truly visible): (T, N)."""
    within = {d: _over(np.mean, error[seen] <= d) for d in THRESHOLDS}
    hits = [(seen & found & (error <= d)).sum() for d in THRESHOLDS]
    wrong = [(found & ~(seen & (error <= d))).sum() for d in THRESHOLDS]
    jaccard = [hit / (seen.sum() + bad) for hit, bad in zip(hits, wrong, strict=True) if seen.sum() + bad]
    return {
        "average_jaccard": _over(np.mean, np.array(jaccard)),
        "position_accuracy": float(np.mean(list(within.values()))),
        "occlusion_accuracy": _over(np.mean, found == seen),
        "error_median": _over(np.median, error[seen]),
        "error_mean": _over(np.mean, error[seen]),
        "error_median_found": _over(np.median, error[seen & found]),
        "found": _over(np.mean, found[seen]),
        **{f"within_{d}": value for d, value in within.items()},
    }


def stability(mask: np.ndarray) -> float:
    """`compare`'s number of masks (T, H, W) bool."""
    values = []
    for one, other in zip(mask[:-1], mask[1:], strict=True):
        if one.any() and other.any():
            step = np.round(np.argwhere(one).mean(0) - np.argwhere(other).mean(0)).astype(int)
            values.append(_iou(one, _shifted(other, *step)))
        elif one.any() or other.any():
            values.append(0.0)
    return _over(np.mean, np.array(values))


def _shifted(mask: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """The mask (H, W), moved; what leaves the picture is lost."""
    (h, w), out = mask.shape, np.zeros_like(mask)
    row, column = np.argwhere(mask).T + np.array([[rows], [columns]])
    inside = (row >= 0) & (row < h) & (column >= 0) & (column < w)
    out[row[inside], column[inside]] = True
    return out


def _iou(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / max((one | other).sum(), 1))


def _rows(signal: str, points: str, numbers: dict[str, float]) -> list[tuple[str, str, str, float]]:
    return [(signal, points, metric, value) for metric, value in numbers.items()]


def _over(statistic, values: np.ndarray) -> float:
    return float(statistic(values)) if values.size else float("nan")
