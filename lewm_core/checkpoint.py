"""LeWM weights under their public names: mapping, safetensors files, the statistics that travel with them."""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from lewm_core.errors import InputError
from lewm_core.files import replacing
from lewm_core.model import LeWM, LeWMConfig

# The ViT's public names (transformers >= 5.9) and timm's; every other name is the same on both sides.
_VIT = (
    (r"encoder\.embeddings\.cls_token", "encoder.cls_token"),
    (r"encoder\.embeddings\.position_embeddings", "encoder.pos_embed"),
    (r"encoder\.embeddings\.patch_embeddings\.projection\.(.+)", r"encoder.patch_embed.proj.\1"),
    (r"encoder\.layers\.(\d+)\.attention\.o_proj\.(.+)", r"encoder.blocks.\1.attn.proj.\2"),
    (r"encoder\.layers\.(\d+)\.layernorm_before\.(.+)", r"encoder.blocks.\1.norm1.\2"),
    (r"encoder\.layers\.(\d+)\.layernorm_after\.(.+)", r"encoder.blocks.\1.norm2.\2"),
    (r"encoder\.layers\.(\d+)\.mlp\.(fc[12])\.(.+)", r"encoder.blocks.\1.mlp.\2.\3"),
    (r"encoder\.layernorm\.(.+)", r"encoder.norm.\1"),
)
# ... and as transformers <= 5.8 named the same tensors
_OLD = (
    (r"encoder\.encoder\.layer\.(\d+)\.attention\.attention\.(query|key|value)\.(.+)",
     lambda m: f"encoder.layers.{m[1]}.attention.{m[2][0]}_proj.{m[3]}"),
    (r"encoder\.encoder\.layer\.(\d+)\.attention\.output\.dense\.(.+)", r"encoder.layers.\1.attention.o_proj.\2"),
    (r"encoder\.encoder\.layer\.(\d+)\.intermediate\.dense\.(.+)", r"encoder.layers.\1.mlp.fc1.\2"),
    (r"encoder\.encoder\.layer\.(\d+)\.output\.dense\.(.+)", r"encoder.layers.\1.mlp.fc2.\2"),
    (r"encoder\.encoder\.layer\.(\d+)\.(layernorm_\w+)\.(.+)", r"encoder.layers.\1.\2.\3"),
)
_QKV = re.compile(r"encoder\.layers\.(\d+)\.attention\.([qkv])_proj\.(weight|bias)")


def _rename(name: str, rules) -> str:
    for pattern, replacement in rules:
        if re.fullmatch(pattern, name):
            return re.sub(pattern, replacement, name)
    return name


def from_public(state: Mapping[str, Tensor], where: object = "checkpoint") -> dict[str, Tensor]:
    """A state dict under public names (either naming of the ViT) to `LeWM`'s: names mapped, q, k and v joined."""
    state = {_rename(name, _OLD): value for name, value in state.items()}
    ours, joined = {}, {}
    for name, value in state.items():
        if match := _QKV.fullmatch(name):
            joined.setdefault(f"encoder.blocks.{match[1]}.attn.qkv.{match[3]}", {})[match[2]] = value
        else:
            ours[_rename(name, _VIT)] = value
    if cut := [f"{name} has only {', '.join(sorted(p))}" for name, p in joined.items() if set(p) != set("qkv")]:
        raise InputError(where, "; ".join(sorted(cut)), "q, k and v of each", "The checkpoint is incomplete.")
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
            public[_rename(name, _INVERSE)] = value
    return public


_INVERSE = (
    (r"encoder\.cls_token", "encoder.embeddings.cls_token"),
    (r"encoder\.pos_embed", "encoder.embeddings.position_embeddings"),
    (r"encoder\.patch_embed\.proj\.(.+)", r"encoder.embeddings.patch_embeddings.projection.\1"),
    (r"encoder\.blocks\.(\d+)\.attn\.proj\.(.+)", r"encoder.layers.\1.attention.o_proj.\2"),
    (r"encoder\.blocks\.(\d+)\.norm1\.(.+)", r"encoder.layers.\1.layernorm_before.\2"),
    (r"encoder\.blocks\.(\d+)\.norm2\.(.+)", r"encoder.layers.\1.layernorm_after.\2"),
    (r"encoder\.blocks\.(\d+)\.mlp\.(fc[12])\.(.+)", r"encoder.layers.\1.mlp.\2.\3"),
    (r"encoder\.norm\.(.+)", r"encoder.layernorm.\1"),
)


def load_public(model: LeWM, state: Mapping[str, Tensor], where: object = "checkpoint") -> None:
    """Load public weights into `model`, every one; InputError lists all that is missing, unexpected or misshapen."""
    state, own = from_public(state, where), model.state_dict()
    problems = [f"missing {n}" for n in own.keys() - state.keys()]
    problems += [f"unexpected {n}" for n in state.keys() - own.keys()]
    problems += [f"{n} {tuple(state[n].shape)} instead of {tuple(own[n].shape)}"
                 for n in own.keys() & state.keys() if own[n].shape != state[n].shape]
    problems += [f"{n} has values that are not finite" for n in own.keys() & state.keys()
                 if state[n].is_floating_point() and not state[n].isfinite().all()]
    if problems:
        raise InputError(where, "; ".join(sorted(problems)), "exactly the weights of " + repr(model.config))
    model.load_state_dict(state)


def save(path: str | Path, model: LeWM, **metadata: object) -> None:
    """Write a model's weights (public names) with its config and `metadata` (JSON values) as one safetensors file.

    The same arguments make the same bytes.
    """
    header = json.dumps({"config": asdict(model.config), "metadata": metadata}, sort_keys=True)
    with replacing(path) as temporary:
        save_file({k: v.detach().cpu().contiguous() for k, v in to_public(model.state_dict()).items()}, temporary,
                  metadata={"lewm": header})  # one entry: safetensors writes several in an order that varies


def load(path: str | Path) -> tuple[LeWM, dict]:
    """The model and metadata that `save` wrote, in eval mode on the CPU."""
    try:
        with safe_open(path, framework="pt") as f:
            header = f.metadata() or {}
            state = {name: f.get_tensor(name) for name in f.keys()}
    except (OSError, SafetensorError) as error:
        raise InputError(path, str(error), "a safetensors file of LeWM weights") from error
    if "lewm" not in header:
        raise InputError(path, "no LeWM config in its header", "a file that lewm_core.checkpoint.save wrote")
    try:
        header = json.loads(header["lewm"])
        model, metadata = LeWM(LeWMConfig(**header["config"])), header["metadata"]
    except (TypeError, ValueError, KeyError) as error:
        raise InputError(path, f"a header that describes no model ({error})", "one of lewm_core.checkpoint") from error
    load_public(model, state, path)
    return model.eval(), metadata
