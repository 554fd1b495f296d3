"""Requests and commands that wait for the engine's thread: bounded, taken in order, answered from that thread."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import numpy as np

from sojourn.events.calls import KINDS
from sojourn.live.engine.service import Overloaded, Request
from sojourn.live.store import NO_INSTANT, CallsColumns

MOST_CALLS = 2_000
"""Calls in one record, but for a request that has more by itself."""
MOST_WAITING_BYTES = 256 << 20
"""Bytes of calls that may wait, whatever ``max_waiting`` says."""
_LULL_S = 0.0015
_STARTING_S, _FULL_S, _ENDED_S = 2, 1, 5  # when to come again, in whole seconds


@dataclass
class WaitingRequest:
    """A request, its bytes, and the future that ends when it is durable."""

    request: Request
    size: int
    done: asyncio.Future[None]


@dataclass
class WaitingCommand:
    """A command, and the future of its answer. ``scan``: what was prepared for it before it had to wait."""

    name: str
    arguments: dict[str, Any]
    scan: Any
    done: Future[dict[str, Any]]


class Inbox:
    """Two queues, of requests and of commands. Closed until :meth:`open`, and for good after :meth:`close`."""

    def __init__(self, max_waiting: int) -> None:
        """``max_waiting``: calls that may wait."""
        self._max_waiting = max_waiting
        self._requests: deque[WaitingRequest] = deque()
        self._commands: deque[WaitingCommand] = deque()
        self._n_bytes = 0
        self._arrival = threading.Condition()
        self._is_begun = False
        self.n_waiting = 0
        self.is_closed = False

    @property
    def is_open(self) -> bool:
        """Whether requests and commands are accepted."""
        return self._is_begun and not self.is_closed

    def open(self) -> None:
        """Accept requests from now on."""
        self._is_begun = True

    def close(self) -> None:
        """Accept nothing more. What waits stays to be taken."""
        with self._arrival:
            self.is_closed = True
            self._arrival.notify()

    # -- from other threads ----------------------------------------------------------------------------------

    def submit(self, request: Request) -> asyncio.Future[None]:
        """Let a request wait. Called from an event loop. Raises Overloaded where too much waits."""
        size = sum(map(len, request.calls))
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        with self._arrival:
            if not self.is_open:
                raise Overloaded(_STARTING_S, is_starting=True)
            if self.n_waiting >= self._max_waiting or self._n_bytes >= MOST_WAITING_BYTES:
                raise Overloaded(_FULL_S)
            self.n_waiting += len(request.calls)
            self._n_bytes += size
            self._requests.append(WaitingRequest(request, size, done))
            self._arrival.notify()
        return done

    def submit_command(self, name: str, arguments: Mapping[str, Any], scan: Any) -> Future[dict[str, Any]]:
        """Let a command wait; the future of its answer. Raises Overloaded while nothing is accepted."""
        done: Future[dict[str, Any]] = Future()
        with self._arrival:
            if not self.is_open:
                raise Overloaded(_STARTING_S, is_starting=True)
            self._commands.append(WaitingCommand(name, dict(arguments), scan, done))
            self._arrival.notify()
        return done

    # -- from the engine's thread ----------------------------------------------------------------------------

    @property
    def has_requests(self) -> bool:
        """Whether a request waits."""
        return bool(self._requests)

    def wait(self, within_s: float) -> bool:
        """Wait until something comes, at most so long. False: nothing waits, and nothing will come any more."""
        with self._arrival:
            if not self._requests and not self._commands:
                if self.is_closed:
                    return False
                self._arrival.wait(within_s)
        return True

    def wait_for_more(self, until: float) -> None:
        """Wait while more requests keep coming, up to an instant of the monotonic clock: larger records cost less."""
        n = 0
        while (left := until - time.monotonic()) > 0 and n < self.n_waiting < MOST_CALLS:
            n = self.n_waiting
            time.sleep(min(left, _LULL_S))

    def take_requests(self) -> list[WaitingRequest]:
        """The requests that go into one record."""
        taken: list[WaitingRequest] = []
        n = 0
        with self._arrival:
            while self._requests and (not taken or n + len(self._requests[0].request.calls) <= MOST_CALLS):
                taken.append(self._requests.popleft())
                n += len(taken[-1].request.calls)
            self.n_waiting -= n
            self._n_bytes -= sum(one.size for one in taken)
        return taken

    def take_command(self) -> WaitingCommand | None:
        """The command that has waited longest, if there is one."""
        return self._commands.popleft() if self._commands else None

    def refuse_all(self) -> None:
        """Refuse everything that waits, and whatever comes later."""
        with self._arrival:
            self.is_closed = True
            requests, commands = list(self._requests), list(self._commands)
            self._requests.clear()
            self._commands.clear()
        answer(requests, Overloaded(_ENDED_S, is_starting=True))
        for command in commands:
            command.done.set_exception(Overloaded(_ENDED_S, is_starting=True))


def answer(taken: Iterable[WaitingRequest], error: Exception | None) -> None:
    """Tell the senders that their calls are durable, or why not, each in their own event loop."""
    by_loop: dict[asyncio.AbstractEventLoop, list[asyncio.Future[None]]] = {}
    for one in taken:
        by_loop.setdefault(one.done.get_loop(), []).append(one.done)
    for loop, futures in by_loop.items():
        with contextlib.suppress(RuntimeError):  # the loop has ended: the sender no longer waits
            loop.call_soon_threadsafe(_resolve, futures, error)


def _resolve(futures: Sequence[asyncio.Future[None]], error: Exception | None) -> None:
    for future in futures:
        if not future.done():
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error)


def make_columns(requests: Sequence[Request]) -> CallsColumns:
    """The calls of some requests in the form of a record.

    >>> make_columns([Request([b"{}", b"{}"], "track", 5, None, "k"), Request([b"{}"], "track", 6, 7, "k")]).key_names
    ('k',)
    """
    sizes = [len(request.calls) for request in requests]
    names = tuple(dict.fromkeys(request.key for request in requests))
    number = {name: i for i, name in enumerate(names)}
    sent = [NO_INSTANT if request.sent_at is None else request.sent_at for request in requests]
    return CallsColumns(
        raw=[call for request in requests for call in request.calls],
        kind=np.repeat(np.array([KINDS.index(request.kind) for request in requests], np.int8), sizes),
        received_at=np.repeat(np.array([request.received_at for request in requests], np.int64), sizes),
        sent_at=np.repeat(np.array(sent, np.int64), sizes),
        key=np.repeat(np.array([number[request.key] for request in requests], np.int32), sizes),
        key_names=names,
    )
