"""Files that a person may edit, the digests by which a change is told, and what may be opened."""

import os
import socket

import pandas as pd
import pytest

from lewm_core.utils.errors import InputError
from lewm_core.utils.files import edited, ends_of, note_written, regular, write_csv
from tests.hostile import TEXTS


def test_an_edited_file_is_told_from_ours(tmp_path):
    path = tmp_path / "selection.csv"
    assert not edited(path)
    for text in ("one", "two"):
        path.write_text(text)
        note_written(path)
        assert not edited(path)
    path.write_text("two, changed")
    assert edited(path)
    note_written(path)
    assert not edited(path)
    path.unlink()
    assert not edited(path)
    mine = tmp_path / "mine.csv"
    mine.write_text("brought along")
    assert edited(mine)


def test_the_ends_of_a_file(tmp_path):
    path = tmp_path / "ten"
    path.write_bytes(b"0123456789")
    assert ends_of(path, 3) == (b"012", b"789")
    assert ends_of(path, 99) == (b"0123456789", b"0123456789")


def test_only_a_regular_file_may_be_opened(tmp_path):
    file = tmp_path / "file"
    file.write_bytes(b"0123456789")
    (tmp_path / "link").symlink_to(file)
    assert regular(str(file)) == file and regular(tmp_path / "link", 10) == tmp_path / "link"
    with pytest.raises(InputError, match="file: found 10 bytes; expected at most 9"):
        regular(file, 9)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    with socket.socket(socket.AF_UNIX) as listening:
        here = os.getcwd()
        os.chdir(tmp_path)  # a socket's address is short
        try:
            listening.bind("socket")
        finally:
            os.chdir(here)
        for path, found in (("pipe", "a pipe, not a file"), ("socket", "a socket, not a file"),
                            (".", "a folder, not a file"), ("/dev/zero", "a device, not a file"),
                            ("absent", "No such file"), ("file/below", "Not a directory"), ("loop", "symbolic links"),
                            ("a" * 10_000, "name too long"), ("nul\0", "null"), ("\ud800", "surrogates")):
            with pytest.raises(InputError, match=found):
                regular(tmp_path / path)


def test_a_table_comes_back_whatever_its_texts_hold(tmp_path):
    table = pd.DataFrame({"text": list(TEXTS.values())})
    table = table.assign(n=table.index, share=(table.index / 7).to_series().where(table.index > 3))
    write_csv(tmp_path / "t.csv", table)
    read = pd.read_csv(tmp_path / "t.csv", keep_default_na=False, na_values={"share": [""]})
    pd.testing.assert_frame_equal(read, table, check_dtype=False)
    plain = table[~table.text.str.contains("\r")]
    write_csv(tmp_path / "p.csv", plain)
    assert (tmp_path / "p.csv").read_text() == plain.to_csv(index=False), "others are written as pandas writes them"
