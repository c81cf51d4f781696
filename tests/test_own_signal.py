"""docs/how-to/signal.md as a stranger follows it: in a copy of the package, surface normals get their function and
three rows, all taken from the page, and a small study is run as far as Figure 1."""

import os
import re
import shutil
import subprocess
import sys
from types import SimpleNamespace

import h5py
import numpy as np
import pandas as pd
import pytest

from lewm_core.utils.workspace import ROOT

PAGE = (ROOT / "docs/how-to/signal.md").read_text()
BLOCKS = re.findall(r"```python\n# (lewm_core/[\w/]+\.py)(?:, (\w+))?\n(.*?)```", PAGE, re.DOTALL)
STUDY = """
import sys

import pandas as pd

from lewm_core.config import MODELS, Recipe
from lewm_core.curation.curate import curate
from lewm_core.curation.score import Criteria
from lewm_core.curation.selection import Choice
from lewm_core.experiments.base import Base
from lewm_core.experiments.draws import DrawSizes
from lewm_core.signals.pipeline import SourceSpec
from lewm_core.stats import levels
from lewm_core.study import Study
from lewm_core.viz import paper_figures

study = Study(sys.argv[1], sys.argv[1] + "/figures", "smoke", "tabletop")
spec = SourceSpec("tabletop", 6, 0, 32, looks=1)
curate(spec, study.workspace, Criteria(min_length=8), Choice(6, 5, 5), 0.05, False, jobs=1)
study.write_dataset(False, DrawSizes(test=0, full=5, pilot=5, seeds=1), jobs=1)
start = Base("random", "nano", None, repr(MODELS["nano"]))
recipe = Recipe(steps=20, batch_size=8, directions=16, lr=1e-3)
results = study.run(["A", "B", "N"], "pilot", range(2), start, recipe, jobs=1)
skipped, about = study.skipped("pilot"), study.about("pilot", results)
table = paper_figures.effect_table(results, ["pilot"])
changes, summary = levels.beside_baseline(results, ["mse"])
table = pd.concat([paper_figures.study_table(changes, summary, 1, skipped), table])
study.show(paper_figures.figure1(results, skipped), "figure1", table, about)
"""


def insert(folder, name, table, text):
    """The rows at the end of their table, the imports above."""
    path = folder / name
    if not table:
        path.write_text(text)
        return
    imports = re.findall(r"^from .*\n", text, re.MULTILINE)
    rows = re.sub(r"^from .*\n", "", text, flags=re.MULTILINE).strip("\n")
    module = path.read_text()
    start = re.search(rf"^{table}\b.* = {{", module, re.MULTILINE).end()
    end = module.index("\n)}\n" if "for" in module[start:].splitlines()[0] else "\n}\n", start) + 1
    module = module[:end] + rows + "\n" + module[end:]
    path.write_text(module.replace("\nimport numpy as np\n", "\nimport numpy as np\n\n" + "".join(imports), 1))


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stranger")
    shutil.copytree(ROOT / "lewm_core", folder / "lewm_core", ignore=shutil.ignore_patterns("__pycache__"))
    for name, table, text in BLOCKS:
        insert(folder, name, table, text)
    done = subprocess.run([sys.executable, "-c", STUDY, "out"], cwd=folder, capture_output=True, text=True,
                          env=os.environ | {"PYTHONPATH": str(folder)})
    assert done.returncode == 0, done.stderr
    out = folder / "out"
    return SimpleNamespace(out=out, results=pd.read_csv(out / "results_pilot.csv"),
                           table=pd.read_csv(out / "figures/figure1.csv"))


def test_the_page_touches_three_rows():
    assert [table for _, table, _ in BLOCKS if table] == ["COLUMNS", "HEADS", "CONDITIONS"]
    assert [name for name, table, _ in BLOCKS if not table] == ["lewm_core/signals/normals.py"]


def test_the_column_holds_the_normals_of_the_depth(study):
    with h5py.File(study.out / "dataset.h5") as f:
        depth, normals = f["depth"][:], f["normals"][:]
        clips = zip(f["ep_offset"][:], f["ep_len"][:], strict=True)
        spread = np.concatenate([np.full(n, depth[i : i + n].std()) for i, n in clips])
    assert normals.shape == (*depth.shape, 3)
    assert np.linalg.norm(normals, axis=-1) == pytest.approx(1, abs=1e-5)
    cell = 56 / spread[:, None, None]  # a surface is at right angles to its normal: along x and along y
    along_x = (depth[:, 1:-1, 2:] - depth[:, 1:-1, :-2]) / 2 * cell
    along_y = (depth[:, 2:, 1:-1] - depth[:, :-2, 1:-1]) / 2 * cell
    x, y, z = np.moveaxis(normals[:, 1:-1, 1:-1], -1, 0)
    assert np.abs(x - along_x * z).max() < 1e-4 and np.abs(y - along_y * z).max() < 1e-4
    assert (z > 0).all() and np.abs(x).max() > 0.5


def test_its_head_learns_and_teaches(study):
    of = study.results[study.results.split == "episode"].set_index(["condition", "metric", "seed"]).value.sort_index()
    loss = of["N", "head_normals"]
    assert (loss < of["N", "head_normals_start"]).all() and np.isfinite(of["N", "head_normals_constant"]).all()
    assert (of["N", "mse"] != of["A", "mse"]).all() and np.isfinite(of["N", "probe_normals"]).all()


def test_its_bar_is_in_figure_1(study):
    own = study.table[(study.table.condition == "N") & (study.table.metric == "mse change %")
                      & (study.table.split == "episode")].set_index("statistic").value
    mse = study.results.query("metric == 'mse' and split == 'episode'").set_index(["condition", "seed"]).value
    change = 100 * (mse["N"] / mse["A"] - 1)
    assert own["mean"] == pytest.approx(change.mean()) and sorted(own["seed"]) == pytest.approx(sorted(change))
    picture = (study.out / "figures/figure1.svg").read_text()
    assert 'id="N/pilot/episode/mse/mean"' in picture and 'id="N/pilot/episode/gripper_5/mean"' in picture
    assert "N: surface normals" in picture and (study.out / "figures/figure1.png").stat().st_size > 10_000
