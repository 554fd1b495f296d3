"""Connections that send what is written in one turn of the event loop at once.

uvicorn writes the head of an answer and its body one after the other, and each is a call to the system and a packet:
for a short answer those cost more than all else does.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class JoiningProtocol(HttpToolsProtocol):
    """HTTP as uvicorn speaks it, with fewer and larger writes."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Of uvicorn; what it writes from now on is joined."""
        super().connection_made(transport)
        self.transport = _Joined(transport, self.loop)  # type: ignore[assignment]


class _Joined:
    """A transport whose writes wait until the event loop comes round; all else is the transport's own."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop = transport, loop
        self._parts: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Send it, soon."""
        if not self._parts:
            self._loop.call_soon(self._flush)
        self._parts.append(data)

    def close(self) -> None:
        """Send what waits, then end."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        parts, self._parts = self._parts, []
        if parts and not self._transport.is_closing():
            self._transport.write(b"".join(parts))
