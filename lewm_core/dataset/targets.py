"""From dataset columns to what the heads are compared with: displacements, dilated masks, standardised vectors."""

import numpy as np
import torch
from torch import Tensor

from lewm_core.dataset import Data
from lewm_core.signals import geometry
from lewm_core.terms import Condition
from lewm_core.utils.files import digest


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


def elsewhere(masks: np.ndarray, data: Data, seed: int) -> np.ndarray:
    """Masks (N, h, w) shifted to a random place, around the image's edges, so that every area stays exactly the same.

    All frames of an episode shift alike: the mask keeps its size, its shape and how it moves, and loses only its
    object. A new place for every frame would also change how much of the scene is supervised over an episode, and a
    mask that jumps is another thing than one that follows. The place is uniform (it may overlap the object), drawn
    from `seed` and the episode's name or, where the file has none, number.
    """
    moved = np.empty_like(masks)
    names = data.columns.get("episode_id", np.arange(len(data["ep_len"])))
    for i, name in enumerate(names):
        rng = np.random.default_rng([seed, int(digest(str(name)), 16)])
        offset = rng.integers(0, masks.shape[1:])
        moved[data.episode(i)] = np.roll(masks[data.episode(i)], offset, (1, 2))
    return moved


def build(condition: Condition, data: Data, train_frames: np.ndarray, device: str = "cpu",
          seed: int = 0) -> dict[str, Tensor]:
    """The target tensors (N, …) that a condition's terms read, by name. Statistics come from `train_frames` only.

    seed: the run's, for masks at random places.
    """
    arrays: dict[str, np.ndarray] = {}
    for term in condition.terms:
        if term.target == "depth":
            arrays["depth"] = data["depth"]
            if term.region is not None and term.region_name not in arrays:
                tight = geometry.to_supervision(data["mask"].astype(bool))
                region = geometry.dilate(tight, term.region) if term.region else tight
                arrays[term.region_name] = elsewhere(region, data, seed) if term.elsewhere else region
        elif term.target in ("tracks", "tracks_fg"):
            moved = displacements(data, term.target)  # unknown where the point or its place in the first frame is
            arrays[term.target] = np.nan_to_num(moved)
            arrays[term.valid] = data[term.valid].astype(bool) & np.isfinite(moved).all(-1)
            if term.head == "tracks_patch":
                queries = data[term.target][data.first_frames()] / data["pixels"].shape[1]
                arrays["queries"] = np.nan_to_num(queries)
                arrays["known"] = np.isfinite(queries).all(-1)
        else:
            arrays[term.target] = standardise(data[term.target], data[term.valid], train_frames)
            arrays[term.valid] = data[term.valid].astype(bool)
    return {name: torch.from_numpy(np.ascontiguousarray(value)).to(device) for name, value in arrays.items()}
