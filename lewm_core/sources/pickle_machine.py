"""The machine that a pickle is a program of, for programs of strangers: bounded in steps, memory and what it may make.

Python's own machine calls whatever is named, hashes whatever is a key and hands NumPy any state. This one knows the
operations that plain values need, calls only `Function`s that it is given, and counts what it does.
"""

import pickletools
from collections.abc import Callable, Mapping
from typing import BinaryIO

from lewm_core.sources.nesting import DEPTH, deeper

STEPS = 500_000  # operations that any pickle may have; that many take seconds and make less than 100 MB
BYTES_A_STEP = 256  # a larger file may have one more for so many bytes: pictures, not small objects, make files large
_KEYS = (str, bytes, float, bool, type(None), complex)
_PUSHED = {  # operations that put their argument on the stack
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "STRING", "BINSTRING",
    "SHORT_BINSTRING", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES",
    "BINBYTES8", "BYTEARRAY8"}
_MADE: dict[str, Callable] = {"NONE": lambda: None, "NEWTRUE": lambda: True, "NEWFALSE": lambda: False,
                              "EMPTY_LIST": list, "EMPTY_TUPLE": tuple, "EMPTY_DICT": dict, "EMPTY_SET": set}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_PUTS, _GETS = {"PUT", "BINPUT", "LONG_BINPUT"}, {"GET", "BINGET", "LONG_BINGET"}


class Refused(Exception):
    """What a pickle may not ask for."""


class Function:
    """What a pickle may call, with `machine.spend` as the first argument; it cannot be changed from a pickle."""

    def __init__(self, call: Callable):
        self.call = call


class Unbuilt:
    """A value that a pickle makes in two steps: called for, and then given its state, from which `built` makes it."""

    def __init__(self) -> None:
        self.places: list[int] = []  # in the memo, where the built value will stand

    def built(self, spend: Callable[[int, int], None], state: object) -> object:
        raise NotImplementedError


class Machine:
    """Runs one pickle.

    size: bytes of its file. table: (module, name) → what stands for it.
    """

    def __init__(self, size: int, table: Mapping[tuple[str, str], object]):
        self.size, self.table = size, table
        self.stack: list = []
        self.marks: list[int] = []  # lengths of the stack
        self.memo: dict[int, object] = {}
        self.steps, self.copied = STEPS + size // BYTES_A_STEP, 1_000_000 + 2 * size

    def spend(self, steps: int, copied: int = 0) -> None:
        """Count what was done; Refused where it is more than any honest file needs."""
        self.steps, self.copied = self.steps - steps, self.copied - copied
        if self.steps < 0 or self.copied < 0:
            raise Refused(f"more than {STEPS:,} values and one for {BYTES_A_STEP} bytes")

    def run(self, file: BinaryIO) -> object:
        """The value of the pickle at the position of `file`."""
        do = {name[4:].upper(): getattr(self, name) for name in dir(self) if name.startswith("_do_")}
        for op, argument, _ in pickletools.genops(file):
            self.spend(1)
            if op.name == "STOP":
                value = self.stack.pop()
                if deeper(value):
                    raise Refused(f"containers nested deeper than {DEPTH}")
                return value
            if op.name in _PUSHED:
                self.stack.append(argument)
            elif op.name in _MADE:
                self.stack.append(_MADE[op.name]())
            elif op.name in _TUPLES:
                self._push(tuple(self._take(_TUPLES[op.name])))
            elif op.name in _PUTS:
                self._put(argument)
            elif op.name in _GETS:
                self._push(self.memo[argument])
            elif op.name in do:
                do[op.name](argument)
            else:
                raise Refused(f"the operation {op.name}")
        raise ValueError("no end")

    def _do_proto(self, _) -> None:
        pass

    def _do_frame(self, length: int) -> None:
        if length > self.size:
            raise ValueError(f"a frame of {length} bytes in a file of {self.size}")

    def _push(self, value: object) -> None:
        self.stack.append(value)

    def _take(self, count: int) -> list:
        """The last values, in their order, off the stack; not from below the last mark."""
        start = len(self.stack) - count
        if start < (self.marks[-1] if self.marks else 0):
            raise ValueError("a stack that is too short")
        taken = self.stack[start:]
        del self.stack[start:]
        return taken

    def _marked(self) -> list:
        """What was put on the stack since the last mark, off it."""
        start = self.marks.pop()
        taken = self.stack[start:]
        del self.stack[start:]
        return taken

    def _put(self, place: int) -> None:
        if place > self.size:
            raise ValueError(f"a place {place} in a file of {self.size} bytes")
        value = self.stack[-1]
        self.memo[place] = value
        if isinstance(value, Unbuilt):
            value.places.append(place)

    def _do_memoize(self, _) -> None:
        self._put(len(self.memo))

    def _do_mark(self, _) -> None:
        self.marks.append(len(self.stack))

    def _do_pop(self, _) -> None:
        if self.marks and self.marks[-1] == len(self.stack):
            self.marks.pop()
        else:
            self._take(1)

    def _do_pop_mark(self, _) -> None:
        self._marked()

    def _do_dup(self, _) -> None:
        self._push(self.stack[-1])

    def _do_tuple(self, _) -> None:
        self._push(tuple(self._marked()))

    def _do_list(self, _) -> None:
        self._push(self._marked())

    def _do_append(self, _) -> None:
        self._extend(self._take(1))

    def _do_appends(self, _) -> None:
        self._extend(self._marked())

    def _do_dict(self, _) -> None:
        items = self._marked()
        self._push({})
        self._set(items)

    def _do_setitem(self, _) -> None:
        self._set(self._take(2))

    def _do_setitems(self, _) -> None:
        self._set(self._marked())

    def _do_additems(self, _) -> None:
        members = self._marked()
        self._top(set).update(map(key, members))

    def _do_frozenset(self, _) -> None:
        self._push(frozenset(map(key, self._marked())))

    def _extend(self, items: list) -> None:
        self._top(list).extend(items)

    def _set(self, items: list) -> None:
        if len(items) % 2:
            raise ValueError("a key without a value")
        self._top(dict).update(zip(map(key, items[::2]), items[1::2], strict=True))

    def _top(self, kind: type) -> object:
        if not isinstance(self.stack[-1], kind):
            raise ValueError(f"a {type(self.stack[-1]).__name__} that is no {kind.__name__}")
        return self.stack[-1]

    def _do_global(self, name: str) -> None:
        self._name(*name.split(" ", 1))

    def _do_stack_global(self, _) -> None:
        self._name(*self._take(2))

    def _name(self, module: object, name: object) -> None:
        if not isinstance(module, str) or not isinstance(name, str) or (module, name) not in self.table:
            raise Refused(f"{module:.100}.{name:.100}" if isinstance(module, str) and isinstance(name, str)
                          else "a name that is no text")
        self._push(self.table[module, name])

    def _do_reduce(self, _) -> None:
        function, arguments = self._take(2)
        if not isinstance(function, Function) or not isinstance(arguments, tuple):
            raise ValueError(f"a call of a {type(function).__name__}")
        self._push(function.call(self.spend, *arguments))

    def _do_build(self, _) -> None:
        value, state = self._take(2)
        if not isinstance(value, Unbuilt):
            what = "a function" if isinstance(value, Function) else f"a {type(value).__name__}"
            raise Refused(f"a change of {what}")
        built = value.built(self.spend, state)
        for place in value.places:
            self.memo[place] = built
        self._push(built)


def key(value: object) -> object:
    """`value` where it may be a key or the member of a set: a text or a number. Refused for what takes long to hash."""
    if isinstance(value, _KEYS) or type(value) is int and value.bit_length() <= 64:
        return value
    raise Refused(f"a {type(value).__name__} as a key")
