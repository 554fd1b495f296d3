"""A process beside the engine that reads tracking calls, so that a second core does what costs most.

To read a call is a function of the call and the playbook alone. So it may be done anywhere, before the call is in the
log or after, and comes to the same; where the process is not there the engine reads by itself.
``python -m sojourn.engines.reading`` is that process: it gets a playbook, then payloads of records, and gives events.
"""

from __future__ import annotations

import logging
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import time
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from sojourn.calls import ReadCalls

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
        self._process: subprocess.Popen[bytes] | None = None
        self._is_ready = False
        self._start_at = 0.0 if is_wanted else float("inf")

    @property
    def is_ready(self) -> bool:
        """Whether the process is there and reads."""
        return self._is_ready

    def send(self, payload: bytes, n: int) -> bool:
        """Whether the process now reads these n calls; :meth:`receive` must then be called for them, once."""
        if n < FEWEST:
            return False
        if self._process is None:
            self._start()
            return False
        if not self._is_ready:
            return False
        try:
            _write(self._pipe(self._process.stdin), payload)
        except OSError:
            self._give_up()
            return False
        return True

    def receive(self) -> ReadCalls | None:
        """The events of the oldest record that was sent; None: they have to be read here."""
        if self._process is None:
            return None
        try:
            answer = _read(self._pipe(self._process.stdout))
        except OSError:
            answer = None
        if answer is None:
            self._give_up()
            return None
        # From a process that was started here, over a pipe that nobody else has.
        found: ReadCalls | None = pickle.loads(answer)
        return found

    def close(self) -> None:
        """End the process."""
        process, self._process, self._is_ready = self._process, None, False
        if process is not None:
            process.kill()
            process.communicate()

    @staticmethod
    def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
        assert pipe is not None
        return pipe

    def _start(self) -> None:
        if time.monotonic() < self._start_at:
            return
        self._start_at = time.monotonic() + _START_AGAIN_S
        command = [sys.executable, "-m", "sojourn.engines.reading"]
        try:
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        except OSError as error:
            LOG.error("no process for reading, the engine reads by itself: %s", type(error).__name__)
            return
        self._process = process
        threading.Thread(target=self._greet, args=(process,), name="sojourn-greet", daemon=True).start()

    def _greet(self, process: subprocess.Popen[bytes]) -> None:
        """Wait until it is ready: that takes a second or two, which the engine does not have."""
        try:
            _write(self._pipe(process.stdin), self._playbook)
            is_ready = _read(self._pipe(process.stdout)) == _READY
        except (OSError, ValueError):
            is_ready = False
        if self._process is process:
            self._is_ready = is_ready

    def _give_up(self) -> None:
        LOG.error("the process for reading has ended, the engine reads by itself for %d s", _START_AGAIN_S)
        self._start_at = time.monotonic() + _START_AGAIN_S
        self.close()


def _write(pipe: IO[bytes], frame: bytes) -> None:
    pipe.write(len(frame).to_bytes(8, "little"))
    pipe.write(frame)
    pipe.flush()


def _read(pipe: IO[bytes]) -> bytes | None:
    """The next frame; None where there is no more."""
    head = pipe.read(8)
    frame = pipe.read(int.from_bytes(head, "little")) if len(head) == 8 else b""
    return frame if len(head) == 8 and len(frame) == int.from_bytes(head, "little") else None


def main() -> None:
    """Read what comes on standard input until it ends, as it does when the engine's process does."""
    from sojourn.calls import CallReader
    from sojourn.fold import build_layout
    from sojourn.playbook import parse_playbook
    from sojourn.store import decode_calls

    for number in (signal.SIGINT, signal.SIGTERM):  # those are for the engine, which first finishes
        signal.signal(number, signal.SIG_IGN)
    source, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # nothing else may get between the answers
    playbook = parse_playbook((_read(source) or b"").decode())
    reader = CallReader(playbook, build_layout(playbook))
    _write(answers, _READY)
    waiting: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()

    def take() -> None:
        # At once, also while an answer waits to be taken: neither side may wait for the other.
        while (frame := _read(source)) is not None:
            waiting.put(frame)
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
            _write(answers, pickle.dumps(found, pickle.HIGHEST_PROTOCOL))
        except BrokenPipeError:
            return


if __name__ == "__main__":
    main()
