"""The raw release of BridgeData, on a data set written in that layout."""

import pickle
import shutil

import numpy as np
import pytest

from lewm_core.sources.bridge import open_bridge
from lewm_core.sources.bridge_raw import BridgeRaw
from lewm_core.utils.errors import InputError
from tests.bridge_fixtures import (
    RAW,
    Custom,
    jpeg,
    pillow,
    recording,
    trajectory_folder,
    write_raw,
)

OLD, FIRST_DAY = "2021-07-22_23-59-59", "2021-07-23_00-00-00"


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




BAD_RAW = {
    "fewer pictures than actions": (lambda f: [(f / f"images0/im_{t}.jpg").unlink() for t in (2, 3)],
                                    "2 pictures, 4 states and 3 actions; expected as many pictures as states, and one"),
    "a picture missing in between": (lambda f: (f / "images0/im_1.jpg").unlink(), r"no im_1\.jpg; expected im_0\.jpg"),
    "no camera": (lambda f: shutil.rmtree(f / "images0"), "no pictures in images0; .*in this episode: 1"),
    "no states": (lambda f: (f / "obs_dict.pkl").unlink(), r"obs_dict\.pkl: found that it cannot be read"),
    "no actions": (lambda f: (f / "policy_out.pkl").unlink(), r"policy_out\.pkl: found that it cannot be read"),
    "a cut pickle": (lambda f: (f / "obs_dict.pkl").write_bytes((f / "obs_dict.pkl").read_bytes()[:-30]),
                     r"obs_dict\.pkl: found that it cannot be understood"),
    "a foreign class": (_replace("obs_dict.pkl", {"full_state": Custom()}), r"obs_dict\.pkl: .*_fixtures\.Custom"),
    "no full_state": (_replace("obs_dict.pkl", {"state": 1}), "a dict with state; expected a dict with full_state"),
    "a deep pickle": (lambda f: (f / "obs_dict.pkl").write_bytes(b"]" * 9999 + b"a" * 9998 + b"."), "nested deeper"),
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
