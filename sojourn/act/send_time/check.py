"""Send times of all channels, and how well they foresee answers to later messages."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sojourn.act.send_time.learn import (
    LEAST_ANSWERS,
    LEAST_SENDS,
    PART_HOURS,
    SEND_TIMES,
    SendModel,
    choose_times,
    fit_sends,
)
from sojourn.act.send_time.sends import Sends, list_sends
from sojourn.frames import F8
from sojourn.playbook import Playbook

_HELD_OUT_SHARE = 0.25
_N_DRAWS = 200
_LEAST_EXPECTED = 20.0  # answers


@dataclass(frozen=True)
class Lift:
    """Answers over those that the same customers were expected to give at any time, with a 95 % interval."""

    n: int
    ratio: float
    low: float
    high: float


@dataclass(frozen=True)
class ChannelCheck:
    """What is known of one channel, and how its model did on the last quarter of the messages.

    ``log_loss``: of the mean share alone, with the population's hours and weekdays, with customers, with their habits.
    ``strength``: the messages that each level's prior is worth; None where the level has no effect. ``own`` and
    ``population``: held-out messages that happened to be sent in the customer's best part of the day, and in
    everybody's. ``doubt`` says why something could not be estimated, or that customers' habits add nothing.
    """

    channel: str
    n: int
    n_held_out: int
    open_p: float
    best_hour: int | None
    best_weekday: int | None
    log_loss: dict[str, float]
    strength: dict[str, float | None]
    own: Lift | None
    population: Lift | None
    doubt: str | None

    def as_dict(self) -> dict[str, Any]:
        """The same as plain values."""
        return asdict(self)


@dataclass(frozen=True)
class SendTimes:
    """The best time of each customer and channel (:data:`~sojourn.send_time.SEND_TIMES`), and the check of each."""

    table: pa.Table
    checks: tuple[ChannelCheck, ...]

    def as_dict(self) -> dict[str, Any]:
        """How many customers have a time, and the checks, as plain values."""
        return {"customers": self.table.num_rows, "channels": [check.as_dict() for check in self.checks]}


def find_send_times(
    events: pa.Table, playbook: Playbook, now: datetime, rng: np.random.Generator, timezone: str | None = None
) -> SendTimes:
    """When to write to each customer on each channel, and what that was worth on messages held out.

    ``events``: accepted events. Channels with few messages or answers have a check that says so, and no rows.
    Raises EventsError when no feature of the playbook says what answers a touch.

    >>> from sojourn.events.read import read_events
    >>> from sojourn.playbook.load import load_playbook
    >>> from sojourn.simulation.customers import simulate
    >>> book, world = load_playbook("shop"), simulate(60, days=120, seed=1)
    >>> log = read_events(world.events, book, now=None, clock=datetime(2030, 1, 1))
    >>> found = find_send_times(log.events, book, log.events["event_at"][-1].as_py(), np.random.default_rng(0))
    >>> [check.channel for check in found.checks]
    ['email', 'push']
    """
    sends = list_sends(events, playbook, now, timezone)
    tables, checks = [SEND_TIMES.empty_table()], []
    for i, channel in sorted(enumerate(sends.channels), key=lambda item: item[1]):
        mine = sends.take(sends.channel == i)
        table, check = _time_channel(mine, channel, len(sends.customers), rng)
        tables.append(table)
        checks.append(check)
    return SendTimes(pa.concat_tables(tables), tuple(checks))


def _time_channel(
    sends: Sends, channel: str, n_customers: int, rng: np.random.Generator
) -> tuple[pa.Table, ChannelCheck]:
    n, n_answered = len(sends), int(sends.is_answered.sum())
    open_p = n_answered / n if n else math.nan
    if n < LEAST_SENDS or min(n_answered, n - n_answered) < LEAST_ANSWERS:
        doubt = (
            f"{n:,} messages, {n_answered:,} of them answered: it takes {LEAST_SENDS}, of which {LEAST_ANSWERS} "
            "answered and as many not, to say anything of hours"
        )
        return SEND_TIMES.empty_table(), ChannelCheck(channel, n, 0, open_p, None, None, {}, {}, None, None, doubt)
    split = n - int(n * _HELD_OUT_SHARE)
    seen, later = sends.take(np.arange(split)), sends.take(np.arange(split, n))
    losses, own, population = check_model(fit_sends(seen, n_customers, rng), seen, later, rng)
    model = fit_sends(sends, n_customers, rng)
    table = choose_times(model, sends, channel)
    best = _best_time(model)
    levels = {name: getattr(model, name) for name in ("hours", "weekdays", "customers", "parts", "days")}
    check = ChannelCheck(
        channel,
        n,
        len(later),
        open_p,
        *best,
        losses,
        {name: level.strength if level.has_effect else None for name, level in levels.items()},
        own,
        population,
        _doubt(model, losses, best),
    )
    return table, check


def check_model(
    model: SendModel, seen: Sends, later: Sends, rng: np.random.Generator
) -> tuple[dict[str, float], Lift | None, Lift | None]:
    """Log-loss per later message of each level of the model; lifts of the customers' and everybody's best part."""
    who, hour, weekday = later.customer, later.hour, later.weekday
    common, own = model.population(hour, weekday), model.customer(who)
    told = {
        "mean": np.full(len(who), model.base),
        "population": common,
        "customer": common + own,
        "habit": common + own + model.habit(who, hour, weekday),
    }
    y = later.is_answered.astype(np.float64)
    losses = {name: float(np.mean(np.logaddexp(0.0, odds) - y * odds)) for name, odds in told.items()}
    table = choose_times(model, seen, "")
    if not table.num_rows:
        return losses, None, None
    best_part = np.full(int(max(seen.customer.max(), who.max())) + 1, -1)
    best_part[np.unique(seen.customer)] = table["hour"].to_numpy() // PART_HOURS
    part = hour // PART_HOURS
    expected = 1.0 / (1.0 + np.exp(-(model.base + own)))
    everybody = _best_time(model)[0]
    usual = -2 if everybody is None else everybody // PART_HOURS
    lifts = (_measure_lift(who, y, expected, rows, rng) for rows in (part == best_part[who], part == usual))
    own_lift, usual_lift = lifts
    return losses, own_lift, usual_lift


def _measure_lift(
    who: NDArray[np.int64], y: F8, expected: F8, rows: NDArray[np.bool_], rng: np.random.Generator
) -> Lift | None:
    """Answers over expectation in some rows, over the same in all; customers are drawn anew for the interval."""
    if float(expected[rows].sum()) < _LEAST_EXPECTED:
        return None
    _, code = np.unique(who, return_inverse=True)
    sums = np.array(
        [np.bincount(code, values) for values in (y * rows, expected * rows, y, expected)]
    )  # per customer: answers and expectation in the rows, and in all
    weights = np.vstack([np.ones(sums.shape[1]), rng.poisson(1.0, (_N_DRAWS, sums.shape[1]))])
    inside, inside_expected, all_, all_expected = (weights @ sums.T).T
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = (inside / inside_expected) / (all_ / all_expected)
    low, high = np.nanquantile(ratios[1:], (0.025, 0.975))
    return Lift(int(rows.sum()), float(ratios[0]), float(low), float(high))


def _best_time(model: SendModel) -> tuple[int | None, int | None]:
    if not model.is_known_hour.any() or not model.is_known_weekday.any():
        return None, None
    hours = np.where(model.is_known_hour, model.hours.shift, -np.inf)
    weekdays = np.where(model.is_known_weekday, model.weekdays.shift, -np.inf)
    return int(np.argmax(hours)), int(np.argmax(weekdays))


def _doubt(model: SendModel, losses: dict[str, float], best: tuple[int | None, int | None]) -> str | None:
    if best[0] is None:
        return "no hour or no weekday has enough messages, so no time is recommended"
    if not (model.hours.has_effect or model.weekdays.has_effect or model.parts.has_effect or model.days.has_effect):
        return "neither hour nor weekday changes the answers, as far as these messages tell: send when it suits you"
    if not (model.parts.has_effect or model.days.has_effect):
        return "customers do not differ in their hours, as far as these messages tell: everybody gets the same time"
    if losses["habit"] >= losses["customer"]:
        return "on held-out messages the customers' own hours foresee nothing that the population's do not"
    return None
