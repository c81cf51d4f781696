"""Every loss of the study, once, and what a `Term` is: a head, the column that it predicts, and its loss.

Dimensions: B windows, T frames, M = B·T frames in any order, D latent size.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lewm_core.utils.errors import pick


def prediction_loss(pred_emb: Tensor, emb: Tensor) -> Tensor:
    """L_pred (paper 3.4): MSE of pred_emb (B, T-1, D), one step ahead each, to emb (B, T, D); no stop-gradient."""
    return F.mse_loss(pred_emb, emb[:, 1:])


def persistence_loss(emb: Tensor) -> Tensor:
    """The MSE of predicting no change: each latent of emb (B, T, D) copied as the forecast of the next."""
    return F.mse_loss(emb[:, :-1], emb[:, 1:])


def _median(values: Tensor, region: Tensor | None) -> Tensor:
    """The lower median of each row of `values` (M, N), as (M, 1); what is outside a region is NaN."""
    if region is None and values.device.type == "cpu":  # NumPy's is twice as fast as torch's, which has no vectors
        middle = (values.shape[1] - 1) // 2
        return torch.from_numpy(np.partition(values.numpy(), middle, 1)[:, middle : middle + 1])
    return values.nanmedian(1, keepdim=True).values


def shift_and_scale(depth: Tensor, region: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The median and the mean absolute deviation from it, (M, 1) each, over each frame's `region`.

    depth: (M, H, W); region: (M, H, W) bool, None for the full frame. Of an empty region they are 0 and infinite.
    The median's gradient is shared by the half of the pixels that is nearest to it. torch.median gives it all to one
    pixel: nearly all of the loss's gradient, and to another pixel as soon as rounding reorders two neighbours.
    """
    flat = depth.flatten(1)
    inside = torch.ones_like(flat, dtype=torch.bool) if region is None else region.flatten(1)
    count = inside.sum(1, keepdim=True)
    known = flat.detach() if region is None else flat.detach().where(inside, torch.nan)
    shift = _median(known, region)
    if depth.requires_grad:
        distance = (known - shift).abs()
        near = distance <= _median(distance, region)
        mean = flat.where(near, 0).sum(1, keepdim=True) / near.sum(1, keepdim=True).clamp(min=1)
        shift = shift + (mean - mean.detach())  # the median's value, the mean's gradient
    shift = torch.where(count > 0, shift, 0.0)
    scale = ((flat - shift).abs() * inside).sum(1, keepdim=True) / count.clamp(min=1)
    return shift, torch.where(count > 0, scale, torch.inf)


def normalise_depth(depth: Tensor, region: Tensor | None = None) -> Tensor:
    """Scale and shift removed: minus the median, over the mean absolute deviation, both over the frame's `region`.

    depth: (M, H, W); region: (M, H, W) bool, None for the full frame. Pixels outside the region are normalised with
    the same two numbers and are not to be used. A frame with an empty region becomes zero.
    """
    shift, scale = shift_and_scale(depth, region)
    return ((depth.flatten(1) - shift) / scale.clamp(min=1e-6)).view_as(depth)


def depth_loss(pred: Tensor, target: Tensor, region: Tensor | None = None, weight: Tensor | None = None) -> Tensor:
    """`depth_error` against a target that is not normalised yet."""
    return depth_error(pred, normalise_depth(target, region), region, weight)


def depth_error(pred: Tensor, target: Tensor, region: Tensor | None = None, weight: Tensor | None = None) -> Tensor:
    """Scale-and-shift-invariant L1 (paper 3.3, conditions B and C).

    pred: (M, 56, 56). target: (M, 56, 56), from `normalise_depth` over the same region. region: (M, 56, 56) bool: both
    sides are normalised over it and compared inside it only (C1 to C3); None: the full frame (B). weight: (M, 56, 56),
    pixel weights of the comparison (C4; a mask: normalised over the full frame, compared inside it). A frame with an
    empty region, or no weight anywhere, contributes nothing; if none does, the loss is zero.
    """
    error = (normalise_depth(pred, region) - target).abs()
    weight = torch.ones_like(error) if weight is None else weight
    if region is not None:
        weight = weight * region
    total = weight.flatten(1).sum(1)
    per_frame = (error * weight).flatten(1).sum(1) / total.clamp(min=1e-6)
    return per_frame.sum() / (total > 0).sum().clamp(min=1)


def vector_loss(pred: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """Smooth L1 between vectors (M, …, K) over those that are valid (M, …).

    Of tracks: displacements (M, N, 2) over the visible (M, N) points. Of centroid, shape descriptor and true positions:
    standardised numbers (M, K) over the valid (M,) frames.
    """
    error = F.smooth_l1_loss(pred, target, reduction="none").mean(-1)
    return (error * valid).sum() / valid.sum().clamp(min=1)


def map_loss(pred: Tensor, target: Tensor) -> Tensor:
    """Smooth L1 between maps as they are, (M, h, w) or (M, h, w, K), all cells and frames alike."""
    return F.smooth_l1_loss(pred, target)


def visibility_loss(logits: Tensor, visible: Tensor, known: Tensor) -> Tensor:
    """Binary cross-entropy of visibility logits (M, N) with `visible` (M, N), over the points that are `known`."""
    error = F.binary_cross_entropy_with_logits(logits, visible.float(), reduction="none")
    return (error * known).sum() / known.sum().clamp(min=1)


@dataclass(frozen=True)
class Term:
    """One auxiliary loss of a condition: a head, the dataset column that it predicts, and how they are compared.

    head: a row of heads.HEADS. target: a row of dataset.COLUMNS. loss: a row of LOSSES.
    valid: the column that marks where the target counts; None: everywhere.
    weight: the loss's factor in the total; None: the recipe's head_weight.
    target_from: where a frame's target is from, a row of replacements.REPLACEMENTS: own, frame (another one), episode
    (another one), noise, network (a random one that sees the frame). share: of the frames whose target is from there;
    the others keep their own. detached: the head learns, and the model learns nothing from it.

    Where the loss is "depth":
    dilation: px at 224 by which the object mask is dilated, inside which depth is supervised; None: full frame.
    inside_weight: weight of full-frame pixels inside the tight mask.
    full_frame: supervise inside the mask but normalise over the full frame.
    random_placement: the mask is moved to a random place (`targets.place_at_random`).

    Where the target is a displacement:
    standardised: x and y to zero mean and unit std over all valid points of the training frames; else in image sides.
    """

    head: str
    target: str
    loss: str
    valid: str | None = None
    dilation: float | None = None
    inside_weight: float = 1.0
    full_frame: bool = False
    random_placement: bool = False
    standardised: bool = True
    weight: float | None = None
    target_from: str = "own"
    share: float = 1.0
    detached: bool = False

    def __post_init__(self):
        pick(LOSSES, self.loss, "loss")

    @property
    def region(self) -> float | None:
        """The dilation (px at 224) of the object mask that this term needs; None if it needs none."""
        if self.dilation is None and self.inside_weight != 1.0:
            return 0.0
        return self.dilation

    @property
    def normalised_inside(self) -> bool:
        """Whether depth is normalised over the object mask, and not over the full frame."""
        return self.dilation is not None and not self.full_frame

    def compare(self, pred: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        """The loss of the head's output pred (M, …) against `targets` (M, …), named as `targets.build` names them."""
        return LOSSES[self.loss](self, pred, targets)


def _depth(term: Term, pred: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
    target = targets["target"]
    if term.region is None:
        return depth_error(pred, target)
    inside = targets["region"]
    if term.normalised_inside:
        return depth_error(pred, target, region=inside)
    if term.dilation is None:
        return depth_error(pred, target, weight=torch.where(inside, term.inside_weight, 1.0))
    return depth_error(pred, target, weight=inside.float())


def _tracks_and_visibility(term: Term, pred: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
    displacement, logits = pred[..., :2], pred[..., 2]
    visibility = visibility_loss(logits, targets["valid"], targets["known"])
    # Neither drowns the other: on the tabletop 'nothing moves' loses 0.17, the same visibility everywhere 0.36.
    return vector_loss(displacement, targets["target"], targets["valid"]) + visibility


def _vector(term: Term, pred: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
    return vector_loss(pred, targets["target"], targets["valid"])


def _map(term: Term, pred: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
    return map_loss(pred, targets["target"])


# What a term's loss may be. A new one is one more row: a function of the term, the head's output and the targets.
LOSSES: dict[str, Callable[[Term, Tensor, Mapping[str, Tensor]], Tensor]] = {
    "depth": _depth,
    "tracks": _vector,
    "tracks and visibility": _tracks_and_visibility,
    "vector": _vector,
    "map": _map,
}
