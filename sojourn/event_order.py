"""Set-shaped work on the whole log: which rows repeat an earlier one, and putting columns into order of time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sojourn.source_rows import Flags, Integers

_SLICE = 1 << 20


def find_repeats(keys: NDArray[np.uint64], read_exact: Callable[[Integers], NDArray[Any]]) -> Flags:
    """Which rows equal an earlier one. Rows of different key differ; ``read_exact`` tells rows of equal key apart.

    >>> find_repeats(np.array([7, 9, 7, 7], np.uint64), lambda rows: np.array([1, 2, 1])).tolist()
    [False, False, False, True]
    """
    is_repeat = np.zeros(len(keys), bool)
    ordered = np.sort(keys)
    repeated = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    del ordered
    if not repeated.size:
        return is_repeat
    found = []
    for first in range(0, len(keys), _SLICE):  # in slices, for the room that positions of all rows would take
        some = keys[first : first + _SLICE]
        at = np.minimum(np.searchsorted(repeated, some), repeated.size - 1)
        found.append(first + np.flatnonzero(repeated[at] == some))
    rows = np.concatenate(found)
    exact = np.unique(read_exact(rows), return_inverse=True)[1]
    pairs = np.stack([keys[rows], exact.astype(np.uint64)], axis=1)
    order = np.lexsort((rows, pairs[:, 1], pairs[:, 0]))
    same = (np.diff(pairs[order], axis=0) == 0).all(axis=1)
    is_repeat[rows[order[1:][same]]] = True
    return is_repeat


def find_order(at: Integers) -> Integers | None:
    """The rows in order of time, equal instants as they stand; None when they are in order.

    >>> find_order(np.array([5, 3, 5, 3])).tolist()
    [1, 3, 0, 2]
    """
    if bool((at[1:] >= at[:-1]).all()):
        return None
    order: Integers = np.argsort(at)  # not stable, but three times quicker than what is: ties are put right below
    is_tie = np.diff(at[order]) == 0
    rows = np.flatnonzero(np.append(is_tie, False) | np.append(False, is_tie))
    if rows.size:
        run = np.cumsum(np.append(True, ~is_tie))[rows]
        order[rows] = order[rows][np.lexsort((order[rows], run))]
    return order


def take_texts(pieces: list[pa.StringArray], rows: Integers) -> pa.ChunkedArray:
    """The texts at these rows of all pieces put end to end; the list is emptied, so that they need no room twice.

    Together they may have more than two GiB.

    >>> take_texts([pa.array(["a", "b"]), pa.array(["c"])], np.array([2, 0])).to_pylist()
    ['c', 'a']
    """
    whole = pa.concat_arrays([piece.cast(pa.large_string()) for piece in pieces])
    pieces.clear()
    slices = [whole.take(pa.array(rows[at : at + _SLICE])).cast(pa.string()) for at in range(0, len(rows), _SLICE)]
    return pa.chunked_array(slices, pa.string())
