"""compare_public without timing anything: its table, what it says where the public code is absent, equal losses."""

import importlib.util
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from benchmarks import compare_public, public_side, public_table, speed_page
from benchmarks.public_table import compared, write
from lewm_core.config import MODELS

KEY = {"part": "step", "model": "paper", "px": 224, "condition": "A", "threads": 1, "precision": "fp32",
       "device": "cpu"}
MADE = {"date": "2026-01-02", "commit": "abc", "machine": "a machine", "versions": "torch 9"}


def test_a_ratio_is_how_many_times_better_ours_is():
    row = compared(KEY, "wall", "ms", [10, 30, 20], [5, 10, 40])  # pairs: 2, 3 and 0.5 times as fast
    assert [row[n] for n in ("public", "ours", "ratio", "low", "high", "n")] == [20, 10, 2, 0.5, 3, 3]
    row = compared(KEY, "rate", "windows/s", [10, 30, 20], [5, 10, 40], more_is_better=True)
    assert [row[n] for n in ("ratio", "low", "high")] == pytest.approx([0.5, 1 / 3, 2])


def test_measured_again_is_replaced_and_the_rest_stays(tmp_path):
    page = tmp_path / "speed.md"
    page.write_text("# Speed\n\nBy hand, before.\n")
    first = [compared(KEY, "wall", "ms", [10], [5]) | MADE, compared(KEY, "CPU", "ms", [9], [6]) | MADE]
    data = compared({"part": "data", "peer": "Lance", "px": 64}, "first", "windows/s", [7], [77], True) | MADE
    write(tmp_path, [data, *first])
    page.write_text(page.read_text() + "\nBy hand, after.\n")
    write(tmp_path, [compared(KEY, "wall", "ms", [12], [4]) | MADE])
    table = pd.read_csv(tmp_path / "compare_public.csv")
    assert list(table.columns) == list(public_table.COLUMNS)
    assert table[["part", "measure", "ratio"]].values.tolist() == [
        ["step", "CPU", 1.5], ["step", "wall", 3.0], ["data", "first", 11.0]]
    begin, end = speed_page.marks("compare_public")
    before, section, after = page.read_text().replace(end, begin).split(begin)
    assert before.strip() == "# Speed\n\nBy hand, before." and after.strip() == "By hand, after."
    lines = [line for line in section.splitlines() if line.startswith("| paper")]
    assert lines == ["| paper | 224 | A | 1 | fp32 | cpu | 9 / 6, **1.50** | 12 / 4, **3.00** | 1 |"]
    assert "| Lance | 64 | 7 / 77, **11.00** | 1 |" in section
    assert "- 2026-01-02, commit abc: step, data. a machine. torch 9." in section


def test_absent_public_code_is_said_and_nothing_is_written(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(public_side, "find_spec", lambda name: None if name == "stable_worldmodel" else True)
    assert compare_public.main(["--output", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert said.startswith("Skipped:") and "not installed: stable_worldmodel." in said and ".[compare]" in said
    assert not (tmp_path / "out").exists()


def test_what_is_measured_is_chosen_by_options(capsys):
    options = compare_public.parser().parse_args(["--only", "step,data", "--size", "224,56", "--pairs", "3"])
    assert (options.only, options.size, options.pairs) == (("step", "data"), (224, 56), 3)
    assert options.precision == ("fp32", "bf16") and options.output.name == "docs"
    with pytest.raises(SystemExit):
        compare_public.parser().parse_args(["--size", "60"])
    assert "60 is none of 56, 64, 112, 224" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("name", ["A", "B"])
def test_both_sides_lose_the_same(name, tmp_path, monkeypatch):
    if absent := [module for module in public_side.NEEDS if importlib.util.find_spec(module) is None]:
        pytest.skip(f"{', '.join(absent)} not installed: pip install -e .[compare]")
    from benchmarks import public_pairs

    monkeypatch.setenv("STABLEWM_HOME", str(tmp_path))
    public_side.prepare(str(tmp_path))
    _, losses = public_pairs.in_turns(public_pairs.sides(replace(MODELS["nano"], dropout=0.0), name, "fp32", 6), 6)
    np.testing.assert_allclose(losses["ours"], losses["public"], rtol=2e-6)
    assert np.ptp(losses["ours"]) > 1e-3
