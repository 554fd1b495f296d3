"""The documented API: what is known, what has changed, and what people decide. All answers are plain JSON."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path as Folder
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, HTTPException, Path, Query, Request
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse
from starlette.types import ASGIApp, Scope

from sojourn.act import CHANGE_KINDS
from sojourn.errors import Problem, StoreError, nearest
from sojourn.events.calls import LONGEST_CALL
from sojourn.frames import instant_us, show_instant
from sojourn.live.engine import FIELDS, Service
from sojourn.live.store import Store, Wanted
from sojourn.server.access import Access, read_basic
from sojourn.server.answers import answer, make_quick
from sojourn.server.api.paging import Cursor, Found, Limit, Page, Problems, read_cursor
from sojourn.server.api.results import add_results
from sojourn.server.api.stream import Asked, Streams, show_change

LONGEST_ID = LONGEST_CALL  # any id that a call may have can be read, and erased
_LONGEST_BODY = 8 * LONGEST_ID
_FAR = 2**62
_GLANCES, _GLANCE_S = 20, 0.001  # a record takes the engine some milliseconds
CUSTOMERS = "/v1/customers/"

Id = Annotated[str, Path(max_length=LONGEST_ID, min_length=1, description="any id of the customer")]
Instant = Annotated[datetime | None, Query(description="ISO 8601; without a zone it is UTC")]


class Customer(Found):
    """State, belief and reasons, features, segments, audiences, moments, consent, traits and predictions, as of now."""

    customer_id: str
    at: str
    state: str | None = None
    since_at: str | None = None
    state_p: float | None = None
    runner_up: str | None = None
    posterior: dict[str, float] | None = None
    reasons: list[dict[str, Any]] | None = None
    ids: list[dict[str, str]] | None = None
    features: dict[str, float | None] | None = None
    segments: list[str] | None = None
    audiences: list[str] | None = None
    moments: list[dict[str, Any]] | None = None
    consent: dict[str, bool] | None = None
    traits: dict[str, Any] | None = None
    activity: dict[str, Any] | None = None
    predictions: dict[str, dict[str, Any]] | None = None


class Decided(BaseModel):
    """Two ids that people say something about."""

    a: str = Field(min_length=1, max_length=LONGEST_ID)
    b: str = Field(min_length=1, max_length=LONGEST_ID)


@dataclass(frozen=True)
class Parts:
    """What the routes work with."""

    service: Service
    store: Store
    access: Access
    streams: Streams
    delivery_status: Callable[[], Mapping[str, Any]]
    results: Folder | None = None


def need(parts: Parts, scope: str) -> Callable[[Request], Any]:
    """A dependency that lets pass who has a key for this."""

    async def check(request: Request) -> None:
        if parts.access.find(_find_key(request, scope), scope) is None:
            what = f"a key that may {scope} is needed" if parts.access.has_keys else "the project has no keys yet"
            problem = Problem("key", what, command=f"sojourn keys add NAME --scope {scope}")
            raise HTTPException(401, problem, {"WWW-Authenticate": "Bearer"})

    return check


def _find_key(request: Request, scope: str) -> str:
    """The text of a request's key, empty where it has none."""
    text = read_basic(request.headers.get("authorization", ""))
    if not text and scope == "read":  # addresses are kept in many places: not for what decides
        text = request.query_params.get("key", "")
    return text


def make_router(parts: Parts) -> APIRouter:
    """All documented routes that need a key."""
    router = APIRouter(
        prefix="/v1",
        max_body_size=_LONGEST_BODY,
        responses={status: {"model": Problems} for status in (401, 422, 503)},
    )
    _add_customers(router, parts)
    _add_states(router, parts)
    _add_feed(router, parts)
    add_results(router, parts.results, [Depends(need(parts, "read"))])
    _add_decisions(router, parts)
    return router


def _add_customers(router: APIRouter, parts: Parts) -> None:
    reads = [Depends(need(parts, "read"))]
    missing: dict[int | str, dict[str, Any]] = {404: {"model": Problems}}

    @router.get(
        "/customers/{id:path}/timeline", tags=["customers"], dependencies=reads, response_model=Page, responses=missing
    )
    def read_timeline(
        id: Id,
        limit: Limit = 50,
        before: Annotated[int | None, Query(ge=-_FAR, le=_FAR, description="`next` of the page before")] = None,
    ) -> Response:
        """The latest events and changes of a customer, newest first."""
        found = parts.service.timeline(id, limit=limit, before=before)
        return answer(found) if found is not None else _miss_customer()

    @router.delete(
        "/customers/{id:path}", tags=["customers"], dependencies=[Depends(need(parts, "admin"))], response_model=Found
    )
    def erase_customer(id: Id) -> Response:
        """Erase a customer for good, from memory, log, archive and everything derived. An unknown id is no error."""
        return answer(parts.service.command("erase", {"id": id}))


def make_customer_reader(parts: Parts) -> ASGIApp:
    """The request that has to be quick: what is known of a customer."""
    check = need(parts, "read")

    async def read_customer(request: Request) -> Response:
        await check(request)
        id = request.scope["path"].removeprefix(CUSTOMERS)
        if len(id) > LONGEST_ID:
            return _miss_customer()
        wanted = _split_names("fields", request.query_params.get("fields"), FIELDS)
        for _ in range(_GLANCES):  # sooner than another thread would come to it, and without one
            is_done, found = parts.service.glance(id, wanted)
            if is_done:
                break
            await asyncio.sleep(_GLANCE_S)
        else:
            found = await run_in_threadpool(parts.service.customer, id, wanted)
        return answer(found) if found is not None else _miss_customer()

    return make_quick(read_customer)


def is_of_a_customer(scope: Scope) -> bool:
    """Whether a path is that of a customer: all after its beginning is an id, but for what asks for a timeline."""
    path = scope["path"]
    if not path.startswith(CUSTOMERS):
        return False
    # No part of an id: not %2Ftimeline.
    return not (path.endswith("/timeline") and scope["raw_path"].endswith(b"/timeline"))


def _miss_customer() -> Response:
    raise HTTPException(404, Problem("customers", "nobody has this id"))


def _add_states(router: APIRouter, parts: Parts) -> None:
    reads = [Depends(need(parts, "read"))]

    @router.get("/states", tags=["states"], dependencies=reads, response_model=Page)
    def list_states() -> Response:
        """Every state with the playbook's words about it, and how many customers are in it now."""
        return answer({"items": parts.service.states(), "next": None})

    @router.get("/transitions", tags=["states"], dependencies=reads, response_model=Page)
    def list_transitions(
        customer_id: Annotated[str | None, Query(max_length=LONGEST_ID)] = None,
        from_state: Annotated[str | None, Query(max_length=100)] = None,
        to_state: Annotated[str | None, Query(max_length=100)] = None,
        since: Instant = None,
        until: Instant = None,
        include_revoked: bool = False,
        limit: Limit = 100,
        cursor: Cursor = None,
    ) -> Response:
        """Transitions, newest first. Revoked ones are those of which a late event has shown that they never were."""
        begin, end = (None if at is None else instant_us(at) for at in (since, until))
        wanted = Wanted(customer_id, from_state, to_state, begin, end, include_revoked)
        found = parts.store.read_transitions(wanted, limit=limit + 1, after=read_cursor(cursor))
        last = found[limit - 1] if len(found) > limit else None
        items = [{**show_change(one), "is_revoked": one.revoked_by is not None} for one in found[:limit]]
        return answer({"items": items, "next": f"{last.at}.{last.seq}" if last else None})

    @router.get("/predictions", tags=["predictions"], dependencies=reads, response_model=Page)
    def list_models() -> Response:
        """Every model of an outcome that is in use: kind, threshold and inputs, or why it predicts nothing."""
        return answer({"items": parts.service.models(), "next": None})

    @router.get("/audiences", tags=["audiences"], dependencies=reads, response_model=Page)
    def list_audiences() -> Response:
        """Every audience with its rule, its purpose, and how many are in it now."""
        return answer({"items": parts.service.audiences(), "next": None})

    @router.get(
        "/audiences/{name}/members",
        tags=["audiences"],
        dependencies=reads,
        response_model=Page,
        responses={404: {"model": Problems}},
    )
    def list_members(
        name: Annotated[str, Path(max_length=100)],
        limit: Limit = 100,
        cursor: Annotated[int, Query(ge=0, le=2**31 - 1, description="`next` of the page before")] = 0,
    ) -> Response:
        """Who is in an audience now."""
        found = parts.service.members(name, limit=limit, after=cursor)
        if found is None:
            names = [one["audience"] for one in parts.service.audiences()]
            raise HTTPException(404, Problem("audiences", "there is no such audience", nearest(name, names)))
        return answer({"items": [{"customer_id": id} for id in found["members"]], "next": found["next"]})


def _add_feed(router: APIRouter, parts: Parts) -> None:
    reads = [Depends(need(parts, "read"))]

    @router.get("/changes", tags=["feed"], dependencies=reads, response_model=Page)
    def list_changes(
        after: Annotated[int, Query(ge=0, le=_FAR, description="the last seq that is known")] = 0,
        kind: Annotated[str | None, Query(max_length=200, description=f"some of {', '.join(CHANGE_KINDS)}")] = None,
        limit: Limit = 100,
    ) -> Response:
        """The feed of all that became so, in order; `next` is the seq to go on from."""
        found = parts.store.read_changes(after, limit=limit, kinds=_split_names("kind", kind, CHANGE_KINDS))
        return answer({"items": [show_change(one) for one in found], "next": found[-1].seq if found else None})

    @router.get(
        "/stream",
        tags=["feed"],
        dependencies=reads,
        response_class=StreamingResponse,
        responses={200: {"content": {"text/event-stream": {}}}},
    )
    async def read_stream(
        request: Request,
        kind: Annotated[str | None, Query(max_length=200, description=f"some of {', '.join(CHANGE_KINDS)}")] = None,
        name: Annotated[str | None, Query(max_length=500, description="some states, moments or audiences")] = None,
        customer_id: Annotated[str | None, Query(max_length=LONGEST_ID)] = None,
        after: Annotated[int | None, Query(ge=0, le=_FAR, description="as the header Last-Event-ID")] = None,
    ) -> Response:
        """The same as server-sent events, as soon as it becomes so. Resumes after the header `Last-Event-ID`."""
        last = request.headers.get("last-event-id", "")
        if after is None and last.isascii() and last.isdecimal() and len(last) < 19:
            after = int(last)
        names = None if name is None else {one.strip() for one in name.split(",")}
        asked = Asked(_split_names("kind", kind, CHANGE_KINDS), names, customer_id, after)
        key = _find_key(request, "read")

        def may_read() -> bool:
            try:
                return parts.access.find(key, "read") is not None
            except StoreError:
                return True  # nobody can tell now

        headers = {"X-Accel-Buffering": "no"}
        frames = parts.streams.read(asked, may_read)
        return StreamingResponse(frames, headers=headers, media_type="text/event-stream")

    @router.get("/quarantine", tags=["feed"], dependencies=[Depends(need(parts, "admin"))], response_model=Page)
    def list_quarantine(limit: Limit = 100, cursor: Cursor = None) -> Response:
        """Calls that could not be used, with the rule that each breaks, what was found, and the call as it came."""
        found = parts.store.read_quarantine(limit=limit, after=read_cursor(cursor) or (0, -1))
        items = [{"at": show_instant(one.at), "rule": one.rule, "found": one.found, "raw": one.raw} for one in found]
        last = found[-1] if len(found) == limit else None
        return answer({"items": items, "next": f"{last.position}.{last.place}" if last else None})


def _add_decisions(router: APIRouter, parts: Parts) -> None:
    admins = [Depends(need(parts, "admin"))]
    refused: dict[int | str, dict[str, Any]] = {409: {"model": Problems}}

    @router.post("/identity/{what}", tags=["identity"], dependencies=admins, response_model=Found, responses=refused)
    def decide(what: Literal["merge", "split", "undo"], ids: Decided) -> Response:
        """Say that two known users are one, that two ids are not one customer, or take back what was said."""
        return answer(parts.service.command(what, {"a": ids.a, "b": ids.b}))

    @router.get("/versions", tags=["versions"], dependencies=admins, response_model=Page)
    def list_versions() -> Response:
        """Every version of playbook and model; how the one that comes up or runs beside differs."""
        status = parts.service.status()
        items = [
            {
                "version": one.version,
                "created_at": show_instant(one.created_at),
                "note": one.note,
                "has_model": bool(one.model),
                "is_in_use": one.version == status.get("version"),
            }
            for one in parts.store.list_versions()
        ]
        return answer({"items": items, "next": None, "shadow": status.get("shadow")})

    @router.post(
        "/versions/{version}/{what}", tags=["versions"], dependencies=admins, response_model=Found, responses=refused
    )
    def use_version(version: Annotated[int, Path(ge=1, le=2**31 - 1)], what: Literal["switch", "shadow"]) -> Response:
        """Put a version into use, or let it run beside."""
        return answer(parts.service.command(what, {"version": version}))

    @router.post("/rollback", tags=["versions"], dependencies=admins, response_model=Found, responses=refused)
    def roll_back() -> Response:
        """Go back to the version that was in use before."""
        return answer(parts.service.command("rollback", {}))

    @router.get("/outbox", tags=["outbox"], dependencies=admins, response_model=Found)
    def count_outbox() -> Response:
        """How many messages each destination has of each status, and how sending goes."""
        return answer({"destinations": parts.store.outbox_counts(), "delivery": parts.delivery_status()})

    @router.post("/outbox/{destination}/replay", tags=["outbox"], dependencies=admins, response_model=Found)
    def replay_outbox(destination: Annotated[str, Path(max_length=100)]) -> Response:
        """Send the dead letters of a destination again."""
        return answer({"n_messages": parts.store.replay_dead(destination)})

    @router.get("/status", tags=["operations"], dependencies=admins, response_model=Found)
    def read_status() -> Response:
        """The numbers of the engine."""
        return answer(parts.service.status())


def _split_names(what: str, text: str | None, known: Sequence[str]) -> list[str] | None:
    if text is None:
        return None
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in known:
            raise HTTPException(
                422, Problem(what, f"'{name[:60]}' is none of {', '.join(known)}", nearest(name, known))
            )
    return names
