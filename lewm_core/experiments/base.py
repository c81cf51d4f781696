"""The base checkpoint that every run fine-tunes, LeWM-Cube's part in the paper: shipped, remade, random or the user's.

A checkpoint of the user's may be any public LeWM: a file, a folder, or a hub id such as quentinll/lewm-cube. Its own
config says what net it is, whatever the `model` of the study.

`tabletop` is a LeWM pretrained on simulated single-cube play. For the `small` model of the quick profile it is shipped
with the package; for any other model it is trained on first use and kept. `python -m lewm_core base small` remakes the
shipped one, bit for bit on the same machine, and says which bars it clears (`diagnostics.base_bars`).
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

from lewm_core import dataset
from lewm_core.checkpoints import checkpoint, hub
from lewm_core.conditions import condition
from lewm_core.config import MODELS, LeWMConfig, Recipe
from lewm_core.dataset.frames import ActionScale
from lewm_core.model import LeWM
from lewm_core.signals.extraction import Packet, bare
from lewm_core.sources.episode import ACTION_DIM
from lewm_core.sources.tabletop.source import Tabletop
from lewm_core.train import train
from lewm_core.utils import sealed
from lewm_core.utils.errors import InputError, pick
from lewm_core.utils.files import digest, file_digest
from lewm_core.utils.pool import Pool
from lewm_core.utils.provenance import usable_cores
from lewm_core.utils.workspace import BASES

SHIPPED = Path(__file__).parents[1] / "weights"
WORTH_A_PROCESS = 50  # episodes: starting one takes seconds


@dataclass(frozen=True)
class Pretraining:
    """How a base is made: play episodes and a recipe. From scratch, so a larger step and batch than in fine-tuning."""

    episodes: int = 800
    seed: int = 0
    recipe: Recipe = Recipe(epochs=6, batch_size=64, lr=1e-3, val_windows=0, val_episodes=0.05)


PRETRAINING = {
    "paper": Pretraining(episodes=2000, recipe=Recipe(epochs=20, batch_size=64, lr=3e-4, val_windows=0,
                                                      val_episodes=0.02)),
    "small": Pretraining(episodes=3200, recipe=replace(Pretraining().recipe, epochs=7, directions=256)),
    "nano": Pretraining(episodes=4, recipe=Recipe(epochs=1, directions=64, val_windows=0, val_episodes=0.25)),
}


@dataclass(frozen=True)
class Base:
    """Where a run starts. path: weights, None for random ones of `model`. name and hash: what figures say of it.

    model: the preset of our bases; a checkpoint of the user's brings its own sizes. action_dim: of the data to come.
    """

    title: str
    model: str
    path: Path | None
    hash: str
    action_dim: int = ACTION_DIM

    @property
    def name(self) -> str:
        """Its title; an action encoder that has to start anew is part of it, so that every figure says so."""
        own = self.config.action_dim if self.path else self.action_dim
        if own == self.action_dim:
            return self.title
        return f"{self.title} (action encoder {checkpoint.reinitialised(own, self.action_dim)})"

    def load(self, seed: int) -> tuple[LeWM, ActionScale | None]:
        """The model, for actions of that size, and the action scale its weights were trained with.

        On `seed` depend random weights, and the action encoder of a checkpoint that was trained on other actions.
        """
        if self.path is None:
            return LeWM(replace(self.config, action_dim=self.action_dim), seed), None
        model, metadata = checkpoint.load(self.path, self.action_dim, seed)
        scale = metadata.get("action_scale")
        return model, ActionScale(**scale) if scale else None

    @property
    def config(self) -> LeWMConfig:
        """The sizes of the model that the runs start from, with the actions it was trained on."""
        if self.path is None:
            return pick(MODELS, self.model, "model")
        return checkpoint.read_config(self.path)


def resolve(name: str, model: str, cache: Path) -> Base:
    """The base called `name` for the model preset `model`; trained now, into `cache`, if it has to be.

    name: tabletop (shipped or cached), retrain (made anew in `cache`), random, or a checkpoint, as `hub.find` takes it:
    a weights file, a folder, a hub id.
    """
    pick(MODELS, model, "model")
    if name == "random":
        return Base("random", model, None, digest("random", repr(MODELS[model])))
    if name not in BASES:
        return of_checkpoint(name)
    shipped = SHIPPED / f"{model}.safetensors"
    if name == "tabletop" and shipped.is_file():
        path = shipped
    else:
        path = cache / f"base_{model}.safetensors"
        if not is_current(path, model):
            pretrain(model, path)
    return Base("tabletop play", model, path, file_digest(path))


def of_checkpoint(name: str) -> Base:
    """The base in a checkpoint of the user's, found (or fetched) and read as a whole."""
    hub.check_base(name)
    files = hub.find(name)
    checkpoint.load(files.weights, ACTION_DIM)  # raises whatever is wrong with it now
    parts = [file_digest(path) for path in (files.weights, files.config) if path]
    content = parts[0] if len(parts) == 1 else digest(*parts)
    return Base(files.name, "the base's own", files.weights.absolute(), content)


def is_current(path: Path, model: str) -> bool:
    """Whether there are weights at `path`, made by the recipe that would make them now."""
    if not path.is_file():
        return False
    try:
        _, metadata = checkpoint.load(path)
    except InputError as error:  # damaged, or of another version
        sealed.made_again(path, error.found)
        return False
    return metadata.get("recipe_digest") == recipe_digest(model)


def recipe_digest(model: str) -> str:
    """Changes whenever `pretrain(model, …)` would make other weights, as far as settings decide it."""
    recipe = PRETRAINING[model]
    return digest(repr(MODELS[model]), repr(recipe), play(model).fingerprint)


def play(model: str) -> Tabletop:
    """The play episodes that the base of `model` learns from."""
    recipe = PRETRAINING[model]
    return Tabletop(recipe.episodes, recipe.seed, MODELS[model].image_size, kind="play")


def pretrain(model: str, path: Path, on_step: Callable = lambda *_: None) -> dict:
    """Train `model` from scratch on play episodes and write it to `path`; returns the metadata written with it."""
    recipe, source = PRETRAINING[model], play(model)
    data_path = path.with_name(f"{path.stem}_play.h5")
    try:
        dataset.write(data_path, _packets(model), source=source.name)
        data = dataset.load(data_path)
    finally:
        data_path.unlink(missing_ok=True)
    outcome = train(LeWM(MODELS[model], recipe.seed), condition("A"), data, recipe.recipe, recipe.seed,
                    on_step=on_step)
    metadata = {"action_scale": asdict(outcome.action_scale), "recipe": asdict(recipe),
                "recipe_digest": recipe_digest(model), "source": source.fingerprint, "steps": outcome.steps,
                "held_out": outcome.metrics["episode"]}
    checkpoint.save(path, outcome.model.half(), **metadata)  # half the bytes; what is loaded computes in float32
    return metadata


def _packets(model: str) -> Iterator[Packet]:
    """The play episodes without signals, in their order, rendered on all cores where that pays."""
    source = play(model)
    render, ids = partial(bare, source), [info.id for info in source.infos()]
    jobs = min(usable_cores(), len(ids) // WORTH_A_PROCESS)
    if jobs < 2:
        yield from map(render, ids)
        return
    with Pool(jobs) as pool:
        for _, packet in pool.map(render, ids, ordered=True, ahead=jobs):
            if isinstance(packet, Exception):
                raise packet
            yield packet
