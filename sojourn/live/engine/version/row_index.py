"""Which row of the customers' arrays belongs to an id, and what becomes of rows when ids prove to be one customer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sojourn.events.identity import Column
from sojourn.live.engine.version.customers import Customers
from sojourn.live.engine.version.identities import Identities

Rows = NDArray[np.int32]


@dataclass(frozen=True)
class Joined:
    """What a change of owners means for rows.

    ``redo``: rows to fold again from all events. ``freed``: nodes of customers that are part of another one now; their
    rows are still to be given back. ``renamed``: customers who keep their row and only get another name: (old node,
    new node), with something published.
    """

    redo: Rows
    freed: list[int]
    renamed: list[tuple[int, int]]


class RowIndex:
    """The owner of each id as the rows have it, and the row of each id that stands for a customer with events."""

    def __init__(self, identities: Identities, customers: Customers) -> None:
        """No id has a row."""
        self._identities, self._customers = identities, customers
        self._owner_of, self._row_of = Column(np.int32), Column(np.int32)

    @property
    def _owners(self) -> Rows:
        return self._owner_of.array()

    @property
    def _rows(self) -> Rows:
        return self._row_of.array()

    def join(self, changed: NDArray[np.int32]) -> Joined:
        """Follow the graph of ids, in which the owner of these ids has changed. Ids that are new have no row."""
        owner = self._identities.graph.owner
        n_before = len(self._owners)
        self._owner_of.extend(owner[n_before:])
        self._row_of.extend(np.full(len(owner) - n_before, -1, np.int32))
        changed = changed[changed < n_before]
        if not len(changed):
            return Joined(np.empty(0, np.int32), [], [])
        heirs: dict[int, set[int]] = {}
        for was, heir in zip(self._owners[changed].tolist(), owner[changed].tolist(), strict=True):
            heirs.setdefault(was, set()).add(heir)
        self._owners[changed] = owner[changed]
        return self._follow(heirs, owner)

    def _follow(self, heirs: Mapping[int, set[int]], owner: Rows) -> Joined:
        """``heirs``: by former owner, who has ids of theirs now."""
        redo, gains = set[int](), set[int]()
        freed: list[int] = []
        renamed: list[tuple[int, int]] = []
        for was, to in heirs.items():
            row = int(self._rows[was])
            if row < 0:
                continue
            if owner[was] == was:  # some of the ids have left
                redo.add(row)
                gains |= to
            elif len(to) == 1 and self._rows[(heir := next(iter(to)))] < 0:
                self._rows[was], self._rows[heir] = -1, row
                self._customers.owner[row] = heir
                if self._customers.n_published[row]:
                    renamed.append((was, heir))
            else:
                freed.append(was)
                gains |= to
        for heir in sorted(gains):
            if self._rows[heir] < 0:
                self._rows[heir] = self._customers.add(np.array([heir], np.int32))[0]
            redo.add(int(self._rows[heir]))
        return Joined(np.array(sorted(redo), np.int32), freed, renamed)

    def make(self, nodes: NDArray[np.int32]) -> Rows:
        """The row of each node's customer; new customers get one."""
        owners = self._owners[nodes]
        rows = self._rows[owners]
        missing = np.unique(owners[rows < 0])
        if len(missing):
            self._rows[missing] = self._customers.add(missing)
            rows = self._rows[owners]
        return rows

    def find(self, nodes: NDArray[np.int32]) -> Rows:
        """The row of each node's customer; -1 for unknown ids (-1), and where they have no row."""
        found = np.full(len(nodes), -1, np.int32)
        known = np.flatnonzero((nodes >= 0) & (nodes < len(self._rows)))
        found[known] = self._rows[self._identities.graph.owner[nodes[known]]]
        return found

    def find_one(self, node: int) -> int:
        """The row of the customer who has this id; -1 where they have no events."""
        owner = int(self._identities.graph.owner[node])
        row = int(self._rows[owner]) if owner < len(self._rows) else -1
        return row if row >= 0 and self._customers.n_events[row] else -1

    def release(self, node: int) -> None:
        """Give back the row of the customer for whom an id stands, if there is one."""
        row = int(self._rows[node])
        if row >= 0:
            self._rows[node] = -1
            self._customers.free(np.array([row], np.int32))

    def row_of_owner(self, node: int) -> int:
        """The row of the customer for whom exactly this id stands, or -1."""
        return int(self._rows[node])

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays of :meth:`fill`."""
        return {"owner_of": self._owners, "row_of": self._rows}

    def fill(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Become what was saved."""
        self._owner_of.extend(arrays["owner_of"])
        self._row_of.extend(arrays["row_of"])
