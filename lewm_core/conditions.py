"""The table of conditions (paper 3.3). A condition is a row; to add your own, add a row.

The paper counts seven and lists nine auxiliary variants, with the tracks in two query layouts. All are in `CONDITIONS`.
`CONTROLS` holds what the paper lacks: rows that tell its explanations apart.
"""

from collections import ChainMap
from collections.abc import Iterable

from lewm_core.dataset import Data
from lewm_core.dataset.contract import Outline
from lewm_core.terms import Condition, Term
from lewm_core.utils.errors import pick

INSIDE_WEIGHT = 5.0  # C4's factor inside the tight mask

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


_DEPTH_PATCH = Term("depth_patch", "depth")
_TRACKS_PATCH = Term("tracks_patch", "tracks", "visible")
_MASKS = {"C1": ("tight mask", 0), "C2": ("mask + 8 px", 8), "C3": ("mask + 20 px", 20)}

CONTROLS = {c.name: c for c in (
    # Is it the normalisation over few pixels, or the supervision of few? And does it matter which?
    *(Condition(f"{name}-ff", f"depth, {title}, normalised over the frame",
                (Term("depth", "depth", dilation=px, full_frame=True),)) for name, (title, px) in _MASKS.items()),
    *(Condition(f"{name}-rnd", f"depth, {title} moved to a random place",
                (Term("depth", "depth", dilation=px, elsewhere=True),)) for name, (title, px) in _MASKS.items()),
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


def unserved(data: Data | Outline, names: Iterable[str] = CONDITIONS) -> dict[str, str]:
    """Those of the named conditions (default: all) that a dataset cannot serve, each with the reason in sentences.

    An unknown condition is an InputError. A dataset without signal columns still serves A.
    """
    reasons = {name: " ".join(dict.fromkeys(data.missing(condition(name).columns).values())) for name in names}
    return {name: reason for name, reason in reasons.items() if reason}
