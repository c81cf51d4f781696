"""One run: fine-tune a LeWM under one condition and evaluate it (paper 3.4).

Everything random comes from the run's seed, through generators of their own for the split, the batch order, SIGReg's
directions, dropout and the heads. So runs of the same seed are paired: same split, same start, same batches.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from lewm_core import dataset, losses
from lewm_core.conditions import Condition
from lewm_core.dataset import WINDOW, Data, targets
from lewm_core.experiments.gradients import conflict, shared_parameters
from lewm_core.heads import HEADS, build_heads
from lewm_core.model import LeWM, normalise, seeded
from lewm_core.patch_predictor import PatchLeWM
from lewm_core.utils.errors import InputError, pick

EVALUATION_SEED = 0  # SIGReg's directions in evaluation, the same for every run


@dataclass(frozen=True)
class Recipe:
    """How a run is trained. The defaults are the paper's (3.4) and the public LeWM recipe's.

    checks and probes are spread evenly from the start to the end; neither changes the weights that come out.
    """

    epochs: int = 20
    steps: int | None = None  # exactly so many optimizer steps, whatever the data's size, instead of `epochs`
    batch_size: int = 16
    lr: float = 5e-5
    weight_decay: float = 1e-3
    clip: float = 1.0  # norm of the whole gradient, heads included
    warmup: float = 0.01  # share of the steps, from 0; then cosine to 0
    sigreg_weight: float = 0.09
    head_weight: float = 0.1
    directions: int = 1024  # SIGReg's random directions a step
    val_windows: float = 0.1  # share of windows held out (the paper's split, which leaks)
    val_episodes: float = 0.15  # share of episodes held out (the split our claims rest on)
    checks: int = 0  # validations along training, the last after the last step and the first, of several, before any
    probes: int = 0  # steps at which the losses' gradients on the encoder are compared

    def __post_init__(self):
        if (self.steps is not None and self.steps < 1) or self.checks < 0 or self.probes < 0:
            raise InputError("recipe", f"steps {self.steps}, checks {self.checks}, probes {self.probes}",
                             "steps of at least 1 (None: epochs decide), the others of at least 0")


@dataclass(frozen=True)
class ActionScale:
    """Per-column mean and deviation of the actions a model was trained on; they travel with its checkpoint."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def fit(cls, actions: np.ndarray) -> "ActionScale":
        """From actions (n, A); columns that never vary keep deviation 1."""
        std = np.where(np.ptp(actions, axis=0) == 0, 1, actions.std(0))  # rounding can leave a constant one some
        return cls(tuple(actions.mean(0).tolist()), tuple(std.tolist()))

    def __call__(self, actions: np.ndarray) -> np.ndarray:
        """(…, A) raw actions to standardised float32."""
        return ((actions - np.array(self.mean)) / np.array(self.std)).astype(np.float32)

    def undo(self, standardised: np.ndarray) -> np.ndarray:
        """(…, A) standardised actions to raw float64."""
        return standardised * np.array(self.std) + np.array(self.mean)


@dataclass(frozen=True)
class Outcome:
    """What a run leaves: tidy metrics {split: {metric: value}}, what happened on the way, the weights and their scale.

    curve: the mean losses of each epoch and the step it ended at. checks: metrics by step and split.
    probes: rows of `gradients.conflict` by step.
    """

    metrics: dict[str, dict[str, float]]
    curve: list[dict[str, float]]
    model: LeWM
    heads: nn.ModuleDict
    action_scale: ActionScale
    steps: int
    windows: dict[str, int] = field(default_factory=dict)
    checks: list[dict[str, object]] = field(default_factory=list)
    probes: list[dict[str, object]] = field(default_factory=list)


@dataclass(frozen=True)
class Frames:
    """A dataset on the training device: pixels (N, 3, H, W) uint8, actions (N, A) standardised, and by head the targets
    (N, …) of its term, named as `targets.build` names them."""

    pixels: Tensor
    actions: Tensor
    targets: dict[str, dict[str, Tensor]]

    @classmethod
    def of(cls, data: Data, condition: Condition, train_frames: np.ndarray, scale: ActionScale,
           device: str, seed: int = 0) -> "Frames":
        pixels = torch.from_numpy(data["pixels"]).permute(0, 3, 1, 2).contiguous()
        actions = torch.from_numpy(scale(data["action"]))
        built = {term.head: targets.build(term, data, train_frames, device, seed) for term in condition.terms}
        return cls(pixels.to(device), actions.to(device), built)

    def targets_at(self, index: Tensor) -> dict[str, dict[str, Tensor]]:
        """The targets of the frames `index` (M,)."""
        return {head: {name: value[index] for name, value in of.items()} for head, of in self.targets.items()}


def default_device() -> str:
    """cuda where there is one, otherwise cpu."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def windows(starts: np.ndarray) -> np.ndarray:
    """(n,) window starts to (n, WINDOW) frame indices."""
    return starts[:, None] + np.arange(WINDOW)


def learning_rate(step: int, steps: int, recipe: Recipe) -> float:
    """Linear from 0 over the first `warmup` share of the steps, then cosine to 0; per optimizer step, from 0."""
    rise = max(1, round(recipe.warmup * steps))
    if step < rise:
        return recipe.lr * (step + 1) / (rise + 1)
    return recipe.lr * 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))


def term_weights(terms: Mapping[str, object], recipe: Recipe) -> dict[str, float]:
    """Each loss's factor in the total: 1 for the prediction, 0.09 for SIGReg, 0.1 for every head."""
    return {name: {"pred": 1.0, "sigreg": recipe.sigreg_weight}.get(name, recipe.head_weight) for name in terms}


def head_outputs(heads: nn.ModuleDict, emb: Tensor, patches: Tensor,
                 targets: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Every head's output for M frames: emb (M, D), patches (M, P, D) and, by head, its term's targets (M, …)."""
    outputs = {}
    for name, head in heads.items():
        inputs = {"emb": emb, "patches": patches, **targets[name]}
        outputs[name] = head(*(pick(inputs, read, f"input of head {name}") for read in HEADS[name].reads))
    return outputs


def loss_terms(model: LeWM, heads: nn.ModuleDict, condition: Condition, frames: Frames, index: Tensor,
               directions: Tensor, recipe: Recipe) -> dict[str, Tensor]:
    """The total loss of a batch of windows (B, T) and its parts: L = L_pred + 0.09 L_sigreg + Σ 0.1 L_h."""
    device, context, flat = index.device.type, model.config.history, index.flatten()
    at_frames = frames.targets_at(flat)
    with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):  # on a CPU it is slower than fp32
        cls, patches = model.encode_tokens(normalise(frames.pixels[index]))
        emb, act_emb = model.projector(cls), model.action_encoder(frames.actions[index])
        seen = (patches[:, :context],) if model.reads_patches else ()
        pred_emb = model.predict(emb[:, :context], act_emb[:, :context], *seen)
        outputs = head_outputs(heads, emb.flatten(0, 1), patches.flatten(0, 1), at_frames)
    emb = emb.float()  # the losses are computed in full precision
    terms = {"pred": losses.prediction_loss(pred_emb.float(), emb),
             "sigreg": losses.sigreg(emb.transpose(0, 1), directions)}
    for term in condition.terms:
        terms[f"head_{term.head}"] = term.compare(outputs[term.head].float(), at_frames[term.head])
    weights = term_weights(terms, recipe)
    terms["total"] = sum(weights[name] * value for name, value in terms.items())
    return terms


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


def split_of(data: Data, recipe: Recipe, seed: int, test: Sequence[str] | None = None) -> dataset.Split:
    """The split of a run: decided by the dataset, the recipe's shares and the seed, not by the condition.

    test: names of the episodes to hold out; None: a random share of them.
    """
    held = None if test is None else data.numbers(test)
    return dataset.split(data["ep_len"], data["ep_offset"], np.random.default_rng([seed, 1]), recipe.val_windows,
                         recipe.val_episodes, held)


def steps_of(split: dataset.Split, recipe: Recipe) -> int:
    """How many optimizer steps a run takes."""
    n = len(split.train)
    return recipe.steps or recipe.epochs * (n // min(recipe.batch_size, n))


def evenly(count: int, last: int) -> set[int]:
    """`count` whole numbers from 0 to `last`, as evenly spaced as they can be; of one, the last."""
    return set(np.linspace(last, 0, count).round().astype(int).tolist())


def train(model: LeWM, condition: Condition, data: Data, recipe: Recipe, seed: int,
          action_scale: ActionScale | None = None, device: str | None = None,
          on_step: Callable[[int, int, dict[str, float]], None] = lambda *_: None,
          test: Sequence[str] | None = None) -> Outcome:
    """Fine-tune `model` in place on `data` under `condition`, then evaluate it on both held-out sets.

    action_scale: that of the checkpoint the model came from; None fits one to the training windows.
    on_step(step, steps, terms) is called after each optimizer step. Same arguments on a CPU: identical results.
    test: episodes of `data` to hold out and to evaluate on; None: drawn from them.
    """
    check(data, condition, model)
    device = device or default_device()
    split = split_of(data, recipe, seed, test)
    train_frames = np.unique(windows(split.train))
    scale = action_scale or ActionScale.fit(data["action"][train_frames])
    frames = Frames.of(data, condition, train_frames, scale, device, seed)
    grid = data["pixels"].shape[1] // model.config.patch_size
    heads = build_heads(tuple(t.head for t in condition.terms), model.config.dim, seed, grid,
                        model.config.width).to(device)
    model = PatchLeWM.of(model, seed) if condition.predictor == "patch" else model
    model.to(device).train()

    def validate() -> dict[str, dict[str, float]]:
        return {name: evaluate(model, heads, condition, frames, starts, recipe) for name, starts in split.val.items()}

    parameters = [*model.parameters(), *heads.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=recipe.lr, weight_decay=recipe.weight_decay, fused=True)
    order = np.random.default_rng([seed, 2])
    generator = torch.Generator(device).manual_seed(seed)
    index = torch.from_numpy(windows(split.train)).to(device)
    batch = min(recipe.batch_size, len(index))
    per_epoch, steps = len(index) // batch, steps_of(split, recipe)
    check_at, probe_at = evenly(recipe.checks, steps), evenly(recipe.probes, steps - 1)
    curve, checks, probes = [], [], []
    with seeded(seed):
        for epoch, first in enumerate(range(0, steps, per_epoch)):
            sums: dict[str, float] = {}
            batches = order.permutation(len(index))[: per_epoch * batch].reshape(-1, batch)[: steps - first]
            for step, rows in enumerate(batches, start=first):
                if step in check_at:
                    checks += [{"step": step, "split": name, **found} for name, found in validate().items()]
                    model.train(), heads.train()
                for group in optimizer.param_groups:
                    group["lr"] = learning_rate(step, steps, recipe)
                directions = losses.draw_directions(model.config.dim, recipe.directions, generator)
                terms = loss_terms(model, heads, condition, frames, index[rows], directions, recipe)
                if step in probe_at:
                    parts = {name: loss for name, loss in terms.items() if name != "total"}
                    probes += [{"step": step, **row} for row in conflict(parts, term_weights(parts, recipe),
                                                                         shared_parameters(model))]
                optimizer.zero_grad(set_to_none=True)
                terms["total"].backward()
                nn.utils.clip_grad_norm_(parameters, recipe.clip)
                optimizer.step()
                values = {name: value.item() for name, value in terms.items()}
                if not math.isfinite(values["total"]):
                    raise InputError(f"condition {condition.name}, seed {seed}", f"loss {values} at step {step}",
                                     "finite losses", "Lower the learning rate, or look at the dataset's signals.")
                sums = {name: sums.get(name, 0.0) + value for name, value in values.items()}
                on_step(step + 1, steps, values)
            curve.append({"epoch": epoch + 1, "step": first + len(batches),
                          **{name: total / len(batches) for name, total in sums.items()}})
    metrics = validate()
    if steps in check_at:
        checks += [{"step": steps, "split": name, **found} for name, found in metrics.items()]
    counts = {"train": len(split.train), **{name: len(starts) for name, starts in split.val.items()}}
    return Outcome(metrics, curve, model, heads, scale, steps, counts, checks, probes)


@torch.no_grad()
def encode_chunks(model: LeWM, pixels: Tensor, chunk: int = 256) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """Of uint8 frames (n, 3, H, W), `chunk` of them at a time: which, their emb (m, D) and patch tokens (m, P, D).

    Float32; each frame is encoded alone, in eval mode; the model's mode is kept.
    """
    for start in range(0, len(pixels), chunk):
        rows, training = slice(start, start + chunk), model.training
        model.eval()
        cls, patches = model.encode_tokens(normalise(pixels[rows]).unsqueeze(1))
        emb = model.projector(cls)
        model.train(training)
        yield rows, emb[:, 0].float(), patches[:, 0].float()


def encode_frames(model: LeWM, pixels: Tensor, chunk: int = 256) -> Tensor:
    """emb (n, D) of uint8 frames (n, 3, H, W), as `encode_chunks`."""
    return torch.cat([emb for _, emb, _ in encode_chunks(model, pixels, chunk)])


@torch.no_grad()
def evaluate(model: LeWM, heads: nn.ModuleDict, condition: Condition, frames: Frames, starts: np.ndarray,
             recipe: Recipe) -> dict[str, float]:
    """Teacher-forced metrics over all windows that begin at `starts`, in eval mode; leaves the model in eval mode.

    mse: next-latent MSE, the paper's metric. mse_over_variance: over the variance of the target latents, averaged over
    dimensions. mse_over_static: over the MSE of copying the last latent. sigreg: of batches as large as in training,
    directions from a fixed generator. head_*: each head's own loss.
    """
    model.eval(), heads.eval()
    index = windows(starts)
    unique, position = np.unique(index, return_inverse=True)
    device, context = frames.pixels.device, model.config.history
    at_frames = frames.targets_at(torch.from_numpy(unique).to(device))
    found, outputs, tokens = [], [], []  # the patch tokens are large, and kept only where the predictor reads them
    for rows, emb, patches in encode_chunks(model, frames.pixels[unique]):
        found.append(emb)
        in_chunk = {head: {name: v[rows] for name, v in of.items()} for head, of in at_frames.items()}
        outputs.append(head_outputs(heads, emb, patches, in_chunk))
        tokens += [patches] if model.reads_patches else []
    emb = torch.cat(found)
    position = torch.from_numpy(position.reshape(index.shape)).to(device)
    act_emb = model.action_encoder(frames.actions[torch.from_numpy(index).to(device)])
    window_emb = emb[position]  # (n, T, D)
    seen = (torch.cat(tokens)[position[:, :context]],) if model.reads_patches else ()
    pred_emb = model.predict(window_emb[:, :context], act_emb[:, :context], *seen)
    mse = losses.prediction_loss(pred_emb, window_emb).item()
    static = losses.persistence_loss(window_emb).item()
    variance = window_emb[:, 1:].flatten(0, 1).var(0, correction=0).mean().item()
    if not static > 0:
        raise InputError(f"condition {condition.name}", "held-out windows in which no latent changes",
                         "frames that differ", "Does the camera show anything? Look at the dataset's pixels.")
    generator = torch.Generator(device).manual_seed(EVALUATION_SEED)
    shuffled = window_emb[torch.randperm(len(index), generator=generator, device=device)]
    batches = shuffled.split(recipe.batch_size)[: max(1, len(shuffled) // recipe.batch_size)]
    regular = [losses.sigreg(b.transpose(0, 1), losses.draw_directions(b.shape[-1], recipe.directions, generator))
               for b in batches]
    metrics = {"mse": mse, "static_mse": static, "target_variance": variance,
               "sigreg": torch.stack(regular).mean().item()}
    ratios = {"mse_over_variance": variance, "mse_over_static": static}  # undefined where nothing moves
    metrics |= {name: mse / floor for name, floor in ratios.items() if floor > 0}
    for term in condition.terms:
        pred = torch.cat([o[term.head] for o in outputs])
        metrics[f"head_{term.head}"] = term.compare(pred, at_frames[term.head]).item()
    return metrics


