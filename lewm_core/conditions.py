"""The table of conditions (paper 3.3). A condition is a row; to add your own, add a row.

The paper counts seven and lists nine auxiliary variants, with the tracks in two query layouts. All are here.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from lewm_core.errors import pick
from lewm_core.losses import depth_loss, track_loss, vector_loss

INSIDE_WEIGHT = 5.0  # C4's factor inside the tight mask


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


_DEPTH = Term("depth", "depth")
_TRACKS = Term("tracks", "tracks", "visible")

CONDITIONS = {c.name: c for c in (
    Condition("A", "baseline"),
    Condition("B", "depth, full frame", (_DEPTH,)),
    Condition("C1", "depth, tight mask", (Term("depth", "depth", dilation=0),)),
    Condition("C2", "depth, mask + 8 px", (Term("depth", "depth", dilation=8),)),
    Condition("C3", "depth, mask + 20 px", (Term("depth", "depth", dilation=20),)),
    Condition("C4", "depth, full frame, ×5 in mask", (Term("depth", "depth", inside_weight=INSIDE_WEIGHT),)),
    Condition("D", "tracks, uniform grid", (_TRACKS,)),
    Condition("D-fg", "tracks, foreground-biased", (Term("tracks", "tracks_fg", "visible_fg"),)),
    Condition("E", "depth + tracks", (_DEPTH, _TRACKS)),
    Condition("F", "3D centroid", (Term("centroid", "centroid", "centroid_valid"),)),
    Condition("G", "shape descriptor", (Term("shape", "shape", "shape_valid"),)),
)}


def condition(name: str) -> Condition:
    """The condition of that name; an unknown one is an InputError that lists the known ones."""
    return pick(CONDITIONS, name, "condition")
