"""Gamma-gamma: what a customer spends per purchase, apart from how often they buy.

Each purchase is gamma distributed around a level of the customer's own, and levels are spread over customers
(shape ``p``, and ``q``, ``gamma``; gamma in units of money). Data are the number of purchases with a value ``n`` and
their mean ``value``. Sources: Fader, Hardie & Lee 2005, doi:10.1509/jmkr.2005.42.4.415; Fader & Hardie 2013, "The
gamma-gamma model of monetary value", brucehardie.com/notes/025.
"""

from __future__ import annotations

import numpy as np
from scipy.special import gammaln, psi

from sojourn.frames import F8
from sojourn.predict.value.likelihood import Likelihood


def rows_likelihood(parameters: F8, rows: F8) -> tuple[F8, F8]:
    """Log-likelihood of each row ``(n, value)`` [N] and its gradient by ``p, q, gamma`` [3, N].

    >>> each, _ = rows_likelihood(np.array([6.25, 3.74, 15.44]), np.array([[2.0], [22.35]]))
    >>> round(float(each[0]), 4)
    -3.5513
    """
    p, q, gamma = parameters
    n, value = rows
    shape, total = p * n, gamma + n * value
    log_total, log_sum = np.log(total), np.log(n * value)
    each = (
        gammaln(shape + q)
        - gammaln(shape)
        - gammaln(q)
        + q * np.log(gamma)
        + shape * log_sum
        - np.log(value)
        - (shape + q) * log_total
    )
    more = psi(shape + q) - log_total
    gradient = np.stack(
        [
            n * (more - psi(shape) + log_sum),
            more - psi(q) + np.log(gamma),
            q / gamma - (shape + q) / total,
        ]
    )
    return each, gradient


MODEL = Likelihood(
    "gamma-gamma",
    ("p", "q", "gamma"),
    (False, False, True),
    rows_likelihood,
    ((6.0, 4.0, 0.5), (2.0, 2.0, 1.0), (20.0, 3.0, 0.1)),
)


def expect_value(parameters: F8, rows: F8) -> F8:
    """Expected value of a purchase of each customer ``(n, value)``; with ``n`` 0 that of the population.

    Infinite where the fitted spread is so wide (q ≤ 1) that there is no mean for a customer without purchases.
    """
    p, q, gamma = parameters
    n, value = rows
    below = p * n + q - 1
    with np.errstate(divide="ignore"):
        return np.where(below > 0, p * (gamma + n * np.where(n > 0, value, 0.0)) / below, np.inf)
