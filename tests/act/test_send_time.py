"""Send times: planted hours are found, no effect shrinks to the population, answers are those of the primitive."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn.act.send_time.check import SendTimes, find_send_times
from sojourn.act.send_time.learn import PART_HOURS, choose_times, fit_sends, fit_strength
from sojourn.act.send_time.sends import Sends, list_sends, match_answers, read_clock
from sojourn.errors import EventsError
from sojourn.events.read import read_events
from sojourn.playbook.load import parse_playbook
from sojourn.playbook.objects import Playbook

START = datetime(2026, 1, 5, tzinfo=UTC)  # a Monday
TEXT = """
playbook: mails
source: {format: table, customer: who, time: at, event: what, channel: via}
events:
  sent: {name: Sent, touch: true, properties: {timezone: zone}}
  opened: {name: Opened}
features: {answered: "responsiveness(sent, opened, within=1d)"}
states: {keen: {about: Keen.}, away: {about: Away.}}
"""


def make_sends(
    *, n_customers: int = 400, n_each: int = 60, habit: float = 0.0, hour_effect: float = 0.0, seed: int = 0
) -> tuple[Sends, np.ndarray]:
    """Messages at random hours; each customer has a favourite part of the day that adds to the log-odds."""
    rng = np.random.default_rng(seed)
    n = n_customers * n_each
    customer = np.tile(np.arange(n_customers), n_each)
    at = np.sort(rng.integers(0, 180 * 86_400, n))
    hour, weekday = (at // 3_600 % 24), (at // 86_400 % 7)
    favourite = rng.integers(0, 24 // PART_HOURS, n_customers)
    odds = -1.2 + rng.normal(0, 0.5, n_customers)[customer] + hour_effect * (hour == 20)
    odds = odds + habit * (favourite[customer] == hour // PART_HOURS)
    opened = rng.random(n) < 1 / (1 + np.exp(-odds))
    names = pa.array([f"c{i}" for i in range(n_customers)])
    zones = pa.array(["UTC"] * n_customers)
    return Sends(
        customer, np.zeros(n, np.int64), at * 1_000_000, hour, weekday, opened, names, ("mail",), zones
    ), favourite


def test_planted_hours_of_customers_are_found() -> None:
    sends, favourite = make_sends(habit=2.0)
    model = fit_sends(sends, 400, np.random.default_rng(0))
    table = choose_times(model, sends, "mail")
    found = table["hour"].to_numpy() // PART_HOURS
    assert np.mean(found == favourite) > 0.7  # by chance: 1 in 8
    assert model.parts.has_effect
    assert not model.days.has_effect
    assert np.mean(table["gain"].to_numpy()) > 0.12


def test_intervals_hold_the_truth_as_often_as_they_say_even_at_the_best_time() -> None:
    rng = np.random.default_rng(5)
    n_customers, n_parts = 1_500, 24 // PART_HOURS
    own = rng.beta(12 * 0.3, 12 * 0.7, n_customers)
    truth = rng.beta(15 * own[:, None], 15 * (1 - own[:, None]), (n_customers, n_parts))
    customer = np.tile(np.arange(n_customers), 60)
    hour, weekday = rng.integers(0, 24, len(customer)), rng.integers(0, 7, len(customer))
    opened = rng.random(len(customer)) < truth[customer, hour // PART_HOURS]
    names, zones = pa.array([f"c{i}" for i in range(n_customers)]), pa.array(["UTC"] * n_customers)
    at = np.arange(len(customer))
    sends = Sends(customer, np.zeros(len(customer), np.int64), at, hour, weekday, opened, names, ("mail",), zones)
    table = choose_times(fit_sends(sends, n_customers, np.random.default_rng(0)), sends, "mail")
    p = truth[np.arange(n_customers), table["hour"].to_numpy() // PART_HOURS]
    inside = (table["low"].to_numpy() <= p) & (p <= table["high"].to_numpy())
    assert inside.mean() == pytest.approx(0.95, abs=0.035)
    gain = p - truth.mean(axis=1)
    for name, value in (("open_p", p.mean()), ("gain_observed", gain.mean())):  # cautious, no curse of the winner
        assert value - 0.04 < table[name].to_numpy().mean() < value + 0.01


def test_without_an_effect_everybody_gets_the_populations_time() -> None:
    n_wrong = 0
    for seed in range(10):
        sends, _ = make_sends(n_customers=150, n_each=30, seed=seed)
        model = fit_sends(sends, 150, np.random.default_rng(0))
        assert model.customers.has_effect  # customers do differ, though not in their hours
        n_wrong += model.parts.has_effect + model.days.has_effect
        if not (model.parts.has_effect or model.days.has_effect):
            table = choose_times(model, sends, "mail")
            assert len(set(zip(table["hour"].to_pylist(), table["weekday"].to_pylist(), strict=True))) == 1
            assert max(abs(gain) for gain in table["gain"].to_pylist()) < 1e-12
    assert n_wrong <= 3  # of 20, at 5 % each


def test_an_hour_that_is_good_for_all_is_found_and_weekdays_are_left_alone() -> None:
    sends, _ = make_sends(hour_effect=0.8, n_customers=300)
    model = fit_sends(sends, 300, np.random.default_rng(0))
    assert int(np.argmax(model.hours.shift)) == 20
    rate = sends.is_answered[sends.hour == 20].mean(), sends.is_answered[sends.hour != 20].mean()
    raw = np.log(rate[0] / (1 - rate[0])) - np.log(rate[1] / (1 - rate[1]))
    assert 0.4 * raw < model.hours.shift[20] - np.delete(model.hours.shift, 20).mean() < raw
    assert not model.weekdays.has_effect


@pytest.mark.parametrize("strength", [4.0, 40.0])
def test_the_strength_of_the_prior_is_recovered(strength: float) -> None:
    rng = np.random.default_rng(2)
    mean = rng.uniform(0.1, 0.5, 6_000)
    p = rng.beta(strength * mean, strength * (1 - mean))
    n = rng.integers(5, 60, 6_000)
    assert fit_strength(rng.binomial(n, p).astype(float), n.astype(float), mean) == pytest.approx(strength, rel=0.1)


def make_events(sends: Sends) -> pa.Table:
    rows = []
    for who, at, opened in zip(
        sends.customer.tolist(), sends.sent_at.tolist(), sends.is_answered.tolist(), strict=True
    ):
        when = START + timedelta(microseconds=at)
        rows.append((f"c{who}", when, "Sent", "mail", None))
        if opened:
            rows.append((f"c{who}", when + timedelta(minutes=7), "Opened", "mail", None))
    rows.sort(key=lambda row: row[1])
    return pa.table(dict(zip(("who", "at", "what", "via", "zone"), map(list, zip(*rows, strict=True)), strict=True)))


def find(sends: Sends, playbook: Playbook, **options: str) -> SendTimes:
    log = read_events(make_events(sends), playbook, now=None, clock=datetime(2030, 1, 1))
    return find_send_times(log.events, playbook, START + timedelta(days=400), np.random.default_rng(0), **options)


def test_habits_foresee_messages_held_out_and_lift_them() -> None:
    sends, favourite = make_sends(n_customers=250, n_each=48, habit=2.0)
    found = find(sends, parse_playbook(TEXT))
    check = found.checks[0]
    assert check.n == len(sends)
    assert check.n_held_out == check.n // 4
    assert check.log_loss["habit"] < check.log_loss["customer"] - 0.01 < check.log_loss["mean"]
    assert check.own is not None
    assert check.population is not None
    assert check.own.low > 1.3
    assert check.own.low > check.population.high
    assert check.doubt is None
    hours = dict(zip(found.table["customer_id"].to_pylist(), found.table["hour"].to_pylist(), strict=True))
    assert np.mean([hours[f"c{i}"] // PART_HOURS == favourite[i] for i in range(250)]) > 0.7
    assert found.table["n"].to_pylist() == [48] * 250


def test_without_an_effect_the_check_says_so_in_words() -> None:
    sends, _ = make_sends(n_customers=150, n_each=30, seed=1)
    check = find(sends, parse_playbook(TEXT)).checks[0]
    assert check.doubt is not None
    assert "send when it suits you" in check.doubt or "everybody gets the same time" in check.doubt


def test_few_messages_are_told_and_give_no_rows() -> None:
    sends, _ = make_sends(n_customers=10, n_each=10)
    found = find(sends, parse_playbook(TEXT))
    assert found.table.num_rows == 0
    assert "it takes 200" in str(found.checks[0].doubt)


def test_a_playbook_without_answers_is_told_what_to_write() -> None:
    sends, _ = make_sends(n_customers=10, n_each=10)
    with pytest.raises(EventsError, match="responsiveness"):
        find(sends, parse_playbook(TEXT.replace('features: {answered: "responsiveness(sent, opened, within=1d)"}', "")))


def test_hours_are_local_where_the_zone_is_known_and_follow_summer_time() -> None:
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC), datetime(2026, 7, 1, 12, tzinfo=UTC)
    rows = {
        "who": ["a", "a", "b", "b", "x", "x"],
        "at": [*noon, *noon, *noon],
        "what": ["Sent"] * 6,
        "via": ["mail"] * 6,
        "zone": ["America/New_York", None, None, None, "Mars/Base", None],
    }
    playbook = parse_playbook(TEXT)
    log = read_events(pa.table(rows), playbook, now=None, clock=datetime(2030, 1, 1))
    sends = list_sends(log.events, playbook, datetime(2030, 1, 1, tzinfo=UTC), "Europe/Paris")
    hours = zip(sends.customer.tolist(), sends.hour.tolist(), strict=True)
    told = {(sends.customers[who].as_py(), hour) for who, hour in hours}
    assert told == {("a", 7), ("a", 8), ("b", 13), ("b", 14), ("x", 13), ("x", 14)}
    assert dict(zip(sends.customers.to_pylist(), sends.zones.to_pylist(), strict=True))["x"] == "Europe/Paris"


def test_weekdays_begin_on_monday() -> None:
    assert read_clock(np.array([int(START.timestamp()) * 1_000_000]), pa.array(["UTC"]))[1].tolist() == [0]


def test_messages_whose_time_is_not_over_do_not_count() -> None:
    sends, _ = make_sends(n_customers=10, n_each=10)
    playbook = parse_playbook(TEXT)
    log = read_events(make_events(sends), playbook, now=None, clock=datetime(2030, 1, 1))
    now = log.events["event_at"][-1].as_py()
    found = list_sends(log.events, playbook, now)
    assert len(found) < len(sends)
    assert found.sent_at.max() <= (now - timedelta(days=1)).timestamp() * 1e6


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 12), st.sampled_from("so")), min_size=1, max_size=14),
    st.integers(1, 6),
)
def test_answers_are_those_of_the_primitive(told: list[tuple[int, int, str]], within: int) -> None:
    from sojourn.fold.primitives import Event, read_primitive

    told = sorted(set(told), key=lambda row: row[1])
    told = [row for i, row in enumerate(told) if row[:2] not in {other[:2] for other in told[:i]}]  # no ties
    customer = np.array([row[0] for row in told], np.int32)
    at = np.array([row[1] for row in told]) * 1_000_000
    sent = np.flatnonzero([row[2] == "s" for row in told])
    replies = np.flatnonzero([row[2] == "o" for row in told])
    found = match_answers(customer, at, sent, replies, within * 1_000_000)
    for who in sorted({row[0] for row in told}):
        own = [Event(row[1] * 1_000_000, row[2]) for row in told if row[0] == who]
        expected = read_primitive("responsiveness", ["s", "o"], {"within": float(within)}, own, 13_000_000)
        is_answered = found[customer[sent] == who]
        np.testing.assert_allclose(is_answered.mean() if len(is_answered) else np.nan, expected)
