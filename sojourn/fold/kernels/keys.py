# mypy: disable-error-code="untyped-decorator,no-untyped-call,assignment,no-any-return"
# Numba compiles what is below with its own types, which the type checker cannot follow.
"""The compiled loops of key sets: open addressing with linear probing, a key a row, first word 0 where free."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types

from sojourn.fold.kernels.memory import SETTINGS, njit

MIX = np.uint64(0x9E3779B97F4A7C15)
SHIFT = np.uint64(32)

KEYS = types.Array(types.uint64, 2, "C", readonly=True)
TABLE = types.Array(types.uint64, 2, "C")
FLAGS = types.Array(types.boolean, 1, "C")


@njit(forceinline=True)
def find_place(keys: Any, i: Any, table: Any) -> Any:
    """The place where key ``i`` is, or where it would be put."""
    mask = np.uint64(len(table) - 1)
    mixed = (keys[i, 0] ^ (keys[i, 0] >> SHIFT)) * MIX
    place = (mixed ^ (mixed >> SHIFT)) & mask
    last = keys.shape[1] - 1
    while table[place, 0] != np.uint64(0) and (table[place, 0] != keys[i, 0] or table[place, last] != keys[i, last]):
        place = (place + np.uint64(1)) & mask
    return place


@njit(forceinline=True)
def put(keys: Any, i: Any, table: Any) -> Any:
    """Put key ``i`` in; whether it was not there."""
    place = find_place(keys, i, table)
    if table[place, 0] != np.uint64(0):
        return False
    for k in range(keys.shape[1]):
        table[place, k] = keys[i, k]
    return True


@njit(types.int64(KEYS, TABLE, KEYS, FLAGS), **SETTINGS)
def add_all(keys: Any, table: Any, old: Any, is_new: Any) -> Any:
    """Put every key in; say which were in neither table, and how many."""
    n = 0
    for i in range(len(keys)):
        is_old = len(old) > 0 and old[find_place(keys, i, old), 0] != np.uint64(0)
        is_new[i] = not is_old and put(keys, i, table)
        n += is_new[i]
    return n


@njit(types.void(KEYS, types.int64, types.int64, TABLE), **SETTINGS)
def move_some(old: Any, first: Any, end: Any, table: Any) -> Any:
    """Put what is at some places of the old table into the other one, too."""
    for i in range(first, end):
        if old[i, 0] != np.uint64(0):
            put(old, i, table)


@njit(types.void(KEYS, TABLE, KEYS, FLAGS), **SETTINGS)
def find_keys(keys: Any, table: Any, old: Any, found: Any) -> Any:
    """Say which keys are in one of the tables."""
    for i in range(len(keys)):
        is_old = len(old) > 0 and old[find_place(keys, i, old), 0] != np.uint64(0)
        found[i] = is_old or table[find_place(keys, i, table), 0] != np.uint64(0)
