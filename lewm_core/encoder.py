"""The ViT of a LeWM (paper 3.2): timm's, with the public LeWM's positions, and fast where only the CLS token is read.

Dimensions: N frames, P patches, E width.
"""

from functools import lru_cache, partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lewm_core.config import LeWMConfig
from lewm_core.utils import torchvision_compat

torchvision_compat.ensure()
from timm.models.vision_transformer import Block, VisionTransformer  # noqa: E402  (timm imports torchvision)

IMAGE_MEAN = (0.485, 0.456, 0.406)  # ImageNet, as the public recipe normalises
IMAGE_STD = (0.229, 0.224, 0.225)


def normalise(pixels: Tensor, axis: int = -3) -> Tensor:
    """uint8 pixels in 0..255, their colours along `axis`, to float32 with ImageNet mean and standard deviation."""
    shape = [1] * pixels.ndim
    shape[axis] = 3
    shift, scale = (values.view(shape) for values in _colours(pixels.device))
    return torch.addcmul(shift, pixels.float(), scale)  # one pass over the pixels


@lru_cache
def _colours(device: torch.device) -> tuple[Tensor, Tensor]:
    """What colours in 0..255 are shifted and scaled by, (3,) each; kept, as a CUDA graph cannot copy them."""
    mean, std = torch.tensor(IMAGE_MEAN, device=device), 255 * torch.tensor(IMAGE_STD, device=device)
    return -mean * 255 / std, 1 / std


def attend(query: Tensor, key: Tensor, value: Tensor, heads: int, dropout: float = 0.0,
           causal: bool = False) -> Tensor:
    """Multi-head attention: query (M, N, W), key and value (M, S, W) -> (M, N, W), W split among `heads`."""
    q, k, v = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (query, key, value))  # (M, heads, …, W / heads)
    found = F.scaled_dot_product_attention(q, k, v, dropout_p=dropout, is_causal=causal)
    return found.transpose(1, 2).flatten(2)


def last_block(block: Block, tokens: Tensor) -> Tensor:
    """What a block makes of the first of its tokens (N, 1 + P, E): (N, 1, E). The others enter as keys and values only,
    so that most of the block's work is for one token."""
    normed, size = block.norm1(tokens), tokens.shape[-1]
    weight, bias = block.attn.qkv.weight, block.attn.qkv.bias
    query = F.linear(normed[:, :1], weight[:size], bias[:size])
    key, value = F.linear(normed, weight[size:], bias[size:]).chunk(2, -1)
    cls = tokens[:, :1] + block.attn.proj(attend(query, key, value, block.attn.num_heads))
    return cls + block.mlp(block.norm2(cls))


class Encoder(VisionTransformer):
    """timm's ViT as the public LeWM uses it: tokens after the last LayerNorm, any image size."""

    def __init__(self, config: LeWMConfig):
        super().__init__(
            img_size=config.image_size, patch_size=config.patch_size, embed_dim=config.width,
            depth=config.encoder_depth, num_heads=config.encoder_heads,
            mlp_ratio=(config.encoder_mlp + 0.5) / config.width,  # timm rounds the product down
            num_classes=0, global_pool="token", norm_layer=partial(nn.LayerNorm, eps=1e-12),
        )

    def forward(self, pixels: Tensor, cls_only: bool = False) -> Tensor:
        """Pixels (N, 3, H, W), uint8 or normalised -> (N, 1 + P, E), the CLS token first; cls_only: (N, 1, E)."""
        tokens = self.embed(pixels)
        if not cls_only:
            return self.norm(self.blocks(tokens))
        for block in self.blocks[:-1]:
            tokens = block(tokens)
        return self.norm(last_block(self.blocks[-1], tokens))

    def embed(self, pixels: Tensor) -> Tensor:
        """Pixels (N, 3, H, W), uint8 or normalised -> the first block's tokens (N, 1 + P, E)."""
        project, p = self.patch_embed.proj, self.patch_embed.proj.kernel_size[0]
        n, c, h, w = pixels.shape[0], pixels.shape[1], pixels.shape[2] // p, pixels.shape[3] // p
        # The patch convolution as the matrix product it is: on a CPU its gradient is several times faster.
        patches = pixels[..., : h * p, : w * p].reshape(n, c, h, p, w, p).permute(0, 2, 4, 1, 3, 5)
        patches = patches.reshape(n, h * w, c, p * p)
        if patches.dtype == torch.uint8:
            patches = normalise(patches, axis=2)
        patches = F.linear(patches.flatten(2), project.weight.flatten(1), project.bias)  # (N, P, E)
        tokens = torch.cat([self.cls_token.expand(n, -1, -1), patches], dim=1)
        return tokens + self.position_embeddings(h, w)

    def position_embeddings(self, h: int, w: int) -> Tensor:
        """Learned positions, resized bicubically (without antialiasing, as transformers does) to an h × w grid."""
        cls, grid = self.pos_embed[:, :1], self.pos_embed[:, 1:]
        side = round(grid.shape[1] ** 0.5)
        if (h, w) == (side, side):
            return self.pos_embed
        grid = grid.reshape(1, side, side, -1).permute(0, 3, 1, 2)
        grid = F.interpolate(grid, size=(h, w), mode="bicubic", align_corners=False)
        return torch.cat([cls, grid.flatten(2).transpose(1, 2)], dim=1)
