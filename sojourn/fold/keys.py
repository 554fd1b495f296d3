"""Sets of 64-bit and 128-bit keys, compact and quick: which messages and which pairs of ids have been seen."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from sojourn.fold import kernels

_SMALLEST = 1 << 10
_MOVED_PER_KEY = 8
"""Places of a full table that are moved per key that comes: with two it would be empty when the next one is full."""
_BLANKED_PER_KEY = 16
"""Places of the next table that are made ready per key: it has twice the places, for the last eighth of them."""


class KeySet:
    """A set of keys of one or two words. The first word of a key is never 0.

    When the table is full, one twice as large takes its place, and the keys are moved bit by bit with the calls that
    follow: to move them at once would stop a live engine for a quarter of a second at two million keys.

    >>> seen = KeySet(1)
    >>> seen.add(np.array([7, 9, 7], np.uint64)).tolist(), seen.add(np.array([9], np.uint64)).tolist(), len(seen)
    ([True, True, False], [False], 2)
    """

    def __init__(self, n_words: int) -> None:
        """An empty set of keys with ``n_words`` words: 1 or 2."""
        if n_words not in (1, 2):
            raise ValueError("keys have one or two words")
        self.n_words = n_words
        self._table = np.zeros((_SMALLEST, n_words), np.uint64)
        self._old = np.empty((0, n_words), np.uint64)  # the table before, up to ``_moved`` also in the new one
        self._next = np.empty((0, n_words), np.uint64)  # the table to come, blank up to ``_blanked``
        self._moved = self._blanked = self._n = 0

    def __len__(self) -> int:
        return self._n

    @property
    def n_bytes(self) -> int:
        """Bytes that the tables take."""
        return self._table.nbytes + self._old.nbytes + self._next.nbytes

    def add(self, keys: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Which keys are new, shape (n,); all are in the set afterwards. Of equal keys in one call the first is new."""
        keys = np.ascontiguousarray(keys, dtype=np.uint64).reshape(len(keys), self.n_words)
        self._make_room(len(keys))
        is_new = np.empty(len(keys), np.bool_)
        self._n += int(kernels.add_all(keys, self._table, self._old, is_new))
        self._move(_MOVED_PER_KEY * len(keys))
        self._blank(_BLANKED_PER_KEY * len(keys))
        return is_new

    def has(self, keys: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Which keys are in the set, shape (n,)."""
        keys = np.ascontiguousarray(keys, dtype=np.uint64).reshape(len(keys), self.n_words)
        found = np.empty(len(keys), np.bool_)
        kernels.find_keys(keys, self._table, self._old, found)
        return found

    def keys(self) -> NDArray[np.uint64]:
        """Every key, in no particular order, shape (n, words)."""
        self._move(len(self._old))
        found: NDArray[np.uint64] = self._table[self._table[:, 0] != 0]
        return found

    def to_arrays(self) -> dict[str, NDArray[np.uint64]]:
        """What :meth:`from_arrays` makes the same set of."""
        self._move(len(self._old))
        return {"table": self._table}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.uint64]]) -> KeySet:
        """The set that :meth:`to_arrays` described; it takes the array over."""
        table = np.ascontiguousarray(arrays["table"], dtype=np.uint64)
        made = cls(table.shape[1])
        made._table, made._n = table, int(np.count_nonzero(table[:, 0]))
        return made

    def _make_room(self, n_more: int) -> None:
        """At most half of the places are taken, whatever comes. The next table is begun at three eighths."""
        size = len(self._table)
        while 2 * (self._n + n_more) > size:
            size *= 2
        if size > len(self._table):
            self._move(len(self._old))
            if len(self._next) != size:
                self._begin_next(size)
            self._blank(size)
            self._old, self._table, self._moved = self._table, self._next, 0
            self._next = np.empty((0, self.n_words), np.uint64)
        elif 8 * (self._n + n_more) > 3 * size and not len(self._next):
            self._begin_next(2 * size)

    def _begin_next(self, size: int) -> None:
        self._next, self._blanked = np.empty((size, self.n_words), np.uint64), 0

    def _blank(self, n_places: int) -> None:
        # Memory is slow the first time that it is touched, in a virtual machine above all.
        end = min(self._blanked + n_places, len(self._next))
        self._next[self._blanked : end] = 0
        self._blanked = end

    def _move(self, n_places: int) -> None:
        if not len(self._old):
            return

        end = min(self._moved + n_places, len(self._old))
        kernels.move_some(self._old, self._moved, end, self._table)
        self._moved = end
        if end == len(self._old):
            self._old = np.empty((0, self.n_words), np.uint64)


class RecentKeys:
    """Which two-word keys were seen within a window: surely within it, at most within twice as long.

    Two sets take turns: when the younger one is a window old, the older one is let go. So what is kept is bounded by
    what comes in two windows, and depends on the instants given alone, not on when a clock was looked at.
    """

    def __init__(self, within_us: int) -> None:
        """Nothing seen yet."""
        self.within_us = within_us
        self.begun_at: int | None = None
        self._young, self._old = KeySet(2), KeySet(2)

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    @property
    def n_bytes(self) -> int:
        """Bytes that both sets take."""
        return self._young.n_bytes + self._old.n_bytes

    def add(self, keys: NDArray[np.uint64], at: int) -> NDArray[np.bool_]:
        """Which keys were not seen lately, given that it is ``at`` (microseconds); all are seen afterwards."""
        if self.begun_at is None:
            self.begun_at = at
        n_windows = (at - self.begun_at) // self.within_us
        if n_windows > 0:
            self._old, self._young = self._young if n_windows == 1 else KeySet(2), KeySet(2)
            self.begun_at += n_windows * self.within_us
        is_old = self._old.has(keys)
        return self._young.add(keys) & ~is_old

    def to_arrays(self) -> dict[str, NDArray[np.uint64]]:
        """What :meth:`from_arrays` makes the same of."""
        begun = np.array([0 if self.begun_at is None else 1, self.begun_at or 0], np.int64).view(np.uint64)
        return {"young": self._young.to_arrays()["table"], "old": self._old.to_arrays()["table"], "begun": begun}

    @classmethod
    def from_arrays(cls, within_us: int, arrays: Mapping[str, NDArray[np.uint64]]) -> RecentKeys:
        """What :meth:`to_arrays` described."""
        made = cls(within_us)
        made._young, made._old = (KeySet.from_arrays({"table": arrays[name]}) for name in ("young", "old"))
        is_begun, begun = arrays["begun"].view(np.int64).tolist()
        made.begun_at = begun if is_begun else None
        return made
