"""A damaged file of a run is named by `verify`, whatever kind it is, and its notebook is not taken as finished."""

import json
import warnings

import numpy as np
import pandas as pd
import pytest

from lewm_core.runner import commands, stamps
from lewm_core.runner.verification import verify
from lewm_core.utils import sealed
from lewm_core.utils.arrays import write_arrays
from lewm_core.utils.errors import InputError
from lewm_core.utils.files import note_written, write_csv, write_json
from lewm_core.utils.workspace import Workspace
from tests.helpers import write_squares

KINDS = ["scores.csv", "results_pilot.csv", "measured_leak.csv", "source.json", "run.json", "dataset.h5",
         "runs/0123/result.json", "runs/0123/model.safetensors", "runs/0123/SHA256SUMS", "stamps/01_one.json",
         "cache/signals/a.npz", "cache/measurements.csv", "figures/figure1.png", "figures/figure1.csv",
         "notebooks/01_one.ipynb"]
REMADE = [kind for kind in KINDS if not kind.startswith(("cache", "run.json", "stamps"))]  # by running 01_one again


@pytest.fixture
def place(tmp_path):
    """A run of one notebook, which wrote everything."""
    place = Workspace(tmp_path / "out", tmp_path / "out/figures")
    for folder in (place.figures, place.notebooks, place.runs / "0123"):
        folder.mkdir(parents=True)
    for name in ("scores.csv", "measured_leak.csv", "selection.csv", "cache/measurements.csv"):
        write_csv(place.output / name, pd.DataFrame({"x": [1.5, 2.5]}))
    note_written(place.selection)
    write_csv(place.results("pilot"), pd.DataFrame({"run": ["0123"], "value": [1.5]}))
    write_json(place.source, {"data": "tabletop"}, seal=True)
    write_squares(place.dataset_file, lengths=(6,))
    write_arrays(place.signals / "a.npz", {"x": np.arange(9)}, {})
    write_json(place.runs / "0123/result.json", {"metrics": {}})
    (place.runs / "0123/model.safetensors").write_bytes(b"weights" * 9)
    sealed.note_folder(place.runs / "0123")
    (place.figures / "figure1.png").write_bytes(b"picture")
    write_csv(place.figures / "figure1.csv", pd.DataFrame({"value": [1]}))
    (place.notebooks / "01_one.ipynb").write_text("{}")
    written = [*stamps.state(place), place.notebooks / "01_one.ipynb"]
    stamps.write(place, "01_one", "digest", 1.0, written)
    write_json(place.summary, {"parameters": {}}, seal=True)
    return place


def flip(path, bit=5):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1 << bit
    path.write_bytes(content)


def named(place):
    report, whole = verify(str(place.output))
    assert whole == (not report["damaged files"])
    return [row["file"].removeprefix(f"{place.output}/") for row in report["damaged files"]]


def reused(place):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sealed.DamageWarning)
        stamp = stamps.read(place, "01_one")
    return bool(stamp) and not list(stamps.problems(place, stamp))


def test_a_whole_run_is_whole(place):
    report, whole = verify(str(place.output))
    assert whole and report["without a checksum"] == 0 and report["files"] > 15 and reused(place)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("damage", [flip, lambda path: path.write_bytes(b"")], ids=["a flipped bit", "emptied"])
def test_damage_is_named(place, kind, damage):
    damage(place.output / kind)
    found = named(place)
    if kind == "runs/0123/SHA256SUMS":  # its lines are of other files
        assert any(name.startswith("runs/0123/") for name in found)
    else:
        assert found == [kind]
    if kind in REMADE and not (kind.endswith("SUMS") and not (place.output / kind).stat().st_size):
        assert not reused(place)


def test_what_is_lost_is_named_and_what_a_person_changes_is_no_damage(place, capsys):
    place.scores.write_text("edited")
    (place.runs / "0123/model.safetensors").unlink()
    place.selection.write_text("x\n3\n")
    assert commands.main(["verify", str(place.output), "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["damaged"] == len(report["damaged files"]) == 2
    assert report[str(place.selection)].startswith("changed since it was written")
    assert commands.main(["verify", str(place.output / "absent")]) == 2


def test_runs_of_an_earlier_version_are_read_as_they_are(place):
    for path in place.output.rglob(sealed.SUMS):
        path.unlink()
    assert named(place) == [] and reused(place)
    (place.runs / "0123/result.json").write_text("")
    assert named(place) == ["runs/0123/result.json"] and not reused(place)


@pytest.mark.parametrize("content", ["[]", "", "{", '{"digest": 1, "files": [], "seconds": 0}', '"text"'])
def test_a_stamp_that_is_none_is_told_and_not_believed(place, content):
    (place.stamps / "01_one.json").write_text(content)
    (place.stamps / sealed.SUMS).unlink()
    with pytest.warns(sealed.DamageWarning, match="01_one.json is damaged"):
        assert stamps.read(place, "01_one") == {}


def test_a_damaged_table_is_an_error_that_says_what_makes_it_again(place):
    flip(place.scores)
    with pytest.raises(InputError, match=r"scores.csv: found another content.*--only 01"):
        place.need(place.scores)
    place.selection.write_text("edited")
    assert place.need(place.selection) == place.selection
