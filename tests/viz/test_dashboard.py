"""The dashboard's numbers and pictures against others that are derived here, and what its documents hold."""

import base64
import html
import json
import re

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import Ridge

from lewm_core.conditions import in_order
from lewm_core.diagnostics import playback as playbacks
from lewm_core.diagnostics import retrieval
from lewm_core.diagnostics.decoder import decode
from lewm_core.outcomes.ridge import ALPHAS
from lewm_core.utils import escape
from lewm_core.utils.errors import InputError
from lewm_core.viz import dashboard, pixels, style
from lewm_core.viz import dashboard_values as values
from lewm_core.viz.dashboard import Dashboard
from tests.helpers import LENGTHS
from tests.viz.played import HELD, HOSTILE, OFFERED, playback, squares

EPISODE = 4  # ten frames, held out
H, S = 3, LENGTHS[EPISODE] - 3


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return squares(tmp_path_factory.mktemp("squares"))


@pytest.fixture(scope="module")
def played(data):
    return playback(data)


@pytest.fixture(scope="module")
def latents(data, played):
    """(true, predicted): all frames' latents (N, D), and those of EPISODE by one step after another (S, D)."""
    model, scale = played.load("A")
    frames = torch.from_numpy(data["pixels"]).permute(0, 3, 1, 2)
    with torch.no_grad():
        true = torch.cat([model.encode(frame[None, None])[0][0] for frame in frames])
        at = data.episode(EPISODE)
        emb, act_emb = list(true[at][:H]), model.action_encoder(torch.from_numpy(scale(data["action"][at]))[None])[0]
        for t in range(H, H + S):
            window = slice(t - H, t)
            emb.append(model.predict(torch.stack(emb[window])[None], act_emb[window][None])[0, -1])
    return true.numpy(), torch.stack(emb[H:]).numpy()


def tile(sheet: dict, i: int) -> np.ndarray:
    """Picture i of a sheet."""
    raw = base64.b64decode(sheet["src"].removeprefix("data:image/jpeg;base64,"))
    whole = cv2.imdecode(np.frombuffer(raw, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    y, x = i // sheet["columns"] * sheet["height"], i % sheet["columns"] * sheet["width"]
    return whole[y : y + sheet["height"], x : x + sheet["width"]]


def nearest(sheet: dict, i: int, candidates: np.ndarray) -> np.ndarray:
    """That of the pictures (n, h, w, 3) which is picture i of a sheet; JPEG is not exact, least of all for noise."""
    off = np.abs(candidates.astype(float) - tile(sheet, i)).mean((1, 2, 3))
    assert off.min() < 25
    return candidates[off.argmin()]


def test_the_curve_is_the_distance_to_the_true_latent(data, played, latents):
    true, predicted = latents
    own, found = true[data.episode(EPISODE)], values.played(played, "A", EPISODE)
    np.testing.assert_allclose(found["distance"], np.sqrt(((predicted - own[H:]) ** 2).sum(1)), rtol=2e-3)
    np.testing.assert_allclose(found["persistence"], np.sqrt(((own[H - 1] - own[H:]) ** 2).sum(1)), rtol=2e-3)
    assert found["spread"] == pytest.approx(np.sqrt(((true - true.mean(0)) ** 2).sum(1).mean()), rel=1e-4)


def test_a_batch_of_rollouts_is_the_rollout_of_the_figures(data, played):
    world = played.player("B").world
    alone = retrieval.rollout_from(world.model, world.action_scale, data, EPISODE, 0, S, H)
    torch.testing.assert_close(played.predicted("B", EPISODE), alone[H:], rtol=1e-4, atol=1e-5)
    table = retrieval.rollout_table({"B": world}, data, EPISODE, 0, S, H, "global")
    rows, still = (table[table.model == name].reset_index(drop=True) for name in ("B", "static"))
    pd.testing.assert_frame_equal(played.table("B", EPISODE, "global"), rows, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(played.persistence("B", EPISODE), still.distance, rtol=1e-4)


def test_retrieved_frames_are_the_nearest_and_decoded_ones_the_decoders(data, played, latents):
    true, predicted = latents
    found, groups = values.played(played, "A", EPISODE), data.episode_numbers()
    for scope, allowed in (("global", np.arange(len(true))), ("episode", np.flatnonzero(groups == EPISODE))):
        off = np.linalg.norm(predicted[:, None] - true[allowed], axis=2)
        frames, shown = allowed[off.argmin(1)], found["scopes"][scope]
        np.testing.assert_allclose(shown["distance"], off.min(1), rtol=2e-3)
        first = data["ep_offset"][groups[frames]]
        assert shown["name"] == [f"square{groups[f]}:{f - start}" for f, start in zip(frames, first, strict=True)]
        for step, frame in enumerate(frames):
            picture = nearest(found["found"], shown["tile"][step], data["pixels"])
            np.testing.assert_array_equal(picture, data["pixels"][frame])
        assert shown["stability"]["unique_frames"] == len(set(frames))
        assert shown["stability"]["same_episode"] == pytest.approx(100 * np.mean(groups[frames] == EPISODE), abs=0.1)
    decoded = decode(played.player("A").decoder, torch.from_numpy(predicted))
    assert np.abs(played.decoded("A", EPISODE).astype(int) - decoded).max() <= 1
    assert all(np.abs(tile(found["decoded"], step) - decoded[step].astype(float)).mean() < 25 for step in range(S))


def test_positions_are_those_of_a_ridge_fitted_to_the_other_episodes(data, played, latents):
    true, predicted = latents
    fit, own = ~np.isin(data.episode_numbers(), HELD), data.episode(EPISODE)
    std = true[fit].std(0)
    scaled = [(x - true[fit].mean(0)) / np.where(std < 1e-6, 1, std) for x in (true[fit], predicted, true[own])]
    found = values.played(played, "A", EPISODE)["places"]["object"]
    where, off = data["object"].astype(float), []
    for alpha in ALPHAS:  # one of these was chosen
        ridge = Ridge(alpha).fit(scaled[0], where[fit])
        off.append(np.abs(100 * ridge.predict(scaled[1]) - found["predicted"]).max()
                   + np.abs(100 * ridge.predict(scaled[2]) - found["floor"]).max())
    assert min(off) < 0.1
    truth = 100 * where[own]
    for name, frames in (("predicted", truth[H:]), ("floor", truth)):
        error = {"predicted": "error", "floor": "floor_error"}[name]
        np.testing.assert_allclose(found[error], np.linalg.norm(found[name] - frames, axis=1), atol=0.05)
    shown = values.recorded(played, EPISODE)
    np.testing.assert_allclose(shown["places"]["object"], truth, rtol=1e-3)
    np.testing.assert_allclose(shown["place_persistence"]["object"], np.linalg.norm(truth[H:] - truth[H - 1], axis=1),
                               rtol=2e-3, atol=1e-3)


def test_what_was_recorded_is_shown_frame_by_frame(data, played):
    shown, frames = values.recorded(played, EPISODE), data["pixels"][data.episode(EPISODE)]
    mask, depth = data["mask"][data.episode(EPISODE)].astype(bool), data["depth"][data.episode(EPISODE)]
    near, far = np.percentile(depth, [1, 99])
    pairs = zip(frames, mask, strict=True)
    drawn = {"rgb": frames, "mask": np.stack([pixels.draw_mask(frame // 2, inside, 0.6) for frame, inside in pairs]),
             "depth": np.stack([pixels.draw_depth(d, near, far) for d in depth])}
    for name, pictures in drawn.items():
        for t, picture in enumerate(pictures):
            np.testing.assert_array_equal(nearest(shown[name], t, pictures), picture)
    assert shown["known"] == "unseen" and values.recorded(played, 0)["known"] == "trained on"
    np.testing.assert_allclose(shown["actions"], data["action"][data.episode(EPISODE)], rtol=1e-3, atol=1e-6)


def test_tracks_come_back_from_their_bytes(data, played):
    shown, own = values.recorded(played, EPISODE)["tracks"], data.episode(EPISODE)
    points = np.frombuffer(base64.b64decode(shown["points"]), "<u2").reshape(-1, 400, 2) / 65535
    tracks = data["tracks_fg"][own]
    inside = ((tracks > 0) & (tracks < 31)).all(2)
    assert np.abs(points * 32 - 0.5 - tracks)[inside].max() < 1e-3
    seen = np.unpackbits(np.frombuffer(base64.b64decode(shown["visible"]), np.uint8).reshape(len(points), -1), axis=1)
    np.testing.assert_array_equal(seen[:, :400], data["visible_fg"][own])


def test_a_missing_signal_says_why(tmp_path):
    shown = values.recorded(playback(squares(tmp_path, "depth", "mask")), 0)
    assert shown["depth"] == {"missing": "No depth, <b>for</b> a reason."} and "src" in shown["rgb"]


def test_a_large_picture_is_made_smaller_and_a_small_one_kept():
    ramp = np.broadcast_to(np.linspace(0, 255, 512)[None, None, :, None], (3, 256, 512, 3)).astype(np.uint8)
    shown = values.sheet(ramp)
    assert (shown["width"], shown["height"], shown["columns"]) == (128, 64, 2)
    assert np.abs(tile(shown, 2) - ramp[0, ::4, ::4].astype(float)).mean() < 4


def test_short_numbers_keep_what_matters_and_no_nan():
    assert values.short([[1.23456, np.nan], [np.inf, 1e-9]]) == [[1.235, None], [None, 1e-9]]


def test_offered_are_finished_runs_that_can_be_rolled_out():
    results = pd.DataFrame({"condition": ["P", "A-pp", "B", "A", "D"], "seed": [0, 0, 0, 0, 1]})

    assert playbacks.offered(results, 0) == in_order(["A", "B", "P"]) and playbacks.offered(results, 1) == ["D"]


def test_colours_stand_out_on_a_dark_page():
    for name in ("A", "B", "C4", "D", "E", "G", "P", "base", "lr-0", "B-shuf"):
        rgb = [int(style.on_dark(style.colour(name))[i : i + 2], 16) for i in (1, 3, 5)]
        assert max(rgb) > 100, name
    assert style.stands("A") and not style.stands("lr-0") and not style.stands("B-shuf")


def fed(board: Dashboard) -> dict:
    """What the view is given."""
    return json.loads(re.fullmatch(r'<script type="application/json">(.*)</script>', board.feed.value, re.S)[1])


def test_a_model_is_loaded_when_its_box_is_ticked_and_only_once(data):
    own = playback(data)
    board = Dashboard(own, "made by a test", ["A"], first=[4])
    assert own.load.calls == ["A"] and board.episodes == [4, 1, 0, 2, 3]
    assert fed(board)["chosen"] == ["A"] and fed(board)["episode"]["id"] == "square4"
    board.boxes["B"].value = True
    assert own.load.calls == ["A", "B"] and set(fed(board)["episode"]["conditions"]) == {"A", "B"}
    board.episode.value, board.boxes["A"].value = 2, False
    assert own.load.calls == ["A", "B"] and fed(board)["chosen"] == ["B"] and fed(board)["episode"]["id"] == "square2"
    assert board.episode.options[1] == (f"{HOSTILE} · square1 · unseen", 1)


def held(page: str) -> dict:
    """The data in a page."""
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)[1])


def test_the_page_holds_what_it_says_and_no_more_than_fits(data, tmp_path, monkeypatch):
    board = Dashboard(playback(data), "made by a test", ["A"])
    assert set(held(board.page(2))["conditions"]) == {"A"}
    told = board.saved(tmp_path / "a page.html", 3)
    page = held((tmp_path / "a page.html").read_text())
    assert "(../a%20page.html)" in told and [e["id"] for e in page["episodes"]] == ["square1", "square4", "square0"]
    assert set(page["conditions"]) == set(page["episodes"][0]["conditions"]) == set(OFFERED)
    size = len(escape.script_json(page["episodes"][0]))
    monkeypatch.setattr(dashboard, "MEGABYTES", 2.4 * size / 1e6)
    assert len(held(board.page(5))["episodes"]) == 2
    monkeypatch.setattr(dashboard, "MEGABYTES", 0)
    assert len(held(board.page(5))["episodes"]) == 1  # never none
    with pytest.raises(InputError, match="at least 1"):
        board.page(0)


def test_text_from_data_cannot_end_its_element(data):
    board = Dashboard(playback(data), HOSTILE, ["A"], first=[1])
    page = board.page(2)
    assert page.count("</script>") == page.count("<script") == 2 and "<img" not in page and "<!--" not in page
    assert held(page)["episodes"][0]["task"] == held(page)["caption"] == HOSTILE
    assert board.feed.value.count("<") == 2
    frame = board.static_html()
    assert frame.count("<") == 2 and html.unescape(re.search('srcdoc="([^"]*)"', frame)[1]).startswith("<!doctype")
    assert re.findall(r"https?://[^\s\"']+", page) == ["http://www.w3.org/2000/svg"]  # a name, not an address
