"""The backends by name, and which of them make the signals of a study.

A backend works on one whole clip:

    DEPTH[name](episode) -> (T, H, W) float32, larger is further away
    TRACKS[name](episode, queries (N, 2) px in frame 0) -> tracks (T, N, 2) px, visible (T, N) bool
    MASK[name](episode) -> (T, H, W) bool, the manipulated object

One without weights is such a function: `simulator` is exact and knows only simulated episodes; `classical` is OpenCV;
`file` stands for what the episodes' own file holds (`held`).
One with weights is a class that says what it `needs`; made from `Settings`, once per process, its instances are such
functions. A new backend is a file with such a function or class, and a row here.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from sys import modules

from lewm_core.signals import classical, held, simulator, weights
from lewm_core.signals.cotracker3 import CoTracker3
from lewm_core.signals.depth_anything_v2 import DepthAnythingV2
from lewm_core.signals.sam3 import Sam3
from lewm_core.signals.video_depth_anything import VideoDepthAnything
from lewm_core.signals.weights import Needs, Settings
from lewm_core.utils.errors import InputError, pick

DEPTH: dict[str, Callable] = {
    "file": held.backend,
    "simulator": simulator.depth,
    "video-depth-anything": VideoDepthAnything,
    "depth-anything-v2": DepthAnythingV2,
}
TRACKS: dict[str, Callable] = {
    "file": held.backend,
    "simulator": simulator.tracks,
    "classical": classical.tracks,
    "cotracker3": CoTracker3,
}
MASK: dict[str, Callable] = {
    "file": held.backend,
    "simulator": simulator.mask,
    "classical": classical.mask,
    "sam3": Sam3,
}
REGISTRIES = {"depth": DEPTH, "tracks": TRACKS, "mask": MASK}

NO_BACKEND = {
    "depth": "Depth needs a backend with weights (video-depth-anything or depth-anything-v2); none was given.",
    "tracks": "Tracks need a backend (classical, or cotracker3 with weights); none was given.",
    "mask": "The object mask needs a backend (classical, or sam3 with weights); none was given.",
}


def needs(kind: str, name: str | None) -> Needs | None:
    """What the backend `name` of a signal needs; None where it has no weights, or is unknown."""
    return getattr(REGISTRIES[kind].get(name), "needs", None)


def is_relative(name: str | None) -> bool:
    """Whether this backend's depth has neither unit nor zero (`geometry.relative_depth`); False for an unknown name."""
    return getattr(DEPTH.get(name), "relative", False)


@dataclass(frozen=True)
class Backends:
    """Which backend makes each signal, by name; None where none is available. Unknown names are InputErrors."""

    depth: str | None
    tracks: str | None
    mask: str | None

    def __post_init__(self):
        for kind, name in self.named().items():
            pick(REGISTRIES[kind], name, f"{kind} backend")

    def named(self) -> dict[str, str]:
        """signal -> backend, where there is one."""
        return {kind: getattr(self, kind) for kind in REGISTRIES if getattr(self, kind) is not None}

    def learned(self) -> dict[str, str]:
        """signal -> backend, of backends with weights only."""
        return {kind: name for kind, name in self.named().items() if needs(kind, name)}


SIMULATOR = Backends("simulator", "simulator", "simulator")
CLASSICAL = Backends(None, "classical", "classical")
PAPER = Backends("video-depth-anything", "cotracker3", "sam3")


def choose(
    preferred: Backends, named: Mapping[str, str], settings: Settings, required: bool = False,
    in_file: Collection[str] = (),
) -> tuple[Backends, dict[str, str]]:
    """Which backends to use, and signal -> why that one, in one sentence.

    Per signal the backend that is `named`, if one is ("" is none). Otherwise what the data hold already, if the signal
    is among those `in_file`. Otherwise the preferred one where it can run, or in any case (also of what is in the file)
    if `required`; where it cannot, the one that needs no weights (for depth there is none). InputError where `file` is
    named for a signal that is not in it.
    """
    chosen, why = {}, {}
    for kind in REGISTRIES:
        wanted = getattr(preferred, kind)
        lacks = lacking(kind, wanted, settings)
        if named.get(kind) == held.FILE and kind not in in_file:
            raise InputError(f"parameter {kind}_backend", f"file, but the data hold no {kind}", "another backend",
                             f"Those that can run here: {others(kind, settings)}.")
        if named.get(kind):
            chosen[kind], why[kind] = named[kind], "Asked for by name."
        elif kind in in_file and not required:
            chosen[kind], why[kind] = held.FILE, "The data hold it already."
        elif required or lacks is None:
            chosen[kind], why[kind] = wanted, "The default of this data."
        else:
            chosen[kind] = getattr(CLASSICAL, kind)
            why[kind] = f"{wanted} cannot run: {lacks}. {weights.remedy(needs(kind, wanted), settings)}"
    return Backends(**chosen), why


def lacking(kind: str, name: str, settings: Settings) -> str | None:
    """Why the backend cannot run here, in a few words; None if nothing is missing."""
    needed = needs(kind, name)
    return weights.lacking(needed, settings) if needed else None


def check(backends: Backends, settings: Settings) -> None:
    """InputError if a backend lacks its weights, code or packages: the reason, the remedy, and the other backends."""
    for kind, name in backends.learned().items():
        lacks = lacking(kind, name, settings)
        if lacks is None:
            continue
        raise InputError(f"{kind} backend {name}", lacks, f"{needs(kind, name).weights} and what it needs",
                         f"{weights.remedy(needs(kind, name), settings)} Or choose another {kind} backend that can "
                         f"run here: {others(kind, settings)}.")  # fmt: skip


def others(kind: str, settings: Settings) -> str:
    """The backends of a signal that lack nothing, in words; not what the data hold, which is the default where they do.
    """
    names = [name for name in usable(kind, settings) if name != held.FILE]
    return ", ".join(name + " (simulated episodes only)" * (name == "simulator") for name in names)


def usable(kind: str, settings: Settings) -> list[str]:
    """The backends of a signal that lack nothing (`simulator` works on simulated episodes only, `file` on those that
    hold the signal)."""
    return [name for name in REGISTRIES[kind] if lacking(kind, name, settings) is None]


def with_weights(settings: Settings) -> list[Backends]:
    """Each backend with weights that lacks nothing, alone."""
    none = dict.fromkeys(REGISTRIES)
    found = [(kind, name) for kind in REGISTRIES for name in usable(kind, settings) if needs(kind, name)]
    return [Backends(**none | {kind: name}) for kind, name in found]


def on_gpu(backends: Backends, settings: Settings) -> bool:
    """Whether one of the backends would run on a GPU; then one process should do all the work."""
    return bool(backends.learned()) and settings.on != "cpu"


def identity(backends: Backends, settings: Settings) -> tuple[str, ...]:
    """What decides signals beside the episode and the code: the backends' names and, of learned ones, their weights."""
    names = (str(getattr(backends, kind)) for kind in REGISTRIES)
    learned = (weights.fingerprint(needs(kind, name), settings) for kind, name in backends.learned().items())
    return (*names, *learned)


def code_files(backends: Backends) -> list[Path]:
    """The files that hold the backends' code (a backend that was typed in has none)."""
    named = [REGISTRIES[kind][name] for kind, name in backends.named().items()]
    files = [getattr(modules.get(backend.__module__), "__file__", None) for backend in named]
    return [Path(file) for file in files if file]


def load(kind: str, name: str, settings: Settings) -> Callable:
    """The backend as a function of an episode, with its weights loaded (once per process) where it has any."""
    backend = REGISTRIES[kind][name]
    return _loaded(backend, settings) if needs(kind, name) else backend


@lru_cache(maxsize=8)
def _loaded(backend: type, settings: Settings) -> Callable:
    return backend(settings)
