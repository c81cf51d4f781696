"""Do the losses pull the shared encoder the same way? Cosines and norms of their gradients at one training step."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from lewm_core.model import LeWM


def shared_parameters(model: LeWM) -> list[nn.Parameter]:
    """What every loss trains: the encoder's ViT and its projector (a head on patch tokens bypasses the latter)."""
    return [*model.encoder.parameters(), *model.projector.parameters()]


def probe(model: LeWM, terms: Mapping[str, Tensor],
          weights: Mapping[str, float]) -> list[dict[str, float | str | None]]:
    """`conflict` on what every loss trains: the hook for `train.train`."""
    return conflict(terms, weights, shared_parameters(model))


def conflict(terms: Mapping[str, Tensor], weights: Mapping[str, float], parameters: Sequence[nn.Parameter],
             to: str = "pred") -> list[dict[str, float | str | None]]:
    """How the gradient of each loss lies to that of `to`, with respect to `parameters`; leaves no trace in them.

    terms: losses (scalars) with their graph, which is kept; weights: each one's factor in the total loss.
    Returns one row for each loss but `to`: term, cosine (in [-1, 1]; below 0 is conflict; None where a gradient is
    zero), ratio (the weighted gradient's norm over that of `to`, weighted too; None where that is zero), and both
    norms, weighted: norm, norm_to.
    """
    flat = {name: weights[name] * _gradient(loss, parameters) for name, loss in terms.items()}
    reference = flat.pop(to)
    size, rows = reference.norm().item(), []
    for name, gradient in flat.items():
        norm = gradient.norm().item()
        cosine = (gradient / norm) @ (reference / size) if norm > 0 and size > 0 else None
        rows.append({"term": name, "cosine": None if cosine is None else cosine.clamp(-1, 1).item(),
                     "ratio": norm / size if size > 0 else None, "norm": norm, "norm_to": size})
    return rows


def _gradient(loss: Tensor, parameters: Sequence[nn.Parameter]) -> Tensor:
    """The gradient of `loss` as one vector, zero where it does not depend on a parameter."""
    if not loss.requires_grad:
        return torch.zeros(sum(p.numel() for p in parameters), device=loss.device)
    parts = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
    return torch.cat([(torch.zeros_like(p) if g is None else g).flatten() for p, g in zip(parameters, parts,
                                                                                         strict=True)])
