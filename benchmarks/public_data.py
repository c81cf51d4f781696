"""The data path: the public readers, HDF5 and Lance, and our dataset file, on the same simulated episodes."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from benchmarks.public_side import normalised
from lewm_core import dataset
from lewm_core.config import Recipe
from lewm_core.dataset import WINDOW, window_starts, windows
from lewm_core.dataset.frames import ActionScale, Frames
from lewm_core.encoder import normalise
from lewm_core.signals.backends import Backends
from lewm_core.signals.extraction import extract
from lewm_core.sources.tabletop.source import Tabletop
from lewm_core.train import batches
from lewm_core.utils.errors import InputError

EPISODES, BATCH = 10, Recipe().batch_size
Epoch = Callable[[], int]  # reads all batches of an epoch and returns how many windows these were


def write(px: int, folder: Path) -> None:
    """The same simulated episodes three times: our file, and those of the public writers."""
    from stable_worldmodel.data import HDF5Writer, LanceWriter

    source = Tabletop(EPISODES, seed=0, image_size=px)
    episodes = [source.load(info.id) for info in source.infos()]
    dataset.write(folder / "ours.h5", [(e, extract(e, Backends(None, None, None))) for e in episodes])
    columns = [{"pixels": list(e.frames), "action": list(e.actions), "observation": list(e.observations)}
               for e in episodes]
    for writer, name in ((HDF5Writer, "public.h5"), (LanceWriter, "public.lance")):
        with writer(folder / name) as out:
            out.write_episodes(columns)


def prepared(sample: dict) -> dict:
    """A window of a public reader as its model takes it."""
    return {"pixels": normalised(sample["pixels"]), "action": sample["action"]}


def public(reader: type, path: Path) -> Epoch:
    """Open a public file; what reads an epoch of it."""
    data = reader(path=path, num_steps=WINDOW, keys_to_load=["pixels", "action"], transform=prepared)
    loader = DataLoader(data, BATCH, shuffle=True, drop_last=True)
    return lambda: sum(len(batch["pixels"]) for batch in loader)


def opened(path: Path) -> tuple[np.ndarray, Callable[[np.ndarray], tuple[Tensor, Tensor]]]:
    """Read our file; its windows' frames (n, 4), and what makes a batch of rows of these."""
    data = dataset.load(path)
    scale = ActionScale.fit(data["action"])
    index = windows(window_starts(data["ep_len"], data["ep_offset"]))
    frames = Frames.of(data, (), np.unique(index), scale, "cpu")
    return index, lambda rows: (normalise(frames.pixels[index[rows]]), frames.actions[index[rows]])


def ours(path: Path) -> Epoch:
    """Read our file; what makes an epoch's batches of it."""
    index, batch = opened(path)
    return lambda: sum(len(batch(rows)[0]) for rows in batches(len(index), len(index) // BATCH, BATCH, seed=0)[1])


def check(folder: Path, reader: type) -> None:
    """InputError unless both sides give the same windows of the same episodes."""
    data = reader(path=folder / "public.h5", num_steps=WINDOW, keys_to_load=["pixels", "action"], transform=prepared)
    index, batch = opened(folder / "ours.h5")
    rows = np.array([0, len(index) // 2, len(index) - 1])
    theirs = torch.stack([data[i]["pixels"] for i in rows])
    if len(data) != len(index) or not torch.allclose(theirs, batch(rows)[0], atol=1e-5):
        raise InputError(folder, "other windows from the public reader than from ours", "the same")


def timed(open_it: Callable[[], Epoch]) -> np.ndarray:
    """(4,) windows a second: of the first epoch, opening included, and of a later one; by wall and by CPU time each."""
    marks = [np.array([time.perf_counter(), time.process_time()])]
    epoch = open_it()
    for _ in range(2):
        n = epoch()
        marks.append(np.array([time.perf_counter(), time.process_time()]))
    return n / np.diff(marks, axis=0).flatten()


MEASURES = ("first epoch, wall", "first epoch, CPU", "later epoch, wall", "later epoch, CPU")


def measure_data(px: int, rounds: int, folder: Path) -> Iterator[tuple]:
    """Windows a second of each reader and of ours, in turns: what public_table.compared takes."""
    from stable_worldmodel.data import HDF5Dataset, LanceDataset

    torch.set_num_threads(1)
    write(px, folder)
    check(folder, HDF5Dataset)
    paths = {"HDF5": lambda: public(HDF5Dataset, folder / "public.h5"),
             "Lance": lambda: public(LanceDataset, folder / "public.lance"), "ours": lambda: ours(folder / "ours.h5")}
    rates = {name: [] for name in paths}
    for i in range(-1, rounds):  # the first round fills the operating system's cache
        for name in list(paths)[:: 1 if i % 2 else -1]:
            found = timed(paths[name])
            if i >= 0:
                rates[name].append(found)
    own = np.array(rates.pop("ours"))
    for peer, of in rates.items():
        for k, measure in enumerate(MEASURES):
            yield ({"part": "data", "peer": peer, "px": px, "threads": 1, "device": "cpu"}, measure, "windows/s",
                   np.array(of)[:, k], own[:, k])
