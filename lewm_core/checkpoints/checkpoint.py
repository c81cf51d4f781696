"""The one way to read and to write a checkpoint: a LeWM's weights under their public names, its sizes, its heads."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from lewm_core.checkpoints import config_json, hub, weights_file
from lewm_core.checkpoints.names import from_public, public_state
from lewm_core.config import LeWMConfig
from lewm_core.model import LeWM
from lewm_core.utils.errors import InputError
from lewm_core.utils.files import replacing


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


def save(path: str | Path, model: LeWM, **metadata: object) -> None:
    """Write a model's weights (public names) with its config and `metadata` (JSON values) as one safetensors file.

    The same arguments make the same bytes. A patch-aware predictor is refused: the format has no place for it.
    """
    if model.reads_patches:
        raise InputError(path, "a patch-aware predictor", "a LeWM of the public format",
                         "Other readers would leave its extra weights out and predict something else.")
    header = json.dumps({"config": model.config.sizes(), "metadata": metadata}, sort_keys=True)
    with replacing(path) as temporary:  # one entry, since safetensors writes several in an order that varies
        save_file(public_state(model), temporary, metadata={"lewm": header})


def load(name: str | Path, action_dim: int | None = None, seed: int = 0) -> tuple[LeWM, dict]:
    """The model of any checkpoint that `hub.find` finds, in eval mode on the CPU, and the metadata in its header.

    name: a weights file (.safetensors, .pt, .ckpt), a folder with one, or a hub id. The architecture comes from the
    header that `save` writes, or from the `config.json` beside the weights.
    action_dim: None keeps the checkpoint's. Where it differs, the action encoder is drawn from `seed`, the metadata
    lose the action scale, and say under "action_encoder" what was done; all other weights must load.

    Raises InputError, one a file, for whatever is missing, damaged, unsafe, unknown, or does not fit.
    """
    files = hub.find(name)
    state, header = weights_file.read(files.weights)
    config, metadata = _config(files, header)
    state = from_public(state, files.weights)
    check_public(config, state, files.weights)
    if action_dim in (None, config.action_dim):
        model = LeWM(config, seed)
    else:
        model = LeWM(replace(config, action_dim=action_dim), seed)
        state |= {n: v for n, v in model.state_dict().items() if n.startswith("action_encoder.")}
        metadata = {k: v for k, v in metadata.items() if k != "action_scale"}
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
    return weights_file.read(path)[0] if path.is_file() else {}


def read_config(name: str | Path) -> LeWMConfig:
    """The sizes of a checkpoint's model, without reading its weights."""
    files = hub.find(name)
    _, header = weights_file.read(files.weights, weights=False)
    return _config(files, header)[0]


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
