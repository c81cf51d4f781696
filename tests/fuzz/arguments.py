"""Argument lists, settings and profiles. The input's folder holds the list as JSON, beside files that it may name."""

import json
import shutil
import tempfile
from pathlib import Path

from lewm_core.runner import notebook
from tests.fuzz import doors, inputs
from tests.fuzz.cases import Damage, Found, Mutation, Place
from tests.fuzz.documents import NUMBERS, TEXTS

LISTS = (  # the first is the program: run_all.sh, or python -m lewm_core
    ("lewm", "inspect", "squares.h5"), ("lewm", "inspect", "model.safetensors"),
    ("lewm", "--json", "inspect", "squares.h5"),
    ("lewm", "eval", "model.safetensors", "squares.h5", "--episodes", "2"),
    ("lewm", "export", "model.safetensors", "out"), ("lewm", "export", "squares.h5", "out", "--format", "v2.1"),
    ("lewm", "export", "squares.h5", "out.rrd", "--episodes", "1"),
    ("lewm", "export", "out", "out.h5", "--image-size", "16"),
    ("lewm", "train", "squares.h5", "--output", "out", "--model", "nano", "--set", "epochs=1", "--set", "directions=8"),
    ("lewm", "train", "squares.h5", "--output", "out", "--base", "model.safetensors", "--condition", "B", "--seed", "1",
     "--set", "steps=2", "--set", "val_windows=0.3", "--set", "val_episodes=0.4"),
    ("lewm", "dashboard", "out", "--output", "page.html", "--episodes", "3", "--seed", "0"),
    ("lewm", "download", "--to", "out", "--what", "bridge", "--shards", "2000"), ("lewm", "base", "huge", "--check"),
    ("lewm", "publish", "nothing"), ("lewm", "site", "nothing"),
    ("run", "--profile", "smoke", "--output", "out", "--only", "01", "--set", "n_top=3", "--jobs", "2"),
    ("run", "--profile", "quick", "--output", "out", "--from", "03", "--set", "conditions=[A, B]", "--base", "random"),
    ("run", "--data", "bridge", "--data-path", "raw", "--output", "out", "--weights", "raw", "--set", "min_length=3"),
    ("run", "--study", "controls", "--output", "out", "--force", "--set", "criteria={min_motion: 3}"),
    ("run", "--output", "out", "--set", "lr=1e-4", "--set", "point_counts=[1, 2]", "--set", "show_episode=x"),
)
PLACES = (  # where nothing can be written, or nothing is
    "/proc/1/x", "/dev/null", "/dev/null/x", "/dev/full", "/sys/x", "squares.h5", "squares.h5/x", "x" * 300,
    "x/" * 2500, "nowhere/at/all",
    "/proc/self/mem", "raw", "a\nb", "\udcff\udcfe", "%s", "{x}", "pipe", "zero", "loop",
)
WORDS = (
    *(text for text in TEXTS if "\0" not in text and "\ud800" not in text), *map(str, NUMBERS), "9" * 5000,
    "-" + "9" * 5000,
    "1e5000", "nan", "inf", "2020-13-45", "2020-01-01", "12:30:45", "[" * 5000, "{a: " * 2000, "٣", "²", "１２", "0x10",
    "1_000", "True",
    "~", "--", "-", "--help=x", "!!python/object/apply:os.system [touch canary]", "&a [*a]", "*a", "!!timestamp x",
    "!!binary x",
    "[A, A]", "[]", "{}", "[[A]]", "{A: 1}", "A, B", "A,B", "[A, 1]", "[null]", "tabletop", "retrain", "main", "a/b",
    "00", "1,2,3",
)
NAMES = ("n_top", "n_full", "n_pilot", "lr", "epochs", "steps", "conditions", "criteria", "min_length", "image_size",
         "model", "seed", "looks",
         "point_counts", "pilot_by", "jobs", "base", "profile", "force", "output", "batch_norm", "val_episodes",
         "show_episode", "x", "",
         "plan_tasks", "max_bad_share", "n_candidates", "depth_backend", "rollout_scale", "pilot_seeds", "weights",
         "__class__", "é", "camera")


def make(folder: Path) -> None:
    inputs.hdf5(folder)
    inputs.safetensors(folder)
    (folder / "raw").mkdir()
    inputs.raw(folder / "raw")
    (folder / "zero").symlink_to("/dev/zero")
    (folder / "loop").symlink_to("loop")
    (folder / "arguments.json").write_text(json.dumps(LISTS[0]))


def call(folder: Path, work: Path) -> Found:
    """Either program with the list's arguments, in the input's folder."""
    program, *arguments = json.loads((folder / "arguments.json").read_text())
    for path in folder.iterdir():
        path.rename(work / path.name)
    found = doors.runner(arguments) if program == "run" else doors.command(*arguments, accepted=(1, 2))
    return Found({}, found.errors)


def _word(place: Place) -> str:
    words = (WORDS, PLACES, TEXTS[:1])[place.rng.choice(3, p=(0.6, 0.35, 0.05))]
    return place.one(words)


def _list(place: Place) -> list[str]:
    return list(place.one(LISTS))


def _changed(what: str) -> Mutation:
    def mutate(place: Place) -> Damage:
        arguments = _list(place)
        at = int(place.rng.integers(2, len(arguments)))
        if what == "word":
            arguments[at] = _word(place)
        elif what == "setting":
            name = place.one(NAMES)
            option = [] if arguments[1] in ("inspect", "eval", "export", "--json") else ["--set",
                                                                                         f"{name}={_word(place)}"]
            arguments += option or [_word(place)]
        elif what == "gone":
            del arguments[at]
        elif what == "twice":
            arguments[at:at] = arguments[at:]
        elif what == "option":
            options = [a for a in sum(LISTS, ()) if a.startswith("--")]
            arguments += [place.one(options), _word(place)]
        else:
            order = place.rng.permutation(len(arguments) - 1) + 1
            arguments = [arguments[0], *(arguments[i] for i in order)]
        (place.folder / "arguments.json").write_text(json.dumps(arguments))
        return Damage(f"{what}: {' '.join(arguments)}"[:300], ("arguments.json",), True)

    return mutate


ARGUMENTS = {what: _changed(what) for what in ("word", "setting", "gone", "twice", "option", "order")}
ARGUMENTS |= {f"{what} again": ARGUMENTS[what] for what in ("word", "setting")}


def profile(folder: Path) -> None:
    """A profile that sets many parameters."""
    (folder / "profiles").mkdir()
    shutil.copy(notebook.FOLDER / "profiles" / "laptop.yaml", folder / "profiles" / "quick.yaml")


def planned(folder: Path, work: Path) -> Found:
    """`run_all.sh` with the profile, up to the first notebook."""
    with tempfile.TemporaryDirectory(dir=work) as scratch:
        for path in notebook.FOLDER.glob("*.py"):
            shutil.copy(path, scratch)
        shutil.move(folder / "profiles", scratch)
        found = doors.runner(["--output", str(work / "out")], Path(scratch))
        return Found({}, found.errors)
