"""How far off the world is in what a model predicts: positions in centimetres, read from latents ahead, open loop.

Errors in a model's own latent space cannot be compared between models: the encoder is trained, too. So a ridge map,
fitted to the true latents of training frames, reads where the gripper and the object are, and the error is a distance.

Dimensions: N frames, D latent size, H context frames, S steps, n rollouts.
"""

import numpy as np
import torch
from torch import Tensor

from lewm_core.dataset import Data
from lewm_core.model import LeWM
from lewm_core.outcomes.ridge import ridge_of_raw

PLACES = ("gripper", "object")  # dataset columns (N, 3), m
HORIZONS = (1, 5, 10)  # steps ahead
EVERY = 2  # frames between the starts of two rollouts
CHUNK = 1024  # rollouts at once
CM = 100.0


def rollout_starts(data: Data, episodes: np.ndarray, history: int) -> np.ndarray:
    """(n,) first context frames, every second frame of the episodes numbered `episodes` that has a frame after its
    context."""
    lengths, offsets = data["ep_len"][episodes], data["ep_offset"][episodes]
    runs = [offset + np.arange(0, max(0, length - history), EVERY)
            for length, offset in zip(lengths, offsets, strict=True)]
    return np.concatenate([np.zeros(0, np.int64), *runs]).astype(np.int64)


@torch.no_grad()
def roll_out(model: LeWM, emb: Tensor, actions: Tensor, starts: np.ndarray, steps: int) -> Tensor:
    """(n, steps, D) latents predicted after the H context frames from each of `starts` (n,), in eval mode.

    emb: (N, D) true latents; actions: (N, A), standardised. What lies beyond an episode's end means nothing.
    """
    model.eval()
    history, found = model.config.history, []
    for chunk in torch.from_numpy(starts).to(emb.device).split(CHUNK):
        context = chunk[:, None] + torch.arange(history, device=emb.device)
        leads = chunk[:, None] + torch.arange(history - 1 + steps, device=emb.device)
        ahead = model.rollout(emb[context], actions[leads.clamp(max=len(actions) - 1)])
        found.append(ahead[:, history:].float())
    return torch.cat(found)


def distance(one: np.ndarray, other: np.ndarray) -> float:
    """Mean Euclidean distance of positions (n, 3) in m, in cm."""
    return CM * float(np.linalg.norm(one - other, axis=1).mean())


def errors(model: LeWM, emb: Tensor, actions: Tensor, data: Data, train_frames: np.ndarray,
           episodes: np.ndarray) -> dict[str, float]:
    """PLACE_h for each of PLACES that the dataset has and each of HORIZONS: cm, on the episodes numbered `episodes`.

    PLACE_h is the mean distance between the true position and the one read from the latent predicted h steps ahead;
    beside it _floor (read from the true latent: what the map alone loses), _persistence (the true position in the last
    context frame: needs no model) and _over_persistence (left out where nothing moves).

    emb: (N, D) of all frames in eval mode; actions: (N, A), standardised. The map is fitted to `train_frames`, its
    penalty chosen by cross-validation over their episodes. Empty for a predictor that reads patch tokens, which cannot
    be rolled out; without what has no room for a horizon, or fewer than two training episodes.
    """
    history = model.config.history
    starts = rollout_starts(data, episodes, history)
    if model.reads_patches or not len(starts):
        return {}
    groups = data.episode_numbers()
    ends = (data["ep_offset"] + data["ep_len"])[groups]
    room = ends[starts] - starts - history
    steps = int(min(HORIZONS[-1], room.max()))
    ahead = roll_out(model, emb, actions, starts, steps).double().cpu().numpy()
    latents, found = emb.double().cpu().numpy(), {}
    for place in PLACES:
        if place not in data.columns:
            continue
        truth = data[place].astype(np.float64)
        known = np.isfinite(truth).all(1)
        fit = train_frames[known[train_frames]]
        if len(np.unique(groups[fit])) < 2:
            continue
        read = ridge_of_raw(latents[fit], truth[fit], groups[fit])
        for h in HORIZONS:
            rows = np.flatnonzero(room >= h)
            last = starts[rows] + history - 1
            rows = rows[known[last] & known[last + h]]
            if not len(rows):
                continue
            last = starts[rows] + history - 1
            name, true = f"{place}_{h}", truth[last + h]
            found[name] = distance(read(ahead[rows, h - 1]), true)
            found[f"{name}_floor"] = distance(read(latents[last + h]), true)
            found[f"{name}_persistence"] = distance(truth[last], true)
            if found[f"{name}_persistence"] > 0:
                found[f"{name}_over_persistence"] = found[name] / found[f"{name}_persistence"]
    return found
