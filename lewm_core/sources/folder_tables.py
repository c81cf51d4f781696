"""The tables of a folder of recordings: `episodes.csv` names the episodes and their files, and each has a table of what
the robot did. Both are plain CSV files that a spreadsheet writes; all that is wrong in one is told at once.

Paths in them may be anybody's: they lead to what lies in the folder, and nowhere else.
"""

import csv
import io
import math
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from lewm_core.sources.episode import MOST_FRAMES, MOST_STATE, EpisodeInfo
from lewm_core.utils.errors import InputError
from lewm_core.utils.files import regular

INDEX = "episodes.csv"
NEEDED, TASK = ("episode", "frames", "actions"), "task"
ACTION, OBSERVATION = "action", "observation"  # the columns of numbers begin with these
MOST_EPISODES = 100_000
MOST_BYTES = 2**27  # of a table
_MOST_TOLD = 20  # of what is wrong
HOW = "The layout, with a template: docs/how-to/own_data.md"


class Entry(NamedTuple):
    """A row of episodes.csv: frames (a video or a folder of pictures) and the table of actions, in the folder."""

    episode: str
    task: str
    frames: Path
    actions: Path


class Numbers(NamedTuple):
    """What a table says of an episode: actions (T, A) and observations (T, O) float32; observed: how many columns of
    observations it has."""

    actions: np.ndarray
    observations: np.ndarray
    observed: int


def read_index(folder: Path) -> list[Entry]:
    """The rows of `episodes.csv`. InputError that lists what is wrong with it; whether files are there is not asked."""
    file = folder / INDEX
    header, rows = _table(file)
    problems = [f"no column {name}" for name in NEEDED if name not in header]
    problems += [f"column {name} twice" for name in {*NEEDED, TASK} if header.count(name) > 1]
    entries: list[Entry] = []
    if not problems:
        problems += _read_rows(folder, header, rows, entries)
    if problems:
        more = f" and {len(problems) - _MOST_TOLD} more" if len(problems) > _MOST_TOLD else ""
        raise InputError(file, "; ".join(problems[:_MOST_TOLD]) + more, f"the columns {', '.join(NEEDED)} and, where "
                         f"there are instructions, {TASK}, with a row for each episode", HOW)
    return entries


def _read_rows(folder: Path, header: list[str], rows: Iterator[tuple[int, list[str]]],
               entries: list[Entry]) -> list[str]:
    """Append the entries of the rows; what is wrong with them."""
    problems, names = [], set()
    for line, cells in rows:
        if len(cells) != len(header):
            problems.append(f"line {line}: {len(cells)} cells, not {len(header)}")
            continue
        row = dict(zip(header, map(str.strip, cells), strict=True))
        name = row["episode"]
        if name in names:
            problems.append(f"line {line}: episode {name!r:.200} twice")
        names.add(name)
        try:
            EpisodeInfo(name, row.get(TASK, ""), 1)
        except InputError as error:
            problems.append(f"line {line}: {error.found}")
        problems += [f"line {line}: {column} {row[column]!r:.200}, which is no path inside the folder"
                     for column in ("frames", "actions") if not _is_inside(row[column])]
        entries.append(Entry(name, row.get(TASK, ""), folder / row["frames"], folder / row["actions"]))
        if len(entries) > MOST_EPISODES:
            return [f"more than {MOST_EPISODES:,} episodes"]
    return problems if names else ["no episodes"]


def _is_inside(text: str) -> bool:
    """Whether a text is a relative path that leads down."""
    parts = PurePosixPath(text).parts
    return bool(parts) and parts[0] != "/" and ".." not in parts and not set(text) & set("\0\\") and len(text) <= 1000


def inside(folder: Path, path: Path) -> Path:
    """`path` where it may be read; InputError for a link that leads out of the folder."""
    try:
        found, root = path.resolve(strict=True), folder.resolve()
    except (OSError, RuntimeError) as error:  # a link to itself
        raise InputError(path, f"that it cannot be read ({getattr(error, 'strerror', None) or error})",
                         "a file or folder", HOW) from None
    if not found.is_relative_to(root):
        raise InputError(path, f"a link to {found}", f"a place in {root}", "Copy it to where the link is.")
    return found


def read_numbers(file: Path) -> Numbers:
    """An episode's table: columns that begin with `action` and, if there are any, with `observation`, a row a frame.

    Without observations each frame has one, 0. InputError for cells that are no finite numbers, each with its line.
    """
    header, rows = _table(file)
    kinds = {kind: [i for i, name in enumerate(header) if name.startswith(kind)] for kind in (ACTION, OBSERVATION)}
    if not kinds[ACTION] or max(map(len, kinds.values())) > MOST_STATE:
        raise InputError(file, f"{len(kinds[ACTION])} columns of actions among {', '.join(header)[:500]}",
                         f"1 to {MOST_STATE:,} columns whose names begin with {ACTION}, such as action_0", HOW)
    values: dict[str, list[list[float]]] = {kind: [] for kind in kinds}
    for line, cells in rows:
        if len(cells) != len(header):
            raise InputError(f"{file}, line {line}", f"{len(cells)} cells", f"{len(header)}, as in the first line")
        if len(values[ACTION]) >= MOST_FRAMES:
            raise InputError(file, f"more than {MOST_FRAMES:,} rows", f"at most {MOST_FRAMES:,}")
        for kind, columns in kinds.items():
            values[kind].append([_number(cells[i], f"{file}, line {line}, column {header[i]}") for i in columns])
    if not values[ACTION]:
        raise InputError(file, "no rows", "a row for each frame", HOW)
    arrays = {kind: np.array(found, np.float32).reshape(len(found), -1) for kind, found in values.items()}
    if not kinds[OBSERVATION]:
        arrays[OBSERVATION] = np.zeros((len(values[ACTION]), 1), np.float32)
    return Numbers(arrays[ACTION], arrays[OBSERVATION], len(kinds[OBSERVATION]))


def count_rows(file: Path) -> int:
    """How many rows a table has; their cells are not looked at."""
    _, rows = _table(file)
    count = sum(1 for _ in rows)
    if not 1 <= count <= MOST_FRAMES:
        raise InputError(file, f"{count:,} rows", f"1 to {MOST_FRAMES:,}, one for each frame", HOW)
    return count


def _number(cell: str, where: str) -> float:
    try:
        value = float(cell.replace("_", "x"))  # Python reads 1_000
    except ValueError:
        value = math.nan
    if not abs(value) <= 3e38:  # what float32 holds
        raise InputError(where, repr(cell[:100]), "a finite number, with a point")
    return value


def _table(file: Path) -> tuple[list[str], Iterator[tuple[int, list[str]]]]:
    """The names in a CSV file's first line, and its other lines that are not empty, each with its number."""
    try:
        text = regular(file, MOST_BYTES).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(file, f"bytes that are no UTF-8 ({error.reason} at {error.start})", "a CSV file in UTF-8",
                         "Save it again as CSV UTF-8.") from None
    except OSError as error:
        raise InputError(file, f"that it cannot be read ({error.strerror or error})", "a readable file") from None
    lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows = _lines(file, lines)
    _, header = next(rows, (1, []))
    header = [name.strip() for name in header]
    if len(header) < 2 and any(mark in "".join(header) for mark in ";\t"):
        raise InputError(file, f"the first line {header[0]!r:.200}", "names with commas between them",
                         "Save it as CSV with commas.")
    return header, rows


def _lines(file: Path, lines) -> Iterator[tuple[int, list[str]]]:
    try:
        for cells in lines:
            if any(cell.strip() for cell in cells):
                yield lines.line_num, cells
    except csv.Error as error:
        raise InputError(f"{file}, line {lines.line_num}", str(error), "a CSV file with commas") from None
