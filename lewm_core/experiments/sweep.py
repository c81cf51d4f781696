"""Many runs: conditions × seeds, in parallel processes, each finished run kept and never repeated.

A run is named by a digest of all that decides its outcome. Its folder appears whole, by one rename, when it is done:
result.json, model.safetensors (public names) and heads.safetensors.
"""

import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from functools import cached_property, lru_cache
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path

import pandas as pd
import torch
from tqdm import tqdm

from lewm_core import dataset
from lewm_core.checkpoints import checkpoint, hub
from lewm_core.conditions import condition, unavailable
from lewm_core.experiments.base import Base
from lewm_core.model import LeWM
from lewm_core.train import ActionScale, Recipe, check, default_device, split_of, train
from lewm_core.utils.errors import InputError
from lewm_core.utils.files import digest, write_json
from lewm_core.utils.provenance import code_digest, usable_cores

# Not the table of conditions: a new row must not rename the runs of the others. A run's own terms are in its key.
CODE = ("config", "model", "patch_predictor", "heads", "losses", "train", "dataset/contract", "dataset/data",
        "dataset/splits", "dataset/targets", "experiments/gradients", "checkpoints/checkpoint", "signals/geometry")


@dataclass(frozen=True)
class Run:
    """One condition × seed at one scale. `key` names it: the same key means the same outcome.

    episodes: names of those to train on, None for all but `test`. test: names of those to hold out and to be judged
    by, None to draw them from the others as the recipe says. No episode may be in both. first: only so many of the
    file's episodes are read at all, and the fingerprint is theirs; None reads all.
    """

    condition: str
    scale: str  # a label, such as pilot or full; it does not enter the key
    seed: int
    dataset: str  # path
    fingerprint: str  # of the dataset
    base: Base
    recipe: Recipe
    episodes: tuple[str, ...] | None = None
    test: tuple[str, ...] | None = None
    first: int | None = None

    def __post_init__(self):
        if both := set(self.episodes or ()) & set(self.test or ()):
            raise InputError(f"run {self.scale}", f"{len(both)} episodes in both training and test set (one: "
                             f"{min(both)!r})", "disjoint sets")

    def choose(self, data: dataset.Data) -> dataset.Data:
        """The episodes of `data` that this run needs: to train on, then to be judged by."""
        if self.episodes is None:
            return data
        return data.select([*self.episodes, *(self.test or ())])

    @cached_property  # once, in the process that plans: a source edited while a sweep runs must not rename its runs
    def key(self) -> str:
        start = (self.base.hash, self.seed if self.base.path is None else None)
        row = condition(self.condition)
        return digest(repr(row.terms), row.predictor, repr(self.seed), self.fingerprint, repr(start),
                      repr(self.recipe), repr(self.episodes), repr(self.test), code_digest(*CODE), version("torch"),
                      default_device())


def plan(conditions: Sequence[str], scale: str, seeds: Sequence[int], path: Path, base: Base,
         recipe: Recipe, episodes: int | None = None) -> tuple[list[Run], pd.DataFrame]:
    """The runs to do, seed by seed, and the conditions that this dataset cannot serve: condition, scale, reason.

    episodes: only the first so many of the dataset, None for all.

    Raises InputError, before anything is trained, for an unknown condition, a damaged dataset, no seeds, or a dataset
    on which not even the baseline can be trained.
    """
    names = [condition(name).name for name in dict.fromkeys(conditions)]
    if not seeds or not names:
        raise InputError("sweep", f"{len(names)} conditions × {len(seeds)} seeds", "at least one of each")
    data = dataset.load(path, episodes)
    base = replace(base, action_dim=data["action"].shape[1])
    model, _ = base.load(seed=0)
    check(data, condition("A"), model)
    for seed in seeds:
        split_of(data, recipe, seed)  # an InputError if there is too little to hold out
    skipped = unavailable(data, names)
    table = pd.DataFrame([(name, scale, reason) for name, reason in skipped.items()],
                         columns=["condition", "scale", "reason"])
    runs = [Run(name, scale, seed, str(path), data.fingerprint, base, recipe, first=episodes)
            for seed in seeds for name in names if name not in skipped]
    return runs, table


def sweep(runs: Iterable[Run], folder: Path, jobs: int | None = None) -> pd.DataFrame:
    """Do what is not done yet and return all results, tidy: condition, scale, seed, split, metric, value, run.

    jobs: parallel processes of one thread each; None: one a core on a CPU, one on a GPU. Finished runs stay on disk
    whatever happens to the others; an error in one run stops the sweep after those under way.
    """
    runs = list(runs)
    left = {run.key: run for run in runs if not is_done(folder, run.key)}
    jobs = min(jobs or (1 if default_device() == "cuda" else usable_cores()), max(1, len(left)))
    bar = tqdm(total=len(runs), initial=len(runs) - len(left), desc="runs", unit="run", file=sys.stderr,
               smoothing=0.1, mininterval=1)
    with bar:
        if left:
            pool = ProcessPoolExecutor(jobs, get_context("spawn"), _start_worker, (os.getpid(),))
            try:
                for done in as_completed([pool.submit(execute, run, folder) for run in left.values()]):
                    run = done.result()
                    bar.set_postfix_str(f"{run.condition} seed {run.seed}", refresh=False)
                    bar.update()
            except Exception:
                pool.shutdown(cancel_futures=True)  # waits for the runs under way, which are kept
                raise
            except BaseException:
                for process in list(pool._processes.values()):  # no public way to stop work under way
                    process.terminate()
                pool.shutdown(cancel_futures=True)
                raise
            pool.shutdown()
    return pd.DataFrame([row for run in runs for row in rows(run, folder)])


def _start_worker(parent: int) -> None:
    torch.set_num_threads(1)

    def watch() -> None:  # a killed parent cannot tell its workers
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@lru_cache(maxsize=1)
def _data(path: str, fingerprint: str, episodes: int | None) -> dataset.Data:
    data = dataset.load(path, episodes)
    if data.fingerprint != fingerprint:
        raise InputError(path, "a file that has changed since the runs were planned", "the planned dataset",
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
    data = run.choose(_data(run.dataset, run.fingerprint, run.first))
    outcome = train(model, condition(run.condition), data, run.recipe, run.seed, scale, test=run.test, on_step=on_step)
    temporary = folder / f".{run.key}.{os.getpid()}"
    temporary.mkdir(parents=True, exist_ok=True)
    try:
        metadata = {"condition": run.condition, "scale": run.scale, "seed": run.seed, "dataset": run.fingerprint,
                    "data": data.made.get("source"), "base": run.base.name, "base_hash": run.base.hash,
                    "recipe": asdict(run.recipe), "action_scale": asdict(outcome.action_scale)}
        if outcome.model.reads_patches:  # no public model: under our names, which nothing else reads
            checkpoint.save_state(temporary / "patch_model.safetensors", outcome.model)
        else:
            checkpoint.save(temporary / "model.safetensors", outcome.model, **metadata)
        if len(outcome.heads):
            checkpoint.save_state(temporary / hub.HEADS, outcome.heads)
        write_json(temporary / "result.json", {
            **metadata, "metrics": outcome.metrics, "curve": outcome.curve, "checks": outcome.checks,
            "probes": outcome.probes, "steps": outcome.steps, "windows": outcome.windows, "episodes": run.episodes,
            "test": run.test, "device": default_device(), "duration_s": round(time.time() - started, 2)})
        if not is_done(folder, run.key):
            shutil.rmtree(folder / run.key, ignore_errors=True)  # one without a result: not ours, and not whole
            os.replace(temporary, folder / run.key)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return run


def is_done(folder: Path, key: str) -> bool:
    """Whether the run of that key is finished in `folder`."""
    return (folder / key / "result.json").is_file()


def result(folder: Path, key: str) -> dict:
    """What a finished run recorded of itself."""
    return json.loads((folder / key / "result.json").read_text())


def rows(run: Run, folder: Path) -> list[dict]:
    """A finished run's metrics as tidy rows."""
    return [{"condition": run.condition, "scale": run.scale, "seed": run.seed, "split": split, "metric": metric,
             "value": value, "run": run.key}
            for split, metrics in result(folder, run.key)["metrics"].items() for metric, value in metrics.items()]


def curves(results: pd.DataFrame, folder: Path, part: str = "curve") -> pd.DataFrame:
    """What the runs in a results table recorded on the way: condition, scale, seed and the columns of `part`.

    part: curve (epoch, step, one column a loss), checks (step, split, one column a metric) or probes (step, term,
    cosine, ratio and the norms). A run that stands under several scales has its rows under each.
    """
    unique = results.drop_duplicates(["run", "scale"])
    return pd.DataFrame([{"condition": r.condition, "scale": r.scale, "seed": r.seed, **point}
                         for r in unique.itertuples() for point in result(folder, r.run)[part]])


def load_model(results: pd.DataFrame, folder: Path, name: str, seed: int | None = None) -> tuple[LeWM, ActionScale]:
    """A finished run's model, in eval mode, and its action scale, by condition and seed (None: the first one)."""
    found = results[results["condition"] == name]
    found = found if seed is None else found[found["seed"] == seed]
    if found.empty:
        raise InputError("results", f"no run of condition {name}" + ("" if seed is None else f" with seed {seed}"),
                         "one of " + ", ".join(results["condition"].unique()))
    run = found.sort_values("seed")["run"].iloc[0]
    if condition(name).predictor == "patch":
        raise InputError(f"run {run}", f"the patch-aware predictor of {name}", "a model that reads latents only",
                         "It can neither be rolled out nor written in the public format.")
    model, metadata = checkpoint.load(folder / run / "model.safetensors")
    return model, ActionScale(**metadata["action_scale"])


