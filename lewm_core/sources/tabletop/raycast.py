"""Images of a MuJoCo scene without OpenGL: one ray through every pixel centre, a point light and its shadows.

The camera, the light and the background stand still within an episode, so the background is drawn once, lit and
in shadow; a frame then casts rays only where moving geoms can be seen or can throw a shadow. Sums over points go
through einsum without BLAS, whose rounding may depend on the number of threads.
"""

from dataclasses import dataclass

import mujoco
import numpy as np

from lewm_core.sources.tabletop.mjcf import BACKGROUND, MOVING
from lewm_core.sources.tabletop.objects import Surface
from lewm_core.sources.tabletop.scene import Kitchen

FAR = 50.0  # m, beyond every surface
SHADOW_CELLS = 64
_LATTICE = np.random.default_rng(7).random((64, 64))


@dataclass(frozen=True)
class Camera:
    """`rotation` (3, 3) is camera-from-world, `position` (3,) in the world; `focal` in pixels of a square image."""

    rotation: np.ndarray
    position: np.ndarray
    focal: float
    size: int

    @property
    def intrinsics(self) -> np.ndarray:
        """(3, 3) camera matrix, px."""
        c = (self.size - 1) / 2
        return np.array([[self.focal, 0, c], [0, self.focal, c], [0, 0, 1.0]])


def kitchen_camera(kitchen: Kitchen, size: int) -> Camera:
    """The kitchen's camera for square images of `size` pixels."""
    a, p = kitchen.azimuth, kitchen.pitch
    forward = np.array([np.sin(a) * np.cos(p), np.cos(a) * np.cos(p), -np.sin(p)])
    right = np.array([np.cos(a), -np.sin(a), 0.0])
    rotation = np.stack([right, np.cross(forward, right), forward])
    position = np.array(kitchen.look_at) - kitchen.distance * forward
    return Camera(rotation, position, size / 2 / np.tan(kitchen.fov / 2), size)


def _noise(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Smooth value noise of period 64 with unit lattice, in 0..1."""
    i, j = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
    fx, fy = _smooth_step(x - i), _smooth_step(y - j)

    def at(di: int, dj: int) -> np.ndarray:
        return _LATTICE[(i + di) % 64, (j + dj) % 64]

    near = at(0, 0) * (1 - fx) + at(1, 0) * fx
    far = at(0, 1) * (1 - fx) + at(1, 1) * fx
    return near * (1 - fy) + far * fy


def _smooth_step(f: np.ndarray) -> np.ndarray:
    return f * f * (3 - 2 * f)


def _checker(p):
    return ((np.floor(p[:, 0]) + np.floor(p[:, 1]) + np.floor(p[:, 2] + 0.5)) % 2).astype(float)


def _wood(p):
    return 0.5 + 0.5 * np.sin(2 * np.pi * (p[:, 0] + 1.5 * _noise(p[:, 0] * 0.7, p[:, 1] * 0.25)))


def _speckle(p):
    return 0.6 * _noise(p[:, 0], p[:, 1]) + 0.4 * _noise(p[:, 0] * 3.1 + 5, p[:, 1] * 3.1 + 9)


PATTERNS = {  # weight of the second colour at local points (N, 3) in units of the pattern's period
    "plain": lambda p: np.zeros(len(p)),
    "checker": _checker,
    "stripes": lambda p: (np.floor(2 * (p[:, 0] + p[:, 2])) % 2).astype(float),
    "dots": lambda p: (((p - np.floor(p) - 0.5) ** 2).sum(1) < 0.16).astype(float),
    "rings": lambda p: (np.floor(np.hypot(p[:, 0], p[:, 1])) % 2).astype(float),
    "wood": _wood,
    "noise": _speckle,
}


class Raycaster:
    """Draws `data` of `model` as seen by a kitchen's camera.

    Args:
        surfaces: one Surface per geom id.
    """

    def __init__(
        self, model: mujoco.MjModel, data: mujoco.MjData, surfaces: list[Surface], kitchen: Kitchen, size: int
    ):
        self.model, self.data, self.kitchen, self.surfaces = model, data, kitchen, surfaces
        self.camera = camera = kitchen_camera(kitchen, size)
        self.light = np.array(kitchen.light)
        self.diffuse = np.array(kitchen.diffuse)
        self.rgb = np.array([s.rgb for s in surfaces])
        self.rgb2 = np.array([s.rgb2 for s in surfaces])
        self.patterned = np.array([s.pattern != "plain" for s in surfaces])
        axis = (np.arange(size) - (size - 1) / 2) / camera.focal
        rays = np.stack([*np.meshgrid(axis, axis), np.ones((size, size))], -1).reshape(-1, 3)
        self.cos = 1 / np.sqrt((rays**2).sum(1))  # z depth of a point at unit distance along the ray
        self.rays = np.ascontiguousarray(np.einsum("ni,ij->nj", rays * self.cos[:, None], camera.rotation))
        self.moving = np.flatnonzero(model.geom_group == MOVING)
        aabb = model.geom_aabb[self.moving]
        signs = np.array(np.meshgrid([-1, 1], [-1, 1], [-1, 1])).reshape(3, 8).T
        self.corners = aabb[:, None, :3] + signs * aabb[:, None, 3:]  # (G, 8, 3) in the geom's frame
        self._draw_background()

    def _cast(self, origin: np.ndarray, rays: np.ndarray, group: int, normals: bool = True):
        """Geom id (-1: none), distance and normal of what each unit ray (N, 3) meets first among a group."""
        n = len(rays)
        geom, distance = np.full(n, -1, np.int32), np.full(n, -1.0)
        normal = np.zeros(3 * n) if normals else None
        if n:
            groups = np.zeros(6, np.uint8)
            groups[group] = 1
            mujoco.mj_multiRay(self.model, self.data, origin, np.ascontiguousarray(rays).reshape(-1), groups, True, -1,
                               geom, distance, normal, n, FAR)  # fmt: skip
        return geom, distance, None if normal is None else normal.reshape(n, 3)

    def _shaded(self, points: np.ndarray, group: int) -> np.ndarray:
        """Whether something of the group stands between each point (N, 3) and the light."""
        ray = points - self.light
        distance = np.sqrt(np.einsum("ni,ni->n", ray, ray))
        hit, met, _ = self._cast(self.light, ray / distance[:, None], group, normals=False)
        return (hit >= 0) & (met < distance - 1e-3)

    def _colours(self, geom: np.ndarray, points: np.ndarray) -> np.ndarray:
        """Unlit colour (N, 3) of points (N, 3) on geoms (N,)."""
        colour = self.rgb[geom]
        for g in np.unique(geom[self.patterned[geom]]):
            at, surface = np.flatnonzero(geom == g), self.surfaces[g]
            local = np.einsum("ni,ij->nj", points[at] - self.data.geom_xpos[g], self.data.geom_xmat[g].reshape(3, 3))
            weight = PATTERNS[surface.pattern](local / surface.scale)[:, None]
            colour[at] += weight * (self.rgb2[g] - self.rgb[g])
        return colour

    def _incidence(self, points: np.ndarray, normals: np.ndarray) -> np.ndarray:
        """Cosine between the normal and the direction of the light, 0 where the surface faces away."""
        ray = self.light - points
        return np.maximum(np.einsum("ni,ni->n", ray, normals) / np.sqrt(np.einsum("ni,ni->n", ray, ray)), 0)

    def _expose(self, colour: np.ndarray, incidence: np.ndarray) -> np.ndarray:
        light = self.kitchen.ambient + incidence[:, None] * self.diffuse
        return (np.minimum(colour * light, 1) * 255 + 0.5).astype(np.uint8)

    def _draw_background(self) -> None:
        geom, distance, normal = self._cast(self.camera.position, self.rays, BACKGROUND)
        assert (geom >= 0).all(), "a ray met no background"
        points = self.camera.position + distance[:, None] * self.rays
        colour, incidence = self._colours(geom, points), self._incidence(points, normal)
        incidence[self._shaded(points, BACKGROUND)] = 0
        self.lit, self.dark = self._expose(colour, incidence), self._expose(colour, np.zeros_like(incidence))
        self.points, self.geom, self.distance = points, geom, distance
        self.depth = distance * self.cos
        self.can_darken = incidence > 0
        # Where background points lie as seen from the light: a grid that tells cheaply which may fall in shadow.
        self.light_frame = _towards_table(self.light)
        uv = self._seen_from_light(points)
        inside = np.abs(points).max(1) < 0.8
        self.uv_low, high = uv[inside].min(0), uv[inside].max(0)
        self.uv_scale = SHADOW_CELLS / (high - self.uv_low)
        cells = np.clip((uv - self.uv_low) * self.uv_scale, 0, SHADOW_CELLS - 1).astype(np.int64)
        self.cell = cells[:, 1] * SHADOW_CELLS + cells[:, 0]

    def _seen_from_light(self, points: np.ndarray) -> np.ndarray:
        p = np.einsum("...i,ji->...j", points - self.light, self.light_frame)
        return p[..., :2] / p[..., 2:]

    def _boxes(self, low: np.ndarray, high: np.ndarray, size: int) -> np.ndarray:
        """Flat bool grid (size * size) that is true in the rectangles low..high (G, 2), columns first."""
        grid = np.zeros((size, size), bool)
        low, high = np.clip(np.floor(low), 0, size).astype(int), np.clip(np.ceil(high) + 1, 0, size).astype(int)
        for (x0, y0), (x1, y1) in zip(low, high, strict=True):
            grid[y0:y1, x0:x1] = True
        return grid.reshape(-1)

    def render(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """RGB (H, W, 3) uint8, z depth (H, W) float32 in m and geom ids (H, W) int16 of the data's kinematics."""
        rotation = self.data.geom_xmat[self.moving].reshape(-1, 3, 3)
        corners = self.data.geom_xpos[self.moving][:, None] + np.einsum("gij,gkj->gki", rotation, self.corners)
        pixels, geom, distance, normal = self._moving_in_view(corners)
        points = self.camera.position + distance[:, None] * self.rays[pixels]
        incidence = self._incidence(points, normal)

        ground = self._may_be_shaded(corners, pixels)
        shaded = self._shaded(np.concatenate([self.points[ground], points + 1e-4 * normal]), MOVING)
        ground_shaded, points_shaded = shaded[: len(ground)], shaded[len(ground) :]
        ground = ground[ground_shaded]
        incidence = np.where(points_shaded, 0, incidence)

        rgb, depth, ids = self.lit.copy(), self.depth.copy(), self.geom.astype(np.int16)
        rgb[ground] = self.dark[ground]
        rgb[pixels] = self._expose(self._colours(geom, points), incidence)
        depth[pixels] = distance * self.cos[pixels]
        ids[pixels] = geom
        size = self.camera.size
        return rgb.reshape(size, size, 3), depth.astype(np.float32).reshape(size, size), ids.reshape(size, size)

    def _moving_in_view(self, corners: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Pixels (n,) in which a moving geom is seen, its id, its distance along the ray and its normal there.

        corners: (G, 8, 3) of the moving geoms' boxes; rays are cast only where these can be seen.
        """
        size, camera = self.camera.size, self.camera
        seen = np.einsum("...i,ji->...j", corners - camera.position, camera.rotation)
        z = seen[..., 2:]
        uv = seen[..., :2] / np.maximum(z, 1e-3) * camera.focal + (size - 1) / 2
        behind = z.min(1) < 0.02
        low, high = np.where(behind, 0, uv.min(1)), np.where(behind, size, uv.max(1))
        pixels = np.flatnonzero(self._boxes(low, high, size))
        geom, distance, normal = self._cast(camera.position, self.rays[pixels], MOVING)
        front = (geom >= 0) & (distance < self.distance[pixels])
        return pixels[front], geom[front], distance[front], normal[front]

    def _may_be_shaded(self, corners: np.ndarray, hidden: np.ndarray) -> np.ndarray:
        """Background pixels (n,) on which a moving geom may throw a shadow, without those that are `hidden`."""
        uv = (self._seen_from_light(corners) - self.uv_low) * self.uv_scale
        maybe = self.can_darken & self._boxes(uv.min(1), uv.max(1), SHADOW_CELLS)[self.cell]
        maybe[hidden] = False
        return np.flatnonzero(maybe)


def _towards_table(position: np.ndarray) -> np.ndarray:
    """Rotation (3, 3) of a viewer at `position` that looks at the middle of the table."""
    forward = -position / np.sqrt((position**2).sum())
    right = np.cross(forward, [0.0, 1.0, 0.0])
    right /= np.sqrt((right**2).sum())
    return np.stack([right, np.cross(forward, right), forward])
