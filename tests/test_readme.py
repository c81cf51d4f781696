"""The commands of the README and of docs/how-to, as they stand: run_all.sh is planned, python -m lewm_core runs on
small stand-ins.

Names in them stand for: my.h5, a dataset; recordings, a folder of one's own; DIR, a folder that the download fills;
RUN, a finished run; runs/quick, a finished study; NEW, a path that is free; quentinll/lewm-cube, a small LeWM on a hub
that is a server on this machine.
"""

import io
import json
import re
import shlex
import threading
from functools import partial
from http.server import ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
from huggingface_hub import constants

from lewm_core import conditions
from lewm_core.dataset import contract
from lewm_core.losses import Term
from lewm_core.runner import cli, commands, download, plan
from lewm_core.utils import executors
from tests.checkpoints.test_hub import Hub, whole_lewm
from tests.finished import write_study
from tests.helpers import write_squares
from tests.recordings import write_recordings
from tests.stats.planted import Truth, table

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs/how-to").glob("*.md"))]
TEXT = "\n".join(page.read_text() for page in PAGES)
BLOCKS = dict.fromkeys(re.findall(r"```(\w+)\n(.*?)```", TEXT, re.DOTALL))
LINES = [line.partition("  #")[0].strip() for kind, text in BLOCKS if kind == "bash" for line in text.splitlines()]
PROSE = re.sub(r"```.*?```", "", TEXT, flags=re.DOTALL)
SPANS = [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", PROSE)]
COMMANDS = list(dict.fromkeys(line for line in (*LINES, *SPANS) if line))
RUN_ALL = [c.removeprefix("./run_all.sh").strip() for c in COMMANDS if c.startswith("./run_all.sh")]
PYTHON = [c.removeprefix("python -m lewm_core").strip() for c in COMMANDS if c.startswith("python -m lewm_core ")]
OPTIONS = [c for c in COMMANDS if re.match(r"--(set|study|base|profile)\b", c) and not re.search("…|name=value", c)]
WORDS = ("test", "lab", "publish", "bench", "site", "verify", "fuzz")
SLOW = ("base",)  # remakes the base, in 40 minutes: its own tests do it with a smaller one
SELECTION = "episode,task,length,full,pilot\ntabletop-000001,push,20,yes,yes\n"


class Repositories(dict):
    """Any repository has any file; lewm-cube is a whole one."""

    def get(self, name: str) -> dict[str, bytes]:
        return self["quentinll/lewm-cube"] if name == "quentinll/lewm-cube" else AnyFile()


class AnyFile(dict):
    def __bool__(self) -> bool:
        return True

    def get(self, name: str) -> bytes:
        return f"stand-in for {name}".encode()


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with the files that the README names, and the address of the hub."""
    folder = tmp_path_factory.mktemp("reader")
    write_squares(folder / "my.h5")
    write_study(folder / "runs/quick", table(Truth(), 3, np.random.default_rng(0)))
    write_recordings(folder / "recordings", videos=False)
    repositories = Repositories({"quentinll/lewm-cube": whole_lewm(folder / "made")})
    (folder / "DIR").mkdir()
    (folder / "runs/quick/plan_pilot.csv").write_text("condition,scale,seed,run\nA,pilot,0,0123456789abcdef\n")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Hub, repositories, []))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def reader(place, monkeypatch):
    """The reader's folder as the current one, no network but the hub's stand-in, and the rows of one's own."""
    folder, url = place
    monkeypatch.chdir(folder)
    monkeypatch.setattr(constants, "ENDPOINT", url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder / "hf"))
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: None)
    monkeypatch.setattr(download, "BRIDGE", f"{url}/bridge/release/resolve/main/")
    monkeypatch.setattr(download, "CODE", ())
    monkeypatch.setenv("no_proxy", "*")
    tables = {"Condition": conditions.CONDITIONS, "Column": contract.COLUMNS}
    names = {"Condition": conditions.Condition, "Term": Term, "Column": contract.Column,
             "normals": lambda depth: None}  # tests/test_own_signal.py has the function
    for row in [text for kind, text in BLOCKS if kind == "python"]:
        if found := re.search(r"^ *(Condition|Column)\(.*", row, re.MULTILINE | re.DOTALL):
            (own,) = eval(f"(\n{found[0]})", names)
            monkeypatch.setitem(tables[found[1]], own.name, own)
    monkeypatch.setattr(executors, "find_spec", lambda package: True)
    monkeypatch.setattr(executors, "check", executors.read)  # there is no cluster here
    return folder


def test_there_is_something_to_test():
    assert len(RUN_ALL) > 6 and len(PYTHON) > 4 and len(OPTIONS) > 4


@pytest.mark.parametrize("command", [*RUN_ALL, *OPTIONS])
def test_run_all_would_do_it(reader, command):
    arguments = shlex.split(command)
    if arguments[:1] == ["--help"]:
        with pytest.raises(SystemExit) as leave:
            cli.parser().parse_args(arguments)
        assert leave.value.code == 0
    elif arguments and arguments[0] in WORDS:
        assert f"\n{arguments[0]})\n" in (ROOT / "run_all.sh").read_text()
        assert f"./run_all.sh {arguments[0]}" in cli.EPILOG
    else:
        output = reader / "out-of-the-study"
        output.mkdir(exist_ok=True)
        (output / "selection.csv").write_text(SELECTION)  # a person ticked the pilot
        made = plan.make_plan(cli.parser().parse_args([*arguments, "--output", str(output)]))
        assert len(made.chosen) == len(made.notebooks)


def test_the_commands_work_one_after_another(reader, monkeypatch, capsys):
    """In the order of the pages, since a later one reads what an earlier one wrote."""
    for command in PYTHON:
        monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))  # the download's question
        arguments = shlex.split(command.replace("RUN", "out/A"))
        commands.parser().parse_args(arguments)
        if arguments[0] in SLOW or (arguments[-1].endswith(".rrd") and find_spec("rerun") is None):
            continue
        code, said = commands.main(arguments), capsys.readouterr()
        assert code == 0, said.out + said.err
    assert len(json.loads((reader / "DIR/checksums.json").read_text())) > 10
    assert (reader / "NEW/config.json").is_file()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_are_named_exist(page):
    text = page.read_text()
    named = [ROOT / name for name in re.findall(r"`((?:lewm_core|tests|notebooks|figures)/[\w./-]+\.\w+)`", text)]
    links = [page.parent / name for name in re.findall(r"\]\(([\w./-]+)\)", text)]
    assert [str(path) for path in (*named, *links) if not path.exists()] == []
