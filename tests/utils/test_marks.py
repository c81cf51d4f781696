"""Marks: who is at work is told from who is gone, and a worker elsewhere finds out whether it can work there at all."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from lewm_core.utils import marks
from lewm_core.utils.errors import InputError
from lewm_core.utils.marks import DRIVER, RUNNING, check_driver, content, driving, is_alive, living, marked, until_seen
from lewm_core.utils.temporary import DAY, sweep, temporary_name
from lewm_core.utils.workers import Unusable


def aged(path: Path, seconds: float) -> Path:
    then = time.time() - seconds
    os.utime(path, (then, then))
    return path


def test_a_mark_is_touched_while_its_process_works_and_gone_after_it(tmp_path, monkeypatch):
    monkeypatch.setattr(marks, "EVERY", 0.02)
    with marked(tmp_path / f"abc.{RUNNING}", {"run": "A seed 0"}) as mark:
        assert is_alive(mark) and content(mark) == {"run": "A seed 0"} and living(tmp_path, RUNNING) == [mark]
        aged(mark, 3600)
        end = time.monotonic() + 10
        while not is_alive(mark) and time.monotonic() < end:
            time.sleep(0.02)
        assert is_alive(mark)
    assert not list(tmp_path.iterdir()) and not is_alive(mark)


def test_a_process_that_is_gone_is_known_at_once_here_and_by_its_silence_elsewhere(tmp_path):
    code = "import os; from lewm_core.utils.temporary import temporary_name; from pathlib import Path; "
    code += f"temporary_name(Path({str(tmp_path)!r}, 'driver.json')).write_text('{{}}'); os._exit(0)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
    (dead,) = tmp_path.iterdir()
    assert dead.stat().st_mtime > time.time() - 60 and not is_alive(dead)
    elsewhere = tmp_path / ".driver.1-abcdef-0.json"
    elsewhere.write_text("{}")
    assert is_alive(elsewhere) and living(tmp_path, DRIVER) == [elsewhere]
    assert not is_alive(aged(elsewhere, marks.SILENT + 1)) and living(tmp_path, DRIVER) == []


def test_two_drivers_in_a_folder_have_the_same_code(tmp_path, monkeypatch):
    with driving(tmp_path, "local"), driving(tmp_path, "ray"):
        assert sorted(content(mark)["on"] for mark in living(tmp_path, DRIVER)) == ["local", "ray"]
        monkeypatch.setattr(marks, "code_digest", lambda: "edited")
        with pytest.raises(InputError, match="another driver at work there.*another --output"):
            with driving(tmp_path, "local"):
                pass
    with driving(tmp_path, "local"):
        pass
    assert not list(tmp_path.iterdir())


def test_what_lost_machines_left_is_removed_and_what_works_is_not(tmp_path):
    old, new = (tmp_path / f".{key}.1-abcdef-0.{RUNNING}" for key in ("aaa", "bbb"))
    for path in (old, new):
        path.write_text("{}")
    aged(old, marks.LEFT + 1)
    with driving(tmp_path, "local"):
        pass
    assert not old.exists() and new.exists()
    half, recent = tmp_path / ".ccc.1-abcdef-0", tmp_path / ".ddd.1-abcdef-0"
    for folder in (half, recent):
        folder.mkdir()
    aged(half, 2 * DAY)
    assert sweep(tmp_path) == [half] and recent.exists() and new.exists()


def test_a_worker_finds_storage_that_is_not_shared_other_code_and_a_driver_that_is_gone(tmp_path, monkeypatch):
    monkeypatch.setattr(marks, "until_seen", lambda path, seconds: path.is_file())
    with driving(tmp_path, "ray") as mark:
        check_driver(mark)
        with pytest.raises(Unusable, match="a worker on .*no .driver.*storage that all machines share"):
            check_driver(tmp_path / "elsewhere" / mark.name)
        aged(mark, marks.LEFT + 1)
        with pytest.raises(Unusable, match="not touched.*for 15 minutes"):
            check_driver(mark)
        monkeypatch.setattr(marks, "_code", lambda: "other")
        with pytest.raises(Unusable, match="not the driver's .digest other"):
            check_driver(mark)


def test_what_another_machine_wrote_is_waited_for(tmp_path):
    assert not until_seen(tmp_path / "never", 0.1)
    late = tmp_path / "late"
    threading.Timer(0.3, late.touch).start()
    assert until_seen(late, 20)


def test_a_mark_has_a_name_that_the_sweep_of_temporary_files_knows(tmp_path):
    """So that `verify` and the next run tell it from a file of ours."""
    from lewm_core.utils.temporary import NAME

    for kind in (f"{DRIVER}.json", f"0123456789abcdef.{RUNNING}"):
        assert NAME.fullmatch(temporary_name(tmp_path / kind).name)
