"""Dataset files that lie: each is refused with a reason, without its data being read and without much memory."""

import json
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import h5py
import hdf5plugin
import numpy as np
import pytest

from lewm_core import dataset
from lewm_core.dataset import pieces, seal, trial, violations
from lewm_core.utils.errors import InputError
from tests.helpers import LENGTHS, SIZE, write_squares

N, E = sum(LENGTHS), len(LENGTHS)


@pytest.fixture(scope="module")
def squares(tmp_path_factory) -> Path:
    return write_squares(tmp_path_factory.mktemp("data") / "squares.h5")


@pytest.fixture
def copy(squares, tmp_path):
    path = tmp_path / "copy.h5"
    path.write_bytes(squares.read_bytes())
    return path


def replace(f: h5py.File, name: str, values: object = None, **options: object) -> None:
    """Another dataset of that name."""
    del f[name]
    f.create_dataset(name, data=values, **options)


def virtual(f):
    layout = h5py.VirtualLayout((N, 7), "f4")
    layout[:] = h5py.VirtualSource("absent.h5", "action", (N, 7))
    del f["action"]
    f.create_virtual_dataset("action", layout)


def external_storage(f):
    replace(f, "action", shape=(N, 7), dtype="f4", external=[("absent.bin", 0, h5py.h5f.UNLIMITED)])


def external_link(f):
    del f["pixels"]
    f["pixels"] = h5py.ExternalLink("other.h5", "/pixels")


def soft_loop(f):
    del f["depth"]
    f["depth"], f["other"] = h5py.SoftLink("/other"), h5py.SoftLink("/depth")


def soft_link(f):
    f.move("mask", "elsewhere")
    f["mask"] = h5py.SoftLink("/elsewhere")


def large(f):
    replace(f, "action", f["action"][:].astype(np.float64))
    f["action"][3, 2] = 1e300


def references(f):
    replace(f, "task", shape=(N,), dtype=h5py.ref_dtype)


def odd_floats(f):
    """Numbers of 4 bytes with an exponent so wide that no type of NumPy holds them."""
    kind = h5py.h5t.IEEE_F32LE.copy()
    kind.set_fields(31, 2, 29, 0, 2)
    del f["depth"]
    h5py.h5d.create(f.id, b"depth", kind, h5py.h5s.create_simple((N, 56, 56)))


def made(value):
    def plant(f):
        f.attrs["made"] = value if isinstance(value, str) else json.dumps(value)
    return plant


LIES = {
    "virtual": (virtual, "action lies in other files"),
    "external storage": (external_storage, "action lies in other files"),
    "external link": (external_link, "pixels is a link"),
    "a loop of links": (soft_loop, "depth is a link"),
    "a link": (soft_link, "mask is a link"),
    "float64 that float32 cannot hold": (large, "action is infinite as float32 (first at frame 3)"),
    "zero-width actions": (lambda f: replace(f, "action", np.zeros((N, 0), "f4")), "action has an axis of 0"),
    "pixels of no size": (lambda f: replace(f, "pixels", np.zeros((N, 0, 0, 3), "u1")), "pixels has an axis of 0"),
    "a million million rows, never written": (
        lambda f: replace(f, "action", shape=(10**12, 7), dtype="f4", chunks=(1, 7)), "action has rows that were"),
    "contiguous rows, never written": (
        lambda f: replace(f, "action", shape=(10**12, 7), dtype="f4"), "action has rows that were never written"),
    "one chunk that was never written": (
        lambda f: (replace(f, "gripper" if "gripper" in f else "object", shape=(N, 3), dtype="f4", chunks=(4, 3)),
                   f["object"].__setitem__(slice(0, N - 4), 0)), "object has rows that were never written"),
    "a million million episodes": (
        lambda f: (replace(f, "ep_len", shape=(10**12,), dtype="i8", chunks=(2**16,)),
                   replace(f, "ep_offset", shape=(10**12,), dtype="i8", chunks=(2**16,))),
        "ep_len has 1,000,000,000,000 episodes, more than 10,000,000"),
    "an episode without end": (lambda f: f["ep_len"].__setitem__(1, 2**62), "ep_len has values above 2,147,483,648"),
    "episodes whose sum runs over": (
        lambda f: f["ep_len"].__setitem__(slice(None), 2**31), f"{N} rows, fewer than the {2**31 * E}"),
    "unsigned lengths": (lambda f: replace(f, "ep_len", np.array([*LENGTHS[:-1], 2**64 - 1], "u8")), "values below 1"),
    "huge frames": (lambda f: replace(f, "pixels", shape=(N, 30_000, 30_000, 3), dtype="u1", chunks=(1, 64, 64, 3)),
                    "pixels has rows of 2,700,000,000 bytes"),
    "huge chunks": (lambda f: replace(f, "action", shape=(N, 7), maxshape=(None, None), dtype="f4",
                                      chunks=(2**20, 2**9)), "action has chunks of 2,147,483,648 bytes"),
    "compound": (lambda f: replace(f, "action", np.zeros(N, [("a", "f4"), ("b", "f4")])), "action is [('a'"),
    "references": (references, "task is object, not str"),
    "regions": (lambda f: replace(f, "episode_id", shape=(N,), dtype=h5py.regionref_dtype), "episode_id is object"),
    "arrays of any length": (lambda f: replace(f, "action", shape=(N,), dtype=h5py.vlen_dtype("f4")), "action is obj"),
    "texts of 100 kB": (lambda f: replace(f, "task", shape=(N,), dtype="S100000"), "texts of 100000 bytes"),
    "numbers of no type": (odd_floats, "depth"),
    "missing as a list": (made({"made_by": {}, "missing": ["depth"]}), "attribute made has as missing ['depth']"),
    "missing as numbers": (made({"missing": {"depth": 3}}), "attribute made has as missing {'depth': 3}"),
    "made_by as a text": (made({"made_by": "me"}), "attribute made has as made_by 'me'"),
}


@pytest.mark.parametrize("plant, sentence", LIES.values(), ids=LIES)
def test_a_lie_is_refused_before_it_is_read(copy, plant, sentence):
    with h5py.File(copy, "r+") as f:
        plant(f)
    tracemalloc.start()
    problems = violations.validate(copy)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert dataset.validate(copy) == problems
    assert any(sentence in problem for problem in problems), problems
    assert most < 2e7 and len("; ".join(problems)) < 1500
    with pytest.raises(InputError, match="copy.h5"):
        dataset.load(copy)
    with pytest.raises(InputError, match="copy.h5"):
        list(dataset.read_episodes(copy))


@pytest.mark.parametrize("value", ["[" * 5000, "[1]", "9" * 5000, np.zeros(3), h5py.Empty("f4"), b"\xff", 3.5,
                                   np.zeros(100, "S100")], ids=lambda v: str(v)[:10])
def test_whatever_another_tool_calls_made_is_not_ours(copy, value):
    seal.remove(copy)
    with h5py.File(copy, "r+") as f:
        del f.attrs["made"]
        f.attrs["made"] = value
    assert dataset.load(copy).made == {} == dataset.outline(copy).made


def test_things_that_nobody_reads_may_be_anything(copy):
    with h5py.File(copy, "r+") as f:
        f["there"], f["loop"] = h5py.ExternalLink("absent.h5", "/x"), h5py.SoftLink("/loop")
        f["kind"], f["nothing"] = np.dtype("f4"), h5py.Empty("f4")
    assert dataset.outline(copy).other == dict.fromkeys(("there", "loop", "kind", "nothing"))
    assert len(dataset.load(copy)["ep_len"]) == E


def test_one_text_for_all_frames_is_read_once_an_episode_and_not_if_it_is_long(copy, monkeypatch):
    with h5py.File(copy, "r+") as f:
        f["task"][sum(LENGTHS[:2])] = "x" * 70_000
    with pytest.raises(InputError, match="copy.h5: found task cannot be read at frame 16, in episode 2 .a text of 70"):
        dataset.load(copy)


def test_a_damaged_chunk_is_named_with_its_frame_and_its_episode(copy):
    with h5py.File(copy, "r+") as f:
        for name in ("depth", "mask"):
            replace(f, name, f[name][:], chunks=(1, *f[name].shape[1:]), **hdf5plugin.Blosc())
        chunks = {name: f[name].id.get_chunk_info(18) for name in ("depth", "mask")}
    content = bytearray(copy.read_bytes())
    for chunk in chunks.values():
        content[chunk.byte_offset : chunk.byte_offset + chunk.size] = b"\xff" * chunk.size
    copy.write_bytes(content)
    for problem, name in zip(dataset.validate(copy), ("depth", "mask"), strict=True):
        assert problem.startswith(f"{name} cannot be read at frame 18, in episode 2 (")
    with pytest.raises(InputError, match="copy.h5: found depth cannot be read at frame 18, in episode 2 "):
        dataset.load(copy)


def test_what_becomes_unreadable_after_the_check_is_named_too(copy, monkeypatch):
    with h5py.File(copy, "r+") as f:
        chunk = f["mask"].id.get_chunk_info(2)  # of eight frames
    content = bytearray(copy.read_bytes())
    content[chunk.byte_offset : chunk.byte_offset + chunk.size] = b"\xff" * chunk.size
    copy.write_bytes(content)
    monkeypatch.setattr(trial, "values", lambda *_: [])
    with pytest.raises(InputError, match="copy.h5, column mask: found .* frame 16, in episode 2 "):
        dataset.load(copy)


def test_a_script_without_a_guard_may_load_a_dataset(squares, tmp_path):
    """The process in which a file is tried does not run the script again."""
    script = tmp_path / "script.py"
    script.write_text("import sys\nfrom lewm_core import dataset\nprint(len(dataset.load(sys.argv[1])['ep_len']))\n")
    done = subprocess.run([sys.executable, script, squares], capture_output=True, text=True, timeout=200,
                          env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])})
    assert done.stdout == f"{E}\n", done.stderr


def test_a_file_in_which_the_library_loses_itself_is_one_error(copy, monkeypatch):
    """The heap's first text is as long as brings HDF5 back to it, again and again."""
    content = bytearray(copy.read_bytes())
    first = content.index(b"GCOL") + 16
    content[first + 8 : first + 16] = (2**64 - 16).to_bytes(8, "little")
    copy.write_bytes(content)
    monkeypatch.setattr(trial, "SECONDS", 1)
    with pytest.raises(InputError, match="copy.h5: found cannot be read as HDF5 .*computed longer than"):
        dataset.load(copy)
    assert dataset.validate(copy)


def test_values_are_checked_in_small_pieces(squares, monkeypatch):
    """Whatever the size of a piece, the same is found and read."""
    whole = dataset.load(squares)
    monkeypatch.setattr(pieces, "STEP", SIZE * SIZE * 3 * 2)  # two frames
    small = dataset.load(squares)
    assert small.fingerprint == whole.fingerprint and all(
        np.array_equal(small[name], whole[name], equal_nan=whole[name].dtype.kind == "f") for name in whole.columns)


def test_what_does_not_fit_is_refused_before_a_frame_is_read(squares, monkeypatch):
    monkeypatch.setattr(dataset.memory, "usable_memory", lambda: 1000)
    monkeypatch.setattr(trial, "values", lambda *_: pytest.fail("frames were read"))
    for read in (dataset.load, lambda path: list(dataset.read_episodes(path))):
        with pytest.raises(InputError, match="Not even one episode fits"):
            read(squares)


def test_what_is_no_regular_file_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.h5")
    for path, sentence in ((tmp_path / "pipe.h5", "a pipe, not a"), (tmp_path, "a folder"), ("/dev/zero", "device")):
        with pytest.raises(InputError, match=sentence):
            dataset.load(path)


def test_no_flipped_bit_and_no_cut_is_more_than_one_error(squares, tmp_path):
    """HDF5 has no checksum for most of a file: a flip may give other values, but nothing else may happen."""
    whole, rng, path = squares.read_bytes(), np.random.default_rng(0), tmp_path / "flipped.h5"
    with h5py.File(squares) as f:
        header = min(f[name].id.get_offset() or len(whole) for name in f)
    for place in [*rng.integers(0, header, 60), *rng.integers(0, len(whole), 30)]:
        content = bytearray(whole)
        content[place] ^= 1 << rng.integers(8)
        path.write_bytes(content)
        _outcome(path)
    for size in rng.integers(0, len(whole), 10):
        path.write_bytes(whole[:size])
        _outcome(path)


def _outcome(path: Path) -> None:
    try:
        dataset.load(path)
    except InputError as error:
        assert "flipped.h5" in str(error)
