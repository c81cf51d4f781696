"""The status of a study: what its folder says, whoever works there."""

import json
import os
import time

import pandas as pd
import pytest

from lewm_core.runner import commands
from lewm_core.runner.status import status
from lewm_core.utils.errors import InputError
from lewm_core.utils.files import write_csv
from lewm_core.utils.marks import LEFT, RUNNING, driving, marked
from lewm_core.utils.workspace import Workspace


@pytest.fixture
def place(tmp_path):
    """A study that asked for six runs: two are done, one is under way, one failed, and one's worker is gone."""
    place = Workspace(tmp_path, tmp_path / "figures")
    rows = [(condition, "pilot", seed, f"{condition}{seed}") for condition in "AB" for seed in range(3)]
    write_csv(place.planned("pilot"), pd.DataFrame(rows, columns=["condition", "scale", "seed", "run"]))
    for key in ("A0", "B1"):
        (place.runs / key).mkdir(parents=True)
        (place.runs / key / "result.json").write_text("{}")
    (place.runs / "failed").mkdir()
    for key in ("A2", "B1"):  # B1 failed once, and is done now
        (place.runs / "failed" / f"{key}.log").write_text("no memory")
    return place


def test_every_run_is_in_one_state(place, capsys):
    gone = place.runs / f".B0.1-abcdef-0.{RUNNING}"
    gone.write_text("{}")
    os.utime(gone, (time.time() - LEFT,) * 2)
    with driving(place.runs, "ray:head"), marked(place.runs / f"A1.{RUNNING}", {}):
        found = status(str(place.output))
        assert commands.main(["status", str(place.output), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == found
    assert [found[name] for name in ("runs", "done", "running", "failed", "left")] == [6, 2, 1, 1, 2]
    assert found["drivers"] == ["ray:head"] and found["logs of those that failed"][0].endswith("runs/failed/A2.log")
    assert found["by condition"] == [
        {"scale": "pilot", "condition": "A", "done": 1, "running": 1, "failed": 1, "left": 0},
        {"scale": "pilot", "condition": "B", "done": 1, "running": 0, "failed": 0, "left": 2}]
    later = status(str(place.output))
    assert (later["running"], later["left"], later["drivers"]) == (0, 3, [])


def test_a_folder_without_a_plan_and_a_damaged_plan_are_errors(place, tmp_path):
    with pytest.raises(InputError, match="no plan of runs"):
        status(str(place.runs))
    for text in ("", "a,b\n1,2\n", "condition,scale,seed,run\nA,pilot\n"):
        place.planned("pilot").write_text(text)
        if text:
            with pytest.raises(InputError, match="plan_pilot.csv: found other columns"):
                status(str(place.output))
