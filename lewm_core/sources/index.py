"""An index of a large data set's metadata on disk, so that they are read from its files only once."""

import json
from pathlib import Path

from lewm_core.sources.episode import EpisodeInfo
from lewm_core.utils.files import regular

BATCH = 100  # episodes whose metadata are written at a time


class Index:
    """Metadata that were read before, a JSON line each. Whole lines are appended; a torn or foreign one is not used.

    known: id -> metadata.
    """

    def __init__(self, path: Path):
        self.path = path
        self.known: dict[str, EpisodeInfo] = {}
        self._new: list[str] = []
        lines = regular(path).read_bytes().splitlines() if path.exists() else []
        for line in lines:
            try:
                info = EpisodeInfo(*json.loads(line))
            except (ValueError, TypeError, RecursionError):  # InputError is a ValueError
                continue
            self.known[info.id] = info

    def add(self, info: EpisodeInfo) -> None:
        """Take up an episode; written when there are BATCH of them."""
        self._new.append(json.dumps([info.id, info.task, info.length]))
        if len(self._new) == BATCH:
            self.write()

    def write(self) -> None:
        """Write what was added since the last time."""
        if self._new:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with open(self.path, "ab", buffering=0) as f:  # starts a line of its own, whatever was torn before
                f.write("\n".join(["", *self._new, ""]).encode())
            self._new = []
