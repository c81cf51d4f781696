"""Pickles that run code, or that cost more than they weigh, written opcode by opcode.

`GADGETS` are calls that would make the canary file; `BOMBS` are small pickles of large, deep or impossible values.
"""

import copyreg
import pickle
import struct
from collections.abc import Callable

import numpy as np

from tests.fuzz.cases import Place

TOUCH = "touch {}"
OPEN = "open({!r}, 'w').close()"
# module, name, arguments (formatted with the canary's path): each would make that file if it were called
CALLS: tuple[tuple[str, str, tuple], ...] = (
    ("os", "system", (TOUCH,)), ("posix", "system", (TOUCH,)), ("nt", "system", (TOUCH,)), ("os", "popen", (TOUCH,)),
    ("subprocess", "getoutput", (TOUCH,)), ("subprocess", "Popen", (["touch", "{}"],)),
    ("subprocess", "check_call", (["touch", "{}"],)), ("pty", "spawn", (["touch", "{}"],)),
    ("builtins", "eval", (OPEN,)), ("builtins", "exec", (OPEN,)), ("__builtin__", "eval", (OPEN,)),
    ("builtins", "open", ("{}", "w")), ("io", "open", ("{}", "w")), ("_io", "FileIO", ("{}", "w")),
    ("codecs", "open", ("{}", "w")), ("gzip", "open", ("{}", "w")), ("bz2", "BZ2File", ("{}", "w")),
    ("zipfile", "ZipFile", ("{}", "w")), ("sqlite3", "connect", ("{}",)), ("logging", "FileHandler", ("{}",)),
    ("shelve", "open", ("{}",)), ("tempfile", "mkstemp", ("", "canary", "{}")), ("os", "mkdir", ("{}",)),
    ("os", "makedirs", ("{}",)), ("shutil", "copy", ("/etc/hostname", "{}")), ("os", "symlink", ("/etc", "{}")),
    ("numpy", "memmap", ("{}", "uint8", "w+", 0, 1)), ("numpy", "savetxt", ("{}", [1.0])), ("numpy", "save", ("{}", 1)),
    ("numpy.testing._private.utils", "runstring", (OPEN, {})), ("numpy.lib.format", "open_memmap", ("{}", "w+")),
    ("numpy.lib._npyio_impl", "save", ("{}", 1)), ("numpy.f2py.capi_maps", "eval", (OPEN,)),
    ("torch", "save", (1, "{}")), ("torch.serialization", "save", (1, "{}")), ("torch.hub", "load", ("{}", "x")),
    ("torch._C", "PyTorchFileWriter", ("{}",)), ("h5py", "File", ("{}", "w")), ("timeit", "timeit", (OPEN,)),
    ("cProfile", "run", (OPEN,)), ("profile", "run", (OPEN,)), ("pdb", "run", (OPEN,)), ("code", "interact", ()),
    ("runpy", "run_path", ("{}",)), ("pickle", "loads", (pickle.dumps(1),)), ("_pickle", "loads", (b"cos\nsystem\n.",)),
    ("torch.storage", "_load_from_bytes", (b"cos\nsystem\n(S'touch {}'\ntR.",)), ("pandas", "read_pickle", ("{}",)),
    ("functools", "partial", ()), ("operator", "methodcaller", ("system", TOUCH)), ("operator", "attrgetter", ("x",)),
    ("builtins", "getattr", ("a", "b")), ("importlib", "import_module", ("antigravity",)),
    ("types", "FunctionType", ()),
    ("lewm_core.sources.safe_pickle", "load_pickle", ("{}",)), ("pathlib", "Path.touch", ("{}",)),
    ("os", "path.os.system", (TOUCH,)), ("numpy", "ndarray.tofile", ("{}",)),
    ("collections", "OrderedDict.fromkeys", ()),
)


def _filled(value: object, canary: str) -> object:
    if isinstance(value, str):
        return value.format(canary) if "{" in value else value
    if isinstance(value, bytes):
        return value.replace(b"{}", canary.encode())
    return [_filled(v, canary) for v in value] if isinstance(value, list) else value


def _value(value: object) -> bytes:
    """A value's opcodes, without what begins and ends a pickle."""
    return pickle.dumps(value, 2)[2:-1]


def _text(text: str) -> bytes:
    return b"X" + struct.pack("<I", len(text.encode())) + text.encode()


def _long_name(module: str, name: str) -> bytes:
    return _text(module) + _text(name) + b"\x93"


def _short_name(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


def _built(module: str, name: str, arguments: tuple) -> bytes:
    """By a state: an OrderedDict whose __setstate__ is the function."""
    holder = _short_name("collections", "OrderedDict") + b")R"
    state = b"}" + _text("__setstate__") + _short_name(module, name) + b"s"
    return holder + state + b"b" + _value(arguments[0] if arguments else None) + b"b"


def _registered(module: str, name: str, arguments: tuple) -> bytes:
    """By a number of the extension registry, which some library may have given to it."""
    if (module, name) not in copyreg._extension_registry:
        copyreg.add_extension(module, name, 0x71)
    return b"\x82\x71" + _value(arguments) + b"R"


STYLES: dict[str, Callable[[str, str, tuple], bytes]] = {
    "GLOBAL REDUCE": lambda m, n, a: _short_name(m, n) + _value(a) + b"R",
    "STACK_GLOBAL REDUCE": lambda m, n, a: b"\x80\x04" + _long_name(m, n) + _value(a) + b"R",
    "INST": lambda m, n, a: b"(" + b"".join(map(_value, a)) + f"i{m}\n{n}\n".encode(),
    "OBJ": lambda m, n, a: b"(" + _short_name(m, n) + b"".join(map(_value, a)) + b"o",
    "NEWOBJ": lambda m, n, a: _short_name(m, n) + _value(a) + b"\x81",
    "NEWOBJ_EX": lambda m, n, a: b"\x80\x04" + _short_name(m, n) + _value(a) + b"}\x92",
    "BUILD": _built, "EXT1": _registered,
    "_reconstruct": lambda m, n, a: _short_name("numpy.core.multiarray", "_reconstruct") + b"(" + _short_name(m, n)
    + _value((0,)) + _value(b"b") + b"tR",
    "memo": lambda m, n, a: _short_name(m, n) + b"q\x050h\x05" + _value(a) + b"R",
}


def gadget(place: Place, rest: bytes = b"N.") -> tuple[bytes, str]:
    """A call of the canary's maker, dropped from the stack again, then `rest`, a whole pickle; and what it is."""
    module, name, arguments = place.one(CALLS)
    style = place.one(list(STYLES))
    filled = tuple(_filled(a, str(place.canary)) for a in arguments)
    start = place.rng.integers(3)
    code = STYLES[style](module, name, filled)
    data = (b"\x80\x04", b"\x80\x02", b"")[start] + (code + b"0" + rest if place.rng.integers(2) else code + b".")
    return data, f"{style} of {module}.{name}"


def _doubled(leaf: bytes, n: int, pair: bytes = b"\x86") -> bytes:
    """A pair of a pair of a pair …, each half the same object: 2^n leaves."""
    code = leaf
    for i in range(n):
        code += b"q" + bytes([i]) + b"h" + bytes([i]) + pair
    return code


def _list_of_lists(n: int) -> bytes:
    code = b"(K\x01K\x02l"
    for i in range(n):
        code += b"q" + bytes([i]) + b"0](h" + bytes([i]) + b"h" + bytes([i]) + b"e"
    return code


def _array(shape: bytes, data: bytes, dtype: str = "O", module: str = "numpy.core.multiarray") -> bytes:
    """An array by its state: any shape, any dtype and any data, whether they fit or not."""
    kind = _short_name("numpy", "dtype") + _value((dtype, False, True)) + b"R"
    kind += _value((3, "|" if dtype[:1] in "OSU" else "<", None, None, None, -1, -1, 63)) + b"b"
    made = _short_name(module, "_reconstruct") + b"(" + _short_name("numpy", "ndarray") + _value((0,)) + _value(b"b")
    return made + b"tR(" + _value(1) + shape + kind + b"\x89" + data + b"tb"


BOMBS: dict[str, bytes] = {
    "tuples as a key": b"}" + _doubled(b")", 40) + b"Ns",
    "frozensets as a key": b"\x80\x04}" + b"(K\x01\x91" + b"".join(
        b"\x94h" + bytes([i]) + b"0(h" + bytes([i]) + b"K\x02\x91" for i in range(30)) + b"Ns",
    "tuples in a set": b"\x80\x04\x8f(" + _doubled(b")", 40) + b"\x90", "tuples of numbers": _doubled(b"K\x01", 30),
    "lists of lists": _list_of_lists(30), "texts doubled": _doubled(_text("a" * 100), 40),
    "deep lists": b"]" * 200_000 + b"a" * 199_999, "deep tuples": b")" + b"\x85" * 200_000,
    "deep dicts": b"}K\x01" * 50_000 + b"N" + b"s" * 50_000,
    "deep marks": b"(" * 1_000_000 + b"N", "deep unfinished": b"]" * 1_000_000,
    "a list in itself": b"]q\x00h\x00a", "a dict in itself": b"}q\x00K\x01h\x00s",
    "a tuple in itself": b"(]q\x00h\x00at", "10^400": b"L1" + b"0" * 400 + b"L\n",
    "10^5000": b"I1" + b"0" * 5000 + b"\n",
    "10^100000": b"L1" + b"0" * 100_000 + b"L\n", "a long of 1 MB": b"\x8b" + struct.pack("<i",
                                                                                          10**6) + b"\x7f" * 10**6,
    "a long of negative length": b"\x8b" + struct.pack("<i", -5) + b"abc",
    "text beyond the file": b"X\xff\xff\xff\xffabc",
    "bytes beyond the file": b"\x8e" + struct.pack("<Q", 2**62) + b"abc",
    "bytearray beyond the file": b"\x96" + struct.pack("<Q", 2**40) + b"abc",
    "a frame beyond the file": b"\x80\x04\x95" + struct.pack("<Q", 2**60) + b"N",
    "a memo index of 2^31": b"Nr\xff\xff\xff\x7f", "a memo index in words": b"Np2147483647\n",
    "memo of nothing": b"h\x05",
    "a persistent name": b"Pabc\n", "a persistent object": b"K\x01Q", "an unknown extension": b"\x82\x07",
    "an unknown extension of 4 bytes": b"\x84\xff\xff\xff\x7f", "an opcode that is none": b"\xfeN",
    "protocol 200": b"\x80\xc8N",
    "a list short of its shape": _array(_value((3,)), _value([1])),
    "a list beyond its shape": _array(_value((1,)), _value([1] * 9)),
    "a shape of 2^30, an empty list": _array(_value((2**30,)), b"]"),
    "a shape of 2^62": _array(_value((2**62, 4)), b"]"),
    "a negative shape": _array(_value((-1,)), b"]"), "a shape that wraps to 0": _array(_value((2**32, 2**32)), b"]"),
    "a shape of 70 axes": _array(_value((1,) * 70), _value([1])), "a shape that is none": _array(b"N", b"]"),
    "a shape of texts": _array(_value(("a",)), b"]"),
    "floats short of their shape": _array(_value((99,)), _value(b"abc"), "f8"),
    "a shape of 0 × 2^60": _array(_value((0, 2**60)), _value(b""), "f8"),
    "zero-wide bytes": _array(_value((2**40,)), _value(b""), "S0"),
    "zero-wide text": _array(_value((2**40, 7)), _value(b""), "U0"),
    "text of 2^31": _array(_value((1,)), _value(b"a"), "S2147483647"),
    "void": _array(_value((1,)), _value(b"a" * 8), "V8"), "times": _array(_value((1,)), _value(b"a" * 8), "M8[ns]"),
    "long doubles": _array(_value((1,)), _value(b"a" * 16), "f16"),
    "halves": _array(_value((4, 7)), _value(b"ab" * 28), "f2"),
    "a dtype of a record": _array(_value((1,)), _value(b"a" * 8), "i4,O"),
    "a dtype of nothing": _array(_value((1,)), _value(b""), ""),
    "an array with data as text": _array(_value((1,)), _value("a"), "f8"), "an array with an array in it": _array(
        _value((1,)), b"(" + _array(_value((2**30,)), b"]") + b"l"),
    "a scalar of nothing": _short_name("numpy.core.multiarray", "scalar") + b"(" + _short_name("numpy", "dtype")
    + _value(("f8", False, True)) + b"R" + _value(b"") + b"tR",
    "a scalar of objects": _short_name("numpy.core.multiarray", "scalar") + b"(" + _short_name("numpy", "dtype")
    + _value(("O", False, True)) + b"R" + _value([1]) + b"tR",
    "10^7 lists": b"(" + b"]" * 10**7 + b"l", "bytes of 10^8 by encode": _short_name("_codecs", "encode") + b"("
    + _text("é" * 1000) + _text("utf-32") + b"tR",
    "complex of text": _short_name("builtins", "complex") + b"(" + _text("9" * 10**6) + b"tR",
    "a set of a set": _short_name("builtins", "frozenset") + b"(" + _list_of_lists(25) + b"tR",
}


def bomb(place: Place) -> tuple[bytes, str]:
    """One of BOMBS as a whole pickle, alone or where numbers are expected; and its name."""
    name = place.one(list(BOMBS))
    return BOMBS[name] + b".", name


def odd_numbers(rng: np.random.Generator, like: np.ndarray) -> tuple[object, str]:
    """Numbers in place of `like`, (T, 7): of another kind or shape, or not finite."""
    changed = np.array(like, np.float64)
    at = tuple(rng.integers(n) for n in changed.shape)
    for value in (np.nan, np.inf, -np.inf, 1e300, -1e300, 5e-324, 1e-40, 0.0, 1e38, 3.5e38)[rng.integers(10) :]:
        changed[at] = value
        break
    rows = like.tolist()
    odd = (changed, np.full_like(changed, np.nan), np.full_like(changed, 1e300), changed.astype(np.float16),
           changed.astype(">f8"), changed.astype(complex), changed.astype(str), changed.astype(object), changed > 0,
           np.asfortranarray(changed), changed[:, :6], changed[:-1], changed[:0], changed[None], changed.ravel(),
           np.float64(1), rows, [rows], [*rows[:-1], rows[-1][:3]], [[str(v) for v in row] for row in rows],
           [["1e400"] * 7 for _ in rows], [[10**400] * 7 for _ in rows], [[None] * 7 for _ in rows], [{}] * len(rows),
           {i: row for i, row in enumerate(rows)}, {1, 2}, "abcdefg", b"abcdefg", 7, None, [], [[]] * len(rows),
           [b"1234567"] * len(rows), ["1234567"] * len(rows), np.zeros((len(rows), 7), "datetime64[s]"))
    i = int(rng.integers(len(odd)))
    return odd[i], f"numbers {i}: {type(odd[i]).__name__} {getattr(odd[i], 'dtype', '')}"
