"""The smoke profile through all notebooks, headless, as a user calls it: simulated data with controls, real frames."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from lewm_core.utils.workspace import CONTROLS

ROOT = Path(__file__).parents[2]
BRIDGE = ROOT.parent / "shared" / "bridge_sample"
NOTEBOOKS = sorted(p.stem for p in (ROOT / "notebooks").glob("[0-9][0-9]_*.py"))
CONTROLLED = ("--study", "controls")
COLUMNS = ["condition", "scale", "seed", "split", "metric", "value"]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def start(*options: object) -> subprocess.Popen:
    command = [sys.executable, "-m", "lewm_core.runner.cli", "--profile", "smoke", "--jobs", "1", *map(str, options)]
    return subprocess.Popen(command, cwd=ROOT, text=True,
                            env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},  # two runs, two cores
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """The output folders of both runs by data source; the two go on at the same time."""
    options = {"tabletop": CONTROLLED} | ({"bridge": ("--data-path", BRIDGE)} if BRIDGE.is_dir() else {})
    folders = {data: tmp_path_factory.mktemp(data) for data in options}
    under_way = {data: start("--data", data, *more, "--output", folders[data]) for data, more in options.items()}
    for data, process in under_way.items():
        said, _ = process.communicate()
        assert process.returncode == 0, f"{data}: {said}"
    return folders


@pytest.fixture
def tabletop(outputs):
    return outputs["tabletop"]


@pytest.fixture
def bridge(outputs):
    if "bridge" not in outputs:
        pytest.skip(f"the sample of BridgeData V2 is not at {BRIDGE}")
    return outputs["bridge"]


def check_outputs(output: Path, data: str) -> None:
    for name in NOTEBOOKS:
        if name == CONTROLS and data != "tabletop":
            assert not (output / "notebooks" / f"{name}.ipynb").exists()
            continue
        assert (output / "notebooks" / f"{name}.ipynb").is_file() and (output / "notebooks" / f"{name}.html").is_file()
    assert not list((output / "notebooks").glob("*failed*"))
    for n in (1, 2, 3, 4):
        for suffix in ("png", "svg", "csv", "json"):
            assert (output / "figures" / f"figure{n}.{suffix}").stat().st_size > 0
        table = pd.read_csv(output / "figures" / f"figure{n}.csv")
        assert set(COLUMNS) <= set(table.columns) and len(table)
        record = json.loads((output / "figures" / f"figure{n}.json").read_text())
        assert record["profile"] == "smoke" and record["data"] == data
        assert {"fingerprint", "seeds", "commit", "versions", "device", "duration_s", "base_hash"} <= set(record)
        assert record["selection"]["pilot_by"] == record["selection"]["full_by"] == "score"
    assert (output / "figures" / "figure4.gif").read_bytes()[:3] == b"GIF"
    assert (output / "dashboard.html").read_text().startswith("<!doctype html>")
    claims = pd.read_csv(output / "figures" / "claims.csv")
    where = "simulated data (tabletop)" if data == "tabletop" else f"{data} data"
    assert set(claims.data) == {where} and set(claims.profile) == {"smoke"}
    assert (output / "figures" / "claims.md").read_text().startswith(f"# The paper's claims on {where}, profile smoke")


def test_all_notebooks_on_the_tabletop(tabletop):
    check_outputs(tabletop, "tabletop")
    results = pd.read_csv(tabletop / "results_pilot.csv")
    more = {"base", "lr-0", "B-shuf", "P"}
    assert set(results.condition) == {"A", "B", "C1", "C2", "C3", "C4", "D", "D-fg", "E", "F", "G"} | more
    assert results.groupby("condition").seed.nunique().eq(2).all() and set(results.split) == {"window", "episode"}
    assert set(pd.read_csv(tabletop / "results_full.csv").condition) == {"A", "B", "D", "E"} | more
    assert set(pd.read_csv(tabletop / "measured_facts.csv").scale) == {"pilot", "full"}
    assert set(pd.read_csv(tabletop / "measured_instability.csv").condition) == {"B", "C1", "C2", "C3"}
    # what Figure 1 draws is what the runs measured
    mse = results[(results.metric == "mse") & (results.split == "episode")].set_index(["condition", "seed"]).value
    drawn = pd.read_csv(tabletop / "figures" / "figure1.csv").query(
        "statistic == 'seed' and split == 'episode' and metric == 'mse change %'")
    assert len(drawn)
    for row in drawn.itertuples():
        assert row.value == pytest.approx(100 * (mse[row.condition, row.seed] / mse["A", row.seed] - 1))


def test_the_dashboard_needs_no_notebook(tabletop, tmp_path):
    """The command makes what notebook 07 made, but for the decoders' recipe."""
    page = tmp_path / "page.html"
    command = [sys.executable, "-m", "lewm_core", "dashboard", tabletop, "--output", page, "--episodes", "2", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    results = pd.read_csv(tabletop / "results_full.csv")
    assert set(json.loads(done.stdout)["conditions"]) == set(results[results.seed == 0].condition)
    made, notebooks = (json.loads(p.read_text().split('id="data">')[1].split("</script>")[0])
                       for p in (page, tabletop / "dashboard.html"))
    curves = [{e["id"]: e["conditions"]["A"]["distance"] for e in found["episodes"]} for found in (made, notebooks)]
    both = set(curves[0]) & set(curves[1])
    assert both and all(curves[0][id] == pytest.approx(curves[1][id], rel=1e-2) for id in both)


def test_the_controls_leave_their_runs_and_figures(tabletop):
    results = pd.read_csv(tabletop / "results_controls.csv")
    assert set(results.study) == {"scale", "steps", "masks", "conflict", "patches", "weight", "blocks", "protocol",
                                  "targets", "batch_norm"}
    for name in ("scale", "curation", "steps", "curves", "masks", "noise", "gradients", "weights", "patches",
                 "protocol", "blocks", "targets", "dose", "batch_norm"):
        assert len(pd.read_csv(tabletop / "figures" / f"control_{name}.csv"))


def test_a_second_call_does_nothing(tabletop):
    before = {p: p.stat().st_mtime_ns for p in (tabletop / "notebooks").iterdir()}
    process = start("--output", tabletop, *CONTROLLED)
    said, _ = process.communicate()
    assert process.returncode == 0, said
    assert {p: p.stat().st_mtime_ns for p in (tabletop / "notebooks").iterdir()} == before


def test_all_notebooks_on_real_frames_show_what_cannot_be_had(bridge):
    check_outputs(bridge, "bridge")
    claims = pd.read_csv(bridge / "figures" / "claims.csv").set_index("id")
    assert "--study controls" in claims.reason["patch-head-full"], "a main study says what it lacks"
    skipped = pd.read_csv(bridge / "skipped_pilot.csv").set_index("condition").reason
    assert {"B", "C1", "C2", "C3", "C4", "E", "F", "G"} <= set(skipped.index)
    assert skipped["B"].startswith("Depth needs a backend with weights")
    results = pd.read_csv(bridge / "results_pilot.csv")
    assert {"A", "D"} <= set(results.condition) and not set(results.condition) & set(skipped.index)
    shown = pd.read_csv(bridge / "figures" / "all_cameras.csv")
    assert len(shown) == 25 and set(shown.value) == {3}  # camera 3 is blank
    assert len(pd.read_csv(bridge / "figures" / "signals_sheet.csv")) == 25
    figure = pd.read_csv(bridge / "figures" / "figure1.csv")
    assert figure[(figure.condition == "B") & (figure.statistic == "seed")].empty
    assert figure[(figure.condition == "B") & (figure.statistic == "skipped")].note.str.contains("weights").all()
