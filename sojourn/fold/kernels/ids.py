# mypy: disable-error-code="untyped-decorator,no-untyped-call,assignment,no-any-return"
# Numba compiles what is below with its own types, which the type checker cannot follow.
"""The compiled loops of the id table: hashing, finding and adding byte strings. Imported on first use.

The table is open addressing with linear probing. An entry is 64 bits: the upper half of the key's hash, then the
place of its record in the arena (0: free). A record is one word with row and length, then the key's bytes, eight to a
word, padded with zeros; records lie in row order. Work goes in blocks, so that memory is asked for before it is needed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types

from sojourn.fold.kernels.memory import intrinsic, njit, pointer_to, prefetch

BLOCK = 16
DONE, TABLE_FULL, ARENA_FULL, CROWDED = 0, 1, 2, 3
START, STEP, END = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD6E8FEB86659FD93), np.uint64(0xA0761D6478BD642F)
LOW = np.uint64(0xFFFFFFFF)
HALF = np.uint64(32)

U8, U64, I32, I64 = types.uint8, types.uint64, types.int32, types.int64
BYTES = types.Array(U8, 1, "C", readonly=True)
OFFSETS = types.Array(I64, 1, "C", readonly=True)
WORDS = types.Array(U64, 1, "C")
SETTINGS: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy"}


@intrinsic
def load_word(typing: Any, data: Any, index: Any) -> Any:
    """Eight bytes from ``data[index]`` on as one number, least byte first; no alignment needed."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address = builder.bitcast(builder.gep(arguments[0], [arguments[1]]), ir.IntType(64).as_pointer())
        return builder.load(address, align=1)

    return types.uint64(data, types.int64), generate


@intrinsic
def multiply(typing: Any, a: Any, b: Any) -> Any:
    """The 128-bit product of two 64-bit numbers, its two halves joined by exclusive or."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        wide, word = ir.IntType(128), ir.IntType(64)
        product = builder.mul(builder.zext(arguments[0], wide), builder.zext(arguments[1], wide))
        upper = builder.lshr(product, wide(64))
        return builder.xor(builder.trunc(product, word), builder.trunc(upper, word))

    return types.uint64(types.uint64, types.uint64), generate


@njit(forceinline=True)
def load_rest(data: Any, size: Any, i: Any, end: Any) -> Any:
    """Fewer than eight bytes, padded with zeros; reads past them only where the buffer goes on."""
    if i + 8 <= size:
        return load_word(data, i) & ((np.uint64(1) << np.uint64(8 * (end - i))) - np.uint64(1))
    word = np.uint64(0)
    for k in range(end - i):
        word |= np.uint64(data[i + k]) << np.uint64(8 * k)
    return word


@njit(forceinline=True)
def hash_bytes(data: Any, size: Any, first: Any, end: Any, seed: Any) -> Any:
    """As :func:`sojourn.fold.primitives.hash_text`."""
    state = seed ^ START
    i = first
    while i + 8 <= end:
        state = multiply(state ^ load_word(data, i), STEP)
        i += 8
    if i < end:
        state = multiply(state ^ load_rest(data, size, i, end), STEP)
    return max(multiply(state ^ np.uint64(end - first), END), np.uint64(1))


@njit(forceinline=True)
def hash_record(arena: Any, place: Any, seed: Any) -> Any:
    """The hash of an id in the arena: the same as that of its bytes."""
    length = np.int64(arena[place] >> HALF)
    state = seed ^ START
    for k in range((length + 7) >> 3):
        state = multiply(state ^ arena[place + 1 + k], STEP)
    return max(multiply(state ^ np.uint64(length), END), np.uint64(1))


@njit(forceinline=True)
def is_equal(arena: Any, place: Any, data: Any, size: Any, first: Any, end: Any) -> Any:
    """Whether the id in the arena is, byte for byte, the one at ``first … end - 1`` of ``data``."""
    if np.int64(arena[place] >> HALF) != end - first:
        return False
    i = first
    place += 1
    while i + 8 <= end:
        if arena[place] != load_word(data, i):
            return False
        i += 8
        place += 1
    return i == end or arena[place] == load_rest(data, size, i, end)


@njit(forceinline=True)
def append_record(arena: Any, place: Any, row: Any, data: Any, size: Any, first: Any, end: Any) -> Any:
    """Write the record and return the place after it."""
    arena[place] = np.uint64(row) | (np.uint64(end - first) << HALF)
    place += 1
    i = first
    while i + 8 <= end:
        arena[place] = load_word(data, i)
        i += 8
        place += 1
    if i < end:
        arena[place] = load_rest(data, size, i, end)
        place += 1
    return place


@njit(types.void(BYTES, OFFSETS, U64, WORDS), **SETTINGS)
def hash_all(data: Any, offsets: Any, seed: Any, out: Any) -> Any:
    """The hash of every string, into ``out``."""
    text, size = pointer_to(data), len(data)
    for i in range(len(out)):
        out[i] = hash_bytes(text, size, offsets[i], offsets[i + 1], seed)


@njit(
    I64(BYTES, OFFSETS, I64, types.Array(I32, 1, "C"), WORDS, WORDS, types.Array(I64, 1, "C"), U64, I64, types.boolean),
    **SETTINGS,
)
def find_all(
    data: Any, offsets: Any, begin: Any, rows: Any, table: Any, arena: Any, state: Any, seed: Any, limit: Any,
    is_adding: Any,
) -> Any:  # fmt: skip
    """Write the row of each string from number ``begin`` on into ``rows``, adding unknown ones or giving them -1.

    Returns how far it came; ``state`` is rows, arena words in use, and why it stopped: done, table or arena full, or
    crowded (more than ``limit`` entries passed on the way to a place).
    """
    n = len(rows)
    mask = np.uint64(len(table) - 1)
    text, size, records = pointer_to(data), len(data), pointer_to(arena)
    hashes = np.empty(BLOCK, np.uint64)
    n_rows, place_end = state[0], state[1]
    state[2] = DONE
    for start in range(begin, n, BLOCK):
        stop = min(start + BLOCK, n)
        if is_adding:
            words = ((offsets[stop] - offsets[start]) >> 3) + 2 * BLOCK
            if 2 * (n_rows + BLOCK) > len(table) or place_end + words > len(arena):
                state[2] = TABLE_FULL if 2 * (n_rows + BLOCK) > len(table) else ARENA_FULL
                state[0], state[1] = n_rows, place_end
                return start
        for i in range(start, stop):
            hashed = hash_bytes(text, size, offsets[i], offsets[i + 1], seed)
            hashes[i - start] = hashed
            prefetch(pointer_to(table), np.int64(hashed & mask))
        for i in range(start, stop):
            entry = table[hashes[i - start] & mask]
            if entry != 0:
                prefetch(records, np.int64(entry & LOW))
        for i in range(start, stop):
            hashed = hashes[i - start]
            at = hashed & mask
            rows[i] = -1
            for tried in range(limit + 1):
                entry = table[at]
                if entry == 0:
                    if is_adding:
                        table[at] = (hashed & ~LOW) | np.uint64(place_end)
                        place_end = append_record(records, place_end, n_rows, text, size, offsets[i], offsets[i + 1])
                        rows[i] = n_rows
                        n_rows += 1
                    break
                place = np.int64(entry & LOW)
                if entry >> HALF == hashed >> HALF and is_equal(records, place, text, size, offsets[i], offsets[i + 1]):
                    rows[i] = np.int32(arena[place] & LOW)
                    break
                if tried == limit:
                    state[0], state[1], state[2] = n_rows, place_end, CROWDED
                    return i
                at = (at + np.uint64(1)) & mask
    state[0], state[1] = n_rows, place_end
    return n


@njit(types.boolean(WORDS, WORDS, I64, U64, I64), **SETTINGS)
def rebuild(table: Any, arena: Any, place_end: Any, seed: Any, limit: Any) -> Any:
    """Enter all records of the arena into an empty table. False when some place is too crowded."""
    mask = np.uint64(len(table) - 1)
    place = 1
    while place < place_end:
        hashed = hash_record(pointer_to(arena), place, seed)
        at = hashed & mask
        tried = 0
        while table[at] != 0:
            at = (at + np.uint64(1)) & mask
            tried += 1
            if tried > limit:
                return False
        table[at] = (hashed & ~LOW) | np.uint64(place)
        place += 1 + ((np.int64(arena[place] >> HALF) + 7) >> 3)
    return True


@njit(types.void(WORDS, types.Array(I64, 1, "C"), types.Array(U8, 1, "C")), **SETTINGS)
def copy_names(arena: Any, offsets: Any, data: Any) -> Any:
    """Write the keys in row order, one after the other, into ``data``, and where each begins into ``offsets``.

    With an empty ``data``, only the offsets are written.
    """
    place = 1
    written = 0
    for row in range(len(offsets) - 1):
        offsets[row] = written
        length = np.int64(arena[place] >> HALF)
        if len(data) > 0:
            for k in range(length):
                data[written + k] = np.uint8((arena[place + 1 + (k >> 3)] >> np.uint64(8 * (k & 7))) & np.uint64(255))
        written += length
        place += 1 + ((length + 7) >> 3)
    offsets[len(offsets) - 1] = written


@njit(I64(OFFSETS, types.Array(I32, 1, "C"), types.Array(I64, 1, "C"), types.Array(I32, 1, "C")), **SETTINGS)
def list_codes(codes: Any, number_of: Any, order: Any, numbers: Any) -> Any:
    """Number codes in the order of their first appearance; returns how many there are. ``number_of`` begins as -1."""
    n = 0
    for i in range(len(codes)):
        code = codes[i]
        if number_of[code] < 0:
            number_of[code] = n
            order[n] = code
            n += 1
        numbers[i] = number_of[code]
    return n


@njit(types.void(WORDS, I64, types.Array(I64, 1, "C")), **SETTINGS)
def list_places(arena: Any, first: Any, places: Any) -> Any:
    """Where the record of each row lies, for rows from ``first`` on; those before are in ``places`` already."""
    place = np.int64(1)
    if first > 0:
        place = places[first - 1] + 1 + ((np.int64(arena[places[first - 1]] >> HALF) + 7) >> 3)
    for row in range(first, len(places)):
        places[row] = place
        place += 1 + ((np.int64(arena[place] >> HALF) + 7) >> 3)
