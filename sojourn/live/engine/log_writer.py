"""Records into the log, each in one transaction with what was derived from the one before; changes to listeners."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from sojourn.act import Change, OutboxRow
from sojourn.errors import StoreError
from sojourn.live.engine.version import Outcome, Version
from sojourn.live.store import NOTHING, Derived, NewRecord, Store

LOG = logging.getLogger("sojourn.live")
RETRY_S = 0.5
"""How long the engine's thread pauses after the store could not write."""

Route = Callable[[Sequence[Change], int, Version], list[OutboxRow]]
Listener = Callable[[Sequence[Change]], None]


class LogWriter:
    """Writes for the engine's thread. ``lock`` guards what other threads see of it: pending changes and listeners.

    ``route`` returns the messages to destinations for some changes, ``wake`` is called when the outbox has new rows.
    """

    def __init__(
        self, store: Store, lock: threading.Lock, route: Route | None = None, wake: Callable[[], None] | None = None
    ) -> None:
        self._store, self._lock, self._route, self._wake = store, lock, route, wake
        self._pending: Derived = NOTHING
        self._listeners: list[Listener] = []

    @property
    def has_pending(self) -> bool:
        """Whether something was published and is not in the store yet."""
        return self._pending is not NOTHING

    @property
    def n_listeners(self) -> int:
        """Listeners that are subscribed."""
        return len(self._listeners)

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call the listener with every change to come, and at once with those not in the store yet; what ends that."""
        with self._lock:
            if self._pending.changes:
                listener(self._pending.changes)
            self._listeners.append(listener)

        def unsubscribe() -> None:
            with self._lock, contextlib.suppress(ValueError):  # it may be called twice
                self._listeners.remove(listener)

        return unsubscribe

    def append(self, record: NewRecord) -> int:
        """Write a record and what is pending; the record's position. Raises StoreError where that cannot be."""
        position = self._store.append([record], self._pending)
        self._note_written()
        return position

    def flush(self, *, is_last: bool = False) -> None:
        """Write what is pending without a record. A failure is raised only where no later attempt can help."""
        if self._pending is NOTHING:
            return
        try:
            self._store.append([], self._pending)
        except StoreError as error:
            LOG.error("changes could not be written: %s", error)
            if not self._store.is_writable or is_last:
                raise
            time.sleep(RETRY_S)
            return
        self._note_written()

    def _note_written(self) -> None:
        has_outbox = bool(self._pending.outbox)
        with self._lock:
            self._pending = NOTHING
        if has_outbox and self._wake:
            self._wake()

    def derive(self, version: Version, outcome: Outcome, now: int) -> Derived:
        """What the store is to have of an outcome, with the messages to destinations."""
        if outcome.is_nothing:
            return NOTHING
        derived = outcome.derived(version.position)
        if self._route is None or not outcome.changes:
            return derived
        return replace(derived, outbox=self._route(outcome.changes, now, version))

    def keep(self, derived: Derived) -> None:
        """Have something written with the next record."""
        self._pending = derived

    def settle(self, version: Version, outcome: Outcome, now: int) -> None:
        """Publish the outcome of a record, and have it written with the next one. Call with the lock held."""
        self.keep(self.derive(version, outcome, now))
        self._publish(outcome.changes)

    def append_at_once(self, record: NewRecord, version: Version, outcome: Outcome, now: int) -> None:
        """Write a record together with its own outcome, then publish it. Call with the lock held."""
        derived = self.derive(version, outcome, now)
        self._store.append([record], derived)
        self._publish(outcome.changes)
        if derived.outbox and self._wake:
            self._wake()

    def _publish(self, changes: Sequence[Change]) -> None:
        for listener in self._listeners if changes else []:
            listener(changes)
