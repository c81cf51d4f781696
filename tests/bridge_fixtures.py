"""Small data sets in the layouts of BridgeData, written byte by byte; tests and benchmarks share them.

The shard writer uses neither protobuf nor google-crc32c, so that it is an independent account of the format.
"""

import io
import pickle
import struct
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

# --- shards ------------------------------------------------------------------------------------------------------

def _crc_table() -> list[int]:
    table = []
    for n in range(256):
        for _ in range(8):
            n = n >> 1 ^ (0x82F63B78 if n & 1 else 0)  # Castagnoli's polynomial, reflected
        table.append(n)
    return table


CRC_TABLE = _crc_table()


def crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ CRC_TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def masked(data: bytes) -> bytes:
    crc = crc32c(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) % 2**32)


@lru_cache(64)  # a benchmark writes the same record many times
def record(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    return length + masked(length) + data + masked(data)


def varint(n: int) -> bytes:
    out = b""
    while n > 127:
        out, n = out + bytes([n & 127 | 128]), n >> 7
    return out + bytes([n])


def field(number: int, data: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(data)) + data


def feature(value) -> bytes:
    """A list of bytes → bytes_list, a float array → float_list (packed), a list of int → int64_list."""
    if isinstance(value, np.ndarray):
        return field(2, field(1, value.astype("<f4").tobytes()))
    if all(isinstance(v, bytes) for v in value):
        return field(1, b"".join(field(1, v) for v in value))
    return field(3, field(1, b"".join(map(varint, value))))


def example(features: dict) -> bytes:
    entries = (field(1, field(1, name.encode()) + field(2, feature(v))) for name, v in features.items())
    return field(1, b"".join(entries))


def jpeg(picture: np.ndarray, form: str = "JPEG") -> bytes:
    out = io.BytesIO()
    Image.fromarray(picture).save(out, form, quality=95)
    return out.getvalue()


def episode(rng: np.random.Generator, t: int = 3, size: int = 8, blank: tuple[int, ...] = (3,), **changes) -> dict:
    """The features of a random episode; `changes` replaces some, None removes one."""
    features = {"steps/action": rng.normal(size=t * 7).astype(np.float32),
                "steps/observation/state": rng.normal(size=t * 7).astype(np.float32),
                "steps/language_instruction": [b"put the spoon on the towel"] * t,
                "steps/is_first": [1] + [0] * (t - 1),
                "episode_metadata/has_image_0": [0]}
    for camera in range(4):
        value = rng.integers(256, size=(t, size, size, 3), dtype=np.uint8) * np.uint8(camera not in blank)
        features[f"steps/observation/image_{camera}"] = [jpeg(p) for p in value]
    names = {name.split("/")[-1]: name for name in features}
    features |= {names[n]: v for n, v in changes.items()}
    return {n: v for n, v in features.items() if v is not None}


def write(folder: Path, shards: list[list[bytes]], split: str = "train", prefix: str = "bridge_dataset") -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for i, records in enumerate(shards):
        paths.append(folder / f"{prefix}-{split}.tfrecord-{i:05d}-of-{len(shards):05d}")
        paths[-1].write_bytes(b"".join(map(record, records)))
    return paths


def openx_episode(rng: np.random.Generator, t: int = 3, form: str = "JPEG", size: tuple[int, int] = (6, 8),
                  **changes) -> dict:
    """The features of a random episode of Open X-Embodiment's bridge 0.1.0; `changes` replaces some, None removes."""
    pictures = rng.integers(256, size=(t, *size, 3), dtype=np.uint8)
    features = {"steps/observation/image": [jpeg(p, form) for p in pictures],
                "steps/observation/state": rng.normal(size=t * 7).astype(np.float32),
                "steps/observation/natural_language_instruction": [b"put the spoon on the towel"] * t,
                "steps/observation/natural_language_embedding": np.zeros(512 * t, np.float32),
                "steps/action/world_vector": rng.normal(size=t * 3).astype(np.float32),
                "steps/action/rotation_delta": rng.normal(size=t * 3).astype(np.float32),
                "steps/action/open_gripper": [1] + [0] * (t - 1),
                "steps/action/terminate_episode": np.zeros(t, np.float32),
                "steps/reward": np.zeros(t, np.float32), "steps/is_first": [1] + [0] * (t - 1),
                "steps/is_last": [0] * (t - 1) + [1], "steps/is_terminal": [0] * t}
    names = {name.split("/")[-1]: name for name in features}
    features |= {names[n]: v for n, v in changes.items()}
    return {n: v for n, v in features.items() if v is not None}


# --- the raw release and its numpy form --------------------------------------------------------------------------

class Raw(NamedTuple):
    """A recording as the robot makes it: one more picture and state than actions."""

    pictures: np.ndarray  # (T, H, W, 3) uint8
    states: np.ndarray  # (T, 7) float64
    actions: np.ndarray  # (T - 1, 7) float64


def recording(rng: np.random.Generator, t: int = 4, size: tuple[int, int] = (6, 8)) -> Raw:
    return Raw(rng.integers(256, size=(t, *size, 3), dtype=np.uint8), rng.normal(size=(t, 7)),
               rng.normal(size=(t - 1, 7)))


def trajectory_folder(root: Path, i: int = 0, task: str = "put_spoon_on_towel",
                      date: str = "2022-03-04_11-22-33") -> Path:
    return root / "toykitchen2" / task / "00" / date / "raw" / "traj_group0" / f"traj{i}"


def write_raw(folder: Path, raw: Raw, text: str | None = "put the spoon on the towel\nconfidence: 1\n",
              dicts: bool = True, cameras: tuple[int, ...] = (0,), protocol: int = 4) -> Path:
    """One trajectory of the raw release at `folder`."""
    folder.mkdir(parents=True)
    obs = {"full_state": raw.states, "time_stamp": list(np.arange(len(raw.states)) / 5)}
    actions = [{"actions": a, "policy_type": "VRTeleopPolicy"} if dicts else a for a in raw.actions]
    for name, content in ("obs_dict.pkl", obs), ("policy_out.pkl", actions), ("agent_data.pkl", {}):
        (folder / name).write_bytes(pickle.dumps(content, protocol))
    for camera in cameras:
        (folder / f"images{camera}").mkdir()
        for t, picture in enumerate(raw.pictures):
            (folder / f"images{camera}" / f"im_{t}.jpg").write_bytes(jpeg(picture))
    if text is not None:
        (folder / "lang.txt").write_text(text)
    return folder


def trajectory(raw: Raw, camera: int = 0) -> dict:
    """The dict that the public converter makes of a recording."""
    steps = [{f"images{camera}": p, "state": s, "time_stamp": t / 5}
             for t, (p, s) in enumerate(zip(raw.pictures, raw.states, strict=True))]
    return {"observations": steps[:-1], "next_observations": steps[1:], "actions": list(raw.actions),
            "terminals": [0] * len(raw.actions)}


def write_numpy(folder: Path, trajectories: list) -> Path:
    """An `out.npy` as np.save writes a list of dicts."""
    folder.mkdir(parents=True, exist_ok=True)
    objects = np.empty(len(trajectories), object)
    objects[:] = trajectories
    np.save(folder / "out.npy", objects)
    return folder / "out.npy"


RAW = recording(np.random.default_rng(8))


class Custom:
    """A class that a pickle of a stranger may name and nobody may make."""


def pillow(data: bytes, size: int) -> np.ndarray:
    """Decoded and squashed by another library; a box filter is the average over areas of whole pixels."""
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB").resize((size, size), Image.Resampling.BOX))
