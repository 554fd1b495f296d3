"""Results as a run would give them, made up with a seed: only for tests of what reads them.

Customers wander between states (log-normal dwell, moves by events or by silence); where asked, a planted
event class comes before one kind of move. Nothing is fitted: model and run numbers are plausible constants.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from sojourn.frames import HISTORY, INSTANT, NAME, QUARANTINE, REASONS, TRANSITIONS, customers_schema

START = datetime(2026, 1, 5, tzinfo=UTC)  # a Monday
DAY_S = 86_400.0
STATES = ("discovery", "decision", "commitment", "reinforcement", "fading")
CLASSES = (
    "product_view",
    "search",
    "compare",
    "review_read",
    "cart_add",
    "shipping_view",
    "purchase",
    "support",
    "email_sent",
    "other",
)
TOUCHES = ("email_sent",)
FEATURES = ("views_1h", "spend")
PLANTED = "shipping_view"


@dataclass(frozen=True)
class Moves:
    """Tables that agree with each other, and the instant at which they end."""

    transitions: pa.Table
    customers: pa.Table
    history: pa.Table
    now: datetime


def make_moves(
    *,
    n_customers: int = 300,
    n_days: int = 90,
    states: tuple[str, ...] = STATES,
    classes: tuple[str, ...] = CLASSES,
    never: tuple[str, ...] = (),
    planted_p: float = 0.0,
    is_moving: bool = True,
    gap_days: float = 0.4,
    seed: int = 1,
) -> Moves:
    """Customers of ``states`` but those in ``never``, who, without ``is_moving``, never leave their first one.

    With chance ``planted_p`` the planted class comes three hours before a move from the second state to the third.
    """
    rng = np.random.default_rng(seed)
    usable = [i for i, name in enumerate(states) if name not in never]
    taste = rng.dirichlet(np.full(len(classes), 3.0), size=len(states))
    now_s = n_days * DAY_S
    events: list[dict[str, Any]] = []
    moves: list[dict[str, Any]] = []
    people: list[dict[str, Any]] = []
    for number in range(n_customers):
        who = f"customer-{number:05d}"
        since = first = float(rng.uniform(0, now_s * 0.8))
        state = usable[0]
        own = [{"at": first, "class": int(rng.choice(len(classes), p=taste[state])), "state": state}]
        while True:
            dwell = float(np.exp(rng.normal(np.log(DAY_S * (2 + 3 * state)), 1.0)))
            if not is_moving or len(usable) == 1:
                dwell = np.inf
            end = since + dwell
            at = since + float(rng.exponential(DAY_S * gap_days)) + 60.0
            while at < min(end, now_s):
                own.append({"at": at, "class": int(rng.choice(len(classes), p=taste[state])), "state": state})
                at += float(rng.exponential(DAY_S * gap_days)) + 60.0
            if end >= now_s:
                break
            weight = np.array([0.0 if s == state else 1.0 / (1 + abs(s - state - 1)) for s in usable])
            to = usable[int(rng.choice(len(usable), p=weight / weight.sum()))]
            is_silent = to == usable[-1] and bool(rng.random() < 0.7)
            if (state, to) == (1, 2) and rng.random() < planted_p:
                own.append({"at": end - 3 * 3600.0, "class": classes.index(PLANTED), "state": state})
            moves.append({"customer": number, "at": end, "from": state, "to": to, "since": since})
            if not is_silent:
                moves[-1]["class"] = int(rng.choice(len(classes), p=taste[to]))
                own.append({"at": end, "class": moves[-1]["class"], "state": to, "move": len(moves) - 1})
            state, since = to, end
        own.sort(key=lambda event: event["at"])
        events += [{**event, "customer": number} for event in own]
        last_at = own[-1]["at"]
        people.append({"id": who, "first": first, "last": last_at, "n": len(own), "state": state, "since": since})
    events.sort(key=lambda event: event["at"])
    for row, event in enumerate(events):
        event["id"] = f"0:{row}"
        if "move" in event:
            moves[event["move"]]["id"] = event["id"]
    moves.sort(key=lambda move: move["at"])
    return Moves(
        transitions=_transitions(moves, people, states, classes),
        customers=_customers(people, states, rng),
        history=_history(events, people, states, classes, rng),
        now=START + timedelta(seconds=now_s),
    )


def instants(seconds: list[float]) -> pa.Array:
    """Instants so many seconds after the start."""
    base = int(START.timestamp()) * 1_000_000
    return pa.array([base + round(s * 1e6) for s in seconds], pa.int64()).cast(INSTANT)


def _transitions(
    moves: list[dict[str, Any]],
    people: list[dict[str, Any]],
    states: tuple[str, ...],
    classes: tuple[str, ...],
) -> pa.Table:
    at = instants([m["at"] for m in moves])
    since = instants([m["since"] for m in moves])
    dwell = np.asarray(at.cast(pa.int64())) - np.asarray(since.cast(pa.int64()))
    table = pa.table(
        {
            "customer_id": [people[m["customer"]]["id"] for m in moves],
            "at": at,
            "from_state": [states[m["from"]] for m in moves],
            "to_state": [states[m["to"]] for m in moves],
            "cause": ["event" if "id" in m else "silence" for m in moves],
            "event_id": [m.get("id") for m in moves],
            "event_class": [classes[m["class"]] if "class" in m else None for m in moves],
            "dwell_s": dwell / 1e6,
        }
    )
    return _cast(table, TRANSITIONS)


def _customers(people: list[dict[str, Any]], states: tuple[str, ...], rng: np.random.Generator) -> pa.Table:
    n = len(people)
    p = rng.dirichlet(np.full(len(states), 0.3), size=n)
    for row, person in enumerate(people):
        p[row] *= 0.35
        p[row, person["state"]] += 0.65
    runner = [states[int(np.argsort(p[row])[-2])] if len(states) > 1 else None for row in range(n)]
    columns = {
        "customer_id": [x["id"] for x in people],
        "first_at": instants([x["first"] for x in people]),
        "last_at": instants([x["last"] for x in people]),
        "n_events": [x["n"] for x in people],
        "state": [states[x["state"]] for x in people],
        "since_at": instants([x["since"] for x in people]),
        "state_p": [float(p[row, x["state"]]) for row, x in enumerate(people)],
        "runner_up": runner,
        **{f"p_{name}": p[:, i] for i, name in enumerate(states)},
        "reasons": pa.array(
            [[{"what": "product_view", "weight": 1.2}, {"what": "silence 3 d", "weight": -0.4}]] * n, REASONS
        ),
        **{f"f_{name}": rng.lognormal(1, 1, n) for name in FEATURES},
    }
    return _cast(pa.table(columns), customers_schema(states, FEATURES))


def _history(
    events: list[dict[str, Any]],
    people: list[dict[str, Any]],
    states: tuple[str, ...],
    classes: tuple[str, ...],
    rng: np.random.Generator,
) -> pa.Table:
    n = len(events)
    state = [states[e["state"]] for e in events]
    kind = pa.DictionaryArray.from_arrays(
        pa.array([e["class"] for e in events], pa.int32()), pa.array(classes, pa.string())
    )
    table = pa.table(
        {
            "customer_id": [people[e["customer"]]["id"] for e in events],
            "event_id": [e["id"] for e in events],
            "event_at": instants([e["at"] for e in events]),
            "event_class": kind,
            "smoothed_state": state,
            "smoothed_p": rng.uniform(0.6, 1.0, n),
            "filtered_state": state,
            "filtered_p": rng.uniform(0.5, 1.0, n),
            "state": state,
        }
    )
    return _cast(table, HISTORY)


def _cast(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The table in the schema's types; texts become dictionaries where the schema wants them."""
    columns = []
    for field in schema:
        column = table[field.name]
        if field.type == NAME and not pa.types.is_dictionary(column.type):
            column = column.cast(pa.string()).dictionary_encode()
        columns.append(column.cast(field.type))
    return pa.table(columns, schema=schema)


def make_quarantine(raw: str = '{"event": "Order Completed", "timestamp": "soon"}') -> pa.Table:
    """Two rows that could not be used."""
    return pa.table(
        {
            "source": ["events.jsonl", "events.jsonl"],
            "line": [12, 977],
            "rule": ["time", "customer"],
            "found": ["time 'soon' cannot be read", "customer is empty"],
            "raw": [raw, raw],
        },
        schema=QUARANTINE,
    )
