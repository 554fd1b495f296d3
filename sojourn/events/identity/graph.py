"""Which ids are one customer, kept current as pairs of ids come in: the rule of :mod:`sojourn.events.identity.rule`,
live.

What a new pair can change is found along the pairs. First the customer levels, from the best one down: an id whose
customer changes sends on to the ids that were seen with it. Then the chains of customers that identifiers join, but
only those that a changed identifier touches. Shared ids end every walk, so a kiosk costs no more than a person.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sojourn.errors import Problem, SojournError
from sojourn.events.identity.arrays import HELD, SHARED, IdStore, forget, note
from sojourn.events.identity.change import settle
from sojourn.events.identity.rule import CAP, MOST_JOINED
from sojourn.fold import KeySet, kernels

Nodes = NDArray[np.int32]

_BITS = 32
_SHOWN = 10


@dataclass(frozen=True)
class Conflict:
    """An id that people may want to look at, and why it stays as it is.

    ``shared``: seen with several customers. ``held``: an identifier whose chain would join two known users, ids that
    people split, or too many customers. ``alias``: an id of the last customer level that is some customer's, while its
    text is that of another known user. ``others`` are the latest of the ``n_others`` ids that it was seen with; of an
    alias, its customer and the other known user.
    """

    kind: str
    node: int
    others: tuple[int, ...]
    n_others: int


def make_pairs(pairs: Iterable[tuple[int, int]]) -> NDArray[np.int64]:
    """Pairs of an id and the better id that it was seen with, as :meth:`IdentityGraph.link` takes them.

    >>> make_pairs([(3, 1)]).tolist() == [3 << 32 | 1]
    True
    """
    return np.array([lower << _BITS | better for lower, better in pairs], np.int64)


class IdentityGraph:
    """The customer of each id, given pairs of ids that were seen together and what people decided.

    Ids are numbers in the order of :meth:`add_nodes`. ``text_of`` spells one; it is asked only where two could stand
    for a customer. Nothing depends on the order in which pairs come.

    >>> texts = ["ann", "a1", "a2", "ann@x.org"]
    >>> graph = IdentityGraph(3, 2, text_of=texts.__getitem__)
    >>> graph.add_nodes(np.array([0, 1, 1, 2], np.int8))
    >>> graph.link(make_pairs([(1, 0), (3, 0)])).tolist(), graph.link(make_pairs([(3, 2)])).tolist()
    ([1, 3], [2])
    >>> graph.owner.tolist(), graph.members(0)
    ([0, 0, 0, 0], [0, 1, 2, 3])
    """

    def __init__(
        self,
        n_levels: int,
        n_customer_levels: int,
        cap: int = CAP,
        *,
        text_of: Callable[[int], str],
        most: int = MOST_JOINED,
    ) -> None:
        """No ids yet, of ``n_levels`` levels: the customer levels, then those of identifiers."""
        if not 1 <= n_customer_levels <= n_levels <= 127:
            raise ValueError("there are 1 to 127 levels, and the first of them are customer levels")
        self.n_levels = n_levels
        self._store = IdStore(n_customer_levels, cap, most)
        self._text_of = text_of
        self._pairs = KeySet(1)

    def __len__(self) -> int:
        return self._store.level.n

    @property
    def owner(self) -> Nodes:
        """The id that stands for each id's customer, as of now; valid until the next call that adds ids."""
        view: Nodes = self._store.owner.array()
        return view

    @property
    def n_pairs(self) -> int:
        """Distinct pairs seen."""
        return len(self._pairs)

    @property
    def n_bytes(self) -> int:
        """Bytes that ids and pairs take."""
        return sum(column.n_bytes for column in self._store.columns().values()) + self._pairs.n_bytes

    def add_nodes(self, levels: NDArray[np.int8]) -> None:
        """New ids of these levels, numbered on from the last; each is a customer of its own."""
        if len(levels) and (levels.min() < 0 or levels.max() >= self.n_levels):
            raise ValueError(f"levels are 0 to {self.n_levels - 1}")
        self._store.add_nodes(levels)

    def link(self, pairs: NDArray[np.int64]) -> Nodes:
        """The ids whose customer changed, rising, now that these were seen too (:func:`make_pairs`).

        Pairs seen before cost next to nothing. Raises ValueError, and takes none, where something is no pair.
        """
        if len(pairs) and len(pairs) < self.n_pairs and self._pairs.has(pairs.view(np.uint64)).all():
            return np.zeros(0, np.int32)
        lower, better = pairs >> _BITS, pairs & ((1 << _BITS) - 1)
        self._check_pairs(lower, better)
        is_new = self._pairs.add(pairs.view(np.uint64))
        lower = lower[is_new]
        self._store.add_pairs(lower, better[is_new])
        what = self._store.what.view
        # What is shared stays so, whomever it meets next: this is what makes a kiosk cheap.
        return self._settle([node for node in lower.tolist() if not what[node] & SHARED])

    def merge(self, a: int, b: int) -> Nodes:
        """The ids whose customer changed, now that people say that two known users are one.

        Raises SojournError where an id is no known user, or people split some of these users.
        """
        store = self._store
        self._check_nodes("merge", a, b)
        for node in (a, b):
            if store.level.view[node]:
                raise self._refuse(
                    "merge", f"'{self._text_of(node)}' is no known user, and only known users are merged"
                )
        both = {*store.list_merged(a), *store.list_merged(b)}
        for user in both:
            for other in store.leaves.get(user, set()) & both:
                names = f"'{self._text_of(user)}' and '{self._text_of(other)}'"
                raise self._refuse("merge", f"{names} were split by people; undo that first")
        store.merge(a, b)
        return self._settle(both)

    def split(self, node: int, other: int) -> Nodes:
        """The ids whose customer changed, now that ``node`` shall never be the customer that ``other`` is.

        Of two ids the one of lower preference leaves; of one level ``node`` does. Raises SojournError where people
        merged the two, or both are identifiers.
        """
        store = self._store
        self._check_nodes("split", node, other)
        level = store.level.view
        if level[node] < level[other]:
            node, other = other, node
        names = f"'{self._text_of(node)}' and '{self._text_of(other)}'"
        if level[other] >= store.n_customer_levels:
            raise self._refuse("split", f"{names} are both identifiers; split one from a customer's id")
        if other in store.list_merged(node):
            raise self._refuse("split", f"{names} were merged by people; undo that")
        note(store.leaves, node, other)
        note(store.left_by, other, node)
        return self._settle([node], chains=(node, other))

    def undo(self, a: int, b: int) -> Nodes:
        """The ids whose customer changed, now that the merge or the splits of these two no longer count.

        Raises SojournError where there is neither.
        """
        store = self._store
        if store.unmerge(a, b):
            return self._settle({*store.list_merged(a), *store.list_merged(b)})
        was_split = False
        for node, other in ((a, b), (b, a)):
            if forget(store.leaves, node, other):
                was_split = forget(store.left_by, other, node)
        if not was_split:
            self._check_nodes("undo", a, b)
            names = f"'{self._text_of(a)}' and '{self._text_of(b)}'"
            raise self._refuse("undo", f"{names} were neither merged nor split")
        return self._settle([a, b], chains=(a, b))

    def members(self, owner: int) -> list[int]:
        """All ids of a customer, rising, given the id that stands for it."""
        found: list[int] = kernels.list_members(owner, self.n_customer_levels, *self.links()).tolist()
        return found

    @property
    def n_customer_levels(self) -> int:
        """How many levels can stand for a customer, from the first on."""
        return self._store.n_customer_levels

    def links(self) -> tuple[NDArray[Any], ...]:
        """How ids hang together, as :mod:`sojourn.fold.kernels.members` reads it; valid until the next call that
        adds."""
        return self._store.links()

    def conflicts(self, find_users: Callable[[Nodes], Nodes] | None = None, limit: int = 1_000) -> list[Conflict]:
        """Ids that people may want to look at, by kind and number, at most ``limit`` of each kind.

        ``find_users`` gives, for ids of the last customer level, the known user of the same text, or -1; without it no
        aliases are found.
        """
        store = self._store
        n_up = np.bincount(store.end.array()[1::2], minlength=len(self))
        found = [
            Conflict(kind, node, tuple(islice(store.list_up(node), _SHOWN)), int(n_up[node]))
            for kind, bit in (("shared", SHARED), ("held", HELD))
            for node in np.flatnonzero(store.what.array() & bit)[:limit].tolist()
        ]
        return found + ([] if find_users is None else self._find_aliases(find_users)[:limit])

    def _find_aliases(self, find_users: Callable[[Nodes], Nodes]) -> list[Conflict]:
        store, root = self._store, self._store.root.array()
        last = store.n_customer_levels - 1
        nodes = np.flatnonzero((store.level.array() == last) & (root != np.arange(len(self)))).astype(np.int32)
        if not last or not len(nodes):
            return []
        users = find_users(nodes)
        is_other = (users >= 0) & (root[np.maximum(users, 0)] != root[nodes])
        pairs = zip(nodes[is_other].tolist(), users[is_other].tolist(), strict=True)
        return [Conflict("alias", node, (int(root[node]), user), 2) for node, user in pairs]

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """What :meth:`from_arrays` makes the same graph of. Not copied: save before the next call."""
        store = self._store
        sizes = np.array([self.n_levels, store.n_customer_levels, store.cap, store.most], np.int64)
        return {"sizes": sizes, **store.to_arrays()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], *, text_of: Callable[[int], str]) -> IdentityGraph:
        """The graph that :meth:`to_arrays` described."""
        n_levels, n_customer_levels, cap, most = arrays["sizes"].tolist()
        made = cls(n_levels, n_customer_levels, cap, text_of=text_of, most=most)
        made._store.fill(arrays)
        made._pairs.add(made._store.list_pairs().view(np.uint64))
        return made

    def _settle(self, dirty: Iterable[int], chains: Iterable[int] = ()) -> Nodes:
        return settle(self._store, dirty, self._text_of, chains=chains)

    def _check_pairs(self, lower: NDArray[np.int64], better: NDArray[np.int64]) -> None:
        level = self._store.level.array()
        is_there = (lower >= 0) & (lower < len(level)) & (better < len(level))
        if not is_there.all():
            raise ValueError("a pair has an id that was not added")
        is_pair = (level[better] < level[lower]) & (level[better] < self._store.n_customer_levels)
        if not is_pair.all():
            raise ValueError("the second id of a pair is of a better level than the first, and of a customer level")

    def _check_nodes(self, what: str, a: int, b: int) -> None:
        if not (0 <= a < len(self) and 0 <= b < len(self)):
            raise self._refuse(what, "there is no such id")
        if a == b:
            raise self._refuse(what, f"'{self._text_of(a)}' twice; it takes two ids")

    def _refuse(self, what: str, why: str) -> SojournError:
        return SojournError(Problem(f"identity {what}", why))
