"""How many points fit through one token: the capacity curve (paper 4.4).

Does regressing more points at once cost accuracy, and does it cost the CLS token more than the patch tokens? The error
is always that of the same few points; what varies is how many are regressed with them, from which tokens, and by which
probe. What bounds it from below is the same probe on the low-dimensional state, from above two predictions that
look at nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from lewm_core.conditions import condition
from lewm_core.dataset import Data, targets, windows
from lewm_core.diagnostics.probe_fits import attention_probe, mlp_probe
from lewm_core.experiments.run import data_of, result, split_of_run
from lewm_core.losses import vector_loss
from lewm_core.outcomes.probes import build_target
from lewm_core.outcomes.ridge import Problem, Target, linear_probe, pose, prepare, scaled
from lewm_core.stats.evidence import CLEAR, FLOORS
from lewm_core.stats.paired import number
from lewm_core.utils.errors import InputError
from lewm_core.utils.progress import bar

ANCHORS = 8  # points whose error is compared while more and more are regressed with them
STATE, STATE_FIRST = "state", "state + first frame"
CURVE = ["series", "probe", "points", "error"]


def token_sets(features: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What `probes.token_features` returns, as (N, T, D): CLS (T = 1), patch (T = P) and both (T = 1 + P)."""
    cls = features["CLS"][:, None]
    patch = features["patch"].reshape(len(cls), -1, cls.shape[2])
    return {"CLS": cls, "patch": patch, "both": np.concatenate([cls, patch], 1)}


def states(data: Data) -> dict[str, np.ndarray]:
    """The ceiling's features (N, 1, S): the state of each frame, and beside it what has changed since the first frame.

    The state is the robot's own (on the tabletop the true gripper pose and opening), and the object's centroid if it is
    known, as true as what made it. The change rather than the first frame's state, which says the same: displacements
    are changes, and a probe would have to learn the difference from a few episodes. NaN becomes 0, and a centroid that
    is not valid becomes 0 with its mark beside it.
    """
    parts = [np.nan_to_num(data["observation"])]
    if not data.missing(["centroid", "centroid_valid"]):
        valid = data["centroid_valid"].astype(np.float32)[:, None]
        parts += [np.nan_to_num(data["centroid"]) * valid, valid]
    state = np.concatenate(parts, 1).astype(np.float32)
    return {STATE: state[:, None], STATE_FIRST: np.concatenate([state, state - state[data.first_frames()]], 1)[:, None]}


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


def capacity_curve(features: Mapping[str, np.ndarray], data: Data, test_episodes: Sequence[int],
                   counts: Sequence[int], probes: Sequence[str], seed: int) -> pd.DataFrame:
    """The error on the same anchor points while k points are regressed at once.

    For k below the number of anchors these are dealt into heads of k points each; above it, one head regresses the
    anchors and k − ANCHORS further points drawn from `seed`.

    Args:
        features: name -> (N, T, D), T tokens of each frame, as `token_sets` and `states` return them. The linear and
            the MLP probe read them side by side, the attention probe as tokens.
        test_episodes: scored on; the probes learn on all others. Without any there are no rows.
        probes: some of linear, mlp, attention.

    Returns:
        Columns series (name of the features, or one of FLOORS, which look at nothing), probe ("" for these), points,
        error: root mean squared distance (px at 224) between predicted and true displacement over the frames in which
        an anchor is visible. (What the probes are fitted by. By the mean distance 'no motion' would beat all of them,
        since most points stand still most of the time.)
    """
    n_points = data["tracks"].shape[1]
    wrong = [k for k in counts if not 1 <= k <= n_points]
    if wrong:
        raise InputError("number of points", ", ".join(map(str, wrong)), f"1 to {n_points}")
    rows = []
    if len(test_episodes):
        bench = _Bench.of(features, data, test_episodes, "attention" in probes, seed)
        for k in bar(counts, "capacity", "count"):
            rows += bench.errors(k, probes)
    return pd.DataFrame(rows, columns=CURVE)


@dataclass(frozen=True)
class _Bench:
    """What every point of the curve is measured with: features, tracks, the split, and the order of the points."""

    flat: Mapping[str, np.ndarray]  # name -> (N, F), prepared for linear and MLP probe
    tokens: Mapping[str, np.ndarray]  # name -> (N, T, D), scaled for the attention probe
    tracks: Target  # displacements, px at 224
    start: np.ndarray  # (N, 400, 2) each point's place in its episode's first frame, in image sides
    groups: np.ndarray  # (N,) episode of each frame
    test_episodes: Sequence[int]
    anchors: np.ndarray
    rest: np.ndarray  # the other points, in random order
    seed: int

    @classmethod
    def of(cls, features: Mapping[str, np.ndarray], data: Data, test_episodes: Sequence[int], attention: bool,
           seed: int) -> "_Bench":
        groups = data.episode_numbers()
        train_frames = np.flatnonzero(~np.isin(groups, test_episodes))
        anchors = anchor_points(data, train_frames, ANCHORS)
        others = np.setdiff1d(np.arange(data["tracks"].shape[1]), anchors)
        flat = {name: prepare(x.reshape(len(x), -1), train_frames) for name, x in features.items()}
        tokens = {name: scaled(x, train_frames) for name, x in features.items()} if attention else {}
        start = np.nan_to_num(data["tracks"][data.first_frames()]) / data["pixels"].shape[1]
        return cls(flat, tokens, build_target("tracks", data, train_frames), start, groups, test_episodes, anchors,
                   np.random.default_rng(seed).permutation(others), seed)

    def heads(self, k: int) -> list[np.ndarray]:
        """The points of each head that regresses `k` at once; together they hold all anchors."""
        deal = np.split(self.anchors, range(k, len(self.anchors), k))
        return deal if len(deal) > 1 else [np.concatenate([self.anchors, self.rest])[:k]]

    def problem(self, x: np.ndarray, points: np.ndarray) -> Problem:
        """The problem of recovering these points' displacements from features x (N, F)."""
        columns = (2 * points[:, None] + [0, 1]).ravel()
        target = Target(self.tracks.values[:, columns], self.tracks.valid[:, columns])
        return pose(x, target, self.groups, self.test_episodes)

    def predict(self, probe: str, problem: Problem, name: str, points: np.ndarray) -> np.ndarray:
        """Predictions (n_test, 2k) of one probe."""
        if probe == "linear":
            return linear_probe(problem)
        if probe == "mlp":
            return mlp_probe(problem, self.seed)
        return attention_probe(problem, self.tokens[name], self.start[:, points], self.seed)

    def distances(self, problem: Problem, pred: np.ndarray) -> np.ndarray:
        """Distances (px at 224) of the visible anchors, which come first, from their predictions."""
        n = len(self.anchors)
        off = np.linalg.norm((problem.y[problem.test] - pred).reshape(len(problem.test), -1, 2), axis=2)
        return off[:, :n][problem.valid[problem.test][:, ::2][:, :n]]

    def errors(self, k: int, probes: Sequence[str]) -> list[tuple]:
        """Rows of the curve at `k` points: every probe of every set of features, and the floors."""
        heads, rows = self.heads(k), []
        for name, x in self.flat.items():
            posed = [(self.problem(x, points), points) for points in heads]
            for probe in probes:
                off = [self.distances(p, self.predict(probe, p, name, points)) for p, points in posed]
                rows.append((name, probe, k, _rms(off)))
        mean = [self.distances(p, p.mean) for p, _ in posed]
        still = [self.distances(p, np.zeros_like(p.mean)) for p, _ in posed]
        return rows + [(FLOORS[0], "", k, _rms(mean)), (FLOORS[1], "", k, _rms(still))]


def _rms(distances: Sequence[np.ndarray]) -> float:
    return (np.concatenate(distances) ** 2).mean() ** 0.5


def describe_curve(curve: pd.DataFrame) -> list[str]:
    """Sentences about `capacity_curve`: each series' best against the training mean, and what more points cost.

    A series whose best error is not clearly (2 %) below the training mean's recovers nothing that could be lost.
    """
    floor = curve[curve.series == FLOORS[0]].error.mean()
    lines = []
    for (series, probe), rows in curve[curve.probe != ""].groupby(["series", "probe"], sort=False):
        error = rows.groupby("points").error.mean()
        few, many = error.index.min(), error.index.max()
        at_best = "never clearly better than the training mean"
        if error.min() < CLEAR * floor:
            at_best = f"{number(100 * (error.min() / floor - 1))} % against the training mean at best"
        more = f", {error[many]:.1f} px with {many}" if many > few else ""
        lines.append(f"{series}, {probe}: {error[few]:.1f} px with {few} at once{more}; {at_best}.")
    return lines or ["Not run: there are no tracks, or no held-out episodes to judge by."]


def head_floors(results: pd.DataFrame, folder: Path, data: Data) -> pd.DataFrame:
    """The track heads' loss on held-out episodes, and that of two predictions that do not look at the frame.

    results: runs of D and D-fg with their metric head_tracks; folder: where they are kept; data: holds the episodes of
    all. Returns columns condition, scale, seed, head, no motion, training mean.
    """
    rows = []
    runs = results[(results.split == "episode") & (results.metric == "head_tracks")]
    for run in bar(runs.itertuples(), "floors", "run", len(runs)):
        term, = condition(run.condition).terms
        record = result(folder, run.run)
        own = data_of(record, data)
        split = split_of_run(record, own)
        train, test = (torch.from_numpy(np.unique(windows(s))) for s in (split.train, split.val["episode"]))
        truth = targets.build(term, own, train.numpy(), seed=run.seed)
        moved, visible, still = truth["target"], truth["valid"], truth["still"][0]
        seen = visible[train].unsqueeze(-1)
        mean = (moved[train] * seen).sum(0) / seen.sum(0).clamp(min=1)
        losses = {name: vector_loss(guess.expand_as(moved[test]), moved[test], visible[test]).item()
                  for name, guess in ((FLOORS[1], still), (FLOORS[0], mean))}
        rows.append({"condition": run.condition, "scale": run.scale, "seed": run.seed, "head": run.value} | losses)
    return pd.DataFrame(rows, columns=["condition", "scale", "seed", "head", *FLOORS[::-1]])
