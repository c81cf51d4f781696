"""Probes: planted maps are found, noise and leaks are not; features and targets are what they say they are."""

import numpy as np
import pandas as pd
import pytest
import torch

from lewm_core.conditions import condition
from lewm_core.config import LeWMConfig, Recipe
from lewm_core.dataset import COLUMNS, Data
from lewm_core.dataset.contract import Column
from lewm_core.diagnostics import probes
from lewm_core.diagnostics.probe_fits import mlp_probe
from lewm_core.diagnostics.probes import SIGNALS, held_out, probe_table, token_features, with_first_frame
from lewm_core.encoder import normalise
from lewm_core.model import LeWM
from lewm_core.outcomes.probes import READABLE, build_target
from lewm_core.outcomes.ridge import MAX_FEATURES, Target, linear_probe, pose, prepare, r2
from lewm_core.train import train
from lewm_core.utils.errors import InputError

EPISODES, LENGTH = 20, 30
GROUPS = np.repeat(np.arange(EPISODES), LENGTH)
TEST = (1, 7, 12, 18)
N = len(GROUPS)


def mlp(problem):
    return mlp_probe(problem, 0)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def scored(x, y, probe, valid=None) -> float:
    target = Target(y.astype(np.float32), np.ones(y.shape, bool) if valid is None else valid)
    train_frames = np.flatnonzero(~np.isin(GROUPS, TEST))
    problem = pose(prepare(x.astype(np.float32), train_frames), target, GROUPS, TEST)
    return r2(problem, probe(problem))


@pytest.mark.parametrize("probe, least", [(linear_probe, 0.99), (mlp, 0.9)])
def test_a_planted_linear_map_is_recovered(probe, least):
    x = rng().normal(size=(N, 12)) * np.geomspace(0.1, 10, 12)
    y = x / x.std(0) @ rng(1).normal(size=(12, 5)) + 7
    assert scored(x, y, probe) > least


@pytest.mark.parametrize("probe", [linear_probe, mlp])
def test_noise_is_not_recovered(probe):
    assert -0.1 < scored(rng().normal(size=(N, 40)), rng(1).normal(size=(N, 6)), probe) <= 0.05


@pytest.mark.parametrize("probe", [linear_probe, mlp])
def test_labels_of_whole_episodes_do_not_leak_through_frames_of_the_same_episode(probe):
    """Features name the episode and labels are constant in it: a leaking split gives R² near 1, the episode split 0."""
    x = rng().normal(size=(EPISODES, 30))[GROUPS] + 0.01 * rng(2).normal(size=(N, 30))
    y = rng(1).normal(size=(EPISODES, 4))[GROUPS]
    assert scored(x, y, probe) <= 0.05
    shuffled = rng(3).permutation(GROUPS)  # the same probe with a split that leaks
    problem = pose(prepare(x.astype(np.float32), np.flatnonzero(~np.isin(shuffled, TEST))),
                   Target(y.astype(np.float32), np.ones(y.shape, bool)), shuffled, TEST)
    assert r2(problem, probe(problem)) > 0.9


def test_an_mlp_finds_what_a_linear_probe_cannot():
    x = rng().normal(size=(N, 2))
    y = np.abs(x[:, :1])
    assert scored(x, y, linear_probe) < 0.1 and scored(x, y, mlp) > 0.6


def test_the_score_weighs_dimensions_by_their_variance_and_skips_what_is_not_valid():
    truth = np.array([[0, 0], [10, 1]], np.float32)
    target = Target(np.concatenate([np.repeat([[5, 0.5]], 4, 0), truth]).astype(np.float32),
                    np.array([[1, 1]] * 5 + [[1, 0]], bool))
    problem = pose(np.zeros((6, 1), np.float32), target, np.array([0, 0, 1, 1, 2, 2]), [2])
    pred = np.array([[1, 0], [9, 99]], np.float32)  # errors 1, 0, 1 and one that does not count
    assert r2(problem, pred) == pytest.approx(1 - 2 / (25 + 0.25 + 25))
    assert r2(problem, np.array([[5, 0.5]])) == 0


def test_hidden_values_neither_teach_nor_count():
    """Half of the values are replaced by rubbish and marked as not valid."""
    x = rng().normal(size=(N, 6))
    y = x @ rng(1).normal(size=(6, 4))
    valid = rng(2).random(y.shape) < 0.5
    rubbish = np.where(valid, y, 1e3)
    one, other = (scored(x, values, mlp, valid) for values in (rubbish, np.where(valid, y, -5.0)))
    assert one == pytest.approx(other, abs=1e-4) and one > 0.85
    assert scored(x, rubbish, linear_probe, valid) > 0.5


def test_preparing_features_looks_at_training_frames_only():
    x = rng().normal(size=(N, 30)).astype(np.float32)
    train_frames = np.arange(400)
    moved = x.copy()
    moved[400:] += 100
    assert np.array_equal(prepare(x, train_frames)[:400], prepare(moved, train_frames)[:400])
    wide = rng().normal(size=(N, MAX_FEATURES + 10)).astype(np.float32)
    assert prepare(wide, train_frames).shape == (N, 399)
    assert prepare(wide, train_frames)[:400].std() == pytest.approx(1, rel=1e-4)


CONFIG = LeWMConfig(image_size=16, patch_size=8, dim=12, encoder_depth=1, encoder_heads=2, encoder_mlp=24,
                    predictor_depth=1, predictor_heads=2, predictor_head_dim=6, predictor_mlp=24, projector_hidden=24,
                    action_smoothed=4, action_hidden=16)


def small(episodes: int = 8, length: int = 7) -> Data:
    """Every signal as random numbers; point 0 moves 4 px to the right a frame, the others stay."""
    n, r = episodes * length, rng(5)
    frame = np.tile(np.arange(length), episodes)
    tracks = np.tile(r.uniform(0, 15, (400, 2)).astype(np.float32), (n, 1, 1))
    tracks[:, 0, 0] += 4 * frame
    visible = np.ones((n, 400), np.uint8)
    visible[:, 1] = 0
    shape_valid = np.ones(n, np.uint8)
    shape_valid[:3] = 0
    return Data({
        "pixels": r.integers(0, 256, (n, 16, 16, 3), dtype=np.uint8), "action": r.normal(size=(n, 7)).astype("f4"),
        "observation": np.zeros((n, 7), "f4"), "ep_len": np.full(episodes, length),
        "ep_offset": np.arange(episodes) * length, "depth": r.uniform(0.5, 2, (n, 56, 56)).astype("f4"),
        "tracks": tracks, "visible": visible, "centroid": r.normal(2, 3, (n, 3)).astype("f4"),
        "centroid_valid": shape_valid, "shape": r.normal(size=(n, 10)).astype("f4"), "shape_valid": shape_valid})


def test_features_are_the_models_tokens_in_order(monkeypatch):
    monkeypatch.setattr(probes, "CHUNK", 5)
    data, model = small(), LeWM(CONFIG).train()
    features = token_features(model, data)
    assert model.training
    model.eval()
    pixels = normalise(torch.from_numpy(data["pixels"][[11]]).permute(0, 3, 1, 2)).unsqueeze(1)
    with torch.no_grad():
        cls, patches = model.encode_tokens(pixels)
        emb, _ = model.encode(pixels)
    np.testing.assert_allclose(features["CLS"][11], cls[0, 0], atol=1e-5)
    np.testing.assert_allclose(features["emb"][11], emb[0, 0], atol=1e-5)
    np.testing.assert_allclose(features["patch"][11].reshape(4, 12), patches[0, 0], atol=1e-5)
    both = with_first_frame(features["CLS"], data)
    assert np.array_equal(both[11], np.concatenate([features["CLS"][11], features["CLS"][7]]))


def test_targets_are_what_they_say():
    data = small()
    frames = np.arange(30)
    tracks = build_target("tracks", data, frames)
    assert tracks.values.shape == (56, 800) and not tracks.valid[:, 2:4].any() and tracks.valid[:, :2].all()
    np.testing.assert_allclose(tracks.values[7:14, 0], 56 * np.arange(7), rtol=1e-5)  # x of point 0, px at 224
    assert not tracks.values[:, 1].any()
    depth = build_target("depth", data, frames)
    d = data["depth"][4]
    median = np.sort(d.ravel())[(d.size - 1) // 2]
    normal = (d - median) / np.abs(d - median).mean()
    np.testing.assert_allclose(depth.values[4].reshape(14, 14)[2, 3], normal[8:12, 12:16].mean(), atol=1e-4)
    centroid = build_target("centroid", data, frames)
    np.testing.assert_allclose(centroid.values[3:30].mean(0), 0, atol=1e-5)
    assert not centroid.valid[:3].any() and build_target("shape", data, frames).values.shape == (56, 10)


def test_a_map_of_several_numbers_a_cell_is_averaged_as_it_is(monkeypatch):
    monkeypatch.setitem(COLUMNS, "own", Column("own", (56, 56, 3), "float32", "f", target="map"))
    monkeypatch.setitem(READABLE, "own", ("own",))
    maps = rng(3).normal(size=(5, 56, 56, 3)).astype("f4")
    found = build_target("own", Data({"own": maps}), np.arange(3))
    assert found.values.shape == (5, 3 * 14 * 14) and found.valid.all()
    np.testing.assert_allclose(found.values[4].reshape(3, 14, 14)[2, 5, 9], maps[4, 20:24, 36:40, 2].mean(), atol=1e-6)


def test_a_table_has_a_row_per_signal_and_features_and_none_for_missing_signals():
    data = small()
    features = {"CLS": rng().normal(size=(56, 5)).astype("f4"), "planted": data["centroid"]}
    table = pd.concat([probe_table(features, data, [2, 5], SIGNALS, probe, 0) for probe in ("linear", "mlp")])
    assert len(table) == 4 * 2 * 2 and (table.test_frames == 14).all()
    found = table.set_index(["target", "tokens", "probe"]).r2
    assert found["centroid", "planted", "linear"] > 0.99 and found["centroid", "CLS", "linear"] < 0.3
    assert table.train_frames[table.target == "shape"].unique().tolist() == [56 - 14 - 3]
    bare = Data({k: v for k, v in data.columns.items() if k not in ("depth", "centroid")}, data.made)
    assert set(probe_table(features, bare, [2, 5], SIGNALS, "linear", 0).target) == {"tracks", "shape"}
    with pytest.raises(InputError, match="at least two and one"):
        probe_table(features, data, [99], SIGNALS, "linear", 0)
    assert probe_table(features, data, [], SIGNALS, "linear", 0).empty
    assert list(SIGNALS) == ["depth", "tracks", "centroid", "shape"]


def test_held_out_episodes_are_those_that_training_never_saw():
    data = small()
    recipe = Recipe(epochs=1, directions=8, val_episodes=0.25)
    for seed in range(3):
        held = held_out(data, seed, recipe)
        assert len(held) == 2
        frames = np.isin(np.repeat(np.arange(8), 7), held)
        pixels = data["pixels"].copy()
        pixels[frames] = 255 - pixels[frames]
        changed = Data({**data.columns, "pixels": pixels})
        one, two = (train(LeWM(CONFIG), condition("A"), d, recipe, seed).curve for d in (data, changed))
        assert one == two, "training read a frame of a held-out episode"
    assert len(held_out(data, 0, Recipe(val_episodes=0))) == 0
