"""The runner on tiny notebooks: options, reuse, failure, interruption, and where it writes."""

import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import papermill
import psutil
import pytest

from lewm_core.runner import cli, execute, plan, progress
from lewm_core.utils import parameters, provenance
from lewm_core.utils.errors import InputError
from lewm_core.utils.workspace import ROOT, Workspace

ONE = """\
# %% [markdown]
# # One

# %% tags=["parameters"]
n = 3
rate = 0.5
names = ["A"]
profile = "none"
output = ""
figures = ""

# %%
from pathlib import Path
with open(Path(output) / ".jupyter/ran", "a") as f:
    f.write("1")
if not (Path(output) / "selection.csv").exists():
    (Path(output) / "selection.csv").write_text("episode\\n1\\n")
"""
TWO = """\
# %% tags=["parameters"]
label = "x"
jobs = 1
output = ""
figures = ""

# %%
from pathlib import Path
with open(Path(output) / ".jupyter/ran", "a") as f:
    f.write("2")
(Path(figures) / "a.csv").write_text(label)
"""


class Study:
    """A folder of notebooks with its output folder."""

    def __init__(self, folder: Path):
        self.folder, self.out = folder / "notebooks", folder / "out"
        (self.folder / "profiles").mkdir(parents=True)
        self.write("01_one.py", ONE)
        self.write("02_two.py", TWO)
        self.write("profiles/quick.yaml", "n: 4\nlabel: from the profile\n")
        self.write("profiles/smoke.yaml", "")

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)

    def run(self, *options: str) -> int:
        return cli.main(["--output", str(self.out), *options], self.folder)

    def ran(self) -> str:
        """Which notebooks have run since the last call."""
        log = self.out / ".jupyter/ran"
        text = log.read_text() if log.exists() else ""
        log.unlink(missing_ok=True)
        return text

    def plan(self, *options: str) -> plan.Plan:
        return plan.make_plan(cli.parser().parse_args(["--output", str(self.out), *options]), self.folder)

    def start(self, home: Path, *options: str) -> subprocess.Popen:
        code = "import sys; from pathlib import Path; from lewm_core.runner import cli; "
        code += "sys.exit(cli.main(sys.argv[2:], Path(sys.argv[1])))"
        command = [sys.executable, "-c", code, str(self.folder), "--output", str(self.out), *options]
        hidden = ("JUPYTER", "IPYTHON", "MPL", "XDG")
        env = {k: v for k, v in os.environ.items() if not k.startswith(hidden)} | {"HOME": str(home)}
        env["PYTHONPATH"] = str(ROOT)
        pipe = subprocess.PIPE
        return subprocess.Popen(command, env=env, cwd=home, stdout=pipe, stderr=pipe, text=True, start_new_session=True)


@pytest.fixture
def study(tmp_path):
    return Study(tmp_path)


@pytest.fixture
def without_kernel(monkeypatch):
    """Execute cells in this process: for tests of what is run, not of how."""

    def execute(source, target, values, **_):
        node = nbformat.read(source, 4)
        scope: dict = {}
        for cell in node.cells:
            if cell.cell_type == "code":
                exec(cell.source, scope)
                scope.update(values if "parameters" in cell.metadata.get("tags", []) else {})
        nbformat.write(node, target)
        return node

    monkeypatch.setattr(papermill, "execute_notebook", execute)
    monkeypatch.setattr(provenance, "code_digest", lambda *_: "same")


def test_parameters_profile_then_options(study):
    p = study.plan("--set", "rate=5e-5", "--set", "names=[B, C2]", "--set", "label=3", "--jobs", "2")
    one, two = p.values["01_one"], p.values["02_two"]
    assert one["n"] == 4 and two["label"] == "3", "the profile's value, unless it is set; a text stays one"
    assert one["rate"] == 5e-5 and one["names"] == ["B", "C2"]
    assert two["jobs"] == 2 and "jobs" not in one and one["profile"] == "quick"
    assert one["output"] == str(study.out.resolve()) and two["figures"] == str(study.out.resolve() / "figures")
    assert study.plan("--profile", "smoke").values["02_two"].keys() == {"output", "figures"}


def test_weights_are_given_where_they_are_declared_and_their_files_decide(study, tmp_path):
    study.write("03_three.py", """# %% tags=["parameters"]\nweights = ""  # folder\n""")
    folder = tmp_path / "weights"
    folder.mkdir()
    one = study.plan("--weights", str(folder))
    assert one.values["03_three"]["weights"] == str(folder) and "weights" not in one.values["02_two"]
    (folder / "scaled_offline.pth").write_text("weights")
    assert study.plan("--weights", str(folder)).inputs != one.inputs
    with pytest.raises(InputError, match="--weights"):
        study.plan("--weights", str(folder / "nowhere"))


def test_the_study_reaches_only_the_notebooks_that_know_it(study):
    study.write("02_two.py", TWO.replace('label = "x"', 'label = "x"\ncontrols = False'))
    plain, explicit, more = study.plan(), study.plan("--study", "main"), study.plan("--study", "controls")
    assert plain.values == explicit.values and "controls" not in plain.values["02_two"]
    assert more.values["02_two"] == plain.values["02_two"] | {"controls": True}
    assert more.values["01_one"] == plain.values["01_one"]
    with pytest.raises(InputError, match="unknown parameter controls"):
        study.plan("--set", "controls=true")


@pytest.mark.parametrize(
    "options, message",
    [
        (["--profile", "huge"], "one of quick, smoke"),
        (["--set", "nn=3"], "one of label, n, names, rate"),
        (["--set", "n=many"], "a whole number"),
        (["--set", "n=2.5"], "a whole number"),
        (["--set", "n=true"], "a whole number"),
        (["--set", "names=A"], "a list"),
        (["--set", "names=[A, 1]"], "a text"),
        (["--set", "rate=fast"], "a number"),
        (["--set", "n"], "NAME=VALUE"),
        (["--set", "output=x"], "unknown parameter"),
        (["--set", "jobs=2"], "unknown parameter"),
        (["--only", "07"], "one of 01_one, 02_two"),
        (["--from", "two"], "one of 01_one, 02_two"),
        (["--jobs", "0"], "at least 1"),
        (["--data", "bridge"], "--data-path"),
        (["--data", "lerobot"], "--data-path"),
        (["--data", "bridge", "--data-path", "/no/such"], "a folder that exists"),
        (["--data-path", "/"], "it with --data bridge or lerobot"),
        (["--base", "no_such.safetensors"], "tabletop, retrain, random"),
    ],
)
def test_bad_options_stop_before_any_work(study, capsys, options, message):
    assert study.run(*options) == 2
    assert message in capsys.readouterr().err
    assert not study.out.exists()


@pytest.mark.parametrize("options", [["--unknown"], ["--only", "01", "--from", "02"], ["--data", "cube"]])
def test_argparse_errors_have_the_same_code(study, options):
    with pytest.raises(SystemExit) as stopped:
        study.run(*options)
    assert stopped.value.code == 2


@pytest.mark.parametrize(
    "text, message",
    [("nn: 3", "unknown parameter nn"), ("n: many", "a whole number"), ("- n", "parameter: value"), ("n: [", "YAML")],
)
def test_bad_profile(study, capsys, text, message):
    study.write("profiles/quick.yaml", text)
    assert study.run() == 2
    error = capsys.readouterr().err
    assert "quick.yaml" in error and message in error


def test_parameters_cell_must_hold_literals():
    with pytest.raises(InputError, match="m = n \\+ 1"):
        parameters.declared("n = 3\nm = n + 1", "01_one.py")
    assert parameters.declared("n: int = -3  # frames\nm = None", "01_one.py") == {"n": -3, "m": None}


def test_only_and_from(study, without_kernel):
    assert study.plan("--from", "02").chosen == {"02_two"}
    assert study.plan("--only", "01,02_two").chosen == study.plan("--only", "01", "--only", "02").chosen
    assert study.run("--only", "02") == 2 or study.ran() == "2"


def test_help_needs_only_the_standard_library(tmp_path):
    command = [sys.executable, "-S", "-m", "lewm_core.runner.cli", "--help"]
    done = subprocess.run(command, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for option in "--profile --only --from --data --data-path --base --set --jobs --output --force".split():
        assert option in done.stdout


@pytest.mark.parametrize("options", [["--profile", "huge"], ["--set", "nn=3"], ["--data", "bridge"],
                                     ["--base", "/no/such"]])
def test_a_wrong_option_imports_nothing_slow(options):
    """Each of these takes a second or more; what is imported is counted, since the time depends on the machine."""
    code = "import sys; from lewm_core.runner import cli; cli.main(sys.argv[1:]); "
    code += "print([m for m in ('torch', 'jupytext', 'scipy', 'pandas', 'sklearn', 'mujoco') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code, *options], cwd=ROOT, capture_output=True, text=True)
    assert done.stderr.startswith("error: ") and done.stdout.strip() == "[]", done.stderr


def test_reuse(study, without_kernel, capsys):
    def again(*options: str) -> str:
        assert study.run(*options) == 0
        return study.ran()

    figure, html = study.out / "figures/a.csv", study.out / "notebooks/02_two.html"
    assert again() == "12" and figure.read_text() == "from the profile"
    capsys.readouterr()
    assert again() == "" and "nothing changed, reused" in capsys.readouterr().err
    assert again("--jobs", "2") == "", "the number of processes decides no result"
    assert again("--force") == "12"
    assert again("--force", "--only", "02") == "2"
    assert again("--set", "label=new") == "2" and figure.read_text() == "new"
    assert again() == "2"
    (study.out / "selection.csv").write_text("episode\n2\n")
    assert again() == "2", "an edited selection concerns those who read it, not the one who wrote it"
    assert (study.out / "selection.csv").read_text() == "episode\n2\n"
    html.unlink()
    assert again() == "2" and html.exists()
    figure.write_text("edited")
    assert again() == "2" and figure.read_text() == "from the profile"
    figure.unlink()
    assert again() == "2"
    study.write("02_two.py", TWO + "\n# %%\n1 + 1\n")
    assert again() == "2"
    study.write("01_one.py", ONE + "\n# %%\n1 + 1\n")
    assert again() == "12", "whoever reads what 01 wrote runs again, too"
    (study.out / "stamps/01_one.json").write_text("{")
    assert again("--only", "01") == "1"
    report = json.loads((study.out / "run.json").read_text())
    assert report["run"] == "quick" and report["notebooks"]["01_one"]["state"] == "done"


@pytest.mark.parametrize("name", ["figures/a.csv", "notebooks/02_two.html", "notebooks/02_two.ipynb",
                                  "stamps/02_two.json", "table.csv"])
@pytest.mark.parametrize("damage", [lambda b: b[:-2] + bytes([b[-2] ^ 4]) + b[-1:], lambda b: b""],
                         ids=["a flipped bit", "emptied"])
def test_what_is_damaged_is_named_and_made_again(study, without_kernel, capsys, name, damage):
    study.write("02_two.py", TWO + """
import pandas as pd
from lewm_core.utils.files import write_csv
write_csv(Path(output) / "table.csv", pd.DataFrame({"x": [1.5]}))
""")
    assert study.run() == 0 and study.ran() == "12"
    path = study.out / name
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    capsys.readouterr()
    assert study.run() == 0 and study.ran() == "2"
    told = [line for line in capsys.readouterr().err.splitlines() if f"{study.out}/{name} is damaged" in line]
    assert len(told) == 1 and "made again" in told[0]
    if name.endswith("csv"):
        assert path.read_bytes() == whole
    assert study.run() == 0 and study.ran() == ""


def test_what_a_killed_run_left_is_swept(study, without_kernel):
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    left = [study.out / f"figures/.a.{gone.pid}.png", study.out / f".table.{gone.pid}.csv",
            study.out / f"runs/.0123456789abcdef.{gone.pid}/model.safetensors"]
    for path in left:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("half")
    assert study.run() == 0 and not any(path.exists() for path in left) and not left[2].parent.exists()


def test_a_drive_without_locks_is_told_of(study, without_kernel, capsys, monkeypatch):
    def none(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", none)
    assert study.run() == 0 and "cannot be locked (No locks available)" in capsys.readouterr().err


@pytest.mark.parametrize("part", ["summary", "page", "notebook"])
def test_a_full_disk_is_one_line_that_names_the_file(study, without_kernel, capsys, monkeypatch, part):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    place = {"summary": (execute, "write_json"), "page": (Path, "write_text"), "notebook": (papermill,
                                                                                            "execute_notebook")}[part]
    monkeypatch.setattr(*place, full)
    assert study.run() == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ") and str(study.out) in error and "no room" in error
    assert not list(study.out.glob("**/.*.ipynb"))


def test_changed_code_runs_again(study, without_kernel, monkeypatch):
    assert study.run() == 0 and study.ran() == "12"
    monkeypatch.setattr(provenance, "code_digest", lambda *_: "changed")
    assert study.run() == 0 and study.ran() == "12"


def test_changed_data_runs_again(study, without_kernel, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    options = "--data", "bridge", "--data-path", str(data)
    assert study.run(*options) == 0 and study.ran() == "12"
    assert study.run(*options) == 0 and study.ran() == ""
    (data / "shard").write_text("x")
    assert study.run(*options) == 0 and study.ran() == "12"


def test_one_run_at_a_time(study, capsys):
    lock = study.out / ".jupyter/lock"
    lock.parent.mkdir(parents=True)
    with open(lock, "w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert study.run() == 2
    assert "another run" in capsys.readouterr().err


def test_executed_notebooks_and_nothing_elsewhere(study, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    cell = "\n# %%\nimport os, sys\nimport lewm_core\nprint('MPL', os.environ['MPLCONFIGDIR'], os.getcwd())\n"
    cell += "print('10%\\r20%\\r30% left', file=sys.stderr)\n"
    study.write("01_one.py", ONE + cell)
    before = {p for p in tmp_path.rglob("*") if study.out not in (p, *p.parents)}
    process = study.start(home, "--only", "01")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "01_one" in out and "done" in out and "Traceback" not in err
    assert {p for p in tmp_path.rglob("*") if study.out not in (p, *p.parents)} == before
    node = nbformat.read(study.out / "notebooks/01_one.ipynb", 4)
    printed = {o.name: o.text for o in node.cells[-1].outputs}
    assert printed["stdout"].split() == ["MPL", str(study.out / ".jupyter/matplotlib"), str(ROOT)]
    assert printed["stderr"] == "30% left\n", "what a progress bar has overwritten is not kept"
    page = (study.out / "notebooks/01_one.html").read_text()
    assert "<h1" in page and '<script src="https:' not in page
    assert not list(study.out.glob("notebooks/*running*"))


def test_failing_cell(study, capsys):
    study.write(
        "01_one.py",
        ONE + "\n# %%\nfrom lewm_core.utils.errors import InputError\n"
        "raise InputError('x.csv', 'nothing', 'rows', 'Add some.')\n",
    )
    good = study.out / "notebooks/01_one.ipynb"
    good.parent.mkdir(parents=True)
    good.write_text("good")
    assert study.run() == 1
    error = capsys.readouterr().err
    assert "01_one failed in cell In [4]:\n  x.csv: found nothing; expected rows. Add some.\n" in error
    failed = good.with_name("01_one.failed.ipynb")
    assert str(failed) in error and "x.csv" in failed.read_text()
    assert good.read_text() == "good" and study.ran() == "1", "02 is not run after a failure"
    assert not (study.out / "stamps/01_one.json").exists()


def test_interrupt(study, tmp_path):
    study.write(
        "01_one.py",
        ONE + "\n# %%\nimport os, subprocess, time\nworker = subprocess.Popen(['sleep', '60'])\n"
        "(Path(output) / 'pids').write_text(f'{os.getpid()} {worker.pid} ')\ntime.sleep(60)\n",
    )
    home, pids = tmp_path / "home", study.out / "pids"
    home.mkdir()
    process = study.start(home)
    limit = time.monotonic() + 60
    while not (pids.exists() and pids.read_text().endswith(" ")) and process.poll() is None:
        assert time.monotonic() < limit
        time.sleep(0.05)
    start = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130, err
    assert time.monotonic() - start < 8 and "goes on from there" in err and "Traceback" not in err
    for pid in map(int, pids.read_text().split()):
        assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    assert not (study.out / "stamps/01_one.json").exists() and not list(study.out.glob("notebooks/*.ipynb"))


def test_progress_in_a_log_file(capsys, monkeypatch):
    monkeypatch.setattr(progress, "EVERY", 0.0)
    p = progress.Progress(1)
    p.start("01_one")
    p.cell(2, 5)
    p.write("\x1b[A\r 10% | 1/10\r 20% | 2/10 [00:01<00:04]\n")
    p.write("\r\n")
    p.done("01_one: done")
    p.close()
    assert capsys.readouterr().err.splitlines() == [
        "01_one: started",
        "01_one  cell 2/5  20% | 2/10 [00:01<00:04]",
        "01_one: done",
    ]


def test_places():
    quick, bridge = Workspace.of_run("quick"), Workspace.of_run("smoke", "bridge")
    assert (quick.output, quick.figures) == (ROOT / "runs/quick", ROOT / "figures/quick")
    assert (bridge.output, bridge.figures) == (ROOT / "runs/smoke-bridge", ROOT / "figures/smoke-bridge")
    assert quick.dataset_file.name == "dataset.h5" and quick.results("full").name == "results_full.csv"
    with pytest.raises(InputError, match="one of pilot, full"):
        quick.results("medium")
    with pytest.raises(InputError, match=r"scores.csv: found no such file.*02_extraction.*--only 02"):
        Workspace("runs/none", "figures/none").need(ROOT / "runs/none/scores.csv", made_by="02_extraction")
    assert quick.need(ROOT / "run_all.sh") == ROOT / "run_all.sh"
