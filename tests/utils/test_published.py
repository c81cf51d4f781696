"""What others' services run of this repository: the workflow's commands exist, all install the same pins, and there is
one place that says where it is published."""

import os
import re
import tomllib
from pathlib import Path

import nbformat
import yaml

from lewm_core.runner import cli, commands

ROOT = Path(__file__).resolve().parents[2]
ADDRESS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]["Repository"]
WORKFLOW = yaml.safe_load((ROOT / ".github/workflows/site.yml").read_text())


def run_all(line: str) -> None:
    """InputError or SystemExit unless the command line tool knows the command."""
    first, *rest = line.replace('"$PROFILE"', "laptop").replace("{PROFILE}", "smoke").split()
    if first == "site":
        commands.parser().parse_args([first, *rest])
        return
    options = cli.parser().parse_args([first, *rest])
    assert (ROOT / f"notebooks/profiles/{options.profile}.yaml").is_file()


def test_the_workflow_runs_what_there_is():
    steps = [step for job in WORKFLOW["jobs"].values() for step in job["steps"]]
    lines = [step["run"] for step in steps if "run" in step]
    assert ".ci/run" in lines and os.access(ROOT / ".ci/run", os.X_OK)
    calls = [line.removeprefix("./run_all.sh ") for line in lines if line.startswith("./run_all.sh ")]
    assert {"--profile smoke", "site smoke"} < set(calls)
    for call in calls:
        run_all(call)
    used = [step["uses"] for step in steps if "uses" in step]
    assert {"actions/upload-pages-artifact", "actions/deploy-pages"} <= {name.partition("@")[0] for name in used}
    assert all(re.fullmatch(r"actions/[\w-]+@v\d+", name) for name in used)
    needed = {job: WORKFLOW["jobs"][job].get("needs") for job in ("build", "publish")}
    assert needed == {"build": ["tests", "smoke"], "publish": "build"}, "nothing is published that fails"


def test_binder_installs_the_same_pins():
    text = (ROOT / "binder/postBuild").read_text()
    assert "-r requirements.txt -c constraints.txt" in text and os.access(ROOT / "binder/postBuild", os.X_OK)
    assert (ROOT / "binder/runtime.txt").read_text().strip() == "python-3.11"


def test_the_colab_notebook_runs_what_there_is():
    notebook = nbformat.read(ROOT / "binder/colab.ipynb", 4)
    nbformat.validate(notebook)
    code = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    assert re.findall(r"git clone -q (\S+)", code) == [ADDRESS]
    for call in re.findall(r"\./run_all\.sh (.+)", code):
        run_all(call)
    assert not any(cell.get("outputs") for cell in notebook.cells)


def test_badges_are_of_this_repository():
    """Wherever the README links to a service that names a repository, it is this one."""
    named = re.findall(r"(?:mybinder\.org/v2/gh|colab\.research\.google\.com/github|github\.com)/([\w.-]+/[\w.-]+)",
                       (ROOT / "README.md").read_text())
    own = ADDRESS.removeprefix("https://github.com/")
    assert {name for name in named if name.partition("/")[2] == own.partition("/")[2]} <= {own}
