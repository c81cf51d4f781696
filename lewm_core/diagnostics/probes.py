"""What a frame's tokens can tell a probe about the signals: the CLS bottleneck, measured (paper 4.4).

The tokens are those of a frozen encoder:

- `CLS`: the token itself (D); `emb`: the projected latent that the predictor and the heads read (D).
- `patch`: all patch tokens side by side (P·D), so that their places are kept. A mean over patches would throw away
  exactly what the bottleneck is said to lose.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F

from lewm_core.config import Recipe
from lewm_core.dataset import COLUMNS, Column, Data, targets
from lewm_core.diagnostics.probe_fits import Target, linear_probe, mlp_probe, pose, prepare, r2
from lewm_core.losses import normalise_depth
from lewm_core.model import LeWM, normalise
from lewm_core.signals.geometry import REFERENCE_SIZE
from lewm_core.train import split_of

TOKENS = ("CLS", "emb", "patch")
CHUNK = 256  # frames encoded at once
DEPTH_SIDE = 14  # the 56 × 56 depth is averaged to this grid
TABLE = ["target", "tokens", "probe", "r2", "train_frames", "test_frames"]


def _columns(column: Column) -> tuple[str, ...]:
    """The columns that a probe of this one needs: itself, and the one that marks where it counts, if there is one."""
    return (column.name, column.finite) if column.finite in COLUMNS else (column.name,)


# Probe target -> the dataset columns it is made of: the paper's signals. Foreground-biased points have no fixed place
# that a probe could know, so their tracks are left out; gripper and object are no signals but the state of the world.
_LEFT_OUT = ("tracks_fg", "gripper", "object")
SIGNALS = {c.name: _columns(c) for c in COLUMNS.values() if c.target is not None and c.name not in _LEFT_OUT}


def held_out(data: Data, seed: int, recipe: Recipe, test: Sequence[str] | None = None) -> np.ndarray:
    """The episodes (their numbers) that runs of this seed and recipe never saw in training; none if it holds out none.

    data: the episodes that the runs had. test: names of those that judged them, where they did not draw some.
    """
    split = split_of(data, recipe, seed, test)
    starts = split.val.get("episode", np.zeros(0, int))
    return np.unique(episode_index(data)[starts])


def episode_index(data: Data) -> np.ndarray:
    """(N,) the episode that each frame belongs to."""
    return np.repeat(np.arange(len(data["ep_len"])), data["ep_len"])


@torch.no_grad()
def token_features(model: LeWM, data: Data) -> dict[str, np.ndarray]:
    """CLS (N, D), emb (N, D) and patch (N, P·D) float32 of every frame, in eval mode; the model's mode is kept."""
    training, device = model.training, next(model.parameters()).device
    model.eval()
    parts: dict[str, list[torch.Tensor]] = {name: [] for name in TOKENS}
    for pixels in torch.from_numpy(data["pixels"]).permute(0, 3, 1, 2).split(CHUNK):
        cls, patches = model.encode_tokens(normalise(pixels.to(device)).unsqueeze(1))
        parts["CLS"].append(cls[:, 0].float().cpu())
        parts["emb"].append(model.projector(cls)[:, 0].float().cpu())
        parts["patch"].append(patches[:, 0].flatten(1).float().cpu())
    model.train(training)
    return {name: torch.cat(values).numpy() for name, values in parts.items()}


def with_first_frame(features: np.ndarray, data: Data) -> np.ndarray:
    """(N, 2F): each frame's features beside those of its episode's first frame, from which tracks are measured."""
    return np.concatenate([features, features[data.first_frames()]], 1)


def build_target(name: str, data: Data, train_frames: np.ndarray) -> Target:
    """One of SIGNALS as a probe's target; statistics come from `train_frames` only.

    A map (depth): each frame minus its median over its mean absolute deviation (what condition B's loss compares),
    averaged to 14 × 14. A displacement (tracks): of the visible points from the first frame, px at 224, x and y of each
    point side by side. A vector (centroid, shape): standardised components.
    """
    kind = COLUMNS[name].target
    if kind == "map":
        depth = normalise_depth(torch.from_numpy(data[name]))
        values = F.adaptive_avg_pool2d(depth, DEPTH_SIDE).flatten(1).numpy()
        return Target(values, np.ones(values.shape, bool))
    valid = data[SIGNALS[name][1]].astype(bool)
    if kind == "displacement":
        values = REFERENCE_SIZE * np.nan_to_num(targets.displacements(data, name))
        return Target(values.reshape(len(values), -1).astype(np.float32), np.repeat(valid, 2, axis=1))
    values = targets.standardise(np.nan_to_num(data[name]), valid, train_frames)
    return Target(values, np.repeat(valid[:, None], values.shape[1], axis=1))


def probe_table(features: Mapping[str, np.ndarray], data: Data, test_episodes: Sequence[int],
                signals: Iterable[str], probe: str, seed: int) -> pd.DataFrame:
    """Probe those of `signals` that the dataset has from every set of features.

    features: name -> (N, F). test_episodes: scored on; the probes learn on all others. probe: linear or mlp, which
    draws from `seed`. Returns the columns of TABLE. Signals that the dataset lacks have no rows (`data.missing` says
    why), and there are none without test episodes.
    """
    there = [name for name in signals if not data.missing(SIGNALS[name])]
    rows = []
    if len(test_episodes):
        groups = episode_index(data)
        train_frames = np.flatnonzero(~np.isin(groups, test_episodes))
        prepared = {tokens: prepare(values, train_frames) for tokens, values in features.items()}
        for signal in there:
            target = build_target(signal, data, train_frames)
            for tokens, x in prepared.items():
                problem = pose(x, target, groups, test_episodes)
                pred = linear_probe(problem) if probe == "linear" else mlp_probe(problem, seed)
                rows.append((signal, tokens, probe, r2(problem, pred), len(problem.train), len(problem.test)))
    return pd.DataFrame(rows, columns=TABLE)
