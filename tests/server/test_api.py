"""What the API promises in its description, and whom it shows what: on the real engine."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import schemathesis

from sojourn.errors import StoreError
from sojourn.frames.files import open_output, write_json, write_table
from sojourn.frames.schemas import INSTANT, REASONS
from sojourn.playbook.load import load_playbook
from tests.live.engine_world import SECOND, make_project, open_engine
from tests.server.test_server import NOW, Web, track


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    with open_engine(make_project(tmp_path / "p", load_playbook("saas").text), NOW) as engine:
        yield Web(engine, engine.settings)


def write_results(folder: Path, n: int = 7, **more: pa.Table) -> None:
    """Results as a run writes them, of customers ``u0`` and so on."""
    at = pa.array([(NOW + i) for i in range(n)], pa.int64()).cast(INSTANT)
    who = [f"u{i}" for i in range(n)]
    tables = {
        "customers": pa.table(
            {
                "customer_id": who, "n_events": list(range(n)), "since_at": at,
                "state": pa.array([("trial", "active")[i % 2] for i in range(n)]).dictionary_encode(),
                "state_p": [None if i == 3 else i / 10 for i in range(n)], "is_new": [i < 2 for i in range(n)],
                "reasons": pa.array([[{"what": "silence", "weight": 1.5}]] * n, REASONS),
            }
        ),
        "quarantine": pa.table({"rule": ["time"] * n, "raw": [f'{{"user":"{id}"}}' for id in who]}),
        **more,
    }  # fmt: skip
    with open_output(folder, is_run=True) as out:
        assert out is not None
        for name, table in tables.items():
            write_table(table, out / f"{name}.parquet")
        (out / "report.html").write_text("<p>u2: trial</p>")
        write_json({"tables": list(tables)}, out / "run.json")


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
    write_results(web.engine.project / "results")
    schema = schemathesis.openapi.from_asgi("/openapi.json", web.app)
    audience = web.get("/v1/audiences").json()["items"][0]["audience"]
    places = {"/v1/customers/{id}": "u1", "/v1/customers/{id}/timeline": "u1", "/v1/audiences/{name}/members": audience}
    places["/v1/results/{table}"] = "customers"
    paths = [
        "/v1/customers/{id}", "/v1/customers/{id}/timeline", "/v1/states", "/v1/transitions", "/v1/audiences",
        "/v1/audiences/{name}/members", "/v1/predictions", "/v1/results", "/v1/results/{table}",
        "/v1/changes", "/v1/quarantine", "/v1/versions", "/v1/outbox", "/v1/status",
        "/healthz", "/readyz",
    ]  # fmt: skip
    n_items = 0
    for path in paths:
        address = path.replace("{id}", places.get(path, "")).replace("{name}", places.get(path, ""))
        address = address.replace("{table}", places.get(path, ""))
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


# Results of batch runs


def test_tables_of_a_run_are_listed_with_their_columns(web: Web) -> None:
    assert web.get("/v1/results").json() == {"items": [], "next": None}
    assert web.get("/v1/results/customers").status_code == 404
    folder = web.engine.project / "results"
    write_results(folder)
    write_table(pa.table({"a": [1]}), folder / "somebody_elses.parquet")
    write_table(pa.table({"segment": [1, 2]}), folder / "segments.parquet")  # as `sojourn segments` does
    items = {one["table"]: one for one in web.get("/v1/results").json()["items"]}
    assert set(items) == {"customers", "segments"}
    assert items["customers"]["n_rows"] == 7
    assert [tuple(one.values()) for one in items["customers"]["columns"]] == [
        ("customer_id", "string"), ("n_events", "integer"), ("since_at", "instant"), ("state", "string"),
        ("state_p", "number"), ("is_new", "boolean"), ("reasons", "list"),
    ]  # fmt: skip


def read_all(web: Web, table: str, limit: int, **query: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    for _ in range(100):
        found = web.get(f"/v1/results/{table}", limit=limit, **query, **cursor)
        assert found.status_code == 200, found.text
        assert len(found.json()["items"]) <= limit
        rows += found.json()["items"]
        if found.json()["next"] is None:
            return rows
        cursor = {"cursor": found.json()["next"]}
    raise AssertionError("the pages do not end")


@pytest.mark.parametrize("limit", [1, 3, 7, 100])
def test_pages_and_filters_give_the_rows_of_the_table(web: Web, limit: int) -> None:
    folder = web.engine.project / "results"
    write_results(folder)
    whole = pq.read_table(folder / "customers.parquet").to_pylist()
    rows = read_all(web, "customers", limit)
    assert [row["customer_id"] for row in rows] == [row["customer_id"] for row in whole]
    assert rows[3]["state_p"] is None
    assert rows[0]["since_at"] == "2026-11-18T11:06:40.000000Z"
    assert rows[0]["reasons"] == [{"what": "silence", "weight": 1.5}]
    for wanted, is_in in (
        (["state:active"], lambda row: row["state"] == "active"),
        (["state:active", "is_new:true"], lambda row: row["state"] == "active" and row["is_new"]),
        (["n_events:4"], lambda row: row["n_events"] == 4),
        (["state_p:0.5"], lambda row: row["state_p"] == 0.5),
        (["since_at:2026-11-18T11:06:40.000002Z"], lambda row: row["customer_id"] == "u2"),
        (["state:nowhere"], lambda row: False),
    ):
        found = read_all(web, "customers", limit, where=wanted)
        assert [row["customer_id"] for row in found] == [row["customer_id"] for row in whole if is_in(row)], wanted


def test_a_table_of_many_groups_is_read_a_part_at_a_time(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = web.engine.project / "results"
    write_results(folder)
    n = 1_000
    table = pa.table({"customer_id": [f"u{i}" for i in range(n)], "seven": [i % 7 for i in range(n)]})
    pq.write_table(table, folder / "segments.parquet", row_group_size=64)
    monkeypatch.setattr("sojourn.pipelines.tables._MOST_LOOKED_AT", 100)
    found = web.get("/v1/results/segments", where="customer_id:u990").json()
    assert found["items"] == []
    assert found["next"].startswith("128.")
    assert [row["customer_id"] for row in read_all(web, "segments", 10, where="customer_id:u990")] == ["u990"]
    assert len(read_all(web, "segments", 13, where="seven:3")) == len(range(3, n, 7))
    assert len(read_all(web, "segments", 130)) == n


@pytest.mark.parametrize(
    ("path", "status", "what"),
    [
        ("custmers", 404, "Did you mean 'customers'?"),
        ("quarantine", 404, "no table"),
        ("..%2Fplaybook", 404, ""),
        ("%2Fetc%2Fpasswd", 404, ""),
        ("run.json", 404, "no table"),
        ("customers?where=sate:active", 422, "Did you mean 'state'?"),
        ("customers?where=state", 422, "column:value"),
        ("customers?where=n_events:many", 422, "no value of a column of type integer"),
        ("customers?where=n_events:99999999999999999999", 422, "no value"),
        ("customers?where=is_new:maybe", 422, "no value"),
        ("customers?where=since_at:noon", 422, "no value"),
        ("customers?where=reasons:silence", 422, "lists have no one value"),
        ("customers?cursor=x", 422, "cursor"),
        ("customers?cursor=-5.3", 422, "cursor"),
        ("customers?cursor=3.3", 409, "another run's by now"),
        ("customers?limit=0", 422, ""),
        ("customers?limit=1001", 422, ""),
    ],
)
def test_what_cannot_be_asked_of_a_table_is_said(web: Web, path: str, status: int, what: str) -> None:
    write_results(web.engine.project / "results")
    found = web.client.get(f"/v1/results/{path}", headers={"Authorization": f"Bearer {web.keys['read']}"})
    assert found.status_code == status, found.text
    assert what in found.text
    if path.startswith("customers"):
        schemathesis.openapi.from_asgi("/openapi.json", web.app)["/v1/results/{table}"]["GET"].validate_response(found)


def test_a_newer_run_is_seen_at_once_and_never_half(web: Web) -> None:
    folder = web.engine.project / "results"
    write_results(folder)
    first = web.get("/v1/results/customers", limit=3).json()
    write_results(folder, n=9)
    again = web.get("/v1/results/customers", limit=3, cursor=first["next"])
    assert again.status_code == 409
    assert len(read_all(web, "customers", 4)) == 9
    moving = folder / ".sojourn.1234.partial" / "replaced"
    moving.mkdir(parents=True)
    found = web.get("/v1/results/customers")
    assert (found.status_code, found.headers["Retry-After"]) == (503, "1")
    assert web.get("/v1/results").status_code == 503
    os.utime(moving, (1, 1))  # a run that was killed has left it
    assert web.get("/v1/results").status_code == 200
    (folder / "customers.parquet").write_bytes(b"PAR1 and no more")
    assert web.get("/v1/results/customers").status_code == 409


def test_whoever_is_erased_is_gone_from_the_tables_and_pages(web: Web) -> None:
    folder = web.engine.project / "results"
    matrix = pa.table({"from_state": ["trial"], "p": [0.5]})
    write_results(folder, matrix=matrix)
    before = (folder / "matrix.parquet").stat().st_mtime_ns
    web.engine.send([track("u2", "Signed In", anonymousId="a2"), track("u3", "Signed In")])
    admin = {"Authorization": f"Bearer {web.keys['admin']}"}
    said = web.client.delete("/v1/customers/a2", headers=admin).json()
    assert (said["n_ids"], said["n_files"]) == (2, 3)
    assert [row["customer_id"] for row in read_all(web, "customers", 3)] == ["u0", "u1", "u3", "u4", "u5", "u6"]
    table = pq.read_table(folder / "customers.parquet")
    assert table.schema.field("state").type == pa.dictionary(pa.int32(), pa.string())
    assert pq.read_table(folder / "quarantine.parquet").num_rows == 6
    assert not (folder / "report.html").exists()
    assert (folder / "matrix.parquet").stat().st_mtime_ns == before
    for file in folder.iterdir():
        assert not re.search(rb"\bu2\b", file.read_bytes()), file
    assert not list(folder.glob(".*"))
    assert web.client.delete("/v1/customers/u5", headers=admin).json() == {"n_ids": 0, "n_calls": 0, "n_files": 2}
    assert len(read_all(web, "customers", 3)) == 5


def test_pages_that_only_have_a_longer_word_stay(web: Web) -> None:
    folder = web.engine.project / "results"
    write_results(folder)
    (folder / "report.html").write_text("<p>u21 is an example</p>")
    admin = {"Authorization": f"Bearer {web.keys['admin']}"}
    assert web.client.delete("/v1/customers/u2", headers=admin).json()["n_files"] == 2
    assert (folder / "report.html").exists()
