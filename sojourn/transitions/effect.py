"""The effect of having moved on what came after, for those who moved, against others alike who stayed.

For rows ``i`` with covariates ``x``, treatment ``t`` (moved) and outcome ``y``, the doubly robust estimate of the
effect on the treated is ``sum(r) / sum(t)`` with

    r_i = t_i (y_i - m(x_i)) - (1 - t_i) e(x_i) / (1 - e(x_i)) (y_i - m(x_i)),

where ``m`` is what those who stayed would be expected to have, and ``e`` the probability of moving. It is right when
one of the two is. Both are learned on other customers than those they are used for (cross-fitting).

Sources: Robins, Rotnitzky & Zhao 1994, doi:10.1080/01621459.1994.10476818; Chernozhukov et al. 2018,
doi:10.1111/ectj.12097 (cross-fitting); Crump et al. 2009, doi:10.1093/biomet/asn055 (overlap).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import Ridge
from sklearn.preprocessing import SplineTransformer, StandardScaler

from sojourn.frames import F8, I8, Bools
from sojourn.transitions.logistic import fit_logistic

N_FOLDS = 5
MOST_P = 0.95
"""Who was likelier to move than this has no like who stayed, and is left out."""
LEAST_P = 0.01
N_DRAWS = 400


@dataclass(frozen=True)
class Effect:
    """The effect with its 95 % interval; ``naive`` is the plain difference of means.

    ``overlap_p``: the share of those who moved whose like also stayed; the others are left out of ``value``.
    """

    value: float
    low: float
    high: float
    naive: float
    overlap_p: float


def estimate_effects(x: F8, is_moved: Bools, y: F8, customer: I8, *, rng: np.random.Generator) -> list[Effect]:
    """The effect on those who moved, for each outcome. Rows of one customer are kept together everywhere.

    ``x`` [rows, covariates] without missing values, ``y`` [rows, outcomes], ``customer`` a number per row. Raises
    ValueError where nobody moved or nobody stayed.

    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(4000, 1))
    >>> is_moved = rng.random(4000) < 1 / (1 + np.exp(-x[:, 0]))  # high spenders move more often
    >>> y = 3 * x[:, :1] + 1.0 * is_moved[:, None] + rng.normal(size=(4000, 1))
    >>> [found] = estimate_effects(x, is_moved, y, np.arange(4000), rng=rng)
    >>> found.low < 1.0 < found.high, found.naive > 2
    (True, True)
    """
    if is_moved.all() or not is_moved.any():
        raise ValueError("somebody must have moved, and somebody must have stayed")
    e, m = _cross_fit(x, is_moved, y, customer, rng)
    kept = e <= MOST_P
    e = np.clip(e, LEAST_P, MOST_P)
    rest = np.where(kept[:, None], y - m, 0.0)
    score = np.where(is_moved[:, None], rest, -(e / (1 - e))[:, None] * rest)
    weight = (is_moved & kept).astype(np.float64)
    names, code = np.unique(customer, return_inverse=True)
    moved = np.bincount(code, weight, len(names))
    totals = np.column_stack([np.bincount(code, score[:, k], len(names)) for k in range(y.shape[1])])
    # Customers are drawn again; the models stay, which cross-fitting makes a matter of second order.
    n = len(names)
    drawn = np.array([np.bincount(rng.integers(0, n, n), minlength=n) for _ in range(N_DRAWS)])
    draws = (drawn @ totals) / np.maximum(drawn @ moved, 1.0)[:, None]
    value, overlap = totals.sum(axis=0) / max(moved.sum(), 1.0), float(weight.sum() / is_moved.sum())
    low, high = np.quantile(draws, [0.025, 0.975], axis=0)
    naive = y[is_moved].mean(axis=0) - y[~is_moved].mean(axis=0)
    return [Effect(float(value[k]), float(low[k]), float(high[k]), float(naive[k]), overlap) for k in range(y.shape[1])]


def _cross_fit(x: F8, is_moved: Bools, y: F8, customer: I8, rng: np.random.Generator) -> tuple[F8, F8]:
    """``(probability of moving, expected outcomes of those who stay)`` of each row, by models of other customers."""
    spread = x.std(axis=0)
    z = StandardScaler().fit_transform(x[:, spread > 1e-9]) if (spread > 1e-9).any() else np.zeros((len(x), 1))
    # Curves, so that no straight line is taken for granted; the same for both models.
    z = SplineTransformer(n_knots=5, degree=2, knots="quantile", extrapolation="constant").fit_transform(z)
    names, code = np.unique(customer, return_inverse=True)
    fold = (rng.permutation(len(names)) % N_FOLDS)[code]
    e, m = np.full(len(x), is_moved.mean()), np.zeros(y.shape)
    for k in range(N_FOLDS):
        train, test = fold != k, fold == k
        stayed = train & ~is_moved
        if 0 < is_moved[train].sum() < train.sum():
            e[test] = fit_logistic(z[train], is_moved[train], max_iter=300).probability(z[test])
        if stayed.any() and test.any():
            m[test] = Ridge(alpha=1.0).fit(z[stayed], y[stayed]).predict(z[test]).reshape(-1, y.shape[1])
    return e, m
