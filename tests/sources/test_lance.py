"""Lance tables in the layout of stable-worldmodel 0.1.1: what is written comes out; damage and oddities are told."""

import os
import shutil

import numpy as np
import pytest
import simplejpeg

from lewm_core.runner import commands
from lewm_core.signals.pipeline import SourceSpec, packets
from lewm_core.sources.lance import Lance
from lewm_core.utils.errors import InputError
from tests.helpers import LENGTHS, SIZE, moving_square

lance = pytest.importorskip("lance", reason="pylance (extra lance) is not installed")
pa = pytest.importorskip("pyarrow")
EPISODES = [moving_square(i, length)[0] for i, length in enumerate(LENGTHS)]


def jpeg(frame):
    return simplejpeg.encode_jpeg(np.ascontiguousarray(frame), 95, "RGB", "444")


def table(**changes):
    """The rows of the episodes with 2-D actions; a change replaces a column, None removes it."""
    numbers = np.repeat(np.arange(len(LENGTHS)), LENGTHS)
    columns = {
        "episode_idx": pa.array(numbers, pa.int32()),
        "step_idx": pa.array(np.concatenate([np.arange(n) for n in LENGTHS]), pa.int32()),
        "pixels": pa.array([jpeg(frame) for e in EPISODES for frame in e.frames], pa.binary()),
        "pixels_side": pa.array([jpeg(frame[::-1]) for e in EPISODES for frame in e.frames], pa.binary()),
        "action": lists(np.concatenate([e.actions[:, :2] for e in EPISODES])),
        "proprio": lists(np.concatenate([e.observations for e in EPISODES])),
        "task": pa.array([e.task for e in EPISODES for _ in e.frames], pa.string()),
        "reward": lists(np.zeros((sum(LENGTHS), 1))),
    }
    return pa.table({name: column for name, column in (columns | changes).items() if column is not None})


def lists(rows):
    return pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel(), pa.float32()), rows.shape[1])


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    path = tmp_path_factory.mktemp("lance") / "public.lance"
    lance.write_dataset(table(), str(path))
    return path


def test_what_was_written_comes_out(written):
    source = Lance(written.parent, SIZE)  # or the folder that it is alone in
    assert source.cameras == 2 and source.path == written
    assert [(i.id, i.task, i.length) for i in source.infos()] == [
        (f"episode-{i:06d}", e.task, len(e.frames)) for i, e in enumerate(EPISODES)]
    side = Lance(written, SIZE, 1)
    assert side.camera == "pixels_side" and side.fingerprint != source.fingerprint
    for i, episode in reversed(list(enumerate(EPISODES))):
        back = source.load(f"episode-{i:06d}")
        decoded = [simplejpeg.decode_jpeg(jpeg(frame), "RGB") for frame in episode.frames]
        np.testing.assert_array_equal(back.frames, decoded)
        np.testing.assert_array_equal(back.actions, episode.actions[:, :2])
        np.testing.assert_array_equal(back.observations, episode.observations)
        assert np.abs(side.load(back.id).frames.astype(int) - episode.frames[:, ::-1]).mean() < 6


def test_it_is_data_of_a_study(written, tmp_path):
    spec = SourceSpec("lance", 2, 0, 16, str(written))
    found = list(packets(spec, [info.id for info in spec.open().infos()], tmp_path, 1))
    assert [len(episode.frames) for episode, _ in found] == list(LENGTHS[:2])
    assert all(signals.made_by["tracks"] == "classical" for _, signals in found)


def test_inspect_knows_it(written, capsys):
    assert commands.main(["inspect", str(written)]) == 0
    assert "kind: Lance table" in capsys.readouterr().out


numbers = np.repeat(np.arange(len(LENGTHS)), LENGTHS)
BAD = {
    "no pictures": ({"pixels": None, "pixels_side": None}, "no camera 0 among none"),
    "pictures as texts": ({"pixels": pa.array(["x"] * sum(LENGTHS)), "pixels_side": None}, "no camera"),
    "no actions": ({"action": None}, "action is missing"),
    "actions as texts": ({"action": pa.array(["x"] * sum(LENGTHS))}, "action string"),
    "no observation": ({"proprio": None}, "observation is missing"),
    "no index": ({"episode_idx": None}, "episode_idx is missing"),
    "texts as index": ({"episode_idx": pa.array(map(str, numbers))}, "episode_idx string, not whole"),
    "mixed rows": ({"episode_idx": pa.array(numbers[::-1] % 2, pa.int32())}, "do not lie together"),
    "below 0": ({"episode_idx": pa.array(numbers - 1, pa.int32())}, "do not lie together"),
}


@pytest.mark.parametrize("change, words", BAD.values(), ids=BAD)
def test_a_table_that_cannot_be_used_is_one_error(tmp_path, change, words):
    lance.write_dataset(table(**change), str(tmp_path / "t.lance"))
    with pytest.raises(InputError, match=words):
        Lance(tmp_path / "t.lance")


def test_bad_rows_cost_their_episode(tmp_path):
    steps = np.concatenate([np.arange(n) for n in LENGTHS])
    steps[LENGTHS[0]] = 5
    pictures = table()["pixels"].to_pylist()
    pictures[0], pictures[-1] = pictures[0][:100], None
    moves = np.concatenate([e.actions[:, :2] for e in EPISODES])
    moves[numbers == 2] = 0
    lance.write_dataset(table(step_idx=pa.array(steps, pa.int32()), pixels=pa.array(pictures, pa.binary()),
                              action=lists(moves)), str(tmp_path / "t.lance"))
    source = Lance(tmp_path / "t.lance", SIZE)
    for i, words in ((0, "frame 0: found 100 bytes"), (1, "not numbered 0 to 6"), (2, "zero actions"),
                     (4, "frame 9: found 0 bytes")):
        with pytest.raises(InputError, match=words):
            source.load(f"episode-{i:06d}")
    assert source.load("episode-000003")
    with pytest.raises(InputError, match="such as episode-000000"):
        source.load("episode-000009")


def test_what_is_no_table_is_an_error(written, tmp_path):
    with pytest.raises(InputError, match="0 Lance tables"):
        Lance(tmp_path)
    (tmp_path / "empty.lance").mkdir()
    with pytest.raises(InputError, match="empty.lance: found"):
        Lance(tmp_path / "empty.lance")
    copy = shutil.copytree(written, tmp_path / "copy.lance")
    with pytest.raises(InputError, match="2 Lance tables"):
        Lance(tmp_path)
    data = next((copy / "data").iterdir())
    whole = data.read_bytes()
    for content in (whole[: len(whole) // 2], bytes(len(whole)), b""):
        data.write_bytes(content)
        with pytest.raises(InputError, match="lance"):
            SourceSpec("lance", 0, 0, 16, str(copy)).open().load("episode-000000")
    data.unlink()
    os.mkfifo(data)
    with pytest.raises(InputError, match="a pipe, not a file"):
        Lance(copy)
    data.unlink()
    data.symlink_to(next((written / "data").iterdir()))
    with pytest.raises(InputError, match="a link"):
        Lance(copy)
