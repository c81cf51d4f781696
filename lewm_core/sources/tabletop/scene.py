"""Where the simulated episodes happen: kitchens, and what is placed on their tables.

World frame: metres, the table top is z = 0, x to the right, y away from the camera. The gripper's frame lies
between its finger tips; its fingers close along its own x axis.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import pi

import numpy as np

from lewm_core.sources.tabletop.objects import (
    COLOURS,
    CONTAINERS,
    SHAPES,
    Part,
    Surface,
    Thing,
    draw_container,
    draw_object,
)
from lewm_core.utils.errors import InputError

MAX_OPENING = 0.10  # metres between the finger pads when the gripper reads 1.0


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
    """What stands where: the kitchen's number, the thing to manipulate, and what else is on the table."""

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
HOME = 0  # the kitchen of all play, and of a world of one look
LOOKS = {1: (HOME,), 2: (HOME, (HOME + 4) % len(KITCHENS))}  # looks of a world -> its kitchens


def kitchens_of(looks: int | None) -> tuple[int, ...]:
    """The kitchens of a world of so many looks: a key of LOOKS, or None for all; InputError for anything else."""
    if looks is None:
        return tuple(range(len(KITCHENS)))
    if type(looks) is not int or looks not in LOOKS:
        raise InputError("looks", repr(looks), f"{', '.join(map(str, LOOKS))}, or None for all {len(KITCHENS)}")
    return LOOKS[looks]


# One cube for all play, as in OGBench-Cube. What differs from episode to episode but never within one is the easiest
# thing to predict: with cubes of many looks the latents hold little else, and the base predicts no motion. Half of it
# is white: how it is turned can be seen at 64 px, and a linear probe can read it.
def _play_cube(half: float = 0.032, skin: float = 0.0006) -> Thing:
    red, white = Surface((0.8, 0.12, 0.12)), Surface((0.9, 0.88, 0.82))
    cube = Part("box", (half, half, half), (0, 0, half), red)
    cover = Part("box", (half / 2, half + skin, half + skin / 2), (half / 2 + skin, 0, half + skin / 2), white)
    return Thing("red and white cube", (cube, cover), half, half, 2 * half, mass=0.08)


PLAY_CUBE = _play_cube()


def _place(rng, radius: float, taken: list, gap: float, low, high) -> np.ndarray | None:
    """A free spot on the table, or None after many tries."""
    for _ in range(200):
        xy = rng.uniform(low, high)
        if all(np.hypot(*(xy - other)) > radius + r + gap for other, r in taken):
            return xy
    return None


def draw_scene(rng: np.random.Generator, verb: str) -> tuple[Scene, float]:
    """A scene for the verb ('put', 'pick up', 'push' or 'play') and the direction of a push (rad, 0 = right)."""
    while True:
        shapes, colours = list(SHAPES), list(COLOURS)
        if verb == "push":
            shapes = ["cube", "block", "can", "bottle"]
        shape, colour = _pick(rng, shapes), _pick(rng, colours)
        target = PLAY_CUBE if verb == "play" else draw_object(rng, shape, colour)
        heading = float((0.0, pi, 0.0, pi, -pi / 2)[rng.integers(5)])
        kitchen = int(rng.integers(len(KITCHENS)))
        most = 0.1 if verb == "push" else 0.45
        yaw = float(rng.uniform(-most, most))
        taken: list[tuple[np.ndarray, float]] = []
        container = None
        if verb == "put" or (verb == "pick up" and rng.random() < 0.4):
            container, xy = _place_container(rng, target, taken)
        elif verb == "push":
            xy = _place_pushed(rng, target, heading, taken)
        else:
            xy = _place(rng, target.radius, taken, 0.03, (-0.10, -0.08), (0.10, 0.08))
        if xy is None:
            continue
        target = _at(target, xy, yaw)
        taken.append((xy, target.radius))
        distractors = () if verb == "play" else _draw_distractors(rng, target, taken)
        return Scene(kitchen, target, container, distractors), heading


def _place_container(rng, target: Thing, taken: list) -> tuple[Thing, np.ndarray | None]:
    """A container on one side of the table, and a spot for the target on the other (None where there is none)."""
    container = draw_container(rng, _pick(rng, CONTAINERS))
    side = 1 if rng.random() < 0.5 else -1
    spot = np.array([side * rng.uniform(0.075, 0.11), rng.uniform(-0.02, 0.09)])
    container = _at(container, spot, float(rng.uniform(-0.2, 0.2)))
    round_ = container.name in ("plate", "bowl")
    taken.append((spot, container.half_width if round_ else container.radius))
    low, high = ((-0.115, -0.085), (0.0, 0.08)) if side > 0 else ((0.0, -0.085), (0.115, 0.08))
    return container, _place(rng, target.radius, taken, 0.03, low, high)


def _place_pushed(rng, target: Thing, heading: float, taken: list) -> np.ndarray:
    """A spot for a target that is to be pushed; its whole way is taken."""
    x = -np.cos(heading) * rng.uniform(0.05, 0.09) + rng.uniform(-0.02, 0.02)
    y = rng.uniform(0.03, 0.08) if heading == -pi / 2 else rng.uniform(-0.06, 0.08)
    xy = np.array([x, y])
    way = np.array([np.cos(heading), np.sin(heading)])
    taken += [(xy + way * step, target.radius) for step in np.linspace(-0.10, 0.20, 7)]
    return xy


def _draw_distractors(rng, target: Thing, taken: list) -> tuple[Thing, ...]:
    """Up to three things that share neither shape nor colour with the target."""
    distractors = []
    for _ in range(int(rng.integers(0, 4))):
        shape, colour = _pick(rng, SHAPES), _pick(rng, list(COLOURS))
        thing = draw_object(rng, shape, colour)
        spot = _place(rng, thing.radius, taken, 0.045, (-0.24, -0.10), (0.24, 0.26))
        if spot is not None and shape not in target.name and colour not in target.name:
            distractors.append(_at(thing, spot, float(rng.uniform(-pi, pi))))
            taken.append((spot, thing.radius))
    return tuple(distractors)


def _pick(rng: np.random.Generator, names: Sequence[str]) -> str:
    return names[rng.integers(len(names))]


def _at(thing: Thing, xy: np.ndarray, yaw: float) -> Thing:
    return replace(thing, xy=tuple(map(float, xy)), yaw=yaw)
