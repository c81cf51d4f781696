"""The tables beside figures."""

from lewm_core.viz import tables
from lewm_core.viz.style import COLUMNS
from tests.helpers import moving_square, without


def test_a_packet_has_a_row_per_frame_and_signal():
    _, signals = moving_square(0, 9)
    table = tables.packet(signals)
    assert list(table)[: len(COLUMNS)] == COLUMNS and set(table.episode) == {"square0"}
    assert table.metric.value_counts().to_dict() == dict.fromkeys(
        ["median depth", "mask coverage", "visible tracks on the object"], 9)
    assert set(tables.packet(without(signals, mask="no")).metric) == {"median depth"}
