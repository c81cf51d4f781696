"""Writing files so that a reader never sees half of one, and what may be opened for reading."""

import csv
import errno
import hashlib
import json
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from lewm_core.utils import sealed
from lewm_core.utils.errors import InputError
from lewm_core.utils.temporary import temporary_name

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


class FullDisk(InputError):
    """There is no room for a file."""


@contextmanager
def replacing(path: str | Path, seal: bool = False, durable: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is renamed to `path`, on failure it is removed.

    The temporary name keeps the suffix (libraries choose the format by it) and holds the process id, so that
    two processes writing the same file do not disturb each other: the last one wins, whole. Whatever library writes,
    the file gets the permissions of any new file.

    Args:
        seal: the content is taken up in the folder's list, see `utils.sealed`.
        durable: whoever sees the new name after a power cut sees the whole content. False for what is made again.

    Raises:
        FullDisk: there is no room.
        InputError: a folder has that name.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(path, "a folder", "a file of that name, or nothing", "Move the folder away.")
    temporary = temporary_name(path)
    with full_disk_named(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            mode = _create(temporary)
            yield temporary
            if temporary.stat().st_mode != mode:  # some libraries make their files private
                temporary.chmod(stat.S_IMODE(mode))
            if durable:
                sync(temporary)
            if seal:
                sealed.note(path, temporary)
            os.replace(temporary, path)
            if durable:
                sync(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def temporary_folder(path: str | Path) -> Iterator[Path]:
    """Yield a new hidden folder beside `path`, which is removed at the end. FullDisk where there is no room."""
    path = Path(path)
    temporary = temporary_name(path)
    with full_disk_named(path):
        temporary.mkdir(parents=True)
        try:
            yield temporary
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def new_folder(path: str | Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; on success it is renamed to `path`, on failure it is removed.

    InputError where `path` exists: a folder is never overwritten.
    """
    path = Path(path)
    if path.exists():
        raise InputError(path, "something of that name", "a folder that does not exist yet", "Give another name.")
    with temporary_folder(path) as temporary:
        yield temporary
        move_folder(temporary, path)


def move_folder(folder: Path, path: Path) -> None:
    """Rename a folder whose files lie on the disk by then."""
    for inside in (*folder.rglob("*"), folder):
        sync(inside)
    os.rename(folder, path)
    sync(path.parent)


def sync(path: Path) -> None:
    """Wait until a file or the names in a folder have reached the disk."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _create(path: Path) -> int:
    """Make an empty file; returns the mode that a new file has here, by umask and folder."""
    path.unlink(missing_ok=True)
    opened = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    try:
        return os.fstat(opened).st_mode
    finally:
        os.close(opened)


@contextmanager
def full_disk_named(path: str | Path) -> Iterator[None]:
    """Whatever a library raises because the disk is full becomes a FullDisk that names `path`."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # each library has its own: OSError, RuntimeError, SafetensorError
        if not _is_full(error, Path(path)):
            raise
        remedy = "Make room and give the same command again: what is finished is kept, nothing half-written was left."
        raise FullDisk(path, "no room on its disk (or a quota that is used up)", "room for it", remedy) from error


def _is_full(error: Exception, path: Path) -> bool:
    full = (errno.ENOSPC, errno.EDQUOT)
    if getattr(error, "errno", None) in full or any(os.strerror(number) in str(error) for number in full):
        return True
    folder = next((p for p in path.absolute().parents if p.is_dir()), None)  # torch.save does not say why it failed
    return isinstance(error, RuntimeError) and folder is not None and shutil.disk_usage(folder).free < 65536


def write_json(path: str | Path, value: object, seal: bool = False) -> None:
    """Write `value` as indented JSON with a final newline, atomically. NaN is refused, since it is not JSON.

    seal: as `replacing` has it.
    """
    text = json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n"
    with replacing(path, seal) as temporary:
        temporary.write_text(text)


def write_csv(path: str | Path, table: "pandas.DataFrame") -> None:
    """Write a table as CSV without its index, atomically and sealed."""
    with replacing(path, seal=True) as temporary:
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


def identity(path: Path) -> tuple[int, ...]:
    """What changes when a file is replaced or written to: its number, size and time. The time alone would not do, since
    clocks may be set back."""
    found = path.stat()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def ends_of(path: str | Path, size: int) -> tuple[bytes, bytes]:
    """The first and the last `size` bytes of a file; they overlap in a short one."""
    with open(regular(path), "rb") as f:
        head = f.read(size)
        f.seek(max(0, f.seek(0, os.SEEK_END) - size))
        return head, f.read()


def file_digest(path: str | Path, length: int = 16) -> str:
    """The first `length` hex digits of the SHA-256 of a file's content. InputError: it is no file that can be read."""
    with open(regular(path), "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()[:length]


def note_written(path: str | Path) -> None:
    """Keep the digest of a file that we wrote and a person may edit, in a hidden file beside it."""
    with replacing(_note(path)) as temporary:
        temporary.write_text(file_digest(path))


def edited(path: str | Path) -> bool:
    """Whether somebody changed or made this file since `note_written`; False where there is none."""
    path, note = Path(path), _note(path)
    return path.exists() and not (note.is_file() and note.read_bytes() == file_digest(path).encode())


def _note(path: str | Path) -> Path:
    return Path(path).with_name(f".{Path(path).name}.written")
