"""Rollouts as pictures (Figure 4) and as curves, each with the table of the numbers in it."""

import base64
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from IPython.display import HTML
from matplotlib.figure import Figure

from lewm_core.diagnostics import retrieval
from lewm_core.diagnostics.decoder import Decoder, decode
from lewm_core.diagnostics.planning_study import Planned
from lewm_core.diagnostics.rollout_study import Rollouts
from lewm_core.stats import findings_rollouts
from lewm_core.utils import escape
from lewm_core.viz import diagnostic_figures, images
from lewm_core.viz.images import RolloutColumn
from lewm_core.viz.style import empty_figure, tidy

NAME = 60  # characters of an episode's name under a picture
SHOWN = 4  # steps that get a row in Figure 4
TRUTH, PERSISTENCE = "ground truth", "persistence"
SAME_EPISODE = ", same episode"
LABELS = ["seed", "episode", "start", "step", "space", "model", "scope", "retrieved_episode", "retrieved_frame"]


def numbers(rollouts: Rollouts, rows: pd.DataFrame, drawn: list[str]) -> pd.DataFrame:
    """The columns `drawn` of rows of `rollouts.tables`: a row per number, with names of episodes and frames in them."""
    corpus, ids = rollouts.corpus, rollouts.ids
    rows = rows.assign(seed=rollouts.seed, retrieved_episode=[ids[e] for e in corpus.episode[rows.frame]],
                       retrieved_frame=corpus.frame[rows.frame], episode=[ids[e] for e in rows.episode])
    split = "episode" if len(rollouts.held) else "training"
    return tidy(rows.melt(LABELS, drawn, "metric", "value"), "value", "", "model", scale=rollouts.scale, split=split)


def distance(rollouts: Rollouts) -> Figure:
    """Distance to the true latent over the corpus's spread, by step and latent space, and over that of persistence."""
    return diagnostic_figures.rollout_distance(rollouts.table, findings_rollouts.by_step(rollouts.table))


def distance_numbers(rollouts: Rollouts) -> pd.DataFrame:
    """The table of `distance`: every rollout's distance, then the ratios of mean distances by step."""
    ratios = findings_rollouts.by_step(rollouts.table)
    ratios = ratios.melt(["model", "step"], ["n", "mean", "low", "high"], "statistic")
    drawn = numbers(rollouts, rollouts.table, ["relative"])
    split = drawn.split.iloc[0] if len(drawn) else ""
    told = tidy(ratios, "value", "ratio of mean distances", "model", scale=rollouts.scale, split=split,
                seed=rollouts.seed)
    return pd.concat([drawn, told])


def columns(rollouts: Rollouts, decoders: Mapping[str, Decoder], episode: int, start: int) -> dict[str, RolloutColumn]:
    """Every column of a rollout by name: the truth, persistence, and per model two retrievals and the decoder."""
    corpus, pixels, steps = rollouts.corpus, rollouts.data["pixels"], rollouts.steps
    true = _rows(rollouts, episode, start, next(iter(rollouts.worlds))).true_frame.to_numpy()
    last = true[0] - 1  # of the context
    frozen = f"frozen frame {corpus.frame[last]}"
    found = [RolloutColumn(TRUTH, pixels[true], "", [f"frame {corpus.frame[frame]}" for frame in true]),
             RolloutColumn(PERSISTENCE, pixels[[last] * steps], "", [frozen] * steps)]
    for name, world in rollouts.worlds.items():
        for scope, words in (("global", ""), ("episode", SAME_EPISODE)):
            rows = _rows(rollouts, episode, start, name, scope)
            notes = [_note(rollouts, row) for row in rows.itertuples()]
            found.append(RolloutColumn(f"{name} retrieval{words}", pixels[rows.frame], name, notes))
        emb = retrieval.rollout_from(world.model, world.action_scale, rollouts.data, episode, start, steps,
                                     rollouts.history)
        notes = [f"latent {d:.2f} from the truth" for d in _rows(rollouts, episode, start, name).distance]
        decoded = decode(decoders[name], emb[rollouts.history:])
        found.append(RolloutColumn(f"{name} decoder", decoded, name, notes))
    return {column.name: column for column in found}


def _rows(rollouts: Rollouts, episode: int, start: int, name: str, scope: str = "global") -> pd.DataFrame:
    """The rows of one rollout under one model."""
    rows = rollouts.of(episode, start, scope)
    return rows[(rows.space == name) & (rows.model == name)]


def _note(rollouts: Rollouts, row: tuple) -> str:
    """Which frame was found, and how far it is from the prediction."""
    corpus = rollouts.corpus
    found = f"{escape.plain(rollouts.ids[corpus.episode[row.frame]], NAME)}:{corpus.frame[row.frame]}"
    return f"{found}\nd = {row.retrieval_distance:.2f}"


def figure4_columns(shown: Mapping[str, RolloutColumn]) -> list[RolloutColumn]:
    """The truth, then the retrievals from all frames, then the decoders."""
    kinds = ("retrieval", "decoder")
    return [shown[TRUTH], *[column for kind in kinds for name, column in shown.items() if name.endswith(f" {kind}")]]


def scope_columns(shown: Mapping[str, RolloutColumn]) -> list[RolloutColumn]:
    """The truth and persistence, then the retrievals from all frames, then those from the episode alone."""
    kinds = (" retrieval", f" retrieval{SAME_EPISODE}")
    return [shown[TRUTH], shown[PERSISTENCE],
            *[column for kind in kinds for name, column in shown.items() if name.endswith(kind)]]


def strip(rollouts: Rollouts, chosen: list[RolloutColumn], episode: int, start: int) -> Figure:
    """Columns of one rollout side by side, for a few of its steps."""
    steps = rollouts.steps
    show = sorted({1, *np.linspace(1, steps, min(SHOWN, steps)).round().astype(int).tolist()})
    held = ", held out" if episode in rollouts.held else ""
    named, task = map(escape.plain, (rollouts.ids[episode], rollouts.data["task"][episode] or "no task text"))
    title = f"{named}: {task} · predicted from frames {start} to {start + rollouts.history - 1}{held}"
    return images.rollout_strip(chosen, list(range(1, steps + 1)), show, title)


def animation(rollouts: Rollouts, chosen: list[RolloutColumn], path: Path) -> HTML:
    """The same as a GIF at `path`, shown as HTML, since exports drop image/gif."""
    made = images.rollout_animation(chosen, list(range(1, rollouts.steps + 1)), path)
    picture = base64.b64encode(made.read_bytes()).decode()
    return HTML(f'<img alt="Figure 4 as an animation" src="data:image/gif;base64,{picture}">')


def planning_numbers(planned: Planned, rollouts: Rollouts) -> pd.DataFrame:
    """The table of the planning figure; empty where nothing was planned."""
    if planned.summary.empty:
        return pd.DataFrame()
    pairs = planned.comparisons
    pairs = pairs.assign(metric="success against " + pairs.against, kind="all", factor=1.0, value=pairs.difference)
    both = pd.concat([planned.summary, pairs], ignore_index=True)
    return tidy(both, "value", "", "method", scale=rollouts.scale, seed=rollouts.seed, split="episode")


def planning(planned: Planned) -> Figure:
    """The figure of the planning, or why there is none."""
    if planned.reason:
        return empty_figure(planned.reason)
    return diagnostic_figures.planning(planned.summary, planned.comparisons)
