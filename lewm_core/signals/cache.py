"""Signals on disk: one .npz per episode and backends, written whole or not at all."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from lewm_core.utils import sealed
from lewm_core.utils.arrays import read_arrays, write_arrays
from lewm_core.utils.files import digest

SIGNALS_VERSION = 1  # raise it when signals change for a reason that this package's files do not show
_CODE = ("extraction.py", "geometry.py", "simulator.py", "classical.py", "weights.py")  # decide any entry's content


def path(folder: Path, episode: str, *decides: str, code: Iterable[Path] = ()) -> Path:
    """The file of an episode: its name holds a digest of all that decides the content.

    code: further files whose code is among that, beside those of any entry.
    """
    here = Path(__file__).parent
    files = [*(here / name for name in _CODE), *code]
    written = (file.read_bytes() for file in files)
    return Path(folder) / f"{episode}-{digest(episode, *decides, str(SIGNALS_VERSION), *written)}.npz"


def read(path: Path, arrays: tuple[str, ...]) -> dict | None:
    """The stored arrays (None for absent ones), `made_by` and `missing`; None where the entry is absent or damaged.

    A damaged entry is told of and made again.
    """
    stored = read_arrays(path)
    if stored is None:
        return None
    present, notes = stored
    found = {name: present.get(name) for name in arrays}
    try:
        if found["mask"] is not None:
            found["mask"] = np.unpackbits(found["mask"], axis=-1, count=notes["width"]).view(bool)
        return {**found, "made_by": notes["made_by"], "missing": notes["missing"]}
    except (KeyError, TypeError, ValueError) as error:
        sealed.made_again(path, error)
        return None


def write(path: Path, arrays: dict[str, np.ndarray | None], made_by: dict[str, str], missing: dict[str, str]) -> None:
    """Store an episode's arrays; the mask takes one bit a pixel."""
    notes = {"made_by": made_by, "missing": missing}
    mask = arrays.get("mask")
    if mask is not None:
        notes["width"] = mask.shape[-1]
        arrays = {**arrays, "mask": np.packbits(mask, axis=-1)}
    write_arrays(path, arrays, notes)
