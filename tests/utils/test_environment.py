"""Pins that agree, and an installer that tells finished from unfinished."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def pins(text: str) -> dict[str, str]:
    lines = [line.partition("#")[0].strip() for line in text.splitlines()]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in lines if line), "exact public versions only"
    return {canonicalize_name(line.split("==")[0]): line.split("==")[1] for line in lines if line}


REQUIREMENTS = (ROOT / "requirements.txt").read_text()
DIRECT, LOCK = pins(REQUIREMENTS), pins((ROOT / "constraints.txt").read_text())
RUN, EXTRAS, DEV = (pins(part) for part in re.split(r"# (?:extras:.*|dev)\n", REQUIREMENTS))


def test_direct_pins_are_locked():
    assert {name: LOCK.get(name) for name in DIRECT} == DIRECT


def test_lock_suits_every_machine():
    assert not [n for n in LOCK if n.startswith(("nvidia", "cuda", "triton"))]


def test_lock_is_complete():
    """Every installed package that a direct dependency needs, at whatever remove, is locked."""
    todo, seen = list(DIRECT), set()
    while todo:
        name = todo.pop()
        if name in seen or name.startswith(("nvidia", "cuda", "triton")):
            continue
        seen.add(name)
        try:
            needs = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue  # of another platform
        for need in map(Requirement, needs):
            if need.marker is None or need.marker.evaluate({"extra": ""}):
                todo.append(canonicalize_name(need.name))
    installed = {canonicalize_name(d.metadata["Name"]) for d in metadata.distributions()}
    assert sorted((seen & installed) - LOCK.keys() - {"setuptools"}) == []


def test_conda_has_the_same_pins():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    python, pip, packages = environment["dependencies"]
    assert (python, pip) == ("python=3.11", "pip")
    constraint, *lines = packages["pip"]
    assert constraint == "-c constraints.txt" and pins("\n".join(lines)) == DIRECT


def test_lower_bounds_allow_the_pins():
    optional = PROJECT["optional-dependencies"]
    extras = [line for name in ("lerobot", "extract", "site") for line in optional[name]]
    for lines, expected in ((PROJECT["dependencies"], RUN), (extras, EXTRAS), (optional["dev"], DEV)):
        bounds = {canonicalize_name(r.name): r.specifier for r in map(Requirement, lines)}
        assert bounds.keys() == expected.keys()
        for name, bound in bounds.items():
            assert str(bound).startswith(">=") and bound.contains(expected[name])
    assert "torch>=2.11" in PROJECT["dependencies"]
    assert optional.keys() == {"lerobot", "extract", "rerun", "site", "dev", "swm", "compare", "lance", "ray", "slurm"}
    for extra in ("rerun", "lance", "ray", "slurm"):
        (package,) = map(Requirement, optional[extra])
        assert package.name not in DIRECT and package.specifier.contains(LOCK[package.name]), "locked, not installed"
    swm = {canonicalize_name(r.name): r.specifier for r in map(Requirement, optional["swm"])}
    assert "imageio" in swm, "which the wheel of stable-worldmodel forgets"
    assert all(bound.contains(DIRECT[name]) for name, bound in swm.items() if name in DIRECT), "the rest is not pinned"
    same, pinned = map(Requirement, optional["compare"])
    assert (same.name, same.extras) == (PROJECT["name"], {"swm"}) and str(pinned.specifier) == "==0.1.1"
    assert swm[pinned.name].contains("0.1.1"), "swm and compare can be installed together"


def test_every_import_is_a_direct_dependency():
    imported: dict[str, str] = {}
    for path in [*ROOT.glob("lewm_core/**/*.py"), *ROOT.glob("notebooks/*.py"), *ROOT.glob("benchmarks/*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            else:
                names = [node.module] if isinstance(node, ast.ImportFrom) and not node.level else []
            imported |= {name.split(".")[0]: path.name for name in names}
    own = {"lewm_core", "tests", "benchmarks"}  # benchmarks share the tests' writers
    known = {*sys.stdlib_module_names, *own, "cv2", "google"}  # cv2 and google: names shared by distributions
    owners = {m: {canonicalize_name(d) for d in ds} for m, ds in metadata.packages_distributions().items()}
    listed = RUN.keys() | EXTRAS.keys()
    foreign = {m: where for m, where in imported.items() if m not in known and not owners.get(m, set()) & listed}
    optional = {"IPython", "traitlets", "mistune", "httpx2"}  # come with ipykernel, ipywidgets, nbconvert, the hub's
    optional |= {"ray", "submitit"}  # the extras ray and slurm, for clusters
    optional |= {"lerobot", "tfrecord", "tensorflow", "tensorflow_datasets"}  # peers that benchmarks skip where absent
    optional |= {"stable_worldmodel", "stable_pretraining", "hydra"}  # the extra compare: skipped where it is absent
    assert {m: where for m, where in foreign.items() if m not in optional} == {}


def test_continuous_integration_runs_the_test_command():
    assert "./run_all.sh test" in (ROOT / ".ci/run").read_text()
    assert subprocess.run(["bash", "-n", ROOT / ".ci/run"]).returncode == 0


@pytest.fixture
def copy(tmp_path):
    """run_all.sh and what it reads, in a folder with a space in its name; nothing to install."""
    root = tmp_path / "a copy"
    (root / "lewm_core").mkdir(parents=True)
    shutil.copy(ROOT / "run_all.sh", root)
    shutil.copy(ROOT / "pyproject.toml", root)
    for name in ("__init__.py", "runner/__init__.py", "runner/arguments.py", "runner/cli.py", "sources/__init__.py",
                 "sources/registry.py", "utils/__init__.py", "utils/errors.py", "utils/escape.py", "utils/executors.py",
                 "utils/files.py", "utils/provenance.py", "utils/sealed.py", "utils/temporary.py",
                 "utils/workspace.py"):
        (root / "lewm_core" / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / "lewm_core" / name, root / "lewm_core" / name)
    for name in ("requirements.txt", "constraints.txt"):
        (root / name).write_text("")
    return root


def run_all(root: Path, *arguments: str, **env: str | None) -> subprocess.CompletedProcess:
    base = {k: v for k, v in os.environ.items() if k not in ("VIRTUAL_ENV", "CONDA_PREFIX", "PYTHONPATH", "PYTHON")}
    command = [str(root / "run_all.sh"), *arguments]
    return subprocess.run(
        command,
        env=base | {"PYTHON": sys.executable, "PIP_NO_INDEX": "1"} | env,
        cwd="/",
        capture_output=True,
        text=True,
    )


def test_help_installs_nothing(copy):
    done = run_all(copy, "--help")
    assert done.returncode == 0 and "./run_all.sh test" in done.stdout, done.stderr
    assert not (copy / ".venv").exists()


def test_active_environment_is_used(copy):
    done = run_all(copy, "test", "--version", VIRTUAL_ENV=sys.prefix)
    assert done.returncode == 0 and "pytest" in done.stdout + done.stderr
    assert not (copy / ".venv").exists()


def test_benchmarks_run_by_name(copy):
    (copy / "benchmarks").mkdir()
    (copy / "benchmarks/echo.py").write_text("import sys, lewm_core, benchmarks.public_x\nprint(sys.argv[1:])\n")
    (copy / "benchmarks/public_x.py").write_text("")
    done = run_all(copy, "bench", "echo", "--size", "7 8", VIRTUAL_ENV=sys.prefix)
    assert done.returncode == 0 and "['--size', '7 8']" in done.stdout, done.stderr
    for wrong in (["nothing"], []):
        done = run_all(copy, "bench", *wrong, VIRTUAL_ENV=sys.prefix)
        assert done.returncode == 2 and "There are: echo \n" in done.stderr, "parts of others are not named"


def test_unsuitable_python(copy):
    bin = copy / "bin"
    bin.mkdir()
    for name in ("bash", "dirname", "env"):
        (bin / name).symlink_to(shutil.which(name))
    done = run_all(copy, "--help", PATH=str(bin), PYTHON="no-such-python")
    assert done.returncode == 2 and done.stderr.count("error:") == 1 and "Install Python 3.11" in done.stderr


@pytest.mark.slow
def test_install_once_and_never_half(copy):
    (copy / "lewm_core/runner/cli.py").write_text("import sys\nprint('started', sys.prefix)\n")
    stamp = copy / ".venv/installed"
    first = run_all(copy)
    assert first.returncode == 0 and "Installing" in first.stderr, first.stderr
    assert f"started {copy / '.venv'}" in first.stdout
    second = run_all(copy, VIRTUAL_ENV=str(copy / "no-environment"))
    assert second.returncode == 0 and "Installing" not in second.stderr
    (copy / "requirements.txt").write_text("no-such-package==1\n")
    broken = run_all(copy)
    assert broken.returncode == 2 and "Installing" in broken.stderr, "a changed pin installs again"
    assert "could not install" in broken.stderr and "started" not in broken.stdout and not stamp.exists()
    found = subprocess.run([copy / ".venv/bin/python", "-c", "import lewm_core"], cwd="/", capture_output=True)
    assert found.returncode == 0, "a notebook opened by hand finds lewm_core"
