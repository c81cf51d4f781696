"""Targets that are not the frame's own: what a head learns from them, it does not learn from what the frame shows.

A frame keeps its target for the whole run. What is drawn is drawn from the run's seed alone, so that all terms of a
condition get theirs from the same frames. No target crosses from the training frames to the others or back.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lewm_core.dataset.data import Data
from lewm_core.dataset.stored import Stored
from lewm_core.utils.errors import pick
from lewm_core.utils.files import digest

Arrays = dict[str, np.ndarray]
OWN = "own"
WIDTHS, POOLED = (16, 32), 7  # of the random network: its convolutions' channels, its pooled map's side


def _seed(word: str, seed: int) -> int:
    return int(digest(word, str(seed)), 16) % 2**63  # 63 bits: what torch's generators take


def sides(data: Data, train_frames: np.ndarray) -> list[np.ndarray]:
    """The frames that may exchange targets among themselves: those trained on, the others of the same episodes, and
    those of episodes without any that is trained on."""
    episode = data.episode_numbers()
    trained = np.isin(np.arange(len(episode)), train_frames)
    known = np.isin(episode, episode[trained])
    return [np.flatnonzero(side) for side in (trained, known & ~trained, ~known)]


def choose(data: Data, train_frames: np.ndarray, share: float, seed: int) -> list[np.ndarray]:
    """Of each side `share` of its frames, in random order; a smaller share's are among a larger one's."""
    rng = np.random.default_rng(_seed("shuffle", seed))
    return [rng.permutation(side)[: round(share * len(side))] for side in sides(data, train_frames)]


def moments(values: np.ndarray, valid: np.ndarray | None, frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and std (…) float32 of every element of values (N, …) over those of `frames` in which it is valid, (N,) or
    (N, …); 0 where it is in none."""
    rows = values[frames]
    marks = np.ones(len(rows), bool) if valid is None else valid[frames]
    marks = marks.reshape(marks.shape + (1,) * (rows.ndim - marks.ndim))
    count = np.maximum(marks.sum(0), 1)
    mean = np.where(marks, rows, 0).sum(0, float) / count
    std = np.sqrt((np.where(marks, rows - mean, 0) ** 2).sum(0) / count)
    return mean.astype(np.float32), std.astype(np.float32)


def _frame(arrays: Arrays, data: Data, train_frames: np.ndarray, chosen: Sequence[np.ndarray], seed: int) -> Arrays:
    """The chosen ones of each side exchange theirs along one random cycle, so that none keeps its own."""
    source = np.arange(len(arrays["target"]))
    for frames in chosen:
        source[frames] = np.roll(frames, 1)
    return {name: values[source] for name, values in arrays.items()}


def _episode(arrays: Arrays, data: Data, train_frames: np.ndarray, chosen: Sequence[np.ndarray], seed: int) -> Arrays:
    """Those of another episode, the same for all chosen frames of an episode and side, as many frames after its start:
    of the chosen frames there the one that comes nearest to that."""
    episode, start, source = data.episode_numbers(), data.first_frames(), np.arange(len(arrays["target"]))
    rng = np.random.default_rng(_seed("episode", seed))
    for side in chosen:
        names = rng.permutation(np.unique(episode[side]))
        for here, there in zip(names, np.roll(names, 1), strict=True):
            frames, others = side[episode[side] == here], np.sort(side[episode[side] == there])
            late = np.abs((others - start[others]) - (frames - start[frames])[:, None])
            source[frames] = others[late.argmin(1)]
    return {name: values[source] for name, values in arrays.items()}


def _noise(arrays: Arrays, data: Data, train_frames: np.ndarray, chosen: Sequence[np.ndarray], seed: int) -> Arrays:
    """Gaussian noise with every element's mean and std over the training frames in which it is valid."""
    mean, std = moments(arrays["target"], arrays.get("valid"), train_frames)
    rng = np.random.default_rng(_seed("noise", seed))
    frames, target = np.concatenate(chosen), arrays["target"].copy()
    target[frames] = mean + std * rng.standard_normal(target.shape, np.float32)[frames]
    return arrays | {"target": target}


def _network(arrays: Arrays, data: Data, train_frames: np.ndarray, chosen: Sequence[np.ndarray], seed: int) -> Arrays:
    """What a random network makes of the frame, every element scaled to the target's mean and std over the training
    frames; valid everywhere."""
    own, frames, target = arrays["target"], np.concatenate(chosen), arrays["target"].copy()
    found = random_network(data["pixels"], math.prod(own.shape[1:]), seed).reshape(own.shape)
    (mean, std), (centre, spread) = moments(own, arrays.get("valid"), train_frames), moments(found, None, train_frames)
    target[frames] = (mean + std * (found - centre) / np.where(spread > 0, spread, 1))[frames]
    if "valid" not in arrays:
        return arrays | {"target": target}
    valid = arrays["valid"].copy()
    valid[frames] = True
    return arrays | {"target": target, "valid": valid}


@torch.no_grad()
def random_network(pixels: np.ndarray | Stored, outputs: int, seed: int, chunk: int = 256) -> np.ndarray:
    """(N, outputs) float32 of frames (N, H, W, 3) uint8, each alone, by a network that is drawn from `seed` and never
    trained: two convolutions of stride 2 with ReLU, the mean over a grid of 7 × 7 cells, one linear layer; no biases,
    weights from N(0, 2 / inputs)."""
    generator = torch.Generator().manual_seed(_seed("network", seed))

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator) * math.sqrt(2 / math.prod(shape[1:]))

    first, second = draw(WIDTHS[0], 3, 5, 5), draw(WIDTHS[1], WIDTHS[0], 3, 3)
    last = draw(outputs, WIDTHS[1] * POOLED**2)
    found = []
    for start in range(0, len(pixels), chunk):
        x = torch.from_numpy(pixels[start : start + chunk]).permute(0, 3, 1, 2) / 255 - 0.5
        x = F.relu(F.conv2d(F.relu(F.conv2d(x, first, stride=2, padding=2)), second, stride=2, padding=1))
        found.append(F.adaptive_avg_pool2d(x, POOLED).flatten(1) @ last.T)
    return torch.cat(found).numpy()


# Where a frame's target is from, if not from the frame: functions of its term's arrays, the dataset, the training
# frames, the frames that get another's (`choose`), and the run's seed.
REPLACEMENTS: dict[str, Callable[[Arrays, Data, np.ndarray, Sequence[np.ndarray], int], Arrays]] = {
    OWN: lambda arrays, *_: arrays,
    "frame": _frame,
    "episode": _episode,
    "noise": _noise,
    "network": _network,
}


def replace(arrays: Arrays, target_from: str, share: float, data: Data, train_frames: np.ndarray,
            seed: int) -> Arrays:
    """A term's arrays (N, …), those of `share` of the frames replaced as `target_from` says, a row of REPLACEMENTS.

    Another frame's come with all that belongs to them: where they count, and in which region.
    """
    make = pick(REPLACEMENTS, target_from, "target_from")
    return make(arrays, data, train_frames, choose(data, train_frames, share, seed), seed)
