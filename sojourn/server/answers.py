"""Answers of the HTTP server: JSON, and errors that say where, what, the nearest match and the next command."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from sojourn.errors import Problem, SojournError, StoreError
from sojourn.live.engine import Overloaded

LOG = logging.getLogger("sojourn.server")
CODES = {
    400: "bad_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "bad_method",
    409: "conflict",
    413: "too_large",
    422: "bad_parameters",
    429: "too_many",
    500: "server_error",
    503: "unavailable",
}


def answer(found: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Plain data as JSON."""
    return Response(msgspec.json.encode(found), status, headers, media_type="application/json")


def refuse(status: int, problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
    """An error. Some clients read ``code`` and ``message`` at the top."""
    described = {"where": problem.where, "what": problem.what, "near": problem.near, "command": problem.command}
    found = {"error": described, "code": CODES.get(status, "error"), "message": str(problem)}
    return answer(found, status, headers)


def explain(error: Exception) -> Response:
    """The answer to a request that could not be met; what nobody thought of is in the log, and not in the answer."""
    if isinstance(error, HTTPException):
        problem = error.detail if isinstance(error.detail, Problem) else Problem("request", str(error.detail))
        return refuse(error.status_code, problem, error.headers)
    if isinstance(error, RequestValidationError):
        first = error.errors()[0]
        return refuse(422, Problem(".".join(str(part) for part in first["loc"]), first["msg"]))
    if isinstance(error, StoreError):
        return refuse(503, Problem("server", "the store cannot be used now"), {"Retry-After": "2"})
    if isinstance(error, SojournError):
        return refuse(409, error.problems[0])
    if isinstance(error, Overloaded):
        return refuse(503, Problem("server", str(error)), {"Retry-After": str(error.retry_after_s)})
    LOG.error("a request failed: %s", type(error).__name__, exc_info=error)
    return refuse(500, Problem("server", "something went wrong; the log of the server says what"))


EXPLAINED = (HTTPException, RequestValidationError, SojournError, Overloaded, Exception)
"""Every kind of error that :func:`explain` knows."""


def make_quick(respond: Callable[[Request], Awaitable[Response]]) -> ASGIApp:
    """An application of one route alone: what a framework does around a route costs more than a quick one does."""

    async def run(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            response = await respond(Request(scope, receive))
        except Exception as error:
            response = explain(error)
        await response(scope, receive, send)

    return run
