"""`kill -9` at random instants under load: nothing acknowledged is lost, nothing counts or is told twice."""

from __future__ import annotations

import json
import random
import threading
import time
import urllib.error
import urllib.request
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook

from sojourn.live.engine.environment import open_version
from sojourn.live.engine.records import apply_record
from sojourn.live.engine.version.version import Version
from sojourn.live.engine.view import show_customer
from sojourn.live.open import open_live
from sojourn.live.replay.calls import read_calls
from sojourn.live.settings import load_settings
from sojourn.live.store.changes import NOTHING
from sojourn.live.store.log import NewRecord
from sojourn.live.store.store import open_store
from sojourn.playbook.load import load_playbook
from sojourn.simulation.customers import simulate
from tests.act.test_delivery import SECRET, Receiver, open_receiver
from tests.live.engine_world import make_project
from tests.live.forked import Forker
from tests.live.server_process import LiveServer, find_port

N_KILLS = 50
SETTINGS = """
snapshot_every: 700
commit_interval: 2ms
destinations:
  crm: {{url: "{url}", secret: {secret}, changes: [transition, moment], max_age: never, private_addresses: true}}
"""


class Sender(threading.Thread):
    """Sends batches one after the other; one that is not acknowledged is sent again, as clients do."""

    def __init__(self, server: LiveServer, batches: list[bytes]) -> None:
        super().__init__(daemon=True)
        self.server, self.batches = server, batches
        self.n_acknowledged = self.n_again = 0
        self.may_send = threading.Event()

    def run(self) -> None:
        for body in self.batches:
            while True:
                self.may_send.wait()
                headers = {"Authorization": f"Bearer {self.server.keys['write']}"}
                request = urllib.request.Request(f"{self.server.url}/v1/batch", body, headers)
                try:
                    with urllib.request.urlopen(request, timeout=10) as answer:
                        assert answer.status == 200
                    self.n_acknowledged += 1
                    break
                except (OSError, urllib.error.HTTPError):
                    self.n_again += 1
                    time.sleep(0.01)


def list_told(project: Path) -> list[tuple[Any, ...]]:
    with open_store(f"sqlite:///{project}/live/store.sqlite", is_writer=False) as store:
        found = store.read_changes(0, limit=1_000_000)
    seqs, ids = [change.seq for change in found], [change.id for change in found]
    assert seqs == list(range(1, len(seqs) + 1)), "a seq is missing or repeated"
    assert len(set(ids)) == len(ids), "an id is repeated"
    return [(c.kind, c.customer_id, c.at, c.name, c.before) for c in found]


def check_outbox(project: Path, got: list[tuple[dict[str, str], bytes]]) -> None:
    """Every change that is wanted is in the outbox once, and has arrived, under its own id whatever came between."""
    with open_store(f"sqlite:///{project}/live/store.sqlite", is_writer=False) as store:
        told = store.read_changes(0, limit=1_000_000)
        rows = store.read_outbox("crm", "delivered", limit=1_000_000)
        n_rows = sum(store.outbox_counts()["crm"].values())
    wanted = {change.seq: change.id for change in told if not change.kind.startswith("audience")}
    assert len(wanted) > 50
    assert {row.seq: row.id for row in rows} == wanted
    assert n_rows == len(rows) == len(wanted)
    bodies = {row.id: row.body for row in rows}
    got = [(headers, body) for headers, body in got if int(headers["content-length"]) == len(body)]  # cut by a kill
    arrived = {headers["webhook-id"]: body.decode() for headers, body in got}
    assert arrived == bodies
    for headers, body in got:  # one that comes twice is the same
        assert Webhook(SECRET).verify(body, headers)["data"]["id"] == headers["webhook-id"]
        assert body.decode() == bodies[headers["webhook-id"]]


@pytest.mark.slow
def test_fifty_kills_under_load_lose_and_repeat_nothing(tmp_path: Path) -> None:
    with open_receiver() as receiver:
        kill_often(tmp_path, receiver)


def kill_often(tmp_path: Path, receiver: Receiver) -> None:
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")
    rng = random.Random(seed)
    playbook = load_playbook("shop")
    calls = read_calls(simulate(60, days=40, seed=3).events, playbook)
    raw = calls.write(0, len(calls))
    batches = [b'{"batch":[%s]}' % b",".join(raw[i : i + 20]) for i in range(0, len(raw), 20)]
    settings = SETTINGS.format(url=receiver.url, secret=SECRET)
    project = make_project(tmp_path / "p", playbook.text, settings=settings)
    forker = Forker()  # fifty starts would else spend their time importing
    server = LiveServer(project, find_port(), forker=forker)
    for scope in ("write", "read", "admin"):
        server.add_key(scope)
    per_kill = max(len(batches) // (N_KILLS + 2), 1)
    sender = Sender(server, batches)
    sender.start()
    n_kills = 0
    while n_kills < N_KILLS:
        server.start()
        sender.may_send.set()
        goal = min(sender.n_acknowledged + per_kill, len(batches) - 1)
        end = time.monotonic() + 20
        while sender.n_acknowledged < goal and time.monotonic() < end:
            time.sleep(0.001)
        time.sleep(rng.random() * 0.03)
        server.kill()
        sender.may_send.clear()
        n_kills += 1
    server.start()
    sender.may_send.set()
    sender.join(120)
    assert not sender.is_alive()
    assert sender.n_acknowledged == len(batches)

    # What the interrupted server has, against one that reads its log without a break.
    time.sleep(2.5)
    status = server.ask("GET", "/v1/status", key="admin")[1]
    ids = sorted({str(json.loads(call)["userId"]) for call in raw if b'"userId"' in call})
    assert status["counts"]["accepted"] == len(raw)
    pictures = {id: server.customer(id) for id in ids}
    end = time.monotonic() + 60
    while server.ask("GET", "/v1/outbox", key="admin")[1]["destinations"]["crm"]["waiting"]:
        assert time.monotonic() < end
        time.sleep(0.1)
    assert server.stop() == 0
    check_outbox(project, receiver.got)
    forker.close()
    told = list_told(project)
    version = apply_log(project, tmp_path / "q", playbook.text)
    assert list_told(tmp_path / "q") == told
    assert version.counts["accepted"] == len(raw)
    assert version.customers.n_customers == status["n_customers"]
    for id, picture in pictures.items():
        found = show_customer(version, id, to_us(picture["at"]), None)
        assert found == picture, id


def to_us(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1e6)


def apply_log(project: Path, to: Path, playbook: str) -> Version:
    """A project with the same log, applied record by record without a break; the version that did it."""
    made = make_project(to, playbook)
    (made / "live").mkdir()
    settings = load_settings(made)
    with (
        open_store(f"sqlite:///{project}/live/store.sqlite", is_writer=False) as source,
        open_store(settings.store) as target,
    ):
        version = open_version(open_live(made, settings, target).env, 1)
        pending = NOTHING
        for record in source.read_log():
            new = NewRecord(at=record.at, kind=record.kind, n=record.n, payload=record.payload)
            assert target.append([new], pending) == record.position
            pending = apply_record(version, record).derived(record.position)
        target.append([], pending)
        for node in range(len(version.identities)):  # while the store is open
            version.profiles.traits([node])
    return version
