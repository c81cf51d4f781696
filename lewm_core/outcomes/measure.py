"""All that a run is judged by beyond the paper's metrics, put together at its end.

It takes about 3 seconds of one core for 125 episodes of 32 frames at 64 px, half of them to encode frames once more.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from lewm_core.conditions import Condition
from lewm_core.dataset import Data, Split, windows
from lewm_core.dataset.frames import Frames
from lewm_core.evaluate import Seen
from lewm_core.model import LeWM
from lewm_core.outcomes import dose, probes, world_units

UNSEEN = "episode"  # the split on which the world's units and probes are judged: episodes that training never sees


def frames_of(starts: np.ndarray) -> np.ndarray:
    """The frames of the windows that begin at `starts`, each once."""
    return np.unique(windows(starts))


@dataclass(frozen=True)
class Start:
    """A run before its first step, by split: emb (M, D) of the held-out frames, and the losses of its heads on them."""

    emb: Mapping[str, Tensor]
    heads: Mapping[str, Mapping[str, float]]

    @classmethod
    def of(cls, model: LeWM, heads: nn.ModuleDict, condition: Condition, frames: Frames, split: Split) -> "Start":
        """Leaves model and heads in eval mode."""
        seen = {name: Seen.of(model, heads, frames, frames_of(starts)) for name, starts in split.val.items()}
        return cls({name: held.emb for name, held in seen.items()},
                   {name: held.losses(condition) for name, held in seen.items()})


def measure(model: LeWM, condition: Condition, data: Data, frames: Frames, split: Split, start: Start, emb: Tensor,
            clipped: float) -> dict[str, dict[str, float]]:
    """By split the metrics that `evaluate` does not have; those of latents that do not vary at all are left out.

    model: at the end, in eval mode, and emb (N, D) of all frames under it. clipped: share of the steps whose gradient
    was cut to the recipe's norm. See `dose` (head_X_constant, head_X_start, moved, SPECTRUM), `probes` (probe_X) and
    `world_units` (gripper_h, object_h and what stands beside them).
    """
    found, train = {}, frames_of(split.train)
    for name, starts in split.val.items():
        held = frames_of(starts)
        at = torch.from_numpy(held).to(emb.device)
        spread = {"moved": dose.moved(emb[at], start.emb[name]), **dose.spectrum(emb[at])}
        values = {metric: value for metric, value in spread.items() if not np.isnan(value)} | {"clipped": clipped}
        values |= {f"{loss}_start": value for loss, value in start.heads[name].items()}
        values |= dose.constant_losses(condition, frames.targets, train, held)
        if name == UNSEEN:
            episodes = np.unique(data.episode_numbers()[held])
            values |= probes.scores(emb, data, train, held)
            values |= world_units.errors(model, emb, frames.actions, data, train, episodes)
        found[name] = values
    return found
