"""What one customer may happen to spend: draws from what a fitted model believes of them, and their quantiles.

The interval of an *expected* value says how well the model is known. This one says how far a customer may be from it:
a rate, a chance of leaving and a level of spending are drawn from what their past makes likely, then purchases and
their values. Parameters stay as fitted; with hundreds of customers what they are unsure of is small beside chance.
"""

from __future__ import annotations

import numpy as np

from sojourn.frames import F8
from sojourn.predict.value import bgnbd as value_bgnbd
from sojourn.predict.value import pareto_nbd as value_pareto
from sojourn.predict.value.buying import BUYING, WEEK_DAYS, buying_rows
from sojourn.predict.value.likelihood import Fit
from sojourn.predict.value.purchases import Histories

SPAN_P = 0.9
"""Of the interval of what a customer will spend: one in twenty is expected below it and one in twenty above."""
_N_DRAWS = 400
_BLOCK = 4_000  # customers at a time


def draw_purchases(name: str, parameters: F8, rows: F8, days: float, rng: np.random.Generator) -> F8:
    """One possible number of purchases [N] in the next ``days`` of each customer ``(x, t, T)`` [3, N] in weeks.

    Given the past, a customer who is still one has a gamma distributed rate and, by the model, a beta distributed
    chance of leaving after a purchase (BG/NBD) or a gamma distributed rate of leaving (Pareto/NBD).

    >>> rows = np.tile([[2.0], [20.0], [30.0]], 20_000)
    >>> drawn = draw_purchases("BG/NBD", np.array([0.5, 6.0, 0.8, 2.4]), rows, 70.0, np.random.default_rng(0))
    >>> expected = value_bgnbd.expect_purchases(np.array([0.5, 6.0, 0.8, 2.4]), rows[:, :1], 10.0)[0]
    >>> bool(abs(drawn.mean() - expected) < 0.03)
    True
    """
    x, _, age = rows
    r, alpha = parameters[:2]
    time: F8 = np.full(rows.shape[1], days / WEEK_DAYS)
    is_alive = rng.random(rows.shape[1]) < BUYING[name].alive_p(parameters, rows)
    rate = rng.gamma(r + x) / (alpha + age)
    if name == value_pareto.MODEL.name:
        leaving = rng.gamma(parameters[2], size=len(x)) / (parameters[3] + age)
        time = np.minimum(time, rng.exponential(size=len(x)) / np.maximum(leaving, 1e-300))
    bought = rng.poisson(np.minimum(rate * time, 1e9)).astype(float)
    if name == value_bgnbd.MODEL.name:
        p = np.maximum(rng.beta(parameters[2], parameters[3] + x), 1e-12)
        bought = np.minimum(bought, rng.geometric(p))  # the purchase after which they leave is still made
    return np.where(is_alive, bought, 0.0)


def draw_spending(known: Histories, spend: Fit | None, bought: F8, rng: np.random.Generator) -> F8:
    """One possible total value [N] of so many purchases [N]; the number itself where no purchase has a value.

    By gamma-gamma. Where that does not converge, each purchase brings the customer's own mean, or that of a customer
    drawn at random where they have none.
    """
    is_valued = known.n_valued > 0
    if spend is None or not is_valued.any():
        return bought
    mean = np.where(is_valued, known.mean_value, 0.0)
    if not spend.is_converged:
        some = rng.choice(known.mean_value[is_valued], len(bought))
        return bought * np.where(is_valued, mean, some)
    p, q, scale = spend.array
    level = np.maximum(rng.gamma(q + p * known.n_valued) / (scale + known.n_valued * mean), 1e-300)
    return np.where(bought > 0, rng.gamma(np.maximum(p * bought, 1e-12)) / level, 0.0)


def foresee_spending(
    known: Histories, base: Fit, spend: Fit | None, days: float, rng: np.random.Generator, *, n_draws: int = _N_DRAWS
) -> tuple[F8, F8]:
    """The 5th and 95th percentile [N] of what each customer will spend in the next ``days``, not discounted."""
    rows, n = buying_rows(known), len(known)
    low, high = np.empty(n), np.empty(n)
    for start in range(0, n, _BLOCK):
        part = slice(start, start + _BLOCK)
        some = Histories(
            known.names,
            known.customer[part],
            known.n_repeat[part],
            known.recency_days[part],
            known.age_days[part],
            known.n_valued[part],
            known.mean_value[part],
        )
        draws = np.stack(
            [
                draw_spending(some, spend, draw_purchases(base.model, base.array, rows[:, part], days, rng), rng)
                for _ in range(n_draws)
            ]
        )
        low[part], high[part] = np.quantile(draws, [(1 - SPAN_P) / 2, (1 + SPAN_P) / 2], axis=0)
    return low, high
