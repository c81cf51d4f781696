"""The command line for those who want no notebooks: python -m lewm_core inspect|train|eval|export.

It reads and prints; what is done is done by the functions that the notebooks call. Only the standard library is
imported until the options are known.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path

from lewm_core.runner.cli import BAD_USAGE, FAILED, INTERRUPTED, OK
from lewm_core.utils.errors import InputError

EPILOG = """\
A checkpoint is a weights file (.safetensors, .pt, .ckpt), a folder with one, or a hub id such as quentinll/lewm-cube.
Exit codes: 0 done, 1 an inspected file cannot be used, 2 bad options or input, 130 interrupted.
"""


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser("python -m lewm_core", description="LeWM checkpoints and datasets, without notebooks.",
                                epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter,
                                allow_abbrev=False)
    commands = p.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, help: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=help, description=help, allow_abbrev=False)
        command.add_argument("--json", action="store_true", help="print one JSON value instead of text")
        return command

    inspect = add("inspect", "say what datasets and checkpoints hold, and what they are good for")
    inspect.add_argument("files", nargs="+", metavar="FILE", help="dataset (.h5), LeRobot folder, or checkpoint")

    train = add("train", "fine-tune a checkpoint on a dataset under one condition")
    train.add_argument("dataset", help="an HDF5 file that keeps the public LeWM contract")
    train.add_argument("--output", required=True, metavar="DIR", help="new folder for the result")
    train.add_argument("--base", default="random", metavar="NAME",
                       help="where to start: random (default), tabletop, or a checkpoint")
    train.add_argument("--model", default="paper", help="size of our own bases: paper (default), small, nano")
    train.add_argument("--condition", default="A", help="a row of lewm_core.conditions (default: A, no signal)")
    train.add_argument("--seed", type=int, default=0, help="decides split, batches, and what is not pretrained")
    train.add_argument("--episodes", type=int, metavar="N", help="only the first N episodes of the file")
    train.add_argument("--set", dest="settings", action="append", default=[], metavar="NAME=VALUE",
                       help="a field of the recipe, such as epochs=5 or lr=1e-4; may be repeated")
    train.add_argument("--overwrite", action="store_true", help="replace an earlier result in DIR")

    evaluate = add("eval", "measure a checkpoint on a dataset")
    evaluate.add_argument("checkpoint")
    evaluate.add_argument("dataset")
    evaluate.add_argument("--episodes", type=int, metavar="N", help="only the first N episodes of the file")

    export = add("export", "write a checkpoint or a dataset for other tools")
    export.add_argument("source", help="checkpoint, dataset (.h5), or LeRobot folder")
    export.add_argument("target", help="new folder: a checkpoint for stable-worldmodel, a dataset for LeRobot; new .h5 "
                        "file: a LeRobot folder for us")
    export.add_argument("--format", default="v3.0", help="of LeRobot: v3.0 (default) or v2.1")
    export.add_argument("--image-size", type=int, default=224, help="px, of frames that come from LeRobot")
    export.add_argument("--camera", default="0", help="of a LeRobot folder: a key, or a number from 0")
    export.add_argument("--overwrite", action="store_true", help="replace an earlier export")
    return p


def main(argv: list[str] | None = None) -> int:
    """Run one command and return the exit code. The result goes to stdout, all else to stderr."""
    options = parser().parse_args(argv)
    try:
        report, code = COMMANDS[options.command](options)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return BAD_USAGE
    except KeyboardInterrupt:
        print("\nInterrupted. Nothing was written.", file=sys.stderr)
        return INTERRUPTED
    print(json.dumps(report, indent=1) if options.json else text(report))
    return code


def text(report: object, indent: str = "") -> str:
    """A report as indented lines: `name: value`, one entry of a list a line."""
    if isinstance(report, list) and report and isinstance(report[0], Mapping):
        return "\n\n".join(text(entry, indent) for entry in report)
    lines = []
    for name, value in report.items():
        if isinstance(value, Mapping) and value:
            lines += [f"{indent}{name}:", text(value, indent + "  ")]
        else:
            value = ", ".join(map(str, value)) if isinstance(value, list | tuple) else value
            value = f"{value:.6g}" if isinstance(value, float) else "–" if value in (None, "", {}) else value
            lines.append(f"{indent}{name}: {value}")
    return "\n".join(lines)


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
    from tqdm import tqdm

    from lewm_core.checkpoints.export import check_target, export
    from lewm_core.experiments import base, sweep

    output, recipe = Path(options.output), read_recipe(options.settings)
    check_target(output, options.overwrite)
    with tempfile.TemporaryDirectory(prefix=".lewm.", dir=_parent(output)) as scratch:
        start = base.resolve(options.base, options.model, Path(scratch))
        runs, skipped = sweep.plan([options.condition], "own", [options.seed], Path(options.dataset), start, recipe,
                                   first=options.episodes)
        if not runs:
            raise InputError(f"condition {options.condition}", skipped.reason.iloc[0], f"what {options.dataset} lacks",
                             "See which conditions it serves: python -m lewm_core inspect " + options.dataset)
        print(f"base: {runs[0].base.name}", file=sys.stderr)
        with tqdm(desc="steps", unit="step", file=sys.stderr, mininterval=1) as bar:

            def on_step(step: int, steps: int, terms: Mapping[str, float]) -> None:
                bar.total = steps
                bar.set_postfix_str(f"loss {terms['total']:.4f}", refresh=False)
                bar.update()

            run = sweep.execute(runs[0], Path(scratch) / "runs", on_step)
        result = sweep.result(Path(scratch) / "runs", run.key)
        export(Path(scratch) / "runs" / run.key, output, options.overwrite)
    kept = ("condition", "seed", "base", "dataset", "steps", "windows", "metrics", "device", "duration_s")
    return {"output": str(output), **{name: result[name] for name in kept}}, OK


def read_recipe(settings: list[str]):
    """The paper's recipe with the fields that `--set` names changed."""
    from lewm_core.train import Recipe
    from lewm_core.utils import parameters

    values = dict(map(parameters.read_setting, settings))
    defaults = {f.name: f.default for f in fields(Recipe)}
    parameters.check_names(values, set(defaults), "--set")
    return replace(Recipe(), **{k: parameters.fit_text(k, v, defaults[k], "--set") for k, v in values.items()})


def evaluate(options: argparse.Namespace) -> tuple[dict, int]:
    from lewm_core import dataset
    from lewm_core.experiments.evaluate import evaluate_checkpoint

    report = evaluate_checkpoint(options.checkpoint, dataset.load(options.dataset, options.episodes))
    return {"checkpoint": options.checkpoint, "dataset": options.dataset, **report}, OK


def export(options: argparse.Namespace) -> tuple[dict, int]:
    source, target = kind(options.source), Path(options.target)
    if source == "checkpoint":
        from lewm_core.checkpoints.export import export

        export(options.source, target, options.overwrite)
        made = "checkpoint for stable-worldmodel"
    elif target.exists():
        raise InputError(target, "something there already", "a path that is free")
    elif source == "dataset":
        from lewm_core import dataset
        from lewm_core.sources import lerobot_writer

        lerobot_writer.export(target, dataset.read_episodes(options.source), options.format)
        made = f"LeRobot dataset {options.format}"
    else:
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
        made = "dataset without signals"
    return {"written": str(target), "kind": made}, OK


def _parent(path: Path) -> Path:
    """The folder that `path` lies in, made if it is not there."""
    path.absolute().parent.mkdir(parents=True, exist_ok=True)
    return path.absolute().parent


COMMANDS = {"inspect": inspect, "train": train, "eval": evaluate, "export": export}
