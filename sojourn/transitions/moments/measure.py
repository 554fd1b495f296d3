"""What a moment announces: how often it comes, what follows it, and how much more often than else.

Association, not cause. The ratio is standardised to the moments, Keiding & Clayton 2014 (doi:10.1214/13-STS453), with
its variance over customers by linearisation, Liang & Zeger 1986 (doi:10.1093/biomet/73.1.13); q values, Benjamini &
Hochberg 1995 (doi:10.1111/j.2517-6161.1995.tb02031.x).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sojourn.frames import I8, WEEK_US, instant_us
from sojourn.playbook import Moment, Outcome
from sojourn.playbook.rules import format_duration
from sojourn.transitions.precursors import BUCKETS, N_BUCKETS, Instant, adjust_p_values, compare
from sojourn.transitions.stays import instants_of

Flags = NDArray[np.bool_]

MAX_COMPARED = 20_000
"""Instants that a moment is compared with, per outcome; further ones narrow the intervals hardly at all."""

MIN_COMPLETIONS = 20
MIN_CUSTOMERS = 10
"""With fewer completions, or customers who had them, no ratio is given."""

SCHEMA = pa.schema(
    [("moment", pa.string()), ("outcome", pa.string()), ("definition", pa.string())]
    + [(name, pa.int64()) for name in ("n_completions", "n_customers", "of_customers")]
    + [("per_week", pa.float64()), ("n_judged", pa.int64())]
    + [(name, pa.float64()) for name in ("precision_p", "base_p", "lift", "low", "high", "q", "lead_days")]
    + [("why_not", pa.string())]
)


@dataclass(frozen=True)
class Streams:
    """Events by customer and time as parallel arrays; ``item`` are positions in ``names``.

    ``key`` orders (customer, instant), ``times`` are all instants in order.
    """

    names: tuple[str, ...]
    customer: I8
    at: I8
    item: I8
    is_own: Flags
    key: I8
    times: I8

    @property
    def n_customers(self) -> int:
        """How many customers there are."""
        return int(self.customer.max(initial=-1)) + 1

    def key_at(self, customer: I8, at: I8) -> I8:
        """The place of an instant in ``key``, before events of that very instant."""
        return customer * (len(self.times) + 1) + np.searchsorted(self.times, at)


def read_streams(history: pa.Table, touches: Sequence[str]) -> Streams:
    """The events of ``customer_id``, ``event_at`` and ``event_class``, which are by customer and time, as arrays."""
    ids, classes = (_encode(history[name]) for name in ("customer_id", "event_class"))
    names = tuple(classes.dictionary.to_pylist())
    item, at = np.asarray(classes.indices, np.int64), instants_of(history["event_at"])
    who = np.asarray(ids.indices, np.int64)
    customer = np.cumsum(np.diff(who, prepend=-1) != 0) - 1
    if len(np.unique(who)) != int(customer.max(initial=-1)) + 1:
        raise ValueError("history: not in the order customer, time")
    times = np.sort(at)
    is_own = ~np.isin(item, [i for i, name in enumerate(names) if name in touches])
    key = customer * (len(at) + 1) + np.searchsorted(times, at)
    return Streams(names, customer, at, item, is_own, key, times)


def _encode(column: Any) -> Any:
    column = column if isinstance(column, pa.ChunkedArray) else pa.chunked_array([column])
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    return column.unify_dictionaries().combine_chunks()


def measure_moments(
    streams: Streams,
    completions: I8,
    moments: Sequence[Moment],
    outcomes: Sequence[Outcome],
    *,
    now: datetime,
    rng: np.random.Generator,
) -> pa.Table:
    """Per moment and outcome that it may announce: how often it comes, what follows, and the ratio to other times.

    ``completions`` are rows (event, moment), positions in ``streams`` and ``moments``, as the fold finds them.
    ``precision_p`` is the share of completions that the outcome follows, strictly after and inside its horizon, of
    those whose horizon has passed by ``now``. ``base_p`` is that share at other events of customers in general, with
    as many own events in the moment's window before them and the outcome's event already behind them or not, weighted
    as the completions are; events of the same customers alone would leave out everybody who has the moment once.
    ``lift`` is the ratio with its 95 % interval, by customer; ``q`` over all rows. ``lead_days`` is the median time to
    the outcome where it followed. A row without a ratio says ``why_not``.

    >>> from datetime import UTC
    >>> empty = pa.table({"customer_id": pa.array([], pa.string()), "event_at": pa.array([], pa.timestamp("us", "UTC")),
    ...     "event_class": pa.array([], pa.string())})
    >>> table = measure_moments(read_streams(empty, []), np.empty((0, 2), np.int64),
    ...     [Moment("thrice", ("pricing",) * 3, 604800.0, "", 1)], [], now=datetime(2026, 1, 1, tzinfo=UTC),
    ...     rng=np.random.default_rng(0))
    >>> table.select(["definition", "why_not"]).to_pylist()
    [{'definition': '3 × pricing, within 7d', 'why_not': 'the playbook has no outcome'}]
    """
    now_us = instant_us(now)
    weeks = _count_weeks(streams, now_us)
    rows: list[dict[str, Any]] = []
    goals = {outcome.name: _Goal.of(streams, outcome, now_us, rng) for outcome in outcomes if outcome.measure is None}
    for k, moment in enumerate(moments):
        places = completions[completions[:, 1] == k, 0]
        facts = {
            "moment": moment.name,
            "definition": say_moment(moment),
            "n_completions": len(places),
            "n_customers": len(np.unique(streams.customer[places])),
            "of_customers": streams.n_customers,
            "per_week": len(places) / weeks if weeks else None,
        }
        announced = [outcome for outcome in outcomes if moment.outcome in (None, outcome.name)]
        if not announced:
            rows.append({**facts, "why_not": "the playbook has no outcome"})
        for outcome in announced:
            goal = goals.get(outcome.name)
            found = goal.judge(streams, places, round(moment.within_s * 1e6)) if goal else {"why_not": _AMOUNT}
            rows.append({**facts, "outcome": outcome.name, **found})
    q = adjust_p_values(np.array([row.pop("p", np.nan) for row in rows], np.float64))
    for row, value in zip(rows, q, strict=True):
        row["q"] = float(value) if np.isfinite(value) else None
    return pa.Table.from_pylist(rows, schema=SCHEMA)


_AMOUNT = "it is an amount, not something that happens or does not"


def _count_weeks(streams: Streams, now_us: int) -> float:
    """Weeks that all customers together have been known."""
    first = np.flatnonzero(np.diff(streams.customer, prepend=-1) != 0)
    return float(np.maximum(now_us - streams.at[first], 0).sum() / WEEK_US)


@dataclass(frozen=True)
class _Goal:
    """An outcome at every event: whether and when it follows, and a sample of own events to compare with."""

    wait: I8  # microseconds to the outcome strictly after; -1: not inside the horizon
    is_known: Flags  # the horizon has passed
    is_behind: Flags  # the outcome's event came before, or at the same instant
    compared: I8
    is_silence: bool

    @classmethod
    def of(cls, streams: Streams, outcome: Outcome, now_us: int, rng: np.random.Generator) -> _Goal:
        is_silence = outcome.silence_s is not None
        horizon = round((outcome.silence_s or outcome.within_s or 0.0) * 1e6)
        is_it = (
            streams.is_own
            if is_silence
            else streams.item == (streams.names.index(outcome.event) if outcome.event in streams.names else -1)
        )
        places = np.append(np.flatnonzero(is_it), 0)
        nth = np.searchsorted(streams.key[places[:-1]], streams.key, side="right")
        later = places[np.minimum(nth, max(len(places) - 2, 0))]
        wait = np.where(
            (nth < len(places) - 1) & (streams.customer[later] == streams.customer),
            streams.at[later] - streams.at,
            horizon + 1,
        )
        wait = np.where(wait <= horizon, wait, -1)
        before = places[np.maximum(nth - 1, 0)]
        is_behind = (nth > 0) & (streams.customer[before] == streams.customer)
        is_known = streams.at + horizon <= now_us
        own = np.flatnonzero(is_known & streams.is_own)
        compared = own if len(own) <= MAX_COMPARED else np.sort(rng.choice(own, MAX_COMPARED, replace=False))
        if is_silence:
            wait, is_behind = np.where(wait < 0, 0, -1), np.zeros(len(wait), bool)
        return cls(wait, is_known, is_behind, compared, is_silence)

    def judge(self, streams: Streams, places: I8, window_us: int) -> dict[str, Any]:
        """What follows completions at these events."""
        known = places[self.is_known[places]]
        n_customers = len(np.unique(streams.customer[known]))
        found: dict[str, Any] = {"n_judged": len(known)}
        if not len(known):
            return found | {"why_not": "it was never completed" if not len(places) else "too soon to know what follows"}
        follows = self.wait[known] >= 0
        found["precision_p"] = float(follows.mean())
        if follows.any() and not self.is_silence:
            found["lead_days"] = float(np.median(self.wait[known][follows]) / 86_400e6)
        if len(known) < MIN_COMPLETIONS or n_customers < MIN_CUSTOMERS:
            what = f"{len(known):,} completions of {n_customers:,} customers"
            return found | {"why_not": f"too few to compare: {what} whose outcome is known"}
        others = self.compared[~np.isin(self.compared, places)]
        result = compare(
            self._instants(streams, known, window_us),
            self._instants(streams, others, window_us),
            streams.customer.astype(np.int32),
        )
        numbers = {name: float(result[name][0]) for name in ("base_p", "lift", "low", "high", "p")}
        if not np.isfinite(numbers["low"]):
            expected = f"it would follow {numbers['base_p'] * len(known):.1f} times by chance"
            is_alike = np.isfinite(numbers["base_p"])
            return found | {
                "why_not": f"too few to compare: {expected}" if is_alike else "no times are as busy as these"
            }
        return found | {name: value for name, value in numbers.items() if np.isfinite(value)}

    def _instants(self, streams: Streams, places: I8, window_us: int) -> Instant:
        own = np.append(0, np.cumsum(streams.is_own))
        first = np.searchsorted(streams.key, streams.key_at(streams.customer[places], streams.at[places] - window_us))
        activity = np.searchsorted(BUCKETS, own[places + 1] - own[first], side="right")
        stratum = (activity + N_BUCKETS * self.is_behind[places]).astype(np.int32)
        return Instant(places, (self.wait[places] >= 0)[:, None], stratum[:, None])


def say_moment(moment: Moment) -> str:
    """The moment in words.

    >>> say_moment(Moment("m", ("cart", "view", "view"), 7200.0, "", 1, without=("buy",)))
    'cart, then 2 × view, within 2h, no buy in between'
    """
    runs: list[list[Any]] = []
    for name in moment.sequence:
        if runs and runs[-1][0] == name:
            runs[-1][1] += 1
        else:
            runs.append([name, 1])
    steps = [name if n == 1 else f"{n} × {name}" for name, n in (moment.all_of or runs)]
    parts = [" and ".join(steps) + " in any order" if moment.all_of and len(steps) > 1 else ", then ".join(steps)]
    parts.append(f"within {format_duration(moment.within_s)}")
    if moment.without:
        parts.append(f"no {' or '.join(moment.without)} in between")
    if moment.absent is not None:
        parts.append(f"after {format_duration(moment.absent_s)} without {moment.absent}")
    return ", ".join(parts)
