"""What a call of the runner is to do: notebooks, their parameters and places, all checked before any work starts."""

import argparse
import math
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lewm_core.sources.registry import SOURCES
from lewm_core.utils import parameters as params
from lewm_core.utils.errors import InputError, pick
from lewm_core.utils.files import digest
from lewm_core.utils.provenance import SIMULATED
from lewm_core.utils.workspace import BASES, ROOT, Workspace, relative, run_name

UNDECIDED = ("jobs", "force")  # run-level parameters that do not decide a result
PICTURES = re.compile("(depth_)?images[0-9]+")  # folders of the raw Bridge release
RUN_LEVEL = ("profile", "data", "data_path", "weights", "base", "controls", "output", "figures", *UNDECIDED)


@dataclass(frozen=True)
class Notebook:
    """One notebook source: a jupytext percent script and what its parameters cell declares."""

    path: Path
    source: str
    node: Any = field(repr=False)  # nbformat notebook
    declared: dict[str, Any]

    @property
    def name(self) -> str:
        return self.path.stem


@dataclass(frozen=True)
class Plan:
    """What to do, checked."""

    name: str
    notebooks: list[Notebook]  # all, in order
    chosen: set[str]  # names of those to run
    values: dict[str, dict[str, Any]]  # notebook name -> the parameters that it is given
    place: Workspace
    inputs: str  # digest of the data set's and the base's files
    base: str = ""  # what figures call the user's own checkpoint; empty for our bases
    force: bool = False


def read_notebook(path: Path) -> Notebook:
    import jupytext

    try:
        source = path.read_text()
        node = jupytext.reads(source, fmt="py:percent")
        declared = params.declared(node.cells, path.name)
    except (OSError, UnicodeDecodeError, SyntaxError) as error:
        raise InputError(path, str(error), "a notebook as a jupytext percent script") from None
    node.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return Notebook(path, source, node, declared)


def make_plan(options: argparse.Namespace, folder: Path | None = None) -> Plan:
    """Check every option against the notebooks and profiles in `folder` (default: the repository's notebooks/)."""
    folder = Path(folder or ROOT / "notebooks")
    notebooks = [read_notebook(p) for p in sorted(folder.glob("[0-9][0-9]_*.py"))]
    if not notebooks:
        raise InputError(folder, "no notebooks", "files named NN_name.py")
    profiles = {p.stem: p for p in sorted((folder / "profiles").glob("*.yaml"))}
    profile = pick(profiles, options.profile, "--profile")
    real = [name for name in SOURCES if name not in SIMULATED]
    if options.data in real and not options.data_path:
        raise InputError(f"--data {options.data}", "no --data-path", "the folder of the data set",
                         "Add --data-path DIR.")
    if options.data not in real and options.data_path:
        raise InputError("--data-path", f"it together with --data {options.data}",
                         f"it with --data {' or '.join(real)}")
    if options.data_path and not Path(options.data_path).is_dir():
        raise InputError("--data-path", options.data_path, "a folder that exists")
    if options.weights and not Path(options.weights).is_dir():
        raise InputError("--weights", options.weights, "a folder that exists")
    if options.jobs is not None and options.jobs < 1:
        raise InputError("--jobs", str(options.jobs), "a number of at least 1")
    if options.output and Path(options.output).exists() and not Path(options.output).is_dir():
        raise InputError("--output", f"{options.output}, a file", "a folder, existing or not")

    place = Workspace.of_run(options.profile, options.data, options.output)
    run_level = {
        "profile": options.profile,
        "data": options.data,
        "data_path": options.data_path and relative(options.data_path),
        "base": _portable(options.base),
        "weights": options.weights and relative(options.weights),
        "controls": options.study == "controls" or None,  # None: the notebooks' default
        "jobs": options.jobs,
        "output": relative(place.output),
        "figures": relative(place.figures),
        "force": options.force or None,
    }
    run_level = {name: value for name, value in run_level.items() if value is not None}
    known = {name for n in notebooks for name in n.declared} - {*RUN_LEVEL} | {"base", "jobs"}
    from_profile, typed = params.read_profile(profile), dict(map(params.read_setting, options.settings))
    params.check_names(from_profile, known, profile)
    params.check_names(typed, known - {"base", "jobs"}, "--set")
    values = {}
    for n in notebooks:
        given = {k: params.fit(k, v, n.declared[k], profile) for k, v in from_profile.items() if k in n.declared}
        given |= {k: params.fit_text(k, v, n.declared[k], "--set") for k, v in typed.items() if k in n.declared}
        given |= {k: v for k, v in run_level.items() if k in n.declared}
        values[n.name] = given
    name, chosen = run_name(options.profile, options.data), _choose(notebooks, options)
    base, base_hash = _check_base(run_level.get("base"), notebooks, values)
    inputs = digest(_listing(options.data_path), _listing(options.weights), base_hash)
    return Plan(name, notebooks, chosen, values, place, inputs, base, options.force)


def _portable(base: str | None) -> str | None:
    """A base's path as notebooks, which run in the repository's root, find it; a name or hub id as it is."""
    if base in (None, *BASES) or not Path(base).exists():
        return base
    path = Path(os.path.abspath(base))  # links are kept: in the hub's cache they alone have a suffix
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else path.as_posix()


def _check_base(name: str | None, notebooks: list[Notebook], values: dict[str, dict[str, Any]]) -> tuple[str, str]:
    """Name and hash of the user's own checkpoint, read (and fetched) as a whole; empty texts for our bases.

    Raises InputError if it cannot be read, or if its patches do not tile the frames that notebook 01 will make.
    """
    name = name or next((v["base"] for v in values.values() if "base" in v), None)  # a profile may set it
    if name in (None, *BASES):
        return "", ""
    from lewm_core.diagnostics.decoder import DecoderRecipe
    from lewm_core.experiments.base import of_checkpoint  # with torch, which takes seconds

    base = of_checkpoint(str(ROOT / name) if (ROOT / name).exists() else name)
    patch, own = base.config.patch_size, base.config.image_size
    for n in (n for n in notebooks if "image_size" in n.declared):
        size = values[n.name].get("image_size", n.declared["image_size"])
        if size % patch:
            step = math.lcm(patch, DecoderRecipe.grid)  # notebook 07's decoder must tile them, too
            near = max(step, size // step * step)
            faster = f" or --set image_size={near} (its positions are interpolated)" if near < own else ""
            raise InputError(f"--base {base.name}", f"patches of {patch} px, which do not tile frames of {size} px",
                             f"an image_size that {patch} divides",
                             f"Add --set image_size={own} (what it was trained on){faster}.")
    return base.name, base.hash


def _choose(notebooks: list[Notebook], options: argparse.Namespace) -> set[str]:
    names = [n.name for n in notebooks]

    def named(text: str, option: str) -> str:
        table = {key: name for name in names for key in (name, name.split("_")[0])}
        if text not in table:
            raise InputError(option, repr(text), "one of " + ", ".join(names))
        return table[text]

    if options.first:
        return set(names[names.index(named(options.first, "--from")) :])
    tokens = [t.strip() for text in options.only for t in text.split(",")]
    return {named(t, "--only") for t in tokens} or set(names)


def _listing(path: str | None) -> str:
    """Name, size and time of the files in a folder (their content may be terabytes).

    Of a raw release's millions of pictures only their folders are listed, whose time changes with every new one.
    """
    if path is None:
        return ""
    found = []
    for folder, folders, files in os.walk(path):
        pictures = [f for f in folders if PICTURES.fullmatch(f)]
        folders[:] = [f for f in folders if f not in pictures]
        found += [Path(folder, name) for name in (*files, *pictures)]
    return "\n".join(f"{p} {p.stat().st_size} {p.stat().st_mtime_ns}" for p in sorted(found) if p.exists())
