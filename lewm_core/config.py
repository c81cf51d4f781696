"""The sizes of a LeWM (paper 3.2) and the recipe it is trained by (3.4). Nothing here needs torch."""

import math
from dataclasses import asdict, dataclass

from lewm_core.sources.episode import ACTION_DIM, IMAGE_SIZE
from lewm_core.utils.errors import InputError, known

MOST_SIZE, MOST_DEPTH = 100_000, 200  # of a LeWM: any size of it, and its blocks


@dataclass(frozen=True)
class LeWMConfig:
    """Sizes of a LeWM. The defaults are the paper's: ViT-Tiny, patches of 14 at 224 px, six predictor blocks."""

    image_size: int = IMAGE_SIZE
    patch_size: int = 14
    dim: int = 192  # D: emb, predictor and, unless encoder_dim says otherwise, ViT and CLS share it
    encoder_depth: int = 12
    encoder_heads: int = 3
    encoder_mlp: int = 768
    predictor_depth: int = 6
    predictor_heads: int = 16
    predictor_head_dim: int = 64
    predictor_mlp: int = 2048
    projector_hidden: int = 2048
    action_dim: int = ACTION_DIM
    action_smoothed: int = 10
    action_hidden: int = 768
    dropout: float = 0.1
    history: int = 3  # context frames the predictor sees
    encoder_dim: int | None = None  # width of the ViT where it is not D

    def __post_init__(self):
        depths = ("encoder_depth", "predictor_depth")
        wrong = [f"{name} {value!r}" for name, value in self.sizes().items() if name != "dropout"
                 and not (type(value) is int and 1 <= value <= (MOST_DEPTH if name in depths else MOST_SIZE))]
        if type(self.dropout) not in (int, float) or not 0 <= self.dropout < 1:
            wrong.append(f"dropout {self.dropout!r}")
        if wrong:
            raise InputError("sizes of a LeWM", ", ".join(wrong), f"whole numbers from 1 to {MOST_SIZE:,}, at most "
                             f"{MOST_DEPTH} blocks, a dropout from 0 up to, but not, 1")
        if self.image_size % self.patch_size or self.width % self.encoder_heads:
            raise InputError("sizes of a LeWM", f"patches of {self.patch_size} for an image of {self.image_size}, "
                             f"{self.encoder_heads} heads for a width of {self.width}", "divisors")

    @property
    def width(self) -> int:
        """Of the ViT, its CLS and patch tokens."""
        return self.encoder_dim or self.dim

    def sizes(self) -> dict[str, int | float]:
        """The fields that are set, as a file's header holds them."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    def __repr__(self) -> str:  # a field that is not set renames no file and no run
        return f"LeWMConfig({', '.join(f'{name}={value!r}' for name, value in self.sizes().items())})"


MODELS = {
    "paper": LeWMConfig(),
    # quick, laptop: the same code at 64 px, sized for two CPU cores; with dropout its base plans worse
    "small": LeWMConfig(image_size=64, patch_size=16, dim=64, encoder_dim=96, encoder_depth=4, encoder_heads=4,
                        encoder_mlp=384, predictor_depth=3, predictor_heads=4, predictor_head_dim=32,
                        predictor_mlp=256, projector_hidden=256, action_hidden=256, dropout=0.0),
    # smoke: small enough for a test
    "nano": LeWMConfig(image_size=32, patch_size=8, dim=32, encoder_depth=2, encoder_heads=2, encoder_mlp=64,
                       predictor_depth=2, predictor_heads=2, predictor_head_dim=16, predictor_mlp=64,
                       projector_hidden=64, action_hidden=64),
}

BATCH_NORM = {  # what becomes of the buffers of batch normalisation, by which a model is judged
    "paper": "they follow the training batches",
    "frozen": "they and the training batches' normalisation stay the base's: eval mode while fine-tuning",
    "recalibrated": "they follow the training batches, then are set to the training frames' statistics",
}
LATER = {"batch_norm": "paper", "val_blocks": 0.0}  # fields that were added to a recipe, and what they were before

WHOLE = ("epochs", "steps", "batch_size", "directions", "n_evals", "grad_probes")
LEAST = {"epochs": 1, "steps": 1, "batch_size": 1, "directions": 1}
MOST = {"val_windows": 1, "val_episodes": 1}


@dataclass(frozen=True)
class Recipe:
    """How a run is trained. The defaults are the paper's (3.4) and the public LeWM recipe's.

    n_evals and grad_probes are spread evenly from the start to the end; neither changes the weights that come out.
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
    val_blocks: float = 0.0  # share of the training episodes of which half is held out in one block (no shared frame)
    n_evals: int = 0  # evaluations along training, evenly spaced, including step 0 and the last; one: the last
    grad_probes: int = 0  # steps at which the losses' gradients on the encoder are compared
    batch_norm: str = "paper"  # a row of BATCH_NORM

    def __post_init__(self):
        known(BATCH_NORM, self.batch_norm, "batch_norm of the recipe")
        values = asdict(self)
        if self.steps is None:
            del values["steps"]
        wrong = [f"{name} {value!r}" for name, value in values.items() if name != "batch_norm"
                 and not (isinstance(value, int | float) and LEAST.get(name, 0) <= value < MOST.get(name, math.inf))]
        wrong += [f"{name} {value!r}" for name, value in values.items()
                  if name in WHOLE and (isinstance(value, float) or isinstance(value, int) and value >= 2**63)]
        if wrong:
            raise InputError("recipe", ", ".join(wrong), "numbers of at least 0, " + ", ".join(LEAST) + " of at least "
                             f"1 (no steps: epochs decide), {', '.join(MOST)} below 1, {', '.join(WHOLE)} whole")

    def __repr__(self) -> str:  # what came later renames no file and no run where it is as in the paper
        values = {name: value for name, value in asdict(self).items() if LATER.get(name) != value}
        return f"Recipe({', '.join(f'{name}={value!r}' for name, value in values.items())})"
