"""Slurm, through submitit: an item is a job, many are a job array. What they return lies in a folder that is shared.

A job that is preempted, or that comes to its time limit, goes back to the queue (at most three times for the limit).
"""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lewm_core.utils.elsewhere import Elsewhere, environment
from lewm_core.utils.errors import InputError
from lewm_core.utils.provenance import usable_cores
from lewm_core.utils.workers import Lost, Task, Workers

LARGEST = 1000  # jobs of an array: what Slurm allows where nobody changed it
LOCAL = "local"  # in place of a partition: processes of this machine, to try it
MINUTES = 240  # that a job may take, unless timeout_min says otherwise
EXPECTED = "slurm[:PARTITION][,NAME=VALUE ...] with the names of submitit's AutoExecutor"


class SlurmWorkers(Workers):
    """Jobs of a partition. where: what follows `slurm:`. jobs: how many at a time; 0: as many as the cluster allows.

    mark: the driver's. folder: of what jobs are given and what they return, on shared storage.
    """

    batch = 256

    def __init__(self, where: str, jobs: int, mark: Path, folder: Path):
        super().__init__()
        self._local = partition(where) == LOCAL
        self.room = (jobs or usable_cores()) if self._local else LARGEST
        self._mark, self._executor = mark, executor(where, folder, jobs)

    def begin(self, function: Callable, items: Sequence) -> list[Any]:
        from submitit.helpers import environment_variables

        with environment_variables(**environment()):  # which jobs inherit
            return self._executor.map_array(Elsewhere(function, self._mark), items) if items else []

    def first(self, tasks: Sequence[Task]) -> Task:
        from submitit.helpers import as_completed

        done = next(as_completed([task.handle for task in tasks], poll_frequency=0.2 if self._local else 5))
        return next(task for task in tasks if task.handle is done)

    def outcome(self, handle: Any, name: str) -> Any:
        from submitit.core.utils import FailedJobError, UncompletedJobError

        try:
            return handle.result()
        except (FailedJobError, UncompletedJobError) as error:
            return Lost(name, f"that its job {handle.job_id} ended without a result ({error})",
                        "a job that ends by itself", f"Its log: {handle.paths.stderr}")

    def close(self) -> None:
        for task in self.waiting:
            if not task.handle.done():
                task.handle.cancel(check=False)


def partition(where: str) -> str:
    """The partition in what follows `slurm:`; empty for the cluster's default."""
    return where.split(",")[0]


def options(where: str) -> dict[str, int | str]:
    """What submitit is told: the partition and each NAME=VALUE in what follows `slurm:`."""
    found: dict[str, int | str] = {"timeout_min": MINUTES, "cpus_per_task": 1, "name": "lewm"}
    name, *others = where.split(",")
    if name and name != LOCAL:
        found["slurm_partition"] = name
    for text in others:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise InputError("--on", f"slurm:{where}", EXPECTED, f"{text!r} is no NAME=VALUE.")
        found[name] = int(value) if value.isdecimal() else value
    return found


def has_gpu(where: str) -> bool:
    """Whether jobs are given a GPU."""
    asked = options(where)
    return any(asked.get(name) for name in ("gpus_per_node", "slurm_gpus_per_task", "slurm_num_gpus")) or (
        "gpu" in str(asked.get("slurm_gres", "")))


def check(where: str) -> None:
    """InputError for options that submitit does not know, or a machine without Slurm."""
    with tempfile.TemporaryDirectory() as folder:
        executor(where, Path(folder), 0)


def executor(where: str, folder: Path, jobs: int) -> Any:
    """submitit's executor with these options."""
    from submitit import AutoExecutor

    asked, local = options(where), partition(where) == LOCAL
    try:
        made = AutoExecutor(folder, cluster=LOCAL if local else "slurm")
        if jobs:
            asked["slurm_array_parallelism"] = jobs
        made.update_parameters(**asked)
    except RuntimeError as error:
        raise InputError("--on", f"slurm on a machine without it ({error})", "Slurm's commands (sbatch, srun, sacct)",
                         f"Call it on a login node, or try --on slurm:{LOCAL}.") from None
    except (NameError, AssertionError, ValueError, TypeError) as error:
        raise InputError("--on", f"slurm:{where} ({error})", EXPECTED) from None
    return made
