"""The command line as its users call it: exit codes, JSON, what is written, and that it agrees with the notebooks."""

import json
import subprocess
import sys
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from lewm_core import dataset
from lewm_core.checkpoints import checkpoint
from lewm_core.conditions import CONDITIONS
from lewm_core.diagnostics import base_bars
from lewm_core.diagnostics.base_bars import Exam
from lewm_core.diagnostics.cem import CEM
from lewm_core.experiments import sweep
from lewm_core.experiments.run import execute, result
from lewm_core.runner import commands
from tests.helpers import TINY, moving_square, random_base, write_squares

ROOT = Path(__file__).parents[2]
RECIPE = [f"--set={n}={getattr(TINY, n)}" for n in ("epochs", "batch_size", "lr", "directions", "val_windows",
                                                    "val_episodes")]


def call(capsys, *arguments: object) -> tuple[int, object, str]:
    """Exit code, the JSON on stdout (None if nothing), stderr."""
    code = commands.main([*map(str, arguments), "--json"])
    said = capsys.readouterr()
    return code, json.loads(said.out) if said.out else None, said.err


@pytest.fixture(scope="module")
def squares(tmp_path_factory):
    return write_squares(tmp_path_factory.mktemp("data") / "squares.h5")


@pytest.fixture(scope="module")
def trained(squares, tmp_path_factory):
    """A fine-tuned checkpoint under D, made by the command line, and the JSON that it printed."""
    folder = tmp_path_factory.mktemp("out") / "D"
    options = ["--model", "nano", "--condition", "D", "--seed", "3", *RECIPE, "--output", folder, "--json"]
    process = subprocess.run([sys.executable, "-m", "lewm_core", "train", squares, *options], capture_output=True,
                             text=True, cwd=ROOT)
    assert process.returncode == 0, process.stderr
    return folder, json.loads(process.stdout)


def foreign(path: Path) -> Path:
    """A dataset of another tool: the public columns, float64 actions of other size, one column that nobody knows."""
    lengths = (8, 9, 7, 8)
    episodes = [moving_square(i, n)[0] for i, n in enumerate(lengths)]
    rng = np.random.default_rng(0)
    with h5py.File(path, "w") as f:
        f["pixels"] = np.concatenate([e.frames for e in episodes])
        f["action"] = np.concatenate([np.c_[e.actions, rng.normal(size=(len(e.frames), 3))] for e in episodes])
        f["observation"] = np.concatenate([e.observations for e in episodes])
        f["proprio"] = np.zeros((sum(lengths), 4))
        f["ep_len"] = np.array(lengths, np.int32)
        f["ep_offset"] = np.cumsum([0, *lengths[:-1]])
    return path


def test_train_does_what_the_notebooks_do(trained, squares, tmp_path):
    folder, report = trained
    runs, _ = sweep.plan(["D"], "own", [3], squares, random_base(), TINY)
    execute(runs[0], tmp_path)
    assert report["metrics"] == result(tmp_path, runs[0].key)["metrics"]
    ours, theirs = (checkpoint.load(p)[0].state_dict() for p in (tmp_path / runs[0].key, folder))
    assert all(torch.equal(ours[n], theirs[n]) for n in ours)
    assert {p.name for p in folder.iterdir()} == {"config.json", "weights.pt", "model.safetensors", "heads.safetensors",
                                                  "README.md"}
    assert not [p for p in folder.parent.iterdir() if p != folder]  # nothing left of the work


def test_eval_repeats_the_numbers_of_training(trained, squares, capsys):
    folder, report = trained
    code, found, _ = call(capsys, "eval", folder, squares)
    assert code == 0 and found["own_dataset"] and found["condition"] == "D"
    assert found["metrics"].keys() == {"window", "episode"} and "head_tracks" in found["metrics"]["episode"]
    for split, metrics in report["metrics"].items():
        shown = found["metrics"][split]
        assert shown == pytest.approx({name: metrics[name] for name in shown}, rel=1e-5)
    assert "object_1_over_persistence" in found["metrics"]["episode"]


def test_eval_on_other_data_takes_all_windows(trained, tmp_path, capsys):
    other = write_squares(tmp_path / "other.h5", lengths=(6, 9, 3))
    code, found, _ = call(capsys, "eval", trained[0], other)
    assert code == 0 and not found["own_dataset"] and found["windows"] == {"all": 3 + 6}
    assert not [name for name in found["metrics"]["all"] if name.startswith("head")]


def test_inspect_says_what_things_are(trained, squares, capsys):
    code, reports, _ = call(capsys, "inspect", squares, trained[0])
    data, model = reports
    assert code == 0 and [r["kind"] for r in reports] == ["dataset", "checkpoint"]
    assert data["serves conditions"] == list(CONDITIONS) and data["episodes"] == 5 and data["frames"] == 40
    assert model["sizes"]["dim"] == 32 and model["records of its training"]["condition"] == "D"
    assert model["heads"] == ["tracks"]


def test_inspect_lists_every_violation_and_the_exit_code_says_so(squares, tmp_path, capsys):
    bad = tmp_path / "bad.h5"
    bad.write_bytes(squares.read_bytes())
    with h5py.File(bad, "a") as f:
        del f["observation"]
        f["ep_len"][0] += 1
    code, (good, report, absent), _ = call(capsys, "inspect", squares, bad, tmp_path / "nothing.h5")
    assert code == 1 and good["usable"] and not report["usable"] and not absent["usable"]
    assert any("observation is missing" in p for p in report["problems"]) and len(report["problems"]) > 1


def test_a_foreign_dataset_with_other_actions_trains_under_a(trained, tmp_path, capsys):
    path = foreign(tmp_path / "foreign.h5")
    _, (report,), _ = call(capsys, "inspect", path)
    assert report["serves conditions"] == ["A"] and "depth" in report["cannot serve"]["B"]
    assert report["other columns, never read"] == ["proprio"]
    code, done, said = call(capsys, "train", path, "--base", trained[0], "--output", tmp_path / "A", *RECIPE)
    assert code == 0 and "re-initialised, 7-D to 10-D" in done["base"] and "re-initialised" in said
    assert checkpoint.load(tmp_path / "A")[0].config.action_dim == 10
    command = ["train", path, "--model", "nano", "--condition", "B", *RECIPE]
    code, _, said = call(capsys, *command, "--output", tmp_path / "B")
    assert code == 2 and "depth" in said and not (tmp_path / "B").exists()


def test_a_base_is_made_and_judged_and_judged_again(tmp_path, capsys, monkeypatch):
    few = Exam(fit=4, test=3, tasks=2, search=CEM(samples=4, elites=2, iterations=1, horizon=6))
    monkeypatch.setattr(base_bars, "judge", partial(base_bars.judge, exam=few))
    path = tmp_path / "nano.safetensors"
    code, made, _ = call(capsys, "base", "nano", "--output", path)
    assert code == 1 and made["written"] == str(path)  # so small a base misses bars
    (one_step,) = [row for row in made["bars"] if row["what"] == "error 1 step ahead over persistence"]
    assert one_step["bar"] == "≤ 0.2" and one_step["met"] is (one_step["value"] <= 0.2)
    content = path.read_bytes()
    assert call(capsys, "base", "nano", "--output", path, "--check")[:2] == (1, {"bars": made["bars"]})
    assert path.read_bytes() == content and list(tmp_path.iterdir()) == [path]
    assert commands.main(["base", "nano", "--output", str(path), "--check"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 + len(made["bars"]) and lines[1].split()[:4] == ["what", "value", "bar", "met"]
    value, row = lines[1].index("value"), next(line for line in lines if "error 1 step" in line)
    assert row[value:].split() == [f"{one_step['value']:.3f}", "≤", "0.2", str(one_step["met"])]
    without_scale = tmp_path / "other.safetensors"
    checkpoint.save(without_scale, checkpoint.load(path)[0])
    code, _, said = call(capsys, "base", "nano", "--output", without_scale, "--check")
    assert code == 2 and "no action scale" in said


def test_lerobot_there_and_back(squares, tmp_path, capsys):
    pytest.importorskip("av"), pytest.importorskip("pyarrow")
    for version in ("v2.1", "v3.0"):
        folder, back = tmp_path / version, tmp_path / f"{version}.h5"
        assert call(capsys, "export", squares, folder, "--format", version)[0] == 0
        assert call(capsys, "inspect", folder)[1][0]["kind"] == "LeRobot dataset"
        assert call(capsys, "export", folder, back, "--image-size", 32)[0] == 0
        before, after = dataset.load(squares), dataset.load(back)
        for name in ("action", "observation", "ep_len", "task"):
            assert np.array_equal(before[name], after[name])
        truth, decoded = (d["pixels"][:9].reshape(9, -1).astype(float) for d in (before, after))  # one episode
        off = np.abs(truth[:, None] - decoded).mean(-1)
        assert (off.argmin(1) == np.arange(9)).all()  # every frame is itself, in its place


@pytest.mark.parametrize("arguments, words", [
    (["train", "SQUARES", "--output", "TMP/x", "--set", "speed=3"], ["unknown parameter speed", "weight_decay"]),
    (["train", "SQUARES", "--output", "TMP/x", "--condition", "Z"], ["'Z'", "one of A"]),
    (["train", "SQUARES", "--output", "TMP/x", "--base", "TMP/none.pt"], ["none.pt", "tabletop"]),
    (["train", "TMP/none.h5", "--output", "TMP/x", "--model", "nano"], ["none.h5", "no such file"]),
    (["train", "SQUARES", "--output", "TMP/x", "--model", "huge"], ["huge", "small"]),
    (["eval", "TMP/none", "SQUARES"], ["none", "no such file"]),
    (["export", "SQUARES", "TMP/x", "--format", "v9"], ["v9", "v2.1"]),
])
def test_bad_input_is_one_error_and_writes_nothing(squares, tmp_path, capsys, arguments, words):
    arguments = [a.replace("SQUARES", str(squares)).replace("TMP", str(tmp_path)) for a in arguments]
    code, out, said = call(capsys, *arguments)
    assert code == 2 and out is None and said.startswith("error: ") and all(w in said for w in words)
    assert not list(tmp_path.iterdir())


def test_a_result_is_not_overwritten_unasked(trained, squares, capsys):
    code, _, said = call(capsys, "train", squares, "--model", "nano", *RECIPE, "--output", trained[0])
    assert code == 2 and "overwritten" in said


def test_help_answers_without_torch():
    code = "import sys; from lewm_core.runner.commands import parser; parser().format_help(); "
    code += "print('torch' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert said.stdout.strip() == "False", said.stderr
    for command in ("inspect", "train", "eval", "export", "download", "base", "publish"):
        with pytest.raises(SystemExit) as leave:
            commands.main([command, "--help"])
        assert leave.value.code == 0


@pytest.mark.parametrize("arguments", [
    ["inspect", "/no/such.h5"], ["inspect", "/no/such"], ["eval", "/no/such", str(ROOT / "README.md")],
    ["train", "/no/such.h5", "--output", "/no/x"], ["train", str(ROOT / "README.md"), "--output", "/no/x",
                                                    "--base", "/no/such"],
    ["train", str(ROOT / "README.md"), "--output", "/no/x", "--set", "speed=3"], ["export", "/no/such", "/no/x"],
    ["base", "huge"], ["publish", "no-such-run"],
])
def test_a_wrong_path_answers_before_torch_is_imported(arguments):
    code = "import sys; from lewm_core.runner import commands; code = commands.main(sys.argv[1:]); "
    code += "print(code, [m for m in ('torch', 'scipy', 'pandas', 'mujoco') if m in sys.modules], file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, cwd=ROOT)
    assert done.stderr.splitlines()[-1] in ("1 []", "2 []"), done.stderr
