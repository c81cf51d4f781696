"""Signals on disk: one .npz per episode and backends, written whole or not at all."""

import json
import zipfile
import zlib
from pathlib import Path

import numpy as np

from lewm_core.utils.files import digest, replacing

SIGNALS_VERSION = 1  # raise it when signals change for a reason that this package's files do not show
_CODE = ("extraction.py", "geometry.py", "simulator.py", "classical.py", "weights.py")  # decide any entry's content


def path(folder: Path, episode: str, *decides: str, code: tuple[str, ...] = ()) -> Path:
    """The file of an episode: its name holds a digest of all that decides the content.

    code: further files of this package among that, beside those of any entry.
    """
    here = Path(__file__).parent
    written = ((here / name).read_bytes() for name in (*_CODE, *code))
    return Path(folder) / f"{episode}-{digest(episode, *decides, str(SIGNALS_VERSION), *written)}.npz"


def read(path: Path, arrays: tuple[str, ...]) -> dict | None:
    """The stored arrays (None for absent ones), `made_by` and `missing`; None where the entry is absent or damaged.

    The zip format's checksums reveal damage; such an entry is simply made again.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            notes = json.loads(str(stored["notes"]))
            found = {name: stored[name] if name in stored else None for name in arrays}
        if found["mask"] is not None:
            found["mask"] = np.unpackbits(found["mask"], axis=-1, count=notes["width"]).view(bool)
        return {**found, "made_by": notes["made_by"], "missing": notes["missing"]}
    except (OSError, EOFError, ValueError, KeyError, NotImplementedError, zipfile.BadZipFile, zlib.error):
        return None


def write(path: Path, arrays: dict[str, np.ndarray | None], made_by: dict[str, str], missing: dict[str, str]) -> None:
    """Store an episode's arrays; the mask takes one bit a pixel."""
    present = {name: array for name, array in arrays.items() if array is not None}
    notes = {"made_by": made_by, "missing": missing}
    if "mask" in present:
        notes["width"] = present["mask"].shape[-1]
        present["mask"] = np.packbits(present["mask"], axis=-1)
    with replacing(path) as temporary:
        np.savez(temporary, notes=np.array(json.dumps(notes)), **present)
