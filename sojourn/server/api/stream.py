"""The feed of changes as server-sent events: what has been told since, then whatever is told, without a gap.

Each reader has a queue of its own. One that reads slowly gets several changes in one frame, at most five frames a
second; one whose queue is full gets what it missed from the store.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from starlette.concurrency import run_in_threadpool

from sojourn.act import Change
from sojourn.frames import show_instant
from sojourn.live.engine import Service
from sojourn.live.store import Store

STREAM_PATH = "/v1/stream"
LONGEST_QUEUE = 10_000
PAGE = 1_000
SLOW_S, FRAME_S = 0.05, 0.2
HEARTBEAT_S = 15.0
_STORE_AGAIN_S = 0.05


@dataclass(frozen=True)
class Asked:
    """Which changes a reader wants: None is any. ``after`` is the seq of the last one that it has."""

    kinds: Collection[str] | None = None
    names: Collection[str] | None = None
    customer_id: str | None = None
    after: int | None = None

    def has(self, change: Any) -> bool:
        """Whether a change is wanted."""
        return (
            (self.kinds is None or change.kind in self.kinds)
            and (self.names is None or change.name in self.names)
            and (self.customer_id is None or change.customer_id == self.customer_id)
        )


@dataclass(eq=False)
class _Queue:
    waiting: list[Change] = field(default_factory=list)
    missed: int = 0  # the highest seq that the queue had no room for
    is_called: asyncio.Event = field(default_factory=asyncio.Event)

    def put(self, changes: Sequence[Change]) -> None:
        if len(self.waiting) + len(changes) > LONGEST_QUEUE or self.missed:
            self.missed = max(self.missed, changes[-1].seq)
            self.waiting.clear()
        else:
            self.waiting += changes
        self.is_called.set()


class Streams:
    """All readers of a server; ``stop`` ends them at once."""

    def __init__(self, service: Service, store: Store) -> None:
        self._service, self._store = service, store
        self._queues: set[_Queue] = set()
        self.is_stopped = False

    def __len__(self) -> int:
        return len(self._queues)

    def stop(self) -> None:
        """End every stream."""
        self.is_stopped = True
        for queue in self._queues:
            queue.is_called.set()

    async def read(self, asked: Asked, may_read: Callable[[], bool] = lambda: True) -> AsyncIterator[bytes]:
        """The frames for one reader, until they go, may not read any more, or the server stops."""
        loop, queue = asyncio.get_running_loop(), _Queue()

        def listen(changes: Sequence[Change]) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(queue.put, list(changes))

        ends: list[Callable[[], None]] = []
        self._queues.add(queue)
        try:
            await run_in_threadpool(lambda: ends.append(self._service.subscribe(listen)))
            yield b": hello\n\n"
            sent = asked.after or 0
            if asked.after is not None:
                # Of another feed, or made up, where it is ahead: nothing would come until this one has come so far.
                sent = min(sent, (await run_in_threadpool(self._service.status)).get("seq", sent))
                async for frame, last in self._catch_up(asked, sent, 0):
                    sent = last
                    if not may_read():
                        return
                    if frame:
                        yield frame
            async for frame in self._follow(asked, queue, sent):
                if not may_read():
                    return
                yield frame
        finally:
            self._queues.discard(queue)
            for end in ends:  # not awaited: a reader who has gone has cancelled whatever is awaited here
                loop.run_in_executor(None, end)

    async def _follow(self, asked: Asked, queue: _Queue, sent: int) -> AsyncIterator[bytes]:
        is_slow = False
        while not self.is_stopped:
            if not queue.is_called.is_set():
                try:
                    async with asyncio.timeout(HEARTBEAT_S):
                        await queue.is_called.wait()
                except TimeoutError:
                    yield b": still here\n\n"
                    continue
            queue.is_called.clear()
            if queue.missed:
                until, queue.missed = queue.missed, 0
                async for frame, last in self._catch_up(asked, sent, until):
                    sent = last
                    if frame:
                        yield frame
            taken, queue.waiting = queue.waiting, []
            fresh = [change for change in taken if change.seq > sent]
            if not fresh:
                continue
            sent = fresh[-1].seq
            wanted = [change for change in fresh if asked.has(change)]
            if not wanted:
                continue
            begin = time.monotonic()
            yield make_frame(wanted)
            took = time.monotonic() - begin
            is_slow = took > SLOW_S or (is_slow and bool(queue.waiting))
            if is_slow:
                await asyncio.sleep(max(FRAME_S - took, 0.0))

    async def _catch_up(self, asked: Asked, after: int, until: int) -> AsyncIterator[tuple[bytes, int]]:
        """Frames of what the store has after a seq, at least up to ``until``, which it may get only soon."""
        while not self.is_stopped:
            found = await run_in_threadpool(self._store.read_changes, after, limit=PAGE)
            if found:
                after = found[-1].seq
                wanted = [change for change in found if asked.has(change)]
                yield (make_frame(wanted) if wanted else b""), after
            if len(found) < PAGE:
                if after >= until:
                    return
                await asyncio.sleep(_STORE_AGAIN_S)


def show_change(change: Any) -> dict[str, Any]:
    """A change as plain JSON."""
    return {
        "seq": change.seq,
        "id": change.id,
        "kind": change.kind,
        "customer_id": change.customer_id,
        "at": show_instant(change.at),
        "name": change.name,
        "before": change.before,
        **{name: value for name, value in change.data.items() if name != "revokes_seq"},
    }


def make_frame(changes: Sequence[Any]) -> bytes:
    """One frame: a change, or a list of several; its id is the seq of the last one."""
    shown = [show_change(change) for change in changes]
    data = msgspec.json.encode(shown[0] if len(shown) == 1 else shown)
    return b"id: %d\ndata: %s\n\n" % (changes[-1].seq, data)
