"""Moves between published states: how many, how long customers stay, how fast they go, what came before.

Everything is computed from *stays*, unbroken times in a state: ``transitions`` holds the finished ones,
``customers`` the one each customer is in now. Formulae and sources: ``docs/reference/transitions.md``.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sojourn.frames import instant_us
from sojourn.playbook import Target
from sojourn.transitions.dwell import estimate_dwell, estimate_velocity
from sojourn.transitions.precursors import find_precursors
from sojourn.transitions.stays import (
    Stays,
    codes_of,
    customer_rows,
    first_states,
    instants_of,
    names_at,
    read_stays,
    week_instants,
    weeks_of,
)
from sojourn.transitions.velocity import compare_cohorts, count_risk, draw_stays, find_changes, track_velocity

NEW = "new"
"""In the flow table, where customers come from in the week of their first event."""


def analyse_moves(
    transitions: pa.Table,
    customers: pa.Table,
    history: pa.Table,
    *,
    states: Sequence[str],
    touches: Sequence[str],
    now: datetime,
    rng: np.random.Generator,
    targets: Sequence[Target] = (),
) -> dict[str, pa.Table]:
    """The tables ``matrix``, ``weekly``, ``flow``, ``dwell``, ``velocity`` with its two companions, and ``precedes``.

    ``transitions``, ``customers`` and ``history`` are as :mod:`sojourn.frames.schemas` describes them; transitions of
    one customer are in the order in which they happened. ``states`` are all state names, ``touches`` the
    event classes that we sent, ``now`` the instant at which stays are cut off. ``rng`` picks the comparison
    instants of ``precedes`` where there are very many, and customers and orders of weeks that changes of velocity are
    judged by; nothing else is random. ``targets`` are those of the playbook.

    Raises :class:`ValueError` for a state or customer that the tables do not agree on.

    >>> from datetime import UTC
    >>> from sojourn.frames.schemas import HISTORY, TRANSITIONS, customers_schema
    >>> tables = analyse_moves(
    ...     TRANSITIONS.empty_table(), customers_schema(["a"], []).empty_table(), HISTORY.empty_table(),
    ...     states=["a"], touches=[], now=datetime(2026, 1, 5, tzinfo=UTC), rng=np.random.default_rng(0))
    >>> list(tables)
    ['matrix', 'weekly', 'flow', 'dwell', 'velocity', 'velocity_changes', 'velocity_cohorts', 'precedes']
    """
    now_us = instant_us(now)
    order_rng = rng.spawn(1)[0]
    stays = read_stays(transitions, customers, states=states, now=now)
    drawn = draw_stays(stays, order_rng)
    risks = count_risk(stays, now_us, drawn=drawn)
    return {
        "matrix": count_moves(stays),
        "weekly": count_weekly(transitions, states=states),
        "flow": count_flow(transitions, customers, states=states, now=now),
        "dwell": estimate_dwell(stays),
        "velocity": track_velocity(estimate_velocity(stays, now_us), risks, stays, now_us, targets=targets),
        "velocity_changes": find_changes(risks, states, now_us, order_rng),
        "velocity_cohorts": compare_cohorts(drawn, now_us, targets=targets),
        "precedes": find_precursors(transitions, customers, history, states=states, touches=touches, rng=rng),
    }


def count_moves(stays: Stays) -> pa.Table:
    """Moves per pair of states: ``n``, ``p`` of all moves out of ``from_state``, customers, median dwell."""
    over = np.flatnonzero(stays.is_over)
    n_states = len(stays.states)
    pair = stays.state[over].astype(np.int64) * n_states + stays.to_state[over]
    dwell = stays.dwell_s[over]
    order = np.lexsort((dwell, pair))
    pairs, first, n = np.unique(pair[order], return_index=True, return_counts=True)
    sorted_dwell = dwell[order]
    middle = (sorted_dwell[first + (n - 1) // 2] + sorted_dwell[first + n // 2]) / 2
    who = np.unique(pair * max(stays.n_customers, 1) + stays.customer[over])
    n_customers = np.bincount(np.searchsorted(pairs, who // max(stays.n_customers, 1)), minlength=len(pairs))
    out_of = np.bincount(pairs // n_states, weights=n, minlength=n_states)
    return pa.table(
        {
            "from_state": names_at(stays.states, pairs // n_states),
            "to_state": names_at(stays.states, pairs % n_states),
            "n": pa.array(n, pa.int64()),
            "p": pa.array(n / out_of[pairs // n_states], pa.float64()),
            "n_customers": pa.array(n_customers, pa.int64()),
            "median_dwell_s": pa.array(middle, pa.float64()),
        }
    )


def count_weekly(transitions: pa.Table, *, states: Sequence[str]) -> pa.Table:
    """Moves per week (Monday 00:00 UTC) and pair of states, and how many an event or silence caused."""
    transitions = transitions.filter(pc.is_valid(transitions["from_state"]))
    n_states = max(len(states), 1)
    week = weeks_of(instants_of(transitions["at"]))
    pair = codes_of(transitions["from_state"], states) * n_states + codes_of(transitions["to_state"], states)
    key = week * n_states**2 + pair
    is_silence = codes_of(transitions["cause"], ["event", "silence"]) == 1
    keys, inverse, n = np.unique(key, return_inverse=True, return_counts=True)
    n_silence = np.bincount(inverse, weights=is_silence, minlength=len(keys)).astype(np.int64)
    pairs = keys % n_states**2
    return pa.table(
        {
            "week_at": week_instants(keys // n_states**2),
            "from_state": names_at(states, pairs // n_states),
            "to_state": names_at(states, pairs % n_states),
            "n": pa.array(n, pa.int64()),
            "n_event": pa.array(n - n_silence, pa.int64()),
            "n_silence": pa.array(n_silence, pa.int64()),
        }
    )


def count_flow(transitions: pa.Table, customers: pa.Table, *, states: Sequence[str], now: datetime) -> pa.Table:
    """Customers by their state at the start and at the end of each week; the last week ends at ``now``.

    Customers whose first event lies in the week come from ``new``. Customers who stay are rows too
    (``from_state`` equals ``to_state``), so that each week's rows add up to the customers known by its end.
    """
    first_us, first_state = first_states(transitions, customers, states=states)
    moves = transitions.filter(pc.is_valid(transitions["from_state"]))
    at = instants_of(moves["at"])
    who, to = customer_rows(moves["customer_id"], customers), codes_of(moves["to_state"], states)
    known = np.flatnonzero(first_state >= 0)
    # One stream of changes in time order: first a customer's first state, then the moves as they came.
    at = np.concatenate([first_us[known], at])
    who = np.concatenate([known.astype(np.int32), who])
    to = np.concatenate([first_state[known], to])
    order = np.argsort(at, kind="stable")
    week, who, to = weeks_of(at[order]), who[order], to[order]
    n_states = len(states)
    last_week = int(weeks_of(np.array([instant_us(now)]))[0])
    state = np.full(customers.num_rows, n_states, dtype=np.int32)  # n_states: not yet a customer
    rows: list[tuple[int, int, int, int]] = []
    for number in range(int(week[0]), max(last_week, int(week[-1])) + 1) if len(week) else ():
        before = state.copy()
        low, high = np.searchsorted(week, [number, number + 1])
        state[who[low:high]] = to[low:high]  # repeated customers: the last change stays
        counts = np.bincount(before * (n_states + 1) + state, minlength=(n_states + 1) ** 2)
        rows += [
            (number, code // (n_states + 1), code % (n_states + 1), int(counts[code]))
            for code in np.flatnonzero(counts[:-1]).tolist()
        ]
    table = np.array(rows, dtype=np.int64).reshape(-1, 4)
    names = [*states, NEW]
    return pa.table(
        {
            "week_at": week_instants(table[:, 0]),
            "from_state": names_at(names, table[:, 1]),
            "to_state": names_at(names, table[:, 2]),
            "n": pa.array(table[:, 3], pa.int64()),
        }
    )


def count_states(transitions: pa.Table, customers: pa.Table, *, states: Sequence[str], at: datetime) -> dict[str, int]:
    """How many customers were in each state at the instant ``at`` (not after ``now``), by name.

    Customers whose first event came after ``at`` are not counted. A move at exactly ``at`` has happened.
    """
    at_us = instant_us(at)
    first_us, first_state = first_states(transitions, customers, states=states)
    known = (first_us <= at_us) & (first_state >= 0)
    count = np.bincount(first_state[known], minlength=len(states))
    moves = transitions.filter(pc.is_valid(transitions["from_state"]))
    done = instants_of(moves["at"]) <= at_us
    count = count + np.bincount(codes_of(moves["to_state"], states)[done], minlength=len(states))
    count = count - np.bincount(codes_of(moves["from_state"], states)[done], minlength=len(states))
    return {name: int(n) for name, n in zip(states, count, strict=True)}
