"""Folders and ids of BridgeData's raw release and of its numpy form."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, unquote

from lewm_core.sources.bridge_base import listed
from lewm_core.utils.errors import InputError

_DEPTH = 8  # folders that are looked into, one in the other
_GROUP = re.compile("traj_group[0-9]+")


def folders(root: Path, depth: int = _DEPTH) -> Iterator[Path]:
    """`root` and all folders below it but those among or below `traj_group<N>`, each before what is in it, sorted."""
    yield root
    if depth and root.is_dir():
        names = sorted(e.name for e in _entries(root) if e.is_dir())
        if not any(_GROUP.fullmatch(name) for name in names):
            for name in names:
                yield from folders(root / name, depth - 1)


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


def check_counts(where: object, pictures: int, states: int, actions: int) -> None:
    """InputError unless there is one picture and one state more than actions."""
    if not pictures == states == actions + 1:
        raise InputError(where, f"{pictures} pictures, {states} states and {actions} actions",
                         "as many pictures as states, and one more than actions")


def kind(value: object) -> str:
    """What a pickle holds, in a few words."""
    if isinstance(value, dict):
        return f"a dict with {listed([str(k)[:40] for k in value])}" if value else "an empty dict"
    return f"a {type(value).__name__}" + (f" of {len(value)}" if isinstance(value, list | tuple) else "")


def size(path: Path) -> int:
    """Bytes of a file, -1 where there is none."""
    return path.stat().st_size if path.is_file() else -1


def as_id(path: Path) -> str:
    """A relative path as an id that is safe as a file name: `~` for slashes, %XX for what is not plain."""
    return quote(path.as_posix(), safe="/").replace("~", "%7E").replace("/", "~")


def as_path(id: str) -> Path:
    """The path of which `as_id` made the id."""
    return Path(unquote(id.replace("~", "/")))
