"""A study of real data whose task texts try to be more than text, in folders whose names do: its exported notebooks,
its dashboard and its site obey none of it, and none of it stops the study."""

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from lewm_core.runner import site
from lewm_core.utils import escape
from lewm_core.utils.workspace import CONTROLS, ROOT, Workspace
from tests import canary, hostile_data
from tests.hostile import HTML, TEXTS

FOLDER = "`$x^{` [a](b) <img src=x onerror=top.canary=1>"  # of the data, and of what the study writes
FEW = ("script", "closing", "image", "svg", "double quote", "half a formula", "link", "colours", "bidi", "long word",
       "overwritten", "table")


def run(tmp: Path, texts: dict[str, str], *options: str) -> Path:
    """The study's folder."""
    data, output = hostile_data.write(tmp / "data" / FOLDER, texts), tmp / "study" / FOLDER
    command = [sys.executable, "-m", "lewm_core.runner.cli", "--profile", "smoke", "--jobs", "1", "--data", "bridge",
               "--data-path", data, "--output", output, "--set", "n_candidates=0", "--set", f"n_shown={len(texts)}"]
    done = subprocess.run([*command, *options], cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout
    assert not set("\x1b\0\u202e") & set(done.stdout)
    return output


def test_the_curation_obeys_nothing(tmp_path):
    texts = {name: TEXTS[name] for name in FEW}
    output = run(tmp_path, texts, "--only", "01", "--set", "n_full=6", "--set", "n_top=8")
    bad = pd.read_csv(output / "bad_episodes.csv")
    assert bad.episode.tolist() == [f"train-00000-{len(texts):04}"]
    assert set(pd.read_csv(output / "scores.csv").task) >= {texts["overwritten"], texts["image"]}, "kept as they are"
    page = (output / "notebooks" / "01_curation.html").read_text()
    assert all(escape.html(texts[name], 120) in page for name in ("script", "half a formula", "bidi"))
    for name in ("all_cameras", "curation_contact_sheet", "signals_sheet"):
        assert (output / "figures" / f"{name}.png").stat().st_size > 10_000
    assert canary.obeyed([output / "notebooks" / "01_curation.html"]) == {}


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_whole_study_and_its_site_obey_nothing(tmp_path):
    settings = ("conditions=[A, D]", "full_conditions=[A, D]", "pilot_seeds=1", "full_seeds=1", "n_top=60", "n_full=50",
                "n_pilot=40", "widget_episodes=20")
    output = run(tmp_path, TEXTS, *(part for setting in settings for part in ("--set", setting)))
    pages = sorted((output / "notebooks").glob("*.html"))
    assert len(pages) == len(list((ROOT / "notebooks").glob("0*.py"))) - 1 and not (output / CONTROLS).exists()
    assert canary.obeyed([*pages, output / "dashboard.html"]) == {}
    pytest.importorskip("sphinx_book_theme", reason="the site's packages are not installed: pip install -e .[site]")
    pytest.importorskip("myst_nb", reason="the site's packages are not installed: pip install -e .[site]")
    place, rooms = Workspace(output, output / "figures"), {"utils": ["lewm_core.utils.errors"]}
    built = site.build(place, tmp_path / "site", rooms=rooms)
    assert built.warnings == ()
    shown = [path for path in (tmp_path / "site").rglob("*.html") if "_static" not in path.parts]
    assert len(shown) > 12 and canary.obeyed(shown) == {}
    told = "".join(path.read_text() for path in shown)
    assert escape.html(HTML["script"]) in told and HTML["script"] not in told
