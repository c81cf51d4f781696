"""Training steps of the public LeWM and of ours, in turns, from the same weights on the same frames."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace

import numpy as np
import torch

from benchmarks.public_side import Public
from lewm_core.checkpoints import config_json
from lewm_core.checkpoints.names import public_state
from lewm_core.conditions import condition
from lewm_core.config import MODELS, LeWMConfig, Recipe
from lewm_core.dataset import WINDOW, Split, windows
from lewm_core.dataset.frames import Frames
from lewm_core.heads import build_heads
from lewm_core.losses import depth_loss
from lewm_core.model import LeWM
from lewm_core.signals.geometry import SUPERVISION_SIZE
from lewm_core.train import _Run, default_device, learning_rate

FRAMES, SEED, WARM = 160, 0, 2  # frames in memory; steps of each side that are not measured


@dataclass(frozen=True)
class Setting:
    """What both sides do. model: a row of MODELS, at px pixels; the paper's at any size, small at its own."""

    px: int
    condition: str = "A"
    threads: int = 1
    precision: str = "fp32"

    @property
    def model(self) -> str:
        return "small" if self.px == MODELS["small"].image_size else "paper"

    @property
    def config(self) -> LeWMConfig:
        return replace(MODELS[self.model], image_size=self.px)

    def key(self, part: str) -> dict[str, object]:
        """What names this setting's rows in the table; threads of the CPU count for nothing on a GPU."""
        device = default_device()
        return {"part": part, "model": self.model, **asdict(self), "device": device,
                "threads": self.threads if device == "cpu" else None}


def random_frames(config: LeWMConfig, name: str, count: int = FRAMES) -> Frames:
    """Frames, actions and, for B, depth of the model's sizes, all noise: no step depends on what is in them."""
    rng, side = np.random.default_rng(SEED), config.image_size
    pixels = torch.from_numpy(rng.integers(0, 256, (count, 3, side, side), np.uint8))
    actions = torch.from_numpy(rng.normal(size=(count, config.action_dim)).astype(np.float32))
    depth = torch.from_numpy(rng.uniform(0.5, 2, (count, SUPERVISION_SIZE, SUPERVISION_SIZE)).astype(np.float32))
    device = default_device()
    targets = {"depth": {"target": depth.to(device)}} if name == "B" else {}
    return Frames(pixels.to(device), actions.to(device), targets)


def start(config: LeWMConfig) -> LeWM:
    """A model whose every weight matters: as initialised, the predictor's blocks are switched off."""
    model, generator = LeWM(config, SEED), torch.Generator().manual_seed(SEED)
    with torch.no_grad():
        for weight in model.parameters():
            weight += 0.02 * torch.randn(weight.shape, generator=generator)
    return model.to(default_device())


def heads_of(config: LeWMConfig, name: str) -> torch.nn.ModuleDict:
    return build_heads([term.head for term in condition(name).terms], config.dim, SEED).to(default_device())


@contextmanager
def autocast_to(bf16: bool) -> Iterator[None]:
    """lewm_core decides by the device whether to use bf16; in here this does."""
    known = torch.autocast
    torch.autocast = lambda device, dtype, enabled: known(device, dtype, enabled=bf16)
    try:
        yield
    finally:
        torch.autocast = known


class Ours:
    """Our side: the step of `lewm_core.train`, whole, at a precision that it would not choose on this device."""

    def __init__(self, model: LeWM, heads: torch.nn.ModuleDict, name: str, frames: Frames, recipe: Recipe,
                 precision: str):
        split = Split(np.arange(len(frames.pixels) - WINDOW + 1), {})
        self.run = _Run(model, heads, condition(name), frames, split, recipe, SEED, None)
        self.run.train_mode()
        self.bf16 = precision == "bf16"

    def step(self, step: int, rows: np.ndarray) -> float:
        with autocast_to(self.bf16):
            return self.run.step(step, rows)["total"]


def public_side(config: LeWMConfig, name: str, frames: Frames, recipe: Recipe, precision: str,
                model: LeWM | None = None) -> Public:
    """The public side with the weights of `model` (None: as it initialises them); of B with our head and our loss."""
    heads = heads_of(config, name)
    target = frames.targets["depth"]["target"] if "depth" in heads else None
    return Public(config_json.public(config), frames, recipe, precision, public_state(model) if model else None,
                  heads["depth"] if "depth" in heads else None, lambda output, at: depth_loss(output, target[at]))


def sides(config: LeWMConfig, name: str, precision: str, steps: int) -> dict[str, Callable[[int], float]]:
    """Both sides by name: functions that take step i of `steps` and return the loss before it."""
    frames, recipe, model = random_frames(config, name), Recipe(steps=steps), start(config)
    public = public_side(config, name, frames, recipe, precision, model)
    ours = Ours(model, heads_of(config, name), name, frames, recipe, precision)
    size = FRAMES - WINDOW + 1
    rows = np.random.default_rng(SEED).integers(0, size, (steps, recipe.batch_size))
    index = torch.from_numpy(windows(np.arange(size))[rows]).to(frames.pixels.device)
    torch.manual_seed(SEED)  # from here the public SIGReg draws its directions; ours draw from a generator of this seed
    return {"public": lambda i: public.step(learning_rate(i, steps, recipe), index[i]),
            "ours": lambda i: ours.step(i, rows[i])}


def clock() -> np.ndarray:
    """(wall, CPU) in milliseconds, when all that was asked of the GPU is done."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return 1e3 * np.array([time.perf_counter(), time.process_time()])


def in_turns(step: dict[str, Callable[[int], float]], steps: int) -> tuple[dict, dict]:
    """Take all steps, each by both sides. By side: (steps, 2) milliseconds of wall and CPU, and (steps,) losses."""
    times, losses = {name: [] for name in step}, {name: [] for name in step}
    for i in range(steps):
        for name in list(step)[:: 1 if i % 2 else -1]:
            begun = clock()
            losses[name].append(step[name](i))
            times[name].append(clock() - begun)
    return {n: np.array(t) for n, t in times.items()}, {n: np.array(v) for n, v in losses.items()}


def measure_step(setting: Setting, pairs: int) -> Iterator[tuple]:
    """Wall and CPU of a step: what public_table.compared takes."""
    torch.set_num_threads(setting.threads)
    times, _ = in_turns(sides(setting.config, setting.condition, setting.precision, pairs + WARM), pairs + WARM)
    for column, measure in enumerate(("wall", "CPU")):
        yield setting.key("step"), measure, "ms", times["public"][WARM:, column], times["ours"][WARM:, column]


def measure_curve(setting: Setting, steps: int) -> Iterator[tuple]:
    """The total loss over so many steps: what public_table.compared takes."""
    torch.set_num_threads(setting.threads)
    config = replace(setting.config, dropout=0.0)
    _, losses = in_turns(sides(config, setting.condition, setting.precision, steps), steps)
    yield setting.key("curve"), "total loss", "median", losses["public"], losses["ours"]
