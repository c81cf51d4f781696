"""Auxiliary heads: small decoders from the latent that the predictor reads, emb (M, D), to one signal each.

Their sizes at D = 192 are the paper's (section 3.3) within 5 %. `HEADS` is their table; a new one is one more row.
"""

import torch
from torch import Tensor, nn

from lewm_core.model import seeded

POINTS = 400  # the 20 × 20 query grid of paper 3.3


class DepthHead(nn.Module):
    """emb (M, D) -> depth (M, 56, 56): a 7 × 7 map grown by three transposed convolutions (400,434 at D = 192).

    Most parameters are in the map and few at high resolution. With as many in wide convolutions a training step of the
    small model on a CPU took five times as long as without the head.
    """

    def __init__(self, dim: int):
        super().__init__()
        self.seed = nn.Linear(dim, 41 * 7 * 7)
        self.grow = nn.Sequential(
            nn.GELU(), nn.ConvTranspose2d(41, 16, 4, 2, 1),  # 14 × 14
            nn.GELU(), nn.ConvTranspose2d(16, 8, 4, 2, 1),  # 28 × 28
            nn.GELU(), nn.ConvTranspose2d(8, 1, 4, 2, 1),  # 56 × 56
        ).to(memory_format=torch.channels_last)  # nearly twice as fast on a CPU

    def forward(self, emb: Tensor) -> Tensor:
        seed = self.seed(emb).unflatten(1, (41, 7, 7)).contiguous(memory_format=torch.channels_last)
        return self.grow(seed).squeeze(1)


class TrackHead(nn.Module):
    """emb (M, D) -> displacements (M, 400, 2) in units of the image side: a flat MLP (about 135 K at D = 192)."""

    def __init__(self, dim: int, points: int = POINTS):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(dim, 136), nn.GELU(), nn.Linear(136, 2 * points))

    def forward(self, emb: Tensor) -> Tensor:
        return self.net(emb).unflatten(1, (-1, 2))


class VectorHead(nn.Module):
    """emb (M, D) -> K numbers (M, K): three layers (37,379 parameters for the centroid at D = 192)."""

    def __init__(self, dim: int, outputs: int):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(dim, 128), nn.GELU(), nn.Linear(128, 96), nn.GELU(), nn.Linear(96, outputs))

    def forward(self, emb: Tensor) -> Tensor:
        return self.net(emb)


HEADS = {
    "depth": DepthHead,
    "tracks": TrackHead,
    "centroid": lambda dim: VectorHead(dim, 3),
    "shape": lambda dim: VectorHead(dim, 10),
}


def build_heads(names: tuple[str, ...], dim: int, seed: int) -> nn.ModuleDict:
    """The named heads, drawn from `seed` (each head's weights do not depend on which others are there)."""
    heads = nn.ModuleDict()
    for i, name in enumerate(HEADS):
        if name in names:
            with seeded(seed * len(HEADS) + i):
                heads[name] = HEADS[name](dim)
    return heads
