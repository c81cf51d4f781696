"""Finished runs and checkpoints as a person names them, held comparable: at each scale they may differ in their
condition and seed, and runs of a seed in nothing but their condition.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from lewm_core.checkpoints import checkpoint, hub
from lewm_core.conditions import ALL, NONE
from lewm_core.dataset import Data
from lewm_core.experiments.evaluate import evaluate_checkpoint
from lewm_core.experiments.run import RESULT, check_whole, result
from lewm_core.utils import sealed
from lewm_core.utils.errors import InputError
from lewm_core.utils.files import digest
from lewm_core.utils.progress import bar
from lewm_core.utils.workspace import ROOT, SCALES, Workspace, relative

NEEDED = ("condition", "scale", "seed", "dataset", "base", "base_hash", "recipe")
OF_ALL, OF_SEED = ("base", "base_hash"), ("dataset", "episodes", "test", "windows", "steps")
NAME = re.compile(r"[\w+,.'% /()-]{1,100}")  # of a condition or a scale: it stands in figures
MOST_TOLD = 6  # differences in an error


@dataclass(frozen=True)
class Found:
    """A finished run or an evaluated checkpoint. name: where it lies. key: the same for the same run. scale: the label
    that its study gave it. record: what it says of itself; its metrics by split, {metric: value}."""

    name: str
    key: str
    scale: str
    record: Mapping

    @property
    def condition(self) -> str:
        return self.record["condition"]

    @property
    def seed(self) -> int:
        return self.record["seed"]

    def __str__(self) -> str:
        return f"{self.condition} seed {self.seed} ({self.name})"


def gather(names: Sequence[str], data: Data | None = None) -> list[Found]:
    """The runs that `names` name, each once: run folders, whole study folders (runs/NAME, or NAME), and, where there is
    `data` to evaluate them on, checkpoints.

    data: runs are then evaluated on it as well, instead of taking what they recorded. InputError for what is neither,
    unfinished or damaged, for a run that is there twice, and for runs that are not comparable (`check`).
    """
    found: dict[tuple, Found] = {}
    every = (one for name in names for one in _of(name, data))
    for one in bar(every, "evaluated", "run", disable=data is None):
        same = found.setdefault((one.scale, one.condition, one.seed), one)
        if same.key != one.key:
            raise InputError(f"condition {one.condition}, scale {one.scale}, seed {one.seed}",
                             f"two runs, {same.name} and {one.name}", "one", "Leave one of them out.")
    check(list(found.values()))
    return list(found.values())


def _of(name: str, data: Data | None) -> Iterator[Found]:
    """The runs that one name stands for."""
    study = _study(name)
    if study is not None:
        for scale, key in _listed(study):
            yield _found(study.runs, key, scale, data)
    elif (Path(name) / RESULT).is_file():
        folder = Path(name).resolve()
        yield _found(folder.parent, folder.name, None, data)
    elif data is None:
        raise InputError(name, "neither a finished run (no result.json in it) nor a finished study (no "
                         "results_pilot.csv or results_full.csv)", "finished runs, or studies of them",
                         "Wait for it, or, if it is a checkpoint, give --data FILE to evaluate it on.")
    else:
        files = hub.find(name)
        record = checkpoint.load(name)[1]
        yield Found(name, digest(str(files.weights.resolve())), *_evaluated(name, record, None, data))


def _study(name: str) -> Workspace | None:
    """The folders of a study, by its folder or its name under runs/."""
    for folder in (Path(name), ROOT / "runs" / name):
        place = Workspace.of_run("", output=folder)
        if any(place.results(scale).is_file() for scale in SCALES):
            return place
    return None


def _listed(study: Workspace) -> Iterator[tuple[str, str]]:
    """Scale and key of every run in a study's tables of results."""
    for scale in SCALES:
        path = study.results(scale)
        if path.is_file():
            try:
                table = pd.read_csv(sealed.check(path), usecols=["scale", "run"], dtype=str)
            except ValueError as error:  # of pandas: another table, or none
                raise InputError(path, f"no table of results ({error})", "what a study wrote") from None
            yield from table.dropna().drop_duplicates().itertuples(index=False, name=None)


def _found(folder: Path, key: str, scale: str | None, data: Data | None) -> Found:
    where = relative(folder / key)
    if not (folder / key / RESULT).is_file():
        raise InputError(where, f"no {RESULT}", "a finished run",
                         "It is unfinished, or was removed: ./run_all.sh with the same options makes it again.")
    check_whole(folder, key)
    record = result(folder, key)
    if data is not None:
        return Found(where, key, *_evaluated(str(folder / key), record, scale, data))
    _check_record(where, record, (*NEEDED, "steps", "metrics"))
    return Found(where, key, scale or record["scale"], record)


def _evaluated(name: str, record: Mapping, scale: str | None, data: Data) -> tuple[str, dict]:
    """The scale of a checkpoint and what it says of itself, with its metrics on `data`."""
    _check_record(name, record)
    report = evaluate_checkpoint(name, data)
    return scale or record["scale"], {**record, "metrics": report["metrics"], "windows": report["windows"]}


def _check_record(where: str, record: Mapping, needed: Sequence[str] = NEEDED) -> None:
    """InputError for a record that does not say what runs are compared by, in the form that ours have."""
    odd = [name for name in needed if type(record.get(name)) is not checkpoint.RECORDS[name]]
    odd += [name for name in ("condition", "scale") if name not in odd and not NAME.fullmatch(record[name])]
    if "metrics" in needed and "metrics" not in odd and not _are_numbers(record["metrics"]):
        odd.append("metrics")
    if odd:
        raise InputError(where, f"no record of its {', '.join(odd)}", "a run of ours, or a checkpoint of one",
                         "Runs are paired by condition and seed, and must share data and recipe: without these "
                         "records nothing can be said of a difference.")


def _are_numbers(metrics: Mapping) -> bool:
    return all(isinstance(of, dict) and all(type(value) in (int, float) for value in of.values())
               for of in metrics.values())


def check(runs: Sequence[Found]) -> None:
    """One InputError with what differs between runs that are to differ in their condition alone: at a scale base and
    recipe, of a seed also the data, its split and the optimizer steps (of which the base as it is takes none)."""
    told = []
    for scale in dict.fromkeys(run.scale for run in runs):
        own = sorted((run for run in runs if run.scale == scale), key=_untouched)
        first_of: dict[int, Found] = {}
        for run in own:
            told += [f"{run}: {fact}, but {other} of {own[0]}" for fact, other in _differences(run, own[0], OF_ALL)]
            paired = first_of.setdefault(run.seed, run)
            told += [f"{run}: {fact}, but {other} of {paired}" for fact, other in _differences(run, paired, OF_SEED)]
    if told:
        more = f"; and {len(told) - MOST_TOLD} more" if len(told) > MOST_TOLD else ""
        raise InputError("runs to compare", "; ".join(told[:MOST_TOLD]) + more,
                         "the same base and recipe, and for each seed the same data, split and steps",
                         "Compare runs of one study, or train the others with its data and recipe.")


def _differences(run: Found, other: Found, names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """What differs between two runs: the run's own, and the other's."""
    here, there = (_facts(one, names) for one in (run, other))
    for name in here.keys() & there.keys():
        if here[name] != there[name]:
            long = isinstance(here[name], list | dict) or isinstance(there[name], list | dict)
            yield (f"other {name}", "those") if long else (f"{name} {here[name]}", f"{there[name]}")


def _facts(run: Found, names: Sequence[str]) -> dict[str, object]:
    facts = {name: run.record.get(name) for name in names}
    if "base" in names:
        facts |= {f"recipe's {name}": value for name, value in run.record["recipe"].items()}
    if _untouched(run) or facts.get("steps") is None:
        facts.pop("steps", None)
    return facts


def _untouched(run: Found) -> bool:
    """Whether it is the base as it is, which takes no optimizer steps."""
    return run.condition in ALL and ALL[run.condition].training == NONE


def results(runs: Sequence[Found]) -> pd.DataFrame:
    """The runs' metrics, tidy: condition, scale, seed, split, metric, value, run."""
    rows = [(run.condition, run.scale, run.seed, split, metric, value, run.key) for run in runs
            for split, metrics in run.record["metrics"].items() for metric, value in metrics.items()]
    return pd.DataFrame(rows, columns=["condition", "scale", "seed", "split", "metric", "value", "run"])
