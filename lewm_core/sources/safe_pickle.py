"""Pickles of strangers, read without running anything: only NumPy arrays and plain containers come out.

A pickle is a program that may call any function it names. Here a name is looked up in one short table; what is not in
it is refused, with the name and the file. NumPy's own entries are replaced by checked ones, because its `dtype` and
`ndarray` take a state from the pickle that can make them read memory at will.
"""

import codecs
import mmap
import pickle
import pickletools
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from lewm_core.utils.errors import InputError

ADMITTED = "NumPy arrays and numbers, dict, list, tuple, set, str, bytes, numbers and None"
_REMEDY = "Nothing of it was run. Do not load it by other means unless you trust whoever made it."
_MEMO = {"PUT", "BINPUT", "LONG_BINPUT"}  # they name a place in a table that is made as long as they say


class _Refused(Exception):
    """A name that a pickle may not use."""


class _Dtype:
    """A plain dtype: numbers, texts, bytes or objects. The state's flags, fields and subarrays are not believed."""

    def __init__(self, spec: object, *_):
        if not isinstance(spec, str) or np.dtype(spec).kind not in "biufcSUO":
            raise _Refused(f"numpy.dtype({spec!r})")
        self.dtype = np.dtype(spec)

    def __setstate__(self, state: tuple) -> None:
        version, order, subarray, names, fields = state[:5]
        if subarray or names or fields or order == ">":
            raise _Refused(f"numpy.dtype {state!r}")


class _Array(np.ndarray):
    def __setstate__(self, state: tuple) -> None:
        *_, shape, dtype, fortran, data = state
        if not isinstance(dtype, _Dtype) or isinstance(data, list) != (dtype.dtype.kind == "O"):
            raise _Refused("a numpy.ndarray with a foreign state")
        super().__setstate__((1, shape, dtype.dtype, bool(fortran), data))


class _Function:
    """What a pickle may call, but not change: a plain function's defaults could be set from its state."""

    __slots__ = ("call",)

    def __init__(self, call: Callable):
        self.call = call

    def __call__(self, *args: object) -> object:
        return self.call(*args)

    def __setstate__(self, state: object) -> None:
        raise _Refused("a change of a function")


@_Function
def _reconstruct(kind: object, *_) -> np.ndarray:
    if kind is not _NDARRAY:
        raise _Refused(f"numpy _reconstruct of {kind!r}")
    return np.ndarray.__new__(_Array, (0,))


@_Function
def _scalar(dtype: _Dtype, data: bytes) -> np.generic:
    if dtype.dtype.kind == "O":
        raise _Refused("a numpy scalar of objects")
    value, = np.frombuffer(data, dtype.dtype)
    return value


@_Function
def _frombuffer(data: bytes, dtype: _Dtype, shape: tuple, order: str) -> np.ndarray:
    if dtype.dtype.kind == "O":
        raise _Refused("a numpy buffer of objects")
    return np.frombuffer(data, dtype.dtype).reshape(shape, order="F" if order == "F" else "C")


@_Function
def _encode(text: str, encoding: str = "latin1") -> bytes:  # how protocol 2 writes bytes
    if codecs.lookup(encoding).name != "iso8859-1":
        raise _Refused(f"_codecs.encode to {encoding!r}")
    return text.encode("latin1")


@_Function
def _empty() -> bytes:
    return b""


_NDARRAY = "numpy.ndarray"  # a word that nothing can call
_CORES = ("numpy.core", "numpy._core")  # NumPy 1 and 2
_TABLE = {
    ("numpy", "ndarray"): _NDARRAY,
    ("numpy", "dtype"): _Dtype,
    **{(f"{core}.multiarray", "_reconstruct"): _reconstruct for core in _CORES},
    **{(f"{core}.multiarray", "scalar"): _scalar for core in _CORES},
    **{(f"{core}.numeric", "_frombuffer"): _frombuffer for core in _CORES},
    ("_codecs", "encode"): _encode,
    ("collections", "OrderedDict"): OrderedDict,
    **{(module, "bytes"): _empty for module in ("builtins", "__builtin__")},
    **{(module, kind.__name__): kind for module in ("builtins", "__builtin__") for kind in (set, frozenset, complex)},
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> object:
        if (module, name) not in _TABLE:
            raise _Refused(f"{module}.{name}")
        return _TABLE[module, name]


def load_pickle(path: str | Path) -> object:
    """What the pickle file at `path` holds; strings of Python 2 are read as Latin-1.

    Raises:
        InputError: the file is absent, empty or cut short, is no pickle, or names anything but ADMITTED.
    """
    return _load(Path(path), _content)


def npy_objects(path: str | Path) -> list:
    """The objects of a `.npy` file as `np.save` writes a list of dicts: a row of pickled objects.

    Raises:
        InputError: as for `load_pickle`; also where the file holds another kind of array.
    """
    path = Path(path)
    count, content = npy_count(path), _load(path, lambda file: _header(file) and _content(file))
    if not isinstance(content, np.ndarray) or content.shape != (count,):
        raise InputError(path, f"a {type(content).__name__} of shape {np.shape(content)}", f"{count} objects, as its "
                         "header says", "Copy the file again.")
    return list(content)


def npy_count(path: str | Path) -> int:
    """How many objects `npy_objects` would give, from the file's header alone; InputError as there."""
    shape, _, dtype = _load(Path(path), _header)
    if dtype != np.dtype(object) or len(shape) != 1:
        raise InputError(path, f"an array {dtype} {shape}", "a row of objects, as bridgedata_raw_to_numpy.py writes")
    return shape[0]


def _load(path: Path, read) -> object:
    try:
        with open(path, "rb") as f, mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ) as file:
            return read(file)
    except _Refused as e:
        raise InputError(path, f"a pickle that asks for {e}", ADMITTED, _REMEDY) from None
    except OSError as e:
        raise InputError(path, f"that it cannot be read ({e.strerror or e})", "a readable file") from e
    except Exception as e:  # a damaged pickle can fail in any way
        raise InputError(path, f"that it cannot be understood ({type(e).__name__}: {e})", f"a whole file of {ADMITTED}",
                         "Download or copy the file again.") from e


def _header(file: mmap.mmap) -> tuple:
    version = npy.read_magic(file)
    return (npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0)(file)


def _content(file: mmap.mmap) -> object:
    """The pickle at the file's position. All lengths in it are compared with the file's before anything is made."""
    start = file.tell()
    for op, argument, _ in pickletools.genops(file):
        if op.name in _MEMO and argument > len(file) or op.name == "FRAME" and argument > len(file) - file.tell():
            raise ValueError(f"{op.name} {argument} in a file of {len(file)} bytes")
    file.seek(start)
    return _Unpickler(file, encoding="latin1").load()
