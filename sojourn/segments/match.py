"""Segments keep their identity when they are found again: the best one-to-one match of new ones to those known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from sojourn.frames import F8

LEAST_SHARED = 30
_LEAST_OVERLAP = 0.2


@dataclass(frozen=True)
class Match:
    """The number of each new segment, in their order, and how far it is the one that had the number before.

    ``overlap``: customers in both over customers in either (Jaccard), None for a segment that is new. ``gone``: numbers
    that nothing continues; they are not used again. ``moved_p``: share of shared customers whose number changed.
    """

    numbers: tuple[int, ...]
    overlap: tuple[float | None, ...]
    gone: tuple[int, ...]
    moved_p: float
    n_shared: int


def match_segments(
    customer_ids: pa.Array, group: NDArray[np.int64], k: int, before: pa.Table, *, last_number: int = 0
) -> Match:
    """The numbers that new groups get, so that as many customers as possible keep theirs.

    ``group`` [N] is 0 … k-1, or -1 for none; ``before`` has ``customer_id`` and ``segment``. The assignment is optimal
    (Kuhn 1955, 10.1002/nav.3800020109) for the overlap. A group that shares less than a fifth with its match is a new
    segment, and gets a number above all that were used. Fewer than 30 shared customers make no match.

    >>> ids, known = pa.array(list("abcdefgh") * 5), pa.table({"customer_id": list("abcdefgh"), "segment": [7] * 4 + [2] * 4})
    >>> match_segments(ids, np.array([0] * 4 + [1] * 4).repeat(1).tolist() * 5, 2, known).numbers
    (7, 2)
    """  # noqa: E501
    known = before.filter(before["segment"].is_valid())
    numbers = known["segment"].to_numpy()
    labels = np.unique(numbers)
    highest = max(last_number, int(labels.max(initial=0)))
    ids = known["customer_id"].combine_chunks().cast(pa.string())
    place = pc.index_in(customer_ids.cast(pa.string()), value_set=ids).fill_null(-1).to_numpy(zero_copy_only=False)
    groups = np.asarray(group)
    both = (place >= 0) & (groups >= 0)
    if int(both.sum()) < LEAST_SHARED or not len(labels):
        fresh = tuple(range(highest + 1, highest + k + 1))
        return Match(fresh, (None,) * k, tuple(map(int, labels)), float("nan"), int(both.sum()))
    old = np.searchsorted(labels, numbers[place[both]])
    shared = np.zeros((k, len(labels)))
    np.add.at(shared, (groups[both], old), 1)
    return _assign(shared, labels, highest)


def _assign(shared: F8, labels: NDArray[np.int64], highest: int) -> Match:
    either = shared.sum(axis=1)[:, None] + shared.sum(axis=0) - shared
    overlap = shared / np.maximum(either, 1)
    rows, columns = linear_sum_assignment(-overlap)
    matched = {int(r): int(c) for r, c in zip(rows, columns, strict=True) if overlap[r, c] >= _LEAST_OVERLAP}
    numbers: list[int] = []
    for r in range(len(shared)):
        if r in matched:
            numbers.append(int(labels[matched[r]]))
        else:
            highest += 1
            numbers.append(highest)
    kept = sum(shared[r, c] for r, c in matched.items())
    gone = tuple(int(label) for c, label in enumerate(labels) if c not in matched.values())
    shares = tuple(float(overlap[r, matched[r]]) if r in matched else None for r in range(len(shared)))
    return Match(tuple(numbers), shares, gone, float(1 - kept / shared.sum()), int(shared.sum()))
