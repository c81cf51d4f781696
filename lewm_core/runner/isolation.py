"""A run keeps to itself: one at a time in an output folder, nothing in the home folder, no process left behind."""

import fcntl
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from lewm_core.utils.errors import InputError
from lewm_core.utils.temporary import sweep
from lewm_core.utils.workspace import ROOT, Workspace, relative

PRIVATE = {  # environment variable -> folder of what would otherwise be written to the home folder
    "JUPYTER_CONFIG_DIR": "config",
    "JUPYTER_DATA_DIR": "data",
    "JUPYTER_RUNTIME_DIR": "runtime",
    "IPYTHONDIR": "ipython",
    "MPLCONFIGDIR": "matplotlib",
}


@contextmanager
def isolated(place: Workspace) -> Iterator[None]:
    """Lock the output folder, keep Jupyter's, IPython's and Matplotlib's files in it, and handle signals.

    What killed runs left half-written in the folders is removed first.
    SIGINT, SIGTERM and SIGHUP end every process that was started here and raise KeyboardInterrupt.
    Raises InputError where another run holds the lock.
    """
    place.jupyter.mkdir(parents=True, exist_ok=True)
    with _locked(place), _environment(place.jupyter), _signals():
        for folder in (place.output, place.figures):
            sweep(folder)
        yield


@contextmanager
def _locked(place: Workspace) -> Iterator[None]:
    with open(place.jupyter / "lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            remedy = "Wait for it, or choose another --output."
            raise InputError(relative(place.output), "another run at work there", "no other", remedy) from None
        except OSError as error:  # some network drives have no locks
            print(f"{relative(place.output)} cannot be locked ({error.strerror}): make sure that no other run is at "
                  "work there.", file=sys.stderr)
        yield


@contextmanager
def _environment(home: Path) -> Iterator[None]:
    """Set what the notebooks' processes inherit, and restore it afterwards."""
    values = {name: str(home / folder) for name, folder in PRIVATE.items()}
    values["TQDM_NCOLS"] = "64"  # a sweep's bar, with its estimate, fits into a terminal's status line
    values["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _signals() -> Iterator[None]:
    """On SIGINT, SIGTERM or SIGHUP kill what was started here and raise KeyboardInterrupt."""
    handled = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # as nohup sets it
        handled.append(signal.SIGHUP)

    def interrupt(signum: int, frame: object) -> None:
        for s in handled:
            signal.signal(s, signal.SIG_IGN)
        _kill_descendants()
        raise KeyboardInterrupt

    before = {s: signal.signal(s, interrupt) for s in handled}
    try:
        yield
    finally:
        for s, handler in before.items():
            signal.signal(s, handler)


def _kill_descendants() -> None:
    """Kill the processes started here and theirs; a kernel leads a process group."""
    children = psutil.Process().children()
    grandchildren = [g for child in children for g in child.children(recursive=True)]
    for process in (*children, *grandchildren):
        with suppress(OSError, psutil.Error):
            os.killpg(process.pid, signal.SIGKILL)
        with suppress(psutil.Error):
            process.kill()
