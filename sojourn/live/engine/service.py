"""The contract between the HTTP side and the live engine. Imports no part of either."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sojourn.act import Change


@dataclass(frozen=True, slots=True)
class Request:
    """The tracking calls of one HTTP request: the JSON of each as it came, when it was sent, and with which write key.

    Instants in microseconds since 1970, UTC. ``sent_at`` is the request's own ``sentAt``, None where it has none;
    a call's ``sentAt`` counts before it. ``key`` is the identifier of the write key, never the key itself.
    """

    calls: Sequence[bytes]
    kind: str
    received_at: int
    sent_at: int | None
    key: str


class Overloaded(Exception):
    """Too many calls wait, or the log is still being read: come again after ``retry_after_s`` seconds."""

    def __init__(self, retry_after_s: int, *, is_starting: bool = False) -> None:
        why = "the server is starting or stopping" if is_starting else "too much is waiting"
        super().__init__(f"{why}; come again in {retry_after_s} s")
        self.retry_after_s, self.is_starting = retry_after_s, is_starting


class Service(Protocol):
    """The live engine as the server sees it. All methods may be called from any thread but ``submit``.

    ``submit`` is called from the event loop, returns at once, and its future ends when the calls are durable
    (or with an error). It raises :class:`Overloaded` when too much is waiting.
    """

    def submit(self, request: Request) -> asyncio.Future[None]: ...

    def subscribe(self, listener: Callable[[Sequence[Change]], None]) -> Callable[[], None]:
        """Call ``listener`` from the engine's thread with every change to come; returns what ends that."""
        ...

    def status(self) -> dict[str, Any]:
        """Numbers for ``/readyz`` and ``/metrics``: is_ready, log_position, n_customers, n_events, n_duplicate, …"""
        ...

    def customer(self, id: str, fields: Sequence[str] | None = None) -> dict[str, Any] | None:
        """The customer who has this id, as plain JSON; None for an unknown id."""
        ...

    def glance(self, id: str, fields: Sequence[str] | None = None) -> tuple[bool, dict[str, Any] | None]:
        """The same without waiting for the engine: whether that was possible, and the customer."""
        ...

    def timeline(self, id: str, *, limit: int, before: int | None = None) -> dict[str, Any] | None:
        """The latest events and changes of a customer, newest first; ``before`` is an instant to go on from."""
        ...

    def states(self) -> list[dict[str, Any]]:
        """Per state how many customers are in it now, and the playbook's words about it."""
        ...

    def audiences(self) -> list[dict[str, Any]]:
        """Per audience its rule, its purpose, and how many are in it now."""
        ...

    def members(self, audience: str, *, limit: int, after: int = 0) -> dict[str, Any] | None:
        """Members of an audience, ``{"members": [customer_id, …], "next": …}``; None for an unknown one."""
        ...

    def models(self) -> list[dict[str, Any]]:
        """Every model of an outcome that is in use: what it is, or why it predicts nothing."""
        ...

    def command(self, name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Carry out a command durably and say what it did: merge, split, erase, deploy, switch, rollback.

        Raises SojournError for one that cannot be carried out.
        """
        ...
