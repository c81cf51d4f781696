"""SIGReg, the loss that keeps the latents Gaussian (paper 3.4; public LeWM recipe; arXiv 2511.08544).

Dimensions: B windows, T frames, P projections, K knots, D latent size.
"""

import torch
from torch import Tensor

KNOTS, T_MAX = 17, 3.0  # the integration grid of the public LeWM recipe
STEP = T_MAX / (KNOTS - 1)


def draw_directions(dim: int, count: int, generator: torch.Generator) -> Tensor:
    """`count` random directions in R^dim as columns (dim, count), drawn from `generator`; `sigreg` normalises them."""
    return torch.randn(dim, count, generator=generator, device=generator.device)


def sigreg(emb: Tensor, directions: Tensor) -> Tensor:
    """SIGReg: distance of random 1-D projections of the latents from N(0, 1), by their characteristic functions.

    emb: (T, B, D); directions: (D, P), any length. The Epps-Pulley statistic over 17 knots t on [0, 3] with trapezoid
    weights times exp(-t²/2), times B, averaged over directions and time.
    """
    return _EppsPulley.apply(emb.float() @ (directions / directions.norm(dim=0)))


def _waves(projections: Tensor) -> tuple[Tensor, Tensor]:
    """cos(t p) and sin(t p) at all knots t of projections p (T, B, P): (K, T, B, P) each.

    The knots are equally spaced, so that each follows from the two before it: 2 cos(h p) times the last minus the one
    before. On a CPU that is four times as fast as a sine and a cosine for every knot.
    """
    if projections.device.type != "cpu":
        knots = torch.arange(KNOTS, device=projections.device).view(-1, 1, 1, 1) * STEP
        return (knots * projections).cos(), (knots * projections).sin()
    cos, sin = projections.new_empty(2, KNOTS, *projections.shape)
    cos[0], sin[0] = 1, 0
    torch.cos(projections * STEP, out=cos[1])
    torch.sin(projections * STEP, out=sin[1])
    twice = 2 * cos[1]
    for wave in (cos, sin):
        for k in range(2, KNOTS):
            torch.mul(twice, wave[k - 1], out=wave[k])
            wave[k] -= wave[k - 2]
    return cos, sin


class _EppsPulley(torch.autograd.Function):
    """The statistic of projections (T, B, P), with its gradient in closed form: autograd's keeps and reads every
    intermediate of all knots, and takes four times as long."""

    @staticmethod
    def forward(ctx, projections: Tensor) -> Tensor:
        knots = torch.arange(KNOTS, device=projections.device).view(-1, 1, 1) * STEP
        gauss = torch.exp(-knots.square() / 2)
        weights = torch.full_like(knots, 2 * STEP)
        weights[0], weights[-1] = STEP, STEP
        cos, sin = _waves(projections)
        real, imaginary = cos.mean(2) - gauss, sin.mean(2)  # (K, T, P): the characteristic function's error
        per_point = weights * gauss / real[0].numel()
        ctx.save_for_backward(cos, sin, 2 * per_point * knots * real, 2 * per_point * knots * imaginary)
        return (per_point * (real.square() + imaginary.square())).sum() * projections.shape[1]

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:
        cos, sin, real, imaginary = ctx.saved_tensors
        found = torch.zeros_like(cos[0])
        for k in range(1, KNOTS):  # d cos(t p) / d p = -t sin(t p), d sin(t p) / d p = t cos(t p)
            found.addcmul_(sin[k], real[k].unsqueeze(1), value=-1).addcmul_(cos[k], imaginary[k].unsqueeze(1))
        return grad * found
