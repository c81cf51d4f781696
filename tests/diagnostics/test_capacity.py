"""The capacity curve finds a planted bottleneck, and none where nothing was planted."""

from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest

from lewm_core.config import Recipe
from lewm_core.dataset import Data
from lewm_core.diagnostics import capacity, probe_fits
from lewm_core.diagnostics.capacity import (
    STATE,
    STATE_FIRST,
    anchor_points,
    capacity_curve,
    states,
    token_sets,
)
from lewm_core.stats.evidence import FLOORS
from lewm_core.utils.errors import InputError

EPISODES, LENGTH, SIZE, GRID = 14, 12, 64, 4  # GRID × GRID tokens of 16 px
N = EPISODES * LENGTH
TEST = [11, 12, 13]


@pytest.fixture(scope="module")
def data() -> Data:
    """400 points; in every cell of the grid one displacement per frame, drawn anew: 32 numbers a frame. The robot's
    observation holds those of the first cell only, as a position since the first frame's."""
    rng = np.random.default_rng(0)
    points = rng.uniform(0, SIZE, (400, 2))
    cell = (points // 16).astype(int) @ [1, GRID]
    moved = rng.normal(0, 4, (N, GRID**2, 2))
    moved[::LENGTH] = 0
    start = np.repeat(rng.normal(0, 30, (EPISODES, 2)), LENGTH, axis=0)
    observation = np.concatenate([start + moved[:, 0], rng.normal(size=(N, 5))], 1)
    return Data({"pixels": np.zeros((N, SIZE, SIZE, 3), "u1"), "observation": observation.astype("f4"),
                 "ep_len": np.full(EPISODES, LENGTH), "ep_offset": np.arange(EPISODES) * LENGTH,
                 "tracks": (points + moved[:, cell]).astype("f4"), "visible": np.ones((N, 400), "u1"),
                 "moved": moved.astype("f4"), "cell": cell})


def only(data, points):
    return Data({**data.columns, "tracks": data["tracks"][:, points], "visible": data["visible"][:, points]})


def series(table, points):
    return table[table.points == points].set_index(["series", "probe"]).error


def test_the_same_points_are_compared_for_every_count(monkeypatch):
    """Only point 0 moves. Features that hold the time predict it; the floor is the mean absolute deviation of x."""
    monkeypatch.setattr(capacity, "ANCHORS", 4)
    rng = np.random.default_rng(5)
    time = np.tile(np.arange(7), 12)
    tracks = np.tile(rng.uniform(0, 15, (400, 2)), (84, 1, 1)).astype("f4")
    tracks[:, 0, 0] += 4 * time
    visible = np.ones((84, 400), "u1")
    visible[:, 1] = 0
    data = Data({"pixels": np.zeros((84, 16, 16, 3), "u1"), "tracks": tracks, "visible": visible,
                 "ep_len": np.full(12, 7), "ep_offset": np.arange(12) * 7})
    anchors = anchor_points(data, np.arange(70), 4)
    assert anchors[0] == 0 and 1 not in anchors and len(set(anchors)) == 4
    features = {"time": time[:, None, None].astype("f4")}
    table = capacity_curve(features, data, [10, 11], (1, 2, 400), ["linear", "mlp"], 0)
    error = table.pivot(index="points", columns=["series", "probe"], values="error")
    shift = 56 * np.arange(7)
    mean = error["training mean", ""]
    assert mean.nunique() == 1 and mean[1] == pytest.approx(shift.std() / 2, rel=1e-5)
    assert error["no motion", ""][1] == pytest.approx(np.sqrt((shift**2).mean()) / 2, rel=1e-5)
    said = capacity.describe_curve(table)
    assert said[0].startswith(f"time, linear: {error['time', 'linear'][1]:.1f} px with 1 at once") and len(said) == 2
    assert "against the training mean at best" in said[0]
    blind = table.assign(error=error["training mean", ""][1])
    assert "never clearly better than the training mean" in capacity.describe_curve(blind)[0]
    none = capacity_curve(features, data, [], (1, 400), ["linear"], 0)
    assert none.empty and "no held-out episodes" in capacity.describe_curve(none)[0]
    assert (error["time", "mlp"] < 0.5 * mean).all() and (error["time", "linear"] < 0.1 * mean).all()
    with pytest.raises(InputError, match="1 to 400"):
        capacity_curve(features, data, [10, 11], (401,), ["linear"], 0)


def test_a_planted_bottleneck_is_found(data):
    """Patch tokens hold what moves in their cell; the CLS token holds four of these 32 numbers."""
    rng = np.random.default_rng(1)
    patch = np.pad(data["moved"], ((0, 0), (0, 0), (0, 4))) + 0.01 * rng.normal(size=(N, GRID**2, 6))
    cls = np.pad(data["moved"][:, :2].reshape(N, 4), ((0, 0), (0, 2))) + 0.01 * rng.normal(size=(N, 6))
    sets = token_sets({"CLS": cls.astype("f4"), "patch": patch.reshape(N, -1).astype("f4")})
    assert sets["both"].shape == (N, 17, 6) and np.array_equal(sets["both"][:, 1:], sets["patch"])
    error = series(capacity_curve(sets, data, TEST, (16,), ["linear"], 0), 16)
    mean = error["training mean", ""]
    assert error["patch", "linear"] < 0.1 * mean and error["both", "linear"] < 0.1 * mean
    assert error["CLS", "linear"] > 0.5 * mean, "the CLS token holds an eighth of what moves"


def test_the_attention_probe_asks_the_token_at_a_points_place(data, monkeypatch):
    """All points of two cells; the token at a point's place says where it goes. Elsewhere stands noise."""
    monkeypatch.setattr(probe_fits, "ATTENTION_STEPS", 300)
    rng = np.random.default_rng(2)
    chosen = np.flatnonzero(np.isin(data["cell"], [0, 15]))[::2]
    few = only(data, chosen)
    patch = np.pad(data["moved"], ((0, 0), (0, 0), (0, 4))).astype("f4")
    noise = rng.normal(0, 4, patch.shape).astype("f4")
    error = series(capacity_curve({"patch": patch, "noise": noise}, few, TEST, (len(chosen),), ["attention"],
                                  0), len(chosen))
    assert error["patch", "attention"] < 0.5 * error["training mean", ""]
    assert error["noise", "attention"] > 0.95 * error["training mean", ""]


def test_nothing_is_found_in_noise(data):
    rng = np.random.default_rng(3)
    sets = token_sets({"CLS": rng.normal(size=(N, 6)), "patch": rng.normal(size=(N, 96))})
    error = series(capacity_curve(sets, data, TEST, (8,), ["linear", "mlp"], 0), 8)
    floor = error[[(name, "") for name in FLOORS]].min()
    assert (error.drop([(name, "") for name in FLOORS]) > 0.95 * floor).all()


def test_the_ceiling_reads_the_state_and_needs_the_first_frame(data):
    """Points of the first cell follow the observation since the first frame: a linear map of both frames' states."""
    chosen = np.flatnonzero(data["cell"] == 0)
    few = only(data, chosen)
    error = series(capacity_curve(states(few), few, TEST, (8,), ["linear"], 0), 8)
    assert error[STATE_FIRST, "linear"] < 0.1 * error["training mean", ""] < error[STATE, "linear"]


def test_states_say_what_they_are_made_of(data):
    assert states(data)[STATE].shape == (N, 1, 7)
    valid = np.ones(N, "u1")
    valid[5] = 0
    centroid = np.full((N, 3), 2.0, "f4")
    centroid[5] = np.nan
    more = Data({**data.columns, "centroid": centroid, "centroid_valid": valid})
    found = states(more)
    assert found[STATE][4, 0, 7:].tolist() == [2, 2, 2, 1] and not found[STATE][5, 0, 7:].any()
    change = found[STATE][LENGTH + 3, 0] - found[STATE][LENGTH, 0]
    assert np.array_equal(found[STATE_FIRST][LENGTH + 3, 0, 11:], change)


@pytest.mark.parametrize("name", ["D", "D-raw"])
def test_the_floors_of_a_head_are_in_the_units_of_its_loss(monkeypatch, name):
    """All points move alike; by hand in px, over the unit that the condition's targets have."""
    rng = np.random.default_rng(0)
    moved = rng.normal(1, 20, (3, 8, 2)) * (np.arange(8) > 0)[:, None]  # of two episodes to learn from, one to judge by
    tracks = rng.uniform(0, 30, (3, 1, 400, 2)) + moved[:, :, None]
    data = Data({"pixels": np.zeros((24, 32, 32, 3), "u1"), "visible": np.ones((24, 400), "u1"),
                 "ep_len": np.full(3, 8), "ep_offset": np.arange(3) * 8, "episode_id": np.array(["a", "b", "c"]),
                 "tracks": tracks.reshape(24, 400, 2).astype("f4")})
    record = {"recipe": asdict(Recipe(val_windows=0)), "seed": 0, "test": ["c"]}
    monkeypatch.setattr(capacity, "result", lambda folder, key: record)
    monkeypatch.setattr(capacity, "data_of", lambda record, data: data)
    results = pd.DataFrame([{"condition": name, "scale": "pilot", "seed": 0, "split": "episode", "value": 1.0,
                             "metric": "head_tracks", "run": "key"}])
    (row,) = capacity.head_floors(results, "", data).to_dict("records")
    unit = moved[:2].std((0, 1)) if name == "D" else 32
    for floor, guess in (("no motion", 0), ("training mean", moved[:2].mean((0, 1)))):
        error = np.abs(moved[2] - guess) / unit
        by_hand = np.where(error < 1, error**2 / 2, error - 0.5).mean()
        assert row[floor] == pytest.approx(by_hand, rel=1e-4)
