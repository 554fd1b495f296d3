"""Ways through the states: common paths, loops, and where customers come in and go out. Counts, no model."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sojourn.frames import I8, instant_us
from sojourn.playbook import Outcome
from sojourn.transitions.stays import codes_of, instants_of, read_stays

Row = dict[str, Any]

PATH_LENGTHS = (3, 4, 5)
"""States in a path; paths of two are the moves, which `matrix` has."""

MOST_PATHS = 50
"""Of each length the most travelled."""

MIN_CUSTOMERS = 2
GONE_S = 30 * 86_400.0
"""Silence after which a customer counts as gone where no outcome of the playbook says how long."""

SCHEMA = pa.schema(
    [
        ("kind", pa.string()),
        ("what", pa.string()),
        ("steps", pa.list_(pa.string())),
        ("text", pa.string()),
        ("n", pa.int64()),
        ("n_customers", pa.int64()),
        ("of", pa.int64()),
        ("share_p", pa.float64()),
        ("median_s", pa.float64()),
    ]
)


def find_paths(
    transitions: pa.Table,
    customers: pa.Table,
    history: pa.Table,
    *,
    states: Sequence[str],
    touches: Sequence[str],
    gone_s: float,
    now: datetime,
) -> pa.Table:
    """A row per path, loop, entry and exit; ``share_p`` is ``n_customers`` (for a loop ``n``) of ``of``.

    ``path``: three to five states one after the other, of all customers; ``median_s`` from entering the first to
    entering the last. ``loop``: out of a state and straight back, of all moves along its first half that were followed
    by another; ``median_s`` the time away. ``entry``: a customer's first state and first own event. ``exit``: the
    last own event of customers who have been silent for ``gone_s``, and the published state right after it. Entries and
    exits are counted over the customers of ``history`` (``customer_id, event_at, event_class, state``, by customer and
    time), who may be a sample.

    >>> from datetime import UTC
    >>> from sojourn.frames.schemas import HISTORY, TRANSITIONS, customers_schema
    >>> find_paths(TRANSITIONS.empty_table(), customers_schema(["a"], []).empty_table(), HISTORY.empty_table(),
    ...     states=["a"], touches=[], gone_s=GONE_S, now=datetime(2026, 1, 5, tzinfo=UTC)).num_rows
    0
    """
    stays = read_stays(transitions, customers, states=states, now=now)
    order = np.lexsort((stays.start_us, stays.customer))
    who, state = stays.customer[order].astype(np.int64), stays.state[order].astype(np.int64)
    start = stays.start_us[order]
    rows = count_loops(who, state, start, states)
    for length in PATH_LENGTHS:
        rows += count_paths(who, state, start, states, length=length)
    rows += count_ends(history, states=states, touches=touches, gone_s=gone_s, now_us=instant_us(now))
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def choose_silence(outcomes: Sequence[Outcome]) -> float:
    """Seconds of silence after which a customer is gone: the playbook's first outcome of silence, or 30 days."""
    return next((outcome.silence_s for outcome in outcomes if outcome.silence_s is not None), GONE_S)


def count_paths(who: I8, state: I8, start: I8, states: Sequence[str], *, length: int) -> list[Row]:
    """Paths of so many states, the most customers first. Rows are stays by customer and time."""
    first = np.flatnonzero(who[: len(who) - length + 1] == who[length - 1 :])
    steps = state[first[:, None] + np.arange(length)]
    code = steps @ (len(states) ** np.arange(length))
    codes, where = np.unique(code, return_inverse=True)
    n_all = len(np.unique(who))
    rows = []
    for k in _most(_count_distinct(where, who[first], len(codes))):
        mine = first[where == k]
        n_customers = len(np.unique(who[mine]))
        names = [states[i] for i in state[mine[0] : mine[0] + length]]
        took = (start[mine + length - 1] - start[mine]) / 1e6
        rows.append(_row("path", "state", names, len(mine), n_customers, n_all, n_customers / n_all, took))
    return rows


def count_loops(who: I8, state: I8, start: I8, states: Sequence[str]) -> list[Row]:
    """Out of a state and straight back: how often, of all times that the first half was walked and went on."""
    first = np.flatnonzero(who[:-2] == who[2:])
    there = state[first] * len(states) + state[first + 1]
    is_back = state[first + 2] == state[first]
    n_there = np.bincount(there, minlength=len(states) ** 2)
    rows = []
    for pair in np.unique(there[is_back]).tolist():
        mine = first[is_back & (there == pair)]
        a, b = states[pair // len(states)], states[pair % len(states)]
        away = (start[mine + 2] - start[mine + 1]) / 1e6
        share = len(mine) / n_there[pair]
        rows.append(_row("loop", "state", [a, b, a], len(mine), len(np.unique(who[mine])), n_there[pair], share, away))
    return sorted(rows, key=lambda row: (-row["n"], row["text"]))


def count_ends(
    history: pa.Table, *, states: Sequence[str], touches: Sequence[str], gone_s: float, now_us: int
) -> list[Row]:
    """First and last own events, and the states right after them."""
    column = history["event_class"]
    column = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    column = column.unify_dictionaries() if isinstance(column, pa.ChunkedArray) else column
    classes = list(dict.fromkeys(column.unique().to_pylist()))
    item = codes_of(column, classes)
    own = np.flatnonzero(~np.isin(item, [i for i, name in enumerate(classes) if name in touches]))
    if not len(own):
        return []
    ids = history["customer_id"].take(pa.array(own)).combine_chunks()
    ids = ids if pa.types.is_dictionary(ids.type) else ids.dictionary_encode()
    is_new = np.diff(np.asarray(ids.indices), prepend=-1) != 0
    first, last = own[is_new], own[np.append(is_new[1:], True)]
    gone = last[now_us - instants_of(history["event_at"])[last] >= round(gone_s * 1e6)]
    state = codes_of(history["state"], states)
    rows = []
    for kind, at in (("entry", first), ("exit", gone)):
        for what, names, codes in (("state", states, state[at]), ("event class", classes, item[at])):
            counts = np.bincount(codes[codes >= 0], minlength=len(names))
            rows += [
                _row(kind, what, [names[i]], counts[i], counts[i], len(at), counts[i] / len(at), np.zeros(0))
                for i in sorted(np.flatnonzero(counts).tolist(), key=lambda i: (-counts[i], i))
            ]
    return rows


def _count_distinct(group: I8, member: I8, n_groups: int) -> I8:
    top = int(member.max(initial=0)) + 1
    return np.bincount(np.unique(group * top + member) // top, minlength=n_groups)


def _most(n_customers: I8) -> list[int]:
    order = np.argsort(-n_customers, kind="stable")[:MOST_PATHS]
    return [int(k) for k in order if n_customers[k] >= MIN_CUSTOMERS]


def _row(
    kind: str, what: str, steps: list[str], n: Any, n_customers: Any, of: Any, share: float, took: NDArray[np.float64]
) -> Row:
    return {
        "kind": kind,
        "what": what,
        "steps": steps,
        "text": " → ".join(steps),
        "n": int(n),
        "n_customers": int(n_customers),
        "of": int(of),
        "share_p": float(share),
        "median_s": float(np.median(took)) if len(took) else None,
    }
