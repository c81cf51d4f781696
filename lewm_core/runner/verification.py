"""Whether every file of a run's folder is what was written: `./run_all.sh verify`."""

import json
import os
import warnings
from collections.abc import Iterator
from pathlib import Path

from lewm_core import dataset
from lewm_core.runner import stamps
from lewm_core.utils import arrays, sealed
from lewm_core.utils.errors import InputError
from lewm_core.utils.files import edited
from lewm_core.utils.temporary import is_left
from lewm_core.utils.workspace import ROOT, Workspace, relative

OTHERS = (".jupyter", ".jobs", "site")  # folders of what is made by other programs, and that nothing reads


def place_of(run: str) -> Workspace:
    """The folders of a run: a name under runs/, or a folder (of --output)."""
    folder = Path(run).resolve()
    if Path(run).name == run and (ROOT / "runs" / run).is_dir():
        return Workspace.of_run(run)
    if folder.parent == ROOT / "runs":
        return Workspace.of_run(folder.name)
    if folder.is_dir():
        return Workspace(folder, folder / "figures")
    raise InputError(run, "no such folder, and no run of that name in runs/", "a run's folder or its name")


def verify(run: str) -> tuple[dict[str, object], bool]:
    """Compare every file of a run with its checksum. Returns a report, and whether nothing is damaged."""
    place = place_of(run)
    damaged: dict[str, str] = {}
    counts = {"files": 0, "without a checksum": 0, "left by killed runs": 0}
    stamped: set[str] = set()
    for path in sorted(place.stamps.glob("*.json")):
        with warnings.catch_warnings(action="ignore", category=sealed.DamageWarning):  # it is in the report
            stamp = stamps.read(place, path.stem)
        stamped |= set(stamp.get("files", ()))
        if not stamp:
            damaged[relative(path)] = "damaged"
            continue
        damaged |= {name: found for name, found in stamps.problems(place, stamp) if _is_of(place, name)}
    for path in _files(place):
        if is_left(path.name):
            counts["left by killed runs"] += 1
            continue
        if path.name.startswith("."):  # a note of ours on a file beside it
            continue
        if path.name == sealed.SUMS and path.parent.parent == place.runs:  # of a run, which is whole or nothing
            damaged = {relative(file): found for file, found in sealed.problems(path.parent)} | damaged
        found, has_checksum = _look_at(path)
        counts["files"] += 1
        counts["without a checksum"] += not has_checksum and relative(path) not in stamped
        if found and path != place.selection:
            damaged.setdefault(relative(path), found)
    report = {"folder": relative(place.output), **counts}
    if edited(place.selection):
        report[relative(place.selection)] = "changed since it was written, by a person or by damage"
    rows = [{"file": name, "found": found} for name, found in sorted(damaged.items())]
    return report | {"damaged": len(rows), "damaged files": rows}, not rows


def _is_of(place: Workspace, name: str) -> bool:
    """Whether a file that a stamp names lies in a run's folders: those of a copied run name the original's."""
    return any((ROOT / name).is_relative_to(folder) for folder in (place.output, place.figures))


def _files(place: Workspace) -> Iterator[Path]:
    """Every file in a run's folders."""
    inside = place.figures.is_relative_to(place.output)
    for top in (place.output,) if inside else (place.output, place.figures):
        for folder, folders, files in os.walk(top):
            folders[:] = sorted(name for name in folders if name not in OTHERS)
            yield from (Path(folder, name) for name in sorted(files))


def _look_at(path: Path) -> tuple[str, bool]:
    """What is wrong with a file, empty where nothing is, and whether it carries a checksum."""
    if path.name == sealed.SUMS:
        return _list_problem(path), True
    if not path.stat().st_size:
        return "empty", False
    if path.suffix == ".npz":
        return arrays.problem(path), True
    if path.suffix == ".h5":
        return "; ".join(dataset.damage(path)), True
    if sealed.is_noted(path):
        known = sealed.file_sum(path) in sealed.sums(path.parent)[path.name]
        return "" if known else "another content than was written", True
    if path.suffix == ".json":
        try:
            json.loads(path.read_text())
        except (ValueError, RecursionError) as error:
            return f"no JSON ({error})", False
    return "", False


def _list_problem(path: Path) -> str:
    """What is wrong with a list of checksums."""
    lines = path.read_bytes().decode("utf-8", "replace").splitlines()
    wrong = [number for number, line in enumerate(lines, 1) if line and not sealed.LINE.fullmatch(line)]
    if wrong:
        return f"line {wrong[0]} is no checksum"
    return "" if lines else "empty"
