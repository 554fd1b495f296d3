"""The live engine as the server sees it: what may be sent and asked, from any thread, while one thread works."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from sojourn.live.engine import view
from sojourn.live.engine.environment import Environment
from sojourn.live.engine.erasure import scan_log
from sojourn.live.engine.inbox import Inbox
from sojourn.live.engine.log_writer import Listener, LogWriter, Route
from sojourn.live.engine.predictions import list_models
from sojourn.live.engine.records import check_command
from sojourn.live.engine.service import Request
from sojourn.live.engine.turns import Turns
from sojourn.live.engine.version import Version
from sojourn.live.engine.worker import Worker

_COUNTED_AT_ONCE = 20_000
"""Customers whose states are counted while the lock is held once."""


class Live:
    """The engine of a project: see :class:`sojourn.live.engine.service.Service` for what may be asked of it.

    ``route`` returns the messages to destinations for some changes, ``wake`` is called when the outbox has new rows.
    """

    def __init__(self, env: Environment, *, route: Route | None = None, wake: Callable[[], None] | None = None) -> None:
        """Not started."""
        self.env, self.turns = env, Turns()
        self.inbox = Inbox(env.limits.max_waiting)
        self.writer = LogWriter(env.store, self.turns.lock, route, wake)
        self.worker = Worker(env, self.inbox, self.writer, self.turns)
        self._thread = threading.Thread(target=self.worker.run, name="sojourn-engine", daemon=True)

    # -- start and end ---------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin: read the log, then work. Returns at once."""
        self._thread.start()

    def stop(self, within_s: float) -> None:
        """Write what waits, save a snapshot, and end."""
        self.inbox.close()
        self._thread.join(within_s)

    def on_failure(self, call: Callable[[], None]) -> None:
        """Have this called when the engine fails; at once where it has failed already."""
        self.worker.on_failure = call
        if self.worker.failure:
            call()

    @property
    def failure(self) -> str | None:
        """Why the engine has stopped, None where it has not failed."""
        return self.worker.failure

    @property
    def is_ready(self) -> bool:
        """Whether the log has been read and work goes on."""
        return self.inbox.is_open

    @property
    def lock(self) -> threading.Lock:
        """Held to read the version."""
        return self.turns.lock

    @property
    def version(self) -> Version:
        """The version in use. Raises Overloaded until the log has been read."""
        return self.worker.version

    # -- sent ------------------------------------------------------------------------------------------------

    def submit(self, request: Request) -> asyncio.Future[None]:
        """See the protocol. Called from an event loop."""
        return self.inbox.submit(request)

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """See the protocol. The listener is called at once with changes that are not in the store yet."""
        return self.writer.subscribe(listener)

    def command(self, name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """See the protocol."""
        check_command(name, arguments)
        scan = scan_log(self.worker, arguments["id"]) if name == "erase" else None
        return self.inbox.submit_command(name, arguments, scan).result()

    # -- asked -----------------------------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        """See the protocol."""
        worker = self.worker
        version, timings = worker.loaded_version, worker.timings
        found: dict[str, Any] = {
            "is_ready": self.is_ready,
            "failure": worker.failure,
            "progress": round(worker.progress, 3),
            "waiting": self.inbox.n_waiting,
            "log_position": self.env.store.last_position(),
            "is_reading_beside": worker.reader.is_ready,
            "stream_listeners": self.writer.n_listeners,
            "commit_s": timings.commit.rows(),
            "apply_s": timings.apply.rows(),
            "publish_s": timings.publish.rows(),
        }
        if version is not None:
            with self.lock:
                found |= {
                    "version": version.number,
                    "seq": version.seq,
                    "now": version.now,
                    "n_customers": version.customers.n_customers,
                    "n_ids": len(version.identities),
                    "n_events": len(version.event_files),
                    "memory_bytes": version.n_bytes,
                    "counts": dict(version.counts),
                    "shadow": worker.rollout.describe(),
                }
        return found

    def customer(self, id: str, fields: Sequence[str] | None = None) -> dict[str, Any] | None:
        """See the protocol."""
        with self.lock:
            return view.show_customer(self.version, id, self.worker.now(), fields)

    def glance(self, id: str, fields: Sequence[str] | None = None) -> tuple[bool, dict[str, Any] | None]:
        """See the protocol."""
        with self.turns.try_read() as is_held:
            found = view.show_customer(self.version, id, self.worker.now(), fields) if is_held else None
            return is_held, found

    def timeline(self, id: str, *, limit: int, before: int | None = None) -> dict[str, Any] | None:
        """See the protocol."""
        with self.lock:
            return view.show_timeline(self.version, id, limit=limit, before=before)

    def states(self) -> list[dict[str, Any]]:
        """See the protocol. Counted piece by piece, so that the engine does not wait for a million customers."""
        version = self.version
        counts = np.zeros(len(version.state_model.model.states), np.int64)
        for first in range(0, len(version.customers), _COUNTED_AT_ONCE):
            with self.lock:
                counts += version.count_states(first, first + _COUNTED_AT_ONCE)
        return view.list_states(version, counts)

    def audiences(self) -> list[dict[str, Any]]:
        """See the protocol."""
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
