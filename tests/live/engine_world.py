"""The live engine in this process, on a real store, with a clock that tests set."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from sojourn.act.changes import Change
from sojourn.live.engine.live import Live
from sojourn.live.engine.service import Request
from sojourn.live.open import open_live
from sojourn.live.settings import load_settings
from sojourn.live.store.changes import StoredChange
from sojourn.live.store.store import Store, open_store

SECOND = 1_000_000


class Engine:
    """A running engine. ``now`` is its clock, in microseconds."""

    def __init__(self, project: Path, now: int, *, is_read_beside: bool = False) -> None:
        self.project, self.now = project, now
        self.settings = replace(load_settings(project), read_beside=is_read_beside)
        (project / "live").mkdir(exist_ok=True)
        self.store: Store = open_store(self.settings.store)
        self.live: Live = open_live(project, self.settings, self.store, clock=lambda: self.now)
        self.published: list[Change] = []
        self._now_with_calls: int | None = None
        take_requests = self.live.inbox.take_requests

        def take_and_set_clock() -> Any:
            taken = take_requests()
            if self._now_with_calls is not None:
                self.now, self._now_with_calls = self._now_with_calls, None
            return taken

        self.live.inbox.take_requests = take_and_set_clock  # type: ignore[method-assign]
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def start(self) -> None:
        self.live.start()
        while not self.live.is_ready:
            assert self.live.failure is None, self.live.failure
            time.sleep(0.002)
        self.live.subscribe(self.published.extend)

    def send_at(self, now: int, calls: Sequence[bytes | dict[str, Any]]) -> None:
        """The same, and it is that time from when the engine takes them: it never sees one without the other."""
        self._now_with_calls = max(self.now, now)
        self.send(calls)

    def send(self, calls: Sequence[bytes | dict[str, Any]], *, sent_at: int | None = None, kind: str = "") -> None:
        """Send calls as one request, and return when they are durable and applied."""
        self.submit(calls, sent_at=sent_at, kind=kind)
        self.settle()

    def submit(self, calls: Sequence[bytes | dict[str, Any]], *, sent_at: int | None = None, kind: str = "") -> None:
        """The same, without waiting for more than that they are durable."""
        self.submit_later(calls, sent_at=sent_at, kind=kind).result(120)

    def submit_later(
        self, calls: Sequence[bytes | dict[str, Any]], *, sent_at: int | None = None, kind: str = ""
    ) -> Future[None]:
        """The same, without waiting. Raises Overloaded where too much waits."""
        raw = [call if isinstance(call, bytes) else json.dumps(call).encode() for call in calls]
        request = Request(raw, kind, self.now, sent_at, "test")

        async def submit() -> asyncio.Future[None]:
            return self.live.submit(request)

        async def wait(durable: asyncio.Future[None]) -> None:
            await durable

        durable = asyncio.run_coroutine_threadsafe(submit(), self._loop).result(120)
        return asyncio.run_coroutine_threadsafe(wait(durable), self._loop)

    def settle(self) -> None:
        """Wait until all that is in the log is applied and written."""
        end = time.monotonic() + 120
        while time.monotonic() < end:
            assert self.live.failure is None, self.live.failure
            with self.live.lock:
                version = self.live.version
                is_done = version.position == self.store.last_position() and not self.live.writer.has_pending
                if is_done and not version.is_due(self.live.worker.now()):
                    return
            time.sleep(0.001)
        raise AssertionError("the engine has not come to rest")

    def pass_time(self, seconds: float) -> None:
        self.now += round(seconds * SECOND)
        self.settle()

    def changes(self, kind: str = "transition", *, is_revoked: bool = False) -> list[StoredChange]:
        """The changes of a kind that stand, or all of them."""
        found = self.store.read_changes(0, limit=1_000_000, kinds=[kind])
        return [change for change in found if is_revoked or change.revoked_by is None]

    def close(self, *, is_saved: bool = True) -> None:
        if is_saved:
            self.live.stop(30)
            assert self.live.failure is None, self.live.failure
        self._loop.call_soon_threadsafe(self._loop.stop)
        self.store.close()


def make_project(project: Path, playbook: str, model: dict[str, Any] | None = None, settings: str = "") -> Path:
    """A project folder with a playbook, and a model if there is one."""
    project.mkdir(parents=True, exist_ok=True)
    (project / "playbook.yaml").write_text(playbook, encoding="utf-8")
    if model is not None:
        (project / "model.json").write_text(json.dumps(model), encoding="utf-8")
    if settings:
        (project / "settings.yaml").write_text(settings, encoding="utf-8")
    return project


@contextmanager
def open_engine(project: Path, now: int, *, is_read_beside: bool = False) -> Iterator[Engine]:
    """An engine at work on a project, stopped in order at the end."""
    engine = Engine(project, now, is_read_beside=is_read_beside)
    try:
        engine.start()
        yield engine
    except BaseException:
        engine.live.stop(30)
        engine.close(is_saved=False)
        raise
    engine.close()


def shuffle(keys: Sequence[tuple[Any, Any]], rng: np.random.Generator) -> list[int]:
    """A random order of rows in which rows of equal keys keep theirs: nobody could tell which of them was first."""
    order = rng.permutation(len(keys)).tolist()
    places: dict[tuple[Any, Any], list[int]] = {}
    for place, row in enumerate(order):
        places.setdefault(keys[row], []).append(place)
    found = [0] * len(keys)
    for of in places.values():
        rows = sorted(order[place] for place in of)
        for place, row in zip(sorted(of), rows, strict=True):
            found[place] = row
    return found


def cut(rows: Sequence[int], rng: np.random.Generator, most: int) -> Iterable[list[int]]:
    """The rows in batches of random sizes."""
    begin = 0
    while begin < len(rows):
        size = int(rng.integers(1, most + 1))
        yield list(rows[begin : begin + size])
        begin += size
