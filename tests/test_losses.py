"""Each loss against a plain re-derivation, and the invariances it is there for."""


import numpy as np
import pytest
import torch

from lewm_core.conditions import condition
from lewm_core.config import MODELS, Recipe
from lewm_core.dataset import contract, windows
from lewm_core.dataset.contract import Column
from lewm_core.dataset.data import Data
from lewm_core.dataset.frames import ActionScale, Frames
from lewm_core.encoder import normalise
from lewm_core.heads import build_heads
from lewm_core.losses import (
    depth_loss,
    map_loss,
    normalise_depth,
    persistence_loss,
    prediction_loss,
    vector_loss,
)
from lewm_core.model import LeWM
from lewm_core.objective import loss_terms
from lewm_core.sigreg import draw_directions


@pytest.fixture
def g():
    return torch.Generator().manual_seed(0)


def depth_by_hand(pred, target, region, weight):
    """Pixel lists and Python floats; the lower median of an even count, as torch takes it."""
    total, frames = 0.0, 0
    for p, t, r, w in zip(pred, target, region, weight, strict=True):
        inside = [(y, x) for y in range(p.shape[0]) for x in range(p.shape[1]) if r[y, x]]
        if not inside:
            continue
        normal = []
        for image in (p, t):
            values = [float(image[i]) for i in inside]
            median = sorted(values)[(len(values) - 1) // 2]
            scale = sum(abs(v - median) for v in values) / len(values)
            normal.append([(v - median) / scale for v in values])
        ws = [float(w[i]) for i in inside]
        total += sum(k * abs(a - b) for k, a, b in zip(ws, *normal, strict=True)) / sum(ws)
        frames += 1
    return total / max(frames, 1)


def test_depth_loss_is_its_definition(g):
    pred, target = torch.rand(4, 6, 7, generator=g), torch.rand(4, 6, 7, generator=g) + 1
    region = torch.rand(4, 6, 7, generator=g) > 0.6
    region[2] = False
    ones, everywhere = torch.ones_like(pred), torch.ones_like(region)
    weight = torch.where(region, 5.0, 1.0)
    assert depth_loss(pred, target).item() == pytest.approx(depth_by_hand(pred, target, everywhere, ones), rel=1e-5)
    assert depth_loss(pred, target, region).item() == pytest.approx(
        depth_by_hand(pred, target, region, ones), rel=1e-5)
    assert depth_loss(pred, target, weight=weight).item() == pytest.approx(
        depth_by_hand(pred, target, everywhere, weight), rel=1e-5)


def test_depth_loss_ignores_scale_and_shift_but_not_sign(g):
    target = torch.rand(3, 8, 8, generator=g)
    region = torch.rand(3, 8, 8, generator=g) > 0.5
    for r in (None, region):
        assert depth_loss(3 * target + 7, target, r) < 1e-5
        assert depth_loss(-target, target, r) > 0.5
    pred = torch.rand(3, 8, 8, generator=g)
    torch.testing.assert_close(depth_loss(5 * pred - 2, target * 0.1 + 9, region), depth_loss(pred, target, region),
                               rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("masked", [False, True])
def test_the_depth_gradient_does_not_hang_on_which_pixel_is_the_median(g, masked):
    """The two pixels at the median, 1e-7 apart, change places, as rounding makes them do on another machine.

    With torch.median's own gradient the change is 1.4 times as large as the gradient. What is left is what the signs
    in two ordinary pixels' deviations make.
    """
    shape = (1, 56, 56)
    target = torch.rand(shape, generator=g) ** 4  # skewed, so that the loss pulls at the prediction's median
    region = torch.rand(shape, generator=g) > 0.6 if masked else None
    supervised = (region if masked else torch.ones(shape, dtype=torch.bool)).flatten().nonzero()[:, 0]
    pred = torch.rand(shape, generator=g)
    order = supervised[pred.flatten()[supervised].argsort()]
    lower, upper = order[(len(order) - 1) // 2], order[(len(order) + 1) // 2]
    median = pred.flatten()[lower].item()

    def gradient(first, second):
        close = pred.flatten().clone()
        close[first], close[second] = median, median + 1e-7
        close = close.view(shape).requires_grad_()
        depth_loss(close, target, region).backward()
        return close.grad.flatten()

    here, there = gradient(lower, upper), gradient(upper, lower)
    assert (there - here).norm() < 0.1 * here.norm()
    assert here.abs().max() < 0.01 * here.abs().sum()  # no pixel carries it
    assert abs(here.sum()) < 1e-5 * here.abs().sum()  # nor does a common shift change anything


def test_masked_depth_neither_sees_nor_teaches_outside_the_mask(g):
    pred = torch.rand(2, 8, 8, generator=g, requires_grad=True)
    target, region = torch.rand(2, 8, 8, generator=g), torch.zeros(2, 8, 8, dtype=torch.bool)
    region[:, 2:5, 3:6] = True
    loss = depth_loss(pred, target, region)
    loss.backward()
    assert (pred.grad[~region] == 0).all() and (pred.grad[region] != 0).any()
    changed = torch.where(region, target, 1e3)
    torch.testing.assert_close(depth_loss(pred, changed, region), loss)


def test_frames_with_an_empty_mask_contribute_nothing(g):
    pred, target = torch.rand(3, 8, 8, generator=g, requires_grad=True), torch.rand(3, 8, 8, generator=g)
    region = torch.zeros(3, 8, 8, dtype=torch.bool)
    loss = depth_loss(pred, target, region)
    loss.backward()
    assert loss == 0 and (pred.grad == 0).all()
    region[1, :4] = True
    torch.testing.assert_close(depth_loss(pred, target, region), depth_loss(pred[1:2], target[1:2], region[1:2]))
    assert normalise_depth(torch.ones(1, 4, 4)).abs().max() == 0  # a flat frame stays finite


def test_c4_weights_exactly_the_mask(g):
    pred, target = torch.rand(1, 8, 8, generator=g), torch.rand(1, 8, 8, generator=g)
    inside = torch.zeros(1, 8, 8, dtype=torch.bool)
    inside[0, 1:3, 1:3] = True
    error = (normalise_depth(pred) - normalise_depth(target)).abs()
    wanted = (5 * error[inside].sum() + error[~inside].sum()) / (5 * 4 + 60)
    term = condition("C4").terms[0]
    torch.testing.assert_close(term.compare(pred, {"target": normalise_depth(target), "region": inside}), wanted)


def test_the_loss_of_maps_counts_every_number_of_every_cell_alike(g):
    pred, target = 3 * torch.rand(4, 5, 6, 3, generator=g), torch.rand(4, 5, 6, 3, generator=g)
    off = [abs(float(a) - float(b)) for a, b in zip(pred.flatten(), target.flatten(), strict=True)]
    by_hand = sum(0.5 * d * d if d < 1 else d - 0.5 for d in off) / len(off)
    assert map_loss(pred, target).item() == pytest.approx(by_hand, rel=1e-5) and max(off) > 1


def test_track_and_vector_losses_count_only_what_is_valid(g):
    pred, target = torch.randn(2, 5, 2, generator=g), torch.randn(2, 5, 2, generator=g)
    visible = torch.tensor([[1, 0, 0, 1, 0], [0, 0, 0, 0, 1]]).bool()

    def smooth_l1(e):
        return 0.5 * e * e if abs(e) < 1 else abs(e) - 0.5

    by_hand = np.mean([smooth_l1(float(pred[i, j, k] - target[i, j, k])) for i, j in visible.nonzero().tolist()
                       for k in range(2)])
    assert vector_loss(pred, target, visible).item() == pytest.approx(by_hand, rel=1e-6)
    assert vector_loss(pred, target, torch.zeros_like(visible)) == 0
    hidden = target.clone()
    hidden[~visible] = 1e6
    torch.testing.assert_close(vector_loss(pred, hidden, visible), vector_loss(pred, target, visible))
    valid = torch.tensor([True, False])
    torch.testing.assert_close(vector_loss(pred[:, 0], target[:, 0], valid),
                               torch.nn.functional.smooth_l1_loss(pred[0, 0], target[0, 0]))


def test_the_true_state_is_taught_by_smooth_l1_of_standardised_positions_at_full_weight(g, monkeypatch):
    model, row, rng = LeWM(MODELS["nano"], 1).eval(), condition("P"), np.random.default_rng(0)
    columns = {"pixels": rng.integers(0, 256, (8, 32, 32, 3), "u1"), "action": rng.normal(size=(8, 7)).astype("f4"),
               "ep_len": np.array([5, 3]), "ep_offset": np.array([0, 5])}
    for name in ("gripper", "object"):
        monkeypatch.setitem(contract.COLUMNS, name, Column(name, (3,), "float32", "f", target="vector"))
        columns[name] = rng.normal(3, 0.1, (8, 3)).astype("f4")
    heads = build_heads([term.head for term in row.terms], model.config.dim, 0)
    frames = Frames.of(Data(columns), row.terms, np.arange(5), ActionScale.fit(columns["action"]), "cpu")
    index = torch.from_numpy(windows(np.array([0, 1])))
    terms = loss_terms(model, heads, row, frames, index, draw_directions(model.config.dim, 8, g), Recipe())
    for name in ("gripper", "object"):
        losses = []
        for i in index.flatten().tolist():
            pred = heads[name](model.encode(normalise(frames.pixels[i][None, None]))[0][0])[0]
            for k, value in enumerate(pred.tolist()):
                seen = columns[name][:5, k].astype(float)
                error = abs(value - (columns[name][i, k] - seen.mean()) / seen.std())
                losses.append(error**2 / 2 if error < 1 else error - 0.5)
        assert terms[f"head_{name}"].item() == pytest.approx(np.mean(losses), rel=1e-4)
    parts = terms["pred"] + 0.09 * terms["sigreg"] + terms["head_gripper"] + terms["head_object"]
    assert terms["total"].item() == pytest.approx(parts.item(), rel=1e-6)


def test_a_detached_head_learns_and_teaches_the_encoder_nothing(g):
    rng = np.random.default_rng(0)
    data = Data({"pixels": rng.integers(0, 256, (8, 32, 32, 3), "u1"), "action": rng.normal(size=(8, 7)).astype("f4"),
                 "ep_len": np.array([8]), "ep_offset": np.array([0]), "depth": rng.random((8, 56, 56)).astype("f4")})
    index, found = torch.from_numpy(windows(np.arange(5))), {}
    directions = draw_directions(MODELS["nano"].dim, 8, g)
    for name in ("B", "B-detached"):
        model, row = LeWM(MODELS["nano"], 1).eval(), condition(name)
        heads = build_heads(["depth"], model.config.dim, 0)
        frames = Frames.of(data, row.terms, np.arange(8), ActionScale.fit(data["action"]), "cpu")
        loss = loss_terms(model, heads, row, frames, index, directions, Recipe())["head_depth"]
        loss.backward()
        found[name] = loss.item()
        assert all(p.grad.abs().sum() > 0 for p in heads.parameters())
        assert any(p.grad is not None for p in model.parameters()) == (name == "B")
    assert found["B"] == found["B-detached"]


def test_prediction_and_persistence_losses_pair_each_latent_with_the_next():
    emb = torch.arange(8.0).reshape(1, 4, 2) ** 2
    perfect = emb[:, 1:]
    assert prediction_loss(perfect, emb) == 0
    assert persistence_loss(emb) == prediction_loss(emb[:, :-1], emb)
