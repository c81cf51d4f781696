"""Depth by Depth Anything V2 Small (Yang et al. 2024) through transformers: the depth backend without upstream code.

The model sees single frames, so the scale and shift of its inverse depth jump from frame to frame. `aligned` fits them.
"""

import numpy as np

from lewm_core.signals.classical import unchanged
from lewm_core.signals.geometry import relative_depth
from lewm_core.signals.weights import Needs, Settings, from_folder
from lewm_core.sources.episode import Episode
from lewm_core.utils import torchvision_compat

BATCH = 8  # frames that the model is given at once
LEAST_STATIC = 0.05  # share of the frame; with fewer static pixels there is nothing to hold on to
OUTLIER = 3.0  # median residuals: what is further off in the first fit is left out of the second


class DepthAnythingV2:
    """A depth backend. InputError where the weights are not what they should be."""

    needs = Needs("Depth-Anything-V2-Small-hf", others=("transformers",))
    relative = True  # without unit or zero

    def __init__(self, settings: Settings):
        torchvision_compat.ensure()
        import torch
        from transformers import AutoImageProcessor, DepthAnythingForDepthEstimation

        self.settings, self.dtype = settings, torch.float16 if settings.half else torch.float32
        self.processor, self.model = from_folder(AutoImageProcessor, DepthAnythingForDepthEstimation, self.needs,
                                                 settings, self.dtype)

    def __call__(self, episode: Episode) -> np.ndarray:
        """Relative depth (T, H, W) float32, `geometry.relative_depth` of the aligned inverse depth."""
        frames = episode.frames
        parts = [self._inverse(frames[t : t + BATCH]) for t in range(0, len(frames), BATCH)]
        return relative_depth(aligned(np.concatenate(parts), frames))

    def _inverse(self, frames: np.ndarray) -> np.ndarray:
        """The model's inverse depth (n, H, W) float32 of n frames."""
        import torch

        inputs = self.processor(images=list(frames), return_tensors="pt", input_data_format="channels_last")
        with torch.no_grad():
            found = self.model(inputs["pixel_values"].to(self.settings.on, self.dtype)).predicted_depth[:, None]
        size = frames.shape[1:3]
        return torch.nn.functional.interpolate(found.float(), size, mode="bilinear")[:, 0].cpu().numpy()


def aligned(inverse: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """Inverse depth (T, H, W) of single frames, each brought to the scale and shift of frame 0.

    Over the pixels that look as in frame 0 (`classical.unchanged`; all, if they are fewer than LEAST_STATIC), scale
    and shift are fitted by least squares, then once more without those that the first fit leaves far off. A fit whose
    scale is not positive would turn near and far; then only the medians are made equal. Everything is measured
    against one frame, so nothing adds up over the clip.
    """
    out = inverse.astype(np.float32, copy=True)
    for t in range(1, len(out)):
        static = unchanged(frames[0], frames[t])
        if static.mean() < LEAST_STATIC:
            static[:] = True
        x, y = out[t][static].astype(np.float64), out[0][static].astype(np.float64)
        scale, shift = _line(x, y)
        residual = np.abs(scale * x + shift - y)
        near = residual <= OUTLIER * np.median(residual) + 1e-12
        scale, shift = _line(x[near], y[near])
        if scale <= 0:
            scale, shift = 1.0, np.median(y) - np.median(x)
        out[t] = scale * out[t] + shift
    return out


def _line(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Scale and shift that bring x to y by least squares; the scale is 0 where x does not vary."""
    dx = x - x.mean()
    scale = float(dx @ (y - y.mean()) / max(dx @ dx, 1e-12))
    return scale, float(y.mean() - scale * x.mean())
