"""The rows behind the claims: every claim has one, its number is the verdict's, and its source is what was read."""

import hashlib

import numpy as np
import pandas as pd
import pytest

from lewm_core.stats import claims, evidence_rows, outcomes
from lewm_core.stats.asides import FACTS
from lewm_core.stats.evidence import Evidence
from lewm_core.stats.primary import PRIMARY_HYPOTHESES
from lewm_core.utils.workspace import Workspace
from tests.stats.test_claims import PARAMETERS, THE_PAPERS, study


@pytest.fixture
def place(tmp_path):
    place = Workspace(tmp_path / "out", tmp_path / "figures")
    place.output.mkdir()
    for scale in ("pilot", "full"):
        place.results(scale).write_text(f"the results at {scale}")
    place.measured("probes").write_text("the probes")
    return place


@pytest.fixture
def evidence():
    probes = pd.DataFrame([(seed, target, tokens, "linear", r2 + 0.01 * seed) for seed in range(3)
                           for target, tokens, r2 in (("depth", "CLS", 0.5), ("depth", "patch", 0.6),
                                                      ("tracks", "CLS", 0.1), ("tracks", "patch", 0.3))],
                          columns=["seed", "target", "tokens", "probe", "r2"])
    return Evidence(study(THE_PAPERS), probes=probes, parameters=PARAMETERS)


@pytest.fixture
def table(evidence, place):
    return evidence_rows.evidence_table(evidence, place)


def test_every_claim_has_its_rows(table):
    known = [h.id for h in PRIMARY_HYPOTHESES] + [c.id for cs in claims.KINDS.values() for c in cs]
    assert list(dict.fromkeys(table.id)) == known
    assert not table.duplicated(["id", "part"]).any()
    assert set(table.status[table.kind == "primary"]) == {"prespecified"}
    assert set(table.status[table.kind != "primary"]) == {"exploratory"}
    assert (table.aggregation != "").all()


def test_the_numbers_are_those_that_were_judged(table, evidence):
    rows = table.set_index("id")
    judged = claims.claims_table(evidence, {}).set_index("id")
    for name in ("full-B", "full-D", "baseline-ratio", "tracks-behind", "CLS-depth", "size-model"):
        own, verdict = rows.loc[name], judged.loc[name]
        expected = [verdict["mean"], verdict.low, verdict.high]
        assert np.allclose([own.number, own.low, own.high], expected, equal_nan=True)
        assert own.n == verdict.n and own.part == ""
    helps = rows.loc["pilot-B"].set_index("part")
    change = evidence.change("B", "pilot", outcomes.OUTCOME, outcomes.SPLIT)
    twin = evidence.contrast("B", "B-shuf", "pilot", outcomes.OUTCOME, outcomes.SPLIT)
    assert np.allclose(helps.number, [change.mean(), twin.mean()]) and set(helps.unit) == {"%"}
    assert list(rows.loc["pilot-all"].part[:2]) == ["B: against its baseline", "B: against B-shuf"]
    assert list(rows.loc["H3"].part) == ["B against A", "B against B-shuf"]
    assert rows.loc["H4"].unit == "points" and rows.loc["baseline-ratio"].unit == "×"


def test_the_source_is_what_was_read(table, place):
    rows = table.set_index("id")
    digest = {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in place.output.iterdir()}
    pilot, full, probes = place.results("pilot"), place.results("full"), place.measured("probes")
    assert (rows.loc["full-B"].source, rows.loc["full-B"].sha256) == (full.name, digest[full])
    assert rows.loc["full-B"].rows == "B, A" and rows.loc["full-B"].made_by == "05_full_scale"
    both = rows.loc["lost-D"]
    assert evidence_rows.spread(both.source) == [pilot.name, full.name]
    assert evidence_rows.spread(both.sha256) == [digest[pilot], digest[full]]
    assert evidence_rows.spread(both.made_by) == ["03_pilot_ablation", "05_full_scale"]
    assert rows.loc["CLS-depth"].source == probes.name and rows.loc["CLS-depth"].sha256 == digest[probes]
    assert rows.loc["size-model"].source.startswith("no file") and rows.loc["size-model"].sha256 == ""
    assert rows.loc["retrieval"].source == "" and rows.loc["retrieval"].n == 0
    assert str(place.output) not in table.to_csv(), "no folder of somebody's machine"


def test_it_is_read_as_it_was_written(table, tmp_path):
    evidence_rows.save(table, tmp_path)
    pd.testing.assert_frame_equal(evidence_rows.read(tmp_path), table)
    assert evidence_rows.read(tmp_path / "nothing").empty


def test_every_claim_says_how_its_number_is_made():
    assert all(c.made for c in (*claims.CLAIMS, *FACTS))
