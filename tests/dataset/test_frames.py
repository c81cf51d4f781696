"""The scale of actions."""

import numpy as np

from lewm_core.dataset.frames import ActionScale


def test_action_scale():
    rng = np.random.default_rng(0)
    actions = rng.normal([1, -2, 0], [3, 0.5, 1], (500, 3)).astype(np.float32)
    actions[:, 2] = 0.3  # never varies; float32 rounding leaves its computed deviation above zero
    scale = ActionScale.fit(actions)
    scaled = scale(actions)
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaled[:, :2].mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(scaled[:, :2].std(0), 1, atol=1e-5)
    assert scale.std[2] == 1 and np.abs(scaled[:, 2]).max() < 1e-4
    np.testing.assert_allclose(scale(actions[None, :4])[0] * scale.std + scale.mean, actions[:4], atol=1e-5)
