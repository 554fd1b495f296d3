"""The live commands, on a project whose server does not run. See tests/server/test_clients.py for `serve`."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import typer
from typer.testing import CliRunner

from sojourn.act.outbox import OutboxRow
from sojourn.cli.folder import FolderGroup, find_commands
from sojourn.errors import SojournError
from sojourn.live.store.calls import encode_calls
from sojourn.live.store.changes import NOTHING, Derived
from sojourn.live.store.log import NewRecord
from sojourn.live.store.store import open_store
from sojourn.pipelines.release import read_release
from tests.live.tracking_proxy import open_proxy

app = typer.Typer(cls=FolderGroup)
app.callback()(lambda: None)


def run(*arguments: str) -> str:
    """What a command prints on standard output; SojournError as it is."""
    result = CliRunner().invoke(app, list(arguments))
    if isinstance(result.exception, SojournError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def run_json(*arguments: str) -> Any:
    return json.loads(run(*arguments, "--json"))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    text = (files("sojourn.playbook") / "ready" / "shop.yaml").read_text(encoding="utf-8")
    (tmp_path / "playbook.yaml").write_text(text, encoding="utf-8")
    return tmp_path


def fill_log(project: Path, n_records: int, *, at: int = 0, derived: Derived = NOTHING) -> None:
    (project / "live").mkdir(exist_ok=True)
    call = b'{"type":"track","event":"Product Viewed","userId":"u1","messageId":"m"}'
    with open_store(f"sqlite:///{project}/live/store.sqlite") as store:
        for i in range(n_records):
            stamp = at + i * 43_200_000_000
            payload = encode_calls([call], 1, stamp, None, ["k"])
            store.append([NewRecord(at=stamp, kind="calls", n=1, payload=payload)], derived if i == 0 else NOTHING)


def test_the_whole_command_line_has_them() -> None:
    assert {"serve", "replay", "deploy", "archive", "repair", "link", "keys", "outbox"} <= set(find_commands())


# Keys


def test_a_key_is_shown_once_listed_rotated_and_revoked(project: Path) -> None:
    there = ("--project", str(project))
    made = run_json("keys", "add", "website", "--scope", "write", *there)
    other = run("keys", "add", "office", "--scope", "read", "--scope", "admin", *there).strip()
    assert len(made["key"]) > 20
    assert other != made["key"]
    listed = run_json("keys", "list", *there)
    assert [(key["name"], key["scopes"]) for key in listed] == [("website", ["write"]), ("office", ["read", "admin"])]
    assert made["key"] not in json.dumps(listed)
    assert made["key"].encode() not in (project / "live" / "store.sqlite").read_bytes()
    again = run_json("keys", "rotate", made["id"], *there)
    assert again["key"] != made["key"]
    assert (again["name"], again["scopes"]) == ("website", ["write"])
    run("keys", "revoke", again["id"], *there)
    revoked = {key["id"]: key["revoked_at"] is not None for key in run_json("keys", "list", *there)}
    assert revoked.pop(made["id"])
    assert revoked.pop(again["id"])
    assert list(revoked.values()) == [False]
    assert "office" in run("keys", "list", *there)


def test_a_scope_or_a_key_that_is_not_there_is_named_with_the_nearest(project: Path) -> None:
    there = ("--project", str(project))
    with pytest.raises(SojournError, match=r"'wirte' is no scope\. Did you mean 'write'"):
        run("keys", "add", "x", "--scope", "wirte", *there)
    made = run_json("keys", "add", "x", *there)
    with pytest.raises(SojournError, match=f"Did you mean '{made['id']}'"):
        run("keys", "revoke", made["id"] + "x", *there)


def test_a_folder_that_is_not_there_is_no_project(tmp_path: Path) -> None:
    with pytest.raises(SojournError, match="there is no such folder"):
        run("keys", "list", "--project", str(tmp_path / "nowhere"))


# Versions


def test_a_playbook_is_stored_as_a_version_and_the_server_is_told(project: Path) -> None:
    there = ("--project", str(project))
    assert run_json("deploy", "--playbook", "shop", *there) == {"number": 1, "action": "switch", "version": 1}
    assert run_json("deploy", "--playbook", "saas", "--shadow", *there) == {
        "number": 2, "action": "shadow", "version": 2
    }  # fmt: skip
    assert run_json("deploy", "--switch", "2", *there)["version"] == 2
    assert run_json("deploy", "--rollback", *there) == {"number": 4, "action": "rollback", "version": None}
    listed = run_json("deploy", "--list", *there)
    assert [(one["version"], one["note"], one["has_model"]) for one in listed] == [
        (1, "playbook shop", False),
        (2, "playbook saas", False),
    ]
    with pytest.raises(SojournError, match="there is no version 7; there are 1, 2"):
        run("deploy", "--switch", "7", *there)


@pytest.mark.parametrize("given", [[], ["--list", "--rollback"], ["--switch", "1", "--playbook", "shop"]])
def test_deploy_does_one_thing(project: Path, given: list[str]) -> None:
    with pytest.raises(SojournError, match="give one of"):
        run("deploy", *given, "--project", str(project))


def test_results_whose_model_and_playbook_differ_are_refused(tmp_path: Path) -> None:
    text = (files("sojourn.playbook") / "ready" / "shop.yaml").read_text(encoding="utf-8")
    (tmp_path / "playbook.yaml").write_text(text, encoding="utf-8")
    (tmp_path / "model.json").write_text('{"states": []}', encoding="utf-8")
    with pytest.raises(SojournError, match=r"model\.json"):
        read_release(tmp_path)


# The log


def test_a_log_that_is_whole_needs_no_repair(project: Path) -> None:
    fill_log(project, 3)
    assert run_json("repair", "--project", str(project)) == {"last_good": 3, "damage": None, "set_aside": 0}


def test_a_damaged_end_is_told_and_set_aside_when_asked(project: Path) -> None:
    fill_log(project, 5)
    with open_store(f"sqlite:///{project}/live/store.sqlite") as store:
        payload = next(iter(store.read_log(3))).payload
    data = (project / "live" / "store.sqlite").read_bytes()
    at = data.rfind(payload)  # of record 4 or 5, whichever lies last
    assert at > 0
    (project / "live" / "store.sqlite").write_bytes(data[: at + 9] + bytes([data[at + 9] ^ 1]) + data[at + 10 :])
    there = ("--project", str(project))
    told = run_json("repair", *there)
    assert told["damage"]
    assert told["set_aside"] == 0
    assert run_json("repair", *there)["last_good"] == told["last_good"]
    assert run_json("repair", "--yes", *there)["set_aside"] == 5 - told["last_good"]
    assert run_json("repair", *there)["damage"] is None


def test_days_of_the_log_become_parquet(project: Path) -> None:
    fill_log(project, 4, at=1_700_000_000_000_000)
    found = run_json("archive", "--project", str(project))
    assert (found["records"], found["calls"]) == (4, 4)
    rows = [row for file in found["files"] for row in pq.read_table(file).to_pylist()]
    assert [row["userId"] for row in rows] == ["u1"] * 4
    assert run_json("archive", "--project", str(project))["records"] == 0


# The outbox


def test_dead_letters_are_listed_and_tried_again(project: Path) -> None:
    row = OutboxRow(destination="crm", seq=1, id="c1", body="{}", status="dead")
    fill_log(project, 1, derived=Derived(outbox=[row]))
    there = ("--project", str(project))
    assert run_json("outbox", "list", *there)["crm"]["dead"] == 1
    assert [one["id"] for one in run_json("outbox", "list", "--dead", "crm", *there)] == ["c1"]
    assert "crm" in run("outbox", "list", *there)
    assert run_json("outbox", "replay", "crm", *there) == {"destination": "crm", "again": 1}
    assert run_json("outbox", "list", *there)["crm"].get("dead", 0) == 0
    with pytest.raises(SojournError, match="Did you mean 'crm'"):
        run("outbox", "replay", "crmm", *there)


# Replay, link


def test_replay_sends_and_tells(tmp_path: Path) -> None:
    file = tmp_path / "events.csv"
    file.write_text("user_id,timestamp,event\nu1,2024-05-01,Product Viewed\nu1,soon,Product Viewed\n")
    with open_proxy() as proxy:
        asked = ("replay", str(file), "--playbook", "shop", "--to", proxy.url, "--key", "k")
        assert "2 rows read: 1 accepted by the server, 1 could not be read" in run(*asked)
        told = run_json(*asked)
    assert (told["read"], told["accepted"], told["unusable"]) == (2, 1, 1)
    assert len(set(proxy.accepted_ids())) == 1


def test_replay_needs_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOJOURN_KEY", raising=False)
    with pytest.raises(SojournError, match="a key that may write is needed, here or in SOJOURN_KEY"):
        run("replay", "x.csv")


def test_a_column_without_a_kind_is_refused(tmp_path: Path) -> None:
    people = tmp_path / "people.csv"
    pa.csv.write_csv(pa.table({"name": ["Ann"], "email": ["a@example.com"]}), people)
    with pytest.raises(SojournError, match="'name' has no kind"):
        run("link", str(people), "--out", str(tmp_path / "x.parquet"), "--column", "name")


def test_what_other_libraries_say_is_in_lines_of_json_too_without_what_they_quote() -> None:
    code = """
import logging
from sojourn.server.log import start_log
start_log()
logging.getLogger("sojourn.server").info("ready")
logging.getLogger("asyncio").error("Task was never retrieved\\nfuture: <ann@x.org>")
try:
    raise ValueError("ann@x.org")
except ValueError:
    logging.getLogger("uvicorn.error").exception("Exception in ASGI application\\n")
logging.getLogger("uvicorn.error").warning("Invalid HTTP request received.")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [(line["level"], line["message"]) for line in lines] == [
        ("info", "ready"), ("error", "Task was never retrieved"), ("error", "Exception in ASGI application"),
    ]  # fmt: skip
    assert lines[2]["error"] == "ValueError"
    assert "ann" not in done.stderr
