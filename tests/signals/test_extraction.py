"""Signals: geometry against closed forms, backends against scenes whose truth is known, the cache against damage."""

import dataclasses
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import cv2
import numpy as np
import pytest

from lewm_core.signals import backends as registry
from lewm_core.signals import classical, geometry, quality, simulator
from lewm_core.signals import extraction as signals
from lewm_core.signals.backends import CLASSICAL, SIMULATOR, Backends
from lewm_core.sources.episode import Episode, Truth
from lewm_core.utils.errors import InputError

K = np.array([[200.0, 0, 79.5], [0, 200.0, 63.5], [0, 0, 1]])


def texture(rng: np.random.Generator, size: int = 512) -> np.ndarray:
    noise = cv2.GaussianBlur(rng.uniform(0, 255, (size, size, 3)), (0, 0), 2.5)
    return np.clip((noise - noise.mean()) * 4 + 128, 0, 255).astype(np.float32)


class Rectangles:
    """Textured rectangles facing the camera, each with its own path: a scene that can be rendered in closed form."""

    def __init__(self, length: int, height: int, width: int, intrinsics: np.ndarray, seed: int = 0):
        self.shape, self.k, self.rng = (length, height, width), intrinsics, np.random.default_rng(seed)
        self.things = []

    def add(self, half, centres: np.ndarray, angles: np.ndarray, picture: np.ndarray | None = None):
        self.things.append((half, centres, angles, texture(self.rng) if picture is None else picture))
        return self

    def episode(self, target: int = 1, id: str = "scene") -> Episode:
        t_max, h, w = self.shape
        frames = np.zeros((t_max, h, w, 3), np.uint8)
        depth, geom = np.full(self.shape, np.inf, np.float32), np.full(self.shape, -1, np.int16)
        pose = np.zeros((t_max, len(self.things), 3, 4))
        y, x = np.mgrid[:h, :w]
        ray = np.stack([(x - self.k[0, 2]) / self.k[0, 0], (y - self.k[1, 2]) / self.k[1, 1]], -1)
        for t in range(t_max):
            for g, (half, centres, angles, picture) in enumerate(self.things):
                c, s = np.cos(angles[t]), np.sin(angles[t])
                rotation = np.array([[c, -s], [s, c]])
                local = (ray * centres[t, 2] - centres[t, :2]) @ rotation
                pose[t, g] = np.column_stack([np.block([[rotation, np.zeros((2, 1))], [0, 0, 1]]), centres[t]])
                hit = (np.abs(local) <= half).all(-1) & (centres[t, 2] < depth[t])
                where = (local * 250 + 256).astype(np.float32)
                colour = cv2.remap(picture, where[..., 0], where[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
                frames[t][hit] = colour.round()[hit].astype(np.uint8)
                depth[t][hit], geom[t][hit] = centres[t, 2], g
        truth = Truth(depth, geom == target, geom, pose)
        return Episode(id, frames, np.zeros((t_max, 7), np.float32), np.zeros((t_max, 7), np.float32),
                       "put the square on the plane", self.k, truth)  # fmt: skip


def path(length: int, start, stop) -> np.ndarray:
    return np.linspace(start, stop, length)


@pytest.fixture(scope="module")
def scene() -> Episode:
    """A plane, a square that slides and turns on it, and a bar that passes over both."""
    n = 12
    flat = np.full((512, 512, 3), 30, np.float32)
    return (
        Rectangles(n, 128, 160, K)
        .add((2, 2), path(n, (0, 0, 1.0), (0, 0, 1.0)), np.zeros(n))
        .add((0.11, 0.11), path(n, (-0.12, 0, 0.9), (0.1, 0.05, 0.8)), np.linspace(0, 0.4, n))
        .add((0.04, 1.0), path(n, (-0.35, 0, 0.5), (0.3, 0, 0.5)), np.zeros(n), flat)
        .episode()
    )


def cloud(depth: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
    """The points (H, W, 3) seen at every pixel of a depth map (H, W)."""
    y, x = np.mgrid[: depth.shape[0], : depth.shape[1]]
    return geometry.unproject(np.stack([x, y], -1), depth, intrinsics)


# --- geometry -----------------------------------------------------------------------------------------------------


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


# --- queries ------------------------------------------------------------------------------------------------------


def test_grid_queries_are_the_centres_of_cells_that_tile_the_image():
    grid = signals.grid_queries(100, 40)
    assert grid.shape == (400, 2)
    assert grid[0].tolist() == [0.5, 2.0] and grid[-1].tolist() == [38.5, 97.0]
    np.testing.assert_allclose(grid.mean(0), [19.5, 49.5], atol=1e-5)


@pytest.mark.parametrize("side", [4, 40])
def test_foreground_queries_put_sixty_per_cent_inside(side):
    mask = np.zeros((224, 224), bool)
    mask[100 : 100 + side, 50 : 50 + side] = True
    points = signals.foreground_queries(mask, np.random.default_rng(3))
    inside = geometry.at_pixels(mask[None], points[None])[0][0]
    on_grid = (points[:, None] == signals.grid_queries(224, 224)[None]).all(-1).any(1)
    assert points.shape == (400, 2) and inside[:240].all() and on_grid[240:].all()
    assert len(np.unique(points, axis=0)) > 395
    counts = np.histogram2d(*points[240:].T, bins=4, range=[(0, 224)] * 2)[0]
    assert counts.min() >= 5  # the rest still covers the whole image
    np.testing.assert_array_equal(points, signals.foreground_queries(mask, np.random.default_rng(3)))


def test_foreground_queries_of_an_empty_mask_are_the_grid():
    mask = np.zeros((64, 64), bool)
    np.testing.assert_array_equal(
        signals.foreground_queries(mask, np.random.default_rng(0)), signals.grid_queries(64, 64)
    )


# --- simulator ----------------------------------------------------------------------------------------------------


def test_simulator_tracks_follow_the_closed_form(scene):
    queries = np.array([(52.3, 63.1), (60.0, 70.0), (140.2, 20.7), (120, 100)])
    tracks, visible = simulator.tracks(scene, queries)
    n = len(scene.frames)
    centres, angles = path(n, (-0.12, 0, 0.9), (0.1, 0.05, 0.8)), np.linspace(0, 0.4, n)
    for i in (0, 1):  # on the square
        local = ((queries[i] - K[:2, 2]) / 200 * 0.9 - centres[0, :2]) @ np.eye(2)
        assert np.abs(local).max() < 0.11
        for t in range(n):
            c, s = np.cos(angles[t]), np.sin(angles[t])
            where = (np.array([[c, -s], [s, c]]) @ local + centres[t, :2]) / centres[t, 2] * 200 + K[:2, 2]
            np.testing.assert_allclose(tracks[t, i], where, atol=1e-3)
    np.testing.assert_allclose(tracks[:, 2:], np.broadcast_to(queries[2:], (n, 2, 2)), atol=1e-4)
    assert visible[0].all()


def test_simulator_visibility_is_occlusion(scene):
    queries = signals.grid_queries(128, 160)
    tracks, visible = simulator.tracks(scene, queries)
    seen, in_view = geometry.at_pixels(scene.truth.geom, tracks)
    first = seen[0]
    np.testing.assert_array_equal(visible, in_view & (seen == first))
    plane = first == 0
    assert not visible[:, plane].all() and visible[:, plane].mean() > 0.8  # the bar and the square hide some for a time


def test_a_point_turned_to_the_far_side_is_hidden():
    """One surface of depth 0.1 that turns round: the same geom is seen, but nearer than the point."""
    t, h, w = 2, 32, 32
    k = np.array([[50.0, 0, 15.5], [0, 50.0, 15.5], [0, 0, 1]])
    depth = np.full((t, h, w), 1.0, np.float32)
    pose = np.zeros((t, 1, 3, 4))
    pose[0, 0] = np.column_stack([np.eye(3), (0, 0, 1.05)])
    pose[1, 0] = np.column_stack([np.diag([1, -1, -1]), (0, 0, 1.05)])
    truth = Truth(depth, np.ones((t, h, w), bool), np.zeros((t, h, w), np.int16), pose)
    e = Episode("box", np.zeros((t, h, w, 3), np.uint8), np.zeros((t, 7)), np.zeros((t, 7)), "", k, truth)
    tracks, visible = simulator.tracks(e, np.array([(15.5, 15.5), (20, 15.5)]))
    assert visible.tolist() == [[True, True], [False, False]]


def test_simulator_refuses_episodes_without_truth(scene):
    with pytest.raises(InputError, match="no simulator truth"):
        signals.extract(dataclasses.replace(scene, truth=None), SIMULATOR)


# --- classical ----------------------------------------------------------------------------------------------------


def moving_texture(step: tuple[float, float], n: int = 5, size: int = 128) -> np.ndarray:
    picture = texture(np.random.default_rng(1))
    y, x = np.mgrid[:size, :size].astype(np.float32) + 150
    return np.stack([
        cv2.remap(picture, x - t * step[0], y - t * step[1], cv2.INTER_LINEAR).round().astype(np.uint8)
        for t in range(n)
    ])  # fmt: skip


def bare(frames: np.ndarray, **more) -> Episode:
    n = len(frames)
    return Episode("bare", frames, np.zeros((n, 7), np.float32), np.zeros((n, 7), np.float32), "pick up x", **more)


@pytest.mark.parametrize("step", [(0.0, 0.0), (2.3, -1.4), (6.0, 5.0)])
def test_classical_tracks_measure_a_known_flow(step):
    e = bare(moving_texture(step))
    queries = signals.grid_queries(128, 128)
    tracks, visible = classical.tracks(e, queries)
    expected = queries + np.arange(5)[:, None, None] * np.array(step)
    error = np.linalg.norm(tracks - expected, axis=-1)
    well_inside = ((expected > 12) & (expected < 115)).all((0, 2))
    assert visible[:, well_inside].mean() > 0.98
    assert error[:, well_inside][visible[:, well_inside]].max() < 0.5


def test_classical_tracks_lose_covered_points_and_find_them_again():
    frames = np.repeat(moving_texture((0, 0), 1), 6, 0)
    frames[2:4, 40:90, 40:90] = 10  # a flat square appears at once and goes again
    queries = np.array([(65.0, 65.0), (20.0, 20.0)])
    tracks, visible = classical.tracks(bare(frames), queries)
    assert visible[:, 0].tolist() == [True, True, False, False, True, True] and visible[:, 1].all()
    np.testing.assert_array_equal(tracks, np.broadcast_to(queries, tracks.shape))


def test_classical_mask_finds_what_moves_late():
    """A red square rests, then slides; a dark bar moves from the start. Only the square is the object."""
    n, still = 16, 6
    red = np.full((512, 512, 3), (200, 40, 40), np.float32) + np.random.default_rng(0).uniform(-25, 25, (512, 512, 1))
    rests, slides = np.repeat([(-0.15, 0.1, 0.9)], still, 0), path(n - still, (-0.13, 0.1, 0.9), (0.2, 0.0, 0.9))
    slide = np.concatenate([rests, slides])
    e = (
        Rectangles(n, 128, 160, K)
        .add((2, 2), path(n, (0, 0, 1.0), (0, 0, 1.0)), np.zeros(n),
             cv2.GaussianBlur(texture(np.random.default_rng(5)), (0, 0), 2) * [0.3, 0.9, 0.4])
        .add((0.07, 0.07), slide, np.zeros(n), cv2.GaussianBlur(red, (0, 0), 1.5))
        .add((0.03, 0.1), path(n, (0.3, -0.25, 0.8), (0.1, -0.2, 0.8)), np.zeros(n), np.full((512, 512, 3), 25.0))
        .episode()
    )  # fmt: skip
    mask = classical.mask(dataclasses.replace(e, truth=None))
    iou = (mask & e.truth.mask).sum((1, 2)) / (mask | e.truth.mask).sum((1, 2))
    assert iou.min() > 0.7
    still_scene = dataclasses.replace(e, frames=np.repeat(e.frames[:1], n, 0))
    assert not classical.mask(still_scene).any()


# --- extract, registry, cache -------------------------------------------------------------------------------------


def test_extract_delivers_every_documented_shape(scene):
    s = signals.extract(scene, SIMULATOR)
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
    s = signals.extract(dataclasses.replace(scene, truth=None, intrinsics=None), CLASSICAL)
    assert s.depth is None and "video-depth-anything" in s.missing["depth"]
    assert s.shape is None and "intrinsics" in s.missing["shape"] and "Depth needs" in s.missing["centroid"]
    assert set(s.made_by) == {"tracks", "mask", "tracks_fg"}
    s = signals.extract(dataclasses.replace(scene, intrinsics=None), Backends("simulator", None, "simulator"))
    assert s.missing["shape"] == "The camera's intrinsics are unknown." and "mask" not in s.missing
    assert "backend" in s.missing["tracks"] and s.missing["tracks_fg"] == s.missing["tracks"]
    s = signals.extract(scene, Backends(None, "simulator", None))
    assert "mask" in s.missing["tracks_fg"] and s.tracks is not None


def test_an_empty_first_mask_is_recorded(scene):
    truth = dataclasses.replace(scene.truth, mask=np.zeros_like(scene.truth.mask))
    s = signals.extract(dataclasses.replace(scene, truth=truth), SIMULATOR)
    np.testing.assert_array_equal(s.tracks_fg, s.tracks)
    assert "empty" in s.made_by["tracks_fg"] and not s.shape_valid.any()


def test_unknown_backends_list_the_known_ones():
    with pytest.raises(InputError, match="simulator, classical"):
        Backends(None, "cotracker9", None)


def test_a_backend_that_breaks_its_contract_is_named(scene, monkeypatch):
    monkeypatch.setitem(registry.DEPTH, "broken", lambda e: np.full(e.frames.shape[:3], np.nan, np.float32))
    with pytest.raises(InputError, match="depth of episode scene: found values that are not finite"):
        signals.extract(scene, Backends("broken", None, None))
    monkeypatch.setitem(registry.MASK, "broken", lambda e: np.zeros((1, 2, 3), bool))
    with pytest.raises(InputError, match=r"mask of episode scene: found shape \(1, 2, 3\)"):
        signals.extract(scene, Backends(None, None, "broken"))


@pytest.fixture
def counted(monkeypatch):
    calls = []

    def depth(episode):
        calls.append(episode.id)
        return simulator.depth(episode)

    monkeypatch.setitem(registry.DEPTH, "counted", depth)
    return calls, Backends("counted", "simulator", "simulator")


def same(a: signals.Signals, b: signals.Signals) -> bool:
    return (a.made_by, a.missing) == (b.made_by, b.missing) and all(
        np.array_equal(getattr(a, name), getattr(b, name)) for name in signals.ARRAYS
    )


def test_a_cache_hit_does_no_work_and_returns_the_same(scene, counted, tmp_path):
    calls, backends = counted
    first = signals.extract(scene, backends, tmp_path, "source")
    again = signals.extract(scene, backends, tmp_path, "source")
    assert len(calls) == 1 and same(first, again) and len(list(tmp_path.iterdir())) == 1
    signals.extract(scene, backends, tmp_path, "another source")
    signals.extract(dataclasses.replace(scene, id="other"), backends, tmp_path, "source")
    assert len(calls) == 3 and len(list(tmp_path.iterdir())) == 3
    partial = signals.extract(scene, Backends(None, "simulator", None), tmp_path, "source")
    assert same(partial, signals.extract(scene, Backends(None, "simulator", None), tmp_path, "source"))


def test_without_a_namespace_the_frames_decide(scene, counted, tmp_path):
    calls, backends = counted
    signals.extract(scene, backends, tmp_path)
    signals.extract(dataclasses.replace(scene, frames=255 - scene.frames), backends, tmp_path)
    signals.extract(scene, backends, tmp_path)
    assert len(calls) == 2


def test_two_processes_extract_into_one_cache(scene, tmp_path):
    """Both make the same entries at the same time; what is left is whole, and nothing else is left."""
    episodes = [dataclasses.replace(scene, id=f"scene{i}") for i in range(4)]
    alone = [signals.extract(e, CLASSICAL) for e in episodes]
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        jobs = [pool.submit(signals.extract, e, CLASSICAL, tmp_path, "source") for e in episodes for _ in range(2)]
        made = [job.result() for job in jobs]
    assert all(same(one, made[2 * i + k]) for i, one in enumerate(alone) for k in range(2))
    assert len(list(tmp_path.iterdir())) == 4
    assert all(same(one, signals.extract(e, CLASSICAL, tmp_path, "source"))
               for one, e in zip(alone, episodes, strict=True))  # fmt: skip


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "other"])
def test_a_damaged_entry_is_made_again(scene, counted, tmp_path, damage):
    calls, backends = counted
    first = signals.extract(scene, backends, tmp_path, "source")
    (entry,) = tmp_path.iterdir()
    whole = entry.read_bytes()
    middle = len(whole) // 2
    flipped = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
    entry.write_bytes({"flip": flipped, "cut": whole[:middle], "empty": b"", "other": b"not a zip"}[damage])
    assert same(first, signals.extract(scene, backends, tmp_path, "source"))
    assert len(calls) == 2 and entry.read_bytes()[:4] == b"PK\x03\x04"
    signals.extract(scene, backends, tmp_path, "source")
    assert len(calls) == 2


# --- quality ------------------------------------------------------------------------------------------------------


def numbers(measured: signals.Signals, truth: signals.Signals):
    return quality.compare(measured, truth).set_index(["signal", "points", "metric"])["value"]


def test_quality_of_planted_errors(scene):
    truth = signals.extract(scene, SIMULATOR)
    perfect = numbers(truth, truth)
    for metric in ("average_jaccard", "position_accuracy", "occlusion_accuracy"):
        assert perfect["tracks", "all", metric] == perfect["tracks", "moving", metric] == 1
    assert perfect["tracks", "all", "error_mean"] == 0 and perfect["mask", "", "iou"] == 1
    assert perfect["depth", "", "abs_rel"] < 1e-5 and perfect["depth", "", "delta1"] == 1
    off = dataclasses.replace(
        truth, tracks=truth.tracks + np.float32([3, 0]), visible=~truth.visible, mask=np.zeros_like(truth.mask)
    )
    value = numbers(off, truth)
    at_224 = 3 * 224 / 128
    np.testing.assert_allclose(value["tracks", "all", "error_median"], at_224, rtol=1e-4)
    assert value["tracks", "all", "occlusion_accuracy"] == 0 and value["mask", "", "iou"] == 0
    assert value["tracks", "all", "within_4"] == 0 and value["tracks", "all", "within_8"] == 1
    assert value["tracks", "all", "position_accuracy"] == 0.4 and value["tracks", "all", "average_jaccard"] == 0
    assert np.isnan(value["tracks", "all", "error_median_found"]) and np.isnan(value["mask", "", "stability"])
    table = quality.summary([quality.compare(off, truth), quality.compare(truth, truth)])
    assert table.loc["simulator", "tracks: AJ"] == 0.5 and table.loc["simulator", "mask: IoU"] == 0.5


def test_jaccard_by_hand():
    """Four points, one frame: found right at 3 px, found wrong at 30 px, missed, and seen where it is hidden."""
    error = np.array([[3.0, 30.0, 0.0, 0.0]])
    found, seen = np.array([[True, True, False, True]]), np.array([[True, True, True, False]])
    value = quality.track_metrics(error, found, seen)
    # up to 2 px: 0 of 3 seen + 3 wrong; from 4 px: 1 of 3 seen + 2 wrong
    np.testing.assert_allclose(value["average_jaccard"], 3 / 5 * (1 / 5))
    np.testing.assert_allclose(value["position_accuracy"], (2 * (1 / 3) + 3 * (2 / 3)) / 5)
    assert value["occlusion_accuracy"] == 0.5 and value["found"] == 2 / 3


def test_depth_is_measured_up_to_scale_and_shift():
    rng = np.random.default_rng(0)
    truth = np.repeat(rng.uniform(0.5, 2, (1, 20, 20)), 5, 0).astype(np.float32)
    truth[1:, :5, :5] *= 0.5  # something moves
    inverse = geometry.relative_depth(7 / truth - 3)
    for depth, relative in ((inverse, True), (truth * 40 + 3, False)):
        value = quality.depth_metrics(depth, truth, relative)
        assert value["abs_rel"] < 1e-4 and value["delta1"] == 1 and value["static_drift"] < 1e-4
    assert quality.depth_metrics(inverse, truth, False)["abs_rel"] > 0.05  # inverse depth is no depth
    drifting = geometry.relative_depth(1 / truth + np.linspace(0, 0.2, 5)[:, None, None])
    value = quality.depth_metrics(drifting, truth, True)
    assert value["static_drift"] > 0.05 and value["abs_rel"] > 0.02
    assert np.isfinite(list(quality.depth_metrics(np.zeros_like(truth), truth, True).values())).all()


def test_stability_sees_flicker_and_not_motion():
    mask = np.zeros((6, 40, 40), bool)
    for t in range(6):
        mask[t, 10:20, 4 * t : 4 * t + 10] = True
    assert quality.stability(mask) == 1
    mask[2, :15] = False  # half of it
    assert 0.5 < quality.stability(mask) < 0.9
    mask[2] = False
    assert quality.stability(mask) == 3 / 5
