"""Reading weights files. Nothing is executed: safetensors holds numbers only, pickles are read as weights only."""

import pickletools
import re
import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from lewm_core.checkpoints.names import without_prefix
from lewm_core.utils.errors import InputError


def read(path: Path, weights: bool = True) -> tuple[dict[str, Tensor], dict[str, str]]:
    """A weights file's state dict under public names, any prefix removed, and its header (empty for a pickle)."""
    if path.suffix == ".safetensors":
        try:
            with safe_open(path, framework="pt") as f:
                header = f.metadata() or {}
                state = {name: f.get_tensor(name) for name in f.keys()} if weights else {}
        except (OSError, SafetensorError) as error:
            raise InputError(path, f"no whole safetensors file ({error})", "a safetensors file of LeWM weights",
                             "Fetch or write it again.") from error
        return without_prefix(state), header
    return (without_prefix(_unpickle(path)) if weights else {}), {}


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
