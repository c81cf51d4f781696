"""The seal of a dataset file: a changed bit is told, file and episode named, by whatever reads it."""

import random

import h5py
import numpy as np
import pytest

from lewm_core import dataset
from lewm_core.dataset import packing, seal
from lewm_core.utils.errors import InputError
from lewm_core.utils.files import FullDisk
from lewm_core.utils.sealed import Damaged
from tests.helpers import LENGTHS, moving_square, write_squares


@pytest.fixture
def path(tmp_path):
    return write_squares(tmp_path / "squares.h5")


def all_of(path):
    list(dataset.read_episodes(path))


READERS = [dataset.load, lambda path: dataset.load(path, 2), all_of]


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("column", ["pixels", "action", "depth", "task"])
def test_a_changed_value_names_file_and_episode(path, read, column):
    with h5py.File(path, "r+") as f:
        at = int(f["ep_offset"][1])
        f[column][at] = "another" if column == "task" else f[column][at] + 1
    with pytest.raises(Damaged, match="squares.h5, episode number 1: found another content"):
        read(path)
    assert dataset.damage(path) == ["episode number 1 another content than was written"]
    seal.remove(path)
    read(path)


@pytest.mark.parametrize("change", [
    lambda f: f.attrs.__setitem__("made", f.attrs["made"].replace("squares", "circles")),
    lambda f: f.attrs.__setitem__("digests_0", f.attrs["digests_0"][:-1] + "x"),
    lambda f: f.attrs.__delitem__("digests_0"),
    lambda f: f.attrs.__delitem__("sealed"),
    lambda f: f.attrs.__delitem__("made"),
])
def test_a_changed_attribute_is_told(path, change):
    with h5py.File(path, "r+") as f:
        change(f)
    for read in READERS:
        with pytest.raises(Damaged, match="squares.h5: found a seal, or attributes"):
            read(path)


def test_a_column_that_is_lost_is_told(path):
    with h5py.File(path, "r+") as f:
        f.move("depth", "depti")
    with pytest.raises(Damaged):
        dataset.load(path)


def test_many_episodes_have_several_attributes(tmp_path, monkeypatch):
    monkeypatch.setattr(seal, "BATCH", 2)
    path = write_squares(tmp_path / "squares.h5")
    with h5py.File(path) as f:
        assert sum(name.startswith("digests_") for name in f.attrs) == 3 and seal.read(path, f) == dataset.load(
            path).digests


@pytest.mark.slow
def test_no_flipped_bit_changes_what_is_read(path):
    whole, right, rng = path.read_bytes(), dataset.load(path), random.Random(0)
    told = 0
    for _ in range(80):
        bit = rng.randrange(8 * len(whole))
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        try:
            found = dataset.load(path)
        except InputError as error:
            told += 1
            assert str(path) in str(error)
            continue
        assert found.fingerprint == right.fingerprint, f"bit {bit}"
        for name in right.columns:
            np.testing.assert_array_equal(found[name], right[name], err_msg=f"bit {bit}")
    assert told > 10


def test_a_full_disk_is_named_and_keeps_the_parts(tmp_path, monkeypatch):
    path, ids = tmp_path / "squares.h5", [f"square{i}" for i in range(len(LENGTHS))]
    room, read = [30_000], packing.Opened.write

    def write(self, data):
        room[0] -= len(data)
        if room[0] < 0 and self.failed is None:
            self.failed = OSError(28, "No space left on device")
        return read(self, data)

    monkeypatch.setattr(packing.Opened, "write", write)

    def packets(wanted):
        return (moving_square(i, LENGTHS[i]) for i in range(len(LENGTHS)) if ids[i] in wanted)

    with pytest.raises(FullDisk, match="squares.h5: found no room"):
        dataset.pack(path, ids, packets, source="squares")
    assert not path.exists() and len(list(tmp_path.glob(".squares.h5.*.parts/*.npz"))) == len(ids)
    assert not list(tmp_path.glob(".squares.*-*.h5"))
    room[0], asked = 10**9, []
    dataset.pack(path, ids, lambda left: asked.extend(left) or packets(left), source="squares")
    assert asked == [] and dataset.load(path).made["source"] == "squares"
