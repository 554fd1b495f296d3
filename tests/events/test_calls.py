"""Tracking calls: what is read of a call is what batch reads of the same row; and no bytes can do harm."""

from __future__ import annotations

import functools
import io
import json
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from sojourn.events.calls.instants import make_instant_reader
from sojourn.events.calls.plan import KINDS, is_segment_source
from sojourn.events.calls.read import LONGEST_CALL, NO_INSTANT, CallReader, ReadCalls
from sojourn.events.calls.rules import make_condition, make_measure
from sojourn.events.calls.shape import decode_calls, make_shape, read_first
from sojourn.events.calls.values import print_value, read_id, read_number, read_text
from sojourn.events.columns import Columns
from sojourn.events.identity.batch import spell_identifier
from sojourn.events.mapping import Places, place_source
from sojourn.events.rows import Piece, Reading, read_rows
from sojourn.events.sources.files import open_stream
from sojourn.events.values import read_ids, read_instants, read_numbers, read_texts
from sojourn.fold.batch import hash_sessions
from sojourn.fold.ids import hash_strings
from sojourn.fold.layout import Layout, build_layout
from sojourn.frames.duck import connect, run_query
from sojourn.playbook.load import load_playbook, parse_playbook
from sojourn.playbook.objects import Playbook, Source
from sojourn.playbook.rules.meaning import read_row
from sojourn.playbook.rules.rows import compile_row_rule

NOW = datetime(2026, 6, 1, tzinfo=UTC)
NOW_US = int(NOW.timestamp()) * 1_000_000
SECOND = 1_000_000
STATES = "states: {keen: {about: Keen.}, away: {about: Away.}}\n"

OWN = f"""
playbook: own
source:
  format: segment
  channel: context.campaign.medium
  session: context.session
  label: properties.state
  label_p: properties.sure
  timezone: Europe/Paris
  identifiers: [traits.email, properties.phone]
  other: quarantine
events:
  bought:
    name: [Order Completed, Bought]
    where: properties.total > 0 and not starts_with(properties.code, 'C')
    measures: {{revenue: properties.total * properties.n, spare: properties.n}}
    properties: {{item: properties.items.0.sku}}
  refund: {{name: Order Completed, where: properties.total <= 0, measures: {{revenue: abs(properties.total)}}}}
  page: {{name: page, properties: {{item: context.page.path}}}}
  large: {{where: "properties.size >= 10 or properties.is_large"}}
  kept: {{name: [Kept, identify], measures: {{ratio: properties.total / properties.n}}}}
features:
  paid: sum(revenue)
  items: distinct(item)
  mailed: share(channel, email)
  visits: session(count)
  ratio: last(ratio)
{STATES}
protected: [gender]
consent:
  purposes:
    analytics: {{default: granted, from: context.consent.categoryPreferences.analytics}}
    marketing: {{default: denied, from: properties.may_mail}}
"""

FLAT = f"""
playbook: flat
source: {{format: table, customer: [who, device, card], time: at, event: what, session: visit, channel: channel,
  label: state, id: id, duplicates: id, timezone: America/New_York, other: quarantine}}
events:
  view: {{name: [View, Look], properties: {{item: item}}}}
  buy: {{name: Buy, where: detail.total > 0, measures: {{spend: detail.total}}, properties: {{item: detail.sku}}}}
features: {{spent: sum(spend), items: distinct(item), mailed: "share(channel, email)", visits: session(count)}}
{STATES}
"""


DATED = OWN.replace("timezone:", 'time_format: "%d.%m.%Y %H:%M"\n  timezone:')
ELSEWHERE = DATED.replace("time_format", "time: properties.at\n  time_format")


@functools.cache
def get_book(name: str) -> Playbook:
    texts = {"own": OWN, "flat": FLAT, "dated": DATED, "elsewhere": ELSEWHERE}
    return parse_playbook(texts[name], f"{name}.yaml") if name in texts else load_playbook(name)


@functools.cache
def get_layout(name: str) -> Layout:
    return build_layout(get_book(name), is_live=True)


@functools.cache
def get_reader(name: str) -> CallReader:
    return CallReader(get_book(name), get_layout(name))


def read(name: str, calls: Sequence[Any], kind: int = 0, *, now: int = NOW_US, sent: int = NO_INSTANT) -> ReadCalls:
    raw = [call if isinstance(call, bytes) else json.dumps(call).encode() for call in calls]
    n = len(raw)
    found = get_reader(name).read(raw, [kind] * n, np.full(n, now), np.full(n, sent))
    check_shape(found, name, n)
    return found


def check_shape(found: ReadCalls, name: str, n_calls: int) -> None:
    """Each call is an event or rejected, and every column has one entry per event."""
    n, layout = len(found), get_layout(name)
    assert sorted([*found.place.tolist(), *(place for place, _, _ in found.rejected)]) == list(range(n_calls))
    assert (np.diff(found.place) > 0).all()
    assert found.measures.shape == (n, len(layout.measures))
    assert found.properties.shape == (n, len(layout.properties))
    assert len(found.channel) == (n if layout.channels else 0)
    assert len(found.session) == (n if layout.has_sessions else 0)
    for column in (found.event_at, found.event_class, found.label, found.label_p, found.event_id, found.previous):
        assert len(column) == n
    assert all(len(level) == n for level in found.ids)
    assert not np.isinf(found.measures).any()


def track(**more: Any) -> dict[str, Any]:
    return {"type": "track", "userId": "u1", "event": "Kept", "timestamp": "2026-05-01T10:00:00Z"} | more


# What batch makes of the same rows


def read_batch(name: str, places: Places, rows: Any) -> tuple[dict[str, Any], list[tuple[int, str, str]]]:
    """The accepted rows as the reader would return them, and the quarantine."""
    book, connection = get_book(name), connect(timezone=get_book(name).source.timezone)
    layout = get_layout(name)
    lines = b"\n".join(rows)
    source = open_stream(io.BytesIO(lines), "x", len(lines), "x.jsonl")
    pieces, rejected = [], []
    for chunk in source.read(None):
        piece = read_rows(chunk, Reading(book, places, "x", 0, NOW + timedelta(days=1), connection))
        rejected += [
            (line - 1, rule, found)
            for line, rule, found in zip(
                *(piece.quarantine[c].to_pylist() for c in ("line", "rule", "found")), strict=True
            )
        ]
        pieces.append((piece, spell_ids(chunk, places, connection, book)))
    assert len(pieces) == 1
    piece, ids = pieces[0]
    place = (piece.seq & ((1 << 40) - 1)).tolist()

    def texts(key: str) -> list[str | None]:
        coded = piece.texts.get(key)
        return [None] * len(place) if coded is None else coded.spell().to_pylist()

    return {
        "place": place,
        "event_at": piece.event_at.tolist(),
        "event_class": piece.event_class.tolist(),
        "measures": list_numbers(piece, layout.measures),
        "channel": [channel_code(text, layout.channels) for text in texts("channel")] if layout.channels else [],
        "properties": [hash_strings(pa.array(texts(f"p_{p}"), pa.string())).tolist() for p in layout.properties],
        "session": hash_sessions(pa.array(texts("session"), pa.string())).tolist() if layout.has_sessions else [],
        "label": [book.state_names.index(t) if t in book.state_names else -1 for t in texts("label")],
        "label_p": [
            p if text in book.state_names else math.nan
            for text, [p] in zip(texts("label"), list_numbers(piece, ["label_p"], ""), strict=True)
        ],
        "event_id": piece.event_id.to_pylist(),
        "ids": [[level[i] for i in place] for level in ids],
    }, rejected


def list_numbers(piece: Piece, names: Sequence[str], prefix: str = "m_") -> list[list[float]]:
    columns = [piece.numbers[prefix + name] for name in names]
    nothing = np.full(piece.n_rows, np.nan)
    return [list(row) for row in zip(*(nothing if c is None else c for c in columns), strict=True)] or [
        []
    ] * piece.n_rows


def channel_code(text: str | None, channels: Sequence[str]) -> int:
    return -1 if text is None else channels.index(text) if text in channels else len(channels)


def spell_ids(chunk: Any, places: Places, connection: Any, book: Playbook) -> list[list[str | None]]:
    columns = Columns(chunk, places.paths(book), connection)
    levels = [columns.ids(path).spell().to_pylist() for path in places.customer]
    for kind, paths in places.identifiers:
        found = [columns.ids(path).spell().to_pylist() for path in paths]
        levels.append([next((id for id in row if id), None) for row in zip(*found, strict=True)])
        levels[-1] = [id and spell_identifier(kind, id) for id in levels[-1]]
    return levels


def list_found(found: ReadCalls) -> dict[str, Any]:
    same = {"place", "event_at", "event_class", "channel", "session", "label"}
    return {name: getattr(found, name).tolist() for name in same} | {
        "measures": [list(row) for row in found.measures],
        "properties": found.properties.T.tolist(),
        "label_p": found.label_p.tolist(),
        "event_id": found.event_id,
        "ids": found.ids,
    }


def assert_same(live: ReadCalls, batch: Mapping[str, Any], rejected: Sequence[tuple[int, str, str]]) -> None:
    # Inside a list that is shown, one has quotes around NaN, which JSON does not know.
    plain = [
        [(at, rule, what.replace('"NaN"', "NaN")) for at, rule, what in some] for some in (live.rejected, rejected)
    ]
    assert plain[0] == sorted(plain[1])
    found = list_found(live)
    for key, expected in batch.items():
        if key in ("measures", "label_p"):
            np.testing.assert_array_equal(np.array(found[key], float), np.array(expected, float))
        else:
            assert found[key] == expected, key


TEXT = st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "Zs", "Cc", "S"]), max_size=6)
BARE = ("@1e400", "@-1e400", "@" + "9" * 40, "@NaN", "@1E5", "@-0.0", "@12345678901234567890.0", "@0.000001")
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 20), st.integers(), st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["", " ", "5", " 7.5 ", "-1e3", "x", "1,5", "inf", "nan", "1_0", "٣", "true", "TRUE", "email", "C1",
                     "keen", "0.5", "null", " u1", "17850.0", "1.", ".5", "+2", "1e400", "2026-01-01", *BARE]), TEXT,
    st.lists(st.integers(0, 3), max_size=2), st.dictionaries(TEXT, st.integers() | TEXT, max_size=2),
)  # fmt: skip
IDS = st.one_of(
    st.sampled_from(["u1", "u2", " u1 ", "NULL", "", "17850.0", 17850.0, 5, None, "[object Object]", "-3.0", "é"]),
    VALUES,
)
GOOD_TIMES = st.datetimes(datetime(1989, 12, 30), datetime(2026, 6, 4)).flatmap(
    lambda at: st.sampled_from(["%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S.%fZ", "%Y-%m-%dT%H:%M:%S+00:00",
                                "%Y-%m-%dT%H:%M:%S.%f+00:00", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S+0530", "%Y-%m-%d"]
                               ).map(at.strftime)
)  # fmt: skip
TIMES = st.one_of(GOOD_TIMES, GOOD_TIMES, st.integers(0, 2**61), st.floats(0, 1e19), st.sampled_from(
    ["2026-02-30T00:00:00Z", "2026-05-01T24:00:00Z", "2026-05-01T00:00:60Z", "0001-01-01T00:00:00Z",
     "0000-01-01T00:00:00Z", "20260501", 20260501, "2026-05-01T10:00:00.379+00:10", "2026-05-01T10:00:00.379+00:00",
     "2026-05-01T10:00:00.379Z", "2026-W18-5T10:00:00.379Z", "2026-05-01T101010.3Z", "2026-05-01T10:00:00,379Z", "soon",
     "2026-05-01 10:00 Europe/Paris", "2026-05-01 10:00 Nowhere/Land", "2026-05-01T10:00:00+99:00", "infinity", True,
     "9999-12-31T23:59:59Z", "2026-05-01t10:00:00z", "٢٠٢٦-05-01T10:00:00Z", " 2026-05-01T10:00:00Z "]))  # fmt: skip


def mostly(good: Any, other: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Three times of four what belongs there."""
    usual = good if isinstance(good, st.SearchStrategy) else st.sampled_from(good)
    return st.integers(0, 3).flatmap(lambda n: usual if n else other)


def parts(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=fields)


def holder(inside: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return mostly(inside, VALUES | st.lists(inside, max_size=2))


NUMBERS = mostly([1, 2.5, -4, 0, "3.25", 1e200], VALUES)
WORDS = mostly(["email", "shoe", "C1", "keen", "away", "x"], VALUES)
USERS, STAMPS = mostly(["u1", "u2", 17850.0], IDS), mostly(GOOD_TIMES, TIMES)
ITEMS = st.lists(parts(sku=WORDS), max_size=2) | st.dictionaries(st.sampled_from(["0", "sku"]), parts(sku=WORDS))
PROPERTIES = parts(
    total=NUMBERS, n=NUMBERS, code=WORDS, items=holder(ITEMS), size=NUMBERS, is_large=VALUES, state=WORDS,
    sure=mostly([0.5, "0.9", 1, None], VALUES), phone=IDS, feature=WORDS, revenue=NUMBERS, sentiment=NUMBERS,
    score=NUMBERS, plan=WORDS, integration=WORDS,
)  # fmt: skip
CONTEXT = parts(
    campaign=holder(parts(medium=WORDS)), session=WORDS, page=holder(parts(path=WORDS)),
    traits=holder(parts(email=IDS, gender=VALUES)),
    consent=holder(parts(categoryPreferences=holder(parts(analytics=VALUES)))),
)  # fmt: skip


def segment_calls(name: str) -> st.SearchStrategy[dict[str, Any]]:
    names = [raw for event in get_book(name).events for raw in event.raw_names]
    events = mostly(names, VALUES | st.sampled_from([f" {names[0]}", "Other"]))
    sure = {
        "type": mostly(["track"], st.sampled_from(KINDS[1:])), "timestamp": STAMPS, "event": events, "userId": USERS,
        "properties": holder(PROPERTIES), "context": holder(CONTEXT),
    }  # fmt: skip
    fields = {
        "anonymousId": USERS, "messageId": IDS, "previousId": IDS, "originalTimestamp": STAMPS,
        "traits": holder(parts(email=IDS)), "properties.total": NUMBERS, "context.page.path": WORDS,
    }  # fmt: skip
    return st.fixed_dictionaries(sure, optional=fields).filter(lambda call: any(
        read_text(call.get(key)) for key in ("timestamp", "originalTimestamp")))  # fmt: skip


def write_row(call: Mapping[str, Any]) -> bytes:
    """JSON with the numbers that Python would not write."""
    text = json.dumps(call, ensure_ascii=False)
    for bare in BARE:
        text = text.replace(f'"{bare}"', bare[1:])
    return text.encode()


@pytest.mark.parametrize("name", ["own", "saas", "media"])
@given(data=st.data())
@settings(max_examples=40)
def test_a_call_is_read_as_the_same_row_of_a_file(name: str, data: st.DataObject) -> None:
    calls = data.draw(st.lists(segment_calls(name), min_size=1, max_size=12))
    rows = [write_row(call) for call in calls]
    assert is_segment_source(get_book(name).source)
    assert_same(read(name, rows), *read_batch(name, place_source(get_book(name).source, is_segment=True), rows))


def test_numbers_that_no_float_holds_are_read_as_in_a_file() -> None:
    rows = [write_row(track(properties={"n": bare, "total": 1})) for bare in BARE]
    live = read("own", rows)
    assert_same(live, *read_batch("own", place_source(get_book("own").source, is_segment=True), rows))
    assert [found for _, rule, found in live.rejected] == [
        "ratio: properties.n is '1e400', which is no finite number",
        "ratio: properties.n is '-1e400', which is no finite number",
        "ratio: properties.n is 'NaN', which is no finite number",
    ]


@pytest.mark.parametrize("name", ["dated", "elsewhere"])
def test_times_of_the_playbooks_own_are_read_as_in_a_file(name: str) -> None:
    times = ["01.05.2026 10:00", "2026-05-01T10:00:00Z", "05.06.2026 10:00", "31.12.1989 10:00", " "]
    calls = [track(timestamp=time, properties={"at": time}, originalTimestamp="01.01.2026 00:00") for time in times]
    rows = [write_row(call) for call in calls] + [write_row(track())]
    live = read(name, rows)
    assert_same(live, *read_batch(name, place_source(get_book(name).source, is_segment=True), rows))
    assert (0 in live.place, 4 in live.place) == (True, name == "dated")


# Values, one by one and as columns


@given(VALUES | IDS)
def test_values_are_what_columns_of_them_are(value: Any) -> None:
    row = write_row({"a": value})
    query = "SELECT json_extract_string(a, ['/a'])[1] AS x FROM t"
    column = run_query(connect(), query, a=pa.array([row.decode()]))["x"].combine_chunks()
    shape = make_shape([("a",)])
    (call,), _, _ = decode_calls(shape, [row])
    value = read_first(shape, [("a",)])(call)
    assert print_value(value) == column[0].as_py()
    assert read_text(value) == read_texts(column)[0].as_py()
    assert read_id(value) == read_ids(column)[0].as_py()
    numbers, is_bad = read_numbers(column, connect())
    assert repr(read_number(value)) == repr(math.inf if is_bad[0] else float(numbers[0]))


@given(st.lists(st.none() | TIMES, max_size=6), st.sampled_from(["UTC", "Asia/Kolkata"]))
@example(["2024-02-29T23:59:59.999999Z", "2023-02-29T00:00:00Z", None], "UTC")
def test_instants_are_what_columns_of_them_are(values: list[Any], timezone: str) -> None:
    texts = pa.array([print_value(value) for value in values], pa.string())
    for time_format in (None, "%d.%m.%Y"):
        stamps, state = make_instant_reader(timezone, time_format)(values)
        expected, expected_state = read_instants(texts, time_format, connect(timezone=timezone))
        assert (stamps.tolist(), state.tolist()) == (expected.tolist(), expected_state.tolist())


RULES = ["a > 0", "a + b", "a / b - 1", "min(a, abs(b), 3)", "-a * b", "a in ['x', 'email']", "not a not in [1, 2]",
         "starts_with(lower(a), 'e') or b", "contains(a, b)", "ends_with(a, '1') and is_missing(b)", "a != b",
         "(a == true) == (b <= 2)", "a >= b and not (a == 5)"]  # fmt: skip


@pytest.mark.parametrize("text", RULES)
@given(a=VALUES, b=VALUES)
def test_rules_mean_in_calls_what_they_mean(text: str, a: Any, b: Any) -> None:
    unit = "number" if text in RULES[1:5] else "boolean"
    rule = compile_row_rule(text, unit)
    shape = make_shape([("a",), ("b",)])
    (call,), _, _ = decode_calls(shape, [write_row({"a": a, "b": b})])
    row = {path: read_text(read_first(shape, [(path,)])(call)) for path in "ab"}
    assume(not any(value and ("_" in value or not value.isascii()) for value in row.values()))  # no numbers in files
    expected = read_row(rule, row)
    find = functools.partial(lambda path: read_first(shape, [(path,)]))
    if unit == "boolean":
        assert make_condition(rule, find)(call) is expected
        return
    found = make_measure(rule, find)(call)
    if any(read_number(value) == math.inf for path, value in row.items() if (path,) in rule.paths):
        assert found == math.inf
    elif not math.isinf(found):
        assert found == expected if expected is not None else math.isnan(found)
    else:
        assert expected is None


# Where things are in a call


def test_the_path_of_a_request_says_the_kind_and_else_the_call() -> None:
    names = get_book("own").class_names
    call = {"userId": "u1", "event": "Kept", "timestamp": "2026-05-01T10:00:00Z"}
    assert [names[c] for c in read("own", [call | {"type": "page"}], KINDS.index("track")).event_class] == ["kept"]
    assert [names[c] for c in read("own", [call | {"type": "track"}], KINDS.index("page")).event_class] == ["page"]
    assert [names[c] for c in read("own", [call | {"type": " page "}]).event_class] == ["page"]
    odd = [call, call | {"type": "buy"}, call | {"type": ""}, call | {"type": {}}]
    assert read("own", odd).rejected == [
        (0, "event", "type is empty"),
        (1, "event", "type is 'buy', which is no kind of call"),
        (2, "event", "type is empty"),
        (3, "event", "type is '{}', which is no kind of call"),
    ]


def test_flat_playbooks_find_columns_in_properties_then_at_the_top_then_in_traits_then_in_the_context() -> None:
    places = [{"properties": {"item": "1"}}, {"item": "2"}, {"traits": {"item": "3"}}, {"context": {"item": "4"}}]
    merged: dict[str, Any] = {}
    for i in (3, 2, 1, 0):
        merged = places[i] | merged
        found = read("flat", [track(event="View", **merged)])
        assert found.properties[0, 0] == hash_strings(pa.array([str(i + 1)]))[0]
    nested = track(
        event="Buy", properties={"detail": {"total": 5, "sku": "s"}, "card": 7.0, "visit": "v"}, anonymousId="d"
    )
    whole = track(event="Buy", properties={"detail.total": "5", "detail.sku": "s"})
    blank = track(event="Buy", properties={"detail": {"total": ""}}, detail={"total": 5})
    found = read("flat", [nested, whole, blank])
    assert found.measures.tolist() == [[5.0], [5.0]]
    assert found.properties[0].tolist() == found.properties[1].tolist()
    assert found.ids == [["u1", "u1"], ["d", None], ["7", None]]
    assert [rule for _, rule, _ in found.rejected] == ["class"]  # a blank column is missing, not looked for elsewhere


def test_flat_playbooks_take_customer_event_time_and_id_from_the_call() -> None:
    call = track(
        event="View", messageId="m1", channel="server", properties={"who": "x", "event": "Buy", "id": "y", "at": "z"}
    )
    found = read("flat", [call])
    assert (found.ids[0], found.event_id, found.event_class.tolist()) == (["u1"], ["m1"], [0])
    assert found.event_at.tolist() == [int(datetime(2026, 5, 1, 10, tzinfo=UTC).timestamp()) * SECOND]
    assert found.channel.tolist() == [-1]  # the call's own channel says how it was sent
    untimed = {key: value for key, value in call.items() if key != "timestamp"}
    assert read("flat", [untimed]).rejected[0][1] == "time"  # 'z', in the column of the time
    told = untimed | {"properties": {"at": "2026-05-01 06:00"}}
    assert read("flat", [told]).event_at.tolist() == found.event_at.tolist()
    assert read("flat", [track(userId=None, event="View")]).rejected == [
        (0, "customer", "userId and anonymousId and card are empty")
    ]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (Source(), True),
        (Source(format="segment", customer=("traits.id",)), True),
        (Source(customer=("anonymousId",), time="timestamp", event="event"), True),
        (Source(format="table", customer=("userId",), time="timestamp", event="event"), False),
        (Source(customer=("who",)), False),
        (Source(customer=("userId",), event="what"), False),
    ],
)
def test_a_playbook_reads_calls_as_segment_or_as_flat_rows(source: Source, expected: bool) -> None:
    assert is_segment_source(source) is expected


def test_a_playbook_that_leaves_the_format_open_finds_both_kinds_of_paths() -> None:
    text = "{playbook: p, events: {buy: {name: Buy, measures: {paid: properties.paid, price: price}}}, "
    book = parse_playbook(text + "features: {a: sum(paid), b: sum(price)}, " + STATES.strip() + "}", "x")
    reader = CallReader(book, build_layout(book))
    calls = [
        track(event="Buy", properties={"paid": 1, "price": 2}),
        track(event="Buy", properties={"price": 2}, price=3),
    ]
    found = reader.read([json.dumps(c).encode() for c in calls], [0, 0], np.full(2, NOW_US), np.full(2, NO_INSTANT))
    np.testing.assert_array_equal(found.measures, [[1, 2], [np.nan, 3]])


def test_traits_and_consent_come_from_the_call_and_its_context() -> None:
    said = {
        "traits": {"email": " Ann@X.org ", "plan": "pro"},
        "consent": {"categoryPreferences": {"analytics": True, "ads": 0}},
    }
    calls = [
        track(context=said, traits={"plan": "free", "gender": "f"}, type="identify"),
        track(context=said | {"consent": {"categoryPreferences": {}}}, traits={"plan": "group"}, type="group"),
        track(context={"consent": {}}, traits=[], properties={"may_mail": "true", "phone": " 0 "}),
        track(type="alias", previousId=" a1 ", context=None, traits=None),
    ]
    book = OWN.replace("other: quarantine", "other: keep")
    reader = CallReader(parse_playbook(book, "x"), build_layout(parse_playbook(book, "x")))
    found = reader.read([json.dumps(c).encode() for c in calls], [0] * 4, np.full(4, NOW_US), np.full(4, NO_INSTANT))
    assert found.traits == [
        (0, {"email": " Ann@X.org ", "plan": "free", "gender": "f"}),
        (1, {"email": " Ann@X.org ", "plan": "pro"}),  # those of a group call are the group's
    ]
    assert found.consent == [(0, {"analytics": True, "ads": False}), (1, {})]
    assert found.purposes == [(0, {"analytics": True}), (1, {"analytics": False}), (2, {"marketing": True})]
    assert found.previous == [None, None, None, "a1"]
    assert found.ids[2:] == [["ann@x.org", "ann@x.org", None, None], [None, None, "0", None]]


# Time


@pytest.mark.parametrize(
    ("clocks", "sent", "expected_s"),
    [
        ({"timestamp": -7200}, None, -7200),  # no word of when it was sent: as it stands
        ({"timestamp": -7200, "sentAt": -7190}, None, -10),  # a clock two hours slow, ten seconds on the way
        ({"timestamp": -7200}, -7190, -10),  # the request says when it was sent
        ({"timestamp": -7200, "sentAt": -7195}, -7190, -5),  # the call's own word counts first
        ({"timestamp": -1, "originalTimestamp": 3600, "sentAt": 3630}, None, -30),  # a clock an hour fast
        ({"timestamp": -1, "originalTimestamp": 3600}, None, -1),
        ({"originalTimestamp": -60}, None, -60),
        ({"sentAt": -50}, None, 0),  # says nothing of when it was: its arrival
        ({}, None, 0),
        ({"timestamp": -20, "sentAt": "soon"}, None, -20),
        ({"timestamp": -20, "sentAt": "soon"}, -5, -15),
        ({"timestamp": -1_770_000_000, "sentAt": -1_770_000_000 + 4}, None, -4),  # a clock that was never set
    ],
)
@pytest.mark.parametrize("name", ["own", "flat"])
def test_instants_are_corrected_for_the_senders_clock(
    name: str, clocks: Mapping[str, Any], sent: int | None, expected_s: int
) -> None:
    told = {key: s if isinstance(s, str) else (NOW + timedelta(seconds=s)).isoformat() for key, s in clocks.items()}
    call = {"type": "track", "userId": "u1", "event": "Kept" if name == "own" else "View", **told}
    found = read(name, [call], sent=NO_INSTANT if sent is None else NOW_US + sent * SECOND)
    assert found.event_at.tolist() == [NOW_US + expected_s * SECOND]


def test_instants_that_cannot_be_are_rejected_after_the_correction() -> None:
    day = {"timestamp": "2026-06-02T00:00:01Z"}
    assert read("own", [track(**day)]).rejected == [(0, "future", "2026-06-02T00:00:01Z is after 2026-06-02T00:00:00Z")]
    assert len(read("own", [track(**day, sentAt="2026-06-02T00:00:05Z")])) == 1
    early = read("own", [track(timestamp="1989-12-31T23:59:59Z"), track(timestamp="2026-01-01T00:00:00Z", sentAt=1e18)])
    assert [rule for _, rule, _ in early.rejected] == ["early", "future"]
    both = read("own", [track(originalTimestamp="soon", sentAt="2026-05-01T10:00:05Z")])
    assert both.rejected[0][2].startswith("'soon' is no instant")


@given(st.integers(-(2**62), 2**62), st.integers(-(2**62), 2**62))
def test_no_clocks_are_too_far_apart(first: int, second: int) -> None:
    read("own", [track(timestamp=first, sentAt=second)])


# Bytes


def test_what_is_no_call_is_rejected_and_says_why() -> None:
    long = json.dumps(track(properties={"x": "y" * LONGEST_CALL})).encode()
    deep = b'{"x":' + b"[" * 9_000 + b"]" * 9_000 + b"}"
    said = {
        b"": "no JSON: Expecting value: line 1 column 1 (char 0)",
        b"{": "no JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)",
        b"[]": "a list where an object is needed",
        b"null": "null where an object is needed",
        b"7": "a number where an object is needed",
        b'"x"': "a text where an object is needed",
        b"\xff\xfe": "byte 0xff at byte 1 of the row is no UTF-8",
        b'{"userId":"\xed\xa0\x80"}': "byte 0xed at byte 12 of the row is no UTF-8",
        b'{"userId":"\\ud800"}': "no JSON",  # half of a surrogate pair
        b'{"x":"\\udc00"}': "no JSON",
        long: f"{len(long):,} bytes; a call may have 32,768",
        b"[" * 20_000: "JSON that nests too deep",
        deep: "JSON that nests too deep",
        b'{"userId":NaN}': "userId is 'NaN', which is no id",
        b"{}": "userId and anonymousId are empty",
    }
    found = read("own", list(said))
    assert [what for _, _, what in found.rejected] == list(said.values())
    rules = ["json"] * 6 + ["utf-8"] * 2 + ["json"] * 2 + ["length"] + ["json"] * 2 + ["customer"] * 2
    assert [rule for _, rule, _ in found.rejected] == rules


SCRAPS = [b'{"', b'"}', b'":', b'"', b"{", b"}", b"[", b"]", b",", b"1e999", b"\\ud800", b"\xc3", b"null", b"userId",
          b"timestamp", b"properties", b"9" * 5000]  # fmt: skip
JUNK = st.binary(max_size=60) | st.lists(st.sampled_from(SCRAPS), max_size=30).map(b"".join)


@given(st.lists(st.one_of(JUNK, segment_calls("own").map(write_row)), max_size=6), st.integers(0, 6))
def test_no_bytes_do_harm(calls: list[bytes], kind: int) -> None:
    whole = read("own", calls, kind)
    read("flat", calls, kind)
    for i, call in enumerate(calls):  # what becomes of a call does not depend on its neighbours
        alone = read("own", [call], kind)
        assert [(r, f) for _, r, f in alone.rejected] == [(r, f) for place, r, f in whole.rejected if place == i]
        assert alone.event_at.tolist() == whole.event_at[whole.place == i].tolist()


@given(st.dictionaries(TEXT | st.sampled_from(["userId", "timestamp", "event", "type"]), VALUES), st.data())
def test_cut_calls_do_no_harm(call: dict[str, Any], data: st.DataObject) -> None:
    raw = write_row(call | track())
    cut = data.draw(st.integers(0, len(raw)))
    read("own", [raw[:cut], raw[cut:], raw])


def test_no_call_is_no_event() -> None:
    found = read("own", [])
    assert (len(found), found.rejected) == (0, [])


# Calls as real clients and the specification write them


@pytest.mark.data
def test_every_example_of_the_specification_is_read(data_dir: Path) -> None:
    examples = json.loads((data_dir / "event_specs/segment/segment_spec_examples.json").read_text(encoding="utf-8"))
    assert len(examples) == 82
    reasons = {}
    for i, one in enumerate(examples):
        payload = one.get("payload") or {}
        kind = payload.get("type") or payload.get("action") or "identify"
        raw = json.dumps(payload).encode() if payload else one["raw"].encode()
        found = read("saas", [raw], KINDS.index(kind), now=1_795_000_000 * SECOND)
        if found.rejected:
            reasons[i] = found.rejected[0][1:]
    unreadable = [i for i, one in enumerate(examples) if "payload" not in one]
    nameless = [
        i
        for i, one in enumerate(examples)
        if "payload" in one and not {"userId", "anonymousId"} & one["payload"].keys()
    ]
    assert [i for i, (rule, _) in reasons.items() if rule == "json"] == unreadable
    assert [i for i, (rule, _) in reasons.items() if rule == "customer"] == nameless
    assert {rule for rule, _ in reasons.values()} <= {"json", "customer"}


@pytest.mark.data
def test_every_captured_call_is_an_event(data_dir: Path) -> None:
    kinds = {kind[0]: i for i, kind in enumerate(KINDS) if kind} | {"b": 0, "batch": 0}
    n = 0
    for file in sorted((data_dir / "sdk_captures").glob("*.json")):
        request = json.loads(file.read_text(encoding="utf-8"))
        version, _, what = request["path"].strip("/").partition("/")
        if request["method"] != "POST" or version != "v1" or what not in kinds:
            continue
        calls = request["body"].get("batch", [request["body"]])
        found = read("saas", calls, kinds[what], now=1_795_400_000 * SECOND)
        assert found.rejected == [], file.name
        assert all(found.event_id), file.name
        n += len(found)
    assert n == 79
