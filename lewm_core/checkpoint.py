"""LeWM weights under their public names: mapping, safetensors files, the statistics that travel with them."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from lewm_core.errors import InputError
from lewm_core.files import replacing
from lewm_core.model import LeWM, LeWMConfig

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
            public[_rename(name, ((ours, theirs) for theirs, ours in _VIT))] = value
    return public


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

    The same arguments make the same bytes. A patch-aware predictor is refused: the format has no place for it.
    """
    if model.reads_patches:
        raise InputError(path, "a patch-aware predictor", "a LeWM of the public format",
                         "Other readers would leave its extra weights out and predict something else.")
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
