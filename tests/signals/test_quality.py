"""What is measured of a backend against the truth: planted errors come out as planted."""

import dataclasses

import numpy as np

from lewm_core.signals import geometry, quality
from lewm_core.signals.backends import SIMULATOR
from lewm_core.signals.extraction import Signals, extract


def numbers(measured: Signals, truth: Signals):
    return quality.compare(measured, truth).set_index(["signal", "points", "metric"])["value"]


def test_quality_of_planted_errors(scene):
    truth = extract(scene, SIMULATOR)
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
