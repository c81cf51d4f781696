"""A folder of recordings: what comes out of it, what is said to be missing, and what leads out of it or is damaged."""

import os
import shutil
import time
from importlib.util import find_spec

import numpy as np
import pytest

from lewm_core.runner import commands
from lewm_core.signals.pipeline import SourceSpec, packets
from lewm_core.sources import folder_check, folder_tables
from lewm_core.sources.episode import MOST_FRAMES
from lewm_core.sources.folder import Folder, pictures
from lewm_core.utils.errors import InputError
from tests.recordings import HEADER, LENGTHS, write_pictures, write_recordings, write_table, write_video

WITH_VIDEO = find_spec("av") is not None
needs_av = pytest.mark.skipif(not WITH_VIDEO, reason="av (extra lerobot) is not installed")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """The folder and the frames in it."""
    folder = tmp_path_factory.mktemp("own") / "recordings"
    return folder, write_recordings(folder, videos=WITH_VIDEO)


@pytest.fixture
def copy(recorded, tmp_path):
    """A copy, for a test to damage."""
    return shutil.copytree(recorded[0], tmp_path / "copy")


def rows_of(folder, i=0):
    return (folder / f"square{i}" / "actions.csv").read_text().splitlines()


def test_frames_and_numbers_come_out_as_they_went_in(recorded):
    folder, frames = recorded
    source = Folder(folder, 48)
    assert [(i.id, i.task, i.length) for i in source.infos()] == [
        (f"square{i}", f"push the square {i}", n) for i, n in enumerate(LENGTHS)]
    for i in reversed(range(len(LENGTHS))):  # any order
        episode = source.load(f"square{i}")
        middle = frames[i][:, :, 8:56]  # of 64 x 48 the square of 48
        if WITH_VIDEO and i % 2:
            assert np.abs(episode.frames.astype(int) - middle).mean() < 2
            assert np.abs(np.roll(episode.frames, 1, 0).astype(int) - middle)[1:].mean() > 3  # frame by frame
        else:
            np.testing.assert_array_equal(episode.frames, middle)
        lines = [line.split(",") for line in rows_of(folder, i)[1:]]
        np.testing.assert_array_equal(episode.actions, np.array([line[:2] for line in lines], np.float32))
        np.testing.assert_array_equal(episode.observations, np.array([line[3:] for line in lines], np.float32))
        assert episode.intrinsics is None


def test_signals_are_made_of_it_by_what_works_on_any_frames(recorded, tmp_path):
    spec = SourceSpec("folder", 1, 0, 32, str(recorded[0]))
    (episode, signals), = packets(spec, [i.id for i in spec.open().infos()], tmp_path, 1)
    assert signals.made_by["tracks"] == "classical" and signals.depth is None and episode.actions.shape == (9, 2)


def test_pictures_are_ordered_by_their_numbers(tmp_path):
    frames = np.full((12, 4, 4, 3), 0, np.uint8)
    frames[:] = np.arange(12)[:, None, None, None]
    write_pictures(tmp_path / "p", frames)  # im_0 … im_11, which as texts come in another order
    (tmp_path / "p" / "Thumbs.db").write_bytes(b"")
    (tmp_path / "p" / ".im_3.png").write_bytes(b"")
    assert [p.stem for p in pictures(tmp_path / "p")] == [f"im_{t}" for t in range(12)]


def test_the_fingerprint_knows_content_and_not_the_place(copy, tmp_path):
    before = Folder(copy, 32).fingerprint
    assert before == Folder(shutil.copytree(copy, tmp_path / "elsewhere"), 32).fingerprint
    assert before != Folder(copy, 16).fingerprint
    table = copy / "square2" / "actions.csv"
    table.write_text(table.read_text().replace("0.5", "0.6", 1))
    changed = Folder(copy, 32).fingerprint
    (copy / "square3" / "frames" / "im_0.png").unlink() if not WITH_VIDEO else (copy / "square3/video.mp4").unlink()
    assert len({before, changed, Folder(copy, 32).fingerprint}) == 3


BAD_ROWS = {
    "no columns": ([("name", "video")], ["no column episode", "no column frames", "no column actions"]),
    "semicolons": ([("episode;frames;actions",)], ["commas"]),
    "above": ([("e0", "../secret.mp4", "a.csv", "")], ["line 2", "'../secret.mp4'", "no path inside"]),
    "absolute": ([("e0", "v.mp4", "/etc/passwd", "")], ["'/etc/passwd'", "no path inside"]),
    "hidden above": ([("e0", "a/../../b", "a.csv", "")], ["no path inside"]),
    "no path": ([("e0", "", "a.csv", "")], ["frames '', which is no path"]),
    "backslash": ([("e0", "a\\b.mp4", "a.csv", "")], ["no path inside"]),
    "a name that is a path": ([("a/b", "v.mp4", "a.csv", "")], ["line 2", "no safe name of a file"]),
    "twice": ([("e0", "v.mp4", "a.csv", ""), ("e0", "w.mp4", "b.csv", "")], ["line 3", "'e0' twice"]),
    "cells": ([("e0", "v.mp4", "a.csv", ""), ("e1", "v.mp4")], ["line 3: 2 cells, not 4"]),
    "a long text": ([("e0", "v.mp4", "a.csv", "a" * 10_001)], ["line 2", "10,001 characters"]),
    "nothing": ([], ["no episodes"]),
}


@pytest.mark.parametrize("rows, words", BAD_ROWS.values(), ids=BAD_ROWS)
def test_a_bad_table_of_episodes_is_one_error(tmp_path, rows, words):
    header = [] if len(rows) == 1 and "e0" not in rows[0] and len(rows[0]) < 4 else [
        ("episode", "frames", "actions", "task")]
    write_table(tmp_path / "episodes.csv", [*header, *rows])
    with pytest.raises(InputError) as raised:
        Folder(tmp_path)
    assert all(word in str(raised.value) for word in [*words, "episodes.csv"]), raised.value


def test_all_that_is_wrong_with_it_is_told_at_once(tmp_path):
    rows = [(f"e{i}", f"../{i}", "a.csv", "") for i in range(30)]
    write_table(tmp_path / "episodes.csv", [("episode", "frames", "actions", "task"), *rows])
    with pytest.raises(InputError, match=r"line 2: .*line 21: .* and 10 more"):
        Folder(tmp_path)


@pytest.mark.parametrize("content, words", [
    (b"\xff\xfe\x00e", "no UTF-8"), (b'episode,frames,actions\n"e0', "episodes.csv, line"),
    (b"", "no column episode"), (None, "No such file"),
])
def test_what_is_no_table_is_an_error(tmp_path, content, words):
    if content is not None:
        (tmp_path / "episodes.csv").write_bytes(content)
    with pytest.raises(InputError, match=words):
        Folder(tmp_path)


def test_pipes_are_not_waited_for(copy):
    start = time.monotonic()
    (copy / "square0" / "actions.csv").unlink()
    os.mkfifo(copy / "square0" / "actions.csv")
    os.mkfifo(copy / "square2" / "frames" / "im_8.png")
    index = (copy / "episodes.csv").read_text()
    os.mkfifo(copy / "pipe.mp4")
    (copy / "episodes.csv").write_text(index + "piped,pipe.mp4,square2/actions.csv,\n")
    bad = {}
    source = Folder(copy, 32)
    assert source.fingerprint and len(list(source.infos(lambda id, error: bad.setdefault(id, str(error))))) == 4
    assert "a pipe, not a file" in bad["square0"]
    for id, words in (("square2", "9 frames|a pipe"), ("piped", "a pipe|no av")):
        with pytest.raises(InputError, match=words):
            source.load(id)
    os.remove(copy / "episodes.csv")
    os.mkfifo(copy / "episodes.csv")
    with pytest.raises(InputError, match="a pipe, not a file"):
        Folder(copy)
    assert time.monotonic() - start < 20


def test_links_lead_to_nothing_outside(copy, tmp_path):
    outside = tmp_path / "outside"
    shutil.copytree(copy / "square0", outside)
    for place in ("square0/actions.csv", "square2/frames"):
        target = copy / place
        shutil.rmtree(target) if target.is_dir() else target.unlink()
        target.symlink_to(outside / target.name)
    picture = next((copy / "square0" / "frames").iterdir())
    source, bad = Folder(copy, 32), {}
    list(source.infos(lambda id, error: bad.setdefault(id, str(error))))
    assert "a link to" in bad["square0"]
    with pytest.raises(InputError, match="a link to"):
        source.load("square2")
    (copy / "square0" / "actions.csv").unlink()
    shutil.copy(outside / "actions.csv", copy / "square0" / "actions.csv")
    picture.unlink()
    picture.symlink_to(outside / "frames" / picture.name)
    with pytest.raises(InputError, match="a link to"):
        source.load("square0")
    (copy / "square0" / "actions.csv").unlink()
    (copy / "square0" / "actions.csv").symlink_to("actions.csv")  # to itself
    with pytest.raises(InputError, match="cannot be read"):
        source.load("square0")


CELLS = {"empty": "", "a word": "left", "nan": "nan", "infinite": "inf", "too large": "1e39", "underscore": "1_0",
         "a comma as point": '"0,5"'}


@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
def test_a_cell_that_is_no_number_is_named(copy, cell):
    lines = rows_of(copy)
    lines[3] = ",".join([cell, *lines[3].split(",")[1:]])
    (copy / "square0" / "actions.csv").write_text("\n".join(lines))
    with pytest.raises(InputError, match=r"actions.csv, line 4, column action_x: found .* a finite number"):
        Folder(copy).load("square0")


@pytest.mark.parametrize("change, words", [
    (lambda rows: rows[:-1], "9 frames; expected 8: actions.csv has a row for each"),
    (lambda rows: [*rows, rows[-1]], "9 frames; expected 10"),
    (lambda rows: rows[:1], "0 rows|no rows"),
    (lambda rows: ["x,y,z,a,b,c", *rows[1:]], "0 columns of actions"),
    (lambda rows: [rows[0], rows[1] + ",1", *rows[2:]], "line 2: found 7 cells"),
    (lambda rows: [rows[0], *["0,0" + row[row.index(",a note"):] for row in rows[1:]]], "zero actions in all 8 steps"),
])
def test_a_table_that_does_not_fit_its_frames_is_an_error(copy, change, words):
    (copy / "square0" / "actions.csv").write_text("\n".join(change(rows_of(copy))))
    with pytest.raises(InputError, match=words):
        Folder(copy).load("square0")


def test_sizes_are_checked_before_frames_are_read(copy):
    lines = rows_of(copy)
    (copy / "square0" / "actions.csv").write_text("\n".join([lines[0], *lines[1:2] * (MOST_FRAMES + 1)]))
    bad = {}
    assert len(list(Folder(copy).infos(lambda id, error: bad.setdefault(id, str(error))))) == 3
    assert "20,001 rows; expected 1 to 20,000" in bad["square0"]
    with pytest.raises(InputError, match="more than 20,000 rows"):
        Folder(copy).load("square0")


@needs_av
def test_a_video_that_is_none_is_an_error(copy):
    video = copy / "square1" / "video.mp4"
    whole = video.read_bytes()
    for content in (whole[: len(whole) // 2], b"#EXTM3U\nfile:///etc/passwd\n", b""):
        video.write_bytes(content)
        with pytest.raises(InputError, match="square1"):
            Folder(copy).load("square1")
    (copy / "episodes.csv").write_text("episode,frames,actions\ne0,square0/actions.csv,square0/actions.csv\n")
    with pytest.raises(InputError, match=r"an .mp4 file or a folder of pictures"):
        Folder(copy).load("e0")


@needs_av
def test_a_video_of_another_length_is_an_error(copy, recorded):
    for frames, found in ((recorded[1][1][:-1], "6 frames"), (recorded[1][0], "more than 7 frames")):
        write_video(copy / "square1" / "video.mp4", frames)
        with pytest.raises(InputError, match=f"{found}; expected 7"):
            Folder(copy).load("square1")


def test_without_observations_each_frame_has_a_zero(copy):
    table = copy / "square0" / "actions.csv"
    write_table(table, [line.split(",")[:3] for line in table.read_text().splitlines()])
    np.testing.assert_array_equal(Folder(copy).load("square0").observations, np.zeros((9, 1), np.float32))
    assert HEADER[3] not in table.read_text()


def test_inspect_says_what_is_missing(copy, capsys):
    assert commands.main(["inspect", str(copy)]) == 0
    text = capsys.readouterr().out
    assert "kind: folder of recordings" in text and "episodes: 4" in text and "--set min_length=6" in text
    rows = (copy / "episodes.csv").read_text().splitlines()
    (copy / "episodes.csv").write_text("\n".join([rows[0], rows[1].rpartition(",")[0] + ",", *rows[2:]]) + "\n")
    (copy / "square2" / "actions.csv").unlink()
    shutil.rmtree(copy / "square0" / "frames")
    assert commands.main(["inspect", str(copy)]) == 1
    text = capsys.readouterr().out
    assert "square0: " in text and "square2: " in text and "usable: False" in text
    assert "require_task: false" in text


def test_inspect_helps_where_there_is_no_table(copy):
    (copy / "episodes.csv").unlink()
    report = folder_check.report(str(copy))
    assert not report["usable"] and "no episodes.csv" in report["problems"][0]
    begin = report["episodes.csv could begin"]
    text = "\n".join(begin.values()).replace("frames.csv", "actions.csv").replace("video.csv", "actions.csv")
    (copy / "episodes.csv").write_text(text)
    assert [len(Folder(copy, 32).load(f"episode{i:03d}").frames) for i in range(3)] == list(LENGTHS[:3])


def test_no_more_episodes_than_can_be_held(tmp_path, monkeypatch):
    monkeypatch.setattr(folder_tables, "MOST_EPISODES", 3)
    rows = [(f"e{i}", "v.mp4", "a.csv") for i in range(5)]
    write_table(tmp_path / "episodes.csv", [("episode", "frames", "actions"), *rows])
    with pytest.raises(InputError, match="more than 3 episodes"):
        Folder(tmp_path)
