"""Frames that stay in the dataset file: the same numbers as in memory, and no more memory for more of them."""

import pickle
import tracemalloc
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from lewm_core import dataset
from lewm_core.conditions import condition
from lewm_core.config import MODELS, Recipe
from lewm_core.dataset import windows
from lewm_core.dataset.frames import ActionScale, Frames, FromDisk
from lewm_core.dataset.stored import Stored
from lewm_core.model import LeWM
from lewm_core.sources.bridge import open_bridge
from lewm_core.train import train
from lewm_core.utils.errors import InputError
from tests import bridge_fixtures as bridge

LENGTH, SIZE = 12, 32


def write(path: Path, episodes: int, channels: int = 3, **options) -> Path:
    """A file of the public contract with random frames."""
    rng, n = np.random.default_rng(0), episodes * LENGTH
    with h5py.File(path, "w") as f:
        shape = (n, SIZE, SIZE, channels)
        f.create_dataset("pixels", data=rng.integers(256, size=shape, dtype=np.uint8), **options)
        f["action"], f["observation"] = (rng.normal(size=(n, 7)).astype(np.float32) for _ in range(2))
        f["ep_len"] = np.full(episodes, LENGTH)
        f["ep_offset"] = np.arange(episodes) * LENGTH
        f["episode_id"] = [f"e{i // LENGTH}" for i in range(n)]
    return path


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return write(tmp_path_factory.mktemp("stored") / "some.h5", 8)


@pytest.mark.parametrize("options", [{}, {"chunks": (1, SIZE, SIZE, 3)},
                                     {"chunks": (5, SIZE, SIZE, 3), "compression": "lzf"}])
@pytest.mark.parametrize("channels", [3, 1])
def test_read_from_disk_is_what_is_read_into_memory(tmp_path, options, channels):
    if channels == 1 and options:
        options = options | {"chunks": (*options["chunks"][:3], 1)}
    path = write(tmp_path / "file.h5", 4, channels, **options)
    kept, stored = dataset.load(path), dataset.load(path, in_memory=False)
    assert isinstance(stored["pixels"], Stored) and stored.fingerprint == kept.fingerprint
    assert list(stored.columns) == list(kept.columns)
    some = ["e2", "e0"]
    for index in (slice(3, 9), 5, [7], [4, 4, 9], np.array([[3, 4, 5, 6], [8, 9, 10, 11], [1, 0, 3, 3]]),
                  np.arange(24) % 3 == 0, slice(0, 0), np.zeros(0, int)):
        for a, b in ((kept, stored), (kept.select(some), stored.select(some))):
            rows = index if not (isinstance(index, np.ndarray) and index.dtype == bool) else np.resize(
                index, len(a["pixels"]))
            np.testing.assert_array_equal(b["pixels"][rows], a["pixels"][rows], strict=True)
    assert stored.select(some).fingerprint == kept.select(some).fingerprint
    again = pickle.loads(pickle.dumps(stored))
    np.testing.assert_array_equal(again["pixels"][:5], kept["pixels"][:5])


def test_a_run_on_frames_from_disk_is_the_same_run(file):
    outcomes = []
    for in_memory in (True, False):
        data = dataset.load(file, in_memory=in_memory)
        model = LeWM(MODELS["nano"], 0)
        if data["pixels"].shape[1] % model.config.patch_size:
            pytest.skip("frames that the smallest model does not tile")
        outcomes.append(train(model, condition("A"), data, Recipe(steps=4, n_evals=2), 0))
    kept, stored = outcomes
    assert kept.metrics == stored.metrics and kept.curve == stored.curve
    assert all(torch.equal(a, b) for a, b in zip(kept.model.parameters(), stored.model.parameters(), strict=True))


def test_what_does_not_fit_stays_in_the_file(file, monkeypatch):
    pixels = dataset.load(file)["pixels"].nbytes
    monkeypatch.setattr(dataset.memory, "usable_memory", lambda: 2 * pixels)
    assert isinstance(dataset.load(file)["pixels"], Stored)
    monkeypatch.setattr(dataset.memory, "usable_memory", lambda: 3 * pixels)
    assert isinstance(dataset.load(file)["pixels"], np.ndarray)
    monkeypatch.setattr(dataset.memory, "usable_memory", lambda: 100)
    with pytest.raises(InputError, match="Not even one episode fits"):
        dataset.load(file)


def test_another_file_in_its_place_is_an_error(tmp_path):
    path = write(tmp_path / "file.h5", 2)
    stored = dataset.load(path, in_memory=False)["pixels"]
    path.unlink()
    write(path, 3)
    with pytest.raises(InputError, match="another file than was loaded"):
        pickle.loads(pickle.dumps(stored))[0]


# --- memory ------------------------------------------------------------------------------------------------------

FEW, MANY = 20, 200
MOST = 8_000  # bytes an episode that may grow: its id, numbers and windows; its frames are 36,864


def growth(work) -> float:
    """Bytes that the peak of `work(n)` grows by with each episode."""
    peaks = []
    for n in (FEW, MANY):
        given = work(n)
        tracemalloc.start()
        try:
            kept = given()  # noqa: F841
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    return (peaks[1] - peaks[0]) / (MANY - FEW)


def test_the_memory_of_an_index_does_not_grow_by_more_than_the_ids(tmp_path):
    record = bridge.example(bridge.episode(np.random.default_rng(0), t=LENGTH, size=SIZE))

    def indexed(frames: bool, n: int):
        folder = tmp_path / f"{frames}{n}"
        bridge.write(folder, [[record] * 10] * (n // 10))

        def work():
            source = open_bridge(folder, SIZE)
            found = [info.id for info in source.infos(cache=folder / "index")]
            assert len(found) == n
            return found, [source.load(id).frames for id in found if frames], source

        return work

    assert growth(lambda n: indexed(False, n)) < 2_000
    assert growth(lambda n: indexed(True, n)) > MOST, "or it could not tell a list of all frames"


def test_the_memory_of_windows_does_not_grow_by_frames(tmp_path):
    def drawn(in_memory: bool, n: int):
        path = write(tmp_path / f"{n}.h5", n)

        def work():
            data = dataset.load(path, in_memory=in_memory)
            split = dataset.split(data["ep_len"], data["ep_offset"], np.random.default_rng(0))
            frames = Frames.of(data, (), np.unique(windows(split.train)), ActionScale.fit(data["action"]), "cpu")
            assert isinstance(frames.pixels, FromDisk) != in_memory
            for start in range(0, len(split.train), 16):
                frames.pixels[torch.from_numpy(windows(split.train[start : start + 16]))]
            return frames, split

        return work

    assert growth(lambda n: drawn(False, n)) < MOST
    assert growth(lambda n: drawn(True, n)) > 2 * MOST, "or it could not tell a list of all frames"
