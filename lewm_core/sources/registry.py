"""The sources by name. A new source is a module that has a `Source` and a row of SOURCES.

A source's module is imported when it is opened, so that the command line can list the names at once.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from lewm_core.utils.errors import OnError, pick
from lewm_core.utils.files import digest
from lewm_core.utils.provenance import SIMULATED

if TYPE_CHECKING:  # it imports NumPy
    from lewm_core.sources.episode import Episode, EpisodeInfo, Source

# name -> the module and what opens the source in it: (n_episodes, seed, image_size, looks=) where it is simulated,
# (folder, image_size, camera) where it is real
SOURCES = {
    "tabletop": ("lewm_core.sources.tabletop.source", "Tabletop"),
    "bridge": ("lewm_core.sources.bridge", "open_bridge"),
    "lerobot": ("lewm_core.sources.lerobot", "LeRobot"),
}


@dataclass(frozen=True)
class First:
    """The first `n` episodes of a source, itself a Source."""

    source: "Source"
    n: int

    @property
    def name(self) -> str:
        return self.source.name

    @property
    def cameras(self) -> int:
        return self.source.cameras

    @property
    def fingerprint(self) -> str:
        return digest(self.source.fingerprint, str(self.n))

    def infos(self, on_error: OnError | None = None, cache: Path | None = None) -> Iterator["EpisodeInfo"]:
        return islice(self.source.infos(on_error, cache), self.n)

    def load(self, id: str) -> "Episode":
        return self.source.load(id)


def open_source(name: str, n_episodes: int, seed: int, image_size: int, folder: Path, camera: int,
                looks: int | None = None) -> "Source":
    """The source `name` of SOURCES.

    Args:
        n_episodes: how many, from the first; 0 is all (not of a simulator).
        seed: of a simulator.
        image_size: height and width of the frames, px.
        folder, camera: of real data.
        looks: of a simulator, how many kitchens it has; None is all.

    Raises:
        InputError: an unknown name, or what the source raises.
    """
    module, opener = pick(SOURCES, name, "data")
    opened_by = getattr(import_module(module), opener)
    if name in SIMULATED:
        return opened_by(n_episodes, seed, image_size, looks=looks)
    source = opened_by(folder, image_size, camera)
    return First(source, n_episodes) if n_episodes else source
