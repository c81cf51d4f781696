"""The Bridge source against a real shard, against shards written here byte by byte, and against damage to both.

The shard writer (bridge_fixtures.py) and the record reader of this file use neither protobuf nor google-crc32c, so
that they are an independent account of the format.
"""

import io
import json
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lewm_core.sources import tfrecord
from lewm_core.sources.bridge import open_bridge
from lewm_core.sources.bridge_rlds import Bridge
from lewm_core.utils.errors import InputError
from tests.bridge_fixtures import episode, example, jpeg, record, write

SAMPLE = Path(__file__).parents[3] / "shared" / "bridge_sample"
SHARD = SAMPLE / "bridge_dataset-train.tfrecord-00000-of-00001"
real = pytest.mark.skipif(not SHARD.exists(), reason="the real Bridge shard (../shared/bridge_sample) is not here")
TASKS = {"put carrot on plate", "put cup from counter or drying rack into sink", "flip pot upright which is in sink",
         "turn lever vertical to front"}


# --- an independent reader ---------------------------------------------------------------------------------------

def wire(data: bytes) -> list[tuple[int, bytes | int]]:
    """The (field number, value) pairs of a protobuf message."""
    pos, out = 0, []

    def number() -> int:
        nonlocal pos
        n = shift = 0
        while True:
            pos, byte = pos + 1, data[pos]
            n, shift = n | (byte & 127) << shift, shift + 7
            if byte < 128:
                return n

    while pos < len(data):
        tag = number()
        kind = tag & 7
        if kind == 0:
            value = number()
        else:
            size = {1: 8, 5: 4}[kind] if kind in (1, 5) else number()
            pos, value = pos + size, data[pos:pos + size]
        out.append((tag >> 3, value))
    return out


def unpack(path: Path) -> list[dict]:
    """The records of a shard: feature name → list of bytes, or of the bytes of packed numbers."""
    data, out = path.read_bytes(), []
    while data:
        n = struct.unpack("<Q", data[:8])[0]
        (_, features), = wire(data[12:12 + n])
        entries = [dict(wire(entry)) for _, entry in wire(features)]
        out.append({e[1].decode(): [v for _, v in wire(dict(wire(e[2])).popitem()[1])] for e in entries})
        data = data[16 + n:]
    return out


def pillow(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)))


# --- the real shard ----------------------------------------------------------------------------------------------

@real
def test_real_shard_has_the_published_episodes():
    infos = list(Bridge(SAMPLE).infos())
    assert [i.id for i in infos] == [f"train-00000-{n:04d}" for n in range(25)]
    assert {i.length for i in infos} == {10}
    assert {i.task.replace("_", " ").replace("-", " ") for i in infos} == TASKS


@real
@pytest.mark.parametrize("camera", [0, 1, 2])
def test_real_episodes_equal_an_independent_decode(camera):
    source, expected = Bridge(SHARD, 64, camera), unpack(SHARD)
    assert len(expected) == 25
    for info, e in zip(source.infos(), expected, strict=True):
        loaded = source.load(info.id)
        frames = np.stack([pillow(j) for j in e[f"steps/observation/image_{camera}"]])
        np.testing.assert_array_equal(loaded.frames, frames)
        for name, value in ("steps/action", loaded.actions), ("steps/observation/state", loaded.observations):
            numbers = np.frombuffer(b"".join(e[name]), "<f4").reshape(10, 7)
            assert value.dtype == np.float32 and np.array_equal(value, numbers)
        assert loaded.task == info.task == e["steps/language_instruction"][0].decode()
        assert (loaded.id, loaded.intrinsics, loaded.truth) == (info.id, None, None)


@real
def test_real_camera_3_is_blank_though_no_flag_says_so():
    with pytest.raises(InputError, match=r"train-00000-0004, camera 3: found blank .* Cameras .*: 0, 1, 2\.$"):
        Bridge(SAMPLE, 64, camera=3).load("train-00000-0004")


@real
@pytest.mark.parametrize("record_at, cut", [(0, 0), (0, 5), (0, 12), (0, 5000), (7, 0), (7, 11), (7, 100), (24, -4),
                                            (24, -1)])
def test_real_shard_cut_short(tmp_path, record_at, cut):
    """Every episode before the cut is there; then comes one error that names the file and the record's first byte."""
    spans, damage = tfrecord.scan(SHARD)
    assert damage is None
    end = spans[record_at].offset + cut if cut >= 0 else SHARD.stat().st_size + cut
    copy = tmp_path / SHARD.name
    copy.write_bytes(SHARD.read_bytes()[:end])
    infos, seen = Bridge(copy, 64).infos(), []
    if cut == 0 and record_at:  # nothing in the file itself betrays a cut between two records …
        assert len(list(infos)) == record_at
        (tmp_path / "dataset_info.json").write_bytes((SAMPLE / "dataset_info.json").read_bytes())
        with pytest.raises(InputError, match=f"found {record_at} episodes; expected 25 as dataset_info.json says"):
            list(Bridge(copy).infos())  # … but the metadata does
        return
    with pytest.raises(InputError) as e:
        for info in infos:
            seen.append(info.id)
    assert len(seen) == record_at
    if end == 0:
        assert e.value.found == "an empty file"
    else:
        assert str(e.value).startswith(f"{copy}, byte {spans[record_at].offset}: found ")
        assert "before the file ends" in e.value.found


# --- episodes ----------------------------------------------------------------------------------------------------

def test_written_episode_comes_back(tmp_path):
    features = episode(np.random.default_rng(1), t=4, size=16)
    features["steps/action"][5] = np.nan
    features["steps/language_instruction"] = ["put café on plate".encode()] + [b"later text"] * 3
    write(tmp_path, [[example(features)]])
    loaded = Bridge(tmp_path, 16, camera=2).load("train-00000-0000")  # no infos() before
    np.testing.assert_array_equal(loaded.frames, [pillow(j) for j in features["steps/observation/image_2"]])
    np.testing.assert_array_equal(loaded.actions, features["steps/action"].reshape(4, 7))  # NaN kept
    np.testing.assert_array_equal(loaded.observations, features["steps/observation/state"].reshape(4, 7))
    assert loaded.task == "put café on plate"


def test_resizing(tmp_path):
    """Down: the mean of each area. Up: a smooth ramp keeps its values. Same size: nothing is touched."""
    rng = np.random.default_rng(2)
    ramp = np.repeat(np.repeat(np.linspace(0, 250, 16).astype(np.uint8)[None, :, None], 16, 0), 3, 2)
    features = episode(rng, t=1, size=16, image_1=[jpeg(ramp)])
    write(tmp_path, [[example(features)]])
    full = Bridge(tmp_path, 16).load("train-00000-0000").frames
    half = Bridge(tmp_path, 8).load("train-00000-0000").frames
    np.testing.assert_allclose(half[0], full[0].reshape(8, 2, 8, 2, 3).mean((1, 3)), atol=0.51)
    twice = Bridge(tmp_path, 32, camera=1).load("train-00000-0000").frames[0, 16, :, 0].astype(float)
    assert twice.shape == (32,)
    centres = (np.arange(32) + 0.5) / 2 - 0.5
    np.testing.assert_allclose(twice[4:-4], np.interp(centres, range(16), ramp[0, :, 0])[4:-4], atol=3)


def test_order_ids_and_loading_in_any_order(tmp_path):
    rng = np.random.default_rng(3)
    shards = [[episode(rng, t=int(t)) for t in rng.integers(1, 5, size=n)] for n in (3, 1, 2)]
    write(tmp_path, [[example(e) for e in s] for s in shards])
    write(tmp_path, [[example(episode(rng, t=5))]], split="val")
    ids = ["train-00000-0000", "train-00000-0001", "train-00000-0002", "train-00001-0000", "train-00002-0000",
           "train-00002-0001", "val-00000-0000"]
    source = Bridge(tmp_path)
    assert [i.id for i in source.infos()] == [i.id for i in source.infos()] == ids
    flat = [e for s in shards for e in s]
    assert [i.length for i in source.infos()] == [len(e["steps/is_first"]) for e in flat] + [5]
    for n in rng.permutation(len(flat)):
        for other in source, Bridge(tmp_path), pickle.loads(pickle.dumps(source)):
            np.testing.assert_array_equal(other.load(ids[n]).actions.ravel(), flat[n]["steps/action"])


@pytest.mark.parametrize("id", ["", "0", "train-00000-0002", "train-00000-0", "train-00000-00001", "train-00000--001",
                                "train-00001-0000", "val-00000-0000", "train-00000-٠٠٠٠", "../train-00000-0000"])
def test_unknown_id(tmp_path, id):
    write(tmp_path, [[example(episode(np.random.default_rng(4)))] * 2])
    with pytest.raises(InputError, match="episode id: found .* expected .*train-00000"):
        Bridge(tmp_path).load(id)


BAD_EPISODES = {
    "missing action": (dict(action=None), r"no steps/action \(float_list\) among .*steps/is_first"),
    "missing camera": (dict(image_0=None), r"no steps/observation/image_0 \(bytes_list\) among"),
    "two missing": (dict(state=None, language_instruction=None), r"no steps/observation/state .*steps/language_instr"),
    "action of another kind": (dict(action=[b"x"] * 3), r"no steps/action \(float_list\)"),
    "six actions a step": (dict(action=np.zeros(18)), "3 frames with 18 values of steps/action; expected 21 of"),
    "one action short": (dict(action=np.zeros(14)), "3 frames with 14 values of steps/action; expected 21 of"),
    "ragged state": (dict(state=np.zeros(20)), "3 frames with 20 values of steps/observation/state; expected 21"),
    "ragged text": (dict(language_instruction=[b"a"] * 2), "2 values of steps/language_instruction; expected 3"),
    "no frames": (dict(image_0=[], action=np.zeros(0), state=np.zeros(0), language_instruction=[]), "0 frames with"),
    "text not UTF-8": (dict(language_instruction=[b"\xff\xfe"] * 3), r"expected UTF-8 text"),
}


@pytest.mark.parametrize("changes, message", BAD_EPISODES.values(), ids=BAD_EPISODES)
def test_bad_episode_is_named_and_only_it_is_lost(tmp_path, changes, message):
    """Both ways to it report the same error; its neighbours are read."""
    rng = np.random.default_rng(5)
    good, bad = example(episode(rng)), example(episode(rng, **changes))
    path, = write(tmp_path, [[good, bad, good]])
    source = Bridge(tmp_path, 8)
    with pytest.raises(InputError, match=message) as raised:
        list(source.infos())
    assert str(raised.value).startswith(f"{path}, byte {len(record(good))}, episode train-00000-0001")
    with pytest.raises(InputError) as loaded:
        source.load("train-00000-0001")
    assert str(loaded.value) == str(raised.value)
    errors = {}
    assert [i.id for i in source.infos(errors.setdefault)] == ["train-00000-0000", "train-00000-0002"]
    assert list(errors) == ["train-00000-0001"] and str(errors["train-00000-0001"]) == str(raised.value)
    source.load("train-00000-0002")


def _picture(size: int) -> bytes:
    return jpeg(np.random.default_rng(6).integers(256, size=(size, size, 3), dtype=np.uint8))


WRONG_PICTURES = {
    "no JPEG": ([_picture(8), b"not a picture", _picture(8)], "camera 0, frame 1: found 13 bytes that do not decode"),
    "empty": ([b"", _picture(8), _picture(8)], "frame 0: found 0 bytes that do not decode; expected a whole JPEG"),
    "cut JPEG": ([_picture(32), _picture(32), _picture(32)[:-2]], "frame 2: found .* do not decode"),
    "half a JPEG": ([_picture(32), _picture(32)[:len(_picture(32)) // 2], _picture(32)], "frame 1: found .* do not"),
    "no bytes anywhere": ([b""] * 3, "frame 0: found 0 bytes"),
    "JPEG markers only": ([b"\xff\xd8\xff\xd9"] * 3, "frame 0: found 4 bytes"),
    "two sizes": ([_picture(8), _picture(9), _picture(8)], "pictures of 8x8, 9x9 pixels; expected square"),
    "not square": ([jpeg(np.eye(6, 8, dtype=np.uint8) * 200)] * 3, "pictures of 8x6 pixels; expected square"),
    "blank": ([jpeg(np.full((8, 8, 3), v, np.uint8)) for v in (0, 90, 255)],
              r"blank pictures in every frame; .* Cameras with pictures in this episode: 1, 2\.$"),
}


@pytest.mark.parametrize("pictures, message", WRONG_PICTURES.values(), ids=WRONG_PICTURES)
def test_wrong_pictures_are_found_when_decoded(tmp_path, pictures, message):
    write(tmp_path, [[example(episode(np.random.default_rng(7), image_0=pictures))]])
    source = Bridge(tmp_path, 8)
    assert [i.length for i in source.infos()] == [3]  # metadata does not decode
    with pytest.raises(InputError, match=f"episode train-00000-0000, .*{message}"):
        source.load("train-00000-0000")
    Bridge(tmp_path, 8, camera=1).load("train-00000-0000")


def test_one_frame_with_a_picture_is_a_camera(tmp_path):
    black = jpeg(np.zeros((8, 8, 3), np.uint8))
    write(tmp_path, [[example(episode(np.random.default_rng(8), image_0=[black, black, _picture(8)]))]])
    frames = Bridge(tmp_path, 8).load("train-00000-0000").frames
    assert frames[:2].max() == 0 and frames[2].max() > 0


def test_blank_everywhere(tmp_path):
    write(tmp_path, [[example(episode(np.random.default_rng(9), blank=(0, 1, 2, 3), image_1=[b"?"] * 3))]])
    with pytest.raises(InputError, match="in this episode: none"):
        Bridge(tmp_path).load("train-00000-0000")


def test_infinite_action(tmp_path):
    write(tmp_path, [[example(episode(np.random.default_rng(10), action=np.full(21, np.inf)))]])
    with pytest.raises(InputError, match="infinite actions"):
        Bridge(tmp_path).load("train-00000-0000")


# --- damage ------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("place, lost, message", [
    ("length", "rest", "record length whose checksum"), ("length crc", "rest", "record length whose checksum"),
    ("data", "one", "found data whose checksum"), ("data crc", "one", "found data whose checksum")])
def test_flipped_bit(tmp_path, place, lost, message):
    """A flipped bit in a record's data costs that episode, one in its header the rest of the file; never more."""
    rng = np.random.default_rng(11)
    records = [example(episode(rng, size=4)) for _ in range(4)]
    path, other = write(tmp_path, [records, records[:1]])
    start = len(record(records[0]))
    byte = {"length": start + 1, "length crc": start + 9, "data": start + 12 + len(records[1]) // 2,
            "data crc": start + 12 + len(records[1]) + 2}[place]
    data = bytearray(path.read_bytes())
    data[byte] ^= 0x10
    path.write_bytes(data)

    source, errors, seen = Bridge(tmp_path, 4), {}, []
    with pytest.raises(InputError, match=f"{path.name}, byte {start}: .*{message}"):
        for info in source.infos():
            seen.append(info.id)
    assert seen == ["train-00000-0000"]
    seen = [i.id for i in source.infos(errors.setdefault)]
    kept = ["train-00000-0000", "train-00000-0002", "train-00000-0003", "train-00001-0000"]
    assert seen == (kept if lost == "one" else [kept[0], kept[3]])
    assert list(errors) == ["train-00000-0001" if lost == "one" else "train-00000"]
    for id in seen:
        source.load(id)
    with pytest.raises(InputError, match=f"byte {start}: .*{message}"):
        Bridge(tmp_path, 4).load("train-00000-0001")


def test_a_damaged_second_shard_matters_only_when_reached(tmp_path):
    rng = np.random.default_rng(12)
    paths = write(tmp_path, [[example(episode(rng))] * 2, [example(episode(rng))], [example(episode(rng))]])
    paths[1].write_bytes(b"\0" * 50)
    source = Bridge(tmp_path)
    source.load("train-00000-0001")
    source.load("train-00002-0000")
    infos = source.infos()
    assert [next(infos).id, next(infos).id] == ["train-00000-0000", "train-00000-0001"]
    with pytest.raises(InputError, match="00001-of-00003, byte 0: found a record length"):
        next(infos)


def test_a_shard_removed_after_opening(tmp_path):
    path, = write(tmp_path, [[example(episode(np.random.default_rng(13)))]])
    source = Bridge(tmp_path)
    path.unlink()
    with pytest.raises(InputError, match="cannot be read"):
        source.load("train-00000-0000")


# --- opening -----------------------------------------------------------------------------------------------------

def test_path_may_be_shard_or_folder_or_one_above(tmp_path):
    folder = tmp_path / "data" / "bridge_dataset" / "1.0.0"
    path, = write(folder, [[example(episode(np.random.default_rng(14)))]])
    (folder / "bridge_dataset-train.tfrecord-00001-of-00002.gstmp").write_bytes(b"unfinished")
    prints = {Bridge(p).fingerprint for p in (path, folder, folder.parent, folder.parent.parent, str(folder))}
    assert len(prints) == 1
    with pytest.raises(InputError, match="found a folder with data; expected one of bridge_dataset-"):
        open_bridge(tmp_path, 224)


def test_path_without_shards(tmp_path):
    with pytest.raises(InputError, match="absent: found no such file or folder; expected one of bridge_dataset"):
        open_bridge(tmp_path / "absent", 224)
    with pytest.raises(InputError, match="nothing in it; .* Give the folder of the data or one above it"):
        open_bridge(tmp_path, 224)
    for n in range(9):
        (tmp_path / f"{n}.txt").touch()
    with pytest.raises(InputError, match="a folder with 0.txt, 1.txt, 2.txt, 3.txt, 4.txt and 4 more"):
        open_bridge(tmp_path, 224)
    with pytest.raises(InputError, match="0.txt: found a file of another name"):
        open_bridge(tmp_path / "0.txt", 224)


def test_ambiguous_folders(tmp_path):
    data = [[example(episode(np.random.default_rng(15)))]]
    write(tmp_path / "a", data)
    write(tmp_path / "b", data)
    with pytest.raises(InputError, match="shards in .*a, .*b; expected shards in one folder"):
        Bridge(tmp_path)
    write(tmp_path / "a", data * 2)
    with pytest.raises(InputError, match="train shards of 00001 and of 00002"):
        Bridge(tmp_path / "a")


@pytest.mark.parametrize("settings", [dict(camera=4), dict(camera=-1), dict(camera="0"), dict(image_size=0),
                                      dict(image_size=-3), dict(image_size=64.0)])
def test_settings_out_of_range(tmp_path, settings):
    write(tmp_path, [[example(episode(np.random.default_rng(16)))]])
    with pytest.raises(InputError, match=f"{next(iter(settings))}: found "):
        Bridge(tmp_path, **settings)


@pytest.mark.parametrize("text", ["{", "[]", '{"splits": [{"shardLengths": ["1"]}]}'])
def test_dataset_info_that_cannot_be_understood(tmp_path, text):
    write(tmp_path, [[example(episode(np.random.default_rng(17)))]])
    (tmp_path / "dataset_info.json").write_text(text)
    with pytest.raises(InputError, match=r"dataset_info\.json: found that it cannot be understood"):
        Bridge(tmp_path)


def test_dataset_info_tells_of_lost_records(tmp_path):
    rng = np.random.default_rng(18)
    write(tmp_path, [[example(episode(rng))] * 2, [example(episode(rng))] * 3])
    lengths = {"splits": [{"name": "train", "shardLengths": ["2", "4"]}, {"name": "val", "shardLengths": ["9"]}]}
    (tmp_path / "dataset_info.json").write_text(json.dumps(lengths))
    errors = {}
    assert len(list(Bridge(tmp_path).infos(errors.setdefault))) == 5
    assert list(errors) == ["train-00001"] and "3 episodes; expected 4" in str(errors["train-00001"])


# --- fingerprint -------------------------------------------------------------------------------------------------

def test_fingerprint_changes_with_episodes_and_settings_alone(tmp_path):
    rng = np.random.default_rng(19)
    first, second = (episode(rng) for _ in range(2))
    write(tmp_path / "a", [[example(first), example(second)]])
    base = Bridge(tmp_path / "a", 8).fingerprint
    write(tmp_path / "moved", [[example(first), example(second)]])
    assert Bridge(tmp_path / "moved", 8).fingerprint == base == Bridge(tmp_path / "a", 8).fingerprint

    other = first | {"steps/action": first["steps/action"] * 2}  # same size, same file name
    variants = {"other action": [[example(other), example(second)]], "order": [[example(second), example(first)]],
                "fewer": [[example(first)]], "split up": [[example(first)], [example(second)]]}
    prints = [base, Bridge(tmp_path / "a", 9).fingerprint, Bridge(tmp_path / "a", 8, camera=1).fingerprint]
    for name, shards in variants.items():
        write(tmp_path / name, shards)
        prints.append(Bridge(tmp_path / name, 8).fingerprint)
    damaged, = write(tmp_path / "damaged", [[example(first), example(second)]])
    damaged.write_bytes(damaged.read_bytes()[:-9])
    prints.append(Bridge(tmp_path / "damaged", 8).fingerprint)
    assert len(set(prints)) == len(prints)
