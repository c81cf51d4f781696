"""Figures of the data draw the numbers of their tables."""

import pandas as pd
import pytest

from lewm_core.viz import data_figures
from tests.viz.drawn import artists, texts


def test_track_quality_counts_by_hand():
    points = pd.DataFrame({"backend": "classical", "error": [1.0, 3.0, 100.0, 7.0], "visible_true": [1, 1, 0, 1],
                           "visible": [1, 1, 1, 0]})
    fig = data_figures.track_quality(points)
    assert artists(fig)["classical/cdf"].get_xdata() == pytest.approx([1, 3])
    words = texts(fig)
    assert "median 2 px" in words and "50%" in words and words.count("67%") == 2


def test_on_object_counts_beside_the_paper_s():
    counts = pd.DataFrame({"layout": ["uniform"] * 2 + ["foreground"] * 2, "count": [2, 4, 50, 60]})
    found = artists(data_figures.on_object_counts(counts))
    assert found["uniform/paper"].get_ydata() == [5] and found["foreground/paper"].get_ydata() == [47]
    assert found["uniform/mean"].get_segments()[0][0, 1] == 3 and found["foreground/mean"].get_segments()[0][0, 1] == 55
    assert sorted(found["foreground/frames"].get_offsets()[:, 1]) == [50, 60]


def test_score_distributions():
    scores = pd.DataFrame({"part_length": [0.0, 0.5, 1.0], "part_mask_coverage": [1.0, 1.0, 0.0],
                           "score": 0.5, "accepted": [True, True, False]})
    fig = data_figures.score_distributions(scores, "accepted")
    assert "accepted (2)" in texts(fig) and "rejected (1)" in texts(fig) and "mask coverage" in texts(fig)


def test_counts_that_cannot_be_made_say_why():
    counts = pd.DataFrame({"layout": ["uniform", "foreground"], "count": float("nan"), "note": "No mask here."})
    assert "No mask here." in data_figures.on_object_counts(counts).axes[0].texts[0].get_text()
