"""The one ridge regression: scikit-learn's, with the penalty that its grid search chooses."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, GroupKFold

from lewm_core.outcomes.ridge import ALPHAS, ridge, ridge_of_raw, ridge_path

GROUPS = np.repeat(np.arange(6), 20)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def planted(noise: float):
    x = rng().normal(size=(120, 8))
    return x, x @ rng(1).normal(size=(8, 3)) + noise * rng(2).normal(size=(120, 3)) + 4


def test_every_penalty_is_sklearns():
    x, y, new = rng().normal(3, 2, (50, 8)), rng(1).normal(size=(50, 3)), rng(2).normal(size=(5, 8))
    for alpha, found in zip((0.1, 100), ridge_path(x, y, (0.1, 100)), strict=True):
        np.testing.assert_allclose(found(new), Ridge(alpha).fit(x, y).predict(new), atol=1e-8)


@pytest.mark.parametrize("noise, penalty", [(0, 0.1), (3, 100), (30, 1e5)])
def test_the_penalty_is_the_one_that_episodes_left_out_choose(noise, penalty):
    x, y = planted(noise)
    search = GridSearchCV(Ridge(), {"alpha": ALPHAS}, cv=GroupKFold(3), scoring="neg_mean_squared_error")
    expected = search.fit(x, y, groups=GROUPS)
    np.testing.assert_allclose(ridge(x, y, GROUPS)(x[:9]), expected.predict(x[:9]), atol=1e-8)
    assert expected.best_params_["alpha"] == penalty


def test_features_as_they_are_give_what_standardised_ones_give():
    x, y = planted(1)
    raw = 5 + x * np.geomspace(0.01, 100, 8)
    raw = np.c_[raw, np.full(120, 3.0)]  # one that never varies
    scaled = (raw[:, :8] - raw[:, :8].mean(0)) / raw[:, :8].std(0)
    np.testing.assert_allclose(ridge_of_raw(raw, y, GROUPS)(raw), ridge(scaled, y, GROUPS)(scaled), atol=1e-6)


def test_what_does_not_count_in_validation_chooses_nothing():
    x, y = planted(0)
    spoilt = y.copy()
    spoilt[:, 2] += 100 * rng(3).normal(size=120)
    valid = np.ones(y.shape, bool)
    valid[:, 2] = False
    first = ridge(x, spoilt, GROUPS, valid)(x)[:, :2]
    np.testing.assert_allclose(first, ridge(x, y, GROUPS)(x)[:, :2], atol=1e-8)
    assert np.abs(ridge(x, spoilt, GROUPS)(x)[:, :2] - first).max() > 1e-3  # else the noise chooses the penalty
