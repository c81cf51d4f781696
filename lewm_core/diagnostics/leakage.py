"""How far the paper's split leaks, measured directly: which held-out frames were trained on, and what it buys.

Windows of four frames overlap by three, so a window held out at random consists of frames of its neighbours, which are
trained on. The split by episode is the same measurement with nothing shared. Blocks lie between the two: they share
their episode with training windows, and no frame.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import torch

from lewm_core.dataset import WINDOW, Data, Split, windows
from lewm_core.dataset.frames import ActionScale
from lewm_core.diagnostics.metrics import finished, predicted
from lewm_core.diagnostics.retrieval import Corpus
from lewm_core.experiments.base import Base
from lewm_core.model import LeWM
from lewm_core.stats import paper
from lewm_core.stats.paired import bounds, interval, number, t_p
from lewm_core.train import default_device
from lewm_core.utils.errors import InputError

# What makes held-out windows easier than unseen episodes, where blocks tell the two apart: measure -> in words.
PARTS = {"shared_frames": "shared frames", "same_episode": "same episode", "both": "both together"}


def shared_frames(starts: np.ndarray, train: np.ndarray) -> np.ndarray:
    """(n,) how many of the WINDOW frames of each window at `starts` lie in a training window, 0..WINDOW."""
    return np.isin(windows(starts), windows(train)).sum(1)


def window_errors(model: LeWM, action_scale: ActionScale, data: Data, emb: torch.Tensor, split: Split) -> pd.DataFrame:
    """One row per held-out window of one model: split, start, shared (`shared_frames`), mse and static (that of
    persistence, which copies the last latent), both over the window's predicted frames, in the model's own space."""
    parts = []
    for name, starts in split.val.items():
        pred_emb = predicted(model, action_scale, data, emb, starts)
        true = emb[torch.from_numpy(windows(starts))]  # (n, WINDOW, D)
        parts.append(pd.DataFrame({
            "split": name, "start": starts, "shared": shared_frames(starts, split.train),
            "mse": (pred_emb - true[:, 1:]).square().mean((1, 2)).numpy(),
            "static": (true[:, :-1] - true[:, 1:]).square().mean((1, 2)).numpy()}))
    return pd.concat(parts, ignore_index=True)


def leak_table(results: pd.DataFrame, folder: Path, data: Data, base: Base) -> pd.DataFrame:
    """`window_errors` of every run of A, and of the base before fine-tuning on the same windows.

    data: holds the episodes of all runs. The base saw none of these frames, so what it shows between the splits is that
    their windows differ, not a leak.
    Columns condition ("base" for the base), scale, seed and those of `window_errors`.
    """
    model, own_scale = base.load(0)
    model.to(default_device())
    parts = []
    for run in finished(results[results.condition == paper.BASELINE], folder, data):
        base_emb = Corpus.of(model, run.data).emb
        of_base = window_errors(model, own_scale or run.action_scale, run.data, base_emb, run.split)
        of_run = window_errors(run.model, run.action_scale, run.data, run.emb, run.split)
        parts += [table.assign(condition=name, scale=run.scale, seed=run.seed)
                  for name, table in ((paper.BASELINE, of_run), ("base", of_base))]
    if not parts:
        raise InputError("results", f"no run of condition {paper.BASELINE}", "at least one")
    return pd.concat(parts, ignore_index=True)


def leak_summary(table: pd.DataFrame) -> pd.DataFrame:
    """What the leak is worth, per condition and scale, over seeds.

    seen_window, seen_episode: share (per cent) of a held-out window's frames that were trained on. gap: how much higher
    the MSE is on unseen episodes than on held-out windows of training episodes, in the same model, per cent.
    gap_static: the same of MSE over persistence's, which allows for windows that move more. leak: gap beyond the
    base's on the same windows, 100 · ((1 + gap) / (1 + gap of the base) − 1), since the base saw neither. Where blocks
    were held out, the same from held-out windows to them: seen_block, gap_block, gap_static_block and leak_block, what
    is due to shared frames and not to the episode; and the measures of PARTS, in points of MSE as per cent of
    persistence's, from windows to blocks, from blocks to episodes, and their sum. What needs a split that was not held
    out is left out.
    Columns condition, scale, n, measure, mean, low, high (95 % over seeds), p.
    """
    rows = []
    for (condition, scale), group in _measures(table).groupby(["condition", "scale"], sort=False):
        for name in group.columns:
            values = group[name].dropna().to_numpy(float)
            if not len(values) or (condition == "base" and name.startswith("leak")):
                continue
            rows.append((condition, scale, len(values), name, values.mean(), *interval(values), t_p(values)))
    return pd.DataFrame(rows, columns=["condition", "scale", "n", "measure", "mean", "low", "high", "p"])


def _measures(table: pd.DataFrame) -> pd.DataFrame:
    """The measures of `leak_summary` as columns, a row per condition, scale and seed."""
    means = table.groupby(["condition", "scale", "seed", "split"], sort=False)[["mse", "static", "shared"]].mean()
    wide = means.unstack("split")
    splits = [split for split in ("window", "episode", "block") if split in set(table.split)]
    found = pd.DataFrame({f"seen_{split}": 100 * wide["shared"][split] / WINDOW for split in splits})
    for split, end in (("episode", ""), ("block", "_block")):
        if not {"window", split} <= set(splits):
            continue
        gap = wide["mse"][split] / wide["mse"]["window"]
        found[f"gap{end}"] = 100 * (gap - 1)
        found[f"gap_static{end}"] = 100 * (gap / (wide["static"][split] / wide["static"]["window"]) - 1)
        if "base" in gap.index:
            of_base = gap.loc["base"].reindex(gap.index.droplevel("condition")).to_numpy()
            found[f"leak{end}"] = 100 * (gap / of_base - 1)
    if len(splits) == 3:
        error = 100 * wide["mse"] / wide["static"]
        found["shared_frames"] = error["block"] - error["window"]
        found["same_episode"] = error["episode"] - error["block"]
        found["both"] = error["episode"] - error["window"]
    return found


def error_by_shared(table: pd.DataFrame) -> pd.DataFrame:
    """MSE of held-out windows by the number of frames they share with training: condition, scale, seed, split, shared,
    windows, mse, mse_over_static.

    In a split by window those that share fewer than four lie at the ends of episodes or beside other held-out ones,
    where less may move; so persistence's MSE on the same windows is divided out in the last column.
    """
    keys = ["condition", "scale", "seed", "split", "shared"]
    grouped = table.groupby(keys, sort=True)
    means = grouped[["mse", "static"]].mean()
    return pd.DataFrame({"windows": grouped.size(), "mse": means.mse,
                         "mse_over_static": (means.mse / means.static).where(means.static > 0)}).reset_index()


def describe_leak(summary: pd.DataFrame) -> list[str]:
    """Sentences about `leak_summary`, one per scale."""
    lines = []
    for scale, rows in summary[summary.condition == paper.BASELINE].groupby("scale", sort=False):
        of = {row.measure: row for row in rows.itertuples()}
        if "seen_window" not in of:
            lines.append(f"{scale}: no windows of training episodes were held out, so nothing can leak.")
            continue
        line = (f"{scale}, n = {of['seen_window'].n}: {of['seen_window'].mean:.0f} % of the frames in windows held out "
                "at random were trained on")
        if "gap" not in of:
            lines.append(line + ". No episodes were held out to compare with.")
            continue
        line += (f", and {of['seen_episode'].mean:.0f} % of those in held-out episodes. From held-out windows to "
                 f"unseen episodes the MSE of {paper.BASELINE} changes by {_percent(of['gap'])}")
        if "leak" in of:
            line += f". Beyond what the base's MSE changes by on the same windows, {_percent(of['leak'])} are left"
        if "leak_block" in of:
            line += (f". To blocks of training episodes that share no frame with training it changes by "
                     f"{_percent(of['gap_block'])}, {_percent(of['leak_block'])} beyond the base's")
        lines.append(line + ".")
    return lines or [f"Not run: the leak of {paper.BASELINE} was not measured."]


def describe_parts(summary: pd.DataFrame) -> list[str]:
    """Sentences about the measures of PARTS, two per scale: how much of what the window split is worth is shared
    frames, how much is the same episode. summary: as from `leak_summary`, with blocks."""
    lines = []
    parts = summary[summary.measure.isin(PARTS)]
    for scale, rows in parts.groupby("scale", sort=False):
        of = {(row.condition, row.measure): row for row in rows.itertuples()}
        shared, same, both = (of[paper.BASELINE, measure] for measure in PARTS)
        lines.append(f"{scale}, n = {both.n}: from held-out windows to unseen episodes the error of {paper.BASELINE} "
                     f"changes by {_points(both)} points of persistence's: by {_points(shared)} from windows to "
                     f"blocks, which is the shared frames, and by {_points(same)} from blocks to unseen episodes, "
                     f"which is the same episode. {_shares(shared, same, both)}")
        if ("base", "both") in of:
            base = [_points(of["base", measure]) for measure in PARTS]
            lines.append(f"{scale}, the base, which saw none of them: {base[2]} points in all, {base[0]} from windows "
                         f"to blocks and {base[1]} from blocks to unseen episodes.")
    return lines or ["Not run: no blocks were held out."]


def _shares(shared: tuple, same: tuple, both: tuple) -> str:
    """How the whole divides into its two parts, where it is clearly above 0."""
    if not both.low > 0:
        return "The whole is not clearly above 0 here, so its parts are not shares of it."
    return (f"Of what the window split is worth, {100 * shared.mean / both.mean:.0f} % are shared frames and "
            f"{100 * same.mean / both.mean:.0f} % the same episode.")


def _points(row: tuple) -> str:
    """Mean and interval of a row of `leak_summary`, without a unit."""
    return f"{number(row.mean)}{bounds(row.low, row.high)}"


def _percent(row: tuple) -> str:
    """Mean and interval of a row of `leak_summary`."""
    return f"{number(row.mean)} %{bounds(row.low, row.high)}"
