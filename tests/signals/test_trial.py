"""Backends tried on simulated episodes."""

import numpy as np
import pytest

from lewm_core.signals import trial
from lewm_core.signals.weights import Settings


@pytest.mark.slow
def test_classical_is_tried_on_episodes_in_which_something_happens(tmp_path):
    tried = trial.run(1, 56, 0, Settings(""), tmp_path)
    assert len(tried.episodes) == 1 and tried.summary.index.tolist() == ["classical"]
    assert list(dict.fromkeys(tried.points.backend)) == ["classical, all points", "classical, moving points"]
    every = tried.points[tried.points.backend == "classical, all points"]
    moving = tried.points[tried.points.backend == "classical, moving points"]
    assert len(every) % 400 == 0 and 0 < len(moving) < len(every) and np.isfinite(every.error).all()
    assert set(tried.numbers.episode) == set(tried.episodes) and set(tried.numbers.signal) == {"tracks", "mask"}
