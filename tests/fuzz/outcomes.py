"""What became of a case, from what its process reported and left behind."""

import re
from pathlib import Path

from tests.fuzz.cases import MEMORY, Damage, Place, Task

_MEMORY_ERROR = re.compile("MemoryError|Unable to allocate|bad_alloc|can't allocate|malloc of size")
MOST_TEXT = 10_000  # characters of an error
_TEMPORARY = re.compile(r"^\.(lewm\..*|.*\.parts|.*\.[0-9]+(-[0-9a-f]{6})?(\.\w+)?)$")
_CONTROL = re.compile("[\0-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]")


def outcome(task: Task, place: Place, damage: Damage, report: dict | None, growth: int) -> tuple[str, str]:
    """The outcome and what shows it, but for hangs and crashes."""
    if place.canary.exists():
        return "executed", str(report)[:1500]
    if growth > MEMORY:
        return "memory", f"{growth / 2**30:.1f} GB more"
    if report is None:
        return "crash", ""
    if "broken" in report:
        return "broken", report["broken"][-2000:]
    errors, failed = report["errors"], report["traceback"]
    if _MEMORY_ERROR.search(failed + " ".join(errors.values())):
        return "memory", failed[-1500:] or str(errors)[:1500]
    if failed:
        return "traceback", failed[-3000:]
    if report["opened"]:
        return "outside", report["opened"]
    if left := [p.name for p in place.work.rglob(".*") if _TEMPORARY.search(p.name)]:
        return "left", f"{left} after {errors}"
    for error in errors.values():
        if fault := _unclear(error, place, damage, task.asks):
            return "unclear", f"{fault}: {error[:1500]}"
    return _changes(task, damage, report["values"], errors)


def _unclear(error: str, place: Place, damage: Damage, asks: bool) -> str:
    """What is wrong with an error's text; empty where nothing is."""
    names = [str(place.folder), *(Path(file).name for file in damage.files)]
    if not asks and not any(name in error for name in names):
        return "names no file"
    if len(error) > MOST_TEXT:
        return f"{len(error)} characters"
    return "control characters" if _CONTROL.search(error) else ""


def _changes(task: Task, damage: Damage, values: dict[str, str], errors: dict[str, str]) -> tuple[str, str]:
    """ok, error, redone, unsigned or silent: by what came out, part by part."""
    if task.reference is None:
        return ("error", "; ".join(errors.values())) if errors else ("ok", "")
    lost = [part for part in task.reference if part not in values and not any(part.startswith(e) for e in errors)]
    other = [part for part in values if values[part] != task.reference.get(part)]
    if not lost and not other:
        return ("error", "; ".join(errors.values())) if errors else ("ok", "")
    if all(value == "redone" for part, value in values.items() if part in other) and not lost:
        return "redone", str(other)
    told = any(task.signed(file, damage.forged) for file in damage.files or ("",))
    return "silent" if told else "unsigned", f"lost {lost}, other {other}, errors {errors}"[:1500]
