"""Windows of a dataset, and which of them a run trains on."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from lewm_core.utils.errors import InputError

WINDOW = 4  # three context frames and the one to predict


def window_starts(ep_len: np.ndarray, ep_offset: np.ndarray) -> np.ndarray:
    """The first frame of every window inside one episode, in order; (n,) int64."""
    runs = [offset + np.arange(n - WINDOW + 1) for n, offset in zip(ep_len, ep_offset, strict=True) if n >= WINDOW]
    return np.concatenate(runs).astype(np.int64) if runs else np.zeros(0, np.int64)


def windows(starts: np.ndarray) -> np.ndarray:
    """(n,) window starts to (n, WINDOW) frame indices."""
    return starts[:, None] + np.arange(WINDOW)


@dataclass(frozen=True)
class Split:
    """Window starts to train on and, by name, to validate on.

    `window` holds windows drawn at random from the training episodes: the paper's split, which leaks, since windows
    overlap by up to three frames. `episode` holds all windows of episodes that training never sees. `block` is between
    the two: windows of stretches of training episodes that share no frame with any window of `train` or `window`.
    """

    train: np.ndarray
    val: Mapping[str, np.ndarray]


def _blocks(ep_len: np.ndarray, ep_offset: np.ndarray, rng: np.random.Generator, share: float) -> np.ndarray:
    """The frames of one block in each of a share of the episodes of two windows or more: half the episode's frames, one
    after another, at a random place."""
    long = np.flatnonzero(ep_len >= 2 * WINDOW)
    frames = [np.zeros(0, np.int64)]
    for i in rng.permutation(long)[: max(1, round(share * len(long)))]:
        size = ep_len[i] // 2
        frames.append(ep_offset[i] + rng.integers(ep_len[i] - size + 1) + np.arange(size))
    return np.concatenate(frames)


def split(ep_len: np.ndarray, ep_offset: np.ndarray, rng: np.random.Generator, val_windows: float = 0.1,
          val_episodes: float = 0.15, held: np.ndarray | None = None, val_blocks: float = 0.0) -> Split:
    """Hold out a share of the episodes, and of the remaining ones a share of the windows and half of a share of them
    (val_blocks); one model serves all splits.

    Episodes shorter than a window take no part. held: the numbers of the episodes to hold out, instead of a share.
    A share of 0 leaves that split out (val_episodes=0 is the paper's split exactly). Otherwise each has at least one
    member. Blocks are drawn last and only take windows away from `train` and `window`. InputError if nothing is left to
    train on.
    """
    order = rng.permutation(np.flatnonzero(ep_len >= WINDOW))
    if held is None:
        held = order[: max(1, round(val_episodes * len(order)))] if val_episodes > 0 else order[:0]
    held = np.sort(held)
    kept = np.setdiff1d(order, held)
    starts = window_starts(ep_len[kept], ep_offset[kept])
    shuffled = rng.permutation(starts)
    n_val = max(1, round(val_windows * len(starts))) if val_windows > 0 else 0
    train, val = np.sort(shuffled[n_val:]), {"window": np.sort(shuffled[:n_val])} if n_val else {}
    if val_blocks > 0:
        block = _blocks(ep_len[kept], ep_offset[kept], rng, val_blocks)
        apart = {name: of[~np.isin(windows(of), block).any(1)] for name, of in {"train": train, **val}.items()}
        train = apart.pop("train")
        val = apart | {"block": starts[np.isin(windows(starts), block).all(1)]}
    if len(held):
        val["episode"] = window_starts(ep_len[held], ep_offset[held])
    if not len(train) or not val or any(not len(starts) for starts in val.values()):
        held_out = ", ".join(f"{len(starts)} {name}" for name, starts in val.items())
        raise InputError("split", f"{len(train)} training windows and {held_out} validation windows from {len(ep_len)} "
                         "episodes", "at least one of each",
                         f"Episodes need {WINDOW} frames or more, and there must be two of them.")
    return Split(train, val)
