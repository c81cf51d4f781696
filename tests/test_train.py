"""One run: its schedule, losses, pairing, determinism, and its metrics against a window-by-window re-derivation."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from lewm_core import dataset, losses
from lewm_core import steps as module
from lewm_core.conditions import CONDITIONS, condition
from lewm_core.config import MODELS, Recipe
from lewm_core.dataset import WINDOW, windows
from lewm_core.dataset.frames import ActionScale, Frames
from lewm_core.encoder import IMAGE_MEAN, IMAGE_STD, normalise
from lewm_core.heads import build_heads
from lewm_core.model import LeWM, seeded
from lewm_core.objective import loss_terms
from lewm_core.signals import geometry
from lewm_core.sigreg import sigreg
from lewm_core.train import check, learning_rate, split_of, train
from lewm_core.utils.errors import InputError
from tests.helpers import TINY, write_squares

NANO = MODELS["nano"]


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return dataset.load(write_squares(tmp_path_factory.mktemp("data") / "squares.h5"))


def run(data, name="A", seed=0, recipe=TINY, **options):
    return train(LeWM(NANO, seed=9), condition(name), data, recipe, seed, **options)


def weights(outcome):
    return {**outcome.model.state_dict(), **{f"head.{k}": v for k, v in outcome.heads.state_dict().items()}}


# --- small parts


def test_the_defaults_are_the_papers():
    r = Recipe()
    assert (r.epochs, r.batch_size, r.lr, r.weight_decay, r.clip, r.warmup) == (20, 16, 5e-5, 1e-3, 1.0, 0.01)
    assert (r.sigreg_weight, r.head_weight, r.directions, r.val_windows) == (0.09, 0.1, 1024, 0.1)


def test_learning_rate_rises_linearly_then_falls_as_a_cosine():
    recipe = Recipe(lr=2.0, warmup=0.1)
    rate = np.array([learning_rate(s, 110, recipe) for s in range(110)])
    assert np.argmax(rate) == 11 and rate[11] == 2.0  # the peak stands where warmup ends
    np.testing.assert_allclose(np.diff(rate[:12]), np.diff(rate[:12])[0])
    assert 0 < rate[0] < 0.2
    middle = 11 + (110 - 11) / 3
    assert rate[int(middle)] == pytest.approx(2.0 * 0.75)  # cos 60° = 1/2
    assert 0 < rate[-1] < 2e-3 and (np.diff(rate[11:]) < 0).all()
    few = [learning_rate(s, 4, Recipe(lr=1.0)) for s in range(4)]
    assert few[1] == 1 and min(few) > 0  # even the shortest run has a step of warmup, and none is wasted


def test_action_scale_is_of_the_training_windows_alone_or_given(data):
    outcome = run(data)
    seen = np.unique(windows(split_of(data, TINY, 0).train))
    held = np.setdiff1d(np.arange(len(data["action"])), seen)
    assert len(held) and outcome.action_scale == ActionScale.fit(data["action"][seen])
    given = ActionScale((0.0,) * 7, (5.0,) * 7)
    assert run(data, action_scale=given).action_scale == given


def test_normalise_is_imagenets():
    pixels = torch.randint(0, 256, (2, 3, 4, 4), dtype=torch.uint8)
    by_hand = (pixels.numpy() / 255 - np.reshape(IMAGE_MEAN, (3, 1, 1))) / np.reshape(IMAGE_STD, (3, 1, 1))
    np.testing.assert_allclose(normalise(pixels).numpy(), by_hand, atol=1e-5)


# --- losses


@pytest.mark.parametrize("name", CONDITIONS)
def test_the_total_loss_is_the_papers_sum(data, name):
    model, row = LeWM(NANO, 1).eval(), condition(name)
    every = np.arange(len(data["pixels"]))
    frames = Frames.of(data, row.terms, every, ActionScale.fit(data["action"]), "cpu")
    heads = build_heads(tuple(t.head for t in row.terms), NANO.dim, 0)
    index = torch.from_numpy(windows(np.array([0, 9, 24])))
    directions = torch.randn(NANO.dim, 16, generator=torch.Generator().manual_seed(0))
    terms = loss_terms(model, heads, row, frames, index, directions, Recipe())
    assert set(terms) == {"pred", "sigreg", "total"} | {f"head_{t.head}" for t in row.terms}
    extra = sum(terms[f"head_{t.head}"] for t in row.terms)
    assert terms["total"].item() == pytest.approx((terms["pred"] + 0.09 * terms["sigreg"] + 0.1 * extra).item())
    assert not row.terms or extra.item() > 0

    errors, latents = [], []
    for start in (0, 9, 24):  # one window at a time, one frame at a time
        emb = [model.encode(normalise(frames.pixels[None, None, start + t]))[0][0, 0] for t in range(WINDOW)]
        act = model.action_encoder(frames.actions[None, start : start + 3])
        pred = model.predict(torch.stack(emb[:3])[None], act)[0]
        errors += [(pred[t] - emb[t + 1]).square().mean().item() for t in range(3)]
        latents.append(torch.stack(emb))
    assert terms["pred"].item() == pytest.approx(np.mean(errors), rel=1e-4)
    want = sigreg(torch.stack(latents, dim=1), directions)
    assert terms["sigreg"].item() == pytest.approx(want.item(), rel=1e-4)


def test_gradients_reach_encoder_from_target_and_head(data):
    """No stop-gradient: the encoder is taught by both sides of the prediction, and by the head."""
    model, row = LeWM(NANO, 1), condition("B")
    frames = Frames.of(data, row.terms, np.arange(20), ActionScale.fit(data["action"]), "cpu")
    heads = build_heads(("depth",), NANO.dim, 0)
    index = torch.from_numpy(windows(np.array([0, 1, 9])))
    directions = torch.randn(NANO.dim, 16, generator=torch.Generator().manual_seed(0))
    terms = loss_terms(model, heads, row, frames, index, directions, Recipe())
    for term in ("pred", "sigreg", "head_depth"):
        (gradient,) = torch.autograd.grad(terms[term], [model.encoder.cls_token], retain_graph=True)
        assert gradient.abs().sum() > 0, term


# --- a run


def test_the_same_seed_twice_is_the_same_run(data):
    a, b, other = run(data, "E"), run(data, "E"), run(data, "E", seed=1)
    assert a.metrics == b.metrics and a.curve == b.curve
    assert all(torch.equal(v, weights(b)[n]) for n, v in weights(a).items())
    assert other.metrics["episode"]["mse"] != a.metrics["episode"]["mse"]
    assert not torch.equal(a.model.predictor.pos_embedding, other.model.predictor.pos_embedding)
    assert set(a.metrics) == {"window", "episode"} and len(a.curve) == TINY.epochs
    assert a.windows["train"] // TINY.batch_size * TINY.epochs == a.steps
    of_heads = {f"head_{head}{end}" for head in ("depth", "tracks") for end in ("", "_constant", "_start")}
    assert set(a.metrics["window"]) == of_heads | {
        "mse", "mse_over_variance", "mse_over_static", "static_mse", "target_variance", "sigreg", "moved", "clipped",
        "latent_variance", "latent_variance_least", "latent_variance_most", "effective_rank"}


def head_losses(heads, emb, data, rows):
    """Each condition's head losses at frames `rows` (M,), written out from the dataset's columns."""
    tight = geometry.to_supervision(data["mask"].astype(bool))
    wide = torch.from_numpy(geometry.dilate(tight, 8))[rows]
    depth = torch.from_numpy(data["depth"])[rows]
    moved = torch.from_numpy(data["tracks"] - data["tracks"][data.first_frames()])
    seen = torch.from_numpy(data["visible"].astype(bool))
    valid = torch.from_numpy(data["shape_valid"].astype(bool))
    train_rows = np.unique(windows(split_of(data, TINY, 0).train))
    points = moved[train_rows][seen[train_rows]]  # all points alike, x and y apart
    moved = (moved - points.mean(0)) / points.std(0, correction=0)
    known = data["shape"][train_rows[data["shape_valid"][train_rows].astype(bool)]]
    std = np.where(np.ptp(known, axis=0) == 0, 1, known.std(0))  # the square is always as far away
    shape = torch.from_numpy(np.nan_to_num((data["shape"] - known.mean(0)) / std).astype(np.float32))
    return {"A": lambda: [], "B": lambda: [losses.depth_loss(heads["depth"](emb), depth)],
            "C2": lambda: [losses.depth_loss(heads["depth"](emb), depth, region=wide)],
            "D": lambda: [losses.vector_loss(heads["tracks"](emb), moved[rows], seen[rows])],
            "G": lambda: [losses.vector_loss(heads["shape"](emb), shape[rows], valid[rows])]}


@pytest.mark.parametrize("name", ["A", "B", "C2", "D", "G"])
def test_a_run_is_the_loop_that_the_paper_describes(data, name):
    """The same training in plain steps: shuffled windows, the summed loss, clipped AdamW, one rate a step."""
    seen, split = [], split_of(data, TINY, 0)
    outcome = run(data, name, on_step=lambda step, steps, terms: seen.append(terms["total"]))
    model = LeWM(NANO, seed=9).train()
    heads = build_heads([term.head for term in condition(name).terms], NANO.dim, 0)
    pixels = torch.from_numpy(data["pixels"]).permute(0, 3, 1, 2)
    actions = torch.from_numpy(ActionScale.fit(data["action"][np.unique(windows(split.train))])(data["action"]))
    parameters = [*model.parameters(), *heads.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=1.0, weight_decay=1e-3)
    order, directions = np.random.default_rng([0, 2]), torch.Generator().manual_seed(0)
    totals, step, per_epoch = [], 0, len(split.train) // 8
    with seeded(0):
        for _ in range(TINY.epochs):
            for batch in order.permutation(len(split.train))[: per_epoch * 8].reshape(-1, 8):
                rows = torch.from_numpy(windows(split.train)[batch])  # (B, T)
                drawn = torch.randn(NANO.dim, 16, generator=directions)
                emb, act_emb = model.encode(normalise(pixels[rows]), actions[rows])
                pred = model.predict(emb[:, :3], act_emb[:, :3])
                parts = head_losses(heads, emb.flatten(0, 1), data, rows.flatten())[name]()
                total = (pred - emb[:, 1:]).square().mean() + 0.09 * sigreg(emb.transpose(0, 1), drawn)
                total = total + 0.1 * sum(parts)
                optimizer.param_groups[0]["lr"] = learning_rate(step, TINY.epochs * per_epoch, TINY)
                optimizer.zero_grad()
                total.backward()
                torch.nn.utils.clip_grad_norm_(parameters, 1.0)
                optimizer.step()
                totals.append(total.item())
                step += 1
    assert seen == pytest.approx(totals, rel=1e-4)
    means = np.reshape(totals, (TINY.epochs, -1)).mean(1)
    assert [point["total"] for point in outcome.curve] == pytest.approx(means.tolist(), rel=1e-4)


def test_runs_draw_nothing_from_global_generators(data):
    torch.manual_seed(5), np.random.seed(5)
    before, expected = torch.get_rng_state(), run(data)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(6), np.random.seed(6)
    assert run(data).metrics == expected.metrics
    assert np.random.randint(2**31) == np.random.RandomState(6).randint(2**31)


def test_conditions_of_a_seed_are_paired(data, monkeypatch):
    """Same start, split, batches, directions and dropout: they part only by what the head's gradient changes."""
    seen, batches = {}, []
    real = module.loss_terms
    monkeypatch.setattr(module, "loss_terms", lambda *a: (batches.append(a[4].tolist()), real(*a))[1])
    for name in ("A", "B", "E", "G"):
        first, batches[:] = [], []
        run(data, name, on_step=lambda step, steps, terms, first=first: first.append(terms))
        seen[name] = first, list(batches)
    (a, order), *others = seen.values()
    for terms, batch in others:
        assert batch == order
        assert terms[0]["pred"] == a[0]["pred"] and terms[0]["sigreg"] == a[0]["sigreg"]
        assert terms[-1]["pred"] != a[-1]["pred"]  # the head does reach the encoder
    assert seen["B"][0][0]["head_depth"] == seen["E"][0][0]["head_depth"]  # nor do heads depend on each other

    train_windows = {tuple(w) for w in windows(split_of(data, TINY, 0).train).tolist()}
    per_epoch = len(order) // TINY.epochs
    for epoch in range(TINY.epochs):
        drawn = [tuple(w) for batch in order[epoch * per_epoch : (epoch + 1) * per_epoch] for w in batch]
        assert len(set(drawn)) == len(drawn) and set(drawn) <= train_windows
    assert order[:per_epoch] != order[per_epoch:]


def test_without_learning_all_conditions_score_alike(data):
    still = replace(TINY, lr=0.0)
    a, b = run(data, "A", recipe=still), run(data, "C1", recipe=still)
    for split in a.metrics:
        assert a.metrics[split].items() <= b.metrics[split].items()
    fresh = LeWM(NANO, seed=9).state_dict()
    assert all(torch.equal(v, fresh[n]) for n, v in a.model.named_parameters())


def test_training_learns(data):
    curve = run(data, "B", recipe=replace(TINY, epochs=12)).curve
    assert curve[-1]["total"] < 0.8 * curve[0]["total"] and curve[-1]["head_depth"] < curve[0]["head_depth"]
    assert [point["epoch"] for point in curve] == list(range(1, 13))


def test_steps_are_reported_with_their_terms_and_rates(data, monkeypatch):
    seen, rates = [], []
    real = torch.optim.AdamW.step
    monkeypatch.setattr(torch.optim.AdamW, "step",
                        lambda self, *a: (rates.append([float(g["lr"]) for g in self.param_groups]), real(self, *a))[1])
    outcome = run(data, "B", on_step=lambda *a: seen.append(a))
    assert [(s, n) for s, n, _ in seen] == [(i + 1, outcome.steps) for i in range(outcome.steps)]
    wanted = [[learning_rate(i, outcome.steps, TINY)] for i in range(outcome.steps)]
    np.testing.assert_allclose(rates, wanted, rtol=1e-6)
    per_epoch = outcome.steps // TINY.epochs
    for i, point in enumerate(outcome.curve):
        mean = np.mean([t["total"] for _, _, t in seen[i * per_epoch : (i + 1) * per_epoch]])
        assert point["total"] == pytest.approx(mean)


# --- bad input


def test_check_lists_everything_that_does_not_fit(data):
    few = {n: v for n, v in data.columns.items() if n not in ("depth", "visible")}
    few["pixels"], few["action"] = few["pixels"][:, :30], few["action"][:, :5]
    bad = replace(data, columns=few, made={"missing": {"depth": "Depth needs a backend."}})
    with pytest.raises(InputError) as error:
        train(LeWM(NANO), condition("E"), bad, TINY, 0)
    for sentence in ("condition E", "depth: Depth needs a backend.", "visible: The dataset has no column visible.",
                     "30 × 32 px, which patches of 8", "5-D actions for a model of 7-D ones"):
        assert sentence in str(error.value)
    check(data, condition("E"), LeWM(NANO))


def test_a_loss_that_is_not_finite_ends_the_run(data):
    with pytest.raises(InputError, match="condition A, seed 3.*(nan|inf).*at step"):
        run(data, seed=3, recipe=replace(TINY, lr=1e38))


def test_frames_that_never_change_are_an_error(data):
    blank = replace(data, columns={**data.columns, "pixels": np.zeros_like(data["pixels"])})
    with pytest.raises(InputError, match="no latent changes"):
        run(blank)


def test_all_metrics_are_finite_for_every_condition(data):
    for name in CONDITIONS:
        metrics = run(data, name, recipe=replace(TINY, epochs=1)).metrics
        assert all(math.isfinite(v) for split in metrics.values() for v in split.values()), name
