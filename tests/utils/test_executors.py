"""Where many things are done: what `--on` may say, and that each kind of workers keeps what `map` promises."""

import os
import socket
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from lewm_core.runner import commands
from lewm_core.utils import executors, ray_workers
from lewm_core.utils.elsewhere import Elsewhere
from lewm_core.utils.errors import InputError
from lewm_core.utils.marks import driving
from lewm_core.utils.workers import Lost, Unusable

slurm = pytest.mark.skipif(find_spec("submitit") is None, reason="the extra slurm (submitit) is not installed")
ray = pytest.mark.skipif(find_spec("ray") is None, reason="the extra ray is not installed")


@pytest.mark.parametrize("on", ["", "cloud", "local:2", "ray:", "slurm:", "Ray", "ray;x"])
def test_an_unknown_executor_is_one_error(on):
    with pytest.raises(InputError, match="--on: found .*local, ray.*slurm"):
        executors.check(on)


@pytest.mark.parametrize("name", ["ray", "slurm"])
def test_an_absent_extra_is_named(monkeypatch, name):
    monkeypatch.setattr(executors, "find_spec", lambda package: None)
    with pytest.raises(InputError, match=rf"not installed.*pip install -e '.\[{name}\]'"):
        executors.check(name)


@ray
def test_an_address_where_nothing_answers_is_told_at_once():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    start = time.monotonic()
    for address in (f"127.0.0.1:{port}", f"ray://127.0.0.1:{port}", "127.0.0.1:99999", "127.0.0.1:x", "no.such.host"):
        with pytest.raises(InputError, match="where nothing answers.*HOST:PORT"):
            executors.check(f"ray:{address}")
    assert time.monotonic() - start < 60


@slurm
def test_options_of_slurm_are_those_of_submitit(monkeypatch):
    from lewm_core.utils import slurm_workers

    found = slurm_workers.options("gpu,timeout_min=90,slurm_account=lab")
    assert found == {"timeout_min": 90, "cpus_per_task": 1, "name": "lewm", "slurm_partition": "gpu",
                     "slurm_account": "lab"}
    assert executors.has_gpu("slurm:gpu,gpus_per_node=1") and executors.has_gpu("slurm:gpu,slurm_gres=gpu:a100:1")
    assert executors.has_gpu("slurm:gpu") is False and executors.has_gpu("local") is None
    executors.check("slurm:local")
    for on, message in (("slurm:local,colour=red", "colour"), ("slurm:local,timeout_min=soon", "timeout_min"),
                        ("slurm:gpu,x", "no NAME=VALUE")):
        with pytest.raises(InputError, match=message):
            executors.check(on)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(InputError, match="slurm on a machine without it.*slurm:local"):
        executors.check("slurm")


def test_many_small_things_are_one_task(fake, tmp_path):
    with driving(tmp_path, "ray") as mark, ray_workers.RayWorkers("", 0, mark) as workers:
        found = dict(workers.map_many(double, range(20), ordered=True))
    assert len(fake.begun) == 2 and list(found) == list(range(20))
    assert [found[n] for n in (0, 12, 19)] == [0, 24, 38]
    assert isinstance(found[13], InputError) and isinstance(found[14], ZeroDivisionError)


def double(number):
    """An item of these tests. 13 is bad input, 14 a fault of the program."""
    if number == 13:
        raise InputError("number", "13", "another")
    if number == 14:
        raise ZeroDivisionError("14")
    return 2 * number


def test_an_item_elsewhere_says_what_it_raised_and_where(tmp_path):
    with driving(tmp_path, "ray") as mark:
        work = Elsewhere(double, mark)
        assert work(4) == 8 and isinstance(work(13), InputError)
        assert "in double" in work(14).__notes__[0]
    assert isinstance(Elsewhere(double, mark)(4), Unusable)  # its driver has ended


class FakeRay:
    """What RayWorkers uses of Ray; an item in `dying` kills its worker as often as it is begun."""

    class exceptions:  # noqa: N801
        RayError = type("RayError", (Exception,), {})
        RayTaskError = type("RayTaskError", (RayError,), {})
        WorkerCrashedError = type("WorkerCrashedError", (RayError,), {})

    def __init__(self, dying=()):
        self.dying, self.begun, self.cancelled, self.given = dying, [], [], {}

    def remote(self, **given):
        self.given |= given
        return lambda function: SimpleNamespace(options=lambda **more: self.given.update(more) or SimpleNamespace(
            remote=lambda *arguments: self._begin(function, *arguments)))

    def _begin(self, function, work, item):
        self.begun.append(item)
        return function, work, item, len(self.begun)

    def wait(self, handles, num_returns):
        return [handles[-1]], handles[:-1]  # the last first

    def get(self, handle):
        function, work, item, _ = handle
        if item in list(self.dying):
            raise self.exceptions.WorkerCrashedError("The worker died.")
        if work == "unreadable":
            raise self.exceptions.RayTaskError("Traceback\nModuleNotFoundError: No module named 'lewm_core'")
        return function(work, item)

    def cancel(self, handle, force):
        self.cancelled.append(handle[2])

    def cluster_resources(self):
        return {"CPU": 4.0, "GPU": 1.0}


@pytest.fixture
def fake(monkeypatch):
    found = FakeRay(dying={5})
    monkeypatch.setattr(ray_workers, "connect", lambda address: found)
    return found


def test_ray_begins_again_what_may_succeed_and_not_what_it_has_tried_itself(fake, tmp_path):
    with driving(tmp_path, "ray") as mark, ray_workers.RayWorkers("", 2, mark, gpu=True) as workers:
        found = dict(workers.map(double, [1, 13, 14, 5, 2], tries=3, name="item {}".format))
    assert fake.given == {"max_calls": 0, "num_cpus": 1, "num_gpus": 1, "max_retries": 2}
    assert (found[1], found[2]) == (2, 4) and isinstance(found[13], InputError)
    assert isinstance(found[14], ZeroDivisionError) and fake.begun.count(14) == 3
    assert isinstance(found[5], Lost) and fake.begun.count(5) == 1 and "item 5: " in str(found[5])


def test_ray_results_come_in_order_where_asked_and_the_rest_is_cancelled(fake, tmp_path):
    with driving(tmp_path, "ray") as mark:
        with ray_workers.RayWorkers("", 0, mark) as workers:
            assert [item for item, _ in workers.map(double, [3, 1, 2], ordered=True)] == [3, 1, 2]
            assert next(iter(workers.map(double, [3, 1, 2]))) == (2, 4)
    assert fake.cancelled == [3, 1]


def test_a_node_without_the_code_stops_everything(fake, tmp_path, monkeypatch):
    monkeypatch.setattr(ray_workers, "Elsewhere", lambda *_: "unreadable")
    with driving(tmp_path, "ray") as mark, ray_workers.RayWorkers("", 0, mark) as workers:
        with pytest.raises(Unusable, match="No module named 'lewm_core'.*shared storage"):
            list(workers.map(double, [1, 2]))


@pytest.mark.slow
@ray
def test_a_ray_of_this_machine(tmp_path):
    """The real thing, in a process of its own; nothing is written to the home folder."""
    code = f"""
import sys; sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from pathlib import Path
from lewm_core.utils import executors
from tests.utils.test_pool import work
with executors.opened("ray", 2, Path({str(tmp_path / "runs")!r})) as workers:
    items = [("fine", 1), ("error", 2), ("killed", 3), ("foreign", 4)]
    found = {{item: type(outcome).__name__ for item, outcome in workers.map(work, items, tries=2)}}
print([found[item] for item in items])
"""
    home = tmp_path / "home"
    home.mkdir()
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, "HOME": str(home)}, capture_output=True,
                          text=True, timeout=280)
    if "timed out during startup" in done.stderr:
        pytest.skip("Ray gives its processes 15 s to start, and this machine is too busy for that")
    own = [line for line in done.stdout.splitlines() if "(raylet)" not in line]  # it may tell of a loss afterwards
    assert own == ["['tuple', 'InputError', 'Lost', 'RuntimeError']"], done.stderr
    assert not list(home.iterdir())


def preempted(path):
    """An item that waits for ever the first time and ends the second time."""
    if path.exists():
        return os.getpid()
    path.write_text(str(os.getpid()))
    time.sleep(300)


@pytest.mark.slow
@slurm
def test_a_preempted_job_of_slurm_begins_anew(tmp_path):
    import signal
    import threading

    begun = tmp_path / "begun"

    def preempt():
        while not begun.exists() or not begun.read_text():
            time.sleep(0.1)
        psutil.Process(int(begun.read_text())).send_signal(signal.SIGUSR2)

    threading.Thread(target=preempt, daemon=True).start()
    with executors.opened("slurm:local", 1, tmp_path / "runs") as workers:
        ((_, pid),) = workers.map(preempted, [begun])
    assert isinstance(pid, int) and pid != int(begun.read_text())


def test_on_is_refused_where_it_cannot_be_meant(capsys):
    from lewm_core.runner import cli

    assert cli.main(["--on", "cloud"]) == 2
    assert "--on: found 'cloud'" in capsys.readouterr().err
    assert commands.main(["status", "no such study"]) == 2
