"""A real `sojourn serve` in a project of its own, for tests: started, asked, stopped, killed, started again."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from tests.live.forked import Forked, Forker

SOJOURN = [sys.executable, "-c", "from sojourn.cli.main import main; main()"]
START_S, STOP_S = 300.0, 120.0


@dataclass
class LiveServer:
    """A project folder, and the server that may be running on it."""

    project: Path
    port: int
    keys: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | Forked | None = None
    forker: Forker | None = None

    @property
    def url(self) -> str:
        """Where the server listens."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def log_file(self) -> Path:
        """What the server printed."""
        return self.project / "server.log"

    def start(self) -> None:
        """Start the server and wait until it is ready."""
        arguments = ["serve", "--project", str(self.project), "--port", str(self.port)]
        if self.forker is not None:
            self.process = self.forker.start(arguments, self.log_file)
        else:
            with self.log_file.open("ab") as log:
                self.process = subprocess.Popen([*SOJOURN, *arguments], stdout=log, stderr=log, start_new_session=True)
        end = time.monotonic() + START_S
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise AssertionError(f"the server ended with {self.process.returncode}:\n{self.log_file.read_text()}")
            try:
                if self.ask("GET", "/readyz", key=None)[0] == 200:
                    return
            except OSError:
                pass
            time.sleep(0.05)
        self.kill()
        raise AssertionError(f"the server was not ready after {START_S:g} s:\n{self.log_file.read_text()}")

    def stop(self) -> int:
        """Ask the server to stop (SIGTERM) and wait; its exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.terminate()
        code = self.process.wait(STOP_S)
        self.process = None
        return code

    def kill(self) -> None:
        """Kill the server at once (SIGKILL), as a power cut would."""
        if self.process is not None:
            if self.process.poll() is None:
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(STOP_S)
            self.process = None

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        key: str | None = "read",
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, Any]:
        """Status and JSON (or text) of an answer. ``key`` is the scope of the key to use; bytes go as they are."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        url = f"{self.url}{path}" + (f"?{urlencode(query)}" if query else "")
        request = urllib.request.Request(url, data, dict(headers or {}), method=method)
        if key is not None and not request.has_header("Authorization"):
            request.add_header("Authorization", f"Bearer {self.keys[key]}")
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                status, text = answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            status, text = error.code, error.read().decode()
        try:
            return status, json.loads(text)
        except ValueError:
            return status, text

    def send(self, calls: Sequence[Mapping[str, Any]]) -> None:
        """Post calls as one batch, which must be acknowledged."""
        status, said = self.ask("POST", "/v1/batch", {"batch": list(calls), "writeKey": self.keys["write"]}, key=None)
        assert status == 200, (status, said)

    def customer(self, id: str) -> dict[str, Any]:
        """What the server knows of a customer."""
        status, said = self.ask("GET", f"/v1/customers/{quote(id, safe='')}")
        assert status == 200, (status, said)
        found: dict[str, Any] = said
        return found

    def run(self, *arguments: str) -> Any:
        """What a `sojourn` command on this project prints with ``--json``."""
        command = [*SOJOURN, *arguments, "--project", str(self.project), "--json"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=START_S, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def add_key(self, scope: str, *more: str) -> str:
        """Make a key of this scope; its text."""
        made: str = self.run("keys", "add", f"test-{scope}", "--scope", scope, *more)["key"]
        self.keys[scope] = made
        return made


def find_port() -> int:
    """A port of this machine that is free now."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


@contextmanager
def open_server(project: Path, playbook: str, *, settings: str = "") -> Iterator[LiveServer]:
    """A server on a new project with this playbook text and settings, and keys of all three scopes."""
    project.mkdir(parents=True, exist_ok=True)
    (project / "playbook.yaml").write_text(playbook, encoding="utf-8")
    if settings:
        (project / "settings.yaml").write_text(settings, encoding="utf-8")
    server = LiveServer(project, find_port())
    for scope in ("write", "read", "admin"):
        server.add_key(scope)
    server.start()
    try:
        yield server
    finally:
        server.kill()
