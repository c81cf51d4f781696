"""Our LeWM against the outputs of the public code, and its sizes against the paper's."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from lewm_core.checkpoints import names
from lewm_core.config import LeWMConfig
from lewm_core.diagnostics import cem
from lewm_core.diagnostics.cem import goal_cost
from lewm_core.heads import HEADS, build_heads
from lewm_core.losses import prediction_loss
from lewm_core.model import LeWM
from lewm_core.sigreg import sigreg

GOLDEN = Path(__file__).parent / "golden"
TOLERANCE = 5e-6
# gradients so near zero that the first AdamW step on them is rounding noise (golden/README.md)
NOISY = ("k_proj.bias", "encoder.layernorm.bias", "predictor.transformer.norm.bias", "projector.net.0.bias",
         "pred_proj.net.0.bias")


@pytest.fixture(scope="module")
def golden():
    return {k: torch.from_numpy(v) for k, v in np.load(GOLDEN / "lewm_small.npz").items()}


def state(golden):
    return {k.removeprefix("state/"): v for k, v in golden.items() if k.startswith("state/")}


@pytest.fixture
def model(golden):
    config = LeWMConfig(image_size=28, patch_size=14, dim=32, encoder_depth=2, encoder_heads=2, encoder_mlp=64,
                        predictor_depth=2, predictor_heads=4, predictor_head_dim=8, predictor_mlp=64,
                        projector_hidden=128, action_hidden=128, dropout=0.0)
    model = LeWM(config)
    model.load_state_dict(names.from_public(state(golden)))
    return model.eval()


def close(a, b):
    torch.testing.assert_close(a, b, atol=TOLERANCE, rtol=0)


def test_encode_and_predict(model, golden):
    with torch.no_grad():
        emb, act_emb = model.encode(golden["pixels"], golden["action"])
        close(emb, golden["emb"])
        close(act_emb, golden["act_emb"])
        close(model.encoder(golden["pixels"].flatten(0, 1)), golden["vit_last_hidden"])
        close(model.predictor(emb[:, :3], act_emb[:, :3]), golden["predictor_raw"])
        pred = model.predict(emb[:, :3], act_emb[:, :3])
        close(pred, golden["pred"])
        close(prediction_loss(pred, emb), golden["pred_loss_eval"])
        for t in (1, 2):
            close(model.predict(emb[:, :t], act_emb[:, :t]), golden[f"pred_T{t}"])
        close(model.encode(golden["pixels42"])[0], golden["emb42"])


def test_rollout_and_goal_cost(model, golden, monkeypatch):
    actions = golden["rollout/actions"]  # (B, N, 7, A) for 3 context frames
    with torch.no_grad():
        emb, goal_emb = model.encode(golden["rollout/pixels"])[0], model.encode(golden["rollout/goal"])[0][:, 0]
        for n in range(actions.shape[1]):
            wanted = golden["rollout/predicted_emb"][:, n]
            close(model.rollout(emb, actions[:, n]), wanted)
            assert (model.rollout(emb, actions[:, n].roll(1, dims=1)) - wanted).abs().max() > 1e-3  # a frame late
        for chunk in (1, 4, 100):
            monkeypatch.setattr(cem, "CHUNK", chunk)
            torch.testing.assert_close(goal_cost(model, emb, goal_emb, actions), golden["rollout/cost"],
                                       atol=TOLERANCE, rtol=TOLERANCE)  # a sum over D


def test_training_mode_gradients_and_first_step(model, golden):
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-5, weight_decay=1e-3)
    emb, act_emb = model.encode(golden["pixels"], golden["action"])
    pred = model.predict(emb[:, :3], act_emb[:, :3])
    close(emb, golden["emb_train"])
    close(act_emb, golden["act_emb_train"])
    close(pred, golden["pred_train"])
    loss, regular = prediction_loss(pred, emb), sigreg(emb.transpose(0, 1), golden["sigreg/A_train"])
    close(loss, golden["pred_loss"])
    close(regular, golden["sigreg_loss_train"])
    total = loss + 0.09 * regular
    close(total, golden["total_loss_train"])
    total.backward()
    gradients = names.to_public({n: p.grad for n, p in model.named_parameters()})
    wanted = {k.removeprefix("grad/"): v for k, v in golden.items() if k.startswith("grad/")}
    assert set(gradients) == set(wanted)
    for name, value in wanted.items():
        close(gradients[name], value)
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    torch.testing.assert_close(norm, golden["grad_norm"], atol=1e-5, rtol=1e-5)
    optimizer.step()
    after = names.to_public(model.state_dict())
    for key, value in golden.items():
        name = key.split("/", 1)[-1]
        if key.startswith("bn_after/"):
            close(after[name], value)
        if key.startswith("step/") and not name.endswith(NOISY):
            close(after[name], value)


def test_sigreg_given_its_directions(golden):
    close(sigreg(golden["sigreg/input"], golden["sigreg/A"]), golden["sigreg/out"])


def test_a_wrong_constant_would_show(model, golden):
    for block in model.encoder.blocks:
        block.norm1.eps = block.norm2.eps = 1e-5
    model.encoder.norm.eps = 1e-5
    with torch.no_grad():
        assert (model.encode(golden["pixels"])[0] - golden["emb"]).abs().max() > TOLERANCE


@pytest.mark.parametrize("naming", ["new", "old"])
@pytest.mark.parametrize("action_dim", [7, 25])
def test_full_size_names_and_shapes(naming, action_dim):
    keys = json.loads(gzip.decompress((GOLDEN / "lewm_cube_keys.json.gz").read_bytes()))
    listed = keys[naming][f"action_dim_{action_dim}"]
    model = LeWM(LeWMConfig(action_dim=action_dim))
    public = {name: torch.zeros(shape, dtype=getattr(torch, dtype)) for name, shape, dtype in listed}
    model.load_state_dict(names.from_public(public))  # raises on any name or shape that is off
    if naming == "new":
        assert set(names.to_public(model.state_dict())) == set(public)


def test_parameter_counts_are_the_papers_to_the_digit():
    model = LeWM(LeWMConfig())
    count = lambda part: sum(p.numel() for p in part.parameters())  # noqa: E731
    assert {n: count(m) for n, m in model.named_children()} == {
        "encoder": 5_501_376, "predictor": 10_791_360, "action_encoder": 156_176, "projector": 792_768,
        "pred_proj": 792_768}
    assert count(model) == 18_034_448


def test_head_sizes_are_within_five_per_cent_of_the_papers():
    reported = {"depth": 400_000, "tracks": 135_000, "centroid": 37_000, "shape": 37_000}
    heads = build_heads(tuple(HEADS), 192, seed=0)
    ours = {"gripper", "object"}
    assert set(reported) | ours == {name for name, row in HEADS.items() if row.reads == ("emb",)}
    for name, want in reported.items():
        assert abs(sum(p.numel() for p in heads[name].parameters()) / want - 1) < 0.05
