"""Where the simulated episodes happen: kitchens, what is placed on their tables, and the MuJoCo model of both.

World frame: metres, the table top is z = 0, x to the right, y away from the camera. The gripper's frame lies
between its finger tips; its fingers close along its own x axis.
"""

from dataclasses import dataclass, replace
from math import pi

import mujoco
import numpy as np

from lewm_core.sources.tabletop.objects import COLOURS, CONTAINERS, SHAPES, Surface, Thing, draw_container, draw_object

MAX_OPENING = 0.10  # metres between the finger pads when the gripper reads 1.0
BACKGROUND, MOVING, UNSEEN = 0, 1, 3  # geom groups; rays never test UNSEEN


@dataclass(frozen=True)
class Kitchen:
    """Camera, light and furniture; the same for every seed, so that episodes share a small set of places."""

    azimuth: float  # rad, camera around the table, 0 = straight in front
    pitch: float  # rad below the horizon
    distance: float  # m, camera to the point looked at
    look_at: tuple[float, float, float]
    fov: float  # rad
    light: tuple[float, float, float]
    ambient: float
    diffuse: tuple[float, float, float]
    table: Surface
    half_width: float
    far_edge: float
    wall: Surface
    wall_y: float
    floor: Surface


@dataclass(frozen=True)
class Scene:
    kitchen: int
    target: Thing
    container: Thing | None
    distractors: tuple[Thing, ...]


def _kitchens() -> tuple[Kitchen, ...]:
    rng = np.random.default_rng(20260401)
    tables = [
        Surface((0.72, 0.54, 0.36), (0.52, 0.36, 0.22), "wood", 0.05),
        Surface((0.78, 0.78, 0.76), (0.60, 0.62, 0.64), "checker", 0.06),
        Surface((0.62, 0.66, 0.62), (0.46, 0.50, 0.48), "noise", 0.03),
        Surface((0.80, 0.74, 0.62), (0.62, 0.52, 0.44), "stripes", 0.05),
        Surface((0.42, 0.34, 0.30), (0.28, 0.20, 0.16), "wood", 0.035),
        Surface((0.56, 0.62, 0.74), (0.42, 0.48, 0.62), "checker", 0.09),
        Surface((0.86, 0.84, 0.80), (0.66, 0.62, 0.58), "noise", 0.05),
        Surface((0.50, 0.58, 0.46), (0.36, 0.44, 0.34), "stripes", 0.08),
    ]
    n = len(tables)
    azimuth, pitch = rng.permutation(np.linspace(-0.45, 0.45, n)), rng.permutation(np.linspace(0.68, 1.08, n))
    kitchens = []
    for i, table in enumerate(tables):
        u = rng.uniform
        tint = u(0.9, 1.0, 3) * u(0.55, 0.7)
        wall = rng.uniform(0.45, 0.8, 3)
        kitchens.append(
            Kitchen(
                azimuth=float(azimuth[i]), pitch=float(pitch[i]), distance=u(0.37, 0.41),
                look_at=(u(-0.01, 0.01), u(0.0, 0.02), u(0.04, 0.05)), fov=u(0.84, 0.92),
                light=(u(-0.6, 0.6), u(-0.7, -0.25), u(0.9, 1.3)), ambient=u(0.48, 0.56), diffuse=tuple(tint),
                table=table, half_width=u(0.38, 0.6), far_edge=u(0.28, 0.5),
                wall=Surface(tuple(wall), tuple(wall * 0.82), ("plain", "checker", "stripes", "noise")[i % 4], 0.12),
                wall_y=u(0.65, 1.1), floor=Surface((0.36, 0.33, 0.30), (0.30, 0.27, 0.25), "checker", 0.3),
            )
        )  # fmt: skip
    return tuple(kitchens)


KITCHENS = _kitchens()


# One cube for all play, as in OGBench-Cube. What differs from episode to episode but never within one is the easiest
# thing to predict: with cubes of many looks the latents hold little else, and the base predicts no motion.
PLAY_CUBE = draw_object(np.random.default_rng(0), "cube", "red")


def _fits(xy: np.ndarray, radius: float, taken: list[tuple[np.ndarray, float]], gap: float) -> bool:
    return all(np.hypot(*(xy - other)) > radius + r + gap for other, r in taken)


def _place(rng, radius: float, taken: list, gap: float, low, high) -> np.ndarray | None:
    """A free spot on the table, or None after many tries."""
    for _ in range(200):
        xy = rng.uniform(low, high)
        if _fits(xy, radius, taken, gap):
            return xy
    return None


def draw_scene(rng: np.random.Generator, verb: str) -> tuple[Scene, float]:
    """A scene for the verb ('put', 'pick up', 'push' or 'play') and the direction of a push (rad, 0 = right)."""
    while True:
        shapes, colours = list(SHAPES), list(COLOURS)
        if verb == "push":
            shapes = ["cube", "block", "can", "bottle"]
        shape, colour = shapes[rng.integers(len(shapes))], colours[rng.integers(len(colours))]
        target = PLAY_CUBE if verb == "play" else draw_object(rng, shape, colour)
        heading = float((0.0, pi, 0.0, pi, -pi / 2)[rng.integers(5)])
        kitchen = int(rng.integers(len(KITCHENS)))
        yaw = float(rng.uniform(-0.45, 0.45)) if verb != "push" else float(rng.uniform(-0.1, 0.1))
        taken: list[tuple[np.ndarray, float]] = []
        container = None
        if verb == "put" or (verb == "pick up" and rng.random() < 0.4):
            container = draw_container(rng, CONTAINERS[rng.integers(len(CONTAINERS))])
            side = 1 if rng.random() < 0.5 else -1
            spot = np.array([side * rng.uniform(0.075, 0.11), rng.uniform(-0.02, 0.09)])
            container = replace(container, xy=tuple(map(float, spot)), yaw=float(rng.uniform(-0.2, 0.2)))
            taken.append((spot, container.radius if container.name not in ("plate", "bowl") else container.half_width))
            low, high = ((-0.115, -0.085), (0.0, 0.08)) if side > 0 else ((0.0, -0.085), (0.115, 0.08))
            xy = _place(rng, target.radius, taken, 0.03, low, high)
        elif verb == "push":
            x = -np.cos(heading) * rng.uniform(0.05, 0.09) + rng.uniform(-0.02, 0.02)
            y = rng.uniform(0.03, 0.08) if heading == -pi / 2 else rng.uniform(-0.06, 0.08)
            xy = np.array([x, y])
            way = np.array([np.cos(heading), np.sin(heading)])
            taken += [(xy + way * step, target.radius) for step in np.linspace(-0.10, 0.20, 7)]
        else:
            xy = _place(rng, target.radius, taken, 0.03, (-0.10, -0.08), (0.10, 0.08))
        if xy is None:
            continue
        target = replace(target, xy=tuple(map(float, xy)), yaw=yaw)
        taken.append((xy, target.radius))
        distractors = []
        for _ in range(0 if verb == "play" else int(rng.integers(0, 4))):
            shape, colour = SHAPES[rng.integers(len(SHAPES))], colours[rng.integers(len(colours))]
            thing = draw_object(rng, shape, colour)
            spot = _place(rng, thing.radius, taken, 0.045, (-0.24, -0.10), (0.24, 0.26))
            if spot is not None and shape not in target.name and colour not in target.name:
                distractors.append(replace(thing, xy=tuple(map(float, spot)), yaw=float(rng.uniform(-pi, pi))))
                taken.append((spot, thing.radius))
        return Scene(kitchen, target, container, tuple(distractors)), heading


def _numbers(values) -> str:
    return " ".join(repr(float(v)) for v in values)


def build(scene: Scene) -> tuple[mujoco.MjModel, list[Surface], np.ndarray]:
    """The MuJoCo model, one Surface per geom id, and the geom ids of the target.

    The model's first six coordinates are the gripper's x, y, z, yaw, pitch, roll (so that its rotation is
    Rz(yaw) Ry(pitch) Rx(roll)), the next two the fingers' distances from the middle; actuators likewise.
    """
    kitchen, surfaces = KITCHENS[scene.kitchen], []

    def geom(type, size, pos, surface, group, euler=(0, 0, 0), extra=""):
        surfaces.append(surface)
        return (
            f'<geom name="{len(surfaces) - 1}" type="{type}" size="{_numbers(size)}" pos="{_numbers(pos)}" '
            f'euler="{_numbers(euler)}" group="{group}" {extra}/>'
        )

    ghost = 'contype="0" conaffinity="0"'
    near, far = -0.5, kitchen.far_edge
    world = [
        geom("plane", (0, 0, 1), (0, 0, 0), kitchen.table, UNSEEN, extra='friction="0.8 0.005 0.0005"'),
        geom("box", (kitchen.half_width, (far - near) / 2, 0.02), (0, (far + near) / 2, -0.02), kitchen.table,
             BACKGROUND, extra=ghost),
        geom("plane", (0, 0, 1), (0, 0, -0.6), kitchen.floor, BACKGROUND, extra=ghost),
        geom("plane", (0, 0, 1), (0, kitchen.wall_y, 0), kitchen.wall, BACKGROUND, (pi / 2, 0, 0), ghost),
    ]  # fmt: skip
    target_names = []
    for thing in (scene.target, *scene.distractors, scene.container):
        if thing is None:
            continue
        fixed = thing is scene.container
        condim = 'condim="6" friction="0.9 0.01 0.004"' if thing.rolls else 'condim="4" friction="0.9 0.01 0.001"'
        parts = []
        for i, part in enumerate(thing.parts):
            if thing is scene.target:
                target_names.append(str(len(surfaces)))
            extra = condim + ("" if fixed else f' mass="{thing.mass if i == 0 else 0.003}"')
            group = BACKGROUND if fixed else MOVING
            parts.append(geom(part.type, part.size, part.pos, part.surface, group, part.euler, extra))
        joint = "" if fixed else "<freejoint/>"
        pose = f'pos="{_numbers((*thing.xy, 0))}" euler="{_numbers((0, 0, thing.yaw))}"'
        world.append(f"<body {pose}>{joint}{''.join(parts)}</body>")

    metal, dark = Surface((0.30, 0.31, 0.34)), Surface((0.16, 0.16, 0.18))
    pad = 'contype="2" conaffinity="1" condim="4" friction="1.6 0.02 0.001"'
    body = geom("box", (0.062, 0.020, 0.013), (0, 0, 0.078), metal, MOVING, extra=f'mass="0.4" {ghost}')
    body += geom("cylinder", (0.017, 0.11), (0, 0, 0.20), dark, MOVING, extra=f'mass="0.1" {ghost}')
    for side in (-1, 1):
        finger = geom("box", (0.008, 0.011, 0.037), (side * 0.008, 0, 0.025), Surface((0.22, 0.22, 0.25)), MOVING,
                      extra=f'mass="0.08" {pad}')  # fmt: skip
        finger += geom("box", (0.0085, 0.0115, 0.009), (side * 0.008, 0, -0.003), Surface((0.85, 0.45, 0.10)),
                       MOVING, extra=f'mass="0.02" {ghost}')  # fmt: skip
        body += (
            f'<body gravcomp="1"><joint name="finger{side}" type="slide" axis="{side} 0 0" '
            f'range="0 {MAX_OPENING / 2}" limited="true" armature="0.05"/>{finger}</body>'
        )
    axes = {"x": "1 0 0", "y": "0 1 0", "z": "0 0 1"}
    joints = "".join(f'<joint name="{a}" type="slide" axis="{v}"/>' for a, v in axes.items())
    joints += "".join(
        f'<joint name="{a}" type="hinge" axis="{axes[v]}" armature="0.01"/>'
        for a, v in (("yaw", "z"), ("pitch", "y"), ("roll", "x"))
    )
    actuators = "".join(f'<position joint="{a}" kp="3000" kv="100"/>' for a in "xyz")
    actuators += "".join(f'<position joint="{a}" kp="60" kv="2.4"/>' for a in ("yaw", "pitch", "roll"))
    actuators += "".join(f'<position joint="finger{s}" kp="500" kv="17"/>' for s in (-1, 1))
    xml = (
        '<mujoco><compiler angle="radian" eulerseq="XYZ"/><option timestep="0.005" integrator="implicitfast" '
        f'cone="elliptic" impratio="10"/><worldbody><body gravcomp="1">{joints}{body}</body>{"".join(world)}'
        f"</worldbody><actuator>{actuators}</actuator></mujoco>"
    )
    model = mujoco.MjModel.from_xml_string(xml)
    order = [int(model.geom(i).name) for i in range(model.ngeom)]
    by_id = [surfaces[k] for k in order]
    return model, by_id, np.array([model.geom(name).id for name in target_names])
