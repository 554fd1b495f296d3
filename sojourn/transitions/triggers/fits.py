"""Weighted logistic regression with standard errors by customer, weights by the chance of a touch, and E-values.

Part of :mod:`sojourn.transitions.triggers.hazards`. statsmodels is the reference in the tests; its GLM takes a
pseudo-inverse per step,
too slow for hundreds of fits in one run.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from sojourn.frames import Bools
from sojourn.transitions.precursors import Matrix, sum_by_customer
from sojourn.transitions.stays import Codes, Floats

MAX_STEPS = 40
PRIOR_SD = 10.0
"""Of columns that are only held equal, per standard deviation of the column: wide enough to change nothing else."""

TRIM = 0.01
"""Instants whose chance of a touch lies below the touched ones' lowest or above the untouched ones' highest 1 %
have none to be compared with, and are left out."""


@dataclass(frozen=True)
class Fit:
    """Coefficients (log ratios) and their standard errors, robust by customer."""

    beta: Floats
    se: Floats


def fit_logit(x: Matrix, is_move: Bools, weight: Floats, customer: Codes, *, n_free: int | None = None) -> Fit | None:
    """Coefficients of a weighted logistic regression; None where no maximum was found.

    ``x`` is [rows, columns], the constant first. Only the first ``n_free`` columns are free (default: all); the others
    are held equal, and a normal prior as wide as :data:`PRIOR_SD` keeps them finite where few moves tell of them.
    Sandwich by customer: Liang & Zeger 1986 (doi:10.1093/biomet/73.1.13).

    >>> x = np.column_stack([np.ones(6), [0, 0, 0, 1, 1, 1]])
    >>> fit = fit_logit(x, np.array([True, False, False, True, True, False]), np.ones(6), np.arange(6, dtype=np.int32))
    >>> fit.beta.round(4).tolist()  # log 1/2, log 4
    [-0.6931, 1.3863]
    """
    scale = x.std(axis=0)
    scale[0] = 1.0
    if (scale < 1e-12).any():
        return None
    z = (x - x.mean(axis=0)) / scale
    z[:, 0] = 1.0
    penalty = np.full(z.shape[1], PRIOR_SD**-2)
    penalty[: z.shape[1] if n_free is None else n_free] = 0.0
    share = float(np.clip((weight * is_move).sum() / weight.sum(), 1e-6, 1 - 1e-6))
    beta = np.zeros(z.shape[1])
    beta[0] = np.log(share / (1 - share))
    found = _climb(z, is_move, weight, penalty, beta)
    if found is None:
        return None
    beta, information = found
    score = sum_by_customer(customer, z * (weight * (is_move - _expit(z @ beta)))[:, None])
    bread = np.linalg.inv(information)
    back = np.diag(1 / scale)  # to the columns as they came
    back[0, 1:] = -x.mean(axis=0)[1:] / scale[1:]
    n = len(score)
    variance = np.diag(back @ bread @ (score.T @ score) @ bread @ back.T) * n / max(n - 1, 1)
    return Fit(back @ beta, np.sqrt(variance)) if (variance > 0).all() else None


def _climb(z: Matrix, is_move: Bools, weight: Floats, penalty: Floats, beta: Floats) -> tuple[Floats, Matrix] | None:
    """Newton's steps to the maximum, halved where they overshoot; with the information there."""

    def level_of(beta: Floats) -> float:
        eta = z @ beta
        likelihood = (weight * (np.where(is_move, eta, 0.0) - np.logaddexp(0.0, eta))).sum()
        return float(likelihood - (penalty * beta**2).sum() / 2)

    level = level_of(beta)
    for _ in range(MAX_STEPS):
        p = _expit(z @ beta)
        information = (z * (weight * p * (1 - p))[:, None]).T @ z + np.diag(penalty)
        if not np.isfinite(information).all() or np.linalg.cond(information) > 1e10:
            return None
        step = np.linalg.solve(information, z.T @ (weight * (is_move - p)) - penalty * beta)
        if np.abs(step).max() < 1e-7:
            return beta, information
        size = 1.0
        while (new := level_of(beta + size * step)) < level - 1e-9 and size > 1e-4:
            size /= 2
        beta, level = beta + size * step, new
    return None


def _expit(x: Floats) -> Floats:
    return np.asarray(expit(x))


def weigh_by_chance(x: Matrix, is_touched: Bools, is_base: Bools, customer: Codes) -> Floats | None:
    """Stabilised inverse-propensity weights, 0 where the touched and the untouched have none alike; None: no fit.

    The chance of a touch is learned on base instants, which stand for all time at risk. Hernán, Brumback & Robins
    2000 (doi:10.1097/00001648-200009000-00011); truncated at the 1 and 99 % points, Cole & Hernán 2008
    (doi:10.1093/aje/kwn164).
    """
    base, touched = x[is_base], is_touched[is_base]
    fit = fit_logit(base, touched, np.ones(len(base)), customer[is_base], n_free=1)
    if fit is None:
        return None
    chance = _expit(x @ fit.beta)
    low = np.quantile(chance[is_base & is_touched], TRIM)
    high = np.quantile(chance[is_base & ~is_touched], 1 - TRIM)
    is_alike = (chance >= low) & (chance <= high)
    usual = (touched & is_alike[is_base]).sum() / max(is_alike[is_base].sum(), 1)
    weight = np.where(is_touched, usual / chance, (1 - usual) / (1 - chance))
    cut = np.quantile(weight[is_base & is_alike], (TRIM, 1 - TRIM)) if (is_base & is_alike).any() else (0.0, 0.0)
    return np.where(is_alike, np.clip(weight, *cut), 0.0)


def e_value(ratio: float) -> float:
    """How strongly something unseen must be tied to both touch and move to explain the ratio away, at least 1.

    VanderWeele & Ding 2017 (doi:10.7326/M16-2607), for a ratio of rates.

    >>> round(e_value(3.9), 2), round(e_value(1 / 3.9), 2), e_value(1.0)
    (7.26, 7.26, 1.0)
    """
    ratio = max(ratio, 1 / ratio)
    return float(ratio + np.sqrt(ratio * (ratio - 1)))
