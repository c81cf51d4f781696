"""Training steps a second on a GPU: step by step, as a recorded graph, compiled, and several runs on one device.

    ./run_all.sh bench bench_gpu [--model paper|small] [--condition A] [--steps N] [--packed 1 4 16] [--compile]

Of each variant: steps a second of 16 windows, TFLOP/s of matrix products (torch's own count), memory, seconds to start;
in docs/gpu.csv, where rows of the same machine, model and variant are replaced. The frames are noise, resident on the
device as uint8. Losses of the recorded graph are compared with those step by step.
"""

import argparse
import time
from pathlib import Path

import pandas as pd
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.public_pairs import heads_of, some_work
from benchmarks.public_side import Work
from lewm_core import steps
from lewm_core.conditions import condition
from lewm_core.config import MODELS
from lewm_core.model import LeWM, seeded
from lewm_core.objective import loss_terms
from lewm_core.steps import Steps
from lewm_core.utils.files import write_csv

TABLE = Path(__file__).parents[1] / "docs" / "gpu.csv"
NAMES = ["device", "torch", "model", "condition", "variant", "runs"]
FRAMES, EQUAL = 2920, 20  # frames of the paper's full set; steps whose losses are compared


def noise(model: str, name: str, count: int) -> Work:
    """So many steps on random windows of noise."""
    return some_work(MODELS[model], name, "bf16", count, FRAMES)


def steps_of(model: str, name: str, work: Work, seed: int = 0, compiled: bool = False) -> Steps:
    """A run of the steps of `work`."""
    steps.loss_terms = torch.compile(loss_terms, dynamic=False) if compiled else loss_terms
    config, device = MODELS[model], work.batches.device
    return Steps(LeWM(config, seed).to(device).train(), heads_of(config, name).train(), condition(name), work.frames,
                 work.batches, work.rates, work.recipe, torch.Generator(device).manual_seed(seed))


def timed(runs: list[Steps], count: int) -> float:
    """Seconds that `count` steps of each run take, each run on a stream of its own; after what they do but once."""
    streams = [torch.cuda.Stream() for _ in runs]
    for run, stream in zip(runs, streams, strict=True):
        with torch.cuda.stream(stream):
            for step in range(3):
                run.take(step)
    torch.cuda.synchronize()
    started = time.perf_counter()
    for step in range(3, 3 + count):
        for run, stream in zip(runs, streams, strict=True):
            with torch.cuda.stream(stream):
                run.take(step)
    torch.cuda.synchronize()
    return time.perf_counter() - started


def flops(model: str, name: str) -> float:
    """Of one step's matrix products, forward and backward."""
    run = steps_of(model, name, noise(model, name, 1))
    with FlopCounterMode(display=False) as counter:
        run.take(0, lambda terms: None)  # looked at, so that it is not recorded
    return counter.get_total_flops()


def losses_differ(model: str, name: str) -> float:
    """The largest relative difference of the total loss over EQUAL steps, recorded against step by step."""
    found, work = [], noise(model, name, EQUAL)
    for graphed in (False, True):
        with seeded(0):
            run = steps_of(model, name, work)
            run.graphed = graphed
            for step in range(EQUAL):
                run.take(step)
        found.append(run.record[:, -1].double())
    return ((found[1] - found[0]).abs() / found[0]).max().item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="paper", choices=MODELS)
    parser.add_argument("--condition", default="A")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--packed", type=int, nargs="*", default=[], help="runs on one device at once")
    parser.add_argument("--compile", action="store_true", help="also with torch.compile (a minute to start)")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("needs a GPU: none is visible to PyTorch here")
    of = options.model, options.condition
    work, device = flops(*of), torch.cuda.get_device_name()
    print(device, *of, f"{work / 1e9:.0f} GFLOP a step,",
          f"losses recorded against single: {losses_differ(*of):.1e} over {EQUAL} steps", flush=True)
    variants = [("single steps", 1), ("graph", 1), *(("graph", n) for n in options.packed)]
    if options.compile:
        variants += [("compiled graph", n) for n in (1, *options.packed)]
    rows = []
    for variant, runs in variants:
        row = dict(zip(NAMES, (device, torch.__version__, *of, variant, runs), strict=True))
        rows.append(row | measure(*of, variant, runs, options.steps, work))
        print(*rows[-1].values(), flush=True)
    new = pd.DataFrame(rows)
    old = pd.read_csv(TABLE) if TABLE.exists() else new[:0]
    both = pd.concat([old, new]) if len(old) else new
    write_csv(TABLE, both.drop_duplicates(NAMES, keep="last"))


def measure(model: str, name: str, variant: str, packed: int, steps: int, work: float) -> dict[str, float]:
    """Of one variant, over about so many steps in all."""
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    count = max(20, steps // packed)
    work, began = noise(model, name, count + 3), time.perf_counter()
    runs = [steps_of(model, name, work, seed, variant.startswith("compiled")) for seed in range(packed)]
    for run in runs:
        run.graphed = variant != "single steps"
    seconds = timed(runs, count)
    rate = packed * count / seconds
    return {"steps_per_s": round(rate), "tflops": round(rate * work / 1e12, 1),
            "gib": round(torch.cuda.max_memory_allocated() / 2**30, 1),
            "start_s": round(time.perf_counter() - began - seconds)}


if __name__ == "__main__":
    main()
