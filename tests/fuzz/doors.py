"""The ways in: what a user calls, with the folder of an input, and what came out, as digests that can be compared."""

import contextlib
import io
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from lewm_core import dataset
from lewm_core.checkpoints import checkpoint
from lewm_core.curation.curate import curate
from lewm_core.curation.score import Criteria
from lewm_core.curation.selection import Choice
from lewm_core.dataset.source import HDF5
from lewm_core.experiments.base import of_checkpoint
from lewm_core.runner import cli, commands, execute
from lewm_core.signals.pipeline import SourceSpec, every_packet
from lewm_core.sources.bridge import open_bridge
from lewm_core.sources.episode import Episode, Source
from lewm_core.sources.folder import Folder
from lewm_core.sources.lerobot import LeRobot
from lewm_core.sources.safe_pickle import load_pickle
from lewm_core.utils.errors import InputError
from lewm_core.utils.files import digest
from lewm_core.utils.workspace import Workspace
from tests.fuzz.cases import Door, Found

SIZE = 16  # px, of frames


def told(value: object, known: dict[int, str] | None = None, depth: int = 0) -> str:
    """The digest of a value: arrays by kind, shape and bytes, all else by its repr; nothing of what is very deep.

    known: digests by identity, since what is small in memory may hold the same list a billion times.
    """
    known = {} if known is None else known
    if not isinstance(value, dict | list | tuple):
        return _told(value, known, depth)
    if id(value) not in known:
        known[id(value)] = "deep" if depth > 50 else _told(value, known, depth + 1)
    return known[id(value)]


def _told(value: object, known: dict[int, str], depth: int) -> str:
    if isinstance(value, np.ndarray) and value.dtype != object:
        return digest(str(value.dtype), str(value.shape), np.ascontiguousarray(value).tobytes())
    if isinstance(value, Mapping):
        return digest(*(f"{name}={told(part, known, depth)}" for name, part in value.items()))
    if isinstance(value, list | tuple | np.ndarray):
        return digest(str(len(value)), *(told(part, known, depth) for part in value))
    return digest(repr(value))


def _episode(episode: Episode) -> str:
    held = sorted(episode.held.arrays.items()) if episode.held else []
    return told((episode.id, episode.frames, episode.actions, episode.observations, episode.task, held))


def source(opened: Callable[[Path], Source]) -> dict[str, Door]:
    """The doors of a source: every episode with faults reported, the same until the first fault."""

    def read(folder: Path, _: Path) -> Found:
        values, errors = {}, {}

        def on_error(id: str, error: InputError) -> None:
            errors[id] = str(error)

        episodes = opened(folder)
        for info in episodes.infos(on_error):
            try:
                values[info.id] = _episode(episodes.load(info.id))
            except InputError as error:
                on_error(info.id, error)
        episodes.fingerprint  # noqa: B018  (that it can be had)
        return Found(values, errors)

    def strict(folder: Path, _: Path) -> Found:
        episodes = opened(folder)
        return Found({info.id: told((info.task, info.length)) for info in episodes.infos()}, {})

    return {"read": read, "strict": strict}


def _spec(data: str, folder: Path) -> SourceSpec:
    return SourceSpec(data, 0, 0, SIZE, str(folder))


def study(data: str) -> dict[str, Door]:
    """Notebooks 01 and 02 on a folder of real data: curation, then the dataset of what was selected."""

    def run(folder: Path, work: Path) -> Found:
        workspace, rules = Workspace(work, work / "figures"), Criteria(min_length=2, require_task=False)
        spec = _spec(data, folder)
        found = curate(spec, workspace, rules, Choice(9, 9, 1), 1.0, False, jobs=1)
        errors = dict(zip(found.bad.episode, found.bad.reason, strict=True))
        read = every_packet(spec, found.selection.episode, workspace.selection, workspace.signals, jobs=1)
        dataset.write(workspace.dataset_file, read)
        packed = dataset.load(workspace.dataset_file)
        return Found(dict(zip(packed["episode_id"], packed.digests, strict=True)), errors)

    return {"study": run}


def bridge(folder: Path) -> Source:
    return open_bridge(folder, SIZE)


def lerobot(folder: Path) -> Source:
    return LeRobot(folder, SIZE)


def folder(folder: Path) -> Source:
    return Folder(folder, SIZE)


def dataset_file(folder: Path) -> Source:
    return HDF5(only(folder, ".h5"), SIZE)


def plan_of(data: str) -> dict[str, Door]:
    """`run_all.sh --data …` up to the first notebook."""
    return {"plan": lambda folder, work: runner(["--data", data, "--data-path", str(folder), "--output", str(work)])}


def runner(argv: list[str], notebooks: Path | None = None) -> Found:
    """`run_all.sh` with these arguments, up to the first notebook."""
    execute.execute = lambda plan: True
    return called(lambda: cli.main(argv, notebooks), {2})


def command(*argv: str, accepted: tuple[int, ...] = (2,)) -> Found:
    """`python -m lewm_core` with these arguments."""
    return called(lambda: commands.main(list(argv)), set(accepted))


def called(call: Callable[[], int], refused: set[int]) -> Found:
    """What a command gave that returns its exit code. refused: the codes with which it may say why it does not."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = call()
        except SystemExit as error:  # argparse's
            code = error.code
    text, errors = out.getvalue(), err.getvalue()
    if code == 0:
        place = str(Path.cwd().parent)  # of this case
        return Found({"output": digest(text.replace(place, ""))}, {})
    if code not in refused or "Traceback" in errors:
        raise RuntimeError(f"exit code {code}: {text[-500:]} {errors[-1500:]}")
    said = errors[errors.find("error:") :] if code == 2 else text
    if not said.strip() or said.count("error: ") > 1 + said.count("parse error: "):
        raise RuntimeError(f"exit code {code} without one error: {errors[-1500:]}")
    return Found({}, {"": said.strip("\n")})


def only(folder: Path, *suffixes: str) -> str:
    """The file of an input that has one; its folder, where it has become something else."""
    found = sorted(p for p in folder.iterdir() if p.name.endswith(suffixes))
    return str(found[0] if found else folder / f"absent{suffixes[0]}")


def inspected(*suffixes: str) -> dict[str, Door]:
    def inspect(folder: Path, _: Path) -> Found:
        return command("inspect", only(folder, *suffixes) if suffixes else str(folder), accepted=(1, 2))

    return {"inspect": inspect}


def hdf5(checkpoint_file: Path) -> dict[str, Door]:
    def load(folder: Path, _: Path) -> Found:
        data = dataset.load(only(folder, ".h5"))
        return Found({"columns": told(data.columns), "made": told(data.made)}, {})

    def validate(folder: Path, _: Path) -> Found:
        path = only(folder, ".h5")
        if problems := dataset.validate(path):
            return Found({}, {"": f"{path}: {'; '.join(problems)}"})
        return Found({"outline": told(vars(dataset.outline(path)))}, {})

    def evaluate(folder: Path, _: Path) -> Found:
        return command("eval", str(checkpoint_file), only(folder, ".h5"))

    def export(folder: Path, work: Path) -> Found:
        found = command("export", only(folder, ".h5"), str(work / "out"))
        return found if found.errors else source(lerobot)["read"](work / "out", work)

    return {"load": load, "validate": validate, **inspected(".h5"), "eval": evaluate, "export": export,
            **source(dataset_file)}


def weights(squares: Path) -> dict[str, Door]:
    suffixes = (".safetensors", ".pt", ".ckpt")

    def load(folder: Path, _: Path) -> Found:
        model, metadata = checkpoint.load(only(folder, *suffixes))
        arrays = {name: value.numpy() for name, value in model.state_dict().items()}
        return Found({"weights": told(arrays), "metadata": told(metadata), "config": repr(model.config)}, {})

    def base(folder: Path, _: Path) -> Found:
        of_checkpoint(only(folder, *suffixes)).load(0)
        return Found({}, {})

    def evaluate(folder: Path, _: Path) -> Found:
        return command("eval", only(folder, *suffixes), str(squares))

    def export(folder: Path, work: Path) -> Found:
        return command("export", only(folder, *suffixes), str(work / "out"))

    return {"load": load, **inspected(*suffixes), "base": base, "eval": evaluate, "export": export}


def imported(folder: Path, work: Path) -> Found:
    """A LeRobot folder as a dataset file."""
    found = command("export", str(folder), str(work / "out.h5"), "--image-size", str(SIZE))
    return found if found.errors else Found({"data": told(dataset.load(work / "out.h5").columns)}, {})


def pickled(folder: Path, _: Path) -> Found:
    path = only(folder, ".pkl")
    return Found({"content": told(load_pickle(path))}, {})

