"""Predictions: honest splits, calibration, reasons that add up, leaks named, and known figures met."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

from sojourn.errors import EventsError
from sojourn.predict import choose
from sojourn.predict.candidates import Candidate, list_candidates
from sojourn.predict.choose import compare_candidates, plain_folds, price_of_reading, time_folds
from sojourn.predict.encoding import Encoding, learn_encoding, read_label
from sojourn.predict.kinds.additive import fit_additive
from sojourn.predict.kinds.boosting import fit_boosting
from sojourn.predict.kinds.logistic import fit_logistic
from sojourn.predict.kinds.tree import fit_tree
from sojourn.predict.leaks import find_changes, find_future_knowledge, find_leaks
from sojourn.predict.outcome import describe_prediction, load_reader, predict_table
from sojourn.predict.scores import fit_platt, score_p, set_threshold, tabulate_gains, to_p

LOGISTIC = Candidate("logistic regression", 1, True, fit_logistic)
ADDITIVE = Candidate("additive boosting", 3, True, fit_additive)
BOOSTING = Candidate("gradient boosting", 6, False, fit_boosting)
N = 1500


@pytest.fixture(scope="module")
def people():
    """A number, a level, text that is a number with gaps, an id; and a label that adds up over the first three."""
    rng = np.random.default_rng(5)
    age, plan, paid = rng.normal(size=N), rng.integers(0, 3, N), rng.lognormal(0, 1, N)
    gone = rng.random(N) < 0.05
    log_odds = 1.5 * age - plan + np.where(gone, 1.0, np.log(paid)) - 0.5
    label = np.where(rng.random(N) < to_p(log_odds), "Yes", "No")
    return pa.table(
        {
            "id": [f"c{i}" for i in range(N)], "age": age, "plan": pa.array([f"p{k}" for k in plan]),
            "paid": [" " if g else f"{v:.4f}" for g, v in zip(gone, paid, strict=True)], "left": label,
        }
    )  # fmt: skip


# -- splits ------------------------------------------------------------------------------------------------


@settings(max_examples=40)
@given(st.integers(10, 60), st.integers(2, 5), st.integers(0, 99))
def test_time_folds_see_no_future_and_no_customer_twice(n_customers, n_instants, seed):
    group = np.tile(np.arange(n_customers), n_instants)
    at = np.repeat(np.arange(n_instants) * 10, n_customers)
    until = at + 20
    folds = time_folds(group, until, at, seed=seed)
    tested = np.concatenate([test for _, test in folds])
    assert sorted(tested) == np.flatnonzero(at == at.max()).tolist()
    for train, test in folds:
        assert not set(group[train]) & set(group[test])
        assert (until[train] <= at.max()).all()


# -- scores ------------------------------------------------------------------------------------------------


def test_scores_equal_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    p = rng.uniform(0.01, 0.99, 400)
    y = rng.random(400) < p
    found = score_p(p, y)
    assert found.log_loss == pytest.approx(log_loss(y, p))
    assert found.auc == pytest.approx(roc_auc_score(y, p))
    assert found.brier == pytest.approx(brier_score_loss(y, p))
    assert found.calibration_error < 0.06
    assert score_p(np.clip(p + 0.3, 0, 1), y).calibration_error > 0.15


def test_platt_finds_the_line_that_was_planted():
    rng = np.random.default_rng(1)
    score = rng.normal(size=20_000)
    y = rng.random(20_000) < to_p(0.6 * score - 1.0)
    slope, shift = fit_platt(score, y)
    assert slope == pytest.approx(0.6, abs=0.05)
    assert shift == pytest.approx(-1.0, abs=0.05)
    assert fit_platt(-score, y)[0] == 0.0


def test_gains_and_threshold_count_right():
    p = np.linspace(0.95, 0.05, 10)
    y = np.array([1, 1, 1, 0, 1, 0, 0, 0, 0, 0], bool)
    gains = tabulate_gains(p, y, n_groups=5).to_pylist()
    assert [row["gain"] for row in gains] == [0.5, 0.75, 1.0, 1.0, 1.0]
    assert gains[0]["lift"] == pytest.approx(2.5)
    found = set_threshold(p, y, cost=1, benefit=2)
    assert (found.share_acted, found.profit) == (0.5, pytest.approx((4 * 2 - 5) / 10))
    assert found.profit_best == pytest.approx(0.3)
    assert found.profit_all == pytest.approx((4 * 2 - 10) / 10)


# -- the choice --------------------------------------------------------------------------------------------


def test_the_most_readable_within_one_standard_error_is_deployed():
    """A world that adds up on the log-odds deploys the logistic model; one of pure interaction does not."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(1500, 3))
    plain = rng.random(1500) < to_p(2 * x[:, 0] - x[:, 1])
    both = rng.random(1500) < to_p(3 * np.sign(x[:, 0] * x[:, 1]))
    choices = [
        compare_candidates(x, y, plain_folds(y.astype(int), 0), candidates=(LOGISTIC, BOOSTING)) for y in (plain, both)
    ]
    assert choices[0].deployed == "logistic regression"
    assert choices[1].deployed == choices[1].best == "gradient boosting"
    price = price_of_reading(choices[1])
    assert price["auc_price"] > 0.2
    assert not price["is_within"]
    assert price_of_reading(choices[0])["is_within"]


def test_a_budget_that_is_used_up_is_said():
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(300, 2)), rng.random(300) < 0.5
    ticks = iter(range(0, 1000, 10))
    found = compare_candidates(
        x, y, plain_folds(y.astype(int), 0), candidates=(LOGISTIC, BOOSTING), budget_s=5, clock=lambda: next(ticks)
    )
    assert found["gradient boosting"].why_not == "not tried: the budget of 5 s was used up"
    assert found.deployed == "logistic regression"


def test_too_little_to_learn_from_is_refused():
    y = np.arange(200) < 12
    with pytest.raises(EventsError, match="at least 20 with and 20 without"):
        compare_candidates(np.zeros((200, 1)), y, plain_folds(y.astype(int), 0), candidates=(LOGISTIC,))


# -- a plain table, from words to reasons --------------------------------------------------------------------


def test_a_table_is_read_as_a_person_would(people):
    found = learn_encoding(people, ["id", "age", "plan", "paid"])
    assert found.names == ("age", "plan = p0", "plan = p1", "plan = p2", "paid")
    assert "'id' is left out" in found.left_out[0]
    x = found.encode(people)
    assert np.isnan(x[:, 4]).sum() == sum(v == " " for v in people["paid"].to_pylist())
    assert x[0, 4] == pytest.approx(float(people["paid"][0].as_py()))
    y, yes = read_label(people, "left")
    assert yes == "Yes"
    assert y.sum() == people["left"].to_pylist().count("Yes")
    with pytest.raises(EventsError, match="Did you mean 'left'"):
        read_label(people, "leftt")
    with pytest.raises(EventsError, match="a label has two values"):
        read_label(people, "plan")


@pytest.mark.parametrize("fit", [fit_logistic, fit_additive, fit_tree])
def test_reasons_add_up_to_the_log_odds_and_the_model_survives_json(people, fit, monkeypatch):
    candidate = Candidate("one", 1, True, fit)
    monkeypatch.setattr(choose, "list_candidates", lambda: (candidate,))
    found, rows = predict_table(people, "left")
    for row in rows.slice(0, 50).to_pylist():
        total = sum(reason["weight"] for reason in row["reasons"])
        assert to_p(np.array(total)) == pytest.approx(row["p"], abs=1e-9)
        assert row["reasons"][-1]["what"] == "all else"
    x = found.reader.encoding.encode(people)
    again = load_reader(json.loads(json.dumps(describe_prediction(found)))["model"])
    np.testing.assert_array_equal(again.log_odds(again.encoding.encode(people)), found.reader.log_odds(x))
    np.testing.assert_allclose(found.reader.split(x)[0].mean(axis=0), 0, atol=1e-9)
    assert set(found.weights["column"].to_pylist()) == {"age", "plan", "paid"}
    assert found.weights["weight"][0].as_py() > 0.3
    assert sorted(rows["rank"].to_pylist()) == list(range(1, N + 1))
    assert found.leaks == ()


# -- leaks -------------------------------------------------------------------------------------------------


def test_leaks_are_named_and_strong_honest_columns_are_not(people):
    y, _ = read_label(people, "left")
    rng = np.random.default_rng(0)
    honest = learn_encoding(people, ["age", "plan", "paid"])
    x = honest.encode(people)
    assert find_leaks(x, y, honest) == ()
    refund = np.where(y, rng.lognormal(size=N), np.nan)
    copied = np.where(rng.random(N) < 0.05, ~y, y).astype(float)
    more = Encoding((*honest.columns, "refund", "copied"), (*honest.levels, None, None))
    found = find_leaks(np.column_stack([x, refund, copied]), y, more)
    assert {leak.column: leak.kind for leak in found}["refund"] == "missing tells"


def test_a_column_that_explains_more_than_all_others_is_named(people):
    y, _ = read_label(people, "left")
    copied = np.where(np.random.default_rng(0).random(N) < 0.05, ~y, y).astype(float)
    honest = learn_encoding(people, ["age", "plan", "paid"])
    more = Encoding((*honest.columns, "copied"), (*honest.levels, None))
    (leak,) = find_leaks(np.column_stack([honest.encode(people), copied]), y, more)
    assert leak.column == "copied"
    assert "'copied' alone explains more" in leak.why


def test_a_column_that_knows_the_next_label_but_not_the_last_is_named():
    rng = np.random.default_rng(2)
    taste, n = rng.normal(size=400), 400
    group, at = np.tile(np.arange(n), 3), np.repeat(np.arange(3), n)
    happened = rng.random(3 * n) < to_p(np.tile(taste, 3))
    honest = np.tile(taste, 3) + rng.normal(0, 0.3, 3 * n)
    leaky = happened + rng.normal(0, 0.4, 3 * n)
    found = find_future_knowledge(np.column_stack([honest, leaky]), happened, ["honest", "leaky"], group, at)
    assert [leak.column for leak in found] == ["leaky"]


def test_rows_that_need_the_future_are_named():
    table = pa.table({"customer_id": ["a", "b"], "at": [1, 1], "n": [1.0, float("nan")]})
    assert find_changes(table, table, ["n"]) == ()
    assert find_changes(table, table.slice(0, 1), ["n"])[0].column == "customer_id"


# -- known figures -------------------------------------------------------------------------------------------


def read(folder, name):
    return pyarrow.csv.read_csv(folder / name)


@pytest.mark.data
def test_telco_reaches_the_known_area_with_a_glass_box(data_dir):
    table = read(data_dir, "telco/Telco-Customer-Churn.csv.gz")
    encoding = learn_encoding(table, [name for name in table.column_names if name != "Churn"])
    y, _ = read_label(table, "Churn")
    assert y.mean() == pytest.approx(0.2654, abs=1e-4)
    x = encoding.encode(table)
    found = compare_candidates(x, y, plain_folds(y.astype(int), 0), candidates=(LOGISTIC, BOOSTING))
    assert found["logistic regression"].scores.auc >= 0.845
    assert found.deployed == "logistic regression"
    assert found["logistic regression"].scores.calibration_error < 0.02
    assert find_leaks(x, y, encoding) == ()


@pytest.mark.data
def test_online_shoppers_leak_is_named(data_dir):
    table = read(data_dir, "online_shoppers/purchase_intention.csv.gz")
    encoding = learn_encoding(table, [name for name in table.column_names if name != "revenue"])
    y, _ = read_label(table, "revenue")
    x = encoding.encode(table)
    found = compare_candidates(x, y, plain_folds(y.astype(int), 0), candidates=(BOOSTING,))
    assert found["gradient boosting"].scores.auc >= 0.93
    (leak,) = find_leaks(x, y, encoding)
    assert leak.column == "page_values"
    assert leak.auc_rest == pytest.approx(0.776, abs=0.01)


def test_every_kind_of_model_is_a_candidate():
    names = {c.name for c in list_candidates()}
    assert names >= {
        "logistic regression", "decision tree", "random forest", "support vectors", "gradient boosting",
        "neural network", "additive boosting",
    }  # fmt: skip
