"""The table of sources: a row is all that a new source needs, and reading the table imports no array library."""

import subprocess
import sys

import pytest

from lewm_core.signals.backends import MASK, Backends
from lewm_core.signals.pipeline import SourceSpec, packets
from lewm_core.sources.registry import SOURCES, open_source
from lewm_core.utils.errors import InputError
from lewm_core.utils.workspace import ROOT

SOURCE = """
from dataclasses import replace

import numpy as np

from lewm_core.sources.tabletop.source import Tabletop


class Mine:
    name, cameras, fingerprint = "mine", 1, "1"

    def __init__(self, folder, image_size, camera):
        self.simulated = Tabletop(3, 0, image_size)

    def infos(self, on_error=None, cache=None):
        return self.simulated.infos()

    def load(self, id):
        return replace(self.simulated.load(id), truth=None, intrinsics=None)
"""
BACKEND = """
import numpy as np


def upper_half(episode):
    mask = np.zeros(episode.frames.shape[:3], bool)
    mask[:, : mask.shape[1] // 2] = True
    return mask
"""


def test_a_new_source_and_a_new_backend_are_a_file_and_a_row_each(tmp_path, monkeypatch):
    (tmp_path / "my_source.py").write_text(SOURCE)
    (tmp_path / "my_backend.py").write_text(BACKEND)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(SOURCES, "mine", ("my_source", "Mine"))
    from my_backend import upper_half

    monkeypatch.setitem(MASK, "upper-half", upper_half)
    spec = SourceSpec("mine", 2, 0, 16, str(tmp_path), mask_backend="upper-half")
    assert spec.backends == Backends(None, "classical", "upper-half")
    cache = tmp_path / "cache"
    ids = [info.id for info in spec.open().infos()]
    (_, signals), _ = packets(spec, ids, cache, jobs=1)
    assert len(ids) == 2 and signals.mask.mean() == 0.5 and signals.tracks_fg is not None
    (tmp_path / "my_backend.py").write_text(BACKEND + "# changed")  # its code is part of the cache's key
    list(packets(spec, ids, cache, jobs=1))
    assert len(list(cache.glob("*.npz"))) == 4 and len(list((cache / "frames").glob("*.npz"))) == 2


def test_real_data_may_be_limited(shared):
    whole = open_source("bridge", 0, 0, 16, shared / "bridge_sample", 0)
    some = open_source("bridge", 2, 0, 16, shared / "bridge_sample", 0)
    assert list(some.infos()) == list(whole.infos())[:2]
    with pytest.raises(InputError, match="tabletop, bridge, lerobot"):
        open_source("brigde", 0, 0, 16, shared, 0)


def test_the_names_are_there_without_numpy():
    code = "import sys, lewm_core.sources.registry; assert not {'numpy', 'torch', 'psutil'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
