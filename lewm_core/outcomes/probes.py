"""How much of a signal a ridge regression reads off a latent: what is to be recovered, and the score."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lewm_core.dataset import COLUMNS, Column, Data, targets
from lewm_core.losses import normalise_depth
from lewm_core.outcomes.ridge import Target, linear_probe, pose, prepare, r2
from lewm_core.signals.geometry import REFERENCE_SIZE
from lewm_core.utils.errors import InputError

DEPTH_SIDE = 14  # the 56 × 56 depth is averaged to this grid
COARSE = 7  # and to this one where every run is probed


def _columns(column: Column) -> tuple[str, ...]:
    """The columns that a probe of this one needs: itself, and the one that marks where it counts, if there is one."""
    return (column.name, column.finite) if column.finite in COLUMNS else (column.name,)


# What a probe may recover -> the dataset columns that it is made of. Foreground-biased points have no fixed place that
# a probe could know, so their tracks are left out.
READABLE = {c.name: _columns(c) for c in COLUMNS.values() if c.target is not None and c.name != "tracks_fg"}


def build_target(name: str, data: Data, train_frames: np.ndarray, side: int = DEPTH_SIDE) -> Target:
    """One of READABLE as a probe's target; statistics come from `train_frames` only.

    A map (depth): each frame minus its median over its mean absolute deviation (what condition B's loss compares),
    averaged to side × side; one of K numbers a cell is averaged as it is. A displacement (tracks): of the visible
    points from the first frame, px at 224, x and y of each point side by side. A vector (the others): standardised
    components.
    """
    kind, (_, *marks) = COLUMNS[name].target, READABLE[name]
    if kind == "map":
        maps = torch.from_numpy(data[name])
        maps = maps.movedim(-1, 1) if maps.ndim == 4 else normalise_depth(maps)
        values = F.adaptive_avg_pool2d(maps, side).flatten(1).numpy()
        return Target(values, np.ones(values.shape, bool))
    if kind == "displacement":
        values = REFERENCE_SIZE * np.nan_to_num(targets.displacements(data, name))
        valid = data[marks[0]].astype(bool)
        return Target(values.reshape(len(values), -1).astype(np.float32), np.repeat(valid, 2, axis=1))
    valid = data[marks[0]].astype(bool) if marks else np.isfinite(data[name]).all(1)
    values = targets.standardise(np.nan_to_num(data[name]), valid, train_frames)
    return Target(values, np.repeat(valid[:, None], values.shape[1], axis=1))


def scores(emb: Tensor, data: Data, train_frames: np.ndarray, test_frames: np.ndarray) -> dict[str, float]:
    """probe_NAME for each of READABLE that the dataset has: R² of a ridge from emb (N, D) on `test_frames`.

    It is fitted on `train_frames`, which are of other episodes. Left out where it cannot be told: no usable target
    among the test frames, one that never varies there, or fewer than two training episodes with one.
    """
    groups = data.episode_numbers()
    taken = np.isin(np.arange(len(groups)), np.concatenate([train_frames, test_frames]))[:, None]
    x, found = prepare(emb.cpu().numpy(), train_frames), {}
    for name, columns in READABLE.items():
        if data.missing(columns):
            continue
        target = build_target(name, data, train_frames, COARSE)
        target = Target(target.values, target.valid & taken)
        try:
            problem = pose(x, target, groups, np.unique(groups[test_frames]))
        except InputError:
            continue
        found[f"probe_{name}"] = r2(problem, linear_probe(problem))
    return {name: value for name, value in found.items() if np.isfinite(value)}
