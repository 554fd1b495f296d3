"""What each customer is worth: purchases to come, what each brings, discounted, with an interval and every doubt.

The model is chosen by :mod:`sojourn.predict.value.holdout` on the customers' own later purchases, then fitted again
on all.
``docs/explanation/customer-value.md`` has the formulae and their sources.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from sojourn.errors import EventsError, Problem
from sojourn.frames import F8, Progress
from sojourn.predict.value import gamma_gamma as value_spend
from sojourn.predict.value import nbd as value_nbd
from sojourn.predict.value.buying import (
    BUYING,
    WEEK_DAYS,
    YEAR_DAYS,
    buying_rows,
    collapse_rows,
    discount_purchases,
    expect_purchases,
    expect_worth,
    find_alive_p,
    fit_buying,
    fit_spend,
    mean_age,
)
from sojourn.predict.value.draws import foresee_spending
from sojourn.predict.value.holdout import LAST, LEARNED, MEAN, Holdout, compare_models
from sojourn.predict.value.learners import learn_purchases
from sojourn.predict.value.likelihood import Fit, refit
from sojourn.predict.value.purchases import Histories, Purchases, trace_histories
from sojourn.predict.value.revenue import RevenueHoldout, choose_base, compare_revenue, learn_value
from sojourn.predict.value.rows import Behaviour

_LEAST_CUSTOMERS = 50
_LEAST_HOLDOUT_DAYS = 7
_RELATED = 0.3  # correlation of value with frequency above which gamma-gamma's independence is in doubt
_OFF = 1.25  # purchases expected over those made, either way, that is said to be wrong


@dataclass(frozen=True, eq=False)
class Values:
    """Value of all customers known on a day, and how it was found.

    ``customers``: ``customer_id, n_purchases, recency_days, age_days, n_valued, mean_value``, then ``alive_p`` (null
    where the chosen model knows no dropping out), ``expected_purchases`` in the horizon, ``purchase_value`` expected of
    each, ``value`` (discounted; in purchases where none has a value) and its interval ``value_low``, ``value_high``,
    and ``spend_low``, ``spend_high``.
    ``total`` is the sum over customers with its interval. ``fits`` are of all data, ``holdout`` tells the choice;
    ``chosen`` differs from its choice only where that does not converge on all data. With behaviour, ``revenue`` is
    the comparison on what was spent, and a learner it chose is ``learned``: ``value`` is then that learner's, while
    ``expected_purchases`` and ``purchase_value`` stay those of ``chosen``. ``spend_low`` and ``spend_high`` are where
    one customer's spending, not discounted, ends up in nine of ten cases by the likeliest model of buying.
    """

    customers: pa.Table
    horizon_days: int
    yearly_discount: float
    chosen: str
    fits: dict[str, Fit]
    spend: Fit | None
    holdout: Holdout
    total: tuple[float, float, float]
    doubts: tuple[str, ...]
    revenue: RevenueHoldout | None = None
    learned: str | None = None


def value_customers(
    purchases: Purchases,
    day: int,
    *,
    horizon_days: int = 365,
    yearly_discount: float = 0.1,
    holdout_days: int | None = None,
    n_bootstrap: int = 100,
    seed: int = 0,
    behaviour: Behaviour | None = None,
    progress: Progress | None = None,
) -> Values:
    """The value of each customer known at the end of ``day`` over the ``horizon_days`` after it.

    ``holdout_days``: the last days that models are compared on; by default the horizon, at most a third of the time
    known. The 95 % intervals are of the expected value (customers drawn with replacement, models fitted again), not
    of what one customer will happen to spend. ``behaviour`` (:func:`sojourn.predict.value.rows.watch_behaviour`):
    with it
    models learned on all that customers do are compared too, and used where they foresee better what was spent. Raises
    EventsError for fewer than 50 customers or under three weeks.
    """
    first = int(purchases.day.min())
    known = trace_histories(purchases, day)
    holdout_days = holdout_days or max(min(horizon_days, (day - first) // 3), 1)
    n_before = len(trace_histories(purchases, day - holdout_days))
    if n_before < _LEAST_CUSTOMERS or holdout_days < _LEAST_HOLDOUT_DAYS:
        what = f"{n_before} customers bought before the last {holdout_days} days: too few to compare models"
        raise EventsError(Problem("events", f"{what}; {_LEAST_CUSTOMERS} and {_LEAST_HOLDOUT_DAYS} days are needed"))
    tell = progress or _ignore
    tell("compare models", 0, 1)
    holdout = compare_models(purchases, day - holdout_days, holdout_days, seed=seed)
    revenue = compare_revenue(behaviour, purchases, holdout, seed=seed) if behaviour is not None else None
    tell("compare models", 1, 1)
    fits = {name: fit_buying(known, name) for name in BUYING}
    spend = fit_spend(known)
    base = _choose_base(holdout.chosen, fits)
    chosen = LEARNED if base and holdout.chosen == LEARNED else base.model if base else MEAN
    expected = _expect(purchases, known, day, chosen, base, horizon_days, seed)
    reduced = _reduce(known, base, horizon_days, yearly_discount)
    worth = expect_worth(known, spend)
    value = expected * reduced * worth
    learned = None
    if behaviour is not None and revenue is not None and revenue.is_learned:
        plain = expect_purchases(base.model, base.array, known, horizon_days) if base else expected
        learned = learn_value(behaviour, purchases, day, holdout.days, revenue.chosen, base, spend, seed=seed)
        value = value if learned is None else plain * reduced * worth * learned[0] / learned[1]
    lows, highs, total = _find_intervals(known, base, spend, horizon_days, value, n_bootstrap, seed, tell)
    is_leaving = base is not None and base.model != value_nbd.MODEL.name
    nobody = np.full(len(known), np.nan)
    rng = np.random.default_rng([seed, 1])
    ends = foresee_spending(known, base, spend, horizon_days, rng) if base else (nobody, nobody)
    alive = find_alive_p(base.model, base.array, known) if base and is_leaving else nobody
    table = known.as_table()
    for name, column in (
        ("alive_p", alive),
        ("expected_purchases", expected),
        ("purchase_value", worth),
        ("value", value),
        ("value_low", lows),
        ("value_high", highs),
        ("spend_low", ends[0]),
        ("spend_high", ends[1]),
    ):
        table = table.append_column(name, pa.array(column, from_pandas=True))
    return Values(
        table,
        horizon_days,
        yearly_discount,
        chosen,
        fits,
        spend,
        holdout,
        total,
        tuple(list_value_doubts(known, fits, spend, holdout)),
        revenue,
        revenue.chosen if revenue and learned else None,
    )


def _ignore(stage: str, done: int, total: int) -> None:
    """Nobody asked for progress."""


def _choose_base(chosen: str, fits: dict[str, Fit]) -> Fit | None:
    """The model of buying behind what was chosen: itself, or the likeliest sound one where it is learned or unsound."""
    if chosen == MEAN or (chosen in fits and fits[chosen].is_converged):
        return fits.get(chosen)
    return choose_base(fits)


def _expect(
    purchases: Purchases, known: Histories, day: int, chosen: str, base: Fit | None, days: int, seed: int
) -> F8:
    """Purchases expected in the horizon by what was chosen; without a model, all buy at the mean rate."""
    if base is None:
        return np.full(len(known), known.n_repeat.sum() / max(known.age_days.sum(), 1.0) * days)
    learned = learn_purchases(purchases, day, base, days, seed=seed) if chosen == LEARNED else None
    return expect_purchases(base.model, base.array, known, days) if learned is None else learned


def _reduce(known: Histories, base: Fit | None, days: int, yearly: float) -> F8:
    """What discounting leaves of each customer's purchases, as a share; without a model they come evenly."""
    if base is None:
        rate = np.log1p(yearly) * days / YEAR_DAYS
        return np.full(len(known), -np.expm1(-rate) / rate if rate > 0 else 1.0)
    rows, places, _ = collapse_rows(buying_rows(known))
    plain = BUYING[base.model].expect_purchases(base.array, rows, days / 7)
    return np.asarray(discount_purchases(base.model, base.array, rows, days, yearly) / np.maximum(plain, 1e-300))[
        places
    ]


def _find_intervals(
    known: Histories, base: Fit | None, spend: Fit | None, days: int, value: F8, n_draws: int, seed: int, tell: Progress
) -> tuple[F8, F8, tuple[float, float, float]]:
    """Interval of each customer's value and of the total, by drawing customers with replacement.

    What a draw changes is taken as a factor on the value, so that it holds for discounted and learned values too.
    """
    n, total = len(known), float(value.sum())
    if n_draws < 2:
        return np.full(n, np.nan), np.full(n, np.nan), (total, float("nan"), float("nan"))
    rng = np.random.default_rng(seed)
    redraw_buying, redraw_worth = _buying_redrawer(known, base, days), _worth_redrawer(known, spend)
    draws = np.empty((n_draws, n), np.float32)
    for k in range(n_draws):
        drawn = rng.multinomial(n, np.full(n, 1 / n)).astype(float)
        draws[k] = value * redraw_buying(drawn) * redraw_worth(drawn)
        tell("intervals", k + 1, n_draws)
    low, high = np.quantile(draws, [0.025, 0.975], axis=0)
    ends = np.quantile(draws.sum(axis=1, dtype=float), [0.025, 0.975])
    return low.astype(float), high.astype(float), (total, float(ends[0]), float(ends[1]))


def _buying_redrawer(known: Histories, base: Fit | None, days: int) -> Callable[[F8], F8]:
    """From how often each customer was drawn to a factor on their expected purchases."""
    if base is None:
        rate = max(float(known.n_repeat.sum()) / max(float(known.age_days.sum()), 1.0), 1e-300)
        return lambda drawn: np.full(
            len(known), drawn @ known.n_repeat / max(float(drawn @ known.age_days), 1.0) / rate
        )
    model, start = BUYING[base.model], base.array
    rows, places, counts = collapse_rows(buying_rows(known))
    plain, scale = np.maximum(model.expect_purchases(start, rows, days / WEEK_DAYS), 1e-300), mean_age(rows, counts)

    def redraw(drawn: F8) -> F8:
        weights = np.bincount(places, drawn, len(counts)).astype(float)
        taken = weights > 0
        found = refit(model.likelihood, rows[:, taken], weights[taken], scale, start)
        return np.asarray((model.expect_purchases(found, rows, days / WEEK_DAYS) / plain)[places])

    return redraw


def _worth_redrawer(known: Histories, spend: Fit | None) -> Callable[[F8], F8]:
    """From how often each customer was drawn to a factor on the expected value of their purchases."""
    is_valued = known.n_valued > 0
    if spend is None:
        return lambda drawn: np.ones(len(known))
    pays, worth = np.stack([known.n_valued[is_valued], known.mean_value[is_valued]]), expect_worth(known, spend)
    if not spend.is_converged:
        bought, brought = pays[0], pays[0] * pays[1]
        return lambda drawn: drawn[is_valued] @ brought / max(float(drawn[is_valued] @ bought), 1.0) / worth
    rows, places, counts = collapse_rows(pays)

    def redraw(drawn: F8) -> F8:
        weights = np.bincount(places, drawn[is_valued], len(counts)).astype(float)
        taken = weights > 0
        found = refit(value_spend.MODEL, rows[:, taken], weights[taken], float(pays[1].mean()), spend.array)
        return expect_worth(known, spend, found) / worth

    return redraw


def list_value_doubts(known: Histories, fits: dict[str, Fit], spend: Fit | None, holdout: Holdout) -> list[str]:
    """In words, what a reader of the values should know before using them; empty when all is well."""
    said = []
    for name, fit in fits.items():
        if not fit.is_converged:
            said.append(f"{name} does not converge on these customers ({'; '.join(fit.doubts)}).")
    by_name = {score.name: score for score in holdout.scores}
    said += [
        f"{name} does not fit: it foresees the holdout no better than the mean of all."
        for name in fits
        if not by_name[name].beats_mean and np.isfinite(by_name[name].rmse)
    ]
    chosen = by_name[holdout.chosen]
    if not 1 / _OFF <= chosen.bias <= _OFF:
        said.append(
            f"{chosen.name} expected {chosen.bias:.2f} times the purchases that were made in the holdout: "
            "the time after was not like the time before."
        )
    if holdout.chosen == MEAN:
        said.append("No model tells customers apart better than their mean does: all get the value of the mean rate.")
    if by_name[LAST].rmse < chosen.rmse:
        said.append(
            f"Counting the purchases of the last period foresees the holdout better than {chosen.name} "
            f"(RMSE {by_name[LAST].rmse:.3f} against {chosen.rmse:.3f})."
        )
    if spend is None:
        said.append("No purchase has a value above zero: values are numbers of purchases.")
    elif not spend.is_converged:
        said.append(f"gamma-gamma does not converge ({'; '.join(spend.doubts)}): every purchase counts the mean value.")
    is_repeat = (known.n_valued > 1) & (known.n_repeat > 0)
    if is_repeat.sum() > 2 and known.mean_value[is_repeat].std() > 0 and known.n_repeat[is_repeat].std() > 0:
        related = float(np.corrcoef(known.n_repeat[is_repeat], known.mean_value[is_repeat])[0, 1])
        if abs(related) > _RELATED:
            said.append(
                f"Value per purchase is related to frequency (r = {related:.2f}); gamma-gamma takes them as unrelated."
            )
    return said
