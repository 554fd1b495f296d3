"""A second process that reads tracking calls, because reading costs more than everything else.

Reading is a function of the call and the playbook alone. So it may be done anywhere, before the call is in the log or
after, with the same result; where the process is missing the engine reads by itself.
``python -m sojourn.live.engine.reader_process`` is that process: it gets a playbook, then records, and gives their
events.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection

from sojourn.events.calls import CallReader, ReadCalls
from sojourn.fold import build_layout
from sojourn.live.store import decode_calls
from sojourn.playbook import parse_playbook

LOG = logging.getLogger("sojourn.live")
FEWEST = 64
"""Calls in a record for the process to read it. With fewer, sending them costs more than it saves."""
_START_AGAIN_S = 60.0
_READY = b"ready"


class ReaderProcess:
    """Reads records in another process, in the order in which they are sent. For one thread.

    The first record with enough calls starts the process; it is used once it has answered that it is ready.
    """

    def __init__(self, playbook: str, *, is_wanted: bool = True) -> None:
        self._playbook = playbook.encode()
        self._running: _Running | None = None
        self._start_at = 0.0 if is_wanted else float("inf")

    @property
    def is_ready(self) -> bool:
        """Whether the process reads records."""
        return self._running is not None and self._running.is_ready

    def send(self, payload: bytes, n: int) -> bool:
        """Whether the process now reads these n calls; :meth:`receive` must then be called for them, once."""
        if n < FEWEST:
            return False
        if self._running is None:
            self._start()
            return False
        if not self._running.is_ready:
            if self._running.process.poll() is not None:
                self._give_up()  # it ended before it was ready
            return False
        try:
            self._running.questions.send_bytes(payload)
        except OSError:
            self._give_up()
            return False
        return True

    def has_answer(self, within_s: float = 0.0) -> bool:
        """Whether :meth:`receive` would return at once; waits for that at most so long."""
        return self._running is None or self._running.answers.poll(within_s)

    def receive(self) -> ReadCalls | None:
        """The events of the oldest record that was sent; None: the caller has to read it."""
        if self._running is None:
            return None
        try:
            answer = self._running.answers.recv_bytes()
        except (OSError, EOFError):
            self._give_up()
            return None
        # Trusted: it comes from a process that was started here, over a pipe that no other process has.
        found: ReadCalls | None = pickle.loads(answer)
        return found

    def close(self) -> None:
        """End the process."""
        running, self._running = self._running, None
        if running is not None:
            running.process.kill()
            running.process.wait()

    def _start(self) -> None:
        if time.monotonic() < self._start_at:
            return
        self._start_at = time.monotonic() + _START_AGAIN_S
        command = [sys.executable, "-m", __name__]
        try:
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        except OSError as error:
            LOG.error("no process for reading, the engine reads by itself: %s", type(error).__name__)
            return
        assert process.stdin is not None
        assert process.stdout is not None
        questions = Connection(os.dup(process.stdin.fileno()), readable=False)
        answers = Connection(os.dup(process.stdout.fileno()), writable=False)
        process.stdin.close()
        process.stdout.close()
        self._running = _Running(process, questions, answers)
        threading.Thread(
            target=self._running.begin, args=(self._playbook,), name="sojourn-reader-start", daemon=True
        ).start()

    def _give_up(self) -> None:
        LOG.error("the process for reading has ended, the engine reads by itself for %d s", _START_AGAIN_S)
        self._start_at = time.monotonic() + _START_AGAIN_S
        self.close()


@dataclass
class _Running:
    """The process, and the two pipes to it."""

    process: subprocess.Popen[bytes]
    questions: Connection
    answers: Connection
    is_ready: bool = False

    def begin(self, playbook: bytes) -> None:
        """Send the playbook and wait until the process is ready: for a thread, since it takes a second or two."""
        with contextlib.suppress(OSError, EOFError):
            self.questions.send_bytes(playbook)
            self.is_ready = self.answers.recv_bytes() == _READY


def main() -> None:
    """Read what comes on standard input until it ends, as it does when the engine's process does."""
    for number in (signal.SIGINT, signal.SIGTERM):  # the engine gets them too, finishes, and ends this process
        signal.signal(number, signal.SIG_IGN)
    source, answers = Connection(os.dup(0), writable=False), Connection(os.dup(1), readable=False)
    os.dup2(2, 1)  # whatever else is printed must not get between the answers
    playbook = parse_playbook(source.recv_bytes().decode())
    reader = CallReader(playbook, build_layout(playbook))
    answers.send_bytes(_READY)
    waiting: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()

    def take() -> None:
        # Also while an answer waits to be received: else both sides could wait for each other.
        with contextlib.suppress(EOFError, OSError):
            while True:
                waiting.put(source.recv_bytes())
        waiting.put(None)

    threading.Thread(target=take, daemon=True).start()
    while (payload := waiting.get()) is not None:
        calls = decode_calls(payload)
        try:
            raw = [call or b"" for call in calls.raw]
            found = reader.read(raw, calls.kind, calls.received_at, calls.sent_at)
        except Exception:  # the engine reads it again, and reports the error
            found = None
        try:
            answers.send_bytes(pickle.dumps(found, pickle.HIGHEST_PROTOCOL))
        except BrokenPipeError:
            return


if __name__ == "__main__":
    main()
