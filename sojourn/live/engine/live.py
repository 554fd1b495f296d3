"""The live engine: one thread writes the log, applies each record, and tells what came of it.

A cycle: the calls that wait become one record of the log, together with what was derived from the record before; once
that is durable the senders are answered, the record is applied, and its changes go to whoever listens. What time alone
does is a record too, and so is a command. So everything in memory is a function of the log, and a start that reads the
log again, or a snapshot and what follows it, comes to the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from sojourn.act.changes import Change
from sojourn.act.outbox import OutboxRow
from sojourn.errors import SojournError, StoreError, StoreFull
from sojourn.events.calls.plan import KINDS
from sojourn.frames.instants import now_us
from sojourn.live.archive.archive import read_records
from sojourn.live.engine import commands, erasure, rollout, view
from sojourn.live.engine.housekeeping import Housekeeping
from sojourn.live.engine.models import Models
from sojourn.live.engine.predictions import list_models
from sojourn.live.engine.reading import Reading
from sojourn.live.engine.recovery import ACTIVE, ARCHIVE, Recovered, recover, save_snapshot
from sojourn.live.engine.saving import Saver
from sojourn.live.engine.service import Overloaded, Request
from sojourn.live.engine.version import Outcome, Version
from sojourn.live.store.calls import NO_INSTANT, CallsColumns, encode_columns
from sojourn.live.store.changes import NOTHING, Derived
from sojourn.live.store.log import NewRecord
from sojourn.live.store.store import Store

LOG = logging.getLogger("sojourn.live")
MOST_CALLS = 2_000
"""Calls in one record, but for a request that has more by itself."""
MOST_WAITING_BYTES = 256 << 20
"""Bytes of calls that may wait, whatever ``max_waiting`` says."""
TICK_S = 0.05
"""How often is looked whether time alone has something to do."""
_RETRY_S = 0.5
_LONGEST_CYCLE_S = 0.02
_LULL_S = 0.0015
_COUNTED_AT_ONCE = 20_000

Route = Callable[[Sequence[Change], int, Version], list[OutboxRow]]
Listener = Callable[[Sequence[Change]], None]


@dataclass(frozen=True)
class Limits:
    """How the engine works: durations in seconds, the rest in calls."""

    commit_interval_s: float = 0.005
    max_waiting: int = 200_000
    snapshot_every: int = 2_000_000
    duplicates_within_s: float = 30 * 86_400.0
    archive_after_s: float | None = None
    retention_s: float | None = None
    read_beside: bool = False


@dataclass
class _Waiting:
    request: Request
    size: int
    done: asyncio.Future[None]


@dataclass(frozen=True)
class _Unread:
    """A record that is in the log and not yet applied. ``is_sent``: its calls are being read beside."""

    position: int
    now: int
    columns: CallsColumns
    received_at: int
    is_sent: bool


@dataclass
class _Command:
    name: str
    arguments: dict[str, Any]
    looked: erasure.Looked | None
    done: Future[dict[str, Any]]


class Live:
    """The engine of a project: see :class:`sojourn.live.engine.service.Service` for what may be asked of it.

    ``route`` says which changes go to which destination, ``wake`` tells those that deliver that there is something.
    ``models`` is the registry of models that predict, ``results`` the folder of a run from which erasure erases too.
    """

    def __init__(
        self, store: Store, folder: Path, limits: Limits, *, clock: Callable[[], int] | None = None,
        route: Route | None = None, wake: Callable[[], None] | None = None, models: Path | None = None,
        results: Path | None = None,
    ) -> None:  # fmt: skip
        self.store, self.folder, self.limits, self.results = store, folder, limits, results
        self._clock = clock or now_us
        self._route, self._wake = route, wake
        self.lock = threading.Lock()
        self._is_wanted = False
        self._version: Version | None = None
        self._rollout = rollout.Rollout(self)
        self._models = Models(models)
        self.housekeeping = Housekeeping(store, folder / ARCHIVE, limits.archive_after_s, limits.retention_s)
        self._queue: deque[_Waiting] = deque()
        self._commands: deque[_Command] = deque()
        self._n_waiting = self._n_bytes_waiting = 0
        self._is_called = threading.Condition()
        self._listeners: list[Listener] = []
        self._pending: Derived = NOTHING
        self._unread: _Unread | None = None
        self._reading = Reading("", is_wanted=False)
        self._thread = threading.Thread(target=self._run, name="sojourn-engine", daemon=True)
        self._is_stopping = False
        self.failure: str | None = None
        self.progress = 0.0
        self._n_since_snapshot = 0
        self.saver = Saver(folder)
        self.on_failure: Callable[[], None] = lambda: None
        self.timings = Timings()

    # -- from other threads ----------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin: read what the log has, then work. Returns at once."""
        self._thread.start()

    def stop(self, within_s: float) -> None:
        """Write what waits, save a snapshot, and end."""
        with self._is_called:
            self._is_stopping = True
            self._is_called.notify()
        self._thread.join(within_s)

    @property
    def is_ready(self) -> bool:
        """Whether the log has been read and work goes on."""
        return self._version is not None and self.failure is None and not self._is_stopping

    @property
    def has_pending(self) -> bool:
        """Whether something that has been told is not in the store yet."""
        return self._pending is not NOTHING

    @property
    def version(self) -> Version:
        """The version in use. Raises Overloaded until the log has been read."""
        if self._version is None:
            raise Overloaded(2, is_starting=True)
        return self._version

    def submit(self, request: Request) -> asyncio.Future[None]:
        """See the protocol. Called from an event loop."""
        size = sum(map(len, request.calls))
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        with self._is_called:
            if not self.is_ready:
                raise Overloaded(2, is_starting=True)
            if self._n_waiting >= self.limits.max_waiting or self._n_bytes_waiting >= MOST_WAITING_BYTES:
                raise Overloaded(1)
            self._n_waiting += len(request.calls)
            self._n_bytes_waiting += size
            self._queue.append(_Waiting(request, size, done))
            self._is_called.notify()
        return done

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """See the protocol. The listener is called at once with what has been told and is not in the store yet."""
        with self.lock:
            if self._pending.changes:
                listener(self._pending.changes)
            self._listeners.append(listener)

        def unsubscribe() -> None:
            with self.lock, contextlib.suppress(ValueError):  # to end twice is to end once
                self._listeners.remove(listener)

        return unsubscribe

    def command(self, name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """See the protocol."""
        commands.check_command(name, arguments)
        looked = erasure.look_ahead(self, arguments["id"]) if name == "erase" else None
        done: Future[dict[str, Any]] = Future()
        with self._is_called:
            if not self.is_ready:
                raise Overloaded(2, is_starting=True)
            self._commands.append(_Command(name, dict(arguments), looked, done))
            self._is_called.notify()
        return done.result()

    def status(self) -> dict[str, Any]:
        """See the protocol."""
        version = self._version
        found: dict[str, Any] = {
            "is_ready": self.is_ready,
            "failure": self.failure,
            "progress": round(self.progress, 3),
            "waiting": self._n_waiting,
            "log_position": self.store.last_position(),
            "is_reading_beside": self._reading.is_ready,
            "stream_listeners": len(self._listeners),
            "commit_s": self.timings.commit.rows(),
            "apply_s": self.timings.apply.rows(),
            "publish_s": self.timings.publish.rows(),
        }
        if version is not None:
            with self.lock:
                found |= {
                    "version": version.number,
                    "seq": version.seq,
                    "now": version.now,
                    "n_customers": version.customers.n_customers,
                    "n_ids": len(version.known),
                    "n_events": len(version.past),
                    "memory_bytes": version.n_bytes,
                    "counts": dict(version.counts),
                    "shadow": self._rollout.describe(),
                }
        return found

    def customer(self, id: str, fields: Sequence[str] | None = None) -> dict[str, Any] | None:
        """See the protocol."""
        with self.lock:
            return view.show_customer(self.version, id, self.now(), fields)

    def glance(self, id: str, fields: Sequence[str] | None = None) -> tuple[bool, dict[str, Any] | None]:
        """See the protocol."""
        if self._is_wanted or not self.lock.acquire(blocking=False):
            return False, None
        try:
            return True, view.show_customer(self.version, id, self.now(), fields)
        finally:
            self.lock.release()

    def timeline(self, id: str, *, limit: int, before: int | None = None) -> dict[str, Any] | None:
        """See the protocol."""
        with self.lock:
            return view.show_timeline(self.version, id, limit=limit, before=before)

    def states(self) -> list[dict[str, Any]]:
        """See the protocol. Counted piece by piece, so that nobody waits for a million customers."""
        version = self.version
        counts = np.zeros(len(version.state_model.model.states), np.int64)
        for first in range(0, len(version.customers), _COUNTED_AT_ONCE):
            with self.lock:
                counts += version.count_states(first, first + _COUNTED_AT_ONCE)
        return view.list_states(version, counts)

    def audiences(self) -> list[dict[str, Any]]:
        """Per audience its rule, purpose, and how many are in it."""
        with self.lock:
            return view.list_audiences(self.version)

    def members(self, audience: str, *, limit: int, after: int = 0) -> dict[str, Any] | None:
        """See the protocol."""
        with self.lock:
            return view.list_members(self.version, audience, limit=limit, after=after)

    def models(self) -> list[dict[str, Any]]:
        """See the protocol."""
        with self.lock:
            return list_models(self.version)

    # -- the engine's thread ---------------------------------------------------------------------------------

    def now(self) -> int:
        """Now; never before what was now already, whatever the clock does."""
        now = self._clock()
        return now if self._version is None else max(now, self._version.now)

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        """Hold the lock; who only glances gives way, for many readers would else never let the engine in."""
        self._is_wanted = True
        with self.lock:
            self._is_wanted = False
            yield

    def _run(self) -> None:
        try:
            self._recover()
            self._work()
            self.flush()
            self.saver.stop()
            with self.lock:
                save_snapshot(self.folder, self.version)
        except Exception as error:  # whatever it is, the process has to end: the log has all that was acknowledged
            self._fail(error)
        finally:
            self.saver.stop()
            self._reading.close()
            self._rollout.stop()
            self._refuse_all()

    def _fail(self, error: Exception) -> None:
        self.failure = str(error) if isinstance(error, SojournError) else f"{type(error).__name__} in the engine"
        if isinstance(error, SojournError):
            LOG.error("the engine has stopped: %s", error)
        else:
            LOG.exception("the engine has stopped")
        self._is_stopping = True
        self.on_failure()

    def _recover(self) -> None:
        def report(share: float) -> None:
            self.progress = share

        found: Recovered = recover(self.store, self.folder, self.make_version, self._derive, report)
        self.progress = 1.0
        self._pending = found.pending
        self.flush()  # before anybody is erased of whom it tells
        erasure.go_on(self, found.version)  # nobody sees a customer again who is being erased
        self._version = found.version
        self._reading = Reading(found.version.playbook.text, is_wanted=self.limits.read_beside)
        self._n_since_snapshot = found.n_calls
        LOG.info("ready: log position %d, %d customers", found.version.position, found.version.customers.n_customers)

    def make_version(self, number: int) -> Version:
        """A version of the store with nothing in it yet, and the models that it can use."""
        version = rollout.make_version(self, number)
        self._models.fit(version)
        return version

    def _work(self) -> None:
        next_cycle = next_look = time.monotonic()
        while True:
            with self._is_called:
                if not self._queue and not self._commands and self._unread is None:
                    if self._is_stopping:
                        return
                    self._is_called.wait(0.0 if self._pending is not NOTHING else TICK_S)
            applied_s = self._apply_read(next_cycle)
            if self._queue and not self._is_stopping:
                self._wait_for_more(next_cycle)
            begin = time.monotonic()
            if self._commands:
                self._obey(self._commands.popleft())
            if self._queue:
                self._take_calls()
            elif self._unread is not None:
                self.apply_unread()
            elif self._pending is not NOTHING:
                self.flush()
            if begin >= next_look or self._unread is None:
                next_look = begin + TICK_S
                self._look_at_clock()
            self._rollout.go_on()
            self._models.go_on(self.version)
            self.housekeeping.go_on(self.now())
            # Records that are larger cost less per call: what took long may be followed by as long a wait.
            took = applied_s + time.monotonic() - begin
            next_cycle = begin + max(self.limits.commit_interval_s, min(2 * took, _LONGEST_CYCLE_S))
            if not self.saver.is_busy and self._n_since_snapshot >= self.limits.snapshot_every:
                self.apply_unread()
                self.flush()
                with self.lock:
                    self.saver.begin(self.version)
                self._n_since_snapshot = 0

    def _wait_for_more(self, until: float) -> None:
        """Let others come, which are then written with those that wait; while any do, and not for long."""
        n = 0
        while (left := until - time.monotonic()) > 0 and n < self._n_waiting < MOST_CALLS:
            n = self._n_waiting
            time.sleep(min(left, _LULL_S))

    def _take_calls(self) -> None:
        """Write the calls that wait as a record. Those of the record before are applied while these are read."""
        taken = self._gather()
        columns = _make_columns([one.request for one in taken])
        payload = encode_columns(columns)
        is_sent = self._reading.send(payload, len(columns))
        self.apply_unread()
        now, begin = self.now(), time.perf_counter()
        try:
            position = self._append(NewRecord(at=now, kind="calls", n=len(columns), payload=payload))
        except StoreError as error:
            LOG.error("calls could not be written: %s", error)
            self._answer(taken, error)
            if is_sent:
                self._reading.receive()
            if not isinstance(error, StoreFull) and not self.store.is_writable:
                raise
            time.sleep(_RETRY_S)
            return
        self._answer(taken, None)
        self.timings.commit.add(time.perf_counter() - begin)
        self._n_since_snapshot += len(columns)
        self._unread = _Unread(position, now, columns, min(one.request.received_at for one in taken), is_sent)
        if not is_sent:
            self.apply_unread()

    def _apply_read(self, until: float) -> float:
        """Apply the record being read beside, if that is done before others are to be taken. Seconds it took."""
        if self._unread is None or not self._reading.has_answer(max(until - time.monotonic(), 0.0)):
            return 0.0
        begin = time.monotonic()
        self.apply_unread()
        return time.monotonic() - begin

    def apply_unread(self) -> None:
        """Apply the record that has been written and not applied, if there is one."""
        record, self._unread = self._unread, None
        if record is None:
            return
        read = self._reading.receive() if record.is_sent else None
        begin = time.perf_counter()
        with self._turn():
            outcome = self.version.take_calls(record.position, record.now, record.columns, read)
            self._rollout.follow_calls(record.position, record.now, record.columns)
            self.settle(outcome, record.now)
        self.timings.apply.add(time.perf_counter() - begin)
        self.timings.publish.add(max(self._clock() - record.received_at, 0) / 1e6)

    def _look_at_clock(self) -> None:
        """Do what time alone does, if it is due: after all that is in the log."""
        if self.version.is_due(self.now()):
            self.apply_unread()
        if self.version.is_due(now := self.now()):
            self._pass_time(now)

    def _gather(self) -> list[_Waiting]:
        """The requests that go into one record."""
        taken: list[_Waiting] = []
        n = 0
        with self._is_called:
            while self._queue and (not taken or n + len(self._queue[0].request.calls) <= MOST_CALLS):
                taken.append(self._queue.popleft())
                n += len(taken[-1].request.calls)
            self._n_waiting -= n
            self._n_bytes_waiting -= sum(one.size for one in taken)
        return taken

    def _answer(self, taken: Iterable[_Waiting], error: Exception | None) -> None:
        by_loop: dict[asyncio.AbstractEventLoop, list[asyncio.Future[None]]] = {}
        for one in taken:
            by_loop.setdefault(one.done.get_loop(), []).append(one.done)
        for loop, futures in by_loop.items():
            with contextlib.suppress(RuntimeError):  # a loop that has ended has nobody to answer
                loop.call_soon_threadsafe(_resolve, futures, error)

    def _refuse_all(self) -> None:
        """Nothing that waits is written any more."""
        with self._is_called:  # who comes later is refused at once
            self._is_stopping = True
            taken, obeyed = list(self._queue), list(self._commands)
            self._queue.clear()
            self._commands.clear()
        self._answer(taken, Overloaded(5, is_starting=True))
        for command in obeyed:
            command.done.set_exception(Overloaded(5, is_starting=True))

    def _append(self, record: NewRecord) -> int:
        position = self.store.append([record], self._pending)
        self._noted()
        return position

    def flush(self) -> None:
        """Write what was derived from the last record, if that has not gone with another one."""
        if self._pending is NOTHING:
            return
        try:
            self.store.append([], self._pending)
        except StoreError as error:
            LOG.error("changes could not be written: %s", error)
            if not self.store.is_writable or self._is_stopping:
                raise
            time.sleep(_RETRY_S)
            return
        self._noted()

    def _noted(self) -> None:
        has_outbox = bool(self._pending.outbox)
        with self.lock:
            self._pending = NOTHING
        if has_outbox and self._wake:
            self._wake()

    def _pass_time(self, now: int) -> None:
        try:
            position = self._append(NewRecord(at=now, kind="clock", n=0, payload=b""))
        except StoreError as error:
            LOG.error("time could not be written: %s", error)
            if not self.store.is_writable:
                raise
            time.sleep(_RETRY_S)
            return
        with self._turn():
            outcome = self.version.pass_time(position, now)
            self._rollout.follow_time(position, now)
            self.settle(outcome, now)

    def _obey(self, command: _Command) -> None:
        """Carry out a command: a record of its own, so that a start does the same again."""
        self.apply_unread()
        self.flush()
        now = self.now()
        try:
            command.done.set_result(commands.obey(self, command.name, command.arguments, now, command.looked))
        except (SojournError, Overloaded) as error:
            command.done.set_exception(error)
        except BaseException:
            command.done.set_exception(Overloaded(5, is_starting=True))  # the engine ends; nobody waits for ever
            raise

    def log_command(self, name: str, arguments: Mapping[str, Any], now: int) -> int:
        """Write a command to the log; its position."""
        payload = commands.spell_command(name, arguments)
        return self._append(NewRecord(at=now, kind="command", n=0, payload=payload))

    def has_version_before(self) -> bool:
        """Whether another version was in use before this one."""
        return self.store.get_meta(ACTIVE)["before"] is not None

    def follow_command(self, position: int, now: int, name: str, arguments: dict[str, Any]) -> None:
        """Let the version beside see a command."""
        self._rollout.follow_command(position, now, name, arguments)

    def forget_in_shadow(self, ids: Sequence[str]) -> None:
        """Erase a customer from the version beside."""
        self._rollout.forget(ids)

    def settle(self, outcome: Outcome, now: int) -> None:
        """Publish what came of a record, and keep it to be written. Call with the lock held."""
        self._pending = self._derive(self.version, outcome, now)
        if outcome.changes:
            for listener in self._listeners:
                listener(outcome.changes)

    def _derive(self, version: Version, outcome: Outcome, now: int) -> Derived:
        if outcome.is_nothing:
            return NOTHING
        derived = outcome.derived(version.position)
        if self._route is None or not outcome.changes:
            return derived
        return replace(derived, outbox=self._route(outcome.changes, now, version))

    def replace_version(self, version: Version, outcome: Outcome, now: int) -> None:
        """Use another version from now on. The command and what comes of it are written together; with the lock."""
        payload = commands.spell_command("switch", {"version": version.number})
        derived = self._derive(version, outcome, now)
        self.store.append([NewRecord(at=now, kind="command", n=0, payload=payload)], derived)
        self._models.fit(version)
        self._version = version
        self._reading.close()
        self._reading = Reading(version.playbook.text, is_wanted=self.limits.read_beside)
        for listener in self._listeners if outcome.changes else []:
            listener(outcome.changes)
        if derived.outbox and self._wake:
            self._wake()

    def read_all(self, after: int) -> Any:
        """The records after a position, of the archive and the log."""
        return read_records(self.store, self.folder / ARCHIVE, after)


def _resolve(futures: Sequence[asyncio.Future[None]], error: Exception | None) -> None:
    for future in futures:
        if not future.done():
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error)


def _make_columns(requests: Sequence[Request]) -> CallsColumns:
    """The calls of some requests as one record has them."""
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


class Histogram:
    """How often something took how long, in seconds, by bounds that rise about twofold."""

    BOUNDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)

    def __init__(self) -> None:
        self.counts = [0] * (len(self.BOUNDS) + 1)
        self.total = 0.0

    def add(self, seconds: float) -> None:
        """Count one more."""
        i = next((i for i, bound in enumerate(self.BOUNDS) if seconds <= bound), len(self.BOUNDS))
        self.counts[i] += 1
        self.total += seconds

    def rows(self) -> dict[str, Any]:
        """Bounds, counts of each (the last one is of what took longer), and the sum."""
        return {"bounds": list(self.BOUNDS), "counts": list(self.counts), "sum": self.total}


class Timings:
    """How long commits, applying a record, and the way from receipt to publication took."""

    def __init__(self) -> None:
        self.commit, self.apply, self.publish = Histogram(), Histogram(), Histogram()
