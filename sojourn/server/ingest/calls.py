"""Tracking calls over HTTP: Segment's public API, as its clients speak it. The path that has to be quick.

A client that gets a wrong 4xx drops its events for ever. So whatever parses is taken: a call that cannot be used goes
to quarantine later, with the rest of its batch unharmed. 429 and 503 make clients come again.
"""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import ASGIApp

from sojourn.errors import Problem, StoreError
from sojourn.frames import instant_us, now_us
from sojourn.live.engine import Overloaded, Service
from sojourn.live.engine import Request as Calls
from sojourn.server.access import Access, read_basic
from sojourn.server.answers import answer, make_quick, refuse
from sojourn.server.ingest import posthog
from sojourn.server.ingest.deep_json import set_deep_aside

MOST_BYTES = 4 << 20
"""Bytes of a body, compressed or not."""
MOST_ARRIVING = 256 << 20
"""Bytes of bodies that may have come in part at once, whoever sends them."""
MOST_CALLS = 50_000
MOST_SHARED = 32 << 20
"""Bytes that what a batch says for all its calls may come to, once each call has it."""
_MOST_READ_ON = 8 * MOST_BYTES
_GZIP = b"\x1f\x8b"
_MOST_PARTS = 64  # what is left is copied for each
_MOST_MENDED = 512 << 10  # clients send less at once; more could take long, and all others wait
KINDS = {
    "track": "track",
    "t": "track",
    "identify": "identify",
    "i": "identify",
    "page": "page",
    "p": "page",
    "screen": "screen",
    "s": "screen",
    "group": "group",
    "g": "group",
    "alias": "alias",
    "a": "alias",
}
"""The last part of a URL, and the kind of call that is sent there."""
BATCHES = ("batch", "b", "import")
PATHS = posthog.PATHS | {f"/v1/{name}{slash}" for name in (*KINDS, *BATCHES) for slash in ("", "/")}
CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "Retry-After",
    "Cross-Origin-Resource-Policy": "cross-origin",
}
_ALLOWED = "authorization, content-type, x-retry-count"
_HEADER_NAMES = re.compile(r"[A-Za-z0-9-]+(?:, ?[A-Za-z0-9-]+)*\Z")
_HOST = re.compile(r"[A-Za-z0-9.-]+(?::\d{1,5})?\Z|\[[0-9A-Fa-f:]+\](?::\d{1,5})?\Z")
_HALF = re.compile(
    rb"(?<!\\)((?:\\\\)*)\\u(?:[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])"
    rb"|(?<!\\u[dD][89abAB][0-9a-fA-F]{2}\\u)[dD][c-fC-F][0-9a-fA-F]{2})"
)
_TAKEN = Response(b'{"success":true}', headers=CORS, media_type="application/json")  # the same for all; made once
_MAYBE_OUR_FAULT = {"Retry-After": "2"}
Given = msgspec.Raw | msgspec.UnsetType  # nothing of it is read before it has to be: it may be anything


class _Single(msgspec.Struct):
    writeKey: Given = msgspec.UNSET  # the names of the API


class _Batch(msgspec.Struct):
    batch: list[msgspec.Raw] | None = None
    writeKey: Given = msgspec.UNSET
    sentAt: Given = msgspec.UNSET
    context: Given = msgspec.UNSET
    integrations: Given = msgspec.UNSET


_SINGLE = msgspec.json.Decoder(_Single)
_BATCH = msgspec.json.Decoder(_Batch)
_PARTS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_TEXT = msgspec.json.Decoder(str)
_NULL = b"null"
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class _CallsRoute(Route):
    """All addresses that take calls, found at once: the router would try one pattern after the other."""

    def matches(self, scope: Any) -> tuple[Match, Any]:
        if scope["type"] != "http" or scope["path"] not in PATHS:
            return Match.NONE, {}
        is_taken = scope["method"] in ("POST", "OPTIONS")
        return (Match.FULL if is_taken else Match.PARTIAL), {"endpoint": self.endpoint, "path_params": {}}


class BadBody(Exception):
    """A body that cannot be used, with what was found."""


def make_routes(service: Service, access: Access) -> list[Route]:
    """The routes that take calls, with and without a slash at the end: a redirect would lose the body."""

    async def take(request: Request) -> Response:
        return await take_calls(request, service, access, Room())

    async def settings(request: Request) -> Response:
        return show_settings(request, access)

    return [
        _CallsRoute("/v1/{call}", take, methods=["POST", "OPTIONS"]),
        Route("/v1/projects/{key}/settings", settings, methods=["GET", "OPTIONS"]),
    ]


def make_taker(service: Service, access: Access) -> ASGIApp:
    """The same for ``POST``, which has to be quick."""
    room = Room()
    return make_quick(lambda request: take_calls(request, service, access, room))


@dataclass
class Room:
    """Bytes of bodies that have come in part, over all connections."""

    taken: int = 0


async def take_calls(request: Request, service: Service, access: Access, room: Room) -> Response:
    """200 once the calls are durable; 400 for what is no JSON or too large, 401 for a key that may not write."""
    if request.method == "OPTIONS":
        return _allow(request)
    path = request.scope["path"]
    name = path.rstrip("/").rsplit("/", 1)[-1]
    try:
        body = decompress(await read_body(request, room), request.headers.get("content-encoding", "").strip().lower())
        received_at = now_us()
        calls, write_key, sent_at = read_calls(path, name, body)
    except BadBody as error:
        return refuse(400, Problem("body", str(error)), CORS)
    except Overloaded as error:
        return _ask_again(error)
    except ClientDisconnect:
        return Response(status_code=400)
    text = read_basic(request.headers.get("authorization", "")) or write_key or request.query_params.get("writeKey", "")
    try:
        key = access.find(text, "write")
    except StoreError:
        return refuse(503, Problem("server", "keys cannot be read now"), CORS | _MAYBE_OUR_FAULT)
    if key is None:
        what = "there is no such key that may write" if access.has_keys else "the project has no keys yet"
        return refuse(401, Problem("key", what, command="sojourn keys add NAME --scope write"), CORS)
    wait_s = access.spend(key, len(calls))
    if wait_s > 0:
        problem = Problem("key", f"'{key.name}' sends more than its limit of events")
        return refuse(429, problem, CORS | {"Retry-After": str(math.ceil(wait_s))})
    if not calls:
        return _TAKEN
    try:
        await service.submit(Calls(calls, KINDS.get(name, ""), received_at, sent_at, key.id))
    except Overloaded as error:
        return _ask_again(error)
    except StoreError:
        return refuse(503, Problem("server", "calls cannot be written now"), CORS | _MAYBE_OUR_FAULT)
    return _TAKEN


def _ask_again(error: Overloaded) -> Response:
    status = 503 if error.is_starting else 429
    return refuse(status, Problem("server", str(error)), CORS | {"Retry-After": str(error.retry_after_s)})


def read_calls(path: str, name: str, body: bytes) -> tuple[list[bytes], str, int | None]:
    """The calls in a body, the key in it, and when it was sent (microseconds), by the address. Raises BadBody."""
    read = read_posthog if path in posthog.PATHS else split_batch if name in BATCHES else read_single
    try:
        return read(body)
    except BadBody:
        mended = mend_halves(body) if len(body) <= _MOST_MENDED else body
        shallow, aside = set_deep_aside(mended) if len(body) <= _MOST_MENDED else (body, {})
        if shallow == body:
            raise
    calls, write_key, sent_at = read(shallow)
    # What was set aside goes on as it came, and into quarantine.
    return [mended] if read is read_single else [aside.get(call, call) for call in calls], write_key, sent_at


def mend_halves(body: bytes) -> bytes:
    """The body with U+FFFD for halves of a character, which JavaScript makes when it cuts a text within an emoji.

    JSON allows them, decoders do not; and one such text must not cost a whole batch.

    >>> mend_halves(rb'["cut \\ud83d", "whole \\ud83d\\ude00"]').decode()
    '["cut \\\\ufffd", "whole \\\\ud83d\\\\ude00"]'
    """
    return _HALF.sub(rb"\1\\ufffd", body)


async def read_body(request: Request, room: Room) -> bytes:
    """The body as it came. Raises BadBody where it is too large, Overloaded where too many have come in part."""
    parts: list[bytes] = []
    size = kept = 0
    try:
        async for part in request.stream():
            size += len(part)
            if size <= MOST_BYTES:
                parts.append(part)
                kept += len(part)
                room.taken += len(part)
                if room.taken > MOST_ARRIVING:
                    raise Overloaded(1)
            elif size > _MOST_READ_ON:
                break
            else:  # who is cut off while sending does not see the answer, takes it for a bad line, comes again for ever
                parts.clear()
    finally:
        room.taken -= kept
    if size > MOST_BYTES:
        raise BadBody(f"it is larger than {MOST_BYTES >> 20} MiB; send less at once")
    return parts[0] if len(parts) == 1 else b"".join(parts)


def decompress(body: bytes, encoding: str) -> bytes:
    """The body without compression, which is at most as large as a plain one. Raises BadBody.

    >>> import gzip
    >>> decompress(gzip.compress(b"{}"), "gzip"), decompress(b"{}", "")
    (b'{}', b'{}')
    """
    if encoding in ("", "identity"):
        return body
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise BadBody(f"its encoding '{encoding[:40]}' is none of gzip and deflate")
    plain, rest = _inflate(body, encoding, MOST_BYTES)
    parts, size = [plain], len(plain)
    while rest.startswith(_GZIP) and encoding != "deflate":  # several files put end to end are one
        if len(parts) == _MOST_PARTS:
            raise BadBody(f"its {encoding} has more than {_MOST_PARTS} parts")
        plain, rest = _inflate(rest, encoding, MOST_BYTES - size)
        parts.append(plain)
        size += len(plain)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _inflate(body: bytes, encoding: str, most: int) -> tuple[bytes, bytes]:
    """What the first compressed part holds, at most so many bytes of it, and what comes after the part."""
    reader = zlib.decompressobj(47 if encoding != "deflate" else zlib.MAX_WBITS)
    try:
        plain = reader.decompress(body, most + 1)
    except zlib.error:
        raise BadBody(f"it is not {encoding}") from None
    if len(plain) > most:
        raise BadBody(f"it is larger than {MOST_BYTES >> 20} MiB once decompressed; send less at once")
    if not reader.eof:
        raise BadBody(f"its {encoding} is cut short")
    return plain, reader.unused_data


def read_single(body: bytes) -> tuple[list[bytes], str, int | None]:
    """The call as it came, the key in it, and no instant: a call has its own. Raises BadBody."""
    try:
        found = _SINGLE.decode(body)
    except _UNREADABLE as error:
        raise BadBody(f"it is no JSON object: {error}") from None
    return [body], _read_text(found.writeKey), None


def split_batch(body: bytes) -> tuple[list[bytes], str, int | None]:
    """The calls of a batch as they came, the key in it, and when it was sent (microseconds). Raises BadBody.

    >>> split_batch(b'{"batch": [{"type": "track"}], "writeKey": "k"}')
    ([b'{"type": "track"}'], 'k', None)
    """
    try:
        found = _BATCH.decode(body)
        calls = _check_batch(found.batch)
        if found.context is not msgspec.UNSET or found.integrations is not msgspec.UNSET:
            calls = _share(calls, found)
    except _UNREADABLE as error:
        raise BadBody(f"it is no JSON object with a list 'batch': {error}") from None
    return calls, _read_text(found.writeKey), read_sent_at(_read_text(found.sentAt))


def read_posthog(body: bytes) -> tuple[list[bytes], str, int | None]:
    """The same of a body as PostHog's clients send it. Raises BadBody."""
    try:
        found = posthog.DECODER.decode(body)
    except _UNREADABLE as error:
        raise BadBody(f"it is no JSON object with a list 'batch': {error}") from None
    calls = [_translate(event) for event in _check_batch(found.batch)]
    return calls, _read_text(found.api_key), read_sent_at(_read_text(found.sent_at))


def _check_batch(batch: list[msgspec.Raw] | None) -> list[bytes]:
    if batch is None:
        raise BadBody("it has no list 'batch'")
    if len(batch) > MOST_CALLS:
        raise BadBody(f"it has more than {MOST_CALLS:,} calls; send less at once")
    return [bytes(call) for call in batch]


def _translate(event: bytes) -> bytes:
    try:
        return posthog.translate_event(msgspec.json.decode(event))
    except _UNREADABLE:
        return event  # which goes into quarantine, without the rest of its batch


def _share(calls: list[bytes], batch: _Batch) -> list[bytes]:
    """The calls with what their batch says for all: a call's own words count before that. Raises BadBody."""
    parts = {name: getattr(batch, name) for name in ("context", "integrations")}
    given = {name: bytes(raw) for name, raw in parts.items() if raw is not msgspec.UNSET}
    if len(calls) * sum(map(len, given.values())) > MOST_SHARED:
        raise BadBody(
            f"what it says for all its calls makes more than {MOST_SHARED >> 20} MiB of it; send less at once"
        )
    for raw in given.values():
        raw.decode()  # else no call would be text
    # An object whose parts are not read: a number that no float holds must not cost all calls.
    shared = {name: _PARTS.decode(raw) for name, raw in given.items() if raw.startswith(b"{")}
    return [_share_with(call, shared) for call in calls] if shared else calls


def _share_with(call: bytes, shared: Mapping[str, dict[str, msgspec.Raw]]) -> bytes:
    try:
        found = _PARTS.decode(call)  # all but what is put together stays as it came
        for name, said in shared.items():
            own = bytes(found.get(name, _NULL))
            if own == _NULL or own.startswith(b"{"):
                found[name] = msgspec.Raw(msgspec.json.encode(said if own == _NULL else {**said, **_PARTS.decode(own)}))
        return msgspec.json.encode(found)
    except _UNREADABLE:
        return call  # which goes into quarantine, without the rest of its batch


def _read_text(given: Given) -> str:
    """A text; empty for anything else, and for nothing."""
    try:
        return "" if isinstance(given, msgspec.UnsetType) else _TEXT.decode(given)
    except _UNREADABLE:
        return ""


def read_sent_at(text: str) -> int | None:
    """An ISO 8601 instant in microseconds; None for anything else.

    >>> read_sent_at("1970-01-01T00:00:01Z"), read_sent_at("soon")
    (1000000, None)
    """
    if len(text) > 40:
        return None
    try:
        return instant_us(datetime.fromisoformat(text))
    except (ValueError, OverflowError):
        return None


def _allow(request: Request) -> Response:
    """What a browser asks before it sends: yes."""
    asked = request.headers.get("access-control-request-headers", "")
    allowed = f"{_ALLOWED}, {asked}" if len(asked) < 500 and _HEADER_NAMES.match(asked) else _ALLOWED
    more = {"Access-Control-Allow-Methods": "GET, POST, OPTIONS", "Access-Control-Max-Age": "600"}
    return Response(status_code=204, headers=CORS | more | {"Access-Control-Allow-Headers": allowed})


def show_settings(request: Request, access: Access) -> Response:
    """What the browser library asks for when it starts: where to send calls to."""
    if request.method == "OPTIONS":
        return _allow(request)
    text = request.path_params["key"]
    if access.find(text, "write") is None:
        return refuse(404, Problem("key", "there is no such key that may write"), CORS)
    where: dict[str, Any] = {
        "apiKey": text,
        "type": "browser",
        "unbundledIntegrations": [],
    }
    host = request.headers.get("host", "")
    if _HOST.match(host):  # a header may hold anything; this one goes into a page's settings
        is_secure = "https" in (request.url.scheme, request.headers.get("x-forwarded-proto", "").lower())
        where |= {"apiHost": f"{host}/v1", "protocol": "https" if is_secure else "http"}
    settings = {"integrations": {"Segment.io": where}, "plan": {}, "edgeFunction": {}, "analyticsNextEnabled": True}
    return answer(settings, headers=CORS)
