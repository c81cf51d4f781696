"""Small synthetic episodes that the tests share: a square that its actions move, and four points on grey."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from lewm_core import dataset
from lewm_core.config import MODELS, Recipe
from lewm_core.experiments.base import Base
from lewm_core.model import LeWM
from lewm_core.signals import geometry
from lewm_core.signals.extraction import ARRAYS, Signals, grid_queries
from lewm_core.sources.episode import Episode

SIZE, SIDE = 32, 8  # px: the frame, the square in it
LENGTHS = (9, 7, 8, 6, 10)
TINY = Recipe(epochs=2, batch_size=8, lr=1e-3, directions=16, val_windows=0.2, val_episodes=0.2)


def moving_square(i: int, length: int, size: int = SIZE) -> tuple[Episode, Signals]:
    """Episode i: a bright square on textured ground; actions 0 and 1 are its next step in px, the others noise."""
    rng = np.random.default_rng([7, i])
    steps = rng.integers(-3, 4, (length, 2))
    corner = [rng.integers(0, size - SIDE, 2)]  # (x, y)
    for t in range(length - 1):
        corner.append(np.clip(corner[-1] + steps[t], 0, size - SIDE))
    corner = np.array(corner)
    actions = rng.normal(0, 0.1, (length, 7)).astype(np.float32)
    actions[:-1, :2] = np.diff(corner, axis=0)
    mask = np.zeros((length, size, size), bool)
    for t, (x, y) in enumerate(corner):
        mask[t, y : y + SIDE, x : x + SIDE] = True
    frames = np.broadcast_to(rng.integers(0, 90, (size, size, 3)), (length, size, size, 3)).astype(np.uint8)
    frames[mask] = 230
    slope = np.linspace(1, 2, size, dtype=np.float32)[:, None]
    depth = np.where(mask, np.float32(0.8), np.broadcast_to(slope, mask.shape))
    queries = grid_queries(size, size)
    on_square = mask[0][tuple(queries.round().astype(int).T[::-1])]
    tracks = queries + (corner - corner[0])[:, None] * on_square[None, :, None]
    centre = np.c_[corner + SIDE / 2, np.full(length, 0.8)].astype(np.float32)
    valid = np.ones(length, bool)
    valid[-1] = False
    shape = np.c_[centre, rng.random((length, 7))].astype(np.float32)
    shape[-1] = np.nan
    visible = rng.random((length, 400)) > 0.1
    place = np.c_[0.01 * corner, np.full(length, 0.8)].astype(np.float32)  # a px is a cm
    episode = Episode(f"square{i}", frames, actions, corner.astype(np.float32), f"push the square {i}")
    signals = Signals(
        episode.id, geometry.to_supervision(depth), mask, tracks.astype(np.float32), visible,
        tracks.astype(np.float32), visible, centre, valid, shape, valid.copy(), {"depth": "hand"}, {}, place)
    return episode, signals


def without(signals: Signals, **reasons: str) -> Signals:
    """`signals` with those named, and the columns that mark them, missing for the reasons given."""
    marks = {dataset.COLUMNS[name].finite for name in reasons} & set(ARRAYS)
    arrays = {name: None if name in marks | set(reasons) else getattr(signals, name) for name in ARRAYS}
    return Signals(signals.episode, **arrays, made_by=signals.made_by, missing=reasons)


def write_squares(path: Path, lengths: Sequence[int] = LENGTHS, **reasons: str) -> Path:
    """A dataset file of moving squares; `reasons` names signals to leave out."""
    items = [moving_square(i, length) for i, length in enumerate(lengths)]
    dataset.write(path, [(e, without(s, **reasons) if reasons else s) for e, s in items], source="squares")
    return path


def random_base(model: str = "nano") -> Base:
    return Base("random", model, None, repr(MODELS[model]))


def acting_model() -> LeWM:
    """A nano LeWM in eval mode whose predictions depend on actions; as initialised (AdaLN-zero) they would not."""
    model, generator = LeWM(MODELS["nano"], seed=0).eval(), torch.Generator().manual_seed(1)
    with torch.no_grad():
        for block in model.predictor.transformer.layers:
            weight = block.adaLN_modulation[-1].weight
            weight.copy_(0.3 * torch.randn(weight.shape, generator=generator))
    return model


def four_points(name="e0", length=10, missing=()):
    """A grey episode with four points: two on the object (one is lost in frame 5), one beside it, one that leaves."""
    frames = np.full((length, 56, 56, 3), 100, np.uint8)
    frames += np.arange(length, dtype=np.uint8)[:, None, None, None]
    episode = Episode(name, frames, np.zeros((length, 7), np.float32), np.zeros((length, 7), np.float32), "push <it>")
    mask = np.zeros((length, 56, 56), bool)
    mask[:, 20:32, 20:32] = True
    tracks = np.zeros((length, 4, 2), np.float32)
    tracks[:, 0] = 22, 22
    tracks[:, 1] = 28, 28
    tracks[:, 2] = np.stack([5 + np.arange(length), np.full(length, 40)], 1)
    tracks[:, 3] = np.stack([50 + 2 * np.arange(length), np.full(length, 8)], 1)
    visible = np.ones((length, 4), bool)
    visible[5:6, 1] = False
    arrays = {"mask": mask, "tracks": tracks, "visible": visible, "tracks_fg": tracks + 1, "visible_fg": visible}
    arrays |= {name: None for name in missing}
    reasons = {name: f"No {name}, for a reason." for name in missing}
    return episode, Signals(name, **dict.fromkeys(ARRAYS) | arrays, made_by={}, missing=reasons)


def attempts_by_hand() -> pd.DataFrame:
    """Two tasks, two steps. `good` gets to both goals at step 1 and leaves one again; `half` gets to one half."""
    rows = []
    for method, repeat, task, kind, gripper, thing in (
            ("good", 0, 0, "move", (0.10, 0.03, 0.05), (0.08, 0.02, 0.04)),
            ("good", 0, 1, "reach", (0.20, 0.04, 0.02), (0.01, 0.01, 0.01)),
            ("half", 0, 0, "move", (0.10, 0.03, 0.03), (0.08, 0.04, 0.04)),
            ("half", 1, 0, "move", (0.10, 0.03, 0.01), (0.08, 0.04, 0.02)),
            ("half", 0, 1, "reach", (0.20, 0.20, 0.20), (0.01, 0.01, 0.01)),
            ("half", 1, 1, "reach", (0.20, 0.20, 0.10), (0.01, 0.01, 0.01))):
        rows += [(method, repeat, task, kind, s, gripper[s], thing[s]) for s in range(3)]
    return pd.DataFrame(rows, columns=["method", "repeat", "task", "kind", "step", "gripper", "object"])
