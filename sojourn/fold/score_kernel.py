# mypy: disable-error-code="untyped-decorator,no-untyped-call,assignment,no-any-return"
# Numba compiles what is below with its own types, which the type checker cannot follow.
"""The compiled loops over models: tables per column, and trees. Indices are not checked here."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types

from sojourn.fold.kernel import SETTINGS, njit

I64 = types.int64
GIVEN_I64 = types.Array(I64, 1, "C", readonly=True)
GIVEN_F64 = types.Array(types.float64, 1, "C", readonly=True)
GIVEN_BOOL = types.Array(types.boolean, 1, "C", readonly=True)
GIVEN_ROWS = types.Array(types.float64, 2, "C", readonly=True)
OUT_F64 = types.Array(types.float64, 1, "C")
OUT_ROWS = types.Array(types.float64, 2, "C")


@njit(types.void(GIVEN_ROWS, GIVEN_I64, GIVEN_F64, GIVEN_F64, OUT_ROWS), **SETTINGS)
def look_up(x: Any, starts: Any, edges: Any, values: Any, parts: Any) -> Any:
    """What each column says: its value for the number of edges at or below, the last one for missing.

    The edges of column ``c`` are ``edges[starts[c]:starts[c + 1]]``; it has two values more than edges.
    """
    for i in range(len(x)):
        for c in range(len(starts) - 1):
            value, first = x[i, c], starts[c]
            low, high = first, starts[c + 1]
            n = high - low
            if np.isnan(value):
                place = n + 1
            else:
                while low < high:
                    middle = (low + high) // 2
                    if edges[middle] <= value:
                        low = middle + 1
                    else:
                        high = middle
                place = low - first
            parts[i, c] = values[first + 2 * c + place]


@njit(
    types.void(
        GIVEN_ROWS, GIVEN_I64, GIVEN_I64, GIVEN_F64, GIVEN_I64, GIVEN_I64, GIVEN_BOOL, GIVEN_F64, types.boolean, OUT_F64
    ),
    **SETTINGS,
)
def add_trees(
    x: Any, roots: Any, feature: Any, threshold: Any, left: Any, right: Any, is_missing_left: Any, value: Any,
    is_single: Any, total: Any,
) -> Any:  # fmt: skip
    """Add the value of the leaf in which each tree ends; ``is_single``: values are compared in single precision."""
    for i in range(len(x)):
        for root in roots:
            node = root
            while feature[node] >= 0:
                found = x[i, feature[node]]
                if is_single:
                    found = np.float64(np.float32(found))
                is_left = is_missing_left[node] if np.isnan(found) else found <= threshold[node]
                node = left[node] if is_left else right[node]
            total[i] += value[node]
