"""A dataset file is first read in a process of its own, since HDF5's library can hang, take all memory or die at a
damaged one. What the trial came through is then read in this process.

The trial reads all that has a structure of its own in the file: attributes, texts, compressed chunks. Plain numbers
are only read where their values are to be checked.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from lewm_core.dataset import contract, violations
from lewm_core.dataset.pieces import reason
from lewm_core.dataset.violations import Structure
from lewm_core.utils.errors import InputError
from lewm_core.utils.files import regular
from lewm_core.utils.pool import Lost, apart, limited

SECONDS, BYTES_A_SECOND = 30, 5_000_000  # of computing: so many, and one more for so many bytes of the file
MEMORY = 1_000_000_000  # bytes, beside what the process has


def validate(path: str | Path) -> list[str]:
    """Every violation of the contract in the file, as sentences; an empty list if it keeps it."""
    found = structure(path)
    return found.problems + values(path, found)


def structure(path: str | Path) -> Structure:
    """What is known of a file without reading a frame; a file that cannot be read has that as its one problem."""
    try:
        regular(path)
    except InputError as error:
        return Structure([error.found])
    outcome = _apart(_structure, path)
    return outcome if isinstance(outcome, Structure) else Structure([outcome])


def values(path: str | Path, found: Structure) -> list[str]:
    """The violations in a file's values. found: its structure."""
    outcome = _apart(_values, path, found) if found.rows else []
    return outcome if isinstance(outcome, list) else [outcome]


def _apart(function: Callable, path: str | Path, *arguments: Any) -> Any:
    """What `function` makes of the open file in another process, or a sentence that says why it made nothing."""
    path = Path(path).absolute()
    seconds = SECONDS + path.stat().st_size / BYTES_A_SECOND
    try:
        return apart(_tried, function, path, seconds, *arguments, name=str(path))
    except Lost as lost:
        return f"cannot be read as HDF5 ({lost.found.removeprefix('that ')})"


def _tried(function: Callable, path: Path, seconds: float, *arguments: Any) -> Any:
    try:
        with limited(seconds, MEMORY), h5py.File(path, "r") as f:
            return function(f, *arguments)
    except Exception as error:  # HDF5 is a foreign parser: what it raises for a damaged file depends on the damage
        return f"cannot be read as HDF5 ({reason(error)})"


def _structure(f: h5py.File) -> Structure:
    found = violations.structure(f)
    for name in f:
        contract.shape_of(f, name)
    for name in f.attrs:
        kind = f.attrs.get_id(name)
        if np.prod(kind.shape or (), dtype=float) * kind.dtype.itemsize <= contract.MOST_MADE:
            f.attrs[name]  # noqa: B018  (whether it can be read)
    return found


def _values(f: h5py.File, found: Structure) -> list[str]:
    return violations.values(f, found)
