"""What states add to prediction: nothing where there is nothing, something where it was planted."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from sojourn.pages.words.predictions import say_foresight
from sojourn.predict.foresight import Foresight, measure_foresight
from sojourn.predict.scores import area_under_curve
from sojourn.states.hmm import model as hm
from sojourn.states.rows import arrange_rows, restart_rows

DAY_S = 86_400
DAY = DAY_S * 1_000_000


def make_people(rng, *, n_customers: int, follows_state: bool):
    """Customers who are keen or idle all their life; keen ones browse ('x'), idle ones skim ('y'); some buy."""
    theta = np.array([[0.7, 0.2, 0.05, 0.05], [0.2, 0.7, 0.05, 0.05]])
    model = hm.Model(
        states=("keen", "idle"),
        touches=(),
        initial=np.array([0.5, 0.5]),
        event_transitions=np.array([[[0.99, 0.01], [0.01, 0.99]]]),
        boundaries_s=np.array([DAY_S * 30.0]),
        hazards=np.full((2, 1), 0.9),
        silent_transitions=np.eye(2)[None],
        channels=(hm.Channel("event_class", ("x", "y", "buy", "other"), theta),),
    )  # fmt: skip
    keen = rng.random(n_customers) < 0.5
    n_rows = n_customers * 30
    customer = rng.integers(0, n_customers, n_rows).astype(np.int32)
    at = np.sort(rng.integers(0, 100 * DAY, n_rows)) + 10**15
    event_class = np.where(rng.random(n_rows) < 0.75, ~keen[customer], keen[customer]).astype(np.int16)
    buys_p = np.where(keen, 0.06, 0.01) if follows_state else np.full(n_customers, 0.03)
    event_class[rng.random(n_rows) < buys_p[customer]] = 2
    book = SimpleNamespace(
        class_names=("x", "y", "buy", "other"),
        touches=(),
        outcomes=(
            SimpleNamespace(name="conversion", event="buy", measure=None, silence_s=None, within_s=20.0 * DAY_S),
            SimpleNamespace(name="churn", event=None, measure=None, silence_s=70.0 * DAY_S, within_s=None),
            SimpleNamespace(name="money", event=None, measure="m", silence_s=None, within_s=20.0 * DAY_S),
        ),
    )
    rows = arrange_rows(
        book,
        customer,
        at,
        event_class,
        np.empty((n_rows, 0), np.uint8),
        None,
        (DAY_S * 30.0,),
        n_customers,
        int(at[-1]),
    )
    return book, model, rows, event_class[rows.order]


def foresee(seed: int, follows_state: bool) -> tuple[Foresight, ...]:
    rng = np.random.default_rng(seed)
    book, model, rows, classes = make_people(rng, n_customers=1500, follows_state=follows_state)
    return measure_foresight(book, model, rows, classes, lambda _: np.zeros((rows.n_customers, 1)), rng=rng)


def test_a_planted_gain_is_found():
    conversion, churn = foresee(1, follows_state=True)
    assert conversion.low > 0.01
    assert conversion.auc_states > 0.6
    assert "the states add 0." in say_foresight([conversion])[0]
    assert "history is shorter" in churn.why_not
    assert "not measured" in say_foresight([churn])[0]


def test_no_gain_is_called_no_gain():
    """The interval claims a gain at most as often as it may: one in forty."""
    found = [foresee(100 + seed, follows_state=False)[0] for seed in range(8)]
    assert sum(f.low > 0 for f in found) <= 1
    calm = next(f for f in found if f.low <= 0 <= f.high)
    assert "nothing that can be told from chance" in say_foresight([calm])[0]


def test_area_equals_scikit_learn_with_ties():
    rng = np.random.default_rng(0)
    score, happened = rng.integers(0, 9, 500).astype(float), rng.random(500) < 0.3
    assert area_under_curve(score, happened) == pytest.approx(roc_auc_score(happened, score), abs=1e-12)


def test_restarted_rows_equal_rows_arranged_from_less():
    """Taking later rows away afterwards is the same as never having had them."""
    rng = np.random.default_rng(4)
    book, _, rows, _ = make_people(rng, n_customers=40, follows_state=True)
    cut = int(np.quantile(rows.at, 0.4))
    past = restart_rows(rows, cut)
    order = np.sort(past.order)
    customer = np.repeat(np.arange(40), np.diff(rows.starts)).astype(np.int32)
    by_event = np.empty(len(rows.at), np.int32)
    by_event[rows.order] = customer
    at = np.empty(len(rows.at), np.int64)
    at[rows.order] = rows.at
    symbol = np.empty(len(rows.at), np.int16)
    symbol[rows.order] = rows.data.combos[rows.data.code, 0]
    again = arrange_rows(
        book, by_event[order], at[order], symbol[order], np.empty((len(order), 0), np.uint8), None,
        (DAY_S * 30.0,), 40, cut,
    )  # fmt: skip
    assert np.array_equal(again.starts, past.starts)
    assert np.array_equal(again.at, past.at)
    assert np.array_equal(again.data.step, past.data.step)
    assert np.array_equal(again.data.end, past.data.end)
    assert np.array_equal(again.data.combos[again.data.code], past.data.combos[past.data.code])
