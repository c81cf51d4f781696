"""What becomes of batch normalisation while fine-tuning (config.BATCH_NORM), other than in the paper.

Dimensions: n windows, T frames each, M frames, H units of a projector's hidden layer.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from lewm_core.dataset.frames import Frames
from lewm_core.evaluate import predict_next
from lewm_core.model import LeWM, Projector

CHUNK = 256  # frames, or windows, at once


def norms(model: nn.Module) -> list[nn.BatchNorm1d]:
    """The batch normalisations of a model."""
    return [module for module in model.modules() if isinstance(module, nn.BatchNorm1d)]


def freeze(model: nn.Module) -> None:
    """Normalise by the buffers as they are, which then stay; scale and shift are trained like any other weight."""
    for norm in norms(model):
        norm.eval()


@torch.no_grad()
def recalibrate(model: LeWM, frames: Frames, index: Tensor) -> None:
    """Set the buffers to the statistics of the training windows `index` (n, T): mean and unbiased variance, exact.

    Of the projector over all of their frames, each once; of pred_proj over their predictions from context frames that
    are encoded with the new projector. Everything is in eval mode, as in evaluation; the model is left in it.
    """
    model.eval()
    unique, position = torch.unique(index, return_inverse=True)
    cls = torch.cat([model.encode_tokens(frames.pixels[rows].unsqueeze(1), patches=False)[0]
                     for rows in unique.split(CHUNK)])
    _set(model.projector, cls.split(CHUNK))
    emb = model.projector(cls)[:, 0].float()
    hidden: list[Tensor] = []
    handle = model.pred_proj.register_forward_pre_hook(lambda _, inputs: hidden.append(inputs[0]))
    for windows, rows in zip(index.split(CHUNK), position.split(CHUNK), strict=True):
        patches = None
        if model.reads_patches:
            patches = model.encode_tokens(frames.pixels[windows[:, : model.config.history]])[1]
        predict_next(model, emb[rows], model.action_encoder(frames.actions[windows]), patches)
    handle.remove()
    _set(model.pred_proj, hidden)


def _set(projector: Projector, batches: Iterable[Tensor]) -> None:
    """Set the buffers of a projector's batch normalisation to the statistics of what `batches` (m, t, size) give it."""
    linear, norm = projector.net[0], projector.net[1]
    count, total, squares = 0, 0.0, 0.0
    for batch in batches:
        values = linear(batch.flatten(0, 1)).double()  # (m·t, H)
        count += len(values)
        total, squares = total + values.sum(0), squares + values.square().sum(0)
    mean = total / count
    norm.running_mean.copy_(mean)
    norm.running_var.copy_((squares / count - mean.square()) * (count / max(1, count - 1)))
