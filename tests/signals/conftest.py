import numpy as np
import pytest

from lewm_core.sources.episode import Episode
from tests.scenes import K, Rectangles, path


@pytest.fixture(scope="module")
def scene() -> Episode:
    """A plane, a square that slides and turns on it, and a bar that passes over both."""
    n = 12
    flat = np.full((512, 512, 3), 30, np.float32)
    return (
        Rectangles(n, 128, 160, K)
        .add((2, 2), path(n, (0, 0, 1.0), (0, 0, 1.0)), np.zeros(n))
        .add((0.11, 0.11), path(n, (-0.12, 0, 0.9), (0.1, 0.05, 0.8)), np.linspace(0, 0.4, n))
        .add((0.04, 1.0), path(n, (-0.35, 0, 0.5), (0.3, 0, 0.5)), np.zeros(n), flat)
        .episode()
    )
