"""The HTTP server on the real engine: what clients send, what may be asked, and what must never happen."""

from __future__ import annotations

import gzip
import json
import socket
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook
from starlette.testclient import TestClient

from sojourn.errors import StoreFull
from sojourn.live.engine.service import Overloaded
from sojourn.live.settings import Settings
from sojourn.playbook.load import load_playbook
from sojourn.server.access import create_key
from sojourn.server.app import build_app
from sojourn.server.ingest.calls import MOST_BYTES, PATHS
from tests import ROOT
from tests.act.test_delivery import SECRET, open_receiver
from tests.live.engine_world import SECOND, Engine, make_project, open_engine
from tests.live.server_process import LiveServer, open_server

DOCS = ROOT / "docs" / "reference"
NOW = 1_795_000_000 * SECOND
CONFORMS = ("status_code_conformance", "content_type_conformance", "response_schema_conformance")


class Web:
    """A client of a server in this process, with keys of all scopes."""

    def __init__(self, engine: Engine, settings: Settings | None = None) -> None:
        self.engine = engine
        self.app = build_app(engine.live, engine.store, settings or Settings())
        self.client = TestClient(self.app, raise_server_exceptions=False)
        self.keys = {scope: create_key(engine.store, scope, [scope])[0] for scope in ("write", "read", "admin")}

    def post(self, path: str, body: Any, key: str | None = "write", **headers: str) -> Any:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        if key == "admin":
            headers["Content-Type"] = "application/json"
        if key is not None:
            headers["Authorization"] = f"Bearer {self.keys.get(key, key)}"
        return self.client.post(path, content=data, headers=headers)

    def get(self, path: str, key: str = "read", **query: Any) -> Any:
        return self.client.get(path, params=query, headers={"Authorization": f"Bearer {self.keys[key]}"})

    def logged(self) -> int:
        """Calls that came into the log."""
        self.engine.settle()
        return int(self.engine.live.version.counts["received"])


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    with open_engine(make_project(tmp_path / "p", load_playbook("saas").text), NOW) as engine:
        yield Web(engine)


def track(user: str = "u1", event: str = "Signed In", **more: Any) -> dict[str, Any]:
    return {"type": "track", "userId": user, "event": event, **more}


# What clients send


@pytest.mark.data
def test_every_captured_request_is_taken_as_it_came(web: Web, data_dir: Path) -> None:
    keys = {"wk_py", "wk_node", "wk_browser", "phc_x"}
    n_posts = n_calls = 0
    files = [file for file in sorted((data_dir / "sdk_captures").glob("*.json")) if not file.name.startswith("dest-")]
    captured = [json.loads(file.read_text()) for file in files]
    for one in captured:
        text = (one["basic_auth_decoded"] or ":").split(":")[0]
        body_key = one["body"].get("writeKey") if isinstance(one["body"], dict) else None
        keys |= {key for key in (text, body_key) if key}
    for key in sorted(keys):
        if len(key) >= 5:
            create_key(web.engine.store, key, ["write"], text=key)
    for one in captured:
        headers = {k: v for k, v in one["headers"].items() if k.lower() not in ("content-length", "connection", "host")}
        data = b"" if one["body"] is None else json.dumps(one["body"]).encode()
        if headers.get("Content-Encoding") == "gzip":
            data = gzip.compress(data)
        answer = web.client.request(one["method"], one["path"], content=data, headers=headers)
        assert answer.status_code in ((200,) if one["method"] == "POST" else (200, 204)), (one["tag"], answer.text)
        if one["method"] == "OPTIONS":
            asked = one["headers"]["Access-Control-Request-Headers"]
            allowed = answer.headers["access-control-allow-headers"]
            assert set(asked.split(",")) <= {name.strip() for name in allowed.split(",")}
        if one["method"] == "POST":
            n_posts += 1
            n_calls += len(one["body"]["batch"]) if "batch" in one["body"] else 1
    assert n_posts >= 40
    assert web.logged() == n_calls
    assert web.engine.store.count_quarantine() == 0


@pytest.mark.data
def test_every_example_of_the_spec_is_taken(web: Web, data_dir: Path) -> None:
    folder = data_dir / "event_specs" / "segment"
    files = sorted(folder.rglob("*.json"))
    n_taken = 0
    for file in files:
        found = json.loads(file.read_text(encoding="utf-8"))
        for one in found if isinstance(found, list) else [found]:
            call = one.get("json", one) if isinstance(one, dict) else one
            if isinstance(call, dict) and "call" not in call:
                answer = web.post(f"/v1/{call.get('type', 'track')}" if call.get("type") != "batch" else "/v1/b", call)
                assert answer.status_code == 200, (file.name, answer.text)
                n_taken += 1
    assert n_taken >= 50


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "application/json", ""])
def test_the_content_type_does_not_matter(web: Web, kind: str) -> None:
    headers = {"Content-Type": kind} if kind else {}
    assert web.post("/v1/t", track(), **headers).json() == {"success": True}
    assert web.logged() == 1


def test_every_address_works_with_and_without_a_slash(web: Web) -> None:
    for path in sorted(PATHS):
        body = {"batch": [track()]} if path.rstrip("/").endswith(("b", "batch", "import")) else track()
        if path.startswith("/batch"):
            body = {"batch": [{"event": "Signed In", "distinct_id": "u1"}]}
        answer = web.post(path, body)
        assert answer.status_code == 200, path
        assert not answer.history
        assert answer.headers["access-control-allow-origin"] == "*"
    assert web.logged() == len(PATHS)


def test_a_key_is_found_wherever_clients_put_it(web: Web) -> None:
    key = web.keys["write"]
    assert web.client.post("/v1/t", content=json.dumps({**track(), "writeKey": key})).status_code == 200
    assert web.client.post("/v1/b", content=json.dumps({"batch": [track()], "writeKey": key})).status_code == 200
    assert web.client.post("/v1/t", content=json.dumps(track()), auth=(key, "")).status_code == 200
    assert web.client.post(f"/v1/t?writeKey={key}", content=json.dumps(track())).status_code == 200
    assert web.logged() == 4


@pytest.mark.parametrize("key", [None, "wrong", "read", "admin", "sj_write_" + "x" * 600])
def test_a_key_that_may_not_write_is_refused(web: Web, key: str | None) -> None:
    answer = web.post("/v1/t", track(), key)
    assert answer.status_code == 401
    assert "sojourn keys add" in answer.json()["message"]
    assert web.logged() == 0


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("/v1/t", b"", "no JSON object"),
        ("/v1/t", b"{", "no JSON object"),
        ("/v1/t", b"[]", "no JSON object"),
        ("/v1/t", b"[" * 100_000, "no JSON object"),
        ("/v1/t", b'{"a":' * 50_000, "no JSON object"),
        ("/v1/b", b"{}", "no list 'batch'"),
        ("/v1/b", b'{"batch": {}}', "a list 'batch'"),
        ("/v1/b", b'{"batch": [{}', "a list 'batch'"),
        ("/v1/b", b'{"batch": [' + b"{}," * 50_001 + b"{}]}", "more than 50,000 calls"),
        ("/v1/t", b'{"event": "' + b"x" * MOST_BYTES + b'"}', "larger than 4 MiB"),
        ("/batch/", b'{"batch": 5}', "a list 'batch'"),
    ],
)
def test_what_is_no_json_is_a_400_with_words(web: Web, path: str, body: bytes, said: str) -> None:
    answer = web.post(path, body)
    assert answer.status_code in (400, 413)
    if answer.status_code == 400:
        assert said in answer.json()["error"]["what"]
        assert answer.json()["code"] == "bad_request"
    assert web.logged() == 0


def test_compressed_bodies_are_read_and_bombs_are_not(web: Web) -> None:
    good = gzip.compress(json.dumps(track()).encode())
    assert web.post("/v1/t", good, **{"Content-Encoding": "gzip"}).status_code == 200
    bomb = gzip.compress(b" " * (50 << 20))
    assert "once decompressed" in web.post("/v1/t", bomb, **{"Content-Encoding": "gzip"}).json()["message"]
    assert web.post("/v1/t", good[:-5], **{"Content-Encoding": "gzip"}).status_code == 400
    assert web.post("/v1/t", b"{}", **{"Content-Encoding": "gzip"}).status_code == 400
    assert web.post("/v1/t", good, **{"Content-Encoding": "zstd"}).status_code == 400
    assert web.logged() == 1


def test_bad_calls_in_a_good_batch_harm_nobody(web: Web) -> None:
    calls = [track("a"), {"type": "track"}, 5, None, "x", track("b", properties={"x": "y" * 40_000}), track("c")]
    assert web.post("/v1/batch", {"batch": calls}).json() == {"success": True}
    assert web.post("/v1/t", track("d", properties={"x": "y" * 40_000})).status_code == 200
    assert web.logged() == 8
    assert [web.get(f"/v1/customers/{id}").status_code for id in "abcd"] == [200, 404, 200, 404]
    items = web.get("/v1/quarantine", "admin").json()["items"]
    assert len(items) == 6
    assert any("32" in one["found"] for one in items)
    deep = b'{"userId":"f","event":' + b"[" * 5_000 + b"]" * 5_000 + b"}"
    body = b'{"batch":[%s,%s]}' % (deep, json.dumps(track("e")).encode())
    assert web.post("/v1/batch", body).status_code == 200
    assert web.logged() == 10
    assert [web.get(f"/v1/customers/{id}").status_code for id in "ef"] == [200, 404]
    assert web.get("/v1/quarantine", "admin").json()["items"][-1]["rule"] == "json"


def test_a_batch_says_things_for_all_its_calls(web: Web) -> None:
    refused = {"consent": {"categoryPreferences": {}}, "traits": {"plan": "pro"}}
    own = track("b", context={"traits": {"plan": "free"}})
    assert web.post("/v1/b", {"batch": [track("a"), own], "context": refused}).status_code == 200
    web.logged()
    assert web.get("/v1/customers/a").json()["traits"] == {"plan": "pro"}
    assert web.get("/v1/customers/b").json()["traits"] == {"plan": "free"}


def test_the_clock_of_a_sender_is_put_right(web: Web) -> None:
    import time

    off = time.time() - 7_200
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(off - 60))
    sent = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(off))
    web.engine.now = time.time_ns() // 1_000
    web.post("/v1/b", {"batch": [track(timestamp=stamp, originalTimestamp=stamp)], "sentAt": sent})
    web.logged()
    from datetime import datetime

    last = datetime.fromisoformat(web.get("/v1/customers/u1").json()["activity"]["last_at"]).timestamp()
    assert time.time() - 70 < last < time.time() - 50


def test_too_much_is_a_429_and_what_is_our_fault_a_503(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(error: Exception) -> Any:
        def submit(_: Any) -> Any:
            raise error

        monkeypatch.setattr(web.engine.live, "submit", submit)
        return web.post("/v1/t", track())

    answer = refuse(Overloaded(3))
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "3")
    assert answer.headers["access-control-expose-headers"] == "Retry-After"
    answer = refuse(Overloaded(2, is_starting=True))
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    answer = refuse(StoreFull("no space left"))
    assert (answer.status_code, "retry-after" in answer.headers) == (503, True)
    assert "space" not in answer.text


def test_a_key_that_sends_too_much_is_asked_to_wait(web: Web) -> None:
    limited = Web.__new__(Web)
    limited.__dict__ |= web.__dict__
    limited.app = build_app(web.engine.live, web.engine.store, Settings(rate_limit=10))
    limited.client = TestClient(limited.app)
    answers = [limited.post("/v1/b", {"batch": [track()] * 15}) for _ in range(2)]
    assert [one.status_code for one in answers] == [200, 429]
    assert int(answers[1].headers["retry-after"]) >= 1
    assert web.logged() == 15


def test_the_browser_library_learns_where_to_send(web: Web) -> None:
    found = web.client.get(f"/v1/projects/{web.keys['write']}/settings", headers={"Host": "track.example.org"})
    assert found.json()["integrations"]["Segment.io"]["apiHost"] == "track.example.org/v1"
    evil = web.client.get(f"/v1/projects/{web.keys['write']}/settings", headers={"Host": "a/../b"})
    assert "apiHost" not in evil.json()["integrations"]["Segment.io"]
    assert web.client.get("/v1/projects/none/settings").status_code == 404


def test_events_of_posthogs_clients_mean_the_same(web: Web) -> None:
    batch = [
        {"event": "Signed In", "distinct_id": "u1", "uuid": "1", "properties": {"$set": {"plan": "pro"}}},
        {"event": "$identify", "distinct_id": "u1", "uuid": "2", "properties": {"$anon_distinct_id": "a1"}},
        {"event": "Signed In", "distinct_id": "a1", "properties": {"$process_person_profile": False}},
    ]
    assert web.post("/batch/", {"batch": batch, "api_key": web.keys["write"]}, None).status_code == 200
    web.logged()
    found = web.get("/v1/customers/a1").json()
    assert found["customer_id"] == "u1"
    assert found["traits"] == {"plan": "pro"}
    assert found["activity"]["n_events"] >= 2


# What may be asked


def test_a_customer_is_found_by_any_id_and_shows_what_is_asked_for(web: Web) -> None:
    web.post("/v1/i", {"userId": "a/b c", "anonymousId": "ä", "traits": {"email": "x@y.org"}})
    web.post("/v1/t", track("a/b c"))
    web.logged()
    for id in ("a%2Fb%20c", "a/b c", "ä"):
        assert web.get(f"/v1/customers/{id}").json()["customer_id"] == "a/b c"
        assert web.get(f"/v1/customers/{id}/timeline").json()["customer_id"] == "a/b c"
    found = web.get("/v1/customers/ä", fields="state, traits").json()
    assert found.keys() == {"customer_id", "at", "state", "since_at", "state_p", "runner_up", "traits"}
    whole = web.get("/v1/customers/ä").json()
    odds = sum(reason["weight"] for reason in whole["reasons"])
    p = whole["posterior"]
    import math

    assert odds == pytest.approx(math.log(p[whole["state"]] / p[whole["runner_up"]]), abs=1e-9)
    wrong = web.get("/v1/customers/ä", fields="sate")
    assert (wrong.status_code, wrong.json()["error"]["near"]) == (422, "state")


def test_pages_follow_one_another_without_gap_or_repeat(web: Web) -> None:
    for i in range(30):
        web.engine.now += 86_400 * SECOND * (1 + i % 9)
        web.engine.send([track(f"u{i % 3}", name) for name in ("Signed Up", "Plan Upgraded", "Signed In")])
    web.engine.pass_time(300 * 86_400)
    for path, more in (
        ("/v1/transitions", {}), ("/v1/changes", {"kind": "transition,moment,audience_entered"}),
    ):  # fmt: skip
        whole = web.get(path, limit=1_000, **more).json()["items"]
        assert len(whole) >= 3
        found, query = [], dict(more)
        while True:
            page = web.get(path, limit=1, **query).json()
            found += page["items"]
            if page["next"] is None:
                break
            query["cursor" if path == "/v1/transitions" else "after"] = page["next"]
        assert found == whole
    whole = web.get("/v1/customers/u1/timeline", limit=1_000).json()["items"]
    found, before = [], {}
    while True:
        page = web.get("/v1/customers/u1/timeline", limit=4, **before).json()
        found += page["items"]
        if page["next"] is None:
            break
        before = {"before": page["next"]}
    assert found == whole
    move = web.get("/v1/transitions").json()["items"][0]
    for name, value in (("from_state", move["before"]), ("to_state", move["name"]), ("since", move["at"])):
        assert move in web.get("/v1/transitions", **{name: value}).json()["items"]
    assert move not in web.get("/v1/transitions", until=move["at"]).json()["items"]
    assert web.get("/v1/transitions", from_state="nowhere").json()["items"] == []


@pytest.mark.parametrize("scope", ["write", "read", "admin"])
def test_a_key_may_do_what_its_scope_says(web: Web, scope: str) -> None:
    may = {path: web.get(path, scope).status_code for path in ("/v1/states", "/v1/status", "/metrics")}
    assert may == {
        "/v1/states": 401 if scope == "write" else 200, "/metrics": 401 if scope == "write" else 200,
        "/v1/status": 200 if scope == "admin" else 401,
    }  # fmt: skip
    assert web.client.get("/v1/states").status_code == 401
    assert (web.post("/v1/t", track(), scope).status_code == 200) == (scope == "write")


def test_what_people_decide_over_http(web: Web) -> None:
    web.post("/v1/b", {"batch": [track("u1"), track("u2")]})
    web.logged()
    assert web.post("/v1/identity/merge", {"a": "u1", "b": "u2"}, "admin").status_code == 200
    assert web.get("/v1/customers/u2").json()["customer_id"] == web.get("/v1/customers/u1").json()["customer_id"]
    refused = web.post("/v1/identity/merge", {"a": "u1", "b": "nobody"}, "admin")
    assert (refused.status_code, "nobody has the id" in refused.json()["message"]) == (409, True)
    assert web.post("/v1/identity/merge", {"a": "u1"}, "admin").status_code == 422
    assert web.post("/v1/versions/9/switch", {}, "admin").status_code == 409
    gone = web.client.delete("/v1/customers/u1", headers={"Authorization": f"Bearer {web.keys['admin']}"})
    assert gone.json() == {"n_ids": 2, "n_calls": 2, "n_files": 0}
    assert web.get("/v1/customers/u2").status_code == 404


# Documentation and operations


def test_every_route_is_documented(web: Web) -> None:
    page = (DOCS / "http-api.md").read_text(encoding="utf-8")
    described = web.client.get("/openapi.json").json()
    for path, methods in described["paths"].items():
        for method in methods:
            assert f"`{method.upper()} {path}`" in page, f"{method.upper()} {path}"
    shown = web.client.get("/docs").text
    assert "<script" not in shown
    assert all(path in shown for path in described["paths"])


def test_every_metric_is_documented_and_counts(web: Web) -> None:
    web.post("/v1/b", {"batch": [track("u1", messageId="m1"), track("u1", messageId="m1"), {}]})
    web.logged()
    text = web.get("/metrics").text
    page = (DOCS / "metrics.md").read_text(encoding="utf-8")
    names = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}
    for name in names - {name for name in names if name.endswith("_created")}:
        assert f"`{name}`" in page, name
    assert 'sojourn_events_total{what="received"} 3.0' in text
    assert 'sojourn_events_total{what="duplicate"} 1.0' in text
    assert 'sojourn_events_total{what="quarantined"} 1.0' in text
    assert 'sojourn_http_requests_total{route="/v1/b",status="200"} 1.0' in text


@pytest.mark.slow
def test_nothing_that_the_description_allows_is_an_error_of_ours_and_answers_are_as_described(web: Web) -> None:
    import schemathesis

    web.post("/v1/b", {"batch": [track("u1"), track("u2")]})
    web.logged()
    schema = schemathesis.openapi.from_asgi("/openapi.json", web.app)
    for operation in schema.exclude(path_regex="/v1/stream").get_all_operations():
        run_cases(operation.ok(), web)


def run_cases(operation: Any, web: Web) -> None:
    from hypothesis import HealthCheck, Phase, given, settings
    from schemathesis.checks import CHECKS

    scope = "write" if operation.path in PATHS else "admin"

    @settings(
        max_examples=15, deadline=None, derandomize=True, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=operation.as_strategy())
    def check(case: Any) -> None:
        answer = case.call(headers={"Authorization": f"Bearer {web.keys[scope]}"})
        assert answer.status_code < 500, (operation.method, operation.path, answer.text)
        case.validate_response(answer, checks=[CHECKS.get_one(name) for name in CONFORMS])

    check()


# The stream, over a real connection


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with open_server(tmp_path_factory.mktemp("stream") / "p", load_playbook("saas").text) as live:
        yield live


class Reader(threading.Thread):
    """Reads the stream from a seq on."""

    def __init__(self, server: LiveServer, query: str = "", last: str | None = None) -> None:
        super().__init__(daemon=True)
        headers = {"Authorization": f"Bearer {server.keys['read']}"} | ({"Last-Event-ID": last} if last else {})
        request = urllib.request.Request(f"{server.url}/v1/stream{query}", headers=headers)
        self.answer = urllib.request.urlopen(request, timeout=20)
        self.found: list[dict[str, Any]] = []
        self.is_ended = threading.Event()
        assert self.answer.readline() == b": hello\n"
        self.start()

    def run(self) -> None:
        try:
            for line in self.answer:
                if line.startswith(b"data:"):
                    data = json.loads(line[5:])
                    self.found += data if isinstance(data, list) else [data]
        except (OSError, ValueError):
            pass
        self.is_ended.set()

    def wait(self, n: int) -> list[dict[str, Any]]:
        import time

        end = time.monotonic() + 120
        while len(self.found) < n and time.monotonic() < end:
            time.sleep(0.01)
        return self.found


def move(server: LiveServer, user: str) -> None:
    """Make a customer move: they sign up, invite and upgrade, days apart."""
    import time

    def stamp(days: float) -> str:
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - days * 86_400))

    names = ["Signed Up", *["Feature Used", "Invite Sent", "Plan Upgraded"] * 4]
    calls = [track(user, name, timestamp=stamp(90 - 7 * i)) for i, name in enumerate(names)]
    server.send(calls)


@pytest.mark.slow
def test_the_stream_has_no_gap_and_no_repeat_and_ends_when_the_server_stops(server: LiveServer) -> None:
    import time

    first = Reader(server, "?after=0")
    with socket.create_connection(("127.0.0.1", server.port)) as stranger:
        stranger.sendall(b"s1 is no request\r\n\r\n")
        assert stranger.recv(100).startswith(b"HTTP/1.1 400 ")
    for i in range(5):
        move(server, f"s{i}")
    time.sleep(3)  # what silence made of them is told once nothing more has come in
    feed = server.ask("GET", "/v1/changes?limit=1000")[1]["items"]
    assert len(feed) >= 5
    assert first.wait(len(feed)) == feed
    middle = feed[len(feed) // 2]["seq"]
    resumed = Reader(server, last=str(middle))
    assert resumed.wait(len([one for one in feed if one["seq"] > middle])) == [
        one for one in feed if one["seq"] > middle
    ]  # fmt: skip
    only = Reader(server, f"?after=0&kind=transition&name={feed[0]['name']}")
    wanted = [one for one in feed if one["kind"] == "transition" and one["name"] == feed[0]["name"]]
    assert only.wait(len(wanted)) == wanted
    begin = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - begin < 10
    assert all(reader.is_ended.wait(5) for reader in (first, resumed, only))
    log = server.log_file.read_text()
    assert "s1" not in log
    assert "uvicorn" not in log  # what strangers send is no news
    assert all(json.loads(line)["level"] for line in log.splitlines())
    server.start()
    assert server.ask("GET", "/v1/changes?limit=1000")[1]["items"] == feed


@pytest.mark.slow
def test_a_project_is_served_once(server: LiveServer) -> None:
    import subprocess

    from tests.live.server_process import SOJOURN

    command = [*SOJOURN, "serve", "--project", str(server.project), "--port", "0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "another process" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_webhook_tells_of_every_move(tmp_path: Path) -> None:
    import time

    with open_receiver() as receiver:
        settings = f"""
destinations:
  crm: {{url: "{receiver.url}", secret: {SECRET}, changes: [transition], max_age: never, private_addresses: true}}
"""
        with open_server(tmp_path / "p", load_playbook("saas").text, settings=settings) as server:
            for i in range(3):
                move(server, f"w{i}")
            end = time.monotonic() + 20
            feed: list[dict[str, Any]] = []
            while time.monotonic() < end and not (feed and len(receiver.got) >= len(feed)):
                time.sleep(0.2)
                feed = server.ask("GET", "/v1/changes?kind=transition,transition_revoked&limit=1000")[1]["items"]
            assert feed
            assert sorted(receiver.ids()) == sorted(change["id"] for change in feed)
            assert all(Webhook(SECRET).verify(body, headers) for headers, body in receiver.got)
            found = server.ask("GET", "/v1/outbox", key="admin")[1]
            assert found["destinations"]["crm"]["delivered"] == len(feed)
            assert found["delivery"]["crm"]["n_delivered"] == len(feed)


@pytest.mark.slow
def test_a_damaged_log_is_named_and_repaired(tmp_path: Path) -> None:
    import sqlite3
    import subprocess

    from tests.live.server_process import SOJOURN

    with open_server(tmp_path / "p", load_playbook("saas").text) as server:
        for i in range(5):
            server.send([track(f"u{i}")])
        assert server.stop() == 0
        (server.project / "live" / "snapshot.arrow").unlink()
        database = sqlite3.connect(server.project / "live" / "store.sqlite")
        database.execute("UPDATE log SET payload = substr(payload, 1, 40) || x'00' || substr(payload, 42) "
                         "WHERE position = 4")  # fmt: skip
        database.commit()
        database.close()
        command = [*SOJOURN, "serve", "--project", str(server.project), "--port", str(server.port)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 2
        assert "record 4" in done.stderr
        assert "Traceback" not in done.stderr
        assert server.run("repair")["last_good"] == 3
        assert server.run("repair", "--yes")["set_aside"] >= 2
        server.start()
        assert server.customer("u2")["activity"]["n_events"] == 1
        assert server.ask("GET", "/v1/customers/u3")[0] == 404
