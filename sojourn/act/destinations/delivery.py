"""Sends what waits in the outbox: every destination for itself, so that one that is dead delays no other.

A message is sent at least once, each time with the same id, by which a receiver tells what it has already. Two tries
are never under way at once. After the last one it is a dead letter, which `sojourn outbox replay` sends again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from sojourn.act.destinations.port import Destination, Sender, Sent, build_sender
from sojourn.act.outbox import Mark, OutboxItem
from sojourn.errors import StoreError

T = TypeVar("T")
LOG = logging.getLogger("sojourn.delivery")
SCHEDULE_S = (0.0, 5.0, 300.0, 1_800.0, 7_200.0, 18_000.0, 36_000.0, 50_400.0, 72_000.0, 86_400.0)
"""How long after a try the next one comes; the first at once. About three days in all."""
AT_ONCE = 4
_PAGE = 100
_IDLE_S = 60.0
_LOOKUPS = 8  # of one destination's name at once: while it hangs, one or two more every half minute
_FAILING_FROM = 5  # tries that fail one after the other, until one at a time goes on trying
PROBE_S = 30.0
STORE_AGAIN_S = 5.0


class Outbox(Protocol):
    """The part of a store that this needs. Its methods may be called from any thread."""

    def claim_due(self, destination: str, now: int, limit: int) -> list[OutboxItem]: ...

    def next_due(self, destination: str) -> int | None: ...

    def mark(self, marks: Sequence[Mark]) -> None: ...

    def release_claims(self, destination: str) -> None: ...


@dataclass
class _Worker:
    destination: Destination
    sender: Sender = field(repr=False)
    is_called: asyncio.Event
    n_failed: int = 0
    is_gone: bool = False
    last_error: str | None = None
    n_delivered: int = 0


class Delivery:
    """Delivers in a thread of its own, from :meth:`start` to :meth:`stop`. ``clock`` is in seconds."""

    def __init__(
        self,
        store: Outbox,
        destinations: Sequence[Destination],
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Raises SojournError for a destination of an unknown kind, or without what its kind needs, as a secret."""
        self._store, self._clock = store, clock
        self._workers = [_Worker(one, build_sender(one), asyncio.Event()) for one in destinations]
        self._loop = asyncio.new_event_loop()
        # To look a name up can hang, and goes on hanging when nobody waits any more: that must hold nothing else up.
        self._loop.set_default_executor(ThreadPoolExecutor(_LOOKUPS * max(len(destinations), 1)))
        self._asking = ThreadPoolExecutor(max(len(destinations), 1))
        self._is_stopping = False
        self._is_ended = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="sojourn-delivery", daemon=True)

    def start(self) -> None:
        """Begin to send what is due."""
        if self._workers:
            self._thread.start()

    def wake(self) -> None:
        """There may be something new. From any thread."""
        if self._thread.is_alive():
            with contextlib.suppress(RuntimeError):  # it has just ended, and has nothing to be woken for
                self._loop.call_soon_threadsafe(self._call_all)

    def stop(self, within_s: float) -> None:
        """Finish what is under way, and end. What is not finished in time is sent again after the next start."""
        self._is_stopping = True
        self.wake()
        if self._thread.is_alive():
            self._thread.join(within_s)

    def status(self) -> dict[str, Any]:
        """Per destination how it goes."""
        return {
            worker.destination.name: {
                "is_failing": worker.n_failed >= _FAILING_FROM,
                "is_gone": worker.is_gone,
                "n_delivered": worker.n_delivered,
                "last_error": worker.last_error,
            }
            for worker in self._workers
        }

    def _call_all(self) -> None:
        if self._is_stopping:
            self._is_ended.set()
        for worker in self._workers:
            worker.is_called.set()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._work_all())
        finally:
            self._asking.shutdown()
            self._loop.close()

    async def _work_all(self) -> None:
        await asyncio.gather(*(self._work(worker) for worker in self._workers))

    async def _work(self, worker: _Worker) -> None:
        try:
            while not self._is_stopping and not worker.is_gone:
                worker.is_called.clear()
                try:
                    wait_s = await self._deliver_due(worker)
                except StoreError as error:
                    LOG.error("the outbox cannot be read or marked: %s", error)
                    self._store.release_claims(worker.destination.name)  # what is not marked is sent again
                    wait_s = STORE_AGAIN_S
                # One that fails is not asked sooner because there is something new.
                is_failing = worker.n_failed >= _FAILING_FROM
                if is_failing:
                    await _wait(self._is_ended, min(wait_s, PROBE_S))
                else:
                    await _wait(worker.is_called, wait_s)
        finally:
            await worker.sender.close()
        self._store.release_claims(worker.destination.name)

    async def _deliver_due(self, worker: _Worker) -> float:
        """Send what is due; the seconds until there may be more."""
        name, is_failing = worker.destination.name, worker.n_failed >= _FAILING_FROM
        now = round(self._clock() * 1e6)
        limit = 1 if is_failing else _PAGE
        items = await self._ask(self._store.claim_due, name, now, limit)
        for begin in range(0, len(items), AT_ONCE):
            if self._is_stopping:
                self._store.release_claims(name)
                return 0.0
            some = items[begin : begin + AT_ONCE]
            sent = await asyncio.gather(*(self._send(worker, item) for item in some))
            self._note(worker, sent)
            marks = [self._judge(item, one) for item, one in zip(some, sent, strict=True)]
            await self._ask(self._store.mark, marks)
            if worker.n_failed >= _FAILING_FROM or worker.is_gone:
                self._store.release_claims(name)
                return PROBE_S
        if len(items) == limit:
            return 0.0
        due = await self._ask(self._store.next_due, name)
        return _IDLE_S if due is None else min(max(due / 1e6 - self._clock(), 0.0), _IDLE_S)

    async def _ask(self, what: Callable[..., T], *given: Any) -> T:
        """Ask the store, which answers from a thread of its own."""
        return await self._loop.run_in_executor(self._asking, what, *given)

    async def _send(self, worker: _Worker, item: OutboxItem) -> Sent:
        try:
            return await worker.sender.send(item, self._clock())
        except Exception as error:  # whatever it is, it is this destination's alone
            LOG.error("destination '%s' failed: %s", worker.destination.name, type(error).__name__)
            return Sent("again", None, type(error).__name__)

    def _note(self, worker: _Worker, sent: Sequence[Sent]) -> None:
        for one in sent:
            if one.what == "delivered":
                worker.n_failed, worker.last_error = 0, None
                worker.n_delivered += 1
                continue
            worker.n_failed += 1
            worker.last_error = one.error
            if one.what == "gone" and not worker.is_gone:
                worker.is_gone = True
                LOG.error(
                    "destination '%s' wants no more (410); nothing is sent to it until the next start",
                    worker.destination.name,
                )

    def _judge(self, item: OutboxItem, sent: Sent) -> Mark:
        attempts, now = item.attempts + 1, round(self._clock() * 1e6)
        status, next_at = sent.what, 0
        if sent.what in ("again", "gone"):
            is_last = attempts >= len(SCHEDULE_S)
            status = "dead" if is_last or sent.what == "gone" else "waiting"
            spread = random.uniform(0.8, 1.2)  # so that many do not come again at once
            wait_s = 0.0 if is_last else max(SCHEDULE_S[attempts] * spread, sent.wait_s)
            next_at = now + round(wait_s * 1e6)
        return Mark(item.destination, item.seq, status, attempts, now, next_at, sent.status, sent.error)


async def _wait(event: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):  # the time is over: that is what was waited for, too
        async with asyncio.timeout(seconds):
            await event.wait()
