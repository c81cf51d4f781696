"""The one way in which bad input is reported: where, what was found, what was expected, what to do."""

from collections.abc import Callable, Collection, Mapping
from typing import TypeVar

V = TypeVar("V")
MOST = 20_000  # characters of each part of an error: what is found may be as long as a file


def _cut(text: str) -> str:
    return text if len(text) < MOST + 40 else f"{text[:MOST]}… ({len(text):,} characters)"


class InputError(ValueError):
    """Bad input, raised before any work starts.

    Args:
        where: the file, parameter or object at fault.
        found: what is there.
        expected: what should be there.
        remedy: what the user can do about it (may be empty).
    """

    def __init__(self, where: object, found: str, expected: str, remedy: str = ""):
        self.where, self.found = _cut(str(where)), _cut(found)
        self.expected, self.remedy = _cut(expected), remedy
        super().__init__(f"{where}: found {found}; expected {expected}." + (f" {remedy}" if remedy else ""))

    def __reduce__(self):  # survives the way back from a worker process
        return type(self), (self.where, self.found, self.expected, self.remedy)


# What is called instead of raising, where the others go on: with the id of what cannot be read, and its error.
OnError = Callable[[str, InputError], None]


def known(names: Collection[str], name: str, kind: str) -> str:
    """`name`; an InputError that lists `names` where it is none of them."""
    if name not in list(names):  # a list also where `name`, a setting's value, cannot be hashed
        raise InputError(kind, repr(name), "one of " + ", ".join(map(str, names)))
    return name


def pick(table: Mapping[str, V], name: str, kind: str) -> V:
    """`table[name]`; an unknown name is an InputError that lists the known ones."""
    return table[known(table, name, kind)]
