"""The stepped tabletop: a replay comes back to the recording, a start in mid-motion goes on, contact is physics."""

import mujoco
import numpy as np
import pytest

from lewm_core.sources.tabletop.env import World, object_track
from lewm_core.sources.tabletop.source import STATE, Tabletop, actions_of

SIZE = 32
STILL = np.zeros(7)


@pytest.fixture(scope="module")
def source() -> Tabletop:
    return Tabletop(60, seed=0, image_size=SIZE)


@pytest.fixture(scope="module")
def recordings(source) -> list:
    """Good episodes of every verb."""
    found: dict = {}
    for i, info in enumerate(source.infos()):
        plan = source.draw(i)[1]
        if plan.outcome == "good" and len(found.setdefault(plan.verb, [])) < 4:
            found[plan.verb].append(source.record(info.id))
    return [recording for some in found.values() for recording in some]


def object_at(recording, frame: int) -> np.ndarray:
    return object_track(recording)[frame]


def hold(world: World) -> np.ndarray:
    return np.append(STILL[:6], world.observation[6])


def replay(recording, start: int, frames: int) -> World:
    world, actions = World(recording, start, SIZE), actions_of(recording.observations)
    for t in range(start, start + frames):
        world.step(actions[t])
    return world


def test_a_replay_comes_back_to_the_recorded_states(recordings):
    gripper, thing = [], []
    for recording in recordings:
        last = len(recording.qpos) - 1
        world = replay(recording, 0, last)
        gripper.append(np.abs(world.observation - recording.observations[last]))
        thing.append(np.linalg.norm(world.object - object_at(recording, last)))
        joints = np.abs(world.qpos - recording.qpos[last])[world._address]
        assert joints[:3].max() < 0.008 and joints[6:].max() < 0.001
        moved = np.linalg.norm(object_at(recording, last) - object_at(recording, 0))
        assert moved > 0.02 and thing[-1] < 0.012  # m, after 15 to 40 frames of contact
    gripper = np.array(gripper)
    assert gripper[:, :3].max() < 0.008 and gripper[:, 3:6].max() < 0.01 and gripper[:, 6].max() < 0.01
    assert np.median(thing) < 0.003


def test_one_frame_from_anywhere_is_the_recorded_next_one(recordings):
    """Positions and velocities are restored, in the approach as in the grip."""
    error, thing, speed = [], [], []
    for recording in recordings[::3]:
        actions = actions_of(recording.observations)
        for t in range(0, len(actions) - 1, 3):
            world = World(recording, t, SIZE)
            np.testing.assert_array_equal(world.qpos, recording.qpos[t])
            np.testing.assert_array_equal(world.observation, recording.observations[t])
            np.testing.assert_allclose(world.object, object_at(recording, t), atol=1e-12)
            if t and np.linalg.norm(actions[t, :3] - actions[t - 1, :3]) < 0.01 < np.linalg.norm(actions[t, :3]):
                speed.append(np.linalg.norm(world.data.qvel[:3]) * 0.2 / np.linalg.norm(actions[t, :3]))
            world.step(actions[t])
            error.append(np.linalg.norm(world.observation[:3] - recording.observations[t + 1, :3]))
            thing.append(np.linalg.norm(world.object - object_at(recording, t + 1)))
    assert np.median(error) < 2.5e-4 and max(error) < 2e-3
    assert np.median(thing) < 5e-4 and np.quantile(thing, 0.95) < 4e-3
    assert len(speed) > 5 and 0.7 < np.median(speed) < 1.2


def test_the_restored_state_goes_on_as_the_recording_did(recordings):
    """With the very set points of the recording a restored simulation is the same to the bit."""
    recording = recordings[0]
    model, one, two = recording.model, *(mujoco.MjData(recording.model) for _ in range(2))
    mujoco.mj_setState(model, one, recording.states[0], STATE)
    for t in range(8):
        state = np.empty(mujoco.mj_stateSize(model, STATE))
        mujoco.mj_getState(model, one, state, STATE)
        mujoco.mj_setState(model, two, state, STATE)
        for data in (one, two):
            data.ctrl[0] += 0.01
            mujoco.mj_step(model, data, 40)
        np.testing.assert_array_equal(one.qpos, two.qpos)
        assert np.abs(recording.states[t + 1] - recording.states[t]).max() > 0


def test_an_action_moves_the_gripper_as_it_says(recordings):
    world = World(recordings[0], 0, SIZE)
    before, action = world.observation, np.array([0.02, -0.03, 0.01, 0.05, -0.04, 0.06, 0.5])
    frame, after = world.step(action)
    np.testing.assert_allclose(after[:6] - before[:6], action[:6], atol=1e-3)
    assert abs(after[6] - 0.5) < 5e-3
    assert frame.shape == (SIZE, SIZE, 3) and frame.dtype == np.uint8
    still = world.step(hold(world))[1]
    np.testing.assert_allclose(still, after, atol=1.5e-3)
    late = World(recordings[0], 0, SIZE)  # a shifted action would show
    late.step(hold(late))
    assert np.abs(late.observation - after)[:3].max() > 0.01


def test_the_same_actions_are_the_same_to_the_bit(recordings):
    actions = actions_of(recordings[0].observations) + np.random.default_rng(0).normal(0, 0.004, (1, 7))

    def run():
        world = World(recordings[0], 3, SIZE)
        return [world.step(a) for a in actions[3:12]]

    for (frame, observation), (again, same) in zip(run(), run(), strict=True):
        np.testing.assert_array_equal(frame, again)
        np.testing.assert_array_equal(observation, same)


def test_frames_are_the_source_s(source, recordings):
    episode = source.render(recordings[0])
    for t in (0, 9):
        np.testing.assert_array_equal(World(recordings[0], t, SIZE).render(), episode.frames[t])
    frame = World(recordings[0], 0, SIZE).step(episode.actions[0])[0]
    assert np.abs(frame.astype(int) - episode.frames[1]).mean() < 1.0


def carried(recordings) -> tuple:
    """A recording and a frame at which its object hangs in the air."""
    for recording in recordings:
        for t in range(len(recording.qpos)):
            if object_at(recording, t)[2] > object_at(recording, 0)[2] + 0.05:
                return recording, t
    raise AssertionError("nothing is lifted")


def test_a_held_object_stays_held_until_the_gripper_opens(recordings):
    recording, t = carried(recordings)
    world = World(recording, t, SIZE)
    height = world.object[2]
    for _ in range(10):
        world.step(hold(world))
    assert abs(world.object[2] - height) < 0.01
    for _ in range(4):
        world.step(np.append(STILL[:6], 1.0))
    assert world.object[2] < height - 0.03 and world.observation[6] > 0.95


def test_an_empty_gripper_does_not_close_by_itself(recordings):
    world = World(recordings[0], 0, SIZE)
    opening = world.observation[6]
    for _ in range(5):
        world.step(hold(world))
    assert abs(world.observation[6] - opening) < 0.01


def test_the_table_stops_the_gripper(recordings):
    world = World(recordings[0], 0, SIZE)
    for _ in range(12):
        world.step(np.append([0, 0, -0.04, 0, 0, 0], world.observation[6]))
    assert 0.01 < world.observation[2] < 0.03 and np.isfinite(world.qpos).all()  # 12 mm above its finger tips
