"""Using a world model: how near candidate actions bring it to a goal, and the cross-entropy method that improves them.

The cost is the public LeWM's: the squared L2 distance between the last predicted latent and the goal's. Dimensions:
B problems, N candidates, H context frames, S steps to plan, A action size, D latent size. Actions are in the model's
own standardised units throughout.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from lewm_core.model import LeWM
from lewm_core.utils.errors import InputError

CHUNK = 512  # rollouts at once, which bounds the memory


@dataclass(frozen=True)
class CEM:
    """How the cross-entropy method searches."""

    samples: int = 64  # N, candidates of an iteration
    elites: int = 8  # the best of them, to which the next iteration's distribution is fitted
    iterations: int = 10
    horizon: int = 6  # S, steps planned ahead
    std: float = 1.0  # of the first candidates, in units of the std of the dataset's actions

    def __post_init__(self):
        expected = "positive numbers, and from 2 elites to as many as there are samples"
        small = [f"{f.name} {getattr(self, f.name)}" for f in fields(self) if not getattr(self, f.name) > 0]
        if small:
            raise InputError("CEM", ", ".join(small), expected)
        if not 2 <= self.elites <= self.samples:
            raise InputError("CEM", f"{self.elites} elites of {self.samples} samples", expected)


def goal_cost(model: LeWM, emb: Tensor, goal_emb: Tensor, actions: Tensor) -> Tensor:
    """(B, N) the squared L2 distance from where each candidate leads to its problem's goal.

    emb: (B, H, D) latents of the context frames, encoded once for all candidates. goal_emb: (B, D).
    actions: (B, N, H - 1 + S, A) as `LeWM.rollout` reads them: the first H - 1 lie between context frames.
    The model should be in eval mode. Gradients flow to the actions where they are asked for.
    """
    b, n = actions.shape[:2]
    problem = torch.arange(b, device=actions.device).repeat_interleave(n)
    cost = []
    for i, part in zip(problem.split(CHUNK), actions.flatten(0, 1).split(CHUNK), strict=True):
        reached = model.rollout(emb[i], part)[:, -1]
        cost.append((reached - goal_emb[i]).square().sum(-1))
    return torch.cat(cost).unflatten(0, (b, n))


@torch.no_grad()
def cem(cost: Callable[[Tensor], Tensor], mean: Tensor, low: Tensor, high: Tensor, settings: CEM,
        generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """The best action sequences found, (B, S, A), and their costs (B,).

    cost: candidates (B, N, S, A) to (B, N), lower is better. mean: (B, S, A) where the search begins; it is itself a
    candidate. low, high: (A,) bounds of the actions. Candidates are normal with a std of their own for every
    step and action, which the elites' mean and std replace. All problems see the same noise, so that a
    problem's plan does not depend on which others are planned with it.
    """
    std = torch.full_like(mean, settings.std)
    rows = torch.arange(len(mean), device=mean.device)
    best = mean
    least = mean.new_full((len(mean),), torch.inf)
    for _ in range(settings.iterations):
        noise = torch.randn(settings.samples, *mean.shape[1:], generator=generator, device=generator.device)
        noise[0] = 0
        candidates = torch.clamp(mean[:, None] + std[:, None] * noise.to(mean), low, high)
        costs = cost(candidates)  # (B, N)
        elite_costs, elites = costs.topk(settings.elites, dim=1, largest=False)
        chosen = candidates[rows[:, None], elites]  # (B, elites, S, A), the best first
        mean = chosen.mean(1)
        std = chosen.std(1)
        better = elite_costs[:, 0] < least
        best = torch.where(better[:, None, None], chosen[:, 0], best)
        least = torch.where(better, elite_costs[:, 0], least)
    return best, least


def plan_actions(model: LeWM, emb: Tensor, past: Tensor, goal_emb: Tensor, low: Tensor, high: Tensor, settings: CEM,
                 generator: torch.Generator, warm: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Plan `settings.horizon` actions from H context frames to a goal frame: (B, S, A) and their costs (B,).

    emb (B, H, D), goal_emb (B, D) as in `goal_cost`; past: (B, H - 1, A) the actions between the context frames.
    low, high: (A,) what the dataset's actions span. warm: (B, ≤ S, A) what an earlier plan still had to do, for a
    receding horizon; what it lacks starts at zero, the dataset's mean action.
    """
    mean = emb.new_zeros(len(emb), settings.horizon, past.shape[-1])
    if warm is not None:
        mean[:, : warm.shape[1]] = warm[:, : settings.horizon]

    def cost(candidates: Tensor) -> Tensor:
        before = past[:, None].expand(-1, candidates.shape[1], -1, -1)
        return goal_cost(model, emb, goal_emb, torch.cat([before, candidates], dim=2))

    return cem(cost, mean, low, high, settings, generator)
