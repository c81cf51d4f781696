"""A dataset as a run reads it: tensors on the training device, actions standardised, targets built. Needs torch."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lewm_core.dataset import Data, targets
from lewm_core.dataset.stored import Stored
from lewm_core.losses import Term


@dataclass(frozen=True)
class ActionScale:
    """Mean and std of each column of the actions a model was trained on; they travel with its checkpoint."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def fit(cls, actions: np.ndarray) -> "ActionScale":
        """From actions (n, A); columns that never vary keep std 1."""
        constant = np.ptp(actions, axis=0) == 0  # rounding can leave a constant column some std
        std = np.where(constant, 1, actions.std(0))
        return cls(tuple(actions.mean(0).tolist()), tuple(std.tolist()))

    def __call__(self, actions: np.ndarray) -> np.ndarray:
        """(…, A) raw actions to standardised float32."""
        return ((actions - np.array(self.mean)) / np.array(self.std)).astype(np.float32)

    def undo(self, standardised: np.ndarray) -> np.ndarray:
        """(…, A) standardised actions to raw float64."""
        return standardised * np.array(self.std) + np.array(self.mean)


class FromDisk:
    """Frames that stay in their file, indexed as a tensor (N, 3, H, W) uint8 on `device` is."""

    def __init__(self, stored: Stored, device: str):
        self.stored, self.device = stored, torch.device(device)

    def __len__(self) -> int:
        return len(self.stored)

    def __getitem__(self, index: Tensor | slice) -> Tensor:
        rows = index if isinstance(index, slice) else index.cpu().numpy()
        return torch.from_numpy(self.stored[rows]).movedim(-1, -3).contiguous().to(self.device)


@dataclass(frozen=True)
class Frames:
    """A dataset on the training device: pixels (N, 3, H, W) uint8, actions (N, A) standardised, and by head the targets
    (N, …) of its term, named as `targets.build` names them. Pixels that stay in their file are `FromDisk`."""

    pixels: Tensor | FromDisk
    actions: Tensor
    targets: dict[str, dict[str, Tensor]]

    @classmethod
    def of(cls, data: Data, terms: Iterable[Term], train_frames: np.ndarray, scale: ActionScale, device: str,
           seed: int = 0) -> "Frames":
        """`data` with the targets of `terms`, standardised over `train_frames`; seed: the run's."""
        pixels = FromDisk(data["pixels"], device)
        if not isinstance(data["pixels"], Stored):
            pixels = torch.from_numpy(data["pixels"]).permute(0, 3, 1, 2).contiguous().to(device)
        actions = torch.from_numpy(scale(data["action"]))
        built = {term.head: targets.build(term, data, train_frames, device, seed) for term in terms}
        return cls(pixels, actions.to(device), built)

    def targets_at(self, index: Tensor) -> dict[str, dict[str, Tensor]]:
        """The targets of the frames `index` (M,)."""
        return {head: {name: value[index] for name, value in of.items()} for head, of in self.targets.items()}
