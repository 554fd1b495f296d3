"""Connections that nobody can hold open with nothing, or fill without end; and offers of another protocol, declined.

uvicorn waits for ever for a request that has begun, and keeps any number of header lines. It also loses the body of a
request that offers to go on in another protocol, as Java's own client does with HTTP/2: its calls would get a 400.
"""

from __future__ import annotations

import asyncio
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

MOST_HEAD = 256 << 10
"""Bytes of header lines: an address may have an id of 32 KiB in it, three times as long once it is encoded."""
MOST_REQUEST = 64 << 20
"""Bytes of a request in all. What a body may have is decided sooner; this is for what comes beside and after it."""
ARRIVES_WITHIN_S = 60.0
"""How long a request may take to arrive, and a new connection to send one."""
_TOO_LONG = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_OFFERS = (b"upgrade", b"http2-settings")


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


class GuardedProtocol(JoiningProtocol):
    """HTTP as uvicorn speaks it, within limits."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Of uvicorn; from now on a request has to arrive."""
        super().connection_made(transport)
        self._begun_at: float | None = self.loop.time()
        self._is_in_head = self._is_offered = False
        self._n_bytes = 0

    def is_late(self, now: float, within_s: float) -> bool:
        """Whether a request is awaited, or has begun and not ended, for longer than it may."""
        return self._begun_at is not None and now - self._begun_at > within_s

    def data_received(self, data: bytes) -> None:
        """Of uvicorn, with a limit."""
        was_in_head = self._is_in_head
        self._feed(data)
        if self._begun_at is None:
            return
        self._n_bytes += len(data)
        if self._n_bytes > (MOST_HEAD if was_in_head and self._is_in_head else MOST_REQUEST):
            if self._is_in_head:
                self.transport.write(_TOO_LONG)
            self.transport.close()

    def _feed(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        try:
            while data:
                try:
                    self.parser.feed_data(data)
                    return
                except httptools.HttpParserUpgrade as offer:
                    data = self._decline(data[offer.args[0] :])
        except httptools.HttpParserError:
            self.send_400_response("Invalid HTTP request received.")

    def _decline(self, rest: bytes) -> bytes:
        """The request without its offer, for a parser that goes on."""
        lines = [b"%s %s HTTP/%s" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())]
        for name, value in self.headers:
            if name == b"connection":
                value = b",".join(word for word in value.split(b",") if word.strip().lower() not in _OFFERS)
            if name not in _OFFERS and (value or name != b"connection"):
                lines.append(b"%s: %s" % (name, value))
        self.parser = httptools.HttpRequestParser(self)
        self._is_offered = False
        return b"\r\n".join([*lines, b"", rest])

    def on_message_begin(self) -> None:
        """Of the parser."""
        super().on_message_begin()
        self._is_in_head, self._n_bytes = True, 0
        if self._begun_at is None:
            self._begun_at = self.loop.time()

    def on_headers_complete(self) -> None:
        """Of the parser."""
        self._is_in_head = False
        self._is_offered = self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT"
        if not self._is_offered:
            super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Of the parser."""
        if self._is_offered:
            return  # it has seen the head alone
        self._begun_at = None
        super().on_message_complete()


def cut_late(state: ServerState, now: float, within_s: float = ARRIVES_WITHIN_S) -> None:
    """Cut off connections whose request does not arrive in time. Their clients send again what was not answered."""
    for connection in list(state.connections):
        if isinstance(connection, GuardedProtocol) and connection.is_late(now, within_s):
            connection.transport.abort()
