"""The simulated tabletop: exact repetition, geometry that agrees with itself, and physics that does what it says."""

import hashlib
from dataclasses import replace

import mujoco
import numpy as np
import pytest

from lewm_core.sources.tabletop import source as tabletop
from lewm_core.sources.tabletop.env import object_track
from lewm_core.sources.tabletop.mjcf import BACKGROUND, MOVING
from lewm_core.sources.tabletop.policy import draw_plan
from lewm_core.sources.tabletop.raycast import Raycaster, kitchen_camera
from lewm_core.sources.tabletop.scene import HOME, KITCHENS
from lewm_core.sources.tabletop.source import GENERATOR, Tabletop
from lewm_core.utils.errors import InputError

SIZE = 48


@pytest.fixture(scope="module")
def source() -> Tabletop:
    return Tabletop(150, seed=0, image_size=SIZE)


@pytest.fixture(scope="module")
def ids(source) -> dict:
    """Episode ids by (verb, outcome)."""
    found: dict = {}
    for i, info in enumerate(source.infos()):
        plan = source.draw(i)[1]
        found.setdefault((plan.verb, plan.outcome), []).append(info.id)
    return found


@pytest.fixture(scope="module")
def good(source, ids) -> list:
    return [source.load(id) for verb in ("put", "pick up", "push") for id in ids[verb, "good"][:3]]


def contents(episode) -> tuple:
    truth = episode.truth
    arrays = (episode.frames, episode.actions, episode.observations, episode.intrinsics, truth.depth, truth.mask)
    return episode.task, *(a.tobytes() for a in (*arrays, truth.geom, truth.pose, truth.object, truth.object_yaw))


@pytest.mark.parametrize("kind", ["tabletop", "play"])
def test_same_seed_is_the_same_to_the_bit_in_any_order(kind):
    one, two = Tabletop(3, 5, 32, kind), Tabletop(7, 5, 32, kind)
    ids = [info.id for info in one.infos()]
    forwards = {id: contents(one.load(id)) for id in ids}
    backwards = {id: contents(two.load(id)) for id in reversed(ids)}
    assert forwards == backwards
    assert len({c[1] for c in forwards.values()}) == 3
    other = Tabletop(3, 6, 32, kind)
    assert contents(other.load(other.infos()[0].id))[2:] != forwards[ids[0]][2:]


def test_image_size_leaves_the_physics_alone(source):
    id = source.infos()[1].id
    small, large = Tabletop(150, 0, 16).load(id), source.load(id)
    assert small.actions.tobytes() == large.actions.tobytes()
    assert small.observations.tobytes() == large.observations.tobytes()
    assert small.frames.shape[1:] == (16, 16, 3) and large.frames.shape[1:] == (SIZE, SIZE, 3)
    assert abs(small.truth.depth.mean() / large.truth.depth.mean() - 1) < 0.02


def test_infos_know_id_task_and_length_beforehand(source, ids):
    infos = {info.id: info for info in source.infos()}
    assert len(infos) == 150
    for key in (("put", "good"), ("put", "too long"), ("push", "hesitation"), ("put", "nothing moves")):
        episode = source.load(ids[key][0])
        assert (infos[episode.id].task, infos[episode.id].length) == (episode.task, len(episode.frames))
    lengths = {outcome: [infos[id].length for (_, o), some in ids.items() if o == outcome for id in some]
               for outcome in ("good", "too short", "too long")}  # fmt: skip
    assert all(15 <= n <= 40 for n in lengths["good"])
    assert max(lengths["too short"]) < 15 and min(lengths["too long"]) > 40
    assert {infos[id].task for (_, o), some in ids.items() if o == "no instruction" for id in some} == {""}
    assert sum(len(some) for (_, o), some in ids.items() if o == "good") > 75


def test_a_changed_generator_gets_a_new_version(source):
    """Raise tabletop.GENERATOR when this fails: caches made from other episodes must not be taken for these."""
    text = repr([(info.id, info.task, info.length) for info in source.infos()])
    assert (GENERATOR["tabletop"], hashlib.sha256(text.encode()).hexdigest()[:16]) == ("2", "3b3ee728e41821ee")
    scenes = Tabletop(20, 0, 16, "play")
    text = repr([scenes.draw(i) for i in range(20)])
    assert (GENERATOR["play"], hashlib.sha256(text.encode()).hexdigest()[:16]) == ("4", "812946cca153a34d")


def test_fingerprint_covers_every_setting():
    settings = [(3, 0, 32, "tabletop"), (4, 0, 32, "tabletop"), (3, 1, 32, "tabletop"), (3, 0, 48, "tabletop"),
                (3, 0, 32, "play"), (3, 0, 32, "tabletop", 1), (3, 0, 32, "tabletop", 2)]
    assert len({Tabletop(*s).fingerprint for s in settings}) == len(settings)
    assert Tabletop(*settings[0]).fingerprint == Tabletop(*settings[0]).fingerprint


def test_points_fixed_to_surfaces_land_where_depth_and_ids_say(good):
    agree = total = on_target = 0
    for episode in good:
        k, truth = episode.intrinsics, episode.truth
        y, x = np.mgrid[0:SIZE:2, 0:SIZE:2].reshape(2, -1)
        geom, z = truth.geom[0, y, x], truth.depth[0, y, x].astype(np.float64)
        camera = np.stack([(x - k[0, 2]) / k[0, 0], (y - k[1, 2]) / k[1, 1], np.ones(len(x))], -1) * z[:, None]
        rotation, origin = truth.pose[0, geom, :, :3], truth.pose[0, geom, :, 3]
        local = np.einsum("nji,nj->ni", rotation, camera - origin)
        for t in range(1, len(episode.frames), 4):
            later = np.einsum("nij,nj->ni", truth.pose[t, geom, :, :3], local) + truth.pose[t, geom, :, 3]
            uv = later[:, :2] / later[:, 2:] * k[0, 0] + k[:2, 2]
            u, v = np.rint(uv).astype(int).T
            inside = (u >= 1) & (v >= 1) & (u < SIZE - 1) & (v < SIZE - 1)
            near = [(v[inside] + dv, u[inside] + du) for dv in (-1, 0, 1) for du in (-1, 0, 1)]
            depths = np.stack([truth.depth[t][at] for at in near])
            same = np.stack([truth.geom[t][at] == geom[inside] for at in near])
            visible = np.abs(depths[4] - later[inside, 2]) < 0.01  # what a tracker would claim
            agree += (same[4] & visible).sum()
            total += visible.sum()
            on_target += (visible & truth.mask[t][near[4]]).sum()
            # a point in front of everything seen around it cannot exist
            assert (later[inside, 2] > depths.min(0) - 0.03).mean() > 0.99
    assert agree / total > 0.95 and on_target > 200


def test_depth_of_the_table_is_the_plane_seen_from_the_camera(good):
    for episode in good[::3]:
        k, truth = episode.intrinsics, episode.truth
        tables = [g for g in range(truth.pose.shape[1]) if (truth.geom == g).mean() > 0.2]
        table = max(tables, key=lambda g: (truth.geom == g).mean())
        normal, top = truth.pose[0, table, :, 2], truth.pose[0, table, :, 3] + 0.02 * truth.pose[0, table, :, 2]
        y, x = np.nonzero(truth.geom[0] == table)
        ray = np.stack([(x - k[0, 2]) / k[0, 0], (y - k[1, 2]) / k[1, 1], np.ones(len(x))], -1)
        np.testing.assert_allclose(truth.depth[0, y, x], (top @ normal) / (ray @ normal), rtol=1e-5)


def test_poses_are_rigid_and_the_mask_is_the_target(good, source):
    for episode in good[::4]:
        rotation = episode.truth.pose[..., :3]
        np.testing.assert_allclose(rotation @ rotation.swapaxes(-1, -2), np.broadcast_to(np.eye(3), rotation.shape),
                                   atol=1e-9)  # fmt: skip
        target = source.record(episode.id).target
        assert (np.isin(episode.truth.geom, target) == episode.truth.mask).all()


@pytest.mark.parametrize("kind", ["tabletop", "play"])
def test_the_object_s_place_and_yaw_agree_with_the_pose_of_its_surface(kind):
    """The camera's pose of a surface that never moves turns the object's pose from the camera into the world's."""
    source = Tabletop(4, 2, 16, kind)
    for info in source.infos():
        recording = source.record(info.id)
        truth = source.render(recording).truth
        assert truth.object.shape == (len(recording.qpos), 3) and truth.object.dtype == np.float32
        camera = kitchen_camera(KITCHENS[recording.scene.kitchen], 16)
        seen = truth.pose[:, recording.target[0]]  # camera from the object's first part, which has most of its mass
        rotation, place = camera.rotation.T @ seen[..., :3], seen[..., 3] @ camera.rotation + camera.position
        np.testing.assert_allclose(truth.object, place, atol=0.012 if len(recording.target) > 1 else 1e-6)
        if len(recording.target) == 1 and recording.scene.target.parts[0].euler == (0, 0, 0):
            np.testing.assert_allclose(np.cos(truth.object_yaw - np.arctan2(rotation[:, 1, 0], rotation[:, 0, 0])), 1)
        assert abs(truth.object_yaw[0] - recording.scene.target.yaw) < 1e-6


def test_culling_loses_no_surface_and_no_shadow(source, ids):
    recording = source.record(ids["put", "good"][0])
    model, data = recording.model, mujoco.MjData(recording.model)
    data.qpos[:] = recording.qpos[0]
    mujoco.mj_kinematics(model, data)
    caster = Raycaster(model, data, recording.surfaces, KITCHENS[recording.scene.kitchen], SIZE)
    for qpos in recording.qpos[::9]:
        data.qpos[:] = qpos
        mujoco.mj_kinematics(model, data)
        rgb, depth, geom = caster.render()
        groups, one = np.zeros(6, np.uint8), np.zeros(1, np.int32)
        groups[[BACKGROUND, MOVING]] = 1
        shadow_only, wrong = np.zeros(6, np.uint8), 0
        shadow_only[MOVING] = 1
        for i, ray in enumerate(caster.rays):
            distance = mujoco.mj_ray(model, data, caster.camera.position, ray, groups, 1, -1, one, None)
            assert one[0] == geom.flat[i] and abs(distance * caster.cos[i] - depth.flat[i]) < 1e-6
            if model.geom_group[one[0]] == BACKGROUND and caster.can_darken[i]:
                to_light = caster.light - (caster.camera.position + distance * ray)
                far = np.linalg.norm(to_light)
                met = mujoco.mj_ray(model, data, caster.light, -to_light / far, shadow_only, 1, -1, one, None)
                expected = (caster.dark if 0 < met < far - 1e-3 else caster.lit)[i]
                wrong += (rgb.reshape(-1, 3)[i] != expected).any()
        assert wrong == 0


@pytest.mark.parametrize("kind", ["tabletop", "play"])
def test_actions_are_what_the_gripper_did(kind):
    source = Tabletop(3, 2, 16, kind)
    for info in source.infos():
        e = source.load(info.id)
        np.testing.assert_allclose(np.cumsum(e.actions[:-1, :6], 0), e.observations[1:, :6] - e.observations[0, :6],
                                   atol=1e-5)  # fmt: skip
        np.testing.assert_array_equal(e.actions[:-1, 6], e.observations[1:, 6])
        assert not e.actions[-1, :6].any()
        assert (e.observations[:, 6] >= 0).all() and (e.observations[:, 6] <= 1).all()


def test_good_episodes_keep_the_gripper_moving(good):
    for episode in good:
        step = np.linalg.norm(episode.actions[:-1, :3], axis=1)
        assert ((step > 0.01) & (step < 0.06)).mean() > 0.7


def test_good_grasps_lift_by_physics_and_missed_ones_do_not(source, ids):
    rise = lambda id: np.ptp(object_track(source.record(id))[:, 2])  # noqa: E731
    lifted = [rise(id) for id in ids["pick up", "good"][:6]]
    missed = [rise(id) for id in (ids["put", "missed grasp"] + ids.get(("pick up", "missed grasp"), []))[:6]]
    assert min(lifted) > 0.03
    assert max(missed) < 0.01


def test_put_ends_on_the_container_and_push_slides(source, ids):
    on = []
    for id in ids["put", "good"][:6]:
        recording = source.record(id)
        end, container = object_track(recording)[-1], recording.scene.container
        on.append(np.hypot(*(end[:2] - container.xy)) < 0.03 and recording.observations[-1, 2] > 0.09)
    assert all(on)
    slid = []
    for id in ids["push", "good"][:6]:
        track = object_track(source.record(id))
        slid.append(np.hypot(*(track[-1] - track[0])[:2]) > 0.08 and np.ptp(track[:, 2]) < 0.02)
    assert all(slid)
    still = source.record(ids["put", "nothing moves"][0])
    assert np.ptp(object_track(still), axis=0).max() < 1e-3 and np.ptp(still.observations, axis=0).max() < 1e-3


def test_good_episodes_pass_the_paper_s_thresholds(good):
    coverage = np.array([e.truth.mask.mean() for e in good])
    assert (coverage > 0.02).mean() > 0.9 and (coverage < 0.25).all()
    depth_range = [np.divide(*np.percentile(e.truth.depth, [99, 1])) for e in good]
    assert np.mean(np.array(depth_range) > 2.0) > 0.8 and np.ptp(depth_range) > 0.5


def test_play_is_one_cube_in_motion():
    source = Tabletop(6, 1, 32, "play")
    moved = []
    for info in source.infos():
        recording = source.record(info.id)
        free = recording.model.jnt_type == mujoco.mjtJoint.mjJNT_FREE
        cube, cover = recording.target
        assert free.sum() == 1 and recording.scene.container is None
        assert (recording.model.geom_type[[cube, cover]] == mujoco.mjtGeom.mjGEOM_BOX).all()
        assert len(set(recording.model.geom_size[cube])) == 1
        assert recording.model.geom_bodyid[cube] == recording.model.geom_bodyid[cover]
        assert len(recording.qpos) == info.length == 32
        step = np.linalg.norm(np.diff(recording.observations[:, :3], axis=0), axis=1)
        assert (step > 0.01).mean() > 0.6
        moved.append(np.ptp(object_track(recording), axis=0).max() > 0.03)
    assert np.mean(moved) >= 0.8
    assert source.load(source.infos()[0].id).truth.mask.mean() > 0.01


@pytest.mark.parametrize(
    "arguments", [(0, 0), (3, -1), (3, 0, 4), (3, 0, 64, "kitchen"), (2.5, 0), (True, 0), (3, 0, "64"),
                  (3, 0, 64, "tabletop", 3), (3, 0, 64, "tabletop", "all"), (3, 0, 64, "tabletop", True)]
)
def test_bad_parameters_are_refused(arguments):
    with pytest.raises(InputError):
        Tabletop(*arguments)


def test_looks_decide_the_kitchen_and_nothing_else():
    def draws(looks: int | None) -> list:
        world = Tabletop(60, seed=4, image_size=16, looks=looks)
        return [world.draw(i) for i in range(60)]

    def without_kitchen(drawn: list) -> list:
        return [(replace(scene, kitchen=0), plan) for scene, plan in drawn]

    rng = [np.random.default_rng((4, 0, i, 0)) for i in range(60)]
    assert draws(None) == [draw_plan(r) for r in rng]  # what the generator draws, unchanged
    assert {scene.kitchen for scene, _ in draws(None)} == set(range(len(KITCHENS)))
    assert {scene.kitchen for scene, _ in draws(1)} == {HOME}
    two = [scene.kitchen for scene, _ in draws(2)]
    assert len(set(two)) == 2 and HOME in two and 0.3 < np.mean(np.array(two) == HOME) < 0.7
    assert without_kitchen(draws(1)) == without_kitchen(draws(2)) == without_kitchen(draws(None))


def test_looks_leave_the_physics_alone():
    everywhere, home = Tabletop(3, 4, 16), Tabletop(3, 4, 16, looks=1)
    id = next(info.id for i, info in enumerate(home.infos()) if everywhere.draw(i)[0].kitchen != HOME)
    one, other = everywhere.load(id), home.load(id)
    assert one.observations.tobytes() == other.observations.tobytes() and one.task == other.task
    assert one.truth.object.tobytes() == other.truth.object.tobytes()
    assert (one.frames != other.frames).mean() > 0.5


def test_play_is_at_home_alone_and_a_change_of_home_is_seen(monkeypatch):
    play = Tabletop(9, 0, 16, "play")
    assert {play.draw(i)[0].kitchen for i in range(9)} == {HOME}
    before = play.fingerprint
    monkeypatch.setattr(tabletop, "HOME", HOME + 1)
    assert Tabletop(9, 0, 16, "play").fingerprint != before
    with pytest.raises(InputError, match="looks"):
        Tabletop(9, 0, 16, "play", looks=1)


@pytest.mark.parametrize("id", ["tabletop-0-00003", "tabletop-1-00000", "play-0-00000", "tabletop-0-0", "", "nothing"])
def test_unknown_episode_is_refused(id):
    with pytest.raises(InputError, match="tabletop-0-00000 to tabletop-0-00002"):
        Tabletop(3, 0, 32).load(id)
