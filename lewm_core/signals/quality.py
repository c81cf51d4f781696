"""How good a backend is, measured against the simulator's truth of the same episodes."""

import numpy as np
import pandas as pd

from lewm_core.errors import InputError
from lewm_core.signals import Signals
from lewm_core.signals.geometry import REFERENCE_SIZE

THRESHOLDS = (1, 2, 4, 8, 16)  # px at 224
MOVING = 2.0  # px at 224: points whose true position ever gets this far from frame 0 are called moving


def compare(measured: Signals, truth: Signals) -> pd.DataFrame:
    """One row per number: columns episode, signal ("tracks", "mask"), points ("all", "moving", ""), metric, value.

    Tracks are those of the uniform grid, frame 0 (where they are given) left out, in pixels scaled to a 224-pixel
    image: `error_median` and `error_mean` over the points and frames that are visible in truth, whatever the backend
    says of them; `error_median_found` over those that the backend too calls visible; `visibility_accuracy`, the share
    of points and frames with the right flag; `within_<d>`, the share of truly visible ones that lie within d px. Mask:
    `iou`, the mean over frames in which the true mask is not empty. A number over nothing is NaN.

    Args:
        truth: the simulator's signals of the same episode at the same image size.
    """
    if measured.episode != truth.episode:
        raise InputError("quality.compare", f"episodes {measured.episode} and {truth.episode}", "one episode")
    if truth.mask is None or truth.tracks is None:
        raise InputError("quality.compare", "no true mask or tracks", "signals made by the simulator backends")
    rows = []
    if measured.tracks is not None:
        error = np.linalg.norm(measured.tracks - truth.tracks, axis=-1)[1:] * REFERENCE_SIZE / truth.mask.shape[1]
        found, seen = measured.visible[1:], truth.visible[1:]
        strayed = np.linalg.norm(truth.tracks - truth.tracks[0], axis=-1).max(0) * REFERENCE_SIZE / truth.mask.shape[1]
        for points, chosen in (("all", np.ones(len(strayed), bool)), ("moving", strayed > MOVING)):
            values = _track_metrics(error[:, chosen], found[:, chosen], seen[:, chosen])
            rows += [("tracks", points, metric, value) for metric, value in values.items()]
    if measured.mask is not None:
        there = truth.mask.any((1, 2))
        both = (measured.mask & truth.mask).sum((1, 2))[there]
        either = (measured.mask | truth.mask).sum((1, 2))[there]
        rows.append(("mask", "", "iou", _over(np.mean, both / either)))
    table = pd.DataFrame(rows, columns=["signal", "points", "metric", "value"])
    table.insert(0, "episode", measured.episode)
    return table


def _track_metrics(error: np.ndarray, found: np.ndarray, seen: np.ndarray) -> dict[str, float]:
    return {
        "error_median": _over(np.median, error[seen]),
        "error_mean": _over(np.mean, error[seen]),
        "error_median_found": _over(np.median, error[seen & found]),
        "visibility_accuracy": _over(np.mean, found == seen),
        **{f"within_{d}": _over(np.mean, error[seen] <= d) for d in THRESHOLDS},
    }


def _over(statistic, values: np.ndarray) -> float:
    return float(statistic(values)) if values.size else float("nan")
