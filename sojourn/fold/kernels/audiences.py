# mypy: disable-error-code="untyped-decorator,no-untyped-call,assignment,no-any-return"
# Numba compiles what is below with its own types, which the type checker cannot follow.
"""The compiled loop over customers whose segments and audiences may have changed. Imported on first use."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import types

from sojourn.fold.cells import (
    READ_DECAYED,
    READ_DEPTH,
    READ_DURATION,
    READ_LATEST,
    READ_M_RING,
    READ_MATCHED,
    READ_MOMENTUM,
    READ_RING,
    READ_SINCE,
    READ_VELOCITY,
    SEGMENT,
)
from sojourn.fold.kernels.memory import GAP_US, PART, SETTINGS, njit, pointer_to, skip
from sojourn.fold.kernels.read import bucket_of, read_call, run_program
from sojourn.playbook.rules import MAX_DEPTH

NEVER = np.iinfo(np.int64).max
# Why a customer is looked at: bits.
BY_MOVE, BY_BELIEF, BY_TRAIT, BY_TIME, BY_ALL = 1, 2, 4, 8, 16
LOOKS = 32.0  # a decaying value is looked at again so many times per half-life
NEGLIGIBLE = 1e-9
GROWN = 0.1  # an age in a comparison that is no plain one is looked at again when it has grown by this share

I64, F64, U8 = types.int64, types.float64, types.uint8


def _given(kind: Any, n_dims: int = 1) -> Any:
    return types.Array(kind, n_dims, "C", readonly=True)


@njit(**PART)
def next_change(v: Any, ints: Any, floats: Any, now: Any, ages: Any, n_ages: Any) -> Any:
    """The first instant after ``now`` at which the call's value may be another without any event."""
    code, s, a = ints[0], ints[1], ints[2]
    x = floats[0]
    if code == READ_LATEST:
        n, size, k = np.int64(v[a]), ints[3], ints[4]
        due = np.inf
        for j in range(1, min(n, k) + 1):
            at = v[s + (n - j) % size]
            if now - at > x:
                break
            due = at + x + 1.0
        return due
    if code == READ_RING or code == READ_M_RING:  # noqa: SIM109  # Numba needs plain comparisons
        b = bucket_of(now, x)
        return (b + 1.0) * x if b - v[s] < 32.0 else np.inf
    if code == READ_SINCE:
        due = np.inf
        for k in range(n_ages):
            at = v[s] + float(ages[k])
            if ages[k] < 0:
                at = now + max(GROWN * (now - v[s]), 1e6)
            if at > now and at < due:
                due = at
        return due
    if code == READ_DECAYED:
        left = v[s] * math.exp2(-(now - v[a]) / x)
        return now + max(x / LOOKS, 1e6) if abs(left) > NEGLIGIBLE else np.inf
    if code == READ_MOMENTUM:
        silence = now - v[ints[3]]
        if math.isnan(silence) or silence > 64.0 * x:
            return np.inf
        return now + max(x / LOOKS, 1e6)
    if code == READ_MATCHED:
        return v[s] + x + 1.0 if now - v[s] <= x else np.inf
    if code == READ_DEPTH or code == READ_DURATION or code == READ_VELOCITY:  # noqa: SIM109
        return v[a] + GAP_US + 1.0 if ints[4] == 0 and now - v[a] <= GAP_US else np.inf
    return np.inf


EVALUATE = I64(
    _given(I64), _given(I64), _given(U8), _given(I64), _given(I64),  # rows, now, why, classes of each row
    _given(F64, 1), I64,  # vectors, slots
    _given(I64, 2), _given(F64, 2),  # reads of all calls
    _given(I64), _given(I64, 2), _given(F64, 2),  # inputs: calls, readings, values of readings per row
    _given(I64), _given(I64), _given(F64), _given(I64), _given(I64),  # programs, their inputs
    _given(I64), _given(I64), _given(I64), _given(I64), _given(I64), _given(I64),  # who reads what
    _given(I64), _given(I64),  # ages
    types.Array(U8, 2, "C"), types.Array(I64, 1, "C"), types.Array(I64, 2, "C"),  # memberships, due, changes
)  # fmt: skip


@njit(EVALUATE, **SETTINGS)
def evaluate(
    rows: Any, now: Any, why: Any, class_starts: Any, classes: Any, vectors: Any, n_slots: Any, read_ints: Any,
    read_floats: Any, calls: Any, readings: Any, reading_values: Any, starts: Any, codes: Any, operands: Any,
    input_starts: Any, inputs: Any, of_class_starts: Any, of_class: Any, of_state: Any, of_belief: Any, of_trait: Any,
    of_time: Any, age_starts: Any, ages: Any, members: Any, due: Any, changes: Any,
) -> Any:  # fmt: skip
    """Look at the rules that may have changed for ``rows``, each at its ``now``; the number of changes written.

    A change is a row of ``changes``: which of ``rows``, rule, 1 for entered and 0 for left. ``due`` becomes the next
    instant at which time alone may change a rule. ``changes`` needs room for every rule of every row.
    """
    n_programs = len(starts) - 1
    n_calls = len(calls)
    values = np.empty(n_calls + len(readings), np.float64)
    is_read = np.full(n_calls + len(readings), -1, np.int64)
    is_asked = np.full(n_programs, -1, np.int64)
    asked = np.empty(n_programs, np.int64)
    stack = np.empty(MAX_DEPTH + 1, np.float64)
    memory, ints, floats = pointer_to(vectors), pointer_to(read_ints), pointer_to(read_floats)
    age = pointer_to(ages)
    n_changes = 0
    for j in range(len(rows)):
        n_asked = 0
        if why[j] & BY_ALL:
            for p in range(n_programs):
                asked[p] = p
            n_asked = n_programs
        else:
            for k in range(class_starts[j], class_starts[j + 1]):
                for i in range(of_class_starts[classes[k]], of_class_starts[classes[k] + 1]):
                    p = of_class[i]
                    if is_asked[p] != j:
                        is_asked[p] = j
                        asked[n_asked] = p
                        n_asked += 1
            for bit in range(4):
                if why[j] & (1 << bit):
                    some = of_state if bit == 0 else of_belief if bit == 1 else of_trait if bit == 2 else of_time
                    for i in range(len(some)):
                        p = some[i]
                        if is_asked[p] != j:
                            is_asked[p] = j
                            asked[n_asked] = p
                            n_asked += 1
            asked[:n_asked].sort()  # segments come before what reads them
        v = skip(memory, rows[j] * n_slots)
        t = float(now[j])
        next_due = float(due[rows[j]]) if due[rows[j]] > now[j] else np.inf
        for q in range(n_asked):
            p = asked[q]
            for i in range(input_starts[p], input_starts[p + 1]):
                x = inputs[i]
                if x < n_calls:
                    call, number = skip(ints, 5 * calls[x]), skip(floats, 2 * calls[x])
                    if is_read[x] != j:
                        is_read[x] = j
                        values[x] = read_call(v, call, number, t)
                    n_ages = age_starts[p + 1] - age_starts[p]
                    next_due = min(next_due, next_change(v, call, number, t, skip(age, age_starts[p]), n_ages))
                elif readings[x - n_calls, 0] == SEGMENT:
                    other = readings[x - n_calls, 1]
                    values[x] = float((members[rows[j], other >> 3] >> (other & 7)) & 1)
                else:
                    values[x] = reading_values[j, x - n_calls]
            is_in = run_program(
                starts[p], starts[p + 1], pointer_to(codes), pointer_to(operands), pointer_to(values), pointer_to(stack)
            ) != 0.0  # fmt: skip
            mask = np.uint8(1 << (p & 7))
            was_in = (members[rows[j], p >> 3] & mask) != 0
            if is_in != was_in:
                members[rows[j], p >> 3] ^= mask
                changes[n_changes, 0] = j
                changes[n_changes, 1] = p
                changes[n_changes, 2] = 1 if is_in else 0
                n_changes += 1
        due[rows[j]] = np.int64(next_due) if next_due < 9e18 else NEVER
    return n_changes
