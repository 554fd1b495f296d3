"""Pareto/NBD: customers buy at random at a rate of their own, and drop out for good at any time.

Rates are gamma distributed over customers (``r``, ``alpha``), and so are dropout rates (``s``, ``beta``; alpha and
beta in units of time). Data as for BG/NBD: repeat purchases ``x``, the time of the last one ``t`` and the time
observed ``T``. Source: Schmittlein, Morrison & Colombo 1987, doi:10.1287/mnsc.33.1.1.

The likelihood has two parts: alive until ``T``, or dropped out at some time between ``t`` and ``T``. The second is
an integral over that time, usually written as a difference of two hypergeometric functions, whose digits cancel when
``t`` is near ``T``. Here it stays an integral, by Gauss quadrature in a variable in which the integrand is flat.
"""

from __future__ import annotations

import numpy as np
from scipy.special import exprel, gammaln, psi

from sojourn.frames import F8
from sojourn.predict.value.likelihood import Likelihood

_NODES, _WEIGHTS = (np.asarray(one) for one in np.polynomial.legendre.leggauss(32))


def rows_likelihood(parameters: F8, rows: F8) -> tuple[F8, F8]:
    """Log-likelihood of each row ``(x, t, T)`` [N] and its gradient by ``r, alpha, s, beta`` [4, N].

    >>> each, _ = rows_likelihood(np.array([0.553, 10.58, 0.606, 11.66]), np.array([[2.0], [30.43], [38.86]]))
    >>> round(float(each[0]), 4)
    -9.5546
    """
    r, alpha, s, beta = parameters
    x, _, age = rows
    alive = -(r + x) * np.log(alpha + age) - s * np.log(beta + age)
    gone, at, weight = _integrate(parameters, rows)
    both = np.logaddexp(alive, gone)
    gone_p = np.exp(gone - both)
    each = gammaln(r + x) - gammaln(r) + r * np.log(alpha) + s * np.log(beta) + both

    def mix(late: F8, between: F8) -> F8:
        return np.asarray((1 - gone_p) * late + gone_p * np.einsum("ij,ij->i", weight, between))

    gradient = np.stack(
        [
            psi(r + x) - psi(r) + np.log(alpha) - mix(np.log(alpha + age), np.log(alpha + at)),
            r / alpha - (r + x) * mix(1 / (alpha + age), 1 / (alpha + at)),
            np.log(beta) + gone_p / s - mix(np.log(beta + age), np.log(beta + at)),
            s / beta - mix(s / (beta + age), (s + 1) / (beta + at)),
        ]
    )
    return each, gradient


def _integrate(parameters: F8, rows: F8) -> tuple[F8, F8, F8]:
    """The log of the second part of the likelihood [N], the times of dropping out [N, Q], and what each weighs."""
    r, alpha, s, beta = parameters
    x, t, age = rows
    # In y, the log of the nearer scale + time since t, the integrand falls off at most at the rate n; in log(1 + n y)
    # what happens within 1 / n of t has as much room as all that comes later, for any parameters.
    near, n = min(alpha, beta), r + x + s
    reach = np.log1p(n * np.maximum(np.log((near + age) / (near + t)), 1e-300))[:, None]
    stretch = reach * (1 + _NODES) / 2
    log_time = np.log(near + t)[:, None] + np.expm1(stretch) / n[:, None]
    at = np.exp(log_time) - near
    part = (
        np.log(s)
        - (r + x)[:, None] * np.log(alpha + at)
        - (s + 1) * np.log(beta + at)
        + log_time
        + stretch
        + np.log(reach / n[:, None])
        + np.log(_WEIGHTS / 2)
    )
    most = part.max(axis=1)
    weight = np.exp(part - most[:, None])
    total = weight.sum(axis=1)
    return most + np.log(total), at, weight / total[:, None]


MODEL = Likelihood(
    "Pareto/NBD",
    ("r", "alpha", "s", "beta"),
    (False, True, False, True),
    rows_likelihood,
    ((0.5, 0.4, 0.6, 0.4), (1.0, 0.5, 1.0, 1.0), (3.0, 1.0, 0.3, 0.1), (0.5, 0.1, 2.0, 5.0)),
)


def alive_p(parameters: F8, rows: F8) -> F8:
    """Probability that each customer has not dropped out until the end of their observation."""
    r, alpha, s, beta = parameters
    x, _, age = rows
    alive = -(r + x) * np.log(alpha + age) - s * np.log(beta + age)
    return np.asarray(np.exp(alive - np.logaddexp(alive, _integrate(parameters, rows)[0])))


def expect_purchases(parameters: F8, rows: F8, time: float | F8) -> F8:
    """Expected purchases of each customer in the next ``time``, as known at the end of their observation."""
    r, alpha, s, beta = parameters
    x, _, age = rows
    log_growth = np.log1p(np.asarray(time, float) / (beta + age))
    # The mean time that a customer who is alive stays so, within the horizon; exprel has no hole at s = 1.
    lived = (beta + age) * log_growth * exprel((1 - s) * log_growth)
    return np.asarray((r + x) / (alpha + age) * lived * alive_p(parameters, rows))
