"""The outbox: what has to go to which destination, and how that went. The functions work inside a transaction."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import sqlalchemy as sa

from sojourn.act import Mark, OutboxItem, OutboxRow
from sojourn.live.store.schema import insert_new, outbox

STATUSES = ("waiting", "delivered", "dead", "refused")
"""What may be of a row: to be sent, taken by the receiver, given up, or never to be sent."""


def add_outbox(connection: sa.Connection, rows: Sequence[OutboxRow]) -> None:
    """Put rows in; those that are there already stay as they are."""
    connection.execute(insert_new(connection, outbox), [_spell_row(row) for row in rows])


def _spell_row(row: OutboxRow) -> dict[str, Any]:
    return {
        "destination": row.destination,
        "seq": row.seq,
        "id": row.id,
        "body": row.body,
        "status": row.status,
        "attempts": 0,
        "next_at": row.next_at,
        "last_status": None,
        "last_error": row.last_error,
        "updated_at": None,
    }


_DUE = sa.select(*[outbox.c[name] for name in OutboxItem.__slots__]).order_by(outbox.c.next_at, outbox.c.seq)
_MARKED = ("status", "attempts", "next_at", "last_status", "last_error", "updated_at")
_MARK = (
    sa.update(outbox)
    .where(outbox.c.destination == sa.bindparam("to"), outbox.c.seq == sa.bindparam("of"))
    .values({name: sa.bindparam(f"new_{name}") for name in _MARKED})
)


def read_due(
    connection: sa.Connection, destination: str, now: int, limit: int, without: Collection[int]
) -> list[OutboxItem]:
    """Rows that are due, the longest due first, without those of some seqs."""
    due = _DUE.where(outbox.c.destination == destination, outbox.c.status == "waiting", outbox.c.next_at <= now)
    items = [OutboxItem(*row) for row in connection.execute(due.limit(limit + len(without)))]
    return [item for item in items if item.seq not in without][:limit]


def read_next_due(connection: sa.Connection, destination: str, without: Collection[int]) -> int | None:
    """When the next row is due, without those of some seqs; None when none waits."""
    waiting = sa.select(outbox.c.seq, outbox.c.next_at).where(
        outbox.c.destination == destination, outbox.c.status == "waiting"
    )
    rows = connection.execute(waiting.order_by(outbox.c.next_at, outbox.c.seq).limit(len(without) + 1))
    return next((row.next_at for row in rows if row.seq not in without), None)


def write_marks(connection: sa.Connection, marks: Sequence[Mark]) -> None:
    """Note how sending went."""
    rows: list[dict[str, Any]] = []
    for mark in marks:
        if mark.status not in STATUSES:
            raise ValueError(f"a row of the outbox is none of {', '.join(STATUSES)}: '{mark.status}'")
        values = {f"new_{name}": getattr(mark, name) for name in _MARKED}
        rows.append({"to": mark.destination, "of": mark.seq} | values)
    if rows:
        connection.execute(_MARK, rows)


def replay_dead(connection: sa.Connection, destination: str) -> int:
    """Make the dead rows of a destination due again, as if never tried; returns how many."""
    dead = sa.update(outbox).where(outbox.c.destination == destination, outbox.c.status == "dead")
    return connection.execute(dead.values(status="waiting", attempts=0, next_at=0)).rowcount


def count_outbox(connection: sa.Connection) -> dict[str, dict[str, int]]:
    """How many rows each destination has of each status."""
    counted = sa.select(outbox.c.destination, outbox.c.status, sa.func.count())
    found: dict[str, dict[str, int]] = {}
    for destination, status, n in connection.execute(counted.group_by(outbox.c.destination, outbox.c.status)):
        found.setdefault(destination, dict.fromkeys(STATUSES, 0))[status] = n
    return found


def read_outbox(
    connection: sa.Connection, destination: str, status: str, limit: int, after_seq: int
) -> list[OutboxItem]:
    """Rows of one status in order of seq, from the one after a given seq on."""
    columns = [outbox.c[name] for name in OutboxItem.__slots__]
    chosen = sa.select(*columns).where(outbox.c.destination == destination, outbox.c.status == status)
    rows = connection.execute(chosen.where(outbox.c.seq > after_seq).order_by(outbox.c.seq).limit(limit))
    return [OutboxItem(*row) for row in rows]
