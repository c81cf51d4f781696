"""NumPy arrays on disk: one .npz file for each value, written whole or not at all."""

import json
import zipfile
import zlib
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path

import numpy as np

from lewm_core.utils import sealed
from lewm_core.utils.files import regular, replacing

NOTES = "notes"
# What zipfile, NumPy and json raise for a damaged file, depending on where the damage is
DAMAGE = (OSError, EOFError, ValueError, KeyError, TypeError, NotImplementedError, MemoryError, AttributeError,
          RuntimeError, SyntaxError, zipfile.BadZipFile, zlib.error)


def write_arrays(path: str | Path, arrays: Mapping[str, np.ndarray | None], notes: Mapping[str, object]) -> None:
    """Write the arrays that are there, and JSON-ready notes beside them (so no array is called `notes`).

    The file knows its own name: one that was put in another's place is told.
    """
    named = {**notes, "file": Path(path).name}
    present = {name: array for name, array in arrays.items() if array is not None}
    with replacing(path, durable=False) as temporary:
        np.savez(temporary, **{NOTES: np.array(json.dumps({**named, "arrays": list(present)}))}, **present)


def read_arrays(path: str | Path) -> tuple[dict[str, np.ndarray], dict] | None:
    """What `write_arrays` wrote: the arrays and the notes; None where the file is absent or damaged, which is told."""
    if not Path(path).exists():
        return None
    try:
        return _read(path)
    except DAMAGE as error:
        sealed.made_again(path, error)
        return None


def problem(path: str | Path) -> str:
    """What is wrong with a file of `write_arrays`; empty where nothing is."""
    try:
        _read(path)
        return ""
    except DAMAGE as error:
        return f"{type(error).__name__}: {error}"


def _read(path: str | Path) -> tuple[dict[str, np.ndarray], dict]:
    """The arrays and the notes. Each entry is read to its end, which is where the zip format's checksum is compared:
    np.load stops where a damaged header says that the array ends."""
    with zipfile.ZipFile(regular(path)) as stored:
        content = {Path(name).stem: stored.read(name) for name in stored.namelist()}
    arrays = {name: np.load(BytesIO(content), allow_pickle=False) for name, content in content.items()}
    notes = json.loads(str(arrays.pop(NOTES)))
    if set(notes.pop("arrays", arrays)) != set(arrays):  # of files from before this was noted nothing can be said
        raise ValueError("an array is missing")
    if (name := notes.pop("file", Path(path).name)) != Path(path).name:
        raise ValueError(f"the content of {name!r:.200}")
    return arrays, notes
