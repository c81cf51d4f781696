"""Probes that are trained step by step: a small MLP, and cross-attention. The linear one is `outcomes.ridge`."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lewm_core.model import attend, seeded, sine_waves
from lewm_core.outcomes.ridge import Problem

HIDDEN = 136  # of the MLP probe: the paper's flat track head
LR = 3e-3  # of the probes that are trained, and
DECAY = 1e-2  # their weight decay
MLP_STEPS = 100  # optimizer steps
MLP_BATCH = 256  # frames a step
MLP_CHECK = 5  # steps between looks at the stopping set
ATTENTION_STEPS = 200
ATTENTION_BATCH = 32
ATTENTION_CHECK = 40
QUERIES = 3200  # points × frames that the attention probe sees in a step, at most
WIDTH = 64  # of the attention probe
ATTENTION_HEADS = 4
WAVES = 4  # octaves of a position's sines and cosines


def mlp_probe(problem: Problem, seed: int) -> np.ndarray:
    """Predictions (n_test, K) of an MLP with one hidden layer. All randomness is from `seed`."""
    with seeded(seed):
        model = nn.Sequential(nn.Linear(problem.x.shape[1], HIDDEN), nn.GELU(),
                              nn.Linear(HIDDEN, problem.y.shape[1]))
    return _fit(model, model[2], (torch.from_numpy(problem.x),), problem, seed, MLP_STEPS, MLP_BATCH,
                MLP_CHECK)


class AttentionProbe(nn.Module):
    """Tokens (M, T, D) and points (M, k, 2) in image sides -> (M, 2k): each point asks the tokens where it has gone.

    A point's query is an embedding of its position; keys and values are the tokens, each with a learned place. What
    it finds and the query go through an MLP of the other probe's width.
    """

    def __init__(self, tokens: int, dim: int):
        super().__init__()
        self.place = nn.Parameter(0.02 * torch.randn(tokens, WIDTH))
        self.token, self.query = nn.Linear(dim, WIDTH), nn.Linear(2 + 4 * WAVES, WIDTH)
        self.key_value = nn.Linear(WIDTH, 2 * WIDTH)
        self.out = nn.Sequential(nn.Linear(2 * WIDTH, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, 2))

    def forward(self, tokens: Tensor, points: Tensor) -> Tensor:
        sines, cosines = sine_waves(points, torch.arange(WAVES))
        query = self.query(torch.cat([points, sines.flatten(2), cosines.flatten(2)], 2))  # (M, k, W)
        key, value = self.key_value(F.gelu(self.token(tokens) + self.place)).chunk(2, -1)
        found = attend(query, key, value, ATTENTION_HEADS)
        return self.out(torch.cat([found, query], 2)).flatten(1)


def attention_probe(problem: Problem, tokens: np.ndarray, points: np.ndarray, seed: int) -> np.ndarray:
    """Predictions (n_test, 2k) of a cross-attention probe, of x and y of k points side by side.

    tokens: (N, T, D), as `scaled` returns them; points: (N, k, 2), where each point was in its episode's first frame,
    in image sides. All randomness is from `seed`.
    """
    with seeded(seed):
        model = AttentionProbe(*tokens.shape[1:])
    frames = min(ATTENTION_BATCH, max(1, QUERIES // points.shape[1]))
    inputs = (torch.from_numpy(tokens), torch.from_numpy(np.ascontiguousarray(points, dtype=np.float32)))
    return _fit(model, model.out[2], inputs, problem, seed, ATTENTION_STEPS, frames, ATTENTION_CHECK)


def _fit(model: nn.Module, last: nn.Linear, inputs: tuple[Tensor, ...], problem: Problem, seed: int, steps: int,
         batch: int, check: int) -> np.ndarray:
    """Predictions (n_test, K) of `model`, stopped where held-out training episodes are best.

    It starts at the training mean (`last` is its last layer) and sees targets in units of their overall std.
    """
    p = problem
    episodes = np.random.default_rng(seed).permutation(np.unique(p.groups[p.train]))
    stopping = np.isin(p.groups[p.train], episodes[: max(1, len(episodes) // 5)])
    scale = max(float((p.y[p.train] - p.mean).std()), 1e-8)
    y, weight = torch.from_numpy((p.y - p.mean) / scale), torch.from_numpy(p.valid).float()
    fit, stop, test = (torch.from_numpy(rows) for rows in (p.train[~stopping], p.train[stopping], p.test))
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    optimizer = torch.optim.AdamW(model.parameters(), LR, weight_decay=DECAY, fused=True)

    def squared(rows: Tensor) -> Tensor:
        return (model(*(x[rows] for x in inputs)) - y[rows]).square() * weight[rows]

    generator = torch.Generator().manual_seed(seed)
    best, answer = torch.inf, None  # the least error on the stopping episodes, and the predictions at that step
    for step in range(steps):
        if step % check == 0:
            with torch.no_grad():
                error = squared(stop).sum().item()
                if error < best:
                    best, answer = error, model(*(x[test] for x in inputs))
        rows = fit[torch.randint(len(fit), (min(batch, len(fit)),), generator=generator)]
        loss = squared(rows).sum() / weight[rows].sum().clamp(min=1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return answer.numpy() * scale + p.mean
