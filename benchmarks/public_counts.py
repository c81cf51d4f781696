"""What reading costs a process: time, CPU time, bytes, calls, jumps and memory. Linux only, standard library only.

Bytes and calls are the kernel's own (/proc/self/io): what `read` and its kin returned, from disk or from the operating
system's cache. Jumps are counted from what strace writes: reads that do not begin where the last one of that file
ended. What is mapped into memory appears in none of them.
"""

import os
import re
import time
from collections.abc import Iterable
from pathlib import Path

CALLS = "read,pread64,readv,preadv,lseek,openat,open,close,mmap"
_STATUS, _IO = Path("/proc/self/status"), Path("/proc/self/io")
# pread64(5</data/file>, "..."..., 4096, 8192) = 4096, as `strace -ff -y -s 0` writes it
_LINE = re.compile(r"(\w+)\((?:AT_FDCWD[^,]*, )?(\d+)?(?:<([^>]*)>)?(.*) += (-?\d+)")


def memory(name: str = "VmHWM") -> float:
    """MB: the most that this process has held (VmHWM), or holds (VmRSS, or VmData: without files that are mapped)."""
    return int(re.search(rf"{name}:\s*(\d+) kB", _STATUS.read_text())[1]) / 1024


def forget_peak() -> None:
    """Begin to count VmHWM anew, where the kernel allows it."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        pass


def counted() -> dict[str, float]:
    """wall and cpu (s), bytes and reads of this process so far."""
    io = dict(line.split(": ") for line in _IO.read_text().splitlines())
    return {"wall": time.perf_counter(), "cpu": time.process_time(), "bytes": float(io["rchar"]),
            "reads": float(io["syscr"])}


def since(before: dict[str, float]) -> dict[str, float]:
    """What was added since `counted` gave `before`."""
    return {name: value - before[name] for name, value in counted().items()}


def one_core() -> None:
    """Keep this process and its threads on one core, so that no library is faster by taking several."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def jumps(lines: Iterable[str], folder: str) -> dict[str, int]:
    """From strace's lines, of files in `folder`: calls that read, jumps, and how many files were opened and mapped."""
    found = dict.fromkeys(("calls", "jumps", "opened", "mapped"), 0)
    at: dict[tuple[str, str], int] = {}  # where the next byte of a file is read
    last: dict[tuple[str, str], int] = {}  # where the last read ended
    for line in lines:
        match = _LINE.match(line)
        if match is None or folder not in line:
            continue
        call, number, path, rest, result = match.groups()
        key, size = (number, path), int(result)
        if call in ("open", "openat"):
            found["opened"] += 1
        elif call == "close":
            at.pop(key, None)
            last.pop(key, None)
        elif call == "mmap":
            found["mapped"] += 1
        elif call == "lseek":
            at[key] = size
        elif size > 0:
            positioned = call in ("pread64", "preadv")
            start = int(rest.rsplit(", ", 1)[1].split(")")[0]) if positioned else at.get(key, 0)
            found["calls"] += 1
            found["jumps"] += start != last.get(key, 0)
            last[key] = start + size
            if not positioned:
                at[key] = start + size
    return found
