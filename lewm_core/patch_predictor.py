"""A LeWM whose predictor also reads patch tokens: the paper's own next step (section 7). Dimensions as in `model`."""

import torch
from torch import Tensor, nn

from lewm_core.config import LeWMConfig
from lewm_core.model import LeWM, attend, seeded
from lewm_core.utils.errors import InputError


class PatchReader(nn.Module):
    """emb (B, T, D) plus what it finds by attention among the patch tokens (B, T, P, D) of its own frame.

    A gate, zero at first, multiplies what is added: training starts exactly at the model without it.
    """

    def __init__(self, config: LeWMConfig):
        super().__init__()
        d, inner = config.dim, config.predictor_heads * config.predictor_head_dim
        self.heads = config.predictor_heads
        self.norm_emb, self.norm_patches = nn.LayerNorm(d), nn.LayerNorm(config.width)
        self.to_q, self.to_kv = nn.Linear(d, inner, bias=False), nn.Linear(config.width, 2 * inner, bias=False)
        self.to_out = nn.Linear(inner, d)
        self.gate = nn.Parameter(torch.zeros(d))

    def forward(self, emb: Tensor, patches: Tensor) -> Tensor:
        query = self.to_q(self.norm_emb(emb)).flatten(0, 1).unsqueeze(1)  # (B·T, 1, inner)
        key, value = self.to_kv(self.norm_patches(patches)).flatten(0, 1).chunk(2, -1)  # (B·T, P, inner)
        found = attend(query, key, value, self.heads)
        return emb + self.gate * self.to_out(found.view(*emb.shape[:2], -1))


class PatchLeWM(LeWM):
    """A LeWM with a `PatchReader` before its predictor, for teacher-forced training and evaluation.

    Rollout is refused: it would need the patch tokens of frames that were only predicted, and none are predicted.
    """

    reads_patches = True

    @classmethod
    def of(cls, model: LeWM, seed: int) -> "PatchLeWM":
        """`model` with a reader drawn from `seed`; the other modules are the model's own, not copies."""
        aware = cls.__new__(cls)
        nn.Module.__init__(aware)
        aware.config = model.config
        for name, module in model.named_children():
            aware.add_module(name, module)
        with seeded(seed):
            aware.reader = PatchReader(model.config)
        return aware.train(model.training)

    def predict(self, emb: Tensor, act_emb: Tensor, patches: Tensor | None = None) -> Tensor:
        """As `LeWM.predict`; patches: (B, T, P, D), the tokens of the frames of `emb`, as `encode_tokens` gives."""
        if patches is None:
            raise InputError("predict", "no patch tokens", "those of the context frames",
                             "This model's predictor reads them; a predicted frame has none.")
        return super().predict(self.reader(emb, patches), act_emb)

    def rollout(self, emb: Tensor, actions: Tensor) -> Tensor:
        raise InputError("rollout", "a patch-aware predictor", "one that reads latents only",
                         "Predicted frames have no patch tokens to go on from. Use the model without patches.")
