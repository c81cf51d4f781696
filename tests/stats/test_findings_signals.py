"""Sentences about signals say what the tables hold."""

import pandas as pd

from lewm_core.stats import findings_signals

SUMMARY = pd.DataFrame({"staying: median error (px)": [0.5, float("nan")],
                        "moving, staying: median error (px)": [2.0, float("nan")],
                        "object: median error (px)": [1.5, float("nan")], "object: found": [0.75, float("nan")]},
                       index=["classical", "blind"])
NUMBERS = pd.DataFrame({"episode": ["a", "b"], "made_by": "classical", "metric": "iou", "value": [0.4, 0.8]})


def test_quality_of_a_backend():
    text = "\n".join(findings_signals.backend_quality(NUMBERS, SUMMARY, "classical"))
    assert "simulated episodes (n = 2)" in text and "0.60 on average, from 0.40 to 0.80" in text and "75%" in text
    assert len(findings_signals.backend_quality(NUMBERS, SUMMARY, "blind")) == 1


def test_tracks_on_the_object():
    counts = pd.DataFrame({"layout": ["uniform", "foreground"], "count": [10.0, 120.0]})
    text = "\n".join(findings_signals.tracks_on_object(counts, 0.05, 400, 240))
    assert "put 10.0 visible" in text and "20 of 400 points" in text and "50% of the 240 queries" in text
    missing = counts.assign(count=float("nan"), note="No mask here.")
    assert findings_signals.tracks_on_object(missing, float("nan"), 400, 240) == ["Cannot be counted: No mask here."]
