"""The restricted unpickler: what NumPy and plain Python write comes back, everything else is refused and not run."""

import collections
import os
import pickle
import resource
import struct
import time

import numpy as np
import pytest

from lewm_core.sources.safe_pickle import load_pickle, npy_count, npy_objects
from lewm_core.utils.errors import InputError

PLAIN = {
    "state": np.arange(12.0).reshape(3, 4), "fortran": np.asfortranarray(np.arange(6, dtype=np.uint8).reshape(2, 3)),
    "numbers": [np.float32(3.5), np.int64(-2), np.bool_(True), 1, 2**70, 1.5, 3j, None, True],
    "texts": ("a", "é", b"raw", b"", np.array(["x", "yy"])), "sets": [{1, 2}, frozenset("a")],
    "ordered": collections.OrderedDict([("b", 1), ("a", 2)]), "empty": np.zeros((0, 7)),
    "objects": np.array([{"k": np.arange(2)}, None, "s"], dtype=object), "bool": np.array([True, False]),
}


def same(a, b) -> bool:
    if isinstance(b, np.ndarray):
        return a.shape == b.shape and a.dtype == b.dtype and all(map(same, a.ravel().tolist(), b.ravel().tolist()))
    if isinstance(b, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in b)
    if isinstance(b, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_and_containers_come_back(tmp_path, protocol):
    path = tmp_path / "plain.pkl"
    path.write_bytes(pickle.dumps(PLAIN, protocol))
    assert same(load_pickle(path), PLAIN)


def test_names_of_numpy_1_and_of_python_2(tmp_path):
    data = pickle.dumps({"a": np.arange(3), "s": np.float64(2)}, 2)
    assert b"numpy._core.multiarray" in data or b"numpy.core.multiarray" in data
    for name in (b"numpy.core.multiarray", b"numpy._core.multiarray"):
        path = tmp_path / "n.pkl"
        path.write_bytes(data.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
                         .replace(b"numpy.core.multiarray", name))
        assert same(load_pickle(path), {"a": np.arange(3), "s": np.float64(2)})
    path.write_bytes(b"U\x04caf\xe9.")  # a str of Python 2
    assert load_pickle(path) == "café"


class Call:
    """Pickles as a call of `function`."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


class Custom:
    pass


def by_name(module: str, name: str, *args) -> bytes:
    """A protocol-0 call of any name, there or not."""
    return f"c{module}\n{name}\n".encode() + b"(" + b"".join(b"V%s\n" % a.encode() for a in args) + b"tR."


REFUSED = {
    "os.system": (lambda trap: pickle.dumps(Call(os.system, f"touch {trap}"), 4), r"posix\.system|nt\.system"),
    "os.system by name": (by_name("os", "system", "touch {trap}"), r"os\.system"),
    "eval": (lambda trap: pickle.dumps(Call(eval, f"open({trap!r},'w')"), 4), r"builtins\.eval"),
    "eval of Python 2": (by_name("__builtin__", "eval", "open('{trap}','w')"), r"__builtin__\.eval"),
    "getattr": (by_name("builtins", "getattr", "a", "b"), r"builtins\.getattr"),
    "partial": (by_name("functools", "partial"), r"functools\.partial"),
    "a class": (pickle.dumps(Custom(), 4), r"test_safe_pickle\.Custom"),
    "numpy.load": (by_name("numpy", "load", "{trap}"), r"numpy\.load"),
    "numpy's runstring": (by_name("numpy.testing._private.utils", "runstring", "1"), r"utils\.runstring"),
    "a dotted name": (b"\x80\x04\x8c\x05numpy\x8c\x11ndarray.__class__\x93.", r"numpy\.ndarray\.__class__"),
    "memmap": (by_name("numpy", "memmap", "{trap}"), r"numpy\.memmap"),
    "builtins.bytearray": (by_name("builtins", "bytearray"), r"builtins\.bytearray"),
    "codecs": (by_name("_codecs", "encode", "a", "rot13"), r"_codecs\.encode to 'rot13'"),
    "an object dtype that claims to hold plain bytes": (
        pickle.dumps(np.arange(1), 2).replace(b"i8", b"O8"), "numpy.ndarray with a foreign state"),
    "a structured dtype": (pickle.dumps(np.zeros(1, [("x", "f4")]), 4), r"numpy\.dtype\('V4'\)"),
    "big-endian numbers": (pickle.dumps(np.zeros(1, ">f4"), 4), r"numpy\.dtype"),
    "a subclass of ndarray": (pickle.dumps(np.ma.masked_array([1]), 4), r"numpy\.ma"),
}


@pytest.mark.parametrize("data, name", REFUSED.values(), ids=REFUSED)
def test_anything_else_is_refused_by_name_and_not_run(tmp_path, data, name):
    trap, path = tmp_path / "trap", tmp_path / "evil.pkl"
    path.write_bytes(data(str(trap)) if callable(data) else data.replace(b"{trap}", str(trap).encode()))
    with pytest.raises(InputError, match=name) as raised:
        load_pickle(path)
    assert str(raised.value).startswith(f"{path}: found a pickle that asks for ")
    assert "Nothing of it was run" in str(raised.value) and not trap.exists()


def test_the_table_cannot_be_changed(tmp_path):
    """BUILD on an admitted function must not set its defaults, as it would on a plain Python function."""
    path = tmp_path / "build.pkl"
    path.write_bytes(b"\x80\x02c_codecs\nencode\nN}U\x0c__defaults__(U\x03xyzts\x86b.")
    with pytest.raises(InputError, match="a change of a function"):
        load_pickle(path)
    path.write_bytes(by_name("_codecs", "encode", "a"))
    assert load_pickle(path) == b"a"


DAMAGED = {
    "empty": b"", "no pickle": b"hello\n", "cut": pickle.dumps(PLAIN, 4)[:-40],
    "an array called": b"cnumpy\nndarray\n(tR.",
    "a dtype without arguments": b"cnumpy\ndtype\n(tR.", "persistent id": b"Pabc\n.",
    "a memo index beyond the file": b"\x80\x02Nr\xff\xff\xff\x7f.",
    "a frame beyond the file": b"\x80\x04\x95" + struct.pack("<Q", 2**40) + b"N.",
    "bytes beyond the file": b"\x80\x04\x8e" + struct.pack("<Q", 2**40) + b"abc.",
    "a bytearray beyond the file": b"\x80\x05\x96" + struct.pack("<Q", 2**40) + b"abc.",
    "data too short for the shape": pickle.dumps(np.zeros(3, np.uint8), 2).replace(b"K\x03\x85", b"J\0\0\0\x7f\x85"),
}


@pytest.mark.parametrize("data", DAMAGED.values(), ids=DAMAGED)
def test_damage_is_one_clear_error(tmp_path, data):
    path = tmp_path / "damaged.pkl"
    path.write_bytes(data)
    with pytest.raises(InputError) as raised:
        load_pickle(path)
    assert str(path) in str(raised.value)
    with pytest.raises(InputError, match="absent: found that it cannot be read"):
        load_pickle(tmp_path / "absent")


ONE = pickle.dumps(np.array([{"a": 1}], object), 2)


def doubled(again: bytes, n: int = 60) -> bytes:
    """A pickle whose value refers to itself 2^n times: `again` makes one level of two of the last."""
    return b"\x80\x04)q\x00" + again * n


COUNTED = b"\x80\x02cnumpy._core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"  # an unbuilt array
DTYPE = b"cnumpy\ndtype\n(U\x02%sK\x00K\x01tR"
HOSTILE = {
    "a list shorter than the shape": ONE.replace(b"K\x01\x85", b"K\x40\x85"),
    "2^30 objects and an empty list": COUNTED + b"(K\x01J\0\0\0\x40\x85" + DTYPE % b"O8" + b"\x89]tb.",
    "2^62 objects of nothing": COUNTED + b"(K\x01(K\x00\x8a\x08" + b"\xff" * 7 + b"\x3ft" + DTYPE % b"O8" + b"\x89]tb.",
    "a shape of texts": COUNTED + b"(K\x01U\x01a\x85" + DTYPE % b"O8" + b"\x89]tb.",
    "a negative shape": COUNTED + b"(K\x01J\xff\xff\xff\xff\x85" + DTYPE % b"f8" + b"\x89U\x00tb.",
    "33 axes": COUNTED + b"(K\x01(" + b"K\x01" * 33 + b"t" + DTYPE % b"O8" + b"\x89]Natb.",
    "entries of no width": COUNTED + b"(K\x01J\0\0\0\x40\x85" + DTYPE % b"S0" + b"\x89U\x00tb.",
    "texts of no width": COUNTED + b"(K\x01J\0\0\0\x40\x85" + DTYPE % b"U0" + b"\x89U\x00tb.",
    "a tuple of tuples as a key": doubled(b"h\x00h\x00\x86q\x00") + b"0}h\x00Ns.",
    "a tuple of tuples in a set": doubled(b"h\x00h\x00\x86q\x00") + b"0\x8f(h\x00\x90.",
    "a frozenset of frozensets": doubled(b"(h\x00h\x00\x91q\x00") + b"0}h\x00Ns.",
    "a frozenset as a key": b"\x80\x04}(\x91Ns.",
    "a dtype in the state of a dtype": 
        b"\x80\x02" + DTYPE % b"f8" + b"(K\x03U\x01<NK\x01NJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb.",
    "an array inside itself": COUNTED + b"q\x05(K\x01K\x01\x85" + DTYPE % b"O8" + b"\x89]h\x05atb0h\x05b.",
    "a million numbers": b"\x80\x02(" + b"K\x01" * 1_000_000 + b"t.",
    "a long text copied": b"\x80\x02X" + struct.pack("<I", 10**6) + b"a" * 10**6 + b"q\x00c_codecs\nencode\nq\x01"
                          + b"h\x01h\x00\x85R" * 10_000 + b"t.",
    "a number of 5000 digits": b"L" + b"9" * 5000 + b"L\n.",
    "nothing on the stack": b"\x80\x02a.", "a mark too few": b"\x80\x02t.", "a mark in the way": b"\x80\x02N(\x85.",
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE)
def test_what_would_take_all_time_or_memory_is_refused_at_once(tmp_path, data):
    path, start = tmp_path / "hostile.pkl", time.process_time()
    path.write_bytes(data)
    with pytest.raises(InputError, match="hostile.pkl: found"):
        load_pickle(path)
    assert time.process_time() - start < 10
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 2e6  # kB


def test_every_bit_of_an_object_array(tmp_path):
    """A flipped bit gave NumPy a list that is not as long as the shape says, and the process died."""
    path = tmp_path / "bit.npy"
    np.save(path, objects({"a": np.arange(3.0), "b": [1, "x"]}, None))
    data, fine = path.read_bytes(), 0
    for bit in range(8 * len(data)):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        try:
            npy_objects(path)
            fine += 1
        except InputError:
            pass
    assert 0 < fine < 8 * len(data)


def test_a_header_may_not_tell_of_more_objects_than_the_file_has_room_for(tmp_path):
    path = tmp_path / "out.npy"
    np.save(path, objects({}, {}))
    data = path.read_bytes()
    for shape in (b"(99999999999,), }", b"(-2,), }         "):
        path.write_bytes(data.replace(b"(2,), }" + b" " * 10, shape))
        with pytest.raises(InputError, match="a header that tells of -?[0-9]+ objects"):
            npy_count(path)


def test_nesting_is_bounded(tmp_path):
    """Python compares and prints nested containers by recursion."""
    path = tmp_path / "deep.pkl"
    path.write_bytes(b"]" * 50 + b"a" * 49 + b".")
    value = load_pickle(path)
    for _ in range(49):
        value, = value
    assert value == []
    shortcuts = b"\x80\x04(]q\x00" + b"".join(b"]h\x00aq\x00" for _ in range(60)) + b"t."  # each also on top
    circle = b"\x80\x04]q\x00h\x00a."
    for data in (b"]" * 51 + b"a" * 50 + b".", b"]" * 100_000 + b"a" * 99_999 + b".", shortcuts, circle,
                 b"}" + b"K\x01}" * 60 + b"s" * 60 + b".", b")" + b"\x85" * 60 + b".", b"]" * 100_000):
        path.write_bytes(data)
        with pytest.raises(InputError):
            load_pickle(path)


def objects(*items) -> np.ndarray:
    row = np.empty(len(items), object)
    row[:] = items
    return row


def test_npy_of_objects(tmp_path):
    path = tmp_path / "out.npy"
    np.save(path, objects({"a": np.arange(3)}, [1], "x"))
    assert npy_count(path) == 3
    assert same(npy_objects(path), [{"a": np.arange(3)}, [1], "x"])
    data = path.read_bytes()
    path.write_bytes(data.replace(b"(3,)", b"(4,)"))
    with pytest.raises(InputError, match=r"of shape \(3,\); expected 4 objects"):
        npy_objects(path)
    path.write_bytes(data[:-20])
    assert npy_count(path) == 3
    with pytest.raises(InputError, match="cannot be understood"):
        npy_objects(path)
    path.write_bytes(data[:40])
    with pytest.raises(InputError, match="cannot be understood"):
        npy_count(path)
    np.save(path, np.arange(3))
    with pytest.raises(InputError, match=r"an array int64 \(3,\); expected a row of objects"):
        npy_objects(path)
    np.save(path, objects(Custom()))
    with pytest.raises(InputError, match=r"out\.npy: found a pickle that asks for .*Custom"):
        npy_objects(path)
