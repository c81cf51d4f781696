"""The one way in which bad input is reported: where, what was found, what was expected, what to do."""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

from lewm_core.utils import escape

V = TypeVar("V")


class InputError(ValueError):
    """Bad input, raised before any work starts. What data say of themselves may be of any length and hold anything; no
    part of an error breaks a terminal or a CSV file.

    Args:
        where: the file, parameter or object at fault.
        found: what is there.
        expected: what should be there.
        remedy: what the user can do about it (may be empty).
    """

    def __init__(self, where: object, found: str, expected: str, remedy: str = ""):
        parts = (escape.message(part) for part in (where, found, expected, remedy))
        self.where, self.found, self.expected, self.remedy = parts
        super().__init__(f"{self.where}: found {self.found}; expected {self.expected}."
                         + (f" {self.remedy}" if remedy else ""))

    def __reduce__(self):  # survives the way back from a worker process
        return type(self), (self.where, self.found, self.expected, self.remedy)


@contextmanager
def foreign(where: object, remedy: str = "Download or copy it again.") -> Iterator[None]:
    """Whatever a parser raises at data of strangers becomes an InputError; those pass as they are."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # parsers of others: anything may come, MemoryError and RecursionError among it
        raise InputError(where, f"what its reader fails at ({type(error).__name__}: {error})",
                         "whole and plain data", remedy) from None


@contextmanager
def located(where: object) -> Iterator[None]:
    """An InputError from within is one about `where`: for values that do not know their file."""
    try:
        yield
    except InputError as error:
        raise InputError(where, error.found, error.expected, error.remedy) from None


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
