"""Files that a person may edit, and the digests by which a change is told."""

from lewm_core.utils.files import edited, ends_of, note_written


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
