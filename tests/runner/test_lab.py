"""`./run_all.sh lab` as a reader uses it: a double click opens a notebook, saving changes no source, outputs stay."""

import shutil
import subprocess
import sys
from pathlib import Path

import jupytext
import pytest
from jupytext.config import load_jupytext_config

from lewm_core.runner import notebook
from lewm_core.utils.workspace import ROOT
from tests.viz.test_in_browser import browser_page, expect, private, pytestmark, served, until  # noqa: F401

SHOWN = "min_depth_range"  # in the output of the cell that is run


def test_what_jupytext_writes_is_what_is_committed():
    for path in notebook.paths():
        config = load_jupytext_config(str(path))
        read = jupytext.read(path, config=config)
        assert jupytext.writes(read, fmt="py:percent", config=config) == path.read_text(), path.name


@pytest.fixture
def clone(tmp_path) -> Path:
    """A clone of the working tree in which git tells what changes."""
    root = tmp_path / "clone"
    listed = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, text=True,
                            capture_output=True, check=True).stdout.splitlines()
    for name in listed:
        if (ROOT / name).is_file() and not name.startswith(("figures/", "tests/")):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, root / name)
    for command in (["init", "-q"], ["add", "-A"], ["-c", "user.name=x", "-c", "user.email=x", "commit", "-qm", "x"]):
        subprocess.run(["git", *command], cwd=root, check=True)
    return root


def test_a_notebook_is_opened_run_saved_and_opened_again(clone, tmp_path):
    options = {"viewport": {"width": 1400, "height": 1000}}
    command = [str(clone / "run_all.sh"), "lab"]
    with (served(command, clone, tmp_path / "server.log", VIRTUAL_ENV=sys.prefix) as (address, token),
          browser_page(tmp_path / "lab.png", **options) as page):
        page.goto(f"{address}/?token={token}")
        page.locator(".jp-DirListing-item", has_text="01_curation.py").dblclick(timeout=60_000)
        expect(page.locator(".jp-Notebook h1")).to_contain_text("01 · Curation", timeout=60_000)
        page.get_by_text("Python 3 (ipykernel) | Idle").wait_for(timeout=60_000)
        assert page.get_by_text("Jupyter news").count() == 0
        cells = page.locator(".jp-Notebook .jp-CodeCell")
        cells.nth(0).locator(".cm-content").click()
        for _ in range(4):  # the parameters, the imports, the heading, the criteria
            page.keyboard.press("Shift+Enter")
        expect(page.locator(".jp-OutputArea").get_by_text(SHOWN)).to_be_visible(timeout=90_000)
        page.keyboard.press("Control+s")
        pair = clone / "runs/lab/01_curation.ipynb"
        until(lambda: pair.exists() and SHOWN in pair.read_text(), 20)
        assert subprocess.run(["git", "status", "--porcelain"], cwd=clone, capture_output=True, text=True).stdout == ""
        page.reload()
        expect(page.locator(".jp-OutputArea").get_by_text(SHOWN)).to_be_visible(timeout=60_000)
