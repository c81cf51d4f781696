"""Targets that are not the frame's own: whose they are instead, on which side of the split, and how many."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lewm_core.conditions import ALL, condition
from lewm_core.dataset import Data, targets
from lewm_core.dataset.replacements import random_network, sides
from lewm_core.dataset.replacements import replace as replace_targets
from lewm_core.losses import Term
from lewm_core.utils.errors import InputError

LENGTHS = np.array([9, 14, 11, 8, 12, 10, 13, 9])
N = LENGTHS.sum()
EPISODE = np.repeat(np.arange(8), LENGTHS)
OFFSET = np.cumsum(LENGTHS) - LENGTHS
T = np.arange(N) - OFFSET[EPISODE]
TRAINED = np.flatnonzero(~np.isin(EPISODE, [2, 5, 7]) & (T != 3))  # frame 3 of training episodes is in no window
RAMP = np.arange(56 * 56, dtype=np.float32)


@pytest.fixture(scope="module")
def data() -> Data:
    """The depth and the tracks of every frame say which frame it is; points move by no more than it.

    The depth is a ramp whose nearest pixel is the one of the frame's number, which no normalisation moves.
    """
    rng = np.random.default_rng(0)
    number = np.arange(N, dtype=np.float32)
    tracks = np.zeros((N, 400, 2), np.float32)
    tracks[:] = (number - OFFSET[EPISODE])[:, None, None] + 100 * EPISODE[:, None, None] * (T > 0)[:, None, None]
    return Data({"pixels": rng.integers(0, 256, (N, 32, 32, 3), "u1"), "ep_len": LENGTHS, "ep_offset": OFFSET,
                 "depth": np.stack([np.roll(RAMP, i) for i in range(N)]).reshape(N, 56, 56), "tracks": tracks,
                 "visible": rng.random((N, 400)) > 0.2,
                 "centroid": rng.normal([1, 2, 3], [1, 5, 0.1], (N, 3)).astype("f4"),
                 "centroid_valid": rng.random(N) > 0.3})


def sources(data, name, seed=0):
    """(N,) the frame whose depth each frame is compared with."""
    term = next(t for t in condition(name).terms if t.target == "depth")
    return nearest(targets.build(term, data, TRAINED, seed=seed)["target"])


def nearest(depth):
    """The number of the pixel that is nearest in each map."""
    return depth.flatten(1).argmin(1).numpy()


def raw(data, term, seed):
    """The depth that a frame gets, before it is normalised as its loss does."""
    return replace_targets({"target": data["depth"]}, term.target_from, term.share, data, TRAINED, seed)["target"]


def test_shuffled_targets_are_a_permutation_on_each_side_that_leaves_none_in_place(data):
    found = sources(data, "B-shuf")
    trained = np.isin(np.arange(N), TRAINED)
    held = np.isin(EPISODE, [2, 5, 7])
    for side in (trained, held, ~trained & ~held):
        np.testing.assert_array_equal(np.sort(found[side]), np.flatnonzero(side))
    assert (found != np.arange(N)).all()
    assert (EPISODE[found] != EPISODE).mean() > 0.7  # of a random one of the frames, not of a neighbour
    np.testing.assert_array_equal(found, sources(data, "B-shuf"))
    assert (found != sources(data, "B-shuf", seed=1)).mean() > 0.9
    assert len(np.concatenate(sides(data, TRAINED))) == N


@pytest.mark.parametrize("name", ["B-shuf", "B-25", "B-50", "B-other"])
def test_no_target_crosses_from_one_side_of_the_split_to_the_other(data, name):
    for seed in range(3):
        np.testing.assert_array_equal(np.isin(sources(data, name, seed), TRAINED), np.isin(np.arange(N), TRAINED))


def test_the_doses_are_their_shares_and_a_smaller_one_is_part_of_a_larger_one(data):
    quarter, half, whole = (sources(data, f"B-{dose}") != np.arange(N) for dose in ("25", "50", "shuf"))
    for side in (np.isin(np.arange(N), TRAINED), np.isin(EPISODE, [2, 5, 7])):
        assert quarter[side].mean() == pytest.approx(0.25, abs=0.03)
        assert half[side].mean() == pytest.approx(0.5, abs=0.03)
    assert whole.all() and (half | ~quarter).all()


def test_both_terms_of_a_condition_come_from_the_same_frame(data):
    depth, tracks = (targets.build(term, data, TRAINED, seed=5) for term in condition("E-shuf").terms)
    own = targets.build(replace(condition("E-shuf").terms[1], target_from="own"), data, TRAINED)
    source = torch.from_numpy(nearest(depth["target"]))
    assert (source != torch.arange(N)).all()
    for name in ("target", "valid"):
        assert torch.equal(tracks[name], own[name][source])


def test_another_episodes_targets_keep_their_time(data):
    found = sources(data, "B-other")
    for i in range(8):
        partners = np.unique(EPISODE[found[(EPISODE == i) & (T != 3)]])
        assert len(partners) == 1 and partners[0] != i
        at = (EPISODE == i) & (T < LENGTHS[partners[0]])
        np.testing.assert_array_equal(T[found[at]], T[at])
        late = (EPISODE == i) & (T >= LENGTHS[partners[0]])
        assert (T[found[late]] == LENGTHS[partners[0]] - 1).all()


def test_noise_has_the_targets_moments_and_knows_no_frame(data):
    many = Data({**data.columns, "depth": np.random.default_rng(1).normal(5, 2, (N, 56, 56)).astype("f4")})
    term = condition("B-noise").terms[0]
    noise = raw(many, term, seed=3)
    want = many["depth"][TRAINED]
    wide = noise - want.mean(0)  # by pixel
    assert abs(wide.mean()) < 0.02 and wide.std() / want.std(0).mean() == pytest.approx(1, abs=0.02)
    assert np.corrcoef(noise.mean((1, 2)), many["depth"].mean((1, 2)))[0, 1] < 0.3
    np.testing.assert_array_equal(noise, raw(many, term, seed=3))
    vector = replace(condition("F").terms[0], target_from="noise")
    made = np.concatenate([targets.build(vector, data, TRAINED, seed=s)["target"].numpy() for s in range(40)])
    np.testing.assert_allclose(made.mean(0), 0, atol=0.05)  # the standardised target's mean and std
    np.testing.assert_allclose(made.std(0), 1, atol=0.05)


@pytest.mark.parametrize("name, shape", [("D-net", (400, 2)), ("B-net", (56, 56))])
def test_a_random_networks_targets_are_a_function_of_the_frame_with_the_targets_moments(data, name, shape):
    (term,) = condition(name).terms
    built = targets.build(term, data, TRAINED, seed=1)
    own = targets.build(replace(term, target_from="own"), data, TRAINED)
    assert built["target"].shape == (N, *shape) and built.get("valid", torch.ones(1)).all()
    made, known = built["target"].numpy(), own["target"].numpy()
    if name == "B-net":
        made, known = raw(data, term, seed=1), data["depth"]
    seen = own.get("valid", torch.ones(N, 1, dtype=torch.bool))[torch.from_numpy(TRAINED)].numpy()
    true = np.ma.array(known[TRAINED], mask=np.broadcast_to(~seen[..., None], (len(TRAINED), *shape)))
    made = made[TRAINED].astype(float)
    np.testing.assert_allclose(made.mean(0), true.mean(0, float), atol=1e-3)
    np.testing.assert_allclose(made.std(0), true.std(0, float), rtol=1e-3)
    pixels = data["pixels"]
    alone = random_network(pixels[7:8], 10, seed=1)
    np.testing.assert_allclose(random_network(pixels, 10, seed=1)[7:8], alone, rtol=1e-4, atol=1e-5)
    assert np.abs(random_network(pixels[8:9], 10, seed=1) - alone).max() > 0.01
    assert np.abs(random_network(pixels[7:8], 10, seed=2) - alone).max() > 0.1


def test_all_that_belongs_to_a_target_moves_with_it_and_unknown_origins_are_errors(data):
    mask = np.zeros((N, 32, 32), "u1")
    mask[np.arange(N), :, np.arange(N) % 16] = 1
    term = Term("depth", "depth", "depth", dilation=0.0)
    masked = Data({**data.columns, "mask": mask})
    own, moved = (targets.build(replace(term, target_from=f), masked, TRAINED) for f in ("own", "frame"))
    assert torch.equal(moved["region"], own["region"][sources(masked, "B-shuf", 0)])
    with pytest.raises(InputError, match="target_from: found 'other'; expected one of own, frame, episode, noise"):
        targets.build(replace(term, target_from="other"), masked, TRAINED)
    assert all(t.target_from == "own" and not t.detached for row in ALL.values() if not row.variant for t in row.terms)
