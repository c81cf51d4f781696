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

from lewm_core.config import Recipe
from lewm_core.dataset import Data
from lewm_core.diagnostics.probe_fits import mlp_probe
from lewm_core.model import LeWM
from lewm_core.outcomes.probes import READABLE, build_target
from lewm_core.outcomes.ridge import linear_probe, pose, prepare, r2
from lewm_core.train import split_of

TOKENS = ("CLS", "emb", "patch")
CHUNK = 256  # frames encoded at once
TABLE = ["target", "tokens", "probe", "r2", "train_frames", "test_frames"]


# The paper's signals. Gripper and object are none: they are the state of the world.
SIGNALS = {name: columns for name, columns in READABLE.items() if name not in ("gripper", "object")}


def held_out(data: Data, seed: int, recipe: Recipe, test: Sequence[str] | None = None) -> np.ndarray:
    """The episodes (their numbers) that runs of this seed and recipe never saw in training; none if it holds out none.

    data: the episodes that the runs had. test: names of those that judged them, where they did not draw some.
    """
    split = split_of(data, recipe, seed, test)
    starts = split.val.get("episode", np.zeros(0, int))
    return np.unique(data.episode_numbers()[starts])


@torch.no_grad()
def token_features(model: LeWM, data: Data) -> dict[str, np.ndarray]:
    """CLS (N, D), emb (N, D) and patch (N, P·D) float32 of every frame, in eval mode; the model's mode is kept."""
    training, device = model.training, next(model.parameters()).device
    model.eval()
    parts: dict[str, list[torch.Tensor]] = {name: [] for name in TOKENS}
    for start in range(0, len(data["pixels"]), CHUNK):
        pixels = torch.from_numpy(data["pixels"][start : start + CHUNK]).permute(0, 3, 1, 2)
        cls, patches = model.encode_tokens(pixels.to(device).unsqueeze(1))
        parts["CLS"].append(cls[:, 0].float().cpu())
        parts["emb"].append(model.projector(cls)[:, 0].float().cpu())
        parts["patch"].append(patches[:, 0].flatten(1).float().cpu())
    model.train(training)
    return {name: torch.cat(values).numpy() for name, values in parts.items()}


def with_first_frame(features: np.ndarray, data: Data) -> np.ndarray:
    """(N, 2F): each frame's features beside those of its episode's first frame, from which tracks are measured."""
    return np.concatenate([features, features[data.first_frames()]], 1)


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
        groups = data.episode_numbers()
        train_frames = np.flatnonzero(~np.isin(groups, test_episodes))
        prepared = {tokens: prepare(values, train_frames) for tokens, values in features.items()}
        for signal in there:
            target = build_target(signal, data, train_frames)
            for tokens, x in prepared.items():
                problem = pose(x, target, groups, test_episodes)
                pred = linear_probe(problem) if probe == "linear" else mlp_probe(problem, seed)
                rows.append((signal, tokens, probe, r2(problem, pred), len(problem.train), len(problem.test)))
    return pd.DataFrame(rows, columns=TABLE)
