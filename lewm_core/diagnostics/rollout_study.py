"""Rollouts of held-out episodes under several models: which are taken, their tables, and decoders for them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from lewm_core.config import Recipe
from lewm_core.dataset import Data
from lewm_core.dataset.frames import ActionScale
from lewm_core.diagnostics import retrieval
from lewm_core.diagnostics.decoder import Decoder, DecoderRecipe, quality, train_decoder
from lewm_core.diagnostics.probes import held_out
from lewm_core.diagnostics.retrieval import Corpus, LatentWorld
from lewm_core.model import LeWM
from lewm_core.stats.paper import BASELINE
from lewm_core.train import default_device
from lewm_core.utils import escape
from lewm_core.utils.errors import InputError
from lewm_core.utils.progress import bar

BESIDE = ("B", "D")  # what is set beside the baseline: the first of these that was run


@dataclass(frozen=True)
class Rollouts:
    """Rollouts and what they need.

    worlds: by condition, the baseline first. scale, seed: of the runs. held: numbers of the episodes that they never
    trained on, none where the recipe holds out none. history, steps: context frames, and frames predicted after them.
    starts: (episode, first context frame) of each rollout. tables: `retrieval.rollout_table` of all, by scope.
    """

    data: Data
    worlds: Mapping[str, LatentWorld]
    scale: str
    seed: int
    held: np.ndarray
    history: int
    steps: int
    starts: Sequence[tuple[int, int]]
    tables: Mapping[str, pd.DataFrame]

    @property
    def ids(self) -> list[str]:
        """The episodes' names by number."""
        return [str(id) for id in self.data["episode_id"]]

    @property
    def corpus(self) -> Corpus:
        """All frames of the dataset: which episode each belongs to is the same for every model."""
        return next(iter(self.worlds.values())).corpus

    @property
    def table(self) -> pd.DataFrame:
        """The rollouts, looked up among all frames."""
        return self.tables["global"]

    @property
    def unseen(self) -> np.ndarray:
        """(N,) bool: which frames belong to episodes that were held out."""
        return np.isin(self.corpus.episode, self.held)

    def of(self, episode: int, start: int, scope: str = "global") -> pd.DataFrame:
        """The rows of one rollout."""
        rows = self.tables[scope]
        return rows[(rows.episode == episode) & (rows.start == start)]

    def told(self) -> list[str]:
        """How many rollouts there are, of what."""
        episodes = {episode for episode, _ in self.starts}
        kind = "held-out episodes" if len(self.held) else "episodes, none of which was held out from training"
        lines = [f"{len(self.corpus.emb)} frames. {len(self.starts)} rollouts of {len(episodes)} {kind}: "
                 f"{self.steps} steps ({self.steps / 5:.1f} s) from {self.history} frames."]
        short = [self.ids[e] for e in self.held if e not in episodes]
        if short:
            lines.append(f"Too short to be rolled out: {', '.join(map(escape.markdown, short))}.")
        return lines


def compared(results: pd.DataFrame, seed: int) -> list[str]:
    """The conditions that are rolled out: the baseline, and the first of BESIDE that was run with this seed."""
    run = set(results[results.seed == seed].condition)
    return [BASELINE, *[name for name in BESIDE if name in run][:1]]


def encode(models: Mapping[str, tuple[LeWM, ActionScale]], data: Data) -> dict[str, LatentWorld]:
    """Each model on the device, with all frames of `data` as it encodes them. models: with its own action scale."""
    worlds = {}
    for name, (model, scale) in models.items():
        model = model.to(default_device())
        worlds[name] = LatentWorld(model, scale, Corpus.of(model, data, f"frames seen by {name}"))
    return worlds


def roll_out(worlds: Mapping[str, LatentWorld], data: Data, scale: str, seed: int, recipe: Recipe, steps: int,
             stride: int, test: Sequence[str] | None = None) -> Rollouts:
    """Roll out every episode that runs of this seed and recipe never saw; all episodes where the recipe holds out none.

    scale: what `data` is, pilot or full. steps: predicted frames; fewer where the longest of these episodes is shorter.
    stride: frames between the starts of two rollouts of one episode. test: as for `held_out`. InputError where no
    episode is longer than a model's history.
    """
    held = held_out(data, seed, recipe, test)
    chosen = held if len(held) else np.arange(len(data["ep_len"]))
    history = next(iter(worlds.values())).model.config.history
    longest = int(data["ep_len"][chosen].max())
    steps = min(steps, longest - history)
    if steps < 1:
        raise InputError("rollouts", f"episodes of at most {longest} frames",
                         f"one of more than {history}, to roll out from {history} context frames")
    starts = []
    for episode in chosen:
        last = int(data["ep_len"][episode]) - history - steps
        starts += [(int(episode), start) for start in range(0, last + 1, stride)]
    tables = {}
    for scope in retrieval.SCOPES:
        tables[scope] = pd.concat([
            retrieval.rollout_table(worlds, data, episode, start, steps, history, scope)
            for episode, start in bar(starts, f"rollouts, {scope}", "rollout")], ignore_index=True)
    return Rollouts(data, worlds, scale, seed, held, history, steps, starts, tables)


def choose(rollouts: Rollouts, name: str = "") -> tuple[int, int]:
    """The rollout to show, (episode, start): the one in which most happens, that is, whose persistence prediction is
    furthest from the truth. name: of the episode; empty for any. InputError for one that was not rolled out."""
    table = rollouts.table
    if name:
        known = sorted({rollouts.ids[episode] for episode, _ in rollouts.starts})
        if name not in known:
            raise InputError("show_episode", repr(name), f"an episode that is rolled out: {', '.join(known)}")
        table = table[table.episode == rollouts.ids.index(name)]
    persistence = table[table.model == retrieval.STATIC]
    return persistence.groupby(["episode", "start"]).relative.mean().idxmax()


def both_scopes(rollouts: Rollouts, episode: int, start: int) -> pd.DataFrame:
    """The rows of one rollout, retrieved from all frames and from the episode alone."""
    return pd.concat([rollouts.of(episode, start, scope) for scope in rollouts.tables])


def stability(rollouts: Rollouts) -> pd.DataFrame:
    """`retrieval.stability` of all rollouts, with column scope."""
    tables = []
    for scope, table in rollouts.tables.items():
        models = table[table.model != retrieval.STATIC]
        tables.append(retrieval.stability(models, rollouts.corpus).assign(scope=scope))
    return pd.concat(tables)


def tags(rollouts: Rollouts) -> dict[tuple[int, int], list[str]]:
    """`retrieval.tags` of every rollout, by (episode, start)."""
    ratios = retrieval.over_static(rollouts.table)
    return {key: retrieval.tags(dict(zip(rows.model, rows.ratio, strict=True)))
            for key, rows in ratios.groupby(["episode", "start"], sort=False)}


def train_decoders(rollouts: Rollouts, recipe: DecoderRecipe) -> tuple[dict[str, Decoder], pd.DataFrame]:
    """A decoder per model, trained on the episodes that the model was trained on, and how good it is.

    The table: model, episodes (held out, training), and in dB the PSNR of the decoder, that of the mean image of the
    training frames, and the gain of the one over the other.
    """
    pixels, unseen = rollouts.data["pixels"], rollouts.unseen
    decoders, rows = {}, []
    for name, world in rollouts.worlds.items():
        emb = world.corpus.emb.to(next(world.model.parameters()).device)
        decoders[name] = train_decoder(emb[torch.from_numpy(~unseen)], pixels[~unseen], recipe, rollouts.seed)
        for part, chosen in (("held out", unseen), ("training", ~unseen)):
            if chosen.any():
                score = quality(decoders[name], world.corpus.emb[torch.from_numpy(chosen)], pixels[chosen])
                rows.append({"model": name, "episodes": part, "decoder": score["psnr"],
                             "mean image": score["psnr_mean_image"]})
    table = pd.DataFrame(rows).set_index(["model", "episodes"])
    return decoders, table.assign(gain=table["decoder"] - table["mean image"])
