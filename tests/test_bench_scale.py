"""bench_scale without measuring anything: the shards it makes, how it counts jumps, its page, what is not installed."""

import json

import pandas as pd

from benchmarks import public_bridge, public_counts, public_full, public_reading, public_scale_page
from benchmarks.public_readers import PX, Sum, our_bridge
from lewm_core.sources import tfrecord

MADE = {"date": "2026-01-02", "commit": "abc", "machine": "a machine", "versions": "numpy 9", "load": "0.1 to 0.2"}


def test_the_whole_of_it_has_the_releases_episodes_and_shards():
    whole = public_bridge.shards(public_bridge.FULL)
    assert {split: len(counts) for split, counts in whole.items()} == {"train": 1024, "val": 128}
    assert sum(sum(counts) for counts in whole.values()) == public_bridge.FULL
    assert public_bridge.shards(105) == {"train": [35, 35, 35]}


def test_made_episodes_are_read_and_known_by_their_ids(tmp_path, monkeypatch, shared):
    monkeypatch.setattr(public_bridge, "picture", bytes)  # as it is in the sample
    folder = public_bridge.write(tmp_path / "shards", 105, shared / "bridge_sample")
    found = Sum()
    our_bridge(str(folder), False)(found)
    assert found.items == 105
    lengths = {i: 14 + 2 * i for i in range(public_full.SAMPLED)}
    source = public_full.open_bridge(folder, 16)
    assert all(info.length == lengths[public_full.record_of(info.id)] for info in source.infos())
    spans, damage = tfrecord.scan(next(folder.glob("*.tfrecord-00001-*")))
    assert damage is None and len(spans) == 35 and PX == 256


CALLS = """openat(AT_FDCWD</tmp>, "/data/f", O_RDONLY|O_CLOEXEC) = 3</data/f>
read(3</data/f>, ""..., 100) = 100
read(3</data/f>, ""..., 200) = 200
lseek(3</data/f>, 5000, SEEK_SET) = 5000
read(3</data/f>, ""..., 10) = 10
pread64(3</data/f>, ""..., 10, 5010) = 10
pread64(3</data/f>, ""..., 10, 90000) = 10
read(4</elsewhere/g>, ""..., 10) = 10
read(3</data/f>, ""..., 10) = 0
mmap(NULL, 100000, PROT_READ, MAP_SHARED, 3</data/f>, 0) = 0x7fe61cfc2000
close(3</data/f>) = 0
"""


def test_a_jump_is_a_read_that_does_not_go_on_where_the_last_one_ended():
    assert public_counts.jumps(CALLS.splitlines(), "/data/") == {"calls": 5, "jumps": 2, "opened": 1, "mapped": 1}


def test_a_peer_that_is_not_installed_says_so(monkeypatch, capsys):
    monkeypatch.setitem(public_reading.READERS, "lost", (("json", "no_such_library"), None))
    public_reading.main("lost", "nowhere", "1")
    assert json.loads(capsys.readouterr().out) == {"absent": "not installed: no_such_library"}


def test_the_page_shows_both_tables(tmp_path):
    number = dict.fromkeys(("cpu", "wall", "bytes", "reads", "jumps", "peak"), 1.0)
    rows = [{"part": "metadata", "reader": "ours", **number, "ratio": 1, "low": 1, "high": 1, "libraries": ""},
            {"part": "metadata", "reader": "tfds", **number, "ratio": 3, "low": 2, "high": 4, "libraries": "tfds 9"},
            {"part": "metadata", "reader": "lost", "absent": "not installed: lost"}]
    pd.DataFrame(rows).assign(**MADE).to_csv(tmp_path / "scale.csv", index=False)
    whole = [{"measure": "index", "n": n, "wall": n / 1000, "cpu": n / 2000, "bytes": 1e6 * n, "reads": n,
              "peak": 10 + n / 1000} for n in (1000, 60_096)]
    pd.DataFrame(whole).assign(**MADE).to_csv(tmp_path / "scale_full.csv", index=False)
    page = public_scale_page.section(tmp_path)
    assert "| tfds (tfds 9) | 1 | 1 | 1 | 1 | 1 | 1 | **3.00** (2.00–4.00) |" in page
    assert "| lost | not installed: lost |" in page and page.count("load): 0.1 to 0.2") == 2
    assert "| 0.5 s, 11 MB | 30 s, 70 MB | 0.5 | 1e+03 | 1 |" in page
