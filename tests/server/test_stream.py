"""Streams by themselves: readers that go away, that do not read, and that are slower than what is told."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

import pytest

from sojourn.act.changes import Change
from sojourn.live.settings import Settings
from sojourn.server import access
from sojourn.server.access import create_key
from sojourn.server.api import stream
from sojourn.server.api.stream import Asked, Streams
from sojourn.server.app import build_app
from tests import ROOT
from tests.live.server_process import find_port
from tests.server.fake_service import FakeService, FakeStore, make_change

SERVER = "tests.server.fake_service"
"""A program: `python -m` from the root of the repository, then a port."""


async def collect(frames: Any, n: int) -> list[int]:
    """The seqs of frames, until there are so many."""
    found: list[int] = []
    async for frame in frames:
        for line in frame.splitlines():
            if line.startswith(b"data:"):
                data = json.loads(line[5:])
                found += [one["seq"] for one in (data if isinstance(data, list) else [data])]
        if len(found) >= n:
            return found
    return found


def open_streams(changes: Sequence[Change] = ()) -> tuple[FakeService, Any, Streams]:
    service, store = FakeService(), FakeStore(list(changes))
    streams = Streams(service, store)  # type: ignore[arg-type]
    return service, store, streams


async def until(is_so: Any) -> None:
    async with asyncio.timeout(20):
        while not is_so():
            await asyncio.sleep(0.005)


def ask_for_stream(key: str) -> dict[str, Any]:
    """The scope of a request for the stream."""
    return {
        "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1", "method": "GET",
        "scheme": "http", "path": "/v1/stream", "raw_path": b"/v1/stream", "query_string": b"", "root_path": "",
        "headers": [(b"authorization", f"Bearer {key}".encode())], "client": None, "server": None,
    }  # fmt: skip


def test_a_stream_ends_with_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "HEARTBEAT_S", 0.01)
    monkeypatch.setattr(access, "_RECALL_S", 0.0)
    store: Any = FakeStore()
    service: Any = FakeService()
    text, _ = create_key(store, "reader", ["read"])
    app = build_app(service, store, Settings())
    n_beats = 0

    async def read() -> None:
        async def receive() -> dict[str, Any]:
            await asyncio.sleep(60)
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            nonlocal n_beats
            n_beats += b"still here" in message.get("body", b"")
            if n_beats == 3:
                store.keys.clear()

        async with asyncio.timeout(20):
            await app(ask_for_stream(text), receive, send)
        await until(lambda: not service.listeners)

    asyncio.run(read())
    assert n_beats == 3


def test_a_reader_who_goes_away_is_forgotten() -> None:
    store: Any = FakeStore()
    service: Any = FakeService()
    text, _ = create_key(store, "reader", ["read"])
    app = build_app(service, store, Settings())

    async def read_and_go() -> None:
        messages: list[dict[str, Any]] = [{"type": "http.request", "body": b"", "more_body": False}]
        has_begun = asyncio.Event()

        async def receive() -> dict[str, Any]:
            if messages:
                return messages.pop()
            await has_begun.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            if b"hello" in message.get("body", b""):
                assert len(service.listeners) == 1
                has_begun.set()

        async with asyncio.timeout(20):
            await app(ask_for_stream(text), receive, send)
        assert has_begun.is_set()
        await until(lambda: not service.listeners)
        assert len(app.state.streams) == 0

    asyncio.run(read_and_go())


def test_what_is_told_between_store_and_queue_comes_once_and_in_order() -> None:
    async def read() -> None:
        kept = [make_change(seq) for seq in range(1, 2_501)]
        service, _, streams = open_streams(kept)
        frames = streams.read(Asked(after=3))
        assert await anext(frames) == b": hello\n\n"
        service.tell(*kept[-2:], make_change(2_501))  # the first two are in the store too
        found = await collect(frames, 2_498)
        service.tell(make_change(2_502), make_change(2_503, kind="audience_left"))
        assert found + await collect(frames, 2) == list(range(4, 2_504))

    asyncio.run(read())


@pytest.mark.parametrize("n", [11, 45])
def test_a_reader_whose_queue_is_full_gets_the_rest_from_the_store(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "LONGEST_QUEUE", 10)

    async def read() -> None:
        service, store, streams = open_streams()
        frames = streams.read(Asked())
        assert await anext(frames) == b": hello\n\n"
        for seq in range(1, n + 1):
            store.changes.append(make_change(seq))
            service.tell(make_change(seq))
        assert await collect(frames, n) == list(range(1, n + 1))
        service.tell(make_change(n + 1))
        assert await collect(frames, 1) == [n + 1]

    asyncio.run(read())


def test_only_what_is_asked_for_is_sent_and_the_place_is_kept() -> None:
    async def read() -> None:
        changes = [make_change(seq, kind="moment" if seq % 2 else "transition") for seq in range(1, 11)]
        service, _, streams = open_streams(changes)
        frames = streams.read(Asked(kinds=["moment"], after=0))
        assert await collect(frames, 5) == [1, 3, 5, 7, 9]
        service.tell(make_change(11, kind="transition"), make_change(12), make_change(13, kind="transition"))
        assert await collect(frames, 1) == [12]
        streams.stop()
        assert await collect(frames, 1) == []
        await until(lambda: not service.listeners)

    asyncio.run(read())


def test_who_is_slow_gets_several_changes_in_one_of_five_frames_a_second_and_who_is_not_each_at_once() -> None:
    n_told, pause_s = 300, 0.007

    async def read(service: FakeService, streams: Streams, takes_s: float) -> tuple[list[int], int, float]:
        found: list[int] = []
        n_frames, begin = 0, 0.0
        async for frame in streams.read(Asked()):
            if frame == b": hello\n\n":
                continue
            begin = begin or time.monotonic()
            n_frames += 1
            data = json.loads(frame.split(b"data: ")[1])
            found += [one["seq"] for one in (data if isinstance(data, list) else [data])]
            assert frame.startswith(b"id: %d\n" % found[-1])
            if len(found) == n_told:
                break
            await asyncio.sleep(takes_s)
        return found, n_frames, time.monotonic() - begin

    async def both() -> None:
        service, _, streams = open_streams()
        slow = asyncio.create_task(read(service, streams, stream.SLOW_S + 0.02))
        quick = asyncio.create_task(read(service, streams, 0.0))
        await until(lambda: len(service.listeners) == 2)
        for seq in range(1, n_told + 1):
            service.tell(make_change(seq))
            await asyncio.sleep(pause_s)
        for reader, is_slow in ((slow, True), (quick, False)):
            found, n_frames, took_s = await reader
            assert found == list(range(1, n_told + 1))
            if is_slow:
                assert 2 <= n_frames <= 5 * took_s + 2
            else:
                assert n_frames > n_told / 2

    asyncio.run(both())


def test_an_id_that_is_ahead_of_the_feed_is_taken_for_its_end() -> None:
    async def read() -> None:
        service, _, streams = open_streams([make_change(seq) for seq in range(1, 6)])
        service.status = lambda: {"is_ready": True, "seq": 5}  # type: ignore[method-assign]
        for after, told in ((2**61, 6), (6, 7), (5, 8)):
            frames = streams.read(Asked(after=after))
            assert await anext(frames) == b": hello\n\n"
            service.tell(make_change(told))
            async with asyncio.timeout(20):
                assert await collect(frames, 1) == [told]
            await frames.aclose()  # type: ignore[attr-defined]

    asyncio.run(read())


def test_who_may_not_read_any_more_gets_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "HEARTBEAT_S", 0.01)

    async def read() -> None:
        kept = [make_change(seq) for seq in range(1, 4)]
        service, _, streams = open_streams(kept)
        for after, may in ((None, [True] * 5), (0, [])):
            left = list(may)
            frames = streams.read(Asked(after=after), lambda left=left: bool(left) and left.pop())  # type: ignore[misc]
            async with asyncio.timeout(20):
                assert [frame async for frame in frames] == [b": hello\n\n"] + [b": still here\n\n"] * len(may)
        await until(lambda: not service.listeners)

    asyncio.run(read())


def test_a_reader_who_reads_nothing_does_not_hold_a_stop_back() -> None:
    port = find_port()
    server = subprocess.Popen([sys.executable, "-m", SERVER, str(port)], cwd=ROOT)
    try:
        reader = connect(port)
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        reader.sendall(
            b"GET /v1/stream?after=0 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer key-of-a-reader-in-tests\r\n\r\n"
        )
        assert reader.recv(15) == b"HTTP/1.1 200 OK"
        time.sleep(1)  # until no more fits between the two
        server.send_signal(signal.SIGTERM)
        assert server.wait(60) == 0  # it would wait ten minutes for requests
        reader.close()
    finally:
        server.kill()
        server.wait()


def connect(port: int) -> socket.socket:
    """A connection to a server that is about to listen."""
    end = time.monotonic() + 120
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), 20)
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
