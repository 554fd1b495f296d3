"""What must not cost a client its calls, nor the server its memory: bodies as they really come."""

from __future__ import annotations

import asyncio
import gzip
import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.testclient import TestClient

from sojourn.errors import StoreError
from sojourn.live.settings import Settings
from sojourn.server.access import Access, create_key
from sojourn.server.app import build_app
from sojourn.server.ingest.calls import (
    MOST_ARRIVING,
    MOST_BYTES,
    MOST_SHARED,
    BadBody,
    Room,
    decompress,
    mend_halves,
    read_calls,
    take_calls,
)
from sojourn.server.ingest.deep_json import set_deep_aside
from tests.server.fake_service import FakeService, FakeStore

GOOD = {"type": "track", "userId": "u1", "event": "Signed In"}


class Web:
    """A server on an engine that takes everything."""

    def __init__(self) -> None:
        self.service, self.store = FakeService(), FakeStore()
        service: Any = self.service
        store: Any = self.store
        self.key = create_key(store, "site", ["write"])[0]
        self.client = TestClient(build_app(service, store, Settings()), raise_server_exceptions=False)

    def post(self, path: str, body: bytes, **headers: str) -> Any:
        return self.client.post(path, content=body, headers={"Authorization": f"Bearer {self.key}"} | headers)

    def calls(self) -> list[bytes]:
        return [call for request in self.service.requests for call in request.calls]


@pytest.fixture
def web() -> Web:
    return Web()


def batch_of(*calls: bytes, rest: bytes = b"") -> bytes:
    return b'{"batch":[' + b",".join(calls) + b"]" + rest + b"}"


@pytest.mark.parametrize(
    "bad",
    [b'{"a":1e999}', b'{"a":"\xff"}', rb'{"a":"cut \ud83d"}', rb'{"a":"\udc00"}', b"5", b"null", b'{"context":5}'],
)
@pytest.mark.parametrize("shared", [b"", b',"context":{"ip":"1"},"integrations":{"All":true}'])
def test_a_strange_call_costs_no_other_call(web: Web, bad: bytes, shared: bytes) -> None:
    good = json.dumps(GOOD).encode()
    assert web.post("/v1/batch", batch_of(good, bad, good, rest=shared)).status_code == 200
    first, _, last = web.calls()
    assert first == last
    more = {"context": {"ip": "1"}, "integrations": {"All": True}} if shared else {}
    assert json.loads(first) == GOOD | more


@pytest.mark.parametrize("bad", [b'{"properties":{"a":1e999}}', b'{"event":"\xff"}', rb'{"event":"\ud83d"}', b"5"])
def test_a_strange_event_of_posthogs_costs_no_other(web: Web, bad: bytes) -> None:
    good = b'{"event":"Signed In","distinct_id":"u1"}'
    assert web.post("/batch/", batch_of(good, bad, good)).status_code == 200
    first, _, last = web.calls()
    assert first == last
    assert json.loads(first) == GOOD


def test_calls_are_passed_on_as_they_came_even_with_what_the_batch_says() -> None:
    call = b'{"type":"track","properties":{"price":19.90,"big":123456789012345678901234567890,"x":1e400}}'
    assert read_calls("/v1/b", "b", batch_of(call))[0] == [call]
    (shared,), _, _ = read_calls("/v1/b", "b", batch_of(call, rest=b',"context":{"ip":"1"}'))
    assert b'{"price":19.90,"big":123456789012345678901234567890,"x":1e400}' in shared


def test_what_a_batch_says_for_all_cannot_fill_the_memory(web: Web) -> None:
    context = b',"context":{"x":"' + b"y" * 200_000 + b'"}'
    n = MOST_SHARED // 200_000 + 1
    answer = web.post("/v1/b", batch_of(*[b"{}"] * n, rest=context))
    assert answer.status_code == 400
    assert "send less at once" in answer.json()["message"]
    assert web.post("/v1/b", batch_of(*[b"{}"] * 20, rest=context)).status_code == 200
    assert len(web.calls()) == 20


@pytest.mark.parametrize("path", ["/v1/t", "/v1/batch", "/v1/import/", "/batch"])
@pytest.mark.parametrize("is_declared", [True, False])
def test_what_is_too_large_is_a_400_that_a_browser_may_read(web: Web, path: str, is_declared: bool) -> None:
    body = b'{"batch":[],"a":"' + b"x" * MOST_BYTES + b'"}'
    content: Any = body if is_declared else iter([body[:1_000_000], body[1_000_000:]])
    answer = web.client.post(path, content=content, headers={"Authorization": f"Bearer {web.key}"})
    assert answer.status_code == 400
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "larger than 4 MiB" in answer.json()["error"]["what"]
    assert web.calls() == []


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", " x-gzip "])
def test_the_name_of_an_encoding_is_read_as_http_says(web: Web, encoding: str) -> None:
    body = gzip.compress(json.dumps(GOOD).encode())
    assert web.post("/v1/t", body, **{"Content-Encoding": encoding}).status_code == 200
    assert [json.loads(call) for call in web.calls()] == [GOOD]


def test_too_many_calls_are_a_400_in_every_language(web: Web) -> None:
    for path in ("/v1/b", "/batch/"):
        answer = web.post(path, batch_of(*[b"1"] * 50_001))
        assert (answer.status_code, "50,000" in answer.text) == (400, True)


def test_keys_that_cannot_be_read_are_our_fault(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> Any:
        raise StoreError("secret words of the database")

    monkeypatch.setattr(web.store, "find_keys", fail)
    answer = web.post("/v1/t", b"{}")
    assert answer.status_code == 503
    assert answer.headers["access-control-allow-origin"] == "*"
    assert int(answer.headers["retry-after"]) > 0
    assert "secret" not in answer.text


TEXTS = st.lists(
    st.sampled_from(["\\", "u", "\ud83d", "\ude00", "\U0001f600", "\ufffd", "ud83d", "a", '"', "\n", "\x00"]),
    max_size=12,
)


@given(TEXTS.map("".join))
@example("\\" * 5 + "\ud83d")
def test_mended_text_is_what_python_reads_with_halves_replaced(text: str) -> None:
    body = json.dumps([text]).encode()
    whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    (mended,) = json.loads(mend_halves(body))
    if "\\ud83d\ude00" not in text:  # written-out escapes right before a half: stays, and is a 400
        assert mended == whole
    assert mend_halves(json.dumps([whole]).encode()) == json.dumps([whole]).encode()


@pytest.mark.parametrize(("said", "meant"), [("", "http"), ("https", "https"), ("HTTPS", "https"), ("gopher", "http")])
def test_a_page_behind_a_proxy_is_told_to_send_safely(web: Web, said: str, meant: str) -> None:
    headers = {"Host": "track.example.org", "X-Forwarded-Proto": said}
    found = web.client.get(f"/v1/projects/{web.key}/settings", headers=headers).json()
    assert found["integrations"]["Segment.io"]["protocol"] == meant


DEEP = b'{"type":"track","properties":{"a":' + b"[" * 5_000 + b"]" * 5_000 + b"}}"


@pytest.mark.parametrize("path", ["/v1/batch", "/v1/import", "/batch/"])
@pytest.mark.parametrize("shared", [b"", b',"context":{"ip":"1"}'])
def test_a_call_that_nests_too_deep_costs_no_other_call(web: Web, path: str, shared: bytes) -> None:
    good = rb'{"event":"a \"[[ b","distinct_id":"u1","type":"track"}'
    plain = batch_of(good, b"1", good, rest=shared)
    assert web.post(path, plain).status_code == 200
    first, _, last = web.calls()
    web.service.requests.clear()
    assert web.post(path, batch_of(good, DEEP, good, rest=shared)).status_code == 200
    assert web.calls() == [first, DEEP, last]


def test_a_call_that_nests_too_deep_by_itself_is_taken_and_what_never_ends_is_not(web: Web) -> None:
    assert web.post("/v1/t", DEEP).status_code == 200
    assert web.calls() == [DEEP]
    for body in (DEEP[:-1], b'{"batch":[' + b"[" * 5_000, b'"' + b'\\"' * 200_000, b"[" * 400_000 + b'\\"'):
        assert web.post("/v1/b", body).status_code == 400
        assert web.post("/v1/t", body).status_code == 400


NESTED: st.SearchStrategy[Any] = st.recursive(
    st.sampled_from([0, "", 'a "]', "\\", "{[", "\\\\"]),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(st.lists(NESTED), NESTED)
def test_what_is_set_aside_is_what_was_there(calls: list[Any], more: Any) -> None:
    deep: Any = 1
    for _ in range(600):
        deep = [deep]
    mixed = [one for call in calls for one in (call, {"deep": deep, "more": more})]
    body = json.dumps({"more": {"x": more}, "batch": mixed, "context": {"deep": deep, "x": more}}).encode()
    shallow, aside = set_deep_aside(body)
    found = json.loads(shallow)
    assert found["more"] == {"x": more}
    assert found["context"] == {"deep": None, "x": more}
    assert found["batch"][::2] == calls
    texts = found["batch"][1::2]
    assert len(set(texts)) == len(texts) == len(aside) == len(calls)
    assert all(json.loads(aside[json.dumps(text).encode()]) == {"deep": deep, "more": more} for text in texts)


@pytest.mark.parametrize("name", [b"sentAt", b"writeKey", b"zzz"])
@pytest.mark.parametrize("odd", [b"1e999", b"1" * 5_000, b'["x"]', b'{"a":1e999}', b"null", b'"' + b"9" * 5_000 + b'"'])
def test_what_a_batch_says_of_itself_may_be_anything(web: Web, name: bytes, odd: bytes) -> None:
    rest = b',"' + name + b'":' + odd
    assert web.post("/v1/batch", batch_of(b"{}", rest=rest)).status_code == 200
    assert web.post("/v1/t", b'{"a":1' + rest + b"}").status_code == 200
    assert len(web.calls()) == 2


def test_what_a_batch_says_for_all_may_hold_any_number(web: Web) -> None:
    assert web.post("/v1/b", batch_of(b'{"context":{"x":2}}', rest=b',"context":{"x":1,"y":1e999}')).status_code == 200
    assert web.calls() == [b'{"context":{"x":2,"y":1e999}}']


def test_compressed_parts_put_end_to_end_are_one_body(web: Web) -> None:
    good = json.dumps(GOOD).encode()
    body = batch_of(good, good)
    for cuts in ([20], [5, 30], list(range(1, 64))):
        parts = [body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True)]
        packed = b"".join(map(gzip.compress, parts)) + b"\0" * 20  # what a file is filled up with is nothing
        assert web.post("/v1/b", packed, **{"Content-Encoding": "gzip"}).status_code == 200
        assert web.calls() == [good, good]
        web.service.requests.clear()
    bomb = gzip.compress(b" " * (MOST_BYTES // 2)) * 3
    assert "once decompressed" in web.post("/v1/b", bomb, **{"Content-Encoding": "gzip"}).text
    many = gzip.compress(b"") * 200_000
    assert "parts" in web.post("/v1/b", many, **{"Content-Encoding": "gzip"}).text
    assert web.post("/v1/b", gzip.compress(body) + b"\x1f\x8bx", **{"Content-Encoding": "gzip"}).status_code == 400
    assert web.calls() == []


def test_a_bomb_is_not_unpacked(web: Web) -> None:
    bomb = gzip.compress(b" " * (200 << 20), 1)
    tracemalloc.start()
    try:
        with pytest.raises(BadBody):
            decompress(bomb, "gzip")
        assert tracemalloc.get_traced_memory()[1] < 4 * MOST_BYTES
    finally:
        tracemalloc.stop()


def send_parts(web: Web, room: Room, parts: list[bytes | None]) -> Any:
    """The answer to a body that comes in parts; None: the sender has gone."""
    waiting = [
        {"type": "http.disconnect"} if part is None else
        {"type": "http.request", "body": part, "more_body": i + 1 < len(parts)}
        for i, part in enumerate(parts)
    ]  # fmt: skip
    headers = [(b"authorization", f"Bearer {web.key}".encode())]
    scope = {"type": "http", "method": "POST", "path": "/v1/b", "headers": headers, "query_string": b""}

    async def receive() -> Any:
        return waiting.pop(0)

    service, access = web.service, Access(web.store)
    return asyncio.run(take_calls(Request(scope, receive), service, access, room))  # type: ignore[arg-type]


def test_bodies_that_come_in_part_share_a_limited_room(web: Web) -> None:
    body = batch_of(json.dumps(GOOD).encode())
    room = Room(MOST_ARRIVING - len(body))
    assert send_parts(web, room, [body[:9], body[9:]]).status_code == 200
    assert len(web.calls()) == 1
    full = send_parts(web, room, [body, b" "])
    assert (full.status_code, full.headers["retry-after"]) == (429, "1")
    assert full.headers["access-control-allow-origin"] == "*"
    assert len(web.calls()) == 1
    assert send_parts(web, room, [body[:9], None]).status_code == 400
    assert send_parts(web, Room(), [b" " * MOST_BYTES] * 3).status_code == 400
    assert room.taken == MOST_ARRIVING - len(body)
