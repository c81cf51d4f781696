"""What follows from depth, masks and intrinsics by geometry: grids, point clouds, centroid, shape.

Pixels are (x, y) = (column, row) with centres at whole numbers; the camera frame is OpenCV's (x right, y down,
z forward). Depth is z along the optical axis, not ray length. Lengths come out in the unit of depth.
"""

import cv2
import numpy as np

from lewm_core.sources.episode import IMAGE_SIZE

SUPERVISION_SIZE = 56  # depth is supervised on a 56 x 56 grid (paper 3.3)
GRID = 20  # query points along a side of the image (paper 3.3)
POINTS = GRID**2  # query points of an episode, 400
REFERENCE_SIZE = IMAGE_SIZE  # px: the image size at which the paper states its pixel distances
MIN_POINTS = 12  # fewer object pixels than this say nothing stable about a centroid or a shape
SHAPE_COMPONENTS = ("cx", "cy", "cz", "e1", "e2", "e3", "r1", "r2", "zr", "np")


def to_supervision(maps: np.ndarray) -> np.ndarray:
    """Reduce (T, H, W) maps to the 56 x 56 supervision grid.

    Depth (float) becomes the area average of each cell, float32. A mask (bool) is set where it covers more than
    half of the cell's area. Images smaller than the grid are interpolated bilinearly.
    """
    size = (SUPERVISION_SIZE, SUPERVISION_SIZE)
    reduced = np.empty((len(maps), *size), np.float32)
    for t, frame in enumerate(maps):
        reduced[t] = cv2.resize(frame.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    return reduced > 0.5 if maps.dtype == bool else reduced


def relative_depth(inverse: np.ndarray) -> np.ndarray:
    """Inverse depth (T, H, W) of a clip, larger is nearer, turned over: 0 is the clip's nearest pixel, 1 the furthest.

    Depth networks that know no unit give a / z + b with unknown a > 0 and b for the whole clip, and from those z cannot
    be had. Turning over keeps the order of near and far, and equal steps stay equal steps of inverse depth; our depth
    losses, free of scale and shift, ask for no more. Ratios, centroids and shapes of it mean nothing.
    """
    low, high = float(inverse.min()), float(inverse.max())
    return ((high - inverse) / max(high - low, 1e-12)).astype(np.float32)


def dilate(mask56: np.ndarray, px_at_224: float) -> np.ndarray:
    """Grow masks (..., 56, 56) bool by a disc whose radius is `px_at_224` pixels of a 224-pixel image.

    One grid cell is 4 such pixels, so the paper's 8 and 20 px (C2, C3) are discs of radius 2 and 5 cells: a cell is
    set where its centre lies within the radius of the centre of a set cell.
    """
    radius = px_at_224 * SUPERVISION_SIZE / REFERENCE_SIZE
    reach = np.arange(-int(radius), int(radius) + 1)
    disc = (reach[:, None] ** 2 + reach**2 <= radius**2).astype(np.uint8)
    flat = np.ascontiguousarray(mask56).view(np.uint8).reshape(-1, *mask56.shape[-2:])
    grown = [cv2.dilate(m, disc) for m in flat]
    return np.array(grown, np.uint8).reshape(mask56.shape).astype(bool)


def unproject(xy: np.ndarray, z: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
    """Points (..., 3) of the camera frame that are seen at pixels `xy` (..., 2) with depth `z` (...)."""
    focal, centre = intrinsics[[0, 1], [0, 1]], intrinsics[:2, 2]
    return np.concatenate([(xy - centre) / focal * z[..., None], z[..., None]], -1)


def project(points: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
    """Pixels (..., 2) at which points (..., 3) of the camera frame are seen; NaN for points behind the camera."""
    z = points[..., 2:]
    focal, centre = intrinsics[[0, 1], [0, 1]], intrinsics[:2, 2]
    return points[..., :2] / np.where(z > 0, z, np.nan) * focal + centre


def object_points(depth: np.ndarray, mask: np.ndarray, intrinsics: np.ndarray) -> list[np.ndarray]:
    """Per frame, the back-projected points (n, 3) of the masked pixels with a usable depth (finite, positive).

    depth, mask: (T, H, W) at full resolution.
    """
    clouds = []
    for z, inside in zip(depth, mask, strict=True):
        row, column = np.nonzero(inside & np.isfinite(z) & (z > 0))
        clouds.append(unproject(np.stack([column, row], -1), z[row, column].astype(np.float64), intrinsics))
    return clouds


def shape_descriptor(depth: np.ndarray, mask: np.ndarray, intrinsics: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The 10-D summary of the visible object points (paper 3.3, G), in the order of SHAPE_COMPONENTS.

    cx, cy, cz: centroid. e1 >= e2 >= e3: principal extents, the standard deviations along the axes of a PCA.
    r1 = e2 / e1, r2 = e3 / e1: spread ratios. zr: largest minus smallest depth. np: log(1 + n) / log(1 + 224²) for
    n the number of pixels covered in a 224 x 224 image, so 0 to 1. The paper names the components; the formulas
    are ours.

    Returns:
        shape (T, 10) float32, zero where not valid; valid (T,) bool, at least MIN_POINTS usable pixels that are not
        all in one place.
    """
    shape = np.zeros((len(depth), len(SHAPE_COMPONENTS)), np.float32)
    valid = np.zeros(len(depth), bool)
    to_reference = REFERENCE_SIZE**2 / (depth.shape[1] * depth.shape[2])
    for t, points in enumerate(object_points(depth, mask, intrinsics)):
        if len(points) < MIN_POINTS:
            continue
        mean = points.mean(0)
        variance = np.linalg.eigvalsh(np.cov(points.T, bias=True))[::-1]
        extents = np.sqrt(np.clip(variance, 0, None))
        if extents[0] == 0:
            continue
        seen = np.log1p(len(points) * to_reference) / np.log1p(REFERENCE_SIZE**2)
        shape[t] = [*mean, *extents, *(extents[1:] / extents[0]), np.ptp(points[:, 2]), seen]
        valid[t] = True
    return shape, valid


def at_pixels(maps: np.ndarray, xy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Look up maps (T, H, W) at the pixels nearest to `xy` (T, N, 2), which are finite.

    Returns:
        values (T, N), those of the nearest border pixel outside the image; in_view (T, N) bool.
    """
    h, w = maps.shape[-2:]
    nearest = np.floor(xy + 0.5)
    x, y = nearest[..., 0], nearest[..., 1]
    in_view = (x >= 0) & (x < w) & (y >= 0) & (y < h)
    column, row = np.clip(x, 0, w - 1).astype(int), np.clip(y, 0, h - 1).astype(int)
    return maps[np.arange(len(maps))[:, None], row, column], in_view


def on_object(tracks: np.ndarray, visible: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """How many visible tracks lie on the object, per frame: (T,) int.

    tracks (T, N, 2) px, visible (T, N) bool, mask (T, H, W) bool, all at one image size. The paper reports about 5
    for the uniform grid and about 47 for foreground-biased queries (sec. 4.4).
    """
    inside, in_view = at_pixels(mask, tracks)
    return (visible & inside & in_view).sum(1)
