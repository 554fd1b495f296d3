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
    if not repeated.size:
        return is_repeat
    at = np.searchsorted(repeated, keys)
    rows = np.flatnonzero(repeated[np.minimum(at, repeated.size - 1)] == keys)
    exact = np.unique(read_exact(rows), return_inverse=True)[1]
    pairs = np.stack([keys[rows], exact.astype(np.uint64)], axis=1)
    order = np.lexsort((rows, pairs[:, 1], pairs[:, 0]))
    same = (np.diff(pairs[order], axis=0) == 0).all(axis=1)
    is_repeat[rows[order[1:][same]]] = True
    return is_repeat


def find_order(at: Integers) -> Integers | None:
    """The rows in order of time, equal instants as they stand; None when they are in order."""
    return None if bool((at[1:] >= at[:-1]).all()) else np.argsort(at, kind="stable")


def take_texts(column: pa.ChunkedArray, rows: Integers) -> pa.ChunkedArray:
    """The column's texts at these rows. Together they may have more than two GiB.

    >>> take_texts(pa.chunked_array([["a", "b"], ["c"]]), np.array([2, 0])).to_pylist()
    ['c', 'a']
    """
    whole = pa.concat_arrays([chunk.cast(pa.large_string()) for chunk in column.chunks])
    slices = [whole.take(pa.array(rows[at : at + _SLICE])).cast(pa.string()) for at in range(0, len(rows), _SLICE)]
    return pa.chunked_array(slices, pa.string())
