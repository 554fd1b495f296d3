"""The logistic regression of a run is scikit-learn's: the same coefficients, without its checks at each step."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from sojourn.transitions.logistic import fit_logistic


@pytest.mark.parametrize(("n", "n_columns", "seed"), [(30, 1, 0), (400, 12, 1), (2_000, 60, 2)])
def test_coefficients_are_those_of_scikit_learn(n: int, n_columns: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, n_columns))
    happened = rng.random(n) < 1 / (1 + np.exp(-x[:, 0] + 0.5))
    ours = fit_logistic(x, happened, max_iter=300)
    theirs = LogisticRegression(max_iter=300).fit(x, happened)
    np.testing.assert_allclose(ours.weights, theirs.coef_[0], rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(ours.intercept, theirs.intercept_[0], rtol=1e-6)
    np.testing.assert_allclose(ours.probability(x), theirs.predict_proba(x)[:, 1], rtol=1e-6)


def test_columns_in_another_memory_order_change_nothing() -> None:
    rng = np.random.default_rng(3)
    x, happened = rng.normal(size=(200, 5)), rng.random(200) < 0.4
    ours = fit_logistic(x, happened, max_iter=100)
    assert ours.weights.tolist() == fit_logistic(np.asfortranarray(x), happened, max_iter=100).weights.tolist()
