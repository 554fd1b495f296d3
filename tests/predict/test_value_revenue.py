"""Learned value and intervals of spending: planted truth, nothing of the future, and scores by hand."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from sojourn.cli.main import app
from sojourn.events.read import read_events
from sojourn.frames.instants import DAY_US
from sojourn.playbook.load import parse_playbook
from sojourn.predict.value import bgnbd as value_bgnbd
from sojourn.predict.value import nbd as value_nbd
from sojourn.predict.value import pareto_nbd as value_pareto
from sojourn.predict.value.buying import fit_buying, fit_spend
from sojourn.predict.value.customers import value_customers
from sojourn.predict.value.draws import draw_purchases, foresee_spending
from sojourn.predict.value.holdout import compare_models
from sojourn.predict.value.learners import LEARNERS, LINE, learn_ends
from sojourn.predict.value.purchases import count_purchases, find_purchases, trace_histories
from sojourn.predict.value.revenue import (
    choose_days,
    compare_revenue,
    find_gini,
    group_tenths,
    measure_coverage,
    score_revenue,
)
from sojourn.predict.value.rows import rename_purchases, trace_rows, watch_behaviour
from tests.predict.value_world import buy_by_bgnbd

START = 19_000
BOOK = """
playbook: tiny
source: {customer: who, time: at, event: what, duplicates: keep}
events:
  purchase: {name: Order, measures: {revenue: paid}}
  look: {name: Look}
features: {looks: "count(look, half_life=14d)", spent: "sum(revenue, half_life=60d)"}
states: {keen: {about: Keen.}, away: {about: Away.}}
"""


# -- draws of what one customer may spend ---------------------------------------------------------------------


@pytest.mark.parametrize("module", [value_nbd, value_bgnbd, value_pareto])
@pytest.mark.parametrize("row", [(0.0, 0.0, 20.0), (4.0, 25.0, 30.0), (4.0, 8.0, 30.0)])
def test_the_mean_of_the_draws_is_the_expectation(module, row):
    parameters = np.array([0.8, 6.0, 0.9, 3.0])[: len(module.MODEL.parameters)]
    rows = np.tile(np.array(row)[:, None], 40_000)
    drawn = draw_purchases(module.MODEL.name, parameters, rows, 140.0, np.random.default_rng(1))
    expected = module.expect_purchases(parameters, rows[:, :1], 20.0)[0]
    assert drawn.mean() == pytest.approx(expected, abs=4 * drawn.std() / 200)


def test_intervals_of_spending_hold_nine_in_ten_customers_of_a_planted_world():
    """The atom at zero makes an interval that begins there hold more; above it must be one in twenty."""
    purchases = buy_by_bgnbd(6_000, (1.0, 5.0, 0.6, 3.0), weeks=104, rng=np.random.default_rng(3))
    known = trace_histories(purchases, 390)
    fit, spend = fit_buying(known, "BG/NBD"), fit_spend(known)
    low, high = foresee_spending(known, fit, spend, 300.0, np.random.default_rng(0))
    found = measure_coverage("BG/NBD", low, high, count_purchases(purchases, known.customer, 390, 690)[1])
    assert found.above_p == pytest.approx(0.05, abs=0.012)
    assert found.below_p <= 0.05 + 0.012
    assert found.inside_p >= 0.9 - 0.015


def test_conformal_ends_hold_customers_of_the_same_kind_even_where_trees_do_not_fit():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4_000, 3))
    value = np.exp(x[:, 0] * x[:, 1]) * rng.gamma(0.5, 1.0, 4_000)  # an interaction, which these trees cannot learn
    is_kept, is_new = np.arange(4_000) % 4 == 0, np.arange(4_000) >= 3_000
    ends = learn_ends(x[~is_new], value[~is_new], is_kept[~is_new], 0.05, 0)
    found = measure_coverage("", *ends(x[is_new]), value[is_new])
    assert found.above_p == pytest.approx(0.05, abs=0.03)
    assert found.below_p <= 0.08


# -- a world in which looking around foretells buying, and buying tells little -------------------------------


def make_world(n=500, days=240, seed=4):
    """Each week of a customer is keen or not, which looks foretell; those who are keen buy more the week after."""
    rng = np.random.default_rng(seed)
    rows = []
    is_keen = rng.random(n) < 0.3
    for week in range(days // 7):
        is_keen = np.where(rng.random(n) < 0.04, ~is_keen, is_keen)  # lasts for half a year
        for event, rate in (("Look", np.where(is_keen, 2.0, 0.15)), ("Order", np.where(is_keen, 0.30, 0.03))):
            count = rng.poisson(rate)
            who = np.repeat(np.arange(n), count)
            at = (START + 7 * week) * DAY_US + rng.integers(0, 7 * DAY_US, len(who))
            paid = rng.gamma(3.0, 10.0, len(who)) if event == "Order" else np.full(len(who), np.nan)
            rows += [(f"c{w}", t, event, p) for w, t, p in zip(who, at, paid, strict=True)]
    who, at, what, paid = zip(*rows, strict=True)
    table = pa.table(
        {
            "who": pa.array(who),
            "at": pa.array(at).cast(pa.timestamp("us")),
            "what": pa.array(what),
            "paid": pa.array(paid, from_pandas=True),
        }
    )
    book = parse_playbook(BOOK, "tiny.yaml")
    return read_events(table, book, now=None, clock=datetime(2030, 1, 1, tzinfo=UTC)).events, book


@pytest.fixture(scope="module")
def world():
    events, book = make_world()
    return events, book, find_purchases(events, ["purchase"], "revenue")


@pytest.fixture(scope="module")
def compared(world):
    events, book, purchases = world
    holdout = compare_models(purchases, START + 170, 60)
    return compare_revenue(watch_behaviour(events, book), purchases, holdout)


def test_what_behaviour_foretells_is_learned_and_chosen(compared):
    scores = {score.name: score for score in compared.scores}
    plain = min(scores[name].deviance for name in ("NBD", "BG/NBD", "Pareto/NBD") if name in compared.expected)
    assert compared.is_learned
    assert scores[compared.chosen].deviance < plain
    assert scores[compared.chosen].spearman > max(scores[n].spearman for n in ("last period", "NBD", "BG/NBD")) + 0.02
    assert 0.8 < scores[compared.chosen].bias < 1.25


def test_coverage_is_of_all_customers_compared(compared):
    for one in compared.coverage:
        assert one.inside_p + one.below_p + one.above_p == pytest.approx(1.0)
        assert one.n_customers == len(compared.actual)
    assert {one.kind for one in compared.coverage} >= {"learned"}


@pytest.mark.slow
def test_later_events_change_no_expectation(world, compared):
    events, book, _ = world
    end = (START + 171) * DAY_US
    past = events.filter(pa.array(events["event_at"].cast(pa.int64()).to_numpy() < end))
    purchases = find_purchases(past, ["purchase"], "revenue")
    holdout = compare_models(purchases, START + 170, 60)
    without = compare_revenue(watch_behaviour(past, book), purchases, holdout)
    assert without.customer_id.equals(compared.customer_id)
    for name, expected in compared.expected.items():
        assert np.array_equal(expected, without.expected[name]), name


@pytest.mark.slow
def test_the_values_of_all_customers_use_the_choice(world):
    events, book, purchases = world
    day = START + 230
    behaviour = watch_behaviour(events, book)
    learned = value_customers(purchases, day, horizon_days=120, holdout_days=60, n_bootstrap=5, behaviour=behaviour)
    plain = value_customers(purchases, day, horizon_days=120, holdout_days=60, n_bootstrap=5)
    assert learned.learned in LEARNERS
    assert plain.learned is None
    assert learned.customers["customer_id"].equals(plain.customers["customer_id"])
    assert np.isfinite(learned.customers["value"].to_numpy()).all()
    assert not learned.customers["value"].equals(plain.customers["value"])
    high, low = (learned.customers[name].to_numpy() for name in ("spend_high", "spend_low"))
    assert (high >= low).all()


def test_rows_are_what_a_loop_finds(world):
    events, book, purchases = world
    behaviour = watch_behaviour(events, book)
    some = np.array([3, 11, 40, 41])
    people = behaviour.take(some)
    bought = rename_purchases(purchases, people.names)
    rows = trace_rows(people, bought, [START + 100], [30], is_buyers_only=False)
    by_hand = {}
    for row in events.select(["customer_id", "event_at", "m_revenue"]).to_pylist():
        day = row["event_at"].date().toordinal() - 719_163
        if START + 100 < day <= START + 130:
            by_hand[row["customer_id"]] = by_hand.get(row["customer_id"], 0.0) + np.nan_to_num(row["m_revenue"] or 0.0)
    names = people.names.to_pylist()
    assert len(rows) >= 3
    for k, who in enumerate(rows.customer):
        assert rows.value[k] == pytest.approx(by_hand.get(names[who], 0.0))
    whole = trace_rows(
        behaviour, rename_purchases(purchases, behaviour.names), [START + 100], [30], is_buyers_only=False
    )
    of_some = [int(np.flatnonzero(whole.customer == some[who])[0]) for who in rows.customer]
    assert np.array_equal(whole.inputs[of_some], rows.inputs, equal_nan=True)


@pytest.mark.slow
def test_the_command_compares_and_tells_growth(tmp_path, world):
    events, _, _ = world
    names = {"customer_id": "who", "event_at": "at", "m_revenue": "paid"}
    raw = pa.table({new: events[old] for old, new in names.items()} | {"what": pc.if_else(
        pc.equal(events["event_class"].cast(pa.string()), "look"), "Look", "Order")})  # fmt: skip
    pq.write_table(raw, tmp_path / "events.parquet")
    (tmp_path / "tiny.yaml").write_text(BOOK)
    who = sorted(set(events["customer_id"].to_pylist()))
    end = datetime.fromtimestamp((START + 231) * 86_400, UTC)
    moved = [end - timedelta(days=3 + k % 50) for k in range(len(who))]
    pq.write_table(
        pa.table({"customer_id": who, "at": moved, "from_state": ["away"] * len(who), "to_state": ["keen"] * len(who),
                  "dwell_s": [150 * 86_400.0] * len(who)}), tmp_path / "transitions.parquet",
    )  # fmt: skip
    pq.write_table(
        pa.table({"customer_id": who, "state": ["keen"] * len(who), "since_at": moved}), tmp_path / "customers.parquet"
    )
    command = ["value", str(tmp_path / "events.parquet"), "-p", str(tmp_path / "tiny.yaml"), "--draws", "0"]
    shown = CliRunner().invoke(
        app, [*command, "--days", "60", "--moves", str(tmp_path), "--json"], catch_exceptions=False
    )
    told = json.loads(shown.stdout)
    assert told["learned"] in LEARNERS
    assert {score["name"] for score in told["revenue"]["scores"]} >= {"own past", "NBD", *LEARNERS}
    assert [(r["from_state"], r["to_state"]) for r in told["growth"]] == [("away", "keen")]
    assert abs(told["growth"][0]["growth"]) < 5  # these moves are drawn by lot: nothing grows
    plain = CliRunner().invoke(app, [*command, "--days", "60", "--plain"], catch_exceptions=False)
    assert plain.exit_code == 0
    assert "Foresight of purchases" in plain.stdout
    assert "gini" not in plain.stdout


# -- scores --------------------------------------------------------------------------------------------------


@settings(max_examples=40)
@given(st.lists(st.tuples(st.floats(0, 50), st.floats(0, 50)), min_size=3, max_size=60))
def test_gini_is_between_the_reverse_and_the_perfect_order(pairs):
    expected, actual = (np.array(column) for column in zip(*pairs, strict=True))
    found = find_gini(expected, actual)
    if actual.any() and np.ptp(actual) > 0:
        assert -1 - 1e-9 <= found <= 1 + 1e-9
        assert find_gini(actual, actual) == pytest.approx(1.0)
        assert find_gini(-actual, actual) == pytest.approx(-1.0)


def test_tenths_hold_every_customer_once():
    rng = np.random.default_rng(0)
    expected, actual = rng.gamma(1, 1, 205), rng.gamma(1, 1, 205)
    sizes = [len(part) for part in np.array_split(np.arange(205), 10)]
    tenths = group_tenths(expected, actual)
    assert sum(n * spent for n, (_, spent) in zip(sizes, tenths, strict=True)) == pytest.approx(actual.sum())
    assert [e for e, _ in tenths] == sorted(e for e, _ in tenths)


def test_the_truth_has_the_least_deviance_and_zero_has_the_least_absolute_error():
    """Why the choice is not by absolute error: where most spend nothing, expecting nothing wins it."""
    rng = np.random.default_rng(0)
    mean = rng.gamma(0.3, 20.0, 20_000)
    actual = np.where(rng.random(20_000) < 0.2, rng.gamma(2.0, np.maximum(mean, 1e-9) / 0.4), 0.0)
    expected = {"mean of all": np.full(20_000, mean.mean()), "last period": np.zeros(20_000), "NBD": mean}
    scores = {score.name: score for score in score_revenue(expected, actual, {})}
    assert scores["NBD"].deviance == min(scores[name].deviance for name in expected)
    assert scores["last period"].mae == min(scores[name].mae for name in expected)
    assert scores["NBD"].bias == pytest.approx(1.0, abs=0.1)


@given(st.integers(0, 2_000), st.integers(1, 400))
@settings(max_examples=60)
def test_no_day_to_learn_at_looks_beyond_the_end(length, days):
    for day, ahead in choose_days(50, 50 + length, days):
        assert 50 <= day < day + ahead <= 50 + length
        assert ahead <= days


@pytest.mark.parametrize("name", list(LEARNERS))
def test_learners_find_a_planted_factor(name):
    rng = np.random.default_rng(2)
    x = np.column_stack([rng.normal(size=5_000), np.full(5_000, np.nan)])
    expected = rng.gamma(2.0, 10.0, 5_000)
    true = expected * np.exp(0.8 * x[:, 0])
    bought = rng.poisson(true / 20)
    value = rng.gamma(np.maximum(bought, 1e-9), 20.0) * (bought > 0)
    inputs = np.column_stack([x, np.log(expected)])
    found = LEARNERS[name](inputs, expected, value, bought.astype(float), 0)(inputs, expected)
    assert np.corrcoef(np.log(found), np.log(true))[0, 1] > (0.97 if name == LINE else 0.95)
    assert found.sum() == pytest.approx(true.sum(), rel=0.15)
