"""What the commands of `python -m lewm_core` do: options in, a report and an exit code out.

Each imports what it needs when it is called, since most of that takes seconds to import.
"""

import argparse
import sys
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path

from lewm_core.checkpoints import hub
from lewm_core.runner.arguments import FAILED, OK, check_writable
from lewm_core.runner.inspection import inspect, kind, need_file
from lewm_core.utils import escape, executors
from lewm_core.utils.errors import InputError, pick
from lewm_core.utils.files import temporary_folder
from lewm_core.utils.temporary import sweep as sweep_left

KEPT = ("condition", "seed", "base", "dataset", "steps", "windows", "metrics", "device", "duration_s")  # of a result


def extract(options: argparse.Namespace) -> tuple[dict, int]:
    from lewm_core.runner import extraction

    named = {signal: getattr(options, signal) for signal in ("depth", "tracks", "mask")}
    return extraction.extract(options.dataset, options.to, options.weights, named, options.jobs,
                              options.on or executors.LOCAL), OK


def train(options: argparse.Namespace) -> tuple[dict, int]:
    from lewm_core.config import MODELS

    output, recipe = Path(options.output), read_recipe(options.settings)
    check_writable(output, "--output")
    hub.check_base(options.base)
    pick(MODELS, options.model, "model")
    need_file(options.dataset)
    from lewm_core.checkpoints.export import check_target, export  # with torch, which takes seconds
    from lewm_core.experiments import base, sweep
    from lewm_core.experiments.run import execute, result

    check_target(output, options.overwrite)
    sweep_left(output.absolute().parent, of=output.name, deep=False)
    with temporary_folder(output.absolute()) as scratch:
        start = base.resolve(options.base, options.model, scratch)
        runs, skipped = sweep.plan([options.condition], "own", [options.seed], Path(options.dataset), start, recipe,
                                   first=options.episodes)
        if not runs:
            reason = skipped.reason.iloc[0].rstrip(".")
            raise InputError(options.dataset, f"no way to serve condition {options.condition} ({reason})",
                             "a dataset with its targets, or another condition",
                             "See which conditions it serves: python -m lewm_core inspect " + options.dataset)
        print(f"base: {escape.plain(runs[0].base.name)}", file=sys.stderr)
        folder = scratch / "runs"
        run = _with_bar(execute, runs[0], folder)
        record = result(folder, run.key)
        export(folder / run.key, output, options.overwrite)
    return {"output": str(output), **{name: record[name] for name in KEPT}}, OK


def _with_bar(execute, run, folder: Path):
    """`execute(run, folder)` with a bar of its optimizer steps on stderr."""
    from lewm_core.utils.progress import bar

    with bar(desc="steps", unit="step", delay=0) as shown:

        def on_step(step: int, steps: int, terms: Mapping[str, float]) -> None:
            shown.total = steps
            shown.set_postfix_str(f"loss {terms['total']:.4f}", refresh=False)
            shown.update()

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
    need_file(options.dataset)
    hub.find(options.checkpoint)
    from lewm_core import dataset
    from lewm_core.experiments.evaluate import evaluate_checkpoint

    report = evaluate_checkpoint(options.checkpoint, dataset.load(options.dataset, options.episodes))
    return {"checkpoint": options.checkpoint, "dataset": options.dataset, **report}, OK


def compare(options: argparse.Namespace) -> tuple[dict, int]:
    if options.data:
        need_file(str(options.data))
    if options.output:
        check_writable(options.output, "--output")
    from lewm_core.runner.compare import compare

    return compare(options.runs, options.against, options.metric, options.data, options.output), OK


def export(options: argparse.Namespace) -> tuple[dict, int]:
    source, target = kind(options.source), Path(options.target)
    to_rerun = target.suffix == ".rrd"
    if (to_rerun or source != "checkpoint") and target.exists():
        raise InputError(target, "something there already", "a path that is free")
    check_writable(target, "the target")
    if not to_rerun and (options.episodes or options.episode or options.checkpoint):
        raise InputError("export", "--episodes, --episode or --checkpoint", "these for a target that ends in .rrd only")
    if to_rerun:
        from lewm_core.runner import rerun_export

        return {"written": str(target), "kind": rerun_export.export(options, source, target)}, OK
    return {"written": str(target), "kind": EXPORTS[source](options, target)}, OK


def export_checkpoint(options: argparse.Namespace, target: Path) -> str:
    hub.find(options.source)
    from lewm_core.checkpoints.export import export

    export(options.source, target, options.overwrite)
    return "checkpoint for stable-worldmodel"


def export_dataset(options: argparse.Namespace, target: Path) -> str:
    from lewm_core import dataset
    from lewm_core.sources import lerobot_writer

    lerobot_writer.export(target, dataset.read_episodes(options.source), options.format)
    return f"LeRobot dataset {options.format}"


def import_recordings(options: argparse.Namespace, target: Path) -> str:
    from lewm_core import dataset
    from lewm_core.signals.extraction import bare
    from lewm_core.sources.registry import open_source

    if target.suffix not in (".h5", ".hdf5"):
        raise InputError("export", f"the target {target}", f"a file ending in .h5, since {options.source} is a folder")
    source = open_source(kind(options.source), 0, 0, options.image_size, Path(options.source), options.camera)
    dataset.write(target, (bare(source, info.id) for info in source.infos()), source=source.name)
    return "dataset without signals"


EXPORTS = {"checkpoint": export_checkpoint, "dataset": export_dataset, "lerobot": import_recordings,
           "lance": import_recordings, "folder": import_recordings}


def download(options: argparse.Namespace) -> tuple[dict, int]:
    from lewm_core.runner import download

    what = [*filter(None, options.what.split(","))]
    wanted = download.files(what, options.shards)
    code = download.CODE if "extractors" in what else ()
    return download.download(wanted, options.to, options.yes, code)


def remake_base(options: argparse.Namespace) -> tuple[dict, int]:
    from lewm_core.config import MODELS

    pick(MODELS, options.model, "model")
    if options.output and not options.check:
        check_writable(options.output, "--output", file=True)
    import torch

    from lewm_core.diagnostics.base_bars import judge
    from lewm_core.experiments import base
    from lewm_core.train import default_device
    from lewm_core.utils.files import file_digest

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


def site(options: argparse.Namespace) -> tuple[dict, int]:
    from lewm_core.runner.site import site

    return site(options.run), OK


def write_dashboard(options: argparse.Namespace) -> tuple[dict, int]:
    from lewm_core.runner import dashboard

    return dashboard.write(options.run, options.output, options.episodes, options.scale, options.seed), OK


def verify(options: argparse.Namespace) -> tuple[dict, int]:
    from lewm_core.runner.verification import verify

    report, whole = verify(options.run)
    return report, OK if whole else FAILED


def status(options: argparse.Namespace) -> tuple[dict, int]:
    from lewm_core.runner.status import status

    return status(options.run), OK


COMMANDS = {"inspect": inspect, "extract": extract, "train": train, "eval": evaluate, "compare": compare,
            "export": export, "download": download, "base": remake_base, "publish": publish, "site": site,
            "dashboard": write_dashboard, "verify": verify, "status": status}
