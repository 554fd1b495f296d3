"""When each customer answers messages: by hour and weekday, shrunk to the population as far as data do not object.

Three levels of a Beta-binomial model, added up in log-odds: the population by hour and by weekday, the customer as a
whole, and the customer by part of the day and by weekday. How strongly each level is drawn to the one above is fitted
by marginal likelihood (empirical Bayes: Casella 1985, https://doi.org/10.1080/00031305.1985.10479400; the Beta-binomial
marginal: Skellam 1948). Where a level does not make the data likelier, it has no effect at all. Levels are fitted one
after the other, so that estimates are cautious: a customer's habit is drawn to a mean that it is part of.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import betaln

from sojourn.act.send_time.sends import Sends
from sojourn.frames import F8, I8

PART_HOURS = 3
"""Hours of one part of the day: a customer's own habit is told by parts."""
LEAST_SENDS, LEAST_ANSWERS = 200, 30
"""Of a channel, below which nothing is said of it."""
LEAST_OF_HOUR = 30
"""Messages at an hour or weekday, below which it is not recommended: nobody knows what happens then."""

SEND_TIMES = pa.schema(
    [
        ("customer_id", pa.string()),
        ("channel", pa.string()),
        ("hour", pa.int8()),
        ("weekday", pa.int8()),
        ("timezone", pa.string()),
        ("open_p", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("n", pa.int64()),
        ("gain", pa.float64()),
        ("gain_observed", pa.float64()),
    ]
)

_N_PARTS = 24 // PART_HOURS
_STRONGEST = 1e5  # messages that a prior is worth at most; above it the level has no effect
_LEAST_EVIDENCE = 2.71  # twice the gain in log-likelihood: 5 % at the edge of a range (Self & Liang 1987)
_MOST_CELLS = 50_000
_Z = 1.959963984540054


@dataclass(frozen=True)
class Level:
    """Cells of one level: log-odds added, and the messages that each cell's estimate is worth (inf: no effect)."""

    shift: F8
    worth: F8
    strength: float

    @property
    def has_effect(self) -> bool:
        """Whether cells of this level truly differ, as far as the data tell."""
        return math.isfinite(self.strength)


@dataclass(frozen=True)
class SendModel:
    """One channel: log-odds of an answer of the population, and the shifts of its hours, weekdays and customers."""

    base: float
    hours: Level  # (24)
    weekdays: Level  # (7)
    customers: Level  # (n)
    parts: Level  # (n × parts of the day)
    days: Level  # (n × 7)
    is_known_hour: NDArray[np.bool_]
    is_known_weekday: NDArray[np.bool_]

    def population(self, hour: I8, weekday: I8) -> F8:
        """Log-odds of an answer by hour and weekday."""
        return np.asarray(self.base + self.hours.shift[hour] + self.weekdays.shift[weekday])

    def customer(self, who: I8) -> F8:
        """What a customer adds at any time."""
        return np.asarray(self.customers.shift[who])

    def habit(self, who: I8, hour: I8, weekday: I8) -> F8:
        """What a customer adds at this time."""
        return np.asarray(self.parts.shift[who, hour // PART_HOURS] + self.days.shift[who, weekday])


def fit_sends(sends: Sends, n_customers: int, rng: np.random.Generator) -> SendModel:
    """The model of the messages of one channel. ``rng`` draws the cells on which strengths are fitted."""
    y = sends.is_answered.astype(np.float64)
    base = _logit(np.array([(y.sum() + 0.5) / (len(y) + 1.0)]))
    told = np.full(len(y), base[0])
    hours = _fit_level(sends.hour, 24, y, told, rng)
    weekdays = _fit_level(sends.weekday, 7, y, told, rng)
    told = told + hours.shift[sends.hour] + weekdays.shift[sends.weekday]
    customers = _fit_level(sends.customer, n_customers, y, told, rng)
    told = told + customers.shift[sends.customer]
    parts = _fit_level(sends.customer * _N_PARTS + sends.hour // PART_HOURS, n_customers * _N_PARTS, y, told, rng)
    days = _fit_level(sends.customer * 7 + sends.weekday, n_customers * 7, y, told, rng)
    return SendModel(
        float(base[0]),
        hours,
        weekdays,
        customers,
        _reshape(parts, n_customers),
        _reshape(days, n_customers),
        np.bincount(sends.hour, minlength=24) >= LEAST_OF_HOUR,
        np.bincount(sends.weekday, minlength=7) >= LEAST_OF_HOUR,
    )


def _fit_level(cell: I8, n_cells: int, y: F8, told: F8, rng: np.random.Generator) -> Level:
    """How much cells differ from what is told of their messages so far."""
    n = np.bincount(cell, minlength=n_cells).astype(np.float64)
    answered = np.bincount(cell, y, minlength=n_cells)
    mean = np.bincount(cell, _expit(told), minlength=n_cells) / np.maximum(n, 1.0)
    used = np.flatnonzero(n)
    drawn = used if len(used) <= _MOST_CELLS else np.sort(rng.choice(used, _MOST_CELLS, replace=False))
    strength = fit_strength(answered[drawn].astype(np.float64), n[drawn], mean[drawn])
    shift, worth = np.zeros(n_cells), np.full(n_cells, np.inf)
    if math.isfinite(strength):
        posterior = (answered[used] + strength * mean[used]) / (n[used] + strength)
        shift[used] = _logit(posterior) - _logit(mean[used])
        worth = n + strength
    return Level(shift, worth, strength)


def _reshape(level: Level, n: int) -> Level:
    return Level(level.shift.reshape(n, -1), level.worth.reshape(n, -1), level.strength)


def fit_strength(answered: F8, n: F8, mean: F8) -> float:
    """How many messages the prior is worth, by the marginal likelihood of Beta-binomial counts around known means.

    Infinity where cells that do not differ at all are about as likely.

    >>> rng = np.random.default_rng(0)
    >>> p = rng.beta(2.0, 6.0, 4_000)
    >>> round(fit_strength(rng.binomial(20, p).astype(float), np.full(4_000, 20.0), np.full(4_000, 0.25)))
    8
    """
    mean = np.clip(mean, 1e-9, 1 - 1e-9)
    unlike = -float(np.sum(answered * np.log(mean) + (n - answered) * np.log1p(-mean)))

    def misfit(log_strength: float) -> float:
        a, b = math.exp(log_strength) * mean, math.exp(log_strength) * (1 - mean)
        return -float(np.sum(betaln(a + answered, b + n - answered) - betaln(a, b)))

    found = minimize_scalar(misfit, bounds=(math.log(0.2), math.log(_STRONGEST)), method="bounded")
    return float(math.exp(found.x)) if 2 * (unlike - found.fun) > _LEAST_EVIDENCE else math.inf


def choose_times(model: SendModel, sends: Sends, channel: str) -> pa.Table:
    """The best hour and weekday of each customer who was sent anything (:data:`SEND_TIMES`), in order of customers.

    ``gain`` is what is won against the population's best time, ``gain_observed`` against the times of the past.
    """
    who, n = np.unique(sends.customer, return_counts=True)
    hours, weekdays = np.flatnonzero(model.is_known_hour), np.flatnonzero(model.is_known_weekday)
    if not len(hours) or not len(weekdays):
        return SEND_TIMES.empty_table()
    hour, weekday = (grid.ravel() for grid in np.meshgrid(hours, weekdays, indexing="ij"))
    common = model.population(hour, weekday)
    at_common = int(np.argmax(common))
    best, found = np.zeros(len(who), np.int64), np.zeros(len(who))
    for first in range(0, len(who), 20_000):  # a block of customers × 168 hours at a time
        some = who[first : first + 20_000]
        habit = model.parts.shift[some][:, hour // PART_HOURS] + model.days.shift[some][:, weekday]
        total = common + habit
        best[first : first + 20_000] = np.argmax(total, axis=1)
        found[first : first + 20_000] = total[np.arange(len(some)), best[first : first + 20_000]]
    odds = found + model.customer(who)
    p = _expit(odds)
    here, day = hour[best], weekday[best]
    worth = (model.customers.worth[who], model.parts.worth[who, here // PART_HOURS], model.days.worth[who, day])
    unsure = 1.0 / len(sends) + 1.0 / np.minimum(model.hours.worth[here], model.weekdays.worth[day])
    spread = _Z * np.sqrt((unsure + sum(1.0 / w for w in worth)) / np.maximum(p * (1 - p), 1e-9))
    at_usual = np.full(len(who), hour[at_common]), np.full(len(who), weekday[at_common])
    usual = _expit(model.population(*at_usual) + model.customer(who) + model.habit(who, *at_usual))
    past = _expit(
        model.population(sends.hour, sends.weekday)
        + model.customer(sends.customer)
        + model.habit(sends.customer, sends.hour, sends.weekday)
    )
    observed = np.bincount(sends.customer, past, minlength=who[-1] + 1)[who] / n
    columns = (
        sends.customers.take(pa.array(who)),
        [channel] * len(who),
        here,
        day,
        sends.zones.take(pa.array(who)),
        p,
        _expit(odds - spread),
        _expit(odds + spread),
        n,
        p - usual,
        p - observed,
    )
    return pa.table([pa.array(c).cast(f.type) for c, f in zip(columns, SEND_TIMES, strict=True)], schema=SEND_TIMES)


def _logit(p: F8) -> F8:
    clipped = np.clip(p, 1e-9, 1 - 1e-9)
    return np.asarray(np.log(clipped) - np.log1p(-clipped))


def _expit(odds: F8) -> F8:
    return np.asarray(1.0 / (1.0 + np.exp(-odds)))
