"""How fast each layout of BridgeData is read, and how that grows: ./run_all.sh bench bench_reader [episodes ...].

Writes 256-px episodes of 30 frames (480x640 where the layout has those) with the tests' writers, ten of them over and
over; then reads metadata and episodes at 224 px, decoded, with one process and with two. Each number of episodes and
processes has a fresh process, whose peak memory is given (of two, the larger one's).
"""

import os
import re
import resource
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np

from lewm_core.sources.bridge import open_bridge
from tests import bridge_fixtures as fixtures

FRAMES, DISTINCT, PER_FILE = 30, 10, 50
SIZES = {"bridge": (256, 256), "bridge-openx": (480, 640), "bridge-raw": (480, 640), "bridge-numpy": (128, 128)}


def pictures(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """(FRAMES, H, W, 3): smooth coloured blobs with a little noise, whose JPEGs are about as large as real ones."""
    blobs = rng.integers(256, size=(FRAMES, 16, 16, 3), dtype=np.uint8)
    frames = np.stack([cv2.resize(b, size[::-1], interpolation=cv2.INTER_CUBIC) for b in blobs]).astype(np.int16)
    return np.clip(frames + rng.integers(-4, 5, frames.shape), 0, 255).astype(np.uint8)


def write(layout: str, folder: Path, n: int) -> None:
    """`n` episodes in that layout; of what is the same again, a link."""
    rng = np.random.default_rng(0)
    raws = [fixtures.recording(rng, FRAMES, (2, 2))._replace(pictures=pictures(rng, SIZES[layout]))
            for _ in range(min(n, DISTINCT))]
    if layout in ("bridge", "bridge-openx"):
        make = fixtures.episode if layout == "bridge" else fixtures.openx_episode
        records = []
        for raw in raws:
            jpegs = [fixtures.jpeg(p) for p in raw.pictures]
            images = {f"image_{c}": jpegs for c in range(4)} if layout == "bridge" else {"image": jpegs}
            records.append(fixtures.example(make(rng, FRAMES, **images)))
        shards = [[records[i % len(records)] for i in range(first, min(first + PER_FILE, n))]
                  for first in range(0, n, PER_FILE)]
        fixtures.write(folder, shards, prefix="bridge_dataset" if layout == "bridge" else "bridge")
    elif layout == "bridge-raw":
        for i in range(n):
            target = fixtures.trajectory_folder(folder, i)
            if i < len(raws):
                fixtures.write_raw(target, raws[i])
                continue
            first = fixtures.trajectory_folder(folder, i % len(raws))
            for source in first.rglob("*.*"):
                (target / source.relative_to(first)).parent.mkdir(parents=True, exist_ok=True)
                os.link(source, target / source.relative_to(first))
    else:
        for first in range(0, n, PER_FILE):
            chosen = [fixtures.trajectory(raws[i % len(raws)]) for i in range(first, min(first + PER_FILE, n))]
            # copies, since the same array twice is stored once
            chosen = [t | {"observations": [s | {"images0": s["images0"].copy()} for s in t["observations"]]}
                      for t in chosen]
            fixtures.write_numpy(folder / f"task_{first:05d}" / "train", chosen)


def read(folder: Path, ids: list[str]) -> tuple[float, float, float]:
    """Seconds for these episodes in this process, by the clock and of its CPU, and its peak memory in MB."""
    cv2.setNumThreads(1)
    source, start, cpu = open_bridge(folder, 224), time.perf_counter(), time.process_time()
    for id in ids:
        source.load(id)
    return time.perf_counter() - start, time.process_time() - cpu, peak()


def peak() -> float:
    """Most memory that this process has held, MB. (getrusage would count what its parent held when it began.)"""
    status = Path("/proc/self/status")
    if status.exists():
        return int(re.search(r"VmHWM:\s*(\d+) kB", status.read_text())[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def listing(folder: Path) -> tuple[list[str], float, float, float]:
    """All ids, and the seconds for fingerprint, metadata, and metadata from the index."""
    times, source, cache = [], open_bridge(folder, 224), folder.with_name("index")
    for step in lambda: source.fingerprint, lambda: list(source.infos(cache=cache)), lambda: list(
            source.infos(cache=cache)):
        start = time.perf_counter()
        result = step()
        times.append(time.perf_counter() - start)
    return [i.id for i in result], *times


def fresh(jobs: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(jobs, get_context("spawn"))


def main(counts: list[int]) -> None:
    print(f"{'':13} {'':8} | ms an episode: {'':18} | 1 process {'':13} | 2 processes")
    print(f"{'layout':13} {'episodes':>8} | {'fingerprint':>11} {'metadata':>8} {'index':>5} {'CPU':>6} | "
          f"{'episodes/s':>10} {'peak MB':>12} | {'episodes/s':>10} {'peak MB':>8}")
    for layout in SIZES:
        for n in counts:
            with tempfile.TemporaryDirectory() as scratch:
                folder = Path(scratch) / layout
                write(layout, folder, n)
                with fresh(1) as pool:
                    ids, *times = pool.submit(listing, folder).result()
                with fresh(1) as pool:
                    seconds, cpu, memory = pool.submit(read, folder, ids).result()
                with fresh(2) as pool:  # halves in a row: of files with many episodes each is read by one process
                    half = (n + 1) // 2
                    two = list(pool.map(read, [folder] * 2, [ids[:half], ids[half:]]))
            first, second, third, cpu = (1000 * t / n for t in (*times, cpu))
            print(f"{layout:13} {n:8} | {first:11.2f} {second:8.2f} {third:5.2f} {cpu:6.1f} | "
                  f"{n / seconds:10.1f} {memory:12.0f} | {n / max(t for t, *_ in two):10.1f} "
                  f"{max(m for *_, m in two):8.0f}", flush=True)


if __name__ == "__main__":
    main([int(n) for n in sys.argv[1:]] or [10, 100, 1000])
