"""Pickles of strangers, read without running anything: only NumPy arrays and plain containers come out.

A pickle is a program that may call any function it names. Here a name is looked up in one short table; what is not in
it is refused, with the name and the file. What NumPy would make of a state is made here, where every size is compared
with the data that are there before any memory is taken.
"""

import codecs
import mmap
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable
from math import prod
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from lewm_core.sources.pickle_machine import Function, Machine, Refused, Unbuilt, key
from lewm_core.utils.errors import InputError
from lewm_core.utils.files import regular

ADMITTED = "NumPy arrays and numbers, dict, list, tuple, set, str, bytes, numbers and None"
MOST_BYTES = 4 * 2**30  # of a file, which is held in memory
_REMEDY = "Nothing of it was run. Do not load it by other means unless you trust whoever made it."
_AXES = 8
_OBJECT = 64  # bytes that an episode takes at least
_WIDTH = 4096  # bytes of one entry of an array

Spend = Callable[..., None]


class _Dtype(Unbuilt):
    """A plain dtype: numbers, texts, bytes or objects. The state's flags, fields and subarrays are not believed."""

    def __init__(self, spec: object):
        super().__init__()
        if not isinstance(spec, str) or not re.fullmatch("[|<=]?[biufcSUO][0-9]{0,4}", spec):
            raise Refused(f"numpy.dtype({spec!r:.100})")
        self.dtype = np.dtype(spec)
        if not 0 < self.dtype.itemsize <= _WIDTH:
            raise Refused(f"numpy.dtype({spec!r}), {self.dtype.itemsize} bytes")

    def built(self, spend: Spend, state: object) -> "_Dtype":
        if not isinstance(state, tuple) or len(state) < 5 or any(state[2:5]) or state[1] not in ("<", "|", "="):
            raise Refused("a numpy.dtype with a foreign state")
        return self

    def array(self, spend: Spend, shape: object, order: str, data: object) -> np.ndarray:
        """The array of that shape in the data of a pickle: bytes, or a list of objects."""
        shape = (shape,) if type(shape) is int else shape
        if not isinstance(shape, tuple) or len(shape) > _AXES or any(type(n) is not int or n < 0 for n in shape):
            raise Refused("a numpy.ndarray of a foreign shape")
        objects = self.dtype.kind == "O"
        if isinstance(data, list) != objects:
            raise Refused("a numpy.ndarray with a foreign state")
        data = data if objects else _bytes(spend, data)
        there, wanted = len(data), prod(shape) * (1 if objects else self.dtype.itemsize)
        if there != wanted:
            raise ValueError(f"{there} {'objects' if objects else 'bytes'} for {wanted}")
        if objects:
            spend(there)
            flat = np.fromiter(data, object, there)
        else:
            flat = np.frombuffer(data, self.dtype) if there else np.empty(0, self.dtype)
        return flat.reshape(shape, order=order)


class _Array(Unbuilt):
    def built(self, spend: Spend, state: object) -> np.ndarray:
        if not isinstance(state, tuple) or len(state) not in (4, 5):
            raise Refused("a numpy.ndarray with a foreign state")
        *_, shape, dtype, fortran, data = state
        if not isinstance(dtype, _Dtype):
            raise Refused("a numpy.ndarray with a foreign state")
        return dtype.array(spend, shape, "F" if fortran is True or fortran == 1 else "C", data)


def _bytes(spend: Spend, data: object) -> bytes | bytearray:
    """The bytes of an array; a pickle of Python 2 has them as text."""
    if isinstance(data, str):
        spend(1, len(data))
        return data.encode("latin1")
    if not isinstance(data, bytes | bytearray):
        raise Refused(f"a numpy.ndarray of a {type(data).__name__}")
    return data


def _dtype(_: Spend, spec: object, *__: object) -> _Dtype:
    return _Dtype(spec)


def _reconstruct(_: Spend, kind: object, *__: object) -> _Array:
    if kind is not _NDARRAY:
        raise Refused(f"numpy _reconstruct of a {type(kind).__name__}")
    return _Array()


def _scalar(spend: Spend, dtype: object, data: object) -> np.generic:
    if not isinstance(dtype, _Dtype) or dtype.dtype.kind == "O":
        raise Refused("a foreign numpy scalar")
    return dtype.array(spend, (1,), "C", data)[0]


def _frombuffer(spend: Spend, data: object, dtype: object, shape: object, order: object) -> np.ndarray:
    if not isinstance(dtype, _Dtype) or dtype.dtype.kind == "O":
        raise Refused("a numpy buffer of objects")
    return dtype.array(spend, shape, "F" if order == "F" else "C", data)


def _encode(spend: Spend, text: str, encoding: str = "latin1") -> bytes:  # how protocol 2 writes bytes
    if not isinstance(text, str) or not isinstance(encoding, str) or codecs.lookup(encoding).name != "iso8859-1":
        raise Refused(f"_codecs.encode to {encoding!r:.100}")
    return _bytes(spend, text)


def _set_of(kind: type) -> Callable:
    def make(spend: Spend, members: Iterable = ()) -> set | frozenset:
        spend(len(members))
        return kind(map(key, members))

    return make


def _ordered(spend: Spend, pairs: Iterable = ()) -> OrderedDict:
    spend(len(pairs))
    return OrderedDict((key(name), value) for name, value in pairs)


def _complex(_: Spend, *parts: object) -> complex:
    if any(type(part) is not float for part in parts):
        raise Refused("a complex number of something else")
    return complex(*parts)


def _empty(_: Spend) -> bytes:
    return b""


_NDARRAY = "numpy.ndarray"  # a word that nothing can call
_CORES = ("numpy.core", "numpy._core")  # NumPy 1 and 2
_BUILTINS = {"bytes": _empty, "set": _set_of(set), "frozenset": _set_of(frozenset), "complex": _complex}
_TABLE = {
    ("numpy", "ndarray"): _NDARRAY,
    ("numpy", "dtype"): Function(_dtype),
    **{(f"{core}.multiarray", "_reconstruct"): Function(_reconstruct) for core in _CORES},
    **{(f"{core}.multiarray", "scalar"): Function(_scalar) for core in _CORES},
    **{(f"{core}.numeric", "_frombuffer"): Function(_frombuffer) for core in _CORES},
    ("_codecs", "encode"): Function(_encode),
    ("collections", "OrderedDict"): Function(_ordered),
    **{(module, name): Function(call) for module in ("builtins", "__builtin__") for name, call in _BUILTINS.items()},
}


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
        raise InputError(path, f"an array {dtype!s:.100} {shape!s:.100}",
                         "a row of objects, as bridgedata_raw_to_numpy.py writes")
    most = Path(path).stat().st_size // _OBJECT
    if not 0 <= shape[0] <= most:
        raise InputError(path, f"a header that tells of {shape[0]} objects", f"0 to {most}, for a file of this size")
    return shape[0]


def _load(path: Path, read: Callable[[mmap.mmap], object]) -> object:
    regular(path, MOST_BYTES)
    try:
        with open(path, "rb") as f, mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ) as file:
            return read(file)
    except Refused as e:
        raise InputError(path, f"a pickle that asks for {e}", ADMITTED, _REMEDY) from None
    except OSError as e:
        raise InputError(path, f"that it cannot be read ({e.strerror or e})", "a readable file") from e
    except Exception as e:  # a damaged pickle can fail in any way
        raise InputError(path, f"that it cannot be understood ({type(e).__name__}: {str(e)[:500]})",
                         f"a whole file of {ADMITTED}", "Download or copy the file again.") from None


def _header(file: mmap.mmap) -> tuple:
    version = npy.read_magic(file)
    return (npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0)(file)


def _content(file: mmap.mmap) -> object:
    """The pickle at the file's position."""
    return Machine(len(file), _TABLE).run(file)
