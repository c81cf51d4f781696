"""Play with a single cube, from which the base learns: endless, and decided by where the cube is."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from math import pi

import numpy as np

from lewm_core.sources.tabletop.policy import Plan, Segment, Waypoints, draw_start, free_opening
from lewm_core.sources.tabletop.scene import Scene, draw_scene

FRAMES = 32  # of an episode
TURNED = 0.6  # rad: the cube's yaw at the start is at most so large, either way
WAVED = 1.0  # the gripper's, where it waves
TURN, TURNED_MOST = 0.9, 1.2  # of the gripper with the cube in hand: by how much it turns, and how far at most
Cube = Callable[[], tuple[np.ndarray, float]]  # gives the cube's present position (3,) in m and yaw in rad


def draw_play(rng: np.random.Generator) -> tuple[Scene, Plan]:
    """The scene and the start of an episode of play; `play` decides the rest."""
    scene, _ = draw_scene(rng, "play")
    target = replace(scene.target, yaw=float(rng.uniform(-TURNED, TURNED)))
    scene = replace(scene, target=target)
    return scene, Plan("play with the cube", "play", "play", draw_start(rng), (), FRAMES)


def play(rng: np.random.Generator, scene: Scene, start: Segment, cube: Cube) -> Iterator[Segment]:
    """Endless play: reach for the cube, lift it, carry it about, put it down, wave; sometimes miss."""
    path = Waypoints(rng, start, speed=float(rng.uniform(0.03, 0.042)))
    while True:
        if rng.random() < 0.25:
            path.to((*_spot(rng), rng.uniform(0.09, 0.2)), opening=rng.uniform(0.2, 1), yaw=rng.uniform(-WAVED, WAVED))
            yield from path.take()
        position, yaw = cube()
        if np.abs(position[0]) < 0.16 and -0.12 < position[1] < 0.16:
            yaw = _reach(path, position, yaw)
            yield from path.take()
            _carry(path, scene, max(position[2], 0.02), yaw)
        else:  # out of reach: wave
            path.to((*_spot(rng), rng.uniform(0.05, 0.2)), opening=rng.uniform(0, 1), yaw=rng.uniform(-WAVED, WAVED),
                    frames=2)
        yield from path.take()


def _reach(path: Waypoints, position: np.ndarray, yaw: float) -> float:
    """Close the fingers around the cube, or beside it; returns the yaw at which they do, within a quarter turn."""
    rng = path.rng
    yaw = (yaw + pi / 4) % (pi / 2) - pi / 4
    aim, height = position[:2], max(position[2], 0.02)
    if rng.random() < 0.12:
        aim = aim + rng.uniform(-0.05, 0.05, 2)
    path.to((*aim, height + rng.uniform(0.06, 0.09)), opening=1.0, yaw=yaw)
    path.to((*aim, height), steady=True)
    path.grip(0.0)
    return yaw


def _carry(path: Waypoints, scene: Scene, height: float, yaw: float) -> None:
    """Lift what was grasped at `height`, carry it about, and put it down or drop it."""
    rng = path.rng
    aim = path.last.pose[:2]
    path.to((*aim, height + rng.uniform(0.07, 0.14)))
    for _ in range(int(rng.integers(1, 4))):
        turned = np.clip(yaw + rng.uniform(-TURN, TURN), -TURNED_MOST, TURNED_MOST)
        path.to((*_spot(rng), rng.uniform(0.07, 0.17)), yaw=float(turned), frames=2)
    here = path.last.pose[:2]
    above = rng.uniform(0, 0.03) if rng.random() < 0.3 else 0
    path.to((*here, scene.target.half_width + 0.004 + above), steady=True)
    path.grip(free_opening(scene.target))
    path.to((*here, rng.uniform(0.10, 0.15)))


def _spot(rng: np.random.Generator) -> np.ndarray:
    return rng.uniform((-0.11, -0.07), (0.11, 0.10))
