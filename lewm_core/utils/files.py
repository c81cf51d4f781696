"""Writing files so that a reader never sees half of one, and what may be opened for reading."""

import csv
import hashlib
import json
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from lewm_core.utils.errors import InputError

if TYPE_CHECKING:  # the runner uses this module and must start quickly
    import pandas


_KINDS = {
    stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def regular(path: str | Path, most: int | None = None) -> Path:
    """`path`, of a file that may be opened. Whoever opens a path that a user or a data set gives asks here first.

    A pipe or a device would be read for ever. Symbolic links are followed.

    Args:
        most: bytes that the file may have; None for any number.

    Raises:
        InputError: nothing there, no regular file, not readable, or a larger one.
    """
    try:
        found = os.stat(path)
        readable = os.access(path, os.R_OK)
    except (OSError, ValueError) as e:  # ValueError: NUL or a lone surrogate in the name
        reason = getattr(e, "strerror", None) or e
        raise InputError(repr(str(path)) if isinstance(e, ValueError) else path,
                         f"that it cannot be read ({reason})", "a readable file") from None
    kind = stat.S_IFMT(found.st_mode)
    if kind != stat.S_IFREG:
        raise InputError(path, f"that it cannot be read ({_KINDS.get(kind, 'something else')}, not a file)",
                         "a regular file")
    if not readable:
        raise InputError(path, "that it cannot be read (Permission denied)", "a readable file")
    if most is not None and found.st_size > most:
        raise InputError(path, f"{found.st_size:,} bytes", f"at most {most:,}")
    return Path(path)


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is renamed to `path`, on failure it is removed.

    The temporary name keeps the suffix (libraries choose the format by it) and holds the process id, so that
    two processes writing the same file do not disturb each other: the last one wins, whole.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def new_folder(path: str | Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; on success it is renamed to `path`, on failure it is removed.

    InputError where `path` exists: a folder is never overwritten.
    """
    path = Path(path)
    if path.exists():
        raise InputError(path, "something of that name", "a folder that does not exist yet", "Give another name.")
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.mkdir(parents=True)
    try:
        yield temporary
        os.rename(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_json(path: str | Path, value: object) -> None:
    """Write `value` as indented JSON with a final newline, atomically. NaN is refused, since it is not JSON."""
    text = json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n"
    with replacing(path) as temporary:
        temporary.write_text(text)


def write_csv(path: str | Path, table: "pandas.DataFrame") -> None:
    """Write a table as CSV without its index, atomically."""
    with replacing(path) as temporary:
        to_csv(table, temporary)


def to_csv(table: "pandas.DataFrame", path: str | Path) -> None:
    """Write a table as CSV without its index. Texts are in quotes where one has a carriage return, since readers take
    that for the end of a row."""
    columns = (table.iloc[:, i] for i in range(table.shape[1]) if table.dtypes.iloc[i] in ("object", "str"))
    broken = any("\r" in cell for column in columns for cell in column if isinstance(cell, str))
    table.to_csv(path, index=False, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC if broken else csv.QUOTE_MINIMAL)


def digest(*parts: bytes | memoryview | str, length: int = 16) -> str:
    """The first `length` hex digits of the SHA-256 of `parts`, each preceded by its size so that none run together."""
    h = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        h.update(len(data).to_bytes(8, "little"))
        h.update(data)
    return h.hexdigest()[:length]


def ends_of(path: str | Path, size: int) -> tuple[bytes, bytes]:
    """The first and the last `size` bytes of a file; they overlap in a short one."""
    with open(regular(path), "rb") as f:
        head = f.read(size)
        f.seek(max(0, f.seek(0, os.SEEK_END) - size))
        return head, f.read()


def file_digest(path: str | Path, length: int = 16) -> str:
    """The first `length` hex digits of the SHA-256 of a file's content."""
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()[:length]


def note_written(path: str | Path) -> None:
    """Keep the digest of a file that we wrote and a person may edit, in a hidden file beside it."""
    with replacing(_note(path)) as temporary:
        temporary.write_text(file_digest(path))


def edited(path: str | Path) -> bool:
    """Whether somebody changed or made this file since `note_written`; False where there is none."""
    path, note = Path(path), _note(path)
    return path.exists() and not (note.exists() and note.read_text() == file_digest(path))


def _note(path: str | Path) -> Path:
    return Path(path).with_name(f".{Path(path).name}.written")
