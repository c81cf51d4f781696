"""What the dataset file's chunks and compression cost, and what packing takes.

    ./run_all.sh bench bench_dataset            codec × chunk: random windows a CPU-second, bytes a frame; packing
    ./run_all.sh bench bench_dataset --growth   packing 10 to 1,000 episodes: time and memory

Frames are the simulated tabletop's. Windows are four frames, read warm, at random, one at a time.
"""

import resource
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import h5py
import hdf5plugin
import numpy as np

from lewm_core import dataset
from lewm_core.signals.backends import SIMULATOR, Backends
from lewm_core.signals.extraction import Signals, extract
from lewm_core.sources.episode import Episode
from lewm_core.sources.tabletop.source import Tabletop

CODECS = {"none": {}, "lzf": {"compression": "lzf"}, "gzip-1": {"compression": "gzip", "compression_opts": 1},
          "gzip-4": {"compression": "gzip", "compression_opts": 4},
          "blosc-lz4": dict(hdf5plugin.Blosc("lz4", 5, hdf5plugin.Blosc.NOSHUFFLE)),
          "blosc-zstd": dict(hdf5plugin.Blosc("zstd", 3, hdf5plugin.Blosc.NOSHUFFLE))}
CHUNKS = {"pixels": (1, 4, 16), "mask": (1, 4, 16), "action": (1, 16, 128)}
Packet = tuple[Episode, Signals]


def rendered(n: int, size: int, backends: Backends) -> list[Packet]:
    source = Tabletop(n, seed=0, image_size=size)
    episodes = [source.load(info.id) for info in source.infos()]
    return [(episode, extract(episode, backends)) for episode in episodes]


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


def packing(n_frames: int, size: int, n_rendered: int, full: bool) -> tuple[int, int, float, float, float, float]:
    """Pack episodes that repeat a few rendered ones until there are `n_frames`; run in a process of its own.

    Returns episodes, frames, seconds, GB on disk, and the process's peak memory in GB before and after.
    """
    packets = rendered(n_rendered, size, SIMULATOR if full else Backends(None, None, None))
    ids, frames = [], 0
    while frames < n_frames:
        frames += len(packets[len(ids) % n_rendered][0].frames)
        ids.append(f"{len(ids):05d}")

    def read(wanted):
        for id in wanted:
            episode, signals = packets[int(id) % n_rendered]
            yield Episode(id, episode.frames.copy(), episode.actions, episode.observations, episode.task), signals

    before, begun = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "packed.h5"
        dataset.pack(path, ids, read)
        seconds, disk = time.perf_counter() - begun, path.stat().st_size / 1e9
    return len(ids), frames, seconds, disk, before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def report(jobs: list[tuple[int, int, int, bool]]) -> None:
    print(f"{'px':>4} {'episodes':>8} {'frames':>6} {'s':>6} {'frames/s':>8} {'MB/s':>5} {'GB':>6} {'peak GB':>8} "
          f"{'of it packing':>13}")
    for job in jobs:
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            episodes, frames, seconds, disk, before, peak = pool.submit(packing, *job).result()
        print(f"{job[1]:4} {episodes:8} {frames:6} {seconds:6.1f} {frames / seconds:8.0f} {1e3 * disk / seconds:5.0f} "
              f"{disk:6.2f} {peak:8.3f} {peak - before:13.3f}", flush=True)


if __name__ == "__main__":
    if "--growth" in sys.argv:
        report([(n * 24, 64, 4, True) for n in (10, 100, 1000)])
    else:
        with tempfile.TemporaryDirectory() as folder:
            table(rendered(8, 224, SIMULATOR), Path(folder))
        report([(3000, 224, 4, True)])
