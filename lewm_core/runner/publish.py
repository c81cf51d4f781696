"""Make a finished run the one that the repository shows: its figures and claims, and the README's answer."""

import shutil
from pathlib import Path

from lewm_core.runner import notebook, stamps
from lewm_core.utils import sealed
from lewm_core.utils.errors import InputError, known
from lewm_core.utils.files import replacing
from lewm_core.utils.plain import read_object
from lewm_core.utils.workspace import CONTROLS, FIGURES, ROOT, Workspace, relative

SUFFIXES = (".png", ".svg", ".csv", ".json", ".gif", ".md")  # of what a run leaves in its figures' folder


def publish(run: str = "quick") -> dict[str, object]:
    """Copy the figures and claims of runs/`run` over figures/ and rewrite the README's answer.

    Returns what was done. Raises InputError unless every notebook of that run is finished and its figures untouched.
    """
    there = [p.parent.name for p in sorted((ROOT / "runs").glob("*/stamps"))]
    place = Workspace.of_run(known(there, run, "publish") if there else run)
    names = [path.stem for path in notebook.paths() if path.stem != CONTROLS or with_controls(place)]
    new = finished(place, names)
    from lewm_core.stats import answer  # with scipy, which takes a second

    answer.update_readme(folder=place.figures)  # first, since it may refuse
    removed = replace_figures(new, FIGURES)
    return {"published": relative(place.figures), "figures": len(new), "removed": removed,
            "rewritten": "README.md, the answer and what was tested"}


def with_controls(place: Workspace) -> bool:
    """Whether the last run there had the controls."""
    return any(values.get("controls", False) for values in parameters_of(place))


def parameters_of(place: Workspace) -> list[dict[str, object]]:
    """What the notebooks of the last run there were given; empty where there is no record of one. Damaged where it is
    not what was written."""
    summary = sealed.check(place.summary, "./run_all.sh with the same options writes it again.")
    try:
        given = read_object(summary).get("parameters")
    except InputError:
        return []
    return [values for values in given.values() if isinstance(values, dict)] if isinstance(given, dict) else []


def finished(place: Workspace, names: list[str]) -> list[Path]:
    """The figures' files of a finished run of the notebooks `names`."""
    found, open_ = [], []
    for name in names:
        stamp = stamps.read(place, name)
        if not stamp:
            open_.append(name)
        elif problem := next(stamps.problems(place, stamp), None):
            open_.append(f"{name} ({' is '.join(problem)})")
        found += stamps.figures(place, stamp) if stamp else []
    if open_:
        raise InputError(relative(place.output), f"no finished {', '.join(open_)}", "a run of all notebooks, untouched",
                         "Run ./run_all.sh with the same options first; what is finished is reused.")
    if place.figures / "claims.csv" not in found:
        raise InputError(relative(place.figures), "no claims.csv", "the claims of a whole run")
    return sorted(found)


def replace_figures(new: list[Path], folder: Path) -> list[str]:
    """Copy `new` into `folder`; returns the names of older figures there, which are removed."""
    names = {path.name for path in new}
    for path in new:
        with replacing(folder / path.name) as temporary:
            shutil.copyfile(path, temporary)
    old = [p for p in sorted(folder.iterdir()) if p.is_file() and p.suffix in SUFFIXES and p.name not in names]
    for path in old:
        path.unlink()
    return [path.name for path in old]
