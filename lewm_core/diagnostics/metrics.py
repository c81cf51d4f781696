"""Metrics of finished runs that the paper's MSE lacks: a common yardstick, rollouts.

MSE is measured in each model's own latent space, and the encoder is trained: a condition can lower it by shrinking or
flattening its latents. The yardstick compares all conditions in one space, that of the frozen base encoder.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from lewm_core.dataset import Data, Split, windows
from lewm_core.dataset.frames import ActionScale
from lewm_core.diagnostics.retrieval import Corpus, roll_out
from lewm_core.experiments.base import Base
from lewm_core.experiments.run import data_of, result, split_of_run
from lewm_core.experiments.sweep import load_model
from lewm_core.model import LeWM
from lewm_core.outcomes.ridge import Target, linear_probe, pose, prepare
from lewm_core.train import default_device
from lewm_core.utils.progress import bar

HORIZONS = (1, 5, 10)  # rollout steps
ERRORS = ("mse", "mse_over_variance", "mse_over_static", "yardstick",
          *(f"rollout_{h}" for h in HORIZONS))  # the metrics of a results table for which lower is better


@dataclass(frozen=True)
class Finished:
    """A finished run with the data that it had: model, its action scale, emb (N, D) of every frame of these, its split.
    """

    condition: str
    scale: str
    seed: int
    run: str
    model: LeWM
    action_scale: ActionScale
    emb: Tensor
    split: Split
    data: Data


def finished(results: pd.DataFrame, folder: Path, data: Data) -> Iterator[Finished]:
    """Every run in a results table, one at a time, loaded, with the episodes of `data` that it had, all encoded.

    data: holds the episodes of all runs; each has its own, or all the same. InputError if it does not.
    """
    own: Data | None = None
    rows = results.drop_duplicates(["run", "scale"])
    for row in bar(rows.itertuples(), "models", "run", len(rows)):
        record = result(folder, row.run)
        if own is None or own.fingerprint != record["dataset"]:  # the conditions of a seed share theirs
            own = data_of(record, data)
        model, action_scale = load_model(results[results.run == row.run], folder, row.condition, row.seed)
        model.to(default_device())
        yield Finished(row.condition, row.scale, row.seed, row.run, model, action_scale,
                       Corpus.of(model, own).emb, split_of_run(record, own), own)


@torch.no_grad()
def predicted(model: LeWM, action_scale: ActionScale, data: Data, emb: Tensor, starts: np.ndarray) -> Tensor:
    """pred_emb (n, H, D) on the CPU for the windows at `starts`: [:, t] predicts frame start + t + 1. Eval mode."""
    model.eval()
    device, index = next(model.parameters()).device, windows(starts)[:, : model.config.history]
    actions = torch.from_numpy(action_scale(data["action"][index])).to(device)
    return model.predict(emb[torch.from_numpy(index)].to(device), model.action_encoder(actions)).float().cpu()


def rollout_errors(run: Finished, data: Data, starts: np.ndarray, episode_ends: np.ndarray) -> dict[str, float]:
    """rollout_h: squared error of the latent h steps after the context, over that of persistence.

    Each horizon uses those of `starts` (n,) whose episode, which ends before `episode_ends` (n,), has room for it;
    a horizon for which none has, or in which nothing moves, is left out.
    """
    history, device = run.model.config.history, next(run.model.parameters()).device
    out = {}
    for h in HORIZONS:
        fit = starts[starts + history + h <= episode_ends]
        if not len(fit):
            continue
        context = run.emb[torch.from_numpy(fit[:, None] + np.arange(history))]
        true = run.emb[torch.from_numpy(fit + history + h - 1)]
        ahead = roll_out(run.model, run.action_scale, data, context.to(device), fit, h)[:, -1].cpu()
        persistence = (context[:, -1] - true).square().mean().item()
        if persistence > 0:
            out[f"rollout_{h}"] = (ahead - true).square().mean().item() / persistence
    return out


def yardstick(run: Finished, data: Data, base_emb: Tensor) -> dict[str, dict[str, float]]:
    """Of each held-out split: the error of the run's predictions in the base encoder's space, over persistence's.

    The base's next latent is predicted as its last one plus a ridge map of the change that the run predicts,
    pred_emb − emb. The map is fitted to training windows, its penalty chosen by cross-validation over their episodes.
    base_emb: (N, D) of every frame. Persistence copies the base's last latent: 1 is no better than that, 0 perfect.
    (A map of pred_emb itself would have to place scenes that it has never seen: between held-out episodes and the quick
    profile's 13 it errs by several times what a step moves, whatever the run predicts.)
    yardstick_map is the same of the run's true change, emb of the next frame − emb: what the map alone loses.
    """
    groups = data.episode_numbers()
    out: dict[str, dict[str, float]] = {name: {} for name in run.split.val}
    for name, val in run.split.val.items():
        starts = np.concatenate([run.split.train, val])
        pred_emb = predicted(run.model, run.action_scale, data, run.emb, starts)
        last = torch.from_numpy(windows(starts)[:, : pred_emb.shape[1]].reshape(-1))  # (n·H,) before the predicted one
        true = (base_emb[last + 1] - base_emb[last]).numpy()
        held = np.arange(len(last)) >= len(run.split.train) * pred_emb.shape[1]
        # A held-out window counts as an episode of its own here, so that it is not fitted, whatever it overlaps.
        owner = np.where(held, -1, groups[last])
        persistence = (true[held] ** 2).mean()
        if not persistence > 0:
            continue
        for metric, emb in (("yardstick", pred_emb.flatten(0, 1)), ("yardstick_map", run.emb[last + 1])):
            change = prepare((emb - run.emb[last]).numpy(), np.flatnonzero(~held))
            problem = pose(change, Target(true, np.ones(true.shape, bool)), owner, [-1])
            out[name][metric] = float(((linear_probe(problem) - true[held]) ** 2).mean() / persistence)
    return out


def metric_table(results: pd.DataFrame, folder: Path, data: Data, base: Base) -> pd.DataFrame:
    """Post-hoc metrics of every run in `results`, tidy as a results table, so that `paired_change` compares them.

    results: as `sweep` returns them; folder: where the runs are kept; data: holds the episodes of all; base: the
    yardstick, the same for all. Metrics: those of `yardstick`, rollout_h. Rollouts of the window split begin where its
    windows do and run on into frames that training saw.
    """
    start = base.load(0)[0].to(default_device())
    rows, own = [], None
    for run in finished(results, folder, data):
        if run.data is not own:
            own = run.data
            base_emb, ends = Corpus.of(start, own).emb, np.repeat(own["ep_offset"] + own["ep_len"], own["ep_len"])
        common = yardstick(run, own, base_emb)
        for split, starts in run.split.val.items():
            values = common[split] | rollout_errors(run, own, starts, ends[starts])
            rows += [(run.condition, run.scale, run.seed, split, metric, value, run.run)
                     for metric, value in values.items()]
    return pd.DataFrame(rows, columns=["condition", "scale", "seed", "split", "metric", "value", "run"])
