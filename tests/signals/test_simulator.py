"""The simulator's backends on scenes whose tracks and visibility are known."""

import dataclasses

import numpy as np
import pytest

from lewm_core.signals import geometry, simulator
from lewm_core.signals.backends import SIMULATOR
from lewm_core.signals.extraction import extract, grid_queries
from lewm_core.sources.episode import Episode, Truth
from lewm_core.utils.errors import InputError
from tests.scenes import K, path


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
    queries = grid_queries(128, 160)
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
    truth = Truth(depth, np.ones((t, h, w), bool), np.zeros((t, h, w), np.int16), pose, pose[:, 0, :, 3], np.zeros(t))
    e = Episode("box", np.zeros((t, h, w, 3), np.uint8), np.zeros((t, 7)), np.zeros((t, 7)), "", k, truth)
    tracks, visible = simulator.tracks(e, np.array([(15.5, 15.5), (20, 15.5)]))
    assert visible.tolist() == [[True, True], [False, False]]


def test_simulator_refuses_episodes_without_truth(scene):
    with pytest.raises(InputError, match="no simulator truth"):
        extract(dataclasses.replace(scene, truth=None), SIMULATOR)
