"""A case in a process of its own: one damaged input, given to what a user would call, and what became of it.

The process that judges has imported everything and started no thread; it forks for each case, so that a case costs
milliseconds and a crash costs nothing.
"""

import ctypes
import json
import os
import re
import resource
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Iterable, Iterator
from multiprocessing.context import _concrete_contexts
from pathlib import Path

from lewm_core.utils.errors import InputError
from tests.fuzz.cases import MEMORY, SECONDS, Damage, Found, Place, Task, Verdict, generator
from tests.fuzz.outcomes import outcome

PATIENCE = 900  # s by the clock, on a machine that is busy with something else
_ADDRESSES, _DISK = 3 * MEMORY, 2 * 2**30  # hard limits, which keep the machine safe


def judge(tasks: Iterable[Task], scratch: Path, jobs: int, seconds: float = SECONDS) -> Iterator[Verdict]:
    """The verdict of each task, as they end. seconds: of work, or of waiting, that a task may take."""
    tasks, running = iter(tasks), {}
    while True:
        while len(running) < jobs and (task := next(tasks, None)) is not None:
            pid, place = _start(task, scratch)
            running[pid] = task, place, _Watch(pid, seconds), _memory(os.getpid())
        if not running:
            return
        for pid in list(running):
            task, place, watch, before = running[pid]
            ended, status, usage = os.wait4(pid, os.WNOHANG)
            lasted = time.monotonic() - watch.began
            hung = not ended and watch.hangs()
            if not ended and not hung:
                continue
            _kill_group(pid)
            if hung:
                os.wait4(pid, 0)
            del running[pid]
            yield _verdict(task, place, lasted, hung, status, usage.ru_maxrss * 1024 - before if ended else 0)
            shutil.rmtree(place.root, ignore_errors=True)
        time.sleep(0.01)


def _start(task: Task, scratch: Path) -> tuple[int, Place]:
    place = Place(scratch / f"{task.case.kind}-{task.case.number}-{task.case.door}", generator(task.case))
    shutil.rmtree(place.root, ignore_errors=True)
    for folder in (place.work, place.outside):
        folder.mkdir(parents=True)
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        try:
            _child(task, place)
        finally:
            os._exit(1)
    return pid, place


def _child(task: Task, place: Place) -> None:
    _concrete_contexts["spawn"] = _concrete_contexts["fork"]  # workers need not import again what is imported
    os.setsid()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    with open(place.root / "output", "wb") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    os.chdir(place.work)
    shutil.copytree(task.pristine, place.folder, symlinks=True)
    try:
        damage = task.mutate(place)
    except Exception:
        (place.root / "report.json").write_text(json.dumps({"broken": traceback.format_exc()}))
        os._exit(0)
    (place.root / "damage.json").write_text(json.dumps(damage))
    watch = _watch(place.outside)
    for what, most in ((resource.RLIMIT_AS, _memory(os.getpid(), "VmSize") + _ADDRESSES),
                       (resource.RLIMIT_FSIZE, _DISK), (resource.RLIMIT_CORE, 0)):
        resource.setrlimit(what, (most, most))
    report: dict[str, object] = {"traceback": ""}
    try:
        found = task.door(place.folder, place.work)
    except InputError as error:
        found = Found({}, {"": str(error)})
    except BaseException:
        found = Found({}, {})
        report["traceback"] = traceback.format_exc()
    report |= {"values": found.values, "errors": found.errors, "opened": _opened(watch)}
    (place.root / "report.json").write_text(json.dumps(report))
    os._exit(0)


def _verdict(task: Task, place: Place, seconds: float, hung: bool, status: int, growth: int) -> Verdict:
    damage, report = _read(place.root / "damage.json", ["?", [], False]), _read(place.root / "report.json", None)
    what, detail = outcome(task, place, Damage(*damage), report, growth)
    if hung:
        what, detail = "hang", f"after {seconds:.0f} s"
    elif what == "crash":
        output = (place.root / "output").read_text(errors="replace")[-1000:]
        detail = f"signal {os.WTERMSIG(status)}, status {os.WEXITSTATUS(status)}: {output}"
    return Verdict(task.case, what, damage[0], detail, round(seconds, 2), (report or {}).get("values", {}))


def _read(path: Path, default: object) -> object:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return default


def _memory(pid: int, what: str = "VmRSS") -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(what))


class _Watch:
    """Tells whether a case hangs: it has worked for too long, or nothing of it has worked for as long."""

    def __init__(self, pid: int, most: float):
        self.pid, self.most, self.worked = pid, most, 0.0
        self.began = self.since = self.looked = time.monotonic()

    def hangs(self) -> bool:
        now = time.monotonic()
        if now - self.looked < 1:
            return False
        self.looked = now
        worked, waiting = _group(self.pid)
        if worked > self.worked or not waiting:
            self.worked, self.since = worked, now
        return worked > self.most or now - self.since > self.most or now - self.began > PATIENCE


def _group(pid: int) -> tuple[float, bool]:
    """Seconds of work of all processes of a group, and whether all of them wait."""
    ticks, waiting = 0, True
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == pid:
            ticks += sum(map(int, fields[11:15]))
            waiting &= fields[0] not in "RD"
    return ticks / os.sysconf("SC_CLK_TCK"), waiting


def _kill_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def _watch(folder: Path) -> int:
    """An inotify handle that notes whatever is opened in `folder`, by whichever library."""
    libc = ctypes.CDLL(None)
    watch = libc.inotify_init1(os.O_NONBLOCK)
    libc.inotify_add_watch(watch, str(folder).encode(), 0x20)
    return watch


def _opened(watch: int) -> str:
    """The names that a watch has seen opened."""
    try:
        events = os.read(watch, 4096)
    except BlockingIOError:
        return ""
    return " ".join(sorted({name.decode() for name in re.findall(rb"[\w.-]{4,}", events)})) or "the folder itself"
