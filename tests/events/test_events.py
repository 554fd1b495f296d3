"""Events in: what becomes of every kind of row, and that the three outcomes add up, whatever the bytes."""

from __future__ import annotations

import gzip
import io
import json
import math
import tempfile
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from sojourn.errors import EventsError
from sojourn.events.columns import Columns
from sojourn.events.coverage import number_sessions, sort_stably
from sojourn.events.log import find_repeats
from sojourn.events.read import EventLog, read_events
from sojourn.events.rules import match_rows, measure_rows
from sojourn.events.sources import tables as source_tables
from sojourn.events.sources import text as source_text
from sojourn.events.sources.chunks import Chunk
from sojourn.frames.duck import connect
from sojourn.frames.schemas import QUARANTINE, events_schema
from sojourn.playbook.load import load_playbook, parse_playbook
from sojourn.playbook.objects import Playbook
from sojourn.playbook.rules.meaning import read_row
from sojourn.playbook.rules.rows import compile_row_rule

NOW = datetime(2026, 6, 1, tzinfo=UTC)
STATES = "states: {keen: {about: Keen.}, away: {about: Away.}}\n"
EVENTS = "events: {view: {name: [View, Look]}, buy: {name: Buy, measures: {spend: total}, properties: {item: item}}}\n"
SOURCE = "source: {customer: who, time: at, event: what, id: id}\n"


def make_book(source: str = SOURCE, events: str = EVENTS) -> Playbook:
    return parse_playbook(f"playbook: p\n{source}{events}{STATES}", "p.yaml")


BOOK = make_book()


def read(rows: Any, book: Playbook = BOOK, now: datetime | None = NOW) -> EventLog:
    """The log of rows (dictionaries become a table), with the law and the schema checked."""
    events = pa.Table.from_pylist(rows) if isinstance(rows, list) and rows and isinstance(rows[0], dict) else rows
    log = read_events(events, book, now=now)
    check_law(log, book)
    return log


def check_law(log: EventLog, book: Playbook) -> None:
    assert log.n_accepted + log.n_duplicate + log.n_quarantined == log.n_read
    assert log.n_accepted == log.events.num_rows
    assert log.n_quarantined == log.quarantine.num_rows
    assert log.events.schema == events_schema(book.measure_names, book.property_names)
    assert log.quarantine.schema == QUARANTINE
    log.events.validate(full=True)
    log.quarantine.validate(full=True)
    at, seq = log.events["event_at"].cast(pa.int64()).to_numpy(), log.events["seq"].to_numpy()
    assert (np.lexsort((seq, at)) == np.arange(len(at))).all()
    assert len(set(seq.tolist())) == len(seq)
    assert sum(row["n_rows"] for row in log.by_class) == log.n_accepted
    assert all(len(raw) <= 4096 for raw in log.quarantine["raw"].to_pylist())


def row(**changes: Any) -> dict[str, Any]:
    return {
        "who": "u1",
        "at": "2026-01-05T10:00:00Z",
        "what": "View",
        "id": None,
        "total": None,
        "item": None,
    } | changes


def instant_of(log: EventLog) -> datetime:
    value = log.events["event_at"].to_pylist()
    assert len(value) == 1, log.quarantine.to_pylist()
    found: datetime = value[0]
    return found


def only_rule(log: EventLog) -> tuple[str, str]:
    [found] = log.quarantine.to_pylist()
    return found["rule"], found["found"]


# -- time --------------------------------------------------------------------------------------------------

TEN = datetime(2026, 1, 5, 10, tzinfo=UTC)
EPOCH = int(TEN.timestamp())


@pytest.mark.parametrize(
    "value",
    [
        "2026-01-05T10:00:00Z",
        "2026-01-05 10:00:00",
        "2026-01-05T10:00",
        " 2026-01-05 10:00:00.000000 ",
        "2026-01-05T10:00:00.000000000Z",
        "2026-01-05T11:00:00+01:00",
        "2026-01-05T02:00:00-0800",
        "2026-01-05 05:00:00 America/New_York",
        "2026-01-05 10:00:00 UTC",
        str(EPOCH),
        f"{EPOCH}.0",
        str(EPOCH * 1_000),
        str(EPOCH * 1_000_000),
        str(EPOCH * 1_000_000_000),
        EPOCH,
        EPOCH * 1_000,
        EPOCH * 1_000_000,
        EPOCH * 1_000_000_000,
        float(EPOCH),
        EPOCH * 1e3,
        Decimal(EPOCH),
        TEN,
        TEN.replace(tzinfo=None),
        TEN.astimezone(),
        pa.scalar(TEN, pa.timestamp("ns", "Asia/Tokyo")),
        pa.scalar(TEN, pa.timestamp("s", "UTC")),
    ],
    ids=str,
)
def test_every_way_to_write_an_instant(value: Any) -> None:
    table = pa.table({"who": ["u1"], "what": ["View"], "id": ["1"], "total": [1.0], "item": ["x"]})
    column = pa.array([value.as_py()], value.type) if isinstance(value, pa.Scalar) else pa.array([value])
    assert instant_of(read(table.append_column("at", column))) == TEN


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2026-01-05", datetime(2026, 1, 5, tzinfo=UTC)),
        (date(2026, 1, 5), datetime(2026, 1, 5, tzinfo=UTC)),
        ("20260105", datetime(2026, 1, 5, tzinfo=UTC)),
        (20260105, datetime(2026, 1, 5, tzinfo=UTC)),
        (EPOCH * 1_000_000 + 123_457, TEN + timedelta(microseconds=123_457)),
        (EPOCH * 1_000_000_000 + 123_457_999, TEN + timedelta(microseconds=123_457)),
        (f"{EPOCH}.25", TEN + timedelta(microseconds=250_000)),
    ],
)
def test_days_and_parts_of_seconds(value: Any, expected: datetime) -> None:
    assert instant_of(read([row(at=value)])) == expected


@pytest.mark.parametrize(
    ("value", "rule", "found"),
    [
        ("", "time", "at is empty"),
        (None, "time", "at is empty"),
        ("  ", "time", "at is empty"),
        ("soon", "time", "'soon' is no instant"),
        ("01/02/2026", "time", "no instant"),
        ("2026-02-30", "time", "no instant"),
        ("20261399", "time", "no instant"),
        ("2026-01-05 10:00 Mars/Phobos", "time", "'Mars/Phobos' is no known time zone"),
        ("2026-01-05T10:00:00+99:00", "time", "no instant"),
        ("infinity", "time", "no instant"),
        ("nan", "time", "no instant"),
        ("1e300", "time", "no instant"),
        ("1970-01-01", "early", "1970-01-01T00:00:00Z is before 1990"),
        ("0", "early", "before 1990"),
        ("1989-12-31T23:59:59.999999Z", "early", "before 1990"),
        ("0044-03-15 (BC)", "early", "before 1990"),
        ("-5", "early", "before 1990"),
        ("2026-06-02T00:00:00.000001Z", "future", "is after 2026-06-02T00:00:00Z"),
        ("9999-12-31", "future", "is after"),
        (str(99_999_999_999), "future", "is after"),
    ],
)
def test_times_that_are_quarantined(value: Any, rule: str, found: str) -> None:
    said = only_rule(read([row(at="2026-01-01", who=None), row(at=value)][1:]))
    assert said[0] == rule
    assert found in said[1]


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), 1e300, -1e18])
def test_numbers_that_are_no_instants(value: float) -> None:
    assert only_rule(read([row(at=value)]))[0] in ("time", "early")


def test_the_first_and_last_instants_that_are_accepted() -> None:
    log = read([row(at="1990-01-01T00:00:00Z"), row(at="2026-06-02T00:00:00Z")])
    assert (log.n_accepted, log.n_quarantined) == (2, 0)


def test_without_now_the_clock_decides_what_is_the_future() -> None:
    table = pa.Table.from_pylist([row(at="2026-05-01"), row(at="2027-05-01")])
    assert read_events(table, BOOK, now=None, clock=NOW).n_accepted == 1
    assert read_events(table, BOOK, now=None, clock=datetime(2028, 1, 1)).n_accepted == 2
    with pytest.raises(ValueError, match="give now, or the clock"):
        read_events(table, BOOK, now=None)


@pytest.mark.parametrize("value", ["2026-01-05 10:00:00", datetime(2026, 1, 5, 10)])
def test_what_has_no_zone_is_in_the_playbook_s(value: Any) -> None:
    book = make_book("source: {customer: who, time: at, event: what, timezone: America/New_York}\n")
    assert instant_of(read([row(at=value)], book)) == datetime(2026, 1, 5, 15, tzinfo=UTC)
    assert instant_of(read([row(at="2026-01-05 10:00:00Z")], book)) == TEN
    assert instant_of(read([row(at=date(2026, 1, 5))], book)) == datetime(2026, 1, 5, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2025-07-01 12:00", datetime(2025, 7, 1, 10, tzinfo=UTC)),
        ("2025-10-26 02:30", datetime(2025, 10, 26, 1, 30, tzinfo=UTC)),  # twice: the second, in winter time
        ("2025-03-30 02:30", datetime(2025, 3, 30, 1, 30, tzinfo=UTC)),  # never: an hour on
    ],
)
@pytest.mark.parametrize("is_typed", [False, True])
def test_summer_time(value: str, expected: datetime, is_typed: bool) -> None:
    book = make_book("source: {customer: who, time: at, event: what, timezone: Europe/Berlin}\n")
    assert instant_of(read([row(at=datetime.fromisoformat(value) if is_typed else value)], book)) == expected


def test_a_time_format_is_the_only_one_that_is_read() -> None:
    book = make_book(
        "source: {customer: who, time: at, event: what, time_format: '%d.%m.%Y %H:%M', timezone: Europe/Paris}\n"
    )
    log = read([row(at="05.01.2026 11:00"), row(at="2026-01-05 10:00")], book)
    assert log.events["event_at"].to_pylist() == [TEN]
    assert only_rule(log)[0] == "time"
    days = make_book("source: {customer: who, time: at, event: what, time_format: '%Y%j'}\n")
    assert instant_of(read([row(at=2026005)], days)) == datetime(2026, 1, 5, tzinfo=UTC)


def test_a_time_format_that_is_none_is_an_error() -> None:
    book = make_book("source: {customer: who, time: at, event: what, time_format: '%Q'}\n")
    with pytest.raises(EventsError, match="time_format"):
        read([row()], book)


# -- ids ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value", ["", None, "  ", "null", "NaN", "None", "undefined", "(not set)", "00000000-0000-0000-0000-000000000000"]
)
def test_empty_ids_are_quarantined(value: str | None) -> None:
    log = read([row(who="u9"), row(who=value)])
    assert only_rule(log)[0] == "customer"
    assert log.events["customer_id"].to_pylist() == ["u9"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("17850.0", "17850"),
        (" u1\t", "u1"),
        ("1.50", "1.50"),
        ("x.0", "x.0"),
        ("-3.0", "-3"),
        ("0.0", "0"),
        ("é ", "é"),
    ],
)
def test_ids_are_tidied(value: str, expected: str) -> None:
    assert read([row(who=value)]).events["customer_id"].to_pylist() == [expected]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pa.array([17850.0, None, float("nan"), 2.5]), ["17850", "2.5"]),
        (pa.array([17850, None]), ["17850"]),
        (pa.array(["a", None, "a"]).dictionary_encode(), ["a", "a"]),
        (pa.array([b"a", None]), ["a"]),
        (pa.array(["a", ""], pa.large_string()), ["a"]),
        (pa.array([" a ", "b"], pa.string_view()), ["a", "b"]),
    ],
    ids=str,
)
def test_ids_of_any_type(values: pa.Array, expected: list[str]) -> None:
    n = len(values)
    table = pa.table(
        {
            "who": values,
            "at": ["2026-01-05"] * n,
            "what": ["View"] * n,
            "total": [1] * n,
            "item": ["x"] * n,
            "id": [None] * n,
        }
    )
    assert read(table).events["customer_id"].to_pylist() == expected


def test_rows_with_several_ids_are_linked_also_over_files(tmp_path: Path) -> None:
    book = make_book("source: {customer: [user, device], time: at, event: what}\n", "events: {view: {name: View}}\n")
    head = "user,device,at,what\n"
    (tmp_path / "a.csv").write_text(head + ",d1,2026-01-01,View\n,tv,2026-01-01,View\n")
    (tmp_path / "b.csv").write_text(
        head + "u1,d1,2026-01-02,View\nu1,tv,2026-01-03,View\nu2,tv,2026-01-04,View\n,,2026-01-04,View\n"
    )
    log = read(str(tmp_path / "*.csv"), book)
    assert log.events["customer_id"].to_pylist() == ["u1", "tv", "u1", "u1", "u2"]
    assert (log.links.n_linked, log.links.n_shared, log.n_quarantined) == (1, 1, 1)
    assert only_rule(log)[1] == "user and device are empty"
    assert log.by_class[0]["n_customers"] == 3


# -- classes, measures, properties, labels -----------------------------------------------------------------


def test_the_first_class_that_matches_wins() -> None:
    book = make_book(
        events="events:\n"
        "  big: {name: Buy, where: total > 100, measures: {spend: total}}\n"
        "  buy: {name: [Buy, Order], measures: {spend: total}}\n"
        "  vip: {where: item == 'gold'}\n"
        "  view: {name: View}\n"
        "  rest: {name: Gold, where: total < 0}\n"
    )
    log = read(
        [
            row(what="Buy", total="150"), row(what="Buy", total="50"), row(what="Order"), row(what="View", item="gold"),
            row(what="View"), row(what="Gold", total="1"), row(what="Gold", total="-1"), row(what=None, item="gold"),
        ],
        book,
    )  # fmt: skip
    assert log.events["event_class"].to_pylist() == ["big", "buy", "buy", "vip", "view", "other", "rest", "vip"]
    assert log.raw_names == {"Gold": 1}
    assert log.events["event_class"].chunk(0).dictionary.to_pylist() == list(book.class_names)


def test_a_row_without_a_name_that_no_class_matches_is_quarantined() -> None:
    log = read([row(), row(what="")])
    assert only_rule(log) == ("event", "'what' is empty, so the event has no name")


def test_other_rows_are_kept_or_quarantined() -> None:
    assert read([row(what="Sneeze")]).events["event_class"].to_pylist() == ["other"]
    strict = make_book("source: {customer: who, time: at, event: what, other: quarantine}\n")
    log = read([row(), row(what="Sneeze")], strict)
    assert only_rule(log) == ("class", "no event class matches 'Sneeze'")
    assert log.raw_names == {"Sneeze": 1}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("12.5", 12.5),
        (" -3 ", -3.0),
        ("1e2", 100.0),
        (7, 7.0),
        (None, math.nan),
        ("", math.nan),
        (float("nan"), math.nan),
        (True, 1.0),
        (Decimal("1.25"), 1.25),
    ],
)
def test_measures(value: Any, expected: float) -> None:
    [found] = read([row(what="Buy", total=value)]).events["m_spend"].to_pylist()
    assert found == expected or (math.isnan(found) and math.isnan(expected))


@pytest.mark.parametrize("value", ["x", "1,5", "nan", "inf", "-Infinity", "1_000", "0x10", "1e999", float("inf"), "€5"])
def test_values_that_are_no_finite_numbers_are_quarantined(value: Any) -> None:
    log = read([row(what="Buy", total=value)])
    rule, found = only_rule(log)
    assert rule == "number"
    assert found.startswith("spend: total is '")


def test_a_bad_number_matters_only_where_it_is_a_measure() -> None:
    assert read([row(what="View", total="x")]).events["m_spend"].null_count == 0
    assert read([row(what="View", total="x")]).n_quarantined == 0


def test_measures_may_be_calculated() -> None:
    book = make_book(events="events: {buy: {name: View, measures: {spend: q * p, each: p / q}}}\n")
    rows = [row(q="2", p="1.5"), row(q="0", p="1"), row(q=None, p="1"), row(q="x", p="1"), row(q="1e308", p="1e308")]
    log = read(rows, book)
    each, spend = log.events["m_each"].to_pylist(), log.events["m_spend"].to_pylist()
    assert (each[0], spend[:2]) == (0.75, [3.0, 0.0])
    assert [math.isnan(v) for v in (*each[1:], spend[2])] == [True] * 3
    assert log.quarantine["found"].to_pylist() == [
        "each: q is 'x', which is no finite number",
        "spend is too large for a number",
    ]
    assert log.by_class[0]["measures"] == {"each": 0.75, "spend": 3.0}


def test_properties_are_those_of_the_class() -> None:
    book = make_book(
        events="events: {view: {name: View, properties: {item: item}}, buy: {name: Buy, properties: {item: total}}}\n"
    )
    log = read([row(item="a", total="b"), row(what="Buy", item="a", total="b"), row(what="X", item="a")], book)
    assert log.events["p_item"].to_pylist() == ["a", "b", None]


def test_channel_session_and_label() -> None:
    book = make_book(
        "source: {customer: who, time: at, event: what, channel: c, session: s, label: l, label_p: lp}\n",
        "events: {view: {name: View}}\n",
    )
    log = read(
        [
            row(c="web", s="s1", l="keen", lp="0.8"),
            row(c="", s=" ", l="", lp="2"),
            row(c=None, s="s2", l="away", lp=None),
        ]
        + [row(c="app", s="s1", l="keen", lp=bad) for bad in ("0", "1.1", "x")],
        book,
    )
    assert log.events["channel"].to_pylist() == ["web", None, None]
    assert log.events["session"].to_pylist() == ["s1", None, "s2"]
    assert log.events["label"].to_pylist() == ["keen", None, "away"]
    assert [None if math.isnan(p) else p for p in log.events["label_p"].to_pylist()] == [0.8, None, 0.95]
    assert log.quarantine["rule"].to_pylist() == ["label"] * 3
    assert log.n_sessions == 2


# -- duplicates --------------------------------------------------------------------------------------------


def test_the_first_of_equal_ids_in_order_of_file_and_row_is_kept(tmp_path: Path) -> None:
    head = "who,at,what,id,total,item\n"
    (tmp_path / "a.csv").write_text(
        head + "u1,2026-01-02,View,m1,,\nu1,2026-01-02,View,m2,,\nu2,2026-01-01,View,m1,,\n"
    )
    (tmp_path / "b.csv").write_text(head + "u3,2026-01-01,View,m2,,\nu4,2026-01-01,View,,,\nu4,2026-01-01,View,,,\n")
    log = read(str(tmp_path / "*.csv"))
    assert sorted(zip(log.events["customer_id"].to_pylist(), log.events["event_id"].to_pylist(), strict=True)) == [
        ("u1", "m1"), ("u1", "m2"), ("u4", "1:1"), ("u4", "1:2"),
    ]  # fmt: skip
    assert log.n_duplicate == 2


def test_a_quarantined_row_makes_no_duplicate_of_a_good_one() -> None:
    log = read([row(id="m1", at="soon"), row(id="m1"), row(id="m1")])
    assert (log.n_quarantined, log.n_accepted, log.n_duplicate) == (1, 1, 1)


def test_rows_may_be_duplicates_by_all_their_content() -> None:
    book = make_book("source: {customer: who, time: at, event: what, duplicates: content}\n")
    rows = [row(extra="1"), row(extra="1"), row(extra="2"), row(extra=None), row(extra=None)]
    log = read(rows, book)
    assert (log.n_accepted, log.n_duplicate) == (3, 2)
    lines = "".join(json.dumps(r) + "\n" for r in rows) + json.dumps(rows[0]) + "   \n"
    log = read_lines(lines.encode(), book)
    assert (log.n_accepted, log.n_duplicate) == (3, 3)


def test_rows_may_all_be_kept() -> None:
    book = make_book("source: {customer: who, time: at, event: what}\n")
    assert read([row(), row()], book).n_accepted == 2


def test_rows_of_equal_hash_are_told_apart() -> None:
    keys = np.array([5, 5, 5, 6, 5], np.uint64)
    asked: list[int] = []

    def read_exact(rows: Any) -> Any:
        asked.extend(rows.tolist())
        return np.array([{0: 1, 1: 2, 2: 1, 4: 2}[i] for i in rows.tolist()])

    assert find_repeats(keys, read_exact).tolist() == [False, False, True, False, True]
    assert asked == [0, 1, 2, 4]


@given(st.lists(st.integers(0, 6), max_size=40))
def test_repeats_are_those_that_were_seen_before(values: list[int]) -> None:
    keys = np.array([v % 3 for v in values], np.uint64)
    found = find_repeats(keys, lambda rows: np.array(values, np.int64)[rows])
    assert found.tolist() == [v in values[:i] for i, v in enumerate(values)]


# -- paths -------------------------------------------------------------------------------------------------

NESTED = make_book(
    "source: {customer: user.id, time: at, event: what, channel: context.campaign.medium}\n",
    "events:\n  buy: {name: Buy, where: properties.total > 0, measures: {spend: properties.total},\n"
    "        properties: {item: properties.item}}\n",
)
NESTED_ROWS = [
    {"user": {"id": "u1"}, "at": "2026-01-05", "what": "Buy", "properties": {"total": 5.5, "item": "x"},
     "context": {"campaign": {"medium": "email"}}},
    {"user": {"id": "u2"}, "at": "2026-01-05", "what": "Buy", "properties": {"total": None, "item": None},
     "context": None},
    {"user": None, "at": "2026-01-05", "what": "Buy", "properties": None, "context": {"campaign": None}},
]  # fmt: skip


def read_lines(data: bytes, book: Playbook, suffix: str = ".jsonl") -> EventLog:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"e{suffix}")
        path.write_bytes(data)
        return read(str(path), book)


def check_nested(log: EventLog) -> None:
    assert log.events["customer_id"].to_pylist() == ["u1", "u2"]
    assert log.events["event_class"].to_pylist() == ["buy", "other"]
    assert log.events["channel"].to_pylist() == ["email", None]
    assert log.events["m_spend"].to_pylist()[0] == 5.5
    assert log.events["p_item"].to_pylist() == ["x", None]
    assert log.quarantine["rule"].to_pylist() == ["customer"]


def test_paths_lead_into_structs() -> None:
    check_nested(read(pa.Table.from_pylist(NESTED_ROWS), NESTED))


def test_paths_lead_into_json_lines() -> None:
    check_nested(read_lines("".join(json.dumps(r) + "\n" for r in NESTED_ROWS).encode(), NESTED))


def test_paths_lead_into_columns_of_json_text() -> None:
    table = pa.table(
        {
            "user.id": ["u1", "u2", None],
            "at": ["2026-01-05"] * 3,
            "what": ["Buy"] * 3,
            "properties": [json.dumps(r["properties"]) for r in NESTED_ROWS],
            "context": [json.dumps(r["context"]) for r in NESTED_ROWS],
        }
    )
    check_nested(read(table, NESTED))


def test_paths_lead_into_json_text_inside_structs_and_into_maps() -> None:
    struct = pa.array([{"campaign": '{"medium": "email"}'}, {"campaign": "no json"}, None])
    maps = pa.array([[("total", 5.5)], [], None], pa.map_(pa.string(), pa.float64()))
    book = make_book(
        "source: {customer: who, time: at, event: what, channel: context.campaign.medium}\n",
        "events: {buy: {name: Buy, measures: {spend: properties.total}}}\n",
    )
    table = pa.table(
        {"who": ["u1"] * 3, "at": ["2026-01-05"] * 3, "what": ["Buy"] * 3, "context": struct, "properties": maps}
    )
    log = read(table, book)
    assert log.events["channel"].to_pylist() == ["email", None, None]
    assert log.events["m_spend"].to_pylist()[0] == 5.5


def test_keys_with_dots_of_their_own() -> None:
    data = b'{"user.id": "u1", "at": "2026-01-05", "what": "Buy", "properties.total": 3}\n'
    log = read_lines(data, NESTED)
    assert log.events["m_spend"].to_pylist() == [3.0]


# -- Segment -----------------------------------------------------------------------------------------------


def segment_rows() -> list[dict[str, Any]]:
    return [
        {"type": "track", "event": "Buy", "anonymousId": "a1", "timestamp": "2026-01-05T10:00:00Z", "messageId": "1",
         "properties": {"total": 3, "item": "x"}},
        {"type": "page", "anonymousId": "a1", "originalTimestamp": "2026-01-05T11:00:00Z", "messageId": "2"},
        {"type": "identify", "userId": "u1", "anonymousId": "a1", "receivedAt": "2026-01-05T12:00:00Z",
         "messageId": "3"},
        {"type": "track", "event": "Buy", "userId": "u1", "timestamp": "2026-01-05T10:00:00Z", "messageId": "1"},
        {"type": "alias", "userId": "u2", "previousId": "a2", "timestamp": "2026-01-05T13:00:00Z", "messageId": "4"},
        {"type": "group", "anonymousId": "a2", "timestamp": "2026-01-05T14:00:00Z", "messageId": "5"},
        {"type": "track", "event": "Buy", "timestamp": "2026-01-05T10:00:00Z", "messageId": "6"},
        {"type": "track", "event": "Buy", "userId": "u1", "messageId": "7"},
    ]  # fmt: skip


SEGMENT_EVENTS = (
    "events: {page: {name: page}, buy: {name: Buy, measures: {spend: properties.total}},\n"
    "  call: {name: [identify, alias, group]}}\n"
)


@pytest.mark.parametrize(
    "source", ["source: {format: segment}\n", "source: {format: auto}\n", ""], ids=["segment", "auto", "left out"]
)
@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_segment_rows_need_no_mapping(source: str, kind: str, tmp_path: Path) -> None:
    book = parse_playbook(f"playbook: p\n{source}{SEGMENT_EVENTS}{STATES}", "p.yaml")
    path = tmp_path / f"e.{kind}"
    if kind == "jsonl":
        path.write_text("".join(json.dumps(r) + "\n" for r in segment_rows()))
    else:
        parquet.write_table(pa.Table.from_pylist(with_all_keys(segment_rows())), path)
    log = read(str(path), book)
    assert log.events["event_class"].to_pylist() == ["buy", "page", "call", "call", "call"]
    assert log.events["customer_id"].to_pylist() == ["u1", "u1", "u1", "u2", "u2"]
    assert log.events["event_id"].to_pylist() == ["1", "2", "3", "4", "5"]
    assert (log.n_duplicate, log.links.n_linked) == (1, 2)
    assert log.quarantine["rule"].to_pylist() == ["customer", "time"]


def with_all_keys(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    keys = dict.fromkeys(key for r in rows for key in r)
    return [{key: r.get(key) for key in keys} for r in rows]


def test_a_customer_column_of_one_s_own_speaks_against_segment() -> None:
    book = make_book("source: {customer: who, time: at, event: what}\n")
    log = read([row(type="track", userId="x", event="y")], book)
    assert log.events["customer_id"].to_pylist() == ["u1"]


# -- what is missing ---------------------------------------------------------------------------------------


def explain(rows: Any, book: Playbook = BOOK) -> str:
    with pytest.raises(EventsError) as found:
        read(rows, book)
    return str(found.value)


def test_a_missing_column_names_line_nearest_column_and_command() -> None:
    book = parse_playbook(
        f"playbook: p\n\nsource: {{customer: CustomrID, time: at, event: what}}\n{EVENTS}{STATES}", "p.yaml"
    )
    message = explain([{**row(), "CustomerID": "1"}], book)
    assert message.startswith("p:3: source customer is 'CustomrID', which table does not have")
    assert "Did you mean 'CustomerID'? Run: sojourn check p table" in message


def test_every_missing_column_is_named_at_once() -> None:
    message = explain([{"who": "u1", "totl": "1"}])
    assert "source time is 'at'" in message
    assert "source event is 'what'" in message
    assert "measure 'spend' of 'buy' is 'total'" in message
    assert "Did you mean 'totl'?" in message
    assert "source id is 'id'" in message


def test_a_column_that_only_some_sources_have_is_missing_in_the_others() -> None:
    first, second = (
        pa.Table.from_pylist([row(what="Buy", total="5")]),
        pa.table({"who": ["u2"], "at": ["2026-01-06"], "what": ["Buy"]}),
    )
    log = read([first, second])
    assert [math.isnan(v) for v in log.events["m_spend"].to_pylist()] == [False, True]
    assert log.sources == ("table 1", "table 2")


def test_a_struct_without_the_field_is_a_missing_column() -> None:
    rows = [
        {
            "user": {"id": "u1"},
            "at": "2026-01-05",
            "what": "Buy",
            "properties": {"totl": 1.0, "item": "x"},
            "context": {"campaign": {"medium": "m"}},
        }
    ]
    assert "Did you mean 'properties.totl'?" in explain(rows, NESTED)


def test_json_lines_without_the_customer_are_an_error_that_names_the_key() -> None:
    data = b'{"user": {"ID": "u1"}, "at": "2026-01-05", "what": "Buy"}\n'
    with pytest.raises(EventsError, match=r"source customer is 'user.id', .*Did you mean 'user.ID'"):
        read_lines(data, NESTED)


def test_json_lines_without_a_measure_are_a_warning_that_names_the_key() -> None:
    data = b'{"user": {"id": "u1"}, "at": "2026-01-05", "what": "Buy", "properties": {"totl": 1}}\n'
    log = read_lines(data, NESTED)
    assert any("measure 'spend' of 'buy' is 'properties.total'" in w and "'properties.totl'" in w for w in log.warnings)


def test_json_keys_that_are_always_null_are_there() -> None:
    data = b'{"user": {"id": "u1"}, "at": "2026-01-05", "what": "Buy", "properties": {"total": null, "item": null}, '
    log = read_lines(data + b'"context": {"campaign": {"medium": null}}}\n', NESTED)
    assert (log.n_accepted, log.warnings) == (1, ())


def test_rows_in_no_format_without_a_mapping_are_an_error() -> None:
    book = parse_playbook(f"playbook: p\n{SEGMENT_EVENTS}{STATES}", "p.yaml")
    assert "source customer is not set, and table is not in Segment's format" in explain([row()], book)


NOTHING = [b"", b"\n\n", b"\xef\xbb\xbf"]
ONLY_A_HEADER = b"who,at,what,id,total,item\n"  # nothing in CSV; in JSON lines it is a row that is no JSON


@pytest.mark.parametrize(
    ("suffix", "data"),
    [
        *((suffix, data) for suffix in (".csv", ".csv.gz") for data in (*NOTHING, ONLY_A_HEADER)),
        *((".jsonl", data) for data in NOTHING),
    ],
)
def test_nothing_to_read_is_an_error_alone_and_a_warning_beside_others(
    data: bytes, suffix: str, tmp_path: Path
) -> None:
    empty, full = tmp_path / f"empty{suffix}", tmp_path / "full.csv"
    empty.write_bytes(gzip.compress(data) if suffix.endswith("gz") else data)
    full.write_text("who,at,what,id,total,item\nu1,2026-01-05,View,,,\n")
    assert "no rows" in explain(str(empty))
    log = read([str(empty), str(full)])
    assert log.n_accepted == 1
    assert log.warnings == (f"{empty}: no rows",)


def test_an_empty_table_is_an_error() -> None:
    assert "no rows" in explain(pa.Table.from_pylist([row()]).slice(0, 0))


# -- quarantine --------------------------------------------------------------------------------------------


def test_the_quarantine_says_where_which_rule_what_and_shows_the_row(tmp_path: Path) -> None:
    path = tmp_path / "e.csv"
    path.write_bytes(
        b"who,at,what,id,total,item\n"
        b"u1,2026-01-05,View,,,\n"
        b"u1,soon,View,,,\n"
        b"u1,2026\n"
        b'"u\n1",2026-01-05,Buy,,x,\n'
        b"\xff,2026-01-05,View,,,\n"
    )
    assert read(str(path)).quarantine.to_pylist() == [
        {"source": str(path), "line": 3, "rule": "time", "raw": "u1,soon,View,,,",
         "found": "'soon' is no instant (ISO 8601 or an epoch number; else set source time_format)"},
        {"source": str(path), "line": 4, "rule": "csv", "raw": "u1,2026", "found": "2 fields where the header has 6"},
        {"source": str(path), "line": 5, "rule": "number", "raw": '"u\n1",2026-01-05,Buy,,x,',
         "found": "spend: total is 'x', which is no finite number"},
        {"source": str(path), "line": 7, "rule": "utf-8", "raw": "\ufffd,2026-01-05,View,,,",
         "found": "byte 0xff at byte 1 of the row is no UTF-8"},
    ]  # fmt: skip


def test_rows_of_tables_are_shown_as_json() -> None:
    [found] = read([row(at="soon")]).quarantine.to_pylist()
    assert (found["source"], found["line"]) == ("table", 1)
    assert json.loads(found["raw"])["at"] == "soon"


# -- the law, for any bytes --------------------------------------------------------------------------------

CSV = b"who,at,what,id,total,item\n" + b"".join(
    b'u%d,2026-01-0%d,%s,m%d,%d,"a ""%d"", b"\n' % (i % 3, 1 + i % 9, (b"View", b"Buy")[i % 2], i // 2, i, i)
    for i in range(12)
)
LINES = b"".join(json.dumps(row(who=f"u{i}", id=f"m{i // 2}", what="Buy", total=i)).encode() + b"\n" for i in range(12))


@st.composite
def mutated(draw: st.DrawFn, data: bytes) -> bytes:
    found = bytearray(data)
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, max(0, len(found) - 1)))
        kind = draw(st.sampled_from(["set", "insert", "delete", "cut", "repeat"]))
        piece = draw(
            st.binary(max_size=3)
            | st.sampled_from([b'"', b"\n", b"\r", b",", b"\x00", b"\xff", b"{", b'""', b"nan", b"\xf0\x9f"])
        )
        if kind == "set":
            found[at : at + len(piece)] = piece
        elif kind == "insert":
            found[at:at] = piece
        elif kind == "delete":
            del found[at : at + draw(st.integers(1, 20))]
        elif kind == "cut":
            del found[at:]
        else:
            found[at:at] = found[at : at + 30]
    return bytes(found)


def check_any_bytes(data: bytes, name: str) -> None:
    """Either the law holds, or the whole is refused with a clear reason. Nothing else may happen."""
    stream = io.BytesIO(data)
    refusal = ""
    with patch("sys.stdin") as stdin:
        stdin.buffer = stream
        try:
            log = read_events("-", BOOK, now=NOW)
        except EventsError as error:
            refusal = str(error)
    if refusal:
        assert any(word in refusal for word in ("does not have", "no rows", "header", "UTF-16"))
        return
    check_law(log, BOOK)
    if name == "csv" and b'"' not in data and b"\r" not in data:
        # An independent count of rows: lines that are not blank, but for the header.
        assert log.n_read == sum(bool(line.strip()) for line in data.removeprefix(b"\xef\xbb\xbf").split(b"\n")) - 1
    if name == "jsonl":
        assert log.n_read == sum(bool(line.strip()) for line in data.split(b"\n"))


SLOW = settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])


@SLOW
@given(st.binary(max_size=300))
@example(b"\x1f\x8b")
@example(b"PAR1")
@example(b"(\xb5/\xfd")
@example(b"\xff\xfe")
@example(b'who,at,what,id,total,item\n"')
def test_the_law_holds_for_random_bytes(data: bytes) -> None:
    check_any_bytes(data, "random")


@SLOW
@given(st.binary(max_size=120))
def test_the_law_holds_for_random_rows_under_a_header(data: bytes) -> None:
    check_any_bytes(b"who,at,what,id,total,item\n" + data, "csv")


@SLOW
@given(mutated(CSV))
def test_the_law_holds_for_mutated_csv(data: bytes) -> None:
    check_any_bytes(data, "random" if not data.startswith(b"who,at,what,id,total,item\n") else "csv")


@SLOW
@given(mutated(LINES))
def test_the_law_holds_for_mutated_json_lines(data: bytes) -> None:
    is_json = data.lstrip()[:1] in (b"{", b"[") and not data.startswith(b"\xff")
    check_any_bytes(data, "jsonl" if is_json else "random")


@SLOW
@given(mutated(gzip.compress(CSV, mtime=0)))
def test_the_law_holds_for_mutated_gzip(data: bytes) -> None:
    check_any_bytes(data, "random")


@SLOW
@given(mutated(pa.compress(LINES, "zstd", asbytes=True)))
def test_the_law_holds_for_mutated_zstd(data: bytes) -> None:
    check_any_bytes(data, "random")


@given(st.integers(0, 11), st.integers(1, 40), st.binary(min_size=1, max_size=40))
@settings(max_examples=60)
def test_the_law_holds_for_parquet_whose_pages_are_overwritten(group: int, at: int, piece: bytes) -> None:
    out = io.BytesIO()
    rows = [row(who=f"u{i}", id=f"m{i}", what="Buy", total=float(i), item="x") for i in range(12)]
    parquet.write_table(pa.Table.from_pylist(rows), out, row_group_size=1, compression="gzip", write_page_checksum=True)
    data = bytearray(out.getvalue())
    start = parquet.ParquetFile(io.BytesIO(data)).metadata.row_group(group).column(0).dictionary_page_offset
    data[start + at : start + at + len(piece)] = piece
    with patch("sys.stdin") as stdin:
        stdin.buffer = io.BytesIO(bytes(data))
        log = read("-")
    assert log.n_read == 12  # each row group has one row, so a broken group is one row too


# -- order, chunks, repetition -----------------------------------------------------------------------------


def many_rows(n: int = 2_000) -> pa.Table:
    rng = np.random.default_rng(7)
    return pa.table(
        {
            "who": [f"u{i}" for i in rng.integers(0, 50, n)],
            "at": pa.array(1_750_000_000 + rng.integers(0, 400_000, n)),
            "what": rng.choice(["View", "Look", "Buy", "Sneeze"], n).tolist(),
            "id": [f"m{i}" for i in rng.integers(0, n * 3, n)],
            "total": rng.normal(10, 3, n),
            "item": rng.choice(["a", "b", None], n).tolist(),
        }
    )


def test_the_log_does_not_depend_on_how_rows_are_cut_into_chunks(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    table = many_rows()
    whole = read(table)
    assert whole.n_duplicate > 0
    expected = (repr(whole.events.to_pylist()), whole.by_class, whole.n_sessions, whole.raw_names)
    monkeypatch.setattr(source_tables, "CHUNK_ROWS", 77)
    cut = read(table)
    assert (repr(cut.events.to_pylist()), cut.by_class, cut.n_sessions, cut.raw_names) == expected
    parquet.write_table(table, tmp_path / "e.parquet", row_group_size=300)
    filed = read(str(tmp_path / "e.parquet"))
    assert (repr(filed.events.to_pylist()), filed.by_class, filed.n_sessions, filed.raw_names) == expected
    pa.csv.write_csv(table, tmp_path / "e.csv")
    monkeypatch.setattr(source_text, "PAGE_BYTES", 1_000)
    typed = read(str(tmp_path / "e.csv"))
    assert repr(typed.events.to_pylist()) == expected[0]


def test_two_runs_give_identical_tables() -> None:
    first, second = read(many_rows()), read(many_rows())
    for name in ("events", "quarantine"):
        one, two = io.BytesIO(), io.BytesIO()
        parquet.write_table(getattr(first, name), one)
        parquet.write_table(getattr(second, name), two)
        assert one.getvalue() == two.getvalue()


def test_progress_goes_up_to_the_end(tmp_path: Path) -> None:
    (tmp_path / "e.csv").write_bytes(CSV)
    told: list[tuple[int, int]] = []
    read_events(
        [str(tmp_path / "e.csv"), many_rows()], BOOK, now=NOW, progress=lambda done, total: told.append((done, total))
    )
    assert told == sorted(told)
    assert told[-1][0] == told[-1][1]
    table: list[int] = []
    read_events(pa.concat_tables([many_rows()] * 300), BOOK, now=NOW, progress=lambda done, _: table.append(done))
    assert len(set(table)) > 2


# -- coverage ----------------------------------------------------------------------------------------------


def count_sessions_plainly(events: list[tuple[str, datetime, str]], touches: set[str]) -> tuple[int, dict[str, int]]:
    last: dict[str, tuple[datetime, int]] = {}
    n, seen = 0, set()
    for who, at, kind in events:
        if kind in touches:
            continue
        before = last.get(who)
        if before is None or at - before[0] > timedelta(minutes=30):
            n, number = n + 1, n
        else:
            number = before[1]
        last[who] = (at, number)
        seen.add((kind, number))
    return n, {kind: sum(k == kind for k, _ in seen) for kind in {k for k, _ in seen}}


def test_coverage_counts_rows_customers_sessions_and_sums() -> None:
    book = make_book(
        events="events: {view: {name: [View, Look]}, buy: {name: Buy, measures: {spend: total}},\n"
        "  mail: {name: Sneeze, touch: true}}\n"
    )
    log = read(many_rows(), book)
    events = log.events.to_pylist()
    plain = [(e["customer_id"], e["event_at"], e["event_class"]) for e in events]
    n_sessions, per_class = count_sessions_plainly(plain, {"mail"})
    assert log.n_sessions == n_sessions
    for found in log.by_class:
        own = [e for e in events if e["event_class"] == found["event_class"]]
        assert found["n_rows"] == len(own)
        assert found["n_customers"] == len({e["customer_id"] for e in own})
        assert found["n_sessions"] == per_class.get(found["event_class"], 0)
        if found["event_class"] == "buy":
            assert found["measures"]["spend"] == pytest.approx(math.fsum(e["m_spend"] for e in own), rel=1e-12)
        else:
            assert found["measures"] == {}
    assert [found["event_class"] for found in log.by_class] == list(book.class_names)


def test_sessions_with_ids_are_a_customer_s_own() -> None:
    customer, session = np.array([0, 0, 1, 0, 1], np.int32), np.array([0, 1, 0, 0, -1], np.int32)
    numbers, n = number_sessions(customer, np.arange(5), session)
    assert n == 3
    assert numbers.tolist() == [0, 1, 2, 0, -1]


@given(st.lists(st.integers(0, 5), max_size=50))
def test_sorting_is_stable(values: list[int]) -> None:
    numbers = np.array(values, np.int32)
    assert sort_stably(numbers).tolist() == np.argsort(numbers, kind="stable").tolist()


# -- row rules ---------------------------------------------------------------------------------------------

RULES = [
    "a > b", "a + b * 2 >= 3", "a / b < 1", "not a > 1", "is_missing(a)", "a == 1 or b == 2", "a in [1, 2.5]",
    "a not in [1, 2]", "starts_with(t, 'ab')", "ends_with(t, 'c')", "contains(t, 'b')", "lower(t) == 'abc'",
    "t != 'abc'", "t in ['abc', 'x']", "abs(a) > 1", "min(a, b) < 1", "max(a, b, 2) > 2", "-a < 0", "t < 'b'",
    "not starts_with(t, 'a') and a > 0", "flag == true", "flag", "a != b",
]  # fmt: skip
cells = st.sampled_from(["", "0", "1", "2.5", "-3", "x", "inf", "1e400"])
words = st.sampled_from(["", "abc", "ABC", "ab", "b", "xbc"])
flags = st.sampled_from(["", "true", "FALSE", "1", "0", "maybe"])


@pytest.mark.parametrize("text", RULES)
@given(st.lists(st.tuples(cells, cells, words, flags), min_size=1, max_size=8))
@settings(max_examples=25)
def test_conditions_over_columns_say_what_they_say_of_each_row(text: str, rows: list[tuple[str, ...]]) -> None:
    rule = compile_row_rule(text, "boolean")
    table = pa.table({name: list(column) for name, column in zip("abtf", zip(*rows, strict=True), strict=True)})
    table = table.rename_columns(["a", "b", "t", "flag"])
    n = np.arange(len(rows))
    columns = Columns(Chunk(table, n, n, (), 0, lambda at: []), ["a", "b", "t", "flag"], connect(n_threads=1))
    assert match_rows(rule, columns).tolist() == [read_row(rule, r) is True for r in table.to_pylist()]


@given(st.lists(st.tuples(cells, cells), min_size=1, max_size=8))
def test_numbers_over_columns_are_those_of_each_row(rows: list[tuple[str, str]]) -> None:
    rule = compile_row_rule("a * b - abs(a) / b", "number")
    table = pa.table({"a": [a for a, _ in rows], "b": [b for _, b in rows]})
    n = np.arange(len(rows))
    columns = Columns(Chunk(table, n, n, (), 0, lambda at: []), ["a", "b"], connect(n_threads=1))
    values, is_bad = measure_rows(rule, columns)
    plain: list[Any] = [read_row(rule, r) for r in table.to_pylist()]
    assert [None if math.isnan(v) else v for v in values.tolist()] == plain
    assert is_bad.tolist() == [any(v in ("x", "inf", "1e400") for v in r) for r in rows]


# -- real data ---------------------------------------------------------------------------------------------


def by_name(log: EventLog) -> Mapping[str, dict[str, Any]]:
    return {found["event_class"]: found for found in log.by_class}


@pytest.mark.data
def test_online_retail_has_the_published_figures(data_dir: Path) -> None:
    book = make_book(
        "source: {customer: CustomerID, time: InvoiceDate, session: InvoiceNo}\n",
        "events:\n  gone: {where: \"starts_with(InvoiceNo, 'C')\"}\n"
        "  view: {where: Quantity > 0 and UnitPrice > 0, measures: {revenue: Quantity * UnitPrice}}\n",
    )
    log = read(str(data_dir / "online_retail" / "online_retail.csv.gz"), book)
    bought = by_name(log)["view"]
    assert (log.n_read, log.n_quarantined, log.n_duplicate) == (541_909, 135_080, 0)
    assert set(log.quarantine["rule"].to_pylist()) == {"customer"}
    assert (bought["n_rows"], bought["n_customers"], bought["n_sessions"]) == (397_884, 4_338, 18_532)
    assert round(bought["measures"]["revenue"], 2) == 8_911_407.90
    assert log.events["customer_id"][0].as_py() == "17850"


@pytest.mark.data
def test_ecom_has_the_published_shares_of_sessions(data_dir: Path) -> None:
    book = make_book(
        "source: {customer: user_id, time: timestamp, event: event, session: session_id}\n",
        "events: {view: {name: cart}, shipping: {name: shipping_details}, purchase: {name: purchase}}\n",
    )
    log = read(str(data_dir / "ecom_v5" / "ecom_v5.csv.gz"), book)
    shares = {name: round(100 * found["n_sessions"] / log.n_sessions, 1) for name, found in by_name(log).items()}
    assert (log.n_read, log.n_accepted, log.n_sessions) == (31_106, 31_106, 3_605)
    assert (shares["view"], shares["shipping"], shares["purchase"]) == (28.3, 22.1, 13.0)
    assert by_name(log)["other"]["n_customers"] == 600


@pytest.mark.data
def test_all_segment_examples_are_accepted(data_dir: Path, tmp_path: Path) -> None:
    examples = json.loads((data_dir / "event_specs" / "segment" / "segment_spec_examples.json").read_text())
    calls = [e["payload"] for e in examples if isinstance(e.get("payload"), dict) and e["payload"].get("type")]
    assert len(calls) > 30
    # The specification leaves time and id out of most examples; what a client would send is put in.
    for i, call in enumerate(calls):
        if not any(call.get(key) for key in ("timestamp", "originalTimestamp", "receivedAt")):
            call["timestamp"] = "2026-01-05T10:00:00Z"
        if not call.get("userId") and not call.get("anonymousId"):
            call["anonymousId"] = f"anonymous-{i}"
        call["messageId"] = str(i)
    path = tmp_path / "calls.jsonl"
    path.write_text("".join(json.dumps(call) + "\n" for call in calls))
    log = read(str(path), load_playbook("media"))
    assert log.quarantine.to_pylist() == []
    assert log.n_accepted == len(calls)


@pytest.mark.data
def test_a_truncated_real_file_is_accounted_for(data_dir: Path, tmp_path: Path) -> None:
    data = (data_dir / "ecom_v5" / "ecom_v5.csv.gz").read_bytes()
    (tmp_path / "e.csv.gz").write_bytes(data[: len(data) // 2])
    book = make_book("source: {customer: user_id, time: timestamp, event: event}\n", "events: {view: {name: cart}}\n")
    log = read(str(tmp_path / "e.csv.gz"), book)
    assert log.quarantine["rule"].to_pylist() == ["stream"]
    assert 10_000 < log.n_accepted < 31_106
