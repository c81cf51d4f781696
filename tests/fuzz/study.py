"""What a study left and goes on from: finished runs, caches and a dataset, the stamps of notebooks, and packings and
runs that were killed."""

import json
import os
import resource
import shutil
import signal
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import nbformat
import pandas as pd
import papermill

from lewm_core import dataset
from lewm_core.checkpoints import checkpoint
from lewm_core.dataset import packing
from lewm_core.experiments import sweep
from lewm_core.experiments.base import of_checkpoint
from lewm_core.experiments.evaluate import evaluate_checkpoint
from lewm_core.experiments.run import Run, execute
from lewm_core.runner import cli
from lewm_core.runner.isolation import isolated
from lewm_core.utils.workspace import Workspace
from tests.fuzz import doors, inputs
from tests.fuzz.cases import Damage, Found, Mutation, Place
from tests.helpers import TINY, moving_square, write_squares

RECIPE = replace(TINY, epochs=1, directions=4)
LENGTHS = (9, 7, 8)


def _plan(folder: Path) -> list[Run]:
    runs, _ = sweep.plan(["A", "B"], "pilot", [0], folder / "dataset.h5",
                         of_checkpoint(str(folder / "base.safetensors")), RECIPE)
    return runs


def _rows(folder: Path, runs: list[Run]) -> dict[str, str]:
    """Do what is not done of these runs; the digest of each one's results."""
    values = {}
    for run in runs:
        execute(run, folder / "runs")
        rows = [{k: v for k, v in row.items() if k != "run"} for row in sweep.rows(run, folder / "runs")]
        values[run.condition] = doors.told(rows)
    return values


def runs(folder: Path) -> None:
    """A dataset, a base, and two finished runs."""
    write_squares(folder / "dataset.h5", LENGTHS)
    inputs.safetensors(folder)
    (folder / "model.safetensors").rename(folder / "base.safetensors")
    _rows(folder, _plan(folder))


def swept(folder: Path, _: Path) -> Found:
    """The same sweep again: what is done is read, what is damaged must not be."""
    return Found(_rows(folder, _plan(folder)), {})


def models(folder: Path, _: Path) -> Found:
    """Every run's weights, by the names that a table of results has."""
    values = {}
    for run in _plan(folder):
        table = pd.DataFrame(sweep.rows(run, folder / "runs"))
        model, scale = sweep.load_model(table, folder / "runs", run.condition, run.seed)
        values[run.condition] = doors.told(({n: v.numpy() for n, v in model.state_dict().items()}, repr(scale)))
    return Found(values, {})


def evaluated(folder: Path, _: Path) -> Found:
    """`eval` of each run's folder on the dataset."""
    data, values = dataset.load(folder / "dataset.h5"), {}
    for path in sorted((folder / "runs").iterdir()):
        values[path.name] = doors.told(evaluate_checkpoint(str(path), data))
    return Found(values, {})


def exported(folder: Path, work: Path) -> Found:
    """`export` of a run's folder."""
    run = sorted((folder / "runs").iterdir())[0]
    found = doors.command("export", str(run), str(work / "out"))
    if found.errors:
        return found
    _, metadata = checkpoint.load(work / "out")
    return Found({"output": doors.told(metadata)}, {})


RUNS = {"sweep": swept, "models": models, "eval": evaluated, "export": exported}


# --- notebooks and their stamps ----------------------------------------------------------------------------------

NOTEBOOK = """\
# %% tags=["parameters"]
output = ""
figures = ""

# %%
from pathlib import Path
from lewm_core.utils.files import replacing
for folder, text in (output, "episode,value\\na,1\\n"), (figures, "x,y\\n1,2\\n"):
    with replacing(Path(folder) / "{name}.csv") as temporary:  # as all that we write
        temporary.write_text(text)
"""


def _in_process(source: str, target: str, values: dict, **_: object) -> object:
    """In place of papermill: the cells in this process, without a kernel."""
    node, scope = nbformat.read(source, 4), {}
    for cell in node.cells:
        try:
            exec(cell.source, scope)
        except Exception as error:  # as a kernel's would reach the runner
            raise papermill.PapermillExecutionError(0, 1, cell.source, type(error).__name__, str(error), []) from None
        scope.update(values if "parameters" in cell.metadata.get("tags", []) else {})
    nbformat.write(node, target)
    return node


def _run(folder: Path) -> int:
    papermill.execute_notebook = _in_process
    return cli.main(["--output", str(folder / "out"), "--profile", "quick"], folder / "notebooks")


def stamps(folder: Path) -> None:
    """Two notebooks, not yet run: stamps name files by their whole paths."""
    (folder / "notebooks" / "profiles").mkdir(parents=True)
    (folder / "notebooks" / "profiles" / "quick.yaml").write_text("")
    for name in ("01_one", "02_two"):
        (folder / "notebooks" / f"{name}.py").write_text(NOTEBOOK.format(name=name))


def reused(folder: Path, _: Path) -> Found:
    """`run_all.sh` again: a notebook whose results are damaged runs again."""
    found = doors.called(lambda: _run(folder), {1, 2})
    if found.errors:
        return found
    if not (folder / "damaged").exists():
        _run(folder)
    states = json.loads((folder / "out" / "run.json").read_text())["notebooks"]
    values = {}
    for path in sorted((folder / "out").rglob("*.csv")):
        again = states.get(path.stem, {}).get("state") != "reused"
        values[path.relative_to(folder).as_posix()] = "redone" if again else doors.told(path.read_bytes())
    return Found(values, {})


def after_a_run(mutations: dict[str, Mutation]) -> dict[str, Mutation]:
    """The mutations, of what two finished notebooks left."""

    def after(place: Place, mutate: Mutation) -> Damage:
        _run(place.folder)
        shutil.rmtree(place.folder / "out" / ".jupyter")
        damage = mutate(replace(place, part="out"))
        (place.folder / "damaged").touch()
        return damage

    return {name: partial(after, mutate=mutate) for name, mutate in mutations.items()}


# --- curation and packing, from their caches ---------------------------------------------------------------------

def cached(folder: Path) -> None:
    """A small real study up to its dataset, with all that it keeps."""
    for name in ("data", "work"):
        (folder / name).mkdir()
    inputs.raw(folder / "data")
    from_caches(folder, folder)


def from_caches(folder: Path, _: Path) -> Found:
    """The same study again: what is kept is read, what is damaged must not be."""
    return doors.study("bridge")["study"](folder / "data", folder / "work")


# --- killed in the middle, or out of room ------------------------------------------------------------------------

def _packed(folder: Path) -> None:
    ids = [f"square{i}" for i in range(len(LENGTHS))]
    packing.pack(folder / "packed.h5", ids, lambda left: (moving_square(int(id[6:]),
                                                                        LENGTHS[int(id[6:])]) for id in left),
                                                                        source="x")


def _work(folder: Path) -> dict[str, str]:
    """A packing and two runs, as far as they are not done."""
    _packed(folder)
    values = _rows(folder, _plan(folder))
    return values | {"packed": doors.told(dataset.load(folder / "packed.h5").columns)}


def unfinished(folder: Path) -> None:
    runs(folder)
    shutil.rmtree(folder / "runs")


def went_on(folder: Path, _: Path) -> Found:
    """Everything again as a run begins, after whatever happened to the first try."""
    with isolated(Workspace(folder, folder / "figures")):
        values = _work(folder)
    return Found(values | {"left": str(sorted(p.name for p in folder.rglob(".*")))}, {})


def _worked(pid: int) -> float:
    """CPU seconds of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def killed(place: Place) -> Damage:
    """The first try dies by SIGKILL at a random moment."""
    pid = os.fork()
    if pid == 0:
        _work(place.folder)
        os._exit(0)
    seconds = float(place.rng.uniform(0, 1.5))
    while os.waitpid(pid, os.WNOHANG)[0] == 0:
        if _worked(pid) > seconds:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)
    return Damage(f"killed after {seconds:.2f} s of work")


def full(place: Place) -> Damage:
    """The first try finds no room beyond so many bytes a file."""
    room = int(10 ** place.rng.uniform(1, 6))
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
        try:
            _work(place.folder)
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    return Damage(f"files of at most {room} bytes")


INTERRUPTED = {"killed": killed, "full": full}
