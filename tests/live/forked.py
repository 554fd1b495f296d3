"""Commands of Sojourn in processes of their own that begin at once: forked from one that has imported everything.

A test that starts a server fifty times would else spend its time importing. Run as a script this is the process that
forks: it reads requests, a line of JSON each, and answers each with a line.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests import ROOT


class Forker:
    """The process from which commands are forked."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.live.forked"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(self, arguments: Sequence[str], log: Path) -> Forked:
        """``sojourn`` with these arguments, in a session of its own; what it prints goes to the end of ``log``."""
        return Forked(self, int(self.ask(["start", *arguments, str(log)])))

    def ask(self, request: Sequence[str]) -> str:
        """The answer to a request."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().strip()

    def close(self) -> None:
        """End it; what it has started goes on."""
        self._process.communicate()


class Forked:
    """A command that runs, as :class:`subprocess.Popen` shows one."""

    def __init__(self, forker: Forker, pid: int) -> None:
        self.pid, self.returncode = pid, None
        self._forker = forker

    returncode: int | None

    def poll(self) -> int | None:
        """Its exit code, None while it runs."""
        if self.returncode is None:
            answer = self._forker.ask(["poll", str(self.pid)])
            self.returncode = int(answer) if answer else None
        return self.returncode

    def terminate(self) -> None:
        """Ask it to end."""
        os.kill(self.pid, signal.SIGTERM)

    def wait(self, within_s: float) -> int:
        """Its exit code, once it has ended."""
        end = time.monotonic() + within_s
        while (code := self.poll()) is None:
            if time.monotonic() > end:
                raise TimeoutError(f"process {self.pid} goes on after {within_s:g} s")
            time.sleep(0.01)
        return code


def _start(arguments: Sequence[str], log: str) -> int:
    pid = os.fork()
    if pid:
        return pid
    os.setsid()
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for number in (1, 2):
        os.dup2(file, number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.argv = ["sojourn", *arguments]
    from sojourn.cli.main import main

    main()
    os._exit(0)


def _poll(pid: int) -> str:
    ended, status = os.waitpid(pid, os.WNOHANG)
    return str(os.waitstatus_to_exitcode(status)) if ended else ""


def _warm_up() -> None:
    """Import what a server imports, and load what it has compiled."""
    import sojourn.cli.commands.live.serve
    import sojourn.live.open
    import sojourn.server.app
    import sojourn.server.process  # noqa: F401
    from sojourn.live.engine.version.version import Version
    from sojourn.live.engine.view import show_customer
    from sojourn.live.store.calls import decode_calls, encode_calls
    from sojourn.playbook.load import load_playbook
    from sojourn.states.model import draft_state_model

    book, now = load_playbook("shop"), 1_760_000_000_000_000
    call = {"type": "track", "userId": "u", "event": "Product Viewed", "messageId": "m"}
    calls = decode_calls(encode_calls([json.dumps(call).encode()], 0, now, None, "k"))
    with tempfile.TemporaryDirectory() as folder:
        version = Version(
            1, book, draft_state_model(book), Path(folder) / "past", duplicates_within_us=10**13,
            stored=_NothingStored(),
        )  # fmt: skip
        version.take_calls(1, now, calls)
        version.pass_time(2, now + 86_400_000_000)
        show_customer(version, "u", now + 86_400_000_000, None)
        version.event_files.close()


class _NothingStored:
    """A store with nothing in it."""

    def customer_changes(self, customer_ids: Any, *, include_revoked: bool = False) -> list[Any]:
        return []

    def read_profiles(self, nodes: Any) -> dict[int, Any]:
        return {}


def _serve() -> None:
    _warm_up()
    for line in sys.stdin:
        what, *arguments = json.loads(line)
        answer = _start(arguments[:-1], arguments[-1]) if what == "start" else _poll(int(arguments[0]))
        print(answer, flush=True)


if __name__ == "__main__":
    _serve()
