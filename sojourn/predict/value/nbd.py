"""NBD: customers buy at random at a rate of their own, and never drop out. What is left where no dropping out is seen.

Rates are gamma distributed over customers (``r``, ``alpha``; alpha in units of time). Data as for BG/NBD; the time of
the last purchase tells nothing. Source: Ehrenberg 1959, doi:10.2307/2985810.
"""

from __future__ import annotations

import numpy as np
from scipy.special import gammaln, psi

from sojourn.frames import F8
from sojourn.predict.value.likelihood import Likelihood


def rows_likelihood(parameters: F8, rows: F8) -> tuple[F8, F8]:
    """Log-likelihood of each row ``(x, t, T)`` [N] and its gradient by ``r, alpha`` [2, N].

    >>> each, _ = rows_likelihood(np.array([1.0, 1.0]), np.array([[0.0], [0.0], [3.0]]))
    >>> round(float(np.exp(each[0])), 6)
    0.25
    """
    r, alpha = parameters
    x, _, age = rows
    each = gammaln(r + x) - gammaln(r) + r * np.log(alpha) - (r + x) * np.log(alpha + age)
    gradient = np.stack([psi(r + x) - psi(r) + np.log(alpha / (alpha + age)), r / alpha - (r + x) / (alpha + age)])
    return each, gradient


MODEL = Likelihood("NBD", ("r", "alpha"), (False, True), rows_likelihood, ((0.5, 0.5), (2.0, 2.0), (0.2, 0.1)))


def alive_p(parameters: F8, rows: F8) -> F8:
    """One for everybody: in this model nobody drops out."""
    return np.ones(rows.shape[1])


def expect_purchases(parameters: F8, rows: F8, time: float | F8) -> F8:
    """Expected purchases of each customer in the next ``time``."""
    r, alpha = parameters
    x, _, age = rows
    return np.asarray((r + x) / (alpha + age) * np.asarray(time, float))
