"""Files of strangers are read in a process of their own: what that process dies of is one bad episode."""

import os

import numpy as np
import pandas as pd
import pytest

from lewm_core.curation.bad_episodes import BadEpisodes
from lewm_core.signals.pipeline import SourceSpec, packets
from lewm_core.sources.bridge import open_bridge
from lewm_core.sources.isolated import Isolated
from lewm_core.sources.registry import SOURCES, open_source
from lewm_core.utils.errors import InputError
from tests.bridge_fixtures import RAW, trajectory_folder, write_raw

SOURCE = """
import ctypes
import os
from pathlib import Path

import numpy as np

from lewm_core.sources.episode import Episode, EpisodeInfo
from lewm_core.utils import pool
from lewm_core.utils.errors import InputError

pool.SECONDS = 1
IDS = ["good", "segfault", "foreign", "endless", "last"]


class Mine:
    name, cameras, fingerprint = "mine", 1, "1"

    def __init__(self, folder, image_size, camera):
        if Path(folder).name == "segfault":
            ctypes.string_at(0)
        if Path(folder).name == "foreign":
            raise RecursionError("deep")

    def infos(self, on_error=None, cache=None):
        for id in IDS:
            if id == "foreign" and on_error is not None:
                on_error("told", InputError("told", "this", "that"))
            yield EpisodeInfo(id, "", 4)

    def load(self, id):
        if id == "segfault":
            ctypes.string_at(0)
        if id == "foreign":
            raise KeyError("a parser of another")
        if id == "endless":
            forever = 7 ** 20_000_000
        frames = np.random.default_rng(0).integers(0, 255, (4, 16, 16, 3), np.uint8)
        return Episode(id, frames, np.ones((4, 7), np.float32), np.full((4, 1), os.getpid(), np.float32), "")
"""


@pytest.fixture
def mine(tmp_path, monkeypatch):
    (tmp_path / "dying_source.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(SOURCES, "mine", ("dying_source", "Mine"))


def test_a_parser_that_dies_is_one_bad_episode_even_with_one_job(tmp_path, mine):
    spec, bad = SourceSpec("mine", 0, 0, 16, str(tmp_path)), BadEpisodes(tmp_path / "bad.csv", 1)
    ids = [info.id for info in spec.open().infos()]
    read = bad.watch("signals", lambda on_error: packets(spec, ids, tmp_path / "cache", 1, on_error))
    good = {episode.id: episode for episode, _ in read}
    assert list(good) == ["good", "last"]
    assert int(good["good"].observations[0, 0]) != os.getpid() % 2**24
    reasons = pd.read_csv(bad.path).set_index("episode").reason
    for id, word in (("segfault", "SIGSEGV"), ("foreign", "KeyError: 'a parser of another'"),
                     ("endless", "computed longer than 60 s")):
        assert word in reasons[id] and str(tmp_path) in reasons[id]
    assert f"episode segfault of {tmp_path}" in reasons["segfault"] and len(reasons) == 3


def test_metadata_come_in_their_order_and_only_as_many_as_asked(tmp_path, mine):
    whole, three = (open_source("mine", n, 0, 16, tmp_path, 0) for n in (0, 3))
    met = []
    for info in whole.infos(lambda id, error: met.append((id, str(error)))):
        met.append(info.id)
    assert met == ["good", "segfault", ("told", "told: found this; expected that."), "foreign", "endless", "last"]
    assert [info.id for info in three.infos()] == ["good", "segfault", "foreign"]
    assert whole.fingerprint == "1" != three.fingerprint != open_source("mine", 2, 0, 16, tmp_path, 0).fingerprint


@pytest.mark.parametrize("name, word", [("segfault", "SIGSEGV"), ("foreign", "RecursionError: deep")])
def test_a_source_whose_opening_dies_is_one_error(tmp_path, mine, name, word):
    with pytest.raises(InputError, match=f"{name}: found .*{word}"):
        open_source("mine", 0, 0, 16, tmp_path / name, 0)


def test_it_is_the_source_it_reads(tmp_path):
    write_raw(trajectory_folder(tmp_path), RAW)
    source = open_source("bridge", 0, 0, 8, tmp_path, 0)
    direct = open_bridge(tmp_path, 8, 0)
    assert isinstance(source, Isolated) and (source.name, source.cameras) == (direct.name, direct.cameras)
    assert source.fingerprint == direct.fingerprint and list(source.infos()) == list(direct.infos())
    write_raw(trajectory_folder(tmp_path, 1), RAW)
    anew = open_source("bridge", 0, 0, 8, tmp_path, 0)
    assert anew.fingerprint == open_bridge(tmp_path, 8, 0).fingerprint != source.fingerprint
    info, _ = source.infos()
    one, other = source.load(info.id), direct.load(info.id)
    assert one.task == other.task and one.id == other.id
    for name in ("frames", "actions", "observations"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
