"""Old days are moved from the log into Parquet files, and deleted in the end, by a thread of their own."""

from __future__ import annotations

import logging
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

from sojourn.errors import SojournError, StoreError
from sojourn.live.archive import compact_log, drop_days
from sojourn.live.store import Store

LOG = logging.getLogger("sojourn.live")
EVERY_S = 3_600.0
_DROPPED_AT_ONCE = 10
"""Records. To overwrite those of a whole day takes long, and requests would wait."""


class Archiver:
    """Looks for old days once an hour. ``archive_after_s`` and ``retention_s``: None is never."""

    def __init__(self, store: Store, folder: Path, archive_after_s: float | None, retention_s: float | None) -> None:
        self._store, self._folder = store, folder
        self._archive_after_s, self._retention_s = archive_after_s, retention_s
        self.look_at = time.monotonic() + EVERY_S / 60
        self._thread: threading.Thread | None = None
        self._archived = 0

    def poll(self, now: int) -> None:
        """Start the thread when it is time; drop some archived records from the log. For the engine's thread."""
        if self._thread is not None and not self._thread.is_alive():
            self._thread = None
        if self._thread is None and self._archived:
            self._drop()
        if self._archive_after_s is None or self._thread is not None or time.monotonic() < self.look_at:
            return
        self.look_at = time.monotonic() + EVERY_S
        self._thread = threading.Thread(target=self._work, args=(now,), name="sojourn-archive", daemon=True)
        self._thread.start()

    def _drop(self) -> None:
        try:
            is_done = self._store.drop_some(self._archived, _DROPPED_AT_ONCE)
        except StoreError as error:  # the archive has them too; they are dropped after the next look
            LOG.error("old days are still in the log: %s", error)
            is_done = True
            if not self._store.is_writable:
                raise
        if is_done:
            self._archived = 0

    def wait(self) -> None:
        """Wait until no records are being moved: an erasure must not change them meanwhile."""
        if self._thread is not None:
            self._thread.join()

    def _work(self, now: int) -> None:
        try:
            if self._archive_after_s is not None:
                before_at = now - round(self._archive_after_s * 1e6)
                found = compact_log(self._store, self._folder, before_at=before_at, is_dropped=False)
                self._archived = found.last
            if self._retention_s is not None:
                drop_days(self._folder, datetime.fromtimestamp(now / 1e6 - self._retention_s, UTC).date())
        except SojournError as error:
            LOG.error("old days stay where they are: %s", error)
