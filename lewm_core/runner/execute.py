"""Running the notebooks headless: reuse of finished work, execution, export.

A notebook is executed again only if something that decides its outcome changed (`stamps`).
"""

import json
import os
import time
import warnings
from pathlib import Path
from typing import Any

from lewm_core.runner import stamps
from lewm_core.runner.notebook import Notebook
from lewm_core.runner.plan import UNDECIDED, Plan
from lewm_core.runner.progress import Progress
from lewm_core.utils import escape, provenance
from lewm_core.utils.files import digest, file_digest, replacing, sync, write_json
from lewm_core.utils.temporary import temporary_name
from lewm_core.utils.workspace import ROOT, Workspace, relative


def execute(plan: Plan) -> bool:
    """Run the chosen notebooks in order, up to the first that fails. True if all are done."""
    began, report = time.monotonic(), {}
    progress = Progress(len(plan.chosen))
    if plan.base:
        progress.message(f"base: {plan.base}")
    common = digest(provenance.code_digest(), plan.inputs, json.dumps(provenance.versions("torch", "numpy")))
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_, **__: progress.message(str(message))  # in one line
            for i, notebook in enumerate(plan.notebooks):
                if notebook.name in plan.chosen and not _reuse_or_run(plan, i, common, progress, report):
                    return False
        return True
    finally:
        progress.close()
        _summarise(plan, report, round(time.monotonic() - began, 1))


def _reuse_or_run(plan: Plan, i: int, common: str, progress: Progress, report: dict[str, dict]) -> bool:
    """The i-th notebook; False if it failed. What became of it goes to `report`."""
    notebook = plan.notebooks[i]
    name, fingerprint = notebook.name, _fingerprint(plan, i, common)
    old = stamps.read(plan.place, name)
    if not plan.force and old.get("digest") == fingerprint:
        problems = list(stamps.problems(plan.place, old))
        if not problems:
            report[name] = {"state": "reused", "seconds": old["seconds"]}
            progress.done(f"{name}: nothing changed, reused")
            return True
        for path, found in problems:
            progress.message(f"{name}: {path} is {found}: made again")
    report[name] = {"state": "interrupted", "seconds": None}
    start = time.monotonic()
    progress.start(name)
    stamps.remove(plan.place, name)  # from here on its files may be half new
    before = stamps.state(plan.place)
    error = _run(plan, notebook, progress)
    seconds = round(time.monotonic() - start, 1)
    report[name] = {"state": "failed" if error else "done", "seconds": seconds}
    if error:
        progress.message(error)
        return False
    written = [p for p, state in stamps.state(plan.place).items() if before.get(p) != state]
    stamps.write(plan.place, name, fingerprint, seconds, [*written, *_exports(plan.place, name)])
    progress.done(f"{name}: done in {seconds:.0f} s")
    return True


def _fingerprint(plan: Plan, i: int, common: str) -> str:
    """Digest of all that decides the outcome of the i-th notebook, its predecessors included."""
    notebook, place = plan.notebooks[i], plan.place
    values = {k: v for k, v in plan.values[notebook.name].items() if k not in UNDECIDED}
    previous = stamps.read(place, plan.notebooks[i - 1].name).get("digest", "") if i else ""
    # The first notebook writes the selection, the others read it, and a person may have edited it in between.
    selection = file_digest(place.selection) if i and place.selection.exists() else ""
    return digest(common, notebook.source, json.dumps(values, sort_keys=True), previous, selection)


def _summarise(plan: Plan, report: dict[str, dict], total: float) -> None:
    """Write the run's record and print a line for each notebook."""
    values = {}
    for name, given in plan.values.items():
        own_base = {"base": plan.base} if plan.base and "base" in given else {}  # by its name, not by its path
        values[name] = given | own_base
    record = provenance.collect(run=plan.name, notebooks=report, duration_s=total, parameters=values)
    write_json(plan.place.summary, record, seal=True)
    width = max(map(len, report), default=0)
    for name, row in report.items():
        seconds = "–" if row["seconds"] is None else row["seconds"]
        print(f"  {name:{width}}  {seconds:>7} s  {row['state']}")
    print(f"  {'in all':{width}}  {total:>7} s   figures: {escape.plain(relative(plan.place.figures))}", flush=True)


def _exports(place: Workspace, name: str) -> tuple[Path, Path]:
    """Where the executed notebook and its page go."""
    return place.notebooks / f"{name}.ipynb", place.notebooks / f"{name}.html"


def _run(plan: Plan, notebook: Notebook, progress: Progress) -> str | None:
    """Execute and export one notebook. Returns None, or what to tell the user of the failure."""
    import jupytext

    from lewm_core.runner.pages import to_html

    place, name = plan.place, notebook.name
    final, page = _exports(place, name)
    failed = place.notebooks / f"{name}.failed.ipynb"
    for folder in (place.notebooks, place.figures, place.stamps):
        folder.mkdir(parents=True, exist_ok=True)
    running = temporary_name(final)
    try:
        jupytext.write(notebook.node, running, fmt="ipynb")
        node, error = _papermill(running, plan.values[name], progress, len(notebook.node.cells) + 1)
        if error:
            os.replace(running, failed)
            return f"{name} failed in {error}\nPartly executed notebook: {relative(failed)}"
        with replacing(page) as temporary:
            temporary.write_text(to_html(node, name))
        sync(running)
        os.replace(running, final)
    finally:
        running.unlink(missing_ok=True)
    failed.unlink(missing_ok=True)
    return None


def _papermill(path: Path, values: dict[str, Any], progress: Progress, cells: int) -> tuple[Any, str | None]:
    """Execute the notebook at `path` in place. Returns (node, None), or (None, the failing cell and its error)."""
    import papermill
    from nbclient.exceptions import DeadKernelError

    current = 0
    braced = str(path).replace("{", "{{").replace("}", "}}")  # papermill fills in what it finds in braces

    def on_cell(cell: Any, cell_index: int) -> None:
        nonlocal current
        current = cell_index + 1
        progress.cell(current, cells)

    try:
        node = papermill.execute_notebook(
            braced,
            braced,
            values,
            cwd=str(ROOT),
            progress_bar=False,
            start_timeout=300,
            stderr_file=progress,
            on_cell_start=on_cell,
            coalesce_streams=True,
            extra_arguments=["--IPKernelApp.log_level=40"],  # errors only: it writes past the progress bar
        )
        return node, None
    except papermill.PapermillExecutionError as error:
        message = f"{error.ename}: {error.evalue}".removeprefix("InputError: ")
        return None, f"cell In [{error.exec_count}]:\n  {message}"
    except DeadKernelError:
        reason = "the Python process of the notebook died (often for lack of memory)"
        return None, f"cell number {current}:\n  {reason}"
