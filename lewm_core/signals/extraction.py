"""Signals: depth, point tracks and object mask of an episode, and what follows from them by geometry."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from lewm_core.signals import cache as stored
from lewm_core.signals import geometry
from lewm_core.signals.backends import NO_BACKEND, Backends, check, code_files, identity, is_relative, load
from lewm_core.signals.geometry import GRID
from lewm_core.signals.held import FILE, IN_SPACE, taken
from lewm_core.signals.weights import Settings
from lewm_core.sources.episode import Episode, Source
from lewm_core.utils.errors import InputError
from lewm_core.utils.files import digest

NO_TRUTH = "Only a simulator knows where the object is."
FOREGROUND_SHARE = 0.6  # of the foreground-biased queries lie inside the mask of frame 0 (paper 3.3)


@dataclass(frozen=True)
class Signals:
    """The signals of one episode; None where a signal is missing, with the reason in `missing`.

    depth: (T, 56, 56) float32, area average of the backend's depth (metres for the simulator; relative depth is 0 to 1
        without a unit).
    mask: (T, H, W) bool, the manipulated object at image size.
    tracks, visible: (T, 400, 2) float32 px at image size and (T, 400) bool; 20 x 20 grid queried in frame 0.
    tracks_fg, visible_fg: the same for foreground-biased queries; tracks_fg[0] are the queries.
    centroid, centroid_valid: (T, 3) float32 in the camera frame, (T,) bool.
    shape, shape_valid: (T, 10) float32 (geometry.SHAPE_COMPONENTS), (T,) bool.
    object: (T, 3) float32, m, the object's centre of mass in the world, which only a simulator knows.
    gripper: (T, 3) float32, m, where the gripper is, from a file that says so; else the observation does.
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
    object: np.ndarray | None = None
    gripper: np.ndarray | None = None

    @property
    def biased(self) -> bool:
        """Whether the queries of `tracks_fg` are biased: with an empty mask in frame 0 they are the uniform grid."""
        return self.tracks_fg is not None and self.mask is not None and bool(self.mask[0].any())


Packet = tuple[Episode, Signals]
ARRAYS = tuple(f.name for f in fields(Signals) if f.name not in ("episode", "made_by", "missing"))


def extract_once(episode: Episode, backends: Backends, cache: Path, fingerprint: str,
                 settings: Settings = Settings()) -> Signals:  # noqa: B008, frozen
    """`extract`, or what it gave before.

    Args:
        cache: folder that keeps one file per episode, backends and version of this package's code.
        fingerprint: the source's.
    """
    signals = cached(episode.id, backends, cache, fingerprint, settings)
    if signals is None:
        signals = extract(episode, backends, settings)
        arrays = {name: getattr(signals, name) for name in ARRAYS}
        path = _cache_file(episode.id, backends, cache, fingerprint, settings)
        stored.write(path, arrays, signals.made_by, signals.missing)
    return signals


def cached(id: str, backends: Backends, cache: Path, fingerprint: str, settings: Settings) -> Signals | None:
    """What `extract_once` with these arguments kept of the episode `id`; None where there is nothing."""
    found = stored.read(_cache_file(id, backends, cache, fingerprint, settings), ARRAYS)
    return None if found is None else Signals(episode=id, **found)


def _cache_file(id: str, backends: Backends, cache: Path, fingerprint: str, settings: Settings) -> Path:
    return stored.path(cache, id, fingerprint, *identity(backends, settings), code=code_files(backends))


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


def bare(source: Source, id: str) -> Packet:
    """An episode with no signal but what it brings itself. InputError: it cannot be read."""
    episode = source.load(id)
    return episode, extract(episode, Backends(None, None, None))


def extract(episode: Episode, backends: Backends, settings: Settings = Settings()) -> Signals:  # noqa: B008, frozen
    """All signals of an episode.

    settings: of backends with weights. InputError: a backend lacks something, cannot work on this episode, or returned
    an array of another shape than documented.
    """
    check(backends, settings)
    named, own = backends.named(), taken(episode, backends.named())
    made_by = named | own.made_by
    missing = {kind: reason for kind, reason in NO_BACKEND.items() if kind not in made_by} | own.missing
    run = {kind: load(kind, name, settings) for kind, name in named.items() if name != FILE}
    out = dict.fromkeys(ARRAYS) | own.arrays
    shape = episode.frames.shape[:3]

    depth = None
    if "depth" in run:
        depth = _checked(episode, "depth", run["depth"](episode), shape, np.float32)
        out["depth"] = geometry.to_supervision(depth)
    if "mask" in run:
        out["mask"] = _checked(episode, "mask", run["mask"](episode), shape, bool)
    if "tracks" in run:
        out["tracks"], out["visible"] = _tracks(episode, run["tracks"], grid_queries(*shape[1:]))
        if out["mask"] is not None:
            queries = foreground_queries(out["mask"][0], np.random.default_rng(int(digest(episode.id), 16)))
            out["tracks_fg"], out["visible_fg"] = _tracks(episode, run["tracks"], queries)
            made_by["tracks_fg"] = _foreground_made_by(backends, out["mask"])
        else:
            missing["tracks_fg"] = "Foreground-biased queries need the object mask. " + missing["mask"]
    elif "tracks" in missing:
        missing["tracks_fg"] = missing["tracks"]

    absent, needed = [name for name in IN_SPACE if out[name] is None], _lacking_in_space(episode, backends, missing)
    if absent and needed:
        missing |= dict.fromkeys(absent, " ".join(needed))
    elif absent:
        out["shape"], out["shape_valid"] = geometry.shape_descriptor(depth, out["mask"], episode.intrinsics)
        out["centroid"] = np.ascontiguousarray(out["shape"][:, :3])
        out["centroid_valid"] = out["shape_valid"].copy()
        made_by["centroid"] = made_by["shape"] = f"{backends.depth} depth and {backends.mask} mask"
    if episode.truth is None and out["object"] is None:
        missing["object"] = NO_TRUTH
    elif episode.truth is not None:
        out["object"], made_by["object"] = episode.truth.object.astype(np.float32), "simulator"
    return Signals(episode=episode.id, **out, made_by=made_by, missing=missing)


def _foreground_made_by(backends: Backends, mask: np.ndarray) -> str:
    if mask[0].any():
        return f"{backends.tracks} tracks, queries from the {backends.mask} mask"
    return f"{backends.tracks} tracks, uniform queries: the mask of frame 0 is empty"  # Signals.biased says so, too


def _lacking_in_space(episode: Episode, backends: Backends, missing: dict[str, str]) -> list[str]:
    """Why the object's points cannot be placed in space, a sentence each; empty where they can."""
    needed = [missing[kind] for kind in ("depth", "mask") if kind in missing]
    if is_relative(backends.depth):
        needed.append(f"{backends.depth} gives depth without unit or zero, which places nothing in space.")
    if episode.intrinsics is None:  # also of every episode whose file holds depth: it has no more than a coarse grid
        needed.append("The camera's intrinsics are unknown.")
    return needed


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
