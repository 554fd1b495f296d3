"""Answers of the HTTP server: JSON, and errors that say where, what, the nearest match and the next command."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.responses import Response

from sojourn.errors import Problem

LOG = logging.getLogger("sojourn.server")
CODES = {
    400: "bad_request", 401: "unauthorized", 403: "forbidden", 404: "not_found",
    405: "bad_method", 409: "conflict", 413: "too_large", 422: "bad_parameters", 429: "too_many",
    500: "server_error", 503: "unavailable",
}  # fmt: skip


def answer(found: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Plain data as JSON."""
    return Response(msgspec.json.encode(found), status, headers, media_type="application/json")


def refuse(status: int, problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
    """An error. Some clients read ``code`` and ``message`` at the top."""
    described = {"where": problem.where, "what": problem.what, "near": problem.near, "command": problem.command}
    found = {"error": described, "code": CODES.get(status, "error"), "message": str(problem)}
    return answer(found, status, headers)


def fail(error: Exception) -> Response:
    """The answer where something broke that nobody thought of; what it was is in the log."""
    LOG.error("a request failed: %s", type(error).__name__, exc_info=error)
    return refuse(500, Problem("server", "something went wrong; the log of the server says what"))
