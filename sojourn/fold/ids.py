"""Customer ids to rows of the vector matrix: one table that batch and live share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sojourn.errors import EventsError, Problem
from sojourn.fold import kernels
from sojourn.fold.primitives import hash_text

MAX_PROBES = 512
"""Entries passed on the way to a key's place before the table is built anew with another seed."""
_MAX_WORDS = 2**32 - 1


class IdTable:
    """Rows of string ids: the first id seen is row 0, and a row never changes.

    Ids are equal when their bytes are. Results do not depend on ``seed``; it only decides where entries lie. It is
    fixed by default; a server that takes ids from strangers passes a random one, so that nobody can choose ids that
    crowd one place. Crowding is bounded in any case: after ``max_probes`` the table gets a new seed, then more room.

    >>> table = IdTable()
    >>> table.add(pa.array(["ann", "bob", "ann"])).tolist(), table.lookup(pa.array(["bob", "eve"])).tolist()
    ([0, 1, 0], [1, -1])
    """

    def __init__(self, *, seed: int = 0, max_probes: int = MAX_PROBES) -> None:
        self._seed = seed
        self._max_probes = max_probes
        self._table = np.zeros(1 << 10, np.uint64)
        self._arena = np.zeros(1 << 12, np.uint64)
        self._state = np.array([0, 1, 0], np.int64)  # rows, arena words in use, why the last search stopped
        self._places, self._n_places = np.empty(0, np.int64), 0  # of the records of rows whose names were asked for

    def __len__(self) -> int:
        return int(self._state[0])

    @property
    def n_bytes(self) -> int:
        """Bytes that the table and its keys take."""
        return self._table.nbytes + self._arena.nbytes

    def add(self, ids: pa.Array | pa.ChunkedArray) -> NDArray[np.int32]:
        """The row of each id; unknown ids get the next rows. Raises EventsError for nulls and for anything but text."""
        return self._find(ids, is_adding=True)

    def lookup(self, ids: pa.Array | pa.ChunkedArray) -> NDArray[np.int32]:
        """The row of each id, -1 for unknown ones. Raises as :meth:`add`."""
        return self._find(ids, is_adding=False)

    def names(self) -> pa.Array:
        """The id of each row, as large strings."""
        offsets = np.zeros(len(self) + 1, np.int64)
        kernels.copy_names(self._arena, offsets, np.empty(0, np.uint8))
        data = np.empty(int(offsets[-1]), np.uint8)
        kernels.copy_names(self._arena, offsets, data)
        return pa.Array.from_buffers(pa.large_string(), len(self), [None, pa.py_buffer(offsets), pa.py_buffer(data)])

    def find(self, id: str) -> int:
        """The row of one id, -1 for an unknown one; quicker than :meth:`lookup` of a table with one row.

        >>> table = IdTable()
        >>> table.add(pa.array(["ann", "bob"])).tolist(), table.find("bob"), table.find("eve")
        ([0, 1], 1, -1)
        """
        data = np.frombuffer(id.encode("utf-8", "surrogatepass"), np.uint8)
        return int(self._find_texts(data, np.array([0, len(data)], np.int64), is_adding=False)[0])

    def name(self, row: int) -> str:
        """The id of one row; NUL characters where it was blanked."""
        place, size = self._place(row)
        return self._arena[place + 1 : place + 1 + (size + 7) // 8].tobytes()[:size].decode()

    def blank(self, row: int) -> None:
        """Forget the text of a row. The same text is a new id from now on; the row stays, as nobody's.

        >>> table = IdTable()
        >>> table.add(pa.array(["ann", "bob"])).tolist(), table.blank(0), table.add(pa.array(["ann"])).tolist()
        ([0, 1], None, [2])
        """
        place, size = self._place(row)
        self._arena[place + 1 : place + 1 + (size + 7) // 8] = 0

    def _place(self, row: int) -> tuple[int, int]:
        """Where the record of a row is, and how many bytes its text has."""
        if not 0 <= row < len(self):
            raise IndexError(f"there is no row {row}")
        if row >= self._n_places:
            self._find_places()
        place = int(self._places[row])
        return place, int(self._arena[place]) >> 32

    def _find_places(self) -> None:
        n = len(self)
        if n > len(self._places):  # room to grow: as a rule new ids are asked for soon after they come
            places = np.empty(n * 5 // 4 + 1024, np.int64)
            places[: self._n_places] = self._places[: self._n_places]
            self._places = places
        kernels.list_places(self._arena, self._n_places, self._places[:n])
        self._n_places = n

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """What :meth:`from_arrays` makes the same table of."""
        state = np.append(self._state, np.array([self._seed], np.uint64).view(np.int64))
        return {"table": self._table, "arena": self._arena[: int(self._state[1])], "state": state}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> IdTable:
        """The table that :meth:`to_arrays` described."""
        state = np.array(arrays["state"], np.int64)
        made = cls(seed=int(state[3:].view(np.uint64)[0]))
        made._table, made._state = np.array(arrays["table"], np.uint64), state[:3].copy()
        made._arena = np.zeros(max(1 << 12, len(arrays["arena"]) * 5 // 4), np.uint64)
        made._arena[: len(arrays["arena"])] = arrays["arena"]
        return made

    def _find(self, ids: pa.Array | pa.ChunkedArray, *, is_adding: bool) -> NDArray[np.int32]:
        found = [self._find_chunk(chunk, is_adding) for chunk in _chunks(ids)]
        return found[0] if len(found) == 1 else np.concatenate([np.empty(0, np.int32), *found])

    def _find_chunk(self, chunk: Any, is_adding: bool) -> NDArray[np.int32]:
        if pa.types.is_dictionary(chunk.type):
            numbers, order = number_codes(chunk.indices.to_numpy(zero_copy_only=False), len(chunk.dictionary))
            return self._find(chunk.dictionary.take(pa.array(order)), is_adding=is_adding)[numbers]
        offsets, data = string_buffers(chunk)
        return self._find_texts(data, offsets, is_adding=is_adding)

    def _find_texts(self, data: Any, offsets: Any, *, is_adding: bool) -> NDArray[np.int32]:
        rows = np.empty(len(offsets) - 1, np.int32)
        begin = 0
        while True:
            begin = kernels.find_all(
                data,
                offsets,
                begin,
                rows,
                self._table,
                self._arena,
                self._state,
                np.uint64(self._seed),
                self._max_probes,
                is_adding,
            )
            if self._state[2] == kernels.DONE:
                return rows
            self._make_room(int(self._state[2]), int(offsets[-1] - offsets[0]) // 8)

    def _make_room(self, reason: int, n_words: int) -> None:
        """Enlarge what is full, or take a new seed where the table is crowded."""
        if reason == kernels.ARENA_FULL:
            size = min(max(2 * len(self._arena), len(self._arena) + min(n_words, 1 << 24) + 64), _MAX_WORDS)
            if size == len(self._arena):
                raise EventsError("the ids take more than 32 GB; fold fewer customers at once")
            arena = np.zeros(size, np.uint64)
            arena[: len(self._arena)] = self._arena
            self._arena = arena
            return
        size, seed = len(self._table), self._seed
        if reason == kernels.CROWDED:
            seed = hash_text("seed", seed)
        else:
            size *= 2
        while True:
            table = np.zeros(size, np.uint64)
            if kernels.rebuild(table, self._arena, int(self._state[1]), np.uint64(seed), self._max_probes):
                self._table, self._seed = table, seed
                return
            size, seed = 2 * size, hash_text("seed", seed)


def hash_strings(strings: pa.Array | pa.ChunkedArray, *, seed: int = 0) -> NDArray[np.uint64]:
    """The hash of each text (see :func:`sojourn.fold.primitives.hash_text`), 0 for null.

    >>> hash_strings(pa.array(["shoe", None])).tolist() == [hash_text("shoe"), 0]
    True
    """
    chunks = strings.chunks if isinstance(strings, pa.ChunkedArray) else [strings]
    found = [_hash_chunk(chunk, seed) for chunk in chunks]
    return found[0] if len(found) == 1 else np.concatenate([np.empty(0, np.uint64), *found])


def _hash_chunk(chunk: Any, seed: int) -> NDArray[np.uint64]:
    if pa.types.is_null(chunk.type):
        return np.zeros(len(chunk), np.uint64)
    if pa.types.is_dictionary(chunk.type):
        codes = chunk.indices.fill_null(0).to_numpy(zero_copy_only=False)
        hashes: NDArray[np.uint64] = np.append(_hash_chunk(chunk.dictionary, seed), np.uint64(0))[codes]
    else:
        offsets, data = string_buffers(_as_text(chunk))
        hashes = np.empty(len(chunk), np.uint64)
        kernels.hash_all(data, offsets, np.uint64(seed), hashes)
    if chunk.null_count:
        hashes[chunk.is_null().to_numpy(zero_copy_only=False)] = 0
    return hashes


def string_buffers(chunk: Any) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Where each string begins (and the last ends), and the bytes, of a string or large string array."""
    is_large = pa.types.is_large_string(chunk.type)
    _, offsets_buffer, data_buffer = chunk.buffers()
    if len(chunk) == 0 or offsets_buffer is None:
        return np.zeros(len(chunk) + 1, np.int64), np.empty(0, np.uint8)
    offsets = np.frombuffer(offsets_buffer, np.int64 if is_large else np.int32)
    offsets = offsets[chunk.offset : chunk.offset + len(chunk) + 1]
    data = np.empty(0, np.uint8) if data_buffer is None else np.frombuffer(data_buffer, np.uint8)
    return np.ascontiguousarray(offsets, dtype=np.int64), data


def number_codes(codes: NDArray[Any], n_codes: int) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Codes below ``n_codes`` numbered anew in the order of first appearance, and the code that each number stands for.

    >>> [part.tolist() for part in number_codes(np.array([7, 2, 7]), 8)]
    [[0, 1, 0], [7, 2]]
    """
    number_of = np.full(n_codes, -1, np.int32)
    order = np.empty(n_codes, np.int64)
    numbers = np.empty(len(codes), np.int32)
    n = kernels.list_codes(np.ascontiguousarray(codes, dtype=np.int64), number_of, order, numbers)
    return numbers, order[:n]


def _chunks(ids: pa.Array | pa.ChunkedArray) -> Iterator[Any]:
    seen = 0
    for chunk in ids.chunks if isinstance(ids, pa.ChunkedArray) else [ids]:
        is_coded = pa.types.is_dictionary(chunk.type)
        if chunk.null_count or (is_coded and chunk.dictionary.null_count and chunk.cast(pa.string()).null_count):
            first = seen + chunk.cast(pa.string()).is_null().index(True).as_py()
            raise EventsError(Problem(f"row {first + 1}", "the customer id is missing"))
        if is_coded:
            _as_text(chunk.dictionary)
        yield chunk if is_coded else _as_text(chunk)
        seen += len(chunk)


def _as_text(chunk: Any) -> Any:
    if pa.types.is_string(chunk.type) or pa.types.is_large_string(chunk.type):
        return chunk
    if pa.types.is_string_view(chunk.type):
        return chunk.cast(pa.large_string())
    raise EventsError(f"ids must be text, not {chunk.type}; cast the column to string")
