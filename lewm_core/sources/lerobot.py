"""LeRobot datasets of format 2.1 and 3.0 as a Source: parquet tables and mp4 videos, without the lerobot package.

v2.1 has a table and a video for each episode, and `meta/episodes.jsonl`; v3.0 puts many episodes into one table and one
video, and `meta/episodes/*/*.parquet` says where each lies. `meta/info.json` names the columns and cameras of both.
"""

from collections.abc import Iterator
from functools import cached_property, lru_cache
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np

from lewm_core.sources.episode import (
    IMAGE_SIZE,
    MOST_STATE,
    Episode,
    EpisodeInfo,
    check_length,
    check_moves,
    infos_of,
)
from lewm_core.sources.lerobot_meta import Entry, check_installed, inside, need, read_entries, read_info
from lewm_core.sources.pictures import MOST_PIXELS, centre, check_pixels, checked_size, decode, resize
from lewm_core.utils.errors import InputError, OnError, foreign, located
from lewm_core.utils.files import digest, ends_of, identity
from lewm_core.utils.pool import limited

STATE = "observation.state"  # key of the robot's state, which becomes the observations
_READER = "1"  # part of the fingerprint: raise it when the same files come out as other episodes
_ENDS = 65536  # bytes at either end of a file that enter the fingerprint
_MEMORY = 1_000_000_000  # bytes that opening or reading may take: a small table or video can unfold to any size
_REMEDY = "Copy or download the file again."


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
        InputError: no such dataset, another format, no such camera, actions or state; all of it together. Also where
            pyarrow or av is missing.
    """

    name = "lerobot"

    def __init__(self, path: str | Path, image_size: int = IMAGE_SIZE, camera: int | str = 0):
        check_installed()
        self.path, self.image_size = Path(path), checked_size(image_size)
        self._info = read_info(self.path)
        features = self._info["features"]
        cameras = [key for key, feature in features.items() if feature["dtype"] in ("video", "image")]
        if isinstance(camera, Integral) and 0 <= camera < len(cameras):
            camera = cameras[camera]
        _check_features(self.path, features, cameras, camera)
        self.cameras, self.camera = len(cameras), camera
        self._is_video = features[camera]["dtype"] == "video"
        with limited(memory=_MEMORY):
            self._entries = read_entries(self.path, self._info, camera, self._is_video)

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
            try:
                found = inside(self.path, file)
                parts += [str(found.stat().st_size), *ends_of(found, _ENDS)]
            except (InputError, OSError):
                parts.append("absent")
        return digest(*parts)

    def infos(self, on_error: OnError | None = None, cache: object = None) -> Iterator[EpisodeInfo]:
        """Every episode's metadata in order; no table or video is opened, so nothing is worth keeping."""
        return infos_of(self._entries, self._info_of, on_error)

    def _info_of(self, id: str) -> EpisodeInfo:
        entry = self._entries[id]
        with located(f"{self.path / 'meta'}, {id}"):
            return EpisodeInfo(id, entry.task, entry.length)

    def load(self, id: str) -> Episode:
        """The episode of that id; only its own part of a video is decoded.

        InputError: unknown id, files that are missing or damaged, rows or frames that are missing.
        """
        if id not in self._entries:
            raise InputError("episode id", repr(id), f"{min(self._entries)} to {max(self._entries)}")
        entry = self._entries[id]
        where = f"{entry.table}, {id}"
        check_length(where, entry.length, self.image_size)
        with limited(memory=_MEMORY), foreign(where, _REMEDY):
            rows = self._rows(entry)
            check_moves(rows["action"], where)
            if self._is_video:
                video, times = inside(self.path, entry.video), entry.start + rows["timestamp"][:, 0]
                pictures = _decode(video, id, times, 0.5 / self._info["fps"])
            else:
                pictures = (decode(_stored(cell), where) for cell in rows[self.camera])
            frames = np.empty((entry.length, self.image_size, self.image_size, 3), np.uint8)
            for t, picture in enumerate(pictures):
                frames[t] = resize(centre(picture), self.image_size)
        with located(where):
            return Episode(id, frames, rows["action"], rows[STATE], entry.task)

    def _rows(self, entry: Entry) -> dict[str, np.ndarray | list]:
        """The episode's columns: numbers (T, n) float32; a camera that is stored as pictures as a list."""
        numbers = ["action", STATE, "timestamp", "frame_index"]
        columns = numbers if self._is_video else [*numbers, self.camera]
        where = f"{entry.table}, episode {entry.index}"
        try:
            cells = _cells(inside(self.path, entry.table), columns, entry)
            rows = {name: np.array(cells[name], np.float32).reshape(len(cells[name]), -1) for name in numbers}
        except (OSError, ValueError, KeyError, TypeError, OverflowError) as error:
            raise InputError(where, f"a table that cannot be read ({error})", f"columns {', '.join(numbers)}",
                             _REMEDY) from None
        index = rows["frame_index"]
        if not np.array_equal(index[:, 0] if index.size else [], np.arange(entry.length)):
            raise InputError(where, f"{len(index)} rows", f"one for each of {entry.length} frames, in order")
        return rows if self._is_video else rows | {self.camera: cells[self.camera]}


@lru_cache(maxsize=4)
def _table(file: Path, _: tuple[int, ...]) -> Any:
    """A table whose list of contents is read once: of thousands of episodes that takes longer than reading one."""
    return need("pyarrow.dataset").dataset(str(file), format="parquet", partitioning=None)


def _cells(file: Path, columns: list[str], entry: Entry) -> dict[str, list]:
    """The columns of an episode's rows as lists, read a few rows at a time: no more than one row too many."""
    dataset = _table(file, identity(file))
    cells: dict[str, list] = {name: [] for name in columns}
    only = need("pyarrow.compute").field("episode_index") == entry.index
    for batch in dataset.scanner(columns=columns, filter=only, batch_size=256, batch_readahead=1,
                                 use_threads=False).to_batches():
        for name in columns:
            column = batch.column(name)
            if name.startswith(("action", STATE)) and column.nbytes > (len(column) + 1) * MOST_STATE * 16:
                raise ValueError(f"{column.nbytes} bytes in {len(column)} rows of {name}")
            cells[name] += column.to_pylist()
        if len(cells[columns[0]]) > entry.length:
            break
    return cells


def _stored(cell: object) -> bytes:
    """The picture in a cell of a table; a path in it is not followed."""
    stored = cell.get("bytes") if isinstance(cell, dict) else None
    return stored if isinstance(stored, bytes) else b""


def _check_features(path: Path, features: dict, cameras: list[str], camera: int | str) -> None:
    """InputError that lists all that is wrong with the camera, the state and the actions that a dataset has."""
    problems = []
    if camera not in cameras:
        problems.append(f"no camera {camera!r} among {', '.join(cameras) or 'none'}")
    for key in ("action", STATE):
        if key not in features:
            problems.append(f"no {key} among {', '.join(features)}")
            continue
        found = list(features[key].get("shape", ()))
        if len(found) != 1:
            problems.append(f"{key} of shape {found}, not [d]")
    if problems:
        raise InputError(path, "; ".join(problems), "a camera, a state, and actions, a row of numbers each")


def _decode(file: Path, id: str, times: np.ndarray, tolerance: float) -> Iterator[np.ndarray]:
    """The pictures (H, W, 3) uint8 RGB shown at `times` (s, rising), each within `tolerance`, and no later ones."""
    av = need("av")
    found = 0
    try:
        # mp4: no playlist, which could name other files. The limit holds where opening looks at the first frames, too.
        with av.open(str(file), format="mp4", options={"max_pixels": str(MOST_PIXELS)}) as container:
            stream = container.streams.video[0]
            check_pixels(f"{file}, {id}", stream.codec_context.width, stream.codec_context.height)
            stream.codec_context.options = {"max_pixels": str(MOST_PIXELS)}
            stream.codec_context.thread_count = 1  # several cost more than they gain, and a worker has one
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
