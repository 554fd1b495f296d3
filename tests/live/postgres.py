"""A PostgreSQL of one's own for tests: made in a temporary folder, reached over 127.0.0.1, not made for keeping."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest


def find_binaries() -> Path | None:
    """The folder with ``initdb`` and ``pg_ctl``; None where PostgreSQL is not installed."""
    named = shutil.which("initdb")
    if named:
        return Path(named).resolve().parent
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else None


@contextmanager
def run_postgres() -> Iterator[str]:
    """The URL of a database of a server that runs as long as the context; skips the test where there is none."""
    binaries = find_binaries()
    if binaries is None:
        pytest.skip("needs PostgreSQL: no initdb found (Debian: apt install postgresql)")
    with TemporaryDirectory(prefix="sojourn-pg-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        as_other = _become_other(folder)
        data = folder / "data"
        _run(
            as_other, binaries / "initdb", "-D", data, "-U", "sojourn", "-A", "trust", "-N", "-E", "UTF8", "--locale=C"
        )
        port = _find_port()
        settings = f"-p {port} -c listen_addresses=127.0.0.1 -k {folder} -c fsync=off -c max_connections=50"
        _run(as_other, binaries / "pg_ctl", "-D", data, "-o", settings, "-l", folder / "log", "-w", "start")
        try:
            yield f"postgresql://sojourn@127.0.0.1:{port}/postgres"
        finally:
            _run(as_other, binaries / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")


def _become_other(folder: Path) -> list[str]:
    """PostgreSQL refuses to run as root: the command that runs another as its own user there."""
    if os.geteuid() != 0:
        return []
    for user in ("postgres", "nobody"):
        if subprocess.run(["id", user], capture_output=True).returncode == 0 and shutil.which("runuser"):
            shutil.chown(folder, user)
            return ["runuser", "-u", user, "--"]
    pytest.skip("needs PostgreSQL as another user than root: no runuser, or neither a user postgres nor nobody")


def _run(as_other: list[str], *command: object) -> None:
    done = subprocess.run(
        [*as_other, *map(str, command)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd="/", timeout=120
    )
    assert done.returncode == 0, done.stderr.decode(errors="replace")


def _find_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
