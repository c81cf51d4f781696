"""The table of conditions (paper 3.3). A condition is a row; to add your own, add a row.

The paper counts seven and lists nine auxiliary variants, with the tracks in two query layouts. All are in `CONDITIONS`.
`CONTROLS` holds what the paper lacks: rows that tell its explanations apart.
"""

from collections import ChainMap
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from lewm_core.losses import Term
from lewm_core.utils.errors import InputError, pick

INSIDE_WEIGHT = 5.0  # C4's factor inside the tight mask


@dataclass(frozen=True)
class Condition:
    """A row of the study. predictor: what the predictor reads of a frame, its embedding ("cls") or also its patch
    tokens ("patch", lewm_core.patch_predictor)."""

    name: str
    title: str
    terms: tuple[Term, ...] = ()
    predictor: str = "cls"

    def __post_init__(self):
        heads = [term.head for term in self.terms]
        if len(set(heads)) < len(heads):
            raise InputError(f"condition {self.name}", f"terms with heads {', '.join(heads)}", "each head once")

    @property
    def columns(self) -> tuple[str, ...]:
        """The dataset columns this condition needs beyond pixels and actions."""
        names: list[str] = []
        for term in self.terms:
            names.append(term.target)
            if term.valid is not None:
                names.append(term.valid)
            if term.region is not None:
                names.append("mask")
        return tuple(dict.fromkeys(names))

    @property
    def baseline(self) -> str:
        """The condition that this one is compared with: the same predictor without heads."""
        return "A" if self.predictor == "cls" else "A-pp"


_DEPTH = Term("depth", "depth", "depth")
_TRACKS = Term("tracks", "tracks", "tracks", "visible")


def _masked(px: float, **how: bool) -> tuple[Term]:
    """Depth inside the object mask only, dilated by `px` pixels of a 224-pixel image."""
    return (Term("depth", "depth", "depth", dilation=px, **how),)



CONDITIONS = {c.name: c for c in (
    Condition("A", "baseline"),
    Condition("B", "depth, full frame", (_DEPTH,)),
    Condition("C1", "depth, tight mask", _masked(0)),
    Condition("C2", "depth, mask + 8 px", _masked(8)),
    Condition("C3", "depth, mask + 20 px", _masked(20)),
    Condition("C4", "depth, full frame, ×5 in mask", (Term("depth", "depth", "depth", inside_weight=INSIDE_WEIGHT),)),
    Condition("D", "tracks, uniform grid", (_TRACKS,)),
    Condition("D-fg", "tracks, foreground-biased", (Term("tracks", "tracks_fg", "tracks", "visible_fg"),)),
    Condition("E", "depth + tracks", (_DEPTH, _TRACKS)),
    Condition("F", "3D centroid", (Term("centroid", "centroid", "vector", "centroid_valid"),)),
    Condition("G", "shape descriptor", (Term("shape", "shape", "vector", "shape_valid"),)),
)}


_DEPTH_PATCH = Term("depth_patch", "depth", "depth")
_TRACKS_PATCH = Term("tracks_patch", "tracks", "tracks and visibility", "visible")
_MASKS = {"C1": ("tight mask", 0), "C2": ("mask + 8 px", 8), "C3": ("mask + 20 px", 20)}

CONTROLS = {c.name: c for c in (
    # Is it the normalisation over few pixels, or the supervision of few? And does it matter which?
    *(Condition(f"{name}-ff", f"depth, {title}, normalised over the frame",
                _masked(px, full_frame=True)) for name, (title, px) in _MASKS.items()),
    *(Condition(f"{name}-rnd", f"depth, {title} moved to a random place",
                _masked(px, random_placement=True)) for name, (title, px) in _MASKS.items()),
    # Is it the CLS token that keeps local signals out? First heads that read patch tokens, then a predictor that does.
    # With the latter the heads read patches too: a CLS head would again pass all it teaches through the CLS token.
    Condition("B-patch", "depth from patch tokens", (_DEPTH_PATCH,)),
    Condition("D-patch", "tracks from patch tokens", (_TRACKS_PATCH,)),
    Condition("A-pp", "baseline, patch-aware predictor", predictor="patch"),
    Condition("B-pp", "depth from patch tokens, patch-aware predictor", (_DEPTH_PATCH,), "patch"),
    Condition("D-pp", "tracks from patch tokens, patch-aware predictor", (_TRACKS_PATCH,), "patch"),
)}


ALL = ChainMap(CONTROLS, CONDITIONS)  # the paper's first when listed; a row added to either is in it


def condition(name: str) -> Condition:
    """The condition of that name; an unknown one is an InputError that lists the known ones."""
    return pick(ALL, name, "condition")


class Signals(Protocol):
    """What a dataset is asked: which of these columns it lacks, each with the reason."""

    def missing(self, columns: Iterable[str]) -> dict[str, str]: ...


def unavailable(data: Signals, names: Iterable[str] = CONDITIONS) -> dict[str, str]:
    """Those of the named conditions (default: the paper's) whose signals a dataset lacks, each with the reason.

    An unknown condition is an InputError. A dataset without signal columns still serves A.
    """
    reasons = {}
    for name in names:
        lacking = data.missing(condition(name).columns)
        if lacking:
            reasons[name] = " ".join(dict.fromkeys(lacking.values()))
    return reasons
