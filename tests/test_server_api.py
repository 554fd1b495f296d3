"""What the API promises in its description, and whom it shows what: on the real engine."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import schemathesis

sys.path.append(str(Path(__file__).resolve().parent))

from live_engine import SECOND, make_project, open_engine
from test_server import NOW, Web, track

from sojourn.playbook import load_playbook
from sojourn.store import StoreError


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    with open_engine(make_project(tmp_path / "p", load_playbook("saas").text), NOW) as engine:
        yield Web(engine)


def live_a_year(web: Web) -> None:
    """Customers with transitions, moments, audiences, traits and a call in quarantine."""
    for i in range(30):
        web.engine.now += 86_400 * SECOND * (1 + i % 9)
        web.engine.send([track(f"u{i % 3}", name) for name in ("Signed Up", "Plan Upgraded", "Signed In")])
    web.post("/v1/i", {"userId": "u1", "traits": {"email": "x@y.org"}, "context": {"consent": {}}})
    web.post("/v1/t", {"type": "track"})
    web.engine.pass_time(86_400)


def test_answers_are_what_the_description_says(web: Web) -> None:
    live_a_year(web)
    schema = schemathesis.openapi.from_asgi("/openapi.json", web.app)
    audience = web.get("/v1/audiences").json()["items"][0]["audience"]
    places = {"/v1/customers/{id}": "u1", "/v1/customers/{id}/timeline": "u1", "/v1/audiences/{name}/members": audience}
    paths = [
        "/v1/customers/{id}", "/v1/customers/{id}/timeline", "/v1/states", "/v1/transitions", "/v1/audiences",
        "/v1/audiences/{name}/members", "/v1/changes", "/v1/quarantine", "/v1/versions", "/v1/outbox", "/v1/status",
        "/healthz", "/readyz",
    ]  # fmt: skip
    n_items = 0
    for path in paths:
        address = path.replace("{id}", places.get(path, "")).replace("{name}", places.get(path, ""))
        found = web.get(address, "admin")
        assert found.status_code == 200, (path, found.text)
        schema[path]["GET"].validate_response(found)
        n_items += len(found.json().get("items", []))
        wrong = web.client.get(address)
        if path.startswith("/v1/"):
            assert wrong.status_code == 401
            schema[path]["GET"].validate_response(wrong)
    assert n_items >= 40


def test_every_id_that_a_call_may_have_can_be_read_and_erased(web: Web) -> None:
    ids = ["u" * 5_000, "a/../b", "ä ö?#", "x\ty", "/", "a/timeline"]
    web.post("/v1/b", {"batch": [track(id) for id in ids]})
    web.logged()
    admin = {"Authorization": f"Bearer {web.keys['admin']}"}
    for id in ids:
        address = f"/v1/customers/{quote(id, safe='')}"
        assert web.get(address).json()["customer_id"] == id
        assert web.get(f"{address}/timeline").json()["customer_id"] == id
        assert web.client.delete(address, headers=admin).json()["n_calls"] == 1
        assert web.get(address).status_code == 404


def test_a_key_in_an_address_reads_and_does_nothing_else(web: Web) -> None:
    assert web.client.get("/v1/states", params={"key": web.keys["read"]}).status_code == 200
    for path in ("/v1/status", "/v1/quarantine", "/v1/outbox", "/v1/versions"):
        assert web.client.get(path, params={"key": web.keys["admin"]}).status_code == 401
    assert web.client.delete("/v1/customers/u1", params={"key": web.keys["admin"]}).status_code == 401
    assert web.client.post("/v1/rollback", params={"key": web.keys["admin"]}).status_code == 401


@pytest.mark.parametrize("path", ["/healthz", "/docs", "/v1/states", "/v1/nothing", "/metrics"])
def test_no_answer_is_kept_or_shown_in_a_frame(web: Web, path: str) -> None:
    headers = web.get(path).headers
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "server" not in headers


def test_errors_say_nothing_of_what_happened_inside(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(error: Exception) -> Any:
        def raise_it(*_: Any, **__: Any) -> Any:
            raise error

        return raise_it

    monkeypatch.setattr(web.engine.live, "states", fail(ValueError("secret words")))
    found = web.get("/v1/states")
    assert (found.status_code, "secret" in found.text) == (500, False)
    monkeypatch.setattr(web.engine.live, "states", fail(StoreError("secret words")))
    found = web.get("/v1/states")
    assert (found.status_code, "secret" in found.text, "retry-after" in found.headers) == (503, False, True)


def test_metrics_are_there_when_the_store_is_not(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> Any:
        raise StoreError("gone")

    monkeypatch.setattr(web.engine.store, "outbox_counts", fail)
    again = Web(web.engine)
    assert "sojourn_ready 1.0" in again.get("/metrics").text


def test_a_body_of_a_decision_has_a_limit(web: Web) -> None:
    found = web.post("/v1/identity/merge", {"a": "x" * 300_000, "b": "y"}, "admin")
    assert found.status_code == 413
