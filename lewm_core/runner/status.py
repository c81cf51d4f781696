"""How far a study is, as its folder tells: `python -m lewm_core status`. Any machine that sees the folder can ask."""

import csv
from collections import Counter
from pathlib import Path

from lewm_core.runner.verification import place_of
from lewm_core.utils.errors import InputError
from lewm_core.utils.files import regular
from lewm_core.utils.marks import DRIVER, RUNNING, content, living
from lewm_core.utils.workspace import SCALES, Workspace, relative

STATES = ("done", "running", "failed", "left")


def status(run: str) -> dict[str, object]:
    """A table with a row for each scale and condition that was asked for, and the sums. run: a folder or its name."""
    place = place_of(run)
    plans = [path for scale in (*SCALES, "controls") if (path := place.planned(scale)).exists()]
    if not plans:
        raise InputError(relative(place.output), "no plan of runs", "what notebook 03, 05 or 08 writes when it begins",
                         "Run them first: ./run_all.sh (with the options of the study).")
    at_work = {path.name.split(".")[1] for path in living(place.runs, RUNNING)}
    counts: dict[tuple[str, str], Counter] = {}
    state_of: dict[str, str] = {}
    for row in (row for plan in plans for row in _read(plan)):
        state_of[row["run"]] = state = _state(place, row["run"], at_work)
        counts.setdefault((row["scale"], row["condition"]), Counter())[state] += 1
    rows = [{"scale": scale, "condition": condition, **{state: found[state] for state in STATES}}
            for (scale, condition), found in counts.items()]
    sums = Counter(state_of.values())
    failed = [relative(_log(place, key)) for key, state in state_of.items() if state == "failed"]
    return {"study": relative(place.output), "runs": len(state_of), **{state: sums[state] for state in STATES},
            "drivers": [content(path).get("on", "") for path in living(place.runs, DRIVER)],
            "logs of those that failed": failed, "by condition": rows}


def _state(place: Workspace, key: str, at_work: set[str]) -> str:
    if (place.runs / key / "result.json").is_file():
        return "done"
    if key in at_work:
        return "running"
    return "failed" if _log(place, key).is_file() else "left"


def _log(place: Workspace, key: str) -> Path:
    return place.runs / "failed" / f"{key}.log"


def _read(plan: Path) -> list[dict[str, str]]:
    """The rows of a plan."""
    columns = {"condition", "scale", "seed", "run"}
    with open(regular(plan), newline="", errors="replace") as f:
        try:
            rows = list(csv.DictReader(f))
        except csv.Error as error:
            raise InputError(relative(plan), f"no table ({error})", "what a study writes when it begins") from None
    if any(set(row) != columns or None in row.values() for row in rows):
        raise InputError(relative(plan), "other columns", ", ".join(sorted(columns)), "Run the study again.")
    return rows
