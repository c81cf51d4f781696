"""Episodes written as a LeRobot dataset of format 2.1 or 3.0: parquet tables, mp4 videos, metadata and statistics.

Without their signals: LeRobot has no place for them. Nothing is held in memory but one episode.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from lewm_core.sources.episode import ACTIONS, FPS, Episode
from lewm_core.sources.lerobot import STATE
from lewm_core.sources.lerobot_meta import check_installed, need
from lewm_core.utils.errors import InputError, pick
from lewm_core.utils.files import new_folder, write_json

CAMERA = "observation.images.main"
INDICES = ("frame_index", "episode_index", "index", "task_index")
CHUNK, FILE_MB = 1000, 200  # files in a folder; the size at which v3.0 begins another file
TEMPLATES = {
    "v2.1": ("data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet",
             "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4"),
    "v3.0": ("data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
             "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"),
}
# H.264, since every reader has it. On 224 px tabletop frames: PSNR 35.7 dB on average and 34.3 dB at worst, in 3.8 % of
# the raw size (crf 1: 36.1 and 34.7 dB in 10 %; crf 23: 35.1 and 33.7 dB in 2.7 %). In grey it is above 40 dB whatever
# crf is: yuv420p leaves out the colour of each second pixel.
CODEC = {"crf": "18", "g": "2", "preset": "medium"}  # a keyframe every other frame: a window is found at once


def export(path: str | Path, episodes: Iterable[Episode], version: str = "v3.0") -> None:
    """Write episodes to a new folder `path`, which appears whole or not at all.

    For a dataset file, pass `dataset.read_episodes(file)`. NaN actions are written as they are and count as 0 in the
    statistics. Ids are not kept: LeRobot numbers its episodes.

    Raises:
        InputError: an unknown version, a folder that exists, no episodes, frames of odd height or width (the video
            format halves them), episodes that differ in frame size or state; pyarrow or av missing.
    """
    pick(TEMPLATES, version, "LeRobot version")
    check_installed()
    with new_folder(path) as folder:
        log, files, first = _Log(), None, None
        try:
            for index, episode in enumerate(episodes):
                first = first or episode
                _check(episode, first, f"{path}, episode {episode.id}")
                if files is None:
                    files = _Files(folder, version, log.n_files, first)
                    log.n_files += 1
                log.add(index, episode, files.add(index, episode, log))
                if version == "v2.1" or files.size >= FILE_MB * 1e6:
                    files.close()
                    files = None
        finally:
            if files is not None:
                files.close()
        if first is None:
            raise InputError(path, "no episodes to write", "at least one")
        _write_meta(folder / "meta", version, log, first)


def _check(episode: Episode, first: Episode, where: str) -> None:
    height, width = episode.frames.shape[1:3]
    if height % 2 or width % 2:
        raise InputError(where, f"frames of {height} × {width} px", "even height and width")
    if not episode.observations.shape[1]:
        raise InputError(where, "observations without numbers", "at least one a frame")
    for name in ("frames", "observations"):
        found, wanted = getattr(episode, name).shape[1:], getattr(first, name).shape[1:]
        if found != wanted:
            raise InputError(where, f"{name} of {found} a frame", f"{wanted} as in {first.id}")


@dataclass
class _Log:
    """What the metadata will say: a row and the statistics of each episode, the tasks in order of appearance."""

    rows: list[dict] = field(default_factory=list)
    stats: list[dict] = field(default_factory=list)
    tasks: dict[str, int] = field(default_factory=dict)
    n_frames: int = 0
    n_files: int = 0

    def columns(self, index: int, episode: Episode) -> dict[str, np.ndarray]:
        """The episode's columns of numbers, (T, n) or (T,)."""
        t = np.arange(len(episode.frames))
        task = self.tasks.setdefault(episode.task, len(self.tasks))
        return {"action": episode.actions, STATE: episode.observations, "timestamp": (t / FPS).astype(np.float32),
                "frame_index": t, "episode_index": np.full_like(t, index), "index": self.n_frames + t,
                "task_index": np.full_like(t, task)}

    def add(self, index: int, episode: Episode, place: dict) -> None:
        """Note an episode that was written; place: where, as `_Files.add` says."""
        length = len(episode.frames)
        self.rows.append({"episode_index": index, "tasks": [episode.task], "length": length,
                          "dataset_from_index": self.n_frames, "dataset_to_index": self.n_frames + length} | place)
        self.n_frames += length


class _Files:
    """A table and a video under way, to which episodes are appended."""

    def __init__(self, folder: Path, version: str, number: int, first: Episode):
        av, pa, pq = need("av"), need("pyarrow"), need("pyarrow.parquet")
        self.place = {"chunk_index": number // CHUNK, "file_index": number % CHUNK}
        at = {**self.place, "episode_chunk": number // CHUNK, "episode_index": number, "video_key": CAMERA}
        table, video = (folder / template.format(**at) for template in TEMPLATES[version])
        for file in (table, video):
            file.parent.mkdir(parents=True, exist_ok=True)
        numbers = {"action": first.actions.shape[1], STATE: first.observations.shape[1], "timestamp": 1}
        types = {name: pa.float32() if n == 1 else pa.list_(pa.float32(), n) for name, n in numbers.items()}
        self._schema = pa.schema(list((types | dict.fromkeys(INDICES, pa.int64())).items()))
        self._table = pq.ParquetWriter(table, self._schema)
        self._video = av.open(str(video), "w")
        self._stream = self._video.add_stream("libx264", rate=FPS, options=CODEC)
        self._stream.height, self._stream.width = first.frames.shape[1:3]
        self._stream.pix_fmt = "yuv420p"
        self._frames, self.size = 0, 0

    def add(self, index: int, episode: Episode, log: _Log) -> dict:
        """Append an episode; returns where it lies, as v3.0 says it."""
        av, pa = need("av"), need("pyarrow")
        columns = log.columns(index, episode)
        stats = {name: _statistics(values.reshape(len(values), -1)) for name, values in columns.items()}
        stats[CAMERA] = _statistics(episode.frames.reshape(-1, 3) / 255, len(episode.frames))
        log.stats.append(stats)
        arrays = []
        for values, type_ in zip(columns.values(), self._schema.types, strict=True):
            several = values.ndim > 1 and values.shape[1] > 1
            arrays.append(pa.array(values.tolist() if several else values.ravel(), type_))
        self._table.write_table(pa.table(arrays, schema=self._schema))
        start = self._frames / FPS
        for t, picture in enumerate(episode.frames):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = self._frames
            if t == 0:
                frame.pict_type = av.video.frame.PictureType.I
            self._mux(frame)
            self._frames += 1
        folders = ("data", f"videos/{CAMERA}")
        place = {f"{folder}/{name}": value for folder in folders for name, value in self.place.items()}
        end = self._frames / FPS
        return place | {f"videos/{CAMERA}/from_timestamp": start, f"videos/{CAMERA}/to_timestamp": end}

    def _mux(self, frame) -> None:
        for packet in self._stream.encode(frame):
            self.size += packet.size
            self._video.mux(packet)

    def close(self) -> None:
        """End the files; nothing can be added then."""
        self._mux(None)
        self._video.close()
        self._table.close()


def _statistics(values: np.ndarray, count: int | None = None) -> dict[str, np.ndarray]:
    """Over the rows of (n, k): min, max, mean, std, each (k,), and how many rows (of pixels: frames) there were."""
    values = np.nan_to_num(values)
    return {"min": values.min(0), "max": values.max(0), "mean": values.mean(0), "std": values.std(0),
            "count": np.array([count or len(values)])}


def _pooled(stats: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The statistics of all episodes from those of each."""
    low, high, mean, std, count = (np.stack([s[key] for s in stats]) for key in ("min", "max", "mean", "std", "count"))
    total = (mean * count).sum(0) / count.sum()
    variance = ((std**2 + (mean - total) ** 2) * count).sum(0) / count.sum()
    return {"min": low.min(0), "max": high.max(0), "mean": total, "std": np.sqrt(variance), "count": count.sum(0)}


def _listed(stats: dict[str, dict[str, np.ndarray]]) -> dict[str, dict[str, list]]:
    """As LeRobot writes them: lists, those of a camera of shape (3, 1, 1)."""
    found = {}
    for name, values in stats.items():
        shaped = {key: value[:, None, None] if name == CAMERA and key != "count" else value
                  for key, value in values.items()}
        found[name] = {key: value.tolist() for key, value in shaped.items()}
    return found


def _features(first: Episode) -> dict[str, dict]:
    (height, width), d, a = first.frames.shape[1:3], first.observations.shape[1], first.actions.shape[1]
    actions = list(ACTIONS) if a == len(ACTIONS) else [f"action_{i}" for i in range(a)]
    video = {"video.height": height, "video.width": width, "video.channels": 3, "video.fps": FPS,
             "video.codec": "h264", "video.pix_fmt": "yuv420p", "video.is_depth_map": False, "has_audio": False}
    return {
        CAMERA: {"dtype": "video", "shape": [height, width, 3], "names": ["height", "width", "channels"],
                 "info": video},
        "action": {"dtype": "float32", "shape": [a], "names": actions},
        STATE: {"dtype": "float32", "shape": [d], "names": [f"state_{i}" for i in range(d)]},
        "timestamp": {"dtype": "float32", "shape": [1], "names": None},
    } | {name: {"dtype": "int64", "shape": [1], "names": None} for name in INDICES}


def _write_meta(meta: Path, version: str, log: _Log, first: Episode) -> None:
    data_path, video_path = TEMPLATES[version]
    info = {"codebase_version": version, "robot_type": "unknown", "fps": FPS, "total_episodes": len(log.rows),
            "total_frames": log.n_frames, "total_tasks": len(log.tasks), "chunks_size": CHUNK,
            "splits": {"train": f"0:{len(log.rows)}"}, "features": _features(first),
            "data_path": data_path, "video_path": video_path}
    if version == "v2.1":
        info |= {"total_videos": len(log.rows), "total_chunks": -(-len(log.rows) // CHUNK)}
        _write_episodes_v21(meta, log)
    else:
        info |= {"data_files_size_in_mb": 100, "video_files_size_in_mb": FILE_MB}
        _write_episodes_v30(meta, log)
    write_json(meta / "info.json", info)


def _write_episodes_v21(meta: Path, log: _Log) -> None:
    """Tasks, episodes and their statistics: a JSON line each."""
    episodes = [{key: row[key] for key in ("episode_index", "tasks", "length")} for row in log.rows]
    stats = [{"episode_index": i, "stats": _listed(stats)} for i, stats in enumerate(log.stats)]
    _write_lines(meta / "tasks.jsonl", [{"task_index": i, "task": task} for task, i in log.tasks.items()])
    _write_lines(meta / "episodes.jsonl", episodes)
    _write_lines(meta / "episodes_stats.jsonl", stats)


def _write_episodes_v30(meta: Path, log: _Log) -> None:
    """Tasks, and episodes with their statistics: a row of a table each. Statistics of them all: JSON."""
    import pandas as pd

    rows = []
    for row, stats in zip(log.rows, log.stats, strict=True):
        flat = {f"stats/{name}/{key}": value for name, values in _listed(stats).items()
                for key, value in values.items()}
        rows.append({**row, **flat, "meta/episodes/chunk_index": 0, "meta/episodes/file_index": 0})
    (meta / "episodes/chunk-000").mkdir(parents=True)
    pd.DataFrame(rows).to_parquet(meta / "episodes/chunk-000/file-000.parquet", index=False)
    tasks = pd.Index(list(log.tasks), name="task")
    pd.DataFrame({"task_index": range(len(tasks))}, index=tasks).to_parquet(meta / "tasks.parquet")
    pooled = {name: _pooled([stats[name] for stats in log.stats]) for name in log.stats[0]}
    write_json(meta / "stats.json", _listed(pooled))


def _write_lines(path: Path, rows: list[dict]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
