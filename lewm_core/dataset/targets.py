"""From a dataset column to what a head is compared with: displacements, dilated masks, standardised vectors."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from lewm_core.dataset import COLUMNS, Data
from lewm_core.dataset.replacements import Arrays, replace
from lewm_core.losses import Term, normalise_depth
from lewm_core.signals import geometry
from lewm_core.utils.errors import pick
from lewm_core.utils.files import digest


def displacements(data: Data, tracks: str) -> np.ndarray:
    """(N, 400, 2) displacement of each point from its place in its episode's first frame, in image sides."""
    return (data[tracks] - data[tracks][data.first_frames()]) / data["pixels"].shape[1]


def _mean_and_std(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(K,) each of the columns of (n, K), n > 0; the std of a constant one is 1."""
    constant = np.ptp(rows, axis=0) == 0  # rounding can leave it some std
    return rows.mean(0, float), np.where(constant, 1, rows.std(0, float))


def standardise(values: np.ndarray, valid: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """Columns of (N, K) to zero mean and unit std over the valid ones of `frames`; constant ones only shift."""
    rows = frames[valid[frames].astype(bool)]
    if not len(rows):
        return np.zeros_like(values)
    mean, std = _mean_and_std(values[rows])
    scaled = (values - mean) / std
    return np.where(valid[:, None].astype(bool), scaled, 0).astype(np.float32)


def place_at_random(masks: np.ndarray, data: Data, seed: int) -> np.ndarray:
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


def _map(data: Data, term: Term, train_frames: np.ndarray) -> Arrays:
    return {"target": data[term.target]}


def _displacement(data: Data, term: Term, train_frames: np.ndarray) -> Arrays:
    moved = displacements(data, term.target)  # unknown where the point or its place in the first frame is
    valid = data[term.valid].astype(bool) & np.isfinite(moved).all(-1)
    seen = moved[train_frames][valid[train_frames]]
    mean, std = _mean_and_std(seen) if term.standardised and len(seen) else (np.zeros(2), np.ones(2))
    queries = data[term.target][data.first_frames()] / data["pixels"].shape[1]
    return {"target": np.where(valid[..., None], (moved - mean) / std, 0).astype(np.float32),
            "valid": valid,
            "still": np.tile(-mean / std, (len(moved), 1)).astype(np.float32),
            "queries": np.nan_to_num(queries),
            "known": np.isfinite(queries).all(-1)}


def _vector(data: Data, term: Term, train_frames: np.ndarray) -> Arrays:
    valid = np.isfinite(data[term.target]).all(1) if term.valid is None else data[term.valid].astype(bool)
    return {"target": standardise(data[term.target], valid, train_frames), "valid": valid}


# How a column becomes a target: contract.Column.target names one of these.
TARGETS: dict[str, Callable[[Data, Term, np.ndarray], Arrays]] = {
    "map": _map,  # as it is: (h, w) as depth, or (h, w, K), K numbers of each cell
    "displacement": _displacement,  # of points from where they were in the episode's first frame, standardised
    "vector": _vector,  # standardised over the valid training frames
}


def supervised_region(term: Term, data: Data, seed: int = 0) -> np.ndarray:
    """(N, 56, 56) bool: the object mask, dilated and placed as the term says. seed: the run's, for random places."""
    tight = geometry.to_supervision(data["mask"].astype(bool))
    region = geometry.dilate(tight, term.region) if term.region else tight
    return place_at_random(region, data, seed) if term.random_placement else region


def build(term: Term, data: Data, train_frames: np.ndarray, device: str = "cpu", seed: int = 0) -> dict[str, Tensor]:
    """What a term's loss and head read beside the frames themselves, (N, …) each.

    target: what the head predicts, a depth map normalised as its loss normalises. valid: where that counts. region: for
    depth inside a mask, that mask. Of tracks also queries, (N, 400, 2) where each point was in its episode's first
    frame, in image sides; known, whether that is; and still, (N, 2) the target of a point that is where it was then.
    Statistics come from `train_frames` only. seed: the run's, for masks at random places and for targets that are not
    the frame's own, which come from its own side of the split (`replacements`).
    """
    column = pick(COLUMNS, term.target, "dataset column")
    arrays = pick(TARGETS, column.target, f"kind of target for column {column.name}")(data, term, train_frames)
    if term.region is not None:
        arrays["region"] = supervised_region(term, data, seed)
    arrays = replace(arrays, term.target_from, term.share, data, train_frames, seed)
    found = {name: torch.from_numpy(np.ascontiguousarray(value)).to(device) for name, value in arrays.items()}
    if term.loss == "depth":  # once, not at every step
        found["target"] = normalise_depth(found["target"].float(), found["region"] if term.normalised_inside else None)
    return found
