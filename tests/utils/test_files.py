"""Files that a person may edit, the digests by which a change is told, and what may be opened."""

import errno
import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lewm_core.utils import sealed
from lewm_core.utils.errors import InputError
from lewm_core.utils.files import (
    FullDisk,
    edited,
    ends_of,
    identity,
    note_written,
    regular,
    replacing,
    temporary_folder,
    write_csv,
)
from lewm_core.utils.sealed import SUMS
from lewm_core.utils.temporary import sweep, temporary_name
from tests.hostile import TEXTS


def test_what_has_no_end_is_not_read_for_a_digest(tmp_path):
    endless = tmp_path / "selection.csv"
    endless.symlink_to("/dev/zero")
    endless.with_name(".selection.csv.written").write_text("0")
    with pytest.raises(InputError, match="a device, not a file"):
        edited(endless)


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
    note_written(mine)
    (tmp_path / ".mine.csv.written").write_bytes(b"\xff\xfe")
    assert edited(mine), "of whom nobody knows is not overwritten"


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
# --- writing: nothing half-written, permissions, a full disk, network drives


def writers():
    import h5py
    import torch
    from matplotlib.figure import Figure
    from PIL import Image
    from safetensors.torch import save_file

    figure = Figure((1, 1))
    return {
        "safetensors": lambda path: save_file({"x": torch.zeros(9)}, path),
        "npz": lambda path: np.savez(path, x=np.zeros(9)),
        "h5": lambda path: h5py.File(path, "w").close(),
        "png": figure.savefig,
        "gif": lambda path: Image.new("RGB", (2, 2)).save(path),
        "pt": lambda path: torch.save({"x": torch.zeros(9)}, path),
        "csv": pd.DataFrame({"x": [1]}).to_csv,
        "txt": lambda path: path.write_text("x"),
    }


@pytest.mark.parametrize("mask", [0o022, 0o027, 0o077, 0o002])
def test_every_library_s_files_get_the_permissions_of_a_new_file(tmp_path, mask):
    before = os.umask(mask)
    try:
        for suffix, write in writers().items():
            with replacing(tmp_path / f"file.{suffix}", seal=True) as temporary:
                write(temporary)
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == dict.fromkeys([*(f"file.{suffix}" for suffix in writers()), SUMS], 0o666 & ~mask)


def test_content_reaches_the_disk_before_its_name_does(tmp_path, monkeypatch):
    done, real = [], (os.fsync, os.replace)
    monkeypatch.setattr(os, "fsync", lambda fd: (done.append(os.readlink(f"/proc/self/fd/{fd}")), real[0](fd)))
    monkeypatch.setattr(os, "replace", lambda a, b: (done.append(f"rename {Path(b).name}"), real[1](a, b)))
    with replacing(tmp_path / "a.csv") as temporary:
        temporary.write_text("x")
    assert done == [str(temporary), "rename a.csv", str(tmp_path)]


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), OSError(errno.EDQUOT, "quota"),
                                   RuntimeError("I/O error: No space left on device (os error 28)")])
def test_a_full_disk_is_named_and_nothing_half_written_stays(tmp_path, error):
    path = tmp_path / "table.csv"
    path.write_text("before")
    with pytest.raises(FullDisk, match="table.csv: found no room"), replacing(path) as temporary:
        temporary.write_text("half")
        raise error
    with pytest.raises(FullDisk, match="run: found no room"), temporary_folder(tmp_path / "run") as folder:
        (folder / "half").write_text("half")
        raise error
    assert [p.name for p in tmp_path.iterdir()] == ["table.csv"] and path.read_text() == "before"


def test_a_rename_that_fails_as_on_a_network_drive_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "table.csv"
    write_csv(path, pd.DataFrame({"x": [1]}))

    def stale(*_):
        raise OSError(errno.ESTALE, "Stale file handle")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", stale)
        with pytest.raises(OSError, match="Stale"):
            write_csv(path, pd.DataFrame({"x": [2]}))
    assert pd.read_csv(sealed.check(path)).x.tolist() == [1] and len(list(tmp_path.iterdir())) == 2


def test_what_a_killed_process_left_is_swept_and_a_living_ones_is_not(tmp_path):
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    (tmp_path / "inside").mkdir()
    machine = "-".join(temporary_name(Path("x")).name.split("-")[1:])
    left = [f".figure1.{gone.pid}-{machine}.png", f".0123456789abcdef.{gone.pid}-{machine}", f".old.{gone.pid}.csv",
            f"inside/.a.{gone.pid}-{machine}.npz"]
    kept = [f".figure1.{os.getpid()}-{machine}.png", f".figure1.{gone.pid}-000000-0.png", ".selection.csv.written",
            ".dataset.h5.0123456789012345.parts", f"figure.{gone.pid}.png", "table.csv"]
    for name in (*left, *kept):
        if name.endswith(("parts", f"cdef.{gone.pid}-{machine}")):
            (tmp_path / name).mkdir()
            (tmp_path / name / "1.npz").write_text("x")
        else:
            (tmp_path / name).write_text("x")
    assert sweep(tmp_path, of="figure1.png", deep=False) == [tmp_path / left[0]]
    assert sorted(sweep(tmp_path)) == sorted(tmp_path / name for name in left[1:])
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([*kept, "inside"])


TWO = """
import os, sys
os.umask(int(sys.argv[2], 8))
from pathlib import Path
import numpy as np
from lewm_core.utils.arrays import read_arrays, write_arrays
from lewm_core.utils.files import write_csv
import pandas as pd
folder = Path(sys.argv[1])
for i in range(60):
    path = folder / f"{i % 5}.npz"
    found = read_arrays(path)
    assert found is None or (found[0]["x"] == i % 5).all()
    write_arrays(path, {"x": np.full(2000, i % 5)}, {})
    write_csv(folder / "table.csv", pd.DataFrame({"x": [i]}))
"""


@pytest.mark.slow
def test_two_processes_share_a_cache_folder(tmp_path):
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONWARNINGS": "error"}
    both = [subprocess.Popen([sys.executable, "-c", TWO, str(tmp_path), mask], env=env, stderr=subprocess.PIPE)
            for mask in ("022", "002")]
    for process in both:
        errors = process.communicate()[1].decode()
        assert process.returncode == 0, errors
    sealed.check(tmp_path / "table.csv")
    assert sorted(p.name for p in tmp_path.iterdir()) == [*(f"{i}.npz" for i in range(5)), SUMS, "table.csv"]


def test_a_file_that_was_replaced_is_another_whatever_the_clock_says(tmp_path):
    path = tmp_path / "data"
    seen = set()
    for text in ("one", "two"):
        with replacing(path) as temporary:
            temporary.write_text(text)
        os.utime(path, (2**33, 2**33))  # in the future, and always the same
        seen.add(identity(path))
    assert len(seen) == 2
