"""Rollouts and the goal cost: recurrences solved by hand (test_golden has the public code's numbers)."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from lewm_core.diagnostics.cem import goal_cost
from lewm_core.model import LeWM
from lewm_core.utils.errors import InputError
from tests.helpers import acting_model

HORIZONS = (1, 2, 5, 8)
A, GAIN = 0.8, 0.5  # the toy world z' = A z + GAIN u


class Linear(nn.Module):
    """z' = A z + GAIN u of the last frame, plus `memory` times the mean of all frames that the predictor sees."""

    rollout = LeWM.rollout

    def __init__(self, history: int = 3, memory: float = 0.0):
        super().__init__()
        self.config, self.memory, self.seen = SimpleNamespace(history=history), memory, []

    def action_encoder(self, actions):
        return GAIN * actions

    def predict(self, emb, act_emb):
        assert emb.shape == act_emb.shape and emb.shape[1] <= self.config.history
        self.seen.append(emb.shape[1])
        return A * emb + act_emb + self.memory * emb.mean(1, keepdim=True)


@pytest.mark.parametrize("horizon", HORIZONS)
@pytest.mark.parametrize("context", [1, 2, 3, 5])
def test_a_linear_world_is_its_closed_form(context, horizon):
    rng = np.random.default_rng(context)
    emb, actions = rng.normal(size=(4, context, 6)), rng.normal(size=(4, context - 1 + horizon, 6))
    out = Linear().rollout(torch.from_numpy(emb), torch.from_numpy(actions)).numpy()
    assert out.shape == (4, context + horizon, 6)
    np.testing.assert_array_equal(out[:, :context], emb)
    for k in range(1, horizon + 1):  # z_k = A^k z_0 + Σ_j A^(k-1-j) GAIN u_j, u_0 leaving the last context frame
        power = A ** np.arange(k - 1, -1, -1)
        future = actions[:, context - 1 : context - 1 + k]
        want = A**k * emb[:, -1] + GAIN * np.einsum("j,bjd->bd", power, future)
        np.testing.assert_allclose(out[:, context - 1 + k], want, atol=1e-12)
        shifted = np.roll(actions, 1, axis=1)[:, context - 1 : context - 1 + k]
        late = A**k * emb[:, -1] + GAIN * np.einsum("j,bjd->bd", power, shifted)
        assert actions.shape[1] == 1 or np.abs(late - want).max() > 1e-3  # an action one frame late would show


@pytest.mark.parametrize("history", [1, 2, 3])
@pytest.mark.parametrize("context", [1, 2, 3, 6])
def test_the_predictor_sees_the_last_frames_only(context, history):
    """The recurrence with memory, written out frame by frame, for contexts shorter and longer than the history."""
    rng = np.random.default_rng(7)
    emb, actions = rng.normal(size=(2, context, 3)), rng.normal(size=(2, context + 5, 3))
    world = Linear(history, memory=0.3)
    out = world.rollout(torch.from_numpy(emb), torch.from_numpy(actions)).numpy()
    z = list(emb.swapaxes(0, 1))
    for t in range(context - 1, context + 5):
        z.append(A * z[t] + GAIN * actions[:, t] + 0.3 * np.mean(z[max(0, t - history + 1) : t + 1], axis=0))
    np.testing.assert_allclose(out, np.stack(z, 1), atol=1e-12)
    assert world.seen == [min(history, n) for n in range(context, context + 6)]


def test_each_problem_is_rolled_out_alone():
    world = acting_model()
    emb, actions = torch.randn(5, 3, 32, generator=torch.Generator().manual_seed(2)), torch.zeros(5, 7, 7)
    with torch.no_grad():
        together = world.rollout(emb, actions)
        torch.testing.assert_close(torch.cat([world.rollout(emb[i : i + 1], actions[i : i + 1]) for i in range(5)]),
                                   together, atol=1e-5, rtol=0)
        emb[3] += 1
        changed = (world.rollout(emb, actions) - together).abs().amax((1, 2)) > 1e-4
    assert changed.tolist() == [False, False, False, True, False]


def test_gradients_reach_the_actions_that_matter():
    actions = torch.zeros(1, 6, 3, requires_grad=True)  # 2 between context frames, 4 ahead
    cost = goal_cost(Linear(), torch.zeros(1, 3, 3), torch.ones(1, 3), actions[:, None])
    cost.sum().backward()
    want = np.zeros((6, 3))
    want[2:] = (-2 * GAIN * A ** np.arange(3, -1, -1.0))[:, None]  # d|z - 1|² at z = 0
    np.testing.assert_allclose(actions.grad[0], want, atol=1e-6)


def test_what_does_not_fit_is_refused():
    with pytest.raises(InputError, match="2 actions for 3 context frames"):
        Linear().rollout(torch.zeros(1, 3, 3), torch.zeros(1, 2, 3))
