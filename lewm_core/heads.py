"""Auxiliary heads: small decoders from a frame's embedding to one signal each.

The paper's read the latent that the predictor reads, emb (M, D); their sizes at D = 192 are the paper's (section 3.3)
within 5 %. Two more read the encoder's patch tokens (M, P, D), past the CLS bottleneck of section 4.4, at sizes like
those of their counterparts. `HEADS` is their table; a new head is a module and one more row.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lewm_core.model import attend, seeded, sine_waves
from lewm_core.signals.geometry import POINTS, SHAPE_COMPONENTS, SUPERVISION_SIZE
from lewm_core.utils.errors import pick
from lewm_core.utils.files import digest

GRID = 16  # patches along an image's side in the paper's model
FREQUENCIES = 8  # of the sines and cosines that a point's position is embedded by


class DepthHead(nn.Module):
    """emb (M, D) -> depth (M, 56, 56): a 7 × 7 map grown by two transposed convolutions (398,506 at D = 192).

    Most parameters are in the map and few at high resolution. The last convolution's kernels do not overlap, so that it
    is a matrix product. With a third convolution whose kernels do, the head costs three times as much on a CPU, half as
    much as the rest of the small model's training step, and predicts the depth of unseen episodes as well within 2 %.
    """

    def __init__(self, dim: int):
        super().__init__()
        self.seed = nn.Linear(dim, 41 * 7 * 7)
        self.grow = nn.ConvTranspose2d(41, 16, 4, 2, 1).to(memory_format=torch.channels_last)  # 14 × 14
        self.last = nn.ConvTranspose2d(16, 1, 4, 4)  # 56 × 56

    def forward(self, emb: Tensor) -> Tensor:
        seed = self.seed(emb).unflatten(1, (41, 7, 7)).contiguous(memory_format=torch.channels_last)
        grown = F.gelu(self.grow(F.gelu(seed))).permute(0, 2, 3, 1)  # (M, 14, 14, 16)
        cells = F.linear(grown, self.last.weight.flatten(1).T, self.last.bias.expand(16))  # (M, 14, 14, 4 · 4)
        return cells.unflatten(-1, (4, 4)).transpose(2, 3).flatten(3).flatten(1, 2)


class TrackHead(nn.Module):
    """emb (M, D) -> displacements (M, 400, 2): a flat MLP (about 135 K at D = 192)."""

    def __init__(self, dim: int):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(dim, 136), nn.GELU(), nn.Linear(136, 2 * POINTS))

    def forward(self, emb: Tensor) -> Tensor:
        return self.net(emb).unflatten(1, (-1, 2))


class VectorHead(nn.Module):
    """emb (M, D) -> K numbers (M, K): three layers (37,379 parameters for the centroid at D = 192)."""

    def __init__(self, dim: int, outputs: int):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(dim, 128), nn.GELU(), nn.Linear(128, 96), nn.GELU(), nn.Linear(96, outputs))

    def forward(self, emb: Tensor) -> Tensor:
        return self.net(emb)


class DepthPatchHead(nn.Module):
    """Patch tokens (M, P, D) -> depth (M, 56, 56) by transposed convolutions over the patch grid.

    The map doubles, and its channels halve, until it has at least 56 × 56 pixels, then it is resized to exactly that.
    368,833 parameters at D = 192 on the paper's 16 × 16 grid (DepthHead has 398,506).
    """

    def __init__(self, dim: int, grid: int):
        super().__init__()
        doublings = max(1, math.ceil(math.log2(SUPERVISION_SIZE / grid)))
        widths = [max(4, dim >> i) for i in range(doublings + 1)]
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.GELU(), nn.ConvTranspose2d(before, after, 4, 2, 1)]
        layers += [nn.GELU(), nn.Conv2d(widths[-1], 1, 1)]
        self.grow = nn.Sequential(*layers[1:]).to(memory_format=torch.channels_last)

    def forward(self, patches: Tensor) -> Tensor:
        tokens = patches.transpose(1, 2).unflatten(2, (math.isqrt(patches.shape[1]), -1))  # (M, D, h, w)
        depth = self.grow(tokens.contiguous(memory_format=torch.channels_last))
        size = (SUPERVISION_SIZE, SUPERVISION_SIZE)
        return F.interpolate(depth, size, mode="bilinear", align_corners=False).squeeze(1)


class TrackPatchHead(nn.Module):
    """Patch tokens (M, P, D) and query points (M, N, 2) -> displacement and visibility logit of each point (M, N, 3).

    queries: where each point is in its episode's first frame, in image sides, (0, 0) the image's top left corner. Each
    cross-attends to the frame's patch tokens, which carry their own places. 137,091 parameters at D = 192 (TrackHead
    has 135,848).
    """

    def __init__(self, dim: int, heads: int = 4):
        super().__init__()
        self.heads = heads
        self.place = nn.Linear(4 * FREQUENCIES, dim)
        self.norm = nn.LayerNorm(dim)
        self.to_kv = nn.Linear(dim, 2 * dim)
        self.to_out = nn.Linear(dim, dim)
        self.mlp = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, 96), nn.GELU(), nn.Linear(96, 3))

    def embed(self, points: Tensor) -> Tensor:
        """Positions (…, 2) -> (…, D) by sines and cosines of periods from twice the image's side to an eighth of it."""
        octaves = torch.arange(FREQUENCIES, device=points.device) * 4 / 7
        return self.place(torch.cat(sine_waves(points, octaves), -1).flatten(-2))

    def forward(self, patches: Tensor, queries: Tensor) -> Tensor:
        side = math.isqrt(patches.shape[1])
        centre = (torch.arange(side, device=patches.device) + 0.5) / side
        centres = torch.cartesian_prod(centre, centre).flip(-1)  # (P, 2), x first, rows of the grid one after another
        key, value = self.to_kv(self.norm(patches)).chunk(2, -1)
        query = self.embed(queries)  # (M, N, D)
        found = attend(query, key + self.embed(centres), value, self.heads)
        return self.mlp(query + self.to_out(found))


@dataclass(frozen=True)
class HeadRow:
    """A row of the table of heads.

    make(dim, width, grid): the module, for latents of size `dim`, patch tokens of size `width` and `grid` patches
    along an image's side. reads: what it is called with: emb, patches, or one of its term's targets (`targets.build`).
    """

    make: Callable[[int, int, int], nn.Module]
    reads: tuple[str, ...] = ("emb",)


HEADS = {
    "depth": HeadRow(lambda dim, width, grid: DepthHead(dim)),
    "tracks": HeadRow(lambda dim, width, grid: TrackHead(dim)),
    "centroid": HeadRow(lambda dim, width, grid: VectorHead(dim, 3)),
    "shape": HeadRow(lambda dim, width, grid: VectorHead(dim, len(SHAPE_COMPONENTS))),
    "gripper": HeadRow(lambda dim, width, grid: VectorHead(dim, 3)),
    "object": HeadRow(lambda dim, width, grid: VectorHead(dim, 3)),
    "depth_patch": HeadRow(lambda dim, width, grid: DepthPatchHead(width, grid), ("patches",)),
    "tracks_patch": HeadRow(lambda dim, width, grid: TrackPatchHead(width), ("patches", "queries")),
}


def build_heads(names: Iterable[str], dim: int, seed: int, grid: int = GRID, width: int | None = None) -> nn.ModuleDict:
    """The named heads, each drawn from `seed` and its name alone: other heads and their rows change no start.

    grid, width: patches along an image's side and the size of their tokens (None: D), for heads that read them.
    An unknown name is an InputError that lists the known ones.
    """
    heads = nn.ModuleDict()
    for name in names:
        row = pick(HEADS, name, "head")
        with seeded(int(digest(name, str(seed)), 16) % 2**63):  # 63 bits: what every device's generator takes
            heads[name] = row.make(dim, width or dim, grid)
    return heads
