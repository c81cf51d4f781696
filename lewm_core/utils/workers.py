"""Whoever does many things at a time: one `map`, whatever does them (`pool`, `ray_workers`, `slurm_workers`)."""

import pickle
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

from lewm_core.utils.errors import InputError

TRIES = 3  # how often what must not fail is begun before its failure counts
BEGIN_ANEW = object()  # an outcome: nothing came of any item under way, and no item is to blame


class Lost(InputError):
    """An item whose worker process died, or was ended by `limited`. The other items are not concerned."""


class Unusable(InputError):
    """A place where nothing can be done: it does not share the folder, or has other code. It stops everything."""


@dataclass(eq=False)
class Task:
    """An item under way. handle: what its worker knows it by. tries: how often it may be begun, this time included."""

    item: Any
    handle: Any
    tries: int


class Workers(ABC):
    """Workers as long as the `with` block: leaving it stops what is not done.

    room: how many items they are given at a time. batch: how many things of a second or so one item should hold, so
    that beginning it costs little beside them.
    """

    room: int
    batch = 1

    def __init__(self):
        self.waiting: list[Task] = []

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def map(self, function: Callable[[Any], Any], items: Iterable, ordered: bool = False, ahead: int = 0,
            name: Callable[[Any], str] = str, tries: int = 1) -> Iterator[tuple[Any, Any]]:
        """(item, what `function` made of it, or the Exception that it raised or died of: `Lost`), as they come.

        `items` are taken as workers become free. Nothing is raised for an item: whoever asks decides what it costs.

        Args:
            ordered: in the order of `items`.
            ahead: how many results may wait for whoever consumes them, besides `room`.
            name: what an item is called where its worker died.
            tries: how often an item is begun before its failure is told. Bad input, an InputError, is told at once.

        Raises:
            Unusable: an item came to a place where nothing can be done.
        """
        items, waiting = iter(items), []
        self.waiting = waiting
        while True:
            taken = list(islice(items, max(0, self.room + ahead - len(waiting))))
            waiting += [Task(item, handle, tries) for item, handle in
                        zip(taken, self.begin(function, taken), strict=True)]
            if not waiting:
                return
            task = waiting[0] if ordered else self.first(waiting)
            outcome = self.outcome(task.handle, name(task.item))
            if isinstance(outcome, Unusable):
                raise outcome
            if outcome is BEGIN_ANEW:
                handles = self.begin(function, [task.item for task in waiting])
                for task, handle in zip(waiting, handles, strict=True):
                    task.handle = handle
            elif task.tries > 1 and self.may_succeed(outcome):
                task.tries -= 1
                (task.handle,) = self.begin(function, [task.item])
            else:
                waiting.remove(task)
                yield task.item, outcome

    def map_many(self, function: Callable[[Any], Any], items: Iterable, ordered: bool = False,
                 name: Callable[[Any], str] = str, tries: int = 1) -> Iterator[tuple[Any, Any]]:
        """`map` for many things of a second or so: workers take `batch` of them at a time, and lose as many."""
        items = list(items)
        batches = [items[i : i + self.batch] for i in range(0, len(items), self.batch)]
        found = self.map(partial(_each, function), batches, ordered=ordered, name=lambda batch: name(batch[0]),
                         tries=tries)
        for batch, outcomes in found:
            if isinstance(outcomes, Exception):
                outcomes = [outcomes] * len(batch)
            yield from zip(batch, outcomes, strict=True)

    @abstractmethod
    def begin(self, function: Callable, items: Sequence) -> list[Any]:
        """Hand items to workers; what each is known by from then on."""

    @abstractmethod
    def first(self, tasks: Sequence[Task]) -> Task:
        """Wait until at least one task is done, and return such a one."""

    @abstractmethod
    def outcome(self, handle: Any, name: str) -> Any:
        """Wait for an item; what came of it, an Exception where it failed, or BEGIN_ANEW. name: of the item."""

    @abstractmethod
    def close(self) -> None:
        """Stop what is under way."""

    def may_succeed(self, outcome: Any) -> bool:
        """Whether an item with this outcome may have another one when it is begun again."""
        return isinstance(outcome, Lost) or isinstance(outcome, Exception) and not isinstance(outcome, InputError)


def _each(function: Callable, items: Sequence) -> list[Any]:
    """What `function` makes of each item, or the Exception that it raises."""
    found = []
    for item in items:
        try:
            found.append(function(item))
        except Exception as error:  # of whatever the caller does: it is told, as `map` tells it
            found.append(portable(error))
    return found


def portable(error: Exception) -> Exception:
    """An exception that can travel to another process: itself where it can."""
    try:
        pickle.loads(pickle.dumps(error))
        return error
    except Exception:  # a foreign exception may fail in any way
        return RuntimeError(f"{type(error).__name__}: {error}")


def trace(error: BaseException) -> str:
    """Where an exception came from, in another process, too."""
    return "".join(traceback.format_exception(error))
