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
        chunks = [tasks[i : i + workers.batch] for i in range(0, len(tasks), workers.batch)]
        made = workers.map(partial(_make, read), chunks, ordered=True, name=lambda chunk: name(chunk[0]), tries=TRIES)
        for chunk, errors in made:
            if isinstance(errors, Exception) and not isinstance(errors, InputError):
                raise errors
            if isinstance(errors, InputError):  # the worker died of one of them
                errors = [errors] * len(chunk)
            for task, error in zip(chunk, errors, strict=True):
                yield error or read(task)


def _make(read: Read, tasks: Sequence[Task]) -> list[InputError | None]:
    """Make the signals of episodes that have none yet; for each the error where it cannot be read."""
    errors = []
    for task in tasks:
        spec, id, cache, fingerprint = task
        there = cached(id, spec.backends, cache, fingerprint, spec.settings) is not None
        found = None if there else read(task)
        errors.append(found if isinstance(found, InputError) else None)
    return errors
