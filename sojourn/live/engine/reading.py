"""A process beside the engine that reads tracking calls, so that a second core does what costs most.

To read a call is a function of the call and the playbook alone. So it may be done anywhere, before the call is in the
log or after, and comes to the same; where the process is not there the engine reads by itself.
``python -m sojourn.live.engine.reading`` is that process: it gets a playbook, then payloads of records, and gives
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
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sojourn.events.calls.read import ReadCalls

LOG = logging.getLogger("sojourn.live")
FEWEST = 64
"""Calls in a record that are read elsewhere; with fewer the way there and back costs more than it saves."""
_START_AGAIN_S = 60.0
_READY = b"ready"


class Reading:
    """Reads records in another process, in the order in which they are sent. For one thread.

    The process is started by the first record that is worth it, and used once it says that it is ready.
    """

    def __init__(self, playbook: str, *, is_wanted: bool = True) -> None:
        self._playbook = playbook.encode()
        self._beside: _Beside | None = None
        self._start_at = 0.0 if is_wanted else float("inf")

    @property
    def is_ready(self) -> bool:
        """Whether the process is there and reads."""
        return self._beside is not None and self._beside.is_ready

    def send(self, payload: bytes, n: int) -> bool:
        """Whether the process now reads these n calls; :meth:`receive` must then be called for them, once."""
        if n < FEWEST:
            return False
        if self._beside is None:
            self._start()
            return False
        if not self._beside.is_ready:
            if self._beside.process.poll() is not None:
                self._give_up()  # it ended before it was ready
            return False
        try:
            self._beside.questions.send_bytes(payload)
        except OSError:
            self._give_up()
            return False
        return True

    def has_answer(self, within_s: float = 0.0) -> bool:
        """Whether :meth:`receive` has nothing to wait for; waits for that at most so long."""
        return self._beside is None or self._beside.answers.poll(within_s)

    def receive(self) -> ReadCalls | None:
        """The events of the oldest record that was sent; None: they have to be read here."""
        if self._beside is None:
            return None
        try:
            answer = self._beside.answers.recv_bytes()
        except (OSError, EOFError):
            self._give_up()
            return None
        # From a process that was started here, over a pipe that nobody else has.
        found: ReadCalls | None = pickle.loads(answer)
        return found

    def close(self) -> None:
        """End the process."""
        beside, self._beside = self._beside, None
        if beside is not None:
            beside.process.kill()
            beside.process.wait()

    def _start(self) -> None:
        if time.monotonic() < self._start_at:
            return
        self._start_at = time.monotonic() + _START_AGAIN_S
        command = [sys.executable, "-m", "sojourn.live.engine.reading"]
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
        self._beside = _Beside(process, questions, answers)
        threading.Thread(target=self._beside.greet, args=(self._playbook,), name="sojourn-greet", daemon=True).start()

    def _give_up(self) -> None:
        LOG.error("the process for reading has ended, the engine reads by itself for %d s", _START_AGAIN_S)
        self._start_at = time.monotonic() + _START_AGAIN_S
        self.close()


@dataclass
class _Beside:
    """The process, and the two pipes to it."""

    process: subprocess.Popen[bytes]
    questions: Connection
    answers: Connection
    is_ready: bool = False

    def greet(self, playbook: bytes) -> None:
        """Wait until it is ready: that takes a second or two, which the engine does not have."""
        with contextlib.suppress(OSError, EOFError):
            self.questions.send_bytes(playbook)
            self.is_ready = self.answers.recv_bytes() == _READY


def main() -> None:
    """Read what comes on standard input until it ends, as it does when the engine's process does."""
    from sojourn.events.calls.read import CallReader
    from sojourn.fold.layout import build_layout
    from sojourn.live.store.calls import decode_calls
    from sojourn.playbook.load import parse_playbook

    for number in (signal.SIGINT, signal.SIGTERM):  # those are for the engine, which first finishes
        signal.signal(number, signal.SIG_IGN)
    source, answers = Connection(os.dup(0), writable=False), Connection(os.dup(1), readable=False)
    os.dup2(2, 1)  # nothing else may get between the answers
    playbook = parse_playbook(source.recv_bytes().decode())
    reader = CallReader(playbook, build_layout(playbook))
    answers.send_bytes(_READY)
    waiting: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()

    def take() -> None:
        # At once, also while an answer waits to be taken: neither side may wait for the other.
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
        except Exception:  # the engine comes to the same, and says so where it should be said
            found = None
        try:
            answers.send_bytes(pickle.dumps(found, pickle.HIGHEST_PROTOCOL))
        except BrokenPipeError:
            return


if __name__ == "__main__":
    main()
