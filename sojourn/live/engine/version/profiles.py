"""Traits of customers: the latest value of each, by the instant at which it was sent, kept in the store."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sojourn.events.calls import ReadCalls
from sojourn.events.identity import Column
from sojourn.live.engine.version.identities import Identities
from sojourn.live.engine.version.intake import PLACE_BITS
from sojourn.live.engine.version.protocols import StoredFacts

Rows = NDArray[np.int32]
Profile = tuple[dict[str, Any], dict[str, Any]]
"""Traits by name, each ``[value, event_at, seq]``; and consent."""

MOST_CACHED = 50_000
"""Ids whose traits are kept in memory; beyond that all are read from the store again."""


class Profiles:
    """Traits by id. The store has them; memory has which ids have any, and a cache."""

    def __init__(self, identities: Identities, stored: StoredFacts) -> None:
        """No id has traits."""
        self._identities, self._stored = identities, stored
        self._has_traits = Column(np.bool_)
        self._cache: dict[int, dict[str, Any]] = {}
        self._unwritten: dict[int, dict[str, Any]] = {}  # of the last record: the store gets them with the next one

    def make_room(self, n: int) -> None:
        """Count ``n`` ids; those that are new have no traits."""
        self._has_traits.extend(np.zeros(n - self._has_traits.n, np.bool_))

    def note(self, position: int, read: ReadCalls, first: Rows) -> dict[int, Profile]:
        """Take in traits and consent of a record's events; the profiles that changed, by node, in rising order.

        ``first`` is the id that each event was sent under.
        """
        if read.purposes:
            nodes_of, at_of, place_of = first.tolist(), read.event_at.tolist(), read.place.tolist()
            for i, purposes in read.purposes:
                self._identities.note_consent(nodes_of[i], at_of[i], position << PLACE_BITS | place_of[i], purposes)
        if not read.traits:
            return {}
        nodes = sorted({int(first[i]) for i, _ in read.traits})
        self._load(nodes)
        for i, traits in read.traits:
            sent = [int(read.event_at[i]), position << PLACE_BITS | int(read.place[i])]
            cached = self._cache[int(first[i])]
            for name, value in traits.items():
                if name not in cached or cached[name][1:] <= sent:
                    cached[name] = [value, *sent]
        self._has_traits.array()[nodes] = True
        self._unwritten = {node: self._cache[node] for node in nodes}
        return {node: (dict(self._cache[node]), {}) for node in nodes}

    def traits(self, nodes: Iterable[int]) -> dict[str, Any]:
        """The latest value of each trait, of all that were sent under these ids; by name, in order."""
        latest: dict[str, list[Any]] = {}
        nodes = list(nodes)
        self._load(nodes)
        for node in nodes:
            for name, value in self._cache[node].items():
                if name not in latest or latest[name][1:] <= list(value[1:]):
                    latest[name] = list(value)
        return {name: value[0] for name, value in sorted(latest.items())}

    def forget(self, nodes: Sequence[int]) -> None:
        """Erase the traits of these ids from memory."""
        for node in nodes:
            self._cache.pop(node, None)
            self._unwritten.pop(node, None)
        self._has_traits.array()[nodes] = False

    def _load(self, nodes: Sequence[int]) -> None:
        """Have the traits of these ids in the cache; an empty dictionary for an id without any."""
        missing = [node for node in nodes if node not in self._cache]
        if missing and len(self._cache) > MOST_CACHED:
            self._cache = dict(self._unwritten)
            missing = [node for node in nodes if node not in self._cache]
        has_traits = self._has_traits.array()
        keys = {node: self._identities.key(node) for node in missing if has_traits[node]}
        stored = self._stored.read_profiles(list(keys.values())) if keys else {}
        for node in missing:
            self._cache[node] = dict(stored[keys[node]].traits) if keys.get(node) in stored else {}

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays of :meth:`fill`."""
        return {"has_traits": self._has_traits.array()}

    def fill(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Become what was saved."""
        self._has_traits.extend(arrays["has_traits"])
