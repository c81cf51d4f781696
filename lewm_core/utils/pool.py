"""Worker processes: the one pool for what is done in parallel, and for what could take its process with it.

A worker has one thread and ends with its parent. A worker that dies costs the item that it was at, and no other.
"""

import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from multiprocessing.context import SpawnContext, SpawnProcess
from pathlib import Path
from typing import Any

from pebble import ProcessExpired, ProcessPool

from lewm_core.utils.errors import InputError
from lewm_core.utils.workers import BEGIN_ANEW, Lost, Task, Workers, portable

SECONDS = 60  # of computing that one thing of strangers may take: ten times what an hour of video at 5 Hz does
ONE_THREAD = dict.fromkeys(  # environment variables
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OPENCV_FOR_THREADS_NUM"), "1")
_BROKEN = 3  # times that a pool may lose workers that were at no item, before it gives up
_working = False  # whether this process is a worker


class _Process(SpawnProcess):
    """A process that does not run the caller's script again, as it would otherwise: nothing that it does stands there,
    and a script without the usual guard would start processes without end."""

    def start(self) -> None:
        main = sys.modules["__main__"]
        spec, file = getattr(main, "__spec__", None), main.__dict__.pop("__file__", None)
        main.__spec__ = None
        try:
            super().start()
        finally:
            main.__spec__ = spec
            if file is not None:
                main.__file__ = file


class _Spawn(SpawnContext):
    Process = _Process


class Pool(Workers):
    """So many (`jobs`) processes of one thread each on this machine, as long as the `with` block."""

    def __init__(self, jobs: int):
        super().__init__()
        self.room, self._breaks = jobs, 0
        self._open()

    def _open(self) -> None:
        # spawn: a fork of a process with threads (a notebook kernel, torch) can hang
        self._processes = ProcessPool(self.room, initializer=_begin, initargs=(os.getpid(),), context=_Spawn())

    def close(self) -> None:
        """Stop the workers, whatever they are at."""
        self._processes.stop()
        self._processes.join()

    def begin(self, function: Callable, items: Sequence) -> list[Future]:
        if items and not self._processes.active:
            self._mend()
        return [self._processes.schedule(_call, (function, item)) for item in items]

    def first(self, tasks: Sequence[Task]) -> Task:
        done = wait([task.handle for task in tasks], return_when=FIRST_COMPLETED).done
        return next(task for task in tasks if task.handle in done)

    def outcome(self, handle: Future, name: str) -> Any:
        try:
            found = _outcome(handle, name)
        except BrokenProcessPool:  # a worker died that was at nothing
            self._mend()
            return BEGIN_ANEW
        self._breaks = 0
        return found

    def _mend(self) -> None:
        self._breaks += 1
        self.close()
        if self._breaks > _BROKEN:
            raise InputError("worker processes", f"that they died {_BROKEN} times before they began",
                             "processes that start", "Is there enough memory? What they wrote to stderr may tell.")
        self._open()


def _outcome(future: Future, name: str) -> Any:
    try:
        return future.result()
    except ProcessExpired as died:
        return Lost(name, f"that its worker process died ({_cause(died.exitcode)})",
                    "data that can be read, and enough memory", "The others are not concerned.")
    except BrokenProcessPool:
        raise
    except Exception as error:
        return error


def _cause(exitcode: int) -> str:
    """Why a process ended, from its exit code."""
    if exitcode == -signal.SIGPROF:
        return f"it computed longer than {SECONDS} s, the limit"
    if exitcode == -signal.SIGKILL:
        return "it was killed: most likely the machine had no memory left"
    if exitcode < 0:
        return f"signal {signal.Signals(-exitcode).name}"
    return f"exit code {exitcode}"


def _begin(parent: int) -> None:
    """What a worker does first."""
    global _working
    _working = True
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # ends it even while it is in native code
    one_thread()

    def watch() -> None:  # a killed parent cannot tell its workers
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def one_thread() -> None:
    """One thread for this process: in what it will import, and in what it has imported."""
    os.environ.update(ONE_THREAD)
    for module, function in (("torch", "set_num_threads"), ("cv2", "setNumThreads")):
        if module in sys.modules:
            getattr(sys.modules[module], function)(1)


def _call(function: Callable, item: Any) -> Any:
    """`function` of an item; an exception that could not travel back becomes one that can."""
    try:
        return function(item)
    except Exception as error:
        sent = portable(error)
        if sent is error:
            raise
        raise sent from None


def working() -> bool:
    """Whether this process is a worker."""
    return _working


@contextmanager
def limited(seconds: float | None = None, memory: int | None = None) -> Iterator[None]:
    """A worker that computes longer than this is ended, also in native code, and has no more memory than this to take.

    Elsewhere nothing happens. What takes no less than the memory that is left fails: most often in a MemoryError.

    seconds: of computing, so that a slow disk is not taken for an endless loop. memory: bytes beyond what it has now.
    """
    if not working():
        yield
        return
    before = _limit_memory(memory) if memory is not None else None
    if seconds is not None:
        signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        if seconds is not None:
            signal.setitimer(signal.ITIMER_PROF, 0)
        if before is not None:
            resource.setrlimit(resource.RLIMIT_DATA, before)


def _limit_memory(more: int) -> tuple[int, int] | None:
    """Allow `more` bytes of memory than are in use; what was allowed before. None where Linux does not tell."""
    try:
        status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
        used = int(status["VmData"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return None
    _, hard = before = resource.getrlimit(resource.RLIMIT_DATA)
    most = used + more
    resource.setrlimit(resource.RLIMIT_DATA, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
    return before


_apart: tuple[list[str], Pool] | None = None  # the process of `apart`, and from where it was started: folder, imports


def apart(function: Callable, *arguments: Any, name: str) -> Any:
    """`function(*arguments)` in one process beside this one, which is kept for the next call; a worker does it itself.

    What it raises is raised; `Lost` with the name where the process died.
    """
    global _apart
    if working():
        return function(*arguments)
    here = [os.getcwd(), *sys.path]
    if _apart is not None and _apart[0] != here:
        _apart[1].close()
        _apart = None
    if _apart is None:
        _apart = here, Pool(1)
    try:
        (_, outcome), = _apart[1].map(partial(_spread, function), [arguments], name=lambda _: name)
    except BaseException:  # an interrupt: it is not waited for
        _apart[1].close()
        _apart = None
        raise
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def _spread(function: Callable, arguments: tuple) -> Any:
    return function(*arguments)
