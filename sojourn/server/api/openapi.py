"""The OpenAPI description: what FastAPI makes of the routes, and the tracking calls, which are routes of their own."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from sojourn.live.engine import FIELDS
from sojourn.server.api.routes import LONGEST_ID, Customer
from sojourn.server.ingest import BATCHES, KINDS

_ABOUT = """Takes tracking calls as Segment's clients send them, and answers with the state of every customer.

Keys come from the command: sojourn keys add NAME --scope SCOPE, with write, read or admin. They are sent as
a bearer token or the user name of basic access.
"""
_CALL = {"type": "object", "description": "a call of Segment's HTTP tracking API"}
_BATCH = {
    "type": "object",
    "required": ["batch"],
    "properties": {
        "batch": {"type": "array", "items": _CALL},
        "sentAt": {"type": "string", "format": "date-time"},
        "context": {"type": "object"},
        "writeKey": {"type": "string"},
    },
}
_ANSWERS = {
    "200": "the calls are durable",
    "400": "no JSON, or too large",
    "401": "no key that may write",
    "429": "come again after `Retry-After` seconds",
    "503": "come again after `Retry-After` seconds",
}


def describe_api(app: FastAPI) -> dict[str, Any]:
    """The description, made once."""
    if app.openapi_schema is None:
        made = get_openapi(title=app.title, version=app.version, description=_ABOUT, routes=app.routes)
        paths = made["paths"]
        for name in [*KINDS, *BATCHES]:
            paths[f"/v1/{name}"] = {"post": _describe_calls(name)}
        paths["/v1/customers/{id}"] = {"get": _describe_customer(), **paths.get("/v1/customers/{id}", {})}
        components = made.setdefault("components", {})
        components.setdefault("schemas", {})["Customer"] = Customer.model_json_schema()
        components["securitySchemes"] = {
            "key": {"type": "http", "scheme": "bearer"},
            "basic": {"type": "http", "scheme": "basic"},
        }
        made["security"] = [{"key": []}, {"basic": []}]
        app.openapi_schema = made
    return app.openapi_schema


def _describe_customer() -> dict[str, Any]:
    text = {"type": "string", "maxLength": LONGEST_ID, "minLength": 1}
    fields = {"type": "string", "maxLength": 300}
    return {
        "tags": ["customers"],
        "summary": "Read Customer",
        "description": Customer.__doc__,
        "operationId": "read_customer",
        "parameters": [
            {"name": "id", "in": "path", "required": True, "schema": text, "description": "any id of the customer"},
            {"name": "fields", "in": "query", "schema": fields, "description": f"some of {', '.join(FIELDS)}"},
        ],
        "responses": {
            "200": {
                "description": "the customer",
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Customer"}}},
            },
            **{
                status: {"description": said, "content": {"application/json": {"schema": {"type": "object"}}}}
                for status, said in {"401": "no key", "404": "nobody", "422": "no such field", "503": "later"}.items()
            },
        },
    }


def _describe_calls(name: str) -> dict[str, Any]:
    is_batch = name in BATCHES
    schema = _BATCH if is_batch else _CALL
    what = "Several calls at once" if is_batch else f"One {KINDS[name]} call"
    return {
        "tags": ["tracking"],
        "summary": what,
        "operationId": f"take_{name}",
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}},
        "responses": {
            status: {"description": said, "content": {"application/json": {"schema": {"type": "object"}}}}
            for status, said in _ANSWERS.items()
        },
    }
