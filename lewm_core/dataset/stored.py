"""Frames that stay in the dataset file: what a dataset larger than the memory has instead of an array of them."""

from pathlib import Path

import h5py
import hdf5plugin  # noqa: F401  # registers the compressions that public files use
import numpy as np

from lewm_core.utils.errors import InputError, foreign
from lewm_core.utils.files import identity


class Stored:
    """The pixels (N, H, W, 3) uint8 of a dataset file, indexed by rows as an array of them is: what is asked for is
    read, and nothing kept.

    path: of a file that was checked. rows: the numbers of the frames in the file, (N,).
    The file is opened where it is first asked for, so that a process of its own opens it for itself.
    """

    dtype, ndim = np.dtype(np.uint8), 4

    def __init__(self, path: Path, rows: np.ndarray, size: tuple[int, int]):
        self.path, self.rows = Path(path), rows
        self.shape = (len(rows), *size, 3)
        self._identity = identity(self.path)
        self._column: h5py.Dataset | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def __getstate__(self) -> dict:
        return self.__dict__ | {"_column": None}

    def take(self, rows: np.ndarray | slice) -> "Stored":
        """The same of these rows alone."""
        return Stored(self.path, self.rows[rows], self.shape[1:3])

    def __getitem__(self, index: int | slice | np.ndarray) -> np.ndarray:
        """(…, H, W, 3) for an index (…)."""
        rows = self.rows[index]
        flat = np.atleast_1d(rows).ravel()
        found = np.empty((len(flat), *self.shape[1:]), np.uint8)
        column = self._opened()
        edges = [0, *(np.flatnonzero(np.diff(flat) != 1) + 1), len(flat)]  # one read for each run of consecutive rows
        with foreign(f"{self.path}, column pixels"):
            for start, stop in zip(edges[:-1], edges[1:], strict=True):
                if stop > start:  # grey becomes three equal channels
                    found[start:stop] = column[flat[start] : flat[start] + stop - start]
        return found.reshape(*np.shape(rows), *self.shape[1:])

    def _opened(self) -> h5py.Dataset:
        if self._column is None:
            if identity(self.path) != self._identity:
                raise InputError(self.path, "another file than was loaded", "the file as it was", "Load it again.")
            self._column = h5py.File(self.path, "r")["pixels"]
        return self._column
