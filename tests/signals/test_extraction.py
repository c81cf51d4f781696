"""Query points, and what `extract` delivers, explains and refuses."""

import dataclasses

import numpy as np
import pytest

from lewm_core.signals import backends as registry
from lewm_core.signals import geometry
from lewm_core.signals.backends import CLASSICAL, SIMULATOR, Backends
from lewm_core.signals.extraction import extract, foreground_queries, grid_queries
from lewm_core.utils.errors import InputError
from tests.scenes import path


def test_grid_queries_are_the_centres_of_cells_that_tile_the_image():
    grid = grid_queries(100, 40)
    assert grid.shape == (400, 2)
    assert grid[0].tolist() == [0.5, 2.0] and grid[-1].tolist() == [38.5, 97.0]
    np.testing.assert_allclose(grid.mean(0), [19.5, 49.5], atol=1e-5)


@pytest.mark.parametrize("side", [4, 40])
def test_foreground_queries_put_sixty_per_cent_inside(side):
    mask = np.zeros((224, 224), bool)
    mask[100 : 100 + side, 50 : 50 + side] = True
    points = foreground_queries(mask, np.random.default_rng(3))
    inside = geometry.at_pixels(mask[None], points[None])[0][0]
    on_grid = (points[:, None] == grid_queries(224, 224)[None]).all(-1).any(1)
    assert points.shape == (400, 2) and inside[:240].all() and on_grid[240:].all()
    assert len(np.unique(points, axis=0)) > 395
    counts = np.histogram2d(*points[240:].T, bins=4, range=[(0, 224)] * 2)[0]
    assert counts.min() >= 5  # the rest still covers the whole image
    np.testing.assert_array_equal(points, foreground_queries(mask, np.random.default_rng(3)))


def test_foreground_queries_of_an_empty_mask_are_the_grid():
    mask = np.zeros((64, 64), bool)
    np.testing.assert_array_equal(
        foreground_queries(mask, np.random.default_rng(0)), grid_queries(64, 64)
    )


def test_extract_delivers_every_documented_shape(scene):
    s = extract(scene, SIMULATOR)
    t, h, w = scene.frames.shape[:3]
    shapes = {
        "depth": (t, 56, 56), "mask": (t, h, w), "tracks": (t, 400, 2), "visible": (t, 400), "tracks_fg": (t, 400, 2),
        "visible_fg": (t, 400), "centroid": (t, 3), "centroid_valid": (t,), "shape": (t, 10), "shape_valid": (t,),
    }  # fmt: skip
    assert {name: getattr(s, name).shape for name in shapes} == shapes
    assert all(getattr(s, n).dtype == (bool if n in ("mask",) or n.startswith("vis") or n.endswith("valid") else "f4")
               for n in shapes)  # fmt: skip
    assert s.missing == {} and s.made_by["tracks"] == "simulator"
    counts = geometry.on_object(s.tracks_fg, s.visible_fg, s.mask), geometry.on_object(s.tracks, s.visible, s.mask)
    assert counts[0][0] >= 240 and counts[0].sum() > 3 * counts[1].sum()
    expected = path(t, (-0.12, 0, 0.9), (0.1, 0.05, 0.8))[0]
    np.testing.assert_allclose(s.centroid[0], expected, atol=0.01)


def test_missing_backends_and_intrinsics_are_explained(scene):
    s = extract(dataclasses.replace(scene, truth=None, intrinsics=None), CLASSICAL)
    assert s.depth is None and "video-depth-anything" in s.missing["depth"]
    assert s.shape is None and "intrinsics" in s.missing["shape"] and "Depth needs" in s.missing["centroid"]
    assert set(s.made_by) == {"tracks", "mask", "tracks_fg"}
    s = extract(dataclasses.replace(scene, intrinsics=None), Backends("simulator", None, "simulator"))
    assert s.missing["shape"] == "The camera's intrinsics are unknown." and "mask" not in s.missing
    assert "backend" in s.missing["tracks"] and s.missing["tracks_fg"] == s.missing["tracks"]
    s = extract(scene, Backends(None, "simulator", None))
    assert "mask" in s.missing["tracks_fg"] and s.tracks is not None


def test_an_empty_first_mask_is_recorded(scene):
    truth = dataclasses.replace(scene.truth, mask=np.zeros_like(scene.truth.mask))
    s = extract(dataclasses.replace(scene, truth=truth), SIMULATOR)
    np.testing.assert_array_equal(s.tracks_fg, s.tracks)
    assert "empty" in s.made_by["tracks_fg"] and not s.shape_valid.any()


def test_unknown_backends_list_the_known_ones():
    with pytest.raises(InputError, match="simulator, classical"):
        Backends(None, "cotracker9", None)


def test_a_backend_that_breaks_its_contract_is_named(scene, monkeypatch):
    monkeypatch.setitem(registry.DEPTH, "broken", lambda e: np.full(e.frames.shape[:3], np.nan, np.float32))
    with pytest.raises(InputError, match="depth of episode scene: found values that are not finite"):
        extract(scene, Backends("broken", None, None))
    monkeypatch.setitem(registry.MASK, "broken", lambda e: np.zeros((1, 2, 3), bool))
    with pytest.raises(InputError, match=r"mask of episode scene: found shape \(1, 2, 3\)"):
        extract(scene, Backends(None, None, "broken"))
