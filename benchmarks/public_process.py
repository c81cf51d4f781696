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


def noise(config) -> SimpleNamespace:
    """Frames and actions of the model's sizes, made by torch alone."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    size, generator = config.image_size, torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (FRAMES, 3, size, size), dtype=torch.uint8, generator=generator)
    actions = torch.randn(FRAMES, config.action_dim, generator=generator)
    return SimpleNamespace(pixels=pixels.to(device), actions=actions.to(device))


def public_step(wanted: dict, home: str) -> tuple[float, Callable[[], float]]:
    """MB after the imports, and the public side's step; of A without any torch code of ours, drawn by the package."""
    from benchmarks import public_side

    public_side.prepare(home)
    public_side.libraries()
    name, precision = wanted["condition"], wanted["precision"]
    if name != "A":
        from benchmarks import public_pairs  # our head and loss
    imported = memory("VmRSS")
    import torch

    from lewm_core.config import LeWMConfig, Recipe

    config, recipe = LeWMConfig(**wanted["config"]), Recipe()
    if name == "A":
        frames = noise(config)
        side = public_side.Public(wanted["tree"], frames, recipe, precision)
    else:
        frames = public_pairs.random_frames(config, name, FRAMES)
        side = public_pairs.public_side(config, name, frames, recipe, precision)
    index = (torch.arange(recipe.batch_size)[:, None] + torch.arange(4)).to(frames.pixels.device)
    return imported, lambda: side.step(recipe.lr, index)


def our_step(wanted: dict) -> tuple[float, Callable[[], float]]:
    """MB after the imports, and our side's step."""
    import numpy as np

    from benchmarks.public_pairs import LeWM, Ours, Recipe, default_device, heads_of, random_frames
    from lewm_core.config import LeWMConfig

    imported = memory("VmRSS")
    config, name, recipe = LeWMConfig(**wanted["config"]), wanted["condition"], Recipe(steps=1000)
    frames = random_frames(config, name, FRAMES)
    side = Ours(LeWM(config).to(default_device()), heads_of(config, name), name, frames, recipe, wanted["precision"])
    rows = np.arange(recipe.batch_size)
    return imported, lambda: side.step(0, rows)


def child(wanted: dict, home: str) -> dict[str, float]:
    """When the first step was done (time.time()); MB after the imports, at the peak, and at the peak on a GPU."""
    imported, step = public_step(wanted, home) if wanted["side"] == "public" else our_step(wanted)
    import torch

    torch.set_num_threads(wanted["threads"])
    step()
    found = {"first": time.time(), "imported": imported}
    for _ in range(wanted["steps"] - 1):
        step()
    device = torch.cuda.max_memory_allocated() / 2**20 if torch.cuda.is_available() else 0.0
    return {**found, "peak": memory("VmHWM"), "device": device}


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
