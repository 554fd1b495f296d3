"""Predictions from events: what states add where it is planted, early warning, next state and time, the command."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from sojourn.cli.main import app
from sojourn.errors import EventsError
from sojourn.events.read import read_events
from sojourn.pages.words.predictions import say_added, say_warning
from sojourn.playbook.load import load_playbook
from sojourn.predict.early_warning import warn_early
from sojourn.predict.from_events import (
    INPUTS,
    Cuts,
    choose_instants,
    input_table,
    label_of,
    predict_outcomes,
    score_rfm,
)
from sojourn.predict.learning import find_outcome, make_learning_table
from sojourn.predict.next import predict_next_state
from sojourn.predict.next_purchase import predict_next_time
from sojourn.predict.outcome import load_reader
from sojourn.predict.scores import to_p
from sojourn.simulation.customers import START, simulate
from sojourn.states.model import draft_state_model

DAY = timedelta(days=1)
CUTS = Cuts((START + 60 * DAY, START + 80 * DAY), START + 100 * DAY, START + 120 * DAY, 0.0, 20 * 86_400.0)


@pytest.fixture(scope="module")
def world():
    return simulate(260, days=120, seed=8)


@pytest.fixture(scope="module")
def book():
    return load_playbook("shop")


@pytest.fixture(scope="module")
def events(world, book):
    return read_events(world.events, book, now=START + 121 * DAY).events


@pytest.fixture(scope="module")
def states(book):
    return draft_state_model(book)


@pytest.fixture(scope="module")
def churn(events, book, states):
    (found,) = predict_outcomes(
        events, book, outcomes=["churn"], horizon_s=20 * 86_400.0, states=states, budget_s=0.0, now=START + 120 * DAY
    )
    return found


# -- instants ----------------------------------------------------------------------------------------------


def test_instants_leave_room_for_every_label():
    cuts = choose_instants(START, START + 100 * DAY, 20 * 86_400.0, gap_s=86_400.0)
    assert cuts.test == START + 79 * DAY
    assert max(cuts.train) == START + 58 * DAY
    assert min(cuts.train) >= START + 10 * DAY
    assert choose_instants(START, START + 30 * DAY, 20 * 86_400.0) is None


# -- outcomes ----------------------------------------------------------------------------------------------


def test_churn_is_foreseen_on_later_time_and_the_table_says_what_states_add(churn):
    assert churn.why_not is None
    assert churn.added["inputs"].to_pylist() == list(INPUTS)
    rows = {row["inputs"]: row for row in churn.added.to_pylist()}
    assert rows["features and states"]["auc"] > 0.6
    assert rows["features and states"]["log_loss_gain"] == 0
    assert rows["RFM rules"]["log_loss_gain"] > 0
    assert say_added(churn.added).count("features alone") == 1


def test_predictions_have_reasons_and_the_saved_model_scores_the_same(churn, events, book, states):
    from sojourn.predict.outcome import describe_prediction

    assert (churn.rows["outcome"].to_pylist()[0], churn.rows.column_names[:2]) == ("churn", ["customer_id", "outcome"])
    reader = load_reader(json.loads(json.dumps(describe_prediction(churn.prediction)["model"])))
    known = input_table(events, book, START + 120 * DAY, states)
    known = known.filter(pc.less(known["recency_days"], 20.0))
    np.testing.assert_allclose(
        to_p(reader.log_odds(reader.encoding.encode(known))), churn.rows["p"].to_numpy(), rtol=1e-12
    )
    total = [sum(r["weight"] for r in row) for row in churn.rows["reasons"].to_pylist()]
    np.testing.assert_allclose(to_p(np.array(total)), churn.rows["p"].to_numpy(), rtol=1e-9)


def test_what_cannot_be_foreseen_says_why(events, book, states):
    (found,) = predict_outcomes(events, book, outcomes=["advocacy"], states=states)
    assert "too short to learn 60 days ahead" in found.why_not


def test_readiness_for_more_compares_with_as_long_a_time_before(events, book):
    at, horizon = START + 60 * DAY, 25 * DAY
    outcome = find_outcome(book, "revenue")
    made = make_learning_table(events, book, outcome, [at], horizon_s=horizon.total_seconds())
    label = label_of(made, events, outcome)
    rows = events.to_pylist()
    for k, who in enumerate(made.table["customer_id"].to_pylist()):
        theirs = [r for r in rows if r["customer_id"] == who]
        before = np.nansum([r["m_revenue"] for r in theirs if at - horizon < r["event_at"] <= at])
        after = np.nansum([r["m_revenue"] for r in theirs if at < r["event_at"] <= at + horizon])
        assert label[k] == (after > before)
    assert 0.02 < label.mean() < 0.9


def test_rfm_rules_rank_as_the_planted_rule_does():
    rng = np.random.default_rng(0)
    x = np.column_stack([rng.exponential(30, 3000), rng.poisson(5, 3000), rng.lognormal(3, 1, 3000)])
    log_odds = -x[:, 0] / 20 + x[:, 1] / 3
    y = rng.random(3000) < to_p(log_odds)
    said = score_rfm(x[:2000], y[:2000], x[2000:])
    assert np.corrcoef(said, log_odds[2000:])[0, 1] > 0.8


# -- what comes next -----------------------------------------------------------------------------------------


def test_the_next_state_beats_how_states_follow_each_other(events, book, states):
    cuts = replace(CUTS, horizon_s=7 * 86_400.0)
    found = predict_next_state(events, book, cuts, states)
    loss = dict(zip(found.compared["inputs"].to_pylist(), found.compared["log_loss"].to_pylist(), strict=True))
    assert loss["states alone"] < loss["moves of the likeliest state"] < np.log(5)
    p = np.column_stack([found.rows[f"p_{name}"].to_numpy() for name in book.state_names])
    np.testing.assert_allclose(p.sum(axis=1), 1.0)
    assert (p.argmax(axis=1) == [book.state_names.index(s) for s in found.rows["next_state"].to_pylist()]).all()


def test_the_true_next_state_can_be_the_label(world, events, book, states):
    cuts = replace(CUTS, horizon_s=7 * 86_400.0)
    truth = world.truth.rename_columns(["at" if n == "from_at" else n for n in world.truth.column_names])
    found = predict_next_state(events, book, cuts, states, truth=truth)
    assert found.compared["log_loss"][0].as_py() < np.log(5)


def raw_events(book, world, rows, name, days):
    """Events of one name from (customer, instant), every other column of the simulation empty."""
    given = {
        "user_id": [who for who, _ in rows], "timestamp": [at for _, at in rows], "event": [name] * len(rows),
        "message_id": [str(i) for i in range(len(rows))], "revenue": [10.0] * len(rows),
    }  # fmt: skip
    schema = world.events.schema
    columns = [pa.array(given[f.name]).cast(f.type) if f.name in given else pa.nulls(len(rows), f.type) for f in schema]
    return read_events(pa.table(columns, schema=schema), book, now=START + days * DAY).events


def steady_events(book, world, n=300):
    """Customers who buy every 4 days, or every 40, each at an own phase; nothing else happens."""
    rng = np.random.default_rng(0)
    rows = []
    for k in range(n):
        gap = 4 if k % 2 else 40
        when = rng.uniform(0, gap)
        while when < 120:
            rows.append((f"c{k}", START + when * DAY))
            when += gap * rng.uniform(0.9, 1.1)
    return raw_events(book, world, sorted(rows, key=lambda row: row[1]), "Order Completed", 121)


def test_times_of_steady_buyers_are_foreseen(book, world, states):
    events = steady_events(book, world)
    found = predict_next_time(events, book, "purchase", replace(CUTS, horizon_s=12 * 86_400.0), states)
    assert found.log_loss < found.log_loss_base - 10 * found.log_loss_gain_se
    rows = {row["customer_id"]: row for row in found.rows.to_pylist()}
    fast = [rows[f"c{k}"]["days_50"] for k in range(1, 300, 2)]
    slow = [rows[f"c{k}"]["p"] for k in range(0, 300, 2) if f"c{k}" in rows]
    assert 1.0 < np.median([d for d in fast if d is not None]) < 3.5  # half of a gap of 4 days is left, on average
    assert np.mean(slow) == pytest.approx(12 / 40, abs=0.12)


# -- early warning -------------------------------------------------------------------------------------------


def fading_events(book, world, n=400):
    """Half of the customers come daily for all 200 days; the others slow down for 20 days before they stop."""
    rng = np.random.default_rng(1)
    rows = []
    for k in range(n):
        stops = rng.uniform(30, 170) if k % 2 else 1e9
        when = rng.uniform(0, 2)
        while when < min(stops, 200):
            rows.append((f"c{k}", START + when * DAY))
            left = stops - when
            when += rng.exponential(1.0 if left > 20 else 4.0)
    return raw_events(book, world, sorted(rows, key=lambda row: row[1]), "Product Viewed", 201)


def test_a_planted_decline_is_warned_of_before_the_silence_rule(book, world):
    events = fading_events(book, world)
    train = [START + d * DAY for d in (40, 50, 60, 70)]
    found = warn_early(events, book, "churn", train, START + 170 * DAY, silence_s=28 * 86_400.0)
    assert found.n_lost > 20
    assert found.warned > 0.7
    assert found.lead_days > 15  # of 28 days of silence, and the slow days before
    assert found.false_alarms <= 0.15
    assert found.lead_days >= found.rule_lead_days - 1
    frequency = found.signals.to_pylist()
    assert any(row["column"] in {"n_events_7d", "n_events_28d"} and row["difference"] < -0.3 for row in frequency[:12])
    assert "days before the silence rule" in say_warning(found)


def test_too_few_lost_are_refused(events, book):
    with pytest.raises(EventsError, match="fewer than twenty"):
        warn_early(events.slice(0, 3000), book, "churn", [START + 2 * DAY], START + 3 * DAY, silence_s=86_400.0 * 3)


# -- the command -----------------------------------------------------------------------------------------------


def test_the_command_predicts_a_plain_table(tmp_path):
    rng = np.random.default_rng(0)
    visits = rng.normal(size=400)
    table = pa.table({"visits": visits, "left": np.where(rng.random(400) < to_p(2 * visits), "yes", "no")})
    pq.write_table(table, tmp_path / "t.parquet")
    asked = ["predict", "--table", str(tmp_path / "t.parquet"), "--label", "left", "--budget", "0"]
    done = CliRunner().invoke(app, [*asked, "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert "logistic regression" in done.output
    assert pq.read_table(tmp_path / "out" / "predictions.parquet").num_rows == 400
    card = json.loads((tmp_path / "out" / "prediction_models.json").read_text())["outcomes"][0]
    assert card["deployed"] == "logistic regression"
    assert card["model"]["columns"] == ["visits"]
    page = (tmp_path / "out" / "predictions.html").read_text()
    assert "The likeliest tenth holds" in page
    assert "default-src &#39;none&#39;" in page
    again = CliRunner().invoke(app, [*asked, "--json"])
    told = json.loads(again.output)["outcomes"][0]
    assert "model" not in told
    assert told["base_rate"] == card["base_rate"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "either EVENTS with --playbook, or --table"),
        (["e.parquet"], "events need a playbook"),
        (["--table", "none.csv"], "name the column"),
        (["--table", "none.csv", "--label", "x"], "there is no such file"),
        (["e.parquet", "-p", "shop", "--outcome", "chrun"], "Did you mean 'churn'"),
    ],
)
def test_the_command_says_what_is_wrong(arguments, said):
    done = CliRunner().invoke(app, ["predict", *arguments])
    assert done.exit_code == 2
    assert said in done.output


@pytest.mark.slow
def test_the_command_predicts_from_events_and_repeats_itself(tmp_path):
    pq.write_table(simulate(180, days=120, seed=8).events, tmp_path / "e.parquet")
    asked = ["predict", str(tmp_path / "e.parquet"), "-p", "shop", "--horizon", "14", "--budget", "0"]
    for name in ("one", "two"):
        done = CliRunner().invoke(app, [*asked, "--out", str(tmp_path / name)])
        assert done.exit_code == 0, done.output
    for file in ("predictions.parquet", "next_state.parquet", "next_time.parquet"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    card = json.loads((tmp_path / "one" / "prediction_models.json").read_text())
    assert {c["outcome"] for c in card["outcomes"]} == {"conversion", "advocacy", "churn", "revenue"}
    assert datetime.fromisoformat(card["outcomes"][0]["window"]["test_at"]).tzinfo in {UTC, UTC}
    assert "compared" in card["ahead"]["next_state"]
