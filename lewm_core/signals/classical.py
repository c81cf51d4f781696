"""Backends from OpenCV alone, without weights: Lucas-Kanade tracks, and an object mask from what moves late.

Lengths in the constants are pixels of a 224-pixel image; they are scaled to the episode's size.
"""

from collections.abc import Iterator

import cv2
import numpy as np

from lewm_core.episodes import Episode
from lewm_core.signals.geometry import REFERENCE_SIZE, at_pixels

WINDOW, MIN_WINDOW = 21, 7  # side of the Lucas-Kanade window, and the least that it has in real pixels
PATCH, MIN_PATCH = 5, 3  # side of the patch that tells whether a point has moved
UNCHANGED = 4.0  # mean grey levels by which an unchanged patch may differ
ROUND_TRIP = 1.5  # a point tracked forwards and backwards returns this close to where it started

VACATED = 20.0  # mean grey levels: what differs more from frame 0 shows something else, not other light
SEED_GRID = 56  # 56 x 56 points look for the object
REST = 0.1  # share of the episode, and at least 2 frames, during which the object lies still at first
SEED_MOTION = 3.0  # a point this far from where it was has moved
SEED_CHANGE = 25.0  # mean grey levels by which its patch may come to differ from frame 0
SEED_TRAVEL = 8.0  # the object travels at least this far
DISTINCT = 0.35  # share of the pixels with the object's colours in frame 0 that belong to the object
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

    1. Seeds: tracked points that rest at first, travel later, and leave a place that does not look as before at the
       end. (Points of the gripper travel from the start.)
    2. Regions of frame 0 around seeds that were vacated at about that time; the first whose colours are distinct.
    3. Its colours against those of all else (histograms), and in each later frame the pixels of those colours that
       do not look as in frame 0 and lie near the mask of the frame before.
    Objects coloured like the table or the gripper, and objects that move at once, are missed.
    """
    frames, scale = episode.frames, _scale(episode)
    patch = _odd(PATCH * scale, MIN_PATCH)
    home = np.stack([_change(frames[0], frame, patch) < VACATED for frame in frames])
    masks = np.zeros(home.shape, bool)
    for region, start in _vacated(episode, home, scale):
        likely = _colour_model(frames, home, region, start)
        at_first = likely(frames[0])
        if (at_first & region).sum() > DISTINCT * at_first.sum():
            break
    else:
        return masks
    area, near = MIN_AREA * scale**2, _disc(SEARCH * scale)
    masks[0] = region & at_first
    last = masks[0]
    for t in range(1, len(frames)):
        candidates = likely(frames[t]) & np.where(home[t], masks[0], True)
        candidates &= cv2.dilate(last.view(np.uint8), near).view(bool)
        masks[t] = _large_parts(_smooth(candidates, scale), area)
        last = masks[t] if masks[t].any() else last
    return masks


def _vacated(episode: Episode, home: np.ndarray, scale: float) -> Iterator[tuple[np.ndarray, int]]:
    """Regions (H, W) of frame 0 that may be the object's, those with most moving points first, and when they are left.

    home: (T, H, W) bool, where a frame looks like frame 0.
    """
    length, height, width = home.shape
    rest = max(2, round(REST * length))
    x, y = ((np.arange(SEED_GRID) + 0.5) * size / SEED_GRID - 0.5 for size in (width, height))
    queries = np.stack(np.meshgrid(x, y), -1).reshape(-1, 2).astype(np.float32)
    positions, visible = tracks(episode, queries)
    distance = np.where(visible, np.linalg.norm(positions - positions[0], axis=-1), 0) / scale
    onset = np.argmax(distance > SEED_MOTION, 0)
    patch = _odd(PATCH * scale, MIN_PATCH)
    alike = np.stack([_alike(episode.frames, 0, queries, t, positions[t], patch) < SEED_CHANGE for t in range(length)])
    votes = ((distance > SEED_TRAVEL) & alike).sum(0)
    home_at, _ = at_pixels(home, np.broadcast_to(queries, (length, *queries.shape)))
    last_home = length - 1 - np.argmax(home[::-1], 0)  # (H, W)
    seeds = (votes > 0) & (onset >= rest) & ~home_at[-1] & home_at[:rest].all(0)
    if not seeds.any():
        return
    start = int(np.median(onset[seeds]))
    left = ~home[-1] & home[:rest].all(0) & (np.abs(last_home - start) <= rest + 2)
    left = _smooth(left, scale)
    _, label = cv2.connectedComponents(left.view(np.uint8))
    row, column = np.round(queries[seeds][:, ::-1]).astype(int).T
    share = np.bincount(label[row, column], votes[seeds], minlength=label.max() + 1)
    share[0] = 0
    share[np.bincount(label.ravel()) > LARGEST * label.size] = 0
    for best in np.argsort(-share, kind="stable")[: (share > 0).sum()]:
        yield label == best, start


def _colour_model(frames, home, region, start):
    """A function of a frame that says where its colours are more likely the region's than those of all else."""
    size, limits, channels = [12, 24, 24], [0, 256] * 3, [0, 1, 2]

    def lab(frame):
        return cv2.cvtColor(frame, cv2.COLOR_RGB2LAB)

    def histogram(pictures, chosen):
        counts = cv2.calcHist(pictures, channels, None, size, limits) * 0
        for picture, inside in zip(pictures, chosen, strict=True):
            counts += cv2.calcHist([picture], channels, inside.astype(np.uint8), size, limits)
        for axis in range(3):
            counts = np.apply_along_axis(np.convolve, axis, counts, [0.25, 0.5, 0.25], "same")
        return counts / max(counts.sum(), 1)

    before = range(1, max(start, 2))
    inside = histogram([lab(frames[0])], [region])
    outside = histogram([lab(frames[0]), *(lab(frames[t]) for t in before)], [~region, *(~home[t] for t in before)])
    more_likely = inside > outside

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
