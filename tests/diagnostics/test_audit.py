"""What is said of a dataset file."""

import numpy as np
import pytest

from lewm_core import dataset
from lewm_core.diagnostics import audit
from tests.helpers import SIDE, SIZE, moving_square, write_squares

COVERED = (SIDE / SIZE) ** 2


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return dataset.load(write_squares(tmp_path_factory.mktemp("data") / "squares.h5", (9, 7)))


@pytest.fixture(scope="module")
def without_mask(tmp_path_factory):
    return dataset.load(write_squares(tmp_path_factory.mktemp("data") / "squares.h5", (9, 7), mask="No mask here."))


def test_the_contract_shows_each_column_in_each_dataset(data, without_mask):
    table = audit.contract({"all": data, "some": without_mask})
    assert table.index.tolist() == list(dataset.COLUMNS)
    assert table.loc["mask", "all"] == f"16 × {SIZE} × {SIZE}" and table.loc["mask", "some"] == "–"


def test_signals_are_measured_where_they_are_valid(data):
    table = audit.signals(data)
    assert table.loc["depth", "made by"] == "hand"
    assert table.loc["mask", "median"] == pytest.approx(COVERED)
    assert table.loc["centroid", "valid"] == pytest.approx(14 / 16)  # the last frame of both has none
    assert np.isfinite(table.loc["shape", "greatest"])
    assert table.loc["tracks", "least"] == 0


def test_a_missing_signal_says_why(without_mask):
    table = audit.signals(without_mask)
    assert table.loc["mask", "made by"] == "missing: No mask here." and np.isnan(table.loc["mask", "valid"])
    counts, area = audit.on_object_counts(without_mask), audit.supervised_area(without_mask)
    assert counts["count"].isna().all() and counts.note.str.startswith("No mask here.").all()
    assert area["mean share of the frame"].isna().all() and area.note.eq("No mask here.").all()
    assert np.isnan(audit.coverage(without_mask))


def test_tracks_are_counted_frame_by_frame(data):
    counts = audit.on_object_counts(data)
    _, signals = moving_square(0, 9)
    assert len(counts) == 2 * 16 and set(counts.layout) == {"uniform", "foreground"}
    mine = counts[(counts.episode == "square0") & (counts.layout == "uniform") & (counts.frame == 0)]
    tracks = signals.tracks[0].round().astype(int)
    on_square = signals.mask[0][tracks[:, 1].clip(0, SIZE - 1), tracks[:, 0].clip(0, SIZE - 1)]
    assert mine["count"].item() == (on_square & signals.visible[0]).sum()


def test_a_larger_dilation_reads_more(data):
    area = audit.supervised_area(data)
    assert area.index.tolist() == ["C1", "C2", "C3"] and area["dilation (px at 224)"].tolist() == [0, 8, 20]
    assert area["mean share of the frame"].is_monotonic_increasing and (area["frames with nothing"] == 0).all()
    assert area.loc["C1", "mean share of the frame"] == pytest.approx(COVERED, abs=0.02)
