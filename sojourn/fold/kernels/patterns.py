"""Compiled loops over sequences of items: patterns grown item by item, and who contains a given pattern.

Of a pattern only its ends are kept, each with the latest start that reaches it. Starts never decrease along the ends
of one sequence, so the latest end before a position decides whether that position can follow: each position is looked
at once per pattern, and one level of the search needs room for each position once.
"""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np
from numpy.typing import NDArray

from sojourn.frames import I8

I4 = NDArray[np.int32]


@nb.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator, unused-ignore]
def grow_patterns(
    root: int, item: I4, at: I8, owner: I4, starts: I8, n_items: int, min_support: int,
    limits: I8, is_free: bool, ends: I4, firsts: I4, out: I4, support: I8,
) -> int:  # fmt: skip
    """How many patterns begin with ``root``, written to ``out`` (-1 after the last item) and ``support``.

    ``limits``: greatest length, gap in positions, gap in microseconds, span in microseconds. ``is_free``: no gap or
    span is limited, so the first end in each sequence is enough. ``ends`` and ``firsts`` [length, positions] are room
    to work in. -1 where ``out`` is too small.
    """
    max_length, gap, gap_us, span_us = limits
    lo = np.zeros((max_length, n_items), np.int64)
    hi = np.zeros((max_length, n_items), np.int64)
    kids = np.zeros((max_length, n_items), np.int32)
    n_kids, turn = np.zeros(max_length, np.int64), np.zeros(max_length, np.int64)
    size, count = np.zeros(n_items, np.int64), np.zeros(n_items, np.int64)
    last = np.full(n_items, -1, np.int32)
    touched, prefix = np.zeros(n_items, np.int32), np.full(max_length, -1, np.int32)
    n, seen = 0, -1
    for p in range(len(item)):
        if item[p] == root and not (is_free and owner[p] == seen):
            ends[0, n], firsts[0, n] = p, p
            n += 1
            count[0] += owner[p] != seen
            seen = owner[p]
    hi[0, 0], kids[0, 0], n_kids[0] = n, root, 1
    supports = np.zeros((max_length, n_items), np.int64)
    supports[0, 0], count[0] = count[0], 0
    depth, n_out = 0, 0
    while depth >= 0:
        if turn[depth] == n_kids[depth]:
            prefix[depth] = -1
            depth -= 1
            continue
        k = turn[depth]
        turn[depth] += 1
        prefix[depth] = kids[depth, k]
        if n_out == len(out):
            return -1
        for j in range(max_length):  # an assignment of rows would compile the words of its error, for seconds
            out[n_out, j] = prefix[j]
        support[n_out] = supports[depth, k]
        n_out += 1
        if depth + 1 == max_length:
            continue
        a, b, n_touched, total = lo[depth, k], hi[depth, k], 0, 0
        for is_placing in (False, True):
            for i in range(a, b):
                e, f = ends[depth, i], firsts[depth, i]
                who = owner[e]
                until = min(starts[who + 1], e + gap + 1)
                if i + 1 < b and owner[ends[depth, i + 1]] == who:
                    until = min(until, ends[depth, i + 1] + 1)
                for p in range(e + 1, until):
                    if at[p] - at[e] > gap_us or at[p] - at[f] > span_us:
                        break
                    x = item[p]
                    if x < 0:
                        continue
                    if is_placing:
                        if size[x] >= 0 and not (is_free and last[x] == who):
                            ends[depth + 1, size[x]], firsts[depth + 1, size[x]] = p, f
                            size[x] += 1
                            last[x] = who
                        continue
                    if count[x] == 0:
                        touched[n_touched] = x
                        n_touched += 1
                    if last[x] != who:
                        count[x] += 1
                        size[x] += is_free
                        last[x] = who
                    size[x] += not is_free
            if is_placing:
                break
            for j in range(1, n_touched):  # few: by insertion; a sort of arrays takes seconds to compile
                x, i = touched[j], j
                while i > 0 and touched[i - 1] > x:
                    touched[i] = touched[i - 1]
                    i -= 1
                touched[i] = x
            m = 0
            for j in range(n_touched):
                x = touched[j]
                last[x] = -1
                if count[x] >= min_support:
                    kids[depth + 1, m], supports[depth + 1, m] = x, count[x]
                    lo[depth + 1, m], hi[depth + 1, m] = total, total + size[x]
                    size[x], total = total, total + size[x]
                    m += 1
                else:
                    size[x] = -1
            n_kids[depth + 1], turn[depth + 1] = m, 0
            if m == 0:
                break
        for j in range(n_touched):
            size[touched[j]], count[touched[j]], last[touched[j]] = 0, 0, -1
        if n_kids[depth + 1]:
            depth += 1
    return n_out


@nb.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator, unused-ignore]
def match_pattern(pattern: I4, item: I4, at: I8, starts: I8, limits: I8) -> Any:
    """Which sequences contain the pattern within the limits of :func:`grow_patterns`."""
    length, (_, gap, gap_us, span_us) = len(pattern), limits
    found = np.zeros(len(starts) - 1, np.bool_)
    end, first = np.empty(length, np.int64), np.empty(length, np.int64)
    for who in range(len(found)):
        end[:] = -1
        for p in range(starts[who], starts[who + 1]):
            for k in range(length - 1, -1, -1):
                if item[p] != pattern[k]:
                    continue
                if k == 0:
                    end[0], first[0] = p, p
                elif end[k - 1] >= 0:
                    e, f = end[k - 1], first[k - 1]
                    if p - e <= gap and at[p] - at[e] <= gap_us and at[p] - at[f] <= span_us:
                        end[k], first[k] = p, f
            if end[length - 1] >= 0:
                found[who] = True
                break
    return found
