"""Checkpoints whose container is whole and whose content is not: pickles in zips, headers, tensors of every kind."""

import io
import json
import pickle
import struct
import zipfile
from collections.abc import Callable

import torch
from safetensors.torch import load_file, save_file

from tests.fuzz import inputs
from tests.fuzz.cases import Damage, Mutation, Place
from tests.fuzz.damage import named, pick
from tests.fuzz.documents import NUMBERS, RAW, TEXTS, changed, value
from tests.fuzz.pickles import bomb, gadget


def _file(*suffixes: str) -> Callable[[Callable[[Place, bytes], tuple[bytes, str]]], Mutation]:
    """A mutation of a file with one of these suffixes; what it wraps returns the new bytes and what was done."""

    def wrap(make: Callable[[Place, bytes], tuple[bytes, str]]) -> Mutation:
        def mutate(place: Place) -> Damage:
            path = pick(place, *suffixes)
            data, what = make(place, path.read_bytes())
            path.write_bytes(data)
            return named(place, path, what, forged=True)

        return mutate

    return wrap


def zipped(members: dict[str, bytes], compress: bool = False) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()


def _members(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@_file(".pt", ".ckpt")
def _code(place: Place, before: bytes) -> tuple[bytes, str]:
    """A pickle that runs code, in the zip or instead of it, or one that costs much."""
    members = _members(before)
    inner = next(name for name in members if name.endswith("data.pkl"))
    make = place.one((gadget, bomb))
    data, what = gadget(place, members[inner]) if make is gadget and place.rng.integers(2) else make(place)
    if place.rng.integers(3) == 0:
        return data, f"bare: {what}"
    return zipped(members | {inner: data}), what


@_file(".pt", ".ckpt")
def _archive(place: Place, before: bytes) -> tuple[bytes, str]:
    """Members that are absent, doubled, elsewhere, huge, or too short."""
    members = _members(before)
    names = list(members)
    name = place.one(names)
    what = place.one(("gone", "short", "elsewhere", "bomb", "compressed", "long", "other root", "byte order", "version",
            "thousands"))
    if what == "gone":
        del members[name]
    elif what == "short":
        members[name] = members[name][: len(members[name]) // 2]
    elif what == "long":
        members[name] += bytes(10_000)
    elif what == "elsewhere":
        members["../../outside/x"] = members.pop(name)
    elif what == "bomb":
        members[name] = bytes(400_000_000)
        return zipped(members, True), f"{name}: 400 MB of zeros"
    elif what == "compressed":
        return zipped(members, True), what
    elif what == "other root":
        members = {f"x/{n}": data for n, data in members.items()} | members
    elif what == "byte order":
        members[names[0].split("/")[0] + "/byteorder"] = b"big"
    elif what == "version":
        members[names[0].split("/")[0] + "/version"] = b"999999999999"
    else:
        members |= {f"more/{i}": b"" for i in range(5000)}
    return zipped(members), f"{name}: {what}"


def _tensors(place: Place, like: torch.Tensor) -> tuple[object, str]:
    """Something in place of a tensor."""
    makers = {
        "sparse": lambda: torch.sparse_coo_tensor(torch.zeros(like.ndim, 1, dtype=torch.long), [1.0], like.shape),
        "sparse of 2^40": lambda: torch.sparse_coo_tensor(torch.zeros(2, 1, dtype=torch.long), [1.0], (2**20, 2**20)),
        "meta": lambda: torch.empty(like.shape, device="meta"),
        "meta of 2^50": lambda: torch.empty(2**50, device="meta"),
        "float8": lambda: like.to(torch.float8_e4m3fn), "half": lambda: like.half(),
        "bfloat16": lambda: like.bfloat16(),
        "double": lambda: like.double(), "1e300": lambda: torch.full(like.shape, 1e300, dtype=torch.float64),
        "complex": lambda: like.to(torch.complex64), "whole": lambda: like.long(), "bool": lambda: like.bool(),
        "quantised": lambda: torch.quantize_per_tensor(like.float(), 0.1, 0, torch.quint8), "none": lambda: None,
        "expanded": lambda: torch.zeros(1).expand(2**34),
        "same shape, expanded": lambda: torch.zeros(()).expand(like.shape),
        "scalar": lambda: torch.tensor(1.0), "empty": lambda: torch.zeros(0), "more axes": lambda: like[None],
        "other shape": lambda: torch.zeros(3, 5), "NaN": lambda: torch.full(like.shape, torch.nan),
        "list": lambda: [1.0],
        "inf": lambda: torch.full(like.shape, torch.inf), "1e38": lambda: torch.full(like.shape, 1e38),
        "denormal": lambda: torch.full(like.shape, 1e-42), "a module's": lambda: torch.nn.Parameter(like), "dict": dict,
        "text": lambda: place.one(TEXTS),
        "number": lambda: place.one(NUMBERS),
        "transposed": lambda: like.T.contiguous().T if like.ndim == 2 else like.clone(),
        "slice": lambda: torch.cat([like, like])[: len(like)],
    }
    name = place.one(list(makers))
    return makers[name](), name


@_file(".pt", ".ckpt")
def _state(place: Place, before: bytes) -> tuple[bytes, str]:
    """One weight, one name, or the way that weights are wrapped, is another."""
    state: dict = dict(inputs.state())
    names = list(state)
    name = place.one(names)
    what = place.one(("tensor", "tensor", "tensor", "name", "more", "gone", "nested", "kind", "legacy"))
    wrapped: object = state
    if what == "tensor":
        state[name], what = _tensors(place, state[name])
    elif what == "name":
        odd = (7, None, ("a", 1), b"x", 1.5, True, *TEXTS)
        state[place.one(odd)] = state.pop(name)
    elif what == "more":
        state[f"{name}.more"] = torch.zeros(2)
    elif what == "gone":
        del state[name]
    elif what == "nested":
        for key in ("model", "state_dict") * int(place.rng.integers(1, 200)):
            wrapped = {key: wrapped}
    elif what == "kind":
        odd = ([1], None, 7, "text", {}, {"state_dict": 7}, {"model": []}, list(state.values()), torch.zeros(3))
        wrapped = place.one(odd)
    out = io.BytesIO()
    torch.save(wrapped, out, _use_new_zipfile_serialization=what != "legacy",
               pickle_protocol=place.one((2, 4)))
    return out.getvalue(), f"{name}: {what}"


def st(header: bytes, data: bytes = b"", length: int | None = None) -> bytes:
    return struct.pack("<Q", len(header) if length is None else length) + header + data


@_file("model.safetensors")
def _header(place: Place, before: bytes) -> tuple[bytes, str]:
    """A safetensors header with one place changed, with another length, or as no parser would write it."""
    length = struct.unpack("<Q", before[:8])[0]
    header, data = json.loads(before[8 : 8 + length]), before[8 + length :]
    what = place.one(("tree", "tree", "raw", "length", "own", "own", "own", "dtype"))
    if what == "raw":
        raw = place.one(RAW).encode()
        return st(raw, data), f"header {raw[:30]!r}"
    if what == "length":
        claim = place.one((0, 1, 2**63 - 1, 2**64 - 1, 10**8, length + 1, length - 1))
        return st(before[8 : 8 + length], data, claim), f"header of {claim} bytes"
    if what == "dtype":
        name = place.one([n for n in header if n != "__metadata__"])
        kinds = ("F8_E4M3", "F8_E5M2", "BF16", "I32", "U32", "BOOL", "F64", "C64", "F4", "X", "", None)
        header[name]["dtype"] = kind = place.one(kinds)
        return st(json.dumps(header).encode(), data), f"{name} of {kind}"
    if what == "own":  # what we keep in the header: sizes and metadata
        own = json.loads(header["__metadata__"]["lewm"])
        if place.rng.integers(2):
            key = place.one(list(own["config"]))
            own["config"][key] = number = place.one((value(place),
                                           place.one(NUMBERS)))
            new, more = json.dumps(own), f"{key} is {str(number)[:40]}"
        else:
            new, more = changed(place, own)
        header["__metadata__"]["lewm"] = new
        return st(json.dumps(header).encode(), data), f"our header: {more}"
    text, more = changed(place, header)
    return st(text.encode("utf-8", "surrogatepass"), data), more


@_file(".safetensors")
def _numbers(place: Place, before: bytes) -> tuple[bytes, str]:
    """A safetensors file without our header, with one tensor changed, if that can be written."""
    path = place.root / "before.safetensors"
    path.write_bytes(before)
    state = load_file(path)
    name = place.one(list(state))
    odd, what = _tensors(place, state[name])
    state[name] = odd if isinstance(odd, torch.Tensor) and odd.layout == torch.strided and odd.device.type == "cpu" \
        and not odd.is_quantized and odd.numel() < 10**7 else torch.zeros(0)
    state = {n: v.detach().contiguous().clone() for n, v in state.items()}
    save_file(state, path, metadata={"lewm": "{}"} if place.rng.integers(2) else None)
    return path.read_bytes(), f"{name}: {what}"


def _other_file(place: Place) -> Damage:
    """More weights beside these, or a folder named as a file."""
    path = pick(place, ".pt", ".ckpt", ".safetensors")
    suffix = place.one((".pt", ".ckpt", ".safetensors"))
    (path.parent / f"second{suffix}").write_bytes(pickle.dumps({}))
    return named(place, path, f"another {suffix} beside it", forged=True)


TORCH = {"code": _code, "code again": _code, "archive": _archive, "state": _state, "state again": _state,
         "other file": _other_file}
SAFETENSORS = {"header": _header, "header again": _header, "numbers": _numbers, "other file": _other_file}
