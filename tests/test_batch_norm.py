"""Batch normalisation while fine-tuning, and the reference conditions, which separate it from learning."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lewm_core import dataset
from lewm_core.batch_norm import norms
from lewm_core.conditions import REFERENCES, condition
from lewm_core.config import MODELS, Recipe
from lewm_core.dataset import windows
from lewm_core.encoder import normalise
from lewm_core.experiments.run import Run
from lewm_core.model import LeWM
from lewm_core.train import split_of, train
from lewm_core.utils.errors import InputError
from tests.helpers import TINY, random_base, write_squares

NANO = MODELS["nano"]

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return dataset.load(write_squares(tmp_path_factory.mktemp("data") / "squares.h5"))


def run(data, name, **changes):
    return train(LeWM(NANO, seed=9), condition(name), data, replace(TINY, **changes), 0)


def moved(outcome):
    """The names of the weights and of the buffers that are not bit for bit the start's."""
    start = LeWM(NANO, seed=9).state_dict()
    return {name for name, value in outcome.model.state_dict().items() if not torch.equal(value, start[name])}


def test_the_base_is_evaluated_as_it_is(data):
    outcome = run(data, "base")
    assert not moved(outcome) and outcome.steps == 0 and outcome.curve == []
    a = run(data, "A")
    assert {split: set(found) for split, found in outcome.metrics.items()} == {
        split: set(found) for split, found in a.metrics.items()}
    assert run(data, "base", batch_norm="recalibrated").metrics == outcome.metrics  # untouched is untouched


def test_learning_rate_0_moves_the_buffers_alone(data):
    outcome = run(data, "lr-0")
    names = moved(outcome)
    assert names and all("running" in name or "num_batches" in name for name in names)
    assert outcome.steps == run(data, "A").steps
    base = run(data, "base").metrics["episode"]
    assert outcome.metrics["episode"]["mse"] != base["mse"]  # which alone changes what is predicted


def test_learning_rate_0_with_frozen_batch_normalisation_is_the_base(data):
    still, base = run(data, "lr-0", batch_norm="frozen"), run(data, "base")
    assert not moved(still) and still.steps > 0
    for split, found in base.metrics.items():
        assert {name: still.metrics[split][name] for name in found if name != "clipped"} == {
            name: value for name, value in found.items() if name != "clipped"}


def test_frozen_buffers_stay_and_the_affine_weights_learn(data):
    names = moved(run(data, "A", batch_norm="frozen"))
    assert not any("running" in name or "num_batches" in name for name in names)
    assert {"projector.net.1.weight", "pred_proj.net.1.bias", "encoder.cls_token"} <= names


def test_frozen_is_frozen_after_evaluations_on_the_way(data):
    assert not any("running" in name for name in moved(run(data, "A", batch_norm="frozen", n_evals=3)))


def test_recalibrated_buffers_are_the_training_frames_statistics(data):
    """Frame by frame and window by window, in NumPy; the weights are those of a run as in the paper."""
    outcome, paper = run(data, "A", batch_norm="recalibrated"), run(data, "A")
    assert all(torch.equal(value, paper.model.state_dict()[name]) for name, value in outcome.model.named_parameters())
    model, starts = outcome.model.eval(), split_of(data, TINY, 0).train
    pixels = torch.from_numpy(data["pixels"]).permute(0, 3, 1, 2)
    actions = torch.from_numpy(outcome.action_scale(data["action"]))
    with torch.no_grad():
        hidden = [model.projector.net[0](model.encode_tokens(normalise(pixels[i][None, None]))[0][0, 0]).numpy()
                  for i in np.unique(windows(starts))]
        ahead = []
        for start in starts:
            emb, act_emb = model.encode(normalise(pixels[start : start + 3])[None], actions[start : start + 3][None])
            ahead += list(model.pred_proj.net[0](model.predictor(emb, act_emb))[0].numpy())
    for projector, values in ((model.projector, hidden), (model.pred_proj, ahead)):
        norm = projector.net[1]
        np.testing.assert_allclose(norm.running_mean, np.mean(values, 0), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(norm.running_var, np.var(values, 0, ddof=1), rtol=1e-4, atol=1e-6)
        was = paper.model.get_submodule("projector" if projector is model.projector else "pred_proj").net[1]
        assert (norm.running_mean - was.running_mean).abs().max() > 1e-3


def test_the_patch_aware_predictor_is_recalibrated_too(data):
    outcome, paper = run(data, "A-pp", batch_norm="recalibrated"), run(data, "A-pp")
    for norm, was in zip(norms(outcome.model), norms(paper.model), strict=True):
        assert (norm.running_mean - was.running_mean).abs().max() > 1e-3


def test_unknown_names_are_errors_that_list_the_known_ones():
    with pytest.raises(InputError, match="batch_norm of the recipe: found 'froze'; expected one of paper, frozen, rec"):
        Recipe(batch_norm="froze")


def test_runs_are_named_by_what_differs_from_the_paper():
    def key(name, **changes):
        return Run(name, "pilot", 0, "data.h5", "f", random_base(), Recipe(**changes)).key

    assert len({key(name) for name in ("A", *REFERENCES)}) == 3
    assert key("A", batch_norm="paper") == key("A") != key("A", batch_norm="frozen")
    assert "batch_norm" not in repr(Recipe()) and eval(repr(Recipe(batch_norm="frozen"))) == Recipe(batch_norm="frozen")
