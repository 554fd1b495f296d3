# mypy: disable-error-code="untyped-decorator,no-untyped-call,assignment,no-any-return"
# Numba compiles what is below with its own types, which the type checker cannot follow.
"""The compiled fold: one loop over an op table, so that a new playbook compiles nothing.

Imported on first use, since it loads Numba. All functions are compiled for exactly one signature each; callers cast
arrays first. Only ``+ - *``, division, comparisons and exact scaling decide what is in a vector (and ``log`` for
cadence), so that other languages can repeat it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import types

from sojourn.fold.cells import (
    HALF,
    LIVE_BITS,
    OP_ANSWER,
    OP_AT,
    OP_CHANNEL,
    OP_CHANNELS,
    OP_COUNT,
    OP_DECAY,
    OP_FIRST_AT,
    OP_HOURS,
    OP_LATEST,
    OP_M_AT,
    OP_M_COUNT,
    OP_M_DECAY,
    OP_M_LAST,
    OP_M_MAX,
    OP_M_MIN,
    OP_M_RING,
    OP_M_SUM,
    OP_M_WEIGHT,
    OP_RHYTHM,
    OP_RING,
    OP_SENT,
    OP_SESSION,
    OP_SESSION_ID,
    OP_SKETCH,
)
from sojourn.fold.kernels.memory import (
    CHUNK,
    F64,
    GAP_US,
    I8,
    I32,
    I64,
    PART,
    SETTINGS,
    U64,
    _array,
    _given,
    exp2,
    njit,
    pointer_to,
    prefetch,
    skip,
    trailing_zeros,
)
from sojourn.fold.kernels.read import bucket_count, bucket_of, observe, quantise, run_program
from sojourn.fold.moment_rows import ROW, ROW_ALL, ROW_CLEAR, ROW_END, ROW_NEXT, ROW_SECOND, ROW_START, ROW_START_AFTER
from sojourn.playbook.rules import MAX_DEPTH


@njit(**PART)
def add_to_ring(v: Any, s: Any, b: Any) -> None:
    """Count one event in bucket ``b`` of the ring of 32 buckets at slot ``s``; older events are not counted."""
    newest = v[s]
    if math.isnan(newest):
        v[s] = b
    elif b - newest >= 32.0:
        for i in range(1, 18):
            v[s + i] = 0.0
        v[s] = b
    elif b > newest:
        for k in range(np.int64(newest) + 1, np.int64(b) + 1):
            place = k & 31
            n = bucket_count(v, s, place)
            v[s + 1] -= n
            v[s + 2 + (place >> 1)] -= n * HALF if place & 1 else n
        v[s] = b
    place = np.int64(b) & 31
    if bucket_count(v, s, place) < HALF - 1.0:  # a full bucket stays full
        v[s + 1] += 1.0
        v[s + 2 + (place >> 1)] += HALF if place & 1 else 1.0


@njit(**PART)
def add_to_sums(v: Any, s: Any, b: Any, x: Any) -> None:
    """Add ``x`` to bucket ``b`` of the ring of 32 sums at slot ``s``."""
    newest = v[s]
    if b - newest >= 32.0:
        for i in range(1, 33):
            v[s + i] = 0.0
    elif b > newest:
        for k in range(np.int64(newest) + 1, np.int64(b) + 1):
            v[s + 1 + (k & 31)] = 0.0
    v[s] = b
    v[s + 1 + (np.int64(b) & 31)] += x


@njit(**PART)
def complete(v: Any, s: Any, n_slots: Any, t: Any, mark: Any, marks: Any) -> None:
    """Count a completion, begin anew, and note it in the bits ``marks`` unless nobody asks."""
    v[s] += 1.0
    v[s + 1] = t
    for i in range(n_slots):
        v[s + 2 + i] = math.nan
    if mark >= 0:
        marks[mark >> 6] |= np.uint64(1) << np.uint64(mark & 63)


@njit(**PART)
def advance_moments(v: Any, t: Any, rows: Any, n_rows: Any, marks: Any) -> None:
    """What one event does to moments; see :mod:`sojourn.fold.moment_rows` for the rows."""
    k = 0
    while k < n_rows:
        row = skip(rows, ROW * k)
        code, s = row[0], row[1]
        if code == ROW_NEXT:
            if not math.isnan(v[s]):
                v[s + 1] = v[s]
        elif code == ROW_START:
            v[s] = t
        elif code == ROW_END:
            n = row[2]
            if n == 1 or t - v[s + n] <= float(row[6]):
                complete(v, s, n - 1, t, row[4], marks)
                k += row[3]
        elif code == ROW_CLEAR:
            for i in range(row[2]):
                v[s + i] = math.nan
        elif code == ROW_ALL:
            add_to_all(v, s, row, t, marks)
        elif t - v[row[2]] >= float(row[7]):
            if code == ROW_START_AFTER:
                v[s] = t
            else:
                complete(v, s, 0, t, row[4], marks)
        k += 1


@njit(**PART)
def advance_live(
    v: Any, t: Any, n_words: Any, live: Any, goes_on: Any, begins: Any, starts: Any, rows: Any, marks: Any
) -> None:
    """What one event does to sequences of which a bit in the slots ``live`` says that they have begun."""
    for w in range(n_words):
        begun = np.int64(live[w])
        left, new = begun & goes_on[w], begins[w]
        while left:
            bit = left & -left
            left ^= bit
            b = w * LIVE_BITS + trailing_zeros(bit)
            first = skip(rows, ROW * starts[b])
            start, window = v[first[5]], float(first[6])
            if not t - start <= window:  # then no earlier start is in the window
                begun ^= bit
            elif first[0] == ROW_CLEAR:
                for i in range(first[2]):
                    v[first[1] + i] = math.nan
                begun ^= bit
            else:
                for k in range(starts[b], starts[b + 1]):
                    row = skip(rows, ROW * k)
                    code, s = row[0], row[1]
                    if code == ROW_NEXT:
                        if not math.isnan(v[s]):
                            v[s + 1] = v[s]
                    elif code == ROW_SECOND:
                        v[s] = start
                    elif t - (start if row[2] == 2 else v[s + row[2]]) <= window:
                        complete(v, s, row[2] - 1, t, row[4], marks)
                        begun ^= bit
                        new &= ~bit
                        break
        live[w] = float(begun | new)


@njit(**PART)
def add_to_all(v: Any, s: Any, row: Any, t: Any, marks: Any) -> None:
    """Note the instant among the latest of its class; all is there when the oldest of each class is in the window."""
    ring = s + 2 + row[2]
    for i in range(row[3] - 1):
        v[ring + i] = v[ring + i + 1]
    v[ring + row[3] - 1] = t
    starts = row[5]
    k = s + 2
    while starts:
        if starts & 1 and not t - v[k] <= float(row[6]):
            return
        starts >>= 1
        k += 1
    complete(v, s, row[7], t, row[4], marks)


@njit(**PART)
def apply_op(
    code: Any, v: Any, s: Any, a: Any, n: Any, column: Any, x: Any, y: Any, t: Any,
    measures: Any, channel: Any, properties: Any, session: Any,
) -> None:  # fmt: skip
    """What one op does; ``v`` is the vector, ``s``, ``a`` and ``n`` slots in it; the last four point at the event's."""
    if code == OP_COUNT:
        v[s] += 1.0
    elif code == OP_AT:
        v[s] = t
    elif code == OP_DECAY:
        before = v[s]
        v[s] = before * exp2(-(t - v[a]) / x) + 1.0 if before != 0.0 else 1.0
    elif code == OP_FIRST_AT:
        if math.isnan(v[s]):
            v[s] = t
    elif code == OP_LATEST:
        v[s + np.int64(v[n]) % column] = t
    elif code == OP_RING:
        add_to_ring(v, s, bucket_of(t, x))
    elif code == OP_RHYTHM:
        k = v[n]
        if k >= 1.0:
            gap = math.log(max((t - v[a]) / 1e6, 1e-6))
            off = gap - v[s]
            v[s] += off / k
            v[s + 1] += off * (gap - v[s])
    elif code == OP_SESSION:
        if t - v[a] <= GAP_US:
            v[s + 1] += 1.0
        else:
            v[s] = t
            v[s + 1] = 1.0
            v[s + 2] += 1.0
    elif code == OP_SESSION_ID:
        name = float(session[0])
        if v[s + 3] == name:
            v[s + 1] += 1.0
        else:
            v[s] = t
            v[s + 1] = 1.0
            v[s + 2] += 1.0
            v[s + 3] = name
    elif code == OP_CHANNELS:
        if channel[0] >= 0:
            v[s] += 1.0
    elif code == OP_CHANNEL:
        if channel[0] == column:
            v[s] += 1.0
    elif code == OP_HOURS:
        hours = bucket_of(t, 3.6e9)
        hour = hours - 24.0 * np.floor(hours / 24.0)
        if (x <= hour < y) if x < y else (hour >= x or hour < y):
            v[s] += 1.0
    elif code == OP_SENT:
        v[s] = t
    elif code == OP_ANSWER:
        if t - v[s] <= x:
            v[s] = math.nan
            v[s + 1] += 1.0
    elif code == OP_SKETCH:
        value = properties[column]
        if value != 0:
            bit = np.int64(value % np.uint64(240))
            v[s + bit // 48] = float(np.int64(v[s + bit // 48]) | (np.int64(1) << (bit % 48)))
    else:
        measure = measures[column]
        if not math.isnan(measure):
            apply_measure(code, v, s, a, x, t, measure)


@njit(**PART)
def apply_measure(code: Any, v: Any, s: Any, at: Any, x: Any, t: Any, measure: Any) -> None:
    """Apply one operation on a measure that the event has; ``at`` is the slot of its instant."""
    if code == OP_M_COUNT:
        v[s] += 1.0
    elif code == OP_M_AT:
        v[s] = t
    elif code == OP_M_SUM:
        v[s] += measure
    elif code == OP_M_DECAY or code == OP_M_WEIGHT:  # noqa: SIM109  # Numba needs plain comparisons
        added = measure if code == OP_M_DECAY else 1.0
        before = v[s]
        v[s] = before * exp2(-(t - v[at]) / x) + added if before != 0.0 else added
    elif code == OP_M_LAST:
        v[s] = measure
    elif code == OP_M_MIN:
        if not v[s] <= measure:
            v[s] = measure
    elif code == OP_M_MAX:
        if not v[s] >= measure:
            v[s] = measure
    elif code == OP_M_RING:
        add_to_sums(v, s, bucket_of(t, x), measure)


FOLD = types.void(
    I64, I64, I64,  # part, n_parts, ahead
    _given(I32), _given(I64), _given(types.int16), _given(F64, 2), _given(I32), _given(U64, 2), _given(U64),  # events
    _array(F64), I64,  # vectors, n_slots
    _array(I64), _array(I64, 2), _array(F64, 2), _array(I64), _array(I64),  # ops, lines to fetch
    _array(I64), _array(I64, 2),  # rows of moments
    I64, _array(I64, 2), _array(I64, 2), _array(I64, 2), _array(I64, 2),  # those that have begun have a bit
    _array(U64, 2),  # bits of moments completed
    _array(I64, 2), _array(F64, 2), _array(I64),  # reads, calls to observe
    _array(I64), _array(I64), _array(F64), I64,  # programs, how many are features
    _array(I64), _array(F64), I64, _array(I8, 2), _array(F64, 2),  # cuts, every, symbols, values
)  # fmt: skip


@njit(FOLD, **SETTINGS)
def fold(
    part: Any, n_parts: Any, ahead: Any,
    customer: Any, event_at: Any, event_class: Any, measures: Any, channel: Any, properties: Any, session: Any,
    vectors: Any, n_slots: Any,
    op_starts: Any, op_ints: Any, op_floats: Any, line_starts: Any, lines: Any,
    moment_starts: Any, moment_rows: Any,
    live_slot: Any, goes_on: Any, begins: Any, live_starts: Any, live_rows: Any, marks: Any,
    read_ints: Any, read_floats: Any, calls: Any,
    starts: Any, codes: Any, operands: Any, n_features: Any,
    cut_starts: Any, cuts: Any, every: Any, symbols: Any, values: Any,
) -> Any:  # fmt: skip
    """Fold the events whose customer is ``part`` modulo ``n_parts``, in order, into ``vectors`` (flat), and observe.

    ``ahead`` events before its turn, the cache lines of an event are asked for; 0 asks for none. ``marks`` needs a
    row of zeros per event where moments are noted.
    """
    n_events = len(customer)
    n_measures, n_properties = measures.shape[1], properties.shape[1]
    rows, row_of_measures, row_of_properties = pointer_to(vectors), pointer_to(measures), pointer_to(properties)
    channels, sessions = pointer_to(channel), pointer_to(session)  # empty when no op reads them
    ints, floats = pointer_to(op_ints), pointer_to(op_floats)
    steps, marked, n_words = pointer_to(moment_rows), pointer_to(marks), marks.shape[1]
    n_live, n_bits = goes_on.shape[1], live_starts.shape[1]
    go_on, begin_with, starts_of = pointer_to(goes_on), pointer_to(begins), pointer_to(live_starts)
    mine = np.empty(CHUNK + 1, np.int64)
    found = np.empty(len(calls), np.float64)
    stack = np.empty(MAX_DEPTH + 1, np.float64)
    for begin in range(0, n_events, CHUNK):
        n_mine = 0
        for i in range(begin, min(begin + CHUNK, n_events)):
            mine[n_mine] = i  # without a branch that the processor would have to guess
            n_mine += 1 if n_parts == 1 else np.int64(np.uint32(customer[i]) % np.uint32(n_parts) == part)
        for turn in range(n_mine):
            i = mine[turn]
            if ahead > 0 and turn + ahead < n_mine:
                later = mine[turn + ahead]
                v = skip(rows, np.int64(customer[later]) * n_slots)
                kind = np.int64(event_class[later])
                for k in range(line_starts[kind], line_starts[kind + 1]):
                    prefetch(v, lines[k])
            v = skip(rows, np.int64(customer[i]) * n_slots)
            t = float(event_at[i])
            kind = np.int64(event_class[i])
            v[0] = t
            first, end = moment_starts[kind], moment_starts[kind + 1]
            if end > first:
                advance_moments(v, t, skip(steps, ROW * first), end - first, skip(marked, i * n_words))
            if n_live > 0:
                advance_live(
                    v, t, n_live, skip(v, live_slot), skip(go_on, kind * n_live), skip(begin_with, kind * n_live),
                    skip(starts_of, kind * n_bits), pointer_to(live_rows), skip(marked, i * n_words),
                )  # fmt: skip
            for k in range(op_starts[kind], op_starts[kind + 1]):
                op, number = skip(ints, 5 * k), skip(floats, 2 * k)
                amounts, values_of = skip(row_of_measures, i * n_measures), skip(row_of_properties, i * n_properties)
                apply_op(
                    op[0], v, op[1], op[2], op[3], op[4], number[0], number[1], t,
                    amounts, skip(channels, i), values_of, skip(sessions, i),
                )  # fmt: skip
            is_sampled = len(values) > 0 and i % every == 0
            if len(symbols) == 0 and not is_sampled:
                continue
            observe(
                v, t, pointer_to(read_ints), pointer_to(read_floats), pointer_to(calls), len(calls), pointer_to(found)
            )
            for k in range(len(starts) - 1):
                value = run_program(
                    starts[k],
                    starts[k + 1],
                    pointer_to(codes),
                    pointer_to(operands),
                    pointer_to(found),
                    pointer_to(stack),
                )
                if k < n_features and is_sampled:
                    values[i // every, k] = value
                if len(symbols) > 0:
                    if k < n_features:
                        symbols[i, k] = quantise(value, cut_starts[k], cut_starts[k + 1], pointer_to(cuts))
                    else:
                        symbols[i, k] = 1 if value != 0.0 else 0


@njit(I64(_given(I64), _given(I64)), **SETTINGS)
def find_unordered(event_at: Any, seq: Any) -> Any:
    """The first event that does not come after the one before it by ``(event_at, seq)``; -1 when there is none."""
    for i in range(1, len(event_at)):
        if event_at[i] < event_at[i - 1] or (event_at[i] == event_at[i - 1] and seq[i] <= seq[i - 1]):
            return i
    return -1


@njit(I64(_given(U64, 2), _array(I64, 2)), **SETTINGS)
def list_marks(marks: Any, found: Any) -> Any:
    """The row and the number of every bit that is set, into ``found`` as far as there is room; how many there are."""
    n = 0
    for i in range(len(marks)):
        for w in range(marks.shape[1]):
            left = np.int64(marks[i, w])
            while left:
                if n < len(found):
                    found[n, 0] = i
                    found[n, 1] = 64 * w + trailing_zeros(left)
                n += 1
                left &= left - 1
    return n
