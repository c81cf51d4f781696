"""The cache of signals: a hit does no work, damage is made again, two processes do not disturb each other."""

import dataclasses
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest

from lewm_core.signals import backends as registry
from lewm_core.signals import simulator
from lewm_core.signals.backends import CLASSICAL, Backends
from lewm_core.signals.extraction import ARRAYS, Signals, extract, extract_once


@pytest.fixture
def counted(monkeypatch):
    calls = []

    def depth(episode):
        calls.append(episode.id)
        return simulator.depth(episode)

    monkeypatch.setitem(registry.DEPTH, "counted", depth)
    return calls, Backends("counted", "simulator", "simulator")


def same(a: Signals, b: Signals) -> bool:
    return (a.made_by, a.missing) == (b.made_by, b.missing) and all(
        np.array_equal(getattr(a, name), getattr(b, name)) for name in ARRAYS
    )


def test_a_cache_hit_does_no_work_and_returns_the_same(scene, counted, tmp_path):
    calls, backends = counted
    first = extract_once(scene, backends, tmp_path, "source")
    again = extract_once(scene, backends, tmp_path, "source")
    assert len(calls) == 1 and same(first, again) and len(list(tmp_path.iterdir())) == 1
    extract_once(scene, backends, tmp_path, "another source")
    extract_once(dataclasses.replace(scene, id="other"), backends, tmp_path, "source")
    assert len(calls) == 3 and len(list(tmp_path.iterdir())) == 3
    partial = extract_once(scene, Backends(None, "simulator", None), tmp_path, "source")
    assert same(partial, extract_once(scene, Backends(None, "simulator", None), tmp_path, "source"))


def test_two_processes_extract_into_one_cache(scene, tmp_path):
    """Both make the same entries at the same time; what is left is whole, and nothing else is left."""
    episodes = [dataclasses.replace(scene, id=f"scene{i}") for i in range(4)]
    alone = [extract(e, CLASSICAL) for e in episodes]
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        jobs = [pool.submit(extract_once, e, CLASSICAL, tmp_path, "source") for e in episodes for _ in range(2)]
        made = [job.result() for job in jobs]
    assert all(same(one, made[2 * i + k]) for i, one in enumerate(alone) for k in range(2))
    assert len(list(tmp_path.iterdir())) == 4
    assert all(same(one, extract_once(e, CLASSICAL, tmp_path, "source"))
               for one, e in zip(alone, episodes, strict=True))  # fmt: skip


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "other"])
def test_a_damaged_entry_is_made_again(scene, counted, tmp_path, damage):
    calls, backends = counted
    first = extract_once(scene, backends, tmp_path, "source")
    (entry,) = tmp_path.iterdir()
    whole = entry.read_bytes()
    middle = len(whole) // 2
    flipped = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
    entry.write_bytes({"flip": flipped, "cut": whole[:middle], "empty": b"", "other": b"not a zip"}[damage])
    assert same(first, extract_once(scene, backends, tmp_path, "source"))
    assert len(calls) == 2 and entry.read_bytes()[:4] == b"PK\x03\x04"
    extract_once(scene, backends, tmp_path, "source")
    assert len(calls) == 2
