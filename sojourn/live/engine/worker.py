"""The engine's thread: it alone writes the log and changes the version in use.

A cycle: the requests that wait become one record of the log, together with what was derived from the record before;
once that is durable the senders are answered, the record is applied, and its changes are published. What time alone
brings about is a record too, and so is a command. So everything in memory is a function of the log, and a start that
reads the log again, or a snapshot and the records after it, comes to the same.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sojourn.errors import SojournError, StoreError, StoreFull
from sojourn.live.archive import read_records
from sojourn.live.engine import commands, erasure
from sojourn.live.engine.archiver import Archiver
from sojourn.live.engine.environment import Environment, open_version
from sojourn.live.engine.inbox import Inbox, WaitingCommand, WaitingRequest, answer, make_columns
from sojourn.live.engine.log_writer import RETRY_S, LogWriter
from sojourn.live.engine.models import Models
from sojourn.live.engine.reader_process import ReaderProcess
from sojourn.live.engine.records import spell_command
from sojourn.live.engine.recovery import ARCHIVE, recover, save_snapshot
from sojourn.live.engine.rollout import Rollout
from sojourn.live.engine.saver import Saver
from sojourn.live.engine.service import Overloaded
from sojourn.live.engine.timings import Timings
from sojourn.live.engine.turns import Turns
from sojourn.live.engine.version import Outcome, Version
from sojourn.live.store import CallsColumns, NewRecord, Record, encode_columns

LOG = logging.getLogger("sojourn.live")
TICK_S = 0.05
"""How often the engine looks whether time alone brings something about."""
_LONGEST_CYCLE_S = 0.02


@dataclass(frozen=True)
class _Written:
    """A record that is in the log and not applied yet. ``is_sent``: another process reads its calls."""

    position: int
    now: int
    columns: CallsColumns
    received_at: int
    is_sent: bool


class Worker:
    """The work of one project's engine. It is a :class:`sojourn.live.engine.host.Host` to its parts.

    Other threads may read ``version`` with the lock of ``turns`` held, and everything that is a plain number.
    """

    def __init__(self, env: Environment, inbox: Inbox, writer: LogWriter, turns: Turns) -> None:
        """Nothing runs before :meth:`run`, which is the whole life of the thread."""
        self.env, self.inbox, self.writer, self.turns = env, inbox, writer, turns
        limits = env.limits
        self.archiver = Archiver(env.store, env.folder / ARCHIVE, limits.archive_after_s, limits.retention_s)
        self.saver, self.reader = Saver(env.folder), ReaderProcess("", is_wanted=False)
        self.rollout, self.models, self.timings = Rollout(self), Models(env.models), Timings()
        self.loaded_version: Version | None = None
        self.failure: str | None = None
        self.progress = 0.0
        self.n_since_snapshot = 0
        self.on_failure: Callable[[], None] = lambda: None
        self._written: _Written | None = None

    @property
    def lock(self) -> threading.Lock:
        """Held to change or to read the version."""
        return self.turns.lock

    @property
    def version(self) -> Version:
        """The version in use. Raises Overloaded until the log has been read."""
        if self.loaded_version is None:
            raise Overloaded(2, is_starting=True)
        return self.loaded_version

    def now(self) -> int:
        """The present instant; never before one that was returned already, whatever the clock does."""
        now = self.env.clock()
        return now if self.loaded_version is None else max(now, self.loaded_version.now)

    # -- start and end ---------------------------------------------------------------------------------------

    def run(self) -> None:
        """Read the log, work until the inbox is closed and empty, and save a snapshot."""
        try:
            self._recover()
            self._work()
            self.flush()
            self.saver.stop()
            with self.lock:
                save_snapshot(self.env.folder, self.version)
        except Exception as error:  # whatever it is, the process has to end: the log has all that was acknowledged
            self._fail(error)
        finally:
            self.saver.stop()
            self.reader.close()
            self.rollout.stop()
            self.inbox.refuse_all()

    def _fail(self, error: Exception) -> None:
        self.failure = str(error) if isinstance(error, SojournError) else f"{type(error).__name__} in the engine"
        if isinstance(error, SojournError):
            LOG.error("the engine has stopped: %s", error)
        else:
            LOG.exception("the engine has stopped")
        self.inbox.close()
        self.on_failure()

    def _recover(self) -> None:
        def report(share: float) -> None:
            self.progress = share

        env = self.env
        found = recover(env.store, env.folder, self.make_version, self.writer.derive, report)
        self.progress = 1.0
        self.writer.keep(found.pending)
        self.flush()  # before an erasure: what is pending may be about the erased customer
        erasure.resume(self, found.version)  # before anybody can see a customer who is being erased
        self.loaded_version = found.version
        self.reader = ReaderProcess(found.version.playbook.text, is_wanted=env.limits.read_beside)
        self.n_since_snapshot = found.n_calls
        self.inbox.open()
        LOG.info("ready: log position %d, %d customers", found.version.position, found.version.customers.n_customers)

    def make_version(self, number: int) -> Version:
        """A version of the store that has taken no record yet, with the models that it can use."""
        version = open_version(self.env, number)
        self.models.fit(version)
        return version

    # -- the cycle -------------------------------------------------------------------------------------------

    def _work(self) -> None:
        next_cycle = next_look = time.monotonic()
        while True:
            if self._written is None and not self.inbox.wait(0.0 if self.writer.has_pending else TICK_S):
                return
            applied_s = self._apply_read(next_cycle)
            if self.inbox.has_requests and not self.inbox.is_closed:
                self.inbox.wait_for_more(next_cycle)
            begin = time.monotonic()
            self._take_next()
            if begin >= next_look or self._written is None:
                next_look = begin + TICK_S
                self._look_at_clock()
            self.rollout.poll()
            self.models.poll(self.version)
            self.archiver.poll(self.now())
            # Large records cost less per call: after one that took long the next one may wait as long.
            took = applied_s + time.monotonic() - begin
            next_cycle = begin + max(self.env.limits.commit_interval_s, min(2 * took, _LONGEST_CYCLE_S))
            if not self.saver.is_busy and self.n_since_snapshot >= self.env.limits.snapshot_every:
                self._begin_snapshot()

    def _take_next(self) -> None:
        """Carry out a command; then the requests that wait, or what is left to apply or to write."""
        command = self.inbox.take_command()
        if command is not None:
            self._carry_out(command)
        if self.inbox.has_requests:
            self._take_requests()
        elif self._written is not None:
            self.apply_written()
        elif self.writer.has_pending:
            self.flush()

    def _take_requests(self) -> None:
        """Write the requests that wait as a record. The record before is applied while another process reads them."""
        taken = self.inbox.take_requests()
        columns = make_columns([one.request for one in taken])
        payload = encode_columns(columns)
        is_sent = self.reader.send(payload, len(columns))
        self.apply_written()
        now, begin = self.now(), time.perf_counter()
        try:
            position = self.writer.append(NewRecord(at=now, kind="calls", n=len(columns), payload=payload))
        except StoreError as error:
            self._refuse(taken, error, is_sent=is_sent)
            return
        answer(taken, None)
        self.timings.commit.add(time.perf_counter() - begin)
        self.n_since_snapshot += len(columns)
        self._written = _Written(position, now, columns, min(one.request.received_at for one in taken), is_sent)
        if not is_sent:
            self.apply_written()

    def _refuse(self, taken: Sequence[WaitingRequest], error: StoreError, *, is_sent: bool) -> None:
        """Tell the senders that their calls could not be written. Raises the error where the store is lost."""
        LOG.error("calls could not be written: %s", error)
        answer(taken, error)
        if is_sent:
            self.reader.receive()
        if not isinstance(error, StoreFull) and not self.env.store.is_writable:
            raise error
        time.sleep(RETRY_S)

    def _apply_read(self, until: float) -> float:
        """Apply the record that another process reads, if it is read before more are to be taken. Seconds it took."""
        if self._written is None or not self.reader.has_answer(max(until - time.monotonic(), 0.0)):
            return 0.0
        begin = time.monotonic()
        self.apply_written()
        return time.monotonic() - begin

    def apply_written(self) -> None:
        """Apply the record that is in the log and not applied yet, if there is one."""
        record, self._written = self._written, None
        if record is None:
            return
        read = self.reader.receive() if record.is_sent else None
        begin = time.perf_counter()
        with self.turns.write():
            outcome = self.version.take_calls(record.position, record.now, record.columns, read)
            self.rollout.follow_calls(record.position, record.now, record.columns)
            self.settle(outcome, record.now)
        self.timings.apply.add(time.perf_counter() - begin)
        self.timings.publish.add(max(self.env.clock() - record.received_at, 0) / 1e6)

    def _look_at_clock(self) -> None:
        """Do what is due by time alone, after everything that is in the log."""
        if self.version.is_due(self.now()):
            self.apply_written()
        if self.version.is_due(now := self.now()):
            self._pass_time(now)

    def _pass_time(self, now: int) -> None:
        try:
            position = self.writer.append(NewRecord(at=now, kind="clock", n=0, payload=b""))
        except StoreError as error:
            LOG.error("time could not be written: %s", error)
            if not self.env.store.is_writable:
                raise
            time.sleep(RETRY_S)
            return
        with self.turns.write():
            outcome = self.version.pass_time(position, now)
            self.rollout.follow_time(position, now)
            self.settle(outcome, now)

    def _carry_out(self, command: WaitingCommand) -> None:
        """Carry out a command: a record of its own, so that a start does the same again."""
        self.apply_written()
        self.flush()
        now = self.now()
        try:
            command.done.set_result(commands.carry_out(self, command.name, command.arguments, now, command.scan))
        except (SojournError, Overloaded) as error:
            command.done.set_exception(error)
        except BaseException:
            command.done.set_exception(Overloaded(5, is_starting=True))  # the engine ends; the caller must not wait
            raise

    def _begin_snapshot(self) -> None:
        self.apply_written()
        self.flush()
        with self.lock:
            self.saver.begin(self.version)
        self.n_since_snapshot = 0

    # -- for commands, erasure and deployments ---------------------------------------------------------------

    def flush(self) -> None:
        """Write what was derived from the last record, if that has not gone with another one."""
        self.writer.flush(is_last=self.inbox.is_closed)

    def read_log(self, after: int) -> Iterable[Record]:
        """The records after a position, of the archive and the log."""
        return read_records(self.env.store, self.env.folder / ARCHIVE, after)

    def log_command(self, name: str, arguments: Mapping[str, Any], now: int) -> int:
        """Write a command to the log; its position."""
        return self.writer.append(NewRecord(at=now, kind="command", n=0, payload=spell_command(name, arguments)))

    def settle(self, outcome: Outcome, now: int) -> None:
        """Publish the outcome of a record, and keep it to be written. Call with the lock held."""
        self.writer.settle(self.version, outcome, now)

    def follow_command(self, position: int, now: int, name: str, arguments: dict[str, Any]) -> None:
        """Let the shadow version take a command, too."""
        self.rollout.follow_command(position, now, name, arguments)

    def forget_in_shadow(self, ids: Sequence[str]) -> None:
        """Erase a customer from the shadow version."""
        self.rollout.forget(ids)

    def replace_version(self, version: Version, outcome: Outcome, now: int) -> None:
        """Put another version into use, and publish the outcome of that. Call with the lock held."""
        payload = spell_command("switch", {"version": version.number})
        self.writer.append_at_once(NewRecord(at=now, kind="command", n=0, payload=payload), version, outcome, now)
        self.models.fit(version)
        self.loaded_version = version
        self.reader.close()
        self.reader = ReaderProcess(version.playbook.text, is_wanted=self.env.limits.read_beside)
