"""`sojourn serve`: a project's store, engine, deliveries and HTTP server put together, and taken apart in order."""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence
from pathlib import Path

from sojourn.act import Change, OutboxRow
from sojourn.act.destinations import Delivery, route_changes
from sojourn.errors import Problem, SojournError
from sojourn.live import Settings, load_settings, open_live
from sojourn.live.engine import Route, predict_customers
from sojourn.live.engine.version import Version
from sojourn.live.store import open_store
from sojourn.server.app import build_app, run_server
from sojourn.server.log import start_log


def serve(project: Path, host: str | None = None, port: int | None = None) -> None:
    """Serve a project until SIGTERM or SIGINT. Raises SojournError where it cannot be started, or had to end."""
    if not project.is_dir():
        raise SojournError(Problem(str(project), "there is no such folder", command=f"sojourn init {project}"))
    settings = load_settings(project)
    start_log()
    set_pace()
    with open_store(settings.store) as store:
        delivery = Delivery(store, settings.destinations)
        live = open_live(project, settings, store, route=_route_to(settings), wake=delivery.wake)
        live.start()
        delivery.start()
        app = build_app(live, store, settings, delivery_status=delivery.status)

        try:
            run_server(
                app,
                host or settings.host,
                settings.port if port is None else port,
                stop_within_s=settings.stop_within_s,
                announce=live.on_failure,
            )
        finally:
            delivery.stop(settings.stop_within_s)
            live.stop(settings.stop_within_s)
        if live.failure:
            raise SojournError(Problem("sojourn serve", live.failure))


def set_pace() -> None:
    """Tell Python that answers matter more than the last bit of throughput."""
    # Threads take turns ten times as often as by default: an answer must not wait for the engine's next pause.
    sys.setswitchinterval(0.0005)
    # What is imported stays. The rest is looked through for cycles rarely: that stops everything for 0.1 s.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 50, 200)


def _route_to(settings: Settings) -> Route | None:
    """Which changes go where; None without destinations."""
    destinations = settings.destinations
    if not destinations:
        return None

    def route(changes: Sequence[Change], now: int, version: Version) -> list[OutboxRow]:
        purposes = {audience.name: audience.purpose for audience in version.playbook.audiences}
        return route_changes(
            changes,
            destinations,
            now=now,
            consent_of=version.consent_of,
            purpose_of_audience=purposes,
            predict=lambda ids: predict_customers(version, ids, now),
        )

    return route
