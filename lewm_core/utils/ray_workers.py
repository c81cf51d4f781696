"""Ray: an item is a task of a cluster, or of this machine where there is none. What a lost node was at begins anew.

Only what an item is and what came of it, both small, go through Ray's object store.
"""

import os
import secrets
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lewm_core.utils.elsewhere import Elsewhere, environment
from lewm_core.utils.errors import InputError
from lewm_core.utils.workers import TRIES, Lost, Task, Unusable, Workers
from lewm_core.utils.workspace import ROOT

MOST = 1000  # tasks that Ray is given at a time; which of them begins when, and where, is for Ray to decide
SECONDS = 5.0  # that an address may take to answer
PORT = 6379  # of a cluster's head, where the address names none


class RayWorkers(Workers):
    """Tasks of a Ray cluster. address: as `connect` has it. jobs: how many at a time; 0: as many as the cluster has
    room for. mark: the driver's. gpu: whether each takes a GPU, where the cluster has any."""

    batch = 16

    def __init__(self, address: str, jobs: int, mark: Path, gpu: bool = False):
        super().__init__()
        self._ray, self.room, self._mark = connect(address), jobs or MOST, mark
        # max_calls 0: Ray keeps a process for its next task, and with it what that has loaded (a model, a dataset);
        # with a GPU it would not, unless told
        task = self._ray.remote(max_calls=0)(_do)
        self._task = task.options(num_cpus=1, num_gpus=int(gpu and has_gpu(address)), max_retries=TRIES - 1)

    def begin(self, function: Callable, items: Sequence) -> list[Any]:
        return [self._task.remote(Elsewhere(function, self._mark), item) for item in items]

    def first(self, tasks: Sequence[Task]) -> Task:
        (done,), _ = self._ray.wait([task.handle for task in tasks], num_returns=1)
        return next(task for task in tasks if task.handle == done)

    def outcome(self, handle: Any, name: str) -> Any:
        try:
            return self._ray.get(handle)
        except self._ray.exceptions.RayTaskError as error:  # what the item raises is returned: see `Elsewhere`
            return Unusable("a Ray worker", f"that it cannot begin ({str(error).strip().splitlines()[-1]})",
                            f"the packages of this environment, and {ROOT}, on every node",
                            "Put clone and environment on shared storage, at the same path everywhere.")
        except self._ray.exceptions.RayError as error:
            return Lost(name, f"that its worker was lost {TRIES} times ({type(error).__name__}: "
                        f"{str(error).splitlines()[0]})", "nodes that stay, and enough memory",
                        "The others are not concerned.")

    def may_succeed(self, outcome: Any) -> bool:
        return super().may_succeed(outcome) and not isinstance(outcome, Lost)  # Ray has tried it as often as it may

    def close(self) -> None:
        for task in self.waiting:
            self._ray.cancel(task.handle, force=True)


def _do(work: Elsewhere, item: Any) -> Any:
    return work(item)


def connect(address: str) -> Any:
    """The module `ray`, connected to a cluster, once per process.

    address: HOST[:PORT] of its head, or ray://HOST:PORT; "" is the cluster of this machine (or of RAY_ADDRESS), and
    where there is none a new one of this machine's cores, which ends with this process.
    """
    check(address)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    if ray.is_initialized():
        return ray
    options = {"runtime_env": {"env_vars": environment()}, "log_to_driver": False, "logging_level": "ERROR"}
    try:
        try:
            ray.init(address=_full(address) or "auto", **options)
        except ConnectionError:
            if address or "RAY_ADDRESS" in os.environ:
                raise
            if not (Path.home() / ".ray" / "auth_token").exists():  # or Ray would write one to the home folder
                os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
            ray.init(address="local", include_dashboard=False, **options)
    except Exception as error:  # Ray raises bare Exceptions, too
        raise InputError("--on", f"no Ray cluster at {address or 'this machine'} ({error})",
                         "one that runs, or can be started here", "ray status, on the head, shows whether it runs."
                         ) from None
    return ray


def check(address: str) -> None:
    """InputError for an address at which nothing answers."""
    if not address:
        return
    host, _, port = _full(address).removeprefix("ray://").rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), SECONDS).close()
    except (OSError, ValueError, OverflowError) as error:
        raise InputError("--on", f"ray:{address}, where nothing answers ({error})",
                         "HOST:PORT of a running Ray cluster's head", "ray status, on the head, shows whether it runs."
                         ) from None


def _full(address: str) -> str:
    return f"{address}:{PORT}" if address and ":" not in address else address


def has_gpu(address: str) -> bool:
    """Whether the cluster has a GPU."""
    return connect(address).cluster_resources().get("GPU", 0) > 0
