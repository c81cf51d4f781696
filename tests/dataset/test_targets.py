"""What a column becomes before a head is compared with it."""

import numpy as np
import pytest
import torch

from lewm_core.conditions import condition
from lewm_core.dataset import Data, targets
from lewm_core.losses import depth_loss, normalise_depth


def hand_data(**columns) -> Data:
    base = {"ep_len": np.array([3, 2]), "ep_offset": np.array([0, 3]), "pixels": np.zeros((5, 8, 8, 3), np.uint8)}
    return Data(base | columns)


def test_displacements_are_image_sides_from_the_episodes_first_frame():
    tracks = np.zeros((5, 400, 2), np.float32)
    tracks[:, 0] = [[10, 20], [12, 20], [14, 16], [100, 50], [99, 54]]
    moved = targets.displacements(hand_data(tracks=tracks), "tracks")
    np.testing.assert_allclose(moved[:, 0], np.array([[0, 0], [2, 0], [4, -4], [0, 0], [-1, 4]]) / 8)
    assert (moved[:, 1:] == 0).all()


def test_tracks_are_standardised_over_the_points_seen_in_training():
    """Two points; the second is not seen in frame 1, and frames 3 and 4 are not trained on."""
    tracks, visible = np.zeros((5, 400, 2), np.float32), np.zeros((5, 400), np.uint8)
    tracks[:, 0] = [[10, 20], [12, 20], [14, 16], [100, 50], [99, 54]]
    tracks[:, 1] = [[0, 0], [77, 77], [0, 8], [0, 0], [8, 0]]
    visible[:, :2] = 1
    visible[1, 1] = 0
    data = hand_data(tracks=tracks, visible=visible)
    of_d, raw = (targets.build(condition(name).terms[0], data, np.arange(3)) for name in ("D", "D-raw"))
    x, y = [0, 2, 4, 0, 0], [0, 0, -4, 0, 8]  # px from the first frame, of the five that are seen in training
    shift, scale = np.array([np.mean(x), np.mean(y)]), np.array([np.std(x), np.std(y)])
    for frame, point, moved in ((0, 0, (0, 0)), (2, 0, (4, -4)), (2, 1, (0, 8)), (3, 0, (0, 0)), (4, 0, (-1, 4))):
        np.testing.assert_allclose(of_d["target"][frame, point], (moved - shift) / scale, rtol=1e-5)
        np.testing.assert_allclose(raw["target"][frame, point], np.array(moved) / 8)
    np.testing.assert_allclose(of_d["still"], np.tile(-shift / scale, (5, 1)), rtol=1e-5)
    assert (raw["still"] == 0).all()


def test_points_lost_in_the_first_frame_do_not_count():
    tracks, visible = np.ones((5, 400, 2), np.float32), np.ones((5, 400), np.uint8)
    tracks[0, 0], visible[0, 0] = np.nan, 0  # episode 0 has no origin for point 0
    tracks[4, 1], visible[4, 1] = np.nan, 0
    built = targets.build(condition("D").terms[0], hand_data(tracks=tracks, visible=visible), np.arange(5))
    expected = visible.astype(bool)
    expected[:3, 0] = False
    np.testing.assert_array_equal(built["valid"].numpy(), expected)
    assert built["target"].isfinite().all()


def test_a_place_that_is_not_known_does_not_count():
    places = np.array([[1, 0, 0], [np.nan, 0, 0], [3, 0, 0], [5, 0, 0], [0, np.nan, 0]], np.float32)
    term = next(term for term in condition("P").terms if term.target == "gripper")
    built = targets.build(term, hand_data(gripper=places), np.array([0, 1, 2]))
    assert built["valid"].tolist() == [True, False, True, True, False]
    np.testing.assert_allclose(built["target"][:, 0], [-1, 0, 1, 3, 0])


def test_standardisation_knows_only_valid_training_frames():
    values = np.array([[1, 7], [3, 7], [1000, 7], [np.nan, np.nan], [5, 8]], np.float32)
    valid = np.array([1, 1, 1, 0, 1], np.uint8)
    data = hand_data(centroid=values, centroid_valid=valid)
    built = targets.build(condition("F").terms[0], data, np.array([0, 1, 3]))
    # mean 2, deviation 1 of rows 0 and 1; the second column never varies in training, so it only shifts
    np.testing.assert_allclose(built["target"].numpy(), [[-1, 0], [1, 0], [998, 0], [0, 0], [3, 1]])
    np.testing.assert_array_equal(built["valid"].numpy(), valid.astype(bool))
    constant = targets.standardise(np.full((999, 1), 1.7, np.float32), np.ones(999), np.arange(999))
    assert np.abs(constant).max() < 1e-5  # rounding in its mean is not a deviation to divide by
    nothing = targets.standardise(values, np.zeros(5, np.uint8), np.arange(5))
    assert (nothing == 0).all()


@pytest.mark.parametrize("name, radius", [("C1", 0), ("C2", 2), ("C3", 5), ("C4", 0)])
def test_masks_reach_exactly_their_pixels(name, radius):
    """A block of 4 × 4 px at 224 is one cell; the dilations by 8 and 20 px are discs of 2 and 5 cells."""
    mask = np.zeros((5, 224, 224), np.uint8)
    mask[0, 80:84, 120:124] = 1  # cell (row 20, column 30)
    mask[1, 0:4, 0:4] = 1  # at the border
    mask[2, 80:84, 120:122] = 1  # half a cell: not more than half
    mask[3, 81:84, 120:124] = 1  # three quarters
    (term,) = condition(name).terms
    built = targets.build(term, hand_data(mask=mask, depth=np.zeros((5, 56, 56), np.float32)), np.arange(5))
    region = built["region"]
    for frame, cell in ((0, (20, 30)), (1, (0, 0)), (2, None), (3, (20, 30)), (4, None)):
        wanted = np.array([[cell is not None and (r - cell[0]) ** 2 + (c - cell[1]) ** 2 <= radius**2
                            for c in range(56)] for r in range(56)])
        np.testing.assert_array_equal(region[frame].numpy(), wanted, err_msg=f"frame {frame}")
    assert set(built) == {"target", "region"} and term.region == {"C2": 8, "C3": 20}.get(name, 0)


def test_full_frame_conditions_need_no_mask():
    data = hand_data(depth=np.zeros((5, 56, 56), np.float32))
    assert set(targets.build(condition("B").terms[0], data, np.arange(5))) == {"target"}


def test_depth_is_normalised_once_as_its_loss_does():
    """Over the region inside which it is supervised, or over the full frame; so is the depth of another frame."""
    rng = np.random.default_rng(0)
    depth, mask = rng.random((5, 56, 56)).astype(np.float32), np.zeros((5, 8, 8), np.uint8)
    mask[:, 2:6, 2:6] = 1
    data = hand_data(depth=depth, mask=mask)
    pred = torch.from_numpy(rng.random((5, 56, 56)).astype(np.float32))
    for name in ("B", "C1", "C4", "C1-ff"):
        term = condition(name).terms[0]
        built = targets.build(term, data, np.arange(5))
        over = {"B": {}, "C1": {"region": built.get("region")}}.get(name)
        if over is None:
            inside = built["region"]
            over = {"weight": torch.where(inside, 5.0, 1.0) if name == "C4" else inside.float()}
        want = depth_loss(pred, torch.from_numpy(depth), **over)
        torch.testing.assert_close(term.compare(pred, built), want)
    shuffled = targets.build(condition("B-shuf").terms[0], data, np.arange(5))["target"]
    torch.testing.assert_close(shuffled, normalise_depth(shuffled), rtol=1e-4, atol=1e-5)
