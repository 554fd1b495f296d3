# mypy: disable-error-code="untyped-decorator,no-untyped-call,assignment,no-any-return"
# Numba compiles what is below with its own types, which the type checker cannot follow.
"""The compiled loops over kept events: each id's events as a list from the latest back to the first."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types

from sojourn.fold.kernel import SETTINGS, njit

I64 = types.int64
GIVEN_I32 = types.Array(types.int32, 1, "C", readonly=True)
GIVEN_I64 = types.Array(I64, 1, "C", readonly=True)
OUT_I64 = types.Array(I64, 1, "C")


@njit(types.void(GIVEN_I32, OUT_I64, I64, OUT_I64), **SETTINGS)
def link_events(node: Any, head: Any, first: Any, previous: Any) -> Any:
    """Number events on from ``first``; each gets the one before it of its id, and becomes that id's latest."""
    for i in range(len(node)):
        previous[i] = head[node[i]]
        head[node[i]] = first + i


@njit(OUT_I64(GIVEN_I64, GIVEN_I64, I64), **SETTINGS)
def follow_links(heads: Any, previous: Any, end: Any) -> Any:
    """The events of all lists that begin at ``heads``; ``end`` ends a list."""
    n = 0
    for k in range(len(heads)):
        i = heads[k]
        while i != end:
            n += 1
            i = previous[i]
    rows = np.empty(n, np.int64)
    n = 0
    for k in range(len(heads)):
        i = heads[k]
        while i != end:
            rows[n] = i
            n += 1
            i = previous[i]
    return rows
