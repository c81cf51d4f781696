"""Episodes of a dataset come back as they were written."""

import numpy as np
import pytest

from lewm_core import dataset
from lewm_core.dataset.packets import packets
from lewm_core.signals.extraction import ARRAYS
from lewm_core.utils.errors import InputError
from tests.helpers import moving_square, write_squares


def test_an_episode_and_its_signals_come_back(tmp_path):
    data = dataset.load(write_squares(tmp_path / "squares.h5", (9, 7)))
    episode, signals = packets(data, ["square1"])["square1"]
    written, its_signals = moving_square(1, 7)
    assert episode.task == written.task and np.array_equal(episode.frames, written.frames)
    assert signals.gripper is None  # neither a column nor in the observations, of which there are two
    for name in set(ARRAYS) - {"gripper"}:
        one, other = getattr(signals, name), getattr(its_signals, name)
        assert one.dtype == other.dtype and np.array_equal(one, other, equal_nan=one.dtype.kind == "f")
    assert signals.biased and signals.made_by["depth"] == "hand"


def test_a_missing_signal_says_why(tmp_path):
    data = dataset.load(write_squares(tmp_path / "squares.h5", (9, 7), depth="No depth here."))
    _, signals = packets(data, ["square0"])["square0"]
    assert signals.depth is None and signals.missing["depth"] == "No depth here."


def test_an_unknown_episode_is_an_input_error(tmp_path):
    data = dataset.load(write_squares(tmp_path / "squares.h5", (9, 7)))
    with pytest.raises(InputError, match="nowhere"):
        packets(data, ["square0", "nowhere"])
