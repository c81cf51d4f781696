"""Evaluation: the metrics of held-out windows, and that they depend on nothing but the weights."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lewm_core import dataset, losses
from lewm_core.conditions import condition
from lewm_core.config import MODELS
from lewm_core.dataset import windows
from lewm_core.dataset.frames import ActionScale, Frames
from lewm_core.encoder import normalise
from lewm_core.evaluate import encode_frames, evaluate
from lewm_core.heads import build_heads
from lewm_core.model import LeWM
from lewm_core.train import split_of, train
from tests.helpers import TINY, write_squares

NANO = MODELS["nano"]

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return dataset.load(write_squares(tmp_path_factory.mktemp("data") / "squares.h5"))


@pytest.fixture
def frames(data):
    every = np.arange(len(data["pixels"]))
    return Frames.of(data, condition("E").terms, every, ActionScale.fit(data["action"]), "cpu")


def run(data, name):
    return train(LeWM(NANO, seed=9), condition(name), data, TINY, 0)


def test_metrics_are_what_a_loop_over_windows_finds(data, frames):
    outcome = run(data, "E")
    model, heads, row = outcome.model.eval(), outcome.heads.eval(), condition("E")
    starts = split_of(data, TINY, 0).val["episode"]
    got = evaluate(model, heads, row, frames, starts, TINY)

    @torch.no_grad()
    def latent(i):
        return model.encode(normalise(frames.pixels[i])[None, None])[0][0, 0].double()

    model_errors, static_errors, targets = [], [], []
    for start in starts:
        emb = torch.stack([latent(i) for i in range(start, start + 4)])
        act = model.action_encoder(frames.actions[start : start + 3][None])
        pred = model.predict(emb[:3].float()[None], act)[0].detach().double()
        model_errors.append(((pred - emb[1:]) ** 2).mean().item())
        static_errors.append(((emb[:-1] - emb[1:]) ** 2).mean().item())
        targets += list(emb[1:].numpy())
    variance = np.var(np.array(targets), axis=0).mean()
    assert got["mse"] == pytest.approx(np.mean(model_errors), rel=1e-4)
    assert got["static_mse"] == pytest.approx(np.mean(static_errors), rel=1e-4)
    assert got["target_variance"] == pytest.approx(variance, rel=1e-4)
    assert got["mse_over_static"] == pytest.approx(np.mean(model_errors) / np.mean(static_errors), rel=1e-4)
    assert got["mse_over_variance"] == pytest.approx(np.mean(model_errors) / variance, rel=1e-4)

    used = sorted({i for s in starts for i in range(s, s + 4)})
    emb = torch.stack([latent(i) for i in used]).float()
    depth = losses.depth_loss(heads["depth"](emb), torch.from_numpy(data["depth"][used]))
    assert got["head_depth"] == pytest.approx(depth.item(), rel=1e-4)
    moved, seen = data["tracks"] - data["tracks"][data.first_frames()], data["visible"].astype(bool)
    moved = ((moved - moved[seen].mean(0)) / moved[seen].std(0))[used].astype(np.float32)  # `frames`: fitted to all
    tracks = losses.vector_loss(heads["tracks"](emb), torch.from_numpy(moved), torch.from_numpy(seen[used]))
    assert got["head_tracks"] == pytest.approx(tracks.item(), rel=1e-4)


def test_a_runs_metrics_are_those_of_its_held_out_windows(data):
    outcome, split = run(data, "A"), split_of(data, TINY, 0)
    train_frames = np.unique(windows(split.train))
    frames = Frames.of(data, condition("A").terms, train_frames, outcome.action_scale, "cpu")
    assert set(outcome.windows) == {"train", *split.val}
    for name, starts in split.val.items():
        found = evaluate(outcome.model, outcome.heads, condition("A"), frames, starts, TINY)
        assert found.items() <= outcome.metrics[name].items()
        assert outcome.windows[name] == len(starts)


def test_evaluation_depends_on_nothing_but_the_weights(data, frames):
    model, heads, row = LeWM(NANO, 0), build_heads(("depth", "tracks"), NANO.dim, 0), condition("E")
    starts = dataset.window_starts(data["ep_len"], data["ep_offset"])
    before = {n: v.clone() for n, v in model.state_dict().items()}
    model.train()
    from_training = evaluate(model, heads, row, frames, starts, TINY)
    assert not model.training and evaluate(model, heads, row, frames, starts, TINY) == from_training
    assert all(torch.equal(v, before[n]) for n, v in model.state_dict().items())  # batch statistics included
    other = evaluate(model, heads, row, frames, starts, replace(TINY, batch_size=5, lr=1.0, epochs=9))
    for name in from_training.keys() - {"sigreg"}:  # a statistic of batches
        assert other[name] == from_training[name], name
    emb = encode_frames(model, frames.pixels)
    assert evaluate(model, heads, row, frames, starts, TINY, emb) == pytest.approx(from_training, rel=1e-5)
    chunks = encode_frames(model, frames.pixels, chunk=7)
    torch.testing.assert_close(chunks, encode_frames(model, frames.pixels), rtol=1e-4, atol=1e-5)
    reverse = evaluate(model, heads, row, frames, starts[::-1].copy(), TINY)
    assert reverse["mse"] == pytest.approx(from_training["mse"], rel=1e-5)


def test_encoding_keeps_the_mode_and_the_latents_are_of_eval_mode(frames):
    model = LeWM(NANO, 0).train()
    emb = encode_frames(model, frames.pixels[:5])
    assert model.training and emb.shape == (5, NANO.dim)
    torch.testing.assert_close(emb, encode_frames(model.eval(), frames.pixels[:5]))
