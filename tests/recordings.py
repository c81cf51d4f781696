"""A small folder of recordings, as docs/how-to/own_data.md describes it: tests and the README's commands share it."""

import csv
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from tests.helpers import moving_square

LENGTHS = (9, 7, 8, 6)
HEADER = ("action_x", "action_y", "note", "observation_x", "observation_y", "observation_z")


def write_recordings(folder: Path, lengths: Sequence[int] = LENGTHS, size: tuple[int, int] = (64, 48),
                     videos: bool = True) -> list[np.ndarray]:
    """Moving squares of 2-D actions, of each second episode a video; returns the frames (T, H, W, 3) as they went in.

    size: width and height of the pictures, of which the square in the middle shows the episode.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows, pictures = [("episode", "frames", "actions", "task")], []
    for i, length in enumerate(lengths):
        episode, _ = moving_square(i, length)
        frames = np.stack([_framed(frame, size) for frame in episode.frames])
        place = folder / f"square{i}"
        place.mkdir()
        if videos and i % 2:
            write_video(place / "video.mp4", frames)
        else:
            write_pictures(place / "frames", frames)
        table = [(*a[:2], "a note", *o, 0.5) for a, o in zip(episode.actions, episode.observations, strict=True)]
        write_table(place / "actions.csv", [HEADER, *table])
        rows.append((episode.id, f"square{i}/" + ("video.mp4" if videos and i % 2 else "frames"),
                     f"square{i}/actions.csv", episode.task))
        pictures.append(frames)
    write_table(folder / "episodes.csv", rows)
    return pictures


def _framed(frame: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The frame enlarged into the middle of a black picture of that width and height."""
    width, height = size
    side = min(size)
    out = np.zeros((height, width, 3), np.uint8)
    top, left = (height - side) // 2, (width - side) // 2
    out[top : top + side, left : left + side] = cv2.resize(frame, (side, side), interpolation=cv2.INTER_NEAREST)
    return out


def write_pictures(folder: Path, frames: np.ndarray) -> None:
    folder.mkdir()
    for t, frame in enumerate(frames):
        cv2.imwrite(str(folder / f"im_{t}.png"), frame[..., ::-1])


def write_video(path: Path, frames: np.ndarray) -> None:
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=5, options={"crf": "1"})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv444p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def write_table(path: Path, rows: Sequence[Sequence[object]]) -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
