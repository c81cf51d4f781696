"""What a call of the runner is to do: notebooks, their parameters and places, all checked before any work starts."""

import argparse
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lewm_core.checkpoints import hub
from lewm_core.runner import choices, notebook
from lewm_core.runner.arguments import check_writable
from lewm_core.runner.notebook import Notebook
from lewm_core.sources.registry import FILES, OWN, SOURCES, open_source
from lewm_core.utils import executors, parameters
from lewm_core.utils.errors import InputError, pick
from lewm_core.utils.files import digest
from lewm_core.utils.provenance import SIMULATED
from lewm_core.utils.workspace import BASES, CONTROLS, ROOT, Workspace, relative, run_name

IMAGE_SIZE = 64  # px, where no notebook asks for one
UNDECIDED = ("jobs", "on", "force")  # run-level parameters that do not decide a result
PICTURES = re.compile("(depth_)?images[0-9]+")  # folders of the raw Bridge release
OPTIONS_ONLY = ("profile", "data", "data_path", "weights", "controls", "output", "figures", "on", "force")
OPTION_OR_PROFILE = ("base", "jobs")

Values = dict[str, dict[str, Any]]  # notebook name -> the parameters that it is given


@dataclass(frozen=True)
class Plan:
    """What to do, checked."""

    name: str
    notebooks: list[Notebook]  # all, in order
    chosen: set[str]  # names of those to run
    values: Values
    place: Workspace
    inputs: str  # digest of the data set's and the base's files
    base: str = ""  # what figures call the user's own checkpoint; empty for our bases
    force: bool = False


def make_plan(options: argparse.Namespace, folder: Path | None = None) -> Plan:
    """Check every option against the notebooks and profiles in `folder` (default: the repository's notebooks/)."""
    folder = Path(folder or notebook.FOLDER)
    paths = [p for p in notebook.paths(folder) if p.stem != CONTROLS or options.study == "controls"]
    notebooks = [notebook.read_notebook(p) for p in paths]
    if not notebooks:
        raise InputError(folder, "no notebooks", "files named NN_name.py")
    profiles = {p.stem: p for p in sorted((folder / "profiles").glob("*.yaml"))}
    profile = pick(profiles, options.profile, "--profile")
    check_options(options)
    place = Workspace.of_run(options.profile, options.data, options.output)
    level = run_level(options, place)
    values = give_values(notebooks, profile, options.settings, level)
    chosen = choose(notebooks, options.only, options.first)
    study = choices.merged(notebooks, values)
    choices.check(study, place, given={name for v in values.values() for name in v})
    base = own_base(level.get("base") or study.get("base"))
    choices.check_frames(study, base)
    if options.data in OWN:
        open_source(options.data, 0, 0, study.get("image_size") or IMAGE_SIZE, Path(options.data_path),
                    study.get("camera", 0))  # an InputError for all that is wrong with it as a whole
    inputs = digest(listing(options.data_path), listing(options.weights), base.hash if base else "")
    return Plan(run_name(options.profile, options.data), notebooks, chosen, values, place, inputs,
                base.name if base else "", options.force)


def check_options(options: argparse.Namespace) -> None:
    """Raise InputError for an option that names nothing that is there, or that contradicts another."""
    real = [name for name in SOURCES if name not in SIMULATED]
    what, example = ("file", "my.h5") if options.data in FILES else ("folder", "DIR")
    if options.data in real and not options.data_path:
        raise InputError(f"--data {options.data}", "no --data-path", f"the {what} of the data set",
                         f"Add --data-path {example}.")
    if options.data not in real and options.data_path:
        raise InputError("--data-path", f"it together with --data {options.data}",
                         f"it with --data {' or '.join(real)}")
    if options.data_path and options.data not in FILES and not Path(options.data_path).is_dir():
        raise InputError("--data-path", options.data_path, "a folder that exists")
    if options.weights and not Path(options.weights).is_dir():
        raise InputError("--weights", options.weights, "a folder that exists")
    if options.base:
        hub.check_base(options.base)
    if options.jobs is not None and options.jobs < 1:
        raise InputError("--jobs", str(options.jobs), "a number of at least 1")
    if options.on is not None:
        executors.check(options.on)
    if options.output:
        check_writable(options.output, "--output")


def run_level(options: argparse.Namespace, place: Workspace) -> dict[str, Any]:
    """The parameters that options decide, as notebooks take them; those that are not given are left out."""
    values = {
        "profile": options.profile,
        "data": options.data,
        "data_path": options.data_path and relative(options.data_path),
        "base": portable(options.base),
        "weights": options.weights and relative(options.weights),
        "controls": options.study == "controls" or None,  # None: the notebooks' default
        "jobs": options.jobs,
        "on": options.on,
        "output": relative(place.output),
        "figures": relative(place.figures),
        "force": options.force or None,
    }
    return {name: value for name, value in values.items() if value is not None}


def give_values(notebooks: list[Notebook], profile: Path, settings: list[str], options: dict[str, Any]) -> Values:
    """The values that each notebook is given: the profile's, over them those of --set, over them the options'.

    A notebook is given what it declares. InputError for a name that none declares and for a value of another type.
    """
    declared = {name for n in notebooks for name in n.declared} - {*OPTIONS_ONLY}
    from_profile = parameters.read_profile(profile)
    typed = dict(map(parameters.read_setting, settings))
    parameters.check_names(from_profile, declared | {*OPTION_OR_PROFILE}, profile)
    parameters.check_names(typed, declared - {*OPTION_OR_PROFILE}, "--set")
    values: Values = {}
    for n in notebooks:
        given = {}
        for name, default in n.declared.items():
            if name in from_profile:
                given[name] = parameters.fit(name, from_profile[name], default, profile)
            if name in typed:
                given[name] = parameters.fit_text(name, typed[name], default)
            if name in options:
                given[name] = options[name]
        values[n.name] = given
    return values


def choose(notebooks: list[Notebook], only: Iterable[str], first: str | None) -> set[str]:
    """The names of the notebooks to run: those named in `only`, or all from `first` on; all where neither is given."""
    names = [n.name for n in notebooks]
    known = {key: name for name in names for key in (name, name.split("_")[0])}

    def named(text: str, option: str) -> str:
        if text not in known:
            raise InputError(option, repr(text), "one of " + ", ".join(names),
                             f"{CONTROLS} runs with --study controls." if text in CONTROLS else "")
        return known[text]

    if first:
        return set(names[names.index(named(first, "--from")) :])
    tokens = [token.strip() for text in only for token in text.split(",")]
    return {named(token, "--only") for token in tokens} or set(names)


def portable(base: str | None) -> str | None:
    """A base's path as notebooks, which run in the repository's root, find it; a name or hub id as it is."""
    if base in (None, *BASES) or not Path(base).exists():
        return base
    path = Path(os.path.abspath(base))  # links are kept: in the hub's cache they alone have a suffix
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else path.as_posix()


def own_base(name: str | None):
    """The user's own checkpoint as a `Base`, read (and fetched) as a whole; None for our bases."""
    if name in (None, *BASES):
        return None
    from lewm_core.experiments.base import of_checkpoint  # with torch, which takes seconds

    return of_checkpoint(str(ROOT / name) if (ROOT / name).exists() else name)


def listing(path: str | None) -> str:
    """Name, size and time of a file, or of the files in a folder (their content may be terabytes).

    Of a raw release's millions of pictures only their folders are listed, whose time changes with every new one.
    """
    if path is None:
        return ""
    found = [Path(path)] if os.path.isfile(path) else []
    for folder, folders, files in os.walk(path):
        pictures = [f for f in folders if PICTURES.fullmatch(f)]
        folders[:] = [f for f in folders if f not in pictures]
        found += [Path(folder, name) for name in (*files, *pictures)]
    return "\n".join(f"{p} {p.stat().st_size} {p.stat().st_mtime_ns}" for p in sorted(found) if p.exists())
