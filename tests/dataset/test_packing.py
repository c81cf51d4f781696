"""Packing that streams and that can be interrupted at any moment."""

import os
import signal
import subprocess
import sys
import time
import tracemalloc
import warnings

import numpy as np
import pytest

from lewm_core import dataset
from lewm_core.dataset import packing
from lewm_core.signals.backends import Backends
from lewm_core.signals.extraction import extract
from lewm_core.sources.episode import Episode
from lewm_core.utils.errors import InputError
from lewm_core.utils.workspace import ROOT
from tests.helpers import LENGTHS, moving_square, without, write_squares

IDS = [f"square{i}" for i in range(len(LENGTHS))]
NOTHING = Backends(None, None, None)


class Reader:
    """Reads packets of squares, and breaks before the packet of `breaks`; `asked` is what it was asked for."""

    def __init__(self, breaks=None, error=KeyboardInterrupt):
        self.breaks, self.error, self.asked = breaks, error, []

    def __call__(self, ids):
        self.asked.append(ids)
        for id in ids:
            if id == self.breaks:
                raise self.error
            i = int(id.removeprefix("square"))
            yield moving_square(i, LENGTHS[i])


@pytest.fixture
def path(tmp_path):
    return tmp_path / "data" / "squares.h5"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return dataset.load(write_squares(tmp_path_factory.mktemp("whole") / "squares.h5"))


def names(path):
    return sorted(p.name for p in path.parent.iterdir())


@pytest.mark.parametrize("breaks", [0, 1, 3, 4])
def test_an_interrupted_packing_goes_on_and_gives_the_same_file(path, whole, breaks):
    with pytest.raises(KeyboardInterrupt):
        packing.pack(path, IDS, Reader(IDS[breaks]), source="squares")
    assert not path.exists()
    again = Reader()
    packing.pack(path, IDS, again, source="squares")
    assert again.asked == [IDS[breaks:]]
    assert dataset.load(path).fingerprint == whole.fingerprint and names(path) == ["squares.h5"]


def test_an_interruption_while_the_parts_are_put_together_loses_nothing(path, whole, monkeypatch):
    append = packing.append

    def stops(f, name, value):
        if name == "task" and len(f["pixels"]) > 20:
            raise KeyboardInterrupt
        append(f, name, value)

    monkeypatch.setattr(packing, "append", stops)
    with pytest.raises(KeyboardInterrupt):
        packing.pack(path, IDS, Reader(), source="squares")
    assert not path.exists()
    monkeypatch.undo()
    again = Reader()
    packing.pack(path, IDS, again, source="squares")
    assert again.asked == [[]] and dataset.load(path).fingerprint == whole.fingerprint


CHILD = """
import sys, time
import numpy as np
from lewm_core.sources.episode import Episode
from lewm_core.dataset.packing import pack
from lewm_core.signals.backends import Backends
from lewm_core.signals.extraction import extract

def read(ids):
    for id in ids:
        frames = np.random.default_rng(int(id)).integers(0, 255, (9, 32, 32, 3), np.uint8)
        episode = Episode(id, frames, np.zeros((9, 7), np.float32), np.zeros((9, 3), np.float32), "wait")
        yield episode, extract(episode, Backends(None, None, None))
        time.sleep(PAUSE)
"""


def test_a_killed_process_leaves_no_half_file_and_its_work(path):
    ids, code = [str(i) for i in range(6)], f"PAUSE = 0.2{CHILD}pack({str(path)!r}, {[str(i) for i in range(6)]}, read)"
    child = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env={**os.environ, "PYTHONPATH": "."})
    while not list(path.parent.glob(".squares.h5.*.parts/2.npz")):
        assert child.poll() is None
        time.sleep(0.02)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert not path.exists()
    space, asked = {"PAUSE": 0}, []
    exec(CHILD, space)
    packing.pack(path, ids, lambda left: asked.append(left) or space["read"](left))
    assert asked[0] in (ids[3:], ids[4:], ids[5:]) and names(path) == ["squares.h5"]
    packing.write(path.with_name("whole.h5"), space["read"](ids))
    assert dataset.load(path).fingerprint == dataset.load(path.with_name("whole.h5")).fingerprint


@pytest.mark.parametrize("damage", [lambda b: b"", lambda b: b[: len(b) // 2], lambda b: b[:2000] + b"x" + b[2001:]])
def test_a_torn_part_is_read_again(path, whole, damage):
    with pytest.raises(KeyboardInterrupt):
        packing.pack(path, IDS, Reader(IDS[3]), source="squares")
    (part,) = path.parent.glob(".squares.h5.*.parts/square1.npz")
    part.write_bytes(damage(part.read_bytes()))
    again = Reader()
    packing.pack(path, IDS, again, source="squares")
    assert again.asked == [IDS[3:], ["square1"]]
    assert dataset.load(path).fingerprint == whole.fingerprint


def test_parts_of_other_settings_are_discarded_with_a_word(path, whole, monkeypatch):
    for change in ({"source": "others"}, None):
        with pytest.raises(KeyboardInterrupt):
            packing.pack(path, IDS, Reader(IDS[2]), source="squares")
        if change is None:
            monkeypatch.setattr(packing, "code_digest", lambda: "changed")
        again = Reader()
        with pytest.warns(UserWarning, match="Discarded 2 episodes of an interrupted packing of squares.h5"):
            packing.pack(path, IDS, again, **change or {"source": "squares"})
        assert again.asked == [IDS] and names(path) == ["squares.h5"]


def test_another_selection_keeps_the_parts_it_can_use(path):
    with pytest.raises(KeyboardInterrupt):
        packing.pack(path, IDS, Reader(IDS[3]), source="squares")
    again = Reader()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        packing.pack(path, [IDS[4], IDS[1]], again, source="squares")
    assert again.asked == [[IDS[4]]] and dataset.load(path)["episode_id"].tolist() == [IDS[4], IDS[1]]


def test_a_bad_episode_spares_the_old_file_and_the_parts_of_the_others(path):
    packing.pack(path, IDS[:2], Reader(), source="squares")
    before, asked = path.read_bytes(), []

    def ragged(ids):
        asked.append(list(ids))
        for id in ids:
            episode, signals = moving_square(int(id[-1]), 6)
            yield episode, without(signals, depth="gone") if id == "square1" and len(asked) == 1 else signals

    with pytest.raises(InputError, match="episode square1: found columns"):
        packing.pack(path, IDS[:3], ragged, source="squares")
    assert path.read_bytes() == before
    assert sorted(p.name for p in path.parent.glob(".squares.h5.*.parts/*")) == ["square0.npz", "square2.npz"]
    packing.pack(path, IDS[:3], ragged, source="squares")
    assert asked == [IDS[:3], ["square1"]] and names(path) == ["squares.h5"]
    assert dataset.load(path)["episode_id"].tolist() == IDS[:3]


def test_a_file_that_breaks_the_contract_keeps_the_parts(path, monkeypatch):
    monkeypatch.setattr(packing, "validate", lambda _: ["something"])
    with pytest.raises(InputError, match="something"):
        packing.pack(path, IDS, Reader(), source="squares")
    monkeypatch.undo()
    again = Reader()
    packing.pack(path, IDS, again, source="squares")
    assert again.asked == [[]] and names(path) == ["squares.h5"]


def test_memory_holds_one_episode_at_a_time(path):
    """Ten times the frames, the same peak: 1.2 MB an episode, far less than what all of them are."""
    def peak(n):
        def read(ids):
            for id in ids:
                frames = np.random.default_rng(0).integers(0, 255, (25, 128, 128, 3), np.uint8)
                episode = Episode(id, frames, np.zeros((25, 7), np.float32), np.zeros((25, 3), np.float32), "wait")
                yield episode, extract(episode, NOTHING)

        tracemalloc.start()
        try:
            packing.pack(path, [f"e{i}" for i in range(n)], read)
            return tracemalloc.get_traced_memory()[1] / 1e6
        finally:
            tracemalloc.stop()

    peak(2)  # imports and the like
    few, many = peak(4), peak(40)
    assert many < 6 and many < 1.3 * few, (few, many)
