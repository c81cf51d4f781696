"""The embedded default source: simulated tabletop episodes in the manner of BridgeData V2.

A scripted gripper puts, picks up and pushes objects by contact and friction (MuJoCo), well or badly, at 5 frames a
second; everything is decided by (seed, episode index) and identical bit for bit on the same machine. Pictures come
from a ray caster, so depth, masks and surface poses are exact, and the picture's size never touches the physics.
"""

from dataclasses import dataclass, replace
from importlib.metadata import version

import mujoco
import numpy as np

from lewm_core.sources.episode import IMAGE_SIZE, Episode, EpisodeInfo, Truth
from lewm_core.sources.tabletop.mjcf import build
from lewm_core.sources.tabletop.objects import Surface
from lewm_core.sources.tabletop.play import draw_play, play
from lewm_core.sources.tabletop.policy import Plan, Segment, draw_plan
from lewm_core.sources.tabletop.raycast import Raycaster
from lewm_core.sources.tabletop.scene import HOME, KITCHENS, MAX_OPENING, Scene, kitchens_of
from lewm_core.utils.errors import InputError, pick
from lewm_core.utils.files import digest

GENERATOR = {"tabletop": "2", "play": "4"}  # by kind; raise it whenever the same seed would yield other episodes
KINDS = {"tabletop": 0, "play": 1}
STEPS, SUBSTEPS = 8, 5  # a frame of 0.2 s: 8 set points, each held for 5 steps of 5 ms
STATE = mujoco.mjtState.mjSTATE_INTEGRATION
ORDER = [0, 1, 2, 5, 4, 3]  # x, y, z, roll, pitch, yaw among the model's joints x, y, z, yaw, pitch, roll


@dataclass(frozen=True)
class Recording:
    """A simulated episode before it is rendered."""

    id: str
    scene: Scene
    plan: Plan
    model: mujoco.MjModel
    surfaces: list[Surface]  # per geom id
    target: np.ndarray  # geom ids of the manipulated object
    qpos: np.ndarray  # (T, nq) joint positions
    states: np.ndarray  # (T, ns) all that decides how the simulation goes on from a frame (mujoco.mj_setState, STATE)
    observations: np.ndarray  # (T, 7) float64: x, y, z (m), roll, pitch, yaw (rad), opening (0..1)


def joint_addresses(model: mujoco.MjModel) -> np.ndarray:
    """Where in qpos the gripper's x, y, z, yaw, pitch, roll and its two fingers are, in the order of the actuators."""
    names = ("x", "y", "z", "yaw", "pitch", "roll", "finger-1", "finger1")
    return np.array([int(model.joint(name).qposadr[0]) for name in names])


def observe(joints: np.ndarray) -> np.ndarray:
    """The eight joint positions (8,) as an observation (7,); `joints_of` is the way back."""
    return np.concatenate([joints[:6][ORDER], [np.clip(joints[6:].sum() / MAX_OPENING, 0, 1)]])


def joints_of(observation: np.ndarray) -> np.ndarray:
    """The joint positions (8,) at an observation (7,), the fingers equally far from the middle."""
    return np.concatenate([observation[:6][ORDER], np.full(2, observation[6] * MAX_OPENING / 2)])


def actions_of(observations: np.ndarray) -> np.ndarray:
    """(T, 7) the actions between observations (T, 7): changes of pose and the opening to come; the last holds still."""
    after = np.concatenate([observations[1:], observations[-1:]])
    return np.concatenate([after[:, :6] - observations[:, :6], after[:, 6:]], axis=1)


def object_pose(recording: Recording) -> tuple[np.ndarray, np.ndarray]:
    """Where a recording's manipulated object is at every frame: its centre of mass (T, 3), m, and yaw (T,), rad."""
    data, body = mujoco.MjData(recording.model), recording.model.geom_bodyid[recording.target[0]]
    track, yaw = np.empty((len(recording.qpos), 3)), np.empty(len(recording.qpos))
    for t, qpos in enumerate(recording.qpos):
        data.qpos[:] = qpos
        mujoco.mj_kinematics(recording.model, data)
        rotation = data.xmat[body]
        track[t], yaw[t] = data.xipos[body], np.arctan2(rotation[3], rotation[0])
    return track, yaw


class _Robot:
    """Drives the gripper of one simulation along segments and records it at every frame."""

    def __init__(self, model: mujoco.MjModel, start: Segment, rng: np.random.Generator):
        self.model, self.data, self.rng = model, mujoco.MjData(model), rng
        self.address = joint_addresses(model)
        self.command = self._command(start)
        self.data.qpos[self.address] = self.data.ctrl[:] = self.command
        self.deviation = np.zeros(8)
        self.qpos, self.states, self.observations = [], [], []
        mujoco.mj_forward(model, self.data)
        self._record()

    @staticmethod
    def _command(segment: Segment) -> np.ndarray:
        return joints_of(np.array([*segment.pose, segment.opening]))

    def _record(self) -> None:
        state = np.empty(mujoco.mj_stateSize(self.model, STATE))
        mujoco.mj_getState(self.model, self.data, state, STATE)
        self.qpos.append(self.data.qpos.copy())
        self.states.append(state)
        self.observations.append(observe(self.data.qpos[self.address]))

    def follow(self, segment: Segment, frames: int) -> None:
        """Go along a segment for at most `frames` of its frames."""
        begin, goal = self.command, self._command(segment)
        for frame in range(min(segment.frames, frames)):
            last = self.deviation
            sway = np.concatenate([self.rng.normal(0, 0.003, 3), self.rng.normal(0, 0.012, 3), np.zeros(2)])
            self.deviation = np.zeros(8) if segment.steady else sway
            for step in range(1, STEPS + 1):
                done = (frame + step / STEPS) / segment.frames
                self.command = begin + done * (goal - begin)
                self.data.ctrl[:] = self.command + last + step / STEPS * (self.deviation - last)
                mujoco.mj_step(self.model, self.data, SUBSTEPS)
            mujoco.mj_kinematics(self.model, self.data)
            self._record()


class Tabletop:
    """A Source of simulated episodes.

    Args:
        n_episodes: how many, at least 1; episode i is the same for every n_episodes > i.
        seed: at least 0.
        image_size: pixels of a side, at least 8.
        kind: "tabletop" (put, pick up, push; some of it bad) or "play" (one cube, 32 frames of motion), which
            happens in the kitchen HOME alone.
        looks: of a tabletop, how many kitchens there are: 1 is HOME, 2 is HOME and one other, None is all. Episode i
            differs between them in nothing but its kitchen.
    """

    cameras = 1

    def __init__(self, n_episodes: int, seed: int, image_size: int = IMAGE_SIZE, kind: str = "tabletop",
                 looks: int | None = None):
        for name, value, least in (("n_episodes", n_episodes, 1), ("seed", seed, 0), ("image_size", image_size, 8)):
            if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < least:
                raise InputError(f"Tabletop {name}", repr(value), f"a whole number of at least {least}")
        pick(KINDS, kind, "Tabletop kind")
        self.name, self.n_episodes, self.seed, self.image_size = kind, int(n_episodes), int(seed), int(image_size)
        if kind == "play" and looks is not None:
            raise InputError("Tabletop looks", f"{looks!r} of play", f"None: play is in kitchen {HOME} alone")
        self.kitchens = (HOME,) if kind == "play" else kitchens_of(looks)
        settings = (kind, self.n_episodes, self.seed, self.image_size)
        some = () if self.kitchens == kitchens_of(None) else (repr(self.kitchens),)
        self.fingerprint = digest(GENERATOR[kind], repr(settings), version("mujoco"), version("numpy"), *some)

    def infos(self, on_error: object = None, cache: object = None) -> list[EpisodeInfo]:
        """Every episode's id, task and length, from its plan and without simulating; nothing can fail or take long."""
        plans = (self.draw(i)[1] for i in range(self.n_episodes))
        return [EpisodeInfo(self._id(i), plan.task, plan.length) for i, plan in enumerate(plans)]

    def load(self, id: str) -> Episode:
        """Simulate and render one episode; InputError for an unknown id."""
        return self.render(self.record(id))

    def draw(self, index: int) -> tuple[Scene, Plan]:
        """What stands on the table in episode `index`, what the gripper sets out to do and how it is to end."""
        scene, plan = (draw_play if self.name == "play" else draw_plan)(self._rng(index, 0))
        return replace(scene, kitchen=self.kitchens[scene.kitchen % len(self.kitchens)]), plan

    def record(self, id: str) -> Recording:
        """The physics of one episode, which no picture size can change."""
        index = self._index(id)
        scene, plan = self.draw(index)
        model, surfaces, target = build(scene)
        robot = _Robot(model, plan.start, self._rng(index, 1))
        if self.name == "play":

            def cube() -> tuple[np.ndarray, float]:
                rotation = robot.data.geom_xmat[target[0]]
                return robot.data.geom_xpos[target[0]].copy(), float(np.arctan2(rotation[3], rotation[0]))

            segments = play(self._rng(index, 2), scene, plan.start, cube)
        else:
            segments = iter(plan.segments)
        while len(robot.qpos) < plan.length:
            robot.follow(next(segments), plan.length - len(robot.qpos))
        return Recording(id, scene, plan, model, surfaces, target, np.array(robot.qpos), np.array(robot.states),
                         np.array(robot.observations))

    def render(self, recording: Recording) -> Episode:
        """The pictures, truth and arrays of a recorded episode."""
        model, data = recording.model, mujoco.MjData(recording.model)
        data.qpos[:] = recording.qpos[0]
        mujoco.mj_kinematics(model, data)
        caster = Raycaster(model, data, recording.surfaces, KITCHENS[recording.scene.kitchen], self.image_size)
        camera, n = caster.camera, len(recording.qpos)
        frames = np.empty((n, self.image_size, self.image_size, 3), np.uint8)
        depth, geom = np.empty(frames.shape[:3], np.float32), np.empty(frames.shape[:3], np.int16)
        pose = np.empty((n, model.ngeom, 3, 4))
        for t, qpos in enumerate(recording.qpos):
            data.qpos[:] = qpos
            mujoco.mj_kinematics(model, data)
            frames[t], depth[t], geom[t] = caster.render()
            pose[t, :, :, :3] = np.einsum("ij,gjk->gik", camera.rotation, data.geom_xmat.reshape(-1, 3, 3))
            pose[t, :, :, 3] = np.einsum("ij,gj->gi", camera.rotation, data.geom_xpos - camera.position)
        track, yaw = (values.astype(np.float32) for values in object_pose(recording))
        truth = Truth(depth, np.isin(geom, recording.target), geom, pose, track, yaw)
        observations = recording.observations
        return Episode(recording.id, frames, actions_of(observations).astype(np.float32),
                       observations.astype(np.float32), recording.plan.task, camera.intrinsics, truth)  # fmt: skip

    def _rng(self, index: int, stream: int) -> np.random.Generator:
        return np.random.default_rng((self.seed, KINDS[self.name], index, stream))

    def _id(self, index: int) -> str:
        return f"{self.name}-{self.seed}-{index:05d}"

    def _index(self, id: str) -> int:
        head, _, number = id.rpartition("-")
        if number.isdecimal() and int(number) < self.n_episodes and id == self._id(int(number)):
            return int(number)
        raise InputError(f"source {self.name}", f"no episode {id!r}",
                         f"{self._id(0)} to {self._id(self.n_episodes - 1)}")  # fmt: skip
