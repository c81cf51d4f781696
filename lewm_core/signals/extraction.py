"""Signals: depth, point tracks and object mask of an episode, and what follows from them by geometry.

A backend works on one whole clip and is found by name in a registry:

    DEPTH[name](episode) -> (T, H, W) float32, larger is further away
    TRACKS[name](episode, queries (N, 2) px in frame 0) -> tracks (T, N, 2) px, visible (T, N) bool
    MASK[name](episode) -> (T, H, W) bool, the manipulated object

`simulator` is exact and knows only simulated episodes; `classical` is OpenCV and needs no weights; both are such
functions. The others are classes with weights (`upstream.NEEDS`): made from `Settings`, once per process, their
instances are such functions.
"""

from collections.abc import Callable, Mapping
from dataclasses import astuple, dataclass, fields
from functools import lru_cache
from pathlib import Path

import numpy as np

from lewm_core.signals import cache as _cache
from lewm_core.signals import classical, geometry, simulator, weights
from lewm_core.signals.cotracker3 import CoTracker3
from lewm_core.signals.depth_anything_v2 import DepthAnythingV2
from lewm_core.signals.geometry import on_object
from lewm_core.signals.sam3 import Sam3
from lewm_core.signals.video_depth_anything import VideoDepthAnything
from lewm_core.signals.weights import Settings
from lewm_core.sources.episode import Episode
from lewm_core.utils.errors import InputError, pick
from lewm_core.utils.files import digest

__all__ = [
    "Backends", "CLASSICAL", "PAPER", "RELATIVE_DEPTH", "REGISTRIES", "SIMULATOR", "Settings", "Signals", "check",
    "choose", "extract", "foreground_queries", "grid_queries", "identity", "on_gpu", "on_object", "usable",
    "with_weights",
]  # fmt: skip

GRID = 20  # 20 x 20 query points (paper 3.3)
POINTS = GRID**2
FOREGROUND_SHARE = 0.6  # of the foreground-biased queries lie inside the mask of frame 0 (paper 3.3)

DEPTH: dict[str, Callable] = {
    "simulator": simulator.depth,
    "video-depth-anything": VideoDepthAnything,
    "depth-anything-v2": DepthAnythingV2,
}
TRACKS: dict[str, Callable] = {"simulator": simulator.tracks, "classical": classical.tracks, "cotracker3": CoTracker3}
MASK: dict[str, Callable] = {"simulator": simulator.mask, "classical": classical.mask, "sam3": Sam3}
REGISTRIES = {"depth": DEPTH, "tracks": TRACKS, "mask": MASK}

RELATIVE_DEPTH = ("video-depth-anything", "depth-anything-v2")  # without unit or zero: geometry.relative_depth
NO_BACKEND = {
    "depth": "Depth needs a backend with weights (video-depth-anything or depth-anything-v2); none was given.",
    "tracks": "Tracks need a backend (classical, or cotracker3 with weights); none was given.",
    "mask": "The object mask needs a backend (classical, or sam3 with weights); none was given.",
}


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
        """The same, of backends with weights only."""
        return {kind: name for kind, name in self.named().items() if name in weights.NEEDS}


SIMULATOR = Backends("simulator", "simulator", "simulator")
CLASSICAL = Backends(None, "classical", "classical")
PAPER = Backends("video-depth-anything", "cotracker3", "sam3")


def choose(
    preferred: Backends, named: Mapping[str, str], settings: Settings, required: bool = False
) -> tuple[Backends, dict[str, str]]:
    """Which backends to use, and signal -> why that one, in one sentence.

    Per signal the backend that is `named`, if one is ("" is none). Otherwise the preferred one where it can run, or in
    any case if `required`; where it cannot, the one that needs no weights (for depth there is none).
    """
    chosen, why = {}, {}
    for kind in REGISTRIES:
        wanted, rest = getattr(preferred, kind), getattr(CLASSICAL, kind)
        lacks = weights.lacking(wanted, settings) if wanted in weights.NEEDS else None
        if named.get(kind):
            chosen[kind], why[kind] = named[kind], "Asked for by name."
        elif required or lacks is None:
            chosen[kind], why[kind] = wanted, "The default of this data."
        else:
            chosen[kind] = rest
            why[kind] = f"{wanted} cannot run: {lacks}. {weights.remedy(wanted, settings)}"
    return Backends(**chosen), why


def check(backends: Backends, settings: Settings) -> None:
    """InputError if a backend lacks its weights, code or packages: the reason, the remedy, and the other backends."""
    for kind, name in backends.learned().items():
        if (lacks := weights.lacking(name, settings)) is not None:
            others = ", ".join(n + " (simulated episodes only)" * (n == "simulator") for n in usable(kind, settings))
            raise InputError(f"{kind} backend {name}", lacks, f"{weights.NEEDS[name].weights} and what it needs",
                             f"{weights.remedy(name, settings)} Or choose another {kind} backend that can run here: "
                             f"{others}.")  # fmt: skip


def usable(kind: str, settings: Settings) -> list[str]:
    """The backends of a signal that lack nothing (`simulator` works on simulated episodes only)."""
    return [name for name in REGISTRIES[kind] if name not in weights.NEEDS or not weights.lacking(name, settings)]


def with_weights(settings: Settings) -> list[Backends]:
    """Each backend with weights that lacks nothing, alone."""
    none = dict.fromkeys(REGISTRIES)
    return [Backends(**none | {kind: name}) for kind in REGISTRIES for name in usable(kind, settings)
            if name in weights.NEEDS]  # fmt: skip


def on_gpu(backends: Backends, settings: Settings) -> bool:
    """Whether one of the backends would run on a GPU; then one process should do all the work."""
    return bool(backends.learned()) and settings.on != "cpu"


@lru_cache(maxsize=8)
def _loaded(backend: type, settings: Settings) -> Callable:
    return backend(settings)


def _backend(kind: str, name: str, settings: Settings) -> Callable:
    backend = REGISTRIES[kind][name]
    return _loaded(backend, settings) if isinstance(backend, type) else backend


@dataclass(frozen=True)
class Signals:
    """The signals of one episode; None where a signal is missing, with the reason in `missing`.

    depth: (T, 56, 56) float32, area average of the backend's depth (metres for the simulator; 0 to 1 without a unit for
        those of RELATIVE_DEPTH).
    mask: (T, H, W) bool, the manipulated object at image size.
    tracks, visible: (T, 400, 2) float32 px at image size and (T, 400) bool; 20 x 20 grid queried in frame 0.
    tracks_fg, visible_fg: the same for foreground-biased queries; tracks_fg[0] are the queries.
    centroid, centroid_valid: (T, 3) float32 in the camera frame, (T,) bool.
    shape, shape_valid: (T, 10) float32 (geometry.SHAPE_COMPONENTS), (T,) bool.
    made_by: signal -> what made it.
    missing: signal -> why it is missing, in one sentence.
    """

    episode: str
    depth: np.ndarray | None
    mask: np.ndarray | None
    tracks: np.ndarray | None
    visible: np.ndarray | None
    tracks_fg: np.ndarray | None
    visible_fg: np.ndarray | None
    centroid: np.ndarray | None
    centroid_valid: np.ndarray | None
    shape: np.ndarray | None
    shape_valid: np.ndarray | None
    made_by: dict[str, str]
    missing: dict[str, str]

    @property
    def biased(self) -> bool:
        """Whether the queries of `tracks_fg` are biased: with an empty mask in frame 0 they are the uniform grid."""
        return self.tracks_fg is not None and self.mask is not None and bool(self.mask[0].any())


ARRAYS = tuple(f.name for f in fields(Signals) if f.name not in ("episode", "made_by", "missing"))


def extract(
    episode: Episode, backends: Backends, cache: Path | None = None, namespace: str = "",
    settings: Settings = Settings(),  # noqa: B008, frozen
) -> Signals:  # fmt: skip
    """All signals of an episode.

    Args:
        cache: folder that keeps one file per episode, backends and version of this package's code; None keeps nothing.
        namespace: the source's fingerprint. Where it is empty the frames themselves take its place in the key.
        settings: of backends with weights.

    Raises:
        InputError: a backend lacks something, cannot work on this episode, or returned an array of another shape than
            documented.
    """
    if cache is None:
        return _extract(episode, backends, settings)
    origin = namespace or digest(episode.frames.tobytes())
    code = tuple(f"{name.replace('-', '_')}.py" for name in backends.learned().values())
    path = _cache.path(cache, episode.id, origin, *identity(backends, settings), code=code)
    stored = _cache.read(path, ARRAYS)
    if stored is not None:
        return Signals(episode=episode.id, **stored)
    signals = _extract(episode, backends, settings)
    _cache.write(path, {name: getattr(signals, name) for name in ARRAYS}, signals.made_by, signals.missing)
    return signals


def identity(backends: Backends, settings: Settings) -> tuple[str, ...]:
    """What decides signals beside the episode and the code here: the backends and, of learned ones, their weights."""
    return (*map(str, astuple(backends)), *(weights.fingerprint(n, settings) for n in backends.learned().values()))


def grid_queries(height: int, width: int) -> np.ndarray:
    """The centres (400, 2) float32 px of a 20 x 20 grid of cells that tile the image, row by row."""
    x, y = ((np.arange(GRID) + 0.5) * size / GRID - 0.5 for size in (width, height))
    return np.stack(np.meshgrid(x, y), -1).reshape(-1, 2).astype(np.float32)


def foreground_queries(mask0: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """400 query points (400, 2) float32 px, 60 % of them inside the mask (H, W) of frame 0 (paper 3.3, D).

    Inside, pixels are drawn uniformly (each once before any twice) and the point uniformly within the pixel. The rest
    are an even thinning of the uniform grid. With an empty mask, all are the uniform grid.
    """
    grid = grid_queries(*mask0.shape)
    pixels = np.argwhere(mask0)[:, ::-1]
    if not len(pixels):
        return grid
    n_inside = round(FOREGROUND_SHARE * len(grid))
    order = np.concatenate([rng.permutation(len(pixels)) for _ in range(-(-n_inside // len(pixels)))])
    inside = pixels[order[:n_inside]] + rng.uniform(-0.49, 0.49, (n_inside, 2))
    thinned = grid[np.linspace(0, len(grid) - 1, len(grid) - n_inside).round().astype(int)]
    return np.concatenate([inside, thinned]).astype(np.float32)


def _extract(episode: Episode, backends: Backends, settings: Settings) -> Signals:
    check(backends, settings)
    made_by = backends.named()
    missing = {kind: reason for kind, reason in NO_BACKEND.items() if kind not in made_by}
    run = {kind: _backend(kind, name, settings) for kind, name in made_by.items()}
    out = dict.fromkeys(ARRAYS)
    t, h, w = episode.frames.shape[:3]

    depth = None
    if backends.depth is not None:
        depth = _checked(episode, "depth", run["depth"](episode), (t, h, w), np.float32)
        out["depth"] = geometry.to_supervision(depth)
    if backends.mask is not None:
        out["mask"] = _checked(episode, "mask", run["mask"](episode), (t, h, w), bool)

    if backends.tracks is not None:
        out["tracks"], out["visible"] = _tracks(episode, run["tracks"], grid_queries(h, w))
    if backends.tracks is None:
        missing["tracks_fg"] = missing["tracks"]
    elif backends.mask is None:
        missing["tracks_fg"] = "Foreground-biased queries need the object mask. " + missing["mask"]
    else:
        rng = np.random.default_rng(int(digest(episode.id), 16))
        queries = foreground_queries(out["mask"][0], rng)
        out["tracks_fg"], out["visible_fg"] = _tracks(episode, run["tracks"], queries)
        made_by["tracks_fg"] = f"{backends.tracks} tracks, queries from the {backends.mask} mask"
        if not out["mask"][0].any():  # Signals.biased says so, too
            made_by["tracks_fg"] = f"{backends.tracks} tracks, uniform queries: the mask of frame 0 is empty"

    needed = [missing[kind] for kind in ("depth", "mask") if kind in missing]
    if backends.depth in RELATIVE_DEPTH:
        needed.append(f"{backends.depth} gives depth without unit or zero, which places nothing in space.")
    if episode.intrinsics is None:
        needed.append("The camera's intrinsics are unknown.")
    if needed:
        missing["centroid"] = missing["shape"] = " ".join(needed)
    else:
        out["shape"], out["shape_valid"] = geometry.shape_descriptor(depth, out["mask"], episode.intrinsics)
        out["centroid"] = np.ascontiguousarray(out["shape"][:, :3])
        out["centroid_valid"] = out["shape_valid"].copy()
        made_by["centroid"] = made_by["shape"] = f"{backends.depth} depth and {backends.mask} mask"
    return Signals(episode=episode.id, **out, made_by=made_by, missing=missing)


def _tracks(episode: Episode, backend: Callable, queries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    tracks, visible = backend(episode, queries)
    shape = (len(episode.frames), len(queries))
    tracks = _checked(episode, "tracks", tracks, (*shape, 2), np.float32)
    return tracks, _checked(episode, "visible", visible, shape, bool)


def _checked(episode: Episode, signal: str, array: np.ndarray, shape: tuple[int, ...], dtype: type) -> np.ndarray:
    """A backend's answer, held to the documented shape; floats must be finite."""
    array = np.asarray(array)
    found = f"shape {array.shape}" if array.shape != shape else ""
    if not found and not np.isfinite(array).all():
        found = "values that are not finite"
    if found:
        raise InputError(f"{signal} of episode {episode.id}", found, f"finite values of shape {shape}")
    return array.astype(dtype, copy=False)
