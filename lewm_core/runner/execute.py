"""Running the notebooks headless: reuse of finished work, execution, export.

A notebook is executed again only if something that decides its outcome changed; its stamp holds the digest of all
that, and the files it wrote. Nothing is stamped before all of it lies in place.
"""

import json
import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from copy import deepcopy
from pathlib import Path
from typing import Any

from lewm_core.runner.plan import UNDECIDED, Notebook, Plan
from lewm_core.runner.progress import Progress
from lewm_core.utils import provenance
from lewm_core.utils.errors import InputError
from lewm_core.utils.files import digest, file_digest, replacing, write_json
from lewm_core.utils.workspace import ROOT, relative

PRIVATE = {  # environment variable -> folder of what would otherwise be written to the home folder
    "JUPYTER_CONFIG_DIR": "config",
    "JUPYTER_DATA_DIR": "data",
    "JUPYTER_RUNTIME_DIR": "runtime",
    "IPYTHONDIR": "ipython",
    "MPLCONFIGDIR": "matplotlib",
}


@contextmanager
def isolated(plan: Plan) -> Iterator[None]:
    """Lock the output folder, keep Jupyter's, IPython's and Matplotlib's files in it, and handle signals.

    SIGINT, SIGTERM and SIGHUP end every process that was started here and raise KeyboardInterrupt.
    """
    import fcntl

    import psutil

    def interrupt(signum: int, frame: object) -> None:
        for s in handled:
            signal.signal(s, signal.SIG_IGN)
        children = psutil.Process().children()
        for p in [*children, *(g for c in children for g in c.children(recursive=True))]:
            with suppress(OSError, psutil.Error):
                os.killpg(p.pid, signal.SIGKILL)  # a kernel leads a process group
            with suppress(psutil.Error):
                p.kill()
        raise KeyboardInterrupt

    home = plan.place.jupyter
    handled = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # as nohup sets it
        handled.append(signal.SIGHUP)
    home.mkdir(parents=True, exist_ok=True)
    environment = {name: str(home / folder) for name, folder in PRIVATE.items()}
    environment["TQDM_NCOLS"] = "64"  # a sweep's bar, with its estimate, fits into a terminal's status line
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    before = {name: os.environ.get(name) for name in environment}
    handlers = {s: signal.getsignal(s) for s in handled}
    with open(home / "lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            remedy = "Wait for it, or choose another --output."
            raise InputError(relative(plan.place.output), "another run at work there", "no other", remedy) from None
        os.environ.update(environment)
        for s in handled:
            signal.signal(s, interrupt)
        try:
            yield
        finally:
            for s, handler in handlers.items():
                signal.signal(s, handler)
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value


def execute(plan: Plan) -> bool:
    """Run the chosen notebooks in order, up to the first that fails. True if all are done."""
    began, report = time.monotonic(), {}
    chosen = [n for n in plan.notebooks if n.name in plan.chosen]
    progress = Progress(len(chosen))
    if plan.base:
        progress.message(f"base: {plan.base}")
    common = digest(provenance.code_digest(), plan.inputs, json.dumps(provenance.versions("torch", "numpy")))
    try:
        for i, notebook in enumerate(plan.notebooks):
            if notebook.name not in plan.chosen:
                continue
            stamp = _fingerprint(plan, i, common)
            old = _read_stamp(plan, notebook.name)
            if not plan.force and _finished(plan, notebook.name, stamp, old):
                report[notebook.name] = {"state": "reused", "seconds": old["seconds"]}
                progress.done(f"{notebook.name}: nothing changed, reused")
                continue
            report[notebook.name] = {"state": "interrupted", "seconds": None}
            start = time.monotonic()
            progress.start(notebook.name)
            error = _run(plan, notebook, progress, stamp)
            seconds = round(time.monotonic() - start, 1)
            report[notebook.name] = {"state": "failed" if error else "done", "seconds": seconds}
            if error:
                progress.message(error)
                return False
            progress.done(f"{notebook.name}: done in {seconds:.0f} s")
        return True
    finally:
        progress.close()
        total = round(time.monotonic() - began, 1)
        values = {name: {**v, "base": plan.base or v["base"]} if "base" in v else v for name, v in plan.values.items()}
        record = provenance.collect(run=plan.name, notebooks=report, duration_s=total, parameters=values)
        write_json(plan.place.summary, record)
        width = max(map(len, report), default=0)
        for name, row in report.items():
            print(f"  {name:{width}}  {'–' if row['seconds'] is None else row['seconds']:>7} s  {row['state']}")
        print(f"  {'in all':{width}}  {total:>7} s   figures: {relative(plan.place.figures)}", flush=True)


def _fingerprint(plan: Plan, i: int, common: str) -> str:
    """Digest of all that decides the outcome of the i-th notebook, its predecessors included."""
    notebook, place = plan.notebooks[i], plan.place
    values = {k: v for k, v in plan.values[notebook.name].items() if k not in UNDECIDED}
    previous = _read_stamp(plan, plan.notebooks[i - 1].name).get("digest", "") if i else ""
    # The first notebook writes the selection, the others read it, and a person may have edited it in between.
    selection = file_digest(place.selection) if i and place.selection.exists() else ""
    return digest(common, notebook.source, json.dumps(values, sort_keys=True), previous, selection)


def _read_stamp(plan: Plan, name: str) -> dict[str, Any]:
    try:
        return json.loads((plan.place.stamps / f"{name}.json").read_text())
    except (OSError, ValueError):
        return {}


def _finished(plan: Plan, name: str, stamp: str, old: dict[str, Any]) -> bool:
    if old.get("digest") != stamp:
        return False
    paths = {ROOT / path: content for path, content in old["files"].items()}
    return all(p.is_file() and content in (None, file_digest(p)) for p, content in paths.items())


def _written(plan: Plan) -> dict[Path, tuple[int, int]]:
    folders = [f for f in (plan.place.output, plan.place.figures) if f.is_dir()]
    return {p: (p.stat().st_mtime_ns, p.stat().st_size) for f in folders for p in f.iterdir() if p.is_file()}


def _run(plan: Plan, notebook: Notebook, progress: Progress, stamp: str) -> str | None:
    """Execute, export and stamp one notebook. Returns None, or what to tell the user of the failure."""
    import jupytext
    import papermill
    from nbclient.exceptions import DeadKernelError

    place, name = plan.place, notebook.name
    final, failed = place.notebooks / f"{name}.ipynb", place.notebooks / f"{name}.failed.ipynb"
    running = place.notebooks / f".{name}.running.ipynb"
    for folder in (place.notebooks, place.figures, place.stamps):
        folder.mkdir(parents=True, exist_ok=True)
    (place.stamps / f"{name}.json").unlink(missing_ok=True)  # from here on its files may be half new
    jupytext.write(notebook.node, running, fmt="ipynb")
    start, before, at = time.monotonic(), _written(plan), [0]

    def on_cell(cell: Any, cell_index: int) -> None:
        at[0] = cell_index
        progress.cell(cell_index + 1, len(notebook.node.cells) + 1)

    error: tuple[str, str] | None = None
    try:
        node = papermill.execute_notebook(
            str(running),
            str(running),
            plan.values[name],
            cwd=str(ROOT),
            progress_bar=False,
            start_timeout=300,
            stderr_file=progress,
            on_cell_start=on_cell,
            coalesce_streams=True,
            extra_arguments=["--IPKernelApp.log_level=40"],  # errors only: it writes past the progress bar
        )
        with replacing(final.with_suffix(".html")) as temporary:
            temporary.write_text(to_html(node, name))
    except papermill.PapermillExecutionError as e:
        error = (f"cell In [{e.exec_count}]", f"{e.ename}: {e.evalue}")
    except DeadKernelError:
        error = (f"cell number {at[0] + 1}", "the Python process of the notebook died (often for lack of memory)")
    except BaseException:
        running.unlink(missing_ok=True)
        raise
    if error:
        os.replace(running, failed)
        message = error[1].removeprefix("InputError: ")
        return f"{name} failed in {error[0]}:\n  {message}\nPartly executed notebook: {relative(failed)}"
    os.replace(running, final)
    failed.unlink(missing_ok=True)
    new = [p for p, state in _written(plan).items() if before.get(p) != state]
    files = {relative(p): file_digest(p) if p.parent == place.figures else None for p in new}
    files |= {relative(final): None, relative(final.with_suffix(".html")): None}
    seconds = round(time.monotonic() - start, 1)
    write_json(place.stamps / f"{name}.json", {"digest": stamp, "seconds": seconds, "files": files})
    return None


def to_html(node: Any, title: str) -> str:
    """One self-contained page. Text, pictures and the widgets' static stand-ins need no network; formulas do."""
    from nbconvert import HTMLExporter

    from lewm_core.viz.widgets import without_widget_state

    page, _ = HTMLExporter().from_notebook_node(without_widget_state(deepcopy(node)), {"metadata": {"name": title}})
    # Scripts from a CDN must not hold up the page where there is no network.
    return re.sub(r'<script src="(?=https:)', '<script defer src="', page)
