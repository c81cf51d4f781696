"""Masks that differ in one thing, and what a region's size does to the depth loss, against closed forms."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from lewm_core import dataset
from lewm_core.conditions import condition
from lewm_core.dataset import targets
from lewm_core.diagnostics import mask_normalisation
from lewm_core.diagnostics.mask_normalisation import (
    frame_to_frame,
    gradient_noise,
    instability,
    noise_by_episode,
    normalisation_noise,
    regions,
    supervised,
)
from lewm_core.heads import build_heads
from lewm_core.losses import depth_loss, normalise_depth
from tests.helpers import write_squares

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return dataset.load(write_squares(tmp_path_factory.mktemp("data") / "squares.h5"))


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def built(data, name, seed=0):
    (term,) = condition(name).terms
    return targets.build(term, data, np.arange(5), seed=seed)["region"].numpy()


# --- the conditions


@pytest.mark.parametrize("name", ["C1", "C2", "C3"])
def test_moved_masks_keep_their_area_shape_and_motion(data, name):
    here, there = built(data, name), built(data, f"{name}-rnd")
    np.testing.assert_array_equal(there.sum((1, 2)), here.sum((1, 2)))  # to the pixel, at the edges too
    offsets = set()
    for i in range(len(data["ep_len"])):
        frames = data.episode(i)
        fits = [(dy, dx) for dy in range(56) for dx in range(56)
                if np.array_equal(np.roll(here[frames], (dy, dx), (1, 2)), there[frames])]
        assert len(fits) == 1  # one shift for all of an episode's frames
        offsets |= set(fits)
    assert len(offsets) > 1
    np.random.seed(1), torch.manual_seed(1)
    again = built(data, f"{name}-rnd")
    np.random.seed(2), torch.manual_seed(2)
    np.testing.assert_array_equal(built(data, f"{name}-rnd"), again)
    assert not np.array_equal(built(data, f"{name}-rnd", seed=1), again)


def test_a_moved_mask_belongs_to_its_episode_wherever_that_stands(data):
    turned = data.select(["square3", "square1"])
    for new, old in ((0, 3), (1, 1)):
        np.testing.assert_array_equal(built(turned, "C2-rnd", 4)[turned.episode(new)],
                                      built(data, "C2-rnd", 4)[data.episode(old)])
    unnamed = replace(data, columns={k: v for k, v in data.columns.items() if k != "episode_id"})
    assert built(unnamed, "C2-rnd").sum() == built(data, "C2-rnd").sum()


def test_places_are_uniform(data):
    shifts = []
    point = np.zeros((len(data["pixels"]), 8, 8), bool)
    point[:, 0, 0] = True
    for seed in range(200):
        moved = targets.place_at_random(point, data, seed)
        shifts += [np.argwhere(moved[data.episode(i)][0])[0] for i in range(5)]
    counts = np.histogram2d(*np.array(shifts).T, bins=8, range=((0, 8), (0, 8)))[0]
    assert counts.sum() == 1000 and ((counts - 1000 / 64) ** 2 / (1000 / 64)).sum() < 63 + 4 * math.sqrt(2 * 63)


def test_full_frame_normalisation_with_masked_supervision():
    g = torch.Generator().manual_seed(0)
    pred, target = torch.rand(3, 56, 56, generator=g, requires_grad=True), torch.rand(3, 56, 56, generator=g)
    inside = torch.zeros(3, 56, 56, dtype=torch.bool)
    inside[0, 5:9, 5:9] = inside[1, :, :3] = True  # the third frame has no object
    term = condition("C1-ff").terms[0]
    whole_frame = normalise_depth(target)
    loss = term.compare(pred, {"target": whole_frame, "region": inside})
    error = (normalise_depth(pred) - whole_frame).abs()
    assert loss.item() == pytest.approx(((error[0][inside[0]]).mean() + error[1][inside[1]].mean()).item() / 2)
    whole = term.compare(pred, {"target": whole_frame, "region": torch.ones_like(inside)})
    torch.testing.assert_close(whole, condition("B").terms[0].compare(pred, {"target": whole_frame}))
    within = normalise_depth(target, inside)
    only = condition("C1").terms[0].compare(pred, {"target": within, "region": inside})
    assert abs(only.item() - loss.item()) > 1e-3
    shifted = normalise_depth(torch.where(inside, target, 100.0))  # what lies outside matters to the normalisation
    assert abs(term.compare(pred, {"target": shifted, "region": inside}).item() - loss.item()) > 1e-3


# --- without training


def test_regions_have_exact_areas_and_are_nested(rng):
    areas = (0.01, 0.1, 0.5, 1.0)
    for kind in ("compact", "scattered"):
        r = regions(5, (56, 56), areas, kind, rng)
        assert (r.sum((2, 3)) == [[round(a * 56 * 56)] * 5 for a in areas]).all()
        for small, large in zip(r, r[1:], strict=False):
            assert (small <= large).all()
        assert len({row.tobytes() for row in r[1]}) == 5
    compact = regions(40, (56, 56), (0.02,), "compact", rng)[0]
    for mask in compact:  # 63 pixels: a disc of radius 4.5, or cut by an edge
        y, x = np.nonzero(mask)
        assert max(np.ptp(y), np.ptp(x)) <= 18
    assert compact.any(0).mean() > 0.5  # from all over the frame


def test_of_independent_pixels_the_variance_falls_as_one_over_their_number(rng):
    depth = rng.normal(3, 1, (24, 56, 56))
    table = normalisation_noise(depth, (0.02, 0.08, 0.32), rng, draws=64, kind="scattered").set_index("area")
    spread = math.sqrt(2 / math.pi)  # the mean absolute deviation of a unit Gaussian, the unit of the table
    for area, row in table.iterrows():
        n = round(area * 56 * 56)
        left = 1 - area  # drawn without replacement from this frame
        assert row.scale_variance == pytest.approx(left * (1 - 2 / math.pi) / n / spread**2, rel=0.15)
        assert row.shift_variance == pytest.approx(left * math.pi / 2 / n / spread**2, rel=0.15)
        assert row.scale_mean == pytest.approx(1, abs=0.02)
    compact = normalisation_noise(depth, (0.02,), rng, 64, "compact").iloc[0]
    assert compact.scale_variance == pytest.approx(table.scale_variance[0.02], rel=0.2)  # place says nothing here


def test_over_the_whole_frame_nothing_varies(rng):
    depth = rng.random((4, 56, 56))
    row = normalisation_noise(np.concatenate([depth, np.ones((1, 56, 56))]), (1.0,), rng, 4, "compact").iloc[0]
    assert row.shift_variance == row.scale_variance == 0 and row.scale_mean == pytest.approx(1)
    noise = gradient_noise(depth, torch.randn(4, 32), build_heads(("depth",), 32, 0)["depth"], (1.0,), rng, 3,
                           "compact")
    assert noise.over_draws.abs().max() < 1e-9
    assert noise.norm.nunique() == 1 or np.ptp(noise.norm) < 1e-6  # over the whole frame the two ways are one


def test_a_slope_makes_a_compact_region_less_certain_than_scattered_pixels(rng):
    """On a plane the median of a disc is its centre's depth: the variance is that of the place, whatever the size."""
    depth = np.broadcast_to(np.linspace(0, 1, 56)[:, None], (6, 56, 56)).copy()
    area = (0.01, 0.02)
    compact, scattered = (normalisation_noise(depth, area, rng, 96, kind) for kind in ("compact", "scattered"))
    uniform = 1 / 12 / 0.25**2  # variance of a place on [0, 1], in squared mean absolute deviations of it
    assert compact.shift_variance.to_numpy() == pytest.approx([uniform] * 2, rel=0.3)
    assert (scattered.shift_variance < 0.1 * compact.shift_variance).all()
    assert compact.scale_mean.max() < 0.25  # a small disc sees little of the slope


def test_gradient_noise_of_independent_pixels(rng):
    """Full-frame normalisation: the gradient along `wanted`, which the target lacks, is a mean over the region."""
    fixed, wanted = rng.normal(size=(16, 56, 56)), rng.normal(size=(1, 56, 56))
    map_of = [torch.from_numpy(part).float() for part in (fixed, wanted)]
    table = gradient_noise(fixed - wanted, torch.zeros(16, 1), lambda x: map_of[0] + x[:, :, None] * map_of[1],
                           (0.04, 0.16), rng, draws=48, kind="scattered")
    assert set(table.normalised) == {"region", "frame"} and (table.norm > 0).all()
    frame = table[table.normalised == "frame"].set_index("area").over_draws
    assert frame[0.04] / frame[0.16] == pytest.approx(4 * 0.96 / 0.84, rel=0.3)  # without replacement
    region = table[table.normalised == "region"].set_index("area").over_draws
    assert (region > 0.8 * frame).all()


def test_gradients_are_those_of_the_depth_loss_of_each_frame(rng):
    depth, emb = rng.random((3, 56, 56)), torch.randn(3, 32)
    head = build_heads(("depth",), 32, 0)["depth"]
    table = gradient_noise(depth, emb, head, (0.1,), np.random.default_rng(7), 2, "compact")
    drawn = np.random.default_rng(7)
    masks = [torch.from_numpy(regions(3, (56, 56), (0.1,), "compact", drawn)[0]) for _ in range(2)]
    norms = []
    for mask in masks:
        for i in range(3):
            leaf = emb[i : i + 1].clone().requires_grad_()
            depth_loss(head(leaf), torch.from_numpy(depth[i : i + 1]).float(), mask[i : i + 1]).backward()
            norms.append(leaf.grad.norm().item())
    assert table[table.normalised == "region"].norm.item() == pytest.approx(np.mean(norms), rel=1e-4)


def test_where_a_condition_supervises(data):
    tight, wide, everywhere, weighted = (supervised(data, condition(c)) for c in ("C1", "C2", "B", "C4"))
    np.testing.assert_array_equal(tight, built(data, "C1"))
    assert everywhere.all() and weighted.all() and everywhere.shape == data["depth"].shape
    assert (wide | ~tight).all() and wide.sum() > tight.sum()


def test_frame_to_frame_changes_are_those_of_the_estimates():
    inside = np.zeros((4, 6, 6), bool)
    inside[:, :2] = True
    depth = np.random.default_rng(0).random((6, 6)).astype(np.float32)
    scale = np.abs(depth[:2] - np.sort(depth[:2].ravel())[5]).mean()  # torch takes the lower of two medians
    still = frame_to_frame(np.stack([depth] * 4), inside)
    assert still == {"scale": 0, "shift": 0, "value": 0}
    drift = frame_to_frame(np.stack([depth + t * 0.1 for t in range(4)]), inside)
    assert drift["shift"] == pytest.approx(0.1 / scale, rel=1e-3) == drift["value"]
    assert drift["scale"] == pytest.approx(0, abs=1e-4)
    outside = np.stack([np.where(inside[0], depth, depth + t) for t in range(4)])
    assert frame_to_frame(outside, inside)["value"] == 0
    inside[1] = inside[3] = False  # no two frames in a row
    assert np.isnan(frame_to_frame(np.stack([depth] * 4), inside)["scale"])


def test_noise_by_episode_is_that_of_its_frames(data, rng, monkeypatch):
    emb = torch.randn(len(data["pixels"]), 192, generator=torch.Generator().manual_seed(0))
    head = build_heads(("depth",), 192, 0)["depth"].eval()
    monkeypatch.setattr(mask_normalisation, "DRAWS", 3)
    monkeypatch.setattr(mask_normalisation, "EVERY", 3)
    normal, gradient = noise_by_episode(data, emb, head, [0.1, 0.5], rng)
    assert set(normal.episode) == set(gradient.episode) == set(range(5)) and len(normal) == 5 * 2 * 2
    first = normalisation_noise(data["depth"][:9:3], [0.1, 0.5], np.random.default_rng(0), 3, "compact")
    mine = normal[(normal.episode == 0) & (normal.kind == "compact")].reset_index(drop=True)
    for name in ("shift_variance", "scale_variance", "scale_mean"):
        np.testing.assert_array_equal(mine[name], first[name])
    assert mine["shift"].to_numpy() == pytest.approx((first.shift_variance / first.scale_mean**2).to_numpy())


def test_instability_is_that_of_every_episode_and_region(data):
    inside = {name: supervised(data, condition(name)) for name in ("B", "C1")}
    inside["C1"][data.episode(2)] = False  # nowhere to look, so it cannot be told
    table = instability(data, inside)
    assert table[table.condition == "B"].episode.tolist() == [0, 1, 2, 3, 4]
    assert table[table.condition == "C1"].episode.tolist() == [0, 1, 3, 4]
    first = frame_to_frame(data["depth"][data.episode(0)], inside["B"][data.episode(0)])
    assert table.iloc[0][["scale", "shift", "value"]].to_dict() == first
    nothing = instability(data, {})
    assert nothing.empty and list(nothing) == list(table)
