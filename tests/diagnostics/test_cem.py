"""The cross-entropy method on worlds whose best plan is known, and planning with a real model."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from lewm_core.diagnostics.cem import CEM, cem, goal_cost, plan_actions
from lewm_core.model import LeWM
from lewm_core.utils.errors import InputError
from tests.helpers import acting_model

LOW, HIGH = torch.full((2,), -3.0), torch.full((2,), 3.0)
THOROUGH = CEM(samples=400, elites=80, iterations=40, horizon=3)


class Linear(nn.Module):
    """z' = A z + B u of the last frame: D = 3 latents, 2 actions, so that S = 3 steps reach any goal in many ways."""

    rollout = LeWM.rollout
    config = SimpleNamespace(history=3)
    A = torch.tensor([[0.9, 0.2, 0.0], [0.0, 0.8, 0.1], [0.1, 0.0, 0.7]])
    B = torch.tensor([[0.5, 0.0], [0.0, 0.4], [0.3, -0.2]])

    def action_encoder(self, actions):
        return actions @ self.B.T

    def predict(self, emb, act_emb):
        return emb @ self.A.T + act_emb


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def problems():
    """Contexts, the actions between their frames, and goals that three actions within the bounds reach."""
    emb, past = torch.randn(4, 3, 3, generator=generator(5)), torch.zeros(4, 2, 2)
    actions = torch.cat([past, torch.randn(4, 3, 2, generator=generator(6))], 1)
    return emb, past, Linear().rollout(emb, actions)[:, -1]


def test_cem_finds_the_least_squares_optimum():
    """‖M u - y‖² with more rows than unknowns: the optimum is not 0 and lstsq knows it."""
    # Mildly mixed actions: where they are strongly correlated, the method's independent normals shrink too early.
    matrix, y = torch.eye(9)[:, :6] + 0.15 * torch.randn(4, 9, 6, generator=generator(1)), torch.linspace(-1, 1, 9)
    y = y[torch.stack([torch.randperm(9, generator=generator(i)) for i in range(4)])]
    seen = []

    def cost(u):
        seen.append((torch.einsum("bij,bnj->bni", matrix, u.flatten(2)) - y[:, None]).square().sum(-1))
        return seen[-1]

    found, least = cem(cost, torch.zeros(4, 3, 2), LOW, HIGH, THOROUGH, generator())
    best = torch.linalg.lstsq(matrix, y[..., None]).solution[..., 0]
    torch.testing.assert_close(found.flatten(1), best, atol=2e-2, rtol=0)
    optimum = (torch.einsum("bij,bj->bi", matrix, best) - y).square().sum(-1)
    assert (least >= optimum - 1e-5).all() and (least - optimum).max() < 1e-3 and optimum.min() > 0.1
    every = torch.cat(seen, 1)
    torch.testing.assert_close(least, every.amin(1), atol=0, rtol=0)  # no sample was better than what is returned
    torch.testing.assert_close(cost(found[:, None])[:, 0], least)
    assert (every[:, :400].amin(1) > least + 0.3).all()  # chance alone does not get there


def test_planning_reaches_the_goal_of_a_linear_world(problems):
    emb, past, goal = problems
    actions, cost = plan_actions(Linear(), emb, past, goal, LOW, HIGH, THOROUGH, generator())
    z = emb[:, -1]
    for step in range(3):
        z = z @ Linear.A.T + actions[:, step] @ Linear.B.T
    torch.testing.assert_close((z - goal).square().sum(-1), cost, atol=1e-5, rtol=1e-4)
    assert cost.max() < 0.01 < 0.3 < (emb[:, -1] - goal).square().sum(-1).min()


def test_plans_keep_to_the_bounds(problems):
    emb, past, goal = problems
    low, high = torch.tensor([-0.1, 0.0]), torch.tensor([0.2, 0.05])
    actions, _ = plan_actions(Linear(), emb, past, goal + 5, low, high, CEM(horizon=3), generator())
    assert (actions >= low).all() and (actions <= high).all()
    assert (actions == high).any() or (actions == low).any()


def test_a_generator_decides_the_plan_and_nothing_else_does(problems):
    emb, past, goal = problems
    run = lambda seed, at=slice(None): plan_actions(Linear(), emb[at], past[at], goal[at], LOW, HIGH, CEM(horizon=3),  # noqa: E731
                                            generator(seed))[0]
    first = run(3)
    torch.rand(7)  # ambient randomness is not used
    assert torch.equal(first, run(3)) and not torch.equal(first, run(4))
    for i in range(4):  # each problem alone, and among others
        torch.testing.assert_close(run(3, slice(i, i + 1))[0], first[i], atol=1e-6, rtol=0)
        torch.testing.assert_close(run(3, [2, i])[1], first[i], atol=1e-6, rtol=0)


def test_a_warm_start_goes_on_from_the_earlier_plan(problems):
    emb, past, goal = problems
    actions, cost = plan_actions(Linear(), emb, past, goal, LOW, HIGH, THOROUGH, generator())
    hasty = CEM(samples=2, elites=2, iterations=1, horizon=3)
    kept, same = plan_actions(Linear(), emb, past, goal, LOW, HIGH, hasty, generator(), warm=actions)
    torch.testing.assert_close(same, cost, atol=1e-5, rtol=1e-4)  # the plan itself is a candidate
    assert torch.equal(kept, actions)
    cold = goal_cost(Linear(), emb, goal, torch.zeros(4, 1, 5, 2))[:, 0]
    none, at_rest = plan_actions(Linear(), emb, past, goal, LOW, HIGH, hasty, generator(), warm=actions[:, :0])
    assert (at_rest <= cold + 1e-6).all()  # without one the search begins at the mean action


def test_a_lewm_plans_better_than_it_guesses():
    model = acting_model()
    emb, past = torch.randn(2, 3, 32, generator=generator(1)), torch.zeros(2, 2, 7)
    with torch.no_grad():  # a goal that some actions do reach
        wanted = torch.randn(2, 4, 7, generator=generator(2))
        goal = model.rollout(emb, torch.cat([past, wanted], 1))[:, -1]
    low, high = torch.full((7,), -3.0), torch.full((7,), 3.0)
    guess, plans = (plan_actions(model, emb, past, goal, low, high, CEM(samples=60, elites=6, iterations=n, horizon=4),
                         generator())[1] for n in (1, 12))
    assert (plans < 0.5 * guess).all()


@pytest.mark.parametrize("wrong", [{"samples": 4}, {"elites": 1}, {"horizon": 0}, {"std": 0.0}, {"iterations": -1}])
def test_settings_that_cannot_search_are_refused(wrong):
    with pytest.raises(InputError, match="CEM"):
        CEM(**wrong)
