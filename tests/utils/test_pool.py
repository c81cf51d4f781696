"""The pool: order, what a dying worker costs, what an interrupt stops, and that no worker outlives its parent."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from lewm_core.utils import pool
from lewm_core.utils.errors import InputError
from lewm_core.utils.pool import Lost, Pool, apart, limited

ROOT = Path(__file__).resolve().parents[2]


def work(item):
    """What a worker of these tests does of a word and a number."""
    kind, number = item
    if kind == "slow":
        time.sleep(number)
    elif kind == "segfault":
        ctypes.string_at(0)
    elif kind == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    elif kind == "endless":
        with limited(0.2):
            number = 7 ** 20_000_000  # minutes in native code, while nobody else may run
    elif kind == "error":
        raise InputError("a file", "this", "that")
    elif kind == "foreign":
        raise Unpicklable(1, 2)
    return os.getpid(), number


class Unpicklable(Exception):
    def __init__(self, one, two):
        super().__init__("both")


BAD = [("segfault", 1), ("fine", 2), ("killed", 3), ("endless", 4), ("error", 5), ("foreign", 6), ("fine", 7)]


def test_a_death_costs_one_item_and_says_whose_it_was():
    with Pool(2) as workers:
        found = dict(workers.map(work, BAD, name=lambda item: f"file {item[1]}"))
    assert list(found) != [] and set(found) == set(BAD)
    assert [found["fine", n][1] for n in (2, 7)] == [2, 7]
    for item, cause in ((("segfault", 1), "signal SIGSEGV"), (("killed", 3), "no memory left"),
                        (("endless", 4), "computed longer than 60 s")):
        assert isinstance(found[item], Lost) and found[item].where == f"file {item[1]}"
        assert cause in str(found[item])
    assert type(found["error", 5]) is InputError and found["error", 5].where == "a file"
    assert isinstance(found["foreign", 6], RuntimeError) and "Unpicklable: both" in str(found["foreign", 6])


def test_results_come_in_order_or_as_they_are_done_and_few_are_ahead():
    items, taken = [("slow", 0.6), ("slow", 0.01), *(("fine", n) for n in range(6))], []

    def asked():
        for item in items:
            taken.append(item)
            yield item

    with Pool(2) as workers:
        list(workers.map(work, [("fine", 0)] * 4))  # both have begun
        in_order = workers.map(work, asked(), ordered=True, ahead=1)
        assert next(in_order)[0] == items[0] and len(taken) == 3
        assert [item for item, _ in in_order] == items[1:] and taken == items
        as_they_come = [item for item, _ in workers.map(work, items)]
        assert as_they_come[-1] == items[0] and sorted(as_they_come) == sorted(items)
        assert len({pid for _, (pid, _) in workers.map(work, [("slow", 0.1)] * 4)}) == 2


def threads(_):
    import cv2
    import torch

    return cv2.getNumThreads(), torch.get_num_threads()


@pytest.mark.slow
def test_a_worker_has_one_thread():
    with Pool(1) as workers:
        (_, found), = workers.map(threads, [0])
    assert found == (1, 1)


def test_workers_that_cannot_begin_are_an_error(monkeypatch):
    monkeypatch.setattr(pool, "_begin", "no function")
    with pytest.raises(InputError, match="worker processes: found that they died"), Pool(1) as workers:
        list(workers.map(work, [("fine", 1)]))


def test_one_call_apart():
    here, first = os.getpid(), apart(work, ("fine", 1), name="x")
    assert first[0] != here and apart(work, ("fine", 2), name="x") == (first[0], 2)  # kept
    with pytest.raises(InputError, match="a file"):
        apart(work, ("error", 1), name="x")
    with pytest.raises(Lost, match="episode 7: .*SIGSEGV"):
        apart(work, ("segfault", 1), name="episode 7")
    again = apart(work, ("fine", 3), name="x")
    os.kill(again[0], signal.SIGKILL)  # while it does nothing
    time.sleep(0.5)
    assert apart(work, ("fine", 4), name="x")[1] == 4


def test_the_limit_does_not_end_this_process():
    with limited(0.001):
        end = time.process_time() + 0.05
        while time.process_time() < end:
            pass


CODE = """
import signal
from lewm_core.utils.pool import Pool
from tests.utils.test_pool import work

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job starts with it ignored
    with Pool(2) as workers:
        for _, (pid, number) in workers.map(work, [("fine", 0), ("fine", 1), ("slow", 300), ("slow", 300)]):
            print(pid, flush=True)
"""


@pytest.mark.parametrize("signal_", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupt_stops_at_once_and_no_worker_outlives_its_parent(tmp_path, signal_):
    (tmp_path / "main.py").write_text(CODE)
    parent = subprocess.Popen([sys.executable, tmp_path / "main.py"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              env={**os.environ, "PYTHONPATH": str(ROOT)})
    for _ in range(2):
        assert parent.stdout.readline()
    workers = psutil.Process(parent.pid).children(recursive=True)
    start = time.monotonic()
    parent.send_signal(signal_)
    errors = parent.communicate()[1].decode()
    gone, alive = psutil.wait_procs(workers, 20)
    assert len(workers) >= 2 and not alive and time.monotonic() - start < 20
    assert ("KeyboardInterrupt" in errors) == (signal_ == signal.SIGINT) and errors.count("Traceback") <= 1
