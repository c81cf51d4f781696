"""What every command line of the package has in common: arguments that can be used at all, one line for an error.

Only the standard library is imported here.
"""

import argparse
import os
import re
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from lewm_core.utils import escape
from lewm_core.utils.errors import InputError

OK, FAILED, BAD_USAGE, INTERRUPTED = 0, 1, 2, 130
MOST = 4000  # characters of one argument


class Parser(argparse.ArgumentParser):
    """A parser whose errors, which repeat what was typed, show it and do not obey it."""

    def error(self, message: str) -> NoReturn:
        super().error(escape.message(message))


def check(arguments: Sequence[str]) -> None:
    """InputError for an argument that can be no path, name or value: empty, without end, or not to be written down."""
    for argument in arguments:
        shown, expected = repr(argument[:40]), "text in UTF-8 without control characters"
        if not argument:
            raise InputError("an argument", "nothing in it", "a value", "Leave the option out to have its default.")
        if len(argument) > MOST:
            raise InputError("an argument", f"{len(argument):,} characters ({shown}…)", f"at most {MOST:,}")
        if re.search(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]", argument):
            raise InputError("an argument", ascii(argument[:200]), expected)


def whole(least: int, most: int = 2**63 - 1) -> Callable[[str], int]:
    """The `type` of an option that takes a whole number in that range, in the digits 0 to 9."""

    def number(text: str) -> int:
        if not re.fullmatch(r"[+-]?[0-9]{1,19}", text) or not least <= int(text) <= most:
            limit = f"of at least {least}" if most >= 2**62 else f"from {least} to {most}"
            raise argparse.ArgumentTypeError(f"{text[:40]!r} is no whole number {limit}")
        return int(text)

    return number


def check_writable(path: str | Path, option: str, file: bool = False) -> None:
    """InputError where no folder (file: no file) can be written at `path`, which need not exist. Nothing is left there.
    """
    whole = there = Path(os.path.abspath(path))
    if long := [part for part in whole.parts if len(os.fsencode(part)) > 255]:
        raise InputError(option, f"a name of {len(long[0])} characters", "at most 255 bytes")
    while not os.path.lexists(there):
        there = there.parent
    if file and whole.is_file():
        there = whole.parent
    if not there.is_dir() or file and whole.is_dir():
        raise InputError(option, f"{path}, but {there} is {'a' if there.is_dir() else 'no'} folder",
                         "a file, existing or not" if file else "a folder, existing or not")
    try:
        os.rmdir(tempfile.mkdtemp(prefix=".lewm.", dir=there))
    except OSError as error:
        raise InputError(option, f"{path}, but nothing can be written in {there} ({error.strerror})",
                         "a folder that may be written to") from None


def answer(work: Callable[[], int], interrupted: str) -> int:
    """The exit code of `work`; what it raises for its input, or the machine refuses, is one line on stderr."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a name that no encoding has is shown, not raised
    try:
        return work()
    except InputError as error:
        print(f"error: {escape.message(error)}", file=sys.stderr)
        return BAD_USAGE
    except OSError as error:
        where = " and ".join(str(name) for name in (error.filename, error.filename2) if name) or "the machine"
        print(f"error: {escape.plain(where)}: found {error.strerror or error}; expected a path that can be read and "
              "written.", file=sys.stderr)
        return BAD_USAGE
    except KeyboardInterrupt:
        print(f"\n{interrupted}", file=sys.stderr)
        return INTERRUPTED
