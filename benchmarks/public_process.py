"""A process of its own for one side of compare_public: how long it takes to its first step, how much memory it holds.

Run by compare_public, never by hand. The child imports as little as its side needs, and only where it needs it.
"""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.public_pairs import Setting

ROOT = Path(__file__).resolve().parents[1]
SIDES, FRAMES = ("public", "ours"), 64


def memory(name: str) -> float:
    """MB of this process: VmRSS, what it holds, or VmHWM, the most it has held. On Linux only."""
    return int(re.search(rf"{name}:\s*(\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024


def plain_work(config, recipe, precision: str, steps: int):
    """Steps of public_pairs.some_work's sizes, made by torch alone."""
    import torch

    from benchmarks.public_side import Work

    device = "cuda" if torch.cuda.is_available() else "cpu"
    size, generator = config.image_size, torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (FRAMES, 3, size, size), dtype=torch.uint8, generator=generator)
    actions = torch.randn(FRAMES, config.action_dim, generator=generator)
    starts = torch.randint(FRAMES - 3, (steps, recipe.batch_size, 1), generator=generator)
    frames = SimpleNamespace(pixels=pixels.to(device), actions=actions.to(device))
    return Work(frames, (starts + torch.arange(4)).to(device), torch.full((steps,), recipe.lr), recipe, precision)


def public_step(wanted: dict, home: str) -> tuple[float, Callable[[int], None]]:
    """MB after the imports, and the public side's step; of A without any torch code of ours, drawn by the package."""
    from benchmarks import public_side

    public_side.prepare(home)
    public_side.libraries()
    from lewm_core.config import LeWMConfig, Recipe

    config, name, how = LeWMConfig(**wanted["config"]), wanted["condition"], (wanted["precision"], wanted["steps"])
    if name == "A":
        imported = memory("VmRSS")
        return imported, public_side.Public(wanted["tree"], plain_work(config, Recipe(), *how)).step
    from benchmarks import public_pairs  # our head and loss

    imported = memory("VmRSS")
    return imported, public_pairs.public_side(config, name, public_pairs.some_work(config, name, *how, FRAMES)).step


def our_step(wanted: dict) -> tuple[float, Callable[[int], None]]:
    """MB after the imports, and our side's step."""
    from benchmarks import public_pairs
    from lewm_core.config import LeWMConfig

    imported, config, name = memory("VmRSS"), LeWMConfig(**wanted["config"]), wanted["condition"]
    work = public_pairs.some_work(config, name, wanted["precision"], wanted["steps"], FRAMES)
    return imported, public_pairs.our_side(config, name, work).step


def child(wanted: dict, home: str) -> dict[str, float]:
    """When the first step was done (time.time()); MB after the imports, at the peak, and at the peak on a GPU."""
    imported, step = public_step(wanted, home) if wanted["side"] == "public" else our_step(wanted)
    import torch

    torch.set_num_threads(wanted["threads"])
    on_gpu = torch.cuda.is_available()
    found = {"imported": imported}
    for i in range(wanted["steps"]):
        step(i)
        if on_gpu:
            torch.cuda.synchronize()
        found.setdefault("first", time.time())
    return {**found, "peak": memory("VmHWM"), "device": torch.cuda.max_memory_allocated() / 2**20 if on_gpu else 0.0}


def spawn(side: str, setting: "Setting", steps: int, home: str) -> dict[str, float]:
    """What a fresh process of that side reports, and `seconds` from its start to its first step."""
    from lewm_core.checkpoints import config_json

    wanted = {"side": side, "condition": setting.condition, "threads": setting.threads, "steps": steps,
              "precision": setting.precision, "config": setting.config.sizes(),
              "tree": config_json.public(setting.config)}
    begun = time.time()
    done = subprocess.run([sys.executable, "-m", "benchmarks.public_process", json.dumps(wanted), home], cwd=ROOT,
                          env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": str(setting.threads)},
                          capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{side}, {setting}: {done.stderr[-3000:]}")
    found = json.loads(done.stdout.splitlines()[-1])
    return {**found, "seconds": found["first"] - begun}


def measure_start(setting: "Setting", pairs: int, home: str) -> Iterator[tuple]:
    """Seconds to the first step: what public_table.compared takes."""
    seconds = {side: [] for side in SIDES}
    for i in range(-1, pairs):  # the first pair fills the operating system's cache
        for side in SIDES[:: 1 if i % 2 else -1]:
            found = spawn(side, setting, 1, home)["seconds"]
            if i >= 0:
                seconds[side].append(found)
    yield setting.key("start"), "to the first step", "s", seconds["public"], seconds["ours"]


def measure_memory(setting: "Setting", steps: int, home: str) -> Iterator[tuple]:
    """Peak memory over so many steps, once: what public_table.compared takes."""
    found = {side: spawn(side, setting, steps, home) for side in SIDES}
    key = setting.key("memory")
    measures = {"process": [f["peak"] for f in found.values()],
                "above its imports": [f["peak"] - f["imported"] for f in found.values()]}
    if found["ours"]["device"]:
        measures["on the GPU"] = [f["device"] for f in found.values()]
    for measure, (public, ours) in measures.items():
        yield key, measure, "MB", [public], [ours]


if __name__ == "__main__":
    print(json.dumps(child(json.loads(sys.argv[1]), sys.argv[2])))
