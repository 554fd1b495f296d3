# mypy: disable-error-code="untyped-decorator,no-untyped-call,assignment,no-any-return"
# Numba compiles what is below with its own types, which the type checker cannot follow.
"""Compiled reading of vectors: the value of each feature at an instant."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import types

from sojourn.fold.cells import (
    HALF,
    READ_CADENCE,
    READ_DECAYED,
    READ_DEPTH,
    READ_DISTINCT,
    READ_DURATION,
    READ_LATEST,
    READ_M_RING,
    READ_MATCHED,
    READ_MOMENTUM,
    READ_RATIO,
    READ_REGULARITY,
    READ_RING,
    READ_SINCE,
    READ_SLOT,
)
from sojourn.fold.kernels.memory import (
    F64,
    GAP_US,
    I64,
    MISSING,
    PART,
    SETTINGS,
    _array,
    _given,
    exp2,
    njit,
    pointer_to,
    skip,
)
from sojourn.playbook.rules import (
    ABS,
    ADD,
    AND,
    CONST,
    DIV,
    EQ,
    GE,
    GT,
    IS_MISSING,
    LE,
    LOAD,
    LT,
    MAX_DEPTH,
    MIN,
    MUL,
    NE,
    NEG,
    NOT,
    OR,
    SUB,
)


@njit(**PART)
def bucket_of(t: Any, width: Any) -> Any:
    """``floor(t / width)``, exact for whole ``t`` and ``width``: the rounding of the division is corrected."""
    q = np.floor(t / width)
    rest = t - q * width
    if rest < 0.0:
        return q - 1.0
    if rest >= width:
        return q + 1.0
    return q


@njit(**PART)
def bucket_count(v: Any, s: Any, place: Any) -> Any:
    """The count in one of the 32 places of a ring whose counts lie two to a slot."""
    pair = v[s + 2 + (place >> 1)]
    upper = np.floor(pair / HALF)
    return upper if place & 1 else pair - upper * HALF


@njit(**PART)
def read_ring(v: Any, s: Any, b: Any) -> Any:
    """Events in the buckets after ``b - 32``: the total without those that have left since the last event."""
    newest = v[s]
    if not b - newest < 32.0:
        return 0.0
    total = v[s + 1]
    for k in range(np.int64(newest) - 31, np.int64(b) - 31):
        total -= bucket_count(v, s, k & 31)
    return total


@njit(**PART)
def read_sums(v: Any, s: Any, b: Any) -> Any:
    """The sum of the buckets of the ring at slot ``s`` that are in the window which ends in bucket ``b``."""
    newest = v[s]
    total = 0.0
    if b - newest < 32.0:
        for k in range(np.int64(b) - 31, np.int64(newest) + 1):
            total += v[s + 1 + (k & 31)]
    return total


@njit(**PART)
def read_latest(v: Any, s: Any, n: Any, size: Any, k: Any, within: Any, now: Any) -> Any:
    """How many of the last ``k`` of ``n`` instants, kept in ``size`` slots at ``s``, are within the window."""
    found = 0.0
    for j in range(1, min(n, k) + 1):
        if now - v[s + (n - j) % size] > within:
            break
        found += 1.0
    return found


@njit(**PART)
def read_distinct(v: Any, s: Any) -> Any:
    """The estimate of distinct values from the 240 bits in five slots at ``s`` (linear counting)."""
    n_zero = 240
    for k in range(5):
        bits = np.int64(v[s + k])
        while bits:
            bits &= bits - 1
            n_zero -= 1
    return 240.0 * math.log(240.0 / max(n_zero, 1))


@njit(**PART)
def read_call(v: Any, ints: Any, floats: Any, now: Any) -> Any:
    """The value of one call at ``now`` from the vector ``v``, given the call's row of the table of reads."""
    code = ints[0]
    s = ints[1]
    a = ints[2]
    x = floats[0]
    if code == READ_SLOT:
        return v[s]
    if code == READ_DECAYED:
        kept = v[s]
        weight = exp2(-(now - v[a]) / x)  # before the choice, so that it needs no branch
        return kept * weight if kept != 0.0 else 0.0
    if code == READ_LATEST:
        return read_latest(v, s, np.int64(v[a]), ints[3], ints[4], x, now)
    if code == READ_RING:
        return read_ring(v, s, bucket_of(now, x))
    if code == READ_M_RING:
        return read_sums(v, s, bucket_of(now, x))
    if code == READ_RATIO:
        return v[s] / v[a] if v[a] != 0.0 else math.nan
    if code == READ_SINCE:
        return (now - v[s]) / 1e6
    if code == READ_CADENCE:
        return math.exp(v[s]) if v[a] >= 2.0 else math.nan
    if code == READ_REGULARITY:
        return 1.0 / (1.0 + math.sqrt(v[s + 1] / (v[a] - 1.0))) if v[a] >= 3.0 else math.nan
    if code == READ_MOMENTUM:
        y = floats[1]
        silence = now - v[ints[3]]
        if math.isnan(silence):
            return math.nan
        return (v[s] / x) / (v[a] / y) * exp2(-(silence / x - silence / y))
    if code == READ_DISTINCT:
        return read_distinct(v, s)
    if code == READ_MATCHED:
        return 1.0 if now - v[s] <= x else 0.0
    is_open = not math.isnan(v[a]) and (ints[4] == 1 or now - v[a] <= GAP_US)
    if not is_open:
        return 0.0
    duration = (v[a] - v[s]) / 1e6
    if code == READ_DEPTH:
        return v[s + 1]
    if code == READ_DURATION:
        return duration
    return v[s + 1] / max(duration, 1.0) * 60.0  # READ_VELOCITY


@njit(**PART)
def compute(code: Any, p: Any, q: Any) -> Any:
    """One binary instruction of a program."""
    if code == ADD:
        return p + q
    if code == SUB:
        return p - q
    if code == MUL:
        return p * q
    if code == DIV:
        return p / q if q != 0.0 else math.nan
    if code == LT:
        return 1.0 if p < q else 0.0
    if code == LE:
        return 1.0 if p <= q else 0.0
    if code == GT:
        return 1.0 if p > q else 0.0
    if code == GE:
        return 1.0 if p >= q else 0.0
    if code == EQ:
        return 1.0 if p == q else 0.0
    if code == NE:
        return 1.0 if (p < q or p > q) else 0.0
    if code == AND:
        return 1.0 if (p != 0.0 and q != 0.0) else 0.0
    if code == OR:
        return 1.0 if (p != 0.0 or q != 0.0) else 0.0
    if math.isnan(p) or math.isnan(q):  # MIN and MAX
        return math.nan
    if code == MIN:
        return min(p, q)
    return max(p, q)


@njit(**PART)
def run_program(first: Any, end: Any, codes: Any, operands: Any, values: Any, stack: Any) -> Any:
    """The value of one program's codes ``first … end - 1`` on the values of its calls."""
    if end == first + 1 and codes[first] == LOAD:  # most features are one call
        return values[np.int64(operands[first])]
    top = -1
    for k in range(first, end):
        code = codes[k]
        if code == LOAD:
            top += 1
            stack[top] = values[np.int64(operands[k])]
        elif code == CONST:
            top += 1
            stack[top] = operands[k]
        elif code == NEG:
            stack[top] = -stack[top]
        elif code == NOT:
            stack[top] = 1.0 if stack[top] == 0.0 else 0.0
        elif code == ABS:
            stack[top] = abs(stack[top])
        elif code == IS_MISSING:
            stack[top] = 1.0 if math.isnan(stack[top]) else 0.0
        else:
            top -= 1
            stack[top] = compute(code, stack[top], stack[top + 1])
    return stack[0]


@njit(**PART)
def quantise(value: Any, first: Any, end: Any, cuts: Any) -> Any:
    """How many of the cuts ``first … end - 1`` are at or below the value; 255 for a missing value."""
    if math.isnan(value):
        return MISSING
    symbol = 0
    for k in range(first, end):
        symbol += np.int64(value >= cuts[k])
    return symbol


@njit(**PART)
def observe(v: Any, now: Any, ints: Any, floats: Any, calls: Any, n: Any, found: Any) -> None:
    """Read each call once, into ``found``."""
    for k in range(n):
        found[k] = read_call(v, skip(ints, 5 * calls[k]), skip(floats, 2 * calls[k]), now)


READ = types.void(
    _given(F64), I64, I64, I64, _given(I64),  # vectors, n_slots, first and end row, now
    _array(I64, 2), _array(F64, 2), _array(I64),  # reads, calls
    _array(I64), _array(I64), _array(F64), _array(F64, 2),  # programs, out
)  # fmt: skip


@njit(READ, **SETTINGS)
def read_rows(
    vectors: Any, n_slots: Any, first: Any, end: Any, now: Any, read_ints: Any, read_floats: Any, calls: Any,
    starts: Any, codes: Any, operands: Any, out: Any,
) -> Any:  # fmt: skip
    """The programs' values for rows ``first`` to ``end``, each at its ``now``, into ``out``."""
    found = np.empty(len(calls), np.float64)
    stack = np.empty(MAX_DEPTH + 1, np.float64)
    rows = pointer_to(vectors)
    for row in range(first, end):
        v = skip(rows, row * n_slots)
        observe(
            v, float(now[row]), pointer_to(read_ints), pointer_to(read_floats), pointer_to(calls), len(calls),
            pointer_to(found),
        )  # fmt: skip
        for k in range(len(starts) - 1):
            out[row, k] = run_program(
                starts[k], starts[k + 1], pointer_to(codes), pointer_to(operands), pointer_to(found), pointer_to(stack)
            )
