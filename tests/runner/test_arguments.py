"""Command lines that make no sense: exit code 2 and one line, never a traceback, and nothing is written."""

import json
import os
from pathlib import Path

import pytest

from lewm_core.config import LeWMConfig, Recipe
from lewm_core.runner import arguments, cli, commands, plan, publish, stamps
from lewm_core.runner.actions import read_recipe
from lewm_core.utils import parameters, plain
from lewm_core.utils.errors import InputError
from lewm_core.utils.workspace import Workspace

ROOT = Path(__file__).resolve().parents[2]


def code_of(main, argv: list[str]) -> int:
    try:
        return main(argv)
    except SystemExit as stopped:  # argparse
        return stopped.code


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder to name paths in: a file, a pipe, a link to itself, a stray stamp."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("x")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "deep.h5").mkdir()
    return tmp_path


IMPOSSIBLE = ["file/below/x", "/proc/none/x", "/dev/null/x", "loop/x/y", "", "x" * 5000, "a\0b", "\ud800",
              "x" * 300 + "/y", "\x1b[31m"]


@pytest.mark.parametrize("path", IMPOSSIBLE, ids=lambda path: ascii(path)[:12])
def test_an_impossible_place_for_the_output(place, path, capsys, monkeypatch):
    monkeypatch.setattr("lewm_core.runner.execute.execute", lambda plan: True)
    monkeypatch.setattr("lewm_core.dataset.load", lambda *_: pytest.fail("a dataset was read first"))
    before = sorted(p.name for p in place.iterdir())
    data = str(ROOT / "README.md")
    for main, argv in ((cli.main, ["--output", path]), (commands.main, ["train", data, "--output", path]),
                       (commands.main, ["download", "--to", path, "--yes"]),
                       (commands.main, ["base", "nano", "--output", path]),
                       (commands.main, ["export", "tabletop", f"{path}/new.rrd" if path else path, "--episodes", "1"]),
                       (commands.main, ["dashboard", "runs/none", "--output", path])):
        assert code_of(main, argv) == 2, argv
        said = capsys.readouterr()
        assert said.out == "" and "Traceback" not in said.err and len(said.err) < 2000
        assert said.err.startswith("error: ") or "usage:" in said.err
        assert "\x1b" not in said.err and "\0" not in said.err
    assert sorted(p.name for p in place.iterdir()) == before


@pytest.mark.parametrize("path", ["file", "pipe", "loop", "deep.h5", "/dev/zero", "/dev/null", "absent", *IMPOSSIBLE],
                         ids=lambda path: ascii(path)[:12])
def test_an_input_that_is_none(place, path, capsys):
    for argv in (["inspect", path], ["eval", path, path], ["export", path, "new"], ["train", path, "--output", "new"],
                 ["dashboard", path], ["publish", path], ["site", path],
                 ["train", "file", "--base", path, "--output", "new"],
                 ["base", "nano", "--check", "--output", path]):
        assert code_of(commands.main, argv) in (1, 2), argv
        said = capsys.readouterr()
        assert "Traceback" not in said.err and "\x1b" not in said.out + said.err
    for argv in (["--base", path], ["--weights", path], ["--data", "bridge", "--data-path", path], ["--profile", path],
                 ["--only", path], ["--from", path]):
        if path != "deep.h5":  # a folder is a data set without episodes, which the notebooks say
            assert code_of(cli.main, argv) == 2, argv
        assert "Traceback" not in capsys.readouterr().err


NO_NUMBER = ["٣", "²", "9" * 5000, "1e3", "0x10", "-1", "1.5", "nan", "", " 1", "1_0", "９"]


@pytest.mark.parametrize("text", NO_NUMBER, ids=lambda text: ascii(text)[:12])
def test_what_is_no_number(place, text, capsys):
    for main, argv in ((cli.main, ["--jobs", text]),
                       (commands.main, ["train", "x.h5", "--output", "y", "--seed", text]),
                       (commands.main, ["eval", "x", "y", "--episodes", text]),
                       (commands.main, ["download", "--to", "z", "--shards", text])):
        assert code_of(main, argv) == 2, argv
        assert "Traceback" not in capsys.readouterr().err


SETTINGS = ["2020-13-45", "2020-12-01", "9" * 3000, "[" * 1500, "&a [*a]", "{a: &x 1, b: *x}", "!!binary aGk=", "٣",
            ".nan", ".inf", "1e400", "{? [1] : 2}", "!!python/object/apply:os.system [touch pwned]", "\ud800", "- [",
            "~", "!!int ''"]


@pytest.mark.parametrize("value", SETTINGS, ids=lambda value: ascii(value)[:14])
def test_a_value_that_is_none(place, value, capsys):
    for name in ("n_top", "lr", "conditions", "criteria", "looks", "steps"):
        argv = ["--set", f"{name}={value}"]
        unset = value == "~" and name in ("looks", "steps")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("lewm_core.runner.execute.execute", lambda plan: True)
            assert code_of(cli.main, [*argv, "--output", "new"]) == (0 if unset else 2), argv
        said = capsys.readouterr().err
        assert "Traceback" not in said and len(said) < 5000
    for name in ("epochs", "lr", "steps", "batch_size"):
        if (name, value) != ("steps", "~"):
            with pytest.raises(InputError):
                arguments.check([f"--set={name}={value}"])
                read_recipe([f"{name}={value}"])
    assert not (place / "pwned").exists()


@pytest.mark.parametrize("values", [
    {"epochs": 0}, {"batch_size": 0}, {"lr": float("inf")}, {"lr": -1.0}, {"steps": "many"}, {"steps": 1.5},
    {"val_episodes": 1.0}, {"directions": 0}, {"lr": float("nan")}], ids=str)
def test_a_recipe_that_cannot_work(values):
    with pytest.raises(InputError, match=f"recipe: found {next(iter(values))}"):
        Recipe(**values)


@pytest.mark.parametrize("values", [
    {"dim": 0}, {"encoder_depth": 10**5}, {"image_size": "64"}, {"patch_size": 15}, {"encoder_heads": 7},
    {"history": 1e3}, {"dropout": float("nan")}, {"encoder_dim": 10**9}], ids=str)
def test_sizes_that_no_model_has(values):
    with pytest.raises(InputError, match="sizes of a LeWM"):
        LeWMConfig(**values)


@pytest.mark.parametrize("text", ["[]", "3", "{}", '{"digest": "x", "seconds": 1, "files": []}', "[" * 5000, "{", "",
                                  '{"digest": 3, "seconds": 1, "files": {}}',
                                  '{"digest": "x", "seconds": "y", "files": {}}'])
def test_a_stamp_that_is_none_counts_for_nothing(place, text):
    workspace = Workspace(place, place / "figures")
    workspace.stamps.mkdir()
    (workspace.stamps / "01_one.json").write_text(text)
    assert stamps.read(workspace, "01_one") == {}


@pytest.mark.parametrize("text", ["[]", "3", '{"parameters": []}', '{"parameters": {"01": 3}}', "[" * 5000, "{"])
def test_a_record_of_a_run_that_is_none(place, text, capsys):
    (place / "run.json").write_text(text)
    assert publish.with_controls(Workspace(place, place / "figures")) is False
    assert code_of(commands.main, ["dashboard", str(place)]) == 2
    assert "no record of a run" in capsys.readouterr().err


def test_a_profile_that_no_reader_should_follow(place):
    for content, sentence in ((b"a: &x [1]\nb: *x", "an alias"), (b"[" * 5000, "too deep"), (b"a: 2020-13-45", None),
                              (b"\xff\xfe", "decode"), (b"a: " + b"9" * 5000, "digits"), (b"x" * 2_000_000, "at most")):
        (place / "p.yaml").write_bytes(content)
        if sentence is None:
            assert parameters.read_profile(place / "p.yaml") == {"a": "2020-13-45"}
        else:
            with pytest.raises(InputError, match=sentence):
                parameters.read_profile(place / "p.yaml")
    with pytest.raises(InputError, match="a pipe"):
        parameters.read_profile(place / "pipe")


def test_plain_values_only():
    for text in ('{"a": [1, 2.5, null, true, "x"]}', "3", "NaN"):
        assert repr(plain.parse_json(text, "x")) == repr(json.loads(text))
    deep = "[" * plain.MOST_DEPTH + "]" * plain.MOST_DEPTH
    assert plain.parse_json(deep, "x") and plain.parse_yaml("{a: [1, b, 2.5, ~, true]}", "x")["a"][4] is True
    with pytest.raises(InputError, match="more than 100 deep"):
        plain.parse_json(f"[{deep}]", "x")


def test_a_full_disk_or_a_lost_folder_is_one_line(capsys):
    def full():
        raise OSError(28, "No space left on device", "/data/x\x1b[31m")

    assert arguments.answer(full, "") == 2
    assert capsys.readouterr().err.startswith("error: /data/x: found No space left on device; expected")


def test_an_unknown_word_is_shown_and_not_obeyed(place, capsys):
    for main, argv in ((commands.main, ["\u202einspect"]), (cli.main, ["--data", "\u202ebridge"])):
        assert code_of(main, argv) == 2
        said = capsys.readouterr().err
        assert r"\u202e" in said and "\u202e" not in said


def test_errors_are_of_bounded_length():
    error = InputError("x" * 10**6, "y" * 10**6, "z")
    assert len(str(error)) < 50_000 and "xx … xx" in str(error) and "xx: found yy" in str(error)


def test_the_plan_says_where_nothing_can_be_written(place):
    options = cli.parser().parse_args(["--output", "file"])
    with pytest.raises(InputError, match="--output: found file, but .*file is no folder"):
        plan.check_options(options)
