"""NumPy arrays on disk: one .npz file for each value, written whole or not at all."""

import json
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from lewm_core.utils.files import regular, replacing


def write_arrays(path: str | Path, arrays: Mapping[str, np.ndarray | None], notes: Mapping[str, object]) -> None:
    """Write the arrays that are there, and JSON-ready notes beside them (so no array is called `notes`)."""
    present = {name: array for name, array in arrays.items() if array is not None}
    with replacing(path) as temporary:
        np.savez(temporary, notes=np.array(json.dumps(notes)), **present)


def read_arrays(path: str | Path) -> tuple[dict[str, np.ndarray], dict] | None:
    """What `write_arrays` wrote: the arrays and the notes; None where the file is absent or damaged.

    The zip format's checksums reveal damage.
    """
    try:
        with np.load(regular(path), allow_pickle=False) as stored:
            arrays = dict(stored)
        return arrays, json.loads(str(arrays.pop("notes")))
    except (OSError, EOFError, ValueError, KeyError, NotImplementedError, zipfile.BadZipFile, zlib.error):
        return None
