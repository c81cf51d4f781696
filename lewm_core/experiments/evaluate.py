"""A finished checkpoint measured on a dataset: on what it was held out from where that is known, else on all of it."""

from collections.abc import Mapping
from dataclasses import asdict

import numpy as np

from lewm_core.checkpoints import checkpoint, hub
from lewm_core.conditions import ALL
from lewm_core.config import Recipe
from lewm_core.dataset import Data, Split, window_starts, windows
from lewm_core.dataset.frames import ActionScale, Frames
from lewm_core.evaluate import encode_frames, evaluate
from lewm_core.experiments.run import episodes_of, trained_on
from lewm_core.outcomes import world_units
from lewm_core.outcomes.measure import UNSEEN
from lewm_core.train import check, default_device, heads_of, split_of
from lewm_core.utils.errors import InputError

WHOLE = "all"  # the split of a dataset that the checkpoint was not trained on


def evaluate_checkpoint(name: str, data: Data) -> dict[str, object]:
    """Teacher-forced metrics of any checkpoint that `checkpoint.load` reads, and its errors in centimetres.

    On the dataset that it was trained on, or one that holds the episodes of its training: the held-out windows and
    episodes of its run, its heads included, so that the numbers are those of its training. On any other: all windows,
    without heads, whose targets are scaled by the training data, and without centimetres, which are read by a map that
    is fitted to training frames. Where the checkpoint has no action scale (public ones
    have none), one is fitted to the dataset's actions.

    Returns condition, base, action_scale (whose it is), own_dataset (bool), windows and metrics by split.
    InputError where model and dataset do not fit, or no episode is as long as a window.
    """
    files = hub.find(name)
    model, metadata = checkpoint.load(name)
    own = trained_on(metadata, data)
    if own and episodes_of(metadata):
        data = data.select(episodes_of(metadata))
    row = ALL.get(metadata.get("condition"), ALL["A"]) if own else ALL["A"]
    check(data, row, model)
    recipe, seed = _recipe(name, metadata) if own else (Recipe(), 0)
    split = split_of(data, recipe, seed, metadata.get("test")) if own else _all_windows(data)
    train_frames = np.unique(windows(split.train)) if own else np.arange(len(data["pixels"]))
    scale = ActionScale(**metadata["action_scale"]) if metadata.get("action_scale") else None
    fitted = scale or ActionScale.fit(data["action"][train_frames])
    device = default_device()
    heads = heads_of(row, data, model, seed=0)
    if len(heads):
        checkpoint.load_heads(files, heads)
    model, heads = model.to(device), heads.to(device)
    frames = Frames.of(data, row.terms, train_frames, fitted, device, seed)
    emb = encode_frames(model, frames.pixels)
    metrics = {split_name: evaluate(model, heads, row, frames, starts, recipe, emb)
               for split_name, starts in split.val.items()}
    if UNSEEN in metrics:
        episodes = np.unique(data.episode_numbers()[split.val[UNSEEN]])
        metrics[UNSEEN] |= world_units.errors(model, emb, frames.actions, data, train_frames, episodes)
    return {
        "condition": row.name if own else metadata.get("condition"), "base": metadata.get("base"),
        "action_scale": "the checkpoint's" if scale else f"fitted here: {asdict(fitted)}",
        "own_dataset": own, "windows": {split_name: len(starts) for split_name, starts in split.val.items()},
        "metrics": metrics,
    }


def _recipe(name: str, metadata: Mapping[str, object]) -> tuple[Recipe, int]:
    """The recipe and the seed that a checkpoint says it was trained with."""
    try:
        return Recipe(**metadata["recipe"]), int(metadata["seed"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(name, f"unusable records of its training ({error})", "its recipe and seed") from None


def _all_windows(data: Data) -> Split:
    """Every window of a dataset, to judge by."""
    starts = window_starts(data["ep_len"], data["ep_offset"])
    if not len(starts):
        raise InputError("dataset", "no episode as long as a window", "one of 4 frames or more")
    return Split(starts, {WHOLE: starts})
