"""The dataset file: its contract, how it is written and read, how a run splits it. Nothing here but
`frames` and `targets` needs torch."""

from lewm_core.dataset.contract import COLUMNS, NO_FOREGROUND, Column, Outline, frame_columns, outline
from lewm_core.dataset.data import Data, damage, load, read_episodes
from lewm_core.dataset.packing import pack, write
from lewm_core.dataset.splits import WINDOW, Split, split, window_starts, windows
from lewm_core.dataset.trial import validate

__all__ = [
    "COLUMNS", "Column", "Data", "NO_FOREGROUND", "Outline", "Split", "WINDOW", "damage", "frame_columns", "load",
    "outline", "pack", "read_episodes", "split", "validate", "window_starts", "windows", "write",
]  # fmt: skip
