"""`sojourn serve`: a project's store, engine, deliveries and HTTP server put together, and taken apart in order."""

from __future__ import annotations

import gc
import json
import logging
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sojourn.config import Settings, load_settings
from sojourn.deploy import Release, add_release, draft_release
from sojourn.destinations.delivery import Delivery
from sojourn.destinations.routing import route_changes
from sojourn.engines.live import Limits, Live, Route
from sojourn.engines.predictions import predict_customers
from sojourn.engines.recovery import ACTIVE, note_active, read_active
from sojourn.engines.service import Change
from sojourn.engines.version import Version
from sojourn.errors import Problem, SojournError
from sojourn.instants import now_us
from sojourn.playbook import parse_playbook
from sojourn.state_model import read_state_model
from sojourn.store import OutboxRow, Store, open_store

LOG = logging.getLogger("sojourn.live")
_LONGEST_LINE = 200


def open_live(
    project: Path, settings: Settings, store: Store, *, clock: Callable[[], int] | None = None,
    route: Route | None = None, wake: Callable[[], None] | None = None,
) -> Live:  # fmt: skip
    """The engine of a project, not started; on the first start the project's playbook becomes version 1.

    Raises SojournError where the project has no playbook, or one that is wrong.
    """
    folder = project / "live"
    folder.mkdir(mode=0o700, exist_ok=True)  # personal data: for its owner only
    if store.get_meta(ACTIVE) is None:
        number = add_release(store, _read_project(project), at=now_us())
        note_active(store, number)
    _compare_playbook(project, store)
    limits = Limits(
        commit_interval_s=settings.commit_interval_s,
        max_waiting=settings.max_waiting,
        snapshot_every=settings.snapshot_every,
        duplicates_within_s=settings.duplicates_within_s,
        archive_after_s=settings.archive_after_s,
        retention_s=settings.retention_s,
        read_beside=settings.read_beside and (os.cpu_count() or 1) > 1,
    )
    return Live(
        store, folder, limits, clock=clock, route=route, wake=wake, models=settings.models, results=settings.results
    )


def _read_project(project: Path) -> Release:
    """The project's playbook, and its model.json if it has one."""
    path = project / "playbook.yaml"
    if not path.exists():
        raise SojournError(Problem(str(path), "a project needs a playbook", command=f"sojourn init {project}"))
    release = draft_release(str(path))
    described = project / "model.json"
    if not described.exists():
        return release
    try:
        model: dict[str, Any] = json.loads(described.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SojournError(Problem(str(described), f"cannot be read ({type(error).__name__})")) from None
    read_state_model(model, parse_playbook(release.playbook, str(path)), str(described))
    return Release(release.playbook, model, f"model.json of {project.resolve().name}")


def _compare_playbook(project: Path, store: Store) -> None:
    """Say so where the file is not what is in use: a start does not change what states mean."""
    path = project / "playbook.yaml"
    number = read_active(store)["version"]
    known = {version.playbook for version in store.list_versions()}
    if path.exists() and path.read_text(encoding="utf-8") not in known:
        LOG.warning("%s is not deployed; version %d is in use. Run: sojourn deploy --playbook %s", path, number, path)


def serve(project: Path, host: str | None = None, port: int | None = None) -> None:
    """Serve a project until SIGTERM or SIGINT. Raises SojournError where it cannot be started, or had to end."""
    from sojourn.server.app import build_app, run_server

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

        def announce(stop: Callable[[], None]) -> None:
            live.on_failure = stop
            if live.failure:
                stop()

        try:
            run_server(
                app, host or settings.host, settings.port if port is None else port,
                stop_within_s=settings.stop_within_s, announce=announce,
            )  # fmt: skip
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
            changes, destinations, now=now, consent_of=version.consent_of, purpose_of_audience=purposes,
            predict=lambda ids: predict_customers(version, ids, now),
        )  # fmt: skip

    return route


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "at": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if not record.name.startswith("sojourn"):  # what other libraries go on to say may be of a customer
            line["message"] = line["message"].partition("\n")[0][:_LONGEST_LINE]
        if record.exc_info and record.exc_info[1] is not None:
            trace = record.exc_info[2]
            while trace is not None and trace.tb_next is not None:
                trace = trace.tb_next
            # The exception's own words may hold what a customer sent.
            line["error"] = type(record.exc_info[1]).__name__
            line["where"] = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else ""
        return json.dumps(line, ensure_ascii=False)


def start_log() -> None:
    """One JSON object per line on standard error, without personal data."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLines())
    logging.getLogger().handlers[:] = [handler]
    logging.getLogger("sojourn").setLevel(logging.INFO)
    logging.getLogger("uvicorn").setLevel(logging.ERROR)  # anybody can bring its warnings about
