"""The store: the durable log, and everything derived from it that others read. The only SQL of the project.

Tables and bytes are described in ``docs/reference/store.md``. One process writes: it holds a lock as long as the store
is open. Any number of others read at the same time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any

import sqlalchemy as sa

from sojourn.act import Mark, OutboxItem, OutboxRow
from sojourn.errors import Problem, StoreBusy, StoreError, StoreFull
from sojourn.live.store import changes as store_changes
from sojourn.live.store import log as store_log
from sojourn.live.store import outbox as store_outbox
from sojourn.live.store import rows as store_rows
from sojourn.live.store.calls import NO_INSTANT, CallsColumns, decode_calls, encode_calls, encode_columns
from sojourn.live.store.changes import NOTHING, Derived, Forgotten, Profile, Quarantined, StoredChange, Wanted
from sojourn.live.store.log import LogDamaged, NewRecord, Record
from sojourn.live.store.open import IS_WRITING, explain, open_engine, prepare_database, run_pragma
from sojourn.live.store.rows import Key, Version

__all__ = [
    "NOTHING",
    "NO_INSTANT",
    "CallsColumns",
    "Derived",
    "Forgotten",
    "Key",
    "LogDamaged",
    "Mark",
    "NewRecord",
    "OutboxItem",
    "OutboxRow",
    "Profile",
    "Quarantined",
    "Record",
    "Store",
    "StoreBusy",
    "StoreError",
    "StoreFull",
    "StoredChange",
    "Version",
    "Wanted",
    "decode_calls",
    "encode_calls",
    "encode_columns",
    "open_store",
]


def open_store(url: str, *, is_writer: bool = True) -> Store:
    """The store at a URL, ``sqlite:///relative.sqlite``, ``sqlite:////absolute.sqlite`` or ``postgresql://…``.

    The writer makes the database where there is none, and brings an older schema to the newest. One that is no writer
    works beside it, and may do everything but change the log and what is derived from it.
    Raises StoreBusy when another process writes, StoreError when the database cannot be used.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, open_store(f"sqlite:///{folder}/store.sqlite") as store:
    ...     store.append([NewRecord(at=0, kind="clock", n=0, payload=b"")])
    ...     [record.position for record in store.read_log()]
    1
    [1]
    """
    engine, where = open_engine(url)
    return Store(engine, where, prepare_database(engine, where, is_writer=is_writer), is_writer=is_writer)


class Store:
    """An open store. Made by :func:`open_store`; ends with :meth:`close`, or as a context.

    ``append`` and other changes of the log are for one thread; everything else may be called from any. Instants are
    microseconds since 1970, UTC. Any method raises StoreError when the database fails, and has then done nothing.
    """

    def __init__(self, engine: sa.Engine, where: str, release: Callable[[], None], *, is_writer: bool) -> None:
        self._engine, self._where, self._release = engine, where, release
        # Transactions of this process take turns here, which is sooner than the database's own waiting.
        self._turn = threading.Lock()
        self._claiming = threading.Lock()
        self._claimed: dict[str, set[int]] = {}
        self._log: sa.Connection | None = None
        self._last = 0
        if is_writer:
            try:
                with explain(where):
                    self._log = engine.connect().execution_options(**{IS_WRITING: True})
                self._last = self._read(store_log.read_last)
            except BaseException:
                self.close()
                raise

    @property
    def is_writable(self) -> bool:
        """Whether the log can be changed; a connection that broke in the middle of a change ends that."""
        return self._log is not None

    def close(self) -> None:
        """Close the store, and let another process write to it."""
        if self._log is not None:
            self._log.close()
            self._log = None
        self._engine.dispose()
        release, self._release = self._release, lambda: None
        release()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @contextmanager
    def _reading(self) -> Iterator[sa.Connection]:
        with explain(self._where), self._engine.connect() as connection:
            yield connection

    def _read(self, read: Callable[..., Any], *arguments: Any) -> Any:
        with self._reading() as connection:
            return read(connection, *arguments)

    def _write(self, write: Callable[..., Any], *arguments: Any) -> Any:
        """Write something small besides the log, in a short transaction of its own."""
        with self._turn, explain(self._where):
            connection = self._engine.connect().execution_options(**{IS_WRITING: True})
            with connection, connection.begin():
                return write(connection, *arguments)

    @contextmanager
    def _logging(self) -> Iterator[sa.Connection]:
        """A transaction that changes the log."""
        connection = self._log
        if connection is None:
            raise StoreError(Problem(self._where, "the log cannot be changed: the store is not open for writing"))
        with self._turn:
            try:
                with explain(self._where), connection.begin():
                    yield connection
            except BaseException as error:
                # Whether the last transaction was kept cannot be known now: only opening again, and reading, tells.
                if connection.invalidated or not isinstance(error, Exception):
                    self._log = None
                raise

    # The log

    def append(self, records: Sequence[NewRecord], derived: Derived = NOTHING) -> int:
        """The position of the first of these records (without any: the last position), once they are durable.

        Records and all that is derived are one transaction. Changes, quarantined calls and outbox rows that are there
        already stay as they are, so that deriving them again repeats nothing.
        Raises StoreFull when there is no room; the store can be used further.
        """
        last = self._last + len(records)
        with self._logging() as connection:
            if records:
                store_log.write_records(connection, self._last, records)
            store_changes.write_derived(connection, derived, last if derived.position is None else derived.position)
        first, self._last = self._last + bool(records), last
        return first

    def read_log(self, after: int = 0, *, until: int | None = None) -> Iterator[Record]:
        """The records after a position, up to ``until`` and that one too, each verified by its checksum.

        Raises LogDamaged at a record that is missing or damaged, StoreError where ``after`` lies before what the log
        still has (:meth:`first_position`).
        """
        return store_log.read_records(self._reading, after, until, self._where)

    def find_kind(self, kind: str) -> list[int]:
        """The positions of the log's records of a kind, rising."""
        found: list[int] = self._read(store_log.find_kind, kind)
        return found

    def first_position(self) -> int:
        """The first position that the log still has; 1 until records were dropped."""
        return int(self._read(store_log.read_first))

    def last_position(self) -> int:
        """The position of the last record; 0 when there was none yet."""
        return self._last if self._log is not None else int(self._read(store_log.read_last))

    def rewrite_record(self, position: int, payload: bytes, n: int) -> None:
        """Put another payload into a record, as an erasure does. Raises StoreError where there is no such record."""
        with self._logging() as connection:
            if not store_log.rewrite_record(connection, position, payload, n):
                raise StoreError(Problem(self._where, f"there is no record {position} in the log"))

    def scrub(self) -> None:
        """Overwrite what rewritten and deleted rows have left in SQLite's write-ahead log; to be called after an
        erasure. In PostgreSQL that is the server's affair."""
        if self._engine.dialect.name == "sqlite":
            with self._turn, explain(self._where):
                run_pragma(self._engine, "wal_checkpoint(TRUNCATE)")

    def drop_log(self, until_position: int) -> None:
        """Drop the first records, up to a position and that one too. What is not there is not dropped."""
        while not self.drop_some(until_position, 1_000):
            pass

    def drop_some(self, until_position: int, most: int) -> bool:
        """Drop at most so many of them, in one transaction; whether there are none left to drop."""
        with self._logging() as connection:
            return store_log.drop_records(connection, until_position, most)

    def set_tail_aside(self, position: int) -> int:
        """Set the records from a position on aside, for a log that is damaged there; returns how many.

        The next record gets this position. Raises StoreError for a position that the log does not have.
        """
        with self._logging() as connection:
            first, last = store_log.read_first(connection), store_log.read_last(connection)
            if not first <= position <= last:
                what = f"the log has no record {position}; it has records {first} to {last}"
                raise StoreError(Problem(self._where, what))
            n = store_log.set_records_aside(connection, position)
        self._last = position - 1
        return n

    # What is derived

    def read_changes(self, after_seq: int = 0, *, limit: int, kinds: Sequence[str] | None = None) -> list[StoredChange]:
        """The feed after a seq, in order; ``kinds`` None: all."""
        found: list[StoredChange] = self._read(store_changes.read_feed, after_seq, limit, kinds)
        return found

    def last_seq(self) -> int:
        """The highest seq of any change that there ever was; 0 before the first one."""
        return int(self._read(store_changes.read_last_seq))

    def read_transitions(
        self,
        wanted: Wanted | None = None,
        *,
        limit: int,
        after: tuple[int, int] | None = None,
        is_newest_first: bool = True,
    ) -> list[StoredChange]:
        """Transitions in order of (at, seq); ``after`` is that of the last one that was read before."""
        found: list[StoredChange] = self._read(
            store_changes.read_transitions, wanted or Wanted(), limit, after, is_newest_first
        )
        return found

    def customer_changes(
        self, customer_ids: Sequence[str], *, kinds: Sequence[str] | None = None, include_revoked: bool = False
    ) -> list[StoredChange]:
        """All changes of some customers in order of (at, seq)."""
        found: list[StoredChange] = self._read(
            store_changes.read_customer_changes, customer_ids, kinds, include_revoked
        )
        return found

    def read_profiles(self, nodes: Sequence[int]) -> dict[int, Profile]:
        """Traits and consent by node, of those nodes that have any."""
        found: dict[int, Profile] = self._read(store_changes.read_profiles, nodes)
        return found

    def read_quarantine(self, *, limit: int, after: tuple[int, int] = (0, -1)) -> list[Quarantined]:
        """Quarantined calls in the order of the log; ``after`` is the (position, place) of the last one read before."""
        found: list[Quarantined] = self._read(store_changes.read_quarantine, limit, after)
        return found

    def count_quarantine(self) -> int:
        """How many calls are in quarantine."""
        return int(self._read(store_changes.count_quarantine))

    # The outbox

    def claim_due(self, destination: str, now: int, limit: int) -> list[OutboxItem]:
        """Rows to be sent, the longest due first. Until it is marked or released no row is given again.

        A claim lasts as long as this object: after a crash the row is due again.
        """
        with self._claiming:
            claimed = self._claimed.setdefault(destination, set())
            items: list[OutboxItem] = self._read(store_outbox.read_due, destination, now, limit, claimed)
            claimed.update(item.seq for item in items)
        return items

    def release_claims(self, destination: str) -> None:
        """Give up what is claimed and not marked: it is due again."""
        self._claimed.pop(destination, None)

    def next_due(self, destination: str) -> int | None:
        """When the next row that is not claimed is due; None when none waits."""
        found: int | None = self._read(store_outbox.read_next_due, destination, self._claimed.get(destination, set()))
        return found

    def mark(self, marks: Sequence[Mark]) -> None:
        """Note how sending rows went, in one transaction; each is claimed no longer."""
        self._write(store_outbox.write_marks, marks)
        for mark in marks:
            self._claimed.get(mark.destination, set()).discard(mark.seq)

    def replay_dead(self, destination: str) -> int:
        """Make the dead rows of a destination due again, as if they had never been tried; returns how many."""
        return int(self._write(store_outbox.replay_dead, destination))

    def outbox_counts(self) -> dict[str, dict[str, int]]:
        """How many rows each destination has of each status."""
        found: dict[str, dict[str, int]] = self._read(store_outbox.count_outbox)
        return found

    def read_outbox(self, destination: str, status: str, *, limit: int, after_seq: int = 0) -> list[OutboxItem]:
        """Rows of one status in order of seq."""
        found: list[OutboxItem] = self._read(store_outbox.read_outbox, destination, status, limit, after_seq)
        return found

    # Keys

    def add_key(self, key: Key) -> None:
        """Store a key. Raises StoreError when its id is taken."""
        self._write(store_rows.add_key, key)

    def list_keys(self) -> list[Key]:
        """All keys, the revoked ones too, in the order in which they were made."""
        found: list[Key] = self._read(store_rows.read_keys, True)
        return found

    def find_keys(self) -> list[Key]:
        """The keys that are not revoked."""
        found: list[Key] = self._read(store_rows.read_keys, False)
        return found

    def revoke_key(self, id: str, at: int) -> bool:
        """Revoke a key; False when there is none of this id that is not revoked."""
        return bool(self._write(store_rows.revoke_key, id, at))

    def use_keys(self, used: Mapping[str, int]) -> None:
        """Note when keys, by id, were last used."""
        self._write(store_rows.use_keys, used)

    # Versions, and values by name

    def add_version(self, *, created_at: int, playbook: str, model: Mapping[str, Any], note: str = "") -> int:
        """Store a version of playbook and model; returns its number, one above the last."""
        return int(self._write(store_rows.add_version, created_at, playbook, model, note))

    def read_version(self, version: int) -> Version | None:
        """The version of a number; None where there is none."""
        found: list[Version] = self._read(store_rows.read_versions, version)
        return found[0] if found else None

    def list_versions(self) -> list[Version]:
        """All versions in order."""
        found: list[Version] = self._read(store_rows.read_versions)
        return found

    def get_meta(self, name: str, default: Any = None) -> Any:
        """The JSON value of a name."""
        return self._read(store_rows.read_meta, name, default)

    def set_meta(self, name: str, value: Any) -> None:
        """Keep a JSON value under a name."""
        self._write(store_rows.write_meta, name, value)
