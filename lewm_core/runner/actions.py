"""What the commands of `python -m lewm_core` do: options in, a report and an exit code out.

Each imports what it needs when it is called, since most of that takes seconds to import.
"""

import argparse
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path

from lewm_core.runner.cli import FAILED, OK
from lewm_core.utils.errors import InputError, pick

KEPT = ("condition", "seed", "base", "dataset", "steps", "windows", "metrics", "device", "duration_s")  # of a result


def inspect(options: argparse.Namespace) -> tuple[list[dict], int]:
    reports = []
    for name in options.files:
        try:
            reports.append(KINDS[kind(name)](name))
        except InputError as error:
            reports.append({"file": name, "usable": False, "problems": str(error)})
    return reports, OK if all(r["usable"] for r in reports) else FAILED


def kind(name: str) -> str:
    """What a file, folder or id is by its outward form: dataset, lerobot or checkpoint."""
    path = Path(name)
    if path.suffix in (".h5", ".hdf5"):
        return "dataset"
    return "lerobot" if (path / "meta" / "info.json").is_file() else "checkpoint"


def inspect_dataset(name: str) -> dict:
    from lewm_core.conditions import CONDITIONS, unavailable
    from lewm_core.dataset import contract

    if not Path(name).is_file():
        raise InputError(name, "no such file", "a dataset")
    if problems := contract.validate(name):
        return {"file": name, "kind": "dataset", "usable": False, "problems": problems}
    outline = contract.outline(name)
    absent = unavailable(outline)
    return {"file": name, "kind": "dataset", "usable": True, "episodes": len(outline.lengths),
            "frames": int(outline.lengths.sum()),
            "frames per episode": f"{outline.lengths.min()} to {outline.lengths.max()}",
            "columns": {k: " × ".join(map(str, v)) for k, v in outline.columns.items()},
            "other columns, never read": sorted(outline.other),
            "made by": outline.made.get("made_by") or "another tool, which says nothing",
            "serves conditions": [c for c in CONDITIONS if c not in absent], "cannot serve": absent}


def inspect_lerobot(name: str) -> dict:
    from lewm_core.sources.lerobot import LeRobot

    source = LeRobot(name)
    infos = list(source.infos())
    return {"file": name, "kind": "LeRobot dataset", "usable": True, "episodes": len(infos),
            "frames": sum(i.length for i in infos), "camera": source.camera,
            "tasks": sorted({i.task for i in infos})[:20]}


def inspect_checkpoint(name: str) -> dict:
    from lewm_core.checkpoints import checkpoint, hub

    files = hub.find(name)
    model, metadata = checkpoint.load(name)
    known = {k: v for k, v in metadata.items() if k not in ("curve", "action_scale")}
    return {"file": name, "kind": "checkpoint", "usable": True, "name": files.name, "weights": files.weights.name,
            "parameters": sum(p.numel() for p in model.parameters()), "sizes": model.config.sizes(),
            "heads": checkpoint.head_names(files) or "none", "records of its training": known or "none"}


KINDS = {"dataset": inspect_dataset, "lerobot": inspect_lerobot, "checkpoint": inspect_checkpoint}


def train(options: argparse.Namespace) -> tuple[dict, int]:
    from lewm_core.checkpoints.export import check_target, export
    from lewm_core.experiments import base, sweep
    from lewm_core.experiments.run import execute, result

    output, recipe = Path(options.output), read_recipe(options.settings)
    check_target(output, options.overwrite)
    parent = output.absolute().parent
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".lewm.", dir=parent) as scratch:
        start = base.resolve(options.base, options.model, Path(scratch))
        runs, skipped = sweep.plan([options.condition], "own", [options.seed], Path(options.dataset), start, recipe,
                                   first=options.episodes)
        if not runs:
            raise InputError(f"condition {options.condition}", skipped.reason.iloc[0], f"what {options.dataset} lacks",
                             "See which conditions it serves: python -m lewm_core inspect " + options.dataset)
        print(f"base: {runs[0].base.name}", file=sys.stderr)
        folder = Path(scratch) / "runs"
        run = _with_bar(execute, runs[0], folder)
        record = result(folder, run.key)
        export(folder / run.key, output, options.overwrite)
    return {"output": str(output), **{name: record[name] for name in KEPT}}, OK


def _with_bar(execute, run, folder: Path):
    """`execute(run, folder)` with a bar of its optimizer steps on stderr."""
    from tqdm import tqdm

    with tqdm(desc="steps", unit="step", file=sys.stderr, mininterval=1) as bar:

        def on_step(step: int, steps: int, terms: Mapping[str, float]) -> None:
            bar.total = steps
            bar.set_postfix_str(f"loss {terms['total']:.4f}", refresh=False)
            bar.update()

        return execute(run, folder, on_step)


def read_recipe(settings: list[str]):
    """The paper's recipe with the fields that `--set` names changed."""
    from lewm_core.config import Recipe
    from lewm_core.utils import parameters

    values = dict(map(parameters.read_setting, settings))
    defaults = {f.name: f.default for f in fields(Recipe)}
    parameters.check_names(values, set(defaults), "--set")
    return replace(Recipe(), **{k: parameters.fit_text(k, v, defaults[k]) for k, v in values.items()})


def evaluate(options: argparse.Namespace) -> tuple[dict, int]:
    from lewm_core import dataset
    from lewm_core.experiments.evaluate import evaluate_checkpoint

    report = evaluate_checkpoint(options.checkpoint, dataset.load(options.dataset, options.episodes))
    return {"checkpoint": options.checkpoint, "dataset": options.dataset, **report}, OK


def export(options: argparse.Namespace) -> tuple[dict, int]:
    source, target = kind(options.source), Path(options.target)
    if source != "checkpoint" and target.exists():
        raise InputError(target, "something there already", "a path that is free")
    return {"written": str(target), "kind": EXPORTS[source](options, target)}, OK


def export_checkpoint(options: argparse.Namespace, target: Path) -> str:
    from lewm_core.checkpoints.export import export

    export(options.source, target, options.overwrite)
    return "checkpoint for stable-worldmodel"


def export_dataset(options: argparse.Namespace, target: Path) -> str:
    from lewm_core import dataset
    from lewm_core.sources import lerobot_writer

    lerobot_writer.export(target, dataset.read_episodes(options.source), options.format)
    return f"LeRobot dataset {options.format}"


def import_lerobot(options: argparse.Namespace, target: Path) -> str:
    from lewm_core import dataset
    from lewm_core.signals.backends import Backends
    from lewm_core.signals.extraction import extract
    from lewm_core.sources.lerobot import LeRobot

    if target.suffix not in (".h5", ".hdf5"):
        raise InputError("export", f"the target {target}", "a file ending in .h5, since the source is LeRobot's")
    camera = int(options.camera) if options.camera.isdecimal() else options.camera
    lerobot, nothing = LeRobot(options.source, options.image_size, camera), Backends(None, None, None)
    episodes = (lerobot.load(info.id) for info in lerobot.infos())
    dataset.write(target, ((e, extract(e, nothing)) for e in episodes), source=lerobot.name)
    return "dataset without signals"


EXPORTS = {"checkpoint": export_checkpoint, "dataset": export_dataset, "lerobot": import_lerobot}


def download(options: argparse.Namespace) -> tuple[dict, int]:
    from lewm_core.runner import download

    what = [*filter(None, options.what.split(","))]
    wanted = download.files(what, options.shards)
    code = download.CODE if "extractors" in what else ()
    return download.download(wanted, options.to, options.yes, code)


def remake_base(options: argparse.Namespace) -> tuple[dict, int]:
    import torch

    from lewm_core.diagnostics.base_bars import judge
    from lewm_core.experiments import base
    from lewm_core.train import default_device
    from lewm_core.utils.files import file_digest

    pick(base.PRETRAINING, options.model, "model")
    path = options.output or base.SHIPPED / f"{options.model}.safetensors"
    if default_device() == "cpu":
        torch.set_num_threads(1)  # the order of a sum depends on the number of threads

    def report(step: int, steps: int, terms: Mapping[str, float]) -> None:
        if step % 100 == 0 or step == steps:
            losses = " ".join(f"{name} {value:.4f}" for name, value in terms.items())
            print(f"step {step}/{steps} {losses}", file=sys.stderr, flush=True)

    made = {}
    if not options.check:
        metadata = base.pretrain(options.model, path, report)
        made = {"written": str(path), "sha256": file_digest(path, 64), "held out": metadata["held_out"]}
    model, scale = base.Base("tabletop play", options.model, path, "").load(0)
    if scale is None:
        raise InputError(path, "no action scale", "a base of ours, which keeps that of its training")
    play = base.play(options.model)
    print("judging it on unseen play", file=sys.stderr, flush=True)
    bars = judge(model.to(default_device()), scale, play, play.seed + 1)
    rows = [{name: value for name, value in row.items() if value == value and value not in (None, "")}
            for row in bars.to_dict("records")]  # without what is empty
    cleared = all(row["met"] for row in rows if "met" in row)
    return {**made, "bars": rows}, OK if cleared else FAILED


def publish(options: argparse.Namespace) -> tuple[dict, int]:
    from lewm_core.runner.publish import publish

    return publish(options.run), OK


def write_dashboard(options: argparse.Namespace) -> tuple[dict, int]:
    from lewm_core.runner import dashboard

    return dashboard.write(options.run, options.output, options.episodes, options.scale, options.seed), OK


COMMANDS = {"inspect": inspect, "train": train, "eval": evaluate, "export": export, "download": download,
            "base": remake_base, "publish": publish, "dashboard": write_dashboard}
