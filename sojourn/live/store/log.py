"""The log: records one after another without a gap, each with a checksum. The functions work inside a transaction."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import sqlalchemy as sa

from sojourn.errors import Problem, StoreError
from sojourn.live.store.rows import read_meta, write_meta
from sojourn.live.store.schema import log, log_aside, quarantine

KINDS = ("calls", "clock", "command")
"""What a record may be: tracking calls, the passing of time, or a command that was carried out."""

_FIRST = "log_first"  # in meta: the first position that is still in the log
_AT_ONCE = 32  # records read at once
_HEAD = struct.Struct("<qqq")


@dataclass(frozen=True, slots=True)
class NewRecord:
    """A record before it has a position. ``at`` in microseconds, ``n`` how many calls it holds."""

    at: int
    kind: str
    n: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Record:
    """A record of the log. Positions are 1, 2, 3 and so on."""

    position: int
    at: int
    kind: str
    n: int
    payload: bytes


class LogDamaged(StoreError):
    """A record of the log is missing, or is not what was written."""

    def __init__(self, position: int, what: str, n_before: int, n_after: int, where: str) -> None:
        self.position, self.n_before, self.n_after = position, n_before, n_after
        words = (
            f"record {position} of the log is damaged: {what}; "
            f"{_say_records(n_before)} before it and {_say_records(n_after)} after it are good. "
            "A repair sets the log aside from this record on, so that it can be read up to there"
        )
        super().__init__(Problem(where, words, command="sojourn repair --project DIR"))


def _say_records(n: int) -> str:
    return "1 record" if n == 1 else f"{n:,} records"


Connect = Callable[[], AbstractContextManager[sa.Connection]]


def sum_record(position: int, at: int, kind: str, n: int, payload: bytes) -> bytes:
    """The checksum of a record: BLAKE2b, 16 bytes."""
    found = blake2b(_HEAD.pack(position, at, n), digest_size=16)
    found.update(kind.encode() + b"\0")
    found.update(payload)
    return found.digest()


def write_records(connection: sa.Connection, after: int, records: Sequence[NewRecord]) -> None:
    """Put records at the end; ``after`` is the position before the first one."""
    rows = []
    for position, record in enumerate(records, start=after + 1):
        if record.kind not in KINDS:
            raise ValueError(f"a record of the log is none of {', '.join(KINDS)}: '{record.kind}'")
        at, kind, n, payload = record.at, record.kind, record.n, record.payload
        checksum = sum_record(position, at, kind, n, payload)
        rows.append({"position": position, "at": at, "kind": kind, "n": n, "checksum": checksum, "payload": payload})
    connection.execute(_INSERT, rows)


_INSERT = sa.insert(log)


def read_first(connection: sa.Connection) -> int:
    """The first position that is in the log, or will be."""
    return int(read_meta(connection, _FIRST, 1))


def read_last(connection: sa.Connection) -> int:
    """The last position that was given; 0 before the first one."""
    return connection.execute(sa.select(sa.func.max(log.c.position))).scalar() or read_first(connection) - 1


def read_records(connect: Connect, after: int, until: int | None, where: str) -> Iterator[Record]:
    """The records after a position, up to ``until`` and that one too, each verified.

    No transaction is open between two of them. Raises LogDamaged, and StoreError for records that have left the log.
    """
    with connect() as connection:
        last = read_last(connection)
    _refuse_dropped(connect, after + 1, where)
    end = last if until is None else min(until, last)
    for low in range(after + 1, end + 1, _AT_ONCE):
        for position, found in enumerate(_check(connect, low, min(low + _AT_ONCE - 1, end)), start=low):
            if isinstance(found, str):
                _refuse_dropped(connect, position, where)
                raise _describe_damage(connect, position, found, last, where)
            yield found


def _refuse_dropped(connect: Connect, position: int, where: str) -> None:
    with connect() as connection:
        first = read_first(connection)
    if position < first:
        what = f"records {position} to {first - 1} are no longer in the log; read them from the archive"
        raise StoreError(Problem(where, what))


def _check(connect: Connect, low: int, high: int) -> Iterator[Record | str]:
    """For each of these positions the record, or what is wrong."""
    try:
        with connect() as connection:
            chosen = sa.select(log).where(log.c.position.between(low, high))
            rows = {row.position: row for row in connection.execute(chosen)}
    except StoreError as error:
        if low == high:
            yield str(error.problems[0].what)
            return
        for position in range(low, high + 1):
            yield from _check(connect, position, position)
        return
    for position in range(low, high + 1):
        row: Any = rows.get(position)
        if row is None:
            yield "it is missing"
        elif sum_record(position, row.at, row.kind, row.n, row.payload) != row.checksum:
            yield "its bytes are not the ones that were written, by their checksum"
        else:
            yield Record(position, row.at, row.kind, row.n, row.payload)


def _describe_damage(connect: Connect, position: int, what: str, last: int, where: str) -> LogDamaged:
    with connect() as connection:
        first = read_first(connection)
    n_before, n_after = _count_good(connect, first, position - 1), _count_good(connect, position + 1, last)
    return LogDamaged(position, what, n_before, n_after, where)


def _count_good(connect: Connect, first: int, last: int) -> int:
    return sum(
        isinstance(found, Record)
        for low in range(first, last + 1, _AT_ONCE)
        for found in _check(connect, low, min(low + _AT_ONCE - 1, last))
    )


def rewrite_record(connection: sa.Connection, position: int, payload: bytes, n: int) -> bool:
    """Put another payload into a record, which stays where it is; False where there is no such record."""
    row = connection.execute(sa.select(log.c.at, log.c.kind).where(log.c.position == position)).one_or_none()
    if row is None:
        return False
    checksum = sum_record(position, row.at, row.kind, n, payload)
    change = sa.update(log).where(log.c.position == position)
    connection.execute(change.values(payload=payload, n=n, checksum=checksum))
    return True


def find_kind(connection: sa.Connection, kind: str) -> list[int]:
    """The positions of the log's records of a kind; what the others hold is not read."""
    chosen = sa.select(log.c.position).where(log.c.kind == kind).order_by(log.c.position)
    return list(connection.execute(chosen).scalars())


def drop_records(connection: sa.Connection, until: int, most: int) -> bool:
    """Drop the first ``most`` records, up to ``until`` at most; True when there are none left to drop."""
    first, last = read_first(connection), read_last(connection)
    until = min(until, last)
    upto = min(until, first + most - 1)
    if upto >= first:
        connection.execute(sa.delete(log).where(log.c.position <= upto))
        write_meta(connection, _FIRST, upto + 1)
    return upto >= until


def set_records_aside(connection: sa.Connection, position: int) -> int:
    """Move the records from a position on into a table of their own, and drop their quarantine; returns how many."""
    columns = [log.c[name] for name in ("position", "at", "kind", "n", "checksum", "payload")]
    tail = log.c.position >= position
    connection.execute(
        sa.insert(log_aside).from_select([column.name for column in columns], sa.select(*columns).where(tail))
    )
    # The places of what comes next are the same ones, and what is quarantined there must not be taken for it.
    connection.execute(sa.delete(quarantine).where(quarantine.c.position >= position))
    return connection.execute(sa.delete(log).where(tail)).rowcount
