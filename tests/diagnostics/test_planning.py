"""The downstream check: tasks that need motion, methods judged by the simulator."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from lewm_core.dataset.frames import ActionScale
from lewm_core.diagnostics import planning
from lewm_core.diagnostics.cem import CEM
from lewm_core.diagnostics.goals import reached
from lewm_core.diagnostics.planning import (
    FAR,
    NEAR,
    STILL,
    at_random,
    attempt,
    draw_tasks,
    planner,
    prefers_recorded,
    recorded,
    still,
)
from lewm_core.evaluate import encode_frames
from lewm_core.model import LeWM
from lewm_core.sources.tabletop.env import object_track
from lewm_core.sources.tabletop.source import Tabletop, actions_of
from lewm_core.utils.errors import InputError
from tests.helpers import acting_model

AHEAD, HISTORY, SIZE = 6, 3, 32


@pytest.fixture(scope="module")
def source() -> Tabletop:
    return Tabletop(20, seed=0, image_size=SIZE)


@pytest.fixture(scope="module")
def tasks(source):
    return draw_tasks(source, [i.id for i in source.infos()], 6, AHEAD, HISTORY, np.random.default_rng(0))


def test_tasks_are_of_both_kinds_and_need_motion(source, tasks):
    assert sorted(t.kind for t in tasks) == ["move"] * 3 + ["reach"] * 3
    assert len({t.recording.id for t in tasks}) == 6
    for t in tasks:
        track, gripper = object_track(t.recording), t.recording.observations[:, :3]
        way = {"object": np.linalg.norm(track[t.goal] - track[t.start]),
               "gripper": np.linalg.norm(gripper[t.goal] - gripper[t.start])}
        assert t.goal - t.start == AHEAD and t.start >= HISTORY - 1
        if t.kind == "move":
            assert way["object"] > FAR * NEAR["object"]
        else:
            assert way["object"] < STILL and way["gripper"] > FAR * NEAR["gripper"]
        np.testing.assert_array_equal(t.object, track[t.goal])
        frames = source.load(t.recording.id).frames
        np.testing.assert_array_equal(t.context, frames[t.start - HISTORY + 1 : t.start + 1])
        np.testing.assert_array_equal(t.picture, frames[t.goal])


def test_tasks_are_drawn_from_the_given_episodes_by_the_generator(source, tasks):
    ids = [i.id for i in source.infos()]
    key = lambda some: [(t.recording.id, t.start, t.kind) for t in some]  # noqa: E731
    again = draw_tasks(source, reversed(ids), 6, AHEAD, HISTORY, np.random.default_rng(0))
    assert key(again) == key(tasks)
    few = draw_tasks(source, ids[:3], 6, AHEAD, HISTORY, np.random.default_rng(0))
    assert {t.recording.id for t in few} <= set(ids[:3])
    assert draw_tasks(source, ids[:3], 6, 500, HISTORY, np.random.default_rng(0)) == []


def test_doing_what_was_recorded_gets_there_and_doing_nothing_never(tasks):
    table = pd.concat([attempt(tasks, recorded(tasks), 8).assign(method="recorded", repeat=0),
                       attempt(tasks, still, 8).assign(method="static", repeat=0)])
    assert len(table) == 2 * 6 * 9
    success = reached(table).unstack("method")
    assert success.recorded.eq(1).all() and success.static.eq(0).all()
    at_goal = table[(table.method == "recorded") & (table.step == AHEAD)]
    assert at_goal.gripper.max() < 0.006 and at_goal.object.max() < 0.008
    static = table[table.method == "static"]
    first = static[static.step == 0].set_index("task")
    assert (static[static.step == 8].set_index("task").gripper - first.gripper).abs().max() < 0.01
    for i, t in enumerate(tasks):
        way = np.linalg.norm(t.recording.observations[t.goal, :3] - t.recording.observations[t.start, :3])
        assert first.gripper[i] == pytest.approx(way, abs=1e-12)


def test_a_policy_sees_the_last_frames_and_is_asked_again_when_its_actions_are_done(tasks):
    asked = []

    def policy(frames, observations):
        asked.append((frames, observations))
        return still(frames, observations).repeat(3, axis=1)

    attempt(tasks, policy, 7)
    assert len(asked) == 3  # before steps 1, 4 and 7
    for frames, observations in asked:
        assert frames.shape == (6, HISTORY, SIZE, SIZE, 3) and observations.shape == (6, HISTORY, 7)
    np.testing.assert_array_equal(asked[0][0], np.stack([t.context for t in tasks]))
    before = np.stack([t.recording.observations[t.start - 2 : t.start + 1] for t in tasks])
    np.testing.assert_array_equal(asked[0][1], before)
    assert np.abs(asked[1][1][:, -1, :3] - before[:, -1, :3]).max() < 0.01  # it stood still


def test_random_actions_are_rows_of_the_given_ones():
    pool = np.arange(21.0).reshape(3, 7)
    frames, observations = np.zeros((50, 3, 4, 4, 3), np.uint8), np.zeros((50, 3, 7))
    draw = lambda: at_random(pool, np.random.default_rng(1))(frames, observations)  # noqa: E731
    assert draw().shape == (50, 1, 7) and {tuple(r) for r in draw()[:, 0]} == set(map(tuple, pool))
    np.testing.assert_array_equal(draw(), draw())


def test_a_planner_plans_in_the_model_s_units_and_goes_on_from_its_last_plan(tasks, monkeypatch):
    model, pool = acting_model(), actions_of(tasks[0].recording.observations)[:-1]
    scale = ActionScale(tuple(np.linspace(-1, 1, 7)), tuple(np.linspace(0.5, 2, 7)))
    calls = []

    def fake(model, emb, past, goal_emb, low, high, settings, generator, warm):
        calls.append((emb, past, goal_emb, low, high, warm))
        return torch.arange(len(emb) * 4 * 7.0).reshape(len(emb), 4, 7) / 100, None

    monkeypatch.setattr(planning, "plan_actions", fake)
    act = planner(model, scale, tasks, pool, CEM(horizon=4), every=3, seed=0)
    observations = np.stack([t.recording.observations[t.start - 2 : t.start + 1] for t in tasks])
    frames = np.stack([t.context for t in tasks])
    out = act(frames, observations)
    act(frames, observations)
    (emb, past, goal_emb, low, high, warm), (*_, later) = calls
    raw = np.stack([actions_of(t.recording.observations)[t.start - 2 : t.start] for t in tasks])
    np.testing.assert_allclose(past, scale(raw), atol=1e-6)
    np.testing.assert_allclose(scale.undo(past.numpy()), raw, atol=1e-6)
    pixels = torch.from_numpy(frames[:, 1]).permute(0, 3, 1, 2)
    torch.testing.assert_close(emb[:, 1], encode_frames(model, pixels))
    picture = torch.from_numpy(np.stack([t.picture for t in tasks])).permute(0, 3, 1, 2)
    torch.testing.assert_close(goal_emb, encode_frames(model, picture))
    np.testing.assert_allclose(scale.undo(low.numpy()), pool.min(0), atol=1e-6)
    np.testing.assert_allclose(scale.undo(high.numpy()), pool.max(0), atol=1e-6)
    plans = np.arange(6 * 4 * 7.0).reshape(6, 4, 7) / 100
    np.testing.assert_allclose(out, scale.undo(plans[:, :3]), atol=1e-6)
    assert warm is None
    np.testing.assert_allclose(later, plans[:, 3:], atol=1e-6)
    with pytest.raises(InputError, match="1 to the horizon, 4"):
        planner(model, scale, tasks, pool, CEM(horizon=4), every=5, seed=0)


def test_a_planner_is_decided_by_its_seed(tasks):
    model, pool = acting_model(), actions_of(tasks[0].recording.observations)[:-1]
    scale, settings = ActionScale.fit(pool), CEM(samples=6, elites=2, iterations=2, horizon=3)
    run = lambda seed: attempt(tasks[:2], planner(model, scale, tasks[:2], pool, settings, 2, seed), 3)  # noqa: E731
    one = run(0)
    torch.rand(3)
    pd.testing.assert_frame_equal(one, run(0))
    assert not one.equals(run(1))


class Gripper(nn.Module):
    """A perfect world model of the gripper: its latent is the position in m, its actions are in the scale's units."""

    rollout, config = LeWM.rollout, SimpleNamespace(history=HISTORY)

    def __init__(self, scale: ActionScale):
        super().__init__()
        self.mean, self.std = (nn.Parameter(torch.tensor(v[:3])) for v in (scale.mean, scale.std))

    def action_encoder(self, actions):
        return actions[..., :3] * self.std + self.mean

    def predict(self, emb, act_emb):
        return emb + act_emb


def test_a_perfect_model_reaches_the_goals(tasks, monkeypatch):
    """All but the pictures is right: with a model that knows the gripper, planning brings it to every goal.

    Such a model knows nothing of objects and may knock one over.
    """
    reach = [t for t in tasks if t.kind == "reach"]
    pool = np.concatenate([actions_of(t.recording.observations)[:-1] for t in tasks])
    scale, seen = ActionScale.fit(pool), {}
    seen["position"] = np.stack([t.gripper for t in reach])[:, None]
    monkeypatch.setattr(planning, "encode", lambda model, frames: torch.from_numpy(seen["position"]).float())
    act = planner(Gripper(scale), scale, reach, pool, CEM(), every=AHEAD, seed=0)

    def policy(frames, observations):
        seen["position"] = observations[..., :3]
        return act(frames, observations)

    table = attempt(reach, policy, 2 * AHEAD).assign(method="perfect")
    assert table[table.step == 0].gripper.min() > 0.08 and table[table.step == AHEAD].gripper.max() < 0.02
    assert table[table.step == 2 * AHEAD].gripper.max() < 0.02  # the second plan ends there too
    monkeypatch.setattr(planning, "encode", lambda model, frames: torch.from_numpy(np.stack(
        [t.recording.observations[t.start - 2 : t.start + 1, :3] if frames.shape[1] == HISTORY
         else t.gripper[None] for t in reach])).float())
    share = prefers_recorded(Gripper(scale), scale, reach, pool, 50, np.random.default_rng(0))
    assert share.shape == (3,) and share.min() > 0.98
    monkeypatch.setattr(Gripper, "predict", lambda self, emb, act_emb: emb - act_emb)  # the wrong way round
    assert prefers_recorded(Gripper(scale), scale, reach, pool, 50, np.random.default_rng(0)).max() < 0.2


def test_every_method_has_its_attempts_and_plans_are_paired(tasks):
    pool = actions_of(tasks[0].recording.observations)[:-1]
    known = (acting_model(), ActionScale.fit(pool))
    settings = CEM(samples=4, elites=2, iterations=1, horizon=2)
    table = planning.attempts(tasks[:2], {"A": known, "B": known}, pool, settings, 2, 2, seed=0)
    assert list(table.method.unique()) == ["static", "random", "A", "B", "recorded"]
    assert table.groupby(["method", "repeat"]).size().eq(2 * 5).all() and table.repeat.nunique() == 6
    values = {m: g[["task", "step", "gripper", "object"]].reset_index(drop=True) for m, g in table.groupby("method")}
    pd.testing.assert_frame_equal(values["A"], values["B"])  # the same model plans the same
    assert not values["A"].equals(values["recorded"])
