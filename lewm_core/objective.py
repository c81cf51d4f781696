"""The loss that a run minimises (paper 3.4): next latent, SIGReg, and the heads of its condition."""

import torch
from torch import Tensor, nn

from lewm_core import losses
from lewm_core.conditions import Condition
from lewm_core.config import Recipe
from lewm_core.dataset.frames import Frames
from lewm_core.evaluate import head_outputs, predict_next, read_patches
from lewm_core.model import LeWM
from lewm_core.sigreg import sigreg


def term_weights(condition: Condition, recipe: Recipe) -> dict[str, float]:
    """Each loss's factor in the total: 1 for the prediction, 0.09 for SIGReg, 0.1 for a head unless its term says."""
    weights = {"pred": 1.0, "sigreg": recipe.sigreg_weight}
    for term in condition.terms:
        weights[f"head_{term.head}"] = recipe.head_weight if term.weight is None else term.weight
    return weights


def loss_terms(model: LeWM, heads: nn.ModuleDict, condition: Condition, frames: Frames, index: Tensor,
               directions: Tensor, recipe: Recipe) -> dict[str, Tensor]:
    """The total loss of a batch of windows (B, T) and its parts: L = L_pred + 0.09 L_sigreg + Σ w L_h."""
    device = index.device.type
    targets = frames.targets_at(index.flatten())
    detached = [term.head for term in condition.terms if term.detached]
    # On a CPU it is slower than fp32.
    with torch.autocast(device, torch.bfloat16, enabled=device == "cuda", cache_enabled=False):
        cls, patches = model.encode_tokens(frames.pixels[index], read_patches(model, heads))
        emb, act_emb = model.projector(cls), model.action_encoder(frames.actions[index])
        pred_emb = predict_next(model, emb, act_emb, patches)
        flat = None if patches is None else patches.flatten(0, 1)
        outputs = head_outputs(heads, emb.flatten(0, 1), flat, targets, detached)
    emb = emb.float()  # the losses are computed in full precision
    terms = {"pred": losses.prediction_loss(pred_emb.float(), emb),
             "sigreg": sigreg(emb.transpose(0, 1), directions)}
    for term in condition.terms:
        terms[f"head_{term.head}"] = term.compare(outputs[term.head].float(), targets[term.head])
    weights = term_weights(condition, recipe)
    terms["total"] = sum(weights[name] * value for name, value in terms.items())
    return terms
