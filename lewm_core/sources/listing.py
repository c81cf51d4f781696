"""What lies in folders of recordings: found in a stable order, and named as ids."""

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import quote, unquote

from lewm_core.utils.errors import InputError

_DEPTH = 8  # folders that are looked into, one in the other
_GROUP = re.compile("traj_group[0-9]+")


def listed(names: Sequence[str], n: int = 5) -> str:
    """The first `n` names, and how many more there are."""
    shown = ", ".join(names[:n]) or "nothing in it"
    return shown + (f" and {len(names) - n} more" if len(names) > n else "")


def found_at(path: Path) -> str:
    """What is at a path, in a few words, for an error."""
    if path.is_dir():
        return f"a folder with {listed(sorted(p.name for p in path.iterdir()))}"
    return "a file of another name" if path.exists() else "no such file or folder"


def number_in(text: str) -> int:
    """The number that an id's last part `0000` … says; -1 where it is written otherwise."""
    number = int(text) if re.fullmatch("[0-9]{4,9}", text) else -1
    return number if f"{number:04d}" == text else -1


def folders(root: Path, depth: int = _DEPTH, seen: set[tuple[int, int]] | None = None,
            top: Path | None = None) -> Iterator[Path]:
    """`root` and all folders below it but those among or below `traj_group<N>`, each before what is in it, sorted.

    Each is met once, wherever links lead: those to folders below `top` (`root`) are not followed, others to what was
    `seen` neither.
    """
    top, seen = top or root.resolve(), set() if seen is None else seen
    here = root.stat() if root.is_dir() else None
    if here is not None and (here.st_dev, here.st_ino) in seen:
        return
    yield root
    if depth and here is not None:
        seen.add((here.st_dev, here.st_ino))
        names = sorted(e.name for e in _entries(root) if _is_folder(e, top))
        if not any(_GROUP.fullmatch(name) for name in names):
            for name in names:
                yield from folders(root / name, depth - 1, seen, top)


def _is_folder(entry: os.DirEntry, top: Path) -> bool:
    """Whether it is a folder, and no link to one below `top`."""
    try:
        return entry.is_dir() and not (entry.is_symlink() and Path(entry.path).resolve().is_relative_to(top))
    except (OSError, RuntimeError):  # a link to itself
        return False


def numbered(folder: Path, word: str, suffix: str = "") -> list[Path]:
    """The entries `<word><number><suffix>` of a folder, by number; empty where there is no such folder."""
    if not folder.is_dir():
        return []
    pattern = re.compile(re.escape(word) + "([0-9]+)" + re.escape(suffix))
    found = [(int(m[1]), e.name) for e in _entries(folder) if (m := pattern.fullmatch(e.name))]
    return [folder / name for _, name in sorted(found)]


def _entries(folder: Path) -> list[os.DirEntry]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as e:
        raise InputError(folder, f"that it cannot be listed ({e.strerror or e})", "a readable folder") from e


def size(path: Path) -> int:
    """Bytes of a file, -1 where there is none."""
    return path.stat().st_size if path.is_file() else -1


def as_id(path: Path) -> str:
    """A relative path as an id that is safe as a file name: `~` for slashes, %XX for what is not plain."""
    return quote(path.as_posix(), safe="/", errors="surrogateescape").replace("~", "%7E").replace("/", "~")


def as_path(id: str) -> Path:
    """The path of which `as_id` made the id."""
    return Path(unquote(id.replace("~", "/"), errors="surrogateescape"))
