"""Many runs: conditions × seeds, in parallel processes, each finished run kept and never repeated."""

import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from lewm_core.checkpoints import checkpoint
from lewm_core.conditions import condition, unavailable
from lewm_core.config import Recipe
from lewm_core.dataset import Data
from lewm_core.dataset.frames import ActionScale
from lewm_core.experiments import attempts
from lewm_core.experiments.base import Base
from lewm_core.experiments.draws import Episodes
from lewm_core.experiments.run import RESULT, Run, is_done, load_once, result, trained_on
from lewm_core.model import LeWM
from lewm_core.train import check, default_device, split_of
from lewm_core.utils import executors
from lewm_core.utils.errors import InputError
from lewm_core.utils.progress import bar
from lewm_core.utils.provenance import usable_cores

OfSeed = Callable[[int], Episodes]  # seed -> what its runs train on and are judged by


def everything(seed: int) -> Episodes:
    """All of the file, for every seed."""
    return Episodes()


def plan(conditions: Sequence[str], scale: str, seeds: Sequence[int], path: Path, base: Base, recipe: Recipe,
         episodes: OfSeed = everything, first: int | None = None) -> tuple[list[Run], pd.DataFrame]:
    """The runs to do, seed by seed, and the conditions that this dataset cannot serve: condition, scale, reason.

    conditions: names, as in `lewm_core.conditions`. scale: their label in the results, such as pilot or full.
    path: of the dataset file. episodes: those of each seed, which all its conditions share; the runs are those of a
    file of these episodes alone, in that order. first: only so many of the file's episodes are read.

    Raises InputError, before anything is trained, for an unknown condition, head or episode, a damaged dataset, no
    seeds, or a dataset on which not even the baseline can be trained.
    """
    names = [condition(name).name for name in dict.fromkeys(conditions)]
    if not seeds or not names:
        raise InputError("sweep", f"{len(names)} conditions × {len(seeds)} seeds", "at least one of each")
    data = load_once(path, first)
    base = replace(base, action_dim=data["action"].shape[1])
    model, _ = base.load(seed=0)
    skipped = unavailable(data, names)
    for name in ("A", *names):
        if name not in skipped:
            check(data, condition(name), model)
    small = without_frames(data)
    runs = []
    for seed in seeds:
        own = episodes(seed)
        fingerprint = data.fingerprint_of(own.all) if own.all else data.fingerprint
        planned = [Run(name, scale, seed, str(path), fingerprint, base, recipe, own.train, own.test, first)
                   for name in names if name not in skipped]
        for run in planned[:1]:  # they share it
            split_of(run.choose(small), recipe, seed, own.test)  # an InputError if there is too little to hold out
        runs += planned
    return runs, skipped_table(skipped, scale)


def without_frames(data: Data) -> Data:
    """The same episodes without pixels and signals: enough to select and to split, and quickly copied."""
    kept = ("ep_len", "ep_offset", "episode_id", "action")
    return replace(data, columns={name: data[name] for name in kept if name in data.columns})


def skipped_table(reasons: Mapping[str, str], scale: str) -> pd.DataFrame:
    """What `unavailable` says, as a table: condition, scale, reason."""
    rows = [(name, scale, reason) for name, reason in reasons.items()]
    return pd.DataFrame(rows, columns=["condition", "scale", "reason"])


def placed(runs: Iterable[Run], on: str) -> list[Run]:
    """The runs as they are done where `on` says: with a GPU or without, which is part of what names them."""
    gpu = executors.has_gpu(on)
    return list(runs) if gpu is None else [replace(run, device="cuda" if gpu else "cpu") for run in runs]


def asked(runs: Iterable[Run]) -> pd.DataFrame:
    """Which runs a study asks for: condition, scale, seed, run. `python -m lewm_core status` compares it with what is
    there."""
    return pd.DataFrame([(run.condition, run.scale, run.seed, run.key) for run in runs],
                        columns=["condition", "scale", "seed", "run"])


def sweep(runs: Iterable[Run], folder: Path, jobs: int = 0, on: str = executors.LOCAL) -> pd.DataFrame:
    """Do what is not done yet and return all results, tidy: condition, scale, seed, split, metric, value, run.

    jobs: how many at a time, of one thread each; 0: on this machine one a core, or one on a GPU; elsewhere as many as
    there is room for. on: where, as `executors` has it. Finished runs stay on disk whatever happens to the others. A
    run that fails costs itself alone: where not bad input is the cause it is begun three times; the sweep ends with an
    InputError that names it and its log, and the same call does what is left.
    """
    runs = list(runs)
    left = {}
    for run in runs:
        if not is_done(folder, run.key):
            shutil.rmtree(folder / run.key, ignore_errors=True)  # a damaged one; at once: another driver may make it
            left[run.key] = run
    if on == executors.LOCAL:
        jobs = min(jobs or (1 if default_device() == "cuda" else usable_cores()), len(left))
    with bar(desc="runs", unit="run", total=len(runs), initial=len(runs) - len(left), delay=0) as shown:
        if left:
            attempts.do(list(left.values()), folder, jobs, on, shown)
    return pd.DataFrame([row for run in runs for row in rows(run, folder)])


def check_fresh(results: pd.DataFrame, folder: Path, data: Data, made_by: str, episodes: OfSeed | None = None) -> None:
    """InputError, naming the notebook to run again, if runs of a results table had other episodes than they would now.

    Otherwise episodes that they were trained on could pass for held out. folder: where the runs are kept. data: all
    that they may have had. episodes: those of each seed, as in `plan`; None for the controls, whose runs each name
    their own. made_by: the notebook that did the runs.
    """
    stale = [row for row in results.drop_duplicates("run").itertuples()
             if not _is_fresh(row.run, folder, data, episodes and episodes(row.seed))]
    if stale:
        raise InputError(
            f"results of {made_by}",
            f"{len(stale)} of {results['run'].nunique()} runs on other data than the dataset now holds (one: "
            f"{stale[0].condition}, seed {stale[0].seed})", "runs on the dataset in hand",
            f"Run {made_by} again: ./run_all.sh --only {made_by.split('_')[0]} (with the same options).")


def _is_fresh(key: str, folder: Path, data: Data, wanted: Episodes | None) -> bool:
    if not (folder / key / RESULT).is_file():
        return False
    record = result(folder, key)
    had = Episodes(*(record[part] and tuple(record[part]) for part in ("episodes", "test")))
    return trained_on(record, data) and wanted in (None, had)


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


def load_model(results: pd.DataFrame, folder: Path, name: str, seed: int) -> tuple[LeWM, ActionScale]:
    """A finished run's model, in eval mode, and its action scale, by condition and seed."""
    found = results[(results["condition"] == name) & (results["seed"] == seed)]
    if found.empty:
        raise InputError("results", f"no run of condition {name} with seed {seed}",
                         "one of " + ", ".join(results["condition"].unique()))
    run = found["run"].iloc[0]
    if condition(name).predictor == "patch":
        raise InputError(f"run {run}", f"the patch-aware predictor of {name}", "a model that reads latents only",
                         "It can neither be rolled out nor written in the public format.")
    model, metadata = checkpoint.load(folder / run / "model.safetensors")
    return model, ActionScale(**metadata["action_scale"])


