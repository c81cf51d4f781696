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
from collections.abc import Callable, Iterable, Mapping, Sequence
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
from lewm_core.config import Recipe
from lewm_core.dataset import Data
from lewm_core.dataset.frames import ActionScale
from lewm_core.experiments import gradients
from lewm_core.experiments.base import Base
from lewm_core.model import LeWM
from lewm_core.train import Outcome, check, default_device, split_of, train
from lewm_core.utils.errors import InputError
from lewm_core.utils.files import digest, write_json
from lewm_core.utils.provenance import code_digest, usable_cores

# Not the table of conditions: a new row must not rename the runs of the others. A run's own terms are in its key.
CODE = ("config", "model", "patch_predictor", "heads", "losses", "evaluate", "train", "dataset/contract",
        "dataset/data", "dataset/frames", "dataset/splits", "dataset/targets", "experiments/gradients",
        "checkpoints/checkpoint", "signals/geometry")


@dataclass(frozen=True)
class Run:
    """One condition × seed at one scale. `key` names it: the same key means the same outcome.

    episodes: names of those to train on, None for all but `test`. test: names of those to hold out and to be judged
    by, None to draw them from the others as the recipe says. No episode may be in both. first: only so many of the
    file's episodes are read at all; None reads all.
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
        return digest(repr(row.terms), row.predictor, repr(self.seed), self.fingerprint, repr(self.test), repr(start),
                      repr(self.recipe), code_digest(*CODE), version("torch"), default_device())


def plan(conditions: Sequence[str], scale: str, seeds: Sequence[int], path: Path, base: Base, recipe: Recipe,
         episodes: Sequence[str] | None = None, first: int | None = None) -> tuple[list[Run], pd.DataFrame]:
    """The runs to do, seed by seed, and the conditions that this dataset cannot serve: condition, scale, reason.

    conditions: names, as in `lewm_core.conditions`. scale: their label in the results, such as pilot or full.
    path: of the dataset file. episodes: names of those to use, in this order; the runs are those of a file of these
    episodes alone, their split drawn among them. None: all. first: only so many of the file's episodes are read.

    Raises InputError, before anything is trained, for an unknown condition, head or episode, a damaged dataset, no
    seeds, or a dataset on which not even the baseline can be trained.
    """
    names = [condition(name).name for name in dict.fromkeys(conditions)]
    if not seeds or not names:
        raise InputError("sweep", f"{len(names)} conditions × {len(seeds)} seeds", "at least one of each")
    data = dataset.load(path, first)
    if episodes is not None:
        data, episodes = data.select(episodes), tuple(episodes)
    base = replace(base, action_dim=data["action"].shape[1])
    model, _ = base.load(seed=0)
    skipped = unavailable(data, names)
    for name in ("A", *names):
        if name not in skipped:
            check(data, condition(name), model)
    for seed in seeds:
        split_of(data, recipe, seed)  # an InputError if there is too little to hold out
    runs = []
    for seed in seeds:
        for name in names:
            if name not in skipped:
                runs.append(Run(name, scale, seed, str(path), data.fingerprint, base, recipe, episodes, None, first))
    return runs, skipped_table(skipped, scale)


def skipped_table(reasons: Mapping[str, str], scale: str) -> pd.DataFrame:
    """What `unavailable` says, as a table: condition, scale, reason."""
    rows = [(name, scale, reason) for name, reason in reasons.items()]
    return pd.DataFrame(rows, columns=["condition", "scale", "reason"])


def sweep(runs: Iterable[Run], folder: Path, jobs: int | None = None) -> pd.DataFrame:
    """Do what is not done yet and return all results, tidy: condition, scale, seed, split, metric, value, run.

    jobs: parallel processes of one thread each; None: one a core on a CPU, one on a GPU. Finished runs stay on disk
    whatever happens to the others; an error in one run stops the sweep after those under way.
    """
    runs = list(runs)
    left = {run.key: run for run in runs if not is_done(folder, run.key)}
    jobs = jobs or (1 if default_device() == "cuda" else usable_cores())
    with tqdm(total=len(runs), initial=len(runs) - len(left), desc="runs", unit="run", file=sys.stderr, smoothing=0.1,
              mininterval=1) as bar:
        if left:
            _do(list(left.values()), folder, min(jobs, len(left)), bar)
    return pd.DataFrame([row for run in runs for row in rows(run, folder)])


def _do(runs: list[Run], folder: Path, jobs: int, bar: tqdm) -> None:
    """Execute `runs` in processes; `bar` advances as they finish."""
    pool = ProcessPoolExecutor(jobs, get_context("spawn"), _start_worker, (os.getpid(),))
    try:
        for done in as_completed([pool.submit(execute, run, folder) for run in runs]):
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


def _start_worker(parent: int) -> None:
    torch.set_num_threads(1)

    def watch() -> None:  # a killed parent cannot tell its workers
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@lru_cache(maxsize=1)
def _load(path: str, changed: int, first: int | None) -> Data:
    """The dataset file, once a process. changed: when it was, in ns, so that a new one is read anew."""
    return dataset.load(path, first)


def _data(run: Run) -> Data:
    """What the run trains on and is judged by; InputError if that is no longer what was planned with."""
    path = Path(run.dataset)
    changed = path.stat().st_mtime_ns if path.is_file() else 0
    data = run.choose(_load(run.dataset, changed, run.first))
    if data.fingerprint != run.fingerprint:
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
    data = _data(run)
    outcome = train(model, condition(run.condition), data, run.recipe, run.seed, scale, test=run.test, on_step=on_step,
                    probe=gradients.probe)
    temporary = folder / f".{run.key}.{os.getpid()}"
    temporary.mkdir(parents=True, exist_ok=True)
    try:
        _write(temporary, run, data, outcome, started)
        if not is_done(folder, run.key):
            shutil.rmtree(folder / run.key, ignore_errors=True)  # one without a result: not ours, and not whole
            os.replace(temporary, folder / run.key)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
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
    write_json(folder / "result.json", {
        **metadata, "metrics": outcome.metrics, "curve": outcome.curve, "evals": outcome.evals,
        "grad_probes": outcome.grad_probes, "steps": outcome.steps, "windows": outcome.windows,
        "device": default_device(), "duration_s": round(time.time() - started, 2)})


def is_done(folder: Path, key: str) -> bool:
    """Whether the run of that key is finished in `folder`."""
    return (folder / key / "result.json").is_file()


def result(folder: Path, key: str) -> dict:
    """What a finished run recorded of itself."""
    return json.loads((folder / key / "result.json").read_text())


def check_fresh(results: pd.DataFrame, folder: Path, data: Data, made_by: str) -> None:
    """InputError, naming the notebook to run again, if runs of a results table were trained on other data than `data`.

    Otherwise episodes that they were trained on could pass for held out. folder: where the runs are kept. data: the
    episodes that the runs were planned with; for the controls, whose runs each name their own, all of these episodes.
    made_by: the notebook that did the runs.
    """
    stale = [row for row in results.drop_duplicates("run").itertuples() if not _is_fresh(row.run, folder, data)]
    if stale:
        raise InputError(
            f"results of {made_by}",
            f"{len(stale)} of {results['run'].nunique()} runs on other data than the dataset now holds (one: "
            f"{stale[0].condition}, seed {stale[0].seed})", "runs on the dataset in hand",
            f"Run {made_by} again: ./run_all.sh --only {made_by.split('_')[0]} (with the same options).")


def _is_fresh(key: str, folder: Path, data: Data) -> bool:
    if not is_done(folder, key):
        return False
    record = result(folder, key)
    if record["test"] is None:  # its split was drawn from all the episodes that it had
        return record["dataset"] == data.fingerprint
    return trained_on(record, data)


def trained_on(record: Mapping[str, object], data: Data) -> bool:
    """Whether `data` holds, unchanged, the episodes that a run was trained on and judged by.

    record: what it said of itself, in its result or in its checkpoint.
    """
    ids = episodes_of(record)
    if not ids:
        return record.get("dataset") == data.fingerprint
    known = set(data.columns.get("episode_id", ()))
    return known.issuperset(ids) and record.get("dataset") == data.fingerprint_of(ids)


def episodes_of(record: Mapping[str, object]) -> list[str]:
    """The names of the episodes that a run was trained on and judged by; none where it had all of a file."""
    return [*(record.get("episodes") or ()), *(record.get("test") or ())]


def rows(run: Run, folder: Path) -> list[dict]:
    """A finished run's metrics as tidy rows."""
    found = []
    for split, metrics in result(folder, run.key)["metrics"].items():
        for metric, value in metrics.items():
            found.append({"condition": run.condition, "scale": run.scale, "seed": run.seed, "split": split,
                          "metric": metric, "value": value, "run": run.key})
    return found


def curves(results: pd.DataFrame, folder: Path, part: str = "curve") -> pd.DataFrame:
    """What the runs in a results table recorded on the way: condition, scale, seed and the columns of `part`.

    part: curve (epoch, step, one column a loss), evals (step, split, one column a metric) or grad_probes (step, term,
    cosine, ratio and the norms). A run that stands under several scales has its rows under each.
    """
    points = []
    for row in results.drop_duplicates(["run", "scale"]).itertuples():
        of_run = {"condition": row.condition, "scale": row.scale, "seed": row.seed}
        points += [of_run | point for point in result(folder, row.run)[part]]
    return pd.DataFrame(points)


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


