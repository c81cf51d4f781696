"""The table of conditions (paper 3.3). A condition is a row; to add your own, add a row.

The paper counts seven and lists nine auxiliary variants, with the tracks in two query layouts. All are in `CONDITIONS`.
`REFERENCES` learn nothing: rows beside which all others are read. `CONTROLS` holds what else the paper lacks: rows that
tell its explanations apart.
"""

from collections import ChainMap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol

from lewm_core.losses import Term
from lewm_core.utils.errors import InputError, known, pick

INSIDE_WEIGHT = 5.0  # C4's factor inside the tight mask (paper 3.3)
DILATIONS = {"C1": 0, "C2": 8, "C3": 20}  # px at 224 by which the masks of depth inside a mask are dilated (paper 3.3)
FULL, LR_0, NONE = "full", "lr 0", "none"  # how a condition is trained


@dataclass(frozen=True)
class Condition:
    """A row of the study. Its terms, predictor and training decide what it does; all else says how to speak of it.

    family: what it adds: reference or baseline (nothing), depth, mask (depth by region), tracks, depth + tracks,
    centroid, shape, state.
    terms: the auxiliary losses. predictor: what the predictor reads of a frame, its embedding ("cls") or also its patch
    tokens ("patch", lewm_core.patch_predictor). baseline: the condition that this one is compared with, the same
    predictor without heads. control_of: the condition that a control varies (None: it stands for itself), and variant:
    in what. training: "full"; "lr 0", all steps with learning rate 0, in which only BatchNorm's buffers move; "none",
    the untouched base.
    """

    name: str
    title: str
    family: str
    terms: tuple[Term, ...] = ()
    predictor: str = "cls"
    baseline: str = "A"
    control_of: str | None = None
    variant: str = ""
    training: str = FULL

    def __post_init__(self):
        known((FULL, LR_0, NONE), self.training, "training")
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


_DEPTH = Term("depth", "depth", "depth")
_WEIGHTED = Term("depth", "depth", "depth", inside_weight=INSIDE_WEIGHT)
_TRACKS = Term("tracks", "tracks", "tracks", "visible")
_TRACKS_FG = Term("tracks", "tracks_fg", "tracks", "visible_fg")
_CENTROID = Term("centroid", "centroid", "vector", "centroid_valid")
_SHAPE = Term("shape", "shape", "vector", "shape_valid")
_DEPTH_PATCH = Term("depth_patch", "depth", "depth")
_TRACKS_PATCH = Term("tracks_patch", "tracks", "tracks and visibility", "visible")
_STATE = tuple(Term(name, name, "vector", weight=1.0) for name in ("gripper", "object"))


def _masked(name: str) -> Term:
    """Depth inside the object mask only, dilated as in C1, C2 or C3."""
    return Term("depth", "depth", "depth", dilation=DILATIONS[name])


CONDITIONS = {c.name: c for c in (
    Condition("A", "baseline", "baseline"),
    Condition("B", "depth, full frame", "depth", (_DEPTH,)),
    Condition("C1", "depth, tight mask", "mask", (_masked("C1"),)),
    Condition("C2", f"depth, mask + {DILATIONS['C2']} px", "mask", (_masked("C2"),)),
    Condition("C3", f"depth, mask + {DILATIONS['C3']} px", "mask", (_masked("C3"),)),
    Condition("C4", f"depth, full frame, ×{INSIDE_WEIGHT:g} in mask", "mask", (_WEIGHTED,)),
    Condition("D", "tracks, uniform grid", "tracks", (_TRACKS,)),
    Condition("D-fg", "tracks, foreground-biased", "tracks", (_TRACKS_FG,)),
    Condition("E", "depth + tracks", "depth + tracks", (_DEPTH, _TRACKS)),
    Condition("F", "3D centroid", "centroid", (_CENTROID,)),
    Condition("G", "shape descriptor", "shape", (_SHAPE,)),
)}

REFERENCES = {c.name: c for c in (
    Condition("base", "the base, not fine-tuned", "reference", training=NONE),
    Condition("lr-0", "fine-tuned at learning rate 0", "reference", training=LR_0),
)}

# What the controls vary.
FULL_FRAME, RANDOM = "full-frame normalisation", "random placement"
PATCH_HEAD, PATCH_PREDICTOR = "patch head", "patch-aware predictor"
RAW = "displacements in image sides"
SHUFFLED, OTHER_EPISODE = "targets of other frames", "targets of another episode"
NOISE, NETWORK, DETACHED = "noise as target", "a random network as target", "head on detached latents"
QUARTER, HALF = (f"{percent} % {SHUFFLED}" for percent in (25, 50))
TAUGHT = (RAW, QUARTER, HALF, OTHER_EPISODE, NOISE, NETWORK, DETACHED)  # what a head learns, or whether it teaches

_POSITIVE = Condition("P", "true state: gripper and object position", "state", _STATE)
_VARIED = CONDITIONS | {"P": _POSITIVE}


def _each(names: Iterable[str], suffix: str, variant: str, **how: object) -> Iterator[Condition]:
    """The rows of these names with every term changed in `how`."""
    for name in names:
        row = _VARIED[name]
        terms = tuple(replace(term, **how) for term in row.terms)
        yield replace(row, name=f"{name}-{suffix}", title=f"{row.title}, {variant}", terms=terms, control_of=name,
                      variant=variant)


CONTROLS = {c.name: c for c in (
    # Is it the normalisation over few pixels, or the supervision of few? And does it matter which?
    *_each(DILATIONS, "ff", FULL_FRAME, full_frame=True),
    *_each(DILATIONS, "rnd", RANDOM, random_placement=True),
    # Is it the CLS token that keeps local signals out? First heads that read patch tokens, then a predictor that does.
    # With the latter the heads read patches too: a CLS head would again pass all it teaches through the CLS token.
    Condition("B-patch", "depth from patch tokens", "depth", (_DEPTH_PATCH,), control_of="B", variant=PATCH_HEAD),
    Condition("D-patch", "tracks from patch tokens", "tracks", (_TRACKS_PATCH,), control_of="D", variant=PATCH_HEAD),
    Condition("A-pp", "baseline, patch-aware predictor", "baseline", (), "patch", "A-pp", "A", PATCH_PREDICTOR),
    Condition("B-pp", "depth from patch tokens, patch-aware predictor", "depth", (_DEPTH_PATCH,), "patch", "A-pp", "B",
              PATCH_PREDICTOR),
    Condition("D-pp", "tracks from patch tokens, patch-aware predictor", "tracks", (_TRACKS_PATCH,), "patch", "A-pp",
              "D", PATCH_PREDICTOR),
    # Is it the tracks, or their scale? In image sides nearly all displacements are tiny, and so is what they teach.
    *_each("D", "raw", RAW, standardised=False),
    # Can this instrument see an effect at all? The best of all targets, where a simulator knows it.
    _POSITIVE,
    # Is it what the target says of the frame, or merely that there is one? Does it act through the encoder at all?
    *_each("BDEFGP", "shuf", SHUFFLED, target_from="frame"),
    *_each("BD", "25", QUARTER, target_from="frame", share=0.25),
    *_each("BD", "50", HALF, target_from="frame", share=0.5),
    *_each("BD", "other", OTHER_EPISODE, target_from="episode"),
    *_each("BD", "noise", NOISE, target_from="noise"),
    *_each("BD", "net", NETWORK, target_from="network"),
    *_each("BDP", "detached", DETACHED, detached=True),
)}


ALL = ChainMap(CONTROLS, REFERENCES, CONDITIONS)  # the paper's first when listed; a row added to any is in it


def condition(name: str) -> Condition:
    """The condition of that name; an unknown one is an InputError that lists the known ones."""
    return pick(ALL, name, "condition")


def in_order(names: Iterable[str]) -> list[str]:
    """`names` without repeats in the order of the tables; names that these do not have last, as given."""
    names = list(dict.fromkeys(names))
    return [name for name in ALL if name in names] + [name for name in names if name not in ALL]


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
