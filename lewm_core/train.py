"""One run: fine-tune a LeWM under one condition and evaluate it (paper 3.4).

Everything random comes from the run's seed, through generators of their own for the split, the batch order, SIGReg's
directions, dropout and the heads. So runs of the same seed are paired: same split, same start, same batches.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from lewm_core import batch_norm, dataset
from lewm_core.conditions import NONE, Condition
from lewm_core.config import Recipe
from lewm_core.dataset import Data, Split, windows
from lewm_core.dataset.frames import ActionScale, Frames
from lewm_core.evaluate import encode_frames, evaluate
from lewm_core.heads import HEADS, build_heads
from lewm_core.model import LeWM, seeded
from lewm_core.objective import term_weights
from lewm_core.outcomes.measure import Start, measure
from lewm_core.patch_predictor import PatchLeWM
from lewm_core.steps import Steps
from lewm_core.utils.errors import InputError, pick

LOOK_EVERY = 50  # steps on a GPU after which their losses are read: each reading waits for it

# What a gradient probe is called with: the model, each loss (a scalar with its graph, to be kept) and each one's factor
# in the total. It returns rows for `Outcome.grad_probes` and leaves no trace in the model.
Probe = Callable[[LeWM, Mapping[str, Tensor], Mapping[str, float]], list[dict[str, object]]]


@dataclass(frozen=True)
class Outcome:
    """What a run leaves: tidy metrics {split: {metric: value}}, what happened on the way, the weights and their scale.

    curve: the mean losses of each epoch and the step it ended at. evals: metrics by step and split.
    grad_probes: what the gradient probe returned, by step.
    """

    metrics: dict[str, dict[str, float]]
    curve: list[dict[str, float]]
    model: LeWM
    heads: nn.ModuleDict
    action_scale: ActionScale
    steps: int
    windows: dict[str, int] = field(default_factory=dict)
    evals: list[dict[str, object]] = field(default_factory=list)
    grad_probes: list[dict[str, object]] = field(default_factory=list)


def default_device() -> str:
    """cuda where there is one, otherwise cpu."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def learning_rate(step: int, steps: int, recipe: Recipe) -> float:
    """Linear from 0 over the first `warmup` share of the steps, then cosine to 0; per optimizer step, from 0."""
    rise = max(1, round(recipe.warmup * steps))
    if step < rise:
        return recipe.lr * (step + 1) / (rise + 1)
    return recipe.lr * 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))


def check(data: Data, condition: Condition, model: LeWM) -> None:
    """Raise one InputError, before anything is trained, for all that would keep this run from making sense."""
    heads = [pick(HEADS, term.head, "head") for term in condition.terms]
    problems = [f"{column}: {reason}" for column, reason in data.missing(condition.columns).items()]
    height, width = data["pixels"].shape[1:3]
    if height % model.config.patch_size or width % model.config.patch_size:
        problems.append(f"frames of {height} × {width} px, which patches of {model.config.patch_size} do not tile")
    if height != width and any("patches" in head.reads for head in heads):
        problems.append(f"frames of {height} × {width} px, while heads on patch tokens need square ones")
    if data["action"].shape[1] != model.config.action_dim:
        problems.append(f"{data['action'].shape[1]}-D actions for a model of {model.config.action_dim}-D ones")
    if problems:
        raise InputError(f"condition {condition.name}", "; ".join(problems), "a dataset that serves it")


def heads_of(condition: Condition, data: Data, model: LeWM, seed: int) -> nn.ModuleDict:
    """The heads of a condition, drawn from `seed`, for that model and frames of that size."""
    grid = data["pixels"].shape[1] // model.config.patch_size
    names = [term.head for term in condition.terms]
    return build_heads(names, model.config.dim, seed, grid, model.config.width)


def split_of(data: Data, recipe: Recipe, seed: int, test: Sequence[str] | None = None) -> dataset.Split:
    """The split of a run: decided by the dataset, the recipe's shares and the seed, not by the condition.

    test: names of the episodes to hold out; None: a random share of them.
    """
    held = None if test is None else data.numbers(test)
    return dataset.split(data["ep_len"], data["ep_offset"], np.random.default_rng([seed, 1]), recipe.val_windows,
                         recipe.val_episodes, held, recipe.val_blocks)


def steps_of(split: dataset.Split, recipe: Recipe) -> int:
    """How many optimizer steps a run takes."""
    n = len(split.train)
    return recipe.steps or recipe.epochs * (n // min(recipe.batch_size, n))


def batches(windows: int, steps: int, size: int, seed: int) -> tuple[int, np.ndarray]:
    """How many steps an epoch has, and which windows each of `steps` takes (steps, B): all in a new order each epoch,
    but for those that fill no batch."""
    order, size = np.random.default_rng([seed, 2]), min(size, windows)
    per_epoch = windows // size
    epochs = [order.permutation(windows)[: per_epoch * size].reshape(-1, size)
              for _ in range(math.ceil(steps / per_epoch))]
    return per_epoch, np.concatenate([np.zeros((0, size), int), *epochs])[:steps]


def evenly(count: int, last: int) -> set[int]:
    """`count` whole numbers from 0 to `last`, as evenly spaced as they can be; of one, the last."""
    return set(np.linspace(last, 0, count).round().astype(int).tolist())


class _Run:
    """A run under way: what it trains, on what, and what it records on the way."""

    def __init__(self, model: LeWM, heads: nn.ModuleDict, condition: Condition, frames: Frames, split: Split,
                 recipe: Recipe, seed: int, probe: Probe | None):
        self.model, self.heads, self.condition, self.frames = model, heads, condition, frames
        self.split, self.recipe, self.seed, self.probe = split, recipe, seed, probe
        self.count = 0 if condition.training == NONE else steps_of(split, recipe)
        self.device = frames.pixels.device
        self.index = torch.from_numpy(windows(split.train)).to(self.device)
        self.per_epoch, rows = batches(len(self.index), self.count, recipe.batch_size, seed)
        rates = torch.tensor([learning_rate(step, self.count, recipe) for step in range(self.count)])
        generator = torch.Generator(self.device).manual_seed(seed)  # of SIGReg's directions
        self.steps = Steps(model, heads, condition, frames, self.index[rows], rates.to(self.device), recipe, generator)
        self.eval_at, self.probe_at = evenly(recipe.n_evals, self.count), evenly(recipe.grad_probes, self.count - 1)
        self.curve: list[dict[str, float]] = []
        self.evals: list[dict[str, object]] = []
        self.grad_probes: list[dict[str, object]] = []

    def evaluate(self, step: int, emb: Tensor | None = None) -> dict[str, dict[str, float]]:
        """Metrics on the held-out sets, recorded if `step` is one of those to record. emb: as `evaluate` takes it."""
        metrics = {name: evaluate(self.model, self.heads, self.condition, self.frames, starts, self.recipe, emb)
                   for name, starts in self.split.val.items()}
        if step in self.eval_at:
            self.evals += [{"step": step, "split": name, **found} for name, found in metrics.items()]
        return metrics

    def train_mode(self) -> None:
        """Training mode, but for batch normalisation where the recipe freezes it."""
        self.model.train()
        self.heads.train()
        if self.recipe.batch_norm == "frozen":
            batch_norm.freeze(self.model)

    def look(self, step: int, terms: Mapping[str, Tensor]) -> None:
        """Call the gradient probe with the losses of that step."""
        parts = {name: loss for name, loss in terms.items() if name != "total"}
        found = self.probe(self.model, parts, term_weights(self.condition, self.recipe))
        self.grad_probes += [{"step": step, **row} for row in found]

    def losses(self, step: int) -> dict[str, float]:
        """Those before that step; InputError where they are not finite."""
        values = self.steps.losses(step)
        if not math.isfinite(values["total"]):
            raise InputError(f"condition {self.condition.name}, seed {self.seed}", f"loss {values} at step {step}",
                             "finite losses", "Lower the learning rate, or look at the dataset's signals.")
        return values

    def fit(self, on_step: Callable[[int, int, dict[str, float]], None]) -> None:
        """All steps; leaves batch normalisation as the recipe says."""
        self.train_mode()
        for step in range(self.count):
            if step in self.eval_at:
                self.evaluate(step)
                self.train_mode()
            self.steps.take(step, partial(self.look, step) if step in self.probe_at else None)
            last = step + 1 == self.count
            if last or self.device.type == "cpu" or step % LOOK_EVERY == 0:
                on_step(step + 1, self.count, self.losses(step))
            if last or (step + 1) % self.per_epoch == 0:
                self.curve.append(self.epoch(step))
        if self.count and self.recipe.batch_norm == "recalibrated":
            batch_norm.recalibrate(self.model, self.frames, self.index)

    def epoch(self, step: int) -> dict[str, float]:
        """The mean losses of the epoch that ends with that step, and which it is."""
        number = step // self.per_epoch
        means = self.steps.record[number * self.per_epoch : step + 1].double().mean(0).tolist()
        return {"epoch": number + 1, "step": step + 1, **dict(zip(self.steps.names, means, strict=True))}


def train(model: LeWM, condition: Condition, data: Data, recipe: Recipe, seed: int,
          action_scale: ActionScale | None = None,
          on_step: Callable[[int, int, dict[str, float]], None] = lambda *_: None,
          test: Sequence[str] | None = None, probe: Probe | None = None) -> Outcome:
    """Fine-tune `model` in place on `data` under `condition`, then evaluate it on both held-out sets.

    action_scale: that of the checkpoint the model came from; None fits one to the training windows.
    on_step(step, steps, terms) is called after each optimizer step, on a GPU after some. Same arguments on a CPU:
    identical results.
    test: episodes of `data` to hold out and to evaluate on; None: drawn from them.
    probe: called at the recipe's grad_probes steps (`experiments.gradients.probe`).
    """
    check(data, condition, model)
    if recipe.grad_probes and probe is None:
        raise InputError("recipe", f"grad_probes {recipe.grad_probes} and no probe", "a probe to call, or none of them")
    device = default_device()
    split = split_of(data, recipe, seed, test)
    train_frames = np.unique(windows(split.train))
    scale = action_scale or ActionScale.fit(data["action"][train_frames])
    frames = Frames.of(data, condition.terms, train_frames, scale, device, seed)
    heads = heads_of(condition, data, model, seed).to(device)
    if condition.predictor == "patch":
        model = PatchLeWM.of(model, seed)
    model.to(device)
    run = _Run(model, heads, condition, frames, split, recipe, seed, probe)
    start = Start.of(model, heads, condition, frames, split)
    with seeded(seed):
        run.fit(on_step)
    emb = encode_frames(model.eval(), frames.pixels)
    more = measure(model, condition, data, frames, split, start, emb, run.steps.clipped.item() / max(1, run.count))
    metrics = {name: found | more[name] for name, found in run.evaluate(run.count, emb).items()}
    counts = {"train": len(split.train), **{name: len(starts) for name, starts in split.val.items()}}
    return Outcome(metrics, run.curve, model, heads, scale, run.count, counts, run.evals, run.grad_probes)
