# mypy: disable-error-code="untyped-decorator,no-untyped-call,assignment,no-any-return"
# Numba compiles what is below with its own types, which the type checker cannot follow.
"""The compiled loops over kept events: each id's events as a list from the latest back to the first."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types

from sojourn.fold.kernels.memory import PART, SETTINGS, njit

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


@njit(types.void(GIVEN_I64, GIVEN_I64, I64, GIVEN_I64, OUT_I64), **SETTINGS)
def reach_back(at: Any, previous: Any, first: Any, before: Any, reach: Any) -> Any:
    """The latest instant of each new event and of all its id had ``before``, which is the same for the old events."""
    for i in range(len(at)):
        reach[i] = at[i]
        j = previous[i]
        if j >= first:
            reach[i] = max(reach[i], reach[j - first])
        elif j >= 0:
            reach[i] = max(reach[i], before[j])


@njit(**PART)
def count_recent(
    head: Any, previous: Any, reach: Any, at: Any, event_class: Any, is_counted: Any, now: Any, spans: Any, counts: Any
) -> None:
    """Add up the events of one list, of the classes that count, later than ``now - span`` for each of ``spans``.

    The list begins at ``head``; it is left where all that is further back is too old. Spans rise; an event counts if it
    is not after ``now``, and erased ones (class -1) do not.
    """
    n_spans = len(spans)
    oldest = now - spans[n_spans - 1]
    j = head
    while j >= 0 and reach[j, 0] > oldest:
        if event_class[j, 0] >= 0 and is_counted[event_class[j, 0]] and at[j, 0] <= now:
            for w in range(n_spans):
                if at[j, 0] > now - spans[w]:
                    counts[w] += 1.0
        j = previous[j, 0]
