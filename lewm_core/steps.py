"""The optimizer steps of a run; on a GPU one recorded CUDA graph, replayed for each.

A step of a small model is hundreds of short kernels, which a CPU cannot start as fast as a GPU does them. A recorded
graph starts them all at once. For that a step must take all that differs between steps from tensors on the device: its
place in the run, and by it its windows and its learning rate. On a CPU the same code runs step by step.

Dimensions: S steps, B windows, T frames.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from lewm_core.conditions import FULL, Condition
from lewm_core.config import Recipe
from lewm_core.dataset.frames import Frames
from lewm_core.model import LeWM
from lewm_core.objective import loss_terms
from lewm_core.sigreg import draw_directions

WARM_UP = 3  # steps before a graph is recorded, undone afterwards: they set up what may not be set up in a recording

Terms = Mapping[str, Tensor]


class Steps:
    """S steps of one run. `take(step)` does one; `record` (S, losses) has the losses before each, named by `names`.

    batches: (S, B, T) frames of the windows of each step. rates: (S,) learning rates. generator: of SIGReg's
    directions, on the frames' device. At training "lr 0" nothing is learnt; only batch normalisation's buffers move.
    """

    def __init__(self, model: LeWM, heads: nn.ModuleDict, condition: Condition, frames: Frames, batches: Tensor,
                 rates: Tensor, recipe: Recipe, generator: torch.Generator):
        self.model, self.heads, self.condition, self.frames = model, heads, condition, frames
        self.batches, self.rates, self.recipe, self.generator = batches, rates, recipe, generator
        self.learns = condition.training == FULL
        self.parameters = [*model.parameters(), *heads.parameters()]
        on_gpu = batches.device.type == "cuda"
        self.rate = torch.zeros((), device=batches.device)
        self.optimizer = torch.optim.AdamW(self.parameters, lr=self.rate, weight_decay=recipe.weight_decay, fused=True,
                                           capturable=on_gpu)
        self.at = torch.zeros(1, dtype=torch.long, device=batches.device)  # the step to come
        self.clipped = torch.zeros((), device=batches.device)  # steps whose gradient was longer than the recipe's limit
        self.names = ["pred", "sigreg", *(f"head_{term.head}" for term in condition.terms), "total"]
        self.record = torch.zeros(len(batches), len(self.names), device=batches.device)
        self.graph: torch.cuda.CUDAGraph | None = None
        self.graphed = on_gpu and isinstance(frames.pixels, Tensor)  # no file is read within a graph

    def take(self, step: int, look: Callable[[Terms], None] | None = None) -> None:
        """Do step number `step`, on a GPU without waiting for it. look: called with its losses and their graph."""
        self.at.fill_(step)
        if look is not None or not self.graphed:
            self._step(look)
            return
        if self.graph is None:
            self._record_graph()
        self.graph.replay()

    def losses(self, step: int) -> dict[str, float]:
        """The losses before that step; waits for it."""
        return dict(zip(self.names, self.record[step].tolist(), strict=True))

    def _step(self, look: Callable[[Terms], None] | None = None) -> None:
        directions = draw_directions(self.model.config.dim, self.recipe.directions, self.generator)
        with torch.set_grad_enabled(self.learns):
            terms = loss_terms(self.model, self.heads, self.condition, self.frames, self.batches[self.at][0],
                               directions, self.recipe)
        if look is not None:
            look(terms)
        if self.learns:
            self.rate.copy_(self.rates[self.at][0])
            self.optimizer.zero_grad(set_to_none=True)
            terms["total"].backward()
            self.clipped += nn.utils.clip_grad_norm_(self.parameters, self.recipe.clip) > self.recipe.clip
            self.optimizer.step()
        self.record[self.at] = torch.stack([terms[name].detach() for name in self.names])

    def _record_graph(self) -> None:
        """Record `_step`, leaving weights, buffers, optimizer and generators as they were."""
        kept = [(tensor, tensor.detach().clone()) for tensor in self._state()]
        drawn = self.generator.get_state(), torch.cuda.get_rng_state()
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP):
                self._step()
        torch.cuda.current_stream().wait_stream(stream)
        self._undo(kept)
        self.generator.set_state(drawn[0])
        torch.cuda.set_rng_state(drawn[1])
        self.optimizer.zero_grad(set_to_none=True)
        self.graph = torch.cuda.CUDAGraph()
        self.graph.register_generator_state(self.generator)
        with torch.cuda.graph(self.graph, capture_error_mode="thread_local"):
            self._step()

    def _state(self) -> list[Tensor]:
        """All that a step changes and that was there before the first one."""
        return [*self.parameters, *self.model.buffers(), *self.heads.buffers(), self.rate, self.clipped, self.record]

    @torch.no_grad()
    def _undo(self, kept: list[tuple[Tensor, Tensor]]) -> None:
        for tensor, before in kept:
            tensor.copy_(before)
        for state in self.optimizer.state.values():  # which the first step made
            for value in state.values():
                value.zero_()
