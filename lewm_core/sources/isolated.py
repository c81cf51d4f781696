"""A source of files of strangers, read in a process of its own: a parser that dies takes one episode with it.

A worker of a pool is such a process already, and reads by itself.
"""

from collections.abc import Callable, Iterator
from functools import cached_property, partial
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any

from lewm_core.sources.episode import Episode, EpisodeInfo, Source
from lewm_core.utils import pool
from lewm_core.utils.errors import InputError, OnError, foreign
from lewm_core.utils.files import digest
from lewm_core.utils.pool import apart, limited

_OPEN = 4  # sources that are held open in a process: as many as there are cameras
_sources: dict[tuple, Source] = {}


class Isolated:
    """The first `n` episodes (0: all) of a source that a module opens, itself a Source.

    Args:
        opener: the module, and the name of what opens the source in it.
        n: how many episodes; another number is another fingerprint.
        arguments: of the opener.

    Raises:
        InputError: what the source raises. Whatever else a reader of a file may raise is one, too.
    """

    def __init__(self, opener: tuple[str, str], n: int, *arguments: Any):
        self._opened, self._where, self.n = (*opener, *arguments), str(arguments[0]), n
        self.name, self.cameras, self.held = self._ask(_describe, self._where)

    def _ask(self, function: Callable, where: str, *arguments: Any) -> Any:
        return apart(partial(_guarded, function, where, self._opened), *arguments, name=where)

    @cached_property
    def fingerprint(self) -> str:
        """The source's, and the number of its episodes where they are not all."""
        whole = self._ask(_fingerprint, self._where)
        return digest(whole, str(self.n)) if self.n else whole

    def infos(self, on_error: OnError | None = None, cache: Path | None = None) -> Iterator[EpisodeInfo]:
        """As the source has it, but all are read before the first is there."""
        for found in self._ask(_infos, self._where, self.n, on_error is None, cache):
            if isinstance(found, EpisodeInfo):
                yield found
            else:
                on_error(*found)

    def load(self, id: str) -> Episode:
        """The episode of that id. InputError: what the source raises; `Lost` where the reader dies of the episode."""
        return self._ask(_load, f"episode {id} of {self._where}", id)


def _source(opened: tuple, anew: bool = False) -> Source:
    """The source, opened once in this process; `anew`: once more, since the files may have changed."""
    if anew or opened not in _sources:
        _sources.pop(opened, None)
        while len(_sources) >= _OPEN:
            _sources.pop(next(iter(_sources)))
        module, opener, *arguments = opened
        _sources[opened] = getattr(import_module(module), opener)(*arguments)
    return _sources[opened]


def _guarded(function: Callable, where: str, opened: tuple, *arguments: Any) -> Any:
    with foreign(where):
        return function(opened, *arguments)


def _describe(opened: tuple) -> tuple[str, int, tuple[str, ...]]:
    with limited(pool.SECONDS):
        source = _source(opened, anew=True)
    return source.name, source.cameras, getattr(source, "held", ())


def _fingerprint(opened: tuple) -> str:
    return _source(opened).fingerprint


def _infos(opened: tuple, n: int, strict: bool, cache: Path | None) -> list[EpisodeInfo | tuple[str, InputError]]:
    """The metadata, and between them the ids and errors of what cannot be read; `strict`: the first one is raised."""
    found: list[EpisodeInfo | tuple[str, InputError]] = []
    infos = _source(opened).infos(None if strict else lambda *bad: found.append(bad), cache)
    for info in islice(infos, n or None):
        found.append(info)
    return found


def _load(opened: tuple, id: str) -> Episode:
    with limited(pool.SECONDS):
        return _source(opened).load(id)
