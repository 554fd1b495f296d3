"""The rule by which ids are one customer, read aloud: a function of what was seen together, in no order of time.

Ids have levels: the columns of the playbook's ``source.customer`` in order of preference (level 0 are known users),
then its identifiers (e-mail, phone). An id was seen with the first id of its row; that is a pair.

1. An id of a customer level that was seen with exactly one customer is that customer. One that was seen with several is
   shared: it stays a customer of its own, and no identifier joins it to anyone.
2. An identifier that was seen with exactly one customer is that customer. One that was seen with several joins them, if
   they are at most ``cap`` and at most one of them is a known user; else it is shared and joins nothing.
3. Identifiers join chains of customers. Where a chain would hold two known users, ids that people have split, or more
   than ``most`` customers, none of its identifiers joins anything: they are held back.
4. People decide: a merge makes two known users one customer; a split keeps two ids in different customers.

A row needs no other pairs than those with its first id: it belongs to that id, so whatever else it carries meets there.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

CAP = 5
"""Customers that one identifier may join: more is a kiosk, a shop's own address, or a made-up number."""
MOST_JOINED = 100
"""Customers that a chain of identifiers may join."""


@dataclass(frozen=True)
class Seen:
    """Everything that the rule looks at. An id is a position in ``levels`` and ``texts``."""

    levels: Sequence[int]
    texts: Sequence[str]
    n_customer_levels: int
    pairs: Collection[tuple[int, int]]  # (an id, the first id of its row, whose level is lower and a customer level)
    merges: Collection[tuple[int, int]] = ()  # of known users
    splits: Collection[tuple[int, int]] = ()  # (the id that leaves, the other); at most one is an identifier
    cap: int = CAP
    most: int = MOST_JOINED


@dataclass(frozen=True)
class Owned:
    """The id that stands for each id's customer; which ids are shared, and which identifiers are held back."""

    owner: list[int]
    shared: frozenset[int]
    held: frozenset[int]


def find_owners(seen: Seen) -> Owned:
    """The customer of each id. Its cost is that of all pairs: the plain meaning of what batch and live do faster.

    >>> levels, texts = [0, 1, 1, 2], ["ann", "a1", "a2", "ann@x.org"]
    >>> find_owners(Seen(levels, texts, 2, {(1, 0), (3, 0), (3, 2)})).owner
    [0, 0, 0, 0]
    """
    above: list[set[int]] = [set() for _ in seen.levels]
    for node, first in seen.pairs:
        above[node].add(first)
    leaves = _list_splits(seen)
    root, shared = _link_levels(seen, above, leaves)
    found = {
        node: {root[first] for first in above[node] if root[first] not in shared} - {root[x] for x in leaves[node]}
        for node, level in enumerate(seen.levels)
        if level >= seen.n_customer_levels
    }
    too_many = {node for node, customers in found.items() if is_shared(customers, seen.levels, seen.cap)}
    joining = {node: found[node] for node in found if len(found[node]) > 1 and node not in too_many}
    name = list(range(len(seen.levels)))
    held: set[int] = set()
    for customers, nodes in group_joined(joining):
        if _may_join(seen, customers, root, found, leaves, nodes):
            stands = pick_owner(customers, seen.levels, seen.texts.__getitem__)
            for customer in customers:
                name[customer] = stands
        else:
            held |= nodes
    owner = [name[customer] for customer in root]
    for node, customers in found.items():
        if customers and node not in too_many and node not in held:
            owner[node] = name[min(customers)]
    return Owned(owner, frozenset(shared | too_many), frozenset(held))


def is_shared(customers: Collection[int], levels: Sequence[int] | memoryview, cap: int) -> bool:
    """Whether an identifier that was seen with these customers is too many people's to join them."""
    return len(customers) > cap or sum(levels[customer] == 0 for customer in customers) > 1


def pick_owner(customers: Iterable[int], levels: Sequence[int] | memoryview, text_of: Callable[[int], str]) -> int:
    """The id that stands for joined customers: of the best level that is there, the one of the smallest text.

    >>> levels, texts = [1, 0, 1], ["b", "u", "a"]
    >>> pick_owner([0, 1, 2], levels, texts.__getitem__), pick_owner([0, 2], levels, texts.__getitem__)
    (1, 2)
    """
    found = list(customers)
    best = min(levels[customer] for customer in found)
    found = [customer for customer in found if levels[customer] == best]
    return found[0] if len(found) == 1 else min(found, key=lambda customer: (text_of(customer), customer))


def group_joined(joining: Mapping[int, Collection[int]]) -> list[tuple[set[int], set[int]]]:
    """Chains: the customers that identifiers join, directly or through others, and those identifiers.

    >>> group_joined({7: [1, 2], 8: [2, 3], 9: [4, 5]})
    [({1, 2, 3}, {8, 7}), ({4, 5}, {9})]
    """
    joined_by: dict[int, list[int]] = {}
    for node, customers in joining.items():
        for customer in customers:
            joined_by.setdefault(customer, []).append(node)
    groups: list[tuple[set[int], set[int]]] = []
    visited: set[int] = set()
    for begin in joined_by:
        if begin in visited:
            continue
        customers, nodes, waiting = {begin}, set[int](), [begin]
        while waiting:
            for node in joined_by[waiting.pop()]:
                if node not in nodes:
                    nodes.add(node)
                    fresh = set(joining[node]) - customers
                    customers |= fresh
                    waiting.extend(fresh)
        visited |= customers
        groups.append((customers, nodes))
    return groups


def _link_levels(seen: Seen, above: list[set[int]], leaves: list[set[int]]) -> tuple[list[int], set[int]]:
    """The customer of each id of a customer level before identifiers join any, and which ids are shared."""
    root = list(range(len(seen.levels)))
    shared: set[int] = set()
    for users, _ in group_joined(dict(enumerate(seen.merges))):
        for user in users:
            root[user] = pick_owner(users, seen.levels, seen.texts.__getitem__)
    for level in range(1, seen.n_customer_levels):
        belongs: dict[int, int] = {}
        for node in (node for node, at in enumerate(seen.levels) if at == level):
            left = {root[other] for other in leaves[node] if seen.levels[other] < level}
            customers = {root[first] for first in above[node]} - left
            if len(customers) == 1:
                belongs[node] = customers.pop()
            elif customers:
                shared.add(node)
        for node, customer in belongs.items():
            # Of two ids of one level that would meet, the one leaves of which people said so.
            if all(belongs.get(other) != customer for other in leaves[node] if seen.levels[other] == level):
                root[node] = customer
    return root, shared


def _list_splits(seen: Seen) -> list[set[int]]:
    """The ids that each id leaves: of two levels, the id of lower preference leaves."""
    leaves: list[set[int]] = [set() for _ in seen.levels]
    for node, other in seen.splits:
        if seen.levels[node] < seen.levels[other]:
            node, other = other, node
        leaves[node].add(other)
    return leaves


def _may_join(
    seen: Seen,
    customers: set[int],
    root: list[int],
    found: Mapping[int, set[int]],
    leaves: list[set[int]],
    nodes: set[int],
) -> bool:
    if len(customers) > seen.most or sum(seen.levels[customer] == 0 for customer in customers) > 1:
        return False
    for node, others in enumerate(leaves):
        if not others:
            continue
        inside = root[node] in customers if node not in found else node in nodes or _is_only(found[node], customers)
        if inside and any(root[other] in customers for other in others):
            return False
    return True


def _is_only(found: set[int], customers: set[int]) -> bool:
    return len(found) == 1 and found <= customers
