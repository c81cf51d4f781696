"""What we wrote is told from what was damaged since: by SHA256SUMS, a list in the folder of the file.

It has a line for each content that a file was given, in the form that the program sha256sum reads. The line is there
before the content is, so that a crash in between leaves a file that is still known. Lines are only added: two processes
may do so at once. A file that no line names is not checked: it is another program's, or older than the list.

Arrays (`utils.arrays`), datasets (`dataset.seal`) and weights (`checkpoints.weights_file`) carry their checksums
themselves: there are many, they are large, or they go elsewhere.
"""

import hashlib
import os
import re
import warnings
from collections.abc import Iterator
from pathlib import Path

from lewm_core.utils.errors import InputError

SUMS = "SHA256SUMS"
LINE = re.compile(r"([0-9a-f]{64})  (.+)")
LARGEST, LONGEST = 8_000_000_000, 100_000_000  # bytes of a file, and of a list


class Damaged(InputError):
    """A file of ours whose content is not what was written."""

    def __init__(self, where: object, found: str = "another content than was written",
                 expected: str = "the file as it was written",
                 remedy: str = "It is damaged, or was edited. Delete it and run what made it again."):
        super().__init__(where, found, expected, remedy)


class DamageWarning(UserWarning):
    """Says which damaged file is made again."""


def note(path: Path, content: Path | None = None) -> None:
    """Take up what `path` is about to hold, which lies in the file `content`; None: what it holds."""
    _add(path.parent, [(file_sum(content or path), path.name)])


def note_folder(folder: Path) -> None:
    """Take up every file in a folder."""
    _add(folder, [(file_sum(p), p.name) for p in sorted(folder.iterdir()) if p.is_file() and p.name != SUMS])


def is_noted(path: Path) -> bool:
    """Whether the list has a line for this file."""
    return path.name in sums(path.parent)


def check(path: str | Path, remedy: str = "") -> Path:
    """`path`; Damaged where the list names it and it holds something else. A file that is not there is left to the
    caller."""
    path = Path(path)
    known = sums(path.parent).get(path.name)
    if known and path.is_file() and file_sum(path) not in known:
        raise Damaged(path, **({"remedy": remedy} if remedy else {}))
    return path


def check_folder(folder: Path) -> None:
    """Damaged where a file that a folder's list names is not what it was, or is gone, or the list itself is damaged:
    of a folder that was written as a whole, it has no torn line."""
    if not all(LINE.fullmatch(line) for line in _lines(folder)):
        raise Damaged(folder / SUMS, "a line that cannot be read")
    for path, found in problems(folder):
        raise Damaged(path, found)


def problems(folder: Path) -> Iterator[tuple[Path, str]]:
    """Each file that a folder's list names and that is damaged or gone, with what was found."""
    listed = sums(folder)
    if not listed and os.path.lexists(folder / SUMS):
        yield folder / SUMS, "no line that can be read"
    for name, known in sorted(listed.items()):
        path = folder / name
        if not path.is_file():
            yield path, "no such file"
        elif file_sum(path) not in known:
            yield path, "another content than was written"


def sums(folder: Path) -> dict[str, set[str]]:
    """The list of a folder: name -> every content that the file was given. A line that is torn is no line, and what is
    no file or far too long is no list."""
    found: dict[str, set[str]] = {}
    for line in _lines(folder):
        if parts := LINE.fullmatch(line):
            found.setdefault(parts[2], set()).add(parts[1])
    return found


def _lines(folder: Path) -> list[str]:
    path = folder / SUMS
    if _no_list(path):
        return []
    return [line for line in path.read_bytes().decode("utf-8", "replace").split("\n") if line]


def _no_list(path: Path) -> str:
    """Why what lies there is no list; empty for one."""
    if not path.is_file():
        return "that it is no file"
    size = path.stat().st_size
    return f"{size / 1e9:.1f} GB, far too long" if size > LONGEST else ""


def file_sum(path: Path) -> str:
    """The SHA-256 of a file's content; empty for one that is larger than any that a list names, which takes hours."""
    if path.stat().st_size > LARGEST:
        return ""
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def made_again(path: object, why: object = "") -> None:
    """Tell that a damaged file is not used but made again."""
    warnings.warn(f"{path} is damaged and is made again{f' ({why})' if why else ''}.", DamageWarning, stacklevel=3)


def _add(folder: Path, lines: list[tuple[str, str]]) -> None:
    known = sums(folder)
    new = [f"{digest}  {name}\n" for digest, name in lines if digest not in known.get(name, ())]
    if not new:
        return
    if os.path.lexists(folder / SUMS) and (wrong := _no_list(folder / SUMS)):
        raise Damaged(folder / SUMS, wrong, "the list of checksums", "Move it away and run this again.")
    with open(folder / SUMS, "a+b", buffering=0) as f:
        torn = f.tell() and os.pread(f.fileno(), 1, f.tell() - 1) != b"\n"
        f.write(("\n" * bool(torn) + "".join(new)).encode())
        os.fsync(f.fileno())
