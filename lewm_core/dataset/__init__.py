"""The dataset file: its contract, how it is written and read, how a run splits it. Nothing here but `targets` needs
torch."""

from lewm_core.dataset.contract import COLUMNS, NO_FOREGROUND, SIGNALS, Column, Outline, outline, validate
from lewm_core.dataset.data import Data, load, read_episodes
from lewm_core.dataset.packing import pack, write
from lewm_core.dataset.splits import WINDOW, Split, split, window_starts

__all__ = [
    "COLUMNS", "Column", "Data", "NO_FOREGROUND", "Outline", "SIGNALS", "Split", "WINDOW", "load", "outline", "pack",
    "read_episodes", "split", "validate", "window_starts", "write",
]  # fmt: skip
