"""The notebooks' cells run one after another in this process: for tests of many studies, not of how they are run."""

import contextlib
import io
import os
from pathlib import Path

import matplotlib

from lewm_core.experiments import attempts
from lewm_core.runner import cli
from lewm_core.runner.plan import make_plan
from lewm_core.utils.workspace import ROOT


class InProcess:
    """Stands in for `executors.opened`: does the work at once, in this process."""

    def __init__(self, *_, **__):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_) -> None:
        pass

    def map(self, function, items, **_):
        for item in items:
            try:
                outcome = function(item)
            except Exception as error:
                outcome = error
            yield item, outcome


def run_study(output: Path, *options: str) -> None:
    """All notebooks of one study, with the options of run_all.sh, in `output`."""
    matplotlib.use("Agg")
    plan = make_plan(cli.parser().parse_args(["--profile", "smoke", "--jobs", "1", "--output", str(output), *options]))
    before, opened = os.getcwd(), attempts.opened
    os.chdir(ROOT)
    attempts.opened = InProcess
    try:
        for notebook in plan.notebooks:
            if notebook.name in plan.chosen:
                run_cells(notebook.node.cells, plan.values[notebook.name])
    finally:
        os.chdir(before)
        attempts.opened = opened


def run_cells(cells: list, values: dict) -> dict:
    """The code cells of one notebook, with `values` for its parameters; returns its names."""
    scope: dict = {"__name__": "notebook"}
    for cell in cells:
        if cell.cell_type != "code":
            continue
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            exec(compile(cell.source, "cell", "exec"), scope)
        if "parameters" in cell.metadata.get("tags", []):
            scope.update(values)
    return scope
