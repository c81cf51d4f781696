"""Curves of training: means over seeds, beside what they come to on held-out data and the floor of each head."""

import pandas as pd
import pytest

from lewm_core.viz import style, training_figures
from tests.viz.drawn import artists, misplaced, texts


def tables():
    """Two seeds of A, B and E; their epochs end at other steps. E has two heads."""
    steps = {0: (0, 10, 20), 1: (0, 8, 20)}
    losses = []
    for name, heads in (("A", ()), ("B", ("depth",)), ("E", ("depth", "tracks"))):
        for seed, own in steps.items():
            for step in own:
                row = {"condition": name, "scale": "pilot", "seed": seed, "epoch": 1, "step": step,
                       "pred": 4.0 - 0.1 * step + seed}
                losses.append(row | {f"head_{head}": 1.0 - 0.01 * step for head in heads})
    results = [(name, "pilot", seed, split, metric, value) for name in "ABE" for seed in (0, 1)
               for split, more in (("episode", 0.0), ("window", 0.5))
               for metric, value in (("mse", 3.0 + seed + more), ("head_depth", 0.9 + more),
                                     ("head_depth_constant", 0.95 + more), ("head_tracks", 0.7 + more))]
    return pd.DataFrame(losses), pd.DataFrame(results, columns=style.COLUMNS)


def test_each_loss_of_each_condition_has_a_panel_with_its_held_out_value_and_floor():
    losses, results = tables()
    fig = training_figures.learning_curves(losses, results, ["A", "B", "D", "E"])
    found = artists(fig)
    curves = {name for name in found if name.endswith("/mean")}
    assert curves == {"A/pred/mean", "B/pred/mean", "E/pred/mean", "B/head_depth/mean", "E/head_depth/mean",
                      "E/head_tracks/mean"}
    assert len({found[name].axes for name in curves}) == len(curves), "nothing lies on anything"
    assert found["B/pred/mean"].get_xdata().tolist() == [0, 8, 10, 20]
    assert found["B/pred/mean"].get_ydata() == pytest.approx([4.5, 3.7, 3.5, 2.5])
    assert found["B/pred/baseline"].get_ydata() == pytest.approx([4.5, 3.7, 3.5, 2.5])
    assert "A/pred/baseline" not in found
    assert found["E/pred/held-out"].get_ydata() == pytest.approx([3.5]), "on held-out episodes, not windows"
    assert found["B/head_depth/floor"].get_ydata() == pytest.approx([0.95, 0.95])
    assert found["B/head_depth/held-out"].get_ydata() == pytest.approx([0.9])
    assert "E/head_tracks/floor" not in found, "it was not measured"
    assert "held-out 0.9, floor 0.95" in texts(fig) and misplaced(fig) == []


def test_the_table_has_every_number():
    losses, results = tables()
    table = training_figures.learning_table(losses, results, ["A", "B"])
    training = table[table.split == "training"]
    assert len(training) == 6 + 6 + 6 and set(training.metric) == {"pred", "head_depth"}
    assert set(table.metric[table.split == "episode"]) == {"mse", "head_depth", "head_depth_constant"}
    assert "window" not in set(table.split) and set(table.condition) == {"A", "B"}


def test_conditions_that_were_not_run_are_left_out():
    losses, results = tables()
    alone = losses[losses.condition == "A"]
    fig = training_figures.learning_curves(alone, results, ["A", "B"])
    assert {name.split("/")[0] for name in artists(fig)} == {"A"} and "floor" not in texts(fig)
    assert "not run" in texts(training_figures.learning_curves(alone, results, ["B"]))
    assert training_figures.learning_table(alone, results, ["B"]).empty
    bare = training_figures.learning_curves(losses, results.iloc[:0], ["E"])
    assert not any(name.endswith(("/floor", "/held-out")) for name in artists(bare))
