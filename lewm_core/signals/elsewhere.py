"""Signals that workers of other machines make: ids go there, errors come back, the signals lie in the cache folder.

A worker takes many episodes at a time and keeps the models that it has loaded. What is there already is not made again,
so that a lost worker costs the episodes that it was at.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from lewm_core.signals.extraction import Packet, cached
from lewm_core.utils import executors
from lewm_core.utils.errors import InputError
from lewm_core.utils.workers import TRIES

Task = tuple[Any, str, Path, str]  # an episode, as in `pipeline`
Read = Callable[[Task], Packet | InputError]


def results(tasks: Sequence[Task], jobs: int, on: str, read: Read, name: Callable) -> Iterator[Packet | InputError]:
    """`read` of each task, in their order, when its signals have been made elsewhere. Few are in memory at a time.

    on: as `executors` has it. read: makes what is not in the cache. name: of a task.
    """
    spec, _, cache, _ = tasks[0]
    with executors.opened(on, jobs, cache, gpu=bool(spec.backends.learned())) as workers:
        for task, error in workers.map_many(partial(_make, read), tasks, ordered=True, name=name, tries=TRIES):
            if isinstance(error, Exception) and not isinstance(error, InputError):
                raise error
            yield error or read(task)


def _make(read: Read, task: Task) -> InputError | None:
    """Make the signals of an episode that has none yet; its error where it cannot be read."""
    spec, id, cache, fingerprint = task
    there = cached(id, spec.backends, cache, fingerprint, spec.settings) is not None
    found = None if there else read(task)
    return found if isinstance(found, InputError) else None
