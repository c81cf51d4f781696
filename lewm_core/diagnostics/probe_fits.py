"""Probes: ridge regression, a small MLP, and cross-attention, fitted on some episodes and scored on others.

The score is R² = 1 − squared error / squared error of the training mean, both summed over a target's dimensions: 1 is
perfect, 0 is no better than a constant.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.decomposition import PCA
from sklearn.model_selection import GroupKFold
from torch import Tensor, nn

from lewm_core.model import attend, seeded, sine_waves
from lewm_core.utils.errors import InputError

MAX_FEATURES = 512  # larger feature sets are reduced to this many principal components of the training frames
ALPHAS = tuple(10.0 ** np.arange(-1, 6))  # ridge penalties tried, for features of unit variance
FOLDS = 3  # of training episodes, to choose the penalty
HIDDEN = 136  # of the MLP probe: the paper's flat track head
LR = 3e-3  # of the probes that are trained, and
DECAY = 1e-2  # their weight decay
MLP_STEPS = 100  # optimizer steps
MLP_BATCH = 256  # frames a step
MLP_CHECK = 5  # steps between looks at the stopping set
ATTENTION_STEPS = 200
ATTENTION_BATCH = 32
ATTENTION_CHECK = 40
QUERIES = 3200  # points × frames that the attention probe sees in a step, at most
WIDTH = 64  # of the attention probe
ATTENTION_HEADS = 4
WAVES = 4  # octaves of a position's sines and cosines


@dataclass(frozen=True)
class Target:
    """What a probe is to recover: values (N, K) float32, and where they count, valid (N, K) bool."""

    values: np.ndarray
    valid: np.ndarray


def scaled(features: np.ndarray, train_frames: np.ndarray) -> np.ndarray:
    """Features (N, …) to zero mean and unit std over `train_frames`, each by itself; constant ones only shift."""
    train = features[train_frames]
    std = train.std(0)
    return ((features - train.mean(0)) / np.where(std < 1e-6, 1, std)).astype(np.float32)


def prepare(features: np.ndarray, train_frames: np.ndarray) -> np.ndarray:
    """Features (N, F) standardised and, beyond MAX_FEATURES, reduced by PCA; both fitted to `train_frames` only.

    The components keep their relative variances, which matter to a ridge penalty; their total is one per feature.
    """
    x = scaled(features, train_frames)
    if x.shape[1] > MAX_FEATURES:
        components = min(MAX_FEATURES, len(train_frames) - 1)
        x = PCA(components, svd_solver="randomized", random_state=0).fit(x[train_frames]).transform(x)
        x /= x[train_frames].std()
    return x.astype(np.float32)


@dataclass(frozen=True)
class Problem:
    """One probe's data: prepared features x (N, F), targets y (N, K) without gaps, their training mean (K,), which
    targets are real, valid (N, K), the frames to train and test on, and every frame's episode, groups (N,)."""

    x: np.ndarray
    y: np.ndarray
    mean: np.ndarray
    valid: np.ndarray
    train: np.ndarray
    test: np.ndarray
    groups: np.ndarray


def pose(x: np.ndarray, target: Target, groups: np.ndarray, test_episodes: Sequence[int]) -> Problem:
    """The problem of recovering `target` from prepared features x (N, F), split by episode.

    Frames without any valid value are left out. A single invalid value among valid ones (a hidden point) is replaced
    by its column's training mean to fit on, and left out of every score.
    """
    usable = target.valid.any(1)
    testing = np.isin(groups, test_episodes)
    train, test = np.flatnonzero(usable & ~testing), np.flatnonzero(usable & testing)
    if not len(test) or len(np.unique(groups[train])) < 2:
        raise InputError("probe", f"{len(np.unique(groups[train]))} training and {len(np.unique(groups[test]))} test "
                         "episodes with a usable target", "at least two and one")
    counts = target.valid[train].sum(0)
    mean = (target.values[train] * target.valid[train]).sum(0) / np.maximum(counts, 1)
    y = np.where(target.valid, target.values, mean).astype(np.float32)
    return Problem(x, y, mean.astype(np.float32), target.valid, train, test, groups)


def ridge_path(x: np.ndarray, y: np.ndarray, x_new: np.ndarray, alphas: Sequence[float]) -> Iterator[np.ndarray]:
    """Ridge predictions for x_new under each penalty in turn, from one eigendecomposition; intercepts are free."""
    x_mean, y_mean = x.mean(0), y.mean(0)
    variance, axes = np.linalg.eigh((x - x_mean).T @ (x - x_mean))
    along, new = axes.T @ ((x - x_mean).T @ (y - y_mean)), (x_new - x_mean) @ axes
    for alpha in alphas:
        yield y_mean + new @ (along / (np.maximum(variance, 0) + alpha)[:, None])


def linear_probe(problem: Problem) -> np.ndarray:
    """Predictions (n_test, K) of ridge regression; the penalty is chosen by cross-validation over training episodes."""
    p = problem
    x, y, groups = p.x[p.train], p.y[p.train], p.groups[p.train]
    errors = np.zeros(len(ALPHAS))
    for fit, held in GroupKFold(min(FOLDS, len(np.unique(groups)))).split(x, groups=groups):
        valid = p.valid[p.train][held]
        errors += [(valid * (pred - y[held]) ** 2).sum() for pred in ridge_path(x[fit], y[fit], x[held], ALPHAS)]
    return next(ridge_path(x, y, p.x[p.test], [ALPHAS[errors.argmin()]]))


def mlp_probe(problem: Problem, seed: int) -> np.ndarray:
    """Predictions (n_test, K) of an MLP with one hidden layer. All randomness is from `seed`."""
    with seeded(seed):
        model = nn.Sequential(nn.Linear(problem.x.shape[1], HIDDEN), nn.GELU(),
                              nn.Linear(HIDDEN, problem.y.shape[1]))
    return _fit(model, model[2], (torch.from_numpy(problem.x),), problem, seed, MLP_STEPS, MLP_BATCH,
                MLP_CHECK)


class AttentionProbe(nn.Module):
    """Tokens (M, T, D) and points (M, k, 2) in image sides -> (M, 2k): each point asks the tokens where it has gone.

    A point's query is an embedding of its position; keys and values are the tokens, each with a learned place. What
    it finds and the query go through an MLP of the other probe's width.
    """

    def __init__(self, tokens: int, dim: int):
        super().__init__()
        self.place = nn.Parameter(0.02 * torch.randn(tokens, WIDTH))
        self.token, self.query = nn.Linear(dim, WIDTH), nn.Linear(2 + 4 * WAVES, WIDTH)
        self.key_value = nn.Linear(WIDTH, 2 * WIDTH)
        self.out = nn.Sequential(nn.Linear(2 * WIDTH, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, 2))

    def forward(self, tokens: Tensor, points: Tensor) -> Tensor:
        sines, cosines = sine_waves(points, torch.arange(WAVES))
        query = self.query(torch.cat([points, sines.flatten(2), cosines.flatten(2)], 2))  # (M, k, W)
        key, value = self.key_value(F.gelu(self.token(tokens) + self.place)).chunk(2, -1)
        found = attend(query, key, value, ATTENTION_HEADS)
        return self.out(torch.cat([found, query], 2)).flatten(1)


def attention_probe(problem: Problem, tokens: np.ndarray, points: np.ndarray, seed: int) -> np.ndarray:
    """Predictions (n_test, 2k) of a cross-attention probe, of x and y of k points side by side.

    tokens: (N, T, D), as `scaled` returns them; points: (N, k, 2), where each point was in its episode's first frame,
    in image sides. All randomness is from `seed`.
    """
    with seeded(seed):
        model = AttentionProbe(*tokens.shape[1:])
    frames = min(ATTENTION_BATCH, max(1, QUERIES // points.shape[1]))
    inputs = (torch.from_numpy(tokens), torch.from_numpy(np.ascontiguousarray(points, dtype=np.float32)))
    return _fit(model, model.out[2], inputs, problem, seed, ATTENTION_STEPS, frames, ATTENTION_CHECK)


def _fit(model: nn.Module, last: nn.Linear, inputs: tuple[Tensor, ...], problem: Problem, seed: int, steps: int,
         batch: int, check: int) -> np.ndarray:
    """Predictions (n_test, K) of `model`, stopped where held-out training episodes are best.

    It starts at the training mean (`last` is its last layer) and sees targets in units of their overall std.
    """
    p = problem
    episodes = np.random.default_rng(seed).permutation(np.unique(p.groups[p.train]))
    stopping = np.isin(p.groups[p.train], episodes[: max(1, len(episodes) // 5)])
    scale = max(float((p.y[p.train] - p.mean).std()), 1e-8)
    y, weight = torch.from_numpy((p.y - p.mean) / scale), torch.from_numpy(p.valid).float()
    fit, stop, test = (torch.from_numpy(rows) for rows in (p.train[~stopping], p.train[stopping], p.test))
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    optimizer = torch.optim.AdamW(model.parameters(), LR, weight_decay=DECAY, fused=True)

    def squared(rows: Tensor) -> Tensor:
        return (model(*(x[rows] for x in inputs)) - y[rows]).square() * weight[rows]

    generator = torch.Generator().manual_seed(seed)
    best, answer = torch.inf, None  # the least error on the stopping episodes, and the predictions at that step
    for step in range(steps):
        if step % check == 0:
            with torch.no_grad():
                error = squared(stop).sum().item()
                if error < best:
                    best, answer = error, model(*(x[test] for x in inputs))
        rows = fit[torch.randint(len(fit), (min(batch, len(fit)),), generator=generator)]
        loss = squared(rows).sum() / weight[rows].sum().clamp(min=1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return answer.numpy() * scale + p.mean


def r2(problem: Problem, pred: np.ndarray) -> float:
    """1 − squared error / squared error of the training mean, over the valid test values; NaN if those never vary."""
    p = problem
    valid, truth = p.valid[p.test], p.y[p.test]
    floor = (valid * (truth - p.mean) ** 2).sum()
    return float(1 - (valid * (truth - pred) ** 2).sum() / floor) if floor > 0 else float("nan")
