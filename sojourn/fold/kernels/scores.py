# mypy: disable-error-code="untyped-decorator,no-untyped-call,assignment,no-any-return"
# Numba compiles what is below with its own types, which the type checker cannot follow.
"""The compiled loops over models: tables per column, and trees. Indices are not checked here."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import types

from sojourn.fold.kernels.memory import PART, SETTINGS, njit

I64 = types.int64
GIVEN_I64 = types.Array(I64, 1, "C", readonly=True)
GIVEN_F64 = types.Array(types.float64, 1, "C", readonly=True)
GIVEN_BOOL = types.Array(types.boolean, 1, "C", readonly=True)
GIVEN_ROWS = types.Array(types.float64, 2, "C", readonly=True)
OUT_F64 = types.Array(types.float64, 1, "C")
OUT_ROWS = types.Array(types.float64, 2, "C")


@njit(**PART)
def find_value(value: Any, first: Any, end: Any, shift: Any, edges: Any, values: Any) -> Any:
    """What a column says of a value: by the number of its ``edges[first:end]`` at or below, the last one for missing.

    Its values begin at ``first + shift``; there are two more than edges.
    """
    low, high = first, end
    if np.isnan(value):
        low = end + 1
    else:
        while low < high:
            middle = (low + high) // 2
            if edges[middle] <= value:
                low = middle + 1
            else:
                high = middle
    return values[low + shift]


@njit(types.void(GIVEN_ROWS, GIVEN_I64, GIVEN_F64, GIVEN_F64, OUT_ROWS), **SETTINGS)
def look_up(x: Any, starts: Any, edges: Any, values: Any, parts: Any) -> Any:
    """What each column says. The edges of column ``c`` are ``edges[starts[c]:starts[c + 1]]``."""
    for i in range(len(x)):
        for c in range(len(starts) - 1):
            parts[i, c] = find_value(x[i, c], starts[c], starts[c + 1], 2 * c, edges, values)


@njit(types.void(GIVEN_ROWS, GIVEN_I64, types.float64, GIVEN_I64, GIVEN_F64, GIVEN_F64, OUT_F64), **SETTINGS)
def add_tables(x: Any, columns: Any, base: Any, starts: Any, edges: Any, values: Any, total: Any) -> Any:
    """The base and what the columns say; those of the tables are ``columns`` of ``x``."""
    for i in range(len(x)):
        total[i] = base
        for c in range(len(columns)):
            total[i] += find_value(x[i, columns[c]], starts[c], starts[c + 1], 2 * c, edges, values)


@njit(
    types.void(
        GIVEN_ROWS,
        GIVEN_I64,
        GIVEN_I64,
        GIVEN_F64,
        GIVEN_I64,
        GIVEN_I64,
        GIVEN_BOOL,
        GIVEN_F64,
        types.boolean,
        types.float64,
        types.float64,
        OUT_F64,
    ),
    **SETTINGS,
)
def add_trees(
    x: Any, roots: Any, feature: Any, threshold: Any, left: Any, right: Any, is_missing_left: Any, value: Any,
    is_mean: Any, least_p: Any, base: Any, total: Any,
) -> Any:  # fmt: skip
    """The base and the values of the leaves in which the trees end.

    ``is_mean``: leaves are probabilities, and the log-odds of their mean is added, which is kept ``least_p`` away from
    0 and 1; values are compared in single precision then.
    """
    for i in range(len(x)):
        score = 0.0
        for root in roots:
            node = root
            while feature[node] >= 0:
                found = x[i, feature[node]]
                if is_mean:
                    found = np.float64(np.float32(found))
                is_left = is_missing_left[node] if np.isnan(found) else found <= threshold[node]
                node = left[node] if is_left else right[node]
            score += value[node]
        if is_mean:
            p = min(max(score / max(len(roots), 1), least_p), 1.0 - least_p)
            score = math.log(p / (1.0 - p))
        total[i] = base + score


@njit(types.void(GIVEN_ROWS, GIVEN_I64, types.float64, GIVEN_BOOL, *(GIVEN_F64,) * 4, OUT_F64), **SETTINGS)
def add_columns(
    x: Any, columns: Any, base: Any, is_log: Any, mean: Any, spread: Any, weight: Any, missing: Any, total: Any
) -> Any:  # fmt: skip
    """The base and each column's weight times its value on the common scale, or what a missing one says."""
    for i in range(len(x)):
        total[i] = base
        for c in range(len(columns)):
            value = x[i, columns[c]]
            if np.isnan(value):
                total[i] += missing[c]
                continue
            if is_log[c]:
                value = math.copysign(math.log1p(abs(value)), value)
            z = (value - mean[c]) / spread[c]
            total[i] += z * weight[c] if not np.isnan(z) else 0.0


@njit(types.void(types.float64, types.float64, types.Array(I64, 2, "C", readonly=True), I64, OUT_F64), **SETTINGS)
def say_chance(slope: Any, shift: Any, when: Any, longest: Any, p: Any) -> Any:
    """From log-odds to calibrated probabilities, in place; NaN where the silence is unknown (-1) or too long."""
    for i in range(len(p)):
        silence = when[i, 1]
        if silence < 0 or silence >= longest:
            p[i] = np.nan
            continue
        score = slope * p[i] + shift
        e = math.exp(-abs(score))  # so that nothing overflows
        p[i] = (1.0 if score >= 0.0 else e) / (1.0 + e)
