"""What the world is told: changes with ids that stay, and how a new account of a customer is squared with the old."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sojourn.act.changes import Change
from sojourn.live.store.changes import StoredChange


@dataclass(frozen=True, slots=True)
class Fact:
    """A change before it is told: of whom, what, when, and the rest as plain JSON."""

    customer_id: str
    kind: str
    at: int
    name: str
    before: str | None
    data: Mapping[str, Any]

    @property
    def key(self) -> tuple[str, int, str, str | None]:
        """What makes two facts about one customer the same."""
        return (self.kind, self.at, self.name, self.before)


def name_change(fact: Fact, version: int, account: int = 0) -> str:
    """The id of a change: the same whenever the log is read again. A fact that was revoked and is found again is
    another change: ``account`` is the position of the record that brought the account of the customer about.

    >>> fact = Fact("u1", "moment", 5, "cart_doubt", None, {})
    >>> name_change(fact, 1) == name_change(fact, 1) != name_change(fact, 1, 7)
    True
    """
    parts = [version, fact.kind, fact.customer_id, fact.at, fact.name, fact.before or "", account]
    text = "\x1f".join(map(str, [*parts, fact.data.get("revokes", "")]))
    return "chg_" + hashlib.blake2b(text.encode(), digest_size=15).hexdigest()


def tell(facts: Iterable[tuple[Fact, int]], seq: int, version: int) -> list[Change]:
    """Facts, each with its account, as changes numbered on from ``seq``, in order of time."""
    ordered = sorted(facts, key=lambda one: (one[0].at, one[0].customer_id, one[0].kind, one[0].name))
    return [
        Change(
            seq + 1 + i, name_change(fact, version, account), fact.kind, fact.customer_id, fact.at, fact.name,
            fact.before, fact.data,
        )
        for i, (fact, account) in enumerate(ordered)
    ]  # fmt: skip


@dataclass(frozen=True)
class Squared:
    """What is new, what never was, and which changes belong to another customer now: (seq, old, new)."""

    new: list[Fact]
    revoked: list[StoredChange]
    moved: list[tuple[int, str, str]]


def square(facts: Sequence[Fact], told: Sequence[StoredChange], seq: int) -> Squared:
    """Compare a new account of some customers with what was told of them up to ``seq``, revoked changes included.

    >>> fact = Fact("u1", "transition", 5, "b", "a", {})
    >>> square([fact], [], 0).new == [fact]
    True
    """
    open_by_key: dict[tuple[str, int, str, str | None], list[StoredChange]] = {}
    for change in told:
        is_revoked = change.revoked_by is not None and change.revoked_by <= seq
        if change.seq <= seq and not is_revoked:
            key = (change.kind, change.at, change.name, change.before)
            open_by_key.setdefault(key, []).append(change)
    new, moved = [], []
    for fact in facts:
        known = open_by_key.get(fact.key)
        if not known:
            new.append(fact)
            continue
        own = next((i for i, change in enumerate(known) if change.customer_id == fact.customer_id), 0)
        change = known.pop(own)
        if change.customer_id != fact.customer_id:
            moved.append((change.seq, change.customer_id, fact.customer_id))
    return Squared(new, [change for some in open_by_key.values() for change in some], moved)


def revoke(change: StoredChange, customer_id: str) -> Fact:
    """The fact that a change never was."""
    data = {"revokes": change.id, "revokes_seq": change.seq}
    return Fact(customer_id, f"{change.kind}_revoked", change.at, change.name, change.before, data)
