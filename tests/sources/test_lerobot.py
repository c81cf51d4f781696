"""LeRobot datasets: what survives the way there and back, the layout that other tools expect, and damaged ones."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from lewm_core import dataset
from lewm_core.signals.pipeline import SourceSpec, packets
from lewm_core.sources import lerobot_meta, lerobot_writer
from lewm_core.sources.episode import Episode
from lewm_core.sources.lerobot import STATE, LeRobot
from lewm_core.sources.lerobot_writer import CAMERA, export
from lewm_core.utils.errors import InputError

pq = pytest.importorskip("pyarrow.parquet", reason="pyarrow (extra lerobot) is not installed")
av = pytest.importorskip("av", reason="av (extra lerobot) is not installed")
VERSIONS = ("v2.1", "v3.0")
LENGTHS, SIZE = (9, 5, 12, 7), 64


def shape(i: int, length: int, height: int = SIZE, width: int = SIZE) -> Episode:
    """Episode i: a disc that moves over a ground whose colour changes with the episode and, a little, with time."""
    rng = np.random.default_rng(i)
    frames = np.zeros((length, height, width, 3), np.uint8)
    for t in range(length):
        frames[t] = np.linspace(40 + 30 * i, 120 + 10 * t, width, dtype=np.uint8)[None, :, None]
        cv2.circle(frames[t], (10 + 3 * t, 20 + 4 * i), 8, (230, 60 * i, 40), -1)
    actions, states = rng.normal(size=(length, 7)), rng.normal(size=(length, 3))
    return Episode(f"own{i}", frames, actions.astype(np.float32), states.astype(np.float32),
                   ("push the disc", "lift “it”")[i % 2])


EPISODES = [shape(i, length) for i, length in enumerate(LENGTHS)]


@pytest.fixture(scope="module", params=VERSIONS)
def folder(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("lerobot") / request.param
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lerobot_writer, "FILE_MB", 0.002)  # 2 kB: v3.0 begins another file now and then
        export(path, EPISODES, request.param)
    return path


@pytest.fixture
def copy(folder, tmp_path):
    """A copy, for a test to damage."""
    return shutil.copytree(folder, tmp_path / "copy")


def psnr(a, b):
    return 10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2, (1, 2, 3)))


def test_what_goes_out_comes_back(folder):
    source = LeRobot(folder, SIZE)
    assert [(i.task, i.length) for i in source.infos()] == [(e.task, len(e.frames)) for e in EPISODES]
    for info, episode in reversed(list(zip(source.infos(), EPISODES, strict=True))):  # any order
        back = source.load(info.id)
        np.testing.assert_array_equal(back.actions, episode.actions)
        np.testing.assert_array_equal(back.observations, episode.observations)
        assert back.task == episode.task and back.id == info.id and back.intrinsics is None
        own = psnr(episode.frames, back.frames)
        assert own.min() > 31  # sharp coloured edges at 64 px: the worst case of halved colour
        for shift in (-1, 1):  # frame by frame, not one too early or late
            assert (psnr(np.roll(episode.frames, shift, 0), back.frames)[1:-1] < own[1:-1] - 3).all()


def test_a_dataset_file_goes_out_and_comes_in(tmp_path):
    from tests.helpers import write_squares

    path = write_squares(tmp_path / "squares.h5")
    data = dataset.load(path)
    export(tmp_path / "out", dataset.read_episodes(path))
    spec = SourceSpec("lerobot", 2, 0, 32, str(tmp_path / "out"))
    found = list(packets(spec, [info.id for info in spec.open().infos()], tmp_path / "cache", jobs=1))
    assert len(found) == 2 and spec.open().name == "lerobot"
    for i, (episode, signals) in enumerate(found):
        np.testing.assert_array_equal(episode.actions, data["action"][data.episode(i)])
        assert episode.task == data["task"][i] and signals.tracks is not None and signals.depth is None


def test_the_layout_is_lerobots(folder):
    """The places and names that its documentation gives, and statistics that NumPy confirms."""
    info = json.loads((folder / "meta/info.json").read_text())
    assert (info["total_episodes"], info["total_frames"], info["total_tasks"]) == (len(LENGTHS), sum(LENGTHS), 2)
    assert (info["codebase_version"], info["fps"], info["splits"]) == (folder.name, 5, {"train": "0:4"})
    assert info["features"][CAMERA]["dtype"] == "video" and info["features"][CAMERA]["shape"] == [SIZE, SIZE, 3]
    assert info["features"]["action"]["shape"] == [7] and info["features"]["timestamp"]["dtype"] == "float32"
    if folder.name == "v2.1":
        lines = [json.loads(s) for s in (folder / "meta/episodes.jsonl").read_text().splitlines()]
        assert lines[2] == {"episode_index": 2, "tasks": ["push the disc"], "length": 12}
        assert json.loads((folder / "meta/tasks.jsonl").read_text().splitlines()[1])["task"] == "lift “it”"
        stats = json.loads((folder / "meta/episodes_stats.jsonl").read_text().splitlines()[2])["stats"]
        expected = EPISODES[2:3]
        assert (folder / f"videos/chunk-000/{CAMERA}/episode_000003.mp4").is_file()
        rows = pq.read_table(folder / "data/chunk-000/episode_000001.parquet").to_pydict()
    else:
        table = pq.read_table(folder / "meta/episodes/chunk-000/file-000.parquet").to_pydict()
        assert table["dataset_to_index"] == np.cumsum(LENGTHS).tolist() and table["tasks"][1] == ["lift “it”"]
        files, starts = (table[f"videos/{CAMERA}/{what}"] for what in ("file_index", "from_timestamp"))
        assert files[0] == 0 < files[-1] and any(start > 0 for start in starts)  # several, one with several episodes
        for i, (file, start) in enumerate(zip(files, starts, strict=True)):
            before = sum(n for n, other in zip(LENGTHS[:i], files[:i], strict=True) if other == file)
            assert start == before / 5 and table["data/file_index"][i] == file
            assert table[f"videos/{CAMERA}/to_timestamp"][i] == (before + LENGTHS[i]) / 5
        stats, expected = json.loads((folder / "meta/stats.json").read_text()), EPISODES
        tasks = pq.read_table(folder / "meta/tasks.parquet").to_pandas()
        assert tasks.loc["lift “it”", "task_index"] == 1
        rows = pq.read_table(folder / "data", filters=[("episode_index", "=", 1)]).to_pydict()
    assert rows["frame_index"] == [0, 1, 2, 3, 4] and rows["index"] == [9, 10, 11, 12, 13]
    assert rows["task_index"] == [1] * 5 and np.allclose(rows["timestamp"], np.arange(5) / 5)
    actions = np.concatenate([e.actions for e in expected])
    pixels = np.concatenate([e.frames for e in expected]) / 255
    for name, function in (("mean", np.mean), ("std", np.std), ("min", np.min), ("max", np.max)):
        np.testing.assert_allclose(stats["action"][name], function(actions, 0), rtol=1e-5)
        np.testing.assert_allclose(stats[CAMERA][name], function(pixels, (0, 1, 2)).reshape(3, 1, 1), rtol=1e-9)
    assert stats["action"]["count"] == stats[CAMERA]["count"] == [len(actions)]


def test_opening_decodes_nothing_and_a_lost_video_is_that_episodes_error(copy):
    for video in (copy / "videos").rglob("*.mp4"):
        video.unlink()
    source = LeRobot(copy, SIZE)
    assert len(list(source.infos())) == len(LENGTHS)
    with pytest.raises(InputError, match="mp4: found that it cannot be read"):
        source.load("episode-000002")


@pytest.mark.parametrize("content", [b"", b"no video", b"\0" * 5000])
def test_a_broken_video_concerns_its_episodes_alone(copy, content):
    source = LeRobot(copy, SIZE)
    first = {e.index: e.video for e in source._entries.values()}
    first[3].write_bytes(content)
    with pytest.raises(InputError, match="episode-000003"):
        source.load("episode-000003")
    assert len(source.load("episode-000000").frames) == LENGTHS[0]


def test_a_short_video_is_an_error_that_says_where_it_ends(tmp_path):
    export(tmp_path / "whole", EPISODES, "v2.1")
    export(tmp_path / "short", [shape(i, 4) for i in range(4)], "v2.1")
    name = f"videos/chunk-000/{CAMERA}/episode_000002.mp4"
    shutil.copy(tmp_path / "short" / name, tmp_path / "whole" / name)
    with pytest.raises(InputError, match="no frame at 0.800 s, after 4 that were there.*expected 12 frames"):
        LeRobot(tmp_path / "whole", SIZE).load("episode-000002")


def test_only_the_needed_part_of_a_shared_video_is_decoded(tmp_path):
    """Damage in the pictures of the last episode is out of the others' way."""
    export(tmp_path / "d", EPISODES)
    video = next((tmp_path / "d").rglob("*.mp4"))
    whole, content = LeRobot(tmp_path / "d", SIZE), bytearray(video.read_bytes())
    before = [whole.load(f"episode-{i:06d}").frames for i in range(3)]
    end = content.index(b"moov") - 4  # the pictures lie before the index, in order
    content[end - 400 : end] = b"\xff" * 400
    video.write_bytes(content)
    for i in range(3):
        np.testing.assert_array_equal(LeRobot(tmp_path / "d", SIZE).load(f"episode-{i:06d}").frames, before[i])
    with pytest.raises(InputError, match="episode-000003"):
        LeRobot(tmp_path / "d", SIZE).load("episode-000003")


def test_rows_that_are_missing_or_ragged_are_an_error(copy):
    import pyarrow as pa

    entry = LeRobot(copy, SIZE)._entries["episode-000001"]
    table = pq.read_table(entry.table)
    lost = np.array(table["episode_index"]) != 1
    lost[0 if lost.all() else np.argmin(lost)] = True  # one of its rows stays
    ragged = [row[: 7 - (i % 2)] for i, row in enumerate(table["action"].to_pylist())]
    at = table.schema.get_field_index("action")
    for damaged, text in ((table.filter(pa.array(lost)), "found 1 rows; expected one for each of 5 frames"),
                          (table.set_column(at, "action", pa.array(ragged)), "cannot be read"),
                          (table.drop(["action"]), "cannot be read")):
        pq.write_table(damaged, entry.table)
        with pytest.raises(InputError, match=f"{entry.table}, episode 1.*{text}"):
            LeRobot(copy, SIZE).load("episode-000001")


def edit_info(folder, change):
    path = folder / "meta/info.json"
    info = json.loads(path.read_text())
    change(info)
    path.write_text(json.dumps(info))


def test_what_cannot_be_served_is_said_at_once(copy):
    with pytest.raises(InputError, match=f"no camera 1 among {CAMERA}"):
        LeRobot(copy, camera=1)
    assert LeRobot(copy, camera=CAMERA).fingerprint == LeRobot(copy).fingerprint
    edit_info(copy, lambda info: info["features"].pop(STATE))
    with pytest.raises(InputError, match=f"no camera 'left' among {CAMERA}; no {STATE} among .*timestamp"):
        LeRobot(copy, camera="left")
    edit_info(copy, lambda info: info["features"]["action"].update(shape=[2, 7]))
    with pytest.raises(InputError, match=r"action of shape \[2, 7\], not \[d\].*a row of numbers each"):
        LeRobot(copy)
    edit_info(copy, lambda info: info.update(codebase_version="v1.6"))
    with pytest.raises(InputError, match="found 'v1.6'; expected one of v2.1, v3.0"):
        LeRobot(copy)
    (copy / "meta/info.json").write_text("{")
    with pytest.raises(InputError, match="info.json.*Is it the folder of a LeRobot dataset"):
        LeRobot(copy)
    with pytest.raises(InputError, match="no description of a dataset"):
        LeRobot(copy / "nowhere")


@pytest.mark.parametrize("size", [1, 2, 14])
def test_actions_may_have_any_size(tmp_path, size):
    episode = shape(0, 6)
    actions = np.random.default_rng(0).normal(size=(6, size)).astype(np.float32)
    export(tmp_path / "own", [replace(episode, actions=actions)])
    np.testing.assert_array_equal(LeRobot(tmp_path / "own").load("episode-000000").actions, actions)


def lines_of(copy, change):
    """Changes each row of the episodes' metadata."""
    import pyarrow as pa

    jsonl = copy / "meta/episodes.jsonl"
    if jsonl.exists():
        rows = [json.loads(line) for line in jsonl.read_text().splitlines()]
        jsonl.write_text("".join(json.dumps(change(i, row) or row) + "\n" for i, row in enumerate(rows)))
    for file in (copy / "meta/episodes").rglob("*.parquet"):
        rows = pq.read_table(file).to_pylist()
        pq.write_table(pa.Table.from_pylist([change(i, row) or row for i, row in enumerate(rows)]), file)


OUTSIDE = {
    "an attribute": "{video_key.__class__}.mp4", "another field": "{x.foo}", "an index": "{video_key[0]}",
    "a conversion": "{video_key!r}", "a width": "{episode_index:9999999999d}", "no field": "{", "by place": "{}/{0}",
    "the folder above": "../../{video_key}", "an absolute path": "/etc/passwd", "NUL": "a\0b", "empty": "",
    "a number": 7, "nothing": None, "too long": "a" * 5000, "many fields": "{video_key}" * 80,
}


@pytest.mark.parametrize("template", OUTSIDE.values(), ids=OUTSIDE)
def test_a_template_leads_into_the_folder_or_is_refused(copy, template):
    for name in ("video_path", "data_path"):
        whole = (copy / "meta/info.json").read_bytes()
        edit_info(copy, lambda info: info.update({name: template}))  # noqa: B023
        with pytest.raises(InputError, match=f"info.json, {name}: found .*expected a path in the folder"):
            LeRobot(copy, SIZE)
        (copy / "meta/info.json").write_bytes(whole)


def test_links_lead_into_the_folder_or_to_the_blobs_of_a_hubs_cache(copy, tmp_path):
    entry = LeRobot(copy, SIZE)._entries["episode-000001"]
    before = LeRobot(copy, SIZE).load("episode-000001").frames
    outside = tmp_path / "outside.mp4"
    entry.video.rename(outside)
    entry.video.symlink_to(outside)
    with pytest.raises(InputError, match="mp4: found a link to .*outside.mp4; expected a file in"):
        LeRobot(copy, SIZE).load("episode-000001")
    snapshot = tmp_path / "cached" / "snapshots" / "0a1b"
    snapshot.parent.mkdir(parents=True)
    (tmp_path / "cached" / "blobs").mkdir()
    copy.rename(snapshot)
    blob = outside.rename(tmp_path / "cached" / "blobs" / "ff")
    moved = snapshot / entry.video.relative_to(copy)
    moved.unlink()
    moved.symlink_to(blob)
    np.testing.assert_array_equal(LeRobot(snapshot, SIZE).load("episode-000001").frames, before)


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_only_regular_files_are_opened(copy, kind):
    entry = LeRobot(copy, SIZE)._entries["episode-000001"]
    for file in (entry.video, entry.table):
        file.unlink()
        {"pipe": os.mkfifo, "device": lambda f: f.symlink_to("/dev/zero"), "folder": Path.mkdir}[kind](file)
        source = LeRobot(copy, SIZE)
        assert source.fingerprint
        with pytest.raises(InputError, match=f"a {kind}, not a file|a link to /dev/zero"):
            source.load("episode-000001")
    (copy / "meta/info.json").unlink()
    os.mkfifo(copy / "meta/info.json")
    with pytest.raises(InputError, match="a pipe, not a file"):
        LeRobot(copy, SIZE)


ROWS = {
    "a length beyond all": (lambda i, row: row.update(length=10**8) if i == 1 else None, "a length of 100000000"),
    "no frames": (lambda i, row: row.update(length=0) if i == 1 else None, "a length of 0"),
    "NUL in a task": (lambda i, row: row.update(tasks=["a\0"]) if i == 1 else None, "NUL"),
}


@pytest.mark.parametrize("change, found", ROWS.values(), ids=ROWS)
def test_bad_metadata_of_an_episode_are_its_own_error(copy, change, found):
    if copy.joinpath("meta/episodes").exists() and len(list((copy / "meta/episodes").rglob("*.parquet"))) != 1:
        pytest.skip("rows in several files")
    lines_of(copy, change)
    source, errors = LeRobot(copy, SIZE), {}
    assert len(list(source.infos(errors.setdefault))) == len(LENGTHS) - 1
    assert found in str(errors["episode-000001"])
    with pytest.raises(InputError):
        list(source.infos())
    with pytest.raises(InputError):
        source.load("episode-000001")


@pytest.mark.parametrize("change", [
    {"chunks_size": 0}, {"chunks_size": -1}, {"chunks_size": True}, {"fps": 0}, {"fps": float("inf")}, {"fps": "5"},
    {"fps": float("nan")}, {"features": []}, {"features": {"action": 3}}, {"codebase_version": ["v2.1"]},
    {"features": {"action": {"dtype": "float32", "shape": 7}}}, {"features": {"action": {"dtype": None}}}])
def test_a_bad_description_is_one_error(tmp_path, change):
    export(tmp_path / "d", EPISODES[:1], "v2.1")
    edit_info(tmp_path / "d", lambda info: info.update(change))
    with pytest.raises(InputError):
        LeRobot(tmp_path / "d", SIZE)
    for text in ("[" * 100_000, '{"fps": ' + "9" * 5000 + "}", "\ud800", "null"):
        (tmp_path / "d/meta/info.json").write_text(text, errors="surrogatepass")
        with pytest.raises(InputError, match="info.json"):
            LeRobot(tmp_path / "d", SIZE)


def test_two_episodes_of_one_index_are_an_error(copy):
    lines_of(copy, lambda i, row: row.update(episode_index=0))
    with pytest.raises(InputError, match="several episodes of one index"):
        LeRobot(copy, SIZE)


def test_infinite_states_are_found_at_load(copy):
    import pyarrow as pa

    entry = LeRobot(copy, SIZE)._entries["episode-000001"]
    table = pq.read_table(entry.table)
    states = table[STATE].to_pylist()
    states[-1][0] = float("inf")
    at = table.schema.get_field_index(STATE)
    pq.write_table(table.set_column(at, STATE, pa.array(states, table.schema.field(STATE).type)), entry.table)
    last = max(i for i in table["episode_index"].to_pylist())
    with pytest.raises(InputError, match=f"episode-00000{last}: found infinite observations"):
        LeRobot(copy, SIZE).load(f"episode-{last:06d}")


def test_a_table_that_unfolds_is_held_to_a_limit(tmp_path):
    """Ten million rows of one value are a few kB; an episode has no more than its length."""
    import pyarrow as pa

    export(tmp_path / "d", EPISODES[:1], "v2.1")
    file = LeRobot(tmp_path / "d", SIZE)._entries["episode-000000"].table
    row = pq.read_table(file).slice(0, 1)
    n = 1_000_000
    same = {name: pa.DictionaryArray.from_arrays(pa.array(np.zeros(n, np.int8)), pa.array(row[name].to_pylist()[:1]))
            if not pa.types.is_list(row.schema.field(name).type)
            and not pa.types.is_fixed_size_list(row.schema.field(name).type)
            else pa.FixedSizeListArray.from_arrays(
                pa.array(np.zeros(n * len(row[name].to_pylist()[0]), np.float32)), len(row[name].to_pylist()[0]))
            for name in row.column_names}
    pq.write_table(pa.table(same), file)
    with pytest.raises(InputError, match="episode 0: found [0-9]+ rows; expected one for each of 9 frames"):
        LeRobot(tmp_path / "d", SIZE).load("episode-000000")


def test_damaged_metadata_are_an_error(copy):
    for file in (copy / "meta").rglob("episodes*"):
        if file.name == "episodes.jsonl":
            file.write_text("{}\n")
    for file in (copy / "meta").rglob("file-000.parquet"):
        file.write_bytes(b"PAR1")
    with pytest.raises(InputError, match="meta: found what its reader fails at"):
        LeRobot(copy)


def test_an_unknown_episode_is_an_error(folder):
    with pytest.raises(InputError, match="episode-000000 to episode-000003"):
        LeRobot(folder).load("episode-000004")


def test_the_fingerprint_follows_the_content(folder, copy):
    before = LeRobot(folder, SIZE).fingerprint
    assert LeRobot(copy, SIZE).fingerprint == before != LeRobot(copy, 32).fingerprint
    video = LeRobot(copy, SIZE)._entries["episode-000003"].video
    video.write_bytes(video.read_bytes()[:-1] + b"\1")
    assert LeRobot(copy, SIZE).fingerprint != before


def test_wide_pictures_are_cut_to_their_centre(tmp_path):
    frames = np.zeros((4, 32, 64, 3), np.uint8)
    frames[:, :, :16], frames[:, :, 16:48], frames[:, :, 48:] = (200, 0, 0), (0, 200, 0), (0, 0, 200)
    export(tmp_path / "wide", [Episode("e", frames, np.ones((4, 7), np.float32), np.zeros((4, 2), np.float32), "")])
    back = LeRobot(tmp_path / "wide", 16).load("episode-000000").frames
    assert back.shape == (4, 16, 16, 3)
    assert np.abs(back[:, 2:-2, 2:-2] - np.array([0, 200.0, 0])).max() < 12


def test_a_robot_that_never_moves_is_refused(tmp_path):
    frames = np.zeros((4, 32, 32, 3), np.uint8)
    export(tmp_path / "still", [Episode("e", frames, np.zeros((4, 7), np.float32), np.zeros((4, 2), np.float32), "")])
    with pytest.raises(InputError, match="zero actions in all 3 steps"):
        LeRobot(tmp_path / "still", 16).load("episode-000000")


def test_pictures_in_the_table_are_read_exactly(copy):
    """Datasets without video keep PNGs in the table."""
    import pyarrow as pa

    edit_info(copy, lambda info: info["features"][CAMERA].update(dtype="image"))
    for file in {e.table for e in LeRobot(copy, SIZE)._entries.values()}:
        table = pq.read_table(file)
        cells = []
        for i, t in zip(*(table[k].to_pylist() for k in ("episode_index", "frame_index")), strict=True):
            _, png = cv2.imencode(".png", EPISODES[i].frames[t][..., ::-1])
            cells.append({"bytes": png.tobytes() if (i, t) != (3, 2) else b"x", "path": None})
        pq.write_table(table.append_column(CAMERA, pa.array(cells)), file)
    shutil.rmtree(copy / "videos")
    source = LeRobot(copy, SIZE)
    np.testing.assert_array_equal(source.load("episode-000001").frames, EPISODES[1].frames)
    with pytest.raises(InputError, match="episode-000003.*do not decode"):
        source.load("episode-000003")


def test_a_failing_export_leaves_nothing(tmp_path):
    def breaks():
        yield EPISODES[0]
        raise RuntimeError("disk unplugged")

    odd = shape(0, 4, 33, 64)
    other = Episode("o", EPISODES[0].frames, EPISODES[0].actions, EPISODES[0].observations[:, :1], "")
    for episodes, error, text in ((breaks(), RuntimeError, "unplugged"), ([odd], InputError, "even height and width"),
                                  ([EPISODES[0], other], InputError, r"observations of \(1,\) a frame"),
                                  ([], InputError, "no episodes")):
        for version in VERSIONS:
            with pytest.raises(error, match=text):
                export(tmp_path / "out", episodes, version)
            episodes = breaks() if error is RuntimeError else episodes
    with pytest.raises(InputError, match="v2.1, v3.0"):
        export(tmp_path / "out", EPISODES, "v1.0")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "mine").mkdir()
    with pytest.raises(InputError, match="does not exist yet"):
        export(tmp_path / "mine", EPISODES)


def test_without_the_packages_the_error_says_what_to_install(folder, monkeypatch, tmp_path):
    def absent(name):
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(lerobot_meta, "import_module", absent)
    for call in (lambda: LeRobot(folder), lambda: export(tmp_path / "out", EPISODES)):
        with pytest.raises(InputError, match=r"no pyarrow.*pip install 'lewm-core\[lerobot\]'"):
            call()


def test_a_video_of_too_many_pixels_is_refused_before_a_frame_is_decoded(tmp_path):
    export(tmp_path / "d", EPISODES[:1], "v2.1")
    video = LeRobot(tmp_path / "d", SIZE)._entries["episode-000000"].video
    wide, high = 16384, 1040  # a little more than allowed
    with av.open(str(video), "w") as out:
        stream = out.add_stream("png", 5)
        stream.width, stream.height, stream.pix_fmt = wide, high, "rgb24"
        for packet in (*stream.encode(av.VideoFrame(wide, high, "rgb24")), *stream.encode()):
            out.mux(packet)
    with pytest.raises(InputError, match="episode-000000: found (a video that cannot be read|a picture of 16384 x)"):
        LeRobot(tmp_path / "d", SIZE).load("episode-000000")
    video.write_text("#EXTM3U\n#EXTINF:1,\n/etc/passwd\n")  # a playlist
    with pytest.raises(InputError, match="a video that cannot be read after 0 frames"):
        LeRobot(tmp_path / "d", SIZE).load("episode-000000")
