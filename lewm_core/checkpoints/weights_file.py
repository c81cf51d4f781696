"""Reading and writing weights files. Nothing is executed: of a file's own claims none is believed before it is checked.

Our own files are safetensors with one entry "lewm" in their header, a JSON object whose "sha256" is that of everything
else in the file. Strangers' safetensors have no checksum; files of torch.save have the zip's.
"""

import json
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from lewm_core.checkpoints import torch_file
from lewm_core.checkpoints.names import without_prefix
from lewm_core.checkpoints.torch_file import Code, Other, Stored, TorchFile, Unreadable
from lewm_core.utils.errors import InputError
from lewm_core.utils.files import digest, regular, replacing
from lewm_core.utils.plain import cut, parse_json

OURS, SUM = "lewm", "sha256"
MOST_HEADER = 16_000_000  # bytes of a safetensors file's header
LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # how files of torch.save began before they were zip archives
DTYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I64": torch.int64,
    "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8, "BOOL": torch.bool,
}


class Weights:
    """A weights file, looked into.

    outline: its state dict under public names, any prefix removed, as tensors without memory (of device meta).
    header: what our own file says beside its tensors; empty for any other.

    Raises InputError, here and in `read`, for what is damaged, unsafe or no state dict.
    """

    def __init__(self, path: Path):
        self.path = regular(path)
        with _one_error(path):
            self._file = _Safetensors(path) if path.suffix == ".safetensors" else _Pickled(path)
            self.header = self._file.header
            self.outline = without_prefix({name: torch.empty(shape, dtype=dtype, device="meta")
                                           for name, (shape, dtype) in self._file.outline.items()})

    def read(self) -> dict[str, Tensor]:
        """The state dict with its memory, compared with the file's checksums."""
        with _one_error(self.path):
            return without_prefix(self._file.read())


def write(path: str | Path, state: Mapping[str, Tensor], **header: object) -> None:
    """Write tensors and a header of JSON values as a safetensors file of ours. The same arguments make the same bytes.
    """
    state = {name: value.detach().cpu().contiguous() for name, value in state.items()}
    text = json.dumps(header | {SUM: _sum(state, header)}, sort_keys=True)
    with replacing(path) as temporary:  # one entry, since safetensors writes several in an order that varies
        save_file(state, temporary, metadata={OURS: text})


def _sum(state: Mapping[str, Tensor], header: Mapping[str, object]) -> str:
    """SHA-256 of all that our file holds but the sum itself."""
    parts = [json.dumps({name: value for name, value in header.items() if name != SUM}, sort_keys=True)]
    for name, value in sorted(state.items()):
        parts += [name, repr((tuple(value.shape), str(value.dtype))), value.reshape(-1).view(torch.uint8).numpy().data]
    return digest(*parts, length=64)


class _Safetensors:
    def __init__(self, path: Path):
        self.path = path
        tensors = _table(path)
        self.header = _own_header(path, tensors.pop("__metadata__", {}))
        if odd := [f"{cut(name, 80)} is {v['dtype']}" for name, v in tensors.items() if v["dtype"] not in DTYPES]:
            raise _NoState("; ".join(odd[:20]))
        self.outline = {name: (v["shape"], DTYPES[v["dtype"]]) for name, v in tensors.items()}

    def read(self) -> dict[str, Tensor]:
        with safe_open(self.path, framework="pt") as f:
            state = {name: f.get_tensor(name) for name in self.outline}
        if self.header and self.header[SUM] != _sum(state, self.header):
            raise Unreadable("it is not what its checksum says")
        return state


def _table(path: Path) -> dict[str, dict]:
    """The JSON with which a safetensors file begins: what it says of each tensor.

    Read here, too, so that shapes are known before the library maps the whole file into memory; the library, which
    `read` uses, is the one that believes it.
    """
    with open(path, "rb") as f:
        start = f.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if length > MOST_HEADER:
            raise Unreadable(f"a header of more than {MOST_HEADER:,} bytes")
        try:
            table = parse_json(f.read(length), path)
        except InputError as error:
            raise Unreadable(f"a header with {error.found}") from None
    size = 8 + length + max((v["data_offsets"][1] for name, v in table.items() if name != "__metadata__"), default=0)
    if path.stat().st_size != size:
        raise Unreadable(f"{path.stat().st_size:,} bytes, not the {size:,} that its header says")
    return table


def _own_header(path: Path, entries: Mapping[str, str]) -> dict[str, object]:
    """What our own file says beside its tensors; empty for any other."""
    if OURS not in entries:
        if any(f'"{SUM}"' in text for text in entries.values()):
            raise Unreadable("its header is damaged")
        return {}
    header = parse_json(entries[OURS], path, "the header of a weights file of ours")
    if not isinstance(header, dict) or SUM not in header:
        raise Unreadable("its header has no checksum, as after damage or from an earlier version")
    return header


class _Pickled:
    header: Mapping[str, object] = {}

    def __init__(self, path: Path):
        with open(path, "rb") as f:
            start = f.read(torch_file.MOST_PICKLE)
        if start.startswith(LEGACY):
            raise Unreadable("torch.save's format before version 1.6, which has no checksums")
        if not start.startswith(b"PK"):
            torch_file.load(start)  # raises; says so if this is a pickle that would run code
            raise Unreadable("no zip archive")
        self.file = TorchFile(path)
        self.state = _state_dict(self.file.content)
        self.file.check(self.state)
        self.outline = {name: (value.shape, value.dtype) for name, value in self.state.items()}

    def read(self) -> dict[str, Tensor]:
        return self.file.read(self.state)


def _state_dict(value: object) -> dict[str, Stored]:
    """The state dict in what torch.save has saved: bare, or under `state_dict` (Lightning) or `model`."""
    for key in ("state_dict", "model"):
        if isinstance(value, Mapping) and isinstance(value.get(key), Mapping):
            value = value[key]
    if not isinstance(value, Mapping):
        raise _NoState(f"a {_kind(value)}")
    if names := [name for name in value if type(name) is not str]:
        raise _NoState(f"a {type(names[0]).__name__} for a name")
    if odd := [f"{cut(name, 80)} is a {_kind(v)}" for name, v in value.items() if not isinstance(v, Stored)]:
        raise _NoState("; ".join(odd[:20]))
    return dict(value)


def _kind(value: object) -> str:
    if isinstance(value, Stored):
        return "tensor"
    return value.name if isinstance(value, Other) else type(value).__name__


class _NoState(Exception):
    """A whole file that holds something else."""


@contextmanager
def _one_error(path: Path) -> Iterator[None]:
    """Any error of a file's reader as an InputError."""
    try:
        yield
    except InputError:
        raise
    except Code as error:
        raise InputError(path, f"a pickle that would run code when it is opened ({cut(str(error))}), so it was not "
                         "opened", "a state dict, which holds numbers only",
                         "Ask for torch.save(model.state_dict(), ...) or safetensors.") from None
    except _NoState as error:
        raise InputError(path, str(error), "a state dict: names and tensors of real numbers") from None
    except Exception as error:  # zipfile, pickle and safetensors: what they raise depends on where the damage is
        kind = "safetensors file" if path.suffix == ".safetensors" else "file of torch.save"
        reason = cut(" ".join(str(error).split())) or type(error).__name__
        raise InputError(path, f"no whole {kind} ({reason})", f"a {kind} with LeWM weights",
                         "Was a download cut short? Fetch it again. If it is only old, load it where you trust it and "
                         "save it again.") from None
