"""`python -m lewm_core extract`: the signals of a dataset's episodes, made in parallel, written to a copy of it."""

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path

from lewm_core.conditions import CONDITIONS, unavailable
from lewm_core.dataset import contract, trial
from lewm_core.dataset.extending import extend
from lewm_core.dataset.source import OWN_SIZE
from lewm_core.runner.arguments import check_writable
from lewm_core.runner.inspection import need_file
from lewm_core.signals.backends import check, on_gpu
from lewm_core.signals.extraction import Signals, cached, extract_once
from lewm_core.signals.held import FILE
from lewm_core.signals.pipeline import SourceSpec
from lewm_core.utils import executors
from lewm_core.utils.errors import InputError
from lewm_core.utils.pool import apart
from lewm_core.utils.progress import bar
from lewm_core.utils.provenance import usable_cores


def extract(name: str, target: Path, weights: str, named: Mapping[str, str], jobs: int = 0,
            on: str = executors.LOCAL) -> dict[str, object]:
    """Write `target`, a copy of the dataset `name` with signals; returns a report.

    named: signal -> backend, "" where none is named: then the file's own is kept, and else the data's default made.
    on: where episodes are worked at, as `executors` has it.
    The signals are first kept beside the target, one file an episode, so that a call that was cut goes on; they go when
    the target is there. InputError: a bad file or option, before any work; an episode whose signals cannot be made.
    """
    executors.check(on)
    spec = _spec(name, target, weights, named)
    folder = target.absolute().with_name(f".{target.name}.signals")
    ids = [info.id for info in spec.open().infos()]
    fingerprint = spec.open().fingerprint
    _make(spec, ids, folder, fingerprint, jobs, on)
    about = {"extracted": {"fingerprint": fingerprint, "backends": asdict(spec.backends)}}
    apart(_write, spec, ids, folder, fingerprint, target.absolute(), about, name=str(target))
    shutil.rmtree(folder)
    outline = contract.outline(target)
    absent = unavailable(outline)
    return {"written": str(target), "episodes": len(ids), "frames": int(outline.lengths.sum()),
            "made by": outline.made["made_by"], "not made": outline.made["missing"],
            "serves conditions": [c for c in CONDITIONS if c not in absent], "cannot serve": absent}


def _spec(name: str, target: Path, weights: str, named: Mapping[str, str]) -> SourceSpec:
    """The checked options as a source, whose frames keep their size."""
    need_file(name)
    if target.suffix not in (".h5", ".hdf5"):
        raise InputError("--to", str(target), "a file ending in .h5")
    if target.exists():
        raise InputError(target, "something there already", "a path that is free")
    check_writable(target, "--to", file=True)
    if weights and not Path(weights).is_dir():
        raise InputError("--weights", weights, "a folder that exists")
    if problems := trial.validate(name):
        raise InputError(name, "; ".join(problems), "a dataset that keeps the contract")
    backends = {f"{signal}_backend": backend for signal, backend in named.items()}
    spec = SourceSpec("hdf5", 0, 0, OWN_SIZE, str(Path(name).absolute()), **backends,
                      weights=weights and str(Path(weights).absolute()))
    check(spec.backends, spec.settings)
    if set(spec.backends.named().values()) <= {FILE}:
        why = " ".join(f"{signal}: {reason}" for signal, reason in spec.why.items())
        raise InputError(name, f"no signal that is to be made ({why})", "at least one",
                         "Name a backend to make one anew, such as --tracks classical.")
    return spec


def _make(spec: SourceSpec, ids: list[str], folder: Path, fingerprint: str, jobs: int, on: str) -> None:
    """Keep the signals of all episodes in the folder; after the last, one InputError for those that cannot be made."""
    left = [id for id in ids if cached(id, spec.backends, folder, fingerprint, spec.settings) is None]
    if on == executors.LOCAL:
        jobs = 1 if on_gpu(spec.backends, spec.settings) else min(jobs or usable_cores(), max(1, len(left)))
    one = partial(_extract, spec, folder, fingerprint)
    failed = []
    with bar(desc="episodes", unit="episode", total=len(ids), initial=len(ids) - len(left), delay=0) as shown:
        for outcome in _outcomes(one, left, jobs, on, folder, bool(spec.backends.learned())):
            shown.update()
            if isinstance(outcome, InputError):
                failed.append(outcome)
            elif isinstance(outcome, Exception):
                raise outcome
    if failed:
        raise InputError(spec.data_path, f"{len(failed)} of {len(ids)} episodes whose signals cannot be made",
                         "all of them", f"The first: {failed[0]} The others are kept.")


def _outcomes(one: partial, ids: list[str], jobs: int, on: str, folder: Path, gpu: bool) -> Iterator[Exception | None]:
    if (on, jobs) == (executors.LOCAL, 1):
        yield from map(one, ids)
        return
    with executors.opened(on, jobs, folder, gpu) as workers:
        yield from (outcome for _, outcome in workers.map_many(one, ids))


def _extract(spec: SourceSpec, folder: Path, fingerprint: str, id: str) -> InputError | None:
    """Make and keep the signals of one episode; its error where that fails."""
    try:
        extract_once(spec.open().load(id), spec.backends, folder, fingerprint, spec.settings)
    except InputError as error:
        return error
    return None


def _write(spec: SourceSpec, ids: list[str], folder: Path, fingerprint: str, target: Path,
           about: dict[str, object]) -> None:
    extend(Path(spec.data_path), target, map(partial(_kept, spec, folder, fingerprint), ids), **about)


def _kept(spec: SourceSpec, folder: Path, fingerprint: str, id: str) -> Signals:
    found = cached(id, spec.backends, folder, fingerprint, spec.settings)
    return found or extract_once(spec.open().load(id), spec.backends, folder, fingerprint, spec.settings)
