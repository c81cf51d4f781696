"""How much of its treatment a run got: what its heads learnt, how far its encoder moved, what became of its latents.

Dimensions: M frames, D latent size.
"""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from lewm_core.conditions import Condition
from lewm_core.losses import Term

SPECTRUM = ("latent_variance", "latent_variance_least", "latent_variance_most", "effective_rank")
Targets = Mapping[str, Tensor]


def _mean_map(term: Term, targets: Targets) -> list[Tensor]:
    """The mean of the maps, of depth normalised ones, over what is supervised of them."""
    maps = targets["target"]
    weight = targets["region"].float() if term.normalised_inside else torch.ones_like(maps)  # known only there
    return [(maps * weight).sum(0) / weight.sum(0).clamp(min=1)]


def _mean_vector(term: Term, targets: Targets) -> list[Tensor]:
    """The mean of what is valid and, for points, no motion."""
    target, valid = targets["target"], targets["valid"]
    weight = valid.unsqueeze(-1).float()
    mean = (target * weight).sum(0) / weight.sum(0).clamp(min=1)
    return [mean, targets["still"][0].expand_as(mean)] if "still" in targets else [mean]


def _mean_and_visibility(term: Term, targets: Targets) -> list[Tensor]:
    """The same with each point's share of frames in which it is visible, as a logit."""
    known = targets["known"].float()
    share = (targets["valid"] * known).sum(0) / known.sum(0).clamp(min=1)
    logit = torch.logit(share, eps=1e-4).unsqueeze(-1)
    return [torch.cat([guess, logit], -1) for guess in _mean_vector(term, targets)]


# Predictions that know nothing of the frame, by a term's loss: what a head's output would be, from training targets. A
# loss without a row has no constant to be compared with.
CONSTANTS: dict[str, Callable[[Term, Targets], list[Tensor]]] = {
    "depth": _mean_map,
    "tracks": _mean_vector,
    "tracks and visibility": _mean_and_visibility,
    "vector": _mean_vector,
    "map": _mean_map,
}


def constant_losses(condition: Condition, targets: Mapping[str, Targets], train_frames: np.ndarray,
                    frames: np.ndarray) -> dict[str, float]:
    """head_X_constant: the least loss on `frames` of a prediction that is the same for every frame.

    targets: by head, those of its term, of all frames. The predictions are made from `train_frames` alone.
    """
    train, held = torch.from_numpy(train_frames), torch.from_numpy(frames)
    found = {}
    for term in (term for term in condition.terms if term.loss in CONSTANTS):
        of_train, of_held = ({name: value[rows.to(value.device)] for name, value in targets[term.head].items()}
                             for rows in (train, held))
        guesses = CONSTANTS[term.loss](term, of_train)
        found[f"head_{term.head}_constant"] = min(
            term.compare(guess.expand(len(frames), *guess.shape), of_held).item() for guess in guesses)
    return found


def moved(emb: Tensor, start: Tensor) -> float:
    """Mean squared displacement of latents emb (M, D) from those of the starting model, over the latter's total
    variance; NaN where they do not vary."""
    variance = start.var(0, correction=0).sum().item()
    return (emb - start).square().sum(1).mean().item() / variance if variance > 0 else float("nan")


def spectrum(emb: Tensor) -> dict[str, float]:
    """Variance per dimension and effective rank of latents (M, D).

    latent_variance: mean over dimensions, with the least and the most varying one beside it. effective_rank: the
    exponential of the entropy of the covariance's eigenvalues, normalised to sum 1 (Roy and Vetterli, The effective
    rank, EUSIPCO 2007): D where all directions vary alike, 1 where only one does. NaN where nothing varies.
    """
    centred = emb.double() - emb.double().mean(0)
    variance = centred.square().mean(0)
    share = torch.linalg.eigvalsh(centred.T @ centred).clamp(min=0)
    rank = torch.special.entr(share / share.sum()).sum().exp().item() if share.sum() > 0 else np.nan
    values = (variance.mean().item(), variance.min().item(), variance.max().item(), rank)
    return dict(zip(SPECTRUM, values, strict=True))
