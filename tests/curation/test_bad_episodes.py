"""The report of bad episodes, when it stops a run, and the way through sources and packets."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from lewm_core.curation.bad_episodes import ALLOWED, COLUMNS, BadEpisodes
from lewm_core.runner.plan import listing
from lewm_core.signals.pipeline import SourceSpec, packets
from lewm_core.sources.tabletop.source import Tabletop
from lewm_core.utils.errors import InputError
from tests.bridge_fixtures import episode, example, jpeg, recording, trajectory_folder, write, write_raw


def reader(outcomes: str):
    """Yields the positions of the dots in `outcomes`; an x is a bad one."""
    def read(on_error):
        for i, outcome in enumerate(outcomes):
            if outcome == ".":
                yield i
            else:
                on_error(f"e{i}", InputError(f"file {i}", "rubbish", "an episode"))
    return read


def test_bad_ones_are_left_out_and_listed(tmp_path):
    bad = BadEpisodes(tmp_path / "sub" / "bad.csv", 0.1)
    assert list(bad.watch("metadata", reader("..x.x"))) == [0, 1, 3]
    assert list(bad.watch("signals", reader(".x"))) == [0]
    table = pd.read_csv(bad.path)
    assert list(table.columns) == COLUMNS
    assert table.episode.tolist() == ["e2", "e4", "e1"] and table.stage.tolist() == ["metadata"] * 2 + ["signals"]
    assert table.reason[0] == "file 2: found rubbish; expected an episode."


def test_a_report_without_bad_ones_replaces_an_old_one(tmp_path):
    bad = BadEpisodes(tmp_path / "bad.csv", 0.1)
    bad.path.write_text("old")
    assert list(bad.watch("metadata", reader(".."))) == [0, 1]
    assert bad.path.read_text().split() == [",".join(COLUMNS)]


@pytest.mark.parametrize("outcomes, share, stops_after", [
    ("x" * ALLOWED, 0.0, None), ("x" * (ALLOWED + 1), 0.0, 0), ("x" * 50, 1.0, None),
    ("." * 94 + "x" * 6, 0.06, None), ("." * 93 + "x" * 6, 0.06, 93), ("x" * 6 + "." * 94, 0.06, 0)])
def test_too_many_bad_ones_stop(tmp_path, outcomes, share, stops_after):
    bad, seen = BadEpisodes(tmp_path / "bad.csv", share), []
    if stops_after is None:
        assert len(list(bad.watch("m", reader(outcomes)))) == outcomes.count(".")
        return
    message = (rf"\(m\): found 6 of {stops_after + 6} episodes that cannot be read; expected at most a share of "
               rf"{share:g}.*The first: e\d+: file \d+: found rubbish.*bad.csv")
    with pytest.raises(InputError, match=message):
        for item in bad.watch("m", reader(outcomes)):
            seen.append(item)
    assert len(seen) == stops_after
    assert len(pd.read_csv(bad.path)) == 6  # the report is there, too


def test_each_stage_counts_its_own(tmp_path):
    bad = BadEpisodes(tmp_path / "bad.csv", 0.0)
    for stage in "abc":
        assert list(bad.watch(stage, reader("xxx."))) == [3]
    assert len(pd.read_csv(bad.path)) == 9


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_share_out_of_range(tmp_path, share):
    with pytest.raises(InputError, match="max_bad_share"):
        BadEpisodes(tmp_path / "bad.csv", share)


def test_every_kind_of_bad_episode_through_a_source_and_packets(tmp_path):
    """From shards with one good and six bad episodes, the good one comes out and the report has six reasons."""
    rng = np.random.default_rng(1)
    black, cut = jpeg(np.zeros((32, 32, 3), np.uint8)), jpeg(rng.integers(256, size=(32, 32, 3), dtype=np.uint8))[:-300]
    changes = [{}, {"image_0": [black] * 3}, {"image_0": None}, {"action": np.zeros(21)}, {"action": np.ones(28)},
               {"image_0": [cut] * 3}]
    paths = write(tmp_path / "data", [[example(episode(rng, size=32, **c)) for c in (*changes, {})]])
    data = bytearray(paths[0].read_bytes())
    data[-10] ^= 1  # the checksum of the last record
    paths[0].write_bytes(data)

    spec = SourceSpec("bridge", 0, 0, 32, str(tmp_path / "data"))
    bad = BadEpisodes(tmp_path / "bad.csv", 0.1)
    infos = list(bad.watch("metadata", lambda on_error: spec.open().infos(on_error, tmp_path / "index")))
    assert [i.id for i in infos] == [f"train-00000-000{i}" for i in (0, 1, 5)]
    read = list(bad.watch("signals", lambda on_error: packets(
        spec, [i.id for i in infos], tmp_path / "cache", 1, on_error)))
    assert [e.id for e, _ in read] == ["train-00000-0000"]
    reasons = pd.read_csv(bad.path).set_index("episode").reason
    for i, word in {1: "blank pictures", 2: "no steps/observation/image_0", 3: "zero actions", 4: "3 frames with 28",
                    5: "do not decode", 6: "checksum"}.items():
        assert word in reasons[f"train-00000-000{i}"]
    assert len(reasons) == 6


def test_the_simulators_still_episodes_are_no_fault(tmp_path, monkeypatch):
    """They are there for curation to reject by their score."""
    load = Tabletop.load
    monkeypatch.setattr(Tabletop, "load", lambda self, id: replace(load(self, id), actions=0 * load(self, id).actions))
    spec, errors = SourceSpec("tabletop", 1, 0, 16), {}
    ids = [i.id for i in spec.open().infos()]
    assert len(list(packets(spec, ids, tmp_path, 1, on_error=errors.setdefault))) == 1 and not errors


def test_a_limited_source_passes_errors_and_index_on(tmp_path):
    for i in range(4):
        write_raw(trajectory_folder(tmp_path / "data", i), recording(np.random.default_rng(i)))
    (trajectory_folder(tmp_path / "data", 1) / "obs_dict.pkl").unlink()
    source, errors = SourceSpec("bridge", 2, 0, 8, str(tmp_path / "data")).open(), {}
    assert [i.id[-1] for i in source.infos(errors.setdefault, tmp_path / "index")] == ["0", "2"]
    assert [id[-1] for id in errors] == ["1"] and len(list((tmp_path / "index").iterdir())) == 1
    assert source.name == "bridge-raw"


def test_a_run_s_listing_of_a_raw_release_names_picture_folders_only(tmp_path):
    folder = write_raw(trajectory_folder(tmp_path), recording(np.random.default_rng(2)), cameras=(0, 1))
    before = listing(str(tmp_path))
    assert "im_0.jpg" not in before and before.count("images") == 2 and "obs_dict.pkl" in before
    (folder / "images1" / "im_3.jpg").unlink()
    assert listing(str(tmp_path)) != before
