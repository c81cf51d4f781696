"""LeWorldModel: a ViT whose projected CLS token is the latent, and a causal transformer that predicts the next one.

Paper section 3.2 and the public LeWM recipe. Dimensions: B windows, T frames, P patches, D latent size, A action
size. Parameter names other than the ViT's are the public checkpoints' own; `checkpoint.py` maps the ViT's.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from lewm_core.config import LeWMConfig
from lewm_core.encoder import Encoder, attend
from lewm_core.utils.errors import InputError


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Run module constructors and dropout, which can only draw from torch's global generator, from `seed` alone.

    The global state is put back afterwards, so nothing outside sees these draws.
    """
    devices = list(range(torch.cuda.device_count()))
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


def sine_waves(points: Tensor, octaves: Tensor) -> tuple[Tensor, Tensor]:
    """Sines and cosines (…, 2, F) of points (…, 2) in image sides; octave 0 has a period of two sides, 1 of one."""
    phase = math.pi * points.unsqueeze(-1) * 2**octaves
    return phase.sin(), phase.cos()


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

    def encode_tokens(self, pixels: Tensor, patches: bool = True) -> tuple[Tensor, Tensor | None]:
        """Pixels (B, T, 3, H, W) -> CLS (B, T, E) and patch tokens (B, T, P, E), before the projector.

        pixels: uint8, or normalised (`encoder.normalise`). patches: whether the patch tokens are wanted; without them
        the CLS token is found faster. E is the ViT's width, the same as D unless the config says otherwise.
        """
        tokens = self.encoder(pixels.flatten(0, 1), cls_only=not patches).unflatten(0, pixels.shape[:2])
        return tokens[:, :, 0], tokens[:, :, 1:] if patches else None

    def encode(self, pixels: Tensor, actions: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Pixels (B, T, 3, H, W), uint8 or normalised, and actions (B, T, A) -> emb (B, T, D), act_emb or None."""
        emb = self.projector(self.encode_tokens(pixels, patches=False)[0])
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
