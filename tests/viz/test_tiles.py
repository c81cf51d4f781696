"""One episode as one picture: every camera that saw it, a word where one did not, mask and tracks where they are."""

import numpy as np
import pytest

from lewm_core.signals.pipeline import SourceSpec
from lewm_core.sources.bridge_rlds import Bridge
from lewm_core.viz import pixels, tiles
from tests.helpers import four_points as packet


def test_every_camera_of_a_real_episode_and_a_word_for_the_blank_one(shared):
    spec = SourceSpec("bridge", 25, 0, 32, str(shared / "bridge_sample"))
    sources = [spec.view(camera, 64) for camera in range(spec.open().cameras)]
    tile, absent = tiles.camera_tile(sources, "train-00000-0007", 64)
    assert tile.shape == (2 * 64 + tiles.GAP, 2 * 64 + tiles.GAP, 3)
    for camera, (x, y) in enumerate([(0, 0), (67, 0), (0, 67)]):
        frame = Bridge(shared / "bridge_sample", 64, camera).load("train-00000-0007").frames[5]
        part = tile[y: y + 64, x: x + 64]
        assert np.array_equal(part[20:], frame[20:]) and not np.array_equal(part[:20], frame[:20])  # its number
    assert [line.split(":")[0] for line in absent] == ["camera 3"] and "blank" in absent[0]
    blank = tile[67:, 67:]
    assert (blank == blank[-1, -1]).all(-1).mean() > 0.5 and blank.std() > 5  # grey, with words


def test_a_simulated_episode_has_one_camera():
    source = SourceSpec("tabletop", 2, 3, 64).view(0, 16)
    tile, absent = tiles.camera_tile([source], "tabletop-3-00001", 16)
    assert absent == [] and np.array_equal(tile, source.load("tabletop-3-00001").frames[len(
        source.load("tabletop-3-00001").frames) // 2])


@pytest.mark.parametrize("missing", [(), ("mask",), ("tracks", "tracks_fg"), ("mask", "tracks", "tracks_fg")])
def test_the_signals_of_an_episode_are_drawn_where_they_are(missing):
    episode, signals = packet(missing=missing)
    tile = tiles.signals_tile(episode, signals)
    plain = pixels.enlarge(episode.frames[-1], 4)
    changed = (tile != plain).any(-1)
    assert changed[20 * 4: 32 * 4, 20 * 4: 32 * 4].all() == ("mask" not in missing)
    way = changed[38 * 4: 43 * 4, 4 * 4: 14 * 4]  # of point 2; the resting ones are not drawn
    assert way.any() == ("tracks" not in missing)
    if "mask" in missing:
        assert not changed[20 * 4: 32 * 4, 18 * 4: 34 * 4].any()


def test_a_packet_is_drawn_at_once_and_a_missing_signal_takes_little_room():
    episode, signals = packet()
    whole = tiles.packet_tile(episode, signals, times=3, size=64)
    first = whole[tiles.HEAD: tiles.HEAD + 64, :64]
    assert np.array_equal(first, tiles.resize(episode.frames[0], 64)) and whole.shape[1] == 3 * 64 + 2 * tiles.GAP
    lacking = tiles.packet_tile(*packet(missing=("depth",)), times=3, size=64)
    assert lacking.shape[0] < whole.shape[0] - 40 and np.array_equal(lacking[:80], whole[:80])
