"""The table of conditions: the paper's rows, and controls that say what they vary of which."""

import pytest

from lewm_core.conditions import (
    CONDITIONS,
    CONTROLS,
    DILATIONS,
    INSIDE_WEIGHT,
    REFERENCES,
    Condition,
    condition,
    in_order,
)
from lewm_core.utils.errors import InputError


def test_every_condition_of_the_paper_is_a_row():
    assert list(CONDITIONS) == ["A", "B", "C1", "C2", "C3", "C4", "D", "D-fg", "E", "F", "G"]
    assert condition("A").terms == ()
    assert [t.head for t in condition("E").terms] == ["depth", "tracks"]
    assert [condition(c).terms[0].region for c in ("B", "C1", "C2", "C3", "C4")] == [None, 0, 8, 20, 0]
    assert condition("C2").columns == ("depth", "mask")
    with pytest.raises(InputError, match="one of A, B, C1"):
        condition("H")


def test_a_control_differs_from_what_it_varies_in_one_way():
    controls = [row for row in CONTROLS.values() if row.control_of]
    assert [row.name for row in CONTROLS.values() if row not in controls] == ["P"]
    for row in controls:
        varied = condition(row.control_of)
        assert row.family == varied.family and row.variant
        assert (row.baseline == varied.baseline) == (row.predictor == varied.predictor)
        assert condition(row.baseline).terms == () and condition(row.baseline).predictor == row.predictor
    assert all(row.control_of is None and row.baseline == "A" for row in CONDITIONS.values())
    pairs = [(row.control_of, row.variant) for row in controls]
    assert len(set(pairs)) == len(pairs)
    assert {row.control_of for row in CONTROLS.values() if row.family == "mask"} == set(DILATIONS)


def test_the_papers_numbers():
    assert DILATIONS == {"C1": 0, "C2": 8, "C3": 20} and INSIDE_WEIGHT == 5
    assert condition("C4").terms[0].inside_weight == INSIDE_WEIGHT


def test_the_papers_conditions_come_first_and_strangers_last():
    names = ["X", *CONTROLS, "X", *reversed(CONDITIONS), *REFERENCES]
    assert in_order(names) == [*CONDITIONS, *REFERENCES, *CONTROLS, "X"]


def test_references_are_the_base_as_it_is_and_as_the_steps_alone_leave_it():
    assert {name: row.training for name, row in REFERENCES.items()} == {"base": "none", "lr-0": "lr 0"}
    assert all(row.terms == () and row.predictor == "cls" for row in REFERENCES.values())
    assert all(row.training == "full" for row in (*CONDITIONS.values(), *CONTROLS.values()))
    with pytest.raises(InputError, match="training: found 'half'; expected one of full, lr 0, none"):
        Condition("H", "half", "baseline", training="half")
