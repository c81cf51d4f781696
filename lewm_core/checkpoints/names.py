"""The names of a LeWM's weights: the public ones, in two namings of the ViT, and ours."""

import re
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from lewm_core.model import LeWM
from lewm_core.utils.errors import InputError

# The ViT's public names (transformers >= 5.9) and timm's, {} a block's number; every other name is the same in both
_VIT = (
    ("encoder.embeddings.cls_token", "encoder.cls_token"),
    ("encoder.embeddings.position_embeddings", "encoder.pos_embed"),
    ("encoder.embeddings.patch_embeddings.projection.", "encoder.patch_embed.proj."),
    ("encoder.layers.{}.attention.o_proj.", "encoder.blocks.{}.attn.proj."),
    ("encoder.layers.{}.layernorm_before.", "encoder.blocks.{}.norm1."),
    ("encoder.layers.{}.layernorm_after.", "encoder.blocks.{}.norm2."),
    ("encoder.layers.{}.mlp.", "encoder.blocks.{}.mlp."),
    ("encoder.layernorm.", "encoder.norm."),
)
# ... and as transformers <= 5.8 named the same tensors
_OLD = (
    ("encoder.encoder.layer.{}.attention.attention.query.", "encoder.layers.{}.attention.q_proj."),
    ("encoder.encoder.layer.{}.attention.attention.key.", "encoder.layers.{}.attention.k_proj."),
    ("encoder.encoder.layer.{}.attention.attention.value.", "encoder.layers.{}.attention.v_proj."),
    ("encoder.encoder.layer.{}.attention.output.dense.", "encoder.layers.{}.attention.o_proj."),
    ("encoder.encoder.layer.{}.intermediate.dense.", "encoder.layers.{}.mlp.fc1."),
    ("encoder.encoder.layer.{}.output.dense.", "encoder.layers.{}.mlp.fc2."),
    ("encoder.encoder.layer.{}.layernorm_", "encoder.layers.{}.layernorm_"),
)
_MARK = "predictor.pos_embedding"  # the one name that every LeWM has
_SIGREG = re.compile(r"(.*\.)?sigreg\.(t|phi|weights)")  # constants of the loss, kept beside the model in training
_QKV = re.compile(r"encoder\.layers\.(\d+)\.attention\.([qkv])_proj\.(weight|bias)")


def _rename(name: str, pairs: Iterable[tuple[str, str]]) -> str:
    """`name` with the first prefix of `pairs` that fits replaced by its partner."""
    for old, new in pairs:
        renamed, fits = re.subn("^" + re.escape(old).replace(r"\{\}", r"(\d+)"), new.replace("{}", r"\1"), name)
        if fits:
            return renamed
    return name


def from_public(state: Mapping[str, Tensor], where: object = "checkpoint") -> dict[str, Tensor]:
    """A state dict under public names (either naming of the ViT) to `LeWM`'s: names mapped, q, k and v joined."""
    renamed = [(_rename(name, _OLD), value) for name, value in state.items()]
    ours, joined = {}, {}
    for name, value in renamed:
        if match := _QKV.fullmatch(name):
            joined.setdefault(f"encoder.blocks.{match[1]}.attn.qkv.{match[3]}", {})[match[2]] = value
        else:
            ours[_rename(name, _VIT)] = value
    if len(ours) + sum(map(len, joined.values())) < len(state):
        raise InputError(where, "a tensor under its new and its old name", "each once")
    if cut := [f"{name} has only {', '.join(sorted(p))}" for name, p in joined.items() if set(p) != set("qkv")]:
        raise InputError(where, "; ".join(sorted(cut)), "q, k and v of each", "The checkpoint is incomplete.")
    if odd := [name for name, p in joined.items() if len({(v.shape, v.dtype) for v in p.values()}) > 1
               or p["q"].ndim == 0]:
        raise InputError(where, f"q, k and v of other shapes or types in {', '.join(sorted(odd))}", "three of one kind")
    for name, parts in joined.items():
        ours[name] = torch.cat([parts[k] for k in "qkv"])
    return ours


def to_public(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`LeWM`'s state dict under the public names; the inverse of `from_public`."""
    public = {}
    for name, value in state.items():
        if match := re.fullmatch(r"encoder\.blocks\.(\d+)\.attn\.qkv\.(weight|bias)", name):
            for k, part in zip("qkv", value.chunk(3), strict=True):
                public[f"encoder.layers.{match[1]}.attention.{k}_proj.{match[2]}"] = part
        else:
            public[_rename(name, ((ours, theirs) for theirs, ours in _VIT))] = value
    return public


def public_state(model: LeWM) -> dict[str, Tensor]:
    """A model's weights under public names, on the CPU and each with memory of its own."""
    return {k: v.detach().cpu().clone() for k, v in to_public(model.state_dict()).items()}


def without_prefix(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`state` without what a training module puts before the model's names, and without that module's SIGReg.

    The prefix is what stands before `_MARK`.
    """
    marks = [n.removesuffix(_MARK) for n in state if n.endswith(_MARK)]
    if len(marks) != 1 or not marks[0]:
        return dict(state)
    return {n.removeprefix(marks[0]): v for n, v in state.items() if not _SIGREG.fullmatch(n)}
