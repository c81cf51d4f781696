"""Rollouts made visible without a pixel decoder: predicted latents looked up among real frames (paper 4.5, Figure 4).

Each model predicts in its own latent space, so distances are comparable between models only as ratios: `relative`
divides by the spread of that model's own corpus, and persistence (the last context frame's latent,
frozen) is computed once in each model's space.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from lewm_core.dataset import Data
from lewm_core.evaluate import encode_frames
from lewm_core.model import LeWM
from lewm_core.utils.progress import bar

STATIC = "static"  # persistence, in tables
SCOPES = ("global", "episode")  # where a frame is looked up: every frame of the corpus, those of the same episode
CHUNK = 4096  # corpus frames compared at once
BEATS_STATIC = 1.0  # mean distance over persistence's, below which a model beats it
TIGHT_TIE = 1.05  # worst over best model, at most this: they tie
LARGE_GAP = 1.25  # worst over best model, at least this: a large gap


@dataclass(frozen=True)
class Corpus:
    """All frames of a dataset as one model encodes them: emb (N, D) float32, episode (N,), frame in episode (N,)."""

    emb: Tensor
    episode: np.ndarray
    frame: np.ndarray

    @classmethod
    def of(cls, model: LeWM, data: Data, desc: str = "") -> "Corpus":
        """Encode every frame of `data`, on the model's device; the latents are kept on the CPU.

        desc: of the progress bar; without one there is none.
        """
        pixels, device = data["pixels"], next(model.parameters()).device
        parts = bar(range(0, len(pixels), CHUNK), desc, "batch", disable=not desc)
        chunks = (torch.from_numpy(pixels[start : start + CHUNK]).permute(0, 3, 1, 2).to(device) for start in parts)
        emb = torch.cat([encode_frames(model, chunk).cpu() for chunk in chunks])
        first = data.first_frames()
        return cls(emb, data.episode_numbers(), np.arange(len(first)) - first)

    @cached_property
    def spread(self) -> float:
        """Root mean squared L2 distance of the corpus's latents from their mean: the unit of `relative`."""
        return (self.emb - self.emb.mean(0)).square().sum(1).mean().sqrt().item()


@torch.no_grad()
def roll_out(model: LeWM, action_scale: Callable[[np.ndarray], np.ndarray], data: Data, context: Tensor,
             starts: np.ndarray, steps: int) -> Tensor:
    """Predict `steps` latents after each context, under the recorded actions.

    context: (n, H, D) latents of the H frames from each of `starts` (n,) on, on the model's device. action_scale: the
    model's own, raw actions to standardised ones. Returns (n, H + steps, D) there: the context, then the predictions.
    Eval mode is used; the model's mode is kept.
    """
    training = model.training
    model.eval()
    actions = action_scale(data["action"][starts[:, None] + np.arange(context.shape[1] + steps - 1)])
    emb = model.rollout(context, torch.from_numpy(actions).to(context.device))
    model.train(training)
    return emb.float()


def rollout_from(model: LeWM, action_scale: Callable[[np.ndarray], np.ndarray], data: Data, episode: int, start: int,
                 steps: int, history: int) -> Tensor:
    """Predict `steps` latents of an episode from `history` real frames and the recorded actions.

    action_scale: the model's own, raw actions to standardised ones. start: first context frame in the episode.
    Returns (history + steps, D) on the CPU: the encoded context frames, then the predictions. Eval mode is used; the
    model's mode is kept.
    """
    at = data.episode(episode).start + start
    context = torch.from_numpy(data["pixels"][at : at + history]).permute(0, 3, 1, 2)
    context = encode_frames(model, context.to(next(model.parameters()).device)).unsqueeze(0)
    return roll_out(model, action_scale, data, context, np.array([at]), steps)[0].cpu()


def retrieve(corpus: Corpus, emb: Tensor, scope: str, episode: int) -> tuple[np.ndarray, np.ndarray]:
    """The L2-nearest real frame of each latent emb (S, D): frame ids (S,) in the corpus and distances (S,).

    scope: one of SCOPES, every frame or those of `episode`. Of equally near frames the first is taken.
    """
    allowed = np.ones(len(corpus.emb), bool)
    if scope == "episode":
        allowed = corpus.episode == episode
    ids = torch.from_numpy(np.flatnonzero(allowed))
    best = torch.full((len(emb),), torch.inf)
    found = torch.zeros(len(emb), dtype=torch.long)
    for part in ids.split(CHUNK):
        distance, index = torch.cdist(emb.float(), corpus.emb[part],
                                      compute_mode="donot_use_mm_for_euclid_dist").min(1)
        better = distance < best
        best, found = torch.where(better, distance, best), torch.where(better, part[index], found)
    return found.numpy(), best.numpy()


@dataclass(frozen=True)
class LatentWorld:
    """One condition's model with its action scale and the corpus it encoded."""

    model: LeWM
    action_scale: Callable[[np.ndarray], np.ndarray]
    corpus: Corpus


def rollout_table(worlds: Mapping[str, LatentWorld], data: Data, episode: int, start: int, steps: int,
                  history: int, scope: str) -> pd.DataFrame:
    """One rollout under several models: a row per step and model, and per step and model for persistence.

    Columns: episode, start, step (1 …), space (the model in whose latent space the row lives), model (the same, or
    "static"), true_frame, distance (L2 to the true frame's latent), relative (the same over the corpus's spread),
    scope, frame and retrieval_distance (the nearest real frame and how far it is). Frames are indices into the dataset.
    """
    tables = []
    for name, world in worlds.items():
        emb = rollout_from(world.model, world.action_scale, data, episode, start, steps, history)
        persistence = emb[history - 1].expand(steps, -1)
        for label, pred_emb in ((name, emb[history:]), (STATIC, persistence)):
            tables.append(looked_up(world.corpus, pred_emb, episode, start, history, scope, space=name, model=label))
    return pd.concat(tables, ignore_index=True)


def looked_up(corpus: Corpus, pred_emb: Tensor, episode: int, start: int, history: int, scope: str,
              **labels: str) -> pd.DataFrame:
    """The rows of `rollout_table` of the latents pred_emb (S, D) that one model predicted. labels: space and model."""
    true = np.flatnonzero(corpus.episode == episode)[start + history :][: len(pred_emb)]
    distance = (pred_emb - corpus.emb[true]).norm(dim=1).numpy()
    frame, nearest = retrieve(corpus, pred_emb, scope, episode)
    return pd.DataFrame({
        "episode": episode, "start": start, "step": np.arange(1, len(pred_emb) + 1), **labels, "true_frame": true,
        "distance": distance, "relative": distance / corpus.spread, "scope": scope, "frame": frame,
        "retrieval_distance": nearest})


def stability(table: pd.DataFrame, corpus: Corpus) -> pd.DataFrame:
    """How steadily each model's retrieved frames move, a row per rollout and model (the dashboard's table).

    table: rows of `rollout_table`. With S steps there are S − 1 transitions from one retrieved frame to the next.
    same_episode: % of steps that find a frame of the rollout's own episode. switches: transitions to another episode.
    mean_jump: mean |change of frame index| over transitions within one episode (NaN if there are none). monotonicity: %
    of transitions to a later frame of the same episode. unique_frames: different frames found. repeated: % of
    transitions that stay on one frame.
    """
    rows = []
    for (episode, start, space, model), steps in table.groupby(["episode", "start", "space", "model"], sort=False):
        ids = steps.sort_values("step").frame.to_numpy()
        where, move = corpus.episode[ids], np.diff(corpus.frame[ids])
        within = where[1:] == where[:-1]
        moves = max(1, len(move))
        rows.append({
            "episode": episode, "start": start, "space": space, "model": model, "steps": len(ids),
            "same_episode": 100 * np.mean(where == episode), "switches": int((~within).sum()),
            "mean_jump": np.abs(move[within]).mean() if within.any() else np.nan,
            "monotonicity": 100 * (within & (move > 0)).sum() / moves, "unique_frames": len(np.unique(ids)),
            "repeated": 100 * (within & (move == 0)).sum() / moves})
    return pd.DataFrame(rows)


def over_static(table: pd.DataFrame) -> pd.DataFrame:
    """Per rollout and model, the mean distance to the truth over that of persistence in the same space.

    Columns episode, start, model, ratio: below 1 the model beats persistence. NaN where nothing moves.
    """
    mean = table.groupby(["episode", "start", "space", "model"], sort=False).distance.mean().unstack("model")
    rows = []
    for (episode, start, space), row in mean.iterrows():
        ratio = row[space] / row[STATIC] if row[STATIC] > 0 else np.nan
        rows.append({"episode": episode, "start": start, "model": space, "ratio": ratio})
    return pd.DataFrame(rows, columns=["episode", "start", "model", "ratio"])


def tags(ratios: Mapping[str, float]) -> list[str]:
    """The dashboard's labels of one rollout, from each model's distance over persistence's.

    static-dominates: every model is above BEATS_STATIC; models-beat-static: every one is below. tight-tie,
    large-model-gap: the worst model over the best is at most TIGHT_TIE, at least LARGE_GAP. best:<condition>. Nothing
    is said where a ratio is not finite (the episode stands still). The dashboard's thresholds are not published; these
    are ours.
    """
    values = np.array(list(ratios.values()), float)
    if not len(values) or not np.isfinite(values).all():
        return []
    out = []
    if (values > BEATS_STATIC).all():
        out.append("static-dominates")
    if (values < BEATS_STATIC).all():
        out.append("models-beat-static")
    if len(values) > 1:
        worst, best = values.max(), values.min()
        if worst <= TIGHT_TIE * best:
            out.append("tight-tie")
        if worst >= LARGE_GAP * best and worst > 0:
            out.append("large-model-gap")
    return [*out, f"best:{min(ratios, key=ratios.get)}"]
