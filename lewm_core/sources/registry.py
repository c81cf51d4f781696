"""The sources by name. A new source is a module that has a `Source` and a row of SOURCES.

A source's module is imported when it is opened, so that the command line can list the names at once.
"""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from lewm_core.utils.errors import pick
from lewm_core.utils.provenance import SIMULATED

if TYPE_CHECKING:  # it imports NumPy
    from lewm_core.sources.episode import Source

# name -> the module and what opens the source in it: (n_episodes, seed, image_size, looks=) where it is simulated,
# (folder or file, image_size, camera) where it is real
SOURCES = {
    "tabletop": ("lewm_core.sources.tabletop.source", "Tabletop"),
    "bridge": ("lewm_core.sources.bridge", "open_bridge"),
    "lerobot": ("lewm_core.sources.lerobot", "LeRobot"),
    "hdf5": ("lewm_core.dataset.source", "HDF5"),  # beside the contract that it reads
    "folder": ("lewm_core.sources.folder", "Folder"),
    "lance": ("lewm_core.sources.lance", "Lance"),
}
FILES = ("hdf5",)  # of these the data set is one file, of the others a folder
OWN = ("hdf5", "folder", "lance")  # of these it is quickly said what is wrong, so that is said before any work starts
HOLDING = ("hdf5",)  # of these an episode may hold signals already, which need not be extracted


def open_source(name: str, n_episodes: int, seed: int, image_size: int, folder: Path, camera: int,
                looks: int | None = None) -> "Source":
    """The source `name` of SOURCES.

    Args:
        n_episodes: how many, from the first; 0 is all (not of a simulator).
        seed: of a simulator.
        image_size: height and width of the frames, px.
        folder, camera: of real data; the folder is a file of the sources in FILES.
        looks: of a simulator, how many kitchens it has; None is all.

    Raises:
        InputError: an unknown name, or what the source raises.
    """
    module, opener = pick(SOURCES, name, "data")
    if name in SIMULATED:
        return getattr(import_module(module), opener)(n_episodes, seed, image_size, looks=looks)
    from lewm_core.sources.isolated import Isolated  # not above: it imports NumPy

    return Isolated((module, opener), n_episodes, folder, image_size, camera)
