"""What bench_scale compares: readers of RLDS shards and of LeRobot datasets, ours and others'.

Each function opens data and returns what reads all of it once. Peers import nothing of ours, since their libraries may
be in another environment.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

PX = 256
IMAGE, ACTION, TEXT = "steps/observation/image_0", "steps/action", "steps/language_instruction"


@dataclass
class Sum:
    """What was read, in a few numbers: items, frames, actions added up, mean of the pixels."""

    items: int = 0
    frames: int = 0
    actions: float = 0.0
    pixels: float = 0.0

    def add(self, frames: int, actions: object = None, pixels: object = None) -> None:
        self.items += 1
        self.frames += frames
        self.actions += float(np.sum(actions, dtype=np.float64)) if actions is not None else 0.0
        self.pixels += float(np.asarray(pixels).ravel()[::4097].mean()) if pixels is not None else 0.0


Pass = Callable[[Sum], None]  # reads everything once and adds it up


def our_bridge(path: str, frames: bool) -> Pass:
    import cv2

    from lewm_core.sources.bridge import open_bridge

    cv2.setNumThreads(1)

    def read(found: Sum) -> None:
        source = open_bridge(path, PX)  # anew: opening is part of it
        if not frames:
            for info in source.infos():
                found.add(info.length)
            return
        for id in source.ids():
            episode = source.load(id)
            found.add(len(episode.frames), episode.actions, episode.frames)

    return read


def small_tfrecord(path: str, frames: bool) -> Pass:
    """The package `tfrecord`: its iterator and its message class. (Its loader keeps one value of each feature.)"""
    from tfrecord import example_pb2
    from tfrecord.reader import tfrecord_iterator

    if frames:
        from simplejpeg import decode_jpeg

    def read(found: Sum) -> None:
        for shard in sorted(Path(path).glob("*.tfrecord-*")):
            for record in tfrecord_iterator(str(shard)):
                features = example_pb2.Example.FromString(bytes(record)).features.feature
                jpegs = features[IMAGE].bytes_list.value
                features[TEXT].bytes_list.value[0].decode()
                if not frames:
                    found.add(len(jpegs))
                    continue
                pixels = np.stack([decode_jpeg(jpeg) for jpeg in jpegs])
                found.add(len(jpegs), np.array(features[ACTION].float_list.value, np.float32), pixels)

    return read


def tfds(path: str, frames: bool) -> Pass:
    """tensorflow-datasets: only the pictures that are wanted are decoded, steps are batched within TensorFlow."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import tensorflow as tf
    import tensorflow_datasets

    builder = tensorflow_datasets.builder_from_directory(path)
    skipped = [f"image_{camera}" for camera in range(1 if frames else 0, 4)]
    skip = dict.fromkeys(skipped, tensorflow_datasets.decode.SkipDecoding())
    decoders = {"steps": {"observation": skip}}
    options = tf.data.Options()
    options.threading.private_threadpool_size = 1
    options.threading.max_intra_op_parallelism = 1

    def read(found: Sum) -> None:
        data = builder.as_dataset(split="train", shuffle_files=False, decoders=decoders).with_options(options)
        for steps in data.flat_map(lambda episode: episode["steps"].batch(1000)).as_numpy_iterator():
            if frames:
                found.add(len(steps["action"]), steps["action"], steps["observation"]["image_0"])
            else:
                found.add(len(steps["language_instruction"]))

    return read


def our_lerobot(path: str, n: int) -> Pass:
    import cv2

    from lewm_core.sources.lerobot import LeRobot

    cv2.setNumThreads(1)

    def read(found: Sum) -> None:
        source = LeRobot(path, PX)
        for info, _ in zip(source.infos(), range(n), strict=False):
            episode = source.load(info.id)
            found.add(len(episode.frames), episode.actions, episode.frames)

    return read


def lerobot(path: str, n: int) -> Pass:
    """lerobot's LeRobotDataset: frame by frame, as its data loader asks for them."""
    os.environ |= {"HF_HUB_OFFLINE": "1", "HF_HOME": f"{path}-cache"}
    import torch

    from lewm_core.utils import torchvision_compat

    torchvision_compat.ensure()
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    torch.set_num_threads(1)
    LeRobotDataset("local/bench", root=path)[0]  # whether its video decoders run

    def read(found: Sum) -> None:
        data = LeRobotDataset("local/bench", root=path)
        starts = [*data.meta.episodes["dataset_from_index"][:n]]
        stops = [*data.meta.episodes["dataset_to_index"][:n]]
        camera = data.meta.camera_keys[0]
        for start, stop in zip(starts, stops, strict=True):
            steps = [data[i] for i in range(start, stop)]
            pixels = (torch.stack([step[camera] for step in steps]) * 255).round().to(torch.uint8)
            found.add(len(steps), torch.stack([step["action"] for step in steps]).numpy(),
                      pixels.permute(0, 2, 3, 1).numpy())

    return read


def plain_lerobot(path: str, n: int) -> Pass:
    """pyarrow and av, straight through: a table read whole and each video decoded from its beginning, nothing checked.

    No reader of single episodes: what the formats' own libraries cost at least.
    """
    import av
    import pyarrow.parquet as pq

    def pictures() -> Iterator[np.ndarray]:
        for file in sorted(Path(path).glob("videos/*/*/*.mp4")):
            with av.open(str(file)) as container:
                container.streams.video[0].thread_type = "NONE"
                yield from (frame.to_ndarray(format="rgb24") for frame in container.decode(video=0))

    def read(found: Sum) -> None:
        lengths = pq.read_table(sorted(Path(path).glob("meta/episodes/*/*.parquet"))[0], columns=["length"])["length"]
        table = pq.read_table(sorted(Path(path).glob("data/*/*.parquet"))[0], columns=["action"])["action"]
        shown, start = pictures(), 0
        for length in lengths.to_pylist()[:n]:
            actions = np.array(table[start : start + length].to_pylist(), np.float32)
            found.add(length, actions, np.stack([next(shown) for _ in range(length)]))
            start += length

    return read
