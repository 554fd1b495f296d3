# mypy: disable-error-code="untyped-decorator,no-untyped-call,assignment,no-any-return"
# Numba compiles what is below with its own types, which the type checker cannot follow.
"""The compiled loop that gathers what models read of a customer: features, habits, and the belief about states.

One call for all of it: a record of a single call has one row, and then what is done around a call is what it costs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types

from sojourn.fold.kernels.members import GIVEN_LINKS, find_members
from sojourn.fold.kernels.memory import PART, SETTINGS, njit, pointer_to, skip
from sojourn.fold.kernels.past import count_recent
from sojourn.fold.kernels.read import observe, run_program
from sojourn.playbook.rules import MAX_DEPTH

I64, F64 = types.int64, types.float64
DAY_US = 86_400e6


def _given(kind: Any, n_dims: int = 1) -> Any:
    return types.Array(kind, n_dims, "C", readonly=True)


def _array(kind: Any, n_dims: int = 1) -> Any:
    return types.Array(kind, n_dims, "C")


GATHER = types.void(
    _given(types.int32), I64,  # rows, now
    _array(F64, 2), _given(I64, 2), _given(F64, 2), _given(types.int32),  # vectors, kept, after, owner of each row
    I64, I64, I64,  # the places in kept of the first and the last own event, and of their number
    I64, *GIVEN_LINKS,  # ids
    _given(I64), *(_given(I64, 2),) * 3, _given(types.int16, 2),  # heads; previous, reach, at, and class of events
    _given(types.boolean), _given(I64),  # is_counted, spans
    _array(I64, 2), _array(F64, 2), _array(I64),  # reads, calls
    _array(I64), _array(I64), _array(F64),  # programs
    _given(I64), _given(F64, 3),  # boundaries, ticks
    _array(F64, 2), _array(I64, 2),  # out, when
)  # fmt: skip


@njit(**PART)
def wait_in_silence(v: Any, w: Any, silence: Any, boundaries: Any, ticks: Any) -> None:
    """Bring a belief forward across the boundaries that a silence has crossed."""
    for b in range(len(boundaries)):
        if boundaries[b] > silence:
            break
        total = 0.0
        for s in range(len(v)):
            x = 0.0
            for r in range(len(v)):
                x += v[r] * ticks[b, r, s]
            w[s] = x
            total += x
        for s in range(len(v)):
            v[s] = w[s] / total


@njit(GATHER, **SETTINGS)
def gather_inputs(
    rows: Any, now: Any, vectors: Any, kept: Any, after: Any, row_owner: Any, first_own: Any, last_own: Any, n_own: Any,
    n_customer_levels: Any, level: Any, root: Any, owner: Any, up: Any, down: Any, end: Any, next_half: Any,
    merged: Any, heads: Any, previous: Any, reach: Any, event_at: Any, event_class: Any, is_counted: Any, spans: Any,
    read_ints: Any, read_floats: Any, calls: Any, starts: Any, codes: Any, operands: Any, boundaries: Any, ticks: Any,
    out: Any, when: Any,
) -> Any:  # fmt: skip
    """Fill ``out``, a row per customer; ``when`` has the instant, ``now`` or their last event, and the own silence.

    Customers without an own event have NaN everywhere, and the silence -1.
    """
    found = np.empty(len(calls), np.float64)
    stack = np.empty(MAX_DEPTH + 1, np.float64)
    w = np.empty(after.shape[1], np.float64)
    n_features, n_spans = len(starts) - 1, len(spans)
    for i in range(len(rows)):
        row = np.int64(rows[i])
        at = max(now, np.int64(vectors[row, 0]))
        when[i, 0] = at
        when[i, 1] = -1
        if kept[row, n_own] == 0:
            out[i, :] = np.nan
            continue
        silence = at - kept[row, last_own]
        when[i, 1] = silence
        observe(
            skip(pointer_to(vectors), row * vectors.shape[1]), float(at), pointer_to(read_ints),
            pointer_to(read_floats), pointer_to(calls), len(calls), pointer_to(found),
        )  # fmt: skip
        for k in range(n_features):
            out[i, k] = run_program(
                starts[k], starts[k + 1], pointer_to(codes), pointer_to(operands), pointer_to(found), pointer_to(stack)
            )
        habits = out[i, n_features : n_features + 3 + n_spans]
        habits[0] = silence / DAY_US
        habits[1] = (at - kept[row, first_own]) / DAY_US
        habits[2] = kept[row, n_own]
        habits[3:] = 0.0
        mine = find_members(
            row_owner[row], n_customer_levels, level, root, owner, up, down, end, next_half, merged
        )  # fmt: skip
        for node in mine:
            if node < len(heads):
                count_recent(heads[node], previous, reach, event_at, event_class, is_counted, at, spans, habits[3:])
        belief = out[i, n_features + 3 + n_spans :]
        belief[:] = after[row]
        wait_in_silence(belief, w, silence, boundaries, ticks)
