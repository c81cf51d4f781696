"""Whole episodes as models predict them, from their first frames to their last: what the dashboard plays.

A model is loaded, and all that shows its predictions is made, when it is first asked for. Dimensions: E episodes, N
frames, H context frames, S predicted frames, D latent size.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from lewm_core.conditions import condition, in_order
from lewm_core.dataset import Data
from lewm_core.dataset.frames import ActionScale
from lewm_core.diagnostics import retrieval
from lewm_core.diagnostics.decoder import Decoder, DecoderRecipe, decode, train_decoder
from lewm_core.diagnostics.retrieval import LatentWorld
from lewm_core.diagnostics.rollout_study import encode
from lewm_core.model import LeWM
from lewm_core.outcomes.ridge import RidgeMap, ridge_of_raw
from lewm_core.outcomes.world_units import CM, PLACES, roll_out

Load = Callable[[str], tuple[LeWM, ActionScale]]  # a condition's finished model, with its own action scale


def offered(results: pd.DataFrame, seed: int) -> list[str]:
    """The conditions with a run of this seed whose model can be rolled out, in the tables' order."""
    run = in_order(results[results.seed == seed].condition)
    return [name for name in run if condition(name).predictor != "patch"]


@dataclass(frozen=True)
class Player:
    """One condition's model and what shows its predictions.

    world: the model and the frames as it encodes them. decoder: latents to pixels. ahead: (E, S, D) the latents that it
    predicts after the first H frames of every episode; beyond an episode's end they mean nothing. maps: by place
    (gripper, object) a linear map from its latents to the position in m.
    """

    world: LatentWorld
    decoder: Decoder
    ahead: Tensor
    maps: Mapping[str, RidgeMap]


@dataclass(frozen=True)
class Read:
    """Where a place is, in m, as a map reads it: from the predicted latents, and from the true ones; and the errors of
    both in cm. predicted (S, 3), floor (T, 3), error (S,), floor_error (T,); NaN where the truth is unknown."""

    predicted: np.ndarray
    floor: np.ndarray
    error: np.ndarray
    floor_error: np.ndarray


@dataclass(frozen=True)
class Playback:
    """The episodes of a dataset, played by the models of one seed.

    history: context frames. held: numbers of the episodes that none of them was trained on. offered: the conditions
    that can be played. load: what gives the model of one. recipe: of the decoders. worlds, decoders: of conditions that
    have them already.
    """

    data: Data
    history: int
    held: np.ndarray
    seed: int
    offered: Sequence[str]
    load: Load
    recipe: DecoderRecipe
    worlds: Mapping[str, LatentWorld]
    decoders: Mapping[str, Decoder]

    @cached_property
    def _players(self) -> dict[str, Player]:
        return {}

    @property
    def ready(self) -> list[str]:
        """The conditions that need not be loaded any more."""
        return list(self._players)

    @property
    def episodes(self) -> np.ndarray:
        """The numbers of the episodes that have a frame after their context, those that were held out first."""
        long = np.flatnonzero(self.data["ep_len"] > self.history)
        return np.concatenate([long[np.isin(long, self.held)], long[~np.isin(long, self.held)]])

    @cached_property
    def trained_on(self) -> np.ndarray:
        """(N,) bool: which frames are of episodes that the models were trained on; all where none was held out."""
        return ~np.isin(self.data.episode_numbers(), self.held)

    def player(self, name: str) -> Player:
        """The model of a condition and what shows its predictions; made at the first call."""
        if name not in self._players:
            self._players[name] = self._make(name)
        return self._players[name]

    def _make(self, name: str) -> Player:
        world = self.worlds.get(name) or encode({name: self.load(name)}, self.data)[name]
        emb = world.corpus.emb.to(next(world.model.parameters()).device)
        decoder = self.decoders.get(name)
        if decoder is None:
            rows = self.trained_on
            decoder = train_decoder(emb[torch.from_numpy(rows)], self.data["pixels"][rows], self.recipe, self.seed)
        actions = torch.from_numpy(world.action_scale(self.data["action"])).to(emb.device)
        steps = int(self.data["ep_len"].max()) - self.history
        ahead = roll_out(world.model, emb, actions, self.data["ep_offset"], steps).cpu()
        return Player(world, decoder, ahead, place_maps(world.corpus.emb, self.data, self.trained_on))

    def predicted(self, name: str, episode: int) -> Tensor:
        """(S, D) the latents that a condition predicts for one episode."""
        return self.player(name).ahead[episode, : int(self.data["ep_len"][episode]) - self.history]

    def table(self, name: str, episode: int, scope: str) -> pd.DataFrame:
        """The rows of `retrieval.rollout_table` of one episode under one condition, without persistence."""
        return retrieval.looked_up(self.player(name).world.corpus, self.predicted(name, episode), episode, 0,
                                   self.history, scope, space=name, model=name)

    def persistence(self, name: str, episode: int) -> np.ndarray:
        """(S,) how far the last context frame's latent is from the true ones, in the latent space of a condition."""
        emb = self.player(name).world.corpus.emb[self.data.episode(episode)]
        return (emb[self.history - 1] - emb[self.history :]).norm(dim=1).numpy()

    def decoded(self, name: str, episode: int) -> np.ndarray:
        """(S, h, w, 3) uint8: what a condition predicts, decoded."""
        return decode(self.player(name).decoder, self.predicted(name, episode))

    def places(self, episode: int) -> dict[str, np.ndarray]:
        """Where gripper and object truly are, (T, 3) m, for those that the data have."""
        frames = self.data.episode(episode)
        return {place: self.data[place][frames].astype(np.float64) for place in PLACES if place in self.data.columns}

    def read(self, name: str, episode: int) -> dict[str, Read]:
        """Where gripper and object are by what a condition predicts, for those that the data have."""
        player, places = self.player(name), self.places(episode)
        predicted = self.predicted(name, episode).double().numpy()
        seen = player.world.corpus.emb[self.data.episode(episode)].double().numpy()
        found = {}
        for place, read in player.maps.items():
            true, ahead, floor = places[place], read(predicted), read(seen)
            off = np.linalg.norm(ahead - true[len(true) - len(ahead):], axis=1)
            found[place] = Read(ahead, floor, CM * off, CM * np.linalg.norm(floor - true, axis=1))
        return found


def place_maps(emb: Tensor, data: Data, rows: np.ndarray) -> dict[str, RidgeMap]:
    """By place the ridge regression of its position (m) on latents emb (N, D), fitted to the frames `rows` (N,) bool.

    Left out: places that the data lack, and those known in fewer than two of these episodes.
    """
    found, groups = {}, data.episode_numbers()
    for place in PLACES:
        if place not in data.columns:
            continue
        fit = rows & np.isfinite(data[place]).all(1)
        if len(np.unique(groups[fit])) >= 2:
            latents = emb[torch.from_numpy(fit)].double().numpy()
            found[place] = ridge_of_raw(latents, data[place][fit].astype(np.float64), groups[fit])
    return found
