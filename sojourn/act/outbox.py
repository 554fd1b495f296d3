"""What waits to be sent: rows of the outbox as stored, and as a destination gets them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """A new row. ``seq`` and ``id`` are those of the change; ``next_at`` 0: due at once. Instants in microseconds."""

    destination: str
    seq: int
    id: str
    body: str
    status: str = "waiting"
    next_at: int = 0
    last_error: str | None = None


@dataclass(frozen=True, slots=True)
class OutboxItem:
    """A row that is to be sent, with how often that was tried."""

    destination: str
    seq: int
    id: str
    body: str
    attempts: int
    next_at: int
    last_status: int | None = None
    last_error: str | None = None


@dataclass(frozen=True, slots=True)
class Mark:
    """How sending a row went. ``attempts`` counts this one too; ``next_at`` matters for a row that waits again."""

    destination: str
    seq: int
    status: str
    attempts: int
    updated_at: int
    next_at: int = 0
    last_status: int | None = None
    last_error: str | None = None
