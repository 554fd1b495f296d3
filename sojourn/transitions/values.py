"""What a move is worth: the outcome after it, against customers alike who stayed where they were.

Every Monday is a landmark. Of the customers who are in a state at a landmark, those who leave it for another state
within the week are compared with those who have not left it by the week's end; what counts is what comes in the days
after that week. What they had done up to the landmark, and nothing later, makes them alike
(:mod:`sojourn.transitions.effect`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sojourn.frames import DAY_US, F8, I8, MONDAY_US, WEEK_US, Bools, instant_us
from sojourn.playbook import Outcome
from sojourn.transitions.effect import estimate_effects
from sojourn.transitions.stays import Stays, customer_rows, instants_of, read_stays, weeks_of

MOST_MOVES = 12  # the most frequent transitions
LEAST_MOVED, LEAST_STAYED = 40, 80
_MOST_STAYED = 3_000  # rows of those who stayed, drawn at random
_DAYS = 28.0
_WINDOWS_DAYS = (7, 28, 90)
_MOST_CLASSES = 8

VALUES = pa.schema(
    [
        ("from_state", pa.string()),
        ("to_state", pa.string()),
        ("outcome", pa.string()),
        ("days", pa.float64()),
        ("value", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("naive", pa.float64()),
        ("placebo", pa.float64()),
        ("placebo_low", pa.float64()),
        ("placebo_high", pa.float64()),
        ("overlap_p", pa.float64()),
        ("n_moved", pa.int64()),
        ("n_stayed", pa.int64()),
        ("n_before_now", pa.int64()),
        ("worth_1pct", pa.float64()),
        ("is_credible", pa.bool_()),
        ("why_not", pa.string()),
    ]
)


@dataclass(frozen=True)
class _Counted:
    """What may come after a move: happenings of customers (in order of customer and time) and how many days count.

    ``value`` None: whether there is any.
    """

    name: str
    days: float
    customer: I8
    at: I8
    value: F8 | None


def value_moves(
    transitions: pa.Table,
    customers: pa.Table,
    lives: pa.Table,
    outcomes: Sequence[Outcome],
    *,
    states: Sequence[str],
    touches: Sequence[str],
    now: datetime,
    rng: np.random.Generator,
) -> pa.Table:
    """The value of each of the most frequent moves for each outcome (:data:`VALUES`), the most certain gain first.

    ``lives`` are the events of some or all customers, in order of customer and time, with ``customer_id``,
    ``event_at``, ``event_class`` and ``m_<measure>`` for outcomes of a measure; only these customers are looked at. A
    silence as an outcome becomes its opposite, having come back. ``value`` is per customer who moved, in the units of
    the outcome;
    ``worth_1pct`` is what it would bring if one in a hundred of all who now stand before the move made it. Those who
    stay through the week may move later: the value is that of moving now rather than later or never.

    ``placebo`` is the same comparison for as many days *before* the landmark, with what was known before those: where
    its interval leaves out zero, those who moved were different already, and the value is not credible.
    """
    who = pc.unique(lives["customer_id"].cast(pa.string()))
    known, moved = (
        table.filter(pc.is_in(table["customer_id"].cast(pa.string()), who)) for table in (customers, transitions)
    )
    stays = read_stays(moved, known, states=states, now=now)
    past = _read_lives(lives, known, touches)
    counted = _read_outcomes(outcomes, past, lives)
    pairs = _choose_pairs(stays)
    standing = {name: int(n) for name, n in zip(states, _count_now(customers, states), strict=True)}
    rows: list[dict[str, Any]] = []
    for a, b in pairs:
        rows += _value_pair(stays, past, counted, a, b, instant_us(now), standing[states[a]], rng)
    rows.sort(key=lambda row: (row["why_not"] is not None, -(row["low"] if row["low"] is not None else 0.0)))
    return pa.Table.from_pylist(rows, schema=VALUES)


@dataclass(frozen=True)
class _Past:
    """Events in order of customer and time: who, when, class, and whether the customer did it."""

    n_customers: int
    customer: I8
    at: I8
    event_class: I8
    classes: tuple[str, ...]
    is_own: Bools


def _read_lives(lives: pa.Table, customers: pa.Table, touches: Sequence[str]) -> _Past:
    who = customer_rows(lives["customer_id"], customers).astype(np.int64)
    column = lives["event_class"].combine_chunks()
    coded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    names = tuple(coded.dictionary.to_pylist())
    classes = coded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    is_touch = np.array([name in set(touches) for name in names] or [False])
    return _Past(customers.num_rows, who, instants_of(lives["event_at"]), classes, names, ~is_touch[classes])


def _read_outcomes(outcomes: Sequence[Outcome], past: _Past, lives: pa.Table) -> list[_Counted]:
    found = []
    for outcome in outcomes:
        days = (outcome.within_s or outcome.silence_s or _DAYS * 86_400) / 86_400
        value = None
        if outcome.event is not None:
            rows = past.event_class == (past.classes.index(outcome.event) if outcome.event in past.classes else -1)
        elif outcome.measure is not None:
            column = lives[f"m_{outcome.measure}"].to_numpy()
            rows = np.isfinite(column)
            value = column[rows]
        else:
            rows = past.is_own
        name = outcome.name if outcome.silence_s is None else f"not {outcome.name}"
        found.append(_Counted(name, min(days, 90.0), past.customer[rows], past.at[rows], value))
    return found


def _choose_pairs(stays: Stays) -> list[tuple[int, int]]:
    over = stays.is_over
    n = len(stays.states)
    code, count = np.unique(stays.state[over].astype(np.int64) * n + stays.to_state[over], return_counts=True)
    order = np.argsort(-count, kind="stable")[:MOST_MOVES]
    return [(int(c) // n, int(c) % n) for c in code[order]]


def _count_now(customers: pa.Table, states: Sequence[str]) -> I8:
    counts: Mapping[str, int] = {
        entry["values"]: entry["counts"] for entry in pc.value_counts(customers["state"]).to_pylist()
    }
    return np.array([counts.get(name, 0) for name in states])


@dataclass(frozen=True)
class _Rows:
    """Customers in a state at landmarks: who, when, since when, and whether they made the move within the week."""

    customer: I8
    at: I8
    since: I8
    is_moved: Bools


def _find_rows(stays: Stays, a: int, b: int, first: int, last: int) -> _Rows:
    """All who stand in state ``a`` at a landmark, and who either move to ``b`` within the week or stay through it."""
    mine = np.flatnonzero(stays.state == a)
    start, end, to = stays.start_us[mine], stays.end_us[mine], stays.to_state[mine]
    low = np.maximum(weeks_of(start) + 1, first)  # the first Monday after it began
    high = np.minimum(weeks_of(end - 1), last)
    n = np.maximum(high - low + 1, 0)
    stay = np.repeat(np.arange(len(mine)), n)
    week = low[stay] + np.arange(len(stay)) - np.repeat(np.cumsum(n) - n, n)
    at = week * WEEK_US + MONDAY_US
    leaves = end[stay] <= at + WEEK_US
    is_moved = leaves & (to[stay] == b)
    kept = is_moved | ~leaves
    return _Rows(stays.customer[mine][stay][kept].astype(np.int64), at[kept], start[stay][kept], is_moved[kept])


def _value_pair(
    stays: Stays,
    past: _Past,
    counted: Sequence[_Counted],
    a: int,
    b: int,
    now: int,
    n_before: int,
    rng: np.random.Generator,
) -> list[dict[str, Any]]:
    """A row per outcome of one move. Outcomes of equal length are estimated together."""
    rows: list[dict[str, Any]] = []
    first = int(weeks_of(np.array([past.at.min(initial=now)]))[0]) + 1
    for days in dict.fromkeys(one.days for one in counted):
        some = [one for one in counted if one.days == days]
        length = round(days * DAY_US)
        last = int(weeks_of(np.array([now - WEEK_US - length]))[0])
        found = _draw(_find_rows(stays, a, b, first, last), rng)
        blank: dict[str, Any] = {
            "from_state": stays.states[a],
            "to_state": stays.states[b],
            "days": days,
            "n_before_now": n_before,
        }
        blank |= {"n_moved": int(found.is_moved.sum()), "n_stayed": int((~found.is_moved).sum())}
        if blank["n_moved"] < LEAST_MOVED or blank["n_stayed"] < LEAST_STAYED:
            why = f"{blank['n_moved']} moved and {blank['n_stayed']} stayed early enough to see {days:g} days after"
            rows += [_fill(blank, one.name, None, None, why) for one in some]
            continue
        after = np.column_stack([_sum(one, found.customer, found.at + WEEK_US, length) for one in some])
        before = np.column_stack([_sum(one, found.customer, found.at - length, length) for one in some])
        x = _describe(past, some, found, found.at)
        x_before = _describe(past, some, found, found.at - length)
        effects = estimate_effects(x, found.is_moved, after, found.customer, rng=rng)
        placebos = estimate_effects(x_before, found.is_moved, before, found.customer, rng=rng)
        rows += [_fill(blank, one.name, e, p, None) for one, e, p in zip(some, effects, placebos, strict=True)]
    return rows


def _draw(rows: _Rows, rng: np.random.Generator) -> _Rows:
    """All who moved, and at most so many of those who stayed."""
    stayed = np.flatnonzero(~rows.is_moved)
    if len(stayed) > _MOST_STAYED:
        stayed = rng.permutation(stayed)[:_MOST_STAYED]
    kept = np.sort(np.concatenate([np.flatnonzero(rows.is_moved), stayed]))
    return _Rows(rows.customer[kept], rows.at[kept], rows.since[kept], rows.is_moved[kept])


def _fill(blank: dict[str, Any], outcome: str, effect: Any, placebo: Any, why_not: str | None) -> dict[str, Any]:
    row = dict.fromkeys(VALUES.names) | blank | {"outcome": outcome, "why_not": why_not}
    if effect is None:
        return row | {"is_credible": False}
    is_like = placebo.low <= 0 <= placebo.high
    return row | {
        "value": effect.value,
        "low": effect.low,
        "high": effect.high,
        "naive": effect.naive,
        "placebo": placebo.value,
        "placebo_low": placebo.low,
        "placebo_high": placebo.high,
        "overlap_p": effect.overlap_p,
        "worth_1pct": blank["n_before_now"] * 0.01 * effect.value,
        "is_credible": bool(is_like and effect.overlap_p >= 0.8),
    }


class _Counter:
    """Counts and sums of happenings per customer and span of time, by two searches in one sorted array."""

    def __init__(self, customer: I8, at: I8, value: F8 | None) -> None:
        self._key = (customer << 40) + (at >> 12)  # 4 ms; customers are in order, and times within them
        self._total = None if value is None else np.concatenate([[0.0], np.cumsum(value)])

    def __call__(self, customer: I8, after: I8, until: I8) -> F8:
        """In the span (after, until] of each customer."""
        low, high = (np.searchsorted(self._key, (customer << 40) + (at >> 12), side="right") for at in (after, until))
        if self._total is None:
            return (high - low).astype(np.float64)
        return np.asarray(self._total[high] - self._total[low])


def _sum(one: _Counted, customer: I8, after: I8, length: int) -> F8:
    """The outcome in the ``length`` after each instant."""
    found = _Counter(one.customer, one.at, one.value)(customer, after, after + length)
    return found if one.value is not None else (found > 0).astype(np.float64)


def _describe(past: _Past, counted: Sequence[_Counted], rows: _Rows, at: I8) -> F8:
    """What was known of each customer at an instant: time in the state, activity, what they did and were worth."""
    own = _Counter(past.customer[past.is_own], past.at[past.is_own], None)
    far = np.full(len(at), -(1 << 50))
    count = own(rows.customer, far, at)
    ends = np.cumsum(np.bincount(past.customer[past.is_own], minlength=past.n_customers))
    begins = np.concatenate([[0], ends[:-1]])[rows.customer]
    times = past.at[past.is_own]
    place = (begins + count - 1).astype(np.int64)
    last = np.where(count > 0, times[np.clip(place, 0, max(len(times) - 1, 0))], at - 365 * DAY_US)
    columns = [
        np.log1p(np.maximum(at - rows.since, 0) / DAY_US),
        np.log1p(np.maximum(at - last, 0) / DAY_US),
        np.log1p(count),
        at / (90 * DAY_US),
    ]
    columns += [np.log1p(own(rows.customer, at - days * DAY_US, at)) for days in _WINDOWS_DAYS]
    sizes = np.bincount(past.event_class, minlength=len(past.classes))
    for code in np.argsort(-sizes, kind="stable")[:_MOST_CLASSES]:
        mine = past.event_class == code
        of = _Counter(past.customer[mine], past.at[mine], None)
        columns.append(np.log1p(of(rows.customer, at - 28 * DAY_US, at)))
    for one in counted:
        of = _Counter(one.customer, one.at, one.value)
        for span in (28 * DAY_US, 1 << 50):
            total = of(rows.customer, at - span, at)
            columns.append(np.sign(total) * np.log1p(np.abs(total)))
    return np.column_stack(columns)
