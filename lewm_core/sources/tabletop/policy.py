"""What the simulated gripper tries to do: tasks, waypoints, and the ways in which an episode goes wrong."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from math import ceil, pi

import numpy as np

from lewm_core.sources.tabletop.objects import Thing
from lewm_core.sources.tabletop.scene import MAX_OPENING, Scene, draw_scene

OUTCOMES = {  # how an episode is meant to go, and how often
    "good": 0.60,
    "missed grasp": 0.10,  # the fingers close beside or above the object
    "dropped": 0.05,  # the fingers open on the way
    "hesitation": 0.07,  # the gripper stops again and again
    "too short": 0.06,
    "too long": 0.05,
    "nothing moves": 0.04,
    "no instruction": 0.03,  # a good episode without its text
}
VERBS = {"put": 0.6, "pick up": 0.2, "push": 0.2}
PLAY_FRAMES = 32


@dataclass(frozen=True)
class Segment:
    """Move in `frames` steps to `pose` (x, y, z, roll, pitch, yaw; m and rad) with the gripper `opening` in 0..1."""

    frames: int
    pose: tuple[float, float, float, float, float, float]
    opening: float
    steady: bool = False  # without the small deviations of a human hand


@dataclass(frozen=True)
class Plan:
    task: str
    verb: str
    outcome: str
    start: Segment
    segments: tuple[Segment, ...]  # empty for play, which looks at the cube to decide where to go
    length: int  # frames


def _choose(rng: np.random.Generator, table: dict[str, float]) -> str:
    return list(table)[rng.choice(len(table), p=np.array(list(table.values())))]


class _Path:
    """Waypoints, each turned into a segment of as many frames as its distance takes at the drawn speed."""

    def __init__(self, rng: np.random.Generator, start: Segment, speed: float):
        self.rng, self.speed, self.last, self.segments = rng, speed, start, []

    def to(self, xyz, opening=None, yaw=None, frames: int = 1, steady: bool = False, slow: float = 1.0) -> None:
        pose = np.array(self.last.pose)
        way = float(np.sqrt(((np.array(xyz) - pose[:3]) ** 2).sum()))
        pose[:3] = xyz
        if yaw is not None:
            pose[5] = yaw
        pose[3:5] = 0 if steady else self.rng.uniform(-0.09, 0.09, 2)
        turn = abs(pose[5] - self.last.pose[5])
        frames = max(frames, ceil(way / (self.speed * slow) - 0.25), ceil(turn / 0.35))
        opening = self.last.opening if opening is None else opening
        self.last = Segment(frames, tuple(map(float, pose)), float(opening), steady)
        self.segments.append(self.last)

    def grip(self, opening: float, frames: int = 2) -> None:
        self.last = replace(self.last, frames=frames, opening=float(opening), steady=True)
        self.segments.append(self.last)


def _far_from(rng: np.random.Generator, xy: np.ndarray) -> np.ndarray:
    while True:
        spot = rng.uniform((-0.09, -0.04), (0.09, 0.10))
        if np.hypot(*(spot - xy)) > 0.09:
            return spot


def _start(rng: np.random.Generator) -> Segment:
    xyz = rng.uniform((-0.08, -0.02, 0.15), (0.08, 0.12, 0.21))
    return Segment(0, (*map(float, xyz), *map(float, rng.uniform(-0.05, 0.05, 3))), float(rng.uniform(0.75, 1.0)))


def _grasp_height(thing: Thing) -> float:
    return float(np.clip(0.55 * thing.height, 0.020, 0.045))


def _free_opening(thing: Thing) -> float:
    """Open far enough for the object, hardly further, so that the fingers disturb nothing beside it."""
    return min(1.0, (2 * thing.half_width + 0.030) / MAX_OPENING)


def _manipulate(path: _Path, scene: Scene, verb: str, outcome: str) -> None:
    rng, target = path.rng, scene.target
    z, top = _grasp_height(target), target.height
    aim, floor = np.array(target.xy), z
    if outcome == "missed grasp":
        if rng.random() < 0.5:
            floor = top + 0.025
        else:
            aim = aim + (1 if rng.random() < 0.5 else -1) * (target.half_depth + 0.035) * np.array(
                [-np.sin(target.yaw), np.cos(target.yaw)]
            )
    path.to((*aim, max(top, z) + rng.uniform(0.05, 0.08)), opening=1.0, yaw=target.yaw)
    path.to((*aim, floor), steady=True)
    path.grip(0.0)
    lift = float(rng.uniform(0.07, 0.10))
    path.to((*(aim + rng.uniform(-0.01, 0.01, 2)), z + lift))
    release = _free_opening(target)
    if verb == "put":
        goal = np.array(scene.container.xy) + rng.uniform(-0.01, 0.01, 2)
        if outcome == "dropped":
            path.to((*(0.5 * (aim + goal)), z + lift))
            path.grip(release, frames=1)
            path.to((*goal, z + lift), frames=3)
        else:
            path.to((*goal, z + lift), yaw=target.yaw + rng.uniform(-0.3, 0.3))
            down = scene.container.height + (0.022 if scene.container.name == "bowl" else 0.006)
            path.to((*goal, z + down), steady=True)
            path.grip(release, frames=1)
        path.to((*goal, rng.uniform(0.13, 0.17)), opening=1.0)
    else:
        path.to((*(aim + rng.uniform(-0.05, 0.05, 2)), z + lift + rng.uniform(0.0, 0.03)))
        if outcome == "dropped":
            path.grip(release, frames=1)
        path.to((*rng.uniform((-0.09, -0.04), (0.09, 0.08)), z + rng.uniform(0.06, 0.11)), frames=2)
    path.to((*_far_from(rng, aim), z + rng.uniform(0.07, 0.12)), frames=2)


def _push(path: _Path, scene: Scene, heading: float, outcome: str) -> None:
    rng, target = path.rng, scene.target
    way = np.array([np.cos(heading), np.sin(heading)])
    reach = target.half_width if abs(way[0]) > 0.5 else target.half_depth
    yaw = 0.0 if abs(way[0]) > 0.5 else pi / 2  # the flat outside of one finger pushes
    side = np.array([-way[1], way[0]])
    begin = np.array(target.xy) - way * (reach + 0.040)
    if outcome == "missed grasp":
        begin = begin + side * (target.half_depth + 0.05)
    path.to((*begin, target.height + 0.045), opening=0.0, yaw=yaw)
    path.to((*begin, 0.026), steady=True)
    end = begin + way * (0.024 + rng.uniform(0.13, 0.17))
    path.to((*end, 0.026), steady=True)
    path.to((*(end - way * 0.03), 0.026), steady=True)
    path.to((*(end - way * 0.04), 0.12))
    path.to((*rng.uniform((-0.08, 0.0), (0.08, 0.12)), rng.uniform(0.15, 0.2)), frames=3)


def draw_plan(rng: np.random.Generator) -> tuple[Scene, Plan]:
    """The scene, the instruction and the waypoints of one episode; its length needs no simulation."""
    verb, outcome = _choose(rng, VERBS), _choose(rng, OUTCOMES)
    if verb == "push" and outcome == "dropped":
        outcome = "missed grasp"
    scene, heading = draw_scene(rng, verb)
    start = _start(rng)
    path = _Path(rng, start, speed=float(rng.uniform(0.032, 0.042)))
    if outcome == "nothing moves":
        path.segments = [replace(start, frames=int(rng.integers(14, 32)), steady=True)]
    elif verb == "push":
        _push(path, scene, heading, outcome)
    else:
        _manipulate(path, scene, verb, outcome)
    segments = path.segments
    if outcome == "hesitation":
        for at in sorted(rng.choice(np.arange(1, len(segments)), 3, replace=False), reverse=True):
            segments.insert(at, replace(segments[at - 1], frames=int(rng.integers(3, 6)), steady=True))
    elif outcome == "too short":
        budget, cut = int(rng.integers(5, 13)), []
        for segment in segments:
            if budget > 0:
                cut.append(replace(segment, frames=min(budget, segment.frames)))
                budget -= segment.frames
        segments = cut
    elif outcome == "too long":
        while sum(s.frames for s in segments) < 44:
            path.to(rng.uniform((-0.12, -0.04, 0.12), (0.12, 0.12, 0.22)), frames=3)
    direction = {0.0: "to the right", pi: "to the left", -pi / 2: "to the front"}[heading]
    task = {
        "put": lambda: f"put the {scene.target.name} {scene.container.preposition} the {scene.container.name}",
        "pick up": lambda: f"pick up the {scene.target.name}",
        "push": lambda: f"push the {scene.target.name} {direction}",
    }[verb]()
    length = 1 + sum(s.frames for s in segments)
    return scene, Plan("" if outcome == "no instruction" else task, verb, outcome, start, tuple(segments), length)


def draw_play(rng: np.random.Generator) -> tuple[Scene, Plan]:
    """The scene and the start of a single-cube play episode; `play` decides the rest."""
    return draw_scene(rng, "play")[0], Plan("play with the cube", "play", "play", _start(rng), (), PLAY_FRAMES)


def play(rng: np.random.Generator, scene: Scene, start: Segment, cube: Callable) -> Iterator[Segment]:
    """Endless play: reach for the cube, lift it, carry it about, put it down, wave; sometimes miss.

    Args:
        cube: returns the cube's present position (3,) and yaw (rad).
    """
    target = scene.target
    path = _Path(rng, start, speed=float(rng.uniform(0.03, 0.042)))

    def new() -> list[Segment]:
        segments, path.segments = path.segments, []
        return segments

    def spot() -> np.ndarray:
        return rng.uniform((-0.11, -0.07), (0.11, 0.10))

    while True:
        if rng.random() < 0.25:
            path.to((*spot(), rng.uniform(0.09, 0.2)), opening=rng.uniform(0.2, 1), yaw=rng.uniform(-0.5, 0.5))
            yield from new()
        position, yaw = cube()
        reachable = np.abs(position[0]) < 0.16 and -0.12 < position[1] < 0.16
        if not reachable:
            path.to((*spot(), rng.uniform(0.05, 0.2)), opening=rng.uniform(0, 1), yaw=rng.uniform(-0.5, 0.5), frames=2)
            yield from new()
            continue
        yaw = (yaw + pi / 4) % (pi / 2) - pi / 4
        aim = position[:2] + (rng.uniform(-0.05, 0.05, 2) if rng.random() < 0.12 else 0)
        z = max(position[2], 0.02)
        path.to((*aim, z + rng.uniform(0.06, 0.09)), opening=1.0, yaw=yaw)
        path.to((*aim, z), steady=True)
        path.grip(0.0)
        yield from new()
        lift = rng.uniform(0.07, 0.14)
        path.to((*aim, z + lift))
        for _ in range(int(rng.integers(1, 4))):
            path.to((*spot(), rng.uniform(0.07, 0.17)), yaw=yaw + rng.uniform(-0.4, 0.4), frames=2)
        here = path.last.pose[:2]
        path.to((*here, target.half_width + 0.004 + (rng.uniform(0, 0.03) if rng.random() < 0.3 else 0)), steady=True)
        path.grip(_free_opening(target))
        path.to((*here, rng.uniform(0.10, 0.15)))
        yield from new()
