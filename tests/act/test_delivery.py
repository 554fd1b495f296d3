"""What goes out: which changes, signed, each destination for itself, again until it has arrived or is given up."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError

from sojourn.act.changes import Change
from sojourn.act.destinations import webhook
from sojourn.act.destinations.delivery import SCHEDULE_S, Delivery
from sojourn.act.destinations.port import Destination
from sojourn.act.destinations.routing import route_changes
from sojourn.act.destinations.webhook import open_client, read_secret, send
from sojourn.act.outbox import OutboxItem, OutboxRow
from sojourn.errors import SojournError, StoreFull
from sojourn.live.store.changes import Derived
from sojourn.live.store.store import Store, open_store
from sojourn.testing import check_destination

SECRET = "whsec_MDEyMzQ1Njc4OWFiY2RlZg=="
SECOND = 1_000_000
NOW = 1_760_000_000 * SECOND


def change(seq: int, kind: str = "transition", name: str = "decision", at: int = NOW, **data: Any) -> Change:
    return Change(seq, f"chg_{seq}", kind, "u1", at, name, "discovery" if kind == "transition" else None, data)


def to(url: str = "https://x.org", name: str = "crm", **more: Any) -> Destination:
    return Destination(name, url, **{"secret": SECRET, **more})


# Which change goes where


def route(changes: list[Change], *destinations: Destination, consent: dict[str, bool] | None = None) -> list[OutboxRow]:
    return route_changes(
        changes, destinations, now=NOW, consent_of=lambda _: consent or {},
        purpose_of_audience={"ready": "marketing", "quiet": None},
    )  # fmt: skip


def test_predictions_go_with_messages_and_choose_them() -> None:
    asked: list[list[str]] = []

    def predict(ids: Any) -> list[dict[str, float]]:
        asked.append(list(ids))
        return [{"churn": {"u1": 0.81, "u2": 0.4}[id]} if id != "u3" else {} for id in ids]

    told = [
        Change(seq, f"chg_{seq}", kind, f"u{who}", NOW, "decision", None, {})
        for seq, (who, kind) in enumerate(
            [(1, "transition"), (2, "transition"), (3, "transition"), (1, "moment"), (2, "audience_left"),
             (2, "transition_revoked")], 1
        )
    ]  # fmt: skip
    given: Any = {"now": NOW, "consent_of": lambda _: {}, "purpose_of_audience": {}, "predict": predict}
    rows = route_changes(told, [to(), to(name="b", predictions=("churn", "buys"), at_least=(("churn", 0.7),))], **given)
    assert asked == [["u1", "u2", "u3"]]
    plain, chosen = rows[:6], rows[6:]
    assert all(row.status == "waiting" and "predictions" not in row.body for row in plain)
    assert [row.last_error for row in chosen] == [
        None, "churn is predicted with 0.400, less than 0.7", "churn is not predicted", None, None, None,
    ]  # fmt: skip
    data = [json.loads(row.body)["data"]["predictions"] for row in chosen[:3]]
    assert data == [{"churn": 0.81, "buys": None}, {"churn": 0.4, "buys": None}, {"churn": None, "buys": None}]
    route_changes(told, [to()], **given)
    assert len(asked) == 1  # nobody reads predictions


def test_a_destination_gets_what_it_asks_for() -> None:
    told = [
        change(1), change(2, name="fading"), change(3, "moment", "cart_doubt"), change(4, "audience_left", "ready"),
        change(5, "transition_revoked", "fading", revokes="chg_2", revokes_seq=2),
    ]  # fmt: skip
    assert [row.seq for row in route(told, to())] == [1, 2, 3, 4, 5]
    assert [row.seq for row in route(told, to(states=("fading",)))] == [2, 3, 4, 5]
    assert [row.seq for row in route(told, to(changes=("moment",)))] == [3]
    assert [row.seq for row in route(told, to(moments=("other",), audiences=()))] == [1, 2, 5]
    rows = route(told, to(), to(name="other"))
    assert [(row.destination, row.seq) for row in rows] == [(name, n) for name in ("crm", "other") for n in range(1, 6)]
    assert route(told) == []


def test_a_message_says_it_all() -> None:
    [row] = route([change(7, at=NOW + 5, cause="event", dwell_s=3.5)], to())
    assert json.loads(row.body) == {
        "type": "customer.transition",
        "timestamp": "2025-10-09T08:53:20.000005Z",
        "data": {
            "id": "chg_7", "seq": 7, "customer_id": "u1", "at": "2025-10-09T08:53:20.000005Z", "name": "decision",
            "before": "discovery", "cause": "event", "dwell_s": 3.5,
        },
    }  # fmt: skip


def test_what_is_not_sent_is_recorded_with_the_reason() -> None:
    told = [change(1, at=NOW - 3 * 86_400 * SECOND), change(2, "audience_entered", "ready"),
            change(3, "audience_left", "ready"), change(4, "audience_entered", "quiet")]  # fmt: skip
    found = [(row.status, row.last_error) for row in route(told, to())]
    assert found == [
        ("refused", "older than 86400 s"), ("refused", "no consent to marketing"), ("waiting", None), ("waiting", None),
    ]  # fmt: skip
    consents = {"marketing": True}
    assert [row.status for row in route(told, to(max_age_s=None), consent=consents)] == ["waiting"] * 4
    assert [row.status for row in route(told[3:], to(purpose="ads"), consent=consents)] == ["refused"]
    taken_back = [change(5, "transition_revoked", at=told[0].at, revokes="chg_1")]
    assert [row.status for row in route(taken_back, to())] == ["refused"]


# A receiver


class Receiver:
    """An HTTP server that keeps what it gets, and answers what it is told to."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.answers: list[tuple[int, dict[str, str]]] = []
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.url = ""

    def ids(self) -> list[str]:
        return [headers["webhook-id"] for headers, _ in self.got]


@contextmanager
def open_receiver() -> Iterator[Receiver]:
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.may_answer.wait(20)
            receiver.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
            status, headers = receiver.answers.pop(0) if receiver.answers else (204, {})
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    receiver.url = f"http://127.0.0.1:{server.server_address[1]}/hook"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield receiver
    finally:
        receiver.may_answer.set()
        server.shutdown()
        server.server_close()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(f"sqlite:///{tmp_path}/store.sqlite") as opened:
        yield opened


def put(store: Store, destination: Destination, *seqs: int) -> None:
    told = [change(seq) for seq in seqs]
    store.append([], Derived(changes=told, outbox=route(told, destination)))


def wait_for(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + 120
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.005)


class Clock:
    def __init__(self) -> None:
        self.now = NOW / SECOND

    def __call__(self) -> float:
        return self.now


@contextmanager
def deliver(store: Store, *destinations: Destination, clock: Callable[[], float] = time.time) -> Iterator[Delivery]:
    delivery = Delivery(store, destinations, clock=clock)
    delivery.start()
    try:
        yield delivery
    finally:
        delivery.stop(20)


def counts(store: Store, name: str = "crm") -> dict[str, int]:
    return {status: n for status, n in store.outbox_counts().get(name, {}).items() if n}


def test_a_message_arrives_once_and_its_signature_is_right(store: Store) -> None:
    with open_receiver() as receiver:
        destination = to(receiver.url, is_private_allowed=True)
        with deliver(store, destination) as delivery:
            put(store, destination, 1, 2, 3)
            delivery.wake()
            wait_for(lambda: counts(store) == {"delivered": 3})
        assert sorted(receiver.ids()) == ["chg_1", "chg_2", "chg_3"]
        headers, body = receiver.got[0]
        assert Webhook(SECRET).verify(body, headers)["type"] == "customer.transition"
        with pytest.raises(WebhookVerificationError):
            Webhook(SECRET).verify(body.replace(b"u1", b"u2"), headers)


def test_tries_follow_the_schedule_and_end_as_a_dead_letter(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sojourn.act.destinations.delivery.PROBE_S", 0.02)
    clock = Clock()
    with open_receiver() as receiver:
        destination = to(receiver.url, is_private_allowed=True, max_age_s=None)
        put(store, destination, 1)
        receiver.answers = [(500, {})] * len(SCHEDULE_S)
        with deliver(store, destination, clock=clock) as delivery:
            for attempt in range(1, len(SCHEDULE_S) + 1):
                wait_for(lambda n=attempt: len(receiver.got) == n)  # type: ignore[misc]
                status = "dead" if attempt == len(SCHEDULE_S) else "waiting"
                wait_for(lambda n=attempt, s=status: [  # type: ignore[misc]
                    item.attempts for item in store.read_outbox("crm", s, limit=9)] == [n])  # fmt: skip
                if attempt < len(SCHEDULE_S):
                    [item] = store.read_outbox("crm", "waiting", limit=9)
                    pause = item.next_at / 1e6 - clock.now
                    assert 0.8 * SCHEDULE_S[attempt] - 1 <= pause <= 1.2 * SCHEDULE_S[attempt] + 1
                    assert (item.last_status, item.last_error) == (500, "answered 500")
                    clock.now = item.next_at / 1e6 + 1
                    delivery.wake()
            assert len(set(receiver.ids())) == 1
            assert store.replay_dead("crm") == 1
            delivery.wake()
            wait_for(lambda: counts(store) == {"delivered": 1})


def test_a_receiver_may_ask_for_patience_or_for_nothing_more(store: Store) -> None:
    clock = Clock()
    with open_receiver() as receiver:
        destination = to(receiver.url, is_private_allowed=True, max_age_s=None)
        put(store, destination, 1)
        receiver.answers = [(429, {"Retry-After": "777"}), (410, {})]
        with deliver(store, destination, clock=clock) as delivery:
            wait_for(lambda: bool(store.read_outbox("crm", "waiting", limit=1)) and len(receiver.got) == 1)
            wait_for(lambda: store.read_outbox("crm", "waiting", limit=1)[0].attempts == 1)
            [item] = store.read_outbox("crm", "waiting", limit=1)
            assert item.next_at / 1e6 == pytest.approx(clock.now + 777, abs=1)
            clock.now += 778
            delivery.wake()
            wait_for(lambda: counts(store) == {"dead": 1})
            assert delivery.status()["crm"]["is_gone"]
            put(store, destination, 2)
            delivery.wake()
            time.sleep(0.2)
            assert counts(store) == {"dead": 1, "waiting": 1}


def test_one_that_hangs_delays_no_other(store: Store) -> None:
    with open_receiver() as slow, open_receiver() as quick:
        slow.may_answer.clear()
        hangs = to(slow.url, "hangs", is_private_allowed=True)
        works = to(quick.url, "works", is_private_allowed=True)
        put(store, hangs, 1)
        with deliver(store, hangs, works) as delivery:
            for seq in range(2, 30):
                put(store, works, seq)
                delivery.wake()
            wait_for(lambda: counts(store, "works") == {"delivered": 28})
            assert counts(store, "hangs") == {"waiting": 1}
            slow.may_answer.set()
            wait_for(lambda: counts(store, "hangs") == {"delivered": 1})


def test_a_name_that_is_looked_up_for_ever_delays_no_other(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    may_end, look_up, n_hanging = threading.Event(), socket.getaddrinfo, [0]

    def hang(host: Any, *given: Any, **more: Any) -> Any:
        if "dead" in str(host):
            n_hanging[0] += 1
            may_end.wait(20)
            raise socket.gaierror("no such name")
        return look_up(host, *given, **more)

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    with open_receiver() as receiver:
        works = to(receiver.url.replace("127.0.0.1", "localhost"), "works", is_private_allowed=True)
        dead = [to(f"http://dead{i}.example/", f"dead{i}", timeout_s=0.2) for i in range(9)]
        for one in dead:
            put(store, one, *range(1, 9))
        try:
            with deliver(store, *dead, works) as delivery:
                wait_for(lambda: all(delivery.status()[one.name]["is_failing"] for one in dead))
                assert n_hanging[0] >= len(dead)
                put(store, works, 10)
                delivery.wake()
                wait_for(lambda: counts(store, "works") == {"delivered": 1})
                assert not may_end.is_set()
        finally:
            may_end.set()


def test_a_message_whose_fate_is_unknown_is_sent_again_with_the_same_id(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/store.sqlite"
    with open_receiver() as receiver:
        destination = to(receiver.url, is_private_allowed=True)
        with open_store(url) as store:
            put(store, destination, 1)
            [item] = store.claim_due("crm", NOW * 2, 10)
            asyncio.run(send_one(destination, item))  # it arrives, and the process ends before that is noted
        with open_store(url) as store, deliver(store, destination):
            wait_for(lambda: counts(store) == {"delivered": 1})
        assert receiver.ids() == ["chg_1", "chg_1"]


async def send_one(destination: Destination, item: OutboxItem | None = None) -> Any:
    item = item or OutboxItem("crm", 1, "chg_1", "{}", 0, 0)
    async with open_client(destination) as client:
        return await send(client, destination, SECRET, item, time.time())


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "localhost", "[::1]", "0.0.0.0", "10.0.0.1", "172.16.3.4", "192.168.1.1", "169.254.169.254",
        "[::ffff:127.0.0.1]", "[fe80::1]", "[fd00::1]", "100.64.0.1", "2130706433", "0x7f000001", "0177.0.0.1",
        "127.1", "[64:ff9b::7f00:1]", "224.0.0.1", "198.18.0.1", "[::127.0.0.1]", "[64:ff9b:1::7f00:1]",
        "[2002:7f00:1::]", "[::ffff:0:127.0.0.1]", "[fec0::1]",
    ],
)  # fmt: skip
def test_no_message_goes_to_an_address_of_the_own_network(host: str) -> None:
    with open_receiver() as receiver:
        port = receiver.url.split(":")[2].split("/")[0]
        sent = asyncio.run(send_one(to(f"http://{host}:{port}/", timeout_s=2)))
        is_no_address = host in ("2130706433", "0x7f000001", "0177.0.0.1", "127.1")  # some resolvers know them
        assert sent.what == "dead" or is_no_address
        assert sent.status is None
        assert receiver.got == []


def test_a_redirect_is_not_followed() -> None:
    with open_receiver() as receiver, open_receiver() as other:
        receiver.answers = [(307, {"Location": other.url})]
        sent = asyncio.run(send_one(to(receiver.url, is_private_allowed=True)))
        assert (sent.what, sent.status) == ("again", 307)
        assert other.got == []


def test_a_secret_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    destination = to(secret=None, secret_from="CRM_SECRET")
    with pytest.raises(SojournError, match="CRM_SECRET holds no signing secret"):
        read_secret(destination)
    monkeypatch.setenv("CRM_SECRET", SECRET)
    assert read_secret(destination) == SECRET


def test_one_that_fails_is_not_asked_for_every_new_message(store: Store) -> None:
    with open_receiver() as receiver:
        destination = to(receiver.url, is_private_allowed=True)
        receiver.answers = [(500, {})] * 1_000
        with deliver(store, destination) as delivery:
            for seq in range(1, 60):
                put(store, destination, seq)
                delivery.wake()
            wait_for(lambda: delivery.status()["crm"]["is_failing"])
            n_tried = len(receiver.got)
            for seq in range(60, 90):
                put(store, destination, seq)
                delivery.wake()
                time.sleep(0.01)
            assert len(receiver.got) <= n_tried + 4


def test_an_error_of_ours_with_one_destination_is_its_alone(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    from sojourn.act.destinations import webhook as module

    original = module.send

    async def fail(client: Any, destination: Destination, *more: Any) -> Any:
        if destination.name == "broken":
            raise RuntimeError("unforeseen")
        return await original(client, destination, *more)

    monkeypatch.setattr(module, "send", fail)
    with open_receiver() as receiver:
        broken, works = to(receiver.url, "broken"), to(receiver.url, "works", is_private_allowed=True)
        with deliver(store, broken, works) as delivery:
            put(store, broken, 1)
            put(store, works, 2)
            delivery.wake()
            wait_for(lambda: counts(store, "works") == {"delivered": 1})
            wait_for(lambda: delivery.status()["broken"]["last_error"] == "RuntimeError")
            put(store, works, 3)
            delivery.wake()
            wait_for(lambda: counts(store, "works") == {"delivered": 2})


def test_an_answer_that_drips_is_not_waited_for(store: Store) -> None:
    with open_receiver() as receiver:
        receiver.may_answer.clear()
        sent = asyncio.run(send_one(to(receiver.url, is_private_allowed=True, timeout_s=0.3)))
        assert (sent.what, sent.error) in (("again", "TimeoutError"), ("again", "ReadTimeout"))


def test_a_secret_that_is_none_is_refused_before_anything_is_sent(store: Store) -> None:
    with pytest.raises(SojournError, match="holds no signing secret"):
        Delivery(store, [to(secret="whsec_MDEyMzQ1Njc4OWFiY2RlZ")])


def test_what_could_not_be_marked_is_sent_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    original, n_failures = store.mark, [0]

    def mark(marks: Any) -> None:
        n_failures[0] += 1
        if n_failures[0] == 1:
            raise StoreFull("no space left")
        original(marks)

    monkeypatch.setattr(store, "mark", mark)
    monkeypatch.setattr("sojourn.act.destinations.delivery.STORE_AGAIN_S", 0.05)
    with open_receiver() as receiver:
        destination = to(receiver.url, is_private_allowed=True)
        put(store, destination, 1)
        with deliver(store, destination):
            wait_for(lambda: counts(store) == {"delivered": 1})
        assert receiver.ids() == ["chg_1", "chg_1"]


def test_a_webhook_keeps_what_is_asked_of_destinations() -> None:
    with open_receiver() as receiver:
        check_destination(webhook, to(receiver.url, is_private_allowed=True), receiver.ids)
