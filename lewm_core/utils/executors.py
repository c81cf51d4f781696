"""Where many things are done, as `--on` names it: local, ray[:ADDRESS] or slurm[:PARTITION][,NAME=VALUE ...]."""

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout
from importlib.util import find_spec
from pathlib import Path

from lewm_core.utils.errors import InputError

LOCAL = "local"
PACKAGES = {LOCAL: "pebble", "ray": "ray", "slurm": "submitit"}  # what does the work
HELP = "where runs and episodes are worked at: local (default), ray[:ADDRESS] or slurm[:PARTITION][,NAME=VALUE ...]"


def add_option(parser: argparse.ArgumentParser) -> None:
    """The option --on of a command that does many things."""
    parser.add_argument("--on", default=None, metavar="WHERE", help=HELP)


def read(on: str) -> tuple[str, str]:
    """The executor's name and what follows its colon. InputError for an unknown one, or one that is not installed."""
    name, colon, where = on.partition(":")
    if name not in PACKAGES or colon and (not where or name == LOCAL):
        raise InputError("--on", repr(on), "local, ray[:ADDRESS] or slurm[:PARTITION][,NAME=VALUE ...]")
    if find_spec(PACKAGES[name]) is None:
        raise InputError("--on", f"{name}, but the package {PACKAGES[name]} is not installed", "its packages",
                         f"pip install -e '.[{name}]' -c constraints.txt")
    return name, where


def check(on: str) -> None:
    """InputError, before any work, for what cannot be meant, is not installed, or does not answer."""
    name, where = read(on)
    if name == "ray":
        from lewm_core.utils import ray_workers

        ray_workers.check(where)
    if name == "slurm":
        from lewm_core.utils import slurm_workers

        slurm_workers.check(where)


def has_gpu(on: str) -> bool | None:
    """Whether work there is done on a GPU; None: as it is in this process."""
    name, where = read(on)
    if name == LOCAL:
        return None
    if name == "ray":
        from lewm_core.utils import ray_workers

        return ray_workers.has_gpu(where)
    from lewm_core.utils import slurm_workers

    return slurm_workers.has_gpu(where)


@contextmanager
def opened(on: str, jobs: int, folder: Path, gpu: bool = False) -> Iterator:
    """The workers (`workers.Workers`) of an executor.

    jobs: how many at a time; elsewhere than here 0 is as many as there is room for. folder: where the results go; all
    workers must see it. gpu: whether an item needs a GPU, where there are any.
    """
    from lewm_core.utils.marks import driving

    name, where = read(on)
    with driving(folder, on) as mark:
        if name == LOCAL:
            from lewm_core.utils.pool import Pool

            workers = Pool(jobs)
        elif name == "ray":
            from lewm_core.utils.ray_workers import RayWorkers

            workers = RayWorkers(where, jobs, mark, gpu)
        else:
            from lewm_core.utils.slurm_workers import SlurmWorkers

            workers = SlurmWorkers(where, jobs, mark, Path(folder) / ".jobs")
        # Ray tells of lost tasks on stdout, where programs expect results.
        with redirect_stdout(sys.stderr) if name == "ray" else nullcontext(), workers:
            yield workers
