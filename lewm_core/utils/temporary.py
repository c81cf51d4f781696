"""Names of what is not finished yet, and removing what killed processes left of it."""

import hashlib
import os
import platform
import re
import shutil
import time
from functools import lru_cache
from itertools import count
from pathlib import Path

# .NAME.PID-MACHINE-NUMBER.SUFFIX; a name without a machine is of this one
NAME = re.compile(r"\..+\.(?P<pid>[0-9]{1,7})(-(?P<machine>[0-9a-f]{6})-[0-9]+)?(\.[^.]+)?")
DAY = 86400.0  # seconds
_numbers = count()


def temporary_name(path: Path) -> Path:
    """A new hidden name beside `path` that tells which process of which machine made it, for `sweep`."""
    return path.with_name(f".{path.stem}.{os.getpid()}-{_machine()}-{next(_numbers)}{path.suffix}")


def sweep(folder: str | Path, of: str = "", deep: bool = True) -> list[Path]:
    """Remove what killed processes left half-written in a folder; returns what was removed. Of other machines, that is
    what nothing has touched for a day.

    of: only what was to become the file or folder of this name. deep: also in the folders inside.
    """
    found = []
    for place, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            if (not of or name.startswith(f".{Path(of).stem}.")) and (is_left(name) or _is_old(Path(place, name))):
                found.append(Path(place, name))
        folders[:] = [name for name in folders if deep and Path(place, name) not in found]
    for path in found:
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
    return found


def is_left(name: str) -> bool:
    """Whether this is a temporary name whose process is gone."""
    parts = NAME.fullmatch(name)
    if not parts or parts["machine"] not in (None, _machine()):
        return False
    import psutil  # not above: the command line's --help needs the standard library alone

    try:
        return psutil.Process(int(parts["pid"])).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
    except (psutil.Error, OverflowError):  # somebody else's, so there is one
        return False


def _is_old(path: Path) -> bool:
    """Whether this is a temporary name of another machine that was not touched for a day."""
    parts = NAME.fullmatch(path.name)
    if not parts or parts["machine"] in (None, _machine()):
        return False
    try:
        return time.time() - path.stat().st_mtime > DAY
    except OSError:
        return False


@lru_cache(maxsize=1)
def _machine() -> str:
    return hashlib.sha256(platform.node().encode()).hexdigest()[:6]
