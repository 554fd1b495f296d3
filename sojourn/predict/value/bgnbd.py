"""BG/NBD: customers buy at random at a rate of their own, and may drop out for good right after any purchase.

Rates are gamma distributed over customers (``r``, ``alpha``; alpha in units of time), dropout probabilities beta
(``a``, ``b``). Data are repeat purchases ``x``, the time of the last one ``t`` and the time observed ``T``, both since
the first purchase. Source: Fader, Hardie & Lee 2005, doi:10.1287/mksc.1040.0098.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import eigh_tridiagonal
from scipy.special import expit, gammaln, psi

from sojourn.frames import F8
from sojourn.predict.value.likelihood import Likelihood

_N_NODES = 40


def rows_likelihood(parameters: F8, rows: F8) -> tuple[F8, F8]:
    """Log-likelihood of each row ``(x, t, T)`` [N] and its gradient by ``r, alpha, a, b`` [4, N].

    >>> each, _ = rows_likelihood(np.array([0.243, 4.414, 0.793, 2.426]), np.array([[2.0], [30.43], [38.86]]))
    >>> round(float(each[0]), 4)
    -9.4586
    """
    r, alpha, a, b = parameters
    x, t, age = rows
    log_late, log_early = np.log(alpha + age), np.log(alpha + t)
    alive = -(r + x) * log_late
    is_repeat = x > 0
    before = np.maximum(b + x - 1, 1e-300)
    gone = np.where(is_repeat, np.log(a) - np.log(before) - (r + x) * log_early, -np.inf)
    gone_p = np.where(is_repeat, expit(gone - alive), 0.0)
    each = (
        gammaln(r + x)
        - gammaln(r)
        + r * np.log(alpha)
        + gammaln(a + b)
        + gammaln(b + x)
        - gammaln(b)
        - gammaln(a + b + x)
        + np.logaddexp(alive, gone)
    )
    ends = psi(a + b) - psi(a + b + x)
    gradient = np.stack(
        [
            psi(r + x) - psi(r) + np.log(alpha) - (1 - gone_p) * log_late - gone_p * log_early,
            r / alpha - (r + x) * ((1 - gone_p) / (alpha + age) + gone_p / (alpha + t)),
            ends + gone_p / a,
            ends + psi(b + x) - psi(b) - gone_p / before,
        ]
    )
    return each, gradient


MODEL = Likelihood(
    "BG/NBD",
    ("r", "alpha", "a", "b"),
    (False, True, False, False),
    rows_likelihood,
    ((0.3, 0.2, 0.8, 2.5), (1.0, 0.5, 1.0, 1.0), (3.0, 1.0, 0.3, 5.0), (0.5, 0.05, 0.1, 0.3)),
)


def alive_p(parameters: F8, rows: F8) -> F8:
    """Probability that each customer has not dropped out. One without a repeat purchase could not yet: 1."""
    r, alpha, a, b = parameters
    x, t, age = rows
    odds = np.log(a) - np.log(np.maximum(b + x - 1, 1e-300)) + (r + x) * np.log((alpha + age) / (alpha + t))
    return np.where(x > 0, expit(-odds), 1.0)


def expect_purchases(parameters: F8, rows: F8, time: float | F8) -> F8:
    """Expected purchases of each customer in the next ``time``, as known at the end of their observation.

    The mean over what the customer's dropout probability may be, by Gauss quadrature on its beta distribution. Equal
    to the closed form with a hypergeometric function, which loses all digits for frequent buyers and has a hole at
    a = 1.
    """
    r, alpha, a, b = parameters
    x, _, age = rows
    horizon = np.broadcast_to(np.asarray(time, float), x.shape)
    active = np.empty(x.shape)
    counts, places = np.unique(x, return_inverse=True)
    order = np.argsort(places, kind="stable")
    ends = np.cumsum(np.bincount(places, minlength=len(counts)))
    for n, chosen in zip(counts, np.split(order, ends[:-1]), strict=True):
        p, weight = beta_nodes(a, b + n, _N_NODES)
        growth = np.log1p(np.outer(horizon[chosen] / (alpha + age[chosen]), p))
        active[chosen] = -np.expm1(-(r + n) * growth) / p @ weight
    return active * alive_p(parameters, rows)


def beta_nodes(a: float, b: float, n: int) -> tuple[F8, F8]:
    """Nodes and weights of the ``n``-point Gauss rule for the mean over a beta distribution.

    >>> p, weight = beta_nodes(2.0, 3.0, 5)
    >>> round(float(p @ weight), 12), round(float(p**2 @ weight), 12)
    (0.4, 0.2)

    Source: Golub & Welsch 1969, doi:10.1090/S0025-5718-69-99647-1.
    """
    k = np.arange(1, n, dtype=float)
    total = a + b
    # The Jacobi polynomials' recurrence on [0, 1]; the first coefficients are the mean and the variance.
    middle = np.concatenate([[a / total], _middles(a, b, k)])
    with np.errstate(invalid="ignore"):
        beside = k * (k + a - 1) * (k + b - 1) * (k + total - 2) / ((2 * k + total - 2) ** 2 * _outer(total, k))
    beside[0] = a * b / (total**2 * (total + 1))
    p, vectors = eigh_tridiagonal(middle, np.sqrt(beside))
    return np.clip(p, 1e-300, 1.0), vectors[0] ** 2


def _middles(a: float, b: float, k: F8) -> F8:
    c = 2 * k + a + b - 2
    return (1 + (a - 1 - (b - 1)) * (a + b - 2) / (c * (c + 2))) / 2


def _outer(total: float, k: F8) -> F8:
    c = 2 * k + total - 2
    return (c - 1) * (c + 1)
