"""SHA256SUMS: what we wrote is told from what was damaged since."""

import os
import subprocess

import pytest

from lewm_core.utils import sealed
from lewm_core.utils.errors import InputError
from lewm_core.utils.files import replacing, write_json
from lewm_core.utils.sealed import SUMS, Damaged


def write(path, text):
    with replacing(path, seal=True) as temporary:
        temporary.write_text(text)


def test_every_flipped_bit_is_told_and_the_file_named(tmp_path):
    path = tmp_path / "a table.csv"
    write(path, "x\n1\n")
    assert sealed.check(path) == path
    whole = path.read_bytes()
    for bit in range(8 * len(whole)):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        with pytest.raises(Damaged, match="a table.csv"):
            sealed.check(path)
    path.write_bytes(b"")
    with pytest.raises(InputError):
        sealed.check(path)
    path.write_bytes(whole)
    sealed.check(path)


def test_the_list_is_what_sha256sum_reads(tmp_path):
    write(tmp_path / "a.csv", "a")
    write(tmp_path / "ü.csv", "b")
    subprocess.run(["sha256sum", "--check", "--strict", SUMS], cwd=tmp_path, check=True, capture_output=True)


def test_an_interrupted_write_leaves_a_file_that_is_known(tmp_path, monkeypatch):
    path = tmp_path / "table.csv"
    write(path, "before")
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            write(path, "after")
    assert sealed.check(path).read_text() == "before"
    write(path, "after")
    assert sealed.check(path).read_text() == "after"
    assert sorted(p.name for p in tmp_path.iterdir()) == [SUMS, "table.csv"]


def test_the_same_content_adds_no_line_and_a_torn_line_is_none(tmp_path):
    path = tmp_path / "table.csv"
    for _ in range(3):
        write(path, "same")
    assert len((tmp_path / SUMS).read_text().splitlines()) == 1
    with open(tmp_path / SUMS, "a") as f:
        f.write("0123abc  other")  # a power cut
    write(path, "new")
    assert sealed.check(path) and sealed.sums(tmp_path)["table.csv"] == {
        sealed.file_sum(path), (tmp_path / SUMS).read_text()[:64]}


def test_files_of_others_are_not_compared(tmp_path):
    (tmp_path / "mine.csv").write_text("mine")
    write_json(tmp_path / "plain.json", {})
    assert sealed.check(tmp_path / "mine.csv") and sealed.check(tmp_path / "plain.json")
    assert not (tmp_path / SUMS).exists() and list(sealed.problems(tmp_path)) == []


def test_a_folder_is_compared_as_a_whole(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
    sealed.note_folder(tmp_path)
    sealed.check_folder(tmp_path)
    (tmp_path / "notes by hand").write_text("mine")
    sealed.check_folder(tmp_path)
    (tmp_path / "b").write_text("c")
    (tmp_path / "a").unlink()
    assert [(path.name, found) for path, found in sealed.problems(tmp_path)] == [
        ("a", "no such file"), ("b", "another content than was written")]
    with pytest.raises(Damaged, match="no such file"):
        sealed.check_folder(tmp_path)


def terabytes(path):
    path.touch()
    os.truncate(path, 2**41)


@pytest.mark.parametrize("make", [lambda path: path.symlink_to(path), lambda path: path.mkdir(), terabytes],
                         ids=["own link", "folder", "terabytes"])
def test_a_list_that_is_none_is_a_problem_and_is_not_read(tmp_path, make):
    make(tmp_path / SUMS)
    assert sealed.sums(tmp_path) == {}
    assert list(sealed.problems(tmp_path)) == [(tmp_path / SUMS, "no line that can be read")]
    with pytest.raises(Damaged, match="Move it away"):
        write(tmp_path / "a.csv", "a")
    assert not (tmp_path / "a.csv").exists()


def test_every_flipped_bit_of_a_whole_folder_s_list_is_told(tmp_path):
    (tmp_path / "a.csv").write_text("a")
    (tmp_path / "b.csv").write_text("b")
    sealed.note_folder(tmp_path)
    sealed.check_folder(tmp_path)
    whole = (tmp_path / SUMS).read_bytes()
    for bit in range(8 * len(whole)):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        (tmp_path / SUMS).write_bytes(flipped)
        with pytest.raises(Damaged):
            sealed.check_folder(tmp_path)
