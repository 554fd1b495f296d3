"""Logistic regression with a small penalty, for the many fits of one run: scikit-learn's maximum without its checks.

The objective, the penalty, the search and where it stops are those of ``sklearn.linear_model.LogisticRegression`` with
``C=1``; so are the coefficients, which a test holds. scikit-learn checks every array and asks for its kind at each
step, which for some thousands of rows takes longer than the arithmetic.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit
from sklearn._loss import HalfBinomialLoss

from sojourn.frames import F8, Bools

TOLERANCE = 1e-4
"""The search stops when no part of the gradient of the mean loss is larger."""


@dataclass(frozen=True, eq=False)
class Logistic:
    """A fitted model: ``weights`` per column, and the ``intercept``."""

    weights: F8
    intercept: float

    def log_odds(self, x: F8) -> F8:
        """Of each row."""
        return np.asarray(x @ self.weights + self.intercept)

    def probability(self, x: F8) -> F8:
        """Of each row."""
        return np.asarray(expit(self.log_odds(x)))


def fit_logistic(x: F8, happened: Bools, *, max_iter: int) -> Logistic:
    """The model of ``happened`` given the rows of ``x``, by at most ``max_iter`` steps of L-BFGS-B from zero.

    The penalty is half the sum of squared weights, against the sum of losses; the intercept is free.

    >>> x = np.array([[-2.0], [-1.0], [1.0], [2.0]])
    >>> model = fit_logistic(x, np.array([False, False, True, True]), max_iter=100)
    >>> model.probability(np.array([[-3.0], [0.0], [3.0]])).round(2).tolist()
    [0.05, 0.5, 0.95]
    """
    x, y = np.ascontiguousarray(x), happened.astype(np.float64)
    (n, n_columns), penalty = x.shape, 1.0 / len(x)
    losses_of, loss, slope = HalfBinomialLoss().loss_gradient, np.empty(n), np.empty(n)
    turned = x.T

    def judge(beta: F8) -> tuple[float, F8]:
        """The mean loss with its penalty, and the gradient."""
        weights = beta[:-1]
        losses_of(y, x @ weights + beta[-1], None, loss, slope, 1)
        np.divide(slope, n, out=slope)
        gradient = np.empty_like(beta)
        gradient[:-1] = turned @ slope + penalty * weights
        gradient[-1] = slope.sum()
        return float(loss.sum() / n) + float(0.5 * penalty * (weights @ weights)), gradient

    found = minimize(
        judge,
        np.zeros(n_columns + 1),
        method="L-BFGS-B",
        jac=True,
        options={"maxiter": max_iter, "maxls": 50, "gtol": TOLERANCE, "ftol": 64 * np.finfo(float).eps},
    )
    return Logistic(found.x[:-1], float(found.x[-1]))
