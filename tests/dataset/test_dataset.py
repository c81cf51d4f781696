"""The dataset file: what is written and what is refused."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import h5py
import hdf5plugin
import numpy as np
import pytest

from lewm_core import dataset
from lewm_core.conditions import CONDITIONS, condition, unavailable
from lewm_core.dataset import WINDOW, seal
from lewm_core.signals.backends import Backends
from lewm_core.signals.extraction import ARRAYS, extract
from lewm_core.sources.tabletop.env import object_track
from lewm_core.sources.tabletop.source import Tabletop
from lewm_core.train import train
from lewm_core.utils.errors import InputError
from tests.helpers import LENGTHS, SIZE, TINY, moving_square, random_base, without, write_squares

N, E = sum(LENGTHS), len(LENGTHS)


@pytest.fixture(scope="module")
def squares(tmp_path_factory) -> Path:
    return write_squares(tmp_path_factory.mktemp("data") / "squares.h5")


@pytest.fixture
def damaged(squares, tmp_path):
    """A copy of the good file, for a test to damage."""
    path = tmp_path / "copy.h5"
    path.write_bytes(squares.read_bytes())
    return path


# --- writing and reading


def test_what_is_written_is_what_is_read(squares):
    data = dataset.load(squares)
    for i, length in enumerate(LENGTHS):
        episode, signals = moving_square(i, length)
        own = data.episode(i)
        assert own.stop - own.start == length
        np.testing.assert_array_equal(data["pixels"][own], episode.frames)
        np.testing.assert_array_equal(data["action"][own], episode.actions)
        np.testing.assert_array_equal(data["observation"][own], episode.observations)
        for name in set(ARRAYS) - {"gripper"}:  # which these observations are too short for
            np.testing.assert_array_equal(data[name][own], getattr(signals, name), err_msg=name)
        assert (data["episode_id"][i], data["task"][i]) == (episode.id, episode.task)
        assert (data.first_frames()[own] == own.start).all()
    assert data.made["source"] == "squares" and data.made["made_by"] == {"depth": "hand"}
    assert data.nan_actions == 0


def test_the_file_keeps_the_public_contract(squares):
    """As another tool would see it: plain h5py, names, shapes and types spelled out."""
    with h5py.File(squares) as f:
        found = {name: (f[name].shape, f[name].dtype.str[1:]) for name in f if name not in ("task", "episode_id")}
        offset, length = f["ep_offset"][:], f["ep_len"][:]
        assert f["depth"].chunks[0] == 1 and f["pixels"].chunks[0] <= 2  # no more than the frames that are asked for
        assert f["task"].asstr()[9:17].tolist() == ["push the square 1"] * 7 + ["push the square 2"]
        assert len(f["episode_id"]) == N and f["episode_id"].asstr()[-1] == f"square{E - 1}"
    assert found == {
        "pixels": ((N, SIZE, SIZE, 3), "u1"), "action": ((N, 7), "f4"), "observation": ((N, 2), "f4"),
        "ep_len": ((E,), "i8"), "ep_offset": ((E,), "i8"),
        "depth": ((N, 56, 56), "f4"), "mask": ((N, SIZE, SIZE), "u1"),
        "tracks": ((N, 400, 2), "f4"), "visible": ((N, 400), "u1"),
        "tracks_fg": ((N, 400, 2), "f4"), "visible_fg": ((N, 400), "u1"),
        "centroid": ((N, 3), "f4"), "centroid_valid": ((N,), "u1"),
        "shape": ((N, 10), "f4"), "shape_valid": ((N,), "u1"), "object": ((N, 3), "f4"),
    }
    assert length.tolist() == list(LENGTHS) and offset.tolist() == [0, 9, 16, 24, 30]


def test_the_same_episodes_make_the_same_fingerprint(squares, tmp_path):
    again = dataset.load(write_squares(tmp_path / "again.h5"))
    other = dataset.load(write_squares(tmp_path / "other.h5", LENGTHS[1:]))
    assert again.fingerprint == dataset.load(squares).fingerprint != other.fingerprint


def test_missing_signals_leave_their_columns_out_and_say_why(tmp_path):
    path = write_squares(tmp_path / "few.h5", depth="No backend for depth.", tracks="No tracker.")
    data = dataset.load(path)
    assert not {"depth", "tracks", "visible"} & set(data.columns) and "mask" in data.columns
    assert data.missing(["depth", "mask", "visible"]) == {
        "depth": "No backend for depth.", "visible": "No tracker."}


def wide_square(i, length):
    """A moving square whose observation has a third number."""
    episode, signals = moving_square(i, length)
    wide = np.c_[episode.observations, np.arange(length)].astype(np.float32)
    return dataclasses.replace(episode, observations=wide), signals


def test_the_gripper_is_the_observations_first_three_numbers_in_old_files_too(tmp_path, squares):
    assert dataset.load(squares).missing(["gripper"]) == {"gripper": "The observation is too short."}
    dataset.write(tmp_path / "new.h5", [wide_square(i, 6) for i in range(2)])
    new = dataset.load(tmp_path / "new.h5")
    np.testing.assert_array_equal(new["gripper"], new["observation"][:, :3])
    with h5py.File(tmp_path / "new.h5", "r+") as f:
        np.testing.assert_array_equal(f["gripper"][:], new["observation"][:, :3])
        del f["gripper"], f["object"]
    seal.remove(tmp_path / "new.h5")
    old = dataset.load(tmp_path / "new.h5")
    np.testing.assert_array_equal(old["gripper"], new["gripper"])
    for lacks in (old, dataset.outline(tmp_path / "new.h5")):
        assert lacks.missing(["gripper", "object"]) == {"object": "The dataset has no column object."}
    np.testing.assert_array_equal(old.select(["square1"])["gripper"], new["gripper"][6:])


def test_the_object_is_the_simulators_truth_and_missing_with_a_reason_elsewhere(tmp_path):
    source = Tabletop(1, 0, 16, kind="play")
    episode = source.load(source.infos()[0].id)
    nothing = Backends(None, None, None)
    dataset.write(tmp_path / "true.h5", [(episode, extract(episode, nothing))])
    data = dataset.load(tmp_path / "true.h5")
    np.testing.assert_allclose(data["object"], object_track(source.record(episode.id)), atol=1e-6)
    assert data.made["made_by"]["object"] == "simulator"
    real = dataclasses.replace(episode, truth=None)
    dataset.write(tmp_path / "real.h5", [(real, extract(real, nothing))])
    assert dataset.load(tmp_path / "real.h5").missing(["object"]) == {
        "object": "Only a simulator knows where the object is."}


@pytest.mark.parametrize("found", [False, True])
def test_foreground_tracks_are_left_out_where_no_mask_ever_biased_them(tmp_path, found):
    def packets():
        for i in range(2):
            episode, signals = moving_square(i, 6)
            mask = signals.mask.copy()
            mask[0] = found and i == 1
            yield episode, dataclasses.replace(signals, mask=mask)

    dataset.write(tmp_path / "few.h5", packets())
    data = dataset.load(tmp_path / "few.h5")
    assert ("tracks_fg" in data.columns) == ("visible_fg" in data.columns) == found
    if not found:  # D-fg would be D under another name
        assert set(data.missing(condition("D-fg").columns).values()) == {dataset.NO_FOREGROUND}


def test_nan_actions_become_zero_and_are_counted(damaged):
    with h5py.File(damaged, "r+") as f:
        f["action"][3, 2:5] = np.nan
        f["observation"][0, 0] = np.nan
        before = f["action"][:]
    seal.remove(damaged)
    data = dataset.load(damaged)
    assert data.nan_actions == 3 and (data["action"][3, 2:5] == 0).all()
    kept = ~np.isnan(before)
    np.testing.assert_array_equal(data["action"][kept], before[kept])


def as_another_tool_writes_it(path):
    """Only the public columns, in other kinds of numbers, with more columns, more rows and Blosc compression."""
    with h5py.File(path, "r+") as f:
        for name in set(f) - {"pixels", "action", "observation", "ep_len", "ep_offset"}:
            del f[name]
        for name, dtype in (("ep_len", "u4"), ("ep_offset", "u8"), ("action", "f8"), ("observation", "f2")):
            replace(f, name, f[name][:].astype(dtype))
        pixels = np.concatenate([f["pixels"][:], np.full((3, SIZE, SIZE, 3), 9)]).astype(np.int64)
        del f["pixels"]
        f.create_dataset("pixels", data=pixels, chunks=(1, SIZE, SIZE, 3), **hdf5plugin.Blosc())
        f["proprio"], f["step_idx"] = np.zeros((N, 4)), np.arange(N)
        f.create_group("meta")["note"] = 3
        del f.attrs["made"]
        f.attrs["made"] = "on a Tuesday"
    seal.remove(path)
    return path


def test_files_of_other_tools_load(squares, damaged):
    ours, data = dataset.load(squares), dataset.load(as_another_tool_writes_it(damaged))
    assert set(data.columns) == {"pixels", "action", "observation", "ep_len", "ep_offset"} and data.made == {}
    for name in ("pixels", "action", "ep_len", "ep_offset"):
        np.testing.assert_array_equal(data[name], ours[name], err_msg=name)
        assert data[name].dtype == dataset.COLUMNS[name].dtype
    assert len(data.first_frames()) == N
    outline = dataset.outline(damaged)
    assert outline.columns["pixels"] == (N + 3, SIZE, SIZE, 3) and outline.lengths.tolist() == list(LENGTHS)
    assert outline.other == {"proprio": (N, 4), "step_idx": (N,), "meta": None} and outline.made == {}


def test_grey_frames_become_three_equal_channels(squares, damaged):
    with h5py.File(damaged, "r+") as f:
        replace(f, "pixels", f["pixels"][..., :1])
    seal.remove(damaged)
    pixels = dataset.load(damaged)["pixels"]
    assert pixels.shape == (N, SIZE, SIZE, 3) and (pixels == dataset.load(squares)["pixels"][..., :1]).all()


def test_a_file_without_signals_fine_tunes_under_a_alone(damaged):
    reasons = unavailable(dataset.outline(as_another_tool_writes_it(damaged)))
    data = dataset.load(damaged)
    assert reasons == unavailable(data) and set(reasons) == set(CONDITIONS) - {"A"}
    assert reasons["C2"] == "The dataset has no column depth. The dataset has no column mask."
    model, _ = random_base().load(seed=0)
    outcome = train(model, condition("A"), data, dataclasses.replace(TINY, epochs=1), seed=0)
    assert np.isfinite(outcome.metrics["episode"]["mse"])


def test_the_public_reader_gives_the_same_windows(squares):
    reason = "stable_worldmodel, the public LeWM data package, is not installed"
    hdf5 = pytest.importorskip("stable_worldmodel.data.formats.hdf5", reason=reason, exc_type=ImportError)
    theirs, data = hdf5.HDF5Dataset(path=squares, num_steps=WINDOW), dataset.load(squares)
    starts = dataset.window_starts(data["ep_len"], data["ep_offset"])
    assert len(theirs) == len(starts)
    episode_of = np.repeat(np.arange(E), LENGTHS)
    for i in (0, 1, 5, 6, len(starts) - 1):
        window, own = theirs[i], slice(starts[i], starts[i] + WINDOW)
        np.testing.assert_array_equal(window["pixels"].numpy(), data["pixels"][own].transpose(0, 3, 1, 2))
        for name in ("action", "observation", "depth", "mask", "centroid"):
            np.testing.assert_array_equal(window[name].numpy(), data[name][own], err_msg=name)
        assert window["task"] == data["task"][episode_of[starts[i]]]
        assert window["episode_id"] == data["episode_id"][episode_of[starts[i]]]


def test_the_first_episodes_alone(squares):
    whole, two = dataset.load(squares), dataset.load(squares, episodes=2)
    assert two["ep_len"].tolist() == list(LENGTHS[:2]) and two["task"].tolist() == whole["task"][:2].tolist()
    for name in ("pixels", "depth", "visible"):
        np.testing.assert_array_equal(two[name], whole[name][: sum(LENGTHS[:2])])
    assert two.fingerprint != whole.fingerprint == dataset.load(squares, episodes=99).fingerprint
    with pytest.raises(InputError, match="episodes: found 0"):
        dataset.load(squares, episodes=0)


def test_a_file_larger_than_the_memory_is_an_error_that_says_how_much_fits(squares, monkeypatch):
    needed = sum(a.nbytes for n, a in dataset.load(squares, 2).columns.items() if n in ("pixels", *ARRAYS))
    needed += dataset.load(squares, 2)["pixels"].nbytes + sum(LENGTHS[:2]) * 4 * (7 + 2)
    monkeypatch.setattr(dataset.memory, "usable_memory", lambda: needed)
    with pytest.raises(InputError, match=f"{squares}.*5 episodes.*first 2 only: episodes=2"):
        dataset.load(squares)
    assert len(dataset.load(squares, episodes=2)["ep_len"]) == 2
    monkeypatch.setattr(dataset.memory, "usable_memory", lambda: 1000)
    with pytest.raises(InputError, match="Not even one episode fits"):
        dataset.load(squares)


def test_a_limit_on_this_process_counts_as_memory():
    code = ("import resource, psutil; from lewm_core.utils.provenance import usable_memory\n"
            "free, used = usable_memory(), psutil.Process().memory_info().vms\n"
            "resource.setrlimit(resource.RLIMIT_AS, (used + 10**8, -1)); print(free, usable_memory())")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    free, limited = map(int, done.stdout.split())
    assert limited < 1.1e8 and limited < free


def test_a_damaged_block_is_a_clear_error(damaged):
    with h5py.File(damaged, "r+") as f:
        pixels = f["pixels"][:]
        del f["pixels"]
        f.create_dataset("pixels", data=pixels, chunks=(1, SIZE, SIZE, 3), **hdf5plugin.Blosc())
        chunk = f["pixels"].id.get_chunk_info(20)
    content = bytearray(damaged.read_bytes())
    content[chunk.byte_offset : chunk.byte_offset + chunk.size] = b"\xff" * chunk.size
    damaged.write_bytes(content)
    for read in (dataset.load, lambda path: list(dataset.read_episodes(path))):
        with pytest.raises(InputError, match=f"{damaged}: found pixels cannot be read at frame 20, in episode 2"):
            read(damaged)


def test_episodes_are_read_back_one_by_one(squares, damaged):
    for i, episode in enumerate(dataset.read_episodes(squares)):
        original, _ = moving_square(i, LENGTHS[i])
        assert (episode.id, episode.task) == (original.id, original.task)
        for name in ("frames", "actions", "observations"):
            np.testing.assert_array_equal(getattr(episode, name), getattr(original, name))
    assert i == E - 1
    theirs = list(dataset.read_episodes(as_another_tool_writes_it(damaged)))
    assert [e.id for e in theirs] == [f"episode-{i:06d}" for i in range(E)] and {e.task for e in theirs} == {""}
    np.testing.assert_array_equal(theirs[-1].frames, episode.frames)


def test_a_failing_write_leaves_nothing_and_spares_the_old_file(squares, damaged, tmp_path):
    before = damaged.read_bytes()

    def breaks():
        yield moving_square(0, 6)
        raise RuntimeError("camera unplugged")

    def ragged():
        yield moving_square(0, 6)
        episode, signals = moving_square(1, 6)
        yield episode, without(signals, depth="gone")

    def larger():
        yield moving_square(0, 6)
        yield moving_square(1, 6, size=48)

    def infinite():
        episode, signals = moving_square(0, 6)
        signals.depth[2, 3, 4] = np.inf
        yield episode, signals

    for items, error, text in ((breaks, RuntimeError, "camera"), (ragged, InputError, "square1"),
                               (larger, InputError, "episode square1: found pixels"),
                               (infinite, InputError, "depth is not finite"), (list, InputError, "no episodes")):
        for path in (damaged, tmp_path / "new.h5"):
            with pytest.raises(error, match=text):
                dataset.write(path, items())
    assert damaged.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == [damaged.name]


# --- violations


def replace(f: h5py.File, name: str, values) -> None:
    if name in f:
        del f[name]
    f[name] = values


def set_at(name, where, value):
    def plant(f):
        f[name][where] = value
    return plant


def change(name, function):
    def plant(f):
        replace(f, name, function(f[name][:]))
    return plant


def delete(name):
    def plant(f):
        del f[name]
    return plant


def group_for(name):
    def plant(f):
        del f[name]
        f.create_group(name)
    return plant


PLANTED = {
    "too few rows": (change("tracks", lambda v: v[:-1]), f"tracks has {N - 1} rows, fewer than the {N} of"),
    "ragged marks": (change("visible", lambda v: v[:-1]), f"visible has {N - 1} rows, fewer than the {N}"),
    "offsets": (set_at("ep_offset", 2, 15), "ep_offset is not the running sum of ep_len"),
    "too few offsets": (change("ep_offset", lambda v: v[:-1]), f"ep_offset has {E - 1} rows, not {E}"),
    "too many frames": (set_at("ep_len", 4, 11), f"pixels has {N} rows, fewer than the {N + 1}"),
    "no frames": (set_at("ep_len", 1, 0), "ep_len has values below 1 (first at episode 1)"),
    "infinite action": (set_at("action", (4, 1), np.inf), "action is infinite (first at frame 4)"),
    "infinite observation": (set_at("observation", (5, 1), -np.inf), "observation is infinite (first at frame 5)"),
    "depth": (set_at("depth", (6, 7, 8), np.nan), "depth is not finite (first at frame 6)"),
    "centroid": (set_at("centroid", (3, 0), np.nan), "centroid is not finite where marked valid (first at frame 3)"),
    "shape": (set_at("shape_valid", slice(None), 1), "shape is not finite where marked valid (first at frame 8)"),
    "track": (lambda f: (set_at("tracks", (2, 5), np.inf)(f), set_at("visible", (2, 5), 1)(f)),
              "tracks is not finite where marked valid (first at frame 2)"),
    "float pixels": (change("pixels", lambda v: v / np.float32(255)), "pixels is float32, not uint8"),
    "16-bit pixels": (change("pixels", lambda v: v.astype(np.uint16) * 2),
                      "pixels is uint16 with values outside 0 to 255 (first in frames 0"),
    "negative pixels": (change("pixels", lambda v: -v.astype(np.int16)), "pixels is int16 with values outside"),
    "grey pixels": (change("pixels", lambda v: v[..., 0]), f"pixels has shape ({N}, {SIZE}, {SIZE}), not (N, H, W, 3)"),
    "RGBA pixels": (change("pixels", lambda v: np.concatenate([v, v[..., :1]], -1)),
                    "pixels has an axis of 4 where 3 or 1 was expected"),
    "small mask": (change("mask", lambda v: v[:, ::2, ::2]), f"mask has an axis of {SIZE // 2} where {SIZE} was"),
    "few points": (change("tracks", lambda v: v[:, :100]), "tracks has an axis of 100 where 400 was expected"),
    "integer actions": (change("action", lambda v: v.astype(int)), "action is int64, not float32"),
    "numbers for text": (change("task", lambda v: np.arange(N)), "task is int64, not str"),
    "text for each episode": (change("task", lambda v: v[:E]), f"task has {E} rows, fewer than the {N}"),
    "text lengths": (change("ep_len", lambda v: v.astype("S3")), "ep_len is |S3, not int64"),
    "scalar lengths": (change("ep_len", lambda v: v[0]), "ep_len is not an array"),
    "group": (group_for("pixels"), "pixels is not an array"),
    "no actions": (delete("action"), "column action is missing"),
    "no lengths": (delete("ep_len"), "column ep_len is missing"),
    "no marks": (delete("centroid_valid"), "column centroid needs column centroid_valid"),
}


@pytest.mark.parametrize("plant, sentence", PLANTED.values(), ids=PLANTED)
def test_each_violation_is_named(damaged, plant, sentence):
    assert dataset.validate(damaged) == []
    with h5py.File(damaged, "r+") as f:
        plant(f)
    assert any(sentence in problem for problem in dataset.validate(damaged)), dataset.validate(damaged)
    with pytest.raises(InputError) as error:
        dataset.load(damaged)
    assert str(damaged) in str(error.value) and sentence in str(error.value)


def test_all_violations_are_reported_together(damaged):
    planted = [PLANTED[name] for name in ("offsets", "infinite action", "depth", "16-bit pixels", "ragged marks",
                                          "few points", "shape", "no marks")]
    with h5py.File(damaged, "r+") as f:
        for plant, _ in planted:
            plant(f)
        del f["observation"]
    problems = dataset.validate(damaged)
    for sentence in [*(sentence for _, sentence in planted), "column observation is missing"]:
        assert sum(sentence in p for p in problems) == 1, (sentence, problems)
    assert len(problems) == len(planted) + 1


def test_values_that_are_not_valid_may_be_anything(damaged):
    with h5py.File(damaged, "r+") as f:
        last = LENGTHS[0] - 1
        assert not f["centroid_valid"][last]
        f["centroid"][last] = np.nan
        f["visible"][5, 7] = 0
        f["tracks"][5, 7] = np.nan
    assert dataset.validate(damaged) == []


def test_what_is_no_dataset_is_one_clear_error(squares, tmp_path):
    whole = squares.read_bytes()
    for name, content in (("text.h5", b"not HDF5 at all"), ("none.h5", b""), ("half.h5", whole[: len(whole) // 2])):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=f"{name}.*cannot be read as HDF5"):
            dataset.load(tmp_path / name)
    with pytest.raises(InputError, match="no such file.*02_extraction"):
        dataset.load(tmp_path / "absent.h5")
    with h5py.File(tmp_path / "empty.h5", "w") as f:
        for column in dataset.COLUMNS.values():
            if column.required:
                shape = [{"H": 32, "W": 32, "A": 7, "O": 2, (3, 1): 3}[s] for s in column.shape]
                f[column.name] = np.zeros((0, *shape), column.dtype)
    with pytest.raises(InputError, match="no episodes"):
        dataset.load(tmp_path / "empty.h5")


def test_reading_and_checking_need_no_torch():
    code = "import sys, lewm_core.dataset; print(sorted({'torch', 'timm', 'mujoco'} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert found.strip() == "[]"


def test_the_record_of_how_it_was_made_is_json(squares):
    with h5py.File(squares) as f:
        assert set(json.loads(f.attrs["made"])) == {"source", "made_by", "missing"}
