"""BridgeData V2 at its full size, simulated from a small real shard of it: as many episodes and shards as the release.

The sample's records become the release's size: pictures enlarged to 256 px, steps repeated forth and back to 14 to 62
(38 on average). A dozen shards are written; all others are hard links to them, so that 60,096 episodes of 75 GB take
about 1 GB of disk. What is read is then cached by the operating system: figures are of a warm disk.
"""

import json
import os
import struct
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path

import cv2
import numpy as np

from lewm_core.sources import tfrecord
from lewm_core.sources.pictures import constant, decode

FULL, PX, ROTATIONS = 60_096, 256, 3
SPLITS = {"train": (53_192, 1024), "val": (6_904, 128)}  # the release's: episodes, shards
PER_SHARD = 52  # of a part of it
NAME = "bridge_dataset"
ROOT = Path(__file__).resolve().parents[1]


def shards(episodes: int) -> dict[str, list[int]]:
    """By split how many episodes each shard holds; less than the release is one split of shards of its size."""
    splits = SPLITS if episodes == FULL else {"train": (episodes, -(-episodes // PER_SHARD))}
    return {split: [n // k + (i < n % k) for i in range(k)] for split, (n, k) in splits.items()}


def write(folder: Path, episodes: int, sample: Path) -> Path:
    """The first so many episodes as shards in `folder`, with the files that TFDS keeps beside them; returns it."""
    distinct = folder.with_name("distinct")
    folder.mkdir(parents=True)
    distinct.mkdir(exist_ok=True)
    made: list[bytes] = []
    for split, counts in shards(episodes).items():
        for i, count in enumerate(counts):
            content = distinct / f"{count}-{i % ROTATIONS}"
            if not content.exists():
                made = made or [*records(sample)]
                start = i % ROTATIONS * len(made) // ROTATIONS
                content.write_bytes(b"".join(islice(cycle(made), start, start + count)))
            os.link(content, folder / f"{NAME}-{split}.tfrecord-{i:05d}-of-{len(counts):05d}")
    describe(folder, episodes, sample)
    return folder


def records(sample: Path) -> Iterator[bytes]:
    """Every record of the sample at the release's size, as a TFRecord file holds it."""
    path = next(sample.glob(f"{NAME}-train*"))
    spans, _ = tfrecord.scan(path)
    for i, span in enumerate(spans):
        data = enlarged(tfrecord.read(path, span.offset), steps=14 + 2 * i)
        length = struct.pack("<Q", len(data))
        yield b"".join([length, struct.pack("<I", tfrecord.masked_crc(length)), data,
                        struct.pack("<I", tfrecord.masked_crc(data))])


def enlarged(data: bytes, steps: int) -> bytes:
    """A record with so many steps and pictures of PX pixels."""
    example = tfrecord.parse(data, "the sample")
    features = example.features.feature
    before = len(features["steps/observation/image_0"].bytes_list.value)
    order = [*range(before), *range(before - 2, 0, -1)]
    places = [*islice(cycle(order), steps)]
    for name in [name for name in features if name.startswith("steps/")]:
        kept = getattr(features[name], features[name].WhichOneof("kind")).value
        values = [*kept]
        size = len(values) // before
        if "/image_" in name:
            values = [*map(picture, values)]
        del kept[:]
        kept.extend(value for place in places for value in values[place * size : (place + 1) * size])
    return example.SerializeToString()


_noise = np.random.default_rng(0).normal(0, 2, (2 * PX, PX, 3)).astype(np.float32)


def picture(stored: bytes) -> bytes:
    """A JPEG of PX pixels, about as many bytes as one of the release: a little noise makes up for lost detail."""
    image = decode(stored, "the sample")
    large = cv2.resize(image, (PX, PX), interpolation=cv2.INTER_CUBIC)
    if not constant(image):
        first = len(stored) % PX
        large = np.clip(large + _noise[first : first + PX], 0, 255).astype(np.uint8)
    return cv2.imencode(".jpg", large[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()


def describe(folder: Path, episodes: int, sample: Path) -> None:
    """dataset_info.json and features.json."""
    info = json.loads((sample / "dataset_info.json").read_text())
    template = info["splits"][0]["filepathTemplate"]
    info["splits"] = [{"filepathTemplate": template, "name": split, "numBytes": "1",
                       "shardLengths": [str(n) for n in counts]} for split, counts in shards(episodes).items()]
    (folder / "dataset_info.json").write_text(json.dumps(info))
    features = (sample / "features.json").read_text()
    (folder / "features.json").write_text(features.replace('"64"', f'"{PX}"'))
