"""Training steps of the public LeWM and of ours, in turns, from the same weights on the same frames."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace

import numpy as np
import torch

from benchmarks.public_side import Public, Work
from lewm_core.checkpoints import config_json
from lewm_core.checkpoints.names import public_state
from lewm_core.conditions import condition
from lewm_core.config import MODELS, LeWMConfig, Recipe
from lewm_core.dataset import WINDOW
from lewm_core.dataset.frames import Frames
from lewm_core.heads import build_heads
from lewm_core.losses import normalise_depth
from lewm_core.model import LeWM
from lewm_core.signals.geometry import SUPERVISION_SIZE
from lewm_core.steps import Steps
from lewm_core.train import default_device, learning_rate

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


def random_frames(config: LeWMConfig, name: str, count: int) -> Frames:
    """Frames, actions and, for B, depth of the model's sizes, all noise: no step depends on what is in them."""
    rng, side = np.random.default_rng(SEED), config.image_size
    pixels = torch.from_numpy(rng.integers(0, 256, (count, 3, side, side), np.uint8))
    actions = torch.from_numpy(rng.normal(size=(count, config.action_dim)).astype(np.float32))
    depth = torch.from_numpy(rng.uniform(0.5, 2, (count, SUPERVISION_SIZE, SUPERVISION_SIZE)).astype(np.float32))
    device = default_device()
    targets = {"depth": {"target": normalise_depth(depth).to(device)}} if name == "B" else {}
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
    torch.autocast = lambda device, dtype, **options: known(device, dtype, **{**options, "enabled": bf16})
    try:
        yield
    finally:
        torch.autocast = known


class Ours:
    """Our side: the steps that `lewm_core.train` takes, at a precision that it would not choose on this device.

    step(i) is one training step, loss(i) then the loss before it.
    """

    def __init__(self, model: LeWM, heads: torch.nn.ModuleDict, name: str, work: Work):
        generator = torch.Generator(work.batches.device).manual_seed(SEED)
        model.train()
        heads.train()
        self.steps = Steps(model, heads, condition(name), work.frames, work.batches, work.rates, work.recipe, generator)
        self.bf16 = work.precision == "bf16"

    def step(self, i: int) -> None:
        with autocast_to(self.bf16):
            self.steps.take(i)

    def loss(self, i: int) -> float:
        return self.steps.losses(i)["total"]


def our_side(config: LeWMConfig, name: str, work: Work, model: LeWM | None = None) -> Ours:
    """Our side with the weights of `model` (None: as it is initialised)."""
    return Ours(model or LeWM(config, SEED).to(default_device()), heads_of(config, name), name, work)


def public_side(config: LeWMConfig, name: str, work: Work, model: LeWM | None = None) -> Public:
    """The public side with the weights of `model` (None: as it initialises them); of B with our head and our loss."""
    tree, state = config_json.public(config), public_state(model) if model else None
    if name == "A":
        return Public(tree, work, state)
    (term,) = condition(name).terms
    head, targets = heads_of(config, name)[term.head], work.frames.targets[term.head]

    def head_loss(output: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
        return term.compare(output, {name: value[at] for name, value in targets.items()})

    return Public(tree, work, state, head, head_loss)


def some_work(config: LeWMConfig, name: str, precision: str, steps: int, frames: int = FRAMES) -> Work:
    """So many steps on random windows of random frames, with the learning rates of a run of that length."""
    recipe = Recipe(steps=steps)
    starts = np.random.default_rng(SEED).integers(0, frames - WINDOW + 1, (steps, recipe.batch_size))
    batches = torch.from_numpy(starts[..., None] + np.arange(WINDOW)).to(default_device())
    rates = torch.tensor([learning_rate(step, steps, recipe) for step in range(steps)]).to(default_device())
    return Work(random_frames(config, name, frames), batches, rates, recipe, precision)


def sides(config: LeWMConfig, name: str, precision: str, steps: int) -> dict[str, Public | Ours]:
    """Both sides by name, with the same weights and the same work."""
    work, model = some_work(config, name, precision, steps), start(config)
    both = {"public": public_side(config, name, work, model), "ours": our_side(config, name, work, model)}
    torch.manual_seed(SEED)  # from here the public SIGReg draws its directions; ours draw from a generator of this seed
    return both


def clock() -> np.ndarray:
    """(wall, CPU) in milliseconds, when all that was asked of the GPU is done."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return 1e3 * np.array([time.perf_counter(), time.process_time()])


def in_turns(both: dict[str, Public | Ours], steps: int) -> tuple[dict, dict]:
    """Take all steps, each by both sides. By side: (steps, 2) milliseconds of wall and CPU, and (steps,) losses."""
    times, losses = {name: [] for name in both}, {name: [] for name in both}
    for i in range(steps):
        for name in list(both)[:: 1 if i % 2 else -1]:
            begun = clock()
            both[name].step(i)
            times[name].append(clock() - begun)
            losses[name].append(both[name].loss(i))
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
