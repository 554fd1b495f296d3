"""Where and when people of each state are found, against where customers are found overall, and what is not covered.

An index is a ratio of two shares of events; its interval counts customers, not events, by linearisation (Woodruff 1971,
doi:10.1080/01621459.1971.10482279; sandwich, Liang & Zeger 1986, doi:10.1093/biomet/73.1.13).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from sojourn.frames import DAY_US, I8
from sojourn.playbook import State
from sojourn.transitions.stays import codes_of, instants_of

Row = dict[str, Any]

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
HOURS = tuple(f"{hour:02}:00" for hour in range(24))
EPOCH_WEEKDAY = 3  # 1 January 1970 was a Thursday

MOST_CHANNELS = 30
"""Of further channels, the rarest, no row is made."""

MIN_CUSTOMERS = 10
"""No interval is given for fewer customers seen."""

MANY_P, MUCH_P = 0.2, 0.05
"""A channel with so many of a state's customers and so much of what they do should be one that the playbook names."""

FEW_P = 0.01

SCHEMA = pa.schema(
    [
        ("state", pa.string()),
        ("kind", pa.string()),
        ("what", pa.string()),
        ("n_events", pa.int64()),
        ("n_customers", pa.int64()),
        ("customers_p", pa.float64()),
        ("share_p", pa.float64()),
        ("overall_p", pa.float64()),
        ("index", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("is_named", pa.bool_()),
        ("gap", pa.string()),
    ]
)


def find_channels(
    lives: pa.Table, written: Sequence[State], *, states: Sequence[str], touches: Sequence[str]
) -> pa.Table:
    """Per state: channels, hours and days of own events, touches received, and what the playbook says to that.

    ``lives`` needs ``customer_id``, ``event_at``, ``event_class``, ``state`` (the published one right after the event)
    and ``channel``; its customers may be a sample. ``written`` are the playbook's states, ``states`` all. Rows of
    ``kind`` ``channel``, ``hour`` (UTC), ``weekday`` (UTC) and ``touch`` carry ``share_p``, the share of the state's
    events (touches: of the touches received in it), ``overall_p`` the same of all states, ``index`` their ratio with a
    95 % interval, ``n_customers`` seen there, and ``customers_p``, their share of the customers seen in the state.
    ``creative`` has a row per state with the playbook's words, or null. ``is_named``: the playbook names the channel
    for the state. ``gap`` says in words what is not covered, else it is null.

    >>> from sojourn.frames.schemas import HISTORY, NAME
    >>> empty = HISTORY.empty_table().append_column("channel", pa.chunked_array([pa.array([], NAME)]))
    >>> find_channels(empty, [], states=["a"], touches=[]).select(["kind", "gap"]).to_pylist()
    [{'kind': 'creative', 'gap': 'the playbook does not describe this state'}]
    """
    known = {state.name: state for state in written}
    classes = _distinct(lives["event_class"])
    item, state = codes_of(lives["event_class"], classes), codes_of(lives["state"], states)
    is_touch = np.isin(item, [i for i, name in enumerate(classes) if name in touches])
    customer = codes_of(lives["customer_id"], _distinct(lives["customer_id"])).astype(np.int64)
    at = instants_of(lives["event_at"])
    channels = _common(lives["channel"])
    channel = _place(lives["channel"], channels)
    own, sent = np.flatnonzero(~is_touch & (state >= 0)), np.flatnonzero(is_touch & (state >= 0))
    rows: list[Row] = []
    for kind, names, code, among in (
        ("channel", channels, channel, own),
        ("hour", HOURS, (at // 3_600_000_000) % 24, own),
        ("weekday", WEEKDAYS, (at // DAY_US + EPOCH_WEEKDAY) % 7, own),
        ("touch", classes, item.astype(np.int64), sent),
    ):
        among = among[code[among] >= 0]
        found = compare_shares(customer[among], state[among].astype(np.int64), code[among], len(states), len(names))
        for row in found:
            row |= {"state": states[row["state"]], "kind": kind, "what": names[row["what"]]}
            row |= _say_gap(row, known.get(row["state"]))
        rows += found
    for name in states:
        rows += _write_plan(name, known.get(name), [r for r in rows if r["state"] == name and r["kind"] == "channel"])
    place, kinds = {name: i for i, name in enumerate(states)}, ("channel", "hour", "weekday", "touch", "creative")
    rows.sort(key=lambda row: (place[row["state"]], kinds.index(row["kind"])))
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def compare_shares(customer: I8, state: I8, value: I8, n_states: int, n_values: int) -> list[Row]:
    """Per state and value that occurs: shares of events in the state and overall, their ratio, and its interval.

    Arrays are one entry per event; states and values are codes.
    """
    people, who = np.unique(customer, return_inverse=True)
    n = len(people)
    cells = np.bincount((who * n_states + state) * n_values + value, minlength=n * n_states * n_values)
    by_all = cells.reshape(n, n_states, n_values)
    by_value, by_state, by_one = by_all.sum(axis=1), by_all.sum(axis=2), by_all.sum(axis=(1, 2))
    rows = []
    for s, v in np.argwhere(by_all.sum(axis=0) > 0).tolist():
        both, here, there = by_all[:, s, v], by_state[:, s], by_value[:, v]
        share, overall = both.sum() / here.sum(), there.sum() / by_one.sum()
        n_seen = int((both > 0).sum())
        low = high = None
        if n_seen >= MIN_CUSTOMERS:
            pull = both / both.sum() - here / here.sum() - there / there.sum() + by_one / by_one.sum()
            width = 1.959963984540054 * np.sqrt((pull**2).sum() * n / (n - 1))
            low, high = (float(share / overall * np.exp(sign * width)) for sign in (-1, 1))
        rows.append(
            {
                "state": s,
                "what": v,
                "n_events": int(both.sum()),
                "n_customers": n_seen,
                "customers_p": n_seen / int((here > 0).sum()),
                "share_p": float(share),
                "overall_p": float(overall),
                "index": float(share / overall),
                "low": low,
                "high": high,
            }
        )
    return rows


def _say_gap(row: Row, state: State | None) -> Row:
    """What the playbook leaves open about a row."""
    if row["kind"] == "touch":
        is_open = state is None or not (state.creative or state.channels)
        return {"gap": "sent in a state for which the playbook says nothing" if is_open else None}
    if row["kind"] != "channel":
        return {}
    is_named = state is not None and row["what"] in state.channels
    is_missed = row["customers_p"] >= MANY_P and row["share_p"] >= MUCH_P and not is_named
    return {"is_named": is_named, "gap": "many are found here, the playbook does not name it" if is_missed else None}


def _write_plan(name: str, state: State | None, found: Sequence[Row]) -> list[Row]:
    """The creative line of a state, and the channels that the playbook names where hardly anybody is found."""
    blank: Row = {"state": name, "n_events": 0, "n_customers": 0, "customers_p": 0.0, "share_p": 0.0}
    gap = None
    if state is None:
        gap = "the playbook does not describe this state"
    elif not state.creative:
        gap = "the playbook has no creative line"
    rows: list[Row] = [
        {"state": name, "kind": "creative", "what": (state.creative or None) if state else None, "gap": gap}
    ]
    for channel in state.channels if state and found else ():
        seen = next((row for row in found if row["what"] == channel), None)
        told = "the playbook names it, hardly anybody comes from there"
        if seen is None:
            rows.append({**blank, "kind": "channel", "what": channel, "is_named": True, "gap": told})
        elif seen["customers_p"] < FEW_P:
            seen["gap"] = told
    return rows


def _distinct(column: Any) -> list[str]:
    return [name for name in dict.fromkeys(column.unique().to_pylist()) if name is not None]


def _common(column: Any) -> list[str]:
    counts = [(row["values"], row["counts"]) for row in column.value_counts().to_pylist() if row["values"]]
    return [name for name, _ in sorted(counts, key=lambda pair: (-pair[1], pair[0]))[:MOST_CHANNELS]]


def _place(column: Any, names: Sequence[str]) -> I8:
    """Positions in ``names``; -1 for null and for others."""
    every = _distinct(column)
    place = {name: code for code, name in enumerate(names)}
    lookup = np.array([place.get(name, -1) for name in every] + [-1], np.int64)
    return np.asarray(lookup[codes_of(column, every)], np.int64)
