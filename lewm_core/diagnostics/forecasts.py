"""What a model predicts along an episode, step by step, for whoever looks at it: how far off, what it looks like, where
it puts gripper and object.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch

from lewm_core.checkpoints import checkpoint
from lewm_core.conditions import condition
from lewm_core.dataset import Data
from lewm_core.dataset.frames import ActionScale
from lewm_core.diagnostics.playback import place_maps
from lewm_core.diagnostics.retrieval import SCOPES, Corpus, LatentWorld, retrieve, rollout_from
from lewm_core.train import check, default_device
from lewm_core.utils.progress import bar

STEPS = 10  # predicted before the next rollout starts from true frames


@dataclass(frozen=True)
class Forecast:
    """The predictions along one episode: rollouts of STEPS frames one after another, under the recorded actions.

    frame: (S,) the frames predicted, numbered in the episode. ahead: (S,) how many steps ahead each was, 1 to STEPS.
    distance, persistence: (S,) L2 from the true latent, of the prediction and of the last context frame's latent, over
    the corpus's spread. retrieved: (S, H, W, 3) uint8, the nearest frame of the dataset.
    places: gripper and object, (S, 3) m each, read from the predicted latents; those that the dataset has. The linear
    map that reads them is fitted to the true latents of all other episodes.
    """

    frame: np.ndarray
    ahead: np.ndarray
    distance: np.ndarray
    persistence: np.ndarray
    retrieved: np.ndarray
    places: dict[str, np.ndarray]


def of_checkpoint(name: str, data: Data) -> LatentWorld:
    """Any checkpoint that `checkpoint.load` reads, with all frames of `data` as it encodes them.

    Where it has no action scale, one is fitted to the dataset's actions. InputError where the two do not fit.
    """
    model, metadata = checkpoint.load(name)
    check(data, condition("A"), model)
    scale = metadata.get("action_scale")
    scale = ActionScale(**scale) if scale else ActionScale.fit(data["action"])
    model = model.to(default_device())
    return LatentWorld(model, scale, Corpus.of(model, data, "frames"))


def forecasts(world: LatentWorld, data: Data, ids: Iterable[str], steps: int = STEPS) -> dict[str, Forecast]:
    """The forecast of each of the episodes `ids` by name; an episode that is too short for one has none."""
    found = {}
    for id in bar(list(ids), "predictions", "episode"):
        number = int(data.numbers([id])[0])
        if int(data["ep_len"][number]) > world.model.config.history:
            found[id] = _forecast(world, data, number, steps)
    return found


def _forecast(world: LatentWorld, data: Data, number: int, steps: int) -> Forecast:
    history, length, first = world.model.config.history, int(data["ep_len"][number]), data.episode(number).start
    pred_emb, stay, ahead = [], [], []
    for start in range(0, length - history, steps):
        n = min(steps, length - history - start)
        emb = rollout_from(world.model, world.action_scale, data, number, start, n, history)
        pred_emb.append(emb[history:])
        stay.append(emb[history - 1].expand(n, -1))
        ahead.append(1 + np.arange(n))
    pred_emb, stay, true = torch.cat(pred_emb), torch.cat(stay), world.corpus.emb[first + history : first + length]
    spread = max(world.corpus.spread, 1e-12)
    nearest, _ = retrieve(world.corpus, pred_emb, SCOPES[0], number)
    maps = place_maps(world.corpus.emb, data, world.corpus.episode != number)
    return Forecast(np.arange(history, length), np.concatenate(ahead), (pred_emb - true).norm(dim=1).numpy() / spread,
                    (stay - true).norm(dim=1).numpy() / spread, data["pixels"][nearest],
                    {place: read(pred_emb.double().numpy()) for place, read in maps.items()})
