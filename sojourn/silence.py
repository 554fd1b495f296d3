"""Where to cut silence: boundaries learned from the gaps between events."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

F8 = NDArray[np.float64]

_MINUTE, _HOUR, _DAY = 60.0, 3_600.0, 86_400.0
CANDIDATES_S = (
    5 * _MINUTE, 15 * _MINUTE, 30 * _MINUTE, _HOUR, 2 * _HOUR, 4 * _HOUR, 8 * _HOUR, 12 * _HOUR,
    _DAY, 2 * _DAY, 3 * _DAY, 5 * _DAY, 7 * _DAY, 10 * _DAY, 14 * _DAY, 21 * _DAY, 30 * _DAY,
    45 * _DAY, 60 * _DAY, 90 * _DAY, 120 * _DAY, 180 * _DAY, 365 * _DAY,
)  # fmt: skip
"""Round durations that a person can read; learned boundaries are chosen among them."""


def learn_boundaries(gaps_s: F8, censored_s: F8, *, max_boundaries: int = 6) -> tuple[float, ...]:
    """The boundaries (s) that best describe the gaps as a piecewise constant rate of return, at most six.

    ``gaps_s`` are the silences between events, ``censored_s`` those still open at now. The number of
    boundaries minimises the Bayesian information criterion, their places maximise the likelihood of the
    piecewise exponential distribution, exactly, by dynamic programming over :data:`CANDIDATES_S`.

    >>> rng = np.random.default_rng(0)
    >>> gaps = np.where(rng.random(5000) < 0.7, rng.exponential(60, 5000), rng.exponential(3 * 86400, 5000))
    >>> 5 * 60 <= learn_boundaries(gaps, np.empty(0))[0] <= 3600
    True

    Source: Friedman 1982, doi:10.1214/aos/1176345693 (piecewise exponential survival); Schwarz 1978,
    doi:10.1214/aos/1176344136.
    """
    edges = np.array([0.0, *CANDIDATES_S, np.inf])
    ended = np.histogram(gaps_s, edges)[0].astype(np.float64)
    exposure = _exposure(np.concatenate([gaps_s, censored_s]), edges)
    ended_before, exposed_before = np.append(0, ended.cumsum()), np.append(0, exposure.cumsum())
    n_pieces = len(edges) - 1

    def score(a: int, b: int) -> float:
        """Log-likelihood of pieces a … b - 1 sharing one rate."""
        d, e = ended_before[b] - ended_before[a], exposed_before[b] - exposed_before[a]
        return float(d * np.log(d / e) - d) if d > 0 and e > 0 else 0.0

    scores = np.array([[score(a, b) if b > a else -np.inf for b in range(n_pieces + 1)] for a in range(n_pieces)])
    best, back = scores[0].copy(), np.zeros((max_boundaries + 1, n_pieces + 1), np.int64)
    totals = [best[n_pieces]]
    for m in range(1, max_boundaries + 1):
        options = best[:n_pieces, None] + scores
        back[m] = options.argmax(axis=0)
        best = options.max(axis=0)
        totals.append(best[n_pieces])
    n_ended = max(float(ended.sum()), 2.0)
    costs = [-2 * total + (2 * m + 1) * np.log(n_ended) for m, total in enumerate(totals)]
    m = max(int(np.argmin(costs)), 1)
    cuts, at = [], n_pieces
    while m > 0:
        at = int(back[m, at])
        cuts.append(float(edges[at]))
        m -= 1
    return tuple(sorted(cuts))


def _exposure(durations: F8, edges: F8) -> F8:
    """Total time spent in each piece by durations that start at zero."""
    ordered = np.sort(durations)
    sums = np.append(0.0, ordered.cumsum())
    out = np.empty(len(edges) - 1)
    for j, (a, b) in enumerate(itertools.pairwise(edges)):
        i, k = np.searchsorted(ordered, a), np.searchsorted(ordered, b)
        out[j] = (sums[k] - sums[i]) - a * (k - i) + ((b - a) * (len(ordered) - k) if np.isfinite(b) else 0.0)
    return out
