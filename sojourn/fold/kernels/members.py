# mypy: disable-error-code="untyped-decorator,no-untyped-call,assignment,no-any-return"
# Numba compiles what is below with its own types, which the type checker cannot follow.
"""The compiled walk over a graph of ids: from the id that stands for a customer to all of theirs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types

from sojourn.fold.kernels.memory import PART, SETTINGS, njit

I32 = types.int32
I64 = types.int64
# How ids hang together, as :class:`sojourn.events.identity.arrays.IdStore` keeps it: level, root, owner, up, down,
# end, next, and the pairs of known users whom people merged, both ways, rising, the first one 32 bits up.
GIVEN_LINKS = (
    types.Array(types.int8, 1, "C", readonly=True),
    *(types.Array(I32, 1, "C", readonly=True),) * 6,
    types.Array(I64, 1, "C", readonly=True),
)


@njit(**PART)
def note_member(node: Any, mine: Any, owner: Any, found: Any, waiting: Any) -> Any:
    """Take an id in if it is of this customer and was not met before."""
    if owner[node] == mine and node not in found:
        found.add(node)
        waiting.append(node)


@njit(**PART)
def find_members(
    mine: Any, n_customer_levels: Any, level: Any, root: Any, owner: Any, up: Any, down: Any, end: Any, after: Any,
    merged: Any,
) -> Any:  # fmt: skip
    """All ids of the customer for whom ``mine`` stands, as a set."""
    found = {mine}
    waiting = [mine]
    while len(waiting) > 0:
        node = waiting.pop()
        note_member(root[node], mine, owner, found, waiting)
        half = down[node]
        while half >= 0:
            note_member(end[half], mine, owner, found, waiting)
            half = after[half]
        half = up[node] if level[node] >= n_customer_levels else np.int32(-1)
        while half >= 0:
            note_member(end[half], mine, owner, found, waiting)
            half = after[half]
        if len(merged) > 0:
            k = np.searchsorted(merged, np.int64(node) << 32)
            while k < len(merged) and merged[k] >> 32 == node:
                note_member(np.int32(merged[k] & 0xFFFFFFFF), mine, owner, found, waiting)
                k += 1
    return found


@njit(types.Array(I32, 1, "C")(I32, I64, *GIVEN_LINKS), **SETTINGS)
def list_members(
    mine: Any, n_customer_levels: Any, level: Any, root: Any, owner: Any, up: Any, down: Any, end: Any, after: Any,
    merged: Any,
) -> Any:  # fmt: skip
    """The same, rising."""
    found = find_members(mine, n_customer_levels, level, root, owner, up, down, end, after, merged)
    nodes = np.empty(len(found), np.int32)
    for i, node in enumerate(found):
        nodes[i] = node
    nodes.sort()
    return nodes
