"""A dataset file as a source: what is in it comes out, whatever tool wrote it; damage costs the episodes it hits."""

import os

import cv2
import h5py
import numpy as np
import pytest

from lewm_core import dataset
from lewm_core.dataset.source import HDF5, OWN_SIZE
from lewm_core.signals.extraction import ARRAYS
from lewm_core.signals.pipeline import SourceSpec, packets
from lewm_core.utils.errors import InputError
from tests.helpers import LENGTHS, SIZE, moving_square, write_squares

SQUARES = [moving_square(i, length) for i, length in enumerate(LENGTHS)]


@pytest.fixture(scope="module")
def squares(tmp_path_factory):
    return write_squares(tmp_path_factory.mktemp("own") / "my.h5")


@pytest.fixture
def bare(tmp_path):
    """A file of another tool: five columns, 2-D actions in double precision, wide frames, rows that nobody reads."""
    path = tmp_path / "bare.h5"
    with h5py.File(path, "w") as f:
        f["ep_len"], f["ep_offset"] = np.array(LENGTHS, np.int32), np.cumsum([0, *LENGTHS[:-1]])
        f["pixels"] = np.concatenate([np.repeat(e.frames, 2, 2) for e, _ in SQUARES]).astype(np.int16)
        f["action"] = np.concatenate([e.actions[:, :2] for e, _ in SQUARES]).astype(np.float64)
        f["observation"] = np.concatenate([e.observations for e, _ in SQUARES])
        f["reward"] = np.zeros(3)
    return path


def test_a_file_of_ours_gives_back_what_was_written(squares):
    source = HDF5(squares, SIZE)
    assert source.held == ("depth", "tracks", "mask")
    assert [(i.id, i.task, i.length) for i in source.infos()] == [
        (e.id, e.task, len(e.frames)) for e, _ in SQUARES]
    for episode, signals in reversed(SQUARES):
        back = source.load(episode.id)
        for name in ("frames", "actions", "observations"):
            np.testing.assert_array_equal(getattr(back, name), getattr(episode, name))
        for name in ARRAYS:
            if getattr(signals, name) is not None:
                np.testing.assert_array_equal(back.held.arrays[name], getattr(signals, name), name)
                assert (back.held.arrays[name].dtype == bool) == (getattr(signals, name).dtype == bool)


def test_a_study_uses_what_is_in_the_file_or_makes_it_anew(squares, tmp_path):
    spec = SourceSpec("hdf5", 2, 0, SIZE, str(squares))
    ids = [info.id for info in spec.open().infos()]
    assert ids == ["square0", "square1"]
    for (episode, signals), (own, its) in zip(packets(spec, ids, tmp_path, 1), SQUARES, strict=False):
        assert episode.held is None and (episode.frames == own.frames).all()
        assert signals.missing == {} and signals.made_by["depth"] == "hand" and signals.made_by["mask"] == "file"
        assert all(np.array_equal(getattr(signals, n), getattr(its, n), equal_nan=n == "shape") for n in ARRAYS
                   if getattr(its, n) is not None)
    anew = SourceSpec("hdf5", 1, 0, SIZE, str(squares), mask_backend="classical")
    (_, signals), = packets(anew, ids[:1], tmp_path, 1)
    assert signals.made_by["mask"] == "classical" and signals.centroid is None and signals.shape is None
    assert np.array_equal(signals.tracks, SQUARES[0][1].tracks) and signals.object is not None
    assert "intrinsics" in signals.missing["centroid"]


def test_what_the_file_lacks_is_made_as_for_other_real_data(bare, tmp_path):
    spec = SourceSpec("hdf5", 1, 0, SIZE, str(bare))
    (episode, signals), = packets(spec, ["episode-000000"], tmp_path, 1)
    assert episode.frames.shape == (LENGTHS[0], SIZE, SIZE, 3) and episode.actions.dtype == np.float32
    np.testing.assert_array_equal(episode.frames, SQUARES[0][0].frames)  # squeezed back to what they were
    assert episode.actions.shape == (LENGTHS[0], 2) and episode.task == ""
    assert signals.made_by["tracks"] == "classical" and "weights" in signals.missing["depth"]
    with pytest.raises(InputError, match="depth_backend: found file, but the data hold no depth"):
        _ = SourceSpec("hdf5", 1, 0, SIZE, str(bare), depth_backend="file").backends


def test_a_signal_named_file_needs_data_that_hold_it():
    with pytest.raises(InputError, match="tracks_backend: found file, but the data hold no tracks"):
        _ = SourceSpec("lerobot", 1, 0, SIZE, "somewhere", tracks_backend="file").backends


def test_signals_are_squeezed_with_the_frames(tmp_path):
    """A wide frame: a point and the mask stay on what they mark; depth has its own grid."""
    episode, signals = moving_square(0, 5)
    wide = tmp_path / "wide.h5"
    with h5py.File(write_squares(wide, [5]), "r+") as f:
        for name, rows in (("pixels", np.repeat(episode.frames, 2, 2)), ("mask", np.repeat(signals.mask, 2, 2))):
            del f[name]
            f[name] = rows.astype(np.uint8)
        tracks = signals.tracks * [2, 1] + [0.5, 0]  # the centre of two pixels
        f["tracks"][:] = tracks
    dataset.seal.remove(wide)
    back = HDF5(wide, 16).load("square0")
    assert back.frames.shape[1:3] == (16, 16)
    np.testing.assert_array_equal(
        back.held.arrays["mask"][2], cv2.resize(signals.mask[2].astype(np.float32), (16, 16),
                                                interpolation=cv2.INTER_AREA) > 0.5)
    np.testing.assert_allclose(back.held.arrays["tracks"], (signals.tracks + 0.5) / 2 - 0.5, atol=1e-4)
    np.testing.assert_array_equal(back.held.arrays["depth"], signals.depth)
    own = HDF5(wide, OWN_SIZE).load("square0")
    assert own.frames.shape[1:3] == (32, 64)
    np.testing.assert_allclose(own.held.arrays["tracks"], tracks, atol=1e-4)


def test_the_gripper_is_where_the_file_says(squares, tmp_path):
    own = tmp_path / "own.h5"
    own.write_bytes(squares.read_bytes())
    dataset.seal.remove(own)
    with h5py.File(own, "r+") as f:
        f["gripper"] = np.full((sum(LENGTHS), 3), 7, np.float32)
    spec = SourceSpec("hdf5", 0, 0, SIZE, str(own))
    dataset.write(tmp_path / "out.h5", packets(spec, ["square1"], tmp_path, 1))
    assert (dataset.load(tmp_path / "out.h5")["gripper"] == 7).all()


IDS = {
    "unsafe": (["a/b", "..c", "é", "x y", "100%"], ["a%2Fb", "..c", "%C3%A9", "x y", "100%25"]),
    "not one each": (["a", "a", "b", "c", "d"], None), "empty": (["", "a", "b", "c", "d"], None),
    "a folder": (["..", "a", "b", "c", "d"], None),
}


@pytest.mark.parametrize("texts, ids", IDS.values(), ids=IDS)
def test_ids_are_safe_names(bare, texts, ids):
    with h5py.File(bare, "r+") as f:
        rows = np.repeat(np.array(texts, object), LENGTHS)
        f.create_dataset("episode_id", data=rows, dtype=h5py.string_dtype())
    found = [info.id for info in HDF5(bare).infos()]
    assert found == (ids or [f"episode-{i:06d}" for i in range(5)])
    assert len(HDF5(bare).load(found[3]).frames) == LENGTHS[3]


def test_values_cost_their_episode(bare):
    with h5py.File(bare, "r+") as f:
        f["pixels"][LENGTHS[0]] = 256  # of episode 1
        f["action"][LENGTHS[0] + LENGTHS[1] + 2, 0] = np.inf
        f["observation"][-1, 0] = -np.inf
        f["action"][0] = np.nan  # which the contract allows
    source = HDF5(bare)
    for i, words in ((1, "pixels: found values outside 0 to 255 in frames 9 on"),
                     (2, "column action: found inf in its frame 2"),
                     (4, "column observation: found -inf in its frame 9")):
        with pytest.raises(InputError, match=f"bare.h5, episode episode-00000{i}, {words}"):
            source.load(f"episode-00000{i}")
    assert np.isnan(source.load("episode-000000").actions[0]).all()
    with pytest.raises(InputError, match="'square9'.*such as episode-000000"):
        source.load("square9")


def test_a_signal_that_is_not_finite_where_it_counts_costs_its_episode(squares, tmp_path):
    own = tmp_path / "own.h5"
    own.write_bytes(squares.read_bytes())
    dataset.seal.remove(own)
    with h5py.File(own, "r+") as f:
        hidden, seen = np.argwhere(f["visible"][0] == 0)[0, 0], np.argwhere(f["visible"][LENGTHS[0]])[0, 0]
        f["tracks"][0, hidden] = f["tracks"][LENGTHS[0], seen] = np.nan
    source = HDF5(own)
    assert np.isnan(source.load("square0").held.arrays["tracks"][0, hidden]).all()
    with pytest.raises(InputError, match="episode square1, column tracks: found nan in its frame 0"):
        source.load("square1")


def test_a_sealed_file_is_read_as_it_was_written(squares, tmp_path):
    own = tmp_path / "own.h5"
    own.write_bytes(squares.read_bytes())
    with h5py.File(own, "r+") as f:
        f["action"][LENGTHS[0]] += 1
    source = HDF5(own)
    assert source.load("square0") and source.load("square2")
    with pytest.raises(InputError, match="episode number 1: found another content than was written"):
        source.load("square1")


def test_a_file_that_breaks_the_contract_is_one_error(bare, tmp_path):
    with h5py.File(bare, "r+") as f:
        del f["observation"]
        f["mask"] = np.zeros((3, 8, 8), np.uint8)
    with pytest.raises(InputError, match="column observation is missing; mask has an axis of 8.*lewm_core inspect"):
        HDF5(bare)
    os.mkfifo(tmp_path / "pipe.h5")
    for path, words in ((tmp_path / "pipe.h5", "a pipe"), (tmp_path / "no.h5", "No such file"),
                        (tmp_path, "a folder, not a file")):
        with pytest.raises(InputError, match=words):
            HDF5(path)
    with pytest.raises(InputError, match="camera"):
        HDF5(bare, SIZE, 1)


def test_the_fingerprint_is_of_content_and_size(squares, tmp_path):
    own = tmp_path / "own.h5"
    own.write_bytes(squares.read_bytes())
    before = HDF5(own, SIZE).fingerprint
    assert before == HDF5(squares, SIZE).fingerprint != HDF5(own, 16).fingerprint
    with h5py.File(own, "r+") as f:
        f["depth"][0, 0, 0] += 1
    assert HDF5(own, SIZE).fingerprint != before


def test_episodes_are_not_larger_than_can_be_held(bare, monkeypatch):
    monkeypatch.setattr("lewm_core.sources.episode.MOST_FRAMES", 8)
    bad = {}
    assert [i.length for i in HDF5(bare).infos(lambda id, e: bad.setdefault(id, str(e)))] == [7, 8, 6]
    assert set(bad) == {"episode-000000", "episode-000004"}
    with pytest.raises(InputError, match="9 frames; expected at most 8"):
        HDF5(bare).load("episode-000000")
