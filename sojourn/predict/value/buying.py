"""The models of buying on histories: fitting, who is still a customer, purchases and discounted purchases to come.

Parameters with a unit are in weeks, as in the literature; everything a caller gives or gets is in days.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sojourn.frames import F8, I8
from sojourn.predict.value import bgnbd as value_bgnbd
from sojourn.predict.value import gamma_gamma as value_spend
from sojourn.predict.value import nbd as value_nbd
from sojourn.predict.value import pareto_nbd as value_pareto
from sojourn.predict.value.likelihood import Fit, Likelihood, fit_likelihood
from sojourn.predict.value.purchases import Histories

WEEK_DAYS = 7.0
YEAR_DAYS = 365.25
_NODES, _WEIGHTS = (np.asarray(one) for one in np.polynomial.legendre.leggauss(24))


@dataclass(frozen=True)
class BuyingModel:
    """A model of when customers buy: its likelihood, and what follows from its parameters."""

    likelihood: Likelihood
    alive_p: Callable[[F8, F8], F8]
    expect_purchases: Callable[[F8, F8, float], F8]


BUYING = {
    module.MODEL.name: BuyingModel(module.MODEL, module.alive_p, module.expect_purchases)
    for module in (value_nbd, value_bgnbd, value_pareto)
}
"""Models of buying by name."""


def buying_rows(histories: Histories) -> F8:
    """``(repeat purchases, weeks to the last one, weeks observed)`` of each customer [3, N]."""
    return np.stack([histories.n_repeat, histories.recency_days / WEEK_DAYS, histories.age_days / WEEK_DAYS])


def collapse_rows(rows: F8) -> tuple[F8, I8, F8]:
    """Distinct columns [C, U], which of them each column is [N], and how many there are of each [U].

    >>> collapse_rows(np.array([[1.0, 0.0, 1.0], [2.0, 2.0, 2.0]]))[1].tolist()
    [1, 0, 1]
    """
    order = np.lexsort(rows[::-1])
    ordered = rows[:, order]
    is_new = np.ones(rows.shape[1], bool)
    is_new[1:] = (ordered[:, 1:] != ordered[:, :-1]).any(axis=0)
    places = np.empty(rows.shape[1], np.int64)
    places[order] = np.cumsum(is_new) - 1
    return ordered[:, is_new], places, np.bincount(places, minlength=int(is_new.sum())).astype(float)


def fit_buying(histories: Histories, name: str = "BG/NBD") -> Fit:
    """The model of that name fitted by maximum likelihood; :class:`Fit` says whether it can be used."""
    rows, _, counts = collapse_rows(buying_rows(histories))
    return fit_likelihood(BUYING[name].likelihood, rows, counts, mean_age(rows, counts))


def mean_age(rows: F8, counts: F8) -> float:
    """Mean weeks observed: the scale against which times are fitted. At least one day."""
    return max(float(counts @ rows[2] / counts.sum()), 1 / WEEK_DAYS)


def fit_spend(histories: Histories) -> Fit | None:
    """Gamma-gamma fitted to customers whose purchases have a value; None where fewer than three have."""
    is_valued = histories.n_valued > 0
    if is_valued.sum() < 3:
        return None
    rows, _, counts = collapse_rows(np.stack([histories.n_valued[is_valued], histories.mean_value[is_valued]]))
    return fit_likelihood(value_spend.MODEL, rows, counts, float(counts @ rows[1] / counts.sum()))


def expect_worth(known: Histories, spend: Fit | None, parameters: F8 | None = None) -> F8:
    """Expected value of a purchase: of gamma-gamma, or the mean of all where it cannot be used, or 1."""
    is_valued = known.n_valued > 0
    if spend is None:
        return np.full(len(known), known.mean_value[is_valued].mean() if is_valued.any() else 1.0)
    if not spend.is_converged:
        return np.full(len(known), np.average(known.mean_value[is_valued], weights=known.n_valued[is_valued]))
    rows = np.stack([known.n_valued, known.mean_value])
    return value_spend.expect_value(spend.array if parameters is None else parameters, rows)


def find_alive_p(name: str, parameters: F8, histories: Histories) -> F8:
    """Probability that each customer is still one."""
    rows, places, _ = collapse_rows(buying_rows(histories))
    return BUYING[name].alive_p(parameters, rows)[places]


def expect_purchases(name: str, parameters: F8, histories: Histories, days: float) -> F8:
    """Expected purchases of each customer in the next ``days``."""
    rows, places, _ = collapse_rows(buying_rows(histories))
    return BUYING[name].expect_purchases(parameters, rows, days / WEEK_DAYS)[places]


def discount_purchases(name: str, parameters: F8, rows: F8, days: float, yearly: float) -> F8:
    """Expected purchases of each row in the next ``days``, each counted less the later it is.

    A purchase in a year counts ``1 / (1 + yearly)``. ``days`` may be infinite when ``yearly`` is above zero. With a
    rate of discount d it is the integral of exp(-d u) over the expected purchases by u; by parts that of their number
    by u, in the variable exp(-d u), which has a finite range for any horizon.
    """
    expect = BUYING[name].expect_purchases
    if yearly == 0:
        return expect(parameters, rows, days / WEEK_DAYS)
    rate = np.log1p(yearly) * WEEK_DAYS / YEAR_DAYS
    low = float(np.exp(-rate * days / WEEK_DAYS))
    total = low * expect(parameters, rows, days / WEEK_DAYS) if low > 0 else np.zeros(rows.shape[1])
    for node, weight in zip(_NODES, _WEIGHTS, strict=True):
        v = low + (1 - low) * (1 + node) / 2
        total += (1 - low) / 2 * weight * expect(parameters, rows, float(-np.log(v) / rate))
    return total
