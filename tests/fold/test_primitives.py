"""The plain meaning of every primitive, against values worked out by hand."""

from __future__ import annotations

import math

import pytest

from sojourn.fold.primitives import Event, Pattern, Setting, bucket_width_us, hash_text, read_primitive
from sojourn.testing import check_primitive

S = 1_000_000
MINUTE = 60 * S
HOUR = 60 * MINUTE
DAY = 24 * HOUR
SETTING = Setting(
    touches=frozenset({"mail"}),
    moments={"path": Pattern(("view", "view", "buy"), 3600.0), "one": Pattern(("buy",), 60.0)},
)


def events(*pairs: tuple[int, str], **more: list[object]) -> list[Event]:
    made = []
    for i, (at, name) in enumerate(pairs):
        made.append(Event(at, name, **{key: values[i] for key, values in more.items()}))  # type: ignore[arg-type]
    return made


def read(text: str, of: list[str], log: list[Event], now: int, setting: Setting = SETTING, **options: float) -> float:
    return read_primitive(text, of, options, log, now, setting)


LOG = events((0, "view"), (HOUR, "mail"), (2 * HOUR, "buy"), (3 * HOUR, "view"), (3 * HOUR, "other"))


@pytest.mark.parametrize(
    ("name", "expected"), [("view", 2.0), ("buy", 1.0), ("mail", 1.0), ("other", 1.0), ("any", 4.0), ("none", 0.0)]
)
def test_any_is_every_class_but_touches(name: str, expected: float) -> None:
    assert read("count", [name], LOG, 3 * HOUR) == expected


def test_a_count_halves_with_its_half_life() -> None:
    log = events((0, "view"), (DAY, "view"))
    assert read("count", ["view"], log, DAY, half_life=86400.0) == 1.5
    assert read("count", ["view"], log, 3 * DAY, half_life=86400.0) == 0.375
    assert read("count", ["buy"], log, 3 * DAY, half_life=86400.0) == 0.0


def test_the_last_events_are_counted_exactly_to_the_edge_of_the_window() -> None:
    log = events(*((i * MINUTE, "view") for i in range(5)))
    assert read("count", ["view"], log, 4 * MINUTE, within=120.0, at_most=5) == 3.0
    assert read("count", ["view"], log, 4 * MINUTE + 1, within=120.0, at_most=5) == 2.0
    assert read("count", ["view"], log, 4 * MINUTE, within=120.0, at_most=2) == 2.0


def test_a_window_of_buckets_begins_at_whole_buckets() -> None:
    width = bucket_width_us(3600.0)
    assert width == 112_500_000
    log = events((width - 1, "view"), (width, "view"))
    assert read("count", ["view"], log, 32 * width - 1, within=3600.0) == 2.0
    assert read("count", ["view"], log, 32 * width, within=3600.0) == 1.0
    assert read("count", ["view"], log, 33 * width, within=3600.0) == 0.0


def test_measures() -> None:
    nan = math.nan
    log = events(
        (0, "buy"), (DAY, "buy"), (DAY, "buy"), (2 * DAY, "buy"),
        measures=[{"revenue": 4.0}, {"revenue": nan}, {}, {"revenue": 1.0}],
    )  # fmt: skip
    assert read("sum", ["revenue"], log, 2 * DAY) == 5.0
    assert read("mean", ["revenue"], log, 2 * DAY) == 2.5
    assert read("last", ["revenue"], log, 2 * DAY) == 1.0
    assert read("min", ["revenue"], log, 2 * DAY) == 1.0
    assert read("max", ["revenue"], log, 2 * DAY) == 4.0
    assert read("sum", ["revenue"], log, 3 * DAY, half_life=86400.0) == 1.0
    assert read("mean", ["revenue"], log, 99 * DAY, half_life=86400.0) == 2.0 / 1.25
    assert read("sum", ["revenue"], log, 2 * DAY, within=86400.0) == 1.0


@pytest.mark.parametrize("name", ["mean", "last", "min", "max"])
def test_measures_are_missing_before_the_first(name: str) -> None:
    assert math.isnan(read(name, ["revenue"], LOG, 3 * HOUR))
    assert read("sum", ["revenue"], LOG, 3 * HOUR) == 0.0


def test_recency_and_tenure() -> None:
    assert read("recency", ["view"], LOG, 4 * HOUR) == 3600.0
    assert read("recency", ["mail"], LOG, 4 * HOUR) == 3 * 3600.0
    assert read("tenure", [], LOG, 4 * HOUR) == 4 * 3600.0
    assert math.isnan(read("recency", ["none"], LOG, 4 * HOUR))
    assert math.isnan(read("tenure", [], events((0, "mail")), HOUR))


def test_cadence_is_the_geometric_mean_of_the_gaps() -> None:
    log = events((0, "view"), (S, "view"), (101 * S, "view"))
    assert read("cadence", ["view"], log, 200 * S) == pytest.approx(10.0)
    sd = math.log(10.0)
    assert read("cadence", ["view", "regularity"], log, 200 * S) == pytest.approx(1 / (1 + sd))
    assert math.isnan(read("cadence", ["view"], log[:1], 200 * S))
    assert math.isnan(read("cadence", ["view", "regularity"], log[:2], 200 * S))
    even = events((0, "view"), (S, "view"), (2 * S, "view"))
    assert read("cadence", ["view", "regularity"], even, 9 * S) == 1.0
    tied = events((0, "view"), (0, "view"))
    assert read("cadence", ["view"], tied, S) == pytest.approx(1e-6)


def test_momentum_is_the_short_rate_over_the_long_one() -> None:
    log = events((0, "view"))
    options = {"short": 86400.0, "long": 2 * 86400.0}
    assert read("momentum", ["view"], log, 0, **options) == 2.0
    assert read("momentum", ["view"], log, 2 * DAY, **options) == 1.0
    assert math.isnan(read("momentum", ["buy"], log, 0, **options))
    assert read("momentum", ["view"], log, 4000 * DAY, **options) == 0.0


def test_a_session_ends_after_thirty_minutes() -> None:
    log = events((0, "view"), (30 * MINUTE, "view"), (60 * MINUTE + 1, "view"), (61 * MINUTE, "mail"))
    now = 61 * MINUTE
    assert read("session", ["count"], log, now) == 2.0
    assert read("session", ["depth"], log[:2], 60 * MINUTE) == 2.0
    assert read("session", ["duration_s"], log[:2], 60 * MINUTE) == 1800.0
    assert read("session", ["velocity"], log[:2], 60 * MINUTE) == 2 / 30
    assert read("session", ["depth"], log[:2], 60 * MINUTE + 1) == 0.0
    assert read("session", ["velocity"], log, now) == 60.0
    assert read("session", ["depth"], [], now) == 0.0


def test_named_sessions_end_when_the_name_changes_and_stay_open() -> None:
    named = Setting(has_sessions=True)
    log = events(
        (0, "view"), (DAY, "view"), (DAY, "view"), (DAY, "view"), (DAY, "view"), session=["a", "a", "b", None, None]
    )
    assert read("session", ["count"], log, DAY, named) == 3.0
    assert read("session", ["depth"], log, 9 * DAY, named) == 2.0
    assert read("session", ["duration_s"], log[:2], 9 * DAY, named) == 86400.0


def test_shares() -> None:
    log = events((0, "view"), (9 * HOUR, "view"), (23 * HOUR, "view"), (23 * HOUR, "mail"),
                 channel=["email", None, "search", "email"])  # fmt: skip
    assert read("share", ["channel", "email"], log, DAY) == 0.5
    assert math.isnan(read("share", ["channel", "email"], log[1:2], DAY))
    assert read("hour_share", [], log, DAY, from_hour=9, to_hour=10) == 1 / 3
    assert read("hour_share", [], log, DAY, from_hour=22, to_hour=1) == 2 / 3
    assert read("hour_share", [], log, DAY, from_hour=18, to_hour=24) == 1 / 3


def test_responsiveness_counts_each_sent_and_each_answer_once() -> None:
    log = events(
        (0, "mail"), (HOUR, "view"), (HOUR, "view"), (2 * HOUR, "mail"), (3 * HOUR, "mail"), (9 * HOUR, "view")
    )
    assert read("responsiveness", ["mail", "view"], log, DAY, within=3600.0) == 1 / 3
    assert read("responsiveness", ["mail", "view"], log, DAY, within=6 * 3600.0) == 2 / 3
    assert read("responsiveness", ["mail", "any"], log, DAY, within=6 * 3600.0) == 2 / 3
    assert math.isnan(read("responsiveness", ["mail", "view"], log[1:3], DAY, within=3600.0))


def test_distinct_is_about_right() -> None:
    log = [Event(i, "view", properties={"product": f"p{i % 60}"}) for i in range(600)]
    assert read("distinct", ["product"], log, 600) == pytest.approx(60, rel=0.15)
    assert read("distinct", ["product"], [], 600) == 0.0
    many = [Event(i, "view", properties={"product": f"p{i}"}) for i in range(6000)]
    assert read("distinct", ["product"], many, 6000) == 240 * math.log(240)


def test_moments_take_the_latest_start_and_reset_on_completion() -> None:
    late = events((0, "view"), (59 * MINUTE, "view"), (61 * MINUTE, "view"), (62 * MINUTE, "buy"))
    assert read("matches", ["path"], late, 2 * HOUR) == 1.0
    slow = events((0, "view"), (30 * MINUTE, "view"), (61 * MINUTE, "buy"))
    assert read("matches", ["path"], slow, 2 * HOUR) == 0.0
    again = [*late, *events((63 * MINUTE, "view"), (64 * MINUTE, "buy"), (65 * MINUTE, "view"), (66 * MINUTE, "buy"))]
    assert read("matches", ["path"], again, 2 * HOUR) == 2.0
    assert read("matches", ["one"], again, 2 * HOUR) == 3.0
    assert read("matches", ["path"], late, 62 * MINUTE + HOUR, within=3600.0) == 1.0
    assert read("matches", ["path"], late, 62 * MINUTE + HOUR + 1, within=3600.0) == 0.0


def test_reading_before_the_last_event_is_an_error() -> None:
    with pytest.raises(ValueError, match="at or after the last event"):
        read("count", ["view"], LOG, HOUR)
    with pytest.raises(KeyError, match="no primitive"):
        read("median", ["view"], LOG, 3 * HOUR)


def test_the_hash_is_fixed_for_other_languages() -> None:
    assert [hex(hash_text(text)) for text in ["", "a", "12345678", "a longer text, ü"]] == [
        "0x670527f286862c69", "0x50efc1a59f321836", "0xd5b156d133b7bece", "0x73b3ea446df686af",
    ]  # fmt: skip
    assert len({hash_text(f"{i}") % 240 for i in range(5000)}) == 240


CALLS = [
    "count(view)", "count(any, half_life=1d)", "count(view, within=2h, at_most=5)", "count(view, within=30d)",
    "sum(revenue, half_life=3d)", "sum(revenue, within=30d)", "mean(revenue)", "last(revenue)", "min(revenue)",
    "max(revenue)", "recency(view)", "tenure()", "cadence(view)", "cadence(any, regularity)", "momentum(view)",
    "session(depth)", "session(duration_s)", "session(velocity)", "session(count)", "share(channel, email)",
    "hour_share(22, 6)", "responsiveness(mail, view)", "distinct(product)", "matches(buying)",
    "matches(buying, within=1d)", "sentiment(half_life=5d)", "count(buy) / count(view)",
]  # fmt: skip


@pytest.mark.parametrize("call", CALLS)
def test_the_fold_gives_every_primitive_its_plain_meaning(call: str) -> None:
    check_primitive(call)


def test_the_check_finds_another_meaning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sojourn.testing.primitives.read_primitive", lambda *_: 1.5)
    with pytest.raises(AssertionError, match=r"count\(view\) at event 0: the fold gives .* plain meaning is 1.5"):
        check_primitive("count(view)")
