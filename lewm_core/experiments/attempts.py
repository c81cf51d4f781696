"""Doing runs, wherever: each is marked while it is under way, and leaves a log where it fails.

In the folder of runs: `.KEY.PROCESS.running` while a run is under way, `failed/KEY.log` where the last attempt failed.
"""

import os
import platform
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from tqdm import tqdm

from lewm_core.experiments.run import RESULT, Run, execute
from lewm_core.train import default_device
from lewm_core.utils.errors import InputError
from lewm_core.utils.executors import opened
from lewm_core.utils.files import FullDisk, replacing
from lewm_core.utils.marks import RUNNING, marked, until_seen
from lewm_core.utils.temporary import sweep as sweep_left
from lewm_core.utils.workers import TRIES, Unusable, trace

FAILED = "failed"  # folder of logs, in the folder of runs

_spoilt = False  # whether a run of this process failed on its GPU, which may have left that unusable to the next


def do(runs: Sequence[Run], folder: Path, jobs: int, on: str, shown: tqdm) -> None:
    """Execute `runs`; the bar `shown` advances as they finish. One that fails stops none of the others, unless the disk
    is full. InputError, after the last, for those that failed."""
    failed: list[Exception] = []
    with opened(on, jobs, folder, gpu=any(run.device == "cuda" for run in runs)) as workers:
        for run, outcome in workers.map(partial(attempt, folder=folder), runs, name=name, tries=TRIES):
            log = folder / FAILED / f"{run.key}.log"
            if isinstance(outcome, FullDisk):
                raise outcome
            if isinstance(outcome, Exception):
                failed.append(outcome)
                _write(log, f"{name(run)}\n{trace(outcome)}")
            else:
                until_seen(folder / run.key / RESULT)
                log.unlink(missing_ok=True)
            shown.set_postfix_str(name(run), refresh=False)
            shown.update()
    sweep_left(folder, deep=False)  # of processes that were lost
    if failed:
        raise _error(failed, len(runs), folder / FAILED)


def attempt(run: Run, folder: Path) -> None:
    """Execute a run in this process, and mark it as under way meanwhile."""
    global _spoilt
    if run.device and run.device != default_device():
        raise Unusable(f"a worker on {platform.node()}", f"the device {default_device()}",
                       f"{run.device}, with which the runs were planned",
                       "Let its machines have what the others have, or give a partition of one kind.")
    if _spoilt:
        os._exit(1)  # the run is begun anew in another process
    with marked(folder / f"{run.key}.{RUNNING}", {"run": name(run)}):
        try:
            execute(run, folder)
        except Exception as error:
            _spoilt = default_device() == "cuda" and not isinstance(error, InputError)
            raise


def name(run: Run) -> str:
    """What a run is called in messages."""
    return f"{run.condition} seed {run.seed}"


def _error(failed: list[Exception], n: int, logs: Path) -> Exception:
    """What a sweep ends with."""
    first = failed[0]
    if not isinstance(first, InputError):
        first = InputError("a run", f"{type(first).__name__}: {first}", "none that fails")
    return InputError(first.where, f"{first.found} ({len(failed)} of {n} runs failed; logs: {logs})", first.expected,
                      f"{first.remedy} The same command does what is left.".strip())


def _write(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text)
