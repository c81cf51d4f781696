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

from lewm_core.sources.bridge_base import decode, resize
from lewm_core.sources.episode import ACTION_DIM, Episode, EpisodeInfo, check_moves
from lewm_core.utils.errors import InputError, pick
from lewm_core.utils.files import digest, ends_of

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
        state: key of the robot's state, which becomes the observations.

    Raises:
        InputError: no such dataset, another format, actions that do not have 7 numbers, no such camera or state; all
            of it together. Also where pyarrow or av is missing.
    """

    name = "lerobot"

    def __init__(self, path: str | Path, image_size: int = 224, camera: int | str = 0,
                 state: str = "observation.state"):
        if not isinstance(image_size, Integral) or image_size < 1:
            raise InputError("image_size", repr(image_size), "a whole number of pixels, at least 1")
        need("pyarrow"), need("av")
        self.path, self.image_size, self.state = Path(path), int(image_size), state
        info = _read_info(self.path)
        features, problems = info["features"], []
        cameras = [k for k, f in features.items() if f["dtype"] in ("video", "image")]
        if isinstance(camera, Integral) and 0 <= camera < len(cameras):
            camera = cameras[camera]
        if camera not in cameras:
            problems.append(f"no camera {camera!r} among {', '.join(cameras) or 'none'}")
        for key, shape in (("action", [ACTION_DIM]), (state, None)):
            found = list(features[key].get("shape", ())) if key in features else None
            if found is None:
                problems.append(f"no {key} among {', '.join(features)}")
            elif len(found) != 1 or shape not in (None, found):
                problems.append(f"{key} of shape {found}, not {shape or '[d]'}")
        if problems:
            raise InputError(self.path, "; ".join(problems), f"a camera, a state, and actions of {ACTION_DIM} numbers")
        self.cameras = len(cameras)
        self.camera, self._info, self._is_video = camera, info, features[camera]["dtype"] == "video"
        try:
            entries = _FORMATS[info["codebase_version"]](self.path, info, camera, self._is_video)
        except (OSError, ValueError, KeyError, TypeError) as error:  # pyarrow's errors are among them
            raise InputError(self.path / "meta", f"episodes that cannot be read ({error})", "their metadata",
                             _ORIGIN) from None
        self._entries = {f"episode-{e.index:06d}": e for e in sorted(entries)}
        if not self._entries:
            raise InputError(self.path, "no episodes", "at least one")

    @cached_property
    def fingerprint(self) -> str:
        """Digest of settings, metadata, and of each table and video its size and both ends.

        Both kinds of file keep an index of their content at one end; a change that leaves that and the size as they are
        goes unnoticed. Folders and dates do not enter, so that data may be moved.
        """
        parts = [_READER, str(self.image_size), self.camera, self.state, repr([e[:3] for e in self._entries.values()])]
        for file in dict.fromkeys(p for e in self._entries.values() for p in (e.table, e.video)):
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
        rows = self._rows(entry)
        check_moves(rows["action"], f"{entry.table}, {id}")
        if self._is_video:
            pictures = _decode(entry.video, id, entry.start + rows["timestamp"][:, 0], 0.5 / self._info["fps"])
        else:
            pictures = (decode((cell or {}).get("bytes") or b"", f"{entry.table}, {id}") for cell in rows[self.camera])
        frames = np.stack([resize(_centre(picture), self.image_size) for picture in pictures])
        return Episode(id, frames, rows["action"], rows[self.state], entry.task)

    def _rows(self, entry: _Entry) -> dict[str, np.ndarray | list]:
        """The episode's columns: numbers (T, n) float32; a camera that is stored as pictures as a list."""
        numbers = ["action", self.state, "timestamp", "frame_index"]
        where = f"{entry.table}, episode {entry.index}"
        try:
            table = need("pyarrow.parquet").read_table(
                entry.table, columns=numbers + [self.camera] * (not self._is_video),
                filters=[("episode_index", "=", entry.index)])
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
    places = [f"videos/{camera}/{what}" for what in ("chunk_index", "file_index", "from_timestamp")] if is_video else []
    columns = ["episode_index", "length", "tasks", "data/chunk_index", "data/file_index", *places]
    entries = []
    for file in sorted((path / "meta" / "episodes").glob("*/*.parquet")):
        for row in need("pyarrow.parquet").read_table(file, columns=columns, partitioning=None).to_pylist():
            index, length, tasks, chunk, number, *place = (row[name] for name in columns)
            table = info["data_path"].format(chunk_index=chunk, file_index=number)
            video, start = "", 0.0
            if place:
                start = place[2]
                video = info["video_path"].format(video_key=camera, chunk_index=place[0], file_index=place[1])
            entries.append(_Entry(index, length, "; ".join(tasks), path / table, path / video, start))
    return entries


_FORMATS = {"v2.1": _v21, "v3.0": _v30}


def _decode(file: Path, id: str, times: np.ndarray, tolerance: float) -> Iterator[np.ndarray]:
    """The pictures (H, W, 3) uint8 RGB shown at `times` (s, rising), each within `tolerance`, and no later ones."""
    av, found = need("av"), 0
    try:
        with av.open(str(file)) as container:
            stream = container.streams.video[0]
            container.seek(int(max(0, times[0] - tolerance) / stream.time_base), stream=stream)  # the keyframe before
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


def _centre(picture: np.ndarray) -> np.ndarray:
    """The square in the middle of a picture."""
    height, width = picture.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return picture[top : top + side, left : left + side]
