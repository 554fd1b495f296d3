"""The HTTP server: routes put together, errors put into words, and a process that stops in order."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sojourn.errors import Problem, SojournError
from sojourn.live import Settings
from sojourn.live.engine import Service
from sojourn.live.store import Store
from sojourn.server.access import Access
from sojourn.server.answers import EXPLAINED, answer, explain
from sojourn.server.api import (
    CUSTOMERS,
    STREAM_PATH,
    Parts,
    Streams,
    describe_api,
    is_of_a_customer,
    make_customer_reader,
    make_router,
    need,
    render_docs,
)
from sojourn.server.connections import GuardedProtocol, cut_late
from sojourn.server.ingest import PATHS, make_routes, make_taker
from sojourn.server.metrics import Metrics

LOG = logging.getLogger("sojourn.server")
_PLAIN = PATHS | {"/metrics"}
_SAFE = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"),
)
_STUCK_S = 1.0
_LOOK_EVERY = 20  # ticks of a tenth of a second


def build_app(
    service: Service,
    store: Store,
    settings: Settings,
    *,
    delivery_status: Callable[[], Mapping[str, Any]] | None = None,
) -> FastAPI:
    """The whole server as an ASGI application. ``app.state.streams`` ends the open streams."""
    access = Access(store, n_events_per_s=settings.rate_limit)
    streams = Streams(service, store)
    metrics = Metrics(service.status, store.outbox_counts)
    parts = Parts(service, store, access, streams, delivery_status or dict, settings.results)

    app = _App(
        title="Sojourn",
        version=version("sojourn"),
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.streams = streams
    app.take = _Counted(make_taker(service, access), metrics)
    app.read_customer = _Counted(make_customer_reader(parts), metrics)
    app.router.routes.extend(make_routes(service, access))
    app.include_router(make_router(parts))
    _add_operations(app, parts, metrics)
    _add_errors(app)
    app.openapi = lambda: describe_api(app)  # type: ignore[method-assign]
    app.add_middleware(_Counted, metrics=metrics)
    return app


def _add_operations(app: FastAPI, parts: Parts, metrics: Metrics) -> None:
    @app.get("/healthz", tags=["operations"])
    async def check_health() -> dict[str, Any]:
        """200 as long as the process answers."""
        return {"is_alive": True}

    @app.get("/readyz", tags=["operations"], responses={503: {}})
    def check_readiness() -> Response:
        """200 once the log has been read and calls are taken; 503 before, and when the engine has failed."""
        status = parts.service.status()
        found = {name: status.get(name) for name in ("is_ready", "progress")}
        headers = {} if status["is_ready"] else {"Retry-After": "1"}
        return answer(found, 200 if status["is_ready"] else 503, headers)

    async def read_metrics(request: Request) -> Response:
        await need(parts, "read")(request)
        text = await run_in_threadpool(metrics.render)
        return Response(text, media_type="text/plain; version=1.0.0; charset=utf-8")

    app.add_route("/metrics", read_metrics, methods=["GET"], include_in_schema=False)

    @app.get("/docs", include_in_schema=False)
    async def show_docs() -> Response:
        return HTMLResponse(render_docs(app.openapi()))


def _add_errors(app: FastAPI) -> None:
    async def explain_error(request: Request, error: Exception) -> Response:
        return explain(error)

    for kind in EXPLAINED:
        app.add_exception_handler(kind, explain_error)


class _App(FastAPI):
    """The application, with a short way to what has to be quick."""

    take: ASGIApp
    read_customer: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        method = scope["method"] if scope["type"] == "http" else ""
        if method == "POST" and scope["path"] in PATHS:
            await self.take(scope, receive, send)
        elif method == "GET" and is_of_a_customer(scope):
            await self.read_customer(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


class _Counted:
    """Counts answers by route, and adds headers that every answer has."""

    def __init__(self, app: Any, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics
        self._counters: dict[tuple[str, int], Any] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *_SAFE]
                self._count(scope, message["status"])
            await send(message)

        await self._app(scope, receive, send_counted)

    def _count(self, scope: Scope, status: int) -> None:
        route = getattr(scope.get("route"), "path", None)
        if route is None:  # routes of Starlette's own kind leave nothing there; other paths are anybody's invention
            path = scope["path"]
            route = path if path in _PLAIN else "/v1/customers/{id}" if path.startswith(CUSTOMERS) else "none"
        if (route, status) not in self._counters:
            self._counters[route, status] = self._metrics.requests.labels(route, str(status))
        self._counters[route, status].inc()


def run_server(
    app: FastAPI,
    host: str,
    port: int,
    *,
    stop_within_s: float,
    announce: Callable[[Callable[[], None]], None] | None = None,
) -> None:
    """Serve until SIGTERM, SIGINT, or until the function that ``announce`` gets is called; then finish requests.

    Raises SojournError when the address cannot be had.
    """
    listener = _listen(host, port)
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http=GuardedProtocol,
        ws="none",
        lifespan="off",
        access_log=False,
        server_header=False,
        log_config=None,
        timeout_graceful_shutdown=max(round(stop_within_s), 1),
        backlog=2_048,
    )
    server = _make_server(config, app.state.streams)
    if announce is not None:
        announce(lambda: setattr(server, "should_exit", True))
    # The server raises again what has ended it; the process has more to do then.
    before = {kind: signal.signal(kind, lambda *_: None) for kind in (signal.SIGINT, signal.SIGTERM)}
    LOG.info("listening on http://%s:%d", host, listener.getsockname()[1])
    try:
        server.run(sockets=[listener])
    finally:
        listener.close()
        for kind, handler in before.items():
            signal.signal(kind, handler)


def _make_server(config: uvicorn.Config, streams: Streams) -> uvicorn.Server:
    class Server(uvicorn.Server):
        """Ends open streams first when it is told to stop, so that they do not hold it back."""

        async def on_tick(self, counter: int) -> bool:
            if counter % _LOOK_EVERY == 0:
                cut_late(self.server_state, asyncio.get_running_loop().time())
            return await super().on_tick(counter)

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            streams.stop()
            cut = asyncio.get_running_loop().call_later(_STUCK_S, self._cut_stuck)
            await super().shutdown(sockets)
            cut.cancel()

        def _cut_stuck(self) -> None:
            """Cut off readers that have not even taken what was sent to them, and who has not sent all yet: nothing
            else ends those soon."""
            cut_late(self.server_state, asyncio.get_running_loop().time(), _STUCK_S)
            for connection in list(self.server_state.connections):
                cycle = getattr(connection, "cycle", None)
                if cycle is not None and cycle.scope["path"] == STREAM_PATH:
                    connection.transport.abort()

    return Server(config)


def _listen(host: str, port: int) -> socket.socket:
    try:
        kind = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.create_server((host, port), family=kind, backlog=2_048)
    except OSError as error:
        what = f"cannot listen ({error.strerror or error})"
        raise SojournError(Problem(f"{host}:{port}", what, command="sojourn serve --port N")) from None
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener
