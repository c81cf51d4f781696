"""A small cross-attention decoder from one latent to an image (paper 4.5): a picture of what the latent holds.

The paper found such a decoder too weak to be its primary evidence; how weak ours is, `quality` measures.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lewm_core.model import seeded
from lewm_core.utils.errors import InputError
from lewm_core.utils.progress import bar


@dataclass(frozen=True)
class DecoderRecipe:
    """The decoder's size and training; the paper gives neither. The defaults take seconds at 64 px on one core.

    Few steps, because a decoder soon learns the training episodes by heart and gets worse on others.
    """

    grid: int = 8  # position queries along each side; each paints one square patch
    tokens: int = 8  # latent tokens that the queries attend to
    width: int = 64
    heads: int = 4
    depth: int = 1
    steps: int = 200
    batch_size: int = 16
    lr: float = 2e-3
    weight_decay: float = 1e-4


class CrossAttention(nn.Module):
    """Pre-norm cross-attention of the position queries to the latent tokens, then an MLP."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.norm_mlp = nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, queries: Tensor, memory: Tensor) -> Tensor:
        """queries (B, Q, width), memory (B, K, width) -> (B, Q, width)."""
        queries = queries + self.attention(self.norm(queries), memory, memory, need_weights=False)[0]
        return queries + self.mlp(self.norm_mlp(queries))


class Decoder(nn.Module):
    """emb (B, D) -> RGB (B, 3, S, S), around the mean image of its training frames; about 0..1, not clipped.

    The latent becomes a few tokens; one learned query per patch position attends to them, and its result is painted
    twice as large as the patch, so that neighbours overlap.
    """

    def __init__(self, dim: int, image_size: int, recipe: DecoderRecipe):
        super().__init__()
        if image_size % recipe.grid:
            raise InputError("decoder", f"{image_size} px for {recipe.grid} patches", "a side that they divide")
        self.tokens = recipe.tokens
        self.grid = recipe.grid
        self.to_tokens = nn.Linear(dim, recipe.tokens * recipe.width)
        self.memory_norm = nn.LayerNorm(recipe.width)
        self.queries = nn.Parameter(torch.randn(1, recipe.grid**2, recipe.width) * 0.5)
        self.blocks = nn.ModuleList(CrossAttention(recipe.width, recipe.heads) for _ in range(recipe.depth))
        self.norm = nn.LayerNorm(recipe.width)
        patch = image_size // recipe.grid
        self.to_pixels = nn.ConvTranspose2d(recipe.width, 3, 2 * patch + patch % 2, patch, (patch + 1) // 2)
        self.register_buffer("emb_mean", torch.zeros(dim))
        self.register_buffer("emb_std", torch.ones(dim))
        self.register_buffer("mean_image", torch.full((3, image_size, image_size), 0.5))

    def forward(self, emb: Tensor) -> Tensor:
        emb = (emb - self.emb_mean) / self.emb_std
        memory = self.memory_norm(self.to_tokens(emb).unflatten(1, (self.tokens, -1)))
        x = self.queries.expand(len(emb), -1, -1)
        for block in self.blocks:
            x = block(x, memory)
        patches = self.norm(x).transpose(1, 2).unflatten(2, (self.grid, self.grid))  # (B, width, grid, grid)
        return self.mean_image + self.to_pixels(patches)


def train_decoder(emb: Tensor, frames: np.ndarray, recipe: DecoderRecipe, seed: int) -> Decoder:
    """Fit a decoder to latents emb (N, D) and their frames (N, S, S, 3) uint8 by pixel MSE; returned in eval mode.

    Weights and batches come from `seed` alone. AdamW, cosine to 0. It runs where `emb` lies.
    """
    device = emb.device
    images = (torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).float() / 255).to(device)
    with seeded(seed):
        decoder = Decoder(emb.shape[1], frames.shape[1], recipe).to(device)
    nn.init.zeros_(decoder.to_pixels.weight)  # it starts as the mean image
    nn.init.zeros_(decoder.to_pixels.bias)
    decoder.emb_mean.copy_(emb.mean(0))
    decoder.emb_std.copy_(emb.std(0, correction=0).clamp(min=1e-6))
    decoder.mean_image.copy_(images.mean(0))
    optimizer = torch.optim.AdamW(decoder.parameters(), recipe.lr, weight_decay=recipe.weight_decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, recipe.steps)
    generator = torch.Generator().manual_seed(seed)
    for _ in bar(range(recipe.steps), "decoder", "step"):
        rows = torch.randint(len(emb), (min(recipe.batch_size, len(emb)),), generator=generator).to(device)
        loss = F.mse_loss(decoder(emb[rows]), images[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return decoder.eval()


@torch.no_grad()
def decode(decoder: Decoder, emb: Tensor) -> np.ndarray:
    """Latents (N, D) to uint8 images (N, S, S, 3)."""
    device = decoder.mean_image.device
    images = torch.cat([decoder(part.to(device)).cpu() for part in emb.split(256)])
    return (images.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).numpy()


def psnr(images: np.ndarray, frames: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB of uint8 images, from the MSE over all pixels; inf where they are equal."""
    mse = np.mean((images.astype(np.float64) - frames) ** 2)
    return float("inf") if mse == 0 else float(10 * np.log10(255**2 / mse))


def quality(decoder: Decoder, emb: Tensor, frames: np.ndarray) -> dict[str, float]:
    """PSNR (dB) on frames (N, S, S, 3) of other episodes: the decoder's, and its training frames' mean image's."""
    mean = (decoder.mean_image.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
    baseline = np.broadcast_to(mean, frames.shape)
    return {"psnr": psnr(decode(decoder, emb), frames), "psnr_mean_image": psnr(baseline, frames)}
