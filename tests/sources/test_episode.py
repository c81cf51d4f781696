"""What an episode may be: everything that later stages would fail at is found when it is made."""

import numpy as np
import pytest

from lewm_core.sources.episode import MOST_FRAMES, MOST_NAME, MOST_TEXT, Episode, EpisodeInfo, check_length
from lewm_core.utils.errors import InputError

GOOD = {"id": "e~0", "frames": np.zeros((3, 4, 4, 3), np.uint8), "actions": np.ones((3, 7), np.float32),
        "observations": np.ones((3, 2), np.float32), "task": "lift “it”\n\x1b[31m‮$x^{<script>" + "a" * 9000}


def at(values, place, value):
    changed = values.copy()
    changed[place] = value
    return changed


BAD = {
    "NUL in the text": {"task": "a\0b"}, "half a pair": {"task": "a\ud800"},
    "a text too long": {"task": "a" * (MOST_TEXT + 1)},
    "no text": {"task": b"a"}, "infinite observation": {"observations": at(GOOD["observations"], (1, 1), np.inf)},
    "infinite action": {"actions": at(GOOD["actions"], (1, 1), -np.inf)},
    "infinite as float32": {"observations": np.full((3, 2), 1e300)},
    "whole numbers": {"actions": np.ones((3, 7), np.int64)}, "objects": {"observations": np.ones((3, 2), object)},
    "no numbers": {"observations": np.ones((3, 0), np.float32)},
    "too many numbers": {"observations": np.ones((3, 1001), np.float32)},
    "a folder": {"id": "a/b"}, "the folder above": {"id": ".."}, "no name": {"id": ""}, "NUL in the id": {"id": "a\0"},
    "an id too long": {"id": "é" * MOST_NAME}, "frames missing": {"frames": GOOD["frames"][:2]},
}


@pytest.mark.parametrize("change", BAD.values(), ids=BAD)
def test_what_no_later_stage_could_keep_is_refused(change):
    Episode(**GOOD)
    with pytest.raises(InputError, match="^episode .*: found") as raised:
        Episode(**{**GOOD, **change})
    str(raised.value).encode()  # can be printed and written, whatever it tells of
    assert "\0" not in str(raised.value)


@pytest.mark.parametrize("change", [{"task": "a\0"}, {"task": 3}, {"length": 0}, {"length": -2}, {"length": True},
                                    {"length": MOST_FRAMES + 1}, {"length": 3.0}, {"id": "a/b"}])
def test_metadata_likewise(change):
    EpisodeInfo("e", "", 3)
    with pytest.raises(InputError, match="^episode"):
        EpisodeInfo(**{"id": "e", "task": "", "length": 3, **change})


def test_frames_are_counted_before_they_are_decoded():
    check_length("e", 1000, 224)
    for frames, size in ((MOST_FRAMES + 1, 8), (8000, 224), (1, 20_000)):
        with pytest.raises(InputError, match="frames; expected at most 20,000, and 1,073,741,824 bytes at"):
            check_length("e", frames, size)
