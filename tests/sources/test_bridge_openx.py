"""BridgeData as Open X-Embodiment has it, on a data set written in that layout."""


import numpy as np
import pytest

from lewm_core.sources.bridge import open_bridge
from lewm_core.sources.bridge_rlds import BridgeOpenX
from lewm_core.sources.pictures import decode
from lewm_core.utils.errors import InputError
from tests.bridge_fixtures import (
    example,
    jpeg,
    openx_episode,
    pillow,
    write,
)


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
