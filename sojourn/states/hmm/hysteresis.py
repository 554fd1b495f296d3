"""The compiled walk through a customer's instants: events, touches, ticks of silence, published switches.

One pass does what the live engine does one event at a time: filter the posterior, cross the silence
boundaries at their exact instants, and let the published state follow under the thresholds.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numba import njit

from sojourn.frames import DAY_US
from sojourn.states.hmm.kernel import Loop

_OPTIONS: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy", "fastmath": {"contract"}}
_NEVER = np.iinfo(np.int64).max

# One customer while the walk is at them: an int64 array with these places.
CURRENT, SINCE, PREVIOUS, SWITCHED_AT, PENDING, PENDING_SINCE, STAY, STAY_AT, IS_DETECTED, N_MOVES = range(10)
# What the walk leaves behind, an int64 row per customer. STEP_*: how the last own event was reached.
FACTS = STATE, STATE_SINCE, N_OWN, FIRST_OWN, LAST_OWN, LAST_ROW, STEP_TICKS, STEP_TOUCH, TICKS_NOW = range(9)
# A move, an int64 row. MOVE_ROW is -1 when silence alone caused it.
MOVE = MOVE_AT, MOVE_ROW, MOVE_CUSTOMER, MOVE_FROM, MOVE_TO, MOVE_SINCE = range(6)
# Totals over all customers, float64.
STATS = FLAPS, SWITCHES, DELAY_S, STAYS, MISSED = range(5)


# Typed numbers: for a plain -1 or 0 Numba would compile what it is handed to once more.
_NO_ROW, _NO_TICK = np.int64(-1), np.int64(0)


@njit(**_OPTIONS)
def _consider(mem, v, t, row, enter, margin, leave, min_dwell):  # type: ignore[no-untyped-def]
    """The state to switch to at instant ``t`` given the posterior ``v``, or -1; keeps the pending candidate.

    ``row`` is that of the customer's own event at ``t``, or :data:`_NO_ROW` in silence.
    """
    best = 0
    for s in range(1, v.size):
        if v[s] > v[best]:
            best = s
    current = mem[CURRENT]
    if best == current or v[best] < enter or v[best] - v[current] < margin or v[current] > leave:
        mem[PENDING] = -1
        return -1
    if min_dwell == 0 or (row >= 0 and mem[PENDING] == best):
        return best
    if mem[PENDING] != best:
        mem[PENDING] = best
        mem[PENDING_SINCE] = t
    return -1


@njit(**_OPTIONS)
def _switch(mem, t, to, row, k, moves, stats):  # type: ignore[no-untyped-def]
    """Publish state ``to`` at instant ``t``; False when ``moves`` is full."""
    n = mem[N_MOVES]
    if n == moves.shape[0]:
        return False
    moves[n, MOVE_AT] = t
    moves[n, MOVE_ROW] = row
    moves[n, MOVE_CUSTOMER] = k
    moves[n, MOVE_FROM] = mem[CURRENT]
    moves[n, MOVE_TO] = to
    moves[n, MOVE_SINCE] = mem[SINCE]
    mem[N_MOVES] = n + 1
    stats[SWITCHES] += 1
    if to == mem[PREVIOUS] and t - mem[SWITCHED_AT] <= DAY_US:
        stats[FLAPS] += 1
    mem[PREVIOUS] = mem[CURRENT]
    mem[CURRENT] = to
    mem[SWITCHED_AT] = t
    mem[SINCE] = t
    mem[PENDING] = -1
    _detect(mem, t, stats)
    return True


@njit(**_OPTIONS)
def _detect(mem, t, stats):  # type: ignore[no-untyped-def]
    """Note the delay when the published state has caught up with the reference path."""
    if mem[IS_DETECTED] == 0 and mem[CURRENT] == mem[STAY]:
        mem[IS_DETECTED] = 1
        stats[DELAY_S] += (t - mem[STAY_AT]) / 1e6


@njit(**_OPTIONS)
def _follow_path(mem, state, t, stats):  # type: ignore[no-untyped-def]
    """Begin a new stay of the reference path when its state changes; a stay never detected counts whole."""
    if state == mem[STAY]:
        return
    if mem[IS_DETECTED] == 0:
        stats[DELAY_S] += (t - mem[STAY_AT]) / 1e6
        stats[MISSED] += 1
    mem[STAY] = state
    mem[STAY_AT] = t
    mem[IS_DETECTED] = 0
    stats[STAYS] += 1


@njit(**_OPTIONS)
def _advance(  # type: ignore[no-untyped-def]
    mem, v, w, last_own, ticks, t, k, boundaries, tick, enter, margin, leave, min_dwell, moves, stats
):
    """Cross every boundary and pending expiry up to ``t``; return the ticks crossed, or -1 when full.

    Not inside the loop that calls it: Numba finds a loop in its cache only if all that it closes over is plain.
    """
    while True:
        tick_at = last_own + boundaries[ticks] if ticks < boundaries.size else _NEVER
        expiry = mem[PENDING_SINCE] + min_dwell if mem[PENDING] >= 0 else _NEVER
        instant = min(tick_at, expiry)
        if instant > t:
            return ticks
        if expiry <= tick_at:
            to = mem[PENDING]
        else:
            c = 0.0
            for s in range(v.size):
                x = 0.0
                for r in range(v.size):
                    x += v[r] * tick[ticks, r, s]
                w[s] = x
                c += x
            for s in range(v.size):
                v[s] = w[s] / c
            ticks += 1
            to = _consider(mem, v, instant, _NO_ROW, enter, margin, leave, min_dwell)
        if to >= 0 and not _switch(mem, instant, to, _NO_ROW, k, moves, stats):
            return -1


@cache
def walk(n_states: int) -> Loop:
    """The loop over rows (own events and touches, by customer and time) up to ``now``."""
    S = n_states

    @njit(**_OPTIONS)
    def loop(  # type: ignore[no-untyped-def]
        starts,
        first,
        last,
        at,
        touch,
        code,
        boundaries,
        tick,
        event,
        E,
        pi,
        now,
        enter,
        margin,
        leave,
        min_dwell,
        path,
        filtered,
        published,
        at_now,
        carried,
        facts,
        moves,
        stats,
    ):
        """Return the number of moves written, or -1 when ``moves`` is too short.

        ``touch[i]`` is 0 for the customer's own event, else which touch. ``tick[b]`` crosses boundary b,
        ``event[b, u]`` leads from silence in bin b under touch u into an event. ``path`` (own rows; may be
        empty) is the reference for detection delay. ``carried`` is the posterior after the event before the
        last one, ``at_now`` the posterior at ``now``. All instants in microseconds.
        """
        mem = np.zeros(10, np.int64)
        v = np.empty(S)
        w = np.empty(S)
        for k in range(first, last):
            n_moves = mem[N_MOVES]
            mem[:] = -1
            mem[N_MOVES] = n_moves
            mem[IS_DETECTED] = 1
            n_own = 0
            last_own = np.int64(0)
            last_row = -1
            ticks = _NO_TICK
            u = 0
            for i in range(starts[k], starts[k + 1]):
                if n_own > 0:
                    ticks = _advance(
                        mem,
                        v,
                        w,
                        last_own,
                        ticks,
                        at[i],
                        k,
                        boundaries,
                        tick,
                        enter,
                        margin,
                        leave,
                        min_dwell,
                        moves,
                        stats,
                    )
                    if ticks < 0:
                        return -1
                if touch[i] > 0:
                    u = touch[i]
                    published[i] = mem[CURRENT]
                    for s in range(S):
                        filtered[i, s] = v[s] if n_own > 0 else np.nan
                    continue
                c = 0.0
                for s in range(S):
                    x = pi[s]
                    if n_own > 0:
                        x = 0.0
                        for r in range(S):
                            x += v[r] * event[ticks, u, r, s]
                        carried[k, s] = filtered[last_row, s]
                    w[s] = x * E[code[i], s]
                    c += w[s]
                for s in range(S):
                    v[s] = w[s] / c
                    filtered[i, s] = v[s]
                facts[k, STEP_TICKS] = ticks
                facts[k, STEP_TOUCH] = u
                if path.size > 0:
                    _follow_path(mem, path[i], at[i], stats)
                if n_own == 0:
                    facts[k, FIRST_OWN] = at[i]
                    mem[CURRENT] = np.argmax(v)
                    mem[SINCE] = at[i]
                    mem[PREVIOUS] = -1
                else:
                    to = _consider(mem, v, at[i], i, enter, margin, leave, min_dwell)
                    if to >= 0 and not _switch(mem, at[i], to, i, k, moves, stats):
                        return -1
                _detect(mem, at[i], stats)
                published[i] = mem[CURRENT]
                n_own += 1
                last_own = at[i]
                last_row = i
                ticks = _NO_TICK
                u = 0
            if n_own > 0:
                ticks = _advance(
                    mem, v, w, last_own, ticks, now, k, boundaries, tick, enter, margin, leave, min_dwell, moves, stats
                )
                if ticks < 0:
                    return -1
                if path.size > 0 and mem[IS_DETECTED] == 0:
                    stats[DELAY_S] += (now - mem[STAY_AT]) / 1e6
                    stats[MISSED] += 1
                for s in range(S):
                    at_now[k, s] = v[s]
            facts[k, STATE] = mem[CURRENT]
            facts[k, STATE_SINCE] = mem[SINCE]
            facts[k, N_OWN] = n_own
            facts[k, LAST_OWN] = last_own
            facts[k, LAST_ROW] = last_row
            facts[k, TICKS_NOW] = ticks
        return mem[N_MOVES]

    return loop  # type: ignore[no-any-return]
