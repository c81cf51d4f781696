"""LeRobot datasets of format 2.1 and 3.0 as a Source: parquet tables and mp4 videos, without the lerobot package.

v2.1 has a table and a video for each episode, and `meta/episodes.jsonl`; v3.0 puts many episodes into one table and one
video, and `meta/episodes/*/*.parquet` says where each lies. `meta/info.json` names the columns and cameras of both.
"""

import json
from collections.abc import Iterator
from functools import cached_property
from importlib import import_module
from numbers import Integral
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import numpy as np

from lewm_core.sources.episode import ACTION_DIM, IMAGE_SIZE, Episode, EpisodeInfo, check_moves
from lewm_core.sources.pictures import centre, checked_size, decode, resize
from lewm_core.utils.errors import InputError, pick
from lewm_core.utils.files import digest, ends_of

STATE = "observation.state"  # key of the robot's state, which becomes the observations
_READER = "1"  # part of the fingerprint: raise it when the same files come out as other episodes
_ENDS = 65536  # bytes at either end of a file that enter the fingerprint
_ORIGIN = "Is it the folder of a LeRobot dataset of format v2.1 or v3.0, complete?"


class _Entry(NamedTuple):
    """What the metadata say of an episode: its index, frames, task text, files, and its start in the video (s)."""

    index: int
    length: int
    task: str
    table: Path
    video: Path
    start: float


class LeRobot:
    """Episodes of a LeRobot dataset. Ids are `episode-<index>`; opening reads the metadata, `load` decodes one episode.

    Pictures are cut to their centre square and resized (area average down, bicubic up). An episode with several task
    texts has all of them, separated by "; ". Intrinsics are unknown. The meaning of actions and states is the robot's:
    nothing is converted.

    Args:
        path: the folder that holds `meta/`, `data/` and `videos/`.
        image_size: height and width of the frames.
        camera: a camera's key (`observation.images.…`), or its place among the dataset's cameras, from 0.

    Raises:
        InputError: no such dataset, another format, actions that do not have 7 numbers, no such camera or state; all
            of it together. Also where pyarrow or av is missing.
    """

    name = "lerobot"

    def __init__(self, path: str | Path, image_size: int = IMAGE_SIZE, camera: int | str = 0):
        check_installed()
        self.path, self.image_size = Path(path), checked_size(image_size)
        self._info = _read_info(self.path)
        features = self._info["features"]
        cameras = [key for key, feature in features.items() if feature["dtype"] in ("video", "image")]
        if isinstance(camera, Integral) and 0 <= camera < len(cameras):
            camera = cameras[camera]
        _check_features(self.path, features, cameras, camera)
        self.cameras, self.camera = len(cameras), camera
        self._is_video = features[camera]["dtype"] == "video"
        read_entries = _FORMATS[self._info["codebase_version"]]
        try:
            entries = read_entries(self.path, self._info, camera, self._is_video)
        except (OSError, ValueError, KeyError, TypeError) as error:  # pyarrow's errors are among them
            raise InputError(self.path / "meta", f"episodes that cannot be read ({error})", "their metadata",
                             _ORIGIN) from None
        self._entries = {f"episode-{entry.index:06d}": entry for entry in sorted(entries)}
        if not self._entries:
            raise InputError(self.path, "no episodes", "at least one")

    @cached_property
    def fingerprint(self) -> str:
        """Digest of settings, metadata, and of each table and video its size and both ends.

        Both kinds of file keep an index of their content at one end; a change that leaves that and the size as they are
        goes unnoticed. Folders and dates do not enter, so that data may be moved.
        """
        entries = self._entries.values()
        parts = [_READER, str(self.image_size), self.camera, STATE, repr([entry[:3] for entry in entries])]
        files = dict.fromkeys(file for entry in entries for file in (entry.table, entry.video))  # each of them once
        for file in files:
            if file.is_file():
                parts += [str(file.stat().st_size), *ends_of(file, _ENDS)]
            else:
                parts.append("absent")
        return digest(*parts)

    def infos(self, on_error: object = None, cache: object = None) -> Iterator[EpisodeInfo]:
        """Every episode's metadata in order; no table or video is opened, so none is bad and nothing is worth keeping.
        """
        return (EpisodeInfo(id, e.task, e.length) for id, e in self._entries.items())

    def load(self, id: str) -> Episode:
        """The episode of that id; only its own part of a video is decoded.

        InputError: unknown id, files that are missing or damaged, rows or frames that are missing.
        """
        if id not in self._entries:
            raise InputError("episode id", repr(id), f"{min(self._entries)} to {max(self._entries)}")
        entry = self._entries[id]
        rows, where = self._rows(entry), f"{entry.table}, {id}"
        check_moves(rows["action"], where)
        if self._is_video:
            pictures = _decode(entry.video, id, entry.start + rows["timestamp"][:, 0], 0.5 / self._info["fps"])
        else:
            pictures = (decode((cell or {}).get("bytes") or b"", where) for cell in rows[self.camera])
        frames = np.stack([resize(centre(picture), self.image_size) for picture in pictures])
        return Episode(id, frames, rows["action"], rows[STATE], entry.task)

    def _rows(self, entry: _Entry) -> dict[str, np.ndarray | list]:
        """The episode's columns: numbers (T, n) float32; a camera that is stored as pictures as a list."""
        numbers = ["action", STATE, "timestamp", "frame_index"]
        columns = numbers if self._is_video else [*numbers, self.camera]
        only = [("episode_index", "=", entry.index)]
        where = f"{entry.table}, episode {entry.index}"
        try:
            table = need("pyarrow.parquet").read_table(entry.table, columns=columns, filters=only)
            rows = {name: np.array(table[name].to_pylist(), np.float32).reshape(len(table), -1) for name in numbers}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(where, f"a table that cannot be read ({error})", f"columns {', '.join(numbers)}",
                             "Copy or download the file again.") from None
        if not np.array_equal(rows["frame_index"][:, 0], np.arange(entry.length)):
            raise InputError(where, f"{len(table)} rows", f"one for each of {entry.length} frames, in order")
        return rows if self._is_video else rows | {self.camera: table[self.camera].to_pylist()}


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


def _check_features(path: Path, features: dict, cameras: list[str], camera: int | str) -> None:
    """InputError that lists all that is wrong with the camera, the state and the actions that a dataset has."""
    problems = []
    if camera not in cameras:
        problems.append(f"no camera {camera!r} among {', '.join(cameras) or 'none'}")
    for key, shape in (("action", [ACTION_DIM]), (STATE, None)):
        if key not in features:
            problems.append(f"no {key} among {', '.join(features)}")
            continue
        found = list(features[key].get("shape", ()))
        if len(found) != 1 or shape not in (None, found):
            problems.append(f"{key} of shape {found}, not {shape or '[d]'}")
    if problems:
        raise InputError(path, "; ".join(problems), f"a camera, a state, and actions of {ACTION_DIM} numbers")


def _read_info(path: Path) -> dict:
    file = path / "meta" / "info.json"
    try:
        info = json.loads(file.read_bytes())
        if not info["fps"] > 0 or not all(isinstance(f["dtype"], str) for f in info["features"].values()):
            raise ValueError("fps or features")
        version = info["codebase_version"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(file, f"no description of a dataset ({type(error).__name__}: {error})",
                         "JSON with codebase_version, fps and features", _ORIGIN) from None
    pick(_FORMATS, version, f"{file}, codebase_version")
    return info


def _v21(path: Path, info: dict, camera: str, is_video: bool) -> list[_Entry]:
    entries = []
    for line in (path / "meta" / "episodes.jsonl").read_text().splitlines():
        row = json.loads(line)
        at = {"episode_index": row["episode_index"], "episode_chunk": row["episode_index"] // info["chunks_size"]}
        video = info["video_path"].format(video_key=camera, **at) if is_video else ""
        entries.append(_Entry(row["episode_index"], row["length"], "; ".join(row["tasks"]),
                              path / info["data_path"].format(**at), path / video, 0.0))
    return entries


def _v30(path: Path, info: dict, camera: str, is_video: bool) -> list[_Entry]:
    columns = ["episode_index", "length", "tasks", "data/chunk_index", "data/file_index"]
    video = f"videos/{camera}"
    if is_video:
        columns += [f"{video}/chunk_index", f"{video}/file_index", f"{video}/from_timestamp"]
    entries = []
    for file in sorted((path / "meta" / "episodes").glob("*/*.parquet")):
        for row in need("pyarrow.parquet").read_table(file, columns=columns, partitioning=None).to_pylist():
            table = info["data_path"].format(chunk_index=row["data/chunk_index"], file_index=row["data/file_index"])
            movie, start = "", 0.0
            if is_video:
                at = {"chunk_index": row[f"{video}/chunk_index"], "file_index": row[f"{video}/file_index"]}
                movie, start = info["video_path"].format(video_key=camera, **at), row[f"{video}/from_timestamp"]
            entries.append(_Entry(row["episode_index"], row["length"], "; ".join(row["tasks"]), path / table,
                                  path / movie, start))
    return entries


_FORMATS = {"v2.1": _v21, "v3.0": _v30}


def _decode(file: Path, id: str, times: np.ndarray, tolerance: float) -> Iterator[np.ndarray]:
    """The pictures (H, W, 3) uint8 RGB shown at `times` (s, rising), each within `tolerance`, and no later ones."""
    av = need("av")
    found = 0
    try:
        with av.open(str(file)) as container:
            stream = container.streams.video[0]
            start = max(0, times[0] - tolerance)
            container.seek(int(start / stream.time_base), stream=stream)  # the keyframe before
            for frame in container.decode(stream):
                if frame.time < times[found] - tolerance:
                    continue
                if frame.time > times[found] + tolerance:
                    break
                yield frame.to_ndarray(format="rgb24")
                found += 1
                if found == len(times):
                    return
    except (av.FFmpegError, IndexError) as error:
        raise InputError(f"{file}, {id}", f"a video that cannot be read after {found} frames ({error})",
                         f"{len(times)} frames", "Copy or download the file again.") from None
    raise InputError(f"{file}, {id}", f"no frame at {times[found]:.3f} s, after {found} that were there",
                     f"{len(times)} frames", "Copy or download the file again.")
