"""How time and memory grow: over episodes, frames, conditions and seeds.

    ./run_all.sh bench bench_growth [--largest N] [--output DIR]

Writes growth.csv and its section of speed.md, both in docs/ unless --output says otherwise: what was measured, and the
straight line through it. Each measurement has a process of its own, with one thread. Episodes are the tabletop's at
64 px with all their signals, a few rendered ones over and over. Wants an idle machine, and for 3,000 episodes 4 GB of
memory and of disk, where a file and its parts lie side by side.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks import speed_page
from benchmarks.bench_dataset import apart, packing, peak
from benchmarks.public_table import about
from lewm_core.utils.files import write_csv

EPISODES = (10, 30, 100, 300, 1000, 3000)
PX, RENDERED, STEPS = 64, 4, 50
SWEPT = 13  # episodes of the sweeps
CONDITIONS, SEEDS = ("A", "B", "D", "E"), (1, 2, 4, 8)
GROWS = {  # measure -> over what, unit, what it is
    "packing": ("episodes", "s", "signals and frames to a dataset file, part by part"),
    "packing, memory": ("episodes", "MB", "the most memory while packing, above that before"),
    "file": ("episodes", "MB", "the dataset file"),
    "reading": ("episodes", "s", "the file checked and read into memory"),
    "reading, memory": ("episodes", "MB", "the most memory while reading, above that before"),
    "encoding": ("frames", "s", "every frame encoded once by the small model, as an evaluation does"),
    "steps": ("episodes", "s", f"{STEPS} training steps of the small model under A"),
    "conditions": ("conditions", "s", f"a sweep over {SWEPT} episodes, one seed, tiny model, one process"),
    "seeds": ("seeds", "s", f"a sweep over {SWEPT} episodes under A, tiny model, one process"),
}
Row = tuple[str, int, float]  # measure, how many, how much


def packed(path: Path, episodes: int) -> list[Row]:
    """Rows of packing so many episodes to `path`."""
    found = packing(path, episodes, PX, RENDERED)
    return [("packing", episodes, found.seconds), ("packing, memory", episodes, 1e3 * (found.peak - found.before)),
            ("file", episodes, 1e3 * found.disk)]


def used(path: Path) -> list[Row]:
    """Rows of reading the file, encoding its frames and training on them."""
    import torch

    from lewm_core import dataset
    from lewm_core.config import MODELS
    from lewm_core.dataset.frames import ActionScale, Frames
    from lewm_core.evaluate import encode_frames
    from lewm_core.model import LeWM

    torch.set_num_threads(1)
    before, begun = peak(), time.perf_counter()
    data = dataset.load(path)
    seconds, n = time.perf_counter() - begun, len(data["ep_len"])
    rows = [("reading", n, seconds), ("reading, memory", n, 1e3 * (peak() - before))]
    frames = Frames.of(data, [], np.arange(len(data["action"])), ActionScale.fit(data["action"]), "cpu")
    model = LeWM(MODELS["small"])
    begun = time.perf_counter()
    encode_frames(model, frames.pixels)
    rows.append(("encoding", len(frames.pixels), time.perf_counter() - begun))
    return [*rows, ("steps", n, seconds_of_steps(model, frames))]


def seconds_of_steps(model, frames) -> float:
    """Seconds of STEPS training steps under A on windows drawn from all frames."""
    import torch

    from lewm_core.conditions import condition
    from lewm_core.config import Recipe
    from lewm_core.dataset import WINDOW
    from lewm_core.steps import Steps

    recipe = Recipe()
    starts = np.random.default_rng(0).integers(0, len(frames.pixels) - WINDOW + 1, (STEPS + 2, recipe.batch_size, 1))
    steps = Steps(model.train(), torch.nn.ModuleDict(), condition("A"), frames,
                  torch.from_numpy(starts + np.arange(WINDOW)), torch.full((STEPS + 2,), recipe.lr), recipe,
                  torch.Generator().manual_seed(0))
    for step in range(STEPS + 2):
        if step == 2:  # the first two set up what stays
            begun = time.perf_counter()
        steps.take(step)
    return time.perf_counter() - begun


def swept(path: Path, runs: Path, conditions: tuple[str, ...], seeds: int) -> float:
    """Seconds of a sweep, its process's start included."""
    from lewm_core.config import Recipe
    from lewm_core.experiments.base import resolve
    from lewm_core.experiments.sweep import plan, sweep

    base = resolve("random", "nano", runs)
    begun = time.perf_counter()
    planned, _ = plan(conditions, "growth", range(seeds), path, base, Recipe(epochs=6))
    sweep(planned, runs, jobs=1)
    return time.perf_counter() - begun


def measured(largest: int) -> list[Row]:
    """All rows, up to so many episodes."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for n in (n for n in EPISODES if n <= largest):
            path = folder / f"{n}.h5"
            rows += apart(packed, path, n) + apart(used, path)
            path.unlink()
            print(n, "episodes:", *(f"{measure} {value:.3g}," for measure, size, value in rows[-6:]), flush=True)
        path = folder / "swept.h5"
        apart(packed, path, SWEPT)
        for n in range(1, len(CONDITIONS) + 1):
            rows.append(("conditions", n, swept(path, folder / f"conditions{n}", CONDITIONS[:n], 1)))
        rows += [("seeds", n, swept(path, folder / f"seeds{n}", ("A",), n)) for n in SEEDS]
    return rows


def lines(table: pd.DataFrame) -> pd.DataFrame:
    """By measure: the straight line start + each · n, each size counting alike (least squares of relative errors), and
    how far the measurements lie from it at most, in per cent."""
    found = []
    for measure, of in table.groupby("measure", sort=False):
        n, value = of.n.to_numpy(float), of.value.to_numpy(float)
        weight = 1 / np.maximum(np.abs(value), 1e-9)
        design = np.stack([np.ones_like(n), n], 1) * weight[:, None]
        start, each = np.linalg.lstsq(design, value * weight, rcond=None)[0]
        off = np.abs((start + each * n) * weight - value * weight).max()
        found.append({"measure": measure, "start": start, "each": each, "off": 100 * off, "least": n.min(),
                      "most": n.max(), "last": value[-1]})
    return pd.DataFrame(found)


def section(table: pd.DataFrame) -> str:
    """The section of the page."""
    made = about()
    text = ["## How it grows", "", "Of each measure the straight line *start* + *each* · n that fits it best, and the "
            f"greatest distance of a measurement from it. {made['date']}, commit {made['commit']}. {made['machine']}, "
            f"one thread. {made['versions']}. The measurements: [growth.csv](growth.csv).", "",
            "| measure | n | start | each | at most off | at the largest n |", "|---|---|---|---|---|---|"]
    for row in lines(table).itertuples():
        over, unit, what = GROWS[row.measure]
        text.append(f"| {row.measure}: {what} | {over}, {row.least:,.0f} to {row.most:,.0f} | {row.start:.3g} {unit} | "
                    f"{row.each:.3g} {unit} | {row.off:.0f} % | {row.last:.4g} {unit} |")
    return "\n".join(text)


def main() -> None:
    parser = argparse.ArgumentParser("./run_all.sh bench bench_growth", description=__doc__.splitlines()[0])
    parser.add_argument("--largest", type=int, default=EPISODES[-1], metavar="N", help="no more episodes than these")
    parser.add_argument("--output", type=Path, default=Path(__file__).resolve().parents[1] / "docs", metavar="DIR")
    options = parser.parse_args()
    table = pd.DataFrame(measured(options.largest), columns=["measure", "n", "value"])
    table["unit"] = [GROWS[measure][1] for measure in table.measure]
    table = table.sort_values("measure", key=lambda names: names.map(list(GROWS).index), kind="stable")
    write_csv(options.output / "growth.csv", table)
    speed_page.put(options.output, "bench_growth", section(table))
    print(section(table))


if __name__ == "__main__":
    main()
