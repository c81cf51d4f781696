"""`python -m lewm_core compare`: planted effects are found, intervals are what scipy says, and what cannot be compared
is refused with what differs."""

import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats

from lewm_core.checkpoints.export import export
from lewm_core.config import Recipe
from lewm_core.experiments.run import execute
from lewm_core.experiments.sweep import plan
from lewm_core.runner import commands
from lewm_core.viz import style
from tests.finished import RECORD, write_run, write_study
from tests.helpers import TINY, random_base, write_squares
from tests.stats.planted import NOTHING, Truth, table

SEEDS = 6
SHORT = {"B": -12.0, "D": -0.2, "E": 9.0}  # planted at the pilot's size, per cent of A
METRICS = ("gripper_5", "mse")


def call(capsys, *arguments: object) -> tuple[int, dict | None, str]:
    code = commands.main(["compare", *map(str, arguments), "--json"])
    said = capsys.readouterr()
    return code, json.loads(said.out) if said.out else None, said.err


def planted(effects=SHORT, seeds=SEEDS) -> pd.DataFrame:
    truth = Truth({(c, scale): effects.get(c, 0.0) for c, scale in NOTHING}, noise=1.0)
    rows = table(truth, seeds, np.random.default_rng(5), METRICS)
    kept = ["base", "lr-0", "A", "P", *(name + twin for name in ("B", "D", "E") for twin in ("", "-shuf"))]
    return rows[rows.condition.isin(kept) & (rows.scale == "pilot")]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder, rows = tmp_path_factory.mktemp("study"), planted()
    return folder, rows, write_study(folder, rows)


def values(rows, condition, metric="gripper_5"):
    own = rows[(rows.condition == condition) & (rows.metric == metric)]
    return own.sort_values("seed").value.to_numpy(float)


def test_planted_effects_are_found_and_nothing_else(study, capsys):
    code, report, _ = call(capsys, study[0])
    assert code == 0 and report["runs"] == 10 * SEEDS and report["split"] == "episode split"
    found = {row["condition"]: row for row in report["comparison"] if row["metric"] == "gripper_5"}
    assert found["B"]["better"] == "supported" and found["B"]["same"] == "contradicted"
    assert found["E"]["better"] == "contradicted" and found["E"]["same"] == "contradicted"
    assert found["D"]["better"] == "contradicted" and found["D"]["same"] == "supported"
    assert {name: row["mean"] for name, row in found.items() if name in SHORT} == pytest.approx(SHORT, abs=1.5)
    assert "better" not in found["A"] and "better" not in found["base"] and found["A"]["mean"] == 0
    assert any("gripper_5, better than A? " in line and "supported: B" in line for line in report["verdicts"])


def least_detected(n):
    """The mean, in standard deviations, at which the two-sided t test at 5 % finds it in 80 % of samples of n."""
    edge = stats.t.ppf(0.975, n - 1)
    return optimize.brentq(lambda size: stats.nct.sf(edge, n - 1, size * n**0.5)
                           + stats.nct.cdf(-edge, n - 1, size * n**0.5) - 0.8, 0.01, 3)


def test_every_number_is_what_scipy_says(study, capsys):
    folder, rows, _ = study
    report = call(capsys, folder, "--against", "D")[1]
    signals, p = ["A", "B", "E"], {}
    for row in report["comparison"]:
        own, reference = values(rows, row["condition"], row["metric"]), values(rows, "D", row["metric"])
        assert row["level"] == pytest.approx(own.mean()) and row["n"] == SEEDS
        if row["condition"] == "D":
            continue
        change = 100 * (own / reference - 1)
        test = stats.ttest_1samp(change, 0)
        ends = test.confidence_interval(0.95)
        assert (row["mean"], row["low"], row["high"]) == pytest.approx((change.mean(), ends.low, ends.high))
        assert row["p"] == pytest.approx(test.pvalue)
        p[row["metric"], row["condition"]] = row["p"], row["p_holm"]
        assert row["mde"] == pytest.approx(change.std(ddof=1) * least_detected(SEEDS), rel=1e-3)
    for metric in METRICS:
        for family in (signals[1:], [name for of, name in p if of == metric and name not in signals[1:]]):
            raw = np.sort([p[metric, name][0] for name in family])
            holm = np.minimum(1, np.maximum.accumulate(raw * np.arange(len(raw), 0, -1)))
            assert sorted(p[metric, name][1] for name in family) == pytest.approx(list(holm))


def test_against_a_signal_its_gates_count_too(study, capsys):
    report = call(capsys, study[0], "--against", "B-shuf", "--metric", "gripper_5")[1]
    found = {row["condition"]: row for row in report["comparison"]}
    assert found["B"]["better"] == "supported" and len(found) == len(report["comparison"])
    report = call(capsys, study[0], "--against", "B", "--metric", "gripper_5")[1]
    found = {row["condition"]: row for row in report["comparison"]}
    assert found["D"]["better"] == "contradicted" and found["D"]["mean"] > 10


def test_without_references_the_numbers_stand_and_no_verdict(study, capsys):
    runs = [folder for (_, name, _), folder in study[2].items() if name in ("A", "B")]
    report = call(capsys, *runs)[1]
    own = next(row for row in report["comparison"] if row["condition"] == "B" and row["metric"] == "gripper_5")
    assert own["better"] == own["same"] == "not tested here" and own["high"] < -4
    told = "\n".join(report["reasons"])
    assert "B-shuf was not run at scale pilot" in told and "P against A: P was not run" in told
    assert "pilot, gripper_5, not shown that A beats the base and the lr-0 arm: A against base: base was not" in told
    assert len(set(report["reasons"])) == len(report["reasons"]) and "B: depth head" not in told
    assert report["verdicts"][0].startswith("pilot, gripper_5: no effect is tested here")


def test_two_scales_each_with_their_own_data(tmp_path, capsys):
    rows = planted()
    write_study(tmp_path, pd.concat([rows, rows.assign(scale="full", value=rows.value * 0.5)]))
    report = call(capsys, tmp_path, "--metric", "mse")[1]
    both = pd.DataFrame(report["comparison"]).set_index(["scale", "condition"])
    assert both.loc["pilot", "mean"].to_dict() == pytest.approx(both.loc["full", "mean"].to_dict())
    assert (both.loc["full", "level"] / both.loc["pilot", "level"]).to_numpy() == pytest.approx(0.5)


def test_the_figure_and_the_table_on_disk(study, tmp_path, capsys):
    out = tmp_path / "out"
    report = call(capsys, study[0], "--output", out)[1]
    names = {"comparison.png", "comparison.svg", "comparison.csv", "comparison.json", "comparison_table.csv"}
    assert {path.name for path in out.iterdir()} - {"SHA256SUMS"} == names and len(report["written"]) == len(names)
    numbers, listed = pd.read_csv(out / "comparison.csv"), pd.read_csv(out / "comparison_table.csv")
    assert set(style.COLUMNS) <= set(numbers)
    own = numbers[(numbers.condition == "B") & (numbers.metric == "gripper_5")]
    assert (own.statistic == "seed").sum() == SEEDS
    row = next(r for r in report["comparison"] if r["condition"] == "B" and r["metric"] == "gripper_5")
    assert own.set_index("statistic").value["low"] == pytest.approx(row["low"])
    assert own.set_index("statistic").note["better"] == row["better"]
    assert listed.set_index(["condition", "metric"]).high["B", "gripper_5"] == pytest.approx(row["high"])
    picture = (out / "comparison.svg").read_text()
    assert 'id="B/pilot/episode/gripper_5/mean"' in picture and "change against A (%)" in picture
    about = json.loads((out / "comparison.json").read_text())
    assert len(about["runs"]) == 10 * SEEDS and about["recipe"] == RECORD["recipe"] and about["base"] == "tabletop play"
    assert commands.main(["compare", str(study[0]), "--metric", "mse"]) == 0
    lines = capsys.readouterr().out.splitlines()
    (header,) = [line.split() for line in lines if line.split()[:3] == ["scale", "metric", "condition"]]
    assert {"n", "level", "mean", "low", "high", "p", "p_holm", "mde", "better", "same"} < set(header)


def test_a_run_that_is_named_twice_counts_once(study, capsys):
    once, twice = (call(capsys, study[0], *more)[1] for more in ((), list(study[2].values())[:3]))
    assert once == twice


def planted_run(tmp_path, rows, name, seed, **changed):
    own = rows[(rows.condition == name) & (rows.seed == seed)]
    return write_run(tmp_path / f"{name}{seed}", own, **changed)


LEARNS_FASTER = RECORD["recipe"] | {"lr": 1e-3}


@pytest.mark.parametrize(("changed", "words"), [
    ({"dataset": "other"}, "B seed 1 .*: dataset other, but data of pilot, seed 1 of A seed 1"),
    ({"episodes": ["other"]}, "B seed 1 .*: other episodes, but those of A seed 1"),
    ({"test": ["other"]}, "B seed 1 .*: other test, but those of A seed 1"),
    ({"recipe": LEARNS_FASTER}, r"B seed 1 .*: recipe's lr 0.001, but 5e-05 of A seed 0"),
    ({"steps": 341}, "B seed 1 .*: steps 341, but 340 of A seed 1"),
    ({"base_hash": "b1"}, "B seed 1 .*: base_hash b1, but b0 of A seed 0"),
    ({"scale": "full"}, "condition B, scale pilot: found one seed"),
    ({"recipe": None}, "no record of its recipe"),
    ({"condition": "$x"}, "no record of its condition"),
    ({"metrics": {"episode": {"mse": "low"}}}, "no record of its metrics"),
    ({"metrics": {"episode": {"mse": float("1e9")}}}, "--metric: found 'gripper_5'; expected one of mse"),
])
def test_what_differs_is_named(tmp_path, capsys, changed, words):
    rows = planted()
    runs = [planted_run(tmp_path, rows, name, seed) for name, seed in (("A", 0), ("A", 1), ("B", 0))]
    runs.append(planted_run(tmp_path, rows, "B", 1, **changed))
    code, report, said = call(capsys, *runs, "--metric", "gripper_5")
    assert code == 2 and report is None and len(said.splitlines()) == 1
    assert re.search(words, said), said


def test_what_cannot_be_told_is_said(study, tmp_path, capsys):
    rows = planted()
    a0, a1, b0 = (planted_run(tmp_path, rows, *of) for of in (("A", 0), ("A", 1), ("B", 0)))
    for runs, words in (
            ((a0, a1, b0), "condition B, scale pilot: found one seed (0) in common with A; expected two or more. Runs "
                           "are paired by seed. From one pair neither an interval nor a test nor the power can be had"),
            ((a0, a1), "expected A, which the others are compared with, and at least one other"),
            ((a0, b0, "--against", "C"), "runs of scale pilot: found condition A, B; expected C, which the others"),
            ((study[0], "--metric", "sigreg"), "--metric: found 'sigreg'; expected one of"),
            ((study[0], a0), "two runs"),
            ((tmp_path,), "neither a finished run"), ((tmp_path / "no.pt",), "neither a finished run"),
            ((a0, "--data", tmp_path / "no.h5"), "no such file")):
        code, report, said = call(capsys, *runs)
        assert code == 2 and report is None and words in said, said


@pytest.mark.parametrize("damage", ["result", "weights", "gone", "table", "unfinished"])
def test_a_damaged_or_unfinished_run_is_refused(tmp_path, capsys, damage):
    runs = write_study(tmp_path, planted())
    folder = runs["pilot", "B", 2]
    path = {"result": folder / "result.json", "weights": folder / "model.safetensors",
            "table": tmp_path / "results_pilot.csv"}.get(damage)
    if path:
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    elif damage == "gone":
        (folder / "model.safetensors").unlink()
    else:
        shutil.rmtree(folder)
    code, report, said = call(capsys, tmp_path)
    where = "results_pilot.csv" if damage == "table" else folder.name
    assert code == 2 and report is None and where in said and len(said.splitlines()) == 1


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Two seeds of A and B, trained for a moment on squares: the dataset, and the folders of the runs."""
    folder = tmp_path_factory.mktemp("trained")
    path = write_squares(folder / "squares.h5")
    runs, _ = plan(["A", "B"], "own", [0, 1], path, random_base(), TINY)
    return path, [folder / "runs" / execute(run, folder / "runs").key for run in runs]


def test_checkpoints_are_evaluated_first(trained, tmp_path, capsys, one_thread):
    path, runs = trained
    recorded = pd.DataFrame(call(capsys, *runs, "--metric", "mse")[1]["comparison"])
    exported = [export(run, tmp_path / run.name) for run in runs]
    code, _, said = call(capsys, *exported)
    assert code == 2 and "give --data FILE to evaluate it on" in said
    for given in (runs, exported):
        again = pd.DataFrame(call(capsys, *given, "--metric", "mse", "--data", path)[1]["comparison"])
        assert again["mean"].to_numpy() == pytest.approx(recorded["mean"].to_numpy(), rel=1e-4)
    other = write_squares(tmp_path / "other.h5", lengths=(6, 9, 3))
    report = call(capsys, *exported, "--data", other, "--output", tmp_path / "out")[1]
    assert report["split"] == "all windows" and {row["metric"] for row in report["comparison"]} == {
        "mse_over_static", "mse"}
    assert json.loads((tmp_path / "out/comparison.json").read_text())["evaluated_on"] == "other.h5"


def test_the_recipe_of_the_paper_is_that_of_the_record():
    assert RECORD["recipe"] == Recipe().__dict__
