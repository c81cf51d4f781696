"""The undamaged inputs, one of each kind, as small as they can be."""

import json
import pickle
from pathlib import Path

import h5py
import numpy as np
import torch

from lewm_core.checkpoints import checkpoint, config_json, export, names
from lewm_core.config import MODELS
from lewm_core.model import LeWM
from lewm_core.sources import lerobot_writer
from lewm_core.sources.episode import Episode
from tests import bridge_fixtures as bridge
from tests.helpers import write_squares
from tests.recordings import write_recordings

TASKS = ("put the spoon on the towel", "put the pot in the sink", "pick up the cloth")
NANO = MODELS["nano"]


def _recording(i: int, t: int = 5) -> bridge.Raw:
    """A dark square that moves over bright noise: enough for the classical backends to see."""
    raw = bridge.recording(np.random.default_rng(i), t, (24, 32))
    pictures = raw.pictures // 4 + 180
    for step, picture in enumerate(pictures):
        picture[4 + step : 14 + step, 6 + 2 * step : 18 + 2 * step] = 30
    return raw._replace(pictures=pictures)


def _square(i: int) -> bridge.Raw:
    made = _recording(i)
    return made._replace(pictures=np.ascontiguousarray(made.pictures[:, :, :24]))


def raw(folder: Path) -> None:
    for i, task in enumerate(TASKS):
        date = "2020-03-04_11-22-33" if i == 2 else "2022-03-04_11-22-33"
        place = bridge.trajectory_folder(folder, i, task.replace(" ", "_"), date)
        bridge.write_raw(place, _recording(i), f"{task}\nconfidence: 1\n", dicts=i != 1, protocol=(4, 2, 0)[i])


def recordings(folder: Path) -> None:
    """Two folders of pictures and a video."""
    write_recordings(folder, (5, 4, 6), (32, 24))


def rlds_records() -> list[bytes]:
    rng = np.random.default_rng(0)
    return [bridge.example(bridge.episode(rng, 4 + i, 16, language_instruction=[task.encode()] * (4 + i)))
            for i, task in enumerate(TASKS)]


def rlds(folder: Path) -> None:
    records = rlds_records()
    bridge.write(folder, [records[:2], records[2:]])
    lengths = {"splits": [{"name": "train", "shardLengths": ["2", "1"]}]}
    (folder / "dataset_info.json").write_text(json.dumps(lengths))


def openx(folder: Path) -> None:
    rng = np.random.default_rng(1)
    records = [bridge.example(bridge.openx_episode(rng, 4 + i, form)) for i, form in enumerate(("JPEG", "PNG"))]
    bridge.write(folder, [records[:1], records[1:]], prefix="bridge")


def numpy_form(folder: Path) -> None:
    for i, task in enumerate(TASKS[:2]):
        place = folder / task.replace(" ", "_") / "00" / ("train", "val")[i]
        bridge.write_numpy(place, [bridge.trajectory(_square(2 * i + j)) for j in range(2)])


def lerobot(folder: Path, version: str) -> None:
    rng = np.random.default_rng(3)
    episodes = []
    for i, task in enumerate(TASKS):
        frames = _square(i).pictures
        episodes.append(Episode(f"own{i}", frames, rng.normal(size=(5, 7)).astype(np.float32),
                                rng.normal(size=(5, 3)).astype(np.float32), task))
    folder.rmdir()
    lerobot_writer.export(folder, episodes, version)


def hdf5(folder: Path) -> None:
    write_squares(folder / "squares.h5", (6, 5, 7))


def foreign_hdf5(folder: Path) -> None:
    """A dataset of another tool: other kinds of numbers, compressed, no word of how it was made."""
    rng, lengths = np.random.default_rng(4), [5, 6]
    n = sum(lengths)
    with h5py.File(folder / "foreign.h5", "w") as f:
        f.create_dataset("pixels", data=rng.integers(256, size=(n, 32, 32, 3)).astype(np.int16), chunks=(1, 32, 32, 3),
                         compression="gzip")
        f.create_dataset("action", data=rng.normal(size=(n, 7)), chunks=(4, 7), shuffle=True, compression="lzf")
        f["observation"] = rng.normal(size=(n, 4))
        f["ep_len"], f["ep_offset"] = np.array(lengths, np.int32), np.array([0, 5], np.int32)
        f["reward"] = rng.normal(size=n)
        f.create_dataset("task", data=["push"] * n, dtype=h5py.string_dtype())


def state() -> dict[str, torch.Tensor]:
    """Weights of a small model under public names."""
    return names.public_state(LeWM(NANO, 3))


def safetensors(folder: Path) -> None:
    checkpoint.save(folder / "model.safetensors", LeWM(NANO, 3), action_scale={"mean": [0.5] * 7, "std": [2.0] * 7})


def torch_file(folder: Path) -> None:
    torch.save(state(), folder / "weights.pt")
    (folder / "config.json").write_text(json.dumps(config_json.public(NANO)))


def lightning(folder: Path) -> None:
    weights = {f"model.{name}": value for name, value in state().items()}
    torch.save({"state_dict": weights, "epoch": 3, "optimizer_states": [{"lr": 1e-3}]}, folder / "last.ckpt")
    (folder / "config.json").write_text(json.dumps({"model": config_json.public(NANO)}))


def exported(folder: Path) -> None:
    safetensors(folder)
    export.export(folder / "model.safetensors", folder / "export")
    (folder / "model.safetensors").unlink()
    for path in (folder / "export").iterdir():
        path.rename(folder / path.name)
    (folder / "export").rmdir()



def pickled(folder: Path) -> None:
    """A pickle with all that the raw release has in its own."""
    content = {"full_state": np.random.default_rng(5).normal(size=(4, 7)), "time_stamp": [0.0, 0.2], "policy": "VR"}
    (folder / "content.pkl").write_bytes(pickle.dumps(content, 4))
