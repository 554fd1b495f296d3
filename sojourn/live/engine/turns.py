"""The lock of the version: the thread that changes it goes before the threads that read it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator


class Turns:
    """A lock that lets the engine's thread go first. Without that, many readers would starve it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._is_wanted = False

    @contextlib.contextmanager
    def write(self) -> Iterator[None]:
        """Hold the lock; meanwhile :meth:`try_read` never gets it."""
        self._is_wanted = True
        with self.lock:
            self._is_wanted = False
            yield

    @contextlib.contextmanager
    def try_read(self) -> Iterator[bool]:
        """Whether the lock is held now, without waiting for it.

        >>> turns = Turns()
        >>> with turns.try_read() as is_held, turns.try_read() as is_held_twice:
        ...     is_held, is_held_twice
        (True, False)
        """
        is_held = not self._is_wanted and self.lock.acquire(blocking=False)
        try:
            yield is_held
        finally:
            if is_held:
                self.lock.release()
