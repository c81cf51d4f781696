"""What a frame's tokens can tell a probe about the signals: the CLS bottleneck, measured (paper 4.4).

Three sets of features of one frozen encoder:

- `CLS`: the token itself (D); `emb`: the projected latent that the predictor and the heads read (D).
- `patch`: all patch tokens side by side (P·D), so that their places are kept (a mean over patches would throw away
  exactly what the bottleneck is said to lose), reduced to at most MAX_FEATURES principal components.

A probe learns on some episodes and is scored on others. Its score is R² = 1 − squared error / squared error of the
training mean, both summed over a target's dimensions: 1 is perfect, 0 is no better than a constant.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from sklearn.decomposition import PCA
from sklearn.model_selection import GroupKFold
from torch import nn

from lewm_core import targets
from lewm_core.dataset import Data
from lewm_core.errors import InputError, pick
from lewm_core.losses import normalise_depth
from lewm_core.model import LeWM, normalise, seeded
from lewm_core.train import Recipe, split_of

SIGNALS = {"depth": ("depth",), "tracks": ("tracks", "visible"), "centroid": ("centroid", "centroid_valid"),
           "shape": ("shape", "shape_valid")}  # probe target: the dataset columns it is made of
TOKENS = ("CLS", "emb", "patch")
PROBES = ("linear", "mlp")
MAX_FEATURES = 512  # larger feature sets are reduced to this many principal components of the training frames
DEPTH_SIDE = 14  # the 56 × 56 depth is averaged to this grid
ALPHAS = tuple(10.0 ** np.arange(-1, 6))  # ridge penalties tried, for features of unit variance
FOLDS = 3  # of training episodes, to choose the penalty
HIDDEN = 136  # of the MLP probe: the paper's flat track head
MLP_STEPS, MLP_BATCH, MLP_LR, MLP_DECAY = 100, 256, 3e-3, 1e-2
MLP_CHECK = 5  # steps between looks at the stopping set
POINT_COUNTS = (1, 4, 16, 64, 100, 400)
ANCHORS = 8  # points whose error is compared while more and more are regressed with them


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


@dataclass(frozen=True)
class Target:
    """What a probe is to recover: values (N, K) float32, and where they count, valid (N, K) bool."""

    values: np.ndarray
    valid: np.ndarray


def build_target(name: str, data: Data, train_frames: np.ndarray) -> Target:
    """One of SIGNALS as a probe's target; statistics come from `train_frames` only.

    depth: each frame minus its median over its mean absolute deviation (what condition B's loss compares), averaged to
    14 × 14. tracks: displacement of the uniform grid's visible points from the first frame, px at 224, x and y of each
    point side by side. centroid, shape: standardised components.
    """
    pick(SIGNALS, name, "probe target")
    if missing := data.missing(SIGNALS[name]):
        raise InputError(f"probe target {name}", "; ".join(missing.values()), "a dataset with that signal")
    n = len(data["pixels"])
    if name == "depth":
        depth = normalise_depth(torch.from_numpy(data["depth"]))
        values = F.adaptive_avg_pool2d(depth, DEPTH_SIDE).flatten(1).numpy()
        return Target(values, np.ones(values.shape, bool))
    if name == "tracks":
        values = 224 * np.nan_to_num(targets.displacements(data, "tracks"))
        return Target(values.reshape(n, -1).astype(np.float32), np.repeat(data["visible"].astype(bool), 2, axis=1))
    valid = data[SIGNALS[name][1]].astype(bool)
    values = targets.standardise(np.nan_to_num(data[name]), valid, train_frames)
    return Target(values, np.repeat(valid[:, None], values.shape[1], axis=1))


def prepare(features: np.ndarray, train_frames: np.ndarray) -> np.ndarray:
    """Features (N, F) standardised and, beyond MAX_FEATURES, reduced by PCA; both fitted to `train_frames` only.

    The components keep their relative variances, which matter to a ridge penalty; their total is one per feature.
    """
    train = features[train_frames]
    std = train.std(0)
    x = (features - train.mean(0)) / np.where(std < 1e-6, 1, std)
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


def mlp_probe(problem: Problem, seed: int = 0) -> np.ndarray:
    """Predictions (n_test, K) of an MLP with one hidden layer, stopped where held-out training episodes are best.

    It starts at the training mean and sees targets in units of their overall deviation. All randomness is from `seed`.
    """
    p = problem
    episodes = np.random.default_rng(seed).permutation(np.unique(p.groups[p.train]))
    stopping = np.isin(p.groups[p.train], episodes[: max(1, len(episodes) // 5)])
    scale = max(float((p.y[p.train] - p.mean).std()), 1e-8)
    x, y = torch.from_numpy(p.x), torch.from_numpy((p.y - p.mean) / scale)
    weight = torch.from_numpy(p.valid).float()
    fit, stop = torch.from_numpy(p.train[~stopping]), torch.from_numpy(p.train[stopping])
    with seeded(seed):
        model = nn.Sequential(nn.Linear(x.shape[1], HIDDEN), nn.GELU(), nn.Linear(HIDDEN, y.shape[1]))
    nn.init.zeros_(model[2].weight), nn.init.zeros_(model[2].bias)
    optimizer = torch.optim.AdamW(model.parameters(), MLP_LR, weight_decay=MLP_DECAY, fused=True)
    x_stop, y_stop, w_stop, x_test = x[stop], y[stop], weight[stop], x[torch.from_numpy(p.test)]
    generator = torch.Generator().manual_seed(seed)
    best, answer = torch.inf, None
    for step in range(MLP_STEPS):
        if step % MLP_CHECK == 0:
            with torch.no_grad():
                error = ((model(x_stop) - y_stop).square() * w_stop).sum().item()
                if error < best:
                    best, answer = error, model(x_test)
        rows = fit[torch.randint(len(fit), (min(MLP_BATCH, len(fit)),), generator=generator)]
        loss = ((model(x[rows]) - y[rows]).square() * weight[rows]).sum() / weight[rows].sum().clamp(min=1)
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


def probe_table(features: Mapping[str, np.ndarray], data: Data, test_episodes: Sequence[int],
                signals: Sequence[str] = tuple(SIGNALS), probes: Sequence[str] = PROBES, seed: int = 0) -> pd.DataFrame:
    """Probe every signal that the dataset has from every set of features.

    features: name -> (N, F). Returns columns target, tokens, probe, r2, train_frames, test_frames; signals that the
    dataset lacks have no rows (`data.missing` says why).
    """
    run = {"linear": linear_probe, "mlp": lambda problem: mlp_probe(problem, seed)}
    groups, rows = episode_index(data), []
    train_frames = np.flatnonzero(~np.isin(groups, test_episodes))
    prepared = {tokens: prepare(values, train_frames) for tokens, values in features.items()}
    for signal in (s for s in signals if not data.missing(pick(SIGNALS, s, "probe target"))):
        target = build_target(signal, data, train_frames)
        for tokens, x in prepared.items():
            problem = pose(x, target, groups, test_episodes)
            for name in probes:
                rows.append((signal, tokens, name, r2(problem, pick(run, name, "probe")(problem)), len(problem.train),
                             len(problem.test)))
    return pd.DataFrame(rows, columns=["target", "tokens", "probe", "r2", "train_frames", "test_frames"])


def anchor_points(data: Data, train_frames: np.ndarray, count: int) -> np.ndarray:
    """Grid points (count,), spread evenly over the quarter of the grid that moves most in the training frames.

    Not simply those that move most, which would be points that move less in other episodes. Points visible in less
    than half of the frames come last.
    """
    visible = data["visible"][train_frames].astype(bool)
    squared = (np.nan_to_num(targets.displacements(data, "tracks"))[train_frames] ** 2).sum(-1)
    moved = (squared * visible).sum(0) / np.maximum(visible.sum(0), 1)
    order = np.argsort(-np.where(visible.mean(0) >= 0.5, moved, -1), kind="stable")
    return order[np.linspace(0, len(order) // 4 - 1, count).round().astype(int)]


def error_against_points(features: Mapping[str, np.ndarray], data: Data, test_episodes: Sequence[int],
                         counts: Sequence[int] = POINT_COUNTS, seed: int = 0) -> pd.DataFrame:
    """Does regressing more points at once cost accuracy? The MLP probe's error on the same anchor points throughout.

    For k below the number of anchors these are dealt into heads of k points each; above it, one head regresses the
    anchors and k − ANCHORS further points drawn from `seed`. Columns series (name of the features, or "training mean"
    and "no motion", which look at nothing), points, error: mean distance (px at 224) between predicted and true
    displacement over the frames in which an anchor is visible.
    """
    groups = episode_index(data)
    train_frames = np.flatnonzero(~np.isin(groups, test_episodes))
    tracks = build_target("tracks", data, train_frames)
    anchors, n_points = anchor_points(data, train_frames, ANCHORS), data["tracks"].shape[1]
    rest = np.random.default_rng(seed).permutation(np.setdiff1d(np.arange(n_points), anchors))
    prepared = {name: prepare(values, train_frames) for name, values in features.items()}

    def problem(x: np.ndarray, points: np.ndarray) -> Problem:
        columns = (2 * points[:, None] + [0, 1]).ravel()
        return pose(x, Target(tracks.values[:, columns], tracks.valid[:, columns]), groups, test_episodes)

    def distances(posed: Problem, pred: np.ndarray) -> np.ndarray:
        """Of the anchors only, which come first."""
        off = np.linalg.norm((posed.y[posed.test] - pred).reshape(len(posed.test), -1, 2), axis=2)
        return off[:, : len(anchors)][posed.valid[posed.test][:, ::2][:, : len(anchors)]]

    rows = []
    for k in counts:
        if not 1 <= k <= n_points:
            raise InputError("number of points", str(k), f"1 to {n_points}")
        deal = np.split(anchors, range(k, len(anchors), k))
        heads = deal if len(deal) > 1 else [np.concatenate([anchors, rest])[:k]]
        for name, x in prepared.items():
            posed = [problem(x, points) for points in heads]
            rows.append((name, k, np.concatenate([distances(p, mlp_probe(p, seed)) for p in posed]).mean()))
        rows += [("training mean", k, np.concatenate([distances(p, p.mean) for p in posed]).mean()),
                 ("no motion", k, np.concatenate([distances(p, np.zeros_like(p.mean)) for p in posed]).mean())]
    return pd.DataFrame(rows, columns=["series", "points", "error"])
