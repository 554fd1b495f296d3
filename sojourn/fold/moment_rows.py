"""The ops on moments, taken apart for the compiled loop: one row a step, each in one cache line.

An op on a sequence asks at each event which of its steps the event's class is. That is known beforehand, so here each
step is a row of its own, the last step first, since an event is one step only. Most rows are one load and one store.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sojourn.fold import cells as c

# A row: code, slot, four whole numbers, window and absence in microseconds. Whoever changes the codes touches
# kernel.py too: the compiled loop keeps them in its cache.
ROW_START, ROW_NEXT, ROW_END, ROW_CLEAR, ROW_ALL, ROW_START_AFTER, ROW_ONE_AFTER = range(7)
ROW = 8
"""Numbers in a row."""

NEVER_MARKED = -1


@dataclass(frozen=True, eq=False)
class MomentRows:
    """Rows of class i: ``rows[starts[i]:starts[i + 1]]``; the other ops of class i: ``op_starts`` likewise."""

    starts: NDArray[np.int64]
    rows: NDArray[np.int64]
    op_starts: NDArray[np.int64]
    op_ints: NDArray[np.int64]
    op_floats: NDArray[np.float64]


def make_moment_rows(
    ops: Sequence[Sequence[tuple[int, int, int, int, int, float, float]]], marked: Sequence[int]
) -> MomentRows:
    """The rows of each class, and what is left of its ops; ``marked`` are the first slots of moments to be noted."""
    number = {slot: i for i, slot in reversed(list(enumerate(marked)))}
    rows = [[row for op in of_class if op[0] in c.MOMENT_OPS for row in _rows_of(op, number)] for of_class in ops]
    others = [[op for op in of_class if op[0] not in c.MOMENT_OPS] for of_class in ops]
    flat = [row for of_class in rows for row in of_class]
    left = [op for of_class in others for op in of_class]
    return MomentRows(
        starts=np.cumsum([0, *map(len, rows)], dtype=np.int64),
        rows=np.array(flat, np.int64).reshape(len(flat), ROW),
        op_starts=np.cumsum([0, *map(len, others)], dtype=np.int64),
        op_ints=np.array([op[:5] for op in left], np.int64).reshape(len(left), 5),
        op_floats=np.array([op[5:] for op in left], np.float64).reshape(len(left), 2),
    )


def _rows_of(op: tuple[int, int, int, int, int, float, float], number: dict[int, int]) -> list[tuple[int, ...]]:
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
