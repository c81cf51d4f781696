"""What a condition is made of: auxiliary losses, each a head, a dataset column, and where it counts."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from lewm_core.losses import depth_loss, track_loss, vector_loss


@dataclass(frozen=True)
class Term:
    """One auxiliary loss: a head, the dataset columns it is compared with, and for depth where.

    head: a key of heads.HEADS.
    target: dataset column that the head predicts. valid: the column that marks where it counts.
    dilation: px at 224 by which the object mask is dilated, where the depth is supervised inside it; None: full frame.
    inside_weight: weight of full-frame pixels inside the tight mask.
    """

    head: str
    target: str
    valid: str | None = None
    dilation: float | None = None
    inside_weight: float = 1.0

    @property
    def region(self) -> float | None:
        """The dilation (px at 224) of the object mask that this term needs; None if it needs none."""
        return 0.0 if self.dilation is None and self.inside_weight != 1.0 else self.dilation

    @property
    def region_name(self) -> str:
        """The name of that mask among the targets."""
        return f"mask+{self.region:g}"

    def loss(self, pred: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        """This term's loss for its head's output (M, …) and `targets` (M, …) as `targets.build` names them."""
        target = targets[self.target]
        if self.head == "tracks":
            return track_loss(pred, target, targets[self.valid])
        if self.head != "depth":
            return vector_loss(pred, target, targets[self.valid])
        if self.region is None:
            return depth_loss(pred, target)
        inside = targets[self.region_name]
        if self.dilation is None:
            return depth_loss(pred, target, weight=torch.where(inside, self.inside_weight, 1.0))
        return depth_loss(pred, target, region=inside)


@dataclass(frozen=True)
class Condition:
    name: str
    title: str
    terms: tuple[Term, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """The dataset columns this condition needs beyond pixels and actions."""
        names = [(t.target, t.valid, "mask" if t.region is not None else None) for t in self.terms]
        return tuple(dict.fromkeys(name for term in names for name in term if name))
