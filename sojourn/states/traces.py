"""The trace of example customers: posterior, state and reasons after each event."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from sojourn.frames import F8, REASONS
from sojourn.states.hmm import Model, tick_matrices
from sojourn.states.hmm import hysteresis as publish
from sojourn.states.published import Chunk, Thresholds, infer_states
from sojourn.states.reasons import find_runner_up, reasons_column, split_odds
from sojourn.states.rows import Rows
from sojourn.states.tables import instant_column


def trace_customers(
    model: Model, thresholds: Thresholds, rows: Rows, events: pa.Table, customer_ids: pa.Array
) -> tuple[pa.Table, ...]:
    """One trace per customer of ``rows`` (a few: every instant is spelled out)."""
    return tuple(
        _trace_customer(chunk, rows, model, events, k, customer_ids[k].as_py())
        for chunk in infer_states(model, thresholds, rows)
        for k in range(chunk.first, chunk.last)
        if chunk.facts[k - chunk.first, publish.N_OWN] > 0
    )


class _Entry(NamedTuple):
    """One instant of a trace: ``state`` is the published one, ``posterior`` the filtered one, right after it."""

    at: int
    kind: str
    event_id: str | None
    event_class: str | None
    state: int
    posterior: F8
    reasons: list[dict[str, object]] | None


def _trace_customer(
    chunk: Chunk, rows: Rows, model: Model, events: pa.Table, customer: int, customer_id: str
) -> pa.Table:
    """Every instant of one customer: events, touches and ticks of silence, with posterior, state and reasons."""
    k = customer - chunk.first
    lo, hi = int(rows.starts[customer]), int(rows.starts[customer + 1])
    taken = events.select(["event_id", "event_class"]).take(pa.array(rows.order[lo:hi]))
    event_ids, classes = taken["event_id"].to_pylist(), taken["event_class"].to_pylist()
    ticks, boundaries = tick_matrices(model), [round(b * 1e6) for b in model.boundaries_s]
    moves = chunk.moves[chunk.moves[:, publish.MOVE_CUSTOMER] == k]
    by_silence = moves[:, publish.MOVE_ROW] < 0
    begun = int(moves[0, publish.MOVE_FROM]) if len(moves) else int(chunk.facts[k, publish.STATE])

    def state_in_silence(t: int) -> int:
        """The state after a tick at ``t``; an event at the same instant comes after it."""
        n = int(((moves[:, publish.MOVE_AT] < t) | ((moves[:, publish.MOVE_AT] == t) & by_silence)).sum())
        return int(moves[n - 1, publish.MOVE_TO]) if n else begun

    reasons = iter(_reasons_of_events(chunk, rows, model, customer))
    entries: list[_Entry] = []
    p: F8 | None = None
    crossed, last_own = 0, 0
    for i in range(lo, hi + 1):
        t = int(rows.at[i]) if i < hi else rows.now
        while p is not None and crossed < len(boundaries) and last_own + boundaries[crossed] <= t:
            p = p @ ticks[crossed]
            p = p / p.sum()
            tick_at = last_own + boundaries[crossed]
            entries.append(_Entry(tick_at, "silence", None, None, state_in_silence(tick_at), p, None))
            crossed += 1
        if i == hi:
            break
        state = int(chunk.published[i - chunk.lo])
        if rows.touch[i] == 0:
            p, crossed, last_own = chunk.filtered[i - chunk.lo], 0, t
            entries.append(_Entry(t, "event", event_ids[i - lo], classes[i - lo], state, p, next(reasons)))
        elif p is not None:
            entries.append(_Entry(t, "touch", event_ids[i - lo], classes[i - lo], state, p, None))
    return _trace_table(entries, model, customer_id)


def _reasons_of_events(
    chunk: Chunk, rows: Rows, model: Model, customer: int, n_most: int = 5
) -> list[list[dict[str, object]]]:
    """The reasons for the published state right after each own event of one customer."""
    a, b = rows.data.starts[customer : customer + 2]
    own = rows.own_row[a:b] - chunk.lo
    posterior, state = chunk.filtered[own], chunk.published[own].astype(np.int64)
    facts = np.zeros((len(own), len(publish.FACTS)), np.int64)
    facts[:, publish.N_OWN] = np.arange(1, len(own) + 1)
    facts[:, publish.STEP_TICKS], facts[:, publish.STEP_TOUCH] = np.divmod(
        rows.data.step[a:b], len(model.event_transitions)
    )
    carried = np.concatenate([posterior[:1], posterior[:-1]])
    against = find_runner_up(posterior, state)
    parts = split_odds(model, rows.data.combos, carried, facts, rows.data.code[a:b], state, against)
    found: list[list[dict[str, object]]] = reasons_column(model, parts, n_most).to_pylist()
    return found


def _trace_table(entries: Sequence[_Entry], model: Model, customer_id: str) -> pa.Table:
    posterior = np.array([e.posterior for e in entries]).reshape(len(entries), len(model.states))
    return pa.table(
        {
            "customer_id": pa.array([customer_id] * len(entries), pa.string()),
            "at": instant_column(np.array([e.at for e in entries], np.int64)),
            "kind": pa.array([e.kind for e in entries], pa.string()),
            "event_id": pa.array([e.event_id for e in entries], pa.string()),
            "event_class": pa.array([e.event_class for e in entries], pa.string()),
            "state": pa.array([model.states[e.state] for e in entries], pa.string()),
            **{f"p_{name}": pa.array(posterior[:, s]) for s, name in enumerate(model.states)},
            "reasons": pa.array([e.reasons for e in entries], REASONS),
        }
    )
