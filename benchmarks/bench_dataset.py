"""What the dataset file's chunks and compression cost, and what packing takes.

    ./run_all.sh bench bench_dataset    codec × chunk: random windows a CPU-second, bytes a frame; packing at 224 px

Frames are the simulated tabletop's. Windows are four frames, read warm, at random, one at a time. How packing grows is
bench_growth's subject.
"""

import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import h5py
import hdf5plugin
import numpy as np

from lewm_core import dataset
from lewm_core.signals.backends import SIMULATOR
from lewm_core.signals.extraction import Signals, extract
from lewm_core.sources.episode import Episode
from lewm_core.sources.tabletop.source import Tabletop

CODECS = {"none": {}, "lzf": {"compression": "lzf"}, "gzip-1": {"compression": "gzip", "compression_opts": 1},
          "gzip-4": {"compression": "gzip", "compression_opts": 4},
          "blosc-lz4": dict(hdf5plugin.Blosc("lz4", 5, hdf5plugin.Blosc.NOSHUFFLE)),
          "blosc-zstd": dict(hdf5plugin.Blosc("zstd", 3, hdf5plugin.Blosc.NOSHUFFLE))}
CHUNKS = {"pixels": (1, 4, 16), "mask": (1, 4, 16), "action": (1, 16, 128)}
Packet = tuple[Episode, Signals]


def rendered(n: int, size: int) -> list[Packet]:
    """Episodes with all their signals, the simulator's own."""
    source = Tabletop(n, seed=0, image_size=size)
    episodes = [source.load(info.id) for info in source.infos()]
    return [(episode, extract(episode, SIMULATOR)) for episode in episodes]


def table(packets: list[Packet], folder: Path, windows: int = 150) -> None:
    """codec × chunk for the frames, the object mask and, uncompressed, the actions, which are small."""
    columns = {"pixels": np.concatenate([e.frames for e, _ in packets]),
               "mask": np.concatenate([s.mask for _, s in packets]).view(np.uint8),
               "action": np.concatenate([e.actions for e, _ in packets])}
    print(f"{'column':7} {'codec':11} {'chunk':>5} {'bytes/frame':>11} {'share':>6} {'windows/CPU-s':>13} "
          f"{'written MB/s':>12}")
    for name, values in columns.items():
        for codec, options in (CODECS if name != "action" else {"none": {}}).items():
            for chunk in CHUNKS[name]:
                path = folder / "bench.h5"
                begun = time.process_time()
                with h5py.File(path, "w") as f:
                    f.create_dataset(name, data=values, chunks=(chunk, *values.shape[1:]), **options)
                written = values.nbytes / 1e6 / (time.process_time() - begun)
                starts = np.random.default_rng(0).integers(0, len(values) - 4, windows)
                with h5py.File(path) as f:
                    column, size = f[name], path.stat().st_size / len(values)  # the index of the chunks included
                    begun = time.process_time()
                    for start in starts:
                        column[start : start + 4]
                    rate = windows / (time.process_time() - begun)
                print(f"{name:7} {codec:11} {chunk:5} {size:11.0f} {size / values[0].nbytes:6.1%} {rate:13.0f} "
                      f"{written:12.0f}", flush=True)


@dataclass(frozen=True)
class Packing:
    """What packing took. before, peak: the most memory that the process had held before it and after it, GB."""

    episodes: int
    frames: int
    seconds: float
    disk: float  # GB
    before: float
    peak: float


def packing(path: Path, episodes: int, size: int, n_rendered: int) -> Packing:
    """Pack episodes with their signals, `n_rendered` of them over and over, to `path`; in a process of its own."""
    packets = rendered(n_rendered, size)
    frames = sum(len(packets[i % n_rendered][0].frames) for i in range(episodes))

    def read(wanted: list[str]) -> Iterator[Packet]:
        for id in wanted:
            episode, signals = packets[int(id) % n_rendered]
            yield Episode(id, episode.frames.copy(), episode.actions, episode.observations, episode.task), signals

    before, begun = peak(), time.perf_counter()
    dataset.pack(path, [f"{i:05d}" for i in range(episodes)], read)
    seconds = time.perf_counter() - begun
    return Packing(episodes, frames, seconds, path.stat().st_size / 1e9, before, peak())


def peak() -> float:
    """The most memory that this process has held, GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def apart(function: Callable, *arguments: object) -> object:
    """What `function` returns, called in a process of its own."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        table(rendered(8, 224), Path(folder))
        found = apart(packing, Path(folder) / "packed.h5", 125, 224, 4)
    print(f"packing {found.episodes} episodes, {found.frames} frames of 224 px: {found.seconds:.1f} s, "
          f"{found.frames / found.seconds:.0f} frames/s, {found.disk:.2f} GB; peak memory {found.peak:.3f} GB, of it "
          f"packing {found.peak - found.before:.3f}")


if __name__ == "__main__":
    main()
