"""Where a training step's time goes, and how near it comes to what the machine can do.

    ./run_all.sh bench bench_train [--model small|paper] [--size PX] [--steps N]

One thread on a CPU. Prints milliseconds for data, forward, backward and optimizer, the achieved GFLOP/s by torch's own
count, and the machine's: a large single-precision matrix product in the same process. The last line compares our data
path with its peer, the usual DataLoader that normalises frame by frame with torchvision.
"""

import argparse
import time
from dataclasses import replace

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.public_pairs import random_frames
from benchmarks.public_side import normalised
from lewm_core.conditions import condition
from lewm_core.config import MODELS, Recipe
from lewm_core.encoder import normalise
from lewm_core.model import LeWM
from lewm_core.objective import loss_terms
from lewm_core.sigreg import draw_directions
from lewm_core.train import default_device

FRAMES = 640


def timed(function, steps: int) -> float:
    """Median milliseconds of `function()` over `steps` calls after two unmeasured ones."""
    times = []
    for _ in range(steps + 2):
        started = time.perf_counter()
        function()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        times.append(1e3 * (time.perf_counter() - started))
    return float(np.median(times[2:]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="small", choices=MODELS)
    parser.add_argument("--size", type=int, help="frame size in px (default: the model's)")
    parser.add_argument("--steps", type=int, default=10)
    args = parser.parse_args()
    torch.set_num_threads(1)
    device, recipe = default_device(), Recipe()
    config = replace(MODELS[args.model], image_size=args.size or MODELS[args.model].image_size)
    rng, frames = np.random.default_rng(0), random_frames(config, "A", FRAMES)
    pixels = frames.pixels.cpu()
    model = LeWM(config).to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay, fused=True)
    generator = torch.Generator(device).manual_seed(0)
    state: dict = {}

    def batch():
        starts = rng.integers(0, FRAMES - 4, recipe.batch_size)
        state["index"] = torch.from_numpy(starts[:, None] + np.arange(4)).to(device)

    def forward():
        directions = draw_directions(config.dim, recipe.directions, generator)
        state["loss"] = loss_terms(model, torch.nn.ModuleDict(), condition("A"), frames, state["index"], directions,
                                   recipe)["total"]

    def forward_backward():
        forward()
        optimizer.zero_grad(set_to_none=True)
        state["loss"].backward()

    def update():
        torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
        optimizer.step()

    batch()
    with FlopCounterMode(display=False) as counter:
        forward_backward()
    data, ahead = timed(batch, args.steps), timed(forward, args.steps)
    both, step = timed(forward_backward, args.steps), timed(update, args.steps)
    total = data + both + step
    a = torch.randn(1536, 1536, device=device)
    limit = 2 * 1536**3 / timed(lambda: a @ a, 5) / 1e6
    count = sum(p.numel() for p in model.parameters())
    print(f"{args.model} at {config.image_size} px, {count:,} parameters, batch {recipe.batch_size} × 4 frames,",
          device)
    print(f"step {total:.1f} ms: data {data:.1f}, forward {ahead:.1f}, backward {both - ahead:.1f},",
          f"optimizer {step:.1f}")
    achieved = counter.get_total_flops() / both / 1e6
    print(f"{achieved:.0f} GFLOP/s of {limit:.0f} that a matrix product reaches here ({100 * achieved / limit:.0f} %)")

    from torch.utils.data import DataLoader, Dataset

    class Windows(Dataset):
        def __len__(self):
            return FRAMES - 4

        def __getitem__(self, i):
            return torch.stack([normalised(pixels[j]) for j in range(i, i + 4)])

    loader = iter(DataLoader(Windows(), recipe.batch_size, shuffle=True))
    peer = timed(lambda: next(loader), args.steps)

    def ours():
        batch()
        normalise(frames.pixels[state["index"]])

    print(f"a batch of normalised windows: {timed(ours, args.steps):.1f} ms;",
          f"a DataLoader with torchvision: {peer:.1f} ms")


if __name__ == "__main__":
    main()
