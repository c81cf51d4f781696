"""What might make a training step faster on a CPU, each tried alone beside what is used.

    ./run_all.sh bench bench_tried [--rounds N] [--output DIR]

Writes tried.csv and its section of speed.md, both in docs/ unless --output says otherwise. One thread; both sides in
turns, medians of CPU times. Wants an idle machine.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from benchmarks import speed_page
from benchmarks.bench_gpu import steps_of
from benchmarks.public_pairs import some_work
from benchmarks.public_table import about
from lewm_core.config import MODELS, Recipe
from lewm_core.dataset import WINDOW
from lewm_core.encoder import attend
from lewm_core.signals.geometry import SUPERVISION_SIZE
from lewm_core.steps import Steps
from lewm_core.utils.files import write_csv

ROOT = Path(__file__).resolve().parents[1]
BATCH = Recipe().batch_size
FRAMES = 64  # of noise, in memory
STARTS = {"13 episodes": 270, "100 episodes": 2400}  # windows to draw from, about
KEPT = {"MALLOC_MMAP_THRESHOLD_": "1073741824", "MALLOC_TRIM_THRESHOLD_": "4294967296"}  # memory is never given back
Row = dict[str, object]


def row(what: str, where: str, used: float, tried: float, unit: str = "ms") -> Row:
    return {"what": what, "where": where, "unit": unit, "used": used, "tried": tried}


def in_turns(rounds: int, *calls: Callable[[], object]) -> list[float]:
    """Median CPU milliseconds of each call."""
    times: list[list[float]] = [[] for _ in calls]
    for number in range(rounds + 2):
        for call, taken in zip(calls, times, strict=True):
            begun = time.thread_time()
            call()
            if number >= 2:
                taken.append(1e3 * (time.thread_time() - begun))
    return [float(np.median(taken)) for taken in times]


def plain_attention(query: Tensor, key: Tensor, value: Tensor, heads: int) -> Tensor:
    """`encoder.attend` as batched matrix products and a softmax."""
    q, k, v = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (query, key, value))
    weights = (q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5).softmax(-1)
    return (weights @ v).transpose(1, 2).flatten(2)


def attention(rounds: int) -> list[Row]:
    """The fused kernel beside plain products, forward and backward, for the small model and the paper's."""
    rows = []
    for heads, width, tokens in ((4, 96, 17), (3, 192, 17), (3, 192, 65), (3, 192, 257)):
        inputs = [torch.randn(BATCH * WINDOW, tokens, width, requires_grad=True) for _ in range(3)]
        both = [lambda f=f, x=inputs, n=heads: f(*x, n).sum().backward() for f in (attend, plain_attention)]
        used, tried = in_turns(rounds, *both)
        rows.append(row("attention as plain products, not by the fused kernel", f"{tokens} tokens of {width}", used,
                        tried))
    return rows


def medians(rounds: int) -> list[Row]:
    """NumPy's partition, which the depth loss uses, beside torch's ways."""
    maps = torch.rand(BATCH * WINDOW, SUPERVISION_SIZE**2)
    middle = (maps.shape[1] - 1) // 2
    ways = {"torch.median": lambda: maps.median(1), "torch.kthvalue": lambda: maps.kthvalue(middle + 1, 1),
            "torch.histc": lambda: [torch.histc(of, 256) for of in maps]}
    used, *tried = in_turns(rounds, lambda: np.partition(maps.numpy(), middle, 1), *ways.values())
    where = f"{len(maps)} depth maps"
    return [row(f"the median by {name}, not by numpy.partition", where, used, taken)
            for name, taken in zip(ways, tried, strict=True)]


def small_steps(name: str, count: int, compiled: bool = False) -> Steps:
    """So many steps of the small model."""
    return steps_of("small", name, some_work(MODELS["small"], name, "fp32", count, FRAMES), compiled=compiled)


def timed_steps(name: str, rounds: int, compiled: bool = False) -> tuple[float, float]:
    """Seconds that the first step of the small model takes, and the median CPU milliseconds of the later ones."""
    steps, left = small_steps(name, rounds + 3, compiled), iter(range(1, rounds + 3))
    begun = time.perf_counter()
    steps.take(0)
    first = time.perf_counter() - begun
    later, = in_turns(rounds, lambda: steps.take(next(left)))
    return first, later


def clipping(rounds: int) -> list[Row]:
    """The gradient's norm over all tensors at once, beside one after another."""
    steps = small_steps("A", 1)
    steps.take(0)

    def clip(foreach: bool) -> None:
        torch.nn.utils.clip_grad_norm_(steps.parameters, Recipe().clip, foreach=foreach)

    used, tried = in_turns(rounds, lambda: clip(False), lambda: clip(True))
    return [row("clipping by foreach, not tensor by tensor", "small, A", used, tried)]


def distinct_frames() -> list[Row]:
    """Frames of a batch that are encoded, beside those that differ: windows overlap."""
    rng, rows = np.random.default_rng(0), []
    for name, starts in STARTS.items():
        drawn = [rng.permutation(starts)[:BATCH, None] + np.arange(WINDOW) for _ in range(1000)]
        distinct = np.mean([len(np.unique(batch)) for batch in drawn])
        rows.append(row("each distinct frame encoded once", name, BATCH * WINDOW, float(distinct), "frames a batch"))
    return rows


def compilation(rounds: int) -> list[Row]:
    """torch.compile of the losses of a step; its start is told apart."""
    rows = []
    for name in ("A", "B"):
        (first, later), (first_compiled, later_compiled) = (timed_steps(name, rounds, c) for c in (False, True))
        rows.append(row("a step through torch.compile", f"small, {name}", later, later_compiled))
        rows.append(row("its first step", f"small, {name}", first, first_compiled, "s"))
    return rows


def allocator(rounds: int) -> list[Row]:
    """Memory kept by the process instead of given back after each step; each side in a process of its own."""
    rows = []
    for name in ("A", "B"):
        taken = []
        for environment in ({}, KEPT):
            command = [sys.executable, "-m", "benchmarks.bench_tried", "--child", name, "--rounds", str(rounds)]
            done = subprocess.run(command, cwd=ROOT, env={**os.environ, **environment, "PYTHONPATH": str(ROOT)},
                                  capture_output=True, text=True, check=True)
            taken.append(float(done.stdout.split()[-1]))
        rows.append(row("memory kept by the allocator (MALLOC_MMAP_THRESHOLD_, MALLOC_TRIM_THRESHOLD_)",
                        f"small, {name}", *taken))
    return rows


def section(table: pd.DataFrame) -> str:
    """The section of the page."""
    made = about()
    lines = ["## What was tried", "",
             f"Each alone, beside what is used; below 1 it would pay. {made['date']}, commit {made['commit']}. "
             f"{made['machine']}, one thread. {made['versions']}. The numbers: [tried.csv](tried.csv).", "",
             "| tried | where | used | tried | tried / used |", "|---|---|---|---|---|"]
    for r in table.itertuples():
        lines.append(f"| {r.what} | {r.where} | {r.used:.3g} {r.unit} | {r.tried:.3g} {r.unit} | "
                     f"{r.tried / r.used:.2f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser("./run_all.sh bench bench_tried", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=30, metavar="N", help="measurements of each side (default 30)")
    parser.add_argument("--output", type=Path, default=ROOT / "docs", metavar="DIR", help="where the table goes")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.child:
        print(timed_steps(options.child, options.rounds)[1])
        return
    rows = []
    for part in (attention, medians, clipping, allocator, compilation):
        rows += part(options.rounds)
        print(*rows[-1].values(), flush=True)
    table = pd.DataFrame(rows + distinct_frames())
    write_csv(options.output / "tried.csv", table)
    speed_page.put(options.output, "bench_tried", section(table))
    print(section(table))


if __name__ == "__main__":
    main()
