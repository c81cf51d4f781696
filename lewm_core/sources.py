"""Which episodes a study is about: what notebook 01 opened, kept so that later notebooks open exactly that.

Also `packets`, the one way in which notebooks read episodes with their signals: in order, in parallel processes.
"""

import json
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, fields, replace
from functools import lru_cache
from itertools import islice
from multiprocessing import get_context
from pathlib import Path

import cv2
from tqdm import tqdm

from lewm_core.bridge import Bridge
from lewm_core.episodes import Episode, EpisodeInfo, Source
from lewm_core.errors import InputError, pick
from lewm_core.files import digest, file_digest, replacing, write_json
from lewm_core.provenance import usable_cores
from lewm_core.signals import CLASSICAL, SIMULATOR, Backends, Signals, extract
from lewm_core.tabletop import Tabletop
from lewm_core.workspace import ROOT

Packet = tuple[Episode, Signals]


@dataclass(frozen=True)
class First:
    """The first `n` episodes of a source, itself a Source."""

    source: Source
    n: int

    @property
    def name(self) -> str:
        return self.source.name

    @property
    def fingerprint(self) -> str:
        return digest(self.source.fingerprint, str(self.n))

    def infos(self) -> Iterator[EpisodeInfo]:
        return islice(self.source.infos(), self.n)

    def load(self, id: str) -> Episode:
        return self.source.load(id)


def _tabletop(spec: "SourceSpec") -> Source:
    return Tabletop(spec.n_candidates, spec.seed, spec.image_size)


def _bridge(spec: "SourceSpec") -> Source:
    source = Bridge(ROOT / spec.data_path, spec.image_size, spec.camera)
    return First(source, spec.n_candidates) if spec.n_candidates else source


SOURCES: dict[str, tuple[Callable[["SourceSpec"], Source], Backends]] = {
    "tabletop": (_tabletop, SIMULATOR),
    "bridge": (_bridge, CLASSICAL),
}


@dataclass(frozen=True)
class SourceSpec:
    """Everything that says which episodes there are. Checked when it is made; nothing is read before `open`.

    data: a name in SOURCES. n_candidates: how many episodes, from the first; 0 is all (not of a simulator).
    seed: of the simulator. image_size: px. data_path: folder of real data; relative to the repository.
    camera: of real data, 0 to 3.
    """

    data: str
    n_candidates: int
    seed: int
    image_size: int
    data_path: str = ""
    camera: int = 0

    def __post_init__(self):
        pick(SOURCES, self.data, "data")
        if self.n_candidates < 0:
            raise InputError("n_candidates", str(self.n_candidates), "a number of episodes; 0 for all")
        if self.data == "bridge" and not self.data_path:
            raise InputError("data bridge", "no data_path", "the folder of the data set", "Pass --data-path DIR.")

    def open(self) -> Source:
        """The source, opened once per process."""
        return _open(self)

    @property
    def backends(self) -> Backends:
        """What can make signals there without weights: the simulator's truth, else OpenCV."""
        return SOURCES[self.data][1]

    def public(self) -> dict[str, object]:
        """The settings without the folder, which says something about one machine only."""
        return {name: value for name, value in asdict(self).items() if name != "data_path"}

    def save(self, path: str | Path) -> None:
        write_json(path, asdict(self))

    @classmethod
    def load(cls, path: str | Path) -> "SourceSpec":
        """What `save` wrote; InputError if the file is absent or anything else."""
        known = {f.name: f.type for f in fields(cls)}
        remedy = "Run notebook 01_curation again."
        try:
            values = json.loads(Path(path).read_text())
        except (OSError, ValueError) as error:
            raise InputError(path, f"no JSON ({error})", "what notebook 01_curation writes", remedy) from None
        if not isinstance(values, dict) or {k: type(v) for k, v in values.items()} != known:
            raise InputError(path, json.dumps(values)[:200], f"the fields {', '.join(known)}", remedy)
        return cls(**values)


@lru_cache(maxsize=1)
def _open(spec: SourceSpec) -> Source:
    return SOURCES[spec.data][0](spec)


def packets(spec: SourceSpec, ids: Iterable[str], cache: Path | None = None, jobs: int = 0,
            on_error: Callable[[str, InputError], None] | None = None, desc: str = "episodes") -> Iterator[Packet]:
    """Each episode with its signals, in the order of `ids`; a progress bar goes to stderr.

    Episodes come without the simulator's truth, which is large and nothing after the signals asks for.

    Args:
        cache: folder of the signal cache; None keeps nothing.
        jobs: parallel processes; 0 is one a core.
        on_error: called with the id and the error of an episode that cannot be read, which is then left out. Without
            it, the first such error is raised.
    """
    ids = list(ids)
    if not ids:
        return
    jobs = min(jobs or usable_cores(), len(ids))
    tasks = ((spec, id, cache) for id in ids)
    with tqdm(total=len(ids), desc=desc, unit="episode", file=sys.stderr, mininterval=1) as bar:
        for id, result in zip(ids, _in_order(tasks, jobs) if jobs > 1 else map(_packet, tasks), strict=True):
            bar.update()
            if not isinstance(result, InputError):
                yield result
            elif on_error is None:
                raise result
            else:
                on_error(id, result)


def packet(spec: SourceSpec, id: str, cache: Path | None = None) -> Packet:
    """One episode with its signals, as `packets` yields it, for whoever wants just that one."""
    source = spec.open()
    episode = source.load(id)
    return replace(episode, truth=None), extract(episode, spec.backends, cache, source.fingerprint)


def _packet(task: tuple[SourceSpec, str, Path | None]) -> Packet | InputError:
    try:
        return packet(*task)
    except InputError as error:
        return error


def _in_order(tasks: Iterable, jobs: int) -> Iterator[Packet | InputError]:
    """`_packet` of each task in processes; only a few results are ahead of who consumes them."""
    # spawn: a fork of a process with threads (a notebook kernel, torch) can hang.
    pool = ProcessPoolExecutor(jobs, get_context("spawn"), cv2.setNumThreads, (1,))
    try:
        waiting = deque()
        for task in tasks:
            waiting.append(pool.submit(_packet, task))
            if len(waiting) > 4 * jobs:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def edited(path: str | Path) -> bool:
    """Whether somebody changed or made this file since `write_editable` wrote it; False where there is none."""
    path, note = Path(path), _note(path)
    return path.exists() and not (note.exists() and note.read_text() == file_digest(path))


def write_editable(path: str | Path, write: Callable[[Path], None]) -> None:
    """Write a file that a person may edit; a hidden file beside it holds the digest of what was written."""
    write(Path(path))
    with replacing(_note(path)) as temporary:
        temporary.write_text(file_digest(path))


def _note(path: str | Path) -> Path:
    return Path(path).with_name(f".{Path(path).name}.written")
