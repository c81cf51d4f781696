"""Point tracks by CoTracker3 (Karaev et al. 2024), the paper's backend: the offline model, whole clips at once."""

import numpy as np

from lewm_core.signals.weights import Needs, Settings, fill, load_code
from lewm_core.sources.episode import Episode

WINDOW = 60  # frames given at once: of upstream's time embedding, as its hub entry `cotracker3_offline` has it


class CoTracker3:
    """A tracks backend. InputError where code or weights are not what they should be."""

    needs = Needs("scaled_offline.pth", "co-tracker", "cotracker")

    def __init__(self, settings: Settings):
        code = load_code(self.needs, "cotracker.predictor", settings)
        predictor = code.CoTrackerPredictor(checkpoint=None, offline=True, v2=False, window_len=WINDOW)
        fill(predictor.model, settings.folder / self.needs.weights)
        self.settings, self.predictor = settings, predictor.to(settings.on).eval()

    def __call__(self, episode: Episode, queries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Tracks of queries (N, 2) px in frame 0.

        Clips of at most WINDOW frames are tracked at once, as upstream does. Of longer ones (memory grows
        with the length) pieces of that length are, each sharing half with the one before: there a point starts again
        where it was last visible in the shared half, or at the half's end if it was visible nowhere.

        Returns:
            tracks (T, N, 2) float32 px, also where the point is hidden; visible (T, N) bool.
        """
        length, index = len(episode.frames), np.arange(len(queries))
        tracks = np.empty((length, len(queries), 2), np.float32)
        visible = np.empty(tracks.shape[:2], bool)
        times, points, done = np.zeros(len(queries), int), queries, 0
        for start in range(0, max(length - WINDOW // 2, 1), WINDOW // 2):
            stop = min(start + WINDOW, length)
            if start > 0:
                shared = visible[start:done]
                times = np.where(shared.any(0), done - 1 - np.argmax(shared[::-1], 0), done - 1)
                points = tracks[times, index]
            piece = self._piece(episode.frames[start:stop], times - start, points)
            tracks[done:stop], visible[done:stop] = (array[done - start :] for array in piece)
            done = stop
        return tracks, visible

    def _piece(self, frames: np.ndarray, times: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Upstream's answer for points (N, 2) that are given in frames `times` (N,)."""
        import torch

        device = self.settings.on
        video = torch.from_numpy(frames.transpose(0, 3, 1, 2)[None].copy()).to(device).float()  # 0 to 255
        asked = torch.from_numpy(np.column_stack([times, points]).astype(np.float32))[None].to(device)
        with torch.autocast(device.partition(":")[0], torch.float16, enabled=self.settings.half), torch.no_grad():
            tracks, visible = self.predictor(video, queries=asked)
        return tracks[0].float().cpu().numpy(), visible[0].bool().cpu().numpy()
