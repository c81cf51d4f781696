"""Arrays on disk: damage is told, whichever bit it is in."""

import warnings

import numpy as np
import pytest

from lewm_core.utils import arrays
from lewm_core.utils.errors import InputError
from lewm_core.utils.sealed import DamageWarning

VALUES = {"x": np.arange(6, dtype=np.float32).reshape(2, 3), "m": np.zeros((4, 3), np.uint8)}
NOTES = {"made_by": {"depth": "simulator"}}


def same(found):
    read, notes = found
    return notes == NOTES and set(read) == set(VALUES) and all(
        read[name].dtype == VALUES[name].dtype and np.array_equal(read[name], VALUES[name]) for name in VALUES)


def test_no_flipped_bit_changes_what_is_read(tmp_path):
    path = tmp_path / "a.npz"
    arrays.write_arrays(path, {**VALUES, "absent": None}, NOTES)
    assert same(arrays.read_arrays(path)) and arrays.problem(path) == ""
    whole, told = path.read_bytes(), 0
    for bit in range(0, 8 * len(whole), 3):  # every byte
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            found = arrays.read_arrays(path)
        assert same(found) if found else [w.category for w in said] == [DamageWarning], f"bit {bit}"
        told += found is None
    assert told > len(whole)  # the others are in what nobody reads, such as dates


@pytest.mark.parametrize("content", [b"", b"not a zip"])
def test_an_emptied_file_is_named(tmp_path, content):
    path = tmp_path / "a.npz"
    assert arrays.read_arrays(path) is None
    path.write_bytes(content)
    with pytest.warns(DamageWarning, match="a.npz is damaged and is made again"):
        assert arrays.read_arrays(path) is None
    assert "zip" in arrays.problem(path)


def test_a_file_in_another_s_place_is_told(tmp_path):
    one, other = tmp_path / "one.npz", tmp_path / "other.npz"
    arrays.write_arrays(one, VALUES, NOTES)
    one.rename(other)
    with pytest.warns(DamageWarning, match="other.npz is damaged and is made again.*the content of 'one.npz'"):
        assert arrays.read_arrays(other) is None


def test_a_folder_in_a_file_s_place_is_one_error(tmp_path):
    (tmp_path / "a.npz").mkdir()
    with pytest.warns(DamageWarning):
        assert arrays.read_arrays(tmp_path / "a.npz") is None
    with pytest.raises(InputError, match="a.npz: found a folder"):
        arrays.write_arrays(tmp_path / "a.npz", VALUES, NOTES)
