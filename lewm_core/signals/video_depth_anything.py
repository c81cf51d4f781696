"""Depth by Video-Depth-Anything-Small (Chen et al. 2025), the paper's backend: whole clips, aligned as upstream does.

Upstream reads a clip in pieces of 32 frames that share 10, and fits scale and shift of each to the one before.
"""

import io
from contextlib import redirect_stderr

import numpy as np

from lewm_core.signals.geometry import relative_depth
from lewm_core.signals.weights import Needs, Settings, fill, load_code
from lewm_core.sources.episode import FPS, Episode

INPUT_SIZE = 518  # px, upstream's
VIT_S = {"encoder": "vits", "features": 64, "out_channels": [48, 96, 192, 384]}


class VideoDepthAnything:
    """A depth backend. InputError where code or weights are not what they should be."""

    needs = Needs("video_depth_anything_vits.pth", "Video-Depth-Anything", "video_depth_anything",
                  ("einops", "easydict"))  # fmt: skip
    relative = True  # without unit or zero

    def __init__(self, settings: Settings):
        code = load_code(self.needs, "video_depth_anything.video_depth", settings)
        model = fill(code.VideoDepthAnything(**VIT_S), settings.folder / self.needs.weights)
        self.settings, self.model = settings, model.to(settings.on).eval()

    def __call__(self, episode: Episode) -> np.ndarray:
        """Relative depth (T, H, W) float32, `geometry.relative_depth` of upstream's inverse depth."""
        with redirect_stderr(io.StringIO()):  # upstream draws a progress bar for each clip
            inverse, _ = self.model.infer_video_depth(
                episode.frames, FPS, input_size=INPUT_SIZE, device=self.settings.on, fp32=not self.settings.half
            )
        return relative_depth(inverse)
