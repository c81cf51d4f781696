"""HDF5 files whose structure is whole and whose content is not what it should be."""

import json
from collections.abc import Callable

import h5py
import numpy as np

from tests.fuzz.cases import Damage, Mutation, Place
from tests.fuzz.damage import named, pick
from tests.fuzz.documents import NUMBERS, TEXTS, changed, value


def edit(change: Callable[[Place, h5py.File], str]) -> Mutation:
    """A mutation through the library itself; `change` says what it did."""

    def mutate(place: Place) -> Damage:
        path = pick(place, ".h5")
        with h5py.File(path, "r+") as f:
            what = change(place, f)
        return named(place, path, what, forged=True)

    return mutate


def _any(place: Place, f: h5py.File) -> str:
    names = sorted(f)
    return place.one(names)


def _replace(f: h5py.File, name: str, data: object, **options: object) -> None:
    if name in f:
        del f[name]
    f.create_dataset(name, data=data, **options)


def _kind(place: Place, f: h5py.File) -> str:
    """A column of another kind of number, or of text, with the same shape."""
    name = _any(place, f)
    shape = f[name].shape
    kinds = ("f8", "f2", "f4", ">f8", "c8", "i1", "u8", "?", "S5", "S0", h5py.string_dtype(), "V3", [("a", "f4")],
             h5py.vlen_dtype(np.float32), h5py.enum_dtype({"a": 1}), h5py.ref_dtype, h5py.opaque_dtype("M8[s]"),
             "(2,)f4")
    kind = np.dtype(place.one(kinds))
    del f[name]
    f.create_dataset(name, shape, kind)
    return f"{name} of kind {kind}"


def _number(place: Place, f: h5py.File) -> str:
    name, number = _any(place, f), float(place.one(NUMBERS))
    number = place.one((number, np.nan, np.inf, -np.inf, 3.5e38))
    data = f[name][()]
    if data.dtype.kind not in "f":
        data = data if data.dtype.kind in "OSU" else data.astype(float)
    data = data.astype(np.float64) if data.dtype.kind == "f" else data
    if data.dtype.kind == "f":
        data[tuple(place.rng.integers(n) for n in data.shape)] = number
    _replace(f, name, data)
    return f"{number} in {name}, as {data.dtype}"


def _shape(place: Place, f: h5py.File) -> str:
    name = _any(place, f)
    old, kind = f[name].shape, f[name].dtype
    odd = ((), (0,), (2**40,), (2**62, *old[1:]), (*old[:1], 2**31, *old[2:]), (old[0] + 1, *old[1:]), (0, *old[1:]),
           (*old, 1), (*old[:-1], 0), (1,) * 32, (2**20, 2**20, 2**20), (*old[:1], 0), (*old[:1], 10**6))
    shape = place.one(odd)
    del f[name]
    chunks = tuple(min(max(n, 1), 64) for n in shape) if shape and len(shape) < 5 else None
    f.create_dataset(name, shape, kind, chunks=chunks, maxshape=tuple(None for _ in shape) if chunks else None)
    return f"{name} of shape {shape}"


def _index(place: Place, f: h5py.File) -> str:
    name = place.one(("ep_len", "ep_offset"))
    data = f[name][()].astype(np.int64)
    odd = (0, -1, 2**62, 2**63 - 1, 10**9, 10**12, 1, -(2**62))
    number = place.one(odd)
    data[place.rng.integers(len(data))] = number
    if place.rng.integers(3) == 0:
        data = data[place.rng.permutation(len(data))]
    if place.rng.integers(3) == 0:
        f["ep_offset"][...] = np.cumsum(f["ep_len"][()]) - f["ep_len"][()]
    _replace(f, name, data if place.rng.integers(4) else data.astype(np.uint64))
    return f"{number} in {name}"


def _link(place: Place, f: h5py.File) -> str:
    """A column that is elsewhere: in a file outside the folder, in none, or in itself."""
    name = _any(place, f)
    data, outside = f[name][()], place.outside / "bait.h5"
    with h5py.File(outside, "w") as other:
        _replace(other, name, data)
    (place.outside / "bait.bin").write_bytes(data.tobytes() if data.dtype.kind != "O" else b"x" * 1000)
    what = place.one(("external link", "absent file", "soft link", "itself", "virtual", "virtual absent", "raw file",
            "raw device"))
    shape, kind = data.shape, f[name].dtype
    del f[name]
    if what in ("external link", "absent file"):
        f[name] = h5py.ExternalLink(str(outside) if what == "external link" else "nowhere.h5", name)
    elif what in ("soft link", "itself"):
        f[name] = h5py.SoftLink(f"/{name}" if what == "itself" else "/nowhere/x")
    elif what.startswith("virtual"):
        layout = h5py.VirtualLayout(shape, kind)
        layout[...] = h5py.VirtualSource(str(outside) if what == "virtual" else "nowhere.h5", name, shape=shape)
        f.create_virtual_dataset(name, layout)
    else:
        raw = str(place.outside / "bait.bin") if what == "raw file" else "/dev/zero"
        kind = "S8" if kind.kind == "O" else kind
        f.create_dataset(name, shape, kind, external=[(raw, 0, h5py.h5f.UNLIMITED)])
    return f"{name}: {what}"


def _other(place: Place, f: h5py.File) -> str:
    """A group, nothing, a bomb or a twin in a column's place."""
    what = place.one(("group", "gone", "null", "bomb", "hard link", "many", "unknown filter", "committed"))
    name = _any(place, f)
    if what == "hard link":
        f[f"{name}2"] = f[name]
        del f["pixels"]
        f["pixels"] = f[_any(place, f)]
    elif what == "many":
        for i in range(2000):
            f.create_group(f"more{i}/{'x' * (i % 50)}/{TEXTS[i % 5].replace('/', '') or 'n'}".replace("\0", ""))
    else:
        shape = f[name].shape
        del f[name]
    if what == "group":
        f.create_group(f"{name}/{name}")
    elif what == "null":
        f.create_dataset(name, data=h5py.Empty("f4"))
    elif what == "bomb":  # 4 GB of zeros in a few kB
        f.create_dataset(name, (2**16, 2**16), "u1", chunks=(2**12, 2**16), compression="gzip")
    elif what == "committed":
        f[name] = np.dtype("f8")
    elif what == "unknown filter":
        f.create_dataset(name, shape, "f4", chunks=tuple(max(n, 1) for n in shape), compression=32_013)
    return f"{name}: {what}"


def _text(place: Place, f: h5py.File) -> str:
    name = place.one(("task", "episode_id"))
    n, words = len(f["action"]), place.one(TEXTS)
    data = words.encode("utf-8", "surrogatepass").replace(b"\0", b"")
    fixed = place.rng.integers(2)
    _replace(f, name, np.array([data] * n, f"S{max(len(data), 1)}") if fixed else np.array([data] * n, object),
             **({} if fixed else {"dtype": h5py.string_dtype()}))
    return f"{name} {words[:40]!r}"


def _made(place: Place, f: h5py.File) -> str:
    """What the file says of itself: another kind of value, or JSON with one place changed."""
    if place.rng.integers(2):
        tree = json.loads(f.attrs.get("made", '{"missing": {"mask": "why"}, "source": "x"}'))
        new, what = changed(place, tree)
        if len(new) < 60_000:
            f.attrs["made"] = new.encode("utf-8", "surrogatepass").replace(b"\0", b"")
        return f"made: {what}"
    odd = (7, np.arange(5), b"\xff\xfe", h5py.Empty("f4"), "[" * 5000, json.dumps({"missing": ["mask"]}),
           json.dumps({"missing": 3}),
           json.dumps({"missing": {"mask": ["a"], "depth": None}}), json.dumps([1]), np.zeros(1, [("a", "f4")]), np.nan,
           json.dumps({"made_by": value(place)}), json.dumps({"missing": value(place)}))
    i = int(place.rng.integers(len(odd)))
    f.attrs["made"] = odd[i]
    return f"made is {odd[i]!r}"[:80]


HDF5 = {"kind": edit(_kind), "number": edit(_number), "shape": edit(_shape), "index": edit(_index), "link": edit(_link),
        "other": edit(_other), "text": edit(_text), "made": edit(_made)}
