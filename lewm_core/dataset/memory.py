"""Whether a dataset fits into memory, known before a frame of it is read."""

import math
from pathlib import Path

import numpy as np

from lewm_core.dataset.contract import frame_columns
from lewm_core.dataset.violations import Structure
from lewm_core.utils.errors import InputError
from lewm_core.utils.provenance import usable_memory


def _bytes_a_frame(found: Structure, pixels: bool) -> int:
    """What a frame takes in memory; its pixels twice, or three grey ones more."""
    a_frame = {c.name: np.dtype(c.dtype).itemsize * math.prod(found.shapes[c.name]) for c in frame_columns()
               if c.name in found.shapes}
    own = a_frame.pop("pixels")
    return sum(a_frame.values()) + own * pixels * (2 if found.shapes["pixels"][-1] == 3 else 6)


def fits(found: Structure, lengths: np.ndarray) -> bool:
    """Whether the free memory holds episodes of these lengths."""
    return int(lengths.sum()) * _bytes_a_frame(found, True) <= usable_memory()


def check(path: str | Path, found: Structure, lengths: np.ndarray, pixels: bool) -> None:
    """InputError if the frames of episodes of these lengths do not fit into the free memory, with or without pixels."""
    needed, free = np.cumsum(lengths) * _bytes_a_frame(found, pixels), usable_memory()
    if needed[-1] > free:
        fit = int((needed <= free).sum())
        raise InputError(path, f"{len(lengths)} episodes that need {needed[-1] / 1e9:.1f} GB of memory",
                         f"at most the {free / 1e9:.1f} GB that are free",
                         f"Load the first {fit} only: episodes={fit}." if fit else "Not even one episode fits.")
