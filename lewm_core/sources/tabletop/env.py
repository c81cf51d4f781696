"""The tabletop, stepped: an episode taken up at one of its frames and carried on with other actions.

An action means what it means in `Episode.actions`: the change of pose within a frame of 0.2 s and the opening at its
end. A recorded episode was driven by set points that are not kept; here the set points follow from the action, and a
replay of the recorded actions comes back to the recorded states (the tests say how closely).
"""

import mujoco
import numpy as np

from lewm_core.sources.tabletop.raycast import Raycaster
from lewm_core.sources.tabletop.scene import KITCHENS
from lewm_core.sources.tabletop.source import (
    STATE,
    STEPS,
    SUBSTEPS,
    Recording,
    joint_addresses,
    joints_of,
    object_pose,
    observe,
)

HOLD = 0.02  # an opening asked for that is no wider than this above the present one does not let go of an object


def object_track(recording: Recording) -> np.ndarray:
    """(T, 3) m, the centre of mass of a recording's manipulated object at every frame."""
    return object_pose(recording)[0]


class World:
    """A simulation that starts in the state of a recorded episode's frame. Deterministic: no noise is added.

    Args:
        recording: from `Tabletop.record`.
        frame: of the recording; positions, velocities and set points are restored as they were.
        image_size: pixels of a side.
    """

    def __init__(self, recording: Recording, frame: int, image_size: int):
        self.model, self.data = recording.model, mujoco.MjData(recording.model)
        mujoco.mj_setState(self.model, self.data, recording.states[frame], STATE)
        mujoco.mj_kinematics(self.model, self.data)
        self._address = joint_addresses(self.model)
        self._body = int(self.model.geom_bodyid[recording.target[0]])
        fingers = [int(self.model.joint(name).bodyid[0]) for name in ("finger-1", "finger1")]
        self._fingers = [np.flatnonzero(self.model.geom_bodyid == body) for body in fingers]
        # By how many seconds a position actuator lags a steadily moving set point: its damping over its stiffness,
        # less the mean time until the end of a set point that is held. As much ahead, the gripper is on time.
        h = self.model.opt.timestep
        self._lag = -self.model.actuator_biasprm[:, 2] / self.model.actuator_gainprm[:, 0] - h * (SUBSTEPS + 1) / 2
        self._caster = Raycaster(self.model, self.data, recording.surfaces, KITCHENS[recording.scene.kitchen],
                                 image_size)

    @property
    def observation(self) -> np.ndarray:
        """(7,) float64: the gripper's x, y, z (m), roll, pitch, yaw (rad) and opening (0..1)."""
        return observe(self.data.qpos[self._address])

    @property
    def object(self) -> np.ndarray:
        """(3,) m, as `object_track` has it for a recording: the simulator's truth, for judging only."""
        return self.data.xipos[self._body].copy()

    @property
    def qpos(self) -> np.ndarray:
        """(nq,) all joint positions, as in `Recording.qpos`."""
        return self.data.qpos.copy()

    def render(self) -> np.ndarray:
        """(image_size, image_size, 3) uint8, the present frame."""
        return self._caster.render()[0]

    def step(self, action: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Go on for one frame; the new frame (as `render`) and the new observation.

        action (7,): change of x, y, z (m) and roll, pitch, yaw (rad), and the opening (0..1) to end with.
        """
        begin, now = self.data.qpos[self._address], self.observation
        goal = joints_of(np.append(now[:6] + action[:6], np.clip(action[6], 0, 1)))
        velocity = (goal - begin) / (STEPS * SUBSTEPS * self.model.opt.timestep)
        for step in range(1, STEPS + 1):
            self.data.ctrl[:] = begin + step / STEPS * (goal - begin) + self._lag * velocity
            if action[6] <= now[6] + HOLD and self._grasps():
                self.data.ctrl[6:] = 0  # hold on to it with the force of the recorded grasps
            mujoco.mj_step(self.model, self.data, SUBSTEPS)
        mujoco.mj_kinematics(self.model, self.data)
        return self.render(), self.observation

    def _grasps(self) -> bool:
        """Whether both fingers touch something."""
        touched = self.data.contact.geom
        return all(np.isin(touched, finger).any() for finger in self._fingers)
