"""The classical backends on scenes whose flow and object are known."""

import dataclasses

import cv2
import numpy as np
import pytest

from lewm_core.signals import classical
from lewm_core.signals.extraction import grid_queries
from lewm_core.sources.episode import Episode
from tests.scenes import K, Rectangles, path, texture


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
    queries = grid_queries(128, 128)
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
