"""LeWM weights under their public names: the mapping, and the one way to read and to write a checkpoint.

Nothing that is read is executed: safetensors holds numbers only, and pickles are read as weights only.
"""

import json
import pickletools
import re
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from lewm_core.checkpoints import config_json, hub
from lewm_core.config import LeWMConfig
from lewm_core.model import LeWM
from lewm_core.utils.errors import InputError
from lewm_core.utils.files import replacing

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
_MARK = "predictor.pos_embedding"
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


def check_public(config: LeWMConfig, state: Mapping[str, Tensor], where: object = "checkpoint") -> None:
    """Raise one InputError for all of `state` (our names) that is not the weights of a model of that config."""
    with torch.device("meta"):
        own = LeWM(config).state_dict()
    problems = [f"missing {n}" for n in own.keys() - state.keys()]
    problems += [f"unexpected {n}" for n in state.keys() - own.keys()]
    for name in own.keys() & state.keys():
        value, want = state[name], own[name]
        if value.shape != want.shape:
            problems.append(f"{name} {tuple(value.shape)} instead of {tuple(want.shape)}")
        if value.is_floating_point() != want.is_floating_point():
            problems.append(f"{name} of {value.dtype} instead of {want.dtype}")
        elif not value.isfinite().all():
            problems.append(f"{name} has values that are not finite")
    if problems:
        raise InputError(where, "; ".join(sorted(problems)), f"exactly the weights of {config}")


def load_public(model: LeWM, state: Mapping[str, Tensor], where: object = "checkpoint") -> None:
    """Load public weights into `model`, every one; InputError lists all that is missing, unexpected or misshapen."""
    state = from_public(state, where)
    check_public(model.config, state, where)
    model.load_state_dict(state)


def save(path: str | Path, model: LeWM, **metadata: object) -> None:
    """Write a model's weights (public names) with its config and `metadata` (JSON values) as one safetensors file.

    The same arguments make the same bytes. A patch-aware predictor is refused: the format has no place for it.
    """
    if model.reads_patches:
        raise InputError(path, "a patch-aware predictor", "a LeWM of the public format",
                         "Other readers would leave its extra weights out and predict something else.")
    header = json.dumps({"config": model.config.sizes(), "metadata": metadata}, sort_keys=True)
    with replacing(path) as temporary:
        save_file(public_state(model), temporary,
                  metadata={"lewm": header})  # one entry: safetensors writes several in an order that varies


def public_state(model: LeWM) -> dict[str, Tensor]:
    """A model's weights under public names, on the CPU and each with memory of its own."""
    return {k: v.detach().cpu().clone() for k, v in to_public(model.state_dict()).items()}


def load(name: str | Path, action_dim: int | None = None, seed: int = 0) -> tuple[LeWM, dict]:
    """The model of any checkpoint that `hub.find` finds, in eval mode on the CPU, and the metadata in its header.

    name: a weights file (.safetensors, .pt, .ckpt), a folder with one, or a hub id. The architecture comes from the
    header that `save` writes, or from the `config.json` beside the weights.
    action_dim: None keeps the checkpoint's. Where it differs, the action encoder is drawn from `seed`, the metadata
    lose the action scale, and say under "action_encoder" what was done; all other weights must load.

    Raises InputError, one a file, for whatever is missing, damaged, unsafe, unknown, or does not fit.
    """
    files = hub.find(name)
    state, header = _read(files.weights)
    config, metadata = _config(files, header)
    state = from_public(state, files.weights)
    check_public(config, state, files.weights)
    model = LeWM(config if action_dim is None else replace(config, action_dim=action_dim), seed)
    if model.config != config:
        fresh = {n: v for n, v in model.state_dict().items() if n.startswith("action_encoder.")}
        state, metadata = {**state, **fresh}, {k: v for k, v in metadata.items() if k != "action_scale"}
        metadata["action_encoder"] = reinitialised(config.action_dim, action_dim)
    model.load_state_dict(state)
    return model.eval(), metadata


def reinitialised(before: int, after: int) -> str:
    """What is said of an action encoder that was drawn anew for actions of another size."""
    return f"re-initialised, {before}-D to {after}-D actions"


def save_state(path: str | Path, module: nn.Module) -> None:
    """Write what is no part of a public LeWM (heads, a patch-aware predictor) under our names, to a file of its own."""
    with replacing(path) as temporary:
        save_file({k: v.detach().cpu().contiguous() for k, v in module.state_dict().items()}, temporary)


def head_names(files: hub.Files) -> list[str]:
    """The auxiliary heads that lie beside a checkpoint's weights, sorted."""
    return sorted({name.partition(".")[0] for name in _heads(files)})


def load_heads(files: hub.Files, heads: nn.ModuleDict) -> None:
    """Load the heads that lie beside a checkpoint's weights into `heads`, all of them and nothing else."""
    try:
        heads.load_state_dict(_heads(files))
    except RuntimeError as error:
        raise InputError(files.weights.with_name(hub.HEADS), " ".join(str(error).split()),
                         "the heads " + ", ".join(heads)) from error


def _heads(files: hub.Files) -> dict[str, Tensor]:
    path = files.weights.with_name(hub.HEADS)
    return _read(path)[0] if path.is_file() else {}


def read_config(name: str | Path) -> LeWMConfig:
    """The sizes of a checkpoint's model, without reading its weights."""
    files = hub.find(name)
    return _config(files, _read(files.weights, weights=False)[1])[0]


def _config(files: hub.Files, header: Mapping[str, str]) -> tuple[LeWMConfig, dict]:
    """The config and metadata of a checkpoint, from its header, `config.json`, or both where they agree."""
    beside = config_json.read(files.config) if files.config else None
    if "lewm" not in header:
        if beside is None:
            raise InputError(files.weights, f"no LeWM config in its header and no {hub.CONFIG} beside it", "either",
                             f"Put the {hub.CONFIG} that was published with these weights into the same folder.")
        return beside, {}
    try:
        header = json.loads(header["lewm"])
        config, metadata = LeWMConfig(**header["config"]), dict(header["metadata"])
    except (TypeError, ValueError, KeyError) as error:
        raise InputError(files.weights, f"a header that describes no model ({error})",
                         "one of lewm_core.checkpoints.checkpoint") from error
    if beside not in (None, config):
        raise InputError(files.config, str(beside), f"{config}, as in the header of {files.weights.name}",
                         f"Remove {hub.CONFIG}, or take weights and config from one place.")
    return config, metadata


def _read(path: Path, weights: bool = True) -> tuple[dict[str, Tensor], dict[str, str]]:
    """A weights file's state dict under public names, any prefix removed, and its header (empty for a pickle)."""
    if path.suffix == ".safetensors":
        try:
            with safe_open(path, framework="pt") as f:
                header = f.metadata() or {}
                state = {name: f.get_tensor(name) for name in f.keys()} if weights else {}
        except (OSError, SafetensorError) as error:
            raise InputError(path, f"no whole safetensors file ({error})", "a safetensors file of LeWM weights",
                             "Fetch or write it again.") from error
        return _without_prefix(state), header
    return (_without_prefix(_unpickle(path)) if weights else {}), {}


def _unpickle(path: Path) -> dict[str, Tensor]:
    """The state dict in a file of torch.save: bare, or under `state_dict` (Lightning) or `model`."""
    try:
        with warnings.catch_warnings(action="ignore"):  # of a pickle that is refused a moment later
            value = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # what a damaged file raises depends on where the damage is
        if code := _code(path, str(error)):
            raise InputError(path, f"a pickle that would run code when it is opened ({code}), so it was not opened",
                             "a state dict, which holds numbers only",
                             "Ask for torch.save(model.state_dict(), ...) or safetensors.") from error
        reason = re.search(r"(?:WeightsUnpickler error: |^)\s*(?!Weights only)([^\n.]+)", str(error))
        raise InputError(path, f"no whole file of torch.save ({reason[1] if reason else type(error).__name__})",
                         "a state dict of LeWM weights", "Was the download cut short? Fetch it again.") from error
    for key in ("state_dict", "model"):
        if isinstance(value, Mapping) and isinstance(value.get(key), Mapping):
            value = value[key]
    if not isinstance(value, Mapping):
        raise InputError(path, f"a {type(value).__name__}", "a state dict: names and tensors")
    if odd := [f"{k} is a {type(v).__name__}" for k, v in value.items() if not isinstance(v, Tensor)]:
        raise InputError(path, "; ".join(odd), "a state dict: names and tensors")
    return dict(value)


def _code(path: Path, refusal: str) -> str:
    """What a pickle would have looked up and called, by torch's refusal or by its opcodes; empty for a mere ruin."""
    if named := re.search(r"GLOBAL ([\w.]+)", refusal):
        return named[1]
    try:
        with open(path, "rb") as f:
            calls = {op.name for op, *_ in pickletools.genops(f)} & {"STACK_GLOBAL", "INST"}
    except Exception:  # not a pickle from end to end
        return ""
    return "by a name that it makes up" if calls else ""


def _without_prefix(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`state` without what a training module puts before the model's names, and without that module's SIGReg.

    The prefix is what stands before the one name that every LeWM has.
    """
    marks = [n.removesuffix(_MARK) for n in state if n.endswith(_MARK)]
    if len(marks) != 1 or not marks[0]:
        return dict(state)
    return {n.removeprefix(marks[0]): v for n, v in state.items() if not _SIGREG.fullmatch(n)}
