"""Drawing on frames: tracks, masks, depth; uint8 RGB in and out.

A frame is enlarged by a whole factor `zoom`; the pixel centre (x, y) then lies at
((x + 1/2)·zoom − 1/2, (y + 1/2)·zoom − 1/2).
"""

import cv2
import matplotlib as mpl
import numpy as np

from lewm_core.signals.geometry import at_pixels

MASK_COLOUR = (255, 0, 200)  # magenta is the colour of few things on a table
OUTLINE = (255, 255, 255)
SUBPIXEL = 4  # bits of subpixel position that OpenCV draws with


def png(image: np.ndarray) -> bytes:
    """(H, W, 3) uint8 RGB as a PNG, compressed lightly for speed."""
    return cv2.imencode(".png", image[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()


def jpeg(image: np.ndarray, quality: int = 88, sharp_colours: bool = False) -> bytes:
    """(H, W, 3) uint8 RGB as a JPEG, for pictures that stay in a notebook. sharp_colours: as many as pixels."""
    flags = [cv2.IMWRITE_JPEG_QUALITY, quality]
    if sharp_colours:
        flags += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    return cv2.imencode(".jpg", image[..., ::-1], flags)[1].tobytes()


def enlarge(image: np.ndarray, zoom: int) -> np.ndarray:
    """(H, W, …) -> (H·zoom, W·zoom, …), each pixel a square, so that nothing is drawn that is not in the data."""
    return image.repeat(zoom, 0).repeat(zoom, 1)


def point_colours(queries: np.ndarray) -> np.ndarray:
    """A colour (N, 3) uint8 RGB per query point (N, 2): its hue is its angle about their middle."""
    x, y = (queries - queries.mean(0)).T
    hsv = np.full((1, len(queries), 3), 255, np.uint8)
    hsv[0, :, 0] = (np.arctan2(y, x) / (2 * np.pi) % 1 * 179).astype(np.uint8)
    hsv[0, :, 1] = 200
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0]


def draw_tracks(frame: np.ndarray, tracks: np.ndarray, visible: np.ndarray, t: int, trail: int = 8,
                mask: np.ndarray | None = None, zoom: int = 1) -> np.ndarray:
    """The points visible in frame `t` with their trails.

    Args:
        frame: (H, W, 3) uint8, frame t. tracks: (T, N, 2) px, visible: (T, N) bool.
        trail: how many frames back a trail reaches; it is broken where the point was not visible.
        mask: (H, W) bool; if given, only points inside it are drawn.
    """
    canvas = enlarge(frame, zoom)
    keep = shown_points(tracks, visible, t, mask)
    colours = point_colours(tracks[0]).tolist()
    at = np.round(((tracks + 0.5) * zoom - 0.5) * 2**SUBPIXEL).astype(np.int32)
    start = max(0, t - trail)
    steps = np.stack([at[start:t], at[start + 1:t + 1]], 2)  # (trail, N, 2 ends, 2)
    whole = visible[start:t] & visible[start + 1:t + 1]
    for i in keep:
        cv2.polylines(canvas, list(steps[whole[:, i], i]), False, colours[i], 1, cv2.LINE_AA, SUBPIXEL)
    radius = max(1.2, canvas.shape[0] / 160)
    for i in keep:
        cv2.circle(canvas, at[t, i].tolist(), int(radius * 2**SUBPIXEL), colours[i], -1, cv2.LINE_AA, SUBPIXEL)
    return canvas


def shown_points(tracks: np.ndarray, visible: np.ndarray, t: int, mask: np.ndarray | None = None) -> np.ndarray:
    """Indices of the points that are visible in frame `t` and, given a mask (H, W), inside it."""
    keep = visible[t].copy()
    if mask is not None:
        inside, in_view = at_pixels(mask[None], tracks[t:t + 1])
        keep &= inside[0] & in_view[0]
    return np.flatnonzero(keep)


def draw_mask(frame: np.ndarray, mask: np.ndarray, opacity: float = 0.5, zoom: int = 1) -> np.ndarray:
    """The frame with `mask` (any grid of the same aspect, e.g. 56×56) laid over it in one colour and outlined."""
    canvas = enlarge(frame, zoom)
    inside = cv2.resize(mask.astype(np.uint8), canvas.shape[1::-1], interpolation=cv2.INTER_NEAREST).astype(bool)
    tint = np.array(MASK_COLOUR, np.float32)
    canvas[inside] = ((1 - opacity) * canvas[inside] + opacity * tint).round().astype(np.uint8)
    outline, _ = cv2.findContours(inside.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    return cv2.drawContours(canvas, outline, -1, OUTLINE, 1)


def draw_depth(depth: np.ndarray, near: float, far: float, inside: np.ndarray | None = None) -> np.ndarray:
    """A depth map (h, w) in colours, near yellow to far violet; black outside `inside` (h, w) bool."""
    share = np.clip((far - depth) / max(far - near, 1e-9), 0, 1)
    colours = (mpl.colormaps["plasma"](share)[..., :3] * 255).round().astype(np.uint8)
    return colours if inside is None else np.where(inside[..., None], colours, np.uint8(0))
