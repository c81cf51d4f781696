"""The command line for those who want no notebooks: python -m lewm_core COMMAND.

It reads options and prints a report; `actions` does the work by the functions that the notebooks call. Only the
standard library is imported until the options are known.
"""

import argparse
import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from lewm_core.runner.arguments import Parser, answer, check, whole
from lewm_core.utils import escape, executors

EPILOG = """\
A checkpoint is a weights file (.safetensors, .pt, .ckpt), a folder with one, or a hub id such as quentinll/lewm-cube.
Exit codes: 0 done, 1 an inspected file cannot be used, a verified one is damaged, a base misses a bar or a download is
not whole, 2 bad options or input, 130 interrupted.
"""
DOWNLOAD = """\
Fetch what the paper's own pipeline needs into one folder: BridgeData shards, base weights, extractor weights.

Sizes are shown first, then a question is asked. A call that was cut goes on where it stopped; a later one verifies
what is there and fetches only the rest. SHA-256 sums are kept in DIR/checksums.json. Without a network the exact list
of files and places is printed: put them there by hand and call again, which verifies and records them.
"""

Add = Callable[[str, str], argparse.ArgumentParser]  # adds a command of a name, with a line of help


def parser() -> argparse.ArgumentParser:
    p = Parser("python -m lewm_core", description="LeWM checkpoints and datasets, without notebooks.", epilog=EPILOG,
               formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)
    commands = p.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, help: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=help, description=help, allow_abbrev=False)
        command.add_argument("--json", action="store_true", help="print one JSON value instead of text")
        return command

    for add_command in (_inspect, _extract, _train, _eval, _compare, _export, _download, _base, _publish, _site,
                        _dashboard, _verify, _status):
        add_command(add)
    return p


def _inspect(add: Add) -> None:
    p = add("inspect", "say what datasets and checkpoints hold, and what they are good for")
    p.add_argument("files", nargs="+", metavar="FILE",
                   help="dataset (.h5), LeRobot folder, folder of recordings, or checkpoint")


def _extract(add: Add) -> None:
    p = add("extract", "add depth, tracks, mask and what follows from them to a copy of a dataset; a call that was cut "
            "goes on where it stopped")
    p.add_argument("dataset", help="an HDF5 file that keeps the public LeWM contract")
    p.add_argument("--to", type=Path, required=True, metavar="FILE", help="the copy, a new .h5 file")
    p.add_argument("--weights", default="", metavar="DIR", help="folder of the backends' weights")
    for signal in ("depth", "tracks", "mask"):
        p.add_argument(f"--{signal}", default="", metavar="NAME", help=f"the backend that makes the {signal}; by "
                       "default what the file has is kept, and else the paper's is used where its weights are there")
    p.add_argument("--jobs", type=whole(0, 1024), default=0, metavar="N", help="processes (default: one a core)")
    executors.add_option(p)


def _train(add: Add) -> None:
    p = add("train", "fine-tune a checkpoint on a dataset under one condition")
    p.add_argument("dataset", help="an HDF5 file that keeps the public LeWM contract")
    p.add_argument("--output", required=True, metavar="DIR", help="new folder for the result")
    p.add_argument("--base", default="random", metavar="NAME",
                   help="where to start: random (default), tabletop, or a checkpoint")
    p.add_argument("--model", default="paper", help="size of our own bases: paper (default), small, nano")
    p.add_argument("--condition", default="A", help="a row of lewm_core.conditions (default: A, no signal)")
    p.add_argument("--seed", type=whole(0), default=0, help="decides split, batches, and what is not pretrained")
    p.add_argument("--episodes", type=whole(0), metavar="N", help="only the first N episodes of the file")
    p.add_argument("--set", dest="settings", action="append", default=[], metavar="NAME=VALUE",
                   help="a field of the recipe, such as epochs=5 or lr=1e-4; may be repeated")
    p.add_argument("--overwrite", action="store_true", help="replace an earlier result in DIR")


def _eval(add: Add) -> None:
    p = add("eval", "measure a checkpoint on a dataset")
    p.add_argument("checkpoint")
    p.add_argument("dataset")
    p.add_argument("--episodes", type=whole(0), metavar="N", help="only the first N episodes of the file")


def _compare(add: Add) -> None:
    p = add("compare", "compare conditions of finished runs, paired by seed: intervals, verdicts, a table, a figure")
    p.add_argument("runs", nargs="+", metavar="RUN", help="a study (its folder, or its name under runs/), a finished "
                   "run's folder in its runs/, or, with --data, a checkpoint that one of these or train made")
    p.add_argument("--against", default="A", metavar="NAME", help="the condition to compare with (default: A)")
    p.add_argument("--metric", action="append", default=[], metavar="NAME", help="an error, such as gripper_5 or mse; "
                   "may be repeated (default: the primary outcome, mse_over_static and mse)")
    p.add_argument("--data", type=Path, metavar="FILE", help="evaluate them on this dataset (.h5) first")
    p.add_argument("--output", type=Path, metavar="DIR", help="write there the figure (PNG, SVG), its numbers "
                   "(CSV), what made it (JSON), and the table (CSV)")


def _export(add: Add) -> None:
    p = add("export", "write a checkpoint or a dataset for other tools")
    p.add_argument("source", help="checkpoint, dataset (.h5), folder of LeRobot or recordings; for Rerun also "
                   "BridgeData, or tabletop")
    p.add_argument("target", help="new folder: a checkpoint for stable-worldmodel, a dataset for LeRobot; new .h5 "
                   "file: such a folder for us; new .rrd file: episodes for the Rerun viewer")
    p.add_argument("--format", default="v3.0", help="of LeRobot: v3.0 (default) or v2.1")
    p.add_argument("--image-size", type=whole(1, 8192), default=224, help="px, of frames that come from no .h5 file")
    p.add_argument("--camera", type=_camera, default=0, help="of a folder: a number from 0, or LeRobot's key")
    p.add_argument("--episodes", type=whole(0), metavar="N", help="for Rerun: only the first N episodes")
    p.add_argument("--episode", action="append", default=[], metavar="ID", help="for Rerun: only this; may be repeated")
    p.add_argument("--checkpoint", metavar="RUN", help="for Rerun: also what this checkpoint predicts")
    p.add_argument("--overwrite", action="store_true", help="replace an earlier export")


def _camera(text: str) -> int | str:
    return int(text) if re.fullmatch("[0-9]{1,9}", text) else text


def _download(add: Add) -> None:
    p = add("download", "fetch BridgeData shards, base weights and extractor weights")
    p.description, p.formatter_class = DOWNLOAD, argparse.RawDescriptionHelpFormatter
    p.add_argument("--to", type=Path, required=True, metavar="DIR", help="the folder for everything")
    p.add_argument("--what", default="bridge,base,extractors", help="some of bridge,base,extractors (default: all)")
    p.add_argument("--shards", type=whole(0, 1024), default=4, metavar="N",
                   help="train shards of Bridge, 1 to 1024 (default 4)")
    p.add_argument("--yes", action="store_true", help="fetch without asking")


def _base(add: Add) -> None:
    p = add("base", "remake the base checkpoint that is shipped with the package, bit for bit on the same machine, and "
            "say which bars it clears on unseen play")
    p.add_argument("model", help="small, nano or paper")
    p.add_argument("--output", type=Path, metavar="FILE", help="default: where the package keeps it")
    p.add_argument("--check", action="store_true", help="judge what is in FILE, without making it anew")


def _publish(add: Add) -> None:
    p = add("publish", "make a finished run the one that the repository shows: figures/ and the README's answer")
    p.add_argument("run", nargs="?", default="quick", help="its folder's name under runs/ (default: quick)")


def _site(add: Add) -> None:
    p = add("site", "build a static site of a finished run: its notebooks, claims, evidence, and the code's reference")
    p.add_argument("run", nargs="?", default="quick", help="its folder's name under runs/ (default: quick)")


def _dashboard(add: Add) -> None:
    p = add("dashboard", "write a page that plays a finished study's episodes as its models predict them")
    p.add_argument("run", type=Path, metavar="FOLDER", help="of the study, such as runs/quick")
    p.add_argument("--output", type=Path, metavar="FILE", help="default: dashboard.html in FOLDER")
    p.add_argument("--episodes", type=whole(0), default=12, metavar="N", help="at most (default: 12)")
    p.add_argument("--scale", default="full", choices=["pilot", "full"], help="whose runs (default: full)")
    p.add_argument("--seed", type=whole(0), default=0, help="of these runs (default: 0)")


def _verify(add: Add) -> None:
    p = add("verify", "compare every file of a run with the checksum it was written with, and name what is damaged")
    p.add_argument("run", nargs="?", default="quick", metavar="RUN",
                   help="a name under runs/ (default: quick), or a run's folder")


def _status(add: Add) -> None:
    p = add("status", "count a study's runs that are done, running, failed and left, by condition")
    p.add_argument("run", nargs="?", default="quick", metavar="FOLDER",
                   help="of the study: a name under runs/ (default: quick), or a folder")


def main(argv: list[str] | None = None) -> int:
    """Run one command and return the exit code. The result goes to stdout, all else to stderr."""
    argv = sys.argv[1:] if argv is None else argv
    return answer(lambda: _run(argv),
                  "Interrupted. Nothing half-made was left; what a download had fetched is kept.")


def _run(argv: list[str]) -> int:
    check(argv)
    options = parser().parse_args(argv)
    from lewm_core.runner.actions import COMMANDS

    report, code = COMMANDS[options.command](options)
    shown = json.dumps(report, indent=1) if options.json else text(report)  # whose parts are bounded
    print(shown if options.json else escape.message(shown, max(escape.MESSAGE, len(shown))))
    return code


def text(report: object, indent: str = "") -> str:
    """A report as indented lines: `name: value`, one entry of a list of mappings or of sentences a line."""
    if isinstance(report, list) and report and isinstance(report[0], Mapping):
        return "\n\n".join(text(entry, indent) for entry in report)
    lines = []
    for name, value in report.items():
        if isinstance(value, Mapping) and value:
            lines += [f"{indent}{escape.plain(name)}:", text(value, indent + "  ")]
        elif isinstance(value, list) and value and isinstance(value[0], Mapping):
            lines += [f"{indent}{escape.plain(name)}:", *(f"{indent}  {line}" for line in table(value))]
        elif isinstance(value, list) and value and all(str(entry).endswith(".") for entry in value):
            lines += [f"{indent}{escape.plain(name)}:", *(f"{indent}  {escape.plain(entry)}" for entry in value)]
        else:
            lines.append(f"{indent}{escape.plain(name)}: {escape.plain(_shown(value), escape.MESSAGE)}")
    return "\n".join(lines)


def table(rows: Sequence[Mapping[str, object]]) -> list[str]:
    """Lines of a table: a line of column names, then one a row; empty where a row lacks a column."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    cells = [list(map(escape.plain, columns))]
    for row in rows:
        values = [row.get(column, "") for column in columns]
        cells.append([f"{v:.3f}" if isinstance(v, float) else escape.plain(v) for v in values])
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(map(str.ljust, line, widths)).rstrip() for line in cells]


def _shown(value: object) -> object:
    if isinstance(value, list | tuple):
        value = ", ".join(map(str, value))
    if isinstance(value, float):
        return f"{value:.6g}"
    return "–" if value in (None, "", {}) else value
