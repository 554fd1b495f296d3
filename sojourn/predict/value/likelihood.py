"""Maximum likelihood for models of buying: from several starts, with a check of what was found, in words.

A model is a :class:`Likelihood`: positive parameters, a function for log-likelihood and gradient of each row, and
what to start from. Rows are distinct combinations of data with a weight, so that a million customers cost as much as
the few thousand different histories that they have.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize

from sojourn.frames import F8

RowLikelihood = Callable[[F8, F8], tuple[F8, F8]]

_LIMIT = 9.0  # of the logarithm of a parameter: beyond a factor of 8,000 from the scale of the data it is running away
_AT_LIMIT = 0.5
_FLAT_SE = 1.5  # a parameter known to no more than a factor of twenty either way is not known
_AGREE = 0.05  # log-likelihoods of two starts that are the same optimum
_STEEP = 1e-3  # of the gradient of the mean log-likelihood, per unit of the logarithm of a parameter
_STEP = 1e-4  # in the logarithm of a parameter, to see how the gradient changes


@dataclass(frozen=True)
class Likelihood:
    """A model to be fitted: names of its positive parameters, and per row log-likelihood [N] and gradient [K, N].

    ``has_unit`` says which parameters are measured in units of the data (weeks, money); ``starts`` are parameters
    to start from, in units where the data have mean one.
    """

    name: str
    parameters: tuple[str, ...]
    has_unit: tuple[bool, ...]
    rows: RowLikelihood
    starts: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Fit:
    """What was fitted: parameters in units of the data, standard errors of their logarithms, and every doubt.

    ``is_converged``: the optimum is inside the limits and the likelihood is flat there in no direction it should not
    be. ``doubts`` says in words what is wrong; it may be empty.
    """

    model: str
    names: tuple[str, ...]
    values: tuple[float, ...]
    log_se: tuple[float, ...]
    log_likelihood: float
    n_customers: float
    n_rows: int
    is_converged: bool
    doubts: tuple[str, ...] = ()

    @property
    def parameters(self) -> dict[str, float]:
        """Parameters by name."""
        return dict(zip(self.names, self.values, strict=True))

    @property
    def array(self) -> F8:
        """Parameters in the order of the model."""
        return np.array(self.values)


def fit_likelihood(model: Likelihood, rows: F8, weights: F8, scale: float, starts: Sequence[F8] = ()) -> Fit:
    """The parameters most likely to give ``rows`` [C, N] with ``weights`` [N], from all starts of the model.

    ``scale`` is what one unit of the data's mean is: parameters with a unit are fitted relative to it, so that all
    are near one. ``starts``: parameters in units of the data to start from instead. Never raises for data that the
    model does not fit: ``is_converged`` and ``doubts`` say so.
    """
    shift = np.where(model.has_unit, np.log(scale), 0.0)
    begin = [np.log(np.asarray(s)) for s in model.starts] if not len(starts) else [np.log(s) - shift for s in starts]
    found = [_climb(model, rows, weights, shift, start) for start in begin]
    best = min(found, key=lambda one: one[1])
    theta, negative, slope = best
    log_se = _find_errors(model, rows, weights, shift, theta)
    doubts = _list_doubts(model, theta, log_se, slope, [one[1] for one in found], float(weights.sum()))
    values = np.exp(theta + shift)
    return Fit(
        model=model.name,
        names=model.parameters,
        values=tuple(map(float, values)),
        log_se=tuple(map(float, log_se)),
        log_likelihood=float(-negative * weights.sum()),
        n_customers=float(weights.sum()),
        n_rows=rows.shape[1],
        is_converged=not doubts,
        doubts=tuple(doubts),
    )


def refit(model: Likelihood, rows: F8, weights: F8, scale: float, start: F8) -> F8:
    """Parameters only, from one start: what a bootstrap needs of each of its samples."""
    shift = np.where(model.has_unit, np.log(scale), 0.0)
    return np.asarray(np.exp(_climb(model, rows, weights, shift, np.log(start) - shift)[0] + shift))


def _measure(theta: F8, model: Likelihood, rows: F8, weights: F8, shift: F8) -> tuple[float, F8]:
    """Minus the mean log-likelihood and its gradient, by the logarithms of the parameters."""
    values = np.exp(theta + shift)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        each, gradient = model.rows(values, rows)
    total = weights.sum()
    mean = float(weights @ each / total)
    slope = gradient @ weights / total * values
    if not np.isfinite(mean) or not np.isfinite(slope).all():
        return 1e10, np.zeros_like(theta)
    return -mean, -slope


def _climb(model: Likelihood, rows: F8, weights: F8, shift: F8, start: F8) -> tuple[F8, float, float]:
    """The optimum above one start: log parameters, minus the mean log-likelihood, and the steepest slope there."""
    found: Any = minimize(
        _measure,
        np.clip(start, -_LIMIT, _LIMIT),
        args=(model, rows, weights, shift),
        jac=True,
        method="L-BFGS-B",
        bounds=[(-_LIMIT, _LIMIT)] * len(start),
        options={"maxiter": 500, "ftol": 1e-13, "gtol": 1e-7, "maxcor": 20},
    )
    theta = np.asarray(found.x, float)
    inside = np.abs(theta) < _LIMIT - 1e-9
    return theta, float(found.fun), float(np.abs(np.asarray(found.jac)[inside]).max(initial=0.0))


def _find_errors(model: Likelihood, rows: F8, weights: F8, shift: F8, theta: F8) -> F8:
    """Standard errors of the log parameters from the curvature of the likelihood; infinite where there is none."""
    k = len(theta)
    curvature = np.zeros((k, k))
    for i in range(k):
        step = np.zeros(k)
        step[i] = _STEP
        up = _measure(theta + step, model, rows, weights, shift)[1]
        down = _measure(theta - step, model, rows, weights, shift)[1]
        curvature[i] = (up - down) / (2 * _STEP)
    curvature = (curvature + curvature.T) / 2 * weights.sum()
    size, direction = np.linalg.eigh(curvature)
    spread = np.where(size > 1e-8, 1 / np.maximum(size, 1e-8), np.inf)
    with np.errstate(invalid="ignore"):
        share = np.where(direction**2 > 1e-6, direction**2 * spread, 0.0)
    return np.asarray(np.sqrt(share.sum(axis=1)))


def _list_doubts(
    model: Likelihood, theta: F8, log_se: F8, slope: float, reached: Sequence[float], n: float
) -> list[str]:
    """What is wrong with an optimum, in words; nothing when it is sound."""
    doubts = []
    for name, at, se in zip(model.parameters, theta, log_se, strict=True):
        if abs(at) > _LIMIT - _AT_LIMIT:
            way = "upwards without end" if at > 0 else "towards zero"
            doubts.append(f"{name} runs {way}: the likelihood has no maximum that could be used")
        elif se > _FLAT_SE:
            doubts.append(f"the data do not say what {name} is: it may be many times smaller or larger")
    if slope > _STEEP:
        doubts.append("the search for the maximum ended on a slope")
    if len(reached) > 1 and sum((one - min(reached)) * n < _AGREE for one in reached) < 2:
        doubts.append("of all starts only one reached the best likelihood: there may be a better one")
    return doubts
