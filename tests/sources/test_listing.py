"""Folders are listed once each, wherever links lead, and their names become ids and names again."""

import os
import time
from pathlib import Path

import numpy as np
import pytest

from lewm_core.sources.bridge_numpy import BridgeNumpy
from lewm_core.sources.bridge_raw import BridgeRaw
from lewm_core.sources.listing import as_id, as_path, folders, number_in
from lewm_core.utils.errors import InputError
from tests.bridge_fixtures import RAW, trajectory_folder, write, write_raw


def test_links_in_a_circle_end(tmp_path):
    for i in range(12):
        (tmp_path / f"f{i}").mkdir()
    for i in range(12):
        for j in range(12):
            (tmp_path / f"f{i}" / f"to{j}").symlink_to(tmp_path / f"f{j}")
    (tmp_path / "itself").symlink_to("itself")
    start = time.process_time()
    assert len(list(folders(tmp_path))) == 13 and time.process_time() - start < 5
    assert list(folders(tmp_path / "absent")) == [tmp_path / "absent"]


@pytest.mark.parametrize("name", [b"plain", b"a~b", b"\xff\xfe", "é\u202e".encode(), b"$x^{<script>"])
def test_every_name_is_an_id_and_back(tmp_path, name):
    folder = Path(os.fsdecode(name)) / "raw"
    id = as_id(folder)
    assert as_path(id) == folder and id.isascii() and "/" not in id
    made = write_raw(tmp_path / os.fsdecode(name) / trajectory_folder(Path(), 0), RAW)
    source = BridgeRaw(tmp_path, 8)
    info, = source.infos()
    info.id.encode()
    assert len(source.load(info.id).frames) == 4 and made.is_dir()


def test_a_number_of_many_digits_is_none():
    assert number_in("0" * 5000) == number_in("9" * 5000) == -1 and number_in("0007") == 7


def test_pipes_in_place_of_files(tmp_path):
    """None of them is opened, which would take for ever."""
    folder = write_raw(trajectory_folder(tmp_path / "raw"), RAW)
    for name in ("obs_dict.pkl", "policy_out.pkl"):
        (folder / name).unlink()
        os.mkfifo(folder / name)
    (folder / "lang.txt").unlink()
    os.mkfifo(folder / "lang.txt")
    source, errors = BridgeRaw(tmp_path / "raw", 8), {}
    assert list(source.infos(errors.setdefault)) == [] and source.fingerprint
    assert "a pipe, not a file" in str(*errors.values())
    numpy_folder = tmp_path / "numpy" / "task" / "00" / "train"
    numpy_folder.mkdir(parents=True)
    os.mkfifo(numpy_folder / "out.npy")
    assert list(BridgeNumpy(tmp_path / "numpy", 8).infos()) == []
    shard, = write(tmp_path / "rlds", [[b"x"]])
    shard.unlink()
    os.mkfifo(shard)
    from lewm_core.sources.bridge import open_bridge

    with pytest.raises(InputError, match="expected one of"):
        open_bridge(tmp_path / "rlds", 8)


def test_an_id_that_is_too_long_is_that_episodes_error(tmp_path):
    deep = tmp_path / ("a" * 120) / ("b" * 120)
    write_raw(trajectory_folder(deep, 0), RAW)
    write_raw(trajectory_folder(tmp_path / "short", 0), RAW)
    errors = {}
    assert len(list(BridgeRaw(tmp_path, 8).infos(errors.setdefault))) == 1
    assert "an id of" in str(*errors.values()) and np.all(len(errors) == 1)
