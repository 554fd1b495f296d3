"""The compiled loops of the state model.

Everything a customer's sequence can do between two of their events (ticks of silence, hazards, the event
transition under a touch) is one matrix per *step kind*, and everything seen at an event is one row of
likelihoods per *code* (a distinct combination of symbols). So the inner loops are those of a plain hidden
Markov model, whatever the number of channels and ticks; :mod:`sojourn.states.hmm.model` makes the matrices and
takes the expected counts apart again.

Each function here returns a loop compiled for a number of states that is a constant in it: the small inner
loops then unroll into registers, which is worth a factor of two.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numba import njit

Loop = Callable[..., Any]
_OPTIONS: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy", "fastmath": {"contract"}}

# Logarithms are taken of products of scaling factors: one log in hundreds of events instead of one in each.
_TINY = 1e-200


@cache
def accumulate(n_states: int) -> Loop:
    """The E-step: expected counts and log-likelihood of a range of customers."""
    S = n_states

    @njit(**_OPTIONS)
    def loop(starts, code, step, end, first, last, E, G, GT, R, pi, alpha, scale, counts, W, closing, begun):  # type: ignore[no-untyped-def]
        """Return the log-likelihood of customers ``first..last`` and add their expected counts.

        ``E[code]`` likelihoods, ``G[step]`` transitions (``GT`` transposed), ``R[end]`` likelihood of the
        silence after the last event. ``counts[code]`` gets posteriors; ``W[step]`` the outer products of
        what came before and what came after a step (times G they are expected transitions); ``closing[end]``
        the same for the closing silence; ``begun`` the posterior of each first event.
        """
        total = 0.0
        product = 1.0
        bt = np.empty(S)
        beta = np.empty(S)
        for k in range(first, last):
            lo = starts[k]
            n = starts[k + 1] - lo
            if n == 0:
                continue
            # Each event is scaled by the sum of the one before it, which is known early: the sum and the
            # division then run beside the next product instead of before it. Any scaling that the backward
            # pass repeats gives the same posteriors.
            c = 0.0
            for s in range(S):
                x = pi[s] * E[code[lo], s]
                alpha[0, s] = x
                c += x
            for i in range(1, n):
                if c < _TINY:
                    total += np.log(c)
                else:
                    product *= c
                    if product < _TINY:
                        total += np.log(product)
                        product = 1.0
                o = code[lo + i]
                q = step[lo + i]
                inv = 1.0 / c
                scale[i] = inv
                c = 0.0
                for s in range(S):
                    x = alpha[i - 1, 0] * GT[q, s, 0]
                    y = 0.0
                    for r in range(1, S - 1, 2):
                        x += alpha[i - 1, r] * GT[q, s, r]
                        y += alpha[i - 1, r + 1] * GT[q, s, r + 1]
                    if S % 2 == 0:
                        y += alpha[i - 1, S - 1] * GT[q, s, S - 1]
                    x = (x + y) * (E[o, s] * inv)
                    alpha[i, s] = x
                    c += x
            en = end[k]
            c = 0.0
            for s in range(S):
                c += alpha[n - 1, s] * R[en, s]
            total += np.log(c)
            inv = 1.0 / c
            for s in range(S):
                beta[s] = R[en, s] * inv
                closing[en, s] += alpha[n - 1, s] * inv
            for i in range(n - 1, 0, -1):
                o = code[lo + i]
                q = step[lo + i]
                inv = scale[i]
                for s in range(S):
                    counts[o, s] += alpha[i, s] * beta[s]
                    bt[s] = (E[o, s] * inv) * beta[s]
                for r in range(S):
                    a = alpha[i - 1, r]
                    x = G[q, r, 0] * bt[0]
                    y = 0.0
                    for s in range(1, S - 1, 2):
                        x += G[q, r, s] * bt[s]
                        y += G[q, r, s + 1] * bt[s + 1]
                    if S % 2 == 0:
                        y += G[q, r, S - 1] * bt[S - 1]
                    for s in range(S):
                        W[q, r, s] += a * bt[s]
                    beta[r] = x + y
            o = code[lo]
            for s in range(S):
                x = alpha[0, s] * beta[s]
                begun[s] += x
                counts[o, s] += x
        return total + np.log(product)

    return loop  # type: ignore[no-any-return]


@cache
def smooth(n_states: int) -> Loop:
    """Forward and backward over a range of customers: filtered, smoothed and what-came-after, per event."""
    S = n_states

    @njit(**_OPTIONS)
    def loop(starts, code, step, end, first, last, E, G, R, pi, filtered, smoothed, after, log_p):  # type: ignore[no-untyped-def]
        """Fill ``filtered`` and ``smoothed`` (both rows sum to 1), ``after`` and ``log_p`` per customer.

        ``after[i]`` is the likelihood of event i and all that follows, scaled: what an instant between two
        events needs to be smoothed.
        """
        beta = np.empty(S)
        scale = 0.0
        for k in range(first, last):
            lo = starts[k]
            hi = starts[k + 1]
            if lo == hi:
                continue
            total = 0.0
            for i in range(lo, hi):
                o = code[i]
                c = 0.0
                for s in range(S):
                    x = 0.0
                    if i == lo:
                        x = pi[s]
                    else:
                        for r in range(S):
                            x += filtered[i - 1, r] * G[step[i], r, s]
                    x *= E[o, s]
                    filtered[i, s] = x
                    c += x
                total += np.log(c)
                for s in range(S):
                    filtered[i, s] /= c
            c = 0.0
            for s in range(S):
                beta[s] = R[end[k], s]
                c += filtered[hi - 1, s] * beta[s]
            log_p[k] = total + np.log(c)
            for i in range(hi - 1, lo - 1, -1):
                c = 0.0
                for s in range(S):
                    x = filtered[i, s] * beta[s]
                    smoothed[i, s] = x
                    c += x
                scale = 0.0
                for s in range(S):
                    smoothed[i, s] /= c
                    after[i, s] = E[code[i], s] * beta[s]
                    scale += after[i, s]
                for s in range(S):
                    after[i, s] /= scale
                if i > lo:
                    for r in range(S):
                        x = 0.0
                        for s in range(S):
                            x += G[step[i], r, s] * after[i, s]
                        beta[r] = x

    return loop  # type: ignore[no-any-return]


@cache
def decode(n_states: int) -> Loop:
    """The most likely path (Viterbi) over events; the silent ticks between two events are summed out."""
    S = n_states

    @njit(**_OPTIONS)
    def loop(starts, code, step, end, first, last, log_e, log_g, log_r, log_pi, back, path):  # type: ignore[no-untyped-def]
        best = np.empty(S)
        new = np.empty(S)
        for k in range(first, last):
            lo = starts[k]
            hi = starts[k + 1]
            if lo == hi:
                continue
            for s in range(S):
                best[s] = log_pi[s] + log_e[code[lo], s]
            for i in range(lo + 1, hi):
                for s in range(S):
                    top = best[0] + log_g[step[i], 0, s]
                    arg = 0
                    for r in range(1, S):
                        x = best[r] + log_g[step[i], r, s]
                        if x > top:
                            top = x
                            arg = r
                    new[s] = top + log_e[code[i], s]
                    back[i - lo, s] = arg
                for s in range(S):
                    best[s] = new[s]
            arg = 0
            for s in range(1, S):
                if best[s] + log_r[end[k], s] > best[arg] + log_r[end[k], arg]:
                    arg = s
            for i in range(hi - 1, lo - 1, -1):
                path[i] = arg
                if i > lo:
                    arg = back[i - lo, arg]

    return loop  # type: ignore[no-any-return]


@cache
def predict_symbols(n_states: int) -> Loop:
    """Log-probability of each event's symbol of one channel, given all that came before it."""
    S = n_states

    @njit(**_OPTIONS)
    def loop(starts, code, step, symbol, E, G, pi, theta, with_silence, log_p):  # type: ignore[no-untyped-def]
        """Fill ``log_p[i]`` with log P(symbol i | earlier events, the silence and touch before i).

        With ``with_silence`` it is that of the silence bin and the symbol together. ``theta[s, symbol]`` is
        the channel's own table, untempered; the filter runs on all channels.
        """
        a = np.empty(S)
        p = np.empty(S)
        for k in range(starts.size - 1):
            for i in range(starts[k], starts[k + 1]):
                norm = 0.0
                hit = 0.0
                for s in range(S):
                    x = 0.0
                    if i == starts[k]:
                        x = pi[s]
                    else:
                        for r in range(S):
                            x += a[r] * G[step[i], r, s]
                    p[s] = x
                    norm += x
                    hit += x * theta[s, symbol[i]]
                log_p[i] = np.log(hit if with_silence else hit / norm)
                c = 0.0
                for s in range(S):
                    p[s] *= E[code[i], s]
                    c += p[s]
                for s in range(S):
                    a[s] = p[s] / c

    return loop  # type: ignore[no-any-return]


@cache
def score_codes(n_states: int) -> Loop:
    """The likelihoods of codes, from those of their symbols."""
    S = n_states

    @njit(**_OPTIONS)
    def loop(combos, logs, first, last, table, top):  # type: ignore[no-untyped-def]
        """Fill ``table[code, s]`` with likelihoods whose largest is 1, and ``top[code]`` with the log of its scale.

        ``combos`` uint8[n, C] symbols, ``logs`` [C, 256, S] weighted log-likelihoods.
        """
        total = np.empty(S)
        for j in range(first, last):
            for s in range(S):
                total[s] = 0.0
            for c in range(logs.shape[0]):
                o = combos[j, c]
                for s in range(S):
                    total[s] += logs[c, o, s]
            best = total[0]
            for s in range(1, S):
                best = max(best, total[s])
            # A symbol that no state can emit has likelihood zero, and its scale is moot.
            top[j] = 0.0 if best == -np.inf else best
            for s in range(S):
                table[j, s] = np.exp(total[s] - top[j])

    return loop  # type: ignore[no-any-return]


@cache
def count_symbols(n_states: int) -> Loop:
    """The posterior mass of symbols, from that of codes."""
    S = n_states

    @njit(**_OPTIONS)
    def loop(combos, mass, first, last, counts):  # type: ignore[no-untyped-def]
        """Add the posterior mass [n, S] of each code to its symbols: ``counts`` [C, 256, S]."""
        for j in range(first, last):
            for c in range(counts.shape[0]):
                o = combos[j, c]
                for s in range(S):
                    counts[c, o, s] += mass[j, s]

    return loop  # type: ignore[no-any-return]


@njit(**_OPTIONS)
def find_codes(symbols, table, out, combos):  # type: ignore[no-untyped-def]
    """Number the distinct rows of ``symbols`` (uint8[n, C]) in order of appearance; return how many there are.

    ``table`` is an open-addressing table of int32 (size a power of two, filled with -1), ``out`` gets the
    number of each row, ``combos`` the distinct rows. Returns -1 when ``combos`` is full.
    """
    n, width = symbols.shape
    mask = table.size - 1
    found = 0
    for i in range(n):
        h = np.uint64(14695981039346656037)
        for c in range(width):
            h = (h ^ np.uint64(symbols[i, c])) * np.uint64(1099511628211)
        h ^= h >> np.uint64(29)
        slot = np.int64(h & np.uint64(mask))
        while True:
            j = table[slot]
            if j < 0:
                if found == combos.shape[0]:
                    return -1
                table[slot] = found
                for c in range(width):
                    combos[found, c] = symbols[i, c]
                out[i] = found
                found += 1
                break
            same = True
            for c in range(width):
                if combos[j, c] != symbols[i, c]:
                    same = False
                    break
            if same:
                out[i] = j
                break
            slot = (slot + 1) & mask
    return found


@njit(**_OPTIONS)
def group_rows(customer, n_customers):  # type: ignore[no-untyped-def]
    """``(starts, order)``: rows by customer, each customer's in their given order (a counting sort)."""
    starts = np.zeros(n_customers + 1, np.int64)
    for i in range(customer.size):
        starts[customer[i] + 1] += 1
    for k in range(n_customers):
        starts[k + 1] += starts[k]
    place = starts[:-1].copy()
    order = np.empty(customer.size, np.int64)
    for i in range(customer.size):
        k = customer[i]
        order[place[k]] = i
        place[k] += 1
    return starts, order


@njit(**_OPTIONS)
def find_steps(starts, at, touch, boundaries, n_touches, now, own_starts, own_row, step, end):  # type: ignore[no-untyped-def]
    """Fill, for each customer's own events, their row, step kind (silence bin × touches + touch) and end bin."""
    m = 0
    for k in range(starts.size - 1):
        own_starts[k] = m
        last = -1
        u = 0
        for i in range(starts[k], starts[k + 1]):
            if touch[i] > 0:
                u = touch[i]
                continue
            b = 0
            if last >= 0:
                gap = at[i] - at[last]
                while b < boundaries.size and gap >= boundaries[b]:
                    b += 1
            own_row[m] = i
            step[m] = b * n_touches + u
            m += 1
            last = i
            u = 0
        b = 0
        if last >= 0:
            while b < boundaries.size and now - at[last] >= boundaries[b]:
                b += 1
        end[k] = b
    own_starts[starts.size - 1] = m
    return m
