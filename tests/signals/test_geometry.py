"""Geometry against closed forms."""

import numpy as np
import pytest

from lewm_core.signals import geometry
from tests.scenes import K


def cloud(depth: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
    """The points (H, W, 3) seen at every pixel of a depth map (H, W)."""
    y, x = np.mgrid[: depth.shape[0], : depth.shape[1]]
    return geometry.unproject(np.stack([x, y], -1), depth, intrinsics)


def test_backprojected_plane_lies_in_the_plane_and_projects_back():
    normal, offset = np.array([0.2, -0.3, 1.0]), 0.8
    y, x = np.mgrid[:128, :160]
    rays = np.stack([x, y, np.ones_like(x)], -1) @ np.linalg.inv(K).T
    depth = offset / (rays @ normal)
    points = cloud(depth, K)
    np.testing.assert_allclose(points @ normal, offset, atol=1e-12)
    np.testing.assert_allclose(geometry.project(points, K), np.stack([x, y], -1), atol=1e-9)
    np.testing.assert_allclose(points[63, 79], rays[63, 79] * depth[63, 79])


def test_supervision_depth_is_the_mean_of_each_cell_and_masks_need_more_than_half():
    rng = np.random.default_rng(0)
    depth = rng.uniform(0.5, 2, (2, 224, 224)).astype(np.float32)
    np.testing.assert_allclose(
        geometry.to_supervision(depth), depth.reshape(2, 56, 4, 56, 4).mean((2, 4)), rtol=1e-5
    )
    mask = np.zeros((1, 224, 224), bool)
    mask[0, 4:8, 8:10] = True  # exactly half of cell (1, 2)
    mask[0, 12:16, 8:11] = True  # three quarters of cell (3, 2)
    assert np.argwhere(geometry.to_supervision(mask)[0]).tolist() == [[3, 2]]
    smaller = geometry.to_supervision(np.full((1, 64, 64), 1.25, np.float32))
    assert smaller.shape == (1, 56, 56) and np.allclose(smaller, 1.25)


@pytest.mark.parametrize("px", [0, 8, 20])
def test_dilation_reaches_exactly_the_cells_within_the_radius(px):
    rng = np.random.default_rng(px)
    masks = rng.uniform(size=(2, 3, 56, 56)) > 0.997
    cells = np.argwhere(np.ones((56, 56)))
    grown = geometry.dilate(masks, px)
    for i in np.ndindex(2, 3):
        seeds = np.argwhere(masks[i])
        nearest = np.min(np.linalg.norm(cells[:, None] - seeds[None], axis=-1), axis=1).reshape(56, 56)
        np.testing.assert_array_equal(grown[i], nearest <= px / 4)
    assert not geometry.dilate(np.zeros((1, 56, 56), bool), px).any()


def test_shape_descriptor_of_a_tilted_rectangle():
    """A rectangle in the plane z = 1 + x / 2 sampled by pixels: extents are side / sqrt(12) along its own axes."""
    x = np.mgrid[:480, :640][1]
    k = np.array([[500.0, 0, 319.5], [0, 500.0, 239.5], [0, 0, 1]])
    depth = 1 / (1 - (x - 319.5) / 500 / 2)
    points = cloud(depth, k)
    mask = (np.abs(points[..., 0]) < 0.1) & (np.abs(points[..., 1]) < 0.05)
    shape, valid = geometry.shape_descriptor(depth[None].astype(np.float32), mask[None], k)
    inside = points[mask]
    assert valid.all() and len(geometry.SHAPE_COMPONENTS) == shape.shape[1] == 10
    np.testing.assert_allclose(shape[0, :3], inside.mean(0), atol=1e-5)
    np.testing.assert_allclose(shape[0, 3], 0.2 * np.sqrt(1.25) / np.sqrt(12), rtol=0.02)
    np.testing.assert_allclose(shape[0, 4], 0.1 / np.sqrt(12), rtol=0.02)
    assert shape[0, 5] < 1e-4  # flat
    np.testing.assert_allclose(shape[0, 6:8], shape[0, 4:6] / shape[0, 3], atol=1e-6)
    np.testing.assert_allclose(shape[0, 8], np.ptp(inside[:, 2]), rtol=1e-4)
    covered = mask.sum() * 224**2 / mask.size
    np.testing.assert_allclose(shape[0, 9], np.log1p(covered) / np.log1p(224**2), rtol=1e-5)


def test_shape_needs_enough_usable_pixels():
    depth, mask = np.ones((3, 20, 20), np.float32), np.zeros((3, 20, 20), bool)
    mask[0, 0, : geometry.MIN_POINTS - 1] = True
    mask[1, 0, : geometry.MIN_POINTS] = True
    mask[2, 0, : geometry.MIN_POINTS] = True
    depth[2, 0, 0] = np.inf
    shape, valid = geometry.shape_descriptor(depth, mask, K)
    assert valid.tolist() == [False, True, False]
    assert (shape[[0, 2]] == 0).all() and np.isfinite(shape).all()


def test_on_object_counts_visible_points_inside():
    mask = np.zeros((2, 10, 12), bool)
    mask[0, 2:5, 3:6] = True
    tracks = np.array([[(3, 2), (5.4, 4.4), (5.6, 4), (4, 3), (-3, 0)]] * 2, np.float32)
    visible = np.array([[1, 1, 1, 0, 1]] * 2, bool)
    assert geometry.on_object(tracks, visible, mask).tolist() == [2, 0]
