"""Marks of who is at work in a folder: hidden files that a living process touches, whatever machine it is on.

A driver (whoever hands out the work) marks the folder that it works in. The same file tells a worker on another machine
that it sees that folder, and which code it should have.
"""

import json
import os
import platform
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path

from lewm_core.utils.errors import InputError
from lewm_core.utils.files import write_json
from lewm_core.utils.provenance import PACKAGE, code_digest
from lewm_core.utils.temporary import is_left, temporary_name
from lewm_core.utils.workers import Unusable

EVERY = 15.0  # seconds between two touches
SILENT = 120.0  # seconds after which a mark counts as left by a process that is gone; clocks may differ by that much
LEFT = 900.0  # likewise for workers, which do not begin anything for a driver that is gone
SEEN = 60.0  # seconds that a file on shared storage may take to be seen by another machine
DRIVER, RUNNING = "driver", "running"


@contextmanager
def marked(path: Path, content: Mapping[str, object]) -> Iterator[Path]:
    """A new hidden file beside `path` with this content, touched while the block runs and removed after it."""
    mark, over = temporary_name(path), threading.Event()
    write_json(mark, content)

    def touch() -> None:
        while not over.wait(EVERY):
            with suppress(OSError):  # somebody removed it, or the storage is away for a while
                mark.touch()

    threading.Thread(target=touch, daemon=True).start()
    try:
        yield mark
    finally:
        over.set()
        mark.unlink(missing_ok=True)


def is_alive(mark: Path, silent: float = SILENT) -> bool:
    """Whether the process that made a mark is at work: it was touched of late, and its process is not known to be gone.
    """
    try:
        return time.time() - mark.stat().st_mtime < silent and not is_left(mark.name)
    except FileNotFoundError:
        return False


def living(folder: Path, kind: str) -> list[Path]:
    """The marks of that kind in a folder whose processes are at work; kind: DRIVER or RUNNING."""
    ending = ".json" if kind == DRIVER else f".{RUNNING}"
    start = f".{DRIVER}." if kind == DRIVER else "."
    return [path for path in sorted(Path(folder).glob(f"{start}*{ending}")) if is_alive(path)]


@contextmanager
def driving(folder: Path, on: str) -> Iterator[Path]:
    """Mark this process as a driver of the work in a folder; yields the mark. on: where the work is done.

    InputError where a driver with other code is at work there.
    """
    folder, code = Path(folder), code_digest()
    for other in living(folder, DRIVER):
        theirs = content(other).get("code", code)
        if theirs != code:
            raise InputError(folder, f"another driver at work there, whose code is not the same (digest {theirs})",
                             f"drivers with the code that this one has ({code})",
                             "Wait for it, or give another --output.")
    try:
        with marked(folder / f"{DRIVER}.json", {"code": code, "on": on}) as mark:
            yield mark
    finally:
        for left in folder.glob(f".*.{RUNNING}"):
            if not is_alive(left, LEFT):
                left.unlink(missing_ok=True)


def content(mark: Path) -> dict:
    """What a mark says; empty where it is gone, or of another program."""
    try:
        found = json.loads(mark.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def check_driver(mark: Path) -> None:
    """Unusable where this process does not see the driver's mark, has other code, or would work for nobody."""
    here = f"a worker on {platform.node()}"
    if not until_seen(mark, 5.0):
        raise Unusable(here, f"no {mark.name} in {mark.parent}, which the driver wrote there",
                       "a folder on storage that all machines share, and a driver at work",
                       "Give --output DIR on shared storage, at the same path everywhere.")
    theirs = content(mark).get("code")
    if theirs != _code():
        raise Unusable(here, f"code of {PACKAGE} that is not the driver's (digest {_code()}, not {theirs})",
                       "the same code everywhere", "Put the clone on shared storage, or update it on that machine.")
    if not is_alive(mark, LEFT):
        raise Unusable(here, f"that its driver has not touched {mark} for {LEFT / 60:.0f} minutes",
                       "a driver at work", "Give the same command again; and compare the machines' clocks.")


@lru_cache(maxsize=1)
def _code() -> str:
    return code_digest()


def until_seen(path: Path, seconds: float = SEEN) -> bool:
    """Whether a file is there, waiting for it: what another machine wrote may be seen late on shared storage."""
    end = time.monotonic() + seconds
    while not path.is_file():
        if time.monotonic() > end:
            return False
        with suppress(OSError):
            os.listdir(path.parent)  # asks the server anew
        time.sleep(0.5)
    return True
