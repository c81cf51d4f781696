"""A model judged on windows of a dataset, teacher-forced and in eval mode (paper 3.4).

Dimensions: n windows, T frames each, M frames, P patches, D latent size.
"""

from collections.abc import Collection, Iterator, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from lewm_core import losses
from lewm_core.conditions import Condition
from lewm_core.config import Recipe
from lewm_core.dataset import windows
from lewm_core.dataset.frames import Frames
from lewm_core.heads import HEADS
from lewm_core.model import LeWM, normalise
from lewm_core.utils.errors import InputError, pick

EVALUATION_SEED = 0  # SIGReg's directions in evaluation, the same for every run


def head_outputs(heads: nn.ModuleDict, emb: Tensor, patches: Tensor, targets: Mapping[str, Mapping[str, Tensor]],
                 detached: Collection[str] = ()) -> dict[str, Tensor]:
    """Every head's output for M frames: emb (M, D), patches (M, P, D) and, by head, its term's targets (M, …).

    detached: the heads whose gradient stops at emb and patches.
    """
    outputs = {}
    for name, head in heads.items():
        inputs = {"emb": emb, "patches": patches, **targets[name]}
        if name in detached:
            inputs = {read: value.detach() for read, value in inputs.items()}
        outputs[name] = head(*(pick(inputs, read, f"input of head {name}") for read in HEADS[name].reads))
    return outputs


def predict_next(model: LeWM, emb: Tensor, act_emb: Tensor, patches: Tensor | None) -> Tensor:
    """pred_emb (n, T - 1, D) of windows, each latent predicted from those before it in emb (n, T, D).

    patches: (n, T, P, D) or those of the context alone; None where the predictor does not read them.
    """
    context = model.config.history
    if model.reads_patches:
        return model.predict(emb[:, :context], act_emb[:, :context], patches[:, :context])
    return model.predict(emb[:, :context], act_emb[:, :context])


@torch.no_grad()
def encode_chunks(model: LeWM, pixels: Tensor, chunk: int = 256) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """Of uint8 frames (M, 3, H, W), `chunk` of them at a time: which, their emb (m, D) and patch tokens (m, P, D).

    Float32; each frame is encoded alone, in eval mode; the model's mode is kept.
    """
    for start in range(0, len(pixels), chunk):
        rows = slice(start, start + chunk)
        training = model.training
        model.eval()
        cls, patches = model.encode_tokens(normalise(pixels[rows]).unsqueeze(1))
        emb = model.projector(cls)
        model.train(training)
        yield rows, emb[:, 0].float(), patches[:, 0].float()


def encode_frames(model: LeWM, pixels: Tensor, chunk: int = 256) -> Tensor:
    """emb (M, D) of uint8 frames (M, 3, H, W), as `encode_chunks`."""
    return torch.cat([emb for _, emb, _ in encode_chunks(model, pixels, chunk)])


def _encode(model: LeWM, heads: nn.ModuleDict, pixels: Tensor,
            targets: Mapping[str, Mapping[str, Tensor]]) -> tuple[Tensor, Tensor | None, dict[str, Tensor]]:
    """emb (M, D), the patch tokens (M, P, D) if the predictor reads them (they are large), every head's output."""
    found, tokens = [], []
    outputs: dict[str, list[Tensor]] = {name: [] for name in heads}
    for rows, emb, patches in encode_chunks(model, pixels):
        found.append(emb)
        if model.reads_patches:
            tokens.append(patches)
        in_chunk = {head: {name: value[rows] for name, value in of.items()} for head, of in targets.items()}
        for name, output in head_outputs(heads, emb, patches, in_chunk).items():
            outputs[name].append(output)
    return (torch.cat(found), torch.cat(tokens) if tokens else None,
            {name: torch.cat(parts) for name, parts in outputs.items()})


def _sigreg(window_emb: Tensor, recipe: Recipe) -> float:
    """SIGReg of latents (n, T, D) in batches as large as in training, directions from a fixed generator."""
    device = window_emb.device
    generator = torch.Generator(device).manual_seed(EVALUATION_SEED)
    shuffled = window_emb[torch.randperm(len(window_emb), generator=generator, device=device)]
    batches = shuffled.split(recipe.batch_size)[: max(1, len(shuffled) // recipe.batch_size)]
    found = []
    for batch in batches:
        directions = losses.draw_directions(batch.shape[-1], recipe.directions, generator)
        found.append(losses.sigreg(batch.transpose(0, 1), directions))
    return torch.stack(found).mean().item()


@torch.no_grad()
def evaluate(model: LeWM, heads: nn.ModuleDict, condition: Condition, frames: Frames, starts: np.ndarray,
             recipe: Recipe) -> dict[str, float]:
    """Metrics over all windows that begin at `starts` (n,), in eval mode; leaves the model in eval mode.

    mse: next-latent MSE, the paper's metric. mse_over_variance: over the variance of the target latents, averaged over
    dimensions. static_mse: of the persistence baseline, which copies the last latent; mse_over_static: over that.
    sigreg: of batches as large as in training. head_*: each head's own loss.
    """
    model.eval()
    heads.eval()
    device, context = frames.pixels.device, model.config.history
    index = windows(starts)
    unique, position = np.unique(index, return_inverse=True)
    position = torch.from_numpy(position.reshape(index.shape)).to(device)
    targets = frames.targets_at(torch.from_numpy(unique).to(device))
    emb, tokens, outputs = _encode(model, heads, frames.pixels[unique], targets)
    act_emb = model.action_encoder(frames.actions[torch.from_numpy(index).to(device)])
    window_emb = emb[position]  # (n, T, D)
    patches = None if tokens is None else tokens[position[:, :context]]
    mse = losses.prediction_loss(predict_next(model, window_emb, act_emb, patches), window_emb).item()
    persistence = losses.persistence_loss(window_emb).item()
    variance = window_emb[:, 1:].flatten(0, 1).var(0, correction=0).mean().item()
    if not persistence > 0:
        raise InputError(f"condition {condition.name}", "held-out windows in which no latent changes",
                         "frames that differ", "Does the camera show anything? Look at the dataset's pixels.")
    metrics = {"mse": mse, "static_mse": persistence, "target_variance": variance,
               "sigreg": _sigreg(window_emb, recipe)}
    if variance > 0:
        metrics["mse_over_variance"] = mse / variance
    metrics["mse_over_static"] = mse / persistence
    for term in condition.terms:
        metrics[f"head_{term.head}"] = term.compare(outputs[term.head], targets[term.head]).item()
    return metrics
