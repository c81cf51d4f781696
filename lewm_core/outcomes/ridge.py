"""Ridge regression on features of frames, fitted on some episodes and scored on others: the one that everything uses.

The score is R² = 1 − squared error / squared error of the training mean, both summed over a target's dimensions: 1 is
perfect, 0 is no better than a constant.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from lewm_core.utils.errors import InputError

MAX_FEATURES = 512  # larger feature sets are reduced to this many principal components of the training frames
ALPHAS = tuple(10.0 ** np.arange(-1, 6))  # ridge penalties tried, for features of unit variance
FOLDS = 3  # of training episodes, to choose the penalty


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
    from sklearn.decomposition import PCA  # here: it takes a second, and a training step needs none of it

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


@dataclass(frozen=True)
class RidgeMap:
    """A fitted ridge regression: features (M, F) to values (M, K), y_mean + (x − x_mean) · weights."""

    x_mean: np.ndarray
    weights: np.ndarray
    y_mean: np.ndarray

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return self.y_mean + (x - self.x_mean) @ self.weights


def ridge_path(x: np.ndarray, y: np.ndarray, alphas: Sequence[float]) -> Iterator[RidgeMap]:
    """The ridge regression of each penalty in turn, from one eigendecomposition; intercepts are free.

    x: (M, F), y: (M, K).
    """
    x_mean, y_mean = x.mean(0), y.mean(0)
    variance, axes = np.linalg.eigh((x - x_mean).T @ (x - x_mean))
    along = axes.T @ ((x - x_mean).T @ (y - y_mean))
    for alpha in alphas:
        yield RidgeMap(x_mean, axes @ (along / (np.maximum(variance, 0) + alpha)[:, None]), y_mean)


def ridge(x: np.ndarray, y: np.ndarray, groups: np.ndarray, valid: np.ndarray | None = None) -> RidgeMap:
    """Ridge regression of y (M, K) on features x (M, F) of unit variance; its penalty, one of ALPHAS, is chosen by
    cross-validation over groups (M,), of which there are at least two. valid (M, K): what counts there; None: all."""
    from sklearn.model_selection import GroupKFold  # here, as above

    errors = np.zeros(len(ALPHAS))
    for fit, held in GroupKFold(min(FOLDS, len(np.unique(groups)))).split(x, groups=groups):
        counts = 1 if valid is None else valid[held]
        errors += [(counts * (found(x[held]) - y[held]) ** 2).sum() for found in ridge_path(x[fit], y[fit], ALPHAS)]
    return next(ridge_path(x, y, [ALPHAS[errors.argmin()]]))


def ridge_of_raw(x: np.ndarray, y: np.ndarray, groups: np.ndarray) -> RidgeMap:
    """`ridge` of features as they are: standardised over these rows to be fitted, and the map takes them raw."""
    std = x.std(0)
    std = np.where(std < 1e-6, 1, std)
    found = ridge((x - x.mean(0)) / std, y, groups)
    return RidgeMap(x.mean(0) + found.x_mean * std, found.weights / std[:, None], found.y_mean)


def linear_probe(problem: Problem) -> np.ndarray:
    """Predictions (n_test, K) of `ridge`, chosen by cross-validation over training episodes."""
    p = problem
    return ridge(p.x[p.train], p.y[p.train], p.groups[p.train], p.valid[p.train])(p.x[p.test])


def r2(problem: Problem, pred: np.ndarray) -> float:
    """1 − squared error / squared error of the training mean, over the valid test values; NaN if those never vary."""
    p = problem
    valid, truth = p.valid[p.test], p.y[p.test]
    floor = (valid * (truth - p.mean) ** 2).sum()
    return float(1 - (valid * (truth - pred) ** 2).sum() / floor) if floor > 0 else float("nan")
