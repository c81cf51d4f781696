"""Backends from OpenCV alone, without weights: Lucas-Kanade tracks, and an object mask from what leaves its place.

Lengths in the constants are pixels of a 224-pixel image; they are scaled to the episode's size.
"""

from collections.abc import Callable

import cv2
import numpy as np

from lewm_core.signals.geometry import REFERENCE_SIZE
from lewm_core.sources.episode import Episode

WINDOW, MIN_WINDOW = 21, 7  # side of the Lucas-Kanade window, and the least that it has in real pixels
PATCH, MIN_PATCH = 5, 3  # side of the patch that tells whether a point has moved
UNCHANGED = 4.0  # mean grey levels by which an unchanged patch may differ
ROUND_TRIP = 1.5  # a point tracked forwards and backwards returns this close to where it started

VACATED = 20.0  # mean grey levels: what differs more from frame 0 shows something else, not other light
REST = 0.1  # share of the episode, and at least 2 frames, during which the object lies still at first
TOGETHER = 3  # frames: the parts of one object leave their places at most so long before or after each other
EDGE = 4.0  # grey levels: an object's outline stands out by so much more while it is there than after it has left
TRAVEL = 16.0  # afterwards the object is, in most frames, at least this far from its place
ALIKE = 1.0  # times the object's size: if more than that of what moves before it has its colours, it is the gripper
SEARCH = 45  # the object is looked for this far around where it was one frame before
LARGEST = 0.15  # share of the image: what covers more is no object on a table
MIN_AREA = 40  # px² that make an object or a visible part of one


def tracks(episode: Episode, queries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pyramidal Lucas-Kanade tracks on RGB with a forward-backward check.

    In each frame a point is, by the first of these that holds,
      1. where it was in frame 0, if the patch there looks as it did in frame 0;
      2. where it was last seen, if the patch there looks as it did then;
      3. where Lucas-Kanade takes it from the frame before, if it was visible there, stays in view, and tracking it
         back returns to where it came from;
      4. lost: invisible, its position held.
    So points on bare surfaces rest, and points of the background return after the gripper has passed. A point of a
    moving object that is lost returns only where it was last seen.

    Args:
        queries: (N, 2) px in frame 0.

    Returns:
        tracks (T, N, 2) float32 px; visible (T, N) bool.
    """
    frames, scale = episode.frames, _scale(episode)
    window, patch = _odd(WINDOW * scale, MIN_WINDOW), _odd(PATCH * scale, MIN_PATCH)
    levels = max(1, round(np.log2(max(frames.shape[1:3]) / 28)))  # 3 at 224: the coarsest picture has 28 pixels
    positions = np.repeat(queries[None].astype(np.float32), len(frames), 0)
    visible = np.zeros(positions.shape[:2], bool)
    visible[0] = True
    last_seen = np.zeros(len(queries), int)
    for t in range(1, len(frames)):
        positions[t] = positions[t - 1]
        home = _alike(frames, 0, positions[0], t, positions[0], patch) < UNCHANGED
        still = _alike(frames, last_seen, positions[t], t, positions[t], patch) < UNCHANGED
        positions[t, home] = positions[0, home]
        visible[t] = home | still
        points = np.flatnonzero(~visible[t] & visible[t - 1])
        if len(points):
            moved, found = _follow(frames[t - 1], frames[t], positions[t, points], window, levels, scale)
            positions[t, points[found]], visible[t, points[found]] = moved[found], True
        last_seen[visible[t]] = t
    return positions, visible


def mask(episode: Episode) -> np.ndarray:
    """A mask (T, H, W) bool of the object that lies still at first and is moved later; empty where there is none.

    1. The place it leaves (`_vacated`): a part of frame 0 that looks the same for a while and then never again, with an
       outline that is there in frame 0 and gone afterwards. Where a thing arrives, it is the other way round.
    2. Its colours against those of the rest of frame 0 and of what moves before it leaves, the gripper above all
       (histograms); in each later frame the pixels of those colours that do not look as in frame 0 and lie near the
       mask of the frame before.
    3. Nothing is kept if that is not an object that is carried off: if the mask does not end up elsewhere, or if what
       moves before it leaves has the same colours (then it is a part of the arm).
    Objects coloured like the table or the gripper, and objects that move at once, are missed.
    """
    frames, scale = episode.frames, _scale(episode)
    patch = _odd(PATCH * scale, MIN_PATCH)
    home = np.stack([_change(frames[0], frame, patch) < VACATED for frame in frames])
    region, left = _vacated(frames, home, scale)
    if not region.any():
        return np.zeros(home.shape, bool)
    likely = _colour_model(frames, home, region, left)
    masks = _followed(frames, home, region, likely, scale)
    moved_before = [(likely(frames[t]) & ~home[t] & ~region).sum() for t in range(1, max(left - TOGETHER, 2))]
    is_arm = np.mean(moved_before) > ALIKE * region.sum()
    carried = np.median(_distances(masks[left:], region)) >= TRAVEL * scale
    return masks if carried and not is_arm else np.zeros_like(masks)


def _followed(frames: np.ndarray, home: np.ndarray, region: np.ndarray, likely: Callable, scale: float) -> np.ndarray:
    """Masks (T, H, W) of what has the object's colours, from the region (H, W) of frame 0 on.

    home: (T, H, W) bool, where a frame looks like frame 0. likely: as from `_colour_model`.
    """
    masks = np.zeros(home.shape, bool)
    area, near = MIN_AREA * scale**2, _disc(SEARCH * scale)
    coloured = _smooth(region & likely(frames[0]), scale)
    masks[0] = coloured if 2 * coloured.sum() > region.sum() else region
    last = masks[0]
    for t in range(1, len(frames)):
        candidates = likely(frames[t]) & np.where(home[t], masks[0], True)
        candidates &= cv2.dilate(last.view(np.uint8), near).view(bool)
        masks[t] = _large_parts(_smooth(candidates, scale), area)
        if masks[t].any():
            last = masks[t]
    return masks


def _distances(masks: np.ndarray, region: np.ndarray) -> list[float]:
    """How far each mask's centre is from the region's, px; 0 for an empty mask."""
    place = np.argwhere(region).mean(0)
    return [np.linalg.norm(np.argwhere(mask).mean(0) - place) if mask.any() else 0.0 for mask in masks]


def unchanged(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Where (H, W) bool the target frame looks as the source frame does, both (H, W, 3) uint8."""
    return _change(source, target, _odd(PATCH * min(source.shape[:2]) / REFERENCE_SIZE, MIN_PATCH)) < UNCHANGED


def _vacated(frames: np.ndarray, home: np.ndarray, scale: float) -> tuple[np.ndarray, int]:
    """The region (H, W) of frame 0 that the object fills, and the first frame in which it has left it for good.

    Candidates are connected pixels that leave at about one time, for every such time. Of those whose outline fades by
    EDGE or more, the one with the greatest fading x the square root of its area; without any, an empty region.

    home: (T, H, W) bool, where a frame looks like frame 0.
    """
    length = len(frames)
    rest = max(2, round(REST * length))
    last_home = length - 1 - np.argmax(home[::-1], 0)
    steady, contrast = home[:rest].all(0), _contrast(frames[0])
    best, vacated, vacated_at = 0.0, np.zeros(home.shape[1:], bool), length
    for t in range(rest - 1, length - 2):
        leaving = _smooth(steady & (np.abs(last_home - t) <= TOGETHER), scale)
        _, label, stats, _ = cv2.connectedComponentsWithStats(leaving.view(np.uint8))
        for i, area in enumerate(stats[1:, cv2.CC_STAT_AREA], 1):
            region = label == i
            left = round(np.percentile(last_home[region], 90)) + 1
            if not MIN_AREA * scale**2 <= area <= LARGEST * label.size or left >= length:
                continue
            outline = cv2.morphologyEx(region.view(np.uint8), cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0
            fading = (contrast - _contrast(np.median(frames[left:], 0)))[outline].mean()
            score = fading * np.sqrt(area)
            if fading >= EDGE and score > best:
                best, vacated, vacated_at = score, region, left
    return vacated, vacated_at


def _contrast(picture: np.ndarray) -> np.ndarray:
    """How steep the picture (H, W, 3) is at each pixel (H, W), grey levels a pixel, over the channels."""
    smooth = cv2.GaussianBlur(picture.astype(np.float32), (3, 3), 0)
    return sum(np.abs(cv2.Sobel(smooth, cv2.CV_32F, dx, 1 - dx, ksize=3)).mean(-1) for dx in (0, 1)) / 8


def _colour_model(frames, home, region, left):
    """A function of a frame that says where its colours are more likely the region's than those of anything else."""
    size, limits, channels = [12, 24, 24], [0, 256] * 3, [0, 1, 2]

    def lab(frame):
        return cv2.cvtColor(frame, cv2.COLOR_RGB2LAB)

    def histogram(pictures, chosen):
        counts = np.zeros(size, np.float32)
        for picture, inside in zip(pictures, chosen, strict=True):
            counts += cv2.calcHist([lab(picture)], channels, inside.astype(np.uint8), size, limits)
        for axis in range(3):
            counts = np.apply_along_axis(np.convolve, axis, counts, [0.25, 0.5, 0.25], "same")
        return counts / max(counts.sum(), 1)

    before = slice(1, max(left, 2))
    moving = histogram(frames[before], ~home[before] & ~region)
    more_likely = histogram(frames[:1], [region]) > np.maximum(histogram(frames[:1], [~region]), moving)

    def likely(frame):
        at = (lab(frame).astype(int) * size) // 256
        return more_likely[at[..., 0], at[..., 1], at[..., 2]]

    return likely


def _alike(frames, source, points, target, arrived, patch) -> np.ndarray:
    """Mean absolute difference (n,) of the patches around `points` (n, 2) in frames `source` (one, or one per point)
    and around `arrived` (n, 2) in frame `target`, at whole pixels and over the channels; the border is repeated.
    """
    reach = np.arange(patch) - patch // 2
    limit = np.array(frames.shape[2:0:-1]) - 1

    def cut(t, centres):
        x, y = np.clip(np.round(centres).astype(int)[:, None] + reach[:, None], 0, limit).transpose(2, 0, 1)
        return frames[np.reshape(t, (-1, 1, 1)), y[:, :, None], x[:, None, :]].astype(np.int16)

    return np.abs(cut(source, points) - cut(target, arrived)).mean((1, 2, 3))


def _change(source: np.ndarray, target: np.ndarray, patch: int) -> np.ndarray:
    """Mean absolute difference (H, W) of two frames over the channels and the patch around each pixel."""
    return cv2.blur(cv2.absdiff(source, target).astype(np.float32), (patch, patch)).mean(-1)


def _follow(source, target, points, window, levels, scale):
    """Lucas-Kanade positions (n, 2) of points (n, 2) in the target frame, and which of them passed the check."""
    settings = {"winSize": (window, window), "maxLevel": levels}
    start = points.reshape(-1, 1, 2)
    there, ok_there, _ = cv2.calcOpticalFlowPyrLK(source, target, start, None, **settings)
    back, ok_back, _ = cv2.calcOpticalFlowPyrLK(target, source, there, None, **settings)
    returned = np.linalg.norm(back - start, axis=-1)[:, 0] < ROUND_TRIP * scale
    there = there[:, 0]
    in_view = ((there >= -0.5) & (there <= np.array(source.shape[1::-1]) - 0.5)).all(-1)
    return there, (ok_there[:, 0] == 1) & (ok_back[:, 0] == 1) & returned & in_view


def _scale(episode: Episode) -> float:
    return min(episode.frames.shape[1:3]) / REFERENCE_SIZE


def _odd(size: float, least: int) -> int:
    return max(least, round(size) | 1)


def _disc(radius: float) -> np.ndarray:
    side = 2 * max(1, round(radius)) + 1
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))


def _smooth(area: np.ndarray, scale: float) -> np.ndarray:
    """Fill gaps and drop specks of about 2 px at 224."""
    element = _disc(2 * scale)
    closed = cv2.morphologyEx(area.astype(np.uint8), cv2.MORPH_CLOSE, element)
    return cv2.morphologyEx(closed, cv2.MORPH_OPEN, element).astype(bool)


def _large_parts(area: np.ndarray, least: float) -> np.ndarray:
    """The connected parts of at least that many pixels."""
    _, label, stats, _ = cv2.connectedComponentsWithStats(area.astype(np.uint8))
    keep = stats[:, cv2.CC_STAT_AREA] >= least
    keep[0] = False
    return keep[label]
