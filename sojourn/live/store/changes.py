"""What is derived from the log, written together with it: the feed of changes, profiles, quarantine, outbox.

The functions work inside a transaction.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from sojourn.act import OutboxRow
from sojourn.live.store.outbox import add_outbox
from sojourn.live.store.rows import read_meta, split_long, write_json, write_meta
from sojourn.live.store.schema import changes, hash_text, insert_new, insert_or_update, outbox, profiles, quarantine

if TYPE_CHECKING:
    from sojourn.act import Change

LONGEST_RAW = 4_096
"""Characters of a quarantined call that are kept."""

_LAST_SEQ = "last_seq"  # in meta: the highest seq that was ever erased


@dataclass(frozen=True, slots=True)
class StoredChange:
    """A line of the feed with the fields of ``sojourn.live.engine.service.Change``, and what the store knows of it.

    ``position`` is where in the log it came from, ``revoked_by`` the seq of the change that has revoked it.
    """

    seq: int
    id: str
    kind: str
    customer_id: str
    at: int
    name: str
    before: str | None
    data: Mapping[str, Any]
    position: int
    revoked_by: int | None


@dataclass(frozen=True, slots=True)
class Profile:
    """What is known of a customer besides behaviour. ``node`` is the customer in the graph of ids."""

    node: int
    traits: Mapping[str, Any]
    consent: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A call that could not be used, at a place of a record, with the rule that it breaks and what was found."""

    position: int
    place: int
    at: int
    rule: str
    found: str
    raw: str


@dataclass(frozen=True, slots=True)
class Forgotten:
    """Whose rows are erased: changes and outbox of customers, profiles of nodes, quarantined calls by their place."""

    customer_ids: Sequence[str] = ()
    nodes: Sequence[int] = ()
    calls: Sequence[tuple[int, int]] = ()


@dataclass(frozen=True, slots=True)
class Derived:
    """What becomes so with some records. ``position`` is where in the log it came from; None: the last record.

    ``revoked`` are pairs of a change's seq and the seq of the one that revokes it, ``moved`` the changes that belong
    to another customer now: (old customer_id, new customer_id, seqs). ``profiles`` are (traits, consent) by node.
    Written in the order: forgotten, moved, revoked, then what is new.
    """

    changes: Sequence[Change] = ()
    revoked: Sequence[tuple[int, int]] = ()
    moved: Sequence[tuple[str, str, Sequence[int]]] = ()
    profiles: Mapping[int, tuple[Mapping[str, Any], Mapping[str, Any]]] = field(default_factory=dict)
    quarantine: Sequence[Quarantined] = ()
    outbox: Sequence[OutboxRow] = ()
    forgotten: Forgotten = Forgotten()
    position: int | None = None


NOTHING = Derived()
"""Nothing derived."""

_REVOKE = sa.update(changes).where(changes.c.seq == sa.bindparam("revoked")).values(revoked_by=sa.bindparam("by"))


def write_derived(connection: sa.Connection, derived: Derived, position: int) -> None:
    """Write all of it. Changes, quarantine and outbox rows that are there already stay as they are."""
    if derived is NOTHING:
        return
    _forget(connection, derived.forgotten)
    for old, new, seqs in derived.moved:
        for some in split_long(list(seqs)):
            chosen = sa.update(changes).where(changes.c.seq.in_(some), changes.c.customer_id == old)
            connection.execute(chosen.values(customer_id=new, customer_hash=hash_text(new)))
    if derived.changes:
        connection.execute(insert_new(connection, changes), [_spell_change(c, position) for c in derived.changes])
    if derived.revoked:
        connection.execute(_REVOKE, [{"revoked": seq, "by": by} for seq, by in derived.revoked])
    if derived.profiles:
        rows = [
            {"node": node, "traits": write_json(traits), "consent": write_json(consent)}
            for node, (traits, consent) in derived.profiles.items()
        ]
        connection.execute(insert_or_update(connection, profiles), rows)
    if derived.quarantine:
        connection.execute(insert_new(connection, quarantine), [_spell_call(call) for call in derived.quarantine])
    if derived.outbox:
        add_outbox(connection, derived.outbox)


def _spell_change(change: Change, position: int) -> dict[str, Any]:
    return {
        "seq": change.seq,
        "id": change.id,
        "kind": change.kind,
        "customer_id": change.customer_id,
        "customer_hash": hash_text(change.customer_id),
        "at": change.at,
        "name": change.name,
        "before": change.before,
        "data": write_json(change.data),
        "position": position,
        "revoked_by": None,
    }


def _spell_call(call: Quarantined) -> dict[str, Any]:
    return {
        "position": call.position,
        "place": call.place,
        "at": call.at,
        "rule": call.rule,
        "found": call.found,
        "raw": call.raw[:LONGEST_RAW],
    }


def _forget(connection: sa.Connection, forgotten: Forgotten) -> None:
    for ids in split_long(list(forgotten.customer_ids)):
        whose = _is_of(ids)
        last = connection.execute(sa.select(sa.func.max(changes.c.seq)).where(whose)).scalar()
        if last is not None and last > read_meta(connection, _LAST_SEQ, 0):
            write_meta(connection, _LAST_SEQ, last)
        connection.execute(sa.delete(outbox).where(outbox.c.seq.in_(sa.select(changes.c.seq).where(whose))))
        connection.execute(sa.delete(changes).where(whose))
    for nodes in split_long(list(forgotten.nodes)):
        connection.execute(sa.delete(profiles).where(profiles.c.node.in_(nodes)))
    if forgotten.calls:
        one = (quarantine.c.position == sa.bindparam("of")) & (quarantine.c.place == sa.bindparam("there"))
        rows = [{"of": position, "there": place} for position, place in forgotten.calls]
        connection.execute(sa.delete(quarantine).where(one), rows)


def _is_of(customer_ids: Sequence[str]) -> sa.ColumnElement[bool]:
    hashes = [hash_text(id) for id in customer_ids]
    return changes.c.customer_hash.in_(hashes) & changes.c.customer_id.in_(customer_ids)


_COLUMNS = [changes.c[name] for name in StoredChange.__slots__]


def _list_changes(connection: sa.Connection, chosen: sa.Select[Any]) -> list[StoredChange]:
    rows = connection.execute(chosen).mappings()
    return [StoredChange(**{**row, "data": json.loads(row["data"])}) for row in rows]


def read_last_seq(connection: sa.Connection) -> int:
    """The highest seq there ever was; 0 before the first change."""
    last = connection.execute(sa.select(sa.func.max(changes.c.seq))).scalar() or 0
    return max(last, int(read_meta(connection, _LAST_SEQ, 0)))


def read_feed(connection: sa.Connection, after_seq: int, limit: int, kinds: Sequence[str] | None) -> list[StoredChange]:
    """Changes after a seq, in order."""
    chosen = sa.select(*_COLUMNS).where(changes.c.seq > after_seq).order_by(changes.c.seq).limit(limit)
    if kinds is not None:
        chosen = chosen.where(changes.c.kind.in_(list(kinds)))
    return _list_changes(connection, chosen)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which transitions: None is any. ``since_at`` belongs to it, ``until_at`` does not."""

    customer_id: str | None = None
    from_state: str | None = None
    to_state: str | None = None
    since_at: int | None = None
    until_at: int | None = None
    include_revoked: bool = False


def read_transitions(
    connection: sa.Connection, wanted: Wanted, limit: int, after: tuple[int, int] | None, is_newest_first: bool
) -> list[StoredChange]:
    """Transitions by (at, seq), from the one after a given (at, seq) on."""
    order = [changes.c.at, changes.c.seq]
    chosen = sa.select(*_COLUMNS).where(changes.c.kind == "transition").limit(limit)
    chosen = chosen.order_by(*[column.desc() for column in order] if is_newest_first else order)
    if after is not None:
        here, there = sa.tuple_(*order), sa.tuple_(*after)
        chosen = chosen.where(here < there if is_newest_first else here > there)
    if wanted.customer_id is not None:
        chosen = chosen.where(_is_of([wanted.customer_id]))
    if wanted.from_state is not None:
        chosen = chosen.where(changes.c.before == wanted.from_state)
    if wanted.to_state is not None:
        chosen = chosen.where(changes.c.name == wanted.to_state)
    if wanted.since_at is not None:
        chosen = chosen.where(changes.c.at >= wanted.since_at)
    if wanted.until_at is not None:
        chosen = chosen.where(changes.c.at < wanted.until_at)
    if not wanted.include_revoked:
        chosen = chosen.where(changes.c.revoked_by.is_(None))
    return _list_changes(connection, chosen)


def read_customer_changes(
    connection: sa.Connection, customer_ids: Sequence[str], kinds: Sequence[str] | None, include_revoked: bool
) -> list[StoredChange]:
    """All changes of some customers by (at, seq)."""
    found: list[StoredChange] = []
    for ids in split_long(list(customer_ids)):
        chosen = sa.select(*_COLUMNS).where(_is_of(ids))
        if kinds is not None:
            chosen = chosen.where(changes.c.kind.in_(list(kinds)))
        if not include_revoked:
            chosen = chosen.where(changes.c.revoked_by.is_(None))
        found += _list_changes(connection, chosen)
    return sorted(found, key=lambda change: (change.at, change.seq))


def read_profiles(connection: sa.Connection, nodes: Sequence[int]) -> dict[int, Profile]:
    """The profiles of those nodes that have one."""
    found = {}
    for some in split_long(list(nodes)):
        for row in connection.execute(sa.select(profiles).where(profiles.c.node.in_(some))):
            found[row.node] = Profile(row.node, json.loads(row.traits), json.loads(row.consent))
    return found


def read_quarantine(connection: sa.Connection, limit: int, after: tuple[int, int]) -> list[Quarantined]:
    """Quarantined calls in the order of the log, from the one after a given (position, place) on."""
    order = [quarantine.c.position, quarantine.c.place]
    chosen = sa.select(quarantine).where(sa.tuple_(*order) > sa.tuple_(*after)).order_by(*order).limit(limit)
    return [Quarantined(*row) for row in connection.execute(chosen)]


def count_quarantine(connection: sa.Connection) -> int:
    """How many calls are quarantined."""
    return connection.execute(sa.select(sa.func.count()).select_from(quarantine)).scalar_one()
