"""LeWorldModel: a ViT whose projected CLS token is the latent, and a causal transformer that predicts the next one.

Paper section 3.2 and the public LeWM recipe. Dimensions: B windows, T frames, P patches, D latent size, A action
size. Parameter names other than the ViT's are the public checkpoints' own; `checkpoint.py` maps the ViT's.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lewm_core.config import LeWMConfig
from lewm_core.utils import torchvision_compat
from lewm_core.utils.errors import InputError

torchvision_compat.ensure()
from timm.models.vision_transformer import VisionTransformer  # noqa: E402  (timm imports torchvision)

IMAGE_MEAN = (0.485, 0.456, 0.406)  # ImageNet, as the public recipe normalises
IMAGE_STD = (0.229, 0.224, 0.225)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Run module constructors and dropout, which can only draw from torch's global generator, from `seed` alone.

    The global state is put back afterwards, so nothing outside sees these draws.
    """
    devices = list(range(torch.cuda.device_count()))
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


def normalise(pixels: Tensor) -> Tensor:
    """uint8 (..., 3, H, W) in 0..255 to float32 with ImageNet mean and standard deviation, on the pixels' device."""
    std = 255 * torch.tensor(IMAGE_STD, device=pixels.device).view(3, 1, 1)
    shift = -torch.tensor(IMAGE_MEAN, device=pixels.device).view(3, 1, 1) * 255 / std
    return torch.addcmul(shift, pixels.float(), 1 / std)  # one pass over the pixels


def attend(query: Tensor, key: Tensor, value: Tensor, heads: int, dropout: float = 0.0,
           causal: bool = False) -> Tensor:
    """Multi-head attention: query (M, N, W), key and value (M, S, W) -> (M, N, W), W split among `heads`."""
    q, k, v = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (query, key, value))  # (M, heads, …, W / heads)
    found = F.scaled_dot_product_attention(q, k, v, dropout_p=dropout, is_causal=causal)
    return found.transpose(1, 2).flatten(2)


def sine_waves(points: Tensor, octaves: Tensor) -> tuple[Tensor, Tensor]:
    """Sines and cosines (…, 2, F) of points (…, 2) in image sides; octave 0 has a period of two sides, 1 of one."""
    phase = math.pi * points.unsqueeze(-1) * 2**octaves
    return phase.sin(), phase.cos()


class Encoder(VisionTransformer):
    """timm's ViT as the public LeWM uses it: tokens after the last LayerNorm, any image size."""

    def __init__(self, config: LeWMConfig):
        super().__init__(
            img_size=config.image_size, patch_size=config.patch_size, embed_dim=config.width,
            depth=config.encoder_depth, num_heads=config.encoder_heads,
            mlp_ratio=(config.encoder_mlp + 0.5) / config.width,  # timm rounds the product down
            num_classes=0, global_pool="token", norm_layer=partial(nn.LayerNorm, eps=1e-12),
        )

    def forward(self, pixels: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, 1 + P, E), the CLS token first."""
        project, p = self.patch_embed.proj, self.patch_embed.proj.kernel_size[0]
        n, c, h, w = pixels.shape[0], pixels.shape[1], pixels.shape[2] // p, pixels.shape[3] // p
        # The patch convolution as the matrix product it is: on a CPU its gradient is several times faster.
        patches = pixels[..., : h * p, : w * p].reshape(n, c, h, p, w, p).permute(0, 2, 4, 1, 3, 5)
        patches = F.linear(patches.reshape(n, h * w, -1), project.weight.flatten(1), project.bias)  # (N, P, D)
        tokens = torch.cat([self.cls_token.expand(n, -1, -1), patches], dim=1)
        return self.norm(self.blocks(tokens + self.position_embeddings(h, w)))

    def position_embeddings(self, h: int, w: int) -> Tensor:
        """Learned positions, resized bicubically (without antialiasing, as transformers does) to an h × w grid."""
        cls, grid = self.pos_embed[:, :1], self.pos_embed[:, 1:]
        side = round(grid.shape[1] ** 0.5)
        if (h, w) == (side, side):
            return self.pos_embed
        grid = grid.reshape(1, side, side, -1).permute(0, 3, 1, 2)
        grid = F.interpolate(grid, size=(h, w), mode="bicubic", align_corners=False)
        return torch.cat([cls, grid.flatten(2).transpose(1, 2)], dim=1)


class ActionEncoder(nn.Module):
    """1×1 convolution over time to a few smoothed channels, then a two-layer MLP: (B, T, A) -> (B, T, D)."""

    def __init__(self, config: LeWMConfig):
        super().__init__()
        self.patch_embed = nn.Conv1d(config.action_dim, config.action_smoothed, kernel_size=1)
        self.embed = nn.Sequential(
            nn.Linear(config.action_smoothed, config.action_hidden), nn.SiLU(),
            nn.Linear(config.action_hidden, config.dim),
        )

    def forward(self, actions: Tensor) -> Tensor:
        return self.embed(self.patch_embed(actions.transpose(1, 2)).transpose(1, 2))


class Projector(nn.Module):
    """`size` -> hidden -> D with batch normalisation; used after the encoder and after the predictor."""

    def __init__(self, config: LeWMConfig, size: int):
        super().__init__()
        h = config.projector_hidden
        self.net = nn.Sequential(nn.Linear(size, h), nn.BatchNorm1d(h), nn.GELU(), nn.Linear(h, config.dim))

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, size) -> (B, T, D); the batch statistics are over B·T."""
        return self.net(x.flatten(0, 1)).unflatten(0, x.shape[:2])


class Attention(nn.Module):
    def __init__(self, config: LeWMConfig):
        super().__init__()
        d, inner = config.dim, config.predictor_heads * config.predictor_head_dim
        self.heads, self.dropout = config.predictor_heads, config.dropout
        self.norm = nn.LayerNorm(d)
        self.to_qkv = nn.Linear(d, 3 * inner, bias=False)
        self.to_out = nn.Sequential(nn.Linear(inner, d), nn.Dropout(config.dropout))

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = self.to_qkv(self.norm(x)).chunk(3, -1)
        dropout = self.dropout if self.training else 0.0
        return self.to_out(attend(query, key, value, self.heads, dropout, causal=True))


class FeedForward(nn.Module):
    def __init__(self, config: LeWMConfig):
        super().__init__()
        d, h, p = config.dim, config.predictor_mlp, config.dropout
        self.net = nn.Sequential(nn.LayerNorm(d), nn.Linear(d, h), nn.GELU(), nn.Dropout(p), nn.Linear(h, d),
                                 nn.Dropout(p))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class Block(nn.Module):
    """A causal transformer block whose norms the action of the same step modulates (AdaLN-zero, reference 18)."""

    def __init__(self, config: LeWMConfig):
        super().__init__()
        self.attn, self.mlp = Attention(config), FeedForward(config)
        self.norm1 = nn.LayerNorm(config.dim, elementwise_affine=False, eps=1e-6)
        self.norm2 = nn.LayerNorm(config.dim, elementwise_affine=False, eps=1e-6)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(config.dim, 6 * config.dim))
        nn.init.zeros_(self.adaLN_modulation[-1].weight)
        nn.init.zeros_(self.adaLN_modulation[-1].bias)

    def forward(self, x: Tensor, act_emb: Tensor) -> Tensor:
        shift1, scale1, gate1, shift2, scale2, gate2 = self.adaLN_modulation(act_emb).chunk(6, -1)
        x = x + gate1 * self.attn(self.norm1(x) * (1 + scale1) + shift1)
        return x + gate2 * self.mlp(self.norm2(x) * (1 + scale2) + shift2)


class Transformer(nn.Module):
    def __init__(self, config: LeWMConfig):
        super().__init__()
        self.layers = nn.ModuleList(Block(config) for _ in range(config.predictor_depth))
        self.norm = nn.LayerNorm(config.dim)

    def forward(self, x: Tensor, act_emb: Tensor) -> Tensor:
        for block in self.layers:
            x = block(x, act_emb)
        return self.norm(x)


class Predictor(nn.Module):
    def __init__(self, config: LeWMConfig):
        super().__init__()
        self.pos_embedding = nn.Parameter(torch.randn(1, config.history, config.dim))
        self.transformer = Transformer(config)

    def forward(self, emb: Tensor, act_emb: Tensor) -> Tensor:
        return self.transformer(emb + self.pos_embedding[:, : emb.shape[1]], act_emb)


class LeWM(nn.Module):
    """The world model. Frames and actions to latents (`encode`), latents to the next ones (`predict`, `rollout`).

    Weights are drawn from `seed` alone; batch normalisation and dropout follow train() and eval() as usual.
    """

    reads_patches = False  # whether `predict` also takes the context frames' patch tokens

    def __init__(self, config: LeWMConfig, seed: int = 0):
        super().__init__()
        self.config = config
        with seeded(seed):
            self.encoder = Encoder(config)
            self.predictor = Predictor(config)
            self.action_encoder = ActionEncoder(config)
            self.projector = Projector(config, config.width)
            self.pred_proj = Projector(config, config.dim)

    def encode_tokens(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised pixels (B, T, 3, H, W) -> CLS (B, T, E) and patch tokens (B, T, P, E), before the projector.

        E is the ViT's width, the same as D unless the config says otherwise.
        """
        tokens = self.encoder(pixels.flatten(0, 1)).unflatten(0, pixels.shape[:2])
        return tokens[:, :, 0], tokens[:, :, 1:]

    def encode(self, pixels: Tensor, actions: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Normalised pixels (B, T, 3, H, W) and actions (B, T, A) -> emb (B, T, D), act_emb (B, T, D) or None."""
        emb = self.projector(self.encode_tokens(pixels)[0])
        return emb, None if actions is None else self.action_encoder(actions)

    def predict(self, emb: Tensor, act_emb: Tensor) -> Tensor:
        """emb, act_emb (B, T, D), T ≤ history -> pred_emb (B, T, D); pred_emb[:, t] is the latent after frame t."""
        if emb.shape[1] > self.config.history:
            raise InputError("predict", f"{emb.shape[1]} context frames", f"at most {self.config.history}",
                             "Use rollout(), which keeps the last ones.")
        return self.pred_proj(self.predictor(emb, act_emb))

    def rollout(self, emb: Tensor, actions: Tensor) -> Tensor:
        """Predict S steps autoregressively from H known latents.

        emb: (B, H, D) latents of the context frames.
        actions: (B, H - 1 + S, A); actions[:, k] leaves frame k, so the first H - 1 lie between context frames.
        Returns (B, H + S, D): the context, then the predictions.
        """
        h, total = emb.shape[1], actions.shape[1] + 1
        if total <= h:
            raise InputError("rollout", f"{actions.shape[1]} actions for {h} context frames", f"at least {h}",
                             "Each step needs the action that leaves the frame before it.")
        act_emb = self.action_encoder(actions)
        for end in range(h, total):
            start = max(0, end - self.config.history)
            pred_emb = self.predict(emb[:, start:end], act_emb[:, start:end])
            emb = torch.cat([emb, pred_emb[:, -1:]], dim=1)
        return emb
