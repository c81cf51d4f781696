"""The exact backends: what the simulator knows of its own episodes."""

import numpy as np

from lewm_core.signals.geometry import at_pixels, project, unproject
from lewm_core.sources.episode import Episode, Truth
from lewm_core.utils.errors import InputError

DEPTH_TOLERANCE = 0.02  # of the depth: a tracked point further behind the seen surface than this is hidden by it


def depth(episode: Episode) -> np.ndarray:
    """True depth (T, H, W) float32, metres along the optical axis."""
    return _truth(episode).depth


def mask(episode: Episode) -> np.ndarray:
    """True mask (T, H, W) bool of the manipulated object's visible pixels."""
    return _truth(episode).mask


def tracks(episode: Episode, queries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """True tracks of the surface points seen at `queries` (N, 2) px in frame 0.

    Each point is fixed to the surface it hits, moved with that surface's pose and projected. It is visible where it
    is in view, the nearest pixel shows the same surface, and its depth agrees with the depth map. A query that
    hits nothing (geom < 0) stays where it is and is visible while nothing is seen there.

    Returns:
        tracks (T, N, 2) float32 px, the last position in front of the camera where there is none; visible (T, N) bool.
    """
    truth = _truth(episode)
    if episode.intrinsics is None:
        raise InputError(f"episode {episode.id}", "no intrinsics", "a camera matrix beside the simulator's truth")
    length = len(truth.depth)
    first = _surface(truth, queries[None].astype(np.float64), np.zeros(1, int))
    geom, z = first[0][0], first[1][0]
    hit = geom >= 0
    pose = truth.pose[:, np.maximum(geom, 0)]
    rotation, offset = pose[..., :3], pose[..., 3]
    seen_first = unproject(queries.astype(np.float64), z, episode.intrinsics)
    local = np.einsum("nji,nj->ni", rotation[0], seen_first - offset[0])
    points = np.einsum("tnij,nj->tni", rotation, local) + offset
    points[:, ~hit] = seen_first[~hit]
    positions = _held(project(points, episode.intrinsics))
    positions[:, ~hit] = queries[~hit]

    geom_seen, z_seen, in_view = _surface(truth, positions, np.arange(length))
    agrees = ~hit | (np.abs(points[..., 2] - z_seen) <= DEPTH_TOLERANCE * z_seen)
    visible = in_view & (geom_seen == geom) & agrees
    return positions.astype(np.float32), visible


def _truth(episode: Episode) -> Truth:
    if episode.truth is None:
        raise InputError(
            f"episode {episode.id}", "no simulator truth", "an episode of the simulated tabletop",
            "Choose backends that work from frames alone, for example classical.",
        )  # fmt: skip
    return episode.truth


def _surface(truth: Truth, xy: np.ndarray, times: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which surface is seen at `xy` (T, N, 2) in frames `times` (T,), and how far away it is there.

    The depth is interpolated between the four nearest pixels that show the same surface as the nearest one; linearly in
    1/z, which is exact on planes.

    Returns:
        geom (T, N), depth (T, N), in_view (T, N).
    """
    geoms, depths = truth.geom[times], truth.depth[times]
    geom, in_view = at_pixels(geoms, xy)
    corner = np.floor(xy)
    part = xy - corner
    total, inverse = 0.0, 0.0
    for dx, dy in ((0, 0), (1, 0), (0, 1), (1, 1)):
        here, inside = at_pixels(geoms, corner + (dx, dy))
        z = at_pixels(depths, corner + (dx, dy))[0]
        weight = np.abs(1 - dx - part[..., 0]) * np.abs(1 - dy - part[..., 1]) * (inside & (here == geom))
        total = total + weight
        inverse = inverse + weight / np.maximum(z, 1e-9)
    return geom, total / np.maximum(inverse, 1e-12), in_view


def _held(positions: np.ndarray) -> np.ndarray:
    """Replace NaN positions (T, N, 2) by the last finite one; frame 0 is always finite."""
    if np.isfinite(positions).all():
        return positions
    known = np.isfinite(positions).all(-1)
    last = np.maximum.accumulate(np.where(known, np.arange(len(positions))[:, None], 0), 0)
    return np.take_along_axis(positions, last[..., None], 0)
