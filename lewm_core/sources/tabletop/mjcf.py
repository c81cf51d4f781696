"""The MuJoCo model of a scene: table, things, and a gripper that hangs from three slides and three hinges."""

from math import pi

import mujoco
import numpy as np

from lewm_core.sources.tabletop.objects import Surface, Thing
from lewm_core.sources.tabletop.scene import KITCHENS, MAX_OPENING, Kitchen, Scene

BACKGROUND, MOVING, UNSEEN = 0, 1, 3  # geom groups; rays never test UNSEEN
GHOST = 'contype="0" conaffinity="0"'  # touches nothing
HEAD = ('<compiler angle="radian" eulerseq="XYZ"/>'
        '<option timestep="0.005" integrator="implicitfast" cone="elliptic" impratio="10"/>')
HINGES = {"yaw": "0 0 1", "pitch": "0 1 0", "roll": "1 0 0"}
SLIDES = {"x": "1 0 0", "y": "0 1 0", "z": "0 0 1"}


def build(scene: Scene) -> tuple[mujoco.MjModel, list[Surface], np.ndarray]:
    """The MuJoCo model, one Surface per geom id, and the geom ids of the target.

    The model's first six coordinates are the gripper's x, y, z, yaw, pitch, roll (so that its rotation is
    Rz(yaw) Ry(pitch) Rx(roll)), the next two the fingers' distances from the middle; actuators likewise.
    """
    geoms = _Geoms()
    furniture = _furniture(geoms, KITCHENS[scene.kitchen])
    first = len(geoms.surfaces)
    target = _body(geoms, scene.target, fixed=False)
    names = [str(number) for number in range(first, len(geoms.surfaces))]
    others = [_body(geoms, thing, fixed=False) for thing in scene.distractors]
    container = _body(geoms, scene.container, fixed=True) if scene.container else ""
    world = "".join([furniture, target, *others, container])
    xml = (f"<mujoco>{HEAD}<worldbody>{_gripper(geoms)}{world}</worldbody>"
           f"<actuator>{_actuators()}</actuator></mujoco>")
    model = mujoco.MjModel.from_xml_string(xml)
    order = [int(model.geom(i).name) for i in range(model.ngeom)]
    surfaces = [geoms.surfaces[number] for number in order]
    return model, surfaces, np.array([model.geom(name).id for name in names])


class _Geoms:
    """Geoms as XML, each named by its number; their surfaces in that order."""

    def __init__(self):
        self.surfaces: list[Surface] = []

    def add(self, type: str, size, pos, surface: Surface, group: int, euler=(0, 0, 0), extra: str = "") -> str:
        """One geom; lengths in m, angles in rad."""
        name = len(self.surfaces)
        self.surfaces.append(surface)
        return (f'<geom name="{name}" type="{type}" size="{_numbers(size)}" pos="{_numbers(pos)}" '
                f'euler="{_numbers(euler)}" group="{group}" {extra}/>')


def _numbers(values) -> str:
    return " ".join(repr(float(v)) for v in values)


def _furniture(geoms: _Geoms, kitchen: Kitchen) -> str:
    """The plane on which things stand, the table that is seen in its place, floor and wall."""
    near, far = -0.5, kitchen.far_edge
    table = (kitchen.half_width, (far - near) / 2, 0.02)
    return "".join([
        geoms.add("plane", (0, 0, 1), (0, 0, 0), kitchen.table, UNSEEN, extra='friction="0.8 0.005 0.0005"'),
        geoms.add("box", table, (0, (far + near) / 2, -0.02), kitchen.table, BACKGROUND, extra=GHOST),
        geoms.add("plane", (0, 0, 1), (0, 0, -0.6), kitchen.floor, BACKGROUND, extra=GHOST),
        geoms.add("plane", (0, 0, 1), (0, kitchen.wall_y, 0), kitchen.wall, BACKGROUND, (pi / 2, 0, 0), GHOST),
    ])


def _body(geoms: _Geoms, thing: Thing, fixed: bool) -> str:
    """A thing on the table; its first part has nearly all of its mass."""
    roughness = 'condim="6" friction="0.9 0.01 0.004"' if thing.rolls else 'condim="4" friction="0.9 0.01 0.001"'
    group = BACKGROUND if fixed else MOVING
    parts = []
    for i, part in enumerate(thing.parts):
        mass = thing.mass if i == 0 else 0.003
        touch = roughness if fixed else f'{roughness} mass="{mass}"'
        parts.append(geoms.add(part.type, part.size, part.pos, part.surface, group, part.euler, touch))
    joint = "" if fixed else "<freejoint/>"
    pose = f'pos="{_numbers((*thing.xy, 0))}" euler="{_numbers((0, 0, thing.yaw))}"'
    return f"<body {pose}>{joint}{''.join(parts)}</body>"


def _gripper(geoms: _Geoms) -> str:
    """A palm, an arm and two fingers with orange tips."""
    metal, dark = Surface((0.30, 0.31, 0.34)), Surface((0.16, 0.16, 0.18))
    grey, orange = Surface((0.22, 0.22, 0.25)), Surface((0.85, 0.45, 0.10))
    pad = 'contype="2" conaffinity="1" condim="4" friction="1.6 0.02 0.001"'
    joints = "".join(f'<joint name="{name}" type="slide" axis="{axis}"/>' for name, axis in SLIDES.items())
    joints += "".join(f'<joint name="{name}" type="hinge" axis="{axis}" armature="0.01"/>'
                      for name, axis in HINGES.items())
    body = geoms.add("box", (0.062, 0.020, 0.013), (0, 0, 0.078), metal, MOVING, extra=f'mass="0.4" {GHOST}')
    body += geoms.add("cylinder", (0.017, 0.11), (0, 0, 0.20), dark, MOVING, extra=f'mass="0.1" {GHOST}')
    for side in (-1, 1):
        finger = geoms.add("box", (0.008, 0.011, 0.037), (side * 0.008, 0, 0.025), grey, MOVING,
                           extra=f'mass="0.08" {pad}')
        finger += geoms.add("box", (0.0085, 0.0115, 0.009), (side * 0.008, 0, -0.003), orange, MOVING,
                            extra=f'mass="0.02" {GHOST}')
        joint = (f'<joint name="finger{side}" type="slide" axis="{side} 0 0" range="0 {MAX_OPENING / 2}" '
                 f'limited="true" armature="0.05"/>')
        body += f'<body gravcomp="1">{joint}{finger}</body>'
    return f'<body gravcomp="1">{joints}{body}</body>'


def _actuators() -> str:
    """Position servos: of the slides, of the hinges and of the fingers."""
    gains = {**dict.fromkeys(SLIDES, (3000, 100)), **dict.fromkeys(HINGES, (60, 2.4)),
             "finger-1": (500, 17), "finger1": (500, 17)}  # joint -> stiffness and damping
    return "".join(f'<position joint="{joint}" kp="{kp}" kv="{kv}"/>' for joint, (kp, kv) in gains.items())
