"""A small slice of the campaign, and whether its judge tells what was planted.

Each runs as a program: it forks, which a process with threads, such as this one, should not.
"""

import csv
import subprocess
import sys

from lewm_core.utils.workspace import ROOT
from tests.fuzz.planted import ALSO, PLANTS


def run(folder, *options):
    command = [sys.executable, "-m", "tests.fuzz", "--output", str(folder), *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def rows(path):
    with open(path, newline="") as f:
        return list(csv.DictReader(f))


def test_the_judge_tells_what_was_planted(tmp_path):
    found = {}
    for names, seconds in (("memory", 60), (",".join(set(PLANTS) - {"memory"}), 4)):  # 2 GB may take a while to touch
        done = run(tmp_path, "--only", "planted", "--cases", str(len(PLANTS)), "--mutation", names, "--seconds",
                   str(seconds))
        assert done.returncode == 1
        found |= {row["mutation"]: row["outcome"] for row in rows(tmp_path / "table.csv")}
    assert found == {name: ALSO.get(name, name) for name in PLANTS}, done.stderr
    failures = {row["mutation"]: row for row in rows(tmp_path / "failures.csv")}
    assert set(failures) == set(PLANTS) - {"ok", "error", "redone", "unsigned", "memory"}
    again = run(tmp_path, *failures["silent"]["command"].split()[3:])
    assert again.returncode == 1 and "silent" in again.stdout.splitlines()


def test_a_slice_of_every_kind(tmp_path):
    """Cheap ways in only; `python -m tests.fuzz` is the whole."""
    done = run(tmp_path, "--cases", "80", "--quick")
    assert done.returncode == 0, done.stdout + done.stderr + (tmp_path / "failures.csv").read_text()[:5000]
