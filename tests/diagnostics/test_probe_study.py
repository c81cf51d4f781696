"""What notebook 06 asks of frozen encoders, on made-up tokens."""

from dataclasses import replace

import numpy as np
import pytest

from lewm_core import dataset
from lewm_core.dataset import targets
from lewm_core.diagnostics import probe_study
from lewm_core.diagnostics.capacity import CURVE
from tests.helpers import LENGTHS, write_squares

pytestmark = pytest.mark.usefixtures("one_thread")
HELD = {0: np.array([4]), 3: np.array([0])}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return dataset.load(write_squares(tmp_path_factory.mktemp("data") / "squares.h5"))


@pytest.fixture(scope="module")
def features(data):
    """Of the base and A for two seeds: CLS and emb are noise, the four patch tokens hold the displacements."""
    rng = np.random.default_rng(0)
    moved = targets.displacements(data, "tracks").reshape(sum(LENGTHS), -1)
    patch = np.repeat(moved.mean(1, keepdims=True), 16, axis=1)
    tokens = {"CLS": rng.normal(size=(len(moved), 4)), "emb": rng.normal(size=(len(moved), 4)), "patch": patch}
    tokens = {name: values.astype(np.float32) for name, values in tokens.items()}
    return {(name, seed): tokens for name in ("base", "A") for seed in HELD}


def without(data, *columns):
    return replace(data, columns={name: value for name, value in data.columns.items() if name not in columns})


def of_each(data):
    return dict.fromkeys(HELD, data)


def test_every_model_is_probed_and_the_baseline_by_an_mlp_as_well(data, features):
    table = probe_study.probe_models(features, of_each(data), HELD)
    assert list(table) == probe_study.PROBED
    counts = table.groupby(["condition", "seed", "probe"]).size()
    assert counts["A", 3, "linear"] == 4 * 3 and counts["A", 3, "mlp"] == 4 * 2 and len(counts) == 6
    assert set(table[(table.condition == "A") & (table.probe == "mlp")].tokens) == set(probe_study.COMPARED)
    assert set(table[table.seed == 0].test_frames) <= {LENGTHS[4], LENGTHS[4] - 1}  # the last has no centroid


def test_signals_that_are_not_there_have_no_rows(data, features):
    bare = without(data, "tracks", "depth")
    assert set(probe_study.unavailable(bare)) == {"tracks", "depth"} and not probe_study.unavailable(data)
    assert set(probe_study.probe_models(features, of_each(bare), HELD).target) == {"centroid", "shape"}
    for table, columns in ((probe_study.probe_first_frame(features, of_each(bare), HELD), probe_study.PROBED),
                           (probe_study.points_at_once(features, of_each(bare), HELD, [1]), [*CURVE, "seed"])):
        assert table.empty and list(table) == columns


def test_the_first_frame_is_set_beside_the_current_one_for_the_baseline(data, features):
    table = probe_study.probe_first_frame(features, of_each(data), HELD)
    assert set(table.condition) == {"A"} and set(table.target) == {"tracks"} and set(table.probe) == {"linear"}
    assert list(table[table.seed == 0].tokens) == ["CLS", "CLS + first frame", "patch", "patch + first frame"]


def test_points_are_regressed_by_the_baselines_first_seed(data, features):
    table = probe_study.points_at_once(features, of_each(data), HELD, [1, 16])
    assert list(table) == [*CURVE, "seed"] and set(table.seed) == {0} and set(table.probe) == {"mlp", ""}
    assert set(table.series) == {"CLS", "patch", "training mean", "no motion"} and set(table.points) == {1, 16}
