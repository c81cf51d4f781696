"""Rollouts, retrieval, the dashboard's table and tags, and the decoder, against values derived by hand."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from lewm_core.dataset import Data
from lewm_core.diagnostics import retrieval
from lewm_core.diagnostics.decoder import Decoder, DecoderRecipe, decode, psnr, quality, train_decoder
from lewm_core.diagnostics.retrieval import (
    Corpus,
    LatentWorld,
    over_static,
    retrieve,
    rollout_from,
    rollout_table,
    stability,
    tags,
)
from lewm_core.model import LeWM
from lewm_core.utils.errors import InputError

LENGTHS = (9, 6)
SCALE = 10.0


class Adder(nn.Module):
    """A world whose latent is a frame's colour (3, then zeros) and whose next latent is latent + action."""

    config = SimpleNamespace(history=3)
    rollout = LeWM.rollout

    def __init__(self, drift: float = 0.0):
        super().__init__()
        self.drift = nn.Parameter(torch.tensor(drift))

    projector = staticmethod(lambda cls: cls)

    def encode_tokens(self, pixels, patches=True):
        emb, _ = self.encode(pixels)
        return emb, emb.unsqueeze(2)  # one patch token that says the same

    def encode(self, pixels, actions=None):
        return torch.nn.functional.pad(pixels[:, :, :, 0, 0].float(), (0, 4)), actions

    def action_encoder(self, actions):
        return actions

    def predict(self, emb, act_emb):
        assert emb.shape[1] <= 3, "more frames than the predictor sees"
        return emb + act_emb + self.drift


@pytest.fixture
def data() -> Data:
    """Frames of one colour each, that goes up by (2, 1, 0) a step from (10, 20, 30) and (90, 100, 30)."""
    step = np.array([2, 1, 0])
    colours = np.concatenate([np.array([10, 20, 30]) + step * np.arange(9)[:, None],
                              np.array([90, 100, 30]) + step * np.arange(6)[:, None]])
    pixels = np.broadcast_to(colours[:, None, None].astype(np.uint8), (15, 8, 8, 3)).copy()
    action = np.zeros((15, 7), np.float32)
    action[:, :3] = step / SCALE  # raw; the action scale brings them to latent units
    return Data({"pixels": pixels, "action": action, "ep_len": np.array(LENGTHS), "ep_offset": np.array([0, 9])})


def scale(actions):
    return actions * np.float32(SCALE)


def test_a_corpus_holds_every_frame_with_its_place(data):
    corpus = Corpus.of(Adder(), data)
    assert torch.allclose(corpus.emb[:, :3], torch.from_numpy(data["pixels"][:, 0, 0]).float(), atol=1e-3)
    assert corpus.episode.tolist() == [0] * 9 + [1] * 6
    assert corpus.frame.tolist() == [*range(9), *range(6)]
    emb = corpus.emb.numpy()
    assert corpus.spread == pytest.approx(np.sqrt(((emb - emb.mean(0)) ** 2).sum(1).mean()), rel=1e-5)


def test_a_rollout_adds_the_actions_that_leave_the_context(data):
    data["action"][:2] = 99  # leave context frames 0 and 1: what follows frame 2 must not depend on them
    emb = rollout_from(Adder(), scale, data, episode=0, start=0, steps=5, history=3)
    expected = np.array([10, 20, 30]) + np.array([2, 1, 0]) * np.arange(8)[:, None]
    np.testing.assert_allclose(emb[:, :3], expected, atol=1e-3)
    assert emb.shape == (8, 7)
    later = rollout_from(Adder(), scale, data, episode=1, start=2, steps=1, history=3)
    np.testing.assert_allclose(later[:, :3], np.array([94, 102, 30]) + np.array([2, 1, 0]) * np.arange(4)[:, None],
                               atol=1e-3)


def test_a_rollout_leaves_the_models_mode_alone(data):
    model = Adder().train()
    rollout_from(model, scale, data, 0, 0, 2, 3)
    assert model.training


def test_retrieval_finds_the_planted_frame_and_agrees_with_brute_force(monkeypatch):
    monkeypatch.setattr(retrieval, "CHUNK", 7)
    generator = torch.Generator().manual_seed(0)
    emb = torch.randn(50, 5, generator=generator)
    corpus = Corpus(emb, np.repeat(np.arange(5), 10), np.tile(np.arange(10), 5))
    query = torch.randn(6, 5, generator=generator)
    query[2] = emb[33]
    distances = np.linalg.norm(query.numpy()[:, None] - emb.numpy()[None], axis=2)
    frame, distance = retrieve(corpus, query, "global", episode=1)
    assert frame.tolist() == distances.argmin(1).tolist() and frame[2] == 33
    np.testing.assert_allclose(distance, distances.min(1), atol=1e-5)
    frame, distance = retrieve(corpus, query, "episode", episode=1)
    assert frame.tolist() == (10 + distances[:, 10:20].argmin(1)).tolist()


def test_a_rollout_table_has_hand_derived_distances(data):
    """A perfect world is 0 from the truth; one that drifts by 1 in each of 7 dimensions is k·√7 off at step k; the
    static prediction is k·√5 off; each static row belongs to its own space."""
    exact, drifting = Adder(), Adder(1.0)
    corpus = Corpus.of(exact, data)
    worlds = {"A": LatentWorld(exact, scale, corpus), "B": LatentWorld(drifting, scale, corpus)}
    table = rollout_table(worlds, data, 0, 0, 4, 3, "global")
    k = np.arange(1, 5)
    by = table.groupby(["space", "model"]).distance
    np.testing.assert_allclose(by.get_group(("A", "A")), 0, atol=1e-3)
    np.testing.assert_allclose(by.get_group(("B", "B")), k * 7**0.5, atol=1e-3)
    for space in "AB":
        np.testing.assert_allclose(by.get_group((space, "static")), k * 5**0.5, atol=1e-3)
    assert table.query("model == 'A'").frame.tolist() == [3, 4, 5, 6] == table.query("model == 'A'").true_frame.tolist()
    static = table.query("model == 'static' and space == 'A'")
    assert static.frame.tolist() == [2] * 4 and np.allclose(static.retrieval_distance, 0, atol=1e-3)
    np.testing.assert_allclose(table.relative * corpus.spread, table.distance, rtol=1e-5)
    ratios = over_static(table).set_index("model").ratio
    assert ratios["A"] == pytest.approx(0, abs=1e-3) and ratios["B"] == pytest.approx((7 / 5) ** 0.5, rel=1e-3)


def test_stability_of_a_sequence_written_by_hand():
    """Frames 3 3 4 2 | other episode 1 1 | back 7: six transitions."""
    corpus = Corpus(torch.zeros(20, 1), np.repeat([0, 1], 10), np.tile(np.arange(10), 2))
    frames = [3, 3, 4, 2, 11, 11, 7]
    table = pd.DataFrame({"episode": 0, "start": 0, "space": "A", "model": "A", "step": range(1, 8), "frame": frames})
    row = stability(table, corpus).iloc[0]
    assert row.steps == 7 and row.switches == 2 and row.unique_frames == 5
    assert row.same_episode == pytest.approx(100 * 5 / 7)
    assert row.mean_jump == pytest.approx((0 + 1 + 2 + 0) / 4)
    assert row.monotonicity == pytest.approx(100 / 6) and row.repeated == pytest.approx(200 / 6)
    one = stability(table.head(1), corpus).iloc[0]
    assert np.isnan(one.mean_jump) and one.repeated == 0


def test_the_dashboards_own_numbers_follow_from_the_definitions():
    """45 steps, 6 different frames, none visited twice: 5 changes in 44 transitions, which it prints as 89 %."""
    frames = np.repeat([3, 9, 15, 21, 27, 31], [8, 8, 8, 8, 8, 5])
    corpus = Corpus(torch.zeros(48, 1), np.zeros(48, int), np.arange(48))
    table = pd.DataFrame({"episode": 0, "start": 0, "space": "A", "model": "A", "step": range(45), "frame": frames})
    assert round(stability(table, corpus).repeated[0]) == 89


@pytest.mark.parametrize("ratios, expected", [
    ({"A": 1.5, "B": 2.0}, {"static-dominates", "large-model-gap", "best:A"}),
    ({"A": 0.9, "B": 0.88}, {"models-beat-static", "tight-tie", "best:B"}),
    ({"A": 1.1, "B": 0.95}, {"best:B"}),
    ({"A": 0.5, "B": 1.2}, {"large-model-gap", "best:A"}),
    ({"A": 0.5}, {"models-beat-static", "best:A"}),
    ({"A": 0.0, "B": 0.4}, {"models-beat-static", "large-model-gap", "best:A"}),
    ({"A": float("nan"), "B": 1.0}, set()),
    ({"A": 0.0, "B": 0.0}, {"models-beat-static", "tight-tie", "best:A"}),
    ({}, set()),
])
def test_tags_of_hand_made_rollouts(ratios, expected):
    assert set(tags(ratios)) == expected


def stripes(n: int, size: int = 16) -> np.ndarray:
    """A bright bar on black that moves to the right, (n, size, size, 3) uint8."""
    frames = np.zeros((n, size, size, 3), np.uint8)
    for i in range(n):
        frames[i, :, (size * i) // n : (size * i) // n + 2] = (250, 200, 100)
    return frames


def test_a_decoder_learns_eight_frames_by_heart_from_its_seed_alone():
    frames = stripes(8)
    emb = torch.randn(8, 6, generator=torch.Generator().manual_seed(0))
    recipe = DecoderRecipe(grid=4, width=32, tokens=4, heads=2, steps=100, batch_size=8, lr=5e-3)
    score = quality(train_decoder(emb, frames, recipe, seed=3), emb, frames)
    assert score["psnr"] > score["psnr_mean_image"] + 6
    short = replace(recipe, steps=8)
    one = decode(train_decoder(emb, frames, short, seed=3), emb)
    torch.rand(5)  # ambient randomness is not used
    assert np.array_equal(one, decode(train_decoder(emb, frames, short, seed=3), emb))
    assert not np.array_equal(one, decode(train_decoder(emb, frames, short, seed=4), emb))


def test_a_decoder_starts_as_the_mean_image_and_psnr_is_in_decibels():
    frames = stripes(8)
    decoder = train_decoder(torch.randn(8, 6), frames, DecoderRecipe(grid=4, width=16, heads=2, steps=0), 0)
    score = quality(decoder, torch.randn(3, 6), frames[:3])
    assert score["psnr"] == score["psnr_mean_image"]
    black = np.zeros((1, 2, 2, 3), np.uint8)
    assert psnr(black + np.uint8(51), black) == pytest.approx(20 * np.log10(5))
    assert psnr(black, black) == float("inf")


@pytest.mark.parametrize("size, grid", [(8, 2), (9, 3), (10, 2), (16, 16)])
def test_each_patch_is_painted_around_its_own_place(size, grid):
    """Only the query of row 0, column 1 paints: the picture's mass lies on its patch and as far around it."""
    decoder = Decoder(4, size, DecoderRecipe(grid=grid, width=8, heads=2, tokens=2, depth=0)).eval()
    nn.init.ones_(decoder.to_pixels.weight), nn.init.zeros_(decoder.to_pixels.bias)
    decoder.mean_image.zero_()
    decoder.norm = nn.Identity()
    with torch.no_grad():
        decoder.queries.zero_()
        decoder.queries[0, 1] = 1.0
        row, column = decoder(torch.zeros(1, 4))[0, 0].nonzero().T
    patch = size // grid
    reach = (patch + 1) // 2
    assert (row.min(), row.max()) == (0, min(patch - 1 + reach, size - 1))
    assert (column.min(), column.max()) == (patch - reach, min(2 * patch - 1 + reach, size - 1))


def test_a_decoder_says_what_does_not_fit():
    with pytest.raises(InputError, match="10 px for 4 patches"):
        train_decoder(torch.zeros(4, 4), stripes(4, 10), DecoderRecipe(grid=4), 0)
