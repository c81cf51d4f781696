"""Post-hoc metrics and the leak: planted shrinking, noise, drift and memory are found; nothing where nothing is."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from lewm_core import dataset
from lewm_core.dataset import Data, split, windows
from lewm_core.diagnostics import leakage, metrics
from lewm_core.diagnostics.metrics import Finished, metric_table, predicted, rollout_errors, yardstick
from lewm_core.diagnostics.retrieval import rollout_from
from lewm_core.experiments.run import execute
from lewm_core.experiments.sweep import plan, rows
from lewm_core.model import LeWM
from lewm_core.stats.paired import paired_change
from lewm_core.utils.errors import InputError
from tests.helpers import TINY, random_base, write_squares

EPISODES, LENGTH, DIM = 12, 20, 6
N = EPISODES * LENGTH


class World(nn.Module):
    """A latent that moves by the action: predicts emb + size · action, `drift` off, with noise of its own."""

    config = SimpleNamespace(history=3)
    rollout = LeWM.rollout

    def __init__(self, size=1.0, drift=0.0, noise=0.0):
        super().__init__()
        self.size, self.drift, self.noise = nn.Parameter(torch.tensor(size)), drift, noise
        self.generator = torch.Generator().manual_seed(0)

    def action_encoder(self, actions):
        return self.size * actions

    def predict(self, emb, act_emb):
        return emb + act_emb + self.drift + self.noise * torch.randn(emb.shape, generator=self.generator)


@pytest.fixture(scope="module")
def data() -> Data:
    action = np.random.default_rng(0).normal(size=(N, DIM)).astype("f4")
    return Data({"action": action, "ep_len": np.full(EPISODES, LENGTH), "ep_offset": np.arange(EPISODES) * LENGTH})


def truth(data) -> torch.Tensor:
    """(N, D) latents that follow the actions, from a start of each episode's own."""
    moved = data["action"].reshape(EPISODES, LENGTH, DIM).cumsum(1)
    moved = np.concatenate([np.zeros((EPISODES, 1, DIM)), moved[:, :-1]], 1)
    start = np.random.default_rng(1).normal(0, 2, (EPISODES, 1, DIM))
    return torch.from_numpy((start + moved).reshape(N, DIM).astype("f4"))


def run_of(data, model, emb, seed=0, blocks=0.0) -> Finished:
    parts = split(data["ep_len"], data["ep_offset"], np.random.default_rng([seed, 1]), 0.1, 0.25, None, blocks)
    return Finished("A", "pilot", seed, "key", model, lambda a: a, emb, parts, data)


def mse(run, data, name="episode"):
    starts = run.split.val[name]
    pred_emb = predicted(run.model, run.action_scale, data, run.emb, starts)
    return (pred_emb - run.emb[torch.from_numpy(windows(starts)[:, 1:])]).square().mean().item()


def common(run, data, base_emb):
    return {split: values["yardstick"] for split, values in yardstick(run, data, base_emb).items()}


def test_shrinking_latents_lower_mse_but_not_the_yardstick(data):
    emb = truth(data)
    honest = run_of(data, World(noise=0.3), emb)
    shrunk = run_of(data, World(size=0.1, noise=0.03), 0.1 * emb)
    assert mse(shrunk, data) == pytest.approx(mse(honest, data) / 100, rel=0.01)
    one, two = (common(run, data, emb) for run in (honest, shrunk))
    assert set(one) == {"window", "episode"} and one == pytest.approx(two, rel=0.02)
    assert one["episode"] == pytest.approx(0.3**2, rel=0.2), "noise of 0.3 where a frame moves by 1"
    worse = run_of(data, World(size=0.1, noise=0.06), 0.1 * emb)
    assert mse(worse, data) < mse(honest, data) and common(worse, data, emb)["episode"] > 3 * one["episode"]


def test_the_yardstick_of_one_that_knows_nothing_and_of_one_that_stands_still(data):
    emb = truth(data)
    still = common(run_of(data, World(size=0.0), emb), data, emb)["episode"]
    assert still == pytest.approx(1, abs=0.1)
    assert common(run_of(data, World(size=0.0, noise=1.0), emb), data, emb)["episode"] == pytest.approx(1, abs=0.15)
    noise = torch.randn(N, DIM, generator=torch.Generator().manual_seed(1))
    blind = run_of(data, World(size=0.0), noise)
    assert yardstick(blind, data, emb)["episode"]["yardstick_map"] > 0.8, "latents of noise say nothing of a change"
    assert yardstick(run_of(data, World(), emb), data, emb)["episode"]["yardstick_map"] < 0.01


def test_a_scene_that_no_map_has_seen_does_not_weigh_in_the_yardstick(data):
    """Each episode's base latents lie somewhere else, and the run's say nothing of where."""
    emb = truth(data)
    place = 10 * torch.randn(EPISODES, DIM, generator=torch.Generator().manual_seed(2))
    moved = emb + place.repeat_interleave(LENGTH, 0)
    one, other = (common(run_of(data, World(noise=0.3), emb), data, base_emb) for base_emb in (emb, moved))
    assert one == pytest.approx(other, rel=1e-3)


def test_the_yardsticks_map_never_sees_a_held_out_window(data):
    emb = truth(data)
    run = run_of(data, World(noise=0.0), emb + 0.01)
    changed = emb.clone()
    frames = windows(run.split.val["episode"])[:, 1:]
    changed[torch.from_numpy(np.unique(frames))] *= -1  # a map that had seen these would fit them
    assert common(run, data, changed)["episode"] > 3


def test_rollouts_drift_by_as_much_as_planted_and_batches_are_the_single_ones(data):
    emb = truth(data)
    run = run_of(data, World(drift=0.25), emb)
    ends = np.repeat(data["ep_offset"] + data["ep_len"], data["ep_len"])
    starts = run.split.val["episode"]
    found = rollout_errors(run, data, starts, ends[starts])
    for h in (1, 5, 10):
        room = starts[starts + 3 + h <= ends[starts]]
        static = (emb[room + 2] - emb[room + 2 + h]).square().mean().item()
        assert found[f"rollout_{h}"] == pytest.approx((0.25 * h) ** 2 / static, rel=1e-3)
    assert rollout_errors(run_of(data, World(), emb), data, starts, ends[starts])["rollout_10"] < 1e-6
    assert rollout_errors(run, data, starts[:1], starts[:1]) == {}, "no room for any horizon"


@pytest.fixture(scope="module")
def study(tmp_path_factory, one_thread):
    """Two tiny finished runs, A and B, in their folder."""
    folder = tmp_path_factory.mktemp("study")
    path = write_squares(folder / "d.h5", (14, 9, 12, 10, 11))
    base = random_base()
    runs, _ = plan(["A", "B"], "pilot", [0], path, base, TINY)
    table = pd.DataFrame([r for run in runs for r in rows(execute(run, folder / "runs"), folder / "runs")])
    return SimpleNamespace(results=table, folder=folder / "runs", data=dataset.load(path), base=base, path=path)


def test_metric_table_of_finished_runs_is_tidy_and_agrees_with_evaluation(study, tmp_path):
    table = metric_table(study.results, study.folder, study.data, study.base)
    assert set(table.condition) == {"A", "B"} and set(table.split) == {"window", "episode"}
    assert {"yardstick", "rollout_1", "rollout_5"} <= set(table.metric)
    assert np.isfinite(table.value).all() and set(table.columns) == set(study.results.columns)
    changes = paired_change(pd.concat([study.results, table]), ["mse", "yardstick", "rollout_1"], ["episode", "window"])
    assert len(changes) == 6
    (run, _) = metrics.finished(study.results, study.folder, study.data)
    expected = study.results.query("condition == 'A' and metric == 'mse'").set_index("split").value
    for name in ("window", "episode"):
        assert mse(run, study.data, name) == pytest.approx(expected[name], rel=1e-4)
    start = int(study.data["ep_offset"][study.data["ep_len"] >= 8][0])
    single = rollout_from(run.model, run.action_scale, study.data, 0, 0, 5, 3)[-1]
    static = (run.emb[start + 2] - run.emb[start + 7]).square().mean()
    found = rollout_errors(run, study.data, np.array([start]), np.array([99]))["rollout_5"]
    assert found == pytest.approx(((single - run.emb[start + 7]).square().mean() / static).item(), rel=1e-3)
    other = dataset.load(write_squares(tmp_path / "other.h5"))
    with pytest.raises(InputError, match="hold, unchanged"):
        metric_table(study.results, study.folder, other, study.base)


# ----------------------------------------------------------------------------------------------------------------- leak


class Memory(World):
    """Goes half of the way to the next latent wherever that frame was trained on; otherwise stands still."""

    def __init__(self, emb, known):
        super().__init__()
        self.emb, self.known = emb, torch.from_numpy(known)

    def predict(self, emb, act_emb):
        frame = torch.cdist(emb.flatten(0, 1), self.emb).argmin(1)
        after = (frame + 1).clamp(max=len(self.emb) - 1)
        step = 0.5 * (self.emb[after] - self.emb[frame]) * self.known[after].unsqueeze(1)
        return (self.emb[frame] + step).view_as(emb)


def leaks(data, plant: bool, seeds=5, blocks=0.0, of_episodes=False) -> pd.DataFrame:
    """of_episodes: all frames of an episode that is trained on are known."""
    emb, parts = truth(data), []
    for seed in range(seeds):
        run = run_of(data, World(), emb, seed, blocks)
        known = np.isin(np.arange(N), windows(run.split.train))
        if of_episodes:
            known = known.reshape(EPISODES, LENGTH).any(1).repeat(LENGTH)
        model = Memory(emb, known) if plant else World(size=0.5, noise=0.1)
        for name, m in (("A", model), ("base", World(size=0.0))):
            parts.append(leakage.window_errors(m, run.action_scale, data, emb, run.split)
                         .assign(condition=name, scale="pilot", seed=seed))
    return pd.concat(parts, ignore_index=True)


def test_shared_frames_by_hand():
    assert leakage.shared_frames(np.array([0, 4, 20]), np.array([1, 2])).tolist() == [3, 2, 0]


def test_a_planted_memory_is_found(data):
    table = leaks(data, plant=True)
    summary = leakage.leak_summary(table).query("condition == 'A'").set_index("measure")
    assert summary.loc["seen_window", "mean"] > 90 and summary.loc["seen_episode", ["low", "high"]].eq(0).all()
    assert summary.loc["leak", "low"] > 100, "a quarter of the error where frames were seen"
    assert summary.loc["gap_static", "low"] > 100
    by = leakage.error_by_shared(table[table.condition == "A"]).groupby("shared").mse_over_static.mean()
    assert by[4] == pytest.approx(0.25, abs=0.01) and by[0] == pytest.approx(1, abs=0.01)
    (line,) = leakage.describe_leak(leakage.leak_summary(table))
    assert "0 % of those in held-out episodes" in line and "n = 5" in line


def test_no_leak_is_found_where_none_was_planted(data):
    summary = leakage.leak_summary(leaks(data, plant=False))
    of = summary[summary.condition == "A"].set_index("measure")
    assert of.loc["seen_window", "mean"] > 90, "the frames are seen; the model makes nothing of it"
    assert of.loc["leak", "low"] < 0 < of.loc["leak", "high"] and abs(of.loc["leak", "mean"]) < 10


def test_a_leak_is_measured_as_far_as_the_splits_go(data):
    table = leaks(data, plant=True, seeds=1)
    for part, measures, words in (("window", ["seen_window"], "No episodes were held out"),
                                   ("episode", ["seen_episode"], "nothing can leak")):
        found = leakage.leak_summary(table[table.split == part])
        assert found.measure[found.condition == "A"].tolist() == measures
        assert words in leakage.describe_leak(found)[0]
    assert "was not measured" in leakage.describe_leak(found[:0])[0]
    (line,) = leakage.describe_leak(leakage.leak_summary(table))
    assert line.startswith("pilot, n = 1:") and "[" not in line


@pytest.mark.parametrize(("of_episodes", "whole", "nothing"), [
    (False, "shared_frames", "same_episode"), (True, "same_episode", "shared_frames")])
def test_blocks_tell_memory_of_frames_from_memory_of_episodes(data, of_episodes, whole, nothing):
    """Half of the way is remembered, a quarter of the error is left: a rise of 75 points, all of it in one part."""
    summary = leakage.leak_summary(leaks(data, plant=True, blocks=0.5, of_episodes=of_episodes))
    of = summary[summary.condition == "A"].set_index("measure")
    assert of.loc[whole, "mean"] == pytest.approx(75, abs=3) and of.loc[nothing, "mean"] == pytest.approx(0, abs=3)
    assert of.loc["seen_block", ["low", "high"]].eq(0).all() and of.loc["both", "low"] > 60
    assert of.loc["both", "mean"] == pytest.approx(of.loc[whole, "mean"] + of.loc[nothing, "mean"])
    assert summary[(summary.condition == "base") & summary.measure.isin(leakage.PARTS)]["mean"].abs().max() < 1e-3
    a, base = leakage.describe_parts(summary)
    assert "n = 5" in a and "changes by +7" in a
    assert "the base, which saw none of them: 0.0 [0.0, 0.0] points in all" in base


def test_a_gap_that_is_not_clear_is_not_divided(data):
    summary = leakage.leak_summary(leaks(data, plant=False, blocks=0.5, seeds=2))
    assert "not clearly above 0" in leakage.describe_parts(summary)[0]
    assert leakage.describe_parts(leakage.leak_summary(leaks(data, plant=True, seeds=2))) == [
        "Not run: no blocks were held out."]


def test_leak_table_of_finished_runs(study):
    table = leakage.leak_table(study.results, study.folder, study.data, study.base)
    assert set(table.condition) == {"A", "base"} and (table[table.split == "episode"].shared == 0).all()
    expected = study.results.query("condition == 'A' and metric == 'mse'").set_index("split").value
    found = table[table.condition == "A"].groupby("split").mse.mean()
    assert found.to_dict() == pytest.approx(expected.to_dict(), rel=1e-4)
    with pytest.raises(InputError, match="no run of condition A"):
        leakage.leak_table(study.results[study.results.condition == "B"], study.folder, study.data, study.base)
