"""Opened episodes on disk: bit for bit what was opened, none beyond the limit, damage is no hit."""

import dataclasses

import numpy as np

from lewm_core.sources import opened
from lewm_core.sources.tabletop.source import Tabletop


def test_an_episode_comes_back_bit_for_bit_without_truth(tmp_path):
    episode = Tabletop(1, 3, 16).load("tabletop-3-00000")
    unknown_camera = dataclasses.replace(episode, id="other", intrinsics=None, actions=episode.actions * np.nan)
    for written in (episode, unknown_camera):
        assert opened.read(tmp_path, written.id, "source") is None
        assert opened.write(tmp_path, written, "source").truth is None
        found = opened.read(tmp_path, written.id, "source")
        assert found.truth is None and found.task == written.task
        for name in ("frames", "actions", "observations", "intrinsics"):
            np.testing.assert_array_equal(getattr(found, name), getattr(written, name))
    assert opened.read(tmp_path, episode.id, "another source") is None


def test_a_full_folder_keeps_no_more(tmp_path, monkeypatch):
    episode = Tabletop(1, 3, 16).load("tabletop-3-00000")
    monkeypatch.setattr(opened, "MOST_BYTES", 2 * episode.frames.nbytes)
    for id in ("one", "two", "three"):
        opened.write(tmp_path, dataclasses.replace(episode, id=id), "source")
    assert opened.read(tmp_path, "one", "source") and opened.read(tmp_path, "three", "source") is None


def test_a_damaged_file_is_no_hit(tmp_path):
    episode = Tabletop(1, 3, 16).load("tabletop-3-00000")
    opened.write(tmp_path, episode, "source")
    (file,) = tmp_path.iterdir()
    whole = bytearray(file.read_bytes())
    whole[len(whole) // 2] ^= 1
    file.write_bytes(whole)
    assert opened.read(tmp_path, episode.id, "source") is None
