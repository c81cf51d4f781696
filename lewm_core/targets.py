"""From dataset columns to what the heads are compared with: displacements, dilated masks, standardised vectors."""

import numpy as np
import torch
from torch import Tensor

from lewm_core.dataset import Data
from lewm_core.signals import geometry
from lewm_core.terms import Condition


def displacements(data: Data, tracks: str) -> np.ndarray:
    """(N, 400, 2) displacement of each point from its place in its episode's first frame, in image sides."""
    return (data[tracks] - data[tracks][data.first_frames()]) / data["pixels"].shape[1]


def standardise(values: np.ndarray, valid: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """Columns of (N, K) to zero mean and unit deviation over the valid ones of `frames`; constant ones only shift."""
    rows = frames[valid[frames].astype(bool)]
    if not len(rows):
        return np.zeros_like(values)
    mean, std, constant = values[rows].mean(0), values[rows].std(0), np.ptp(values[rows], axis=0) == 0
    scaled = (values - mean) / np.where(constant, 1, std)
    return np.where(valid[:, None].astype(bool), scaled, 0).astype(np.float32)


def build(condition: Condition, data: Data, train_frames: np.ndarray, device: str = "cpu") -> dict[str, Tensor]:
    """The target tensors (N, …) that a condition's terms read, by name. Statistics come from `train_frames` only."""
    arrays: dict[str, np.ndarray] = {}
    for term in condition.terms:
        if term.head == "depth":
            arrays["depth"] = data["depth"]
            if term.region is not None and term.region_name not in arrays:
                tight = geometry.to_supervision(data["mask"].astype(bool))
                arrays[term.region_name] = geometry.dilate(tight, term.region) if term.region else tight
        elif term.head == "tracks":
            moved = displacements(data, term.target)  # unknown where the point or its place in the first frame is
            arrays[term.target] = np.nan_to_num(moved)
            arrays[term.valid] = data[term.valid].astype(bool) & np.isfinite(moved).all(-1)
        else:
            arrays[term.target] = standardise(data[term.target], data[term.valid], train_frames)
            arrays[term.valid] = data[term.valid].astype(bool)
    return {name: torch.from_numpy(np.ascontiguousarray(value)).to(device) for name, value in arrays.items()}
