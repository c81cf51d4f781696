"""Heads and a predictor that read patch tokens: shapes, sizes, that they learn what is planted, and what is refused."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from lewm_core import dataset
from lewm_core import heads as heads_module
from lewm_core.checkpoints import checkpoint
from lewm_core.conditions import CONTROLS, condition
from lewm_core.config import MODELS
from lewm_core.dataset import targets
from lewm_core.dataset.frames import Frames
from lewm_core.encoder import normalise
from lewm_core.evaluate import encode_frames, evaluate
from lewm_core.experiments.gradients import probe
from lewm_core.experiments.run import Run, execute
from lewm_core.experiments.sweep import load_model, rows
from lewm_core.heads import HEADS, build_heads
from lewm_core.losses import vector_loss, visibility_loss
from lewm_core.model import LeWM
from lewm_core.patch_predictor import PatchLeWM
from lewm_core.signals.geometry import POINTS
from lewm_core.train import check, split_of, train
from lewm_core.utils.errors import InputError
from tests.helpers import TINY, random_base, write_squares

NANO = MODELS["nano"]

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return dataset.load(write_squares(tmp_path_factory.mktemp("data") / "squares.h5"))


def run(data, name, seed=0, recipe=TINY, **options):
    return train(LeWM(NANO, seed=9), condition(name), data, recipe, seed, **options)


# --- heads


@pytest.mark.parametrize("dim, grid", [(192, 16), (64, 4), (32, 7), (32, 1)])
def test_shapes_on_any_grid(dim, grid):
    heads = build_heads(("depth_patch", "tracks_patch"), dim, 0, grid)
    patches = torch.randn(2, grid * grid, dim)
    assert heads["depth_patch"](patches).shape == (2, 56, 56)
    assert heads["tracks_patch"](patches, torch.rand(2, POINTS, 2)).shape == (2, POINTS, 3)
    assert build_heads(("depth_patch",), dim, 0)["depth_patch"](patches).shape == (2, 56, 56)  # made for another grid


def test_patch_heads_are_as_large_as_the_heads_they_stand_for():
    heads = build_heads(("depth", "depth_patch", "tracks", "tracks_patch"), 192, 0)
    size = {name: sum(p.numel() for p in head.parameters()) for name, head in heads.items()}
    assert (size["depth_patch"], size["tracks_patch"]) == (368_833, 137_091)  # as the docstrings say
    assert abs(size["depth_patch"] / size["depth"] - 1) < 0.1 and abs(size["tracks_patch"] / size["tracks"] - 1) < 0.1


def test_a_heads_start_depends_on_its_name_and_the_seed_alone(monkeypatch):
    alone, among = build_heads(("tracks",), 32, 3), build_heads(("tracks", "depth_patch", "tracks_patch"), 32, 3)
    assert all(torch.equal(v, among["tracks"].state_dict()[k]) for k, v in alone["tracks"].state_dict().items())
    rows = dict(reversed(HEADS.items()))
    monkeypatch.setattr(heads_module, "HEADS", {"new": HEADS["depth"], **rows})
    turned = build_heads(("tracks",), 32, 3)["tracks"].state_dict()
    assert all(torch.equal(v, turned[k]) for k, v in alone["tracks"].state_dict().items())
    first, second = build_heads(("depth", "new"), 32, 3).values()
    assert not torch.equal(first.seed.weight, second.seed.weight)  # one module under two names: two starts
    seeds = [next(build_heads(("tracks_patch",), 32, s).parameters()) for s in (0, 1)]
    assert not torch.equal(*seeds)


def test_depth_follows_the_place_of_a_patch():
    """What one token says appears where its patch lies, and nearby only."""
    head = build_heads(("depth_patch",), 64, 0, 4)["depth_patch"]
    patches = torch.zeros(1, 16, 64)
    changed = patches.clone()
    changed[0, 4 * 1 + 3] = 1.0  # second row, last column
    moved = (head(changed) - head(patches))[0].abs()
    rows, columns = torch.meshgrid(torch.arange(56) + 0.5, torch.arange(56) + 0.5, indexing="ij")
    y, x = ((moved * axis).sum() / moved.sum() for axis in (rows, columns))
    assert 14 < y < 28 and 42 < x and moved[:, :14].max() == 0 and moved[45:].max() == 0


def planted(n, generator):
    """Frames of one object on a 4 × 4 grid of patches: tokens, queries, displacements, visibility.

    It starts in the second patch of the second row; points there move with it, and hide while it is in the last row.
    """
    cell = torch.randint(0, 16, (n,), generator=generator)
    tokens = 0.1 * torch.randn(n, 16, 32, generator=generator)
    tokens[torch.arange(n), cell, :4] += 3
    queries = torch.rand(1, 40, 2, generator=torch.Generator().manual_seed(5)).expand(n, -1, -1)
    on = ((queries * 4).long() == 1).all(-1)
    place = torch.stack([cell % 4, cell // 4], -1) / 4
    return tokens, queries, (place - 0.25).unsqueeze(1) * on.unsqueeze(-1), ~(on & (cell >= 12).unsqueeze(1)), on


def test_the_track_head_learns_planted_tracks_and_occlusion():
    g = torch.Generator().manual_seed(0)
    head = build_heads(("tracks_patch",), 32, 0, 4)["tracks_patch"]
    optimizer = torch.optim.Adam(head.parameters(), 3e-3)
    for _ in range(500):
        tokens, queries, moved, visible, on = planted(64, g)
        out = head(tokens, queries)
        loss = 100 * vector_loss(out[..., :2], moved, visible) + visibility_loss(out[..., 2], visible, on | ~on)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    tokens, queries, moved, visible, on = planted(256, g)
    assert 0 < on[0].sum() < 10
    with torch.no_grad():
        out = head(tokens, queries)
    seen = on & visible
    error, still = (out[..., :2] - moved)[seen].square().mean(), moved[seen].square().mean()
    constant = moved[seen].var(0).mean()
    assert error < 0.1 * min(still, constant)
    assert ((out[..., 2] > 0) == visible)[on].float().mean() > 0.95 > visible[on].float().mean() + 0.1


def test_the_condition_trains_its_head_and_through_it_the_patches(data):
    still = run(data, "A", recipe=replace(TINY, epochs=8))
    outcome = run(data, "D-patch", recipe=replace(TINY, epochs=8))
    curve = [point["head_tracks_patch"] for point in outcome.curve]
    floor = -0.9 * np.log(0.9) - 0.1 * np.log(0.1)  # each point is hidden in a tenth of the frames, at random
    assert curve[-1] - floor < 0.5 * (curve[0] - floor) and (np.diff(curve) < 0).mean() > 0.7
    assert not torch.equal(outcome.model.encoder.norm.weight, still.model.encoder.norm.weight)


def test_visibility_counts_where_the_point_is_known(data):
    holes = {**data.columns, "tracks": data["tracks"].copy(), "visible": data["visible"].copy()}
    holes["tracks"][data.episode(0)][0, 7] = np.nan  # where this point began, nobody knows
    holes["visible"][data.episode(0), 7] = 0
    term, g = condition("D-patch").terms[0], torch.Generator().manual_seed(0)
    built = targets.build(term, replace(data, columns=holes), np.arange(5))
    assert not built["known"][data.episode(0), 7].any() and built["known"].sum() == built["known"].numel() - 9
    assert not built["valid"][data.episode(0), 7].any() and built["queries"].isfinite().all()
    first = data["tracks"][data.first_frames()] / 32
    np.testing.assert_allclose(built["queries"][9:], first[9:], rtol=1e-6)
    pred = torch.randn(*built["target"].shape[:2], 3, generator=g)
    p = pred[..., 2].sigmoid()
    seen, known = built["valid"], built["known"]
    bce = -(torch.where(seen, p.log(), (1 - p).log()) * known).sum() / known.sum()
    want = vector_loss(pred[..., :2], built["target"], seen) + bce
    assert term.compare(pred, built).item() == pytest.approx(want.item(), rel=1e-5)
    changed = pred.clone()
    changed[data.episode(0), 7] = 50.0
    torch.testing.assert_close(term.compare(changed, built), term.compare(pred, built))


def test_patch_heads_train_the_vit_and_bypass_the_projector(data):
    outcome = run(data, "B-patch", recipe=replace(TINY, grad_probes=1), probe=probe)
    assert outcome.grad_probes[-1]["term"] == "head_depth_patch" and outcome.grad_probes[-1]["norm"] > 0
    assert {"head_depth_patch"} <= set(outcome.metrics["episode"])
    wide = replace(data, columns={**data.columns, "pixels": data["pixels"][:, :, :24]})
    with pytest.raises(InputError, match="32 × 24 px, while heads on patch tokens need square"):
        check(wide, condition("D-patch"), LeWM(NANO))


# --- the predictor


def test_a_closed_gate_is_the_model_itself():
    model, g = LeWM(NANO, 3).eval(), torch.Generator().manual_seed(0)
    aware = PatchLeWM.of(model, seed=1)
    pixels = torch.randn(2, 3, 3, 32, 32, generator=g)
    cls, patches = model.encode_tokens(pixels)
    emb, act_emb = model.projector(cls), model.action_encoder(torch.randn(2, 3, 7, generator=g))
    assert torch.equal(aware.predict(emb, act_emb, patches), model.predict(emb, act_emb))
    with torch.no_grad():
        aware.reader.gate.fill_(1.0)
    opened = aware.predict(emb, act_emb, patches)
    assert not torch.allclose(opened, model.predict(emb, act_emb))
    shuffled = patches.flip(2)  # attention over a frame's tokens does not depend on their order
    torch.testing.assert_close(aware.predict(emb, act_emb, shuffled), opened)
    later = patches.clone()
    later[:, 2] += 1
    torch.testing.assert_close(aware.predict(emb, act_emb, later)[:, :2], opened[:, :2])  # still causal
    assert aware.encoder is model.encoder and not any("reader" in n for n, _ in model.named_parameters())


def test_the_first_losses_are_the_baselines_and_then_the_gate_opens(data):
    first = {}
    for name in ("A", "A-pp", "B-patch", "B-pp"):
        seen = []
        outcome = run(data, name, on_step=lambda step, steps, terms, seen=seen: seen.append(terms))
        first[name] = seen[0], seen[-1], outcome
    for plain, aware in (("A", "A-pp"), ("B-patch", "B-pp")):
        rounding = 1e-5 if plain == "A" else 0  # A's last block is for the CLS token alone
        assert first[plain][0] == pytest.approx(first[aware][0], rel=rounding, abs=0)  # same start, split, batch
        assert first[plain][1]["pred"] != first[aware][1]["pred"]
        assert first[aware][2].model.reader.gate.abs().max() > 0
    assert condition("B-pp").baseline == condition("D-pp").baseline == "A-pp"
    assert condition("B-patch").baseline == condition("E").baseline == "A"


def test_evaluation_with_patches_is_what_a_loop_over_windows_finds(data):
    outcome = run(data, "D-pp")
    model, row = outcome.model.eval(), condition("D-pp")
    frames = Frames.of(data, row.terms, np.arange(20), outcome.action_scale, "cpu")
    starts = split_of(data, TINY, 0).val["episode"]
    errors = []
    with torch.no_grad():
        model.reader.gate.fill_(1.0)
        for start in starts:
            cls, patches = model.encode_tokens(normalise(frames.pixels[start : start + 4])[None])
            emb = model.projector(cls)
            pred = model.predict(emb[:, :3], model.action_encoder(frames.actions[start : start + 3][None]),
                                 patches[:, :3])
            errors.append((pred - emb[:, 1:]).square().mean().item())
    found = evaluate(model, outcome.heads, row, frames, starts, TINY)
    assert found["mse"] == pytest.approx(np.mean(errors), rel=1e-4)
    assert encode_frames(model, frames.pixels[:3]).shape == (3, NANO.dim)


def test_what_cannot_be_done_is_refused(data, tmp_path):
    aware = PatchLeWM.of(LeWM(NANO, 0), 0)
    with pytest.raises(InputError, match="predict: found no patch tokens"):
        aware.predict(torch.zeros(1, 3, NANO.dim), torch.zeros(1, 3, NANO.dim))
    with pytest.raises(InputError, match="rollout: found a patch-aware predictor.*no patch tokens"):
        aware.rollout(torch.zeros(1, 3, NANO.dim), torch.zeros(1, 4, 7))
    with pytest.raises(InputError, match="patch-aware predictor"):
        checkpoint.save(tmp_path / "m.safetensors", aware)
    assert not list(tmp_path.iterdir())
    path = write_squares(tmp_path / "squares.h5")
    task = Run("A-pp", "x", 0, str(path), dataset.load(path).fingerprint, random_base(), replace(TINY, epochs=1))
    execute(task, tmp_path / "runs")
    files = {p.name for p in (tmp_path / "runs" / task.key).iterdir()}
    assert files == {"result.json", "patch_model.safetensors", "SHA256SUMS"}
    with pytest.raises(InputError, match="rolled out"):
        load_model(pd.DataFrame(rows(task, tmp_path / "runs")), tmp_path / "runs", "A-pp", 0)


@pytest.mark.parametrize("name", [name for name, row in CONTROLS.items() if row.family != "state"])
def test_every_control_trains_and_its_metrics_are_finite(data, name):
    metrics = run(data, name, recipe=replace(TINY, epochs=1)).metrics
    assert all(np.isfinite(v) for split in metrics.values() for v in split.values())
