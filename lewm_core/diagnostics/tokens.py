"""The tokens of a frozen encoder, and the frames that a run may be judged on.

- `CLS`: the token itself (D); `emb`: the projected latent that the predictor and the heads read (D).
- `patch`: all patch tokens side by side (P·D), so that their places are kept (a mean over patches would throw away
  exactly what the bottleneck is said to lose).
"""

import numpy as np
import torch

from lewm_core.config import Recipe
from lewm_core.dataset import Data
from lewm_core.model import LeWM, normalise
from lewm_core.train import split_of
from lewm_core.utils.errors import InputError

TOKENS = ("CLS", "emb", "patch")


def held_out(data: Data, seed: int, recipe: Recipe | None = None) -> np.ndarray:
    """The episodes that runs of this seed and recipe never saw in training."""
    split = split_of(data, recipe or Recipe(), seed)
    if "episode" not in split.val:
        raise InputError("held-out episodes", "a recipe that holds out none", "val_episodes above 0")
    return np.unique(episode_index(data)[split.val["episode"]])


def episode_index(data: Data) -> np.ndarray:
    """(N,) the episode that each frame belongs to."""
    return np.repeat(np.arange(len(data["ep_len"])), data["ep_len"])


@torch.no_grad()
def token_features(model: LeWM, data: Data, chunk: int = 256) -> dict[str, np.ndarray]:
    """CLS (N, D), emb (N, D) and patch (N, P·D) float32 of every frame, in eval mode; the model's mode is kept."""
    training, device = model.training, next(model.parameters()).device
    model.eval()
    parts = {name: [] for name in TOKENS}
    for pixels in torch.from_numpy(data["pixels"]).permute(0, 3, 1, 2).split(chunk):
        cls, patches = model.encode_tokens(normalise(pixels.to(device)).unsqueeze(1))
        for name, value in zip(TOKENS, (cls[:, 0], model.projector(cls)[:, 0], patches[:, 0].flatten(1)), strict=True):
            parts[name].append(value.float().cpu())
    model.train(training)
    return {name: torch.cat(values).numpy() for name, values in parts.items()}


def with_first_frame(features: np.ndarray, data: Data) -> np.ndarray:
    """(N, 2F): each frame's features beside those of its episode's first frame, from which tracks are measured."""
    return np.concatenate([features, features[data.first_frames()]], 1)
