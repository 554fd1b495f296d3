"""Learning tables know nothing of what comes after the instant, and their labels nothing of what came before."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sojourn.errors import EventsError, PlaybookError
from sojourn.events.read import read_events
from sojourn.playbook.load import load_playbook
from sojourn.predict.learning import HABITS, make_learning_table, read_features_at
from sojourn.simulation.customers import START, simulate
from sojourn.states.model import draft_state_model

DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def book():
    return load_playbook("shop")


@pytest.fixture(scope="module")
def events(book):
    return read_events(simulate(60, days=120, seed=3).events, book, now=START + 121 * DAY).events


def upto(events, at):
    return events.filter(pc.less_equal(events["event_at"], pa.scalar(at, events["event_at"].type)))


def same(a, b):
    assert a.column_names == b.column_names
    for name in a.column_names:
        left, right = a[name].to_pylist(), b[name].to_pylist()
        if left and isinstance(left[0], float):
            np.testing.assert_array_equal(np.array(left), np.array(right), name)
        else:
            assert left == right, name


@settings(max_examples=8)
@given(days=st.lists(st.floats(1, 110), min_size=1, max_size=3, unique=True))
def test_later_events_never_change_what_was_known(book, events, days):
    instants = [START + d * DAY for d in days]
    whole = read_features_at(events, book, instants)
    for at in instants:
        alone = read_features_at(upto(events, at), book, [at])
        same(whole.filter(pc.equal(whole["at"], pa.scalar(at, whole["at"].type))), alone)


def test_habits_are_those_of_a_plain_count(book, events):
    at = START + 70 * DAY
    found = {row["customer_id"]: row for row in read_features_at(events, book, [at]).to_pylist()}
    own = [r for r in upto(events, at).to_pylist() if r["event_class"] not in book.touches]
    assert set(found) == {r["customer_id"] for r in own}
    for who, row in found.items():
        when = [r["event_at"] for r in own if r["customer_id"] == who]
        counts = [sum(w > at - d * DAY for w in when) for d in (7, 28, 90)]
        plain = [(at - max(when)) / DAY, (at - min(when)) / DAY, len(when), *counts]
        assert [row[name] for name in HABITS] == pytest.approx(plain)


@pytest.mark.parametrize("name", ["conversion", "churn", "revenue"])
def test_labels_count_strictly_after_the_gap_and_within_the_horizon(book, events, name):
    instants, gap, horizon = [START + 40 * DAY, START + 60 * DAY], 3 * DAY, 20 * DAY
    made = make_learning_table(
        events, book, name, instants, gap_s=gap.total_seconds(), horizon_s=horizon.total_seconds()
    )
    rows = events.to_pylist()
    asked = 0
    for at in instants:
        for row in made.table.filter(pc.equal(made.table["at"], pa.scalar(at, made.table["at"].type))).to_pylist():
            assert (row["from_at"], row["until_at"]) == (at + gap, at + gap + horizon)
            later = [
                r for r in rows
                if r["customer_id"] == row["customer_id"] and at + gap < r["event_at"] <= at + gap + horizon
            ]  # fmt: skip
            plain = {
                "conversion": any(r["event_class"] == "purchase" for r in later),
                "churn": not any(r["event_class"] not in book.touches for r in later),
                "revenue": pytest.approx(np.nansum([r["m_revenue"] for r in later])),
            }[name]
            assert row["label"] == plain
            assert name != "churn" or row["recency_days"] < 20
            asked += 1
    assert asked > 40
    assert made.inputs[-6:] == HABITS


def test_an_event_at_the_edge_is_known_or_to_come_but_never_both(book, events):
    own = np.flatnonzero(~np.isin(events["event_class"].to_numpy(zero_copy_only=False), list(book.touches)))
    row = int(own[len(own) // 2])
    at, who = events["event_at"][row].as_py(), events["customer_id"][row].as_py()
    made = make_learning_table(events, book, "conversion", [at - timedelta(microseconds=1), at], horizon_s=86_400.0)
    before, after = (r for r in made.table.to_pylist() if r["customer_id"] == who)
    assert after["n_events"] == before["n_events"] + 1
    assert after["recency_days"] == 0


def test_posteriors_know_nothing_of_later_events(book, events):
    at = START + 50 * DAY
    model = draft_state_model(book)
    whole = make_learning_table(events, book, "conversion", [at], horizon_s=864_000.0, states=model)
    alone = make_learning_table(
        upto(events, at), book, "conversion", [at], horizon_s=864_000.0, states=model, now=at + 10 * DAY
    )
    posterior = whole.input_matrix([f"p_{name}" for name in book.state_names])
    np.testing.assert_allclose(posterior.sum(axis=1), 1.0)
    np.testing.assert_array_equal(posterior, alone.input_matrix([f"p_{name}" for name in book.state_names]))


def test_what_cannot_be_learned_yet_is_refused(book, events):
    with pytest.raises(EventsError, match="is not over"):
        make_learning_table(events, book, "conversion", [START + 119 * DAY])
    with pytest.raises(EventsError, match="at least one instant"):
        make_learning_table(events, book, "conversion", [])
    with pytest.raises(PlaybookError, match="Did you mean 'conversion'"):
        make_learning_table(events, book, "conversoin", [datetime(2025, 2, 1, tzinfo=UTC)])
