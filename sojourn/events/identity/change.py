"""What becomes of the customers of a graph of ids when some ids have to be looked at again."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sojourn.events.identity.arrays import BLOCKED, HELD, JOINS, SHARED, IdStore
from sojourn.events.identity.rule import is_shared, pick_owner


def settle(
    store: IdStore, dirty: Iterable[int], text_of: Callable[[int], str], *, chains: Iterable[int] = ()
) -> NDArray[np.int32]:
    """The ids whose customer changed, rising, once these ids were looked at again, and all that hangs on them.

    Of a dirty known user, the whole of whom people merged with it must be dirty. ``chains`` are ids whose chains of
    identifiers are to be looked at even where no id's customer changed.
    """
    change = _Change(store, text_of)
    change.settle_levels(dirty)
    change.settle_identifiers(chains)
    owner = store.owner.view
    return np.array(sorted(node for node, was in change.before.items() if owner[node] != was), np.int32)


@dataclass
class _Chain:
    """Customers with all their ids, as identifiers join them."""

    customers: list[int]
    members: dict[int, int] = field(default_factory=dict)  # id: its customer, before joining
    hanging: dict[int, int] = field(default_factory=dict)  # identifier of one customer: that customer
    joining: set[int] = field(default_factory=set)


class _Change:
    """One settling: what is still to be looked at, and the owners of before."""

    def __init__(self, store: IdStore, text_of: Callable[[int], str]) -> None:
        self.before: dict[int, int] = {}
        self._store, self._text_of = store, text_of
        self._level, self._what = store.level.view, store.what.view
        self._root, self._owner = store.root.view, store.owner.view
        self._n = store.n_customer_levels
        self._identifiers: set[int] = set()
        self._changed: dict[int, int] = {}  # ids of customer levels, the best level first, with the roots of before

    def settle_levels(self, dirty: Iterable[int]) -> None:
        """Settles roots from the best level down, and notes the identifiers that have to follow."""
        waiting: list[set[int]] = [set() for _ in range(self._n)]
        for node in dirty:
            self._wait(node, waiting)
        for level, nodes in enumerate(waiting):
            # An id that leaves another of its level goes by where that one would belong.
            leaving = [other for node in nodes for other in self._store.left_by.get(node, ())]
            nodes.update(node for node in leaving if self._level[node] == level)
            for node in nodes:
                self._settle_root(node, waiting)

    def _wait(self, node: int, waiting: list[set[int]]) -> None:
        level = self._level[node]
        if level < self._n:
            waiting[level].add(node)
        else:
            self._identifiers.add(node)

    def _settle_root(self, node: int, waiting: list[set[int]]) -> None:
        if self._level[node]:
            root, what = self._find_root(node)
        else:
            root, what = pick_owner(self._store.list_merged(node), self._level, self._text_of), 0
        if root == self._root[node] and what == self._what[node]:
            return
        self._changed[node] = self._root[node]
        self._root[node], self._what[node] = root, what
        for other in self._store.list_down(node):
            self._wait(other, waiting)
        for other in self._store.left_by.get(node, ()):
            if self._level[other] > self._level[node]:
                self._wait(other, waiting)

    def _find_root(self, node: int) -> tuple[int, int]:
        """The customer that an id is, and what it is itself."""
        root, what = self._belong(node)
        if root != node:
            level = self._level[node]
            for other in self._store.leaves.get(node, ()):
                if self._level[other] == level and self._belong(other)[0] == root:
                    return node, 0
        return root, what

    def _belong(self, node: int) -> tuple[int, int]:
        """The same, but for splits between ids of one level."""
        roots, level = self._root, self._level[node]
        left = {roots[x] for x in self._store.leaves.get(node, ()) if self._level[x] < level}
        found = -1
        for first in self._store.list_up(node):
            root = roots[first]
            if root == found or root in left:
                continue
            if found >= 0:
                return node, SHARED | BLOCKED
            found = root
        return (found, self._what[found] & BLOCKED) if found >= 0 else (node, 0)

    def settle_identifiers(self, chains: Iterable[int]) -> None:
        """Settles what identifiers are, and the owner of every id that they or a changed customer touch."""
        for node in self._changed:
            if self._root[node] == node:
                self._own(node, node)
        for node in self._changed:
            if self._root[node] != node:
                self._own(node, self._owner[self._root[node]])
        seeds = {self._root[node] for node in chains}
        for node, was_root in self._changed.items():
            if self._is_split(node):
                seeds |= {self._root[node], self._root[was_root]}
        alone: list[tuple[int, int]] = []
        for node in self._identifiers:
            was = self._what[node]
            customers, what = self._look(node)
            self._what[node] = what
            if self._is_split(node):
                seeds |= {*self._list_touched(node), self._root[self._owner[node]]}
            if (was | what) & (HELD | JOINS):
                seeds.update(self._list_touched(node))
                self._own(node, node)
            elif len(customers) == 1:
                alone.append((node, min(customers)))
            else:
                self._own(node, node)
        done: set[int] = set()
        for seed in seeds:
            if self._level[seed] < self._n and seed not in done:
                done.update(self._settle_chain(seed))
        for node, customer in alone:
            self._own(node, self._owner[customer])

    def _list_touched(self, node: int) -> Iterator[int]:
        """The customers that an identifier was seen with, and those that they were before."""
        for first in self._store.list_up(node):
            yield self._root[first]
            if first in self._changed:
                yield self._root[self._changed[first]]

    def _is_split(self, node: int) -> bool:
        return node in self._store.leaves or node in self._store.left_by

    def _own(self, node: int, owner: int) -> None:
        if self._owner[node] != owner:
            self.before.setdefault(node, self._owner[node])
            self._owner[node] = owner

    def _look(self, node: int) -> tuple[set[int], int]:
        """The customers that an identifier was seen with, as far as it may belong to them, and what it is so far."""
        store, roots, what = self._store, self._root, self._what
        left = {roots[x] for x in store.leaves.get(node, ())}
        found: set[int] = set()
        for first in store.list_up(node):
            root = roots[first]
            if root in found or root in left or what[root] & BLOCKED:
                continue
            found.add(root)
            if len(found) > 1 and is_shared(found, self._level, store.cap):
                return set(), SHARED
        return found, HELD if len(found) > 1 else 0

    def _settle_chain(self, seed: int) -> Collection[int]:
        """Sets the owners of the chain that a customer is in; its customers, as far as they are settled by it."""
        chain = self._walk(seed)
        customers = set(chain.customers)
        if len(customers) <= self._store.most and self._may_join(chain, customers):
            stands = pick_owner(customers, self._level, self._text_of)
            for node in (*chain.members, *chain.hanging, *chain.joining):
                self._own(node, stands)
            for node in chain.joining:
                self._what[node] = JOINS
            return customers
        if len(customers) > self._store.most:
            # Only what was joined before has to come apart; what was held back stays so.
            chain = self._walk(seed, owner=self._owner[seed])
        for node, customer in (*chain.members.items(), *chain.hanging.items()):
            self._own(node, customer)
        for node in chain.joining:
            self._own(node, node)
            self._what[node] = HELD
        return chain.customers

    def _walk(self, seed: int, owner: int | None = None) -> _Chain:
        """The chain of a customer, until it has too many; with ``owner``, all that was this one's customer before."""
        chain = _Chain([seed])
        known = {seed}
        for customer in chain.customers:
            is_blocked = self._what[customer] & BLOCKED
            for member in self._list_members(customer):
                chain.members[member] = customer
                for node in self._store.list_down(member):
                    if is_blocked or self._level[node] < self._n or node in chain.joining or self._what[node] & SHARED:
                        continue
                    customers, what = self._look(node)
                    if customer not in customers:
                        continue
                    if not what:
                        chain.hanging[node] = customer
                        continue
                    chain.joining.add(node)
                    fresh = [x for x in customers if x not in known and (owner is None or self._owner[x] == owner)]
                    known.update(fresh)
                    chain.customers.extend(fresh)
            if owner is None and len(chain.customers) > self._store.most:
                break
        return chain

    def _list_members(self, customer: int) -> list[int]:
        """The ids of customer levels that are this customer, before identifiers join any."""
        found = [customer] if self._level[customer] else self._store.list_merged(customer)
        known = set(found)
        for member in found:
            for node in self._store.list_down(member):
                if self._root[node] == customer and self._level[node] < self._n and node not in known:
                    known.add(node)
                    found.append(node)
        return found

    def _may_join(self, chain: _Chain, customers: set[int]) -> bool:
        if sum(not self._level[customer] for customer in customers) > 1:
            return False
        leaves = self._store.leaves
        for node in (*chain.members, *chain.hanging, *chain.joining) if leaves else ():
            if any(self._root[other] in customers for other in leaves.get(node, ())):
                return False
        return True
