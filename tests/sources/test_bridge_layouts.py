"""The other layouts of BridgeData (Open X-Embodiment, raw, numpy): each on a data set written in that very layout."""

import io
import json
import pickle
import shutil

import numpy as np
import pytest
from PIL import Image

from lewm_core.sources.bridge import LAYOUTS, open_bridge
from lewm_core.sources.bridge_numpy import BridgeNumpy
from lewm_core.sources.bridge_raw import BridgeRaw
from lewm_core.sources.bridge_rlds import Bridge, BridgeOpenX
from lewm_core.sources.pictures import decode
from lewm_core.utils.errors import InputError
from tests.bridge_fixtures import (
    episode,
    example,
    jpeg,
    openx_episode,
    recording,
    trajectory,
    trajectory_folder,
    write,
    write_numpy,
    write_raw,
)

OLD, FIRST_DAY = "2021-07-22_23-59-59", "2021-07-23_00-00-00"


def pillow(data: bytes, size: int) -> np.ndarray:
    """Decoded and squashed by another library; a box filter is the average over areas of whole pixels."""
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB").resize((size, size), Image.Resampling.BOX))


# --- Open X-Embodiment -------------------------------------------------------------------------------------------

@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_openx_episodes_come_back(tmp_path, form):
    rng = np.random.default_rng(1)
    stored = [openx_episode(rng, t, form, (12, 16)) for t in (3, 5)]
    write(tmp_path / "bridge" / "0.1.0", [[example(e)] for e in stored], "test", "bridge")
    source = open_bridge(tmp_path, 4)
    assert isinstance(source, BridgeOpenX) and source.name == "bridge-openx"
    infos = list(source.infos())
    assert [(i.id, i.length, i.task) for i in infos] == [
        ("test-00000-0000", 3, "put the spoon on the towel"), ("test-00001-0000", 5, "put the spoon on the towel")]
    for info, e in zip(infos, stored, strict=True):
        loaded = source.load(info.id)
        np.testing.assert_allclose(loaded.frames, [pillow(p, 4) for p in e["steps/observation/image"]], atol=1)
        t = info.length
        np.testing.assert_array_equal(loaded.actions[:, :3].ravel(), e["steps/action/world_vector"])
        np.testing.assert_array_equal(loaded.actions[:, 3:6].ravel(), e["steps/action/rotation_delta"])
        assert loaded.actions[:, 6].tolist() == [1.0] + [0.0] * (t - 1) and loaded.actions.dtype == np.float32
        np.testing.assert_array_equal(loaded.observations.ravel(), e["steps/observation/state"])


@pytest.mark.parametrize("changes, message", [
    (dict(world_vector=None), r"no steps/action/world_vector \(float_list\) among .* features of bridge 0\.1\.0"),
    (dict(open_gripper=np.ones(3)), r"no steps/action/open_gripper \(int64_list\)"),
    (dict(rotation_delta=np.ones(8)), "3 frames with 8 values of steps/action/rotation_delta; expected 9"),
    (dict(image=[]), "0 frames"),
    (dict(world_vector=np.zeros(9), rotation_delta=np.zeros(9), open_gripper=[1] * 3), "zero actions in all 2 steps"),
    (dict(natural_language_instruction=[b"\xff"] * 3), "UTF-8")])
def test_bad_openx_episode(tmp_path, changes, message):
    rng = np.random.default_rng(2)
    write(tmp_path, [[example(openx_episode(rng, **changes)), example(openx_episode(rng))]], prefix="bridge")
    errors = {}
    assert [i.id for i in BridgeOpenX(tmp_path, 8).infos(errors.setdefault)] == ["train-00000-0001"]
    with pytest.raises(InputError, match=message):
        raise errors["train-00000-0000"]


def test_openx_pictures_that_do_not_decode(tmp_path):
    whole = jpeg(np.random.default_rng(3).integers(256, size=(6, 8, 3), dtype=np.uint8), "PNG")
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    for picture in whole[:-1], whole[: len(whole) // 2], bytes(flipped), b"":
        with pytest.raises(InputError, match="do not decode; expected a whole JPEG or PNG"):
            decode(picture, "x")
    assert decode(whole, "x").shape == (6, 8, 3)
    rng, blank = np.random.default_rng(4), jpeg(np.zeros((6, 8, 3), np.uint8))
    write(tmp_path, [[example(openx_episode(rng, image=[blank] * 3))]], prefix="bridge")
    with pytest.raises(InputError, match="blank pictures in every frame; .* in this episode: none"):
        BridgeOpenX(tmp_path, 8).load("train-00000-0000")
    with pytest.raises(InputError, match="camera: found 1; expected 0: bridge-openx has one camera"):
        BridgeOpenX(tmp_path, 8, camera=1)


# --- raw ---------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("dicts, protocol", [(True, 4), (False, 2)])
def test_raw_episode_comes_back(tmp_path, dicts, protocol):
    raw = recording(np.random.default_rng(5), 12, (12, 16))
    folder = write_raw(trajectory_folder(tmp_path), raw, dicts=dicts, protocol=protocol, cameras=(0, 2))
    source = open_bridge(tmp_path, 4, camera=2)
    assert isinstance(source, BridgeRaw) and source.name == "bridge-raw"
    info, = source.infos()
    assert info.id == "toykitchen2~put_spoon_on_towel~00~2022-03-04_11-22-33~raw~traj_group0~traj0"
    assert (info.length, info.task) == (12, "put the spoon on the towel")
    loaded = source.load(info.id)
    jpegs = [(folder / "images2" / f"im_{t}.jpg").read_bytes() for t in range(12)]  # 10 and 11 behind 9, not behind 1
    np.testing.assert_allclose(loaded.frames, [pillow(p, 4) for p in jpegs], atol=1)
    np.testing.assert_array_equal(loaded.actions[:-1], raw.actions.astype(np.float32))
    assert (loaded.actions[-1] == 0).all()  # leads nowhere
    np.testing.assert_array_equal(loaded.observations, raw.states.astype(np.float32))


@pytest.mark.parametrize("date, lag", [(OLD, 1), (FIRST_DAY, 0)])
def test_latency_of_the_old_recordings(tmp_path, date, lag):
    """Up to the last second of 22 July 2021 the first observation and the last action go; after it none does."""
    raw = recording(np.random.default_rng(6), 5, (8, 8))
    folder = write_raw(trajectory_folder(tmp_path, date=date), raw)
    source = BridgeRaw(tmp_path, 8)
    info, = source.infos()
    loaded = source.load(info.id)
    assert info.length == len(loaded.frames) == 5 - lag
    for t in range(5 - lag):
        np.testing.assert_array_equal(loaded.frames[t], pillow((folder / f"images0/im_{t + lag}.jpg").read_bytes(), 8))
        np.testing.assert_array_equal(loaded.observations[t], raw.states[t + lag].astype(np.float32))
    np.testing.assert_array_equal(loaded.actions[:-1], raw.actions[: 4 - lag].astype(np.float32))
    assert (loaded.actions[-1] == 0).all()


@pytest.mark.parametrize("text, task", [
    (None, ""), ("", ""), ("take it\n", "take it"), ("confidence: 0.9\ntake it\n", "take it"),
    ("\n  take it \nConfidence: 1", "take it"), ("confidence: 1\n", "")])
def test_instruction(tmp_path, text, task):
    write_raw(trajectory_folder(tmp_path), recording(np.random.default_rng(7)), text)
    info, = BridgeRaw(tmp_path).infos()
    assert info.task == task  # without one it is not bad


def _replace(name, content):
    return lambda folder: (folder / name).write_bytes(pickle.dumps(content))


class Custom:
    pass


RAW = recording(np.random.default_rng(8))
BAD_RAW = {
    "fewer pictures than actions": (lambda f: [(f / f"images0/im_{t}.jpg").unlink() for t in (2, 3)],
                                    "2 pictures, 4 states and 3 actions; expected as many pictures as states, and one"),
    "a picture missing in between": (lambda f: (f / "images0/im_1.jpg").unlink(), r"no im_1\.jpg; expected im_0\.jpg"),
    "no camera": (lambda f: shutil.rmtree(f / "images0"), "no pictures in images0; .*in this episode: 1"),
    "no states": (lambda f: (f / "obs_dict.pkl").unlink(), r"obs_dict\.pkl: found that it cannot be read"),
    "no actions": (lambda f: (f / "policy_out.pkl").unlink(), r"policy_out\.pkl: found that it cannot be read"),
    "a cut pickle": (lambda f: (f / "obs_dict.pkl").write_bytes((f / "obs_dict.pkl").read_bytes()[:-30]),
                     r"obs_dict\.pkl: found that it cannot be understood"),
    "a foreign class": (_replace("obs_dict.pkl", {"full_state": Custom()}), r"obs_dict\.pkl: .*_layouts\.Custom"),
    "no full_state": (_replace("obs_dict.pkl", {"state": 1}), "a dict with state; expected a dict with full_state"),
    "a deep pickle": (lambda f: (f / "obs_dict.pkl").write_bytes(b"]" * 99_999 + b"a" * 99_998 + b"."), "a list of 1;"),
    "six states": (_replace("obs_dict.pkl", {"full_state": np.ones((4, 6))}), r"shape \(4, 6\); expected \(steps, 7\)"),
    "states of text": (_replace("obs_dict.pkl", {"full_state": ["a"]}), "no table of numbers"),
    "ragged actions": (_replace("policy_out.pkl", [np.ones(7), np.ones(6)]), "no table of numbers"),
    "one action too few": (_replace("policy_out.pkl", list(RAW.actions[:-1])), "4 pictures, 4 states and 2 actions"),
    "actions without the key": (_replace("policy_out.pkl", [{"a": 1}]), "no table of numbers"),
    "an empty list": (_replace("policy_out.pkl", []), "a list of 0; expected a list of actions"),
    "zero actions": (_replace("policy_out.pkl", [np.zeros(7)] * 3), "zero actions in all 3 steps"),
    "only the gripper, held": (_replace("policy_out.pkl", [np.eye(7)[6]] * 3), "zero actions in all 3 steps"),
    "text in another encoding": (lambda f: (f / "lang.txt").write_bytes(b"\xff\xfe\xff"), "UTF-8 text"),
}
BAD_RAW_PICTURES = {
    "a cut JPEG": (lambda f: (f / "images0/im_2.jpg").write_bytes((f / "images0/im_2.jpg").read_bytes()[:-300]),
                   r"frame 2, im_2\.jpg: found .* do not decode"),
    "no JPEG": (lambda f: (f / "images0/im_1.jpg").write_text("404 not found"), r"frame 1, im_1\.jpg: found 13 bytes"),
    "blank": (lambda f: [p.write_bytes(jpeg(np.zeros((6, 8, 3), np.uint8))) for p in (f / "images0").iterdir()],
              "blank pictures in every frame; .*in this episode: 1"),
    "two sizes": (lambda f: (f / "images0/im_3.jpg").write_bytes(jpeg(np.eye(8, dtype=np.uint8))),
                  "pictures of 8x6, 8x8 pixels; expected pictures of one size"),
}


@pytest.mark.parametrize("spoil, message", [*BAD_RAW.values(), *BAD_RAW_PICTURES.values()],
                         ids=[*BAD_RAW, *BAD_RAW_PICTURES])
def test_bad_raw_episode_is_named_and_only_it_is_lost(tmp_path, spoil, message):
    folders = [write_raw(trajectory_folder(tmp_path, i), RAW, cameras=(0, 1)) for i in range(3)]
    spoil(folders[1])
    source, errors = BridgeRaw(tmp_path, 8), {}
    infos = list(source.infos(errors.setdefault))
    good = [i.id for i in infos if i.id.endswith(("traj0", "traj2"))]
    assert len(good) == 2 and all(len(source.load(id).frames) == 4 for id in good)
    if errors:  # told before any picture is decoded
        assert list(errors) == [good[0][:-1] + "1"]
        with pytest.raises(InputError, match=message):
            list(source.infos())
    with pytest.raises(InputError, match=message) as raised:
        source.load(good[0][:-1] + "1")
    assert str(folders[1]) in str(raised.value)
    assert not errors or str(raised.value) == str(next(iter(errors.values())))


def test_a_date_that_does_not_tell(tmp_path):
    write_raw(trajectory_folder(tmp_path, date="lmdb"), RAW)
    with pytest.raises(InputError, match="a folder 'lmdb' above raw; expected one named by the date"):
        list(BridgeRaw(tmp_path).infos())
    write_raw(trajectory_folder(tmp_path / "short", date=OLD), recording(np.random.default_rng(9), 2))
    with pytest.raises(InputError, match="one action; expected at least two, since latency costs one"):
        list(BridgeRaw(tmp_path / "short").infos())


def test_raw_order_ids_and_where_they_lead(tmp_path):
    """Groups and trajectories by number, folders by name; the same from any folder above, and nowhere outside it."""
    for task in ("b task~1", "a"):
        for i in (10, 9, 0):
            write_raw(trajectory_folder(tmp_path / "data", i, task), RAW)
    (tmp_path / "data/notes.txt").write_text("x")
    (trajectory_folder(tmp_path / "data", 0, "a").parent / "readme").mkdir()
    source = BridgeRaw(tmp_path / "data", 8)
    ids = [i.id for i in source.infos()]
    assert [id.split("~")[1] + id.split("~")[-1] for id in ids] == [
        "atraj0", "atraj9", "atraj10", *(f"b%20task%7E1traj{i}" for i in (0, 9, 10))]
    assert [i.id for i in BridgeRaw(tmp_path, 8).infos()] == [f"data~{id}" for id in ids]
    (tmp_path / "data").rename(tmp_path / "raw")  # as the release's own folder is called
    assert [i.id for i in BridgeRaw(tmp_path / "raw", 8).infos()] == ids
    (tmp_path / "raw").rename(tmp_path / "data")
    for id in ids:
        assert source.load(id).id == id
    deepest = trajectory_folder(tmp_path / "data", 0, "a").parents[1]
    assert [i.id for i in BridgeRaw(deepest, 8).infos()] == [f"traj_group0~traj{i}" for i in (0, 9, 10)]
    write_raw(trajectory_folder(tmp_path / "outside"), RAW)
    for id in ("", "x", ids[0] + "0", f"..~data~{ids[0]}", str(tmp_path / "outside").replace("/", "~") + "~x",
               f"toykitchen2~..~{ids[0]}", ids[0].replace("~traj0", "")):
        with pytest.raises(InputError, match="episode id: found .* expected an episode of .*traj0"):
            source.load(id)


# --- numpy -------------------------------------------------------------------------------------------------------

def test_numpy_episodes_come_back(tmp_path):
    rng = np.random.default_rng(10)
    raws = [recording(rng, t, (8, 8)) for t in (4, 6, 3)]
    folder = tmp_path / "numpy" / "toykitchen2" / "put_spoon_on_towel" / "00"
    write_numpy(folder / "train", [trajectory(r) for r in raws[:2]])
    write_numpy(folder / "val", [trajectory(raws[2])])
    source = open_bridge(tmp_path, 8)
    assert isinstance(source, BridgeNumpy) and source.name == "bridge-numpy"
    infos = list(source.infos())
    assert [i.id for i in infos] == [f"numpy~toykitchen2~put_spoon_on_towel~00~{s}" for s in
                                     ("train~0000", "train~0001", "val~0000")]
    assert {i.task for i in infos} == {"put spoon on towel"}
    for info, raw in zip(infos[::-1], raws[::-1], strict=True):
        loaded = source.load(info.id)
        assert type(loaded.frames) is np.ndarray
        np.testing.assert_array_equal(loaded.frames, raw.pictures)  # untouched: already applied, no latency rule here
        np.testing.assert_array_equal(loaded.actions[:-1], raw.actions.astype(np.float32))
        assert (loaded.actions[-1] == 0).all() and info.length == len(raw.pictures)
        np.testing.assert_array_equal(loaded.observations, raw.states.astype(np.float32))
    assert next(BridgeNumpy(folder / "train", 8).infos()).task == ""  # no folder says what is done


def _without(step: int, key: str) -> dict:
    content = trajectory(RAW)
    content["observations"][step] = {k: v for k, v in content["observations"][step].items() if k != key}
    return content


BAD_NUMPY = {
    "no dict": ([1], r"a list of 1; expected a dict with lists of observations, next_observations, actions"),
    "a key missing": ({"observations": []}, "a dict with observations; expected"),
    "one action short": (trajectory(RAW) | {"actions": list(RAW.actions[1:])}, "3 observations, 3 next .* 2 actions"),
    "empty": (dict.fromkeys(("observations", "next_observations", "actions"), []), "0 observations"),
    "no state": (_without(1, "state"), "an observation that is a dict with images0, time_stamp"),
    "fewer images than actions": (_without(1, "images0"), "3 pictures, 4 states and 3 actions"),
    "another camera": (trajectory(RAW, 1), "no images0; .*in this episode: 1"),
    "zero actions": (trajectory(RAW._replace(actions=0 * RAW.actions)), "zero actions in all 3 steps"),
    "six numbers": (trajectory(RAW._replace(actions=RAW.actions[:, :6])), r"shape \(3, 6\)"),
}
BAD_NUMPY_PICTURES = {
    "blank": (trajectory(RAW._replace(pictures=np.zeros((4, 8, 8, 3), np.uint8))), "blank pictures in every frame"),
    "floats": (trajectory(RAW._replace(pictures=np.ones((4, 8, 8, 3)))), r"float64 \(8, 8, 3\); expected a picture"),
    "not square": (trajectory(RAW), "pictures of 8x6 pixels; expected square"),
}


@pytest.mark.parametrize("bad, message", [*BAD_NUMPY.values(), *BAD_NUMPY_PICTURES.values()],
                         ids=[*BAD_NUMPY, *BAD_NUMPY_PICTURES])
def test_bad_numpy_episode_is_named_and_only_it_is_lost(tmp_path, bad, message):
    good = trajectory(recording(np.random.default_rng(11), size=(8, 8)))
    path = write_numpy(tmp_path / "task" / "00" / "train", [good, bad, good])
    source, errors = BridgeNumpy(tmp_path, 8), {}
    ids = [i.id for i in source.infos(errors.setdefault)]
    assert {ids[0], ids[-1]} == {"task~00~train~0000", "task~00~train~0002"}
    assert list(errors) in ([], ["task~00~train~0001"])
    with pytest.raises(InputError, match=message) as raised:
        source.load("task~00~train~0001")
    assert f"{path}, episode 1" in str(raised.value)
    source.load(ids[0]), source.load(ids[-1])


def test_numpy_file_that_is_lost(tmp_path):
    """A foreign class or a cut file costs that file's episodes, a bad header the file; the next file is read."""
    good = trajectory(recording(np.random.default_rng(12), size=(8, 8)))
    write_numpy(tmp_path / "a" / "train", [good, {"actions": Custom()}])
    cut = write_numpy(tmp_path / "b" / "train", [good] * 2)
    cut.write_bytes(cut.read_bytes()[:-50])
    (write_numpy(tmp_path / "c" / "train", [good])).write_bytes(b"\x93NUMPY?")
    write_numpy(tmp_path / "d" / "train", [good])
    source, errors = BridgeNumpy(tmp_path, 8), {}
    assert [i.id for i in source.infos(errors.setdefault)] == ["d~train~0000"]
    assert list(errors) == ["a~train~0000", "a~train~0001", "b~train~0000", "b~train~0001", "c~train"]
    assert "test_bridge_layouts.Custom" in str(errors["a~train~0000"]) and "out.npy" in str(errors["a~train~0000"])
    for id in ("", "d~train~1", "d~train~0001", "d~train~00000", "e~train~0000"):
        with pytest.raises(InputError, match="episode id: found"):
            source.load(id)


# --- which layout ------------------------------------------------------------------------------------------------

def _make(layout, folder, rng=None):
    rng = rng or np.random.default_rng(13)
    if layout is Bridge:
        write(folder, [[example(episode(rng))]])
    elif layout is BridgeOpenX:
        write(folder, [[example(openx_episode(rng))]], prefix="bridge")
    elif layout is BridgeRaw:
        write_raw(trajectory_folder(folder), recording(rng))
    else:
        write_numpy(folder / "task" / "train", [trajectory(recording(rng, size=(8, 8)))])


def test_the_layout_is_told_from_the_files(tmp_path):
    sources = [layout.source for layout in LAYOUTS]
    for source in sources:
        folder = tmp_path / source.name
        _make(source, folder)
        assert type(open_bridge(folder, 8)) is source
        assert len(list(open_bridge(folder, 8).infos())) == 1
    assert len({source.name for source in sources}) == 4
    with pytest.raises(InputError, match=r"several layouts: bridge \(.*, bridge-openx \(.*, bridge-raw .*numpy"):
        open_bridge(tmp_path, 8)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"nothing in it|a folder with") as raised:
        open_bridge(tmp_path / "empty", 8)
    assert all(layout.files in str(raised.value) for layout in LAYOUTS)
    with pytest.raises(InputError, match="found no such file or folder"):
        open_bridge(tmp_path / "absent", 8)
    for source in BridgeRaw, BridgeNumpy:
        with pytest.raises(InputError, match="found no "):
            source(tmp_path / "empty", 8)
        with pytest.raises(InputError, match="image_size: found 0"):
            source(tmp_path, 0)
        with pytest.raises(InputError, match="camera: found 4; expected 0 to 3"):
            source(tmp_path, 8, 4)


# --- fingerprint and index ---------------------------------------------------------------------------------------

@pytest.mark.parametrize("source", [BridgeRaw, BridgeNumpy])
def test_fingerprint_of_folders(tmp_path, source):
    """The same where the data lie elsewhere; another for other settings, names, sizes and counts."""
    _make(source, tmp_path / "a")
    base = source(tmp_path / "a", 8).fingerprint
    shutil.copytree(tmp_path / "a", tmp_path / "moved")
    assert source(tmp_path / "moved", 8).fingerprint == base
    prints = [base, source(tmp_path / "a", 9).fingerprint, source(tmp_path / "a", 8, 1).fingerprint]
    for name, change in {
        "renamed": lambda f: f.parent.rename(f.parent.with_name("traj7" if source is BridgeRaw else "val")),
        "longer": lambda f: f.write_bytes(f.read_bytes() + b"x"),
        **({"pictures": lambda f: (f.parent / "images0/im_3.jpg").unlink(),
            "text": lambda f: (f.parent / "lang.txt").write_text("put the spoon on the TOWEL\nconfidence: 1\n"),
            "no text": lambda f: (f.parent / "lang.txt").unlink()} if source is BridgeRaw else {}),
    }.items():
        shutil.copytree(tmp_path / "a", tmp_path / name)
        file, = (tmp_path / name).rglob("obs_dict.pkl" if source is BridgeRaw else "out.npy")
        change(file)
        prints.append(source(tmp_path / name, 8).fingerprint)
    assert len(set(prints)) == len(prints)


class Counting(BridgeRaw):
    """A source that notes what it reads."""

    def __init__(self, *args):
        super().__init__(*args)
        self.read = []

    def _read(self, id):
        self.read.append(id)
        return super()._read(id)


def test_an_interrupted_pass_goes_on_where_it_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr("lewm_core.sources.index.BATCH", 3)
    folders = [write_raw(trajectory_folder(tmp_path / "data", i), RAW, f"task {i}") for i in range(10)]
    (folders[4] / "policy_out.pkl").write_bytes(b"")
    make, cache, errors = lambda: Counting(tmp_path / "data", 8), tmp_path / "cache", {}
    expected = list(make().infos(errors.setdefault))
    assert len(expected) == 9 and len(errors) == 1

    source = make()
    infos = source.infos({}.setdefault, cache)
    assert [next(infos) for _ in range(6)] == expected[:6] and len(source.read) == 7
    file, = cache.iterdir()
    assert source.fingerprint in file.name and len(file.read_text().split()) and file.read_text().count("[") == 6
    del infos  # interrupted: closed, what is left is written
    file.write_bytes(file.read_bytes()[:-9])  # and the last line torn, as a crash would

    source, again = make(), {}
    assert list(source.infos(again.setdefault, cache)) == expected
    assert len(source.read) == 10 - 5 and list(again) == list(errors)  # five were known; the bad one is read again
    source = make()
    assert list(source.infos(again.setdefault, cache)) == expected and source.read == list(errors)
    with pytest.raises(InputError):
        list(make().infos(cache=cache))

    (folders[0] / "lang.txt").write_text("another text")  # other data: another index
    assert list(make().infos({}.setdefault, cache))[0].task == "another text" and len(list(cache.iterdir())) == 2
    lines = [json.loads(line) for line in file.read_text().split("\n") if line.startswith("[") and line.endswith("]")]
    assert {tuple(line) for line in lines} == {(i.id, i.task, i.length) for i in expected}


def test_foreign_lines_of_an_index_are_not_used(tmp_path):
    write_raw(trajectory_folder(tmp_path / "data"), RAW)
    source = BridgeRaw(tmp_path / "data", 8)
    info, = source.infos(cache=tmp_path)
    file, = tmp_path.glob("*.jsonl")
    for line in ("x", "{}", "3", f'["{info.id}", "t", "4"]', f'["{info.id}", 4, 4]', f'["{info.id}", "t"]', "\xff"):
        file.write_bytes(line.encode("latin1"))
        assert list(source.infos(cache=tmp_path)) == [info]
