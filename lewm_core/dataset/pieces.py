"""The rows of an array in a dataset file, a few megabytes at a time."""

from collections.abc import Iterator

import h5py
import numpy as np

STEP = 2**24  # bytes
MOST_TEXT = 2**16  # bytes of one text


class Damaged(Exception):
    """Rows that cannot be read. frame: the first of them."""

    def __init__(self, frame: int, reason: str):
        self.frame, self.reason = frame, reason
        super().__init__(f"from frame {frame} on: {reason}")


def pieces(data: h5py.Dataset, start: int, stop: int) -> Iterator[tuple[int, np.ndarray]]:
    """Rows `start` to `stop`, STEP bytes or one row at a time, each piece with the number of its first row."""
    rows = max(1, STEP // max(1, row_bytes(data)))
    for first in range(start, stop, rows):
        last = min(first + rows, stop)
        try:
            values = data[first:last]
        except Exception as error:  # a damaged chunk, or a compression that is not registered: HDF5 has many errors
            raise Damaged(_first_bad(data, first, last), reason(error)) from None
        yield first, values


def texts(data: h5py.Dataset, places: np.ndarray) -> np.ndarray:
    """The texts at these frames, one by one, since each may be as long as the file."""
    decoded = data.asstr("utf-8", "replace")
    found = np.empty(len(places), object)
    for i, place in enumerate(places):
        try:
            found[i] = decoded[place]
        except Exception as error:  # of a damaged heap: HDF5 has many errors
            raise Damaged(int(place), reason(error)) from None
        if len(found[i]) > MOST_TEXT:
            raise Damaged(int(place), f"a text of {len(found[i]):,} characters, more than {MOST_TEXT:,}")
    return found


def row_bytes(data: h5py.Dataset) -> int:
    """Bytes of one row, as the file has it."""
    size = data.dtype.itemsize
    for n in data.shape[1:]:
        size *= int(n)
    return size


def _first_bad(data: h5py.Dataset, first: int, last: int) -> int:
    for row in range(first, last):
        try:
            data[row]
        except Exception:  # as above
            return row
    return first


def reason(error: Exception) -> str:
    """An error of HDF5 in one line."""
    return " ".join(str(error).split())[:300] or type(error).__name__
