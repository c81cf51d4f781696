"""Scenes whose pictures, depth, mask and tracks follow in closed form."""

import cv2
import numpy as np

from lewm_core.sources.episode import Episode, Truth

K = np.array([[200.0, 0, 79.5], [0, 200.0, 63.5], [0, 0, 1]])


def texture(rng: np.random.Generator, size: int = 512) -> np.ndarray:
    noise = cv2.GaussianBlur(rng.uniform(0, 255, (size, size, 3)), (0, 0), 2.5)
    return np.clip((noise - noise.mean()) * 4 + 128, 0, 255).astype(np.float32)


class Rectangles:
    """Textured rectangles facing the camera, each with its own path: a scene that can be rendered in closed form."""

    def __init__(self, length: int, height: int, width: int, intrinsics: np.ndarray, seed: int = 0):
        self.shape, self.k, self.rng = (length, height, width), intrinsics, np.random.default_rng(seed)
        self.things = []

    def add(self, half, centres: np.ndarray, angles: np.ndarray, picture: np.ndarray | None = None):
        self.things.append((half, centres, angles, texture(self.rng) if picture is None else picture))
        return self

    def episode(self, target: int = 1, id: str = "scene") -> Episode:
        t_max, h, w = self.shape
        frames = np.zeros((t_max, h, w, 3), np.uint8)
        depth, geom = np.full(self.shape, np.inf, np.float32), np.full(self.shape, -1, np.int16)
        pose = np.zeros((t_max, len(self.things), 3, 4))
        y, x = np.mgrid[:h, :w]
        ray = np.stack([(x - self.k[0, 2]) / self.k[0, 0], (y - self.k[1, 2]) / self.k[1, 1]], -1)
        for t in range(t_max):
            for g, (half, centres, angles, picture) in enumerate(self.things):
                c, s = np.cos(angles[t]), np.sin(angles[t])
                rotation = np.array([[c, -s], [s, c]])
                local = (ray * centres[t, 2] - centres[t, :2]) @ rotation
                pose[t, g] = np.column_stack([np.block([[rotation, np.zeros((2, 1))], [0, 0, 1]]), centres[t]])
                hit = (np.abs(local) <= half).all(-1) & (centres[t, 2] < depth[t])
                where = (local * 250 + 256).astype(np.float32)
                colour = cv2.remap(picture, where[..., 0], where[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
                frames[t][hit] = colour.round()[hit].astype(np.uint8)
                depth[t][hit], geom[t][hit] = centres[t, 2], g
        _, centres, angles, _ = self.things[target]
        truth = Truth(depth, geom == target, geom, pose, centres.astype(np.float32), angles.astype(np.float32))
        return Episode(id, frames, np.zeros((t_max, 7), np.float32), np.zeros((t_max, 7), np.float32),
                       "put the square on the plane", self.k, truth)  # fmt: skip


def path(length: int, start, stop) -> np.ndarray:
    return np.linspace(start, stop, length)
