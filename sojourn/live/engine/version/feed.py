"""The change feed: facts become changes with stable ids; published changes are reconciled with a new computation."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sojourn.act import Change
from sojourn.live.store import StoredChange


@dataclass(frozen=True, slots=True)
class Fact:
    """A change before it is published: whose, what, when, and the rest as plain JSON."""

    customer_id: str
    kind: str
    at: int
    name: str
    before: str | None
    data: Mapping[str, Any]

    @property
    def key(self) -> tuple[str, int, str, str | None]:
        """What two computations of the same change have in common, also of different customers."""
        return (self.kind, self.at, self.name, self.before)


DatedFact = tuple[Fact, int]
"""A fact, and the position of the record for which its customer was last folded from the start (0: never)."""


def name_change(fact: Fact, version: int, folded_at: int = 0) -> str:
    """The id of a change: the same whenever the log is read again.

    A fact that was revoked and is found again is another change: then ``folded_at`` differs.

    >>> fact = Fact("u1", "moment", 5, "cart_doubt", None, {})
    >>> name_change(fact, 1) == name_change(fact, 1) != name_change(fact, 1, 7)
    True
    """
    parts = [version, fact.kind, fact.customer_id, fact.at, fact.name, fact.before or "", folded_at]
    text = "\x1f".join(map(str, [*parts, fact.data.get("revokes", "")]))
    return "chg_" + hashlib.blake2b(text.encode(), digest_size=15).hexdigest()


def publish(facts: Iterable[DatedFact], seq: int, version: int) -> list[Change]:
    """Facts as changes in order of time, numbered from ``seq + 1`` on."""
    ordered = sorted(facts, key=lambda one: (one[0].at, one[0].customer_id, one[0].kind, one[0].name))
    return [
        Change(
            seq + 1 + i,
            name_change(fact, version, folded_at),
            fact.kind,
            fact.customer_id,
            fact.at,
            fact.name,
            fact.before,
            fact.data,
        )
        for i, (fact, folded_at) in enumerate(ordered)
    ]


@dataclass(frozen=True)
class Reconciled:
    """Facts to publish, changes to revoke, and changes of another customer now: (seq, old, new customer_id)."""

    new: list[Fact]
    revoked: list[StoredChange]
    reassigned: list[tuple[int, str, str]]


def reconcile(facts: Sequence[Fact], published: Sequence[StoredChange], seq: int) -> Reconciled:
    """Compare facts of some customers with the changes published up to ``seq``, among them revoked ones.

    A fact that was published for another customer is reassigned. One that was revoked before is new.

    >>> fact = Fact("u1", "transition", 5, "b", "a", {})
    >>> reconcile([fact], [], 0).new == [fact]
    True
    """
    open_by_key: dict[tuple[str, int, str, str | None], list[StoredChange]] = {}
    for change in published:
        is_revoked = change.revoked_by is not None and change.revoked_by <= seq
        if change.seq <= seq and not is_revoked:
            key = (change.kind, change.at, change.name, change.before)
            open_by_key.setdefault(key, []).append(change)
    new, reassigned = [], []
    for fact in facts:
        same = open_by_key.get(fact.key)
        if not same:
            new.append(fact)
            continue
        own = next((i for i, change in enumerate(same) if change.customer_id == fact.customer_id), 0)
        change = same.pop(own)
        if change.customer_id != fact.customer_id:
            reassigned.append((change.seq, change.customer_id, fact.customer_id))
    return Reconciled(new, [change for some in open_by_key.values() for change in some], reassigned)


def revoke(change: StoredChange, customer_id: str) -> Fact:
    """The fact that a published change does not hold."""
    data = {"revokes": change.id, "revokes_seq": change.seq}
    return Fact(customer_id, f"{change.kind}_revoked", change.at, change.name, change.before, data)
