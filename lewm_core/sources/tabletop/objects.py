"""The things on the simulated table: objects to grasp and containers to put them on, with drawn sizes and paint."""

from dataclasses import dataclass
from math import cos, pi, sin

import numpy as np

COLOURS = {
    "red": (0.80, 0.12, 0.12), "green": (0.15, 0.60, 0.20), "blue": (0.12, 0.25, 0.80), "yellow": (0.95, 0.80, 0.10),
    "orange": (0.95, 0.45, 0.08), "purple": (0.50, 0.18, 0.65), "pink": (0.95, 0.50, 0.65), "white": (0.92, 0.92, 0.90),
}  # fmt: skip


@dataclass(frozen=True)
class Surface:
    """Colour of a geom: `rgb` and `rgb2` in 0..1 mixed by a pattern of period `scale` metres in the geom's frame."""

    rgb: tuple[float, float, float]
    rgb2: tuple[float, float, float] = (0.0, 0.0, 0.0)
    pattern: str = "plain"
    scale: float = 0.02


@dataclass(frozen=True)
class Part:
    """One geom of a thing: MuJoCo type and sizes, its pose in the thing's frame (origin: centre of the base)."""

    type: str
    size: tuple[float, ...]
    pos: tuple[float, float, float]
    surface: Surface
    euler: tuple[float, float, float] = (0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Thing:
    """An object or a container. Lengths in metres; `half_width` is what the fingers span."""

    name: str
    parts: tuple[Part, ...]
    half_width: float
    half_depth: float
    height: float  # of an object's top; of the surface that a container offers
    mass: float = 0.1
    rolls: bool = False
    preposition: str = "on"
    xy: tuple[float, float] = (0.0, 0.0)
    yaw: float = 0.0

    @property
    def radius(self) -> float:
        """Of the circle around it as seen from above, m."""
        return float(np.hypot(self.half_width, self.half_depth))


def _paint(rng: np.random.Generator, colour: str) -> Surface:
    rgb = COLOURS[colour]
    other = tuple(np.clip(np.array(rgb) * 0.55 + 0.04, 0, 1)) if rng.random() < 0.6 else (0.9, 0.88, 0.82)
    pattern = ("plain", "checker", "stripes", "dots")[rng.integers(4)]
    return Surface(rgb, tuple(map(float, other)), pattern, float(rng.uniform(0.018, 0.03)))


def draw_object(rng: np.random.Generator, shape: str, colour: str) -> Thing:
    """A thing that the gripper can grasp, of a drawn size."""
    u, paint, name = rng.uniform, _paint(rng, colour), f"{colour} {shape}"
    mass = float(u(0.06, 0.14))
    if shape in ("cube", "block"):
        s = float(u(0.027, 0.033))
        hx, hy, hz = (s, s, s) if shape == "cube" else (float(u(0.022, 0.028)), float(u(0.038, 0.046)), s)
        return Thing(name, (Part("box", (hx, hy, hz), (0, 0, hz), paint),), hx, hy, 2 * hz, mass)
    if shape == "can":
        r, h = float(u(0.027, 0.033)), float(u(0.036, 0.044))
        return Thing(name, (Part("cylinder", (r, h), (0, 0, h), paint),), r, r, 2 * h, mass)
    if shape == "ball":
        r = float(u(0.032, 0.036))
        return Thing(name, (Part("sphere", (r,), (0, 0, r), paint),), r, r, 2 * r, mass, rolls=True)
    if shape == "egg":
        r, long = float(u(0.030, 0.034)), float(u(0.040, 0.046))
        return Thing(name, (Part("ellipsoid", (r, long, r), (0, 0, r), paint),), r, long, 2 * r, mass, rolls=True)
    if shape == "sausage":
        r, h = float(u(0.027, 0.030)), float(u(0.028, 0.036))
        part = Part("capsule", (r, h), (0, 0, r), paint, (pi / 2, 0, 0))
        return Thing(name, (part,), r, h + r, 2 * r, mass, rolls=True)
    if shape == "bottle":
        r, h = float(u(0.028, 0.032)), float(u(0.032, 0.038))
        cap = Surface((0.92, 0.92, 0.9) if colour != "white" else (0.2, 0.25, 0.5))
        neck = Part("cylinder", (0.45 * r, 0.012), (0, 0, 2 * h + 0.012), cap)
        return Thing(name, (Part("cylinder", (r, h), (0, 0, h), paint), neck), r, r, 2 * h + 0.024, mass)
    if shape == "mug":
        r, h = float(u(0.028, 0.032)), float(u(0.033, 0.039))
        handle = Part("box", (0.005, 0.011, 0.6 * h), (0, -r - 0.008, h), Surface(paint.rgb))
        inside = Part("cylinder", (0.84 * r, 0.0006), (0, 0, 2 * h), Surface((0.16, 0.13, 0.12)))
        return Thing(name, (Part("cylinder", (r, h), (0, 0, h), paint), handle, inside), r, r + 0.019, 2 * h, mass)
    raise AssertionError(shape)


SHAPES = ("cube", "block", "can", "ball", "egg", "sausage", "bottle", "mug")


def draw_container(rng: np.random.Generator, shape: str) -> Thing:
    """A thing to put objects on or in; it is fixed to the table."""
    u = rng.uniform
    rgb = np.array(((0.90, 0.88, 0.84), (0.55, 0.70, 0.85), (0.85, 0.62, 0.55), (0.62, 0.78, 0.60))[rng.integers(4)])
    light, dark = tuple(map(float, rgb)), tuple(map(float, rgb * 0.75))
    if shape == "plate":
        r = float(u(0.075, 0.09))
        part = Part("cylinder", (r, 0.005), (0, 0, 0.005), Surface(light, dark, "rings", 0.45 * r))
        return Thing(shape, (part,), r, r, 0.010)
    if shape == "board":
        hx, hy = float(u(0.07, 0.085)), float(u(0.06, 0.075))
        wood = Surface((0.76, 0.58, 0.36), (0.60, 0.42, 0.24), "wood", 0.03)
        return Thing(shape, (Part("box", (hx, hy, 0.006), (0, 0, 0.006), wood),), hx, hy, 0.012)
    if shape == "mat":
        hx, hy = float(u(0.075, 0.09)), float(u(0.065, 0.08))
        part = Part("box", (hx, hy, 0.0015), (0, 0, 0.0015), Surface(light, dark, "stripes", 0.03))
        return Thing(shape, (part,), hx, hy, 0.003)
    if shape == "tray":
        hx, hy, h = float(u(0.08, 0.09)), float(u(0.07, 0.08)), 0.010
        parts = [Part("box", (hx, hy, 0.003), (0, 0, 0.003), Surface(light))]
        parts += [Part("box", (0.004, hy, h), (s * hx, 0, h), Surface(dark)) for s in (-1, 1)]
        parts += [Part("box", (hx, 0.004, h), (0, s * hy, h), Surface(dark)) for s in (-1, 1)]
        return Thing(shape, tuple(parts), hx, hy, 0.006)
    if shape == "bowl":
        base, rise, slope, n = float(u(0.052, 0.058)), 0.016, 0.7, 12
        parts = [Part("cylinder", (base, 0.004), (0, 0, 0.004), Surface(dark))]
        for a in 2 * pi * np.arange(n) / n:
            r = base + 0.8 * rise
            pos = (r * cos(a), r * sin(a), 0.004 + rise * 0.8)
            parts.append(Part("box", (0.003, r * 0.29, rise), pos, Surface(light), (0, slope, float(a))))
        return Thing(shape, tuple(parts), base + 0.025, base + 0.025, 0.008, preposition="in")
    raise AssertionError(shape)


CONTAINERS = ("plate", "plate", "mat", "tray", "board", "bowl")
