"""One run: what names it, doing it, and what it leaves.

A run is named by a digest of all that decides its outcome. Its folder appears whole, by one rename, when it is done:
result.json, model.safetensors (public names), heads.safetensors, and SHA256SUMS, by which damage is told.
"""

import json
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache
from importlib.metadata import version
from pathlib import Path

from lewm_core import dataset
from lewm_core.checkpoints import checkpoint, hub
from lewm_core.conditions import condition
from lewm_core.config import Recipe
from lewm_core.dataset import Data, Split
from lewm_core.experiments import gradients
from lewm_core.experiments.base import Base
from lewm_core.train import Outcome, default_device, split_of, train
from lewm_core.utils import sealed
from lewm_core.utils.errors import InputError
from lewm_core.utils.files import digest, identity, move_folder, temporary_folder, write_json
from lewm_core.utils.provenance import code_digest
from lewm_core.utils.sealed import Damaged

RESULT = "result.json"
# Not the table of conditions: a new row must not rename the runs of the others. A run's own terms are in its key.
CODE = ("config", "encoder", "model", "patch_predictor", "sigreg", "steps", "heads", "losses", "evaluate", "objective",
        "batch_norm", "outcomes", "train", "dataset/contract", "dataset/data", "dataset/frames",
        "dataset/replacements", "dataset/splits", "dataset/stored", "dataset/targets", "experiments/gradients",
        "checkpoints/checkpoint", "signals/geometry")


@dataclass(frozen=True)
class Run:
    """One condition × seed at one scale. `key` names it: the same key means the same outcome.

    episodes: names of those to train on, None for all but `test`. test: names of those to hold out and to be judged
    by, None to draw them from the others as the recipe says. No episode may be in both. first: only so many of the
    file's episodes are read at all; None reads all. device: where it is done, cpu or cuda; "" is as in this process.
    """

    condition: str
    scale: str  # a label, such as pilot or full; it does not enter the key
    seed: int
    dataset: str  # path
    fingerprint: str  # of what `choose` leaves of the dataset
    base: Base
    recipe: Recipe
    episodes: tuple[str, ...] | None = None
    test: tuple[str, ...] | None = None
    first: int | None = None
    device: str = ""

    def __post_init__(self):
        both = set(self.episodes or ()) & set(self.test or ())
        if both:
            raise InputError(f"run {self.scale}", f"{len(both)} episodes in both training and test set (one: "
                             f"{min(both)!r})", "disjoint sets")

    def choose(self, data: Data) -> Data:
        """The episodes of `data` that this run needs: to train on, then to be judged by."""
        if self.episodes is None:
            return data
        return data.select([*self.episodes, *(self.test or ())])

    @cached_property  # once, in the process that plans: a source edited while a sweep runs must not rename its runs
    def key(self) -> str:
        row = condition(self.condition)
        start = (self.base.hash, self.seed if self.base.path is None else None)
        return digest(repr(row.terms), row.predictor, row.training, repr(self.seed), self.fingerprint,
                      repr(self.test), repr(start), repr(self.recipe), code_digest(*CODE), version("torch"),
                      self.device or default_device())


def load_once(path: str | Path, first: int | None = None) -> Data:
    """`dataset.load`, once a process for the file that was last asked for; one that has changed is read anew."""
    path = Path(path)
    return _load(path.absolute(), identity(path) if path.is_file() else (), first)


@lru_cache(maxsize=1)
def _load(path: Path, changed: tuple[int, ...], first: int | None) -> Data:
    return dataset.load(path, first)


def _data(run: Run) -> Data:
    """What the run trains on and is judged by; InputError if that is no longer what was planned with."""
    data = run.choose(load_once(run.dataset, run.first))
    if data.fingerprint != run.fingerprint:
        raise InputError(run.dataset, "a file that has changed since the runs were planned", "the planned dataset",
                         "Plan the runs again.")
    return data


def execute(run: Run, folder: Path, on_step: Callable = lambda *_: None) -> Run:
    """Train and evaluate one run and keep it in `folder`, in this process. A finished one is left alone.

    on_step: as train.train calls it.
    """
    if is_done(folder, run.key):
        return run
    started = time.time()
    model, scale = run.base.load(run.seed)
    data = _data(run)
    outcome = train(model, condition(run.condition), data, run.recipe, run.seed, scale, test=run.test, on_step=on_step,
                    probe=gradients.probe)
    with temporary_folder(folder / run.key) as temporary:
        _write(temporary, run, data, outcome, started)
        sealed.note_folder(temporary)
        if not is_done(folder, run.key):
            shutil.rmtree(folder / run.key, ignore_errors=True)  # one without a result, or damaged
            try:
                move_folder(temporary, folder / run.key)
            except OSError:
                if not is_done(folder, run.key):  # by another process, a moment ago
                    raise
    return run


def _write(folder: Path, run: Run, data: Data, outcome: Outcome, started: float) -> None:
    """Write a finished run's weights and what it recorded of itself."""
    metadata = {
        "condition": run.condition, "scale": run.scale, "seed": run.seed, "dataset": run.fingerprint,
        "episodes": run.episodes, "test": run.test, "data": data.made.get("source"), "base": run.base.name,
        "base_hash": run.base.hash, "recipe": asdict(run.recipe), "action_scale": asdict(outcome.action_scale)}
    if outcome.model.reads_patches:  # no public model: under our names, which nothing else reads
        checkpoint.save_state(folder / "patch_model.safetensors", outcome.model)
    else:
        checkpoint.save(folder / "model.safetensors", outcome.model, **metadata)
    if len(outcome.heads):
        checkpoint.save_state(folder / hub.HEADS, outcome.heads)
    write_json(folder / RESULT, {
        **metadata, "metrics": outcome.metrics, "curve": outcome.curve, "evals": outcome.evals,
        "grad_probes": outcome.grad_probes, "steps": outcome.steps, "windows": outcome.windows,
        "device": default_device(), "duration_s": round(time.time() - started, 2)})


def is_done(folder: Path, key: str) -> bool:
    """Whether the run of that key is finished in `folder`, whole: a damaged one is told of, and is to be done again.

    A run from before checksums were kept (it has no SHA256SUMS) is finished when its result can be read.
    """
    if not (folder / key / RESULT).is_file():
        return False
    try:
        check_whole(folder, key)
    except Damaged as error:
        sealed.made_again(error.where, error.found)
        return False
    return True


def check_whole(folder: Path, key: str) -> None:
    """Damaged where any file of a finished run is not what was written."""
    sealed.check_folder(folder / key)
    result(folder, key)


def result(folder: Path, key: str) -> dict:
    """What a finished run recorded of itself; Damaged where that is not what was written."""
    remedy = "./run_all.sh with the same options makes it again."
    path = sealed.check(folder / key / RESULT, remedy)
    try:
        record = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise Damaged(path, f"that it cannot be read ({error})", remedy=remedy) from None
    if not isinstance(record, dict) or "metrics" not in record:
        raise Damaged(path, "no result of a run", remedy=remedy)
    return record


def trained_on(record: Mapping[str, object], data: Data) -> bool:
    """Whether `data` holds, unchanged, the episodes that a run was trained on and judged by.

    record: what it said of itself, in its result or in its checkpoint.
    """
    ids = episodes_of(record)
    if not ids:
        return record.get("dataset") == data.fingerprint
    known = set(data.columns.get("episode_id", ()))
    return known.issuperset(ids) and record.get("dataset") == data.fingerprint_of(ids)


def data_of(record: Mapping[str, object], data: Data) -> Data:
    """The episodes of `data` that a run had, as it had them: to train on, then to be judged by.

    record: what a finished run said of itself. InputError where `data` does not hold them, or not unchanged.
    """
    if not trained_on(record, data):
        raise InputError(f"run of {record['condition']}, {record['scale']}, seed {record['seed']}",
                         f"dataset {record['dataset']}", "one whose episodes the data in hand hold, unchanged",
                         "Give the dataset that it was trained on.")
    ids = episodes_of(record)
    return data.select(ids) if ids else data


def split_of_run(record: Mapping[str, object], data: Data) -> Split:
    """The split of a finished run. data: as from `data_of`."""
    return split_of(data, Recipe(**record["recipe"]), record["seed"], record["test"])


def episodes_of(record: Mapping[str, object]) -> list[str]:
    """The names of the episodes that a run was trained on and judged by; none where it had all of a file."""
    return [*(record.get("episodes") or ()), *(record.get("test") or ())]
