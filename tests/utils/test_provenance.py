"""Records of what made a result."""

import os
import re
import subprocess

import numpy
import pytest

from lewm_core.utils import provenance
from lewm_core.utils.errors import InputError
from lewm_core.utils.workspace import ROOT


def test_provenance(tmp_path, monkeypatch):
    record = provenance.collect(profile="smoke", seeds=[1, 2])
    assert record["profile"] == "smoke" and record["device"] == provenance._device()
    assert record["versions"]["numpy"] == numpy.__version__
    assert os.uname().nodename not in (str(record["platform"]), str(record["python"]))
    assert provenance.versions("no-such-package") == {"no-such-package": None}
    assert provenance.revision(tmp_path) == (None, None)
    monkeypatch.setenv("PATH", "")
    assert provenance.revision(ROOT) == (None, None), "no git on this machine"


def test_a_caption_keeps_groups_apart_whose_names_have_commas():
    record = {"profile": "x", "data": "y", "base": "z", "commit": "0" * 40, "dirty": False}
    assert "seeds: 12 pilot, 8 full ·" in provenance.caption(record | {"seeds": {"pilot": 12, "full": 8}})
    assert "seeds: 8 full; 4 full, its own steps ·" in provenance.caption(
        record | {"seeds": {"full": 8, "full, its own steps": 4}})


def test_revision(tmp_path):
    def git(*arguments: str) -> None:
        who = ["-c", "user.name=a", "-c", "user.email=a@b"]
        subprocess.run(["git", "-C", tmp_path, *who, *arguments], check=True, capture_output=True)

    git("init")
    assert provenance.revision(tmp_path) == (None, None), "no commit yet"
    (tmp_path / "a.py").write_text("1")
    (tmp_path / "figures").mkdir()
    git("add", ".")
    git("commit", "-m", "first")
    commit, dirty = provenance.revision(tmp_path)
    assert re.fullmatch("[0-9a-f]{40}", commit) and dirty is False
    (tmp_path / "figures/new.png").write_text("regenerated")
    assert provenance.revision(tmp_path) == (commit, False)
    (tmp_path / "b.py").write_text("2")
    assert provenance.revision(tmp_path) == (commit, True)
    assert provenance.revision(tmp_path / "figures") == (None, None), "inside another checkout"


def test_code_digest(tmp_path, monkeypatch):
    for name in ("a.py", "b.py", "part/c.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    monkeypatch.setattr(provenance, "PACKAGE", tmp_path)
    a, part, whole = (provenance.code_digest(*m) for m in (["a"], ["part"], []))
    (tmp_path / "part/c.py").write_text("changed")
    assert provenance.code_digest("a") == a and provenance.code_digest("a", "a") == a
    assert provenance.code_digest("part") != part and provenance.code_digest() != whole
    with pytest.raises(InputError, match="a, b, part"):
        provenance.code_digest("d")
