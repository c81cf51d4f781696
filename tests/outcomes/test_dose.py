"""What a run got of its treatment: constants, displacement and clipping by hand."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lewm_core import dataset
from lewm_core.conditions import condition
from lewm_core.config import MODELS
from lewm_core.dataset import windows
from lewm_core.dataset.frames import Frames
from lewm_core.encoder import normalise
from lewm_core.evaluate import evaluate
from lewm_core.heads import build_heads
from lewm_core.losses import normalise_depth
from lewm_core.model import LeWM
from lewm_core.outcomes import dose, probes
from lewm_core.outcomes.dose import constant_losses, spectrum
from lewm_core.outcomes.ridge import ridge_of_raw
from lewm_core.train import split_of, train
from tests.helpers import TINY, write_squares

NANO = MODELS["nano"]

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return dataset.load(write_squares(tmp_path_factory.mktemp("data") / "squares.h5", (14, 16, 15, 17, 14)))


@pytest.fixture(scope="module")
def split(data):
    return split_of(data, TINY, 0)


def run(data, name, **changes):
    return train(LeWM(NANO, seed=9), condition(name), data, replace(TINY, **changes), 0)


def frames_of(starts):
    return np.unique(windows(starts))


def smooth_l1(error):
    size = np.abs(error)
    return np.where(size < 1, size**2 / 2, size - 0.5)


def ssi(depth):
    shift = np.sort(depth, axis=None)[(depth.size - 1) // 2]  # the lower median
    return (depth - shift) / np.abs(depth - shift).mean()


# --- heads


def test_a_depth_heads_constant_is_the_mean_map(data, split):
    got = run(data, "B").metrics
    mean = np.mean([ssi(data["depth"][i]) for i in frames_of(split.train)], 0)
    for name, starts in split.val.items():
        by_hand = np.mean([np.abs(ssi(mean) - ssi(data["depth"][i])).mean() for i in frames_of(starts)])
        assert got[name]["head_depth_constant"] == pytest.approx(by_hand, rel=1e-4)


def test_a_track_heads_constant_is_the_better_of_the_mean_and_no_motion(data, split):
    moved = data["tracks"] - data["tracks"][data.first_frames()]
    seen, train_frames, held = data["visible"].astype(bool), frames_of(split.train), frames_of(split.val["episode"])
    moved = moved / moved[train_frames][seen[train_frames]].std(0)
    counts = seen[train_frames].sum(0)[:, None]
    mean = (moved[train_frames] * seen[train_frames][..., None]).sum(0) / np.maximum(counts, 1)
    guesses = [(smooth_l1(moved[held] - guess).mean(-1) * seen[held]).sum() / seen[held].sum() for guess in (mean, 0)]
    found = run(data, "D").metrics["episode"]["head_tracks_constant"]
    assert found == pytest.approx(min(guesses), rel=1e-4) and min(guesses) < 0.99 * max(guesses)


@pytest.mark.parametrize("name", ["C1", "C2", "C4", "C1-ff", "E", "F", "G", "B-patch", "D-patch"])
def test_every_head_has_its_start_and_its_constant(data, name):
    found = run(data, name, epochs=1).metrics
    heads = [term.head for term in condition(name).terms]
    for values in found.values():
        for head in heads:
            assert 0 < values[f"head_{head}_constant"] < 5 and values[f"head_{head}_start"] > 0
    assert {m for m in found["episode"] if m.endswith("_constant")} == {f"head_{head}_constant" for head in heads}


def test_inside_a_mask_the_constant_is_the_mean_of_what_the_masks_show(data):
    """Depth in metres that is the same at every pixel in all frames: the constant is right wherever a mask is."""
    term = replace(condition("C2").terms[0])
    maps = torch.rand(1, 56, 56, generator=torch.Generator().manual_seed(0)).repeat(6, 1, 1)
    region = torch.zeros(6, 56, 56, dtype=torch.bool)
    region[:, 10:30, 10:30] = True
    of = {"target": normalise_depth(maps, region), "region": region}
    got = constant_losses(condition("C2"), {term.head: of}, np.arange(3), np.arange(3, 6))
    assert got["head_depth_constant"] == pytest.approx(0, abs=1e-5)
    noisy = torch.rand(6, 56, 56, generator=torch.Generator().manual_seed(1))
    of = {"target": normalise_depth(noisy, region), "region": region}
    worse = constant_losses(condition("C2"), {term.head: of}, np.arange(3), np.arange(3, 6))
    assert worse["head_depth_constant"] > 0.5


def test_visibility_that_is_always_the_same_has_a_constant_that_knows_it():
    visible = torch.zeros(6, 5, dtype=torch.bool)
    visible[:, :2] = True
    of = {"target": torch.zeros(6, 5, 2), "valid": visible, "known": torch.ones(6, 5, dtype=torch.bool)}
    got = constant_losses(condition("D-patch"), {"tracks_patch": of}, np.arange(3), np.arange(3, 6))
    assert got["head_tracks_patch_constant"] == pytest.approx(0, abs=2e-4)  # as sure as a logit of 1e-4 can be


def test_the_start_of_a_head_is_its_loss_before_the_first_step(data, split):
    outcome, row = run(data, "E"), condition("E")
    frames = Frames.of(data, row.terms, frames_of(split.train), outcome.action_scale, "cpu")
    heads = build_heads(["depth", "tracks"], NANO.dim, 0)
    for name, starts in split.val.items():
        before = evaluate(LeWM(NANO, seed=9), heads, row, frames, starts, TINY)
        for head in ("depth", "tracks"):
            assert outcome.metrics[name][f"head_{head}_start"] == pytest.approx(before[f"head_{head}"], rel=1e-5)
            assert outcome.metrics[name][f"head_{head}"] != outcome.metrics[name][f"head_{head}_start"]


# --- encoder


def latents(model, data, rows):
    with torch.no_grad():
        pixels = torch.from_numpy(data["pixels"][rows]).permute(0, 3, 1, 2)
        return model.eval().encode(normalise(pixels)[:, None])[0][:, 0].numpy()


def test_moved_is_the_displacement_over_the_spread_at_the_start(data, split):
    outcome = run(data, "A")
    for name, starts in split.val.items():
        before, after = (latents(model, data, frames_of(starts)) for model in (LeWM(NANO, seed=9), outcome.model))
        by_hand = ((after - before) ** 2).sum(1).mean() / ((before - before.mean(0)) ** 2).sum(1).mean()
        assert outcome.metrics[name]["moved"] == pytest.approx(by_hand, rel=1e-3)
        assert outcome.metrics[name]["latent_variance"] == pytest.approx(after.var(0).mean(), rel=1e-3)
        assert 1 < outcome.metrics[name]["effective_rank"] <= NANO.dim
    still = run(data, "base").metrics["episode"]
    assert still["moved"] == still["clipped"] == 0 < run(data, "lr-0").metrics["episode"]["moved"]


def test_spectrum_of_latents_with_a_known_one():
    x = torch.randn(20_000, 8, generator=torch.Generator().manual_seed(0))
    full = spectrum(x)
    assert full["effective_rank"] == pytest.approx(8, abs=0.01)
    assert full["latent_variance"] == pytest.approx(1, abs=0.02)
    small = spectrum(0.1 * x + 3)
    assert small["effective_rank"] == pytest.approx(full["effective_rank"])
    assert small["latent_variance"] == pytest.approx(full["latent_variance"] / 100, rel=1e-4)
    assert spectrum(x[:, :1] * torch.ones(8))["effective_rank"] == pytest.approx(1, abs=1e-6)
    two = spectrum(torch.cat([x[:, :2], torch.zeros(20_000, 6)], 1))
    assert two["effective_rank"] == pytest.approx(2, abs=0.01) and two["latent_variance_least"] == 0
    shares = np.array([4, 1, 1]) / 6  # eigenvalues 4, 1, 1: exp of their entropy
    uneven = spectrum(x[:, :3] * torch.tensor([2.0, 1, 1]))["effective_rank"]
    assert uneven == pytest.approx(np.exp(-(shares * np.log(shares)).sum()), abs=0.02)
    assert np.isnan(spectrum(torch.ones(5, 3))["effective_rank"])


def test_clipped_is_the_share_of_steps_with_a_larger_gradient(data, monkeypatch):
    norms, real = [], torch.nn.utils.clip_grad_norm_

    def recorded(parameters, most):
        norms.append(real(parameters, 1e9).item())
        return real(parameters, most)

    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", recorded)
    outcome = run(data, "A", clip=1e-9, lr=0.0)
    assert outcome.metrics["episode"]["clipped"] == outcome.metrics["window"]["clipped"] == 1
    assert run(data, "A", clip=1e9).metrics["episode"]["clipped"] == 0
    limit = float(np.median(norms))
    norms.clear()
    some = run(data, "A", clip=limit)
    assert len(norms) == some.steps
    assert 0 < some.metrics["episode"]["clipped"] == np.mean(np.array(norms) > limit) < 1


# --- probes


def test_a_signal_that_the_latents_hold_is_read_and_noise_is_not(data, split):
    rng = np.random.default_rng(0)
    groups = data.episode_numbers()
    held = frames_of(split.val["episode"])
    train_frames = np.flatnonzero(~np.isin(groups, groups[held]))
    knows = np.c_[data["object"] @ rng.normal(size=(3, 6)), rng.normal(size=(len(groups), 2))].astype(np.float32)
    found = probes.scores(torch.from_numpy(knows), data, train_frames, held)
    assert set(found) == {"probe_depth", "probe_tracks", "probe_centroid", "probe_shape", "probe_object"}
    assert found["probe_object"] > 0.99 and found["probe_centroid"] > 0.95  # the same place in px
    nothing = rng.normal(size=(len(groups), 8)).astype(np.float32)
    assert probes.scores(torch.from_numpy(nothing), data, train_frames, held)["probe_object"] < 0.2
    few = probes.scores(torch.from_numpy(knows), data, np.arange(14), held)
    assert few == {}  # one training episode


def test_a_run_has_the_probes_and_the_world_units_of_its_latents(data, split):
    outcome = run(data, "A")
    held = frames_of(split.val["episode"])
    emb = torch.from_numpy(latents(outcome.model, data, np.arange(len(data["pixels"]))))
    expected = probes.scores(emb, data, frames_of(split.train), held)
    got = outcome.metrics["episode"]
    assert {name: got[name] for name in expected} == pytest.approx(expected, abs=1e-3)
    assert {"object_1", "object_5_floor", "object_10_over_persistence"} <= set(got)
    assert not any(name.startswith(("probe_", "object_")) for name in outcome.metrics["window"])
    assert "gripper_1" not in got  # two numbers in the observation: nobody says where the gripper is
    assert set(got) == set(run(data, "base").metrics["episode"]) == set(run(data, "lr-0").metrics["episode"])
    assert not any(name.startswith("object_") for name in run(data, "A-pp").metrics["episode"])


def test_a_runs_centimetres_are_rolled_out_one_by_one(data, split):
    """Every rollout by itself, from pixels and raw actions; only the map from latents to places is taken over."""
    outcome, episode = run(data, "A"), int(np.searchsorted(data["ep_offset"], split.val["episode"][0], "right") - 1)
    groups = data.episode_numbers()
    train_frames, place = frames_of(split.train), data["object"].astype(float)
    emb = latents(outcome.model, data, np.arange(len(groups)))
    read = ridge_of_raw(emb[train_frames].astype(float), place[train_frames], groups[train_frames])
    own, scale = data.episode(episode), outcome.action_scale
    pixels = torch.from_numpy(data["pixels"][own]).permute(0, 3, 1, 2)
    actions = torch.from_numpy(scale(data["action"][own]))
    wrong, still = [], []
    for start in range(0, len(pixels) - 3 - 4, 2):
        with torch.no_grad():
            context = outcome.model.eval().encode(normalise(pixels[start : start + 3])[None])[0]
            ahead = outcome.model.rollout(context, actions[start : start + 3 + 4][None])[0, -1].numpy()
        true = place[own][start + 2 + 5]
        wrong.append(100 * np.linalg.norm(read(ahead[None])[0] - true))
        still.append(100 * np.linalg.norm(place[own][start + 2] - true))
    assert len(split.val["episode"]) == len(pixels) - 3  # this episode alone is held out
    assert outcome.metrics["episode"]["object_5"] == pytest.approx(np.mean(wrong), rel=1e-3)
    assert outcome.metrics["episode"]["object_5_persistence"] == pytest.approx(np.mean(still), rel=1e-5)


def test_a_loss_without_a_constant_has_none(data, monkeypatch):
    monkeypatch.delitem(dose.CONSTANTS, "vector")
    assert constant_losses(condition("F"), {}, np.arange(3), np.arange(3)) == {}
