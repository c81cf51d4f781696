"""Which layout of BridgeData a folder holds; fingerprints and the index, which all of them share."""

import json
import shutil

import numpy as np
import pytest

from lewm_core.sources.bridge import LAYOUTS, open_bridge
from lewm_core.sources.bridge_numpy import BridgeNumpy
from lewm_core.sources.bridge_raw import BridgeRaw
from lewm_core.sources.bridge_rlds import Bridge, BridgeOpenX
from lewm_core.utils.errors import InputError
from tests.bridge_fixtures import (
    RAW,
    episode,
    example,
    openx_episode,
    recording,
    trajectory,
    trajectory_folder,
    write,
    write_numpy,
    write_raw,
)


def _make(layout, folder, rng=None):
    rng = rng or np.random.default_rng(13)
    if layout is Bridge:
        write(folder, [[example(episode(rng))]])
    elif layout is BridgeOpenX:
        write(folder, [[example(openx_episode(rng))]], prefix="bridge")
    elif layout is BridgeRaw:
        write_raw(trajectory_folder(folder), recording(rng))
    else:
        write_numpy(folder / "task" / "train", [trajectory(recording(rng, size=(8, 8)))])


def test_the_layout_is_told_from_the_files(tmp_path):
    sources = [layout.source for layout in LAYOUTS]
    for source in sources:
        folder = tmp_path / source.name
        _make(source, folder)
        assert type(open_bridge(folder, 8)) is source
        assert len(list(open_bridge(folder, 8).infos())) == 1
    assert len({source.name for source in sources}) == 4
    with pytest.raises(InputError, match=r"several layouts: bridge \(.*, bridge-openx \(.*, bridge-raw .*numpy"):
        open_bridge(tmp_path, 8)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"nothing in it|a folder with") as raised:
        open_bridge(tmp_path / "empty", 8)
    assert all(layout.files in str(raised.value) for layout in LAYOUTS)
    with pytest.raises(InputError, match="found no such file or folder"):
        open_bridge(tmp_path / "absent", 8)
    for source in BridgeRaw, BridgeNumpy:
        with pytest.raises(InputError, match="image_size: found 0"):
            source(tmp_path, 0)
        with pytest.raises(InputError, match="camera: found 4; expected 0 to 3"):
            source(tmp_path, 8, 4)


@pytest.mark.parametrize("source", [BridgeRaw, BridgeNumpy])
def test_fingerprint_of_folders(tmp_path, source):
    """The same where the data lie elsewhere; another for other settings, names, sizes and counts."""
    _make(source, tmp_path / "a")
    base = source(tmp_path / "a", 8).fingerprint
    shutil.copytree(tmp_path / "a", tmp_path / "moved")
    assert source(tmp_path / "moved", 8).fingerprint == base
    prints = [base, source(tmp_path / "a", 9).fingerprint, source(tmp_path / "a", 8, 1).fingerprint]
    for name, change in {
        "renamed": lambda f: f.parent.rename(f.parent.with_name("traj7" if source is BridgeRaw else "val")),
        "longer": lambda f: f.write_bytes(f.read_bytes() + b"x"),
        **({"pictures": lambda f: (f.parent / "images0/im_3.jpg").unlink(),
            "text": lambda f: (f.parent / "lang.txt").write_text("put the spoon on the TOWEL\nconfidence: 1\n"),
            "no text": lambda f: (f.parent / "lang.txt").unlink()} if source is BridgeRaw else {}),
    }.items():
        shutil.copytree(tmp_path / "a", tmp_path / name)
        file, = (tmp_path / name).rglob("obs_dict.pkl" if source is BridgeRaw else "out.npy")
        change(file)
        prints.append(source(tmp_path / name, 8).fingerprint)
    assert len(set(prints)) == len(prints)


class Counting(BridgeRaw):
    """A source that notes what it reads."""

    def __init__(self, *args):
        super().__init__(*args)
        self.read = []

    def _read(self, id):
        self.read.append(id)
        return super()._read(id)


def test_an_interrupted_pass_goes_on_where_it_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr("lewm_core.sources.index.BATCH", 3)
    folders = [write_raw(trajectory_folder(tmp_path / "data", i), RAW, f"task {i}") for i in range(10)]
    (folders[4] / "policy_out.pkl").write_bytes(b"")
    make, cache, errors = lambda: Counting(tmp_path / "data", 8), tmp_path / "cache", {}
    expected = list(make().infos(errors.setdefault))
    assert len(expected) == 9 and len(errors) == 1

    source = make()
    infos = source.infos({}.setdefault, cache)
    assert [next(infos) for _ in range(6)] == expected[:6] and len(source.read) == 7
    file, = cache.iterdir()
    assert source.fingerprint in file.name and len(file.read_text().split()) and file.read_text().count("[") == 6
    del infos  # interrupted: closed, what is left is written
    file.write_bytes(file.read_bytes()[:-9])  # and the last line torn, as a crash would

    source, again = make(), {}
    assert list(source.infos(again.setdefault, cache)) == expected
    assert len(source.read) == 10 - 5 and list(again) == list(errors)  # five were known; the bad one is read again
    source = make()
    assert list(source.infos(again.setdefault, cache)) == expected and source.read == list(errors)
    with pytest.raises(InputError):
        list(make().infos(cache=cache))

    (folders[0] / "lang.txt").write_text("another text")  # other data: another index
    assert list(make().infos({}.setdefault, cache))[0].task == "another text" and len(list(cache.iterdir())) == 2
    lines = [json.loads(line) for line in file.read_text().split("\n") if line.startswith("[") and line.endswith("]")]
    assert {tuple(line[:3]) for line in lines} == {(i.id, i.task, i.length) for i in expected}


def test_foreign_lines_of_an_index_are_not_used(tmp_path):
    write_raw(trajectory_folder(tmp_path / "data"), RAW)
    source = BridgeRaw(tmp_path / "data", 8)
    info, = source.infos(cache=tmp_path)
    file, = tmp_path.glob("*.jsonl")
    for line in ("x", "{}", "3", f'["{info.id}", "t", "4"]', f'["{info.id}", 4, 4]', f'["{info.id}", "t"]', "\xff"):
        file.write_bytes(line.encode("latin1"))
        assert list(source.infos(cache=tmp_path)) == [info]
