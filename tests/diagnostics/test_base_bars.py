"""The bars of a base: each measure on models whose answer is known, and an untrained network clears none of them."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from lewm_core.config import MODELS
from lewm_core.dataset.frames import ActionScale
from lewm_core.diagnostics import base_bars, planning
from lewm_core.diagnostics.base_bars import COLUMNS, LEAST, Exam, Play, judge, probe_r2, rollout_errors
from lewm_core.diagnostics.cem import CEM
from lewm_core.model import LeWM
from lewm_core.sources.tabletop.source import Tabletop
from lewm_core.utils.errors import InputError

SCALE = ActionScale((0.0,) * 7, (1.0,) * 7)
FEW = Exam(fit=12, test=6, steps=10, tasks=3, search=CEM(samples=8, elites=2, iterations=2, horizon=6))


@pytest.fixture(scope="module")
def source() -> Tabletop:
    return Tabletop(12, 0, 32, "play")


class Sums:
    """A world whose latent is the sum of its actions; predicted steps are `gain` times the true ones."""

    config = SimpleNamespace(history=3)

    def __init__(self, gain: float):
        self.gain = gain

    def parameters(self):
        return iter([torch.zeros(1)])

    def rollout(self, emb: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        steps = self.gain * actions[:, emb.shape[1] - 1 :].cumsum(1)
        return torch.cat([emb, emb[:, -1:] + steps], 1)


@pytest.mark.parametrize("gain, expected", [(1.0, 0.0), (0.0, 1.0), (0.5, 0.25), (3.0, 4.0)])
def test_error_over_persistence_is_that_of_the_missing_share_of_each_step(monkeypatch, gain, expected):
    """A prediction of g times the change misses (1 - g) of it, whose square is the error over persistence's."""
    actions = np.random.default_rng(0).normal(size=(5, 20, 7)).astype(np.float32)
    latents = torch.from_numpy(np.concatenate([np.zeros((5, 1, 7)), actions.cumsum(1)[:, :-1]], 1)).float()
    monkeypatch.setattr(planning, "encode", lambda model, frames: latents)
    play = Play(np.zeros((5, 20, 2, 2, 3), np.uint8), actions, np.zeros((5, 20, 7)))
    errors = rollout_errors(Sums(gain), SCALE, play, 10)
    np.testing.assert_allclose(errors, np.full(10, expected), atol=1e-6)


def test_a_probe_finds_what_is_linear_in_unseen_episodes_and_nothing_else():
    rng = np.random.default_rng(1)
    features = rng.normal(size=(40, 10, 8))
    exact = features @ rng.normal(size=8)
    noisy = exact + exact.std() * rng.normal(size=exact.shape)  # half of its variance is noise
    squared = features[..., 0] ** 2
    by_episode = np.repeat(rng.normal(size=(40, 1)), 10, 1)
    state = np.stack([exact, noisy, squared, by_episode], -1)
    found = probe_r2(features, state, fit=30)
    assert found[0] > 0.999 and abs(found[1] - 0.5) < 0.15 and (found[2:] < 0.1).all()


def test_the_state_is_that_of_the_simulator(source):
    play = Play.of(source, 3)
    assert play.frames.shape == (3, 32, 32, 32, 3) and play.state.shape == (3, 32, 7)
    for i, info in enumerate(source.infos()[:3]):
        recording = source.record(info.id)
        np.testing.assert_allclose(play.state[i, :, :3], recording.observations[:, :3], atol=1e-6)
        assert abs(play.state[i, 0, 6] - recording.scene.target.yaw) < 1e-3
        np.testing.assert_allclose(play.state[i, 0, 3:5], recording.scene.target.xy, atol=1e-3)


def test_an_untrained_network_clears_no_bar(source):
    table = judge(LeWM(MODELS["nano"], 3), SCALE, source, 1, FEW)
    assert list(table.columns) == COLUMNS and len(table) == 7 + 10 + 2
    barred = table[table.bar != ""]
    assert len(barred) == len(LEAST) + 10 and set(table[table.bar == ""].what) == {"probe of emb, cube z, R²"}
    assert not barred.met.astype(bool).any(), table.to_string()
    planned = table[table.what.str.startswith("planning")]
    assert (planned.still == 0).all() and (planned.recorded == 1).all()  # the tasks need motion and can be done
    assert judge(LeWM(MODELS["nano"], 3), SCALE, source, 1, FEW).equals(table)


def test_play_that_was_trained_on_is_not_unseen(source):
    with pytest.raises(InputError, match="seed of its own"):
        judge(LeWM(MODELS["nano"], 3), SCALE, source, 0, FEW)
    with pytest.raises(InputError, match="tabletop"):
        judge(LeWM(MODELS["nano"], 3), SCALE, Tabletop(12, 0, 32), 1, FEW)


def test_one_step_has_a_bar_of_its_own():
    rows = list(base_bars._error_rows(np.array([0.3, 0.9, 1.0])))
    assert [row["met"] for row in rows] == [False, True, False]
    assert [row["met"] for row in base_bars._error_rows(np.array([0.2, 1.1]))] == [True, False]
