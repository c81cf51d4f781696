"""A small data set in BridgeData's layout whose task texts are hostile: moving squares, seen by the classical backends.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from tests import bridge_fixtures
from tests.helpers import moving_square
from tests.hostile import STORED

LENGTH, SIZE = 10, 64


def write(folder: Path, texts: Mapping[str, str] = STORED) -> Path:
    """An episode for each text, and one whose pictures cannot be decoded."""
    records = [_record(i, text) for i, text in enumerate(texts.values())]
    broken = _record(len(records), "put the broken one on the table", image_0=[b"no picture"] * LENGTH)
    bridge_fixtures.write(folder, [[bridge_fixtures.example(record) for record in (*records, broken)]])
    return folder


def _record(i: int, text: str, **changes: object) -> dict:
    episode, _ = moving_square(i, LENGTH, SIZE)
    pictures = [bridge_fixtures.jpeg(frame) for frame in episode.frames]
    changes = {"image_0": pictures, "action": episode.actions.ravel(), **changes,
               "language_instruction": [text.encode()] * LENGTH}
    return bridge_fixtures.episode(np.random.default_rng(i), LENGTH, SIZE, **changes)
