"""State dicts in files of torch.save, which are zip archives: a pickle that says what there is, and an entry a storage.

Read without torch's own reader, which checks neither the zip's checksums nor whether a storage is as long as the pickle
says. Nothing that the pickle names is ever looked up: what a state dict is made of has a stand-in here, other names of
torch and plain containers become an `Other`, which is no tensor, and any other name is refused.
"""

import io
import math
import pickle
import pickletools
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from lewm_core.utils.plain import cut

STORAGES = {  # torch's name of a storage -> what it holds; of any other kind no tensor is made
    "DoubleStorage": torch.float64, "FloatStorage": torch.float32, "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16, "LongStorage": torch.int64, "IntStorage": torch.int32,
    "ShortStorage": torch.int16, "CharStorage": torch.int8, "ByteStorage": torch.uint8, "BoolStorage": torch.bool,
}
HARMLESS = ("torch", "torch._utils", "torch._tensor", "torch.storage", "torch.serialization", "torch.nn.parameter",
            "_codecs", "collections", "numpy", "numpy.dtypes", "numpy.core.multiarray", "numpy._core.multiarray")
CONTAINERS = ("set", "frozenset", "complex", "bytearray", "slice", "int", "float", "bool", "str", "bytes")
MOST_PICKLE = 16_000_000  # bytes
MOST_OPCODES = 1_000_000
MOST_NESTED = 10_000  # things in one tuple, counted as often as they stand in it: a tuple's hash looks at all of them
_TUPLES = ("TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "FROZENSET")


class Unreadable(Exception):
    """No whole file of torch.save, or one that nobody should open; the reason is the text."""


class Code(Unreadable):
    """A pickle that would run something: its name is the text."""


@dataclass(frozen=True)
class Stored:
    """A tensor as the pickle describes it. key: its storage's; offset and stride: in elements."""

    key: str
    dtype: torch.dtype
    shape: tuple[int, ...]
    offset: int
    stride: tuple[int, ...]

    @property
    def last(self) -> int:
        """How many elements of the storage it needs."""
        if 0 in self.shape:
            return 0
        return self.offset + 1 + sum((n - 1) * step for n, step in zip(self.shape, self.stride, strict=True))

    @property
    def bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


class Other:
    """Something that is no tensor of a state dict, called `name`. It swallows what the pickle does to it."""

    def __init__(self, name: str):
        self.name = name

    def __setstate__(self, state: object) -> None:
        pass

    def __setitem__(self, key: object, value: object) -> None:
        pass

    def append(self, value: object) -> None:
        pass

    extend = add = update = append


class _Named:
    """What a pickle finds under a name: it can be called, and not be changed."""

    __slots__ = ("name", "call")

    def __init__(self, name: str, call: Callable):
        self.name, self.call = name, call

    def __call__(self, *args: object) -> object:
        return self.call(*args)

    def __setstate__(self, state: object) -> None:
        raise Code(f"a change of {self.name}")


def _tensor(storage: object, offset: object, shape: object, stride: object, *_: object) -> object:
    """Stands in for torch._utils._rebuild_tensor_v2."""
    if not isinstance(storage, Stored):
        return Other(f"a tensor in {storage.name if isinstance(storage, Other) else type(storage).__name__}")
    numbers = [offset, *shape, *stride]
    if len(shape) != len(stride) or any(type(n) is not int or not 0 <= n < 2**62 for n in numbers):
        raise Unreadable("a tensor of impossible shape")
    found = Stored(storage.key, storage.dtype, tuple(shape), offset, tuple(stride))
    if max(found.last, math.prod(found.shape)) > storage.shape[0]:
        raise Unreadable(f"a tensor of shape {found.shape} in a storage of {storage.shape[0]} elements")
    return found


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> object:
        full = f"{module}.{name}"
        if full == "collections.OrderedDict":
            return OrderedDict
        if full == "torch._utils._rebuild_tensor_v2":
            return _Named(full, _tensor)
        if full in ("torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state"):
            return _Named(full, lambda data, *_: data)
        if full == "torch._tensor._rebuild_from_type_v2":  # a tensor with attributes
            return _Named(full, lambda rebuild, kind, arguments, state: rebuild(*arguments))
        if module in HARMLESS or module in ("builtins", "__builtin__") and name in CONTAINERS:
            return _Named(full, lambda *_: Other(full))
        raise Code(full)

    def persistent_load(self, pid: tuple) -> object:
        kind, storage, key, _, count = pid
        if kind != "storage" or not isinstance(storage, _Named) or type(key) is not str or type(count) is not int:
            raise Unreadable("a storage of another kind")
        dtype = STORAGES.get(storage.name.removeprefix("torch."))
        return Other(storage.name) if dtype is None else Stored(key, dtype, (count,), 0, (1,))


class TorchFile:
    """A file of torch.save, open. content: what was saved, with a `Stored` for each tensor.

    Raises Unreadable, here and in `read`, and whatever `zipfile` and `pickle` raise for damaged files.
    """

    def __init__(self, path: Path):
        self.zip = zipfile.ZipFile(path)
        self.sizes = _sizes(self.zip, path.stat().st_size)
        pickles = [name for name in self.sizes if name.count("/") == 1 and name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise Unreadable("a zip archive without the one data.pkl of torch.save")
        self.root = pickles[0].removesuffix("data.pkl")
        if f"{self.root}byteorder" in self.sizes and self.zip.read(f"{self.root}byteorder") != b"little":
            raise Unreadable("numbers in another byte order")
        self.content = load(self.zip.read(pickles[0]))

    def check(self, state: Mapping[str, Stored]) -> None:
        """Raise Unreadable unless every tensor lies in the file, and all together are no more than it."""
        for name, value in state.items():
            if self.sizes.get(self._entry(value), -1) < value.last * value.dtype.itemsize:
                raise Unreadable(f"less data than {name} needs")
        if sum(value.bytes for value in state.values()) > sum(self.sizes.values()):
            raise Unreadable("tensors that share their memory")

    def read(self, state: Mapping[str, Stored]) -> dict[str, Tensor]:
        """The tensors themselves. zipfile compares every entry with its checksum."""
        storages: dict[str, Tensor] = {}
        found = {}
        for name, value in state.items():
            entry = self._entry(value)
            if entry not in storages:
                storages[entry] = torch.frombuffer(bytearray(self.zip.read(entry)) or bytearray(8), dtype=torch.uint8)
            whole = storages[entry]
            elements = whole[: len(whole) // value.dtype.itemsize * value.dtype.itemsize].view(value.dtype)
            found[name] = elements.as_strided(value.shape, value.stride, value.offset)
        return found

    def _entry(self, value: Stored) -> str:
        return f"{self.root}data/{value.key}"


def _sizes(archive: zipfile.ZipFile, size: int) -> dict[str, int]:
    """Bytes of each entry; Unreadable unless they are stored as they are, each once, none over another."""
    entries = archive.infolist()
    for entry in entries:
        if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size:
            raise Unreadable(f"a compressed entry {cut(entry.filename, 80)}, which torch.save never writes")
    sizes = {entry.filename: entry.file_size for entry in entries}
    if len(sizes) < len(entries) or sum(sizes.values()) > size:
        raise Unreadable("entries of one name, or one over another")
    return sizes


def load(content: bytes) -> object:
    """What a pickle holds, a `Stored` for each tensor."""
    if len(content) > MOST_PICKLE:
        raise Unreadable(f"a pickle of {len(content):,} bytes, more than {MOST_PICKLE:,}")
    _scan(content)
    return _Unpickler(io.BytesIO(content)).load()


def _scan(content: bytes) -> None:
    """Raise Unreadable for a pickle that would take long, or much memory, to load.

    Walks through its opcodes with a stack of which it only keeps how many things are in each tuple.
    """
    stack: list[int | None] = []  # None: a mark
    memo: dict[int, int] = {}
    for number, (op, argument, _) in enumerate(pickletools.genops(content)):
        if number > MOST_OPCODES:
            raise Unreadable(f"a pickle of more than {MOST_OPCODES:,} steps")
        if op.name == "MEMOIZE":
            memo[len(memo)] = stack[-1]
        elif "PUT" in op.name:
            if argument > len(content):
                raise Unreadable(f"a pickle with a memo of {argument} places")
            memo[argument] = stack[-1]
        elif "GET" in op.name:
            stack.append(memo[argument])
        elif op.name == "MARK":
            stack.append(None)
        else:
            taken = _take(stack, op)
            size = 1 + sum(taken) if op.name in _TUPLES else 1
            if size > MOST_NESTED:
                raise Unreadable(f"a tuple of more than {MOST_NESTED:,} things")
            stack += [size] * len(op.stack_after)


def _take(stack: list[int | None], op: pickletools.OpcodeInfo) -> list[int]:
    """Remove from the stack what an opcode takes."""
    taken = []
    marked = pickletools.markobject in op.stack_before
    below = op.stack_before.index(pickletools.markobject) if marked else len(op.stack_before)
    if marked:
        while (value := stack.pop()) is not None:
            taken.append(value)
    taken += [stack.pop() or 0 for _ in range(below)]
    return taken
