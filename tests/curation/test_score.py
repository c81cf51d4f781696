"""Curation on hand-made cases: each planted fault changes exactly its own part, one formula for one and for many."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from lewm_core.curation import measurements, score
from lewm_core.curation.score import Criteria
from lewm_core.signals.extraction import Signals
from lewm_core.sources.episode import EpisodeInfo
from lewm_core.utils.errors import InputError

T, SIZE = 20, 112  # half the reference size: one pixel here is two of the paper's


def good_signals() -> Signals:
    """An object of 10 % coverage whose points travel 38 px here, 76 px at 224; depth from 0.5 to 1.25."""
    depth = np.broadcast_to(np.linspace(0.5, 1.25, 56 * 56, dtype=np.float32).reshape(56, 56), (T, 56, 56))
    mask = np.zeros((T, SIZE, SIZE), bool)
    mask[:, 20:55, 30:66] = True
    start = np.random.default_rng(0).uniform((30, 20), (65, 54), (400, 2))
    tracks = (start + np.arange(T)[:, None, None] * [2.0, 0]).astype(np.float32)
    uniform = np.repeat(np.random.default_rng(1).uniform(0, SIZE, (1, 400, 2)), T, 0).astype(np.float32)
    seen = np.ones((T, 400), bool)
    return Signals("e", depth, mask, uniform, seen, tracks, seen, None, None, None, None, {}, {})


TASK = "put the carrot on the plate"


def measured(task=TASK, length=T, id="e", **changes) -> dict:
    return measurements.measure(EpisodeInfo(id, task, length), dataclasses.replace(good_signals(), **changes), SIZE)


def scored(criteria=None, **changes) -> pd.Series:
    return score.score(pd.DataFrame([measured(**changes)]), criteria or Criteria()).iloc[0]


def parts(criteria=None, **changes):
    return scored(criteria, **changes).filter(like="part_").rename(lambda c: c.removeprefix("part_")).to_dict()


def test_a_good_episode_has_the_full_score():
    assert parts() == dict.fromkeys(score.PARTS, 1.0) and scored().score == 1.0


def growing_mask():
    mask = np.zeros((T, SIZE, SIZE), bool)
    for t in range(T):
        mask[t, 20 : (50 if t % 2 else 40), 30:80] = True  # 12 % and 8 %: in range, but unsteady
    return mask


def large_mask():
    mask = np.zeros((T, SIZE, SIZE), bool)
    mask[:, :60, :60] = True  # 29 %
    return mask


FAULTS = {
    "verb": ({"task": "push the carrot to the left"}, 0.5),
    "length": ({"length": 60}, 0.5),
    "motion": ({"tracks_fg": np.repeat(good_signals().tracks_fg[:1], T, 0)}, 0.0),
    "coverage": ({"mask": large_mask()}, 0.0),
    "stability": ({"mask": growing_mask()}, 0.8),
    "depth": ({"depth": np.full((T, 56, 56), 0.7, np.float32)}, 0.0),
}


@pytest.mark.parametrize("part", FAULTS)
def test_a_planted_fault_lowers_exactly_its_part(part):
    changes, expected = FAULTS[part]
    found = parts(**changes)
    assert found[part] == pytest.approx(expected, abs=1e-6)
    others = {name: 1.0 for name in score.PARTS if name != part}
    assert {name: found[name] for name in others} == pytest.approx(others)


@pytest.mark.parametrize(
    ("task", "value"),
    [
        ("put the carrot on the plate", 1.0), ("Place cup into the sink", 1.0), ("pick up the spoon", 1.0),
        ("picked the spoon up", 1.0), ("push the cup", 0.5), ("input the onion", 0.5), ("move the cloth", 0.25),
        ("put the towel on the table", 0.5), ("fold the cloth", 0.0), ("unfold the napkin", 0.0), ("", 0.0),
    ],
)  # fmt: skip
def test_verbs(task, value):
    assert parts(task=task)["verb"] == value


@pytest.mark.parametrize(("length", "value"), [(15, 1), (40, 1), (7, 0), (80, 0), (12, 0.6), (60, 0.5)])
def test_length_part(length, value):
    assert parts(length=length)["length"] == pytest.approx(value)


def test_motion_is_a_path_length_over_visible_steps_at_the_reference_size():
    signals = good_signals()
    assert measurements.path_lengths(signals) == pytest.approx(19 * 2, rel=1e-5)
    assert measured()["motion_95"] == pytest.approx(19 * 2 * 2, rel=1e-5)
    seen = signals.visible_fg.copy()
    seen[10:] = False
    assert measured(visible_fg=seen)["motion_95"] == pytest.approx(9 * 2 * 2, rel=1e-5)
    assert measured(mask=np.zeros_like(signals.mask))["motion_95"] == 0  # no object: the uniform points, which rest
    assert parts(Criteria(min_motion=152.0))["motion"] == pytest.approx(0.5)


def test_criteria_choose_among_the_percentiles_that_were_measured():
    half = good_signals().tracks_fg.copy()
    half[:, ::2] = half[:1, ::2]  # every second point rests
    row = measured(tracks_fg=half)
    assert row["motion_100"] == pytest.approx(76, rel=1e-5) and row["motion_50"] < 76
    limits = {"min_motion": 76.0}
    found = [parts(Criteria(motion_percentile=p, **limits), tracks_fg=half)["motion"] for p in (50.0, 75.0, 100.0)]
    assert found[0] < found[2] == pytest.approx(1, rel=1e-5)
    with pytest.raises(InputError, match="motion_percentile 80.*one of 50, 75, 90, 95, 99, 100"):
        Criteria(motion_percentile=80.0)
    wide = parts(Criteria(min_depth_range=3.0, depth_percentiles=(0.0, 100.0)))["depth"]
    assert wide == pytest.approx((1.25 / 0.5 - 1) / 2) and wide > parts(Criteria(min_depth_range=3.0))["depth"]
    with pytest.raises(InputError, match="depth_percentiles"):
        Criteria(depth_percentiles=(95.0, 5.0))


def test_depth_range_is_free_of_the_unit():
    depth, criteria = good_signals().depth, Criteria(min_depth_range=4.0)
    share = (1.2125 / 0.5375 - 1) / 3
    assert parts(criteria)["depth"] == pytest.approx(share, rel=1e-3)
    assert parts(criteria, depth=depth * 1000)["depth"] == pytest.approx(parts(criteria)["depth"])
    assert parts(criteria, depth=depth - 1)["depth"] == 0


def test_missing_signals_leave_the_rest_to_decide():
    none = {"depth": None, "mask": None, "tracks": None, "tracks_fg": None}
    found = scored(task="push it", **none)
    assert found.index[found.isna()].tolist() == [f"part_{p}" for p in ("motion", "coverage", "stability", "depth")]
    c = Criteria()
    assert found.score == pytest.approx((0.5 * c.weight_verb + c.weight_length) / (c.weight_verb + c.weight_length))
    assert parts(depth=None)["motion"] == 1.0
    only_depth = Criteria(**{f"weight_{part}": float(part == "depth") for part in score.PARTS})
    assert scored(only_depth, depth=None).score == 0


def random_signals(rng: np.random.Generator) -> Signals:
    """Noise of 5 to 30 frames; a mask, depth or tracks may be missing, a mask empty."""
    t = int(rng.integers(5, 31))
    mask = rng.random((t, SIZE, SIZE)) < rng.choice([0, 0.01, 0.1, 0.4]) * rng.random((t, 1, 1))
    tracks = rng.uniform(0, SIZE - 1, (1, 400, 2)) + np.cumsum(rng.normal(0, rng.uniform(0, 3), (t, 400, 2)), 0)
    depth = rng.uniform(0.5, rng.uniform(0.6, 3), (t, 56, 56)).astype(np.float32)
    has = rng.random(3) > 0.2
    tracks, seen = (tracks.astype(np.float32), rng.random((t, 400)) > 0.2) if has[1] else (None, None)
    fg, seen_fg = (tracks, seen) if has[0] and has[1] else (None, None)
    return Signals("e", depth if has[2] else None, mask if has[0] else None, tracks, seen, fg, seen_fg, None, None,
                   None, None, {}, {})


def plain_score(info: EpisodeInfo, signals: Signals, c: Criteria) -> float:
    """The paper's criteria in plain words for one episode, derived again from its signals."""
    short, long = info.length / (c.min_length / 2) - 1, 2 - info.length / c.max_length
    gained = [c.weight_verb * 1.0, c.weight_length * max(0, min(1, short, long))]
    weights = [c.weight_verb, c.weight_length]
    if signals.tracks is not None:
        points = range(400)
        if signals.mask is not None:
            x, y = np.floor(signals.tracks[0] + 0.5).astype(int).T
            on = (x >= 0) & (y >= 0) & (x < SIZE) & (y < SIZE)
            on[on] = signals.mask[0][y[on], x[on]]
            points = np.flatnonzero(on) if on.any() else points
        ways = [sum(np.hypot(*(signals.tracks[t + 1, i] - signals.tracks[t, i])) for t in range(len(signals.tracks) - 1)
                    if signals.visible[t, i] and signals.visible[t + 1, i]) for i in points]
        gained.append(c.weight_motion * min(1, np.percentile(ways, c.motion_percentile) * 224 / SIZE / c.min_motion))
        weights.append(c.weight_motion)
    if signals.mask is not None:
        share = [m.sum() / m.size for m in signals.mask]
        inside = [c.min_coverage <= s <= c.max_coverage for s in share]
        steady = 1 - np.std(share) / np.mean(share) / c.max_variation if np.mean(share) > 0 else 0
        gained += [c.weight_coverage * sum(inside) / len(inside), c.weight_stability * max(0, steady)]
        weights += [c.weight_coverage, c.weight_stability]
    if signals.depth is not None:
        near, far = np.percentile(signals.depth, c.depth_percentiles)
        gained.append(c.weight_depth * min(1, (far / near - 1) / (c.min_depth_range - 1)))
        weights.append(c.weight_depth)
    return sum(gained) / sum(weights)


def test_the_score_of_many_at_once_is_that_of_each_alone_and_of_plain_words(tmp_path):
    rng = np.random.default_rng(4)
    found = [random_signals(rng) for _ in range(12)]
    infos = [EpisodeInfo(f"e{i}", TASK, int(rng.integers(10, 60))) for i in range(len(found))]
    rows = [measurements.measure(info, signals, SIZE) for info, signals in zip(infos, found, strict=True)]
    criteria = [Criteria(), Criteria(min_length=20, min_motion=30.0, max_coverage=0.1, max_variation=0.4,
                                     motion_percentile=50.0, min_depth_range=3.0, weight_verb=0.0, weight_motion=5.0)]
    measurements.add_measurements(tmp_path / "kept.csv", iter(rows[:7]), batch=5)
    table = measurements.add_measurements(tmp_path / "kept.csv", iter(rows[7:]), batch=2)
    assert table.episode.tolist() == [info.id for info in infos]
    for c in criteria:
        together = score.score(measurements.read_measurements(tmp_path / "kept.csv"), c)
        for i, info in enumerate(infos):
            alone = score.score(pd.DataFrame([rows[i]]), c)
            pd.testing.assert_frame_equal(together.iloc[[i]].reset_index(drop=True), alone, check_exact=True,
                                          check_dtype=False)
            assert together.score[i] == pytest.approx(plain_score(info, found[i], c), abs=1e-5)


def test_measurements_survive_the_disk_number_for_number(tmp_path):
    path = tmp_path / "measurements.csv"
    assert measurements.read_measurements(path).empty and measurements.add_measurements(path, []).empty
    assert not path.exists()
    with pytest.raises(InputError, match="a folder, not a file"):
        measurements.read_measurements(tmp_path)
    rows = [measured(id="007", task="NA"), measured(id="b", task="", mask=None, tracks_fg=None),
            measured(id="c", mask=np.zeros((T, SIZE, SIZE), bool))]
    kept = measurements.add_measurements(path, rows)
    pd.testing.assert_frame_equal(measurements.read_measurements(path), kept, check_exact=True)
    assert kept.task.tolist() == ["NA", "", TASK] and kept.episode[0] == "007" and np.isinf(kept.variation[2])


def test_criteria_refuse_nonsense():
    with pytest.raises(TypeError):
        Criteria(minimal_length=3)
    with pytest.raises(InputError, match="lengths 50 to 40.*weights"):
        Criteria(min_length=50, weight_verb=-1)
    with pytest.raises(InputError, match="good_task, which is no regular expression"):
        Criteria(good_task="(put")
    with pytest.raises(InputError, match="weights"):
        Criteria(weight_depth=float("nan"))


def test_criteria_from_a_notebooks_mapping():
    given = {"min_length": 8, "max_length": 40}
    made = Criteria.of({"weight_motion": 3, "depth_percentiles": [1, 99]}, **given)
    assert made == Criteria(min_length=8, weight_motion=3.0, depth_percentiles=(1.0, 99.0))
    with pytest.raises(InputError, match="unknown parameter weight_moton; expected one of .*weight_motion"):
        Criteria.of({"weight_moton": 3}, **given)
    with pytest.raises(InputError, match="weight_motion.*'much'; expected a number"):
        Criteria.of({"weight_motion": "much"}, **given)
    with pytest.raises(InputError, match="--set min_length=10"):
        Criteria.of({"min_length": 10}, **given)


def test_metadata_filter():
    infos = [
        EpisodeInfo("a", TASK, 15), EpisodeInfo("b", TASK, 14), EpisodeInfo("c", TASK, 41), EpisodeInfo("d", " ", 20),
        EpisodeInfo("e", "Fold the cloth", 20), EpisodeInfo("f", "push the cup", 40),
    ]  # fmt: skip
    table = score.metadata_filter(infos, Criteria())
    assert list(table.columns) == ["episode", "task", "length", "accepted", "reason"]
    assert table["reason"].tolist() == [
        "", "shorter than 15 frames", "longer than 40 frames", "no task text", "folding", "",
    ]  # fmt: skip
    assert table["accepted"].tolist() == [True, False, False, False, False, True]
    assert score.metadata_filter(infos, Criteria(min_length=8, require_task=False))["accepted"].sum() == 4
