"""An index of a large data set's metadata on disk, so that they are read from its files only once."""

import json
from pathlib import Path

from lewm_core.sources.episode import EpisodeInfo
from lewm_core.utils import sealed
from lewm_core.utils.files import digest, full_disk_named, regular

BATCH = 100  # episodes whose metadata are written at a time


class Index:
    """Metadata that were read before, a JSON line each with its checksum. Whole lines are appended; a torn or foreign
    one is not used.

    known: id -> metadata.
    """

    def __init__(self, path: Path):
        self.path = path
        self.known: dict[str, EpisodeInfo] = {}
        self._new: list[str] = []
        lines = regular(path).read_bytes().splitlines() if path.exists() else []
        for line in lines:
            try:
                id, task, length, *check = json.loads(line)
                info = EpisodeInfo(id, task, length)
                if check and check != [_check(id, task, length)]:  # lines of earlier versions have none
                    sealed.made_again(f"a line of {path}")
                    continue
            except (ValueError, TypeError, RecursionError):  # InputError is a ValueError
                continue
            self.known[info.id] = info

    def add(self, info: EpisodeInfo) -> None:
        """Take up an episode; written when there are BATCH of them."""
        own = (info.id, info.task, info.length)
        self._new.append(json.dumps([*own, _check(*own)]))
        if len(self._new) == BATCH:
            self.write()

    def write(self) -> None:
        """Write what was added since the last time."""
        if self._new:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # starts a line of its own, whatever was torn before
            with full_disk_named(self.path), open(self.path, "ab", buffering=0) as f:
                f.write("\n".join(["", *self._new, ""]).encode())
            self._new = []


def _check(id: str, task: str, length: int) -> str:
    return digest(id, task, str(length), length=8)
