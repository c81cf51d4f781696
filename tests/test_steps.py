"""A run's steps: what is undone after a warm-up, and that a recorded graph does on a GPU what single steps do."""

import copy

import numpy as np
import pytest
import torch

from lewm_core import dataset
from lewm_core.conditions import condition
from lewm_core.config import MODELS, Recipe
from lewm_core.dataset import windows
from lewm_core.dataset.frames import ActionScale, Frames
from lewm_core.model import LeWM, seeded
from lewm_core.steps import Steps
from lewm_core.train import batches, heads_of, split_of
from tests.helpers import TINY, write_squares

COUNT = 6


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return dataset.load(write_squares(tmp_path_factory.mktemp("data") / "squares.h5"))


def steps(data, name="E", device="cpu", **sizes) -> Steps:
    """A run's steps as `train` would make them."""
    row, split = condition(name), split_of(data, TINY, 0)
    train_frames = np.unique(windows(split.train))
    frames = Frames.of(data, row.terms, train_frames, ActionScale.fit(data["action"][train_frames]), device)
    model = LeWM(MODELS["nano"], 1).to(device).train()
    heads = heads_of(row, data, model, 0).to(device).train()
    _, rows = batches(len(split.train), COUNT, 4, 0)
    index = torch.from_numpy(windows(split.train)).to(device)
    rates = torch.linspace(1e-3, 1e-4, COUNT, device=device)
    return Steps(model, heads, row, frames, index[rows], rates, Recipe(directions=8, clip=0.1),
                 torch.Generator(device).manual_seed(5))


def test_batches_are_every_window_once_an_epoch_in_a_new_order():
    per_epoch, rows = batches(11, 8, 4, 0)
    assert per_epoch == 2 and rows.shape == (8, 4)
    for first in range(0, 8, 2):
        assert len(set(rows[first : first + 2].flatten())) == 8
    assert not (rows[:2] == rows[2:4]).all()
    assert batches(3, 2, 16, 0)[1].shape == (2, 3)  # fewer windows than a batch: all of them
    assert (batches(11, 3, 4, 0)[1] == rows[:3]).all() and not (batches(11, 3, 4, 1)[1] == rows[:3]).all()


def test_warm_up_leaves_nothing_behind(data):
    """What a recording does first: some steps, then everything as it was. What follows is as in a fresh run."""
    with seeded(0):
        fresh = steps(data)
        for step in range(2):
            fresh.take(step)
    with seeded(0):
        warm = steps(data)
        kept = [(tensor, tensor.detach().clone()) for tensor in warm._state()]
        generators = warm.generator.get_state(), torch.get_rng_state()
        for step in range(3):
            warm.take(step)
        warm._undo(kept)
        warm.generator.set_state(generators[0])
        torch.set_rng_state(generators[1])
        for step in range(2):
            warm.take(step)
    assert torch.equal(warm.record, fresh.record) and torch.equal(warm.clipped, fresh.clipped)
    for found, wanted in zip(warm._state(), fresh._state(), strict=True):
        assert torch.equal(found, wanted)


def test_nothing_is_learnt_at_learning_rate_0_but_the_buffers_move(data):
    run = steps(data, "lr-0")
    before = copy.deepcopy(run.model.state_dict())
    run.take(0)
    moved = {name for name, value in run.model.state_dict().items() if not torch.equal(value, before[name])}
    assert moved and all("running" in name or "batches_tracked" in name for name in moved)
    assert run.losses(0)["total"] > 0 and run.clipped == 0


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["A", "E", "C1", "D-pp", "lr-0"])
def test_a_recorded_graph_does_what_single_steps_do(data, name):
    found = []
    for graphed in (False, True):
        with seeded(0):
            run = steps(data, name, "cuda")
            run.graphed = graphed
            for step in range(COUNT):
                run.take(step, (lambda terms: None) if step == 3 else None)  # one in between is looked at
        found.append((run.record.cpu(), [p.detach().cpu() for p in run._state()]))
    (record, state), (graph_record, graph_state) = found
    torch.testing.assert_close(graph_record, record, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(graph_state, state, rtol=1e-2, atol=1e-3)
