"""A model judged on windows of a dataset, teacher-forced and in eval mode (paper 3.4).

Dimensions: n windows, T frames each, M frames, P patches, D latent size.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from lewm_core import losses
from lewm_core.conditions import Condition
from lewm_core.config import Recipe
from lewm_core.dataset import windows
from lewm_core.dataset.frames import Frames, FromDisk
from lewm_core.heads import HEADS
from lewm_core.model import LeWM
from lewm_core.sigreg import draw_directions, sigreg
from lewm_core.utils.errors import InputError, pick

CHUNK = 256  # frames encoded at once
EVALUATION_SEED = 0  # SIGReg's directions in evaluation, the same for every run


def read_patches(model: LeWM, heads: nn.ModuleDict) -> bool:
    """Whether the model's predictor or one of the heads reads patch tokens."""
    return model.reads_patches or any("patches" in HEADS[name].reads for name in heads)


def head_outputs(heads: nn.ModuleDict, emb: Tensor, patches: Tensor | None, targets: Mapping[str, Mapping[str, Tensor]],
                 detached: Collection[str] = ()) -> dict[str, Tensor]:
    """Every head's output for M frames: emb (M, D), patches (M, P, D) and, by head, its term's targets (M, …).

    patches: None where no head reads them. detached: the heads whose gradient stops at emb and patches.
    """
    outputs = {}
    for name, head in heads.items():
        inputs = {"emb": emb, "patches": patches, **targets[name]}
        if name in detached:
            inputs = {read: value if value is None else value.detach() for read, value in inputs.items()}
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
def encode_chunks(model: LeWM, pixels: Tensor | FromDisk, chunk: int = CHUNK, patches: bool = True,
                  at: Tensor | None = None) -> Iterator[tuple[slice, Tensor, Tensor | None]]:
    """Of uint8 frames (M, 3, H, W), `chunk` of them at a time: which, their emb (m, D) and patch tokens (m, P, D).

    Float32; each frame is encoded alone, in eval mode; the model's mode is kept. patches: whether the patch tokens are
    wanted; None otherwise. at: (M,) the frames that are wanted, instead of all.
    """
    for start in range(0, len(pixels if at is None else at), chunk):
        rows = slice(start, start + chunk)
        training = model.training
        model.eval()
        cls, tokens = model.encode_tokens(pixels[rows if at is None else at[rows]].unsqueeze(1), patches)
        emb = model.projector(cls)
        model.train(training)
        yield rows, emb[:, 0].float(), tokens[:, 0].float() if patches else None


def encode_frames(model: LeWM, pixels: Tensor | FromDisk, chunk: int = CHUNK) -> Tensor:
    """emb (M, D) of uint8 frames (M, 3, H, W), as `encode_chunks`."""
    return torch.cat([emb for _, emb, _ in encode_chunks(model, pixels, chunk, patches=False)])


@dataclass(frozen=True)
class Seen:
    """M frames as a model and its heads see them in eval mode: emb (M, D), the patch tokens (M, P, D) if the predictor
    reads them (they are large), every head's output and, by head, its term's targets (M, …)."""

    emb: Tensor
    patches: Tensor | None
    outputs: Mapping[str, Tensor]
    targets: Mapping[str, Mapping[str, Tensor]]

    @classmethod
    @torch.no_grad()
    def of(cls, model: LeWM, heads: nn.ModuleDict, frames: Frames, rows: np.ndarray,
           emb: Tensor | None = None) -> "Seen":
        """The frames `rows` (M,). emb: (N, D) of all frames where it is known, so that none is encoded again (but where
        patch tokens are read, too)."""
        model.eval()
        heads.eval()
        at = torch.from_numpy(rows).to(frames.pixels.device)
        targets = frames.targets_at(at)
        wanted = read_patches(model, heads)
        if emb is not None and not wanted:
            parts = ((slice(i, i + CHUNK), emb[at[i : i + CHUNK]], None) for i in range(0, len(at), CHUNK))
        else:
            parts = encode_chunks(model, frames.pixels, patches=wanted, at=at)
        found, tokens = [], []
        outputs: dict[str, list[Tensor]] = {name: [] for name in heads}
        for chunk, own, patches in parts:
            found.append(own)
            if model.reads_patches:
                tokens.append(patches)
            in_chunk = {head: {name: value[chunk] for name, value in of.items()} for head, of in targets.items()}
            for name, output in head_outputs(heads, own, patches, in_chunk).items():
                outputs[name].append(output)
        return cls(torch.cat(found), torch.cat(tokens) if tokens else None,
                   {name: torch.cat(parts) for name, parts in outputs.items()}, targets)

    def losses(self, condition: Condition) -> dict[str, float]:
        """head_*: each head's own loss."""
        return {f"head_{term.head}": term.compare(self.outputs[term.head], self.targets[term.head]).item()
                for term in condition.terms}


def _sigreg(window_emb: Tensor, recipe: Recipe) -> float:
    """SIGReg of latents (n, T, D) in batches as large as in training, directions from a fixed generator."""
    device = window_emb.device
    generator = torch.Generator(device).manual_seed(EVALUATION_SEED)
    shuffled = window_emb[torch.randperm(len(window_emb), generator=generator, device=device)]
    batches = shuffled.split(recipe.batch_size)[: max(1, len(shuffled) // recipe.batch_size)]
    found = []
    for batch in batches:
        directions = draw_directions(batch.shape[-1], recipe.directions, generator)
        found.append(sigreg(batch.transpose(0, 1), directions))
    return torch.stack(found).mean().item()


@torch.no_grad()
def evaluate(model: LeWM, heads: nn.ModuleDict, condition: Condition, frames: Frames, starts: np.ndarray,
             recipe: Recipe, emb: Tensor | None = None) -> dict[str, float]:
    """Metrics over all windows that begin at `starts` (n,), in eval mode; leaves the model in eval mode.

    mse: next-latent MSE, the paper's metric. mse_over_variance: over the variance of the target latents, averaged over
    dimensions. static_mse: of the persistence baseline, which copies the last latent; mse_over_static: over that.
    sigreg: of batches as large as in training. head_*: each head's own loss. emb: as `Seen.of` takes it.
    """
    device, context = frames.pixels.device, model.config.history
    index = windows(starts)
    unique, position = np.unique(index, return_inverse=True)
    position = torch.from_numpy(position.reshape(index.shape)).to(device)
    seen = Seen.of(model, heads, frames, unique, emb)
    act_emb = model.action_encoder(frames.actions[torch.from_numpy(index).to(device)])
    window_emb = seen.emb[position]  # (n, T, D)
    patches = None if seen.patches is None else seen.patches[position[:, :context]]
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
    return metrics | seen.losses(condition)
