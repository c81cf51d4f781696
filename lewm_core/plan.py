"""What a call of the runner is to do: notebooks, their parameters and places, all checked before any work starts."""

import argparse
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lewm_core import parameters as params
from lewm_core.errors import InputError, pick
from lewm_core.files import digest
from lewm_core.workspace import BASES, ROOT, Workspace, relative, run_name

UNDECIDED = ("jobs", "force")  # run-level parameters that do not decide a result
RUN_LEVEL = ("profile", "data", "data_path", "base", "study", "output", "figures", *UNDECIDED)


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
    if options.data == "bridge" and not options.data_path:
        raise InputError("--data bridge", "no --data-path", "the folder of the data set", "Add --data-path DIR.")
    if options.data != "bridge" and options.data_path:
        raise InputError("--data-path", f"it together with --data {options.data}", "it with --data bridge only")
    if options.data_path and not Path(options.data_path).is_dir():
        raise InputError("--data-path", options.data_path, "a folder that exists")
    if options.base not in (None, *BASES) and not Path(options.base).exists():
        raise InputError("--base", repr(options.base), f"{', '.join(BASES)}, or the path of a checkpoint")
    if options.jobs is not None and options.jobs < 1:
        raise InputError("--jobs", str(options.jobs), "a number of at least 1")
    if options.output and Path(options.output).exists() and not Path(options.output).is_dir():
        raise InputError("--output", f"{options.output}, a file", "a folder, existing or not")

    place = Workspace.of_run(options.profile, options.data, options.output)
    run_level = {
        "profile": options.profile,
        "data": options.data,
        "data_path": options.data_path and relative(options.data_path),
        "base": relative(options.base) if options.base not in (None, *BASES) else options.base,
        "study": None if options.study == "main" else options.study,  # the notebooks' default
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
    inputs = digest(_listing(options.data_path), _listing(run_level.get("base")))
    name, chosen = run_name(options.profile, options.data), _choose(notebooks, options)
    return Plan(name, notebooks, chosen, values, place, inputs, options.force)


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
    """Name, size and time of the files at `path`, relative to the repository (their content may be terabytes)."""
    if path is None or path in BASES:
        return ""
    top = ROOT / path if not Path(path).exists() else Path(path)
    files = sorted(p for p in top.rglob("*") if p.is_file()) if top.is_dir() else [top]
    return "\n".join(f"{p} {p.stat().st_size} {p.stat().st_mtime_ns}" for p in files)
