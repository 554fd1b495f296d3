"""Where to cut a feature's values into levels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def choose_cuts(values: NDArray[np.float64], n_levels: int = 4) -> tuple[NDArray[np.float64], ...]:
    """Per column of ``values``, shape (observations, features), rising cuts: level = number of cuts at or below.

    A value that alone makes up at least one level's share (0 of a count that is mostly 0) gets a level of its own; the
    other values are cut at quantiles into the levels that remain (one more when such a value lies among them). Missing
    values are left out; a feature with one value, or none, has no cuts.

    >>> choose_cuts(np.array([[0.0], [0.0], [0.0], [0.0], [1.0], [2.0], [3.0], [4.0]]), 3)[0].tolist()
    [5e-324, 3.0]
    """
    if n_levels < 2:
        raise ValueError("at least two levels are needed")
    return tuple(_cut(values[:, k], n_levels) for k in range(values.shape[1]))


def _cut(column: NDArray[np.float64], n_levels: int) -> NDArray[np.float64]:
    known = np.sort(column[np.isfinite(column)])
    if len(known) == 0:
        return np.empty(0)
    distinct, counts = np.unique(known, return_counts=True)
    heavy = distinct[counts >= len(known) / n_levels]
    rest = known[~np.isin(known, heavy)]
    n_rest = max(n_levels - len(heavy), 1)
    cuts = [heavy, np.nextafter(heavy, np.inf)]
    if len(rest):
        cuts.append(rest[np.arange(1, n_rest) * len(rest) // n_rest])
    joined = np.unique(np.concatenate(cuts))
    n_below = np.searchsorted(known, joined)
    is_new = np.diff(n_below, prepend=0) > 0  # else no value lies between this cut and the one before, or the least
    kept: NDArray[np.float64] = joined[is_new & (n_below < len(known))]
    return kept
