"""What a condition is made of: auxiliary losses, each a head, a dataset column, and where it counts."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from lewm_core.losses import depth_loss, track_loss, vector_loss, visibility_loss

# Of the visibility in a track loss. On the tabletop's pilot, saying that nothing moves loses 0.002 (smooth L1, in image
# sides) and the same visibility everywhere 0.35: this lets neither drown the other.
VISIBILITY_WEIGHT = 0.01


@dataclass(frozen=True)
class Term:
    """One auxiliary loss: a head, the dataset columns it is compared with, and for depth where.

    head: a key of heads.HEADS.
    target: dataset column that the head predicts. valid: the column that marks where it counts.
    dilation: px at 224 by which the object mask is dilated, where the depth is supervised inside it; None: full frame.
    inside_weight: weight of full-frame pixels inside the tight mask.
    full_frame: supervise inside the mask but normalise over the full frame.
    elsewhere: the mask is moved to a random place (`targets.elsewhere`).
    """

    head: str
    target: str
    valid: str | None = None
    dilation: float | None = None
    inside_weight: float = 1.0
    full_frame: bool = False
    elsewhere: bool = False

    @property
    def region(self) -> float | None:
        """The dilation (px at 224) of the object mask that this term needs; None if it needs none."""
        return 0.0 if self.dilation is None and self.inside_weight != 1.0 else self.dilation

    @property
    def region_name(self) -> str:
        """The name of that mask among the targets."""
        return f"mask+{self.region:g}" + (" elsewhere" if self.elsewhere else "")

    def loss(self, pred: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        """This term's loss for its head's output (M, …) and `targets` (M, …) as `targets.build` names them."""
        target = targets[self.target]
        if self.head in ("tracks", "tracks_patch"):
            loss = track_loss(pred[..., :2], target, targets[self.valid])
            if pred.shape[-1] > 2:  # the head also predicts the visibility
                seen = visibility_loss(pred[..., 2], targets[self.valid], targets["known"])
                loss = loss + VISIBILITY_WEIGHT * seen
            return loss
        if self.head not in ("depth", "depth_patch"):
            return vector_loss(pred, target, targets[self.valid])
        if self.region is None:
            return depth_loss(pred, target)
        inside = targets[self.region_name]
        if self.dilation is None:
            return depth_loss(pred, target, weight=torch.where(inside, self.inside_weight, 1.0))
        if self.full_frame:
            return depth_loss(pred, target, weight=inside.float())
        return depth_loss(pred, target, region=inside)


@dataclass(frozen=True)
class Condition:
    """A row of the study. predictor: what the predictor reads of a frame, its embedding ("cls") or also its patch
    tokens ("patch", lewm_core.patch_predictor)."""

    name: str
    title: str
    terms: tuple[Term, ...] = ()
    predictor: str = "cls"

    @property
    def columns(self) -> tuple[str, ...]:
        """The dataset columns this condition needs beyond pixels and actions."""
        names = [(t.target, t.valid, "mask" if t.region is not None else None) for t in self.terms]
        return tuple(dict.fromkeys(name for term in names for name in term if name))

    @property
    def baseline(self) -> str:
        """The condition that this one is compared with: the same predictor without heads."""
        return "A" if self.predictor == "cls" else "A-pp"
