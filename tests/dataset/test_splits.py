"""The arithmetic of windows and splits."""

import numpy as np
import pytest

from lewm_core import dataset
from lewm_core.dataset import WINDOW
from lewm_core.utils.errors import InputError


def test_no_window_leaves_its_episode():
    rng = np.random.default_rng(0)
    for _ in range(50):
        length = rng.integers(1, 9, rng.integers(1, 7))
        offset = np.cumsum(length) - length
        episode_of = np.repeat(np.arange(len(length)), length)
        by_hand = [s for s in range(len(episode_of) - WINDOW + 1) if len(set(episode_of[s : s + WINDOW])) == 1]
        assert dataset.window_starts(length, offset).tolist() == by_hand
    assert len(dataset.window_starts(np.array([3, 1]), np.array([0, 3]))) == 0


def frames_of(starts):
    return {int(f) for s in starts for f in range(s, s + WINDOW)}


def split_of(length, seed=0, **shares):
    length = np.array(length)
    return dataset.split(length, np.cumsum(length) - length, np.random.default_rng(seed), **shares)


@pytest.mark.parametrize("seed", range(5))
def test_the_episode_split_does_not_leak_and_the_window_split_does(seed):
    length = np.random.default_rng(seed).integers(2, 30, 20)
    split = split_of(length, seed)
    episode_of = np.repeat(np.arange(20), length)
    train, window, episode = (frames_of(s) for s in (split.train, split.val["window"], split.val["episode"]))
    assert not episode & train and not episode & window
    held = set(episode_of[list(episode)])
    assert not held & set(episode_of[list(train | window)])
    assert len(held) == round(0.15 * (length >= WINDOW).sum())
    assert not set(split.train) & set(split.val["window"])  # no window itself is in both …
    assert len(window & train) > 0.5 * len(window)  # … but most of its frames have been seen: the paper's leak
    everything = np.concatenate([split.train, *split.val.values()])
    assert sorted(everything) == dataset.window_starts(length, np.cumsum(length) - length).tolist()
    kept = len(split.train) + len(split.val["window"])
    assert len(split.val["window"]) == max(1, round(0.1 * kept))


@pytest.mark.parametrize("seed", range(5))
def test_blocks_share_episodes_with_training_and_no_frame(seed):
    length = np.random.default_rng(seed).integers(2, 30, 30)
    episode_of = np.repeat(np.arange(30), length)
    plain, split = split_of(length, seed), split_of(length, seed, val_blocks=0.3)
    train, window, block = (frames_of(s) for s in (split.train, split.val["window"], split.val["block"]))
    assert not block & train and not block & window
    np.testing.assert_array_equal(split.val["episode"], plain.val["episode"])  # nothing else is drawn anew
    assert set(split.train) < set(plain.train) and set(split.val["window"]) <= set(plain.val["window"])
    lost = (set(plain.train) | set(plain.val["window"])) - set(split.train) - set(split.val["window"])
    assert lost > set(split.val["block"]) and all(frames_of([s]) & block for s in lost)  # and none without need
    held = set(episode_of[list(frames_of(plain.val["episode"]))])
    fit = [i for i in range(30) if length[i] >= 8 and i not in held]
    chosen = set(episode_of[list(block)])
    assert chosen <= set(fit) and len(chosen) == round(0.3 * len(fit))
    for i in chosen:
        own = sorted(f for f in block if episode_of[f] == i)
        assert own == list(range(own[0], own[0] + length[i] // 2))
    assert {len(frames_of([s]) & train) for s in split.val["window"]} - {0}


def test_a_split_depends_on_its_seed_alone():
    a, b, c = split_of([20] * 10, 1), split_of([20] * 10, 1), split_of([20] * 10, 2)
    np.testing.assert_array_equal(a.train, b.train)
    assert all((a.val[k] == b.val[k]).all() for k in a.val)
    assert not np.array_equal(a.train, c.train) and not np.array_equal(a.val["episode"], c.val["episode"])


def test_shares_of_zero():
    paper = split_of([20] * 10, val_episodes=0)  # the paper's: windows only, from every episode
    assert set(paper.val) == {"window"} and len(paper.val["window"]) == 17 and len(paper.train) == 153
    assert set(split_of([20] * 10, val_windows=0).val) == {"episode"}
    with pytest.raises(InputError, match="validation windows from 10 episodes"):
        split_of([20] * 10, val_windows=0, val_episodes=0)


def test_too_little_to_split_is_an_error():
    for lengths in ([3, 3, 3], [20], [4, 4], [2, 30]):
        with pytest.raises(InputError, match=f"from {len(lengths)} episodes"):
            split_of(lengths)


def test_episodes_without_a_window_are_not_held_out():
    for seed in range(10):  # whichever is drawn, there is something to validate on
        assert len(split_of([2, 3, 1, 2, 12, 12], seed).val["episode"]) == 9
