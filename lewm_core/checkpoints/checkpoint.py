"""The one way to read and to write a checkpoint: a LeWM's weights under their public names, its sizes, its heads."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from lewm_core.checkpoints import config_json, hub, weights_file
from lewm_core.checkpoints.names import from_public, public_state
from lewm_core.checkpoints.weights_file import Weights
from lewm_core.config import LeWMConfig
from lewm_core.model import LeWM
from lewm_core.utils.errors import InputError
from lewm_core.utils.plain import cut, shown

RECORDS = {  # what a header says of a training, each none where it does not apply
    "condition": str, "scale": str, "seed": int, "dataset": str, "base": str, "base_hash": str, "steps": int,
    "episodes": list, "test": list, "recipe": dict, "metrics": dict, "held_out": dict, "action_scale": dict,
}
REAL = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
MOST_LISTED = 20  # problems of a kind
WHOLE = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)


def check_public(config: LeWMConfig, state: Mapping[str, Tensor], where: object = "checkpoint") -> None:
    """Raise one InputError for all of `state` (our names) that is not the weights of a model of that config.

    state: may be an outline, of tensors without memory, whose values are not looked at.
    """
    with torch.device("meta"):
        own = LeWM(config).state_dict()
    _check(own, state, where, f"exactly the weights of {config}")


def _check(own: Mapping[str, Tensor], state: Mapping[str, Tensor], where: object, expected: str) -> None:
    """Raise one InputError for all of `state` that cannot be loaded into a module whose state dict is `own`."""
    missing = [f"missing {name}" for name in own.keys() - state.keys()]
    unexpected = [f"unexpected {cut(name, 80)}" for name in state.keys() - own.keys()]
    misfits = [f"{name} {problem}" for name in own.keys() & state.keys()
               if (problem := _misfit(state[name], own[name]))]
    problems = []
    for kind in (missing, unexpected, misfits):
        problems += sorted(kind)[:MOST_LISTED] + [f"{len(kind) - MOST_LISTED} more"] * (len(kind) > MOST_LISTED)
    if problems:
        raise InputError(where, "; ".join(problems), expected)


def _misfit(value: Tensor, want: Tensor) -> str:
    """What keeps a tensor from being loaded where `want` is; empty if nothing does."""
    if value.shape != want.shape:
        return f"{tuple(value.shape)} instead of {tuple(want.shape)}"
    if value.layout != torch.strided or value.dtype not in (REAL if want.is_floating_point() else WHOLE):
        kind = value.dtype if value.layout == torch.strided else value.layout
        return f"of {kind} instead of {want.dtype}"
    if not value.is_meta and not value.to(want.dtype).isfinite().all():  # 1e300 is finite, but not as float32
        return "has values that are not finite"
    return ""


def save(path: str | Path, model: LeWM, **metadata: object) -> None:
    """Write a model's weights (public names) with its config and `metadata` (JSON values) as one safetensors file.

    The same arguments make the same bytes. A patch-aware predictor is refused: the format has no place for it.
    """
    if model.reads_patches:
        raise InputError(path, "a patch-aware predictor", "a LeWM of the public format",
                         "Other readers would leave its extra weights out and predict something else.")
    weights_file.write(path, public_state(model), config=model.config.sizes(), metadata=metadata)


def load(name: str | Path, action_dim: int | None = None, seed: int = 0) -> tuple[LeWM, dict]:
    """The model of any checkpoint that `hub.find` finds, in eval mode on the CPU, and the metadata in its header.

    name: a weights file (.safetensors, .pt, .ckpt), a folder with one, or a hub id. The architecture comes from the
    header that `save` writes, or from the `config.json` beside the weights.
    action_dim: None keeps the checkpoint's. Where it differs, the action encoder is drawn from `seed`, the metadata
    lose the action scale, and say under "action_encoder" what was done; all other weights must load.

    Raises InputError, one a file, for whatever is missing, damaged, unsafe, unknown, or does not fit.
    """
    files = hub.find(name)
    weights = Weights(files.weights)
    config, metadata = _config(files, weights.header)
    for read in (lambda: weights.outline, weights.read):  # shapes are compared before memory is taken
        state = from_public(read(), files.weights)
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
    weights_file.write(path, module.state_dict())


def head_names(files: hub.Files) -> list[str]:
    """The auxiliary heads that lie beside a checkpoint's weights, sorted."""
    heads = _heads(files)
    return sorted({name.partition(".")[0] for name in heads.outline}) if heads else []


def load_heads(files: hub.Files, heads: nn.ModuleDict) -> None:
    """Load the heads that lie beside a checkpoint's weights into `heads`, all of them and nothing else."""
    found, state = _heads(files), {}
    for read in (lambda: found.outline, found.read) if found else (dict,):
        state = read()
        _check(heads.state_dict(), state, files.weights.with_name(hub.HEADS), "the heads " + ", ".join(heads))
    heads.load_state_dict(state)


def _heads(files: hub.Files) -> Weights | None:
    path = files.weights.with_name(hub.HEADS)
    return Weights(path) if path.is_file() else None


def read_config(name: str | Path) -> LeWMConfig:
    """The sizes of a checkpoint's model, without reading its weights."""
    files = hub.find(name)
    return _config(files, Weights(files.weights).header)[0]


def _config(files: hub.Files, header: Mapping[str, object]) -> tuple[LeWMConfig, dict]:
    """The config and metadata of a checkpoint, from its header, `config.json`, or both where they agree."""
    beside = config_json.read(files.config) if files.config else None
    if "config" not in header:
        if beside is None:
            raise InputError(files.weights, f"no LeWM config in its header and no {hub.CONFIG} beside it", "either",
                             f"Put the {hub.CONFIG} that was published with these weights into the same folder.")
        return beside, {}
    try:
        config, metadata = LeWMConfig(**header["config"]), {**header["metadata"]}
        _check_records(metadata)
    except (TypeError, ValueError, KeyError, RuntimeError, OverflowError) as error:
        raise InputError(files.weights, f"a header that describes no model ({error})",
                         "one of lewm_core.checkpoints.checkpoint") from error
    if beside not in (None, config):
        raise InputError(files.config, str(beside), f"{config}, as in the header of {files.weights.name}",
                         f"Remove {hub.CONFIG}, or take weights and config from one place.")
    return config, metadata


def _check_records(metadata: Mapping[str, object]) -> None:
    """ValueError for what a header says of a training in another form than `save` is given it."""
    odd = [f"{name} {shown(metadata[name])}" for name, kind in RECORDS.items()
           if metadata.get(name) is not None and type(metadata[name]) is not kind]
    odd += [f"{name} {shown(metadata[name])}" for name in ("episodes", "test") if type(metadata.get(name)) is list
            and not all(isinstance(id, str) for id in metadata[name])]
    if type(metadata.get("metrics")) is dict and not all(isinstance(v, dict) for v in metadata["metrics"].values()):
        odd.append(f"metrics {shown(metadata['metrics'])}")
    if odd:
        raise ValueError(", ".join(odd))
    if (scale := metadata.get("action_scale")) is None:
        return
    mean, std = torch.tensor(scale["mean"], dtype=torch.float64), torch.tensor(scale["std"], dtype=torch.float64)
    if mean.shape != std.shape or mean.ndim != 1 or not (mean.isfinite() & std.isfinite() & (std > 0)).all():
        raise ValueError("no action scale")
