"""How fast signals are made, and how that grows: ./run_all.sh bench bench_signals [episodes ...]

For each number of episodes (default 10, 40, 160): classical tracks and masks (and the simulator's depth) of simulated
frames of 224 px, through the same `packets` as the notebooks, in one process a core. Simulating and rendering the
frames is part of it, but not of reading them back. CPU time is what counts on a machine that does other things, too.
Last, a line through it says what 1,000 episodes would take; it is marked as extrapolated.
"""

import resource
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from lewm_core.signals import classical
from lewm_core.signals.backends import CLASSICAL
from lewm_core.signals.extraction import extract, grid_queries
from lewm_core.signals.pipeline import SourceSpec, packets
from lewm_core.sources.episode import IMAGE_SIZE
from lewm_core.utils.provenance import usable_cores

SIZE = IMAGE_SIZE


def peak_gb() -> float:
    """Greatest resident memory so far, of this process and of the largest of its children."""
    return max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 2**20


def cpu() -> float:
    """CPU seconds so far, of this process and of its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


def one_core(n: int = 6) -> None:
    """Frames a second of each part, on one core, in memory."""
    source = SourceSpec("tabletop", n, 0, SIZE).open()
    episodes = [source.load(info.id) for info in source.infos()]
    frames, queries = sum(len(e.frames) for e in episodes), grid_queries(SIZE, SIZE)
    for name, work in (("tracks of 400 points", lambda e: classical.tracks(e, queries)), ("mask", classical.mask),
                       ("all of extract", lambda e: extract(e, CLASSICAL))):  # fmt: skip
        start = time.process_time()
        for episode in episodes:
            work(episode)
        print(f"{name:22} {frames / (time.process_time() - start):6.0f} frames/s on one core ({frames} frames)")


def grow(n: int) -> float:
    """CPU seconds of n episodes into an empty cache; prints these, and those out of the filled one."""
    spec = SourceSpec("tabletop", n, 0, SIZE, tracks_backend="classical", mask_backend="classical")
    ids = [info.id for info in spec.open().infos()]
    with TemporaryDirectory() as cache:
        for what in ("extracted", "read back"):
            start, used, frames = time.perf_counter(), cpu(), 0
            for episode, _ in packets(spec, ids, Path(cache)):
                frames += len(episode.frames)
            seconds, used = time.perf_counter() - start, cpu() - used
            if what == "extracted":
                first = used
            print(f"{n:5} episodes {frames:6} frames {what}: {seconds:7.1f} s, {used:7.1f} s of CPU "
                  f"({frames / used:4.0f} frames/s), peak memory of a process {peak_gb():.2f} GB", flush=True)
    return first


if __name__ == "__main__":
    print(f"{SIZE} px, {usable_cores()} cores; rendering is part of 'extracted', and not of 'read back'")
    one_core()
    numbers = [int(n) for n in sys.argv[1:]] or [10, 40, 160]
    used = [grow(n) for n in numbers]
    if len(numbers) > 1:
        slope, start = np.polyfit(numbers, used, 1)
        print(f"extrapolated, not run: 1000 episodes take {start + 1000 * slope:.0f} s of CPU ({slope:.2f} an episode, "
              f"{start:.1f} to start), {(start + 1000 * slope) / usable_cores():.0f} s on idle cores")  # fmt: skip
