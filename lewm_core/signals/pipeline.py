"""Which episodes a study is about: what notebook 01 opened, kept so that later notebooks open exactly that.

Also `packets`, the one way in which notebooks read episodes with their signals: in order, in parallel processes. What
was opened and extracted once is read from the cache folder, by whoever asks for it next.
"""

import json
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import get_args

from lewm_core.signals import elsewhere
from lewm_core.signals.backends import PAPER, SIMULATOR, Backends, check, choose, on_gpu
from lewm_core.signals.extraction import Packet, cached, extract_once
from lewm_core.signals.weights import Settings
from lewm_core.sources import opened
from lewm_core.sources.episode import Episode, Source
from lewm_core.sources.registry import FILES, HOLDING, SOURCES, open_source
from lewm_core.sources.tabletop.scene import kitchens_of
from lewm_core.utils import executors, sealed
from lewm_core.utils.errors import InputError, OnError, pick
from lewm_core.utils.files import write_json
from lewm_core.utils.pool import Pool
from lewm_core.utils.progress import bar
from lewm_core.utils.provenance import SIMULATED, usable_cores
from lewm_core.utils.workspace import ROOT, relative

FRAMES = "frames"  # folder of opened episodes, in the cache folder
Task = tuple["SourceSpec", str, Path, str]  # an episode: its source, its id, the cache folder, the source's fingerprint


@dataclass(frozen=True)
class SourceSpec:
    """Everything that says which episodes there are. Checked when it is made; nothing is read before `open`.

    data: a name in sources.registry.SOURCES.
    n_candidates: how many episodes, from the first; 0 is all (not of a simulator).
    seed: of the simulator. image_size: px. data_path: folder or file of real data; relative to the repository.
    camera: of real data, from 0.
    depth_backend, tracks_backend, mask_backend: names in backends.REGISTRIES; "" is the data's default, see `backends`.
    weights: folder of what backends with weights need; relative to the repository; "" is none.
    paper_backends: on real data, the paper's backends or an error; False is classical where weights are missing.
    looks: how many kitchens the simulated world has: 1 is the one that the base knows, 2, or None for all.
    """

    data: str
    n_candidates: int
    seed: int
    image_size: int
    data_path: str = ""
    camera: int = 0
    depth_backend: str = ""
    tracks_backend: str = ""
    mask_backend: str = ""
    weights: str = ""
    paper_backends: bool = False
    looks: int | None = None

    def __post_init__(self):
        pick(SOURCES, self.data, "data")
        Backends(self.depth_backend or None, self.tracks_backend or None, self.mask_backend or None)
        if self.n_candidates < 0:
            raise InputError("n_candidates", str(self.n_candidates), "a number of episodes; 0 for all")
        if self.data not in SIMULATED and not self.data_path:
            what, example = ("file", "my.h5") if self.data in FILES else ("folder", "DIR")
            raise InputError(f"data {self.data}", "no data_path", f"the {what} of the data set",
                             f"Pass --data-path {example}.")
        check_looks(self.data, self.looks)

    def open(self) -> Source:
        """The source, opened once per process."""
        return _opened(self)

    def view(self, camera: int, image_size: int) -> Source:
        """The same episodes seen by another camera, in frames of another size; opened anew."""
        return _open(replace(self, camera=camera, image_size=image_size))

    @property
    def settings(self) -> Settings:
        """Where backends with weights find them."""
        return Settings(self.weights)

    @property
    def backends(self) -> Backends:
        """Those named; else the simulator's truth for simulated data, for real data what their files hold already, and
        the paper's where they can run."""
        return self._choice()[0]

    @property
    def why(self) -> dict[str, str]:
        """signal -> why that backend makes it, in one sentence."""
        return self._choice()[1]

    def _choice(self) -> tuple[Backends, dict[str, str]]:
        named = {"depth": self.depth_backend, "tracks": self.tracks_backend, "mask": self.mask_backend}
        preferred = SIMULATOR if self.data in SIMULATED else PAPER
        in_file = self.open().held if self.data in HOLDING else ()
        return choose(preferred, named, self.settings, self.paper_backends, in_file)

    def public(self) -> dict[str, object]:
        """The settings without the folders, which say something about one machine only."""
        return {name: value for name, value in asdict(self).items() if name not in ("data_path", "weights")}

    def save(self, path: str | Path) -> None:
        """Write the description as JSON; `load` reads it."""
        write_json(path, asdict(self), seal=True)

    @classmethod
    def load(cls, path: str | Path) -> "SourceSpec":
        """What `save` wrote; InputError if the file is absent or anything else."""
        known = {f.name: get_args(f.type) or (f.type,) for f in fields(cls)}
        remedy = "Run notebook 01_curation again."
        try:
            values = json.loads(sealed.check(path, remedy).read_text())
        except sealed.Damaged:
            raise
        except (OSError, ValueError, RecursionError) as error:
            raise InputError(path, f"no JSON ({error})", "what notebook 01_curation writes", remedy) from None
        if not isinstance(values, dict) or set(values) != set(known) or not all(
                type(value) in known[name] for name, value in values.items()):
            raise InputError(path, json.dumps(values)[:200], f"the fields {', '.join(known)}", remedy)
        return cls(**values)


def check_looks(data: str, looks: object) -> None:
    """InputError for a number of looks that no world has, or for one that is asked of real data."""
    if looks is not None and data not in SIMULATED:
        raise InputError(f"data {data}", f"looks {looks!r}", "None: only a simulated world's looks can be chosen")
    kitchens_of(looks)


def _open(spec: SourceSpec) -> Source:
    return open_source(spec.data, spec.n_candidates, spec.seed, spec.image_size, ROOT / spec.data_path, spec.camera,
                       spec.looks)


_opened = lru_cache(maxsize=1)(_open)


def packets(spec: SourceSpec, ids: Iterable[str], cache: Path, jobs: int = 0,
            on_error: OnError | None = None, desc: str = "episodes", on: str = executors.LOCAL) -> Iterator[Packet]:
    """Each episode with its signals, in the order of `ids`; a progress bar with frames/s goes to stderr.

    A backend on a GPU works in this process alone, whatever `jobs` says: it is fast, and one copy of it is enough.
    Episodes come without the simulator's truth, which is large and nothing after the signals asks for.

    Args:
        cache: folder that keeps signals and, in `frames`, opened episodes.
        jobs: parallel processes; 0 is one a core.
        on_error: called with the id and the error of an episode that cannot be read or whose actions are zero
            throughout, which is then left out. Without it, the first such error is raised.
        on: where signals are made, as `executors` has it.
    """
    ids = list(ids)
    if not ids:
        return
    check(spec.backends, spec.settings)
    fingerprint = spec.open().fingerprint  # here once: of a large data set it takes long
    tasks = [(spec, id, cache, fingerprint) for id in ids]
    if on == executors.LOCAL:
        jobs = 1 if on_gpu(spec.backends, spec.settings) else min(jobs or usable_cores(), len(ids))
        results = _results(tasks, jobs)
    else:
        results = elsewhere.results(tasks, jobs, on, _packet, _name)
    frames = 0
    with bar(desc=desc, unit="episode", total=len(ids), delay=0) as shown, closing(results):
        for id, result in zip(ids, results, strict=True):
            shown.update()
            if not isinstance(result, InputError):
                frames += len(result[0].frames)
                shown.set_postfix_str(f"{frames / shown.format_dict['elapsed']:.0f} frames/s", refresh=False)
                yield result
            elif on_error is None:
                raise result
            else:
                on_error(id, result)


def every_packet(spec: SourceSpec, ids: Iterable[str], asked_by: str | Path, cache: Path, jobs: int = 0,
                 on: str = executors.LOCAL) -> Iterator[Packet]:
    """`packets` where none may fail: after the last, one InputError for those that cannot be read.

    asked_by: the file that names the episodes.
    """
    failed: dict[str, InputError] = {}
    yield from packets(spec, ids, cache, jobs, failed.__setitem__, on=on)
    if failed:
        raise InputError(relative(asked_by), f"{len(failed)} episodes that cannot be read", "episodes of the source",
                         f"The first of them: {next(iter(failed.values()))}")


def packet(spec: SourceSpec, id: str, cache: Path, fingerprint: str = "") -> Packet:
    """One episode with its signals, as `packets` yields it, for whoever wants just that one.

    fingerprint: the source's, where it is known already.
    """
    source = spec.open()
    fingerprint = fingerprint or source.fingerprint
    episode = opened.read(cache / FRAMES, id, fingerprint)
    signals = cached(id, spec.backends, cache, fingerprint, spec.settings)
    if episode is None or signals is None:
        episode = source.load(id)  # also for signals alone: they may need the simulator's truth
        if signals is None:
            signals = extract_once(episode, spec.backends, cache, fingerprint, spec.settings)
        episode = opened.write(cache / FRAMES, episode, fingerprint)
    return episode, signals


def open_episode(spec: SourceSpec, id: str, cache: Path) -> Episode:
    """An episode without signals and truth, for a picture of it: read from the cache folder, or opened and kept there.

    InputError as `Source.load` raises it.
    """
    source = spec.open()
    episode = opened.read(cache / FRAMES, id, source.fingerprint)
    return episode or opened.write(cache / FRAMES, source.load(id), source.fingerprint)


def _packet(task: Task) -> Packet | InputError:
    try:
        return packet(*task)
    except InputError as error:
        return error


def _results(tasks: list[Task], jobs: int) -> Iterator[Packet | InputError]:
    """`_packet` of each task, in processes where there are several jobs; few results are ahead of who consumes them.

    With one job it works in this process; only files of strangers are read in another even then (`sources.isolated`).
    """
    if jobs == 1:
        yield from map(_packet, tasks)
        return
    with Pool(jobs) as pool:
        for _, result in pool.map(_packet, tasks, ordered=True, ahead=3 * jobs, name=_name):
            if isinstance(result, Exception) and not isinstance(result, InputError):
                raise result
            yield result


def _name(task: Task) -> str:
    spec, id = task[:2]
    return f"episode {id} of {spec.data_path or spec.data}"
