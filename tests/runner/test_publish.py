"""A finished run becomes the one that the repository shows, as a whole or not at all; other runs change nothing."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lewm_core.runner import publish, stamps
from lewm_core.stats import answer, claims_report
from lewm_core.utils.errors import InputError
from lewm_core.utils.workspace import FIGURES, ROOT, Workspace

STUB = """\
# %% tags=["parameters"]
output = "runs/quick"
figures = "figures/quick"

# %%
from pathlib import Path
(Path(figures) / "figure1.csv").write_text("new")
(Path(output) / "selection.csv").write_text("episode\\n1\\n")
"""


@pytest.fixture
def place(tmp_path):
    """A run of two notebooks that is finished: the committed claims are its claims."""
    place = Workspace(tmp_path / "runs/quick", tmp_path / "figures/quick")
    for folder in (place.figures, place.output):
        folder.mkdir(parents=True)
    for name in ("figure1.csv", "figure1.png", "claims.csv"):
        shutil.copy(FIGURES / name, place.figures)
    stamps.write(place, "01_one", "digest", 1.0, [place.figures / "figure1.csv", place.figures / "figure1.png"])
    stamps.write(place, "02_two", "digest", 1.0, [place.figures / "claims.csv", place.output / "run.json"])
    (place.output / "run.json").touch()
    return place


NAMES = ["01_one", "02_two"]


def test_the_figures_of_a_finished_run_replace_the_older_ones(place, tmp_path):
    (place.figures / "by_hand.png").touch()
    figures = tmp_path / "figures"
    (figures / "control_old.svg").write_text("old")
    (figures / "figure1.csv").write_text("old")
    new = publish.finished(place, NAMES)
    assert [p.name for p in new] == ["claims.csv", "figure1.csv", "figure1.png"], "what no notebook wrote is left out"
    assert publish.replace_figures(new, figures) == ["control_old.svg"]
    assert sorted(p.name for p in figures.iterdir() if p.is_file()) == ["claims.csv", "figure1.csv", "figure1.png"]
    assert (figures / "figure1.csv").read_bytes() == (place.figures / "figure1.csv").read_bytes()


def test_an_unfinished_or_edited_run_is_refused(place):
    with pytest.raises(InputError, match="no finished 03_three"):
        publish.finished(place, [*NAMES, "03_three"])
    with pytest.raises(InputError, match="no claims.csv"):
        publish.finished(place, ["01_one"])
    (place.figures / "figure1.csv").write_text("edited")
    with pytest.raises(InputError, match="no finished 01_one"):
        publish.finished(place, NAMES)


@pytest.fixture
def clone(tmp_path):
    """A commit of our code with one notebook in place of ours."""
    root = tmp_path / "clone"
    shutil.copytree(ROOT / "lewm_core", root / "lewm_core", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("README.md", ".gitignore"):
        shutil.copy(ROOT / name, root)
    shutil.copytree(FIGURES, root / "figures", ignore=lambda folder, names: [n for n in names if n[:6] != "claims"])
    (root / "notebooks/profiles").mkdir(parents=True)
    (root / "notebooks/01_stub.py").write_text(STUB)
    for profile in ("quick", "laptop"):
        (root / f"notebooks/profiles/{profile}.yaml").touch()
    git(root, "init", "-q")
    git(root, "add", ".")
    git(root, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "all")
    return root


def git(root: Path, *arguments: str) -> str:
    return subprocess.run(["git", "-C", root, *arguments], check=True, capture_output=True, text=True).stdout


def python(root: Path, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, *arguments], cwd=root, capture_output=True, text=True, timeout=120,
                          env=os.environ | {"PYTHONPATH": str(root)})


def test_a_run_leaves_the_clone_clean_until_it_is_published(clone):
    for options in ((), ("--profile", "laptop")):
        done = python(clone, "-m", "lewm_core.runner.cli", *options)
        assert done.returncode == 0, done.stderr
    assert (clone / "figures/laptop/figure1.csv").read_text() == "new"
    assert git(clone, "status", "--porcelain") == ""

    refused = python(clone, "-m", "lewm_core", "publish", "laptop")
    assert refused.returncode == 2 and "no claims.csv" in refused.stderr
    unknown = python(clone, "-m", "lewm_core", "publish", "paper")
    assert unknown.returncode == 2 and "one of laptop, quick" in unknown.stderr
    assert git(clone, "status", "--porcelain") == "", "refused as a whole"

    shown = claims_report.read(clone / "figures/claims.csv").profile.iloc[0]
    write_claims = f"\n# %%\nclaims = Path('figures/claims.csv').read_text().replace({shown!r}, 'another')\n"
    write_claims += "(Path(figures) / 'claims.csv').write_text(claims)\n"
    (clone / "notebooks/01_stub.py").write_text(STUB + write_claims)
    assert python(clone, "-m", "lewm_core.runner.cli", "--profile", "laptop").returncode == 0
    done = python(clone, "-m", "lewm_core", "publish", "laptop")
    assert done.returncode == 0 and "figures/laptop" in done.stdout, done.stderr
    changed = {line[3:] for line in git(clone, "status", "--porcelain").splitlines()}
    assert changed >= {"figures/claims.csv", "figures/figure1.csv", "README.md"}
    table = claims_report.read(clone / "figures/claims.csv")
    text = (clone / "README.md").read_text()
    assert "profile another" in answer.answer(table) and all(told(table) in text for told in answer.BLOCKS.values())
