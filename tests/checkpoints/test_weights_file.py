"""Weights files that are damaged or lie: every one is an InputError, or gives exactly what was written."""

import io
import json
import pickle
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save, save_file

from lewm_core.checkpoints import checkpoint, config_json, hub, names, torch_file, weights_file
from lewm_core.checkpoints.weights_file import Weights
from lewm_core.config import MODELS
from lewm_core.model import LeWM
from lewm_core.utils.errors import InputError

NANO = MODELS["nano"]
STATE = {"a.weight": torch.tensor([[1.0, -2.0], [0.5, 3.0]]), "b": torch.tensor(7), "c": torch.arange(3).half()}


def same(path: Path) -> bool:
    """Whether a file gives what it was written with; an InputError that names it gives None."""
    try:
        weights = Weights(path)
        state = weights.read()
    except InputError as error:
        assert str(path) in str(error) and len(str(error)) < 1000
        return None
    header = {name: value for name, value in weights.header.items() if name != weights_file.SUM}
    assert {n: (v.shape, v.dtype) for n, v in state.items()} == {n: (v.shape, v.dtype)
                                                                for n, v in weights.outline.items()}
    return header in ({}, {"note": "é"}) and state.keys() == STATE.keys() and all(
        torch.equal(state[n], STATE[n]) and state[n].dtype == STATE[n].dtype for n in STATE)


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_no_flipped_bit_and_no_cut_is_believed(tmp_path, suffix):
    path = tmp_path / f"w{suffix}"
    if suffix == ".pt":
        torch.save(STATE, path)
    else:
        weights_file.write(path, STATE, note="é")
    assert same(path)
    whole, rng, kept = path.read_bytes(), np.random.default_rng(0), 0
    for place in rng.choice(len(whole) * 8, 250, replace=False):
        content = bytearray(whole)
        content[place // 8] ^= 1 << place % 8
        path.write_bytes(content)
        outcome = same(path)
        assert outcome is not False, f"bit {place}"
        kept += outcome is True
    # of a zip, much is padding, dates and file attributes; of ours, nothing is
    assert kept < 190 if suffix == ".pt" else kept == 0
    for size in rng.choice(len(whole), 30, replace=False):
        path.write_bytes(whole[:size])
        assert same(path) is None


def test_a_flipped_key_of_our_header_does_not_hide_the_checksum(tmp_path):
    path = tmp_path / "w.safetensors"
    weights_file.write(path, STATE, note="é")
    whole = path.read_bytes()
    for word in (b'"lewm"', b"sha256", b"__metadata__"):
        place = whole.index(word) + 2
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert same(path) is None


def test_the_same_file_has_the_same_checksum_and_is_read_by_others(tmp_path):
    for i in range(4):
        weights_file.write(tmp_path / f"{i}.safetensors", dict(reversed(STATE.items())) if i else STATE, note="é")
    assert len({(tmp_path / f"{i}.safetensors").read_bytes() for i in range(4)}) == 1
    assert all(torch.equal(load_file(tmp_path / "0.safetensors")[n], STATE[n]) for n in STATE)


# --- files of torch.save


def archive(path: Path, content: bytes, entries: dict[str, bytes] | None = None, **options) -> Path:
    """A zip as torch.save makes it, with this pickle."""
    with zipfile.ZipFile(path, "w", **options) as z:
        for name, data in {"data.pkl": content, "byteorder": b"little", **(entries or {})}.items():
            z.writestr(f"w/{name}", data)
    return path


class Storage:
    """Pickled as a storage of torch."""

    def __init__(self, key: str, count: int, kind: object = torch.FloatStorage):
        self.key, self.count, self.kind = key, count, kind


class Tensor:
    """Pickled as torch pickles a tensor."""

    def __init__(self, *arguments: object, function: object = torch._utils._rebuild_tensor_v2):
        self.arguments, self.function = arguments, function

    def __reduce__(self):
        return self.function, (*self.arguments, False, OrderedDict())


def pickled(value: object, protocol: int = 2) -> bytes:
    class Pickler(pickle.Pickler):
        def persistent_id(self, item):
            return ("storage", item.kind, item.key, "cpu", item.count) if isinstance(item, Storage) else None

    stream = io.BytesIO()
    Pickler(stream, protocol).dump(value)
    return stream.getvalue()


def nested_key() -> bytes:
    """{t: 1} where t is 60 tuples in each other, each twice: its hash would take 2**60 steps."""
    return b"\x80\x02}(" + b")" + b"q\x00h\x00\x86" * 60 + b"K\x01u."


def deep_key() -> bytes:
    return b"\x80\x02}(" + b")" + b"\x85" * 200_000 + b"K\x01u."


def two(path: Path) -> Path:
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(path, "w") as z:
        for _ in range(2):
            z.writestr("w/data.pkl", pickled({}))
    return path


def one_over_another(path: Path) -> Path:
    """Two entries of the directory that point at the same data."""
    archive(path, pickled({"a": Tensor(Storage("0", 100), 0, (100,), (1,))}), {"data/0": bytes(4000), "data/1": b""})
    content = bytearray(path.read_bytes())
    first = content.index(b"PK\1\2", content.index(b"w/data/1"))
    entries = [i for i in range(first, len(content)) if content[i : i + 4] == b"PK\1\2"]
    content[entries[-1] + 16 : entries[-1] + 28] = content[entries[-2] + 16 : entries[-2] + 28]
    path.write_bytes(content)
    return path


HOSTILE = {
    "a storage shorter than the pickle says": (
        lambda p: archive(p, pickled({"a": Tensor(Storage("0", 1000), 0, (1000,), (1,))}), {"data/0": b"abcd"}),
        "less data than a needs"),
    "no storage": (lambda p: archive(p, pickled({"a": Tensor(Storage("0", 3), 0, (3,), (1,))})), "less data"),
    "a tensor larger than its storage": (
        lambda p: archive(p, pickled({"a": Tensor(Storage("0", 1), 0, (2**40,), (1,))}), {"data/0": b"abcd"}),
        "a tensor of shape"),
    "one number, a billion times": (
        lambda p: archive(p, pickled({"a": Tensor(Storage("0", 1), 0, (10**9,), (0,))}), {"data/0": b"abcd"}),
        "a tensor of shape"),
    "one storage, many times": (
        lambda p: archive(p, pickled({f"a{i}": Tensor(Storage("0", 10**4), 0, (10**4,), (1,)) for i in range(99)}),
                          {"data/0": bytes(40_000)}), "share their memory"),
    "a negative stride": (
        lambda p: archive(p, pickled({"a": Tensor(Storage("0", 9), 8, (9,), (-1,))}), {"data/0": bytes(36)}),
        "impossible shape"),
    "no whole numbers": (
        lambda p: archive(p, pickled({"a": Tensor(Storage("0", 9), 0.5, (9,), (1,))}), {"data/0": bytes(36)}),
        "impossible shape"),
    "numbers for names": (lambda p: torch.save({3: torch.ones(2)}, p), "a int for a name"),
    "sparse": (lambda p: torch.save({"a": torch.eye(3).to_sparse()}, p), "a is a torch._utils._rebuild_sparse_tensor"),
    "meta": (lambda p: torch.save({"a": torch.ones(3, device="meta")}, p), "a is a torch._utils._rebuild_meta_tensor"),
    "quantised": (lambda p: torch.save({"a": torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8)}, p),
                  "a is a torch._utils._rebuild_qtensor"),
    "complex": (lambda p: torch.save({"a": torch.ones(3, dtype=torch.complex64)}, p), "ComplexFloatStorage"),
    "float8": (lambda p: torch.save({"a": torch.ones(3).to(torch.float8_e4m3fn)}, p), "a is a torch"),
    "a module": (lambda p: torch.save(torch.nn.Linear(1, 1), p), "would run code when it is opened (torch.nn.modules"),
    "a function's defaults": (
        lambda p: archive(p, b"\x80\x02}(X\x01\x00\x00\x00actorch._utils\n_rebuild_tensor_v2\n}(X\x0c\x00\x00\x00"
                             b"__defaults__)ubu."), "would run code"),
    "a tuple that takes long": (lambda p: archive(p, nested_key()), "a tuple of more than 10,000"),
    "a deep tuple": (lambda p: archive(p, deep_key()), "a tuple of more than 10,000"),
    "a memo without end": (lambda p: archive(p, b"\x80\x02]r\xff\xff\xff\x7f."), "a memo of 2147483647 places"),
    "a long pickle": (lambda p: archive(p, b"\x80\x02](" + b"N" * 1_100_000 + b"e."), "more than 1,000,000 steps"),
    "a large pickle": (lambda p: archive(p, bytes(17_000_000)), "more than 16,000,000"),
    "compressed": (lambda p: archive(p, pickled({}), {"data/0": bytes(10**8)}, compression=zipfile.ZIP_DEFLATED),
                   "compressed entry"),
    "twice": (two, "entries of one name"),
    "one over another": (one_over_another, "one over another"),
    "another byte order": (lambda p: archive(p, pickled({}), {"byteorder": b"big"}), "byte order"),
    "no pickle": (lambda p: archive(p.with_name("x"), b"").rename(p), "no whole file"),
    "another zip": (lambda p: zipfile.ZipFile(p, "w").close(), "without the one data.pkl"),
    "the old format": (lambda p: torch.save({}, p, _use_new_zipfile_serialization=False), "before version 1.6"),
    "a bare pickle": (lambda p: p.write_bytes(pickle.dumps({"a": 3})), "no zip archive"),
}


@pytest.mark.parametrize("make, sentence", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_file_of_torch_save_is_one_error(tmp_path, make, sentence):
    path = tmp_path / "weights.pt"
    make(path)
    with pytest.raises(InputError) as error:
        Weights(path).read()
    assert str(path) in str(error.value) and sentence in str(error.value), str(error.value)


def test_what_torch_makes_of_strides_offsets_and_parameters(tmp_path):
    """Views into one storage, a parameter, an empty and a scalar tensor, every real type: as torch.load gives them."""
    whole = torch.arange(60.0)
    state = {"view": whole[10:40].view(5, 6).T, "parameter": torch.nn.Parameter(torch.ones(2)),
             "none": torch.ones(0, 3), "scalar": torch.tensor(4)}
    state |= {str(dtype): torch.tensor([0, 1, 2]).to(dtype) for dtype in torch_file.STORAGES.values()}
    path = tmp_path / "w.pt"
    torch.save(OrderedDict(state), path)
    found, theirs = Weights(path).read(), torch.load(path, weights_only=True)
    assert found.keys() == theirs.keys()
    for name, value in theirs.items():
        assert found[name].dtype == value.dtype and torch.equal(found[name], value.detach()), name


# --- what a whole file may hold, and a LeWM's may not


@pytest.fixture(scope="module")
def public():
    return names.public_state(LeWM(NANO, 0))


WRONG = {
    "float8": (lambda v: v.to(torch.float8_e4m3fn), "is F8_E4M3"),
    "complex": (lambda v: v.to(torch.complex64), "is C64"),
    "too large for float32": (lambda v: torch.full_like(v, 1e300, dtype=torch.float64), "not finite"),
    "whole numbers": (lambda v: v.int(), "of torch.int32 instead of torch.float32"),
    "another shape, of NaN": (lambda v: torch.full((3, 3), float("nan")), "(3, 3) instead of (64,)"),
}


@pytest.mark.parametrize("change, sentence", WRONG.values(), ids=WRONG)
def test_a_tensor_that_is_no_weight_is_named(tmp_path, public, change, sentence):
    name = "projector.net.0.bias"
    path = tmp_path / "model.safetensors"
    weights_file.write(path, public | {name: change(public[name])}, config=NANO.sizes(), metadata={})
    with pytest.raises(InputError) as error:
        checkpoint.load(path)
    assert name in str(error.value) and sentence in str(error.value)


def test_q_k_and_v_of_other_shapes_and_names_twice(tmp_path, public):
    name = "encoder.layers.0.attention.q_proj.weight"
    for state, sentence in ((public | {name: torch.ones(3, 4)}, "q, k and v of other shapes"),
                            (public | {"encoder.encoder.layer.0.attention.attention.query.weight": public[name]},
                             "under its new and its old name")):
        with pytest.raises(InputError, match=sentence):
            names.from_public(state)


def test_shapes_are_compared_before_memory_is_taken(tmp_path, public, monkeypatch):
    """A sparse file that claims 1 GB: it is not read."""
    header = b'{"x":{"dtype":"F32","shape":[250000000],"data_offsets":[0,1000000000]}}'
    path = tmp_path / "model.safetensors"
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(header)) + header)
        f.truncate(8 + len(header) + 1_000_000_000)
    (tmp_path / "config.json").write_text(json.dumps(config_json.public(NANO)))
    monkeypatch.setattr(Weights, "read", lambda self: pytest.fail("it was read"))
    with pytest.raises(InputError, match="unexpected x"):
        checkpoint.load(path)


@pytest.mark.parametrize("content, sentence", [
    (struct.pack("<Q", 2**63) + b"{}", "a header of more than"), (struct.pack("<Q", 10) + b"[" * 10, "no whole"),
    (struct.pack("<Q", 5000) + b'{"a":' + b"[" * 4995, "no whole"),
    (save({"a": torch.ones(1)}, {"lewm": "[" * 90_000}), "too deep"),
    (save({"a": torch.ones(1)}, {"lewm": "[]"}), "no checksum"),
    (save({"a": torch.ones(1)}, {"lewm": "{}"}), "no checksum"),
], ids=str)
def test_absurd_headers(tmp_path, content, sentence):
    path = tmp_path / "w.safetensors"
    path.write_bytes(content)
    with pytest.raises(InputError, match=sentence):
        Weights(path)


@pytest.mark.parametrize("more", [-1, 1, 2**40])
def test_a_file_of_another_size_than_its_header_says_is_not_mapped(tmp_path, monkeypatch, more):
    path = tmp_path / "w.safetensors"
    save_file(STATE, path)
    with open(path, "r+b") as f:
        f.truncate(path.stat().st_size + more)
    monkeypatch.setattr(weights_file, "safe_open", lambda *_, **__: pytest.fail("it was mapped"))
    with pytest.raises(InputError, match="bytes, not the"):
        Weights(path)


def test_heads_are_compared_before_they_are_loaded(tmp_path, public):
    checkpoint.save(tmp_path / "model.safetensors", LeWM(NANO, 0))
    files, heads = hub.find(tmp_path), torch.nn.ModuleDict({"depth": torch.nn.Linear(2, 3)})
    checkpoint.save_state(tmp_path / "heads.safetensors", heads)
    checkpoint.load_heads(files, heads)
    assert checkpoint.head_names(files) == ["depth"]
    bias = {"depth.bias": torch.ones(3)}
    for state, sentence in (({"depth.weight": torch.ones(3, 2)}, "missing depth.bias"),
                            (bias | {"depth.weight": torch.ones(2, 3)}, "instead of"),
                            (bias | {"depth.weight": torch.full((3, 2), torch.nan)}, "not finite")):
        save_file(state, tmp_path / "heads.safetensors")
        with pytest.raises(InputError, match=sentence):
            checkpoint.load_heads(files, heads)
