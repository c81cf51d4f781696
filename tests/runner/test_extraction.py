"""`python -m lewm_core extract`: a copy with signals, all else as it was, and a call that was cut goes on."""

import json
import os

import h5py
import numpy as np
import pytest

from lewm_core import dataset
from lewm_core.runner import commands, extraction
from lewm_core.signals.backends import CLASSICAL
from lewm_core.signals.extraction import extract
from lewm_core.utils.errors import InputError
from tests.helpers import LENGTHS, moving_square, write_squares

EPISODES = [moving_square(i, length)[0] for i, length in enumerate(LENGTHS)]


@pytest.fixture
def bare(tmp_path):
    """A file of another tool, with more in it than the contract asks for."""
    path = tmp_path / "my.h5"
    with h5py.File(path, "w") as f:
        f["ep_len"], f["ep_offset"] = np.array(LENGTHS, np.int32), np.cumsum([0, *LENGTHS[:-1]])
        f.create_dataset("pixels", data=np.concatenate([e.frames for e in EPISODES]), chunks=(1, 32, 32, 3),
                         compression="gzip")
        f["action"] = np.concatenate([e.actions for e in EPISODES]).astype(np.float64)
        f["observation"] = np.concatenate([e.observations for e in EPISODES])
        f["reward"], f["info/name"] = np.arange(3), "a group"
        f["reward"].attrs["unit"], f.attrs["robot"], f.attrs["made"] = "none", "arm 3", "by hand"
        f["elsewhere"] = h5py.ExternalLink("other.h5", "x")
    return path


def run(path, to, **named):
    return extraction.extract(str(path), to, "", {"depth": "", "tracks": "", "mask": ""} | named, jobs=1)


def test_the_copy_has_the_signals_and_all_else(bare, tmp_path):
    to = tmp_path / "with_signals.h5"
    report = run(bare, to)
    assert dataset.damage(to) == [] and report["frames"] == sum(LENGTHS)
    assert set(report["made by"]) == {"tracks", "mask", "tracks_fg"} and "weights" in report["not made"]["depth"]
    data = dataset.load(to)
    for i, episode in enumerate(EPISODES):
        own = extract(episode, CLASSICAL)
        np.testing.assert_array_equal(data["tracks"][data.episode(i)], own.tracks)
        np.testing.assert_array_equal(data["mask"][data.episode(i)], own.mask)
    with h5py.File(bare) as before, h5py.File(to) as after:
        for name in ("pixels", "action", "observation", "ep_len", "ep_offset", "reward"):
            assert after[name].dtype == before[name].dtype and after[name].compression == before[name].compression
            np.testing.assert_array_equal(after[name][:], before[name][:])
        assert after["info/name"].asstr()[()] == "a group" and after["reward"].attrs["unit"] == "none"
        assert after.attrs["robot"] == "arm 3" and isinstance(after.get("elsewhere", getlink=True), h5py.ExternalLink)
        assert json.loads(after.attrs["made"])["extracted"]["backends"]["tracks"] == "classical"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["my.h5", "with_signals.h5"]  # nothing else is left


def test_what_is_there_is_kept_unless_it_is_named(tmp_path):
    path, to = write_squares(tmp_path / "my.h5"), tmp_path / "new.h5"
    run(path, to, tracks="classical")
    before, after = dataset.load(path), dataset.load(to)
    for name in ("depth", "mask", "centroid", "shape", "object", "pixels"):
        np.testing.assert_array_equal(after[name], before[name])
    assert not np.array_equal(after["tracks"], before["tracks"])
    assert after.made["made_by"]["depth"] == "hand" and after.made["made_by"]["tracks"] == "classical"
    run(path, tmp_path / "mask.h5", mask="classical")
    made = dataset.load(tmp_path / "mask.h5")
    assert "centroid" not in made.columns  # it would be that of another mask
    assert "intrinsics" in made.missing(["centroid"])["centroid"]
    np.testing.assert_array_equal(made["tracks"], before["tracks"])


def test_a_call_that_was_cut_goes_on(bare, tmp_path, monkeypatch):
    to, made = tmp_path / "with.h5", []

    def until(n):
        def one(episode, *arguments, **more):
            if len(made) == n:
                raise KeyboardInterrupt
            made.append(episode.id)
            return once(episode, *arguments, **more)

        monkeypatch.setattr(extraction, "extract_once", one)

    once = extraction.extract_once
    until(2)
    with pytest.raises(KeyboardInterrupt):
        run(bare, to)
    assert not to.exists() and len(made) == 2
    until(99)
    run(bare, to)
    assert made == [f"episode-{i:06d}" for i in range(len(LENGTHS))]  # each once
    assert dataset.damage(to) == []


def test_one_episode_that_cannot_be_read_stops_it_after_the_others(bare, tmp_path, monkeypatch):
    bad = "episode-000001"
    once = extraction.extract_once

    def one(episode, *arguments):
        if episode.id == bad:
            raise InputError(bad, "this", "that")
        return once(episode, *arguments)

    monkeypatch.setattr(extraction, "extract_once", one)
    with pytest.raises(InputError, match="1 of 5 episodes .* episode-000001: found this"):
        run(bare, tmp_path / "with.h5")
    assert len(list((tmp_path / ".with.h5.signals").glob("*.npz"))) == 4 and not (tmp_path / "with.h5").exists()


def test_bad_options_are_refused_before_any_work(bare, tmp_path, capsys):
    whole = write_squares(tmp_path / "whole.h5", [6, 6])
    (tmp_path / "there.h5").write_text("")
    os.mkfifo(tmp_path / "pipe.h5")
    for arguments, words in (
            ([bare, "--to", tmp_path / "there.h5"], "something there already"),
            ([bare, "--to", tmp_path / "new.zarr"], "a file ending in .h5"),
            ([bare, "--to", "/no/such/folder.h5/x.h5"] if os.getuid() else [bare, "--to", "/dev/null/x.h5"], "folder"),
            ([tmp_path / "pipe.h5", "--to", tmp_path / "new.h5"], "a pipe"),
            ([bare, "--to", tmp_path / "new.h5", "--weights", tmp_path / "no"], "a folder that exists"),
            ([bare, "--to", tmp_path / "new.h5", "--mask", "magic"], "'magic'"),
            ([bare, "--to", tmp_path / "new.h5", "--mask", "file"], "the data hold no mask"),
            ([bare, "--to", tmp_path / "new.h5", "--depth", "video-depth-anything"], "no folder of weights|package"),
            ([whole, "--to", tmp_path / "new.h5"], "no signal that is to be made")):
        assert commands.main(["extract", *map(str, arguments)]) == 2
        said = capsys.readouterr().err
        assert any(word in said for word in words.split("|")) and said.count("\n") == 1, said
    assert sorted(p.name for p in tmp_path.iterdir()) == ["my.h5", "pipe.h5", "there.h5", "whole.h5"]


def test_an_executor_that_does_not_exist_is_refused_before_any_work(tmp_path, capsys):
    with pytest.raises(InputError, match="--on: found 'moon'"):
        extraction.extract(str(tmp_path / "no.h5"), tmp_path / "out.h5", "", {}, on="moon")
