"""A live engine and a store that only say what a test wants: for what the HTTP side does by itself.

Run as a program it serves an endless feed: ``python -m tests.server.fake_service PORT``, for
the key ``key-of-a-reader-in-tests``.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence
from typing import Any

from sojourn.act.changes import Change
from sojourn.live.engine.service import Request
from sojourn.live.settings import Settings
from sojourn.live.store.rows import Key
from sojourn.server.access import create_key
from sojourn.server.app import build_app, run_server


def make_change(seq: int, kind: str = "moment", **more: Any) -> Change:
    """A change as the engine would tell it."""
    return Change(seq, f"chg_{seq}", kind, f"u{seq}", seq * 1_000_000, "upgrade", None, {"version": 1} | more)


class FakeService:
    """Takes every request at once, and tells what it is told to tell."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.listeners: list[Callable[[Sequence[Change]], None]] = []

    def submit(self, request: Request) -> asyncio.Future[None]:
        self.requests.append(request)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done

    def subscribe(self, listener: Callable[[Sequence[Change]], None]) -> Callable[[], None]:
        self.listeners.append(listener)
        return lambda: self.listeners.remove(listener)

    def tell(self, *changes: Change) -> None:
        for listener in list(self.listeners):
            listener(changes)

    def status(self) -> dict[str, Any]:
        return {"is_ready": True}

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"nothing asks this service for {name}")


class FakeStore:
    """Keys in memory, and the changes of a list; or an endless feed."""

    def __init__(self, changes: Sequence[Change] | None = ()) -> None:
        self.keys: list[Key] = []
        self.changes = changes

    def add_key(self, key: Key) -> None:
        self.keys.append(key)

    def find_keys(self) -> Sequence[Key]:
        return self.keys

    def read_changes(self, after: int, *, limit: int, kinds: Sequence[str] | None = None) -> list[Change]:
        if self.changes is None:
            return [make_change(after + 1 + i) for i in range(limit)]
        return [change for change in self.changes if change.seq > after][:limit]

    def outbox_counts(self) -> dict[str, dict[str, int]]:
        return {}

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"nothing asks this store for {name}")


def serve_endless_feed(port: int) -> None:
    """Serve a feed that has no end, until a signal comes."""
    store: Any = FakeStore(None)
    service: Any = FakeService()
    create_key(store, "reader", ["read"], text="key-of-a-reader-in-tests")
    run_server(build_app(service, store, Settings()), "127.0.0.1", port, stop_within_s=600.0)


def main() -> None:
    """Serve at the port of the command line."""
    serve_endless_feed(int(sys.argv[1]))


if __name__ == "__main__":
    main()
