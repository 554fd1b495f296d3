"""Replay: every usable row of any source arrives exactly once, in order of time, at the speed that was asked for."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn.errors import EventsError, SojournError
from sojourn.events.calls.read import NO_INSTANT, CallReader
from sojourn.events.read import read_events
from sojourn.fold.batch import make_batch
from sojourn.fold.layout import build_layout
from sojourn.live.replay.calls import read_calls
from sojourn.live.replay.send import Clock, Replayed, ReplayError, Target, parse_speed, replay
from sojourn.playbook.load import load_playbook, parse_playbook
from sojourn.playbook.objects import Playbook
from sojourn.simulation.customers import simulate
from tests import ROOT
from tests.live.tracking_proxy import TrackingProxy, open_proxy

STATES = "states: {keen: {about: Keen.}, away: {about: Away.}}"
KEY = "sj_w_test"


class FakeTime:
    """A clock that stands still but for sleeping."""

    def __init__(self, at: float = 1_700_000_000.0) -> None:
        self.at = at
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.at += seconds

    def clock(self) -> Clock:
        return Clock(lambda: self.at, self.sleep)


def make_book(source: str, events: str = "view: {name: View}") -> Playbook:
    return parse_playbook(f"{{playbook: p, source: {source}, events: {{{events}}}, {STATES}}}", "p.yaml")


TABLE = make_book("{format: table, customer: [user, device], time: at, event: what}")


def send(
    events: Any, proxy: TrackingProxy, playbook: Playbook | None = TABLE, *, time: FakeTime | None = None, **more: Any
) -> Replayed:
    return replay(events, playbook, Target(proxy.url, KEY), clock=(time or FakeTime()).clock(), **more)


def instants(calls: Sequence[dict[str, Any]]) -> list[float]:
    return [datetime.fromisoformat(call["timestamp"].replace("Z", "+00:00")).timestamp() for call in calls]


ROWS = pa.table(
    {
        "user": ["u1", "null", None, "17.0"],
        "device": ["d1", "d2", "", None],
        "at": ["2024-05-03T00:00:00+02:00", "2024-05-01", "2024-05-02 10:00:00.000001", "2024-05-04"],
        "what": ["View", "View", " Buy ", "View"],
        "price": [1.5, float("nan"), 3.0, float("inf")],
        "note": ["", "ü", None, " x"],
    }
)


def test_a_row_becomes_a_track_call_with_the_other_columns_as_properties() -> None:
    with open_proxy() as proxy:
        found = send(ROWS, proxy)
    assert [call.pop("messageId")[:4] for call in proxy.calls] == ["row-"] * 4
    assert proxy.calls == [
        {"type": "track", "anonymousId": "d2", "event": "View", "properties": {"note": "ü"},
         "timestamp": "2024-05-01T00:00:00.000000Z"},
        {"type": "track", "event": "Buy", "properties": {"price": 3}, "timestamp": "2024-05-02T10:00:00.000001Z"},
        {"type": "track", "userId": "u1", "anonymousId": "d1", "event": "View", "properties": {"price": 1.5},
         "timestamp": "2024-05-02T22:00:00.000000Z"},
        {"type": "track", "userId": "17", "event": "View", "properties": {"price": "inf", "note": "x"},
         "timestamp": "2024-05-04T00:00:00.000000Z"},
    ]  # fmt: skip
    assert all("sentAt" not in body for body in proxy.bodies)
    assert set(proxy.keys) == {KEY}
    assert (found.n_read, found.n_accepted, found.n_unusable, found.n_requests) == (4, 4, 0, 1)


def test_times_without_a_zone_are_in_the_zone_of_the_playbook_and_in_its_format() -> None:
    book = make_book(
        "{format: table, customer: user, time: at, event: what, timezone: Europe/Berlin, time_format: '%d.%m.%Y %H:%M'}"
    )
    rows = pa.table({"user": ["u"], "at": ["01.07.2024 00:30"], "what": ["View"]})
    with open_proxy() as proxy:
        send(rows, proxy, book)
    assert proxy.calls[0]["timestamp"] == "2024-06-30T22:30:00.000000Z"


def test_rows_in_the_format_of_segment_stay_as_they_are_but_for_their_clocks(tmp_path: Path) -> None:
    call = {
        "type": "identify",
        "userId": 7,
        "traits": {"email": "a@example.com", "n": 1e400},
        "context": {"consent": {"categoryPreferences": {}}},
        "messageId": "m1",
        "originalTimestamp": "2024-05-01T00:00:00Z",
        "sentAt": "2024-05-01T00:00:09Z",
    }
    file = tmp_path / "calls.jsonl.gz"
    text = json.dumps(call).replace("Infinity", "1e400") + "\n" + '{"type":"page","userId":"\\ud800"\n'
    file.write_bytes(gzip.compress(text.encode()))
    with open_proxy() as proxy:
        found = send(str(file), proxy, None)
    assert proxy.calls == [
        {
            "type": "identify",
            "userId": 7,
            "traits": {"email": "a@example.com", "n": "inf"},
            "context": {"consent": {"categoryPreferences": {}}},
            "timestamp": "2024-05-01T00:00:00.000000Z",
            "messageId": "m1",
        }
    ]
    assert (found.n_read, found.n_accepted, found.n_unusable) == (2, 1, 1)
    assert found.problems[0].where == f"{file}:2"


def test_text_that_holds_json_is_opened_where_the_playbook_leads_into_it() -> None:
    source = "{format: table, customer: user, time: at, event: what, session: page.id}"
    rows = pa.table({"user": ["u"], "at": ["2024-05-01"], "what": ["v"], "page": ['{"id": 3}'], "other": ['{"a":1}']})
    with open_proxy() as proxy:
        send(rows, proxy, make_book(source))
    assert proxy.calls[0]["properties"] == {"page": {"id": 3}, "other": '{"a":1}'}


def test_what_a_rule_reads_stays_among_the_properties() -> None:
    book = make_book("{format: table, customer: user, time: at, event: what}", "view: {where: \"what == 'View'\"}")
    rows = pa.table({"user": ["u"], "at": ["2024-05-01"], "what": ["View"]})
    with open_proxy() as proxy:
        send(rows, proxy, book)
    assert proxy.calls[0]["properties"] == {"what": "View"}


def test_rows_without_a_playbook_must_be_calls() -> None:
    with open_proxy() as proxy, pytest.raises(EventsError, match="not in Segment's format; say with --playbook"):
        send(ROWS, proxy, None)


def test_a_missing_column_is_named_with_the_nearest() -> None:
    rows = pa.table({"usr": ["u"], "at": ["2024-05-01"], "what": ["View"]})
    with open_proxy() as proxy, pytest.raises(EventsError, match="Did you mean 'usr'"):
        send(rows, proxy)


def test_rows_without_an_instant_are_told_and_not_sent() -> None:
    rows = pa.table({"user": ["u", "u", "u"], "at": ["soon", "2024-05-01", None], "what": ["View"] * 3})
    with open_proxy() as proxy:
        found = send(rows, proxy)
    assert len(proxy.calls) == found.n_accepted == 1
    assert found.n_unusable == 2
    assert [str(problem) for problem in found.problems] == [
        "table:1: has no time that can be read.",
        "table:3: has no time that can be read.",
    ]


# Identifiers


def ids_of(events: Any, playbook: Playbook = TABLE, shift: int = 0) -> list[str]:
    calls = read_calls(events, playbook)
    return [json.loads(call)["messageId"] for call in calls.write(0, len(calls), shift_us=shift)]


def test_the_same_row_has_the_same_id_again_and_rows_that_look_alike_have_others(tmp_path: Path) -> None:
    text = "user,at,what\nu,2024-05-01,View\nu,2024-05-01,View\n"
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.csv").write_text(text)
    files = [str(tmp_path / folder / "x.csv") for folder in ("a", "b")]
    assert ids_of(files[0]) == ids_of(files[1])  # wherever the file lies
    both = ids_of(files)
    assert len(set(both)) == 4
    assert both[:2] == ids_of(files[0])


def test_where_equal_rows_are_duplicates_they_have_one_id() -> None:
    rows = pa.table({"user": ["u", "u"], "at": ["2024-05-01"] * 2, "what": ["View"] * 2, "id": ["a", None]})
    kept = "{format: table, customer: user, time: at, event: what, id: id, duplicates: %s}"
    assert ids_of(rows, make_book(kept % "id"))[0] == "a"
    assert len(set(ids_of(rows, make_book(kept % "keep")))) == 2
    same = pa.table({"user": ["u", "u"], "at": ["2024-05-01"] * 2, "what": ["View"] * 2})
    assert (
        len(set(ids_of(same, make_book("{format: table, customer: user, time: at, event: what, duplicates: content}"))))
        == 1
    )


def test_a_shift_makes_new_ids() -> None:
    assert not set(ids_of(ROWS, shift=1_000_000)) & set(ids_of(ROWS))


# Order and speed


@given(
    st.lists(st.integers(0, 2_000_000_000_000_000), min_size=1, max_size=40),
    st.integers(1, 7),
    st.sampled_from([1.0, 60.0, 1e6, float("inf")]),
)
def test_every_call_arrives_once_in_order_of_time_and_not_before_it_is_due(
    stamps: list[int], batch: int, speed: float
) -> None:
    rows = pa.table(
        {
            "user": ["u"] * len(stamps),
            "at": pa.array(stamps, pa.timestamp("us", "UTC")),
            "what": ["View"] * len(stamps),
            "n": list(range(len(stamps))),
        }
    )
    time = FakeTime()
    arrived: list[tuple[float, int, dict[str, Any]]] = []
    with open_proxy() as proxy:
        seen = 0

        def note(stage: str, done: int, total: int) -> None:
            nonlocal seen
            if stage == "Sending":
                arrived.extend((time.at, done, call) for call in proxy.calls[seen:])
                seen = len(proxy.calls)

        started = time.at
        found = send(rows, proxy, time=time, speed=speed, batch=batch, progress=note)
    order = sorted(range(len(stamps)), key=lambda i: (stamps[i], i))
    assert [call["properties"]["n"] for _, _, call in arrived] == order
    assert found.n_accepted == len(stamps)
    assert all(len(body["batch"]) <= batch for body in proxy.bodies)
    if speed != float("inf"):
        first = min(stamps)
        for at, _, call in arrived:
            due = started + (stamps[call["properties"]["n"]] - first) / 1e6 / speed
            assert at >= due - 0.021
        span = (max(stamps) - first) / 1e6 / speed
        assert time.at - started == pytest.approx(span, abs=0.03 + 1e-6 * span)


def test_shifted_to_now_the_last_event_happens_when_it_is_sent_and_none_in_the_future() -> None:
    for speed in (1.0, 100.0, float("inf")):
        time = FakeTime()
        with open_proxy() as proxy:
            send(ROWS, proxy, time=time, speed=speed, is_shifted=True)
        at = instants(proxy.calls)
        assert at[-1] == pytest.approx(time.at, abs=0.05)
        assert np.diff(at).tolist() == pytest.approx(np.diff(sorted(instants_of_rows())).tolist(), abs=1e-5)


def instants_of_rows() -> list[float]:
    texts = ("2024-05-02T22:00:00", "2024-05-01T00:00:00", "2024-05-02T10:00:00.000001", "2024-05-04T00:00:00")
    return [datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() for text in texts]


def test_a_body_stays_below_what_servers_take() -> None:
    n = 40
    rows = pa.table(
        {
            "user": ["u"] * n,
            "at": ["2024-05-01"] * n,
            "what": ["View"] * n,
            "text": [f"{i:05d}" * 20_000 for i in range(n)],
        }
    )
    with open_proxy() as proxy:
        send(rows, proxy, batch=100)
    assert len(proxy.bodies) == 2
    assert [call["properties"]["text"][:5] for call in proxy.calls] == [f"{i:05d}" for i in range(n)]


@pytest.mark.parametrize("text", ["", "0x", "fast", "-1x", "nan", "1e3"])
def test_a_speed_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(SojournError, match="is no speed"):
        parse_speed(text)


# A server that is busy, away, or says no


def test_a_busy_or_absent_server_is_asked_again_and_nothing_is_lost_or_doubled() -> None:
    faults = [(429, {"Retry-After": "7"}), (503, {"Retry-After": "2"}), (0, {}), (500, {})]
    time = FakeTime()
    with open_proxy(faults=faults) as proxy:
        found = send(ROWS, proxy, time=time, batch=2)
    assert len(proxy.accepted_ids()) == len(set(proxy.accepted_ids())) == 4
    assert found.n_retries == 4
    assert found.n_requests == 6
    assert time.slept[0] == 7.0
    assert time.slept[1] == 2.0
    assert proxy.statuses == [429, 503, 0, 500, 200, 200]


def test_it_gives_up_after_a_time_and_says_that_the_same_command_is_harmless() -> None:
    time = FakeTime()
    with open_proxy(faults=[(503, {"Retry-After": "9"})] * 500) as proxy:
        with pytest.raises(ReplayError, match=r"answered 503 for 30 s, 0 calls were acknowledged.*not counted twice"):
            replay(ROWS, TABLE, Target(proxy.url, KEY, give_up_s=30.0), clock=time.clock())
        assert not proxy.calls
    with pytest.raises(ReplayError, match="cannot be reached"):
        replay(ROWS, TABLE, Target(proxy.url, KEY, give_up_s=30.0), clock=time.clock())


def test_a_refusal_is_told_at_once_with_the_next_command() -> None:
    for status, words in ((401, "sojourn keys add"), (404, "is this a Sojourn server"), (400, "as asked")):
        time = FakeTime()
        with open_proxy(faults=[(status, {})]) as proxy, pytest.raises(ReplayError, match=words):
            send(ROWS, proxy, time=time)
        assert not time.slept


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://x", "http://", "http://a:b@host", "http://h:x"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(SojournError, match="is no address of a server"):
        replay(ROWS, TABLE, Target(url, KEY), clock=FakeTime().clock())


def test_the_key_is_not_shown() -> None:
    assert KEY not in repr(Target("http://127.0.0.1:1", KEY))


# Read live, the calls are what batch reading makes of the rows


def check_calls_are_the_rows(events: Any, playbook: Playbook) -> None:
    layout = build_layout(playbook)
    log = read_events(events, playbook, now=None, clock=datetime(2030, 1, 1, tzinfo=UTC))
    batch = make_batch(log.events, layout)
    calls = read_calls(events, playbook)
    n = len(calls)
    received_at = np.full(n, int(datetime(2030, 1, 1, tzinfo=UTC).timestamp() * 1e6))
    live = CallReader(playbook, layout).read(calls.write(0, n), [0] * n, received_at, np.full(n, NO_INSTANT))
    first = np.sort(np.unique([id or f"#{i}" for i, id in enumerate(live.event_id)], return_index=True)[1])
    assert len(first) == log.n_accepted
    assert live.event_at[first].tolist() == batch.event_at.tolist()
    assert live.event_class[first].tolist() == batch.event_class.tolist()
    np.testing.assert_array_equal(live.measures[first], batch.measures)
    np.testing.assert_array_equal(live.channel[first] if len(live.channel) else live.channel, batch.channel)
    np.testing.assert_array_equal(live.properties[first], batch.properties)
    np.testing.assert_array_equal(live.session[first] if len(live.session) else live.session, batch.session)
    labels = log.events["label"].cast(pa.string()).to_pylist()
    names = [*playbook.state_names, None]
    assert [names[i] for i in live.label[first].tolist()] == labels
    rules = Counter(log.quarantine["rule"].to_pylist())
    unusable = sum(rules.pop(rule, 0) for rule in ("time", "json", "utf-8", "fields"))
    assert calls.n_unusable == unusable
    assert Counter(rule for _, rule, _ in live.rejected) == rules
    users = pc.unique(log.events["customer_id"]).to_pylist()
    assert {id for level in live.ids for id in level if id} >= set(users)


@pytest.mark.data
def test_calls_of_ecom_v5_are_its_rows(data_dir: Path) -> None:
    book = load_playbook(ROOT / "examples/ecom_v5/playbook.yaml")
    check_calls_are_the_rows(str(data_dir / "ecom_v5" / "ecom_v5.csv.gz"), book)


@pytest.mark.parametrize("blemishes", [0.0, 0.1])
def test_calls_of_simulated_customers_are_their_rows(blemishes: float) -> None:
    made = simulate(40, days=60, seed=3, is_resolved=False, blemishes=blemishes)
    check_calls_are_the_rows(made.events, load_playbook("shop"))
