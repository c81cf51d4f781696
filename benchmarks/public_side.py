"""The public LeWM's training step: model and SIGReg of stable-worldmodel, AdamW and clipping of torch.

Written after the package's interface and its recipe. Imports nothing that a process of the public tools would not,
since its start is measured, too; what needs lewm_core is passed in.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from lewm_core.utils import torchvision_compat

NEEDS = ("stable_worldmodel", "stable_pretraining", "hydra", "imageio", "transformers")
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, as its recipe normalises


def absent() -> str:
    """Why the public side cannot run; empty if it can."""
    lacking = [name for name in NEEDS if find_spec(name) is None]
    return f"not installed: {', '.join(lacking)}. Get it by: pip install -e .[compare] -c constraints.txt" if lacking \
        else ""


def prepare(home: str) -> None:
    """Make the package importable beside any torch, and keep what it writes on import in the folder `home`."""
    os.environ["STABLEWM_HOME"] = home
    torchvision_compat.ensure()


def libraries() -> None:
    """Import all that the public step needs."""
    import hydra.utils  # noqa: F401
    import stable_pretraining.backbone.utils  # noqa: F401
    import stable_worldmodel.wm.lewm  # noqa: F401


def normalised(pixels: Tensor) -> Tensor:
    """uint8 (..., 3, H, W) to float32, by torchvision, which the package's own transforms call."""
    from torchvision.transforms.v2 import functional as V

    return V.normalize(V.to_dtype(pixels, torch.float32, scale=True), MEAN, STD)


@dataclass(frozen=True)
class Work:
    """What both sides do: S steps, each on a batch of windows.

    frames: pixels (N, 3, H, W) uint8 and actions (N, A) as attributes. batches: (S, B, T) frames of each step's
    windows. rates: (S,) learning rates. recipe: config.Recipe. precision: fp32 or bf16.
    """

    frames: Any
    batches: Tensor
    rates: Tensor
    recipe: Any
    precision: str


class Public:
    """The public side. step(i) is one training step, loss(i) then the loss before it.

    tree: the model's configuration (checkpoints.config_json.public). state: weights under public names; None: as
    initialised.
    head, head_loss: what is trained beside the model: emb (M, D) to an output, and of that and the frames' numbers (M,)
    the loss.
    """

    def __init__(self, tree: Mapping, work: Work, state: Mapping[str, Tensor] | None = None,
                 head: nn.Module | None = None, head_loss: Callable[[Tensor, Tensor], Tensor] | None = None):
        from hydra.utils import instantiate
        from stable_worldmodel.wm.loss import SIGReg

        self.work, self.rates, recipe, device = work, work.rates.tolist(), work.recipe, work.batches.device
        self.losses: list[Tensor] = []
        self.model = instantiate(dict(tree))
        if state is not None:
            self.model.load_state_dict(state)
        self.model.to(device).train()
        self.head, self.head_loss = head, head_loss
        self.sigreg = SIGReg(num_proj=recipe.directions).to(device)
        self.parameters = [*self.model.parameters(), *(head.parameters() if head else ())]
        self.optimizer = torch.optim.AdamW(self.parameters, lr=recipe.lr, weight_decay=recipe.weight_decay)

    def total(self, index: Tensor) -> Tensor:
        """The total loss of the windows `index` (B, T)."""
        info = {"pixels": normalised(self.work.frames.pixels[index]), "action": self.work.frames.actions[index]}
        info = self.model.encode(info)
        emb = info["emb"]
        pred = self.model.predict(emb[:, :-1], info["act_emb"][:, :-1])
        total = ((pred - emb[:, 1:]) ** 2).mean() + self.work.recipe.sigreg_weight * self.sigreg(emb.transpose(0, 1))
        if self.head is not None:
            output = self.head(emb.flatten(0, 1)).float()
            total = total + self.work.recipe.head_weight * self.head_loss(output, index.flatten())
        return total

    def step(self, i: int) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = self.rates[i]
        with torch.autocast(self.work.batches.device.type, torch.bfloat16, enabled=self.work.precision == "bf16"):
            total = self.total(self.work.batches[i])
        self.optimizer.zero_grad()
        total.backward()
        nn.utils.clip_grad_norm_(self.parameters, self.work.recipe.clip)
        self.optimizer.step()
        self.losses.append(total.detach())

    def loss(self, i: int) -> float:
        return self.losses[i].item()
