"""Backends tried where the truth is known: on simulated episodes in which the robot does what it set out to do."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from lewm_core.signals import quality
from lewm_core.signals.backends import CLASSICAL, SIMULATOR, Backends, with_weights
from lewm_core.signals.extraction import Signals, extract_once
from lewm_core.signals.weights import Settings
from lewm_core.sources.tabletop.source import Tabletop
from lewm_core.utils.progress import bar

CANDIDATES = 10  # simulated episodes for each that is asked for: in some, no object is moved


@dataclass(frozen=True)
class Trial:
    """What came out.

    source: the simulator. episodes: those that were used. backends: those that were tried.
    numbers: the rows of `quality.compare`. points: one row per point and frame after the first, of all points and of
    those that move: backend, error (px at 224), visible, visible_true.
    """

    source: Tabletop
    episodes: Sequence[str]
    backends: Sequence[Backends]
    numbers: pd.DataFrame
    points: pd.DataFrame

    @property
    def summary(self) -> pd.DataFrame:
        """A row per backend, means over episodes (`quality.summary`)."""
        return quality.summary([self.numbers])


def run(n: int, size: int, seed: int, settings: Settings, cache: Path) -> Trial:
    """Try `classical`, and every backend whose weights are here, on `n` simulated episodes of `size` px.

    seed: of the simulator. settings: where the weights are. cache: folder of the signal cache.
    """
    source = Tabletop(CANDIDATES * n, seed, size)
    good = [info.id for i, info in enumerate(source.infos()) if source.draw(i)[1].outcome == "good"][:n]
    candidates = [CLASSICAL, *with_weights(settings)]
    numbers, points = [], []
    for id in bar(good, "backends", "episode"):
        episode = source.load(id)
        truth = extract_once(episode, SIMULATOR, cache, source.fingerprint)
        for backends in candidates:
            found = extract_once(episode, backends, cache, source.fingerprint, settings)
            numbers.append(quality.compare(found, truth))
            if found.tracks is not None:
                points += _points(backends.tracks, found, truth)
    return Trial(source, good, candidates, pd.concat(numbers), pd.concat(points))


def _points(backend: str, found: Signals, truth: Signals) -> list[pd.DataFrame]:
    """The rows of `Trial.points` of one episode: a table for all points and one for those that move."""
    error, moving = quality.track_errors(found, truth)
    tables = []
    for label, chosen in (("all points", np.ones_like(moving)), ("moving points", moving)):
        tables.append(pd.DataFrame({
            "backend": f"{backend}, {label}", "error": error[1:, chosen].ravel(),
            "visible": found.visible[1:, chosen].ravel(), "visible_true": truth.visible[1:, chosen].ravel()}))
    return tables
