"""A folder of one's own recordings as a Source: a video or a folder of pictures for each episode, and CSV tables.

    DIR/episodes.csv            episode,frames,actions,task
    DIR/…/video.mp4 or pictures what `frames` names: an mp4 file, or a folder of PNG and JPEG files
    DIR/…/actions.csv           a row for each frame: action_0, action_1, …, observation_0, observation_1, …
"""

import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import numpy as np

from lewm_core.sources import video
from lewm_core.sources.episode import IMAGE_SIZE, Episode, EpisodeInfo, check_length, check_moves, infos_of
from lewm_core.sources.folder_tables import (
    HOW,
    INDEX,
    MOST_BYTES,
    Entry,
    Numbers,
    count_rows,
    inside,
    read_index,
    read_numbers,
)
from lewm_core.sources.listing import size
from lewm_core.sources.pictures import centre, checked_size, decode, resize
from lewm_core.utils.errors import InputError, OnError, located
from lewm_core.utils.files import digest, ends_of, regular
from lewm_core.utils.pool import limited

PICTURES, VIDEO = (".png", ".jpg", ".jpeg"), ".mp4"
_READER = "1"  # part of the fingerprint: raise it when the same files come out as other episodes
_ENDS = 65536  # bytes at either end of a video that enter the fingerprint
_MEMORY = 2_000_000_000  # bytes that loading an episode may take


class Folder:
    """Episodes of a folder with an `episodes.csv`. Ids are its column episode; opening reads that table only.

    Pictures are cut to their centre square and resized (area average down, bicubic up). All frames are taken, at
    whatever rate they were recorded. Intrinsics are unknown, actions and observations are as the tables have them.

    Raises:
        InputError: all that is wrong with `episodes.csv`; another camera than 0.
    """

    name, cameras = "folder", 1

    def __init__(self, path: str | Path, image_size: int = IMAGE_SIZE, camera: int | str = 0):
        if camera != 0:
            raise InputError(f"camera of {path}", repr(camera), "0: a folder has one camera")
        self.path, self.image_size = Path(path), checked_size(image_size)
        self._entries = {entry.episode: entry for entry in read_index(self.path)}

    @cached_property
    def fingerprint(self) -> str:
        """Digest of settings and tables, and of each video its size and both ends, of each picture its name and size.

        Dates and the folder's own name do not enter, so that data may be moved.
        """
        parts = [self.name, str(self.image_size), _READER, regular(self.path / INDEX, MOST_BYTES).read_bytes()]
        for entry in self._entries.values():
            try:
                parts.append(regular(inside(self.path, entry.actions), MOST_BYTES).read_bytes())
                place = inside(self.path, entry.frames)
                if place.is_dir():
                    parts += [f"{p.name} {size(p)}" for p in pictures(place)]
                else:
                    parts += [str(size(place)), *ends_of(place, _ENDS)]
            except (InputError, OSError):
                parts.append("cannot be read")
        return digest(*parts)

    def infos(self, on_error: OnError | None = None, cache: object = None) -> Iterator[EpisodeInfo]:
        """Every episode's metadata in the table's order; of its own table only the rows are counted."""
        return infos_of(self._entries, self._info, on_error)

    def _info(self, id: str) -> EpisodeInfo:
        entry = self._entries[id]
        return EpisodeInfo(id, entry.task, count_rows(inside(self.path, entry.actions)))

    def load(self, id: str) -> Episode:
        """The episode of that id; InputError: unknown id, files that are missing, damaged or of different lengths."""
        if id not in self._entries:
            raise InputError("episode id", repr(id), f"one of {self.path / INDEX}")
        entry = self._entries[id]
        with limited(memory=_MEMORY):
            numbers = read_numbers(inside(self.path, entry.actions))
            length = len(numbers.actions)
            check_length(entry.actions, length, self.image_size)
            check_moves(numbers.actions, entry.actions)
            frames = np.empty((length, self.image_size, self.image_size, 3), np.uint8)
            found = 0
            for picture in self._pictures(entry, length):
                frames[found] = resize(centre(picture), self.image_size)
                found += 1
        if found < length:
            raise _unequal(entry, str(found), length)
        with located(f"{self.path / INDEX}, episode {id}"):
            return Episode(id, frames, numbers.actions, numbers.observations, entry.task)

    def check(self, id: str) -> Numbers:
        """What an episode's table says, where its files are there and agree, as far as can be told without decoding a
        frame; InputError as from `load`."""
        entry = self._entries[id]
        numbers = read_numbers(inside(self.path, entry.actions))
        rows = len(numbers.actions)
        place = inside(self.path, entry.frames)
        found = len(pictures(place)) if place.is_dir() else video.count(_video(place, entry))
        if found != rows:
            raise _unequal(entry, str(found), rows)
        check_length(entry.actions, rows, self.image_size)
        check_moves(numbers.actions, entry.actions)
        return numbers

    def _pictures(self, entry: Entry, length: int) -> Iterator[np.ndarray]:
        """The frames as they are stored; InputError for more than `length`."""
        place = inside(self.path, entry.frames)
        if place.is_dir():
            files = pictures(place)
            if len(files) != length:
                raise _unequal(entry, str(len(files)), length)
            found = (decode(inside(self.path, file), str(place)) for file in files)
        else:
            found = video.frames(_video(place, entry))
        for t, picture in enumerate(found):
            if t == length:
                raise _unequal(entry, f"more than {length}", length)
            yield picture


def pictures(folder: Path) -> list[Path]:
    """The PNG and JPEG files in a folder, by the numbers in their names: frame_2 before frame_10."""
    try:
        found = [p for p in folder.iterdir() if p.suffix.lower() in PICTURES and not p.name.startswith(".")]
    except OSError as error:
        raise InputError(folder, f"that it cannot be listed ({error.strerror or error})", "a readable folder") from None
    return sorted(found, key=lambda p: ([int(n) for n in re.findall("[0-9]{1,18}", p.stem)], p.name))


def _video(place: Path, entry: Entry) -> Path:
    if place.suffix.lower() != VIDEO:
        raise InputError(entry.frames, f"a file {place.name!r:.200}", "an .mp4 file or a folder of pictures",
                         "ffmpeg -i IN OUT.mp4 makes one.")
    return place


def _unequal(entry: Entry, frames: str, rows: int) -> InputError:
    return InputError(entry.frames, f"{frames} frames", f"{rows}: {entry.actions.name} has a row for each",
                      f"The last frame's action leads nowhere, and any will do. {HOW}")
