"""SIGReg against its definition, knot by knot, and its gradient against autograd's."""

import math

import pytest
import torch

from lewm_core.sigreg import KNOTS, STEP, draw_directions, sigreg


@pytest.fixture
def g():
    return torch.Generator().manual_seed(0)


def test_sigreg_is_small_for_a_gaussian_and_large_for_what_is_not(g):
    directions = draw_directions(8, 256, g)
    normal = torch.randn(1, 4096, 8, generator=g)
    good = sigreg(normal, directions)
    assert good < 2  # times B, so a sample of any size stays of order one
    for bad in (2 * normal, normal + 1, torch.zeros_like(normal), normal.sign()):
        assert sigreg(bad, directions) > 10 * good
    torch.testing.assert_close(sigreg(normal, 3 * directions), good)  # their length does not matter


def test_sigreg_is_its_definition(g):
    emb, directions = torch.randn(2, 5, 3, generator=g), draw_directions(3, 4, g)
    total = 0.0
    for t in range(2):
        for d in (directions / directions.norm(dim=0)).T:
            for k in range(17):
                x = 3 * k / 16
                projection = [float(emb[t, b] @ d) * x for b in range(5)]
                real = sum(map(math.cos, projection)) / 5 - math.exp(-x * x / 2)
                imaginary = sum(map(math.sin, projection)) / 5
                weight = (1 if k in (0, 16) else 2) * 3 / 16 * math.exp(-x * x / 2)
                total += weight * (real**2 + imaginary**2) * 5
    assert sigreg(emb, directions).item() == pytest.approx(total / 8, rel=1e-5)


def by_autograd(emb, directions):
    """The formula in double precision, every knot with its own sine and cosine."""
    knots = torch.arange(KNOTS, dtype=torch.float64) * STEP
    weights = torch.full_like(knots, 2 * STEP)
    weights[[0, -1]] /= 2
    gauss = torch.exp(-knots.square() / 2)
    phase = (emb @ (directions / directions.norm(dim=0))).unsqueeze(-1) * knots
    error = (phase.cos().mean(1) - gauss).square() + phase.sin().mean(1).square()
    return (error @ (weights * gauss)).mean() * emb.shape[1]


@pytest.mark.parametrize("scale", [0.1, 1, 30])  # of large projections the last knots' phases go round many times
def test_its_gradient_is_that_of_its_definition(g, scale):
    emb, directions = scale * torch.randn(4, 16, 12, generator=g), draw_directions(12, 32, g)
    exact, ours = emb.double().requires_grad_(), emb.clone().requires_grad_()
    want, found = by_autograd(exact, directions.double()), sigreg(ours, directions)
    (3 * want).backward()
    (3 * found).backward()
    assert found.item() == pytest.approx(want.item(), rel=1e-4)
    assert (ours.grad - exact.grad).norm() < 1e-4 * exact.grad.norm()
