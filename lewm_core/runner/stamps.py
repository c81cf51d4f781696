"""What says that a notebook need not run again: its stamp.

A stamp holds the digest of all that decides a notebook's outcome, how long it took, and the files it wrote with their
own digests. Tables that several notebooks write, and that Jupyter's user may write anew, have theirs in the folder's
list (`utils.sealed`). The stamp is written after everything else lies in place, and is itself in such a list.
"""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lewm_core.utils import sealed
from lewm_core.utils.errors import InputError
from lewm_core.utils.files import file_digest, identity, write_json
from lewm_core.utils.plain import read_json
from lewm_core.utils.workspace import ROOT, Workspace, relative


def read(place: Workspace, name: str) -> dict[str, Any]:
    """The stamp of a notebook; empty where there is none, or a damaged one, which is told."""
    path = _path(place, name)
    try:
        stamp = read_json(sealed.check(path))
    except InputError as error:
        if path.exists():
            sealed.made_again(relative(path), error.found)
        return {}
    kinds = {"digest": str, "seconds": int | float, "files": dict}
    whole = isinstance(stamp, dict) and all(isinstance(stamp.get(key), kind) for key, kind in kinds.items())
    if not whole:
        sealed.made_again(relative(path), "no stamp")
    return stamp if whole else {}


def write(place: Workspace, name: str, digest: str, seconds: float, files: list[Path]) -> None:
    """Stamp a notebook as finished. files: all that it wrote."""
    contents = {relative(p): None if _kept_in_list(place, p) else file_digest(p) for p in files}
    write_json(_path(place, name), {"digest": digest, "seconds": seconds, "files": contents}, seal=True)


def remove(place: Workspace, name: str) -> None:
    _path(place, name).unlink(missing_ok=True)


def problems(place: Workspace, stamp: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Each file that a stamp names and that is gone or not what was written, and each damaged one of the runs that a
    table of results names: its name and what was found."""
    for name, content in stamp["files"].items():
        path = ROOT / name
        if not path.is_file():
            yield name, "gone"
        elif path == place.selection:
            continue  # a person may edit it
        elif is_damaged(path, content):
            yield name, "damaged, or changed"
        elif path.name.startswith("results_"):
            yield from _damaged_runs(place, path)


def is_damaged(path: Path, content: str | None) -> bool:
    """Whether a file is not what was written. content: its digest in a stamp, or None. A larger file (a dataset) is
    compared when it is read, not before each run."""
    if content is not None:
        return path.stat().st_size <= sealed.LARGEST and content != file_digest(path)
    try:
        sealed.check(path)
    except sealed.Damaged:
        return True
    return False


def _damaged_runs(place: Workspace, results: Path) -> Iterator[tuple[str, str]]:
    with open(results, newline="", errors="replace") as f:
        try:
            keys = dict.fromkeys(row.get("run") for row in csv.DictReader(f))
        except csv.Error:  # of a table from before there were lists
            yield relative(results), "damaged"
            return
    for folder in [place.runs / key for key in keys if key]:
        if not folder.is_dir():
            continue  # a person may have made room
        problems = [path for path, _ in sealed.problems(folder)]
        try:
            read_json(folder / "result.json")
        except InputError:  # of a run from before there were lists
            problems.append(folder / "result.json")
        yield from ((relative(path), "damaged") for path in dict.fromkeys(problems))


def _kept_in_list(place: Workspace, path: Path) -> bool:
    """Whether the list of its folder says what a file is. It accepts what a notebook run by hand wrote since; figures
    are to be this notebook's."""
    if path in (place.selection, place.summary):  # which change after this
        return True
    return path.parent != place.figures and sealed.is_noted(path)


def figures(place: Workspace, stamp: dict[str, Any]) -> list[Path]:
    """The files in the figures' folder that a stamp names."""
    return [ROOT / path for path in stamp["files"] if (ROOT / path).parent == place.figures]


def state(place: Workspace) -> dict[Path, tuple[int, ...]]:
    """The identity of the files in a run's folders, to find out later what was written."""
    folders = [f for f in (place.output, place.figures) if f.is_dir()]
    return {p: identity(p) for f in folders for p in f.iterdir()
            if p.is_file() and p.name != sealed.SUMS and not p.name.startswith(".")}


def _path(place: Workspace, name: str) -> Path:
    return place.stamps / f"{name}.json"
