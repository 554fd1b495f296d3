"""The part of the engine that commands, erasure and deployments use. For the engine's thread, but for reading."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from sojourn.live.engine.archiver import Archiver
from sojourn.live.engine.environment import Environment
from sojourn.live.engine.saver import Saver
from sojourn.live.engine.version import Outcome, Version
from sojourn.live.store import Record


class Host(Protocol):
    """The engine as its parts see it. ``lock`` is held to change or to read the version."""

    @property
    def env(self) -> Environment: ...

    @property
    def lock(self) -> threading.Lock: ...

    @property
    def saver(self) -> Saver: ...

    @property
    def archiver(self) -> Archiver: ...

    @property
    def version(self) -> Version:
        """The version in use."""
        ...

    def now(self) -> int:
        """The present instant; never before one that was returned already."""
        ...

    def flush(self) -> None:
        """Write what was derived from the last record."""
        ...

    def apply_written(self) -> None:
        """Apply the record that is in the log and not applied yet, if there is one."""
        ...

    def read_log(self, after: int) -> Iterable[Record]:
        """The records after a position, of the archive and the log."""
        ...

    def log_command(self, name: str, arguments: Mapping[str, Any], now: int) -> int:
        """Write a command to the log; its position."""
        ...

    def settle(self, outcome: Outcome, now: int) -> None:
        """Publish the outcome of a record, and keep it to be written. Call with the lock held."""
        ...

    def follow_command(self, position: int, now: int, name: str, arguments: dict[str, Any]) -> None:
        """Let the shadow version take a command, too."""
        ...

    def forget_in_shadow(self, ids: Sequence[str]) -> None:
        """Erase a customer from the shadow version."""
        ...

    def replace_version(self, version: Version, outcome: Outcome, now: int) -> None:
        """Put another version into use, and publish the outcome of that. Call with the lock held."""
        ...
