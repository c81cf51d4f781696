"""Errors in centimetres in planted worlds, where latents are known functions of positions.

What little is left at the floor is the least ridge penalty.
"""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from lewm_core.dataset import Data
from lewm_core.model import LeWM
from lewm_core.outcomes.world_units import HORIZONS, errors, rollout_starts

LENGTHS = (30, 25, 31, 28, 26, 24)
HELD = np.array([1, 4])
D, HISTORY = 8, 3
MIX = np.random.default_rng(5).normal(size=(3, D))


class Planted(nn.Module):
    """z' = z + gain · a · MIX: with gain 1 it knows the world, with gain 0 it is persistence."""

    rollout, reads_patches = LeWM.rollout, False

    def __init__(self, gain: float):
        super().__init__()
        self.config, self.gain = SimpleNamespace(history=HISTORY), gain

    def action_encoder(self, actions):
        return self.gain * actions @ torch.from_numpy(MIX)

    def predict(self, emb, act_emb):
        assert not self.training
        return emb + act_emb


def world(seed: int = 0):
    """Positions (m) that the actions move by centimetres; latents are linear in them."""
    rng = np.random.default_rng(seed)
    actions, places = [], []
    for length in LENGTHS:
        step = rng.normal(0, 0.02, (length, 3))
        places.append(rng.normal(0, 0.1, 3) + np.concatenate([np.zeros((1, 3)), np.cumsum(step[:-1], 0)]))
        actions.append(step)
    lengths = np.array(LENGTHS)
    places, actions = np.concatenate(places), np.concatenate(actions)
    data = Data({"ep_len": lengths, "ep_offset": np.cumsum(lengths) - lengths, "gripper": places})
    return data, torch.from_numpy(3 + places @ MIX), torch.from_numpy(actions)


def training_frames(data):
    groups = np.repeat(np.arange(len(LENGTHS)), LENGTHS)
    return np.flatnonzero(~np.isin(groups, HELD))


def found(gain=1.0, data=None, emb=None, **columns):
    planted, latents, actions = world()
    data = data or Data({**planted.columns, **columns})
    emb = latents if emb is None else emb
    return errors(Planted(gain), emb, actions, data, training_frames(data), HELD)


def persistence(data, h):
    """By hand: every second frame of the held-out episodes, rollout by rollout."""
    missed = []
    for episode in HELD:
        first, length = data["ep_offset"][episode], data["ep_len"][episode]
        for start in range(0, length, 2):
            if start + HISTORY - 1 + h < length:
                last = first + start + HISTORY - 1
                missed.append(100 * np.sqrt(((data["gripper"][last + h] - data["gripper"][last]) ** 2).sum()))
    return np.mean(missed)


def test_a_perfect_predictor_reaches_the_floor_and_the_floor_of_a_linear_world_is_0():
    values, data = found(), world()[0]
    for h in HORIZONS:
        assert values[f"gripper_{h}_persistence"] == pytest.approx(persistence(data, h))
        assert values[f"gripper_{h}_floor"] < 0.05 < 1 < values[f"gripper_{h}_persistence"]  # cm
        assert values[f"gripper_{h}"] == pytest.approx(values[f"gripper_{h}_floor"], abs=1e-4)
        assert values[f"gripper_{h}_over_persistence"] == pytest.approx(
            values[f"gripper_{h}"] / values[f"gripper_{h}_persistence"])
    assert len(values) == 4 * len(HORIZONS)


def test_no_change_predicted_is_persistence_and_half_of_it_is_half():
    still, half = found(0.0), found(0.5)
    for h in HORIZONS:
        assert still[f"gripper_{h}_over_persistence"] == pytest.approx(1, abs=3e-3)
        assert half[f"gripper_{h}_over_persistence"] == pytest.approx(0.5, abs=3e-3)


@pytest.mark.parametrize("change", [lambda z: 0.01 * z, lambda z: z + 40, lambda z: z.flip(1) * 3])
def test_what_a_latent_space_is_scaled_to_changes_nothing(change):
    """The very thing for which errors in latents are no measure: the error of persistence scales with the space."""
    _, emb, _ = world()
    before, after = found(0.0), found(0.0, emb=change(emb))
    assert after == pytest.approx(before, rel=1e-3, abs=1e-3)


def test_noise_in_the_latents_is_in_the_floor():
    _, emb, _ = world()
    noise = torch.from_numpy(np.random.default_rng(1).normal(0, 0.1, emb.shape))
    assert found(emb=emb + noise)["gripper_1_floor"] > 1
    assert found(emb=noise)["gripper_5"] > persistence(world()[0], 5)  # latents that know nothing


def test_the_map_is_fitted_to_training_frames_alone():
    data, _, _ = world()
    moved = data["gripper"].copy()
    held = np.isin(np.repeat(np.arange(len(LENGTHS)), LENGTHS), HELD)
    moved[held] += 1.0  # the held-out episodes are a metre away from where the latents say
    values = found(gripper=moved)
    assert values["gripper_5_floor"] == pytest.approx(100 * np.sqrt(3), rel=1e-3)
    assert values["gripper_5_persistence"] == pytest.approx(persistence(data, 5))


def test_the_object_is_read_where_there_is_one_and_places_that_are_not_known_do_not_count():
    data, _, _ = world()
    thing = data["gripper"] * [1, -2, 0] + 1
    values = found(object=thing)
    assert values["object_10_floor"] < 0.05 and values["gripper_5"] == found()["gripper_5"]
    holes = data["gripper"].copy()
    holes[::7] = np.nan
    assert found(gripper=holes)["gripper_5"] < 0.05
    assert "object_1_over_persistence" not in found(object=np.ones_like(thing))  # nothing moves
    assert found(object=np.full_like(thing, np.nan)).keys() == found().keys()


def test_what_has_no_room_or_cannot_be_rolled_out_is_left_out():
    data, emb, actions = world()
    short = Data({"ep_len": np.array([9, 8, 3, 9]), "ep_offset": np.array([0, 9, 17, 20]),
                  "gripper": data["gripper"][:29]})
    train = np.r_[0:9, 20:29]
    assert rollout_starts(short, np.array([1, 2]), 3).tolist() == [9, 11, 13]
    values = errors(Planted(1.0), emb[:29], actions[:29], short, train, np.array([1, 2]))
    assert {name.split("_")[1] for name in values} == {"1", "5"}
    assert errors(Planted(1.0), emb[:29], actions[:29], short, train, np.array([2])) == {}  # no frame after the context
    assert errors(Planted(1.0), emb[:29], actions[:29], short, train[:9], np.array([1])) == {}  # one training episode
    patched = Planted(1.0)
    patched.reads_patches = True
    assert errors(patched, emb, actions, data, training_frames(data), HELD) == {}
