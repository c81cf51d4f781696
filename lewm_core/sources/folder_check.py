"""What is missing in a folder of recordings, told for all its episodes at once, without decoding a frame."""

import os
from pathlib import Path

from lewm_core.sources.folder import PICTURES, VIDEO, Folder
from lewm_core.sources.folder_tables import HOW, INDEX, Entry, Numbers, read_index
from lewm_core.sources.listing import listed
from lewm_core.utils.errors import InputError, foreign

_DEPTH = 2  # folders, one in the other, that are looked into
_MOST_LOOKED_AT = 2000  # entries of a folder, where it is asked what the folder is
_MOST_TOLD = 20  # of each kind of thing
PAPER = (15, 40)  # frames that the curation takes by default


def has_recordings(folder: Path) -> bool:
    """Whether a folder has an episodes.csv, or at least videos or folders of pictures."""
    return (folder / INDEX).exists() or bool(_recordings(folder))


def _recordings(folder: Path) -> list[str]:
    """Videos and folders of pictures in a folder and the folders just below it, as episodes.csv would name them."""
    found, looked = [], 0
    for place, folders, files in os.walk(folder):
        here = Path(place).relative_to(folder)
        if here.parts and any(Path(name).suffix.lower() in PICTURES for name in files):
            found.append(here.as_posix())
        found += [(here / name).as_posix() for name in files if Path(name).suffix.lower() == VIDEO]
        looked += len(files) + len(folders)
        folders[:] = sorted(folders) if len(here.parts) < _DEPTH else []
        if looked > _MOST_LOOKED_AT:
            break
    return sorted(found)


def _without_index(found: list[str]) -> dict[str, object]:
    """What is said of a folder without episodes.csv: the recordings in it, and how that table could begin."""
    rows = ["episode,frames,actions,task"]
    rows += [f"episode{i:03d},{frames},{Path(frames).with_suffix('')}.csv," for i, frames in enumerate(found[:3])]
    return {"usable": False, "problems": [f"no {INDEX}, which names the episodes. {HOW}"], "recordings": listed(found),
            f"{INDEX} could begin": {f"line {i}": row for i, row in enumerate(rows, 1)}}


def report(name: str) -> dict[str, object]:
    """A report on the folder `name`: what is there, every problem of its episodes, and what a study will lack."""
    path, kind = Path(name), {"kind": "folder of recordings"}
    if not (path / INDEX).exists():
        return kind | _without_index(_recordings(path))
    entries = read_index(path)
    with foreign(path):
        source = Folder(path)
    found: list[Numbers] = []
    problems: list[str] = []
    for entry in entries:
        try:
            with foreign(f"episode {entry.episode}"):
                found.append(source.check(entry.episode))
        except InputError as error:
            problems.append(f"episode {entry.episode}: {error}")
    told = problems[:_MOST_TOLD] + ([f"and {len(problems) - _MOST_TOLD} more"] if len(problems) > _MOST_TOLD else [])
    lengths = [len(numbers.actions) for numbers in found]
    tasks = sorted({entry.task for entry in entries if entry.task})
    return {**kind, "usable": not problems, "problems": told, "episodes": len(entries), "frames": sum(lengths),
            "frames per episode": f"{min(lengths)} to {max(lengths)}" if lengths else "none can be read",
            "tasks": tasks[:_MOST_TOLD], "missing": _missing(entries, found, lengths)}


def _missing(entries: list[Entry], found: list[Numbers], lengths: list[int]) -> dict[str, str]:
    """What a study will lack or ask for, and what to do about it."""
    missing = {}
    if untold := sum(not entry.task for entry in entries):
        missing["instructions"] = (f"{untold} episodes have none, and the curation asks for them: "
                                   "--set 'criteria={require_task: false}'")
    if any(not PAPER[0] <= length <= PAPER[1] for length in lengths):
        missing["lengths"] = (f"the curation takes {PAPER[0]} to {PAPER[1]} frames: "
                              f"--set min_length={min(lengths)} --set max_length={max(lengths)}")
    if any(numbers.observed < 3 for numbers in found):
        missing["positions"] = ("the conditions are judged by where the gripper is: x, y, z in m as the first three "
                                "columns that begin with observation")
    return missing
