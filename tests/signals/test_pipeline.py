"""Which episodes a study is about: their description on disk, and packets in parallel, each opened once."""

import json
import pickle
from dataclasses import fields, replace

import numpy as np
import pytest

from lewm_core.signals.backends import CLASSICAL, SIMULATOR
from lewm_core.signals.pipeline import SourceSpec, open_episode, packet, packets
from lewm_core.sources.bridge_rlds import Bridge
from lewm_core.sources.tabletop.source import Tabletop
from lewm_core.utils import executors
from lewm_core.utils.errors import InputError
from lewm_core.utils.workers import Lost, Workers
from tests.notebooks.cells import InProcess

SPEC = SourceSpec("tabletop", n_candidates=4, seed=3, image_size=16)


def same(a, b) -> bool:
    """Whether two episodes, or two episodes' signals, are equal in every field, bit for bit."""
    pairs = [(getattr(a, f.name), getattr(b, f.name)) for f in fields(a)]
    return all(np.array_equal(x, y) if isinstance(x, np.ndarray) else x == y for x, y in pairs)


def test_a_spec_opens_the_source_it_describes():
    source, direct = SPEC.open(), Tabletop(4, 3, 16)
    assert source.fingerprint == direct.fingerprint
    assert source.infos() == direct.infos()
    assert SPEC.backends == SIMULATOR
    assert SourceSpec("bridge", 0, 0, 16, "anywhere").backends == CLASSICAL


def test_a_spec_s_looks_are_those_of_its_world(tmp_path):
    spec = replace(SPEC, looks=1)
    assert spec.open().fingerprint == spec.view(0, 16).fingerprint == Tabletop(4, 3, 16, looks=1).fingerprint
    assert spec.open().fingerprint != SPEC.open().fingerprint and spec.public()["looks"] == 1
    spec.save(tmp_path / "source.json")
    assert SourceSpec.load(tmp_path / "source.json") == spec
    with pytest.raises(InputError, match="looks"):
        replace(SPEC, looks=5)
    with pytest.raises(InputError, match="data bridge: found looks 2"):
        SourceSpec("bridge", 4, 0, 16, "anywhere", looks=2)


def test_bad_specs_say_what_to_pass():
    with pytest.raises(InputError, match="tabletop, bridge"):
        SourceSpec("brigde", 4, 0, 16)
    with pytest.raises(InputError, match="--data-path"):
        SourceSpec("bridge", 4, 0, 16)
    with pytest.raises(InputError, match="0 for all"):
        SourceSpec("bridge", -1, 0, 16, "anywhere")
    with pytest.raises(InputError, match="nowhere"):
        SourceSpec("bridge", 4, 0, 16, "nowhere").open()


def test_bridge_is_limited_and_its_path_relative_to_the_repository(shared, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = "../shared/bridge_sample"
    whole = Bridge(shared / "bridge_sample", 16)
    everything = SourceSpec("bridge", 0, 0, 16, folder).open()
    three = SourceSpec("bridge", 3, 0, 16, folder).open()
    assert list(everything.infos()) == list(whole.infos()) and everything.fingerprint == whole.fingerprint
    assert list(three.infos()) == list(whole.infos())[:3]
    assert three.fingerprint not in (whole.fingerprint, SourceSpec("bridge", 2, 0, 16, folder).open().fingerprint)
    assert same(three.load("train-00000-0002"), whole.load("train-00000-0002"))


def test_a_spec_survives_the_disk(tmp_path):
    spec = SourceSpec("bridge", 7, 1, 64, "some/where", 2)
    spec.save(tmp_path / "source.json")
    assert SourceSpec.load(tmp_path / "source.json") == spec
    assert "some/where" not in json.dumps(spec.public())


@pytest.mark.parametrize("change", [
    lambda values: values.pop("seed"),
    lambda values: values.update(seed="1"),
    lambda values: values.update(size=3),
    lambda values: values.update(looks=True),
    lambda values: values.update(data="nothing"),
])
def test_a_damaged_description_is_an_error(tmp_path, change):
    path = tmp_path / "source.json"
    SPEC.save(path)
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))
    with pytest.raises(InputError):
        SourceSpec.load(path)
    path.write_text("{")
    with pytest.raises(InputError, match="01_curation"):
        SourceSpec.load(path)


def test_packets_are_the_same_in_one_process_and_in_two(tmp_path):
    ids = [info.id for info in SPEC.open().infos()][::-1]
    asked, unreadable = [*ids[:2], "tabletop-3-00009", *ids[2:]], {}
    alone = list(packets(SPEC, ids, tmp_path / "alone", jobs=1))
    cache = tmp_path / "parallel"
    parallel = list(packets(SPEC, asked, cache, 2, lambda id, error: unreadable.update({id: error})))
    assert [episode.id for episode, _ in parallel] == ids
    assert list(unreadable) == ["tabletop-3-00009"] and isinstance(unreadable["tabletop-3-00009"], InputError)
    for (episode, signals), (episode2, signals2) in zip(alone, parallel, strict=True):
        assert same(episode, episode2) and same(signals, signals2)
        assert episode.truth is None and signals.depth is not None
    assert len(list(cache.glob("*.npz"))) == len(ids)


class Elsewhere(InProcess):
    """Workers of another machine: nothing comes back but what is small, and an item with `dies` kills its worker."""

    batch, dies, opened = 2, None, []
    map_many = Workers.map_many

    def __init__(self, on, jobs, folder, gpu):
        self.opened.append((on, gpu))

    def map(self, function, items, **_):
        items = list(items)
        assert len(pickle.dumps((function, items))) < 5000
        for item, outcome in super().map(function, items):
            assert len(pickle.dumps(outcome)) < 5000
            died = self.dies in [id for _, id, *_ in item]
            yield item, Lost("a worker", "that it died", "one that lives") if died else outcome


def test_signals_made_elsewhere_are_the_same_and_nothing_large_travels(tmp_path, monkeypatch):
    monkeypatch.setattr(executors, "opened", Elsewhere)
    ids = [info.id for info in SPEC.open().infos()]
    asked, cache = [*ids[:1], "tabletop-3-00009", *ids[1:]], tmp_path / "cache"
    bad = {}
    found = list(packets(SPEC, asked, cache, 0, lambda id, error: bad.update({id: error}), on="ray"))
    alone = list(packets(SPEC, ids, tmp_path / "alone", jobs=1))
    assert list(bad) == ["tabletop-3-00009"] and Elsewhere.opened[-1] == ("ray", False)
    for (episode, signals), (episode2, signals2) in zip(found, alone, strict=True):
        assert same(episode, episode2) and same(signals, signals2)
    monkeypatch.setattr(Tabletop, "load", lambda self, id: pytest.fail(f"{id} is rendered again"))
    again = [episode.id for episode, _ in packets(SPEC, ids, cache, on="slurm")]
    assert again == ids


def test_a_worker_that_dies_costs_the_episodes_that_it_was_at(tmp_path, monkeypatch):
    ids = [info.id for info in SPEC.open().infos()]
    monkeypatch.setattr(executors, "opened", Elsewhere)
    monkeypatch.setattr(Elsewhere, "dies", ids[0])
    bad = {}
    found = packets(SPEC, ids, tmp_path, 0, lambda id, error: bad.update({id: error}), on="ray")
    assert [episode.id for episode, _ in found] == ids[2:] and list(bad) == ids[:2]
    assert all(isinstance(error, Lost) for error in bad.values())


def test_an_episode_that_cannot_be_read_is_an_error(tmp_path):
    assert list(packets(SPEC, [], tmp_path)) == []
    with pytest.raises(InputError, match="tabletop-3-00009"):
        list(packets(SPEC, ["tabletop-3-00009"], tmp_path, jobs=1))


def test_an_opened_episode_is_not_rendered_again(tmp_path, monkeypatch):
    ids = [info.id for info in SPEC.open().infos()]
    first = list(packets(SPEC, ids, tmp_path, jobs=1))
    monkeypatch.setattr(Tabletop, "load", lambda self, id: pytest.fail(f"{id} is rendered again"))
    for (episode, signals), (episode2, signals2) in zip(first, packets(SPEC, ids, tmp_path, jobs=1), strict=True):
        assert same(episode, episode2) and same(signals, signals2)
        assert same(episode, open_episode(SPEC, episode.id, tmp_path))
    assert same(first[0][1], packet(SPEC, ids[0], tmp_path)[1])


def test_an_episode_opened_for_a_picture_still_gets_true_signals(tmp_path):
    id = next(iter(SPEC.open().infos())).id
    shown = open_episode(SPEC, id, tmp_path)
    assert shown.truth is None and same(shown, packet(SPEC, id, tmp_path / "anew")[0])
    # of the simulator's truth, which is not kept
    assert same(packet(SPEC, id, tmp_path)[1], packet(SPEC, id, tmp_path / "anew")[1])
    with pytest.raises(InputError, match="tabletop-3-00009"):
        open_episode(SPEC, "tabletop-3-00009", tmp_path)
