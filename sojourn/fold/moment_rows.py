"""The ops on moments, taken apart for the compiled loop: one row a step, each in one cache line.

An op on a sequence asks at each event which of its steps the event's class is. That is known beforehand, so here each
step is a row of its own, the last step first, since an event is one step only. Most rows are one load and one store.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sojourn.fold import cells as c

# A row: code, slot, four whole numbers, window and absence in microseconds. Whoever changes the codes touches
# kernel.py too: the compiled loop keeps them in its cache.
ROW_START, ROW_NEXT, ROW_END, ROW_CLEAR, ROW_ALL, ROW_START_AFTER, ROW_ONE_AFTER, ROW_SECOND = range(8)
ROW = 8
"""Numbers in a row."""

NEVER_MARKED = -1
LIVE = frozenset({c.OP_MOMENT_LIVE, c.OP_CLEAR_LIVE})

Op = tuple[int, int, int, int, int, float, float]


@dataclass(frozen=True, eq=False)
class MomentRows:
    """Rows of class i: ``rows[starts[i]:starts[i + 1]]``; the other ops of class i: ``op_starts`` likewise.

    Of sequences that have begun, a bit each, from slot ``live_slot`` on: ``goes_on[i]`` are those that an event of
    class i carries on or clears, ``begins[i]`` those that it begins; the rows of bit b are ``live_rows`` from
    ``live_starts[i, b]`` to the next.
    """

    starts: NDArray[np.int64]
    rows: NDArray[np.int64]
    op_starts: NDArray[np.int64]
    op_ints: NDArray[np.int64]
    op_floats: NDArray[np.float64]
    live_slot: int
    goes_on: NDArray[np.int64]
    begins: NDArray[np.int64]
    live_starts: NDArray[np.int64]
    live_rows: NDArray[np.int64]


def make_moment_rows(ops: Sequence[Sequence[Op]], marked: Sequence[int]) -> MomentRows:
    """The rows of each class, and what is left of its ops; ``marked`` are the first slots of moments to be noted."""
    number = {slot: i for i, slot in reversed(list(enumerate(marked)))}
    rows = [
        [row for op in of_class if op[0] in c.MOMENT_OPS - LIVE for row in _rows_of(op, number)] for of_class in ops
    ]
    others = [[op for op in of_class if op[0] not in c.MOMENT_OPS] for of_class in ops]
    flat = [row for of_class in rows for row in of_class]
    left = [op for of_class in others for op in of_class]
    return MomentRows(
        starts=np.cumsum([0, *map(len, rows)], dtype=np.int64),
        rows=np.array(flat, np.int64).reshape(len(flat), ROW),
        op_starts=np.cumsum([0, *map(len, others)], dtype=np.int64),
        op_ints=np.array([op[:5] for op in left], np.int64).reshape(len(left), 5),
        op_floats=np.array([op[5:] for op in left], np.float64).reshape(len(left), 2),
        **_make_live([[op for op in of_class if op[0] in LIVE] for of_class in ops], number),
    )


def _make_live(ops: Sequence[Sequence[Op]], number: dict[int, int]) -> dict[str, Any]:
    places = [int(op[6]) for of_class in ops for op in of_class]
    first = min(places, default=0) // 64
    n_words = max(places, default=-1) // 64 - first + 1 if places else 0
    goes_on, begins = np.zeros((2, len(ops), n_words), np.int64)
    starts = np.zeros((len(ops), n_words * c.LIVE_BITS + 1), np.int64)
    flat: list[tuple[int, ...]] = []
    for i, of_class in enumerate(ops):
        by_bit = {(int(op[6]) // 64 - first) * c.LIVE_BITS + int(op[6]) % 64: op for op in of_class}
        for b in range(n_words * c.LIVE_BITS):
            starts[i, b] = len(flat)
            if b not in by_bit:
                continue
            word, bit = b // c.LIVE_BITS, 1 << b % c.LIVE_BITS
            rows = _rows_of_live(by_bit[b], number)
            goes_on[i, word] |= bit if rows else 0
            begins[i, word] |= bit if by_bit[b][3] & 1 else 0
            flat += rows
        starts[i, -1] = len(flat)
    rows_of_all = np.array(flat, np.int64).reshape(len(flat), ROW)
    return {"live_slot": first, "goes_on": goes_on, "begins": begins, "live_starts": starts, "live_rows": rows_of_all}


def _rows_of_live(op: Op, number: dict[int, int]) -> list[tuple[int, ...]]:
    """The last step first; the first step is none of them, since beginning is a bit."""
    code, slot, n_steps, mask, column, x, _ = op
    mark = number.get(slot, NEVER_MARKED)
    if code == c.OP_CLEAR_LIVE:
        return [(ROW_CLEAR, slot + 3, n_steps - 2, 0, mark, column, int(x), 0)]
    found: list[tuple[int, ...]] = []
    for j in (j for j in reversed(range(1, n_steps)) if mask >> j & 1):
        if j == n_steps - 1:
            found.append((ROW_END, slot, n_steps, 0, mark, column, int(x), 0))
        elif j > 1:
            found.append((ROW_NEXT, slot + 1 + j, 0, 0, mark, column, int(x), 0))
        else:
            found.append((ROW_SECOND, slot + 3, 0, 0, mark, column, int(x), 0))
    return found


def _rows_of(op: Op, number: dict[int, int]) -> list[tuple[int, ...]]:
    code, slot, a, b, column, x, y = op
    mark = number.get(slot, NEVER_MARKED)
    if code == c.OP_CLEAR:
        return [(ROW_CLEAR, slot + 2, a, 0, mark, 0, 0, 0)]
    if code == c.OP_MOMENT_ALL:
        return [(ROW_ALL, slot, a, b, mark, column, int(x), int(y))]
    steps = [j for j in reversed(range(a)) if b >> j & 1]
    found: list[tuple[int, ...]] = []
    for k, j in enumerate(steps):
        n_left = len(steps) - 1 - k  # rows to leave out when this one completes the moment
        if a == 1 and code == c.OP_MOMENT_AFTER:
            row = (ROW_ONE_AFTER, slot, column, 0, mark, 0, int(x), int(y))
        elif j == a - 1:
            row = (ROW_END, slot, a, n_left, mark, 0, int(x), 0)
        elif j > 0:
            row = (ROW_NEXT, slot + 1 + j, 0, 0, mark, 0, int(x), 0)
        elif code == c.OP_MOMENT_AFTER:
            row = (ROW_START_AFTER, slot + 2, column, 0, mark, 0, int(x), int(y))
        else:
            row = (ROW_START, slot + 2, 0, 0, mark, 0, int(x), 0)
        found.append(row)
    return found
