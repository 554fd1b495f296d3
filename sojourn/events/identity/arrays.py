"""What a graph of ids keeps: arrays that grow, with the pairs as lists threaded through them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

NONE = -1
SHARED, HELD, JOINS, BLOCKED = 1, 2, 4, 8
"""What an id is; of an id that is blocked, the customer is a shared id, so that no identifier joins it to anyone."""

_SMALLEST = 1 << 6


class Column:
    """Whole numbers in an array that doubles when it is full. ``view`` reads and writes single ones quickly."""

    def __init__(self, kind: type) -> None:
        self.n = 0
        self._take(np.zeros(_SMALLEST, kind))

    def array(self) -> NDArray[Any]:
        """The numbers, not copied."""
        return self._values[: self.n]

    @property
    def room(self) -> NDArray[Any]:
        """The numbers and the room after them."""
        return self._values

    @property
    def n_bytes(self) -> int:
        """Bytes taken, with the room to grow."""
        return self._values.nbytes

    def extend(self, values: NDArray[Any]) -> None:
        """Numbers at the end. The view of before is left behind when the array has to grow."""
        n = self.n + len(values)
        if n > len(self._values):
            grown = np.zeros(1 << (n - 1).bit_length(), self._values.dtype)
            grown[: self.n] = self.array()
            self._take(grown)
        self._values[self.n : n] = values
        self.n = n

    def _take(self, values: NDArray[Any]) -> None:
        self._values = values
        self.view: memoryview[int] = memoryview(values)  # type: ignore[arg-type]


class IdStore:
    """Ids, pairs of them, and what people decided.

    ``root`` is the customer of an id as customer levels alone tell it, ``owner`` as identifiers join it too. Pair k
    leads up from the id to the better one as half 2k, and down as half 2k + 1; ``up`` and ``down`` are the newest half
    of each id, ``next`` the one before it, ``end`` where a half leads.
    """

    def __init__(self, n_customer_levels: int, cap: int, most: int) -> None:
        self.n_customer_levels, self.cap, self.most = n_customer_levels, cap, most
        self.level, self.what = Column(np.int8), Column(np.uint8)
        self.root, self.owner = Column(np.int32), Column(np.int32)
        self.up, self.down = Column(np.int32), Column(np.int32)
        self.end, self.next = Column(np.int32), Column(np.int32)
        self.merges: dict[int, set[int]] = {}  # both ways
        self._merged = np.empty(0, np.int64)  # the same as compiled loops read it
        self.leaves: dict[int, set[int]] = {}  # the ids whose customer an id must not belong to
        self.left_by: dict[int, set[int]] = {}  # the same, the other way round

    def columns(self) -> dict[str, Column]:
        """The arrays by name."""
        return {name: value for name, value in vars(self).items() if isinstance(value, Column)}

    def add_nodes(self, levels: NDArray[np.int8]) -> None:
        """Ids that are customers of their own."""
        own = np.arange(self.level.n, self.level.n + len(levels), dtype=np.int32)
        for column in (self.root, self.owner):
            column.extend(own)
        for column in (self.up, self.down):
            column.extend(np.full(len(levels), NONE, np.int32))
        self.level.extend(levels)
        self.what.extend(np.zeros(len(levels), np.uint8))

    def add_pairs(self, lower: NDArray[np.int64], better: NDArray[np.int64]) -> None:
        """Pairs that are not there yet."""
        half = self.end.n
        self.end.extend(np.stack([better, lower], axis=1).ravel())
        self.next.extend(np.full(2 * len(lower), NONE, np.int32))
        up, down, after = self.up.view, self.down.view, self.next.view
        for node, first in zip(lower.tolist(), better.tolist(), strict=True):
            after[half], up[node] = up[node], half
            after[half + 1], down[first] = down[first], half + 1
            half += 2

    def list_up(self, node: int) -> Iterator[int]:
        """The better ids that an id was seen with, the newest first."""
        end, after = self.end.view, self.next.view
        half = self.up.view[node]
        while half >= 0:
            yield end[half]
            half = after[half]

    def list_down(self, node: int) -> Iterator[int]:
        """The ids of lower preference that an id was seen with, the newest first."""
        end, after = self.end.view, self.next.view
        half = self.down.view[node]
        while half >= 0:
            yield end[half]
            half = after[half]

    def links(self) -> tuple[NDArray[Any], ...]:
        """How ids hang together, as :mod:`sojourn.fold.kernels.members` reads it; valid until ids or pairs come in."""
        return (
            self.level.room,
            self.root.room,
            self.owner.room,
            self.up.room,
            self.down.room,
            self.end.room,
            self.next.room,
            self._merged,
        )

    def merge(self, a: int, b: int) -> None:
        """People say that two known users are one."""
        note(self.merges, a, b)
        note(self.merges, b, a)
        self._list_merges()

    def unmerge(self, a: int, b: int) -> bool:
        """They take it back; whether they had said so."""
        was_merged = forget(self.merges, a, b) and forget(self.merges, b, a)
        self._list_merges()
        return was_merged

    def _list_merges(self) -> None:
        pairs = sorted(a << 32 | b for a, others in self.merges.items() for b in others)
        self._merged = np.array(pairs, np.int64)

    def list_merged(self, user: int) -> list[int]:
        """The known users whom people made one with this one, itself included."""
        found = {user: None}
        waiting = [user]
        while waiting:
            fresh = [other for other in self.merges.get(waiting.pop(), ()) if other not in found]
            found.update(dict.fromkeys(fresh))
            waiting += fresh
        return list(found)

    def list_pairs(self) -> NDArray[np.int64]:
        """All pairs: the id above the better one, 32 bits each."""
        ends = self.end.array().astype(np.int64)
        pairs: NDArray[np.int64] = ends[1::2] << 32 | ends[::2]
        return pairs

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """What :meth:`fill` takes; the arrays are not copied."""
        merges = [(a, b) for a, others in self.merges.items() for b in others if a < b]
        splits = [(a, b) for a, others in self.leaves.items() for b in others]
        arrays = {name: column.array() for name, column in self.columns().items()}
        decided = {"merges": merges, "splits": splits}
        return arrays | {name: np.array(pairs, np.int32).reshape(-1, 2) for name, pairs in decided.items()}

    def fill(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Takes what :meth:`to_arrays` gave into an empty store."""
        for name, column in self.columns().items():
            column.extend(arrays[name])
        for a, b in arrays["merges"].tolist():
            note(self.merges, a, b)
            note(self.merges, b, a)
        self._list_merges()
        for a, b in arrays["splits"].tolist():
            note(self.leaves, a, b)
            note(self.left_by, b, a)


def note(sets: dict[int, set[int]], key: int, value: int) -> None:
    """Adds to the set of a key."""
    sets.setdefault(key, set()).add(value)


def forget(sets: dict[int, set[int]], key: int, value: int) -> bool:
    """Takes out of the set of a key; whether it was there."""
    found = sets.get(key, set())
    if value not in found:
        return False
    found.remove(value)
    if not found:
        del sets[key]
    return True
