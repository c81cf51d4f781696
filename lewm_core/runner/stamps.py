"""What says that a notebook need not run again: its stamp.

A stamp holds the digest of all that decides a notebook's outcome, how long it took, and the files it wrote, those in
the figures' folder with their own digests. It is written after everything else lies in place.
"""

from pathlib import Path
from typing import Any

from lewm_core.utils.errors import InputError
from lewm_core.utils.files import file_digest, write_json
from lewm_core.utils.plain import read_json
from lewm_core.utils.workspace import ROOT, Workspace, relative


def read(place: Workspace, name: str) -> dict[str, Any]:
    """The stamp of a notebook; empty where there is none, or none that can be read."""
    try:
        stamp = read_json(_path(place, name))
    except InputError:
        return {}
    kinds = {"digest": str, "seconds": int | float, "files": dict}
    whole = isinstance(stamp, dict) and all(isinstance(stamp.get(key), kind) for key, kind in kinds.items())
    return stamp if whole else {}


def write(place: Workspace, name: str, digest: str, seconds: float, files: list[Path]) -> None:
    """Stamp a notebook as finished. files: all that it wrote; those that are figures are stamped with their content."""
    contents = {relative(p): file_digest(p) if p.parent == place.figures else None for p in files}
    write_json(_path(place, name), {"digest": digest, "seconds": seconds, "files": contents})


def remove(place: Workspace, name: str) -> None:
    _path(place, name).unlink(missing_ok=True)


def intact(stamp: dict[str, Any]) -> bool:
    """Whether every file that a stamp names is there, and every figure is as the notebook wrote it."""
    paths = {ROOT / path: content for path, content in stamp["files"].items()}
    return all(p.is_file() and content in (None, file_digest(p)) for p, content in paths.items())


def figures(place: Workspace, stamp: dict[str, Any]) -> list[Path]:
    """The files in the figures' folder that a stamp names."""
    return [ROOT / path for path in stamp["files"] if (ROOT / path).parent == place.figures]


def state(place: Workspace) -> dict[Path, tuple[int, int]]:
    """Time and size of the files in a run's folders, to find out later what was written."""
    folders = [f for f in (place.output, place.figures) if f.is_dir()]
    return {p: (p.stat().st_mtime_ns, p.stat().st_size) for f in folders for p in f.iterdir() if p.is_file()}


def _path(place: Workspace, name: str) -> Path:
    return place.stamps / f"{name}.json"
