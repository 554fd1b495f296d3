"""The compiled step of the live state model: one event of one customer at a time, and time passing without any.

What is kept of a customer is as of their last own event. :func:`follow` brings it forward to the next one, crossing the
ticks of silence in between; :func:`peek` looks ahead from it to an instant without changing it. So a tick can be
told to the world at its exact instant, and is computed again, the same, when the next event comes. Both use the parts
of :mod:`sojourn.states.hmm.hysteresis`, whose walk over a whole history gives the same.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numba import njit

from sojourn.states.hmm.hysteresis import (
    _NO_TICK,
    CURRENT,
    IS_DETECTED,
    MOVE_AT,
    N_MOVES,
    PENDING,
    PENDING_SINCE,
    PREVIOUS,
    SINCE,
    _advance,
    _consider,
    _switch,
)
from sojourn.states.hmm.kernel import Loop

_OPTIONS: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy", "fastmath": {"contract"}}
NEVER = np.iinfo(np.int64).max

# What is kept of a customer beside the memory of the published state, an int64 row. TOUCH: the touch since the last
# own event. STEP_*: how the last own event was reached. TOLD_AT: the latest silent move that the world knows of.
KEPT = N_OWN, FIRST_OWN, LAST_OWN, TOUCH, STEP_TICKS, STEP_TOUCH, TOLD_AT = range(7)
N_MEMORY = 10
# What a look ahead finds, an int64 row per customer.
SEEN = SEEN_STATE, SEEN_SINCE, SEEN_TICKS, SEEN_DUE = range(4)


@cache
def follow(n_states: int) -> Loop:
    """The loop over events in order of time, each of any customer."""
    S = n_states

    @njit(**_OPTIONS)
    def loop(  # type: ignore[no-untyped-def]
        row,
        at,
        touch,
        likelihood,
        boundaries,
        tick,
        event,
        pi,
        enter,
        margin,
        leave,
        min_dwell,
        kept,
        memory,
        before,
        after,
        moves,
    ):
        """Return the number of moves written, of those that the world does not know yet.

        ``row[i]`` is the customer of event i, ``touch[i]`` 0 for an own event, ``likelihood[i]`` that of what was seen.
        Of each customer: ``kept``, ``memory``, the posterior right ``after`` the last own event and that ``before``
        it, after the one before. ``moves`` needs room for two more moves per event than there are boundaries.
        """
        w = np.empty(S)
        v = np.empty(S)
        stats = np.zeros(5)
        n_moves = 0
        for i in range(len(row)):
            k = kept[row[i]]
            if touch[i] > 0:
                k[TOUCH] = touch[i]
                continue
            mem = memory[row[i]]
            mem[N_MOVES] = n_moves
            c = 0.0
            if k[N_OWN] == 0:
                for s in range(S):
                    w[s] = pi[s] * likelihood[i, s]
                    c += w[s]
            else:
                for s in range(S):
                    v[s] = after[row[i], s]
                    before[row[i], s] = v[s]
                ticks = _advance(
                    mem,
                    v,
                    w,
                    k[LAST_OWN],
                    _NO_TICK,
                    at[i],
                    row[i],
                    boundaries,
                    tick,
                    enter,
                    margin,
                    leave,
                    min_dwell,
                    moves,
                    stats,
                )
                n_new = n_moves
                for j in range(n_moves, mem[N_MOVES]):
                    if moves[j, MOVE_AT] > k[TOLD_AT]:
                        for c_ in range(moves.shape[1]):
                            moves[n_new, c_] = moves[j, c_]
                        n_new += 1
                mem[N_MOVES] = n_new
                for s in range(S):
                    x = 0.0
                    for r in range(S):
                        x += v[r] * event[ticks, k[TOUCH], r, s]
                    w[s] = x * likelihood[i, s]
                    c += w[s]
                k[STEP_TICKS] = ticks
                k[STEP_TOUCH] = k[TOUCH]
            for s in range(S):
                v[s] = w[s] / c
                after[row[i], s] = v[s]
            if k[N_OWN] == 0:
                mem[:] = -1
                mem[N_MOVES] = n_moves
                mem[IS_DETECTED] = 1
                mem[CURRENT] = np.argmax(v)
                mem[SINCE] = at[i]
                mem[PREVIOUS] = -1
                k[FIRST_OWN] = at[i]
                k[STEP_TOUCH] = k[TOUCH]
            else:
                to = _consider(mem, v, at[i], i, enter, margin, leave, min_dwell)
                if to >= 0:
                    _switch(mem, at[i], to, i, row[i], moves, stats)
            k[N_OWN] += 1
            k[LAST_OWN] = at[i]
            k[TOUCH] = 0
            n_moves = mem[N_MOVES]
        return n_moves

    return loop  # type: ignore[no-any-return]


@cache
def peek(n_states: int) -> Loop:
    """The loop that looks ahead to an instant, for some customers."""
    S = n_states

    @njit(**_OPTIONS)
    def loop(  # type: ignore[no-untyped-def]
        rows,
        now,
        boundaries,
        tick,
        enter,
        margin,
        leave,
        min_dwell,
        kept,
        memory,
        after,
        seen,
        posterior,
        moves,
    ):
        """Return the number of silent moves up to ``now`` that the world does not know yet; it knows them afterwards.

        ``seen[j]`` tells of customer ``rows[j]`` the published state at ``now``, since when, how many boundaries have
        been crossed, and the next instant at which silence may move them; ``posterior[j]`` is the belief at ``now``.
        Customers without an own event have state -1 and no such instant. ``moves`` needs room for two more moves
        per customer than there are boundaries.
        """
        w = np.empty(S)
        mem = np.empty(N_MEMORY, np.int64)
        stats = np.zeros(5)
        n_moves = 0
        for j in range(len(rows)):
            k = kept[rows[j]]
            if k[N_OWN] == 0:
                seen[j, SEEN_STATE] = -1
                seen[j, SEEN_SINCE] = 0
                seen[j, SEEN_TICKS] = 0
                seen[j, SEEN_DUE] = NEVER
                posterior[j, :] = np.nan
                continue
            v = posterior[j]
            for s in range(S):
                v[s] = after[rows[j], s]
            for c in range(N_MEMORY):
                mem[c] = memory[rows[j], c]
            mem[N_MOVES] = n_moves
            ticks = _advance(
                mem,
                v,
                w,
                k[LAST_OWN],
                _NO_TICK,
                now,
                rows[j],
                boundaries,
                tick,
                enter,
                margin,
                leave,
                min_dwell,
                moves,
                stats,
            )
            told = k[TOLD_AT]
            for i in range(n_moves, mem[N_MOVES]):
                if moves[i, MOVE_AT] > told:
                    for c in range(moves.shape[1]):
                        moves[n_moves, c] = moves[i, c]
                    k[TOLD_AT] = moves[i, MOVE_AT]
                    n_moves += 1
            seen[j, SEEN_STATE] = mem[CURRENT]
            seen[j, SEEN_SINCE] = mem[SINCE]
            seen[j, SEEN_TICKS] = ticks
            due = k[LAST_OWN] + boundaries[ticks] if ticks < boundaries.size else NEVER
            if mem[PENDING] >= 0:
                due = min(due, mem[PENDING_SINCE] + min_dwell)
            seen[j, SEEN_DUE] = due
        return n_moves

    return loop  # type: ignore[no-any-return]
