"""The numpy form of BridgeData, on a data set written in that layout."""


import numpy as np
import pytest

from lewm_core.sources.bridge import open_bridge
from lewm_core.sources.bridge_numpy import BridgeNumpy
from lewm_core.utils.errors import InputError
from tests.bridge_fixtures import (
    RAW,
    Custom,
    recording,
    trajectory,
    write_numpy,
)


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
    "six numbers": (trajectory(RAW._replace(actions=RAW.actions[:, :6])), r"float64 \(6,\)"),
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
    assert "bridge_fixtures.Custom" in str(errors["a~train~0000"]) and "out.npy" in str(errors["a~train~0000"])
    for id in ("", "d~train~1", "d~train~0001", "d~train~00000", "e~train~0000"):
        with pytest.raises(InputError, match="episode id: found"):
            source.load(id)
