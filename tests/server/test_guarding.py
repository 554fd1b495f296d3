"""Who sends slowly, without end or nothing at all holds nothing; who offers another protocol is understood."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from uvicorn import Config
from uvicorn.server import ServerState

from sojourn.server.connections import ARRIVES_WITHIN_S, MOST_HEAD, MOST_REQUEST, GuardedProtocol, cut_late
from tests import ROOT
from tests.live.server_process import find_port
from tests.server.test_stream import connect

HEAD = b"POST /v1/t HTTP/1.1\r\nHost: x\r\n"


class Wire:
    """A transport that keeps what is written to it."""

    def __init__(self) -> None:
        self.written = b""
        self.is_closed = self.is_cut = False

    def write(self, data: bytes) -> None:
        self.written += data

    def close(self) -> None:
        self.is_closed = True

    abort = close

    def is_closing(self) -> bool:
        return self.is_closed

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


class Line:
    """A connection to an application that says what it got."""

    def __init__(self) -> None:
        self.got: list[tuple[str, list[tuple[bytes, bytes]], bytes]] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            body, is_more = b"", True
            while is_more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return
                body += message["body"]
                is_more = message["more_body"]
            self.got.append((f"{scope['method']} {scope['path']} {scope['http_version']}", scope["headers"], body))
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body", "body": b""})

        self.state = ServerState()
        config = Config(app, log_config=None, lifespan="off", ws="none")
        config.load()
        self.protocol = GuardedProtocol(config, self.state, {}, asyncio.get_running_loop())
        self.wire = Wire()
        self.protocol.connection_made(self.wire)  # type: ignore[arg-type]

    def feed(self, data: bytes, step: int = 1 << 18) -> None:
        for at in range(0, len(data), step):
            if not self.wire.is_closed:
                self.protocol.data_received(data[at : at + step])

    async def settle(self) -> None:
        for _ in range(20):
            await asyncio.sleep(0)


def run(part: Any) -> None:
    async def with_line() -> None:
        await part(Line())

    asyncio.run(with_line())


@pytest.mark.parametrize("step", [1, 7, 40, 1_000])
@pytest.mark.parametrize("is_chunked", [False, True])
@pytest.mark.parametrize("words", [b"Upgrade, HTTP2-Settings", b"keep-alive, Upgrade", b"upgrade"])
def test_an_offer_of_another_protocol_costs_no_body(step: int, is_chunked: bool, words: bytes) -> None:
    offer = HEAD + b"Connection: " + words + b"\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAA\r\nX-Kept: 1\r\n"
    length = b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n" if is_chunked else b"Content-Length: 2\r\n\r\n{}"
    plain = HEAD + b"Content-Length: 1\r\n\r\n5"

    async def part(line: Line) -> None:
        for _ in range(2):
            line.feed(offer + length, step)
            await line.settle()
            line.feed(plain, step)
            await line.settle()
        assert [(what, body) for what, _, body in line.got] == [("POST /v1/t 1.1", b"{}"), ("POST /v1/t 1.1", b"5")] * 2
        headers = dict(line.got[0][1])
        assert headers[b"x-kept"] == b"1"
        assert not headers.keys() & {b"upgrade", b"http2-settings"}
        assert headers.get(b"connection") == (b"keep-alive" if b"keep" in words else None)
        assert not line.wire.is_closed

    run(part)


@pytest.mark.parametrize(
    "sent", [b"CONNECT a:1 HTTP/1.1\r\nHost: x\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\0\r\n"]
)
def test_what_is_no_request_is_a_400(sent: bytes) -> None:
    async def part(line: Line) -> None:
        line.feed(sent)
        assert line.wire.written.startswith(b"HTTP/1.1 400 ")
        assert line.wire.is_closed
        assert line.got == []

    run(part)


def test_header_lines_have_an_end_and_so_has_what_follows_a_body() -> None:
    async def head(line: Line) -> None:
        line.feed(HEAD + b"A: " + b"a" * (MOST_HEAD - 100) + b"\r\n\r\n", 1 << 16)
        await line.settle()
        assert len(line.got) == 1
        line.feed(HEAD + b"A: b\r\n" * MOST_HEAD, 1 << 16)
        assert line.wire.written.endswith(b"connection: close\r\n\r\n")
        assert b" 431 " in line.wire.written
        assert line.protocol._n_bytes < MOST_HEAD + (1 << 17)
        assert line.wire.is_closed

    async def address(line: Line) -> None:
        line.feed(b"GET /" + b"a" * MOST_HEAD * 2, 1 << 16)
        assert b" 431 " in line.wire.written
        assert line.wire.is_closed

    async def trailer(line: Line) -> None:
        line.feed(HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\nA: ")
        piece = b"a" * (1 << 18)
        for _ in range(2 + MOST_REQUEST // len(piece)):
            line.feed(piece)
        assert line.wire.is_closed

    for part in (head, address, trailer):
        run(part)


@pytest.mark.parametrize(
    ("sent", "is_late"),
    [
        (b"", True), (b"POST", True), (HEAD, True), (HEAD + b"Content-Length: 2\r\n\r\n{", True),
        (HEAD + b"Content-Length: 2\r\n\r\n{}", False), (HEAD + b"Content-Length: 2\r\n\r\n{}" + HEAD, True),
    ],
)  # fmt: skip
def test_who_sends_no_whole_request_is_cut_off_in_time(sent: bytes, is_late: bool) -> None:
    async def part(line: Line) -> None:
        line.feed(sent)
        await line.settle()
        now = asyncio.get_running_loop().time()
        cut_late(line.state, now + ARRIVES_WITHIN_S - 1)
        assert not line.wire.is_closed
        cut_late(line.state, now + ARRIVES_WITHIN_S + 1)
        assert line.wire.is_closed == is_late

    run(part)


@pytest.fixture
def server() -> Iterator[SimpleNamespace]:
    port = find_port()
    # With one second for a request to arrive.
    code = f"""
from sojourn.server import app, connections as guarding
app.cut_late = lambda state, now, within_s=1.0: guarding.cut_late(state, now, within_s)
from tests.server.fake_service import serve_endless_feed
serve_endless_feed({port})
"""
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)
    yield SimpleNamespace(port=port, process=process)
    process.kill()
    process.wait()


def read_all(lines: Sequence[socket.socket]) -> None:
    """Wait until the server has ended these."""
    for line in lines:
        line.settimeout(20)
        try:
            while line.recv(1 << 16):
                pass
        except ConnectionResetError:
            pass


def test_slow_senders_neither_stay_nor_hold_a_stop_back(server: SimpleNamespace) -> None:
    lines = [connect(server.port) for _ in range(9)]
    for i, line in enumerate(lines):
        line.sendall((b"", HEAD, HEAD + b"Content-Length: 9\r\n\r\n{")[i % 3])
    read_all(lines)
    late = connect(server.port)
    late.sendall(HEAD + b"Content-Length: 9\r\n\r\n{")
    time.sleep(0.2)
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(60) == 0  # it would wait ten minutes for requests
    read_all([late])
