"""What the simulated gripper tries to do: tasks, waypoints, and the ways in which an episode goes wrong."""

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


@dataclass(frozen=True)
class Segment:
    """Move in `frames` steps to `pose` (x, y, z, roll, pitch, yaw; m and rad) with the gripper `opening` in 0..1."""

    frames: int
    pose: tuple[float, float, float, float, float, float]
    opening: float
    steady: bool = False  # without the small deviations of a human hand


@dataclass(frozen=True)
class Plan:
    """What the gripper sets out to do in an episode, and how it is to end (`outcome`, of OUTCOMES)."""

    task: str
    verb: str
    outcome: str
    start: Segment
    segments: tuple[Segment, ...]  # empty for play, which decides as it goes
    length: int  # frames


def _choose(rng: np.random.Generator, table: dict[str, float]) -> str:
    return list(table)[rng.choice(len(table), p=np.array(list(table.values())))]


class Waypoints:
    """A way of the gripper: each waypoint is a segment of as many frames as its distance takes at the drawn speed."""

    def __init__(self, rng: np.random.Generator, start: Segment, speed: float):
        self.rng, self.speed, self.last, self.segments = rng, speed, start, []

    def to(self, xyz, opening: float | None = None, yaw: float | None = None, frames: int = 1,
           steady: bool = False) -> None:
        """Go to `xyz` (m) in at least `frames` frames; the opening and yaw stay unless they are given."""
        pose = np.array(self.last.pose)
        way = float(np.sqrt(((np.array(xyz) - pose[:3]) ** 2).sum()))
        pose[:3] = xyz
        if yaw is not None:
            pose[5] = yaw
        pose[3:5] = 0 if steady else self.rng.uniform(-0.09, 0.09, 2)
        turn = abs(pose[5] - self.last.pose[5])
        frames = max(frames, ceil(way / self.speed - 0.25), ceil(turn / 0.35))
        opening = self.last.opening if opening is None else opening
        self.last = Segment(frames, tuple(map(float, pose)), float(opening), steady)
        self.segments.append(self.last)

    def grip(self, opening: float, frames: int = 2) -> None:
        """Stay and open or close the fingers."""
        self.last = replace(self.last, frames=frames, opening=float(opening), steady=True)
        self.segments.append(self.last)

    def take(self) -> list[Segment]:
        """The segments since the last time."""
        segments, self.segments = self.segments, []
        return segments


def _far_from(rng: np.random.Generator, xy: np.ndarray) -> np.ndarray:
    while True:
        spot = rng.uniform((-0.09, -0.04), (0.09, 0.10))
        if np.hypot(*(spot - xy)) > 0.09:
            return spot


def draw_start(rng: np.random.Generator) -> Segment:
    """Where the gripper is in the first frame."""
    xyz = rng.uniform((-0.08, -0.02, 0.15), (0.08, 0.12, 0.21))
    return Segment(0, (*map(float, xyz), *map(float, rng.uniform(-0.05, 0.05, 3))), float(rng.uniform(0.75, 1.0)))


def _grasp_height(thing: Thing) -> float:
    return float(np.clip(0.55 * thing.height, 0.020, 0.045))


def free_opening(thing: Thing) -> float:
    """Open far enough for the object, hardly further, so that the fingers disturb nothing beside it."""
    return min(1.0, (2 * thing.half_width + 0.030) / MAX_OPENING)


def _manipulate(path: Waypoints, scene: Scene, verb: str, outcome: str) -> None:
    """Grasp the object, lift it, and put it on the container or show it about."""
    rng, target = path.rng, scene.target
    aim = _grasp(path, target, outcome)
    height = _grasp_height(target) + float(rng.uniform(0.07, 0.10))
    path.to((*(aim + rng.uniform(-0.01, 0.01, 2)), height))
    if verb == "put":
        _put(path, scene, aim, height, outcome)
    else:
        _show(path, target, aim, height, outcome)
    path.to((*_far_from(rng, aim), _grasp_height(target) + rng.uniform(0.07, 0.12)), frames=2)


def _grasp(path: Waypoints, target: Thing, outcome: str) -> np.ndarray:
    """Close the fingers around the object, or beside or above it; returns where (2,)."""
    rng, aim, height = path.rng, np.array(target.xy), _grasp_height(target)
    floor = height
    if outcome == "missed grasp":
        if rng.random() < 0.5:
            floor = target.height + 0.025
        else:
            side = 1 if rng.random() < 0.5 else -1
            beside = np.array([-np.sin(target.yaw), np.cos(target.yaw)])
            aim = aim + side * (target.half_depth + 0.035) * beside
    path.to((*aim, max(target.height, height) + rng.uniform(0.05, 0.08)), opening=1.0, yaw=target.yaw)
    path.to((*aim, floor), steady=True)
    path.grip(0.0)
    return aim


def _put(path: Waypoints, scene: Scene, aim: np.ndarray, height: float, outcome: str) -> None:
    """Carry the object at `height` to the container and let it go there, or halfway."""
    rng, target, container = path.rng, scene.target, scene.container
    goal = np.array(container.xy) + rng.uniform(-0.01, 0.01, 2)
    if outcome == "dropped":
        path.to((*(0.5 * (aim + goal)), height))
        path.grip(free_opening(target), frames=1)
        path.to((*goal, height), frames=3)
    else:
        path.to((*goal, height), yaw=target.yaw + rng.uniform(-0.3, 0.3))
        above = 0.022 if container.name == "bowl" else 0.006
        path.to((*goal, _grasp_height(target) + (container.height + above)), steady=True)
        path.grip(free_opening(target), frames=1)
    path.to((*goal, rng.uniform(0.13, 0.17)), opening=1.0)


def _show(path: Waypoints, target: Thing, aim: np.ndarray, height: float, outcome: str) -> None:
    """Move the lifted object about, or drop it on the way."""
    rng = path.rng
    path.to((*(aim + rng.uniform(-0.05, 0.05, 2)), height + rng.uniform(0.0, 0.03)))
    if outcome == "dropped":
        path.grip(free_opening(target), frames=1)
    spot = rng.uniform((-0.09, -0.04), (0.09, 0.08))
    path.to((*spot, _grasp_height(target) + rng.uniform(0.06, 0.11)), frames=2)


def _push(path: Waypoints, scene: Scene, heading: float, outcome: str) -> None:
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
    verb = _choose(rng, VERBS)
    outcome = _choose(rng, OUTCOMES)
    if verb == "push" and outcome == "dropped":
        outcome = "missed grasp"
    scene, heading = draw_scene(rng, verb)
    start = draw_start(rng)
    path = Waypoints(rng, start, speed=float(rng.uniform(0.032, 0.042)))
    if outcome == "nothing moves":
        path.segments = [replace(start, frames=int(rng.integers(14, 32)), steady=True)]
    elif verb == "push":
        _push(path, scene, heading, outcome)
    else:
        _manipulate(path, scene, verb, outcome)
    segments = _disturbed(path, outcome)
    task = "" if outcome == "no instruction" else _instruction(scene, verb, heading)
    length = 1 + sum(segment.frames for segment in segments)
    return scene, Plan(task, verb, outcome, start, tuple(segments), length)


def _disturbed(path: Waypoints, outcome: str) -> list[Segment]:
    """The path's segments, with stops, cut short or drawn out where the outcome asks for it."""
    rng, segments = path.rng, path.segments
    if outcome == "hesitation":
        stops = rng.choice(np.arange(1, len(segments)), 3, replace=False)
        for at in sorted(stops, reverse=True):
            segments.insert(at, replace(segments[at - 1], frames=int(rng.integers(3, 6)), steady=True))
    elif outcome == "too short":
        return _first_frames(segments, int(rng.integers(5, 13)))
    elif outcome == "too long":
        while sum(segment.frames for segment in segments) < 44:
            path.to(rng.uniform((-0.12, -0.04, 0.12), (0.12, 0.12, 0.22)), frames=3)
    return segments


def _first_frames(segments: list[Segment], frames: int) -> list[Segment]:
    cut = []
    for segment in segments:
        if frames > 0:
            cut.append(replace(segment, frames=min(frames, segment.frames)))
            frames -= segment.frames
    return cut


def _instruction(scene: Scene, verb: str, heading: float) -> str:
    if verb == "put":
        return f"put the {scene.target.name} {scene.container.preposition} the {scene.container.name}"
    if verb == "pick up":
        return f"pick up the {scene.target.name}"
    direction = {0.0: "to the right", pi: "to the left", -pi / 2: "to the front"}[heading]
    return f"push the {scene.target.name} {direction}"
