"""What `python -m lewm_core inspect` tells of a dataset, a LeRobot folder, a folder of recordings or a checkpoint."""

import argparse
from importlib import import_module
from pathlib import Path
from threading import Thread

from lewm_core.checkpoints import hub
from lewm_core.runner.arguments import FAILED, OK
from lewm_core.sources.registry import SOURCES
from lewm_core.utils.errors import InputError, foreign
from lewm_core.utils.files import regular


def inspect(options: argparse.Namespace) -> tuple[list[dict], int]:
    reports = []
    for name in options.files:
        try:
            reports.append(KINDS[kind(name)](name))
        except InputError as error:
            reports.append({"file": name, "usable": False, "problems": str(error)})
    return reports, OK if all(r["usable"] for r in reports) else FAILED


def kind(name: str) -> str:
    """What a file, folder or id is by its outward form: dataset, lerobot, lance, folder or checkpoint."""
    path = Path(name)
    if path.suffix in (".h5", ".hdf5"):
        return "dataset"
    if (path / "meta" / "info.json").is_file():
        return "lerobot"
    if path.is_dir() and (path.suffix == ".lance" or any(path.glob("*.lance"))):
        return "lance"
    return "folder" if path.is_dir() and _has_recordings(path) else "checkpoint"


def _has_recordings(folder: Path) -> bool:
    from lewm_core.sources.folder_check import has_recordings

    return has_recordings(folder)


def inspect_dataset(name: str) -> dict:
    need_file(name)
    from lewm_core.dataset import contract, trial

    loading = Thread(target=import_module, args=("lewm_core.conditions",))
    loading.start()  # torch takes as long to import as another process to check the file: both at once
    if problems := trial.validate(name):
        return {"file": name, "kind": "dataset", "usable": False, "problems": problems}
    loading.join()
    from lewm_core.conditions import CONDITIONS, unavailable

    outline = contract.outline(name)
    absent = unavailable(outline)
    return {"file": name, "kind": "dataset", "usable": True, "episodes": len(outline.lengths),
            "frames": int(outline.lengths.sum()),
            "frames per episode": f"{outline.lengths.min()} to {outline.lengths.max()}",
            "columns": {k: " × ".join(map(str, v)) for k, v in outline.columns.items()},
            "other columns, never read": sorted(outline.other),
            "made by": outline.made.get("made_by") or "another tool, which says nothing",
            "serves conditions": [c for c in CONDITIONS if c not in absent], "cannot serve": absent}


def need_file(name: str) -> None:
    """InputError for a dataset that is not there: said before what takes seconds to import is imported."""
    if not Path(name).exists():
        raise InputError(name, "no such file", "a dataset")
    regular(name)


def inspect_lerobot(name: str) -> dict:
    return _inspect_source(name, "lerobot", "LeRobot dataset")


def inspect_lance(name: str) -> dict:
    return _inspect_source(name, "lance", "Lance table")


def _inspect_source(name: str, source: str, kind: str) -> dict:
    from lewm_core.utils.pool import apart

    return apart(_source, name, source, kind, name=name)  # its parsers may die of what is in the files


def _source(name: str, source: str, kind: str) -> dict:
    module, opener = SOURCES[source]
    with foreign(name):
        source = getattr(import_module(module), opener)(name)
        infos = list(source.infos())
    return {"file": name, "kind": kind, "usable": True, "episodes": len(infos),
            "frames": sum(i.length for i in infos), "camera": source.camera,
            "tasks": sorted({i.task for i in infos})[:20]}


def inspect_folder(name: str) -> dict:
    from lewm_core.sources import folder_check
    from lewm_core.utils.pool import apart

    return {"file": name, **apart(folder_check.report, name, name=name)}  # as above


def inspect_checkpoint(name: str) -> dict:
    files = hub.find(name)
    from lewm_core.checkpoints import checkpoint  # with torch: whether weights are whole, only their model can say

    model, metadata = checkpoint.load(name)
    known = {k: v for k, v in metadata.items() if k not in ("curve", "action_scale")}
    return {"file": name, "kind": "checkpoint", "usable": True, "name": files.name, "weights": files.weights.name,
            "parameters": sum(p.numel() for p in model.parameters()), "sizes": model.config.sizes(),
            "heads": checkpoint.head_names(files) or "none", "records of its training": known or "none"}


KINDS = {"dataset": inspect_dataset, "lerobot": inspect_lerobot, "lance": inspect_lance, "folder": inspect_folder,
         "checkpoint": inspect_checkpoint}
