"""What the metadata of a LeRobot dataset say: its columns and cameras, its episodes, and in which files they lie.

Paths are templates in the metadata, which may be anybody's: they are filled by whole numbers and the camera's name
alone, and lead nowhere but into the dataset's folder.
"""

import json
import math
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path, PurePosixPath
from string import Formatter
from types import ModuleType
from typing import NamedTuple

from lewm_core.utils.errors import InputError, foreign, pick
from lewm_core.utils.files import regular

MOST_BYTES = 2**28  # of a file of metadata
MOST_EPISODES = 1_000_000
_MOST_NUMBER = 10**9  # an index of a file, folder or episode
_ORIGIN = "Is it the folder of a LeRobot dataset of format v2.1 or v3.0, complete?"


class Entry(NamedTuple):
    """What the metadata say of an episode: its index, frames, task text, files, and its start in the video (s)."""

    index: int
    length: int
    task: str
    table: Path
    video: Path
    start: float


def need(module: str) -> ModuleType:
    """An optional module that LeRobot data need; InputError that says how to install it."""
    try:
        return import_module(module)
    except ImportError as error:
        raise InputError("LeRobot data", f"no {module} ({error})", "the packages pyarrow and av",
                         "pip install 'lewm-core[lerobot]', or both of them by name.") from None


def check_installed() -> None:
    """InputError where one of the modules that LeRobot data need is missing."""
    for module in ("pyarrow", "av"):
        need(module)


def read_info(path: Path) -> dict:
    """meta/info.json of the dataset at `path`: fps, features and codebase_version are there and can be used."""
    file = path / "meta" / "info.json"
    try:
        info = json.loads(regular(file, MOST_BYTES).read_bytes())
        if type(info["fps"]) not in (int, float) or not 0 < info["fps"] <= 1000:
            raise ValueError(f"fps {info['fps']!r:.100}")
        if not all(isinstance(f["dtype"], str) and isinstance(f.get("shape", []), list)
                   for f in info["features"].values()):
            raise ValueError("features")
        version = info["codebase_version"]
        if not isinstance(version, str):
            raise ValueError("codebase_version")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:  # also InputError
        raise InputError(file, f"no description of a dataset ({type(error).__name__}: {error})",
                         "JSON with codebase_version, fps and features", _ORIGIN) from None
    pick(_FORMATS, version, f"{file}, codebase_version")
    return info


def read_entries(path: Path, info: dict, camera: str, is_video: bool) -> dict[str, Entry]:
    """id → what the metadata say of it, by index."""
    with foreign(path / "meta", _ORIGIN):
        entries = list(_FORMATS[info["codebase_version"]](path, info, camera, is_video))
    found = {f"episode-{entry.index:06d}": entry for entry in sorted(entries, key=lambda entry: entry.index)}
    if not found:
        raise InputError(path, "no episodes", "at least one")
    if len(found) < len(entries):
        raise InputError(path / "meta", "several episodes of one index", "an index for each")
    return found


def _v21(path: Path, info: dict, camera: str, is_video: bool) -> Iterator[Entry]:
    size = _whole(info["chunks_size"], "chunks_size", least=1)
    for line in regular(path / "meta" / "episodes.jsonl", MOST_BYTES).read_text("utf-8").split("\n"):
        if not line.strip():
            continue
        row = json.loads(line)
        index = _whole(row["episode_index"], "episode_index")
        at = {"episode_index": index, "episode_chunk": index // size, "video_key": camera}
        video = _filled(path, info, "video_path", at) if is_video else path
        yield Entry(index, _whole(row["length"], "length"), _text(row["tasks"]), _filled(path, info, "data_path", at),
                    video, 0.0)


def _v30(path: Path, info: dict, camera: str, is_video: bool) -> Iterator[Entry]:
    columns = ["episode_index", "length", "tasks", "data/chunk_index", "data/file_index"]
    video = f"videos/{camera}"
    if is_video:
        columns += [f"{video}/chunk_index", f"{video}/file_index", f"{video}/from_timestamp"]
    for file in sorted((path / "meta" / "episodes").glob("*/*.parquet")):
        for row in rows_of(regular(file, MOST_BYTES), columns):
            at = {name: _whole(row[f"data/{name}"], name) for name in ("chunk_index", "file_index")}
            movie, start = path, 0.0
            if is_video:
                there = {name: _whole(row[f"{video}/{name}"], name) for name in at}
                movie = _filled(path, info, "video_path", {**there, "video_key": camera})
                start = float(row[f"{video}/from_timestamp"])
                if not math.isfinite(start):
                    raise ValueError(f"a video that starts at {start} s")
            yield Entry(_whole(row["episode_index"], "episode_index"), _whole(row["length"], "length"),
                        _text(row["tasks"]), _filled(path, info, "data_path", at), movie, start)


_FORMATS = {"v2.1": _v21, "v3.0": _v30}


def rows_of(file: Path, columns: list[str]) -> Iterator[dict]:
    """The rows of a parquet file, a few at a time; ValueError for too many of them."""
    dataset = need("pyarrow.dataset").dataset(str(file), format="parquet", partitioning=None)
    count = 0
    for batch in dataset.scanner(columns=columns, batch_size=1000, batch_readahead=1, use_threads=False).to_batches():
        count += len(batch)
        if count > MOST_EPISODES:
            raise ValueError(f"more than {MOST_EPISODES:,} rows in {file}")
        yield from batch.to_pylist()


def _whole(value: object, name: str, least: int = 0) -> int:
    if type(value) is not int or not least <= value < _MOST_NUMBER:
        raise ValueError(f"{name} {value!r:.100}, not a whole number of {least} to {_MOST_NUMBER}")
    return value


def _text(tasks: object) -> str:
    if not isinstance(tasks, list) or not all(isinstance(task, str) for task in tasks):
        raise ValueError("tasks that are no list of texts")
    return "; ".join(tasks)


def _filled(path: Path, info: dict, name: str, values: dict[str, int | str]) -> Path:
    """The file that a template of info.json names; InputError unless it is a plain path in the folder `path`."""
    template, where = info[name], f"{path / 'meta' / 'info.json'}, {name}"
    expected = "a path in the folder, with the fields " + ", ".join(values)
    if not isinstance(template, str) or len(template) > 1000:
        raise InputError(where, f"{str(template)[:100]!r}", expected)
    try:
        plain = all(field is None or field in values and not conversion and re.fullmatch("(0?[0-9]{1,2}d?)?", form)
                    for _, field, form, conversion in Formatter().parse(template))
        filled = template.format(**values) if plain else ""
    except ValueError:
        plain = False
    if not plain or len(filled) > 2000:
        raise InputError(where, repr(template), expected)
    parts = PurePosixPath(filled).parts
    if not parts or "\0" in filled or "\\" in filled or parts[0] == "/" or ".." in parts:
        raise InputError(where, f"{filled!r}, which leads elsewhere", expected)
    return path / filled


def inside(path: Path, file: Path) -> Path:
    """`file` where it may be opened; InputError for none, or a link that leads out of the dataset's folder `path`.

    Links of the hub's cache lead from the folder of a snapshot to the blobs beside it.
    """
    root, found = path.resolve(), regular(file).resolve()
    roots = [root, root.parent.parent / "blobs"] if root.parent.name == "snapshots" else [root]
    if not any(found.is_relative_to(place) for place in roots):
        raise InputError(file, f"a link to {found}", f"a file in {root}", "Copy the file to where the link is.")
    return found
