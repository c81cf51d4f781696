"""Signals: depth, point tracks and object mask of an episode, and what follows from them by geometry.

A backend is a function over one whole clip, found by name in a registry:

    DEPTH[name](episode) -> (T, H, W) float32, larger is further away
    TRACKS[name](episode, queries (N, 2) px in frame 0) -> tracks (T, N, 2) px, visible (T, N) bool
    MASK[name](episode) -> (T, H, W) bool, the manipulated object

`simulator` is exact and knows only simulated episodes; `classical` is OpenCV and needs no weights. A backend with
weights (video-depth-anything, cotracker3, sam3) is one more entry.
"""

from collections.abc import Callable
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy as np

from lewm_core.episodes import Episode
from lewm_core.errors import InputError, pick
from lewm_core.files import digest
from lewm_core.signals import cache as _cache
from lewm_core.signals import classical, geometry, simulator
from lewm_core.signals.geometry import on_object

__all__ = [
    "Backends", "CLASSICAL", "SIMULATOR", "Signals", "extract", "foreground_queries", "grid_queries", "on_object",
]  # fmt: skip

GRID = 20  # 20 x 20 query points (paper 3.3)
FOREGROUND_SHARE = 0.6  # of the foreground-biased queries lie inside the mask of frame 0 (paper 3.3)

DEPTH: dict[str, Callable[[Episode], np.ndarray]] = {"simulator": simulator.depth}
TRACKS: dict[str, Callable[[Episode, np.ndarray], tuple[np.ndarray, np.ndarray]]] = {
    "simulator": simulator.tracks,
    "classical": classical.tracks,
}
MASK: dict[str, Callable[[Episode], np.ndarray]] = {"simulator": simulator.mask, "classical": classical.mask}

NO_BACKEND = {
    "depth": "Depth needs a backend with weights (video-depth-anything); none was given.",
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
        for registry, name, kind in ((DEPTH, self.depth, "depth"), (TRACKS, self.tracks, "tracks"),
                                     (MASK, self.mask, "mask")):  # fmt: skip
            if name is not None:
                pick(registry, name, f"{kind} backend")


SIMULATOR = Backends("simulator", "simulator", "simulator")
CLASSICAL = Backends(None, "classical", "classical")


@dataclass(frozen=True)
class Signals:
    """The signals of one episode; None where a signal is missing, with the reason in `missing`.

    depth: (T, 56, 56) float32, area average of the backend's depth (metres for the simulator).
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


def extract(episode: Episode, backends: Backends, cache: Path | None = None, namespace: str = "") -> Signals:
    """All signals of an episode.

    Args:
        cache: folder that keeps one file per episode, backends and version of this package's code; None keeps nothing.
        namespace: the source's fingerprint. Where it is empty the frames themselves take its place in the key.

    Raises:
        InputError: a backend cannot work on this episode, or returned an array of another shape than documented.
    """
    if cache is None:
        return _extract(episode, backends)
    origin = namespace or digest(episode.frames.tobytes())
    path = _cache.path(cache, episode.id, origin, *map(str, astuple(backends)))
    stored = _cache.read(path, ARRAYS)
    if stored is not None:
        return Signals(episode=episode.id, **stored)
    signals = _extract(episode, backends)
    _cache.write(path, {name: getattr(signals, name) for name in ARRAYS}, signals.made_by, signals.missing)
    return signals


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


def _extract(episode: Episode, backends: Backends) -> Signals:
    made_by, missing = {}, {}
    for kind in ("depth", "tracks", "mask"):
        name = getattr(backends, kind)
        if name is None:
            missing[kind] = NO_BACKEND[kind]
        else:
            made_by[kind] = name
    out = dict.fromkeys(ARRAYS)
    t, h, w = episode.frames.shape[:3]

    depth = None
    if backends.depth is not None:
        depth = _checked(episode, "depth", DEPTH[backends.depth](episode), (t, h, w), np.float32)
        out["depth"] = geometry.to_supervision(depth)
    if backends.mask is not None:
        out["mask"] = _checked(episode, "mask", MASK[backends.mask](episode), (t, h, w), bool)

    if backends.tracks is not None:
        out["tracks"], out["visible"] = _tracks(episode, backends.tracks, grid_queries(h, w))
    if backends.tracks is None:
        missing["tracks_fg"] = missing["tracks"]
    elif backends.mask is None:
        missing["tracks_fg"] = "Foreground-biased queries need the object mask. " + missing["mask"]
    else:
        rng = np.random.default_rng(int(digest(episode.id), 16))
        queries = foreground_queries(out["mask"][0], rng)
        out["tracks_fg"], out["visible_fg"] = _tracks(episode, backends.tracks, queries)
        made_by["tracks_fg"] = f"{backends.tracks} tracks, queries from the {backends.mask} mask"
        if not out["mask"][0].any():  # Signals.biased says so, too
            made_by["tracks_fg"] = f"{backends.tracks} tracks, uniform queries: the mask of frame 0 is empty"

    needed = [missing[kind] for kind in ("depth", "mask") if kind in missing]
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


def _tracks(episode: Episode, name: str, queries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    tracks, visible = TRACKS[name](episode, queries)
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
