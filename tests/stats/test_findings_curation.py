"""Sentences about the curation say what the tables hold."""

import pandas as pd

from lewm_core.stats import findings_curation


def test_metadata_and_measurements():
    candidates = pd.DataFrame({"accepted": [True, False, False], "reason": ["", "folding", "folding"]})
    assert findings_curation.metadata(candidates) == ["1 of 3 candidates pass the filter on text and length.",
                                                      "Rejected: folding (2)."]
    none = pd.DataFrame({"reason": []})
    lines = findings_curation.measured(5, 2, [], none, "bad.csv")
    assert lines == ["5 episodes have been measured: 2 in this run, 3 in earlier ones."]
    lines = findings_curation.measured(5, 2, ["depth"], pd.DataFrame({"reason": ["torn"]}), "bad.csv")
    assert "depth" in lines[1] and "`bad.csv`" in lines[2] and "torn" in lines[2]


def test_selection():
    readings = {"full": {"score": "the best by score"}, "pilot": {"score": "the best by score"}}
    lines = findings_curation.selection({"full_by": "score", "pilot_by": "hand"}, readings, True, "selection.csv")
    assert "kept" in lines[0] and lines[1:] == ["The full set is the best by score (`full_by=score`).",
                                                "The pilot set is edited by hand (`pilot_by=hand`)."]


def test_what_decided():
    table = pd.DataFrame({"full marks": [0.5, 1.0], "share of the gap": [1.0, 0.0]}, index=["depth", "verb"])
    scored = pd.DataFrame({"score": [1.0, 0.5], "selected": [True, False]})
    lines = findings_curation.decided(table, scored)
    assert "1 of 2" in lines[0] and "100% (depth)" in lines[0]
    assert lines[1:] == ["All scored episodes have full marks in verb, so this had no effect."]
    assert "no part decided" in findings_curation.decided(table, scored.assign(selected=True))[0]
