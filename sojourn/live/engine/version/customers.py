"""The numbers of every customer: a row each, in arrays that grow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sojourn.fold import Layout
from sojourn.frames import F8, I8
from sojourn.states.hmm import KEPT, N_MEMORY, NEVER, TOLD_AT

_SMALLEST = 1 << 10
_MOST_ROOM = 1 << 12  # rows made at once: touching new memory takes time, and requests wait meanwhile
LONG_AGO = int(np.iinfo(np.int64).min)
"""Stands for the instant of the last published silent transition where there was none."""
_STORED_AS = {"n_published": "n_told"}
"""Names of arrays in snapshots, where they differ from the names here."""


class Customers:
    """Vectors, beliefs and memberships, a row per customer; rows that were given back are used again.

    ``vectors`` is as the layout says; ``kept`` and ``memory`` as :mod:`sojourn.states.hmm.online` does; ``after`` and
    ``before`` are the posteriors after the last own event and the one before it, ``seen`` the symbols of the last one.
    ``state_due`` and ``rule_due`` are the next instants at which time alone may change their state or a rule,
    ``is_held`` marks those whose history is still being imported, ``members`` has a bit per segment and audience,
    ``owner`` is the id that stands for them (-1: the row is free), ``n_events`` counts all their events,
    ``n_published`` the changes published of them; ``folded_at`` is the position of the record for which they were last
    folded from the start, 0 for never.
    """

    vectors: F8
    kept: I8
    memory: I8
    after: F8
    before: F8
    seen: NDArray[np.uint8]
    members: NDArray[np.uint8]
    state_due: I8
    rule_due: I8
    owner: NDArray[np.int32]
    is_held: NDArray[np.bool_]
    n_events: NDArray[np.int32]
    n_published: NDArray[np.int32]
    folded_at: I8

    def __init__(self, layout: Layout, n_states: int, n_channels: int, n_member_bytes: int) -> None:
        """No customers yet."""
        self._layout = layout
        self._n = 0
        self._free: list[int] = []
        self._blank: dict[str, Any] = {
            "vectors": layout.initial,
            "kept": np.array([0] * (len(KEPT) - 1) + [LONG_AGO], np.int64),
            "memory": np.full(N_MEMORY, -1, np.int64),
            "after": np.zeros(n_states),
            "before": np.full(n_states, np.nan),
            "seen": np.full(n_channels, 255, np.uint8),
            "members": np.zeros(max(n_member_bytes, 1), np.uint8),
            "state_due": np.array(NEVER, np.int64),
            "rule_due": np.array(NEVER, np.int64),
            "owner": np.array(-1, np.int32),
            "is_held": np.array(False, np.bool_),
            "n_events": np.array(0, np.int32),
            "n_published": np.array(0, np.int32),
            "folded_at": np.array(0, np.int64),
        }
        assert KEPT[-1] == TOLD_AT
        for name in self._blank:
            setattr(self, name, self._make(name, _SMALLEST))

    def _make(self, name: str, size: int) -> NDArray[Any]:
        blank = self._blank[name]
        made: NDArray[Any] = np.empty((size, *blank.shape), blank.dtype)
        made[:] = blank
        return made

    def __len__(self) -> int:
        """Rows in use or free."""
        return self._n

    @property
    def n_customers(self) -> int:
        """Customers that there are."""
        return self._n - len(self._free)

    @property
    def n_bytes(self) -> int:
        """Bytes that all arrays take, room for more customers included."""
        return sum(getattr(self, name).nbytes for name in self._blank)

    def add(self, owners: NDArray[np.int32]) -> NDArray[np.int32]:
        """Rows for new customers, blank but for their owner."""
        rows = [self._free.pop() for _ in range(min(len(self._free), len(owners)))]
        n_new = len(owners) - len(rows)
        self._make_room(self._n + n_new)
        rows += range(self._n, self._n + n_new)
        self._n += n_new
        found = np.array(rows, np.int32)
        self.owner[found] = owners
        return found

    def blank(self, rows: NDArray[np.int32]) -> None:
        """Reset these customers' numbers, but for their owner, memberships, and what counts publications."""
        for name in self._blank.keys() - {"owner", "members", "n_published", "folded_at"}:
            getattr(self, name)[rows] = self._blank[name]

    def free(self, rows: NDArray[np.int32]) -> None:
        """Give rows back."""
        for name, blank in self._blank.items():
            getattr(self, name)[rows] = blank
        self._free += rows.tolist()

    def _make_room(self, n: int) -> None:
        size = len(self.owner)
        if n <= size:
            return
        grown = max(n, size + min(max(size // 8, _SMALLEST), _MOST_ROOM))
        for name in self._blank:  # popped: an array can only grow in place while nothing else refers to it
            setattr(self, name, self._lengthen(name, self.__dict__.pop(name), size, grown))

    def _lengthen(self, name: str, array: NDArray[Any], size: int, grown: int) -> NDArray[Any]:
        """The array with more rows. Nothing is copied where no view of it exists: the system moves its pages."""
        try:
            array.resize((grown, *array.shape[1:]))
        except ValueError:  # a view of it exists
            longer = self._make(name, grown)
            longer[:size] = array
            return longer
        array[size:] = self._blank[name]
        return array

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """What :meth:`fill` takes."""
        found = {_STORED_AS.get(name, name): getattr(self, name)[: self._n] for name in self._blank}
        return {**found, "free": np.array(self._free, np.int64)}

    def fill(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Become what :meth:`to_arrays` described."""
        self._n = len(arrays["owner"])
        self._free = arrays["free"].tolist()
        self._make_room(self._n)
        for name in self._blank:
            array = getattr(self, name)[: self._n]
            array[:] = arrays[_STORED_AS.get(name, name)].reshape(array.shape)
